#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# kill -9 of the daemon while readers wait at the frontier, or for the first byte, or in poll(2): they go
# on waiting, and get what is written then; and a writer that is killed meanwhile is known to have been.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3 jq
f3_volume data - default-class=ephemeral
f3_rules data '** = ephemeral stream'
f3_start
mkfifo said go
PYTHONPATH="$F3_SRCDIR/tests/functional" PYTHONDONTWRITEBYTECODE=1 python3 - "$F3_MNT/data" "$F3_MNT/.stats" >said <<'END' &
import os, select, sys
from stream import *

d, stats = sys.argv[1:]


def step():
    print("step", flush=True)
    with open("go") as f:
        f.read()


w = Writer(f"{d}/f")
w(b"write one")
fd = os.open(f"{d}/f", os.O_RDONLY)
eq("one", os.read(fd, 10), b"one")
waits = Reader(os.pread, fd, 10, 3)
none = Writer(f"{d}/empty")
first = Reader(read_all, f"{d}/empty")
killed = Writer(f"{d}/killed")
killed(b"write x")
kfd = os.open(f"{d}/killed", os.O_RDONLY)
eq("x", os.read(kfd, 1), b"x")
parked(stats, 2)
poll = select.poll()
pfd = os.open(f"{d}/f", os.O_RDONLY)  # of its own: where a description stands is where it was last read
eq("one", os.read(pfd, 10), b"one")
poll.register(pfd, select.POLLIN)
polls = Reader(lambda: b"%d" % len(poll.poll(60000)))
until(60, "it sleeps in poll", lambda: open("/proc/%d/stat" % polls.pid).read().rsplit(") ", 1)[1][0] == "S")
step()
parked(stats, 2)
w(b"write two")
eq("two", waits.result(), b"two")
eq("poll", polls.result(), b"1")
none(b"write first")
none.ends()
eq("first", first.result(), b"first")
w.ends()
eq("the end", os.pread(fd, 10, 6), b"")
killed.killed()
refused("a killed writer", "EIO", os.read, kfd, 1)
step()
refused("a killed writer, by the next daemon", "EIO", read_all, f"{d}/killed")
eq("whole", read_all(f"{d}/f"), b"onetwo")
done()
END
python=$!
exec {said}<said
die()
{
	local was=$F3_PID
	kill -KILL "$was"
	f3_until 60 eval 'F3_PID=$(ctl --json status 2>/dev/null | jq .pid) && [ -n "$F3_PID" ] && [ "$F3_PID" != '"$was"' ]' ||
		f3_fail "it was not started again"
}
while read -r line <&"$said"; do
	case $line in
	step)
		die
		: >go
		;;
	*) echo "$line" ;;
	esac
done
wait "$python" || f3_bad "see above"
f3_closed
f3_stop
f3_fsck || f3_bad "fsck"
