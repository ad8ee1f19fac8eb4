#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Reading a file while it is written, in every class: readers who come early and late, at any offset,
# wait at the frontier, and get the end when the writer has closed. The writer stays native.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3 jq
f3_volume data "file://$F3_STORE/data" default-class=ephemeral
f3_rules data '/durable/** = durable stream' '/writeback/** = writeback stream' \
	'/memory/** = memory stream' '/quiet/** = ephemeral'
f3_start
mkdir "$F3_MNT"/data/{durable,writeback,memory,ephemeral,quiet}
setfattr -n user.f3.stream -v 1 "$F3_MNT/data/ephemeral"

for class in ephemeral memory writeback durable; do
	f3_python "$F3_MNT/data/$class" "$F3_MNT/.stats" <<'END'
import fcntl, os, select, signal, sys
from stream import *

d, stats = sys.argv[1:]
path = d + "/file"
w = Writer(path)
w(b"write one ")
early = os.open(path, os.O_RDONLY)
eq("what is there", os.read(early, 100), b"one ")
waits = Reader(os.read, early, 100)
parked(stats, 1)
w(b"write two ")
eq("after a wait", waits.result(), b"two ")
eq("the offset is shared with the child", os.lseek(early, 0, os.SEEK_CUR), 8)

late = os.open(path, os.O_RDONLY)
eq("from the beginning", os.read(late, 100), b"one two ")
eq("pread", os.pread(late, 3, 4), b"two")
os.lseek(late, 4, os.SEEK_SET)
eq("after seek", os.read(late, 2), b"tw")
ahead = Reader(os.pread, late, 3, 12)
parked(stats, 1)
w(b"write thre")
parked(stats, 1)
w(b"write e four")
eq("ahead of the frontier", ahead.result(), b"e f")
eq("stat", os.fstat(late).st_size, 18)

now = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
eq("O_NONBLOCK gets what is there", os.read(now, 100), b"one two three four")
refused("O_NONBLOCK at the frontier", "EAGAIN", os.read, now, 1)
fcntl.fcntl(late, fcntl.F_SETFL, os.O_NONBLOCK)
os.lseek(late, 0, os.SEEK_END)
refused("O_NONBLOCK by fcntl", "EAGAIN", os.read, late, 1)

# poll(2), select(2), epoll(7): nothing to read, then something, then the end.
os.lseek(early, 0, os.SEEK_SET)
eq("all of it", os.read(early, 100), b"one two three four")
poll = select.poll()
poll.register(early, select.POLLIN)
epoll = select.epoll()
epoll.register(early, select.EPOLLIN)
eq("poll at the frontier", poll.poll(0), [])
eq("select at the frontier", select.select([early], [], [], 0)[0], [])
eq("epoll at the frontier", epoll.poll(0), [])
woken = Reader(lambda: b"%d" % len(poll.poll(60000)))
by_epoll = Reader(lambda: b"%d" % len(epoll.poll(60)))
until(60, "both sleep in poll", lambda: all(
    open("/proc/%d/stat" % r.pid).read().rsplit(") ", 1)[1][0] == "S" for r in (woken, by_epoll)))
w(b"write 5")
eq("poll is woken", woken.result(), b"1")
eq("epoll is woken", by_epoll.result(), b"1")
eq("what woke it", os.read(early, 100), b"5")

# Many wait; a signal ends one wait and no other.
many = [Reader(os.pread, early, 10, 19) for _ in range(20)]
parked(stats, 20)


def interrupted(fd):
    signal.signal(signal.SIGUSR1, lambda *a: None)
    signal.siginterrupt(signal.SIGUSR1, True)
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    n = libc.read(fd, ctypes.create_string_buffer(10), 10)
    return b"errno %d" % ctypes.get_errno() if n < 0 else b"%d" % n


def handler_of(pid):
    for line in open("/proc/%d/status" % pid):
        if line.startswith("SigCgt:"):
            return int(line.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1
    return 0


one = Reader(interrupted, early)
parked(stats, 21)
check("it has a handler", handler_of(one.pid))
os.kill(one.pid, signal.SIGUSR1)
eq("a signal", one.result(), b"errno 4")
killed = Reader(os.read, early, 1)
parked(stats, 21)
os.kill(killed.pid, signal.SIGKILL)
eq("killed", killed.result(), b"")
parked(stats, 20)
w(b"write  six")
eq("all of them", {m.result() for m in many}, {b" six"})

# Renamed while it is followed; and the name taken away.
os.rename(path, d + "/other")
eq("after a rename", os.read(early, 100), b" six")
os.unlink(d + "/other")
last = Reader(os.read, early, 100)
parked(stats, 1)
w(b"write end")
eq("without a name", last.result(), b"end")
last = Reader(os.read, early, 100)
parked(stats, 1)
w.ends(b"exit")
eq("the end", last.result(), b"")
for fd in early, late, now:
    os.close(fd)

# One reader of a large file from its first byte to its last, while it is written.
size = 24 << 20
w = Writer(path)
whole = Reader(lambda: b"%d" % len(read_all(path)))
for n in range(0, size, 3 << 20):
    w(b"fill %d" % (3 << 20))
w.ends()
eq("all of a large one", whole.result(), b"%d" % size)
done()
END
done

# The writer of a complete file stays native, whoever follows.
f3_python "$F3_MNT/data/ephemeral/native" "$F3_MNT/.stats" <<'END'
import os, sys
from stream import *

path, stats = sys.argv[1:]


def written():
    return [line for line in get(stats).decode().splitlines()
            if line.startswith(("f3_fuse_written_bytes_total", 'f3_fuse_op_seconds_count{op="write"'))]


w = Writer(path)
w(b"write x")
fd = os.open(path, os.O_RDONLY)
os.read(fd, 1)
before = written()
for n in range(50):
    reader = Reader(os.read, fd, 10)
    parked(stats, 1)
    w(b"write y")
    eq("woken", reader.result(), b"y")
eq("writes that came to the daemon", written(), before)
w.ends()
done()
END

# Without the word stream a reader sees the end of what is there.
exec {fd}>"$F3_MNT/data/quiet/f"
printf abc >&"$fd"
f3_eq "no stream" "$(timeout 20 cat "$F3_MNT/data/quiet/f")" abc
exec {fd}>&-
f3_closed
f3_stop
f3_fsck || f3_bad "fsck"
