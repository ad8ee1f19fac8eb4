#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# The daemon dies right after a commit and before its answer, again and again: the storm goes on over
# it and sees each of its calls carried out once.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse debug jq
f3_set failure-wait=10m
f3_volume v -
f3_volume m - default-class=memory

# Who serves now, and stays: the supervisor is stopped, so that it starts no other one if this one dies
# once more, of what goes on after the storm.
held()
{
	kill -STOP "$F3_SUPERVISOR"
	stopped() { grep -q '^State:.T' "/proc/$F3_SUPERVISOR/status"; }
	f3_until 20 stopped || return
	read -r F3_PID _ <"/proc/$F3_SUPERVISOR/task/$F3_SUPERVISOR/children"
	[ -z "$F3_PID" ] || return 0
	kill -CONT "$F3_SUPERVISOR"
	return 1
}

# storm POINT N DIR: in each of its lives the daemon dies when POINT is reached for the N-th time.
storm()
{
	rm -f manifest.*
	F3_DEBUG_POINTS="$1=exit@$2" f3_start
	f3_storm "$F3_MNT/$3/s" --procs 2 --ops 60 --seed "$2" --keep >storm.out 2>&1 ||
		{ cat storm.out; f3_bad "$1@$2 in $3: the storm ended with $?"; }
	f3_until 60 held || f3_fail "$1@$2 in $3: nobody serves"
	deaths=$((deaths + $(jq .restarts "$F3_RUN/supervisor.json")))
	f3_kill
	f3_start
	f3_storm_verify "$F3_MNT/$3/s" crash >storm.out 2>&1 ||
		{ cat storm.out; f3_bad "$1@$2 in $3: afterwards"; }
	rm -rf "$F3_MNT/$3/s"
	f3_stop
	f3_fsck || f3_bad "$1@$2 in $3: fsck"
}

deaths=0
for n in 23 37 52; do
	storm meta.after-commit $n v
	storm meta.before-commit $n m
done
storm create.taken 9 v
# Of files on the disk the bytes go later, perhaps when the storm is over.
storm file.before-unlink 7 m
echo "$deaths deaths"
[ $deaths -ge 20 ] || f3_bad "it died $deaths times only"
