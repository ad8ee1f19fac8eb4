#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Ways to read that ask nothing at the end of a file (splice, sendfile, copy_file_range) are refused
# while it is written, so that programs that try them read; and then they get all of it. Files made long
# first, through a mapping too. What was kept of a file is not taken for it when it is written again.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3 jq
f3_volume data - default-class=ephemeral
f3_rules data '*.m = memory stream' '** = ephemeral stream'
f3_start
f3_python "$F3_MNT/data" "$F3_MNT/.stats" <<'END'
import mmap, os, select, subprocess, sys
from stream import *

d, stats = sys.argv[1:]
want = b"".join(b"%04d" % n * 250 for n in range(20))


def by_splice(path):
    fd = os.open(path, os.O_RDONLY)
    r, w = os.pipe()
    got = b""
    while os.splice(fd, w, 4096):
        got += os.read(r, 65536)
    return got


def by_sendfile(path):
    out = os.memfd_create("out")
    fd = os.open(path, os.O_RDONLY)
    while os.sendfile(out, fd, None, 1 << 20):
        pass
    return os.pread(out, 1 << 20, 0)


def by_copy(path):
    fd = os.open(path, os.O_RDONLY)
    copy = os.open(f"{d}/copy.{os.getpid()}", os.O_RDWR | os.O_CREAT)
    while os.copy_file_range(fd, copy, 1 << 20):
        pass
    return os.pread(copy, 1 << 20, 0)


def by_command(*command):
    def run(path):
        out = f"out.{os.getpid()}"
        subprocess.run([*command, path, out], check=True)
        return get(out)
    return run


ways = [by_command("cp"), by_command("sh", "-c", 'cat "$0" >"$1"'),
        by_command("sh", "-c", 'dd if="$0" of="$1" bs=999 2>/dev/null'),
        by_command(sys.executable, "-c", "import shutil, sys; shutil.copyfile(*sys.argv[1:])")]
for kind in "f", "f.m":
    path = f"{d}/{kind}"
    w = Writer(path)
    early = [Reader(way, path) for way in ways]
    parked(stats, len(ways))
    w(b"write " + want[:1000])
    w(b"write " + want[1000:6500])
    for way in by_splice, by_sendfile, by_copy:
        refused(f"{kind}: {way.__name__}", "EINVAL", way, path)
    late = [Reader(way, path) for way in ways]
    for at in range(6500, len(want), 2500):
        w(b"write " + want[at:at + 2500])
    w.ends()
    for n, (e, l) in enumerate(zip(early, late)):
        check(f"{kind}: early, way {n}", e.result() == want)
        check(f"{kind}: late, way {n}", l.result() == want)
    for way in by_splice, by_sendfile, by_copy:
        check(f"{kind}: {way.__name__} of all of it", way(path) == want)

# What splice kept of it is not the end of it when it is written again.
path = f"{d}/again"
put(path, b"")
w = Writer(path)
w(b"write one")
fd = os.open(path, os.O_RDONLY)
w.ends()
until(60, "sealed", lambda: state(path) == "sealed")
eq("sent", os.sendfile(os.memfd_create("out"), fd, 0, 100), 3)
w = Writer(path, os.O_WRONLY | os.O_APPEND)
w(b"write two")
w.ends()
until(60, "sealed", lambda: state(path) == "sealed")
out = os.memfd_create("out")
eq("sent again", os.sendfile(out, fd, 0, 100), 6)
eq("what", os.pread(out, 6, 0), b"onetwo")
os.close(fd)


# Made long first: what has not been written is not read as zeros.
def make_long(path, allocate, map_it):
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    if allocate:
        os.posix_fallocate(fd, 0, 1 << 20)
    else:
        os.ftruncate(fd, 1 << 20)
    memory = mmap.mmap(fd, 1 << 20) if map_it else None
    if map_it:
        os.close(fd)
    for at in range(0, 1 << 20, 1 << 16):
        if map_it:
            memory[at:at + (1 << 16)] = b"z" * (1 << 16)
        else:
            os.pwrite(fd, b"z" * (1 << 16), at)
    if map_it:
        memory.close()
    else:
        os.close(fd)
    return b"made"


w = Writer(f"{d}/goes on")
w(b"truncate %d" % (64 << 20))
r = Reader(lambda: os.read(os.open(f"{d}/goes on", os.O_RDONLY), 1 << 20))
parked(stats, 1)
n = 0
while not select.select([r.ours], [], [], 0)[0] and n < 1000:
    w(b"pwrite %d " % (n << 14) + b"z" * (1 << 14))
    n += 1
got = r.result()
eq("what was written of a file made long first", (len(got) > 0, got.strip(b"z")), (True, b""))
w.ends()
for allocate in False, True:
    for map_it in False, True:
        path = f"{d}/long.{allocate}.{map_it}"
        maker = Reader(make_long, path, allocate, map_it)
        until(60, "it is there", lambda: os.path.exists(path))
        got = read_all(path)
        eq(path, (len(got), got.count(b"z")), (1 << 20, 1 << 20))
        eq("maker", maker.result(), b"made")
done()
END
f3_closed
f3_stop
f3_fsck || f3_bad "fsck"
