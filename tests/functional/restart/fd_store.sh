#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The supervisor dies too. Alone: the worker goes on and says so. With its worker, under something that
# keeps descriptors as systemd does (tests/tools/ready_run): the next one takes the mount over, and what
# was open goes on. What it left there is taken back at the end.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq
f3_volume data -
f3_volume m - default-class=memory

f3_start
echo kept >"$F3_MNT/data/file"
kill -KILL "$F3_SUPERVISOR"
alone() { [ "$(ctl --json status | jq .supervisor_pid)" = 0 ]; }
f3_until 60 alone || f3_bad "it does not know that its supervisor is gone"
f3_eq "it serves" "$(cat "$F3_MNT/data/file")" kept
f3_match "for people" "$(ctl status)" 'supervisor +none: it was killed'
f3_match "the log" "$(cat "$F3_LOG")" 'the supervisor is gone: this process goes on'
f3_no 1 'there is no supervisor any more' ctl upgrade
kill -TERM "$F3_PID"
f3_wait
f3_unmounted "$F3_MNT"

# start_stored: as f3_launch does.
said=$F3_CONF.said
mkfifo "$said"
ready_run --store f3d -f -c "$F3_CONF" >"$said" 2>>"$F3_LOG" &
F3_CHILD=$!
exec {f3_said}<"$said"
serves()
{
	local word
	read -r -u "$f3_said" word F3_SUPERVISOR || f3_fail "it has ended"
	f3_eq "it" "$word" ready
	F3_PID=$(($(<"/proc/$F3_SUPERVISOR/task/$F3_SUPERVISOR/children")))
}
serves
exec 5<>"$F3_MNT/data/native" 6<>"$F3_MNT/m/through"
echo before >&5; echo before >&6
for n in 1 2; do
	was=$F3_SUPERVISOR
	# As systemd does: nothing of the old one is left when the next is started.
	kill -STOP "$F3_SUPERVISOR"
	kill -KILL "$F3_PID"
	f3_until 60 f3_gone "$F3_PID"
	stat "$F3_MNT/data/nothing$n" >waited 2>&1 &
	waits=$!
	kill -KILL "$F3_SUPERVISOR"
	serves
	[ "$F3_SUPERVISOR" != "$was" ] || f3_bad "the same supervisor"
	wait $waits
	f3_match "a call that waited" "$(cat waited)" 'No such file'
	echo "after $n" >&5; echo "after $n" >&6
done
f3_match "the log" "$(cat "$F3_LOG")" 'the supervisor of before is gone; its mount at .* goes on'
exec 5>&- 6>&-
for f in data/native m/through; do
	f3_eq "$f" "$(tr '\n' ' ' <"$F3_MNT/$f")" "before after 1 after 2 "
done
f3_closed
f3_stop
f3_fsck || f3_bad "fsck"
