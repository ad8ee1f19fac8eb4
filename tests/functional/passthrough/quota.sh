#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# Quotas of bytes and inodes: EDQUOT at the limit, nothing counted twice or for ever, df tells the
# truth, and near the limit new writers go through the daemon.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough python3
f3_set writer-reserve=1M
f3_volume q - quota=16M quota-inodes=60
f3_volume m - quota=16M quota-inodes=60 default-class=memory
f3_volume free -
f3_start

used() { df --output=used -B1 "$F3_MNT/$1" | tail -n 1 | tr -d " "; }
for dir in q m; do
	mnt=$F3_MNT/$dir
	f3_eq "df: size" "$(df --output=size -B1 "$mnt" | tail -n 1 | tr -d " ")" 16777216
	f3_eq "df: inodes" "$(df --output=itotal "$mnt" | tail -n 1 | tr -d ' ')" 60
	f3_eq "df: used at first" "$(used $dir)" 0
	f3_python "$mnt" <<'END'
import os, sys
from f3test import *

top = sys.argv[1]
MiB = 1 << 20


def used():
    st = os.statvfs(top)
    return (st.f_blocks - st.f_bfree) * st.f_frsize


def inodes():
    st = os.statvfs(top)
    return st.f_files - st.f_ffree


def comes_to(what, want, slack=65536):
    until(60, f"{what}: {want}, is {used()}", lambda: want <= used() <= want + slack)


base = inodes()
put(top + "/a", b"a" * 4 * MiB)
comes_to("used after 4 MiB", 4 * MiB)
os.link(top + "/a", top + "/a2")
os.rename(top + "/a2", top + "/a3")
eq("inodes after a link", inodes(), base + 1)
comes_to("used after a link", 4 * MiB)
os.unlink(top + "/a")
comes_to("used after unlink of one name", 4 * MiB)
# A sparse file takes what it holds.
fd = os.open(top + "/sparse", os.O_CREAT | os.O_RDWR)
os.ftruncate(fd, 1 << 40)
os.pwrite(fd, b"x" * 4096, 1 << 39)
os.close(fd)
comes_to("used with a sparse file", 4 * MiB + 4096)
# Overwriting takes nothing more, truncation gives back.
for i in range(3):
    put(top + "/b", b"b" * 2 * MiB)
comes_to("used after overwriting", 6 * MiB + 4096)
os.truncate(top + "/b", 0)
comes_to("used after truncation", 4 * MiB + 4096)

# To the limit and not beyond, by a writer that was opened near it.
put(top + "/most", b"m" * 11 * MiB)
comes_to("used near the limit", 15 * MiB + 4096, 1 << 20)
fd = os.open(top + "/rest", os.O_CREAT | os.O_WRONLY)
written = 0
error = "ok"
while error == "ok" and written < 40 * MiB:
    try:
        written += os.write(fd, b"r" * 65536)
    except OSError as e:
        error = errno.errorcode[e.errno]
eq("the write that does not fit", error, "EDQUOT")
check(f"{written} bytes fitted", 0 < written <= MiB)
eq("what fitted is there", os.fstat(fd).st_size, written)
refused("fallocate beyond", "EDQUOT", os.posix_fallocate, fd, 0, 8 * MiB)
refused("allocation of nothing new", "ok", os.posix_fallocate, fd, 0, 4096)
src = os.open(top + "/most", os.O_RDONLY)
refused("copy_file_range beyond", "EDQUOT", os.copy_file_range, src, fd, 8 * MiB, 0, written)
refused("overwriting", "ok", os.pwrite, fd, b"s" * 65536, 0)
refused("truncate up", "ok", os.ftruncate, fd, 1 << 30)
os.close(fd)
os.close(src)
check("never much above the quota", used() <= 16 * MiB)
os.unlink(top + "/most")
until(60, "space comes back", lambda: used() < 6 * MiB)
put(top + "/again", b"y" * 4 * MiB)

# A copy of a whole file asks for much more than there is.
fd, src = os.open(top + "/copy", os.O_CREAT | os.O_WRONLY), os.open(top + "/again", os.O_RDONLY)
eq("copy_file_range of everything", os.copy_file_range(src, fd, 1 << 30), 4 * MiB)
os.close(fd)
os.close(src)

# Inodes of every kind.
for name in ("a3", "sparse", "b", "rest", "again", "copy"):
    os.unlink(top + "/" + name)
until(60, f"inodes come back: {inodes()}", lambda: inodes() == base)
makers = (lambda p: put(p), os.mkdir, lambda p: os.symlink("x", p), os.mkfifo)
n = 0
error = "ok"
while error == "ok" and n < 100:
    error = error_of(makers[n % 4], f"{top}/n{n}")
    n += error == "ok"
eq("one inode too many", error, "EDQUOT")
eq("so many fitted", n, 60 - base)
for maker in makers:
    refused("another", "EDQUOT", maker, top + "/x")
fd = -1
refused("O_TMPFILE", "EDQUOT", os.open, top, os.O_TMPFILE | os.O_RDWR)
os.unlink(top + "/n0")
until(60, "one comes back", lambda: error_of(put, top + "/x") == "ok")
done()
END
	rm -rf "${mnt:?}"/*
	f3_until 60 eval '[ "$(used $dir)" -eq 0 ]' || f3_bad "$dir: used $(used $dir) when empty"
done

# Usage survives a restart and a crash.
head -c 5000000 /dev/zero >"$F3_MNT/q/kept"
mkdir "$F3_MNT/q/d"
head -c 3000000 /dev/zero >"$F3_MNT/m/kept"
f3_until 60 eval '[ "$(used q)" -ge 5000000 ]'
for dir in q m; do
	f3_becomes 60 "$dir/kept" sealed f3_info "$F3_MNT/$dir/kept" .state
done
was="$(used q) $(df --output=iused "$F3_MNT/q" | tail -n 1) $(used m)"
f3_restart
f3_eq "usage after a restart" "$(used q) $(df --output=iused "$F3_MNT/q" | tail -n 1) $(used m)" "$was"
f3_kill
f3_start
f3_eq "usage after a crash" "$(used q) $(df --output=iused "$F3_MNT/q" | tail -n 1) $(used m)" "$was"

# Without a quota df shows the cache.
f3_eq "df of the free one" "$(df --output=size -BM "$F3_MNT/free" | tail -n 1 | tr -d ' ')" 1024M
f3_eq "df of the mount" "$(df --output=size -BM "$F3_MNT" | tail -n 1 | tr -d ' ')" 1024M
f3_ok ctl volume add tmpfs default-class=memory
f3_eq "df of a volume in memory" "$(df --output=size -BM "$F3_MNT/tmpfs" | tail -n 1 | tr -d ' ')" 64M
