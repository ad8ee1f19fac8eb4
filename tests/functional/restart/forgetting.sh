#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The daemon is killed while the kernel is told to forget a name in a directory whose lock a mkdir
# holds that waits for the daemon: neither holds up the other, nor the end of the process.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse debug
f3_volume v "file://$F3_STORE" default-class=durable attr-ttl=0s
gate=$F3_TEST_TMP/gate
mkfifo "$gate"
exec {open}<>"$gate"
F3_DEBUG_POINTS="make.before-store=gate:$gate" eval "f3_start $open>&-"
d=$F3_MNT/v/d
mkdir "$d"
echo other >"$F3_STORE/d/foreign"
f3_until 60 stat "$d/foreign" || f3_bad "what others have made does not show"
ls -l "$d" >/dev/null

exec {open}<&-
mkdir "$d/sub" &
maker=$!
f3_until 60 grep -q "^request_wait_answer" "/proc/$maker/wchan" || f3_bad "mkdir does not wait for the daemon"
rm "$F3_STORE/d/foreign"
stat "$d/foreign" >/dev/null 2>&1 &
lister=$!
notifier()
{
	local pid state
	for pid in $(cat "/proc/$F3_PID/task/"*/children); do
		[ "$(<"/proc/$pid/comm")" = f3-notifier ] || continue
		read -r state <"/proc/$pid/stat"
		state=${state##*) }
		[ "${state%% *}" = D ] && return 0
	done
	return 1
}
f3_until 60 notifier || f3_bad "the kernel does not wait for the directory's lock"
kill -KILL "$F3_PID"
f3_until 60 f3_gone "$F3_PID" || f3_bad "the process does not end"
f3_until 60 f3_gone $maker || f3_fail "mkdir does not return"
f3_until 60 f3_gone $lister || f3_fail "stat does not return"
wait $maker || f3_bad "mkdir ended with $?"
F3_PID=$(($(<"/proc/$F3_SUPERVISOR/task/$F3_SUPERVISOR/children")))
[ -d "$F3_STORE/d/sub" ] || f3_bad "the store has no directory"
f3_until 60 eval '[ "$(ls "$d")" = sub ]' || f3_bad "names: $(ls "$d")"
f3_stop
