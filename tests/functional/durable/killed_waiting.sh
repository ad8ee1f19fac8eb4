#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A program that waits for a store that hangs can be killed, whatever it waits for; a signal that it
# catches does not disturb it; and what was answered twice leaves nothing behind.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/faults.sh
. "$F3_SRCDIR/tests/functional/faults.sh"
f3_requires root fuse jq python3 debug
f3_volume data "file://$F3_STORE/data" default-class=durable attr-ttl=0
mkdir -p "$F3_STORE/data"
for i in {1..9}; do echo "of a stranger" >"$F3_STORE/data/f$i"; done
f3_start
held() { [ "$(fault fault-count "$1")" -gt 0 ]; }

# hang PLACE SIGNAL COMMAND...: it waits for the store, and ends by the signal while the store hangs on.
hang()
{
	local place=$1 signal=$2 pid rc
	shift 2
	mkfifo fifo
	fault fault "$place" "hold:$PWD/fifo" >/dev/null
	"$@" >out 2>&1 &
	pid=$!
	f3_until 60 held "$place" || f3_bad "$*: not held at $place"
	kill "-$signal" "$pid"
	# Without an answer nothing ends it before the store does.
	f3_until 60 gone "$pid" || f3_bad "$*: SIG$signal does not end it while $place hangs"
	fault fault "$place" >/dev/null
	: >fifo
	rm -f fifo
	wait "$pid"
	rc=$?
	[ $rc -gt 128 ] || f3_bad "$*: ended with $rc: $(cat out)"
}
gone() { [[ $(ps -o stat= -p "$1") =~ ^(Z|$) ]]; }

hang object.head TERM cat "$F3_MNT/data/f1"
hang object.head KILL stat "$F3_MNT/data/f2"
f3_eq "f1" "$(cat "$F3_MNT/data/f1")" "of a stranger"
# Known, so that it is the open that asks.
exec {known}<"$F3_MNT/data/f3"
hang object.head KILL cat "$F3_MNT/data/f3"
exec {known}<&-
hang object.delete KILL rm -f "$F3_MNT/data/f4"
hang object.mkdir TERM mkdir "$F3_MNT/data/dir"
# Nobody was told, and it happened all the same once the store went on.
f3_until 60 test ! -e "$F3_STORE/data/f4" || f3_bad "f4 is in the store"
f3_until 60 test -d "$F3_STORE/data/dir" || f3_bad "dir is not in the store"
f3_eq "f4 afterwards" "$(stat -c %n "$F3_MNT/data/f4" 2>&1 | grep -c 'No such file')" 1
f3_ok rmdir "$F3_MNT/data/dir"
# No open is left of those who went while they waited.
f3_closed

# A signal that is caught: the call goes on and has its result.
mkfifo fifo
fault fault object.head "hold:$PWD/fifo" >/dev/null
python3 -c '
import ctypes, os, signal, sys
signal.signal(signal.SIGUSR1, lambda *a: None)
signal.siginterrupt(signal.SIGUSR1, False)
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.open(sys.argv[1].encode(), os.O_RDONLY)
print(fd, ctypes.get_errno())
sys.exit(fd < 0)' "$F3_MNT/data/f5" >out 2>&1 &
pid=$!
f3_until 60 held object.head || f3_bad "not held"
kill -USR1 $pid
ctl status >/dev/null
gone $pid && f3_bad "SIGUSR1 ended the wait: $(cat out)"
fault fault object.head >/dev/null
: >fifo
rm -f fifo
wait $pid || f3_bad "with a signal that is caught: $(cat out)"
f3_eq "the daemon" "$(ctl --json status | jq .pid)" "$F3_PID"
f3_stop
