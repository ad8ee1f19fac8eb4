#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# How a file that streams ends: closed, by exit with any status, by a writer in turn; killed: EIO, for
# who waits, for who comes later, after a restart, and nothing of it in the store; until it is emptied.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3 jq
f3_volume data "file://$F3_STORE/data" default-class=ephemeral
f3_rules data '/durable/** = durable stream' '** = ephemeral stream'
f3_start
mkdir "$F3_MNT/data/durable" "$F3_MNT/data/local"

for d in local durable; do
	f3_python "$F3_MNT/data/$d" "$F3_MNT/.stats" "$F3_STORE/data/$d" <<'END'
import os, signal, subprocess, sys
from stream import *

d, stats, store = sys.argv[1:]
durable = d.endswith("durable")


def follow(name):
    """A writer, and a reader who has read all and waits."""
    w = Writer(f"{d}/{name}")
    w(b"write first")
    fd = os.open(f"{d}/{name}", os.O_RDONLY)
    eq(name, os.read(fd, 100), b"first")
    r = Reader(os.read, fd, 100)
    os.close(fd)
    parked(stats, 1)
    return w, r


for name, end in (("closed", b"close"), ("exited", b"exit"), ("status", b"status 3")):
    w, r = follow(name)
    if end == b"close":
        w(end)
        eq(name, r.result(), b"")
        w.ends()
    else:
        w.ends(end)
        eq(name, r.result(), b"")
    eq(name + ", read later", read_all(f"{d}/{name}"), b"first")

for how in signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM:
    name = "killed%d" % how
    path = f"{d}/{name}"
    w, r = follow(name)
    w.killed(how)
    eq(name, r.result(), b"errno 5")
    until(60, name, lambda: state(path) == "failed")
    fd = os.open(path, os.O_RDONLY)
    eq(name + ", its bytes", os.read(fd, 100), b"first")
    refused(name + ", its end", "EIO", os.read, fd, 100)
    os.close(fd)
    check(name + " is not in the store", not os.path.exists(f"{store}/{name}"))
    # Somebody goes on with it: it is still not known to be whole.
    if how == signal.SIGSEGV and not durable:
        w = Writer(path, os.O_WRONLY | os.O_APPEND)
        w(b"write second")
        w.ends()
        refused(name + ", gone on with", "EIO", read_all, path)
    put(path, b"anew")
    eq(name + ", made anew", read_all(path), b"anew")
    if durable:
        eq(name + ", in the store", get(f"{store}/{name}"), b"anew")

# What was synced of it is in the store, and nothing of what came after.
w = Writer(f"{d}/synced")
w(b"write synced")
w(b"fsync")
w(b"write and not")
w.killed()
until(60, "torn", lambda: state(f"{d}/synced") == "failed")
if durable:
    eq("what was synced", get(f"{store}/synced"), b"synced")
refused("not whole", "EIO", read_all, f"{d}/synced")
os.truncate(f"{d}/synced", 0)
until(60, "whole again", lambda: state(f"{d}/synced") in ("sealed", "clean"))
eq("emptied by its name", read_all(f"{d}/synced"), b"")

# A child that shares the description is killed; the last word is that of who closes it.
fd = os.open(f"{d}/shared", os.O_WRONLY | os.O_CREAT)
os.write(fd, b"a")
pid = os.fork()
if pid == 0:
    signal.pause()
    os._exit(0)
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
os.close(fd)
eq("closed by another than was killed", read_all(f"{d}/shared"), b"a")

# Truncated: the reader waits for the new bytes.
w, r = follow("truncated")
w(b"truncate 0")
w(b"pwrite 0 abcde")
parked(stats, 1)
w(b"pwrite 5 fgh")
eq("behind what was read", r.result(), b"fgh")
w.ends()

# An empty file is no end: who opens it waits for the first byte.
w = Writer(f"{d}/empty")
r = Reader(read_all, f"{d}/empty")
copy = Reader(lambda: b"%d" % subprocess.run(["cp", f"{d}/empty", f"copied.{os.getpid()}"]).returncode)
parked(stats, 2)
now = os.open(f"{d}/empty", os.O_RDONLY | os.O_NONBLOCK)
refused("O_NONBLOCK", "EAGAIN", os.read, now, 1)
os.close(now)
w(b"write late")
w.ends()
eq("opened early", r.result(), b"late")
eq("cp", copy.result(), b"0")
w = Writer(f"{d}/nothing")
r = Reader(read_all, f"{d}/nothing")
parked(stats, 1)
w.ends()
eq("nothing written", r.result(), b"")
w = Writer(f"{d}/hopeless")
r = Reader(read_all, f"{d}/hopeless")
parked(stats, 1)
w.killed()
eq("killed before the first byte", r.result(), b"errno 5")
# A program that writes it itself cannot wait for that.
fd = os.open(f"{d}/own", os.O_WRONLY | os.O_CREAT)
own = os.open(f"{d}/own", os.O_RDONLY)
os.write(fd, b"x")
eq("one's own", os.read(own, 1), b"x")
os.close(fd)
eq("its end", os.read(own, 1), b"")
os.close(own)
# What was opened to wait can be interrupted.
w = Writer(f"{d}/given up")
eq("timeout", subprocess.run(["timeout", "0.2", "cat", f"{d}/given up"]).returncode, 124)
w.ends()
done()
END
done

# A cold end of the daemon cuts the writer off.
f3_set restart=no
f3_restart
cat >cut.py <<'END'
import signal, sys
from stream import *
w = Writer(sys.argv[1])
w(b"write part")
signal.pause()
END
PYTHONPATH=$F3_SRCDIR/tests/functional PYTHONDONTWRITEBYTECODE=1 python3 cut.py "$F3_MNT/data/local/cut" &
python=$!
f3_until 60 eval '[ "$(stat -c %s "$F3_MNT/data/local/cut" 2>/dev/null)" = 4 ]' || f3_bad "not written"
f3_kill
kill "$python"
wait "$python"
f3_start
f3_no 1 'Input/output error' cat "$F3_MNT/data/local/cut"
f3_match "info" "$(ctl info "$F3_MNT/data/local/cut")" 'failed: EIO; a writer was killed'
f3_eq "closed stays whole" "$(cat "$F3_MNT/data/local/closed")" first
truncate -s 0 "$F3_MNT/data/local/cut"
f3_eq "emptied" "$(cat "$F3_MNT/data/local/cut")" ""
f3_closed
f3_stop
f3_fsck || f3_bad "fsck"
