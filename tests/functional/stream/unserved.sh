#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A writer that ends while nobody serves the mount and calls get EIO: killed or closed, the next daemon
# knows. And f3ctl upgrade below readers that wait for bytes, for the first of them, and in poll(2).
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3 jq
f3_volume data - default-class=ephemeral
f3_rules data '** = ephemeral stream'
f3_volume zero - default-class=ephemeral stream-exit=zero
f3_rules zero '** = ephemeral stream'
f3_set failure-wait=1s on-failure=eio
f3_start
mkfifo said go
PYTHONPATH="$F3_SRCDIR/tests/functional" PYTHONDONTWRITEBYTECODE=1 python3 - "$F3_MNT" "$F3_MNT/.stats" >said <<'END' &
import os, select, sys
from stream import *

d, stats = sys.argv[1:]
data = d + "/data"


def step(what):
    print("step", what, flush=True)
    with open("go") as f:
        f.read()


w = Writer(f"{data}/f")
w(b"write one")
fd = os.open(f"{data}/f", os.O_RDONLY)
eq("one", os.read(fd, 10), b"one")
waits = Reader(os.pread, fd, 10, 3)
none = Writer(f"{data}/empty")
first = Reader(read_all, f"{data}/empty")
nothing = Writer(f"{data}/nothing")
end = Reader(read_all, f"{data}/nothing")
parked(stats, 3)
poll = select.poll()
pfd = os.open(f"{data}/f", os.O_RDONLY)  # of its own: where a description stands is where it was last read
eq("one", os.read(pfd, 10), b"one")
poll.register(pfd, select.POLLIN)
polls = Reader(lambda: b"%d" % len(poll.poll(60000)))
until(60, "it sleeps in poll", lambda: open("/proc/%d/stat" % polls.pid).read().rsplit(") ", 1)[1][0] == "S")
for _ in range(2):
    step("upgrade")
    parked(stats, 3)
w(b"write two")
eq("two", waits.result(), b"two")
eq("poll", polls.result(), b"1")
none(b"write first")
none.ends()
eq("first", first.result(), b"first")
nothing.ends()
eq("nothing", end.result(), b"")
w.ends()

writers = {}
for name in "data/killed", "data/closed", "data/status", "zero/status", "zero/good", "data/goes on":
    writers[name] = Writer(f"{d}/{name}")
    writers[name](b"write x")
step("break")
for name, w in writers.items():
    if name == "data/killed":
        w.killed()
    elif name.endswith("status"):
        w.ends(b"status 3")
    elif name != "data/goes on":
        w.ends(b"status 0")
writers["data/goes on"](b"write y")
step("mend")
for name in "data/killed", "zero/status":
    refused(name, "EIO", read_all, f"{d}/{name}")
    until(60, name, lambda: state(f"{d}/{name}") == "failed")
for name in "data/closed", "data/status", "zero/good":
    eq(name, read_all(f"{d}/{name}"), b"x")
r = Reader(read_all, f"{d}/data/goes on")
parked(stats, 1)
writers["data/goes on"].ends()
eq("goes on", r.result(), b"xy")
done()
END
python=$!
exec {said}<said
back() { F3_PID=$(ctl --json status 2>/dev/null | jq -e .pid) && [ "$F3_PID" != "$was" ]; }
while read -r word step <&"$said"; do
	[ "$word" = step ] || { echo "$word $step"; continue; }
	was=$F3_PID
	case $step in
	upgrade)
		f3_ok ctl upgrade >/dev/null
		f3_until 60 back || f3_fail "no upgrade"
		;;
	break)
		mv "$F3_CACHE/db/CURRENT" CURRENT
		echo nonsense >"$F3_CACHE/db/CURRENT"
		kill -KILL "$F3_PID"
		f3_becomes 60 "state" refusing jq -r .state "$F3_RUN/supervisor.json"
		;;
	mend)
		mv CURRENT "$F3_CACHE/db/CURRENT"
		f3_until 60 eval 'back && [ "$(ctl --json status | jq -r .pid)" -gt 0 ] && stat "$F3_MNT/data"' || f3_fail "it did not come back"
		;;
	esac
	: >go
done
wait "$python" || f3_bad "see above"
f3_eq "open files" "$(ctl --json status | jq .opens.now)" 0
f3_stop
f3_fsck || f3_bad "fsck"
