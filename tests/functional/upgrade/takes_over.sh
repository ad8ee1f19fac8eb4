#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# f3ctl upgrade below running programs: what is open goes on, no call fails, and the new process is
# kept over its death like the old one.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq
[[ ${F3_SANITIZE:-} != *thread* ]] ||
	f3_skip "ThreadSanitizer does not see what the kernel orders by a descriptor kept over exec"
f3_volume data -
f3_volume m - default-class=memory
f3_volume objects "file://$F3_STORE/objects" default-class=durable
f3_start

# Upgrades, and takes the new process for F3_PID.
upgrade()
{
	local was=$F3_PID
	f3_ok ctl --json upgrade "$@" >upgraded || return
	F3_PID=$(jq .pid upgraded)
	[ "$F3_PID" != "$was" ] || f3_bad "the same process serves"
	f3_eq "who it took over from" "$(jq .pid_before upgraded)" "$was"
	f3_until 60 f3_gone "$was" || f3_bad "the old process is there still"
	echo "pause: $(jq .pause_s upgraded) s"
}

exec 5<>"$F3_MNT/data/native" 6<>"$F3_MNT/m/through" 7<>"$F3_MNT/objects/object"
echo before >&5; echo before >&6; echo before >&7
f3_storm "$F3_MNT/data/s" --procs 2 --ops 4000 --seed 7 --keep >storm.out 2>&1 &
storm=$!
for _ in 1 2 3; do
	upgrade
done
upgrade "$(command -v f3d)"
wait $storm || { cat storm.out; f3_bad "the storm failed"; }
f3_storm_verify "$F3_MNT/data/s" crash >storm.out 2>&1 || { cat storm.out; f3_bad "after the storm"; }
echo after >&5; echo after >&6; echo after >&7
exec 5>&- 6>&- 7>&-
for f in data/native m/through objects/object; do
	f3_eq "$f" "$(tr '\n' ' ' <"$F3_MNT/$f")" "before after "
done
f3_eq "in the store" "$(tr '\n' ' ' <"$F3_STORE/objects/object")" "before after "

f3_eq "upgrades" "$(ctl --json status | jq .upgrades)" 4
f3_eq "restarts" "$(ctl --json status | jq .restarts)" 0
f3_eq "supervisor" "$(ctl --json status | jq .supervisor_pid)" "$F3_SUPERVISOR"
f3_match "for people" "$(ctl upgrade)" 'serves as process [0-9]+, instead of [0-9]+; calls waited for'
F3_PID=$(ctl --json status | jq .pid)

# It went before others only until it served.
f3_eq "priorities of its threads" "$(awk '{ print $19 }' "/proc/$F3_PID/task"/*/stat | sort -u)" \
	"$(awk '{ print $19 }' "/proc/$F3_SUPERVISOR/stat")"

# It is started again as what it is now, with the configuration it has read.
echo "nonsense" >>"$F3_CONF"
kill -KILL "$F3_PID"
back() { F3_PID=$(ctl --json status | jq .pid) && [ "$(ctl --json status | jq .restarts)" = 1 ]; }
f3_until 60 back || f3_fail "it was not started again"
f3_eq "all is there" "$(head -n 1 "$F3_MNT/data/native")" before
sed -i '$d' "$F3_CONF"
f3_stop
f3_fsck || f3_bad "fsck"
