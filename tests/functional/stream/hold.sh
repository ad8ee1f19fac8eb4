#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Sealing is put off after the last writer has gone: for a grace time, within which another one goes on in
# the same stream, over restarts of the daemon too; and while somebody holds the file, as activations do.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3 jq debug
export F3_RUN
f3_volume graced "file://$F3_STORE/graced" default-class=ephemeral stream-grace=5s
f3_rules graced '/back/** = writeback stream' '/plain/** = ephemeral' '** = ephemeral stream'
f3_volume data - default-class=ephemeral
f3_rules data '** = ephemeral stream'
f3_start
mkdir "$F3_MNT/graced/back" "$F3_MNT/graced/plain"

f3_python "$F3_MNT/graced" "$F3_MNT/.stats" "$F3_STORE/graced" <<'END'
import os, sys, time
from stream import *

d, stats, store = sys.argv[1:]
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def append(name, text):
    w = Writer(f"{d}/{name}", APPEND)
    w(b"write " + text)
    return w


readers = {}
for name in "loop", "killed", "killed once", "gone", "back/f", "settled":
    w = append(name, b"a")
    readers[name] = Reader(read_all, f"{d}/{name}")
    if name.startswith("killed"):
        w.killed()
    else:
        w.ends()
put(f"{d}/plain/f", b"a")
sealed(f"{d}/plain/f")
put(f"{d}/whole", b"")
early = Reader(read_all, f"{d}/whole")
for text in b"b", b"c", b"d":
    for name in "loop", "back/f", "killed once":
        append(name, text).ends()
append("whole", b"e").ends()
os.unlink(f"{d}/gone")
last = time.monotonic()
eq("it is still written", state(f"{d}/loop"), "writing")
for name, want in (("loop", b"abcd"), ("back/f", b"abcd"), ("killed", b"errno 5"),
                   ("killed once", b"errno 5"), ("gone", b"a"), ("settled", b"a")):
    eq(name, readers[name].result(), want)
    if name == "loop":
        check("the end came at once", time.monotonic() - last > 4.5)
eq("opened while it was empty", early.result(), b"e")
eq("its state", state(f"{d}/loop"), "sealed")
eq("killed", state(f"{d}/killed"), "failed")
until(60, "in the store", lambda: state(f"{d}/back/f") == "clean")
eq("the object", get(f"{store}/back/f"), b"abcd")
done()
END

f3_python "$F3_MNT/data" "$F3_MNT/.stats" <<'END'
import os, sys
from stream import *

d, stats = sys.argv[1:]
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def hold(name, holder):
    tell(op="hold", volume="data", path="/" + name, holder=holder)


def end(holder, torn=False):
    tell(op="hold-end", holder=holder, torn=torn)


def held(name, *holders):
    w = Writer(f"{d}/{name}", APPEND)
    for holder in holders:
        hold(name, holder)
    w(b"write a")
    r = Reader(read_all, f"{d}/{name}")
    parked(stats, 1)
    return w, r


def settle():
    """Whatever was to be sealed before is."""
    put(f"{d}/other", b"x")
    sealed(f"{d}/other")


w, r = held("two", 1, 2, 2)
w.ends()
end(1)
settle()
eq("one of two ended", state(f"{d}/two"), "writing")
w = Writer(f"{d}/two", APPEND)
w(b"write b")
w.ends()
end(2)
eq("both ended", r.result(), b"ab")
sealed(f"{d}/two")

w, r = held("torn", 3)
w.ends()
end(3, torn=True)
eq("torn", r.result(), b"errno 5")
until(60, "failed", lambda: state(f"{d}/torn") == "failed")

w, r = held("goes on", 4)
end(4)
settle()
eq("a writer has it open", state(f"{d}/goes on"), "writing")
w(b"write b")
w.ends()
eq("the last writer ended it", r.result(), b"ab")

w, r = held("killed", 5)
w.killed()
settle()
parked(stats, 1)
eq("not before its end", state(f"{d}/killed"), "writing")
end(5)
eq("killed", r.result(), b"errno 5")

w = Writer(f"{d}/removed", APPEND)
w(b"write x")
hold("removed", 6)
w.ends()
os.unlink(f"{d}/removed")
end(6)
end(7)

put(f"{d}/empty", b"")
sealed(f"{d}/empty")
hold("empty", 8)
w = Writer(f"{d}/empty", APPEND)
w.ends()
settle()
r = Reader(read_all, f"{d}/empty")
parked(stats, 1)
w = Writer(f"{d}/empty", APPEND)
w(b"write late")
w.ends()
end(8)
eq("empty, and held", r.result(), b"late")

# At the daemon's end it is held by nobody whom the next one knows of.
w, r = held("left", 9)
w.ends()
settle()
os.kill(r.pid, 9)
os.waitpid(r.pid, 0)
done()
END

# The daemon dies within the grace time: the stream goes on, and comes to its end.
echo one >"$F3_MNT/graced/restart"
cat "$F3_MNT/graced/restart" >restart.out &
reader=$!
f3_becomes 60 "first line" one cat restart.out
was=$F3_PID
kill -KILL "$was"
f3_until 60 eval 'F3_PID=$(ctl --json status 2>/dev/null | jq .pid) && [ -n "$F3_PID" ] && [ "$F3_PID" != '"$was"' ]' ||
	f3_fail "it was not started again"
echo two >>"$F3_MNT/graced/restart"
f3_ok wait $reader
f3_eq "over a restart" "$(tr '\n' ' ' <restart.out)" "one two "
f3_eq "held by nobody any more" "$(cat "$F3_MNT/data/left")" a

# A cold end within it: the file was closed, and is whole.
f3_set restart=no
f3_restart
echo closed >"$F3_MNT/graced/cold"
f3_becomes 60 "held" true eval 'ctl --json info "$F3_MNT/graced/cold" | jq .held'
f3_kill
f3_start
f3_eq "closed, then killed" "$(cat "$F3_MNT/graced/cold")" closed
f3_eq "its state" "$(getfattr --only-values -n user.f3.state "$F3_MNT/graced/cold")" sealed

# An exit status that is not 0.
f3_stop
sed -i '/^\[volume data\]/a stream-exit = zero' "$F3_CONF"
f3_start
f3_python "$F3_MNT/data" "$F3_MNT/graced" <<'END'
import sys
from stream import *

zero, any_ = sys.argv[1:]
for d, want in ((zero, b"errno 5"), (any_, b"a")):
    w = Writer(f"{d}/status")
    w(b"write a")
    r = Reader(read_all, f"{d}/status")
    w.ends(b"status 3")
    eq("exit status 3", r.result(), want)
w = Writer(f"{zero}/good")
w(b"write a")
w.ends(b"status 0")
eq("exit status 0", read_all(f"{zero}/good"), b"a")
w = Writer(f"{zero}/closed")
w(b"write a")
w(b"close")
w.ends(b"status 3")
eq("closed before", read_all(f"{zero}/closed"), b"a")
done()
END
f3_closed
f3_stop
f3_fsck || f3_bad "fsck"
