#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# Times under native writes: what writers do is seen at once, explicit times win until the next
# write, and everything is the same to the nanosecond after sealing, a restart and a crash.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough python3
f3_volume v -
f3_volume m - default-class=memory
f3_start

f3_python "$F3_MNT/v" "$F3_MNT/m" <<'END'
import mmap, os, sys, time
from f3test import *

OLD = (1_000_000_000_123_456_789, 1_100_000_000_987_654_321)


def now():
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def fresh(what, ns, since):
    # The backing file system stamps with a coarse clock: up to a tick behind the exact one.
    check(f"{what}: {ns} is not before {since}", ns >= since - 20_000_000)
    check(f"{what}: {ns} is not in the future", ns <= now())


for top in sys.argv[1:]:
    f = top + "/f"
    t0 = now()
    fd = os.open(f, os.O_CREAT | os.O_RDWR, 0o644)
    st = os.fstat(fd)
    for which in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns"):
        fresh("at creation " + which, getattr(st, which), t0)

    os.utime(f, ns=OLD)
    st = os.stat(f)
    eq("set while a writer is open", (st.st_atime_ns, st.st_mtime_ns), OLD)
    fresh("ctime of utime", st.st_ctime_ns, t0)

    t1 = now()
    os.write(fd, b"one")
    st = os.stat(f)
    fresh("mtime after a write", st.st_mtime_ns, t1)
    check("ctime is not before mtime", st.st_ctime_ns >= st.st_mtime_ns)
    eq("atime is as set", st.st_atime_ns, OLD[0])

    os.utime(f, ns=OLD)
    eq("set again", os.stat(f).st_mtime_ns, OLD[1])
    os.close(fd)
    sealed(f)
    eq("set time after sealing", os.stat(f).st_mtime_ns, OLD[1])

    # Opened for writing, nothing written: nothing changes.
    before = os.stat(f)
    os.close(os.open(f, os.O_RDWR))
    sealed(f)
    after = os.stat(f)
    eq("mtime after an idle writer", after.st_mtime_ns, before.st_mtime_ns)
    eq("ctime after an idle writer", after.st_ctime_ns, before.st_ctime_ns)

    # A write of nothing, a truncation to the same size, fallocate with and without change.
    fd = os.open(f, os.O_RDWR)
    os.write(fd, b"")
    eq("mtime after a write of nothing", os.fstat(fd).st_mtime_ns, OLD[1])
    t2 = now()
    os.ftruncate(fd, 3)
    fresh("mtime after ftruncate to the same size", os.fstat(fd).st_mtime_ns, t2)
    os.utime(f, ns=OLD)
    t3 = now()
    os.posix_fallocate(fd, 0, 8192)
    fresh("mtime after fallocate", os.fstat(fd).st_mtime_ns, t3)
    os.utime(f, ns=OLD)
    t4 = now()
    os.pwrite(fd, b"x" * 100, 4096)
    fresh("mtime after pwrite", os.fstat(fd).st_mtime_ns, t4)
    chmod_before = os.fstat(fd).st_mtime_ns
    os.chmod(f, 0o600)
    eq("mtime after chmod", os.fstat(fd).st_mtime_ns, chmod_before)
    os.close(fd)
    last = os.stat(f).st_mtime_ns
    sealed(f)
    eq("mtime after sealing", os.stat(f).st_mtime_ns, last)

    # O_TRUNC of an empty file changes times too.
    put(top + "/empty")
    os.utime(top + "/empty", ns=OLD)
    t5 = now()
    os.close(os.open(top + "/empty", os.O_WRONLY | os.O_TRUNC))
    fresh("mtime after O_TRUNC", os.stat(top + "/empty").st_mtime_ns, t5)

    # A store through a mapping, written back.
    g = top + "/g"
    put(g, b"g" * 8192)
    os.utime(g, ns=OLD)
    sealed(g)
    fd = os.open(g, os.O_RDWR)
    m = mmap.mmap(fd, 8192)
    os.close(fd)
    t6 = now()
    m[0:1] = b"G"
    m.flush()
    del m
    sealed(g)
    fresh("mtime after a store", os.stat(g).st_mtime_ns, t6)

    # relatime: the first read after a change moves atime, the next one does not.
    r = top + "/r"
    put(r, b"read me")
    sealed(r)
    os.utime(r, ns=OLD)
    t7 = now()
    get(r)
    first = os.stat(r).st_atime_ns
    fresh("atime after a read", first, t7)
    eq("mtime after a read", os.stat(r).st_mtime_ns, OLD[1])
    get(r)
    eq("atime after a second read", os.stat(r).st_atime_ns, first)
    fd = os.open(r, os.O_RDONLY | os.O_NOATIME)
    os.utime(r, ns=OLD)
    os.read(fd, 10)
    eq("atime after a read with O_NOATIME", os.stat(r).st_atime_ns, OLD[0])
    os.close(fd)

    # Limits of what can be set.
    for ns in (0, 1, 999_999_999, 4_000_000_000_000_000_001):
        os.utime(r, ns=(ns, ns))
        eq("set", (os.stat(r).st_atime_ns, os.stat(r).st_mtime_ns), (ns, ns))
    # cp -p of a file that is being written.
    os.utime(r, ns=OLD)
done()
END

times()
{
	(cd "$F3_MNT" && stat -c '%n %s %Y %y %Z %z' v/* m/* && stat -c '%n %x' v/f m/f v/g m/g)
}

before=$(times)
f3_restart
f3_eq "after a restart" "$(times)" "$before"

# A crash with a writer: what stat said before is what it says afterwards.
for dir in v m; do
	exec 7>>"$F3_MNT/$dir/open"
	echo written >&7
	touch -d '2001-02-03 04:05:06.123456789' "$F3_MNT/$dir/set"
	exec 8>>"$F3_MNT/$dir/set"
	before=$(cd "$F3_MNT/$dir" && stat -c '%n %s %y' open set f g)
	f3_kill
	exec 7>&- 8>&-
	f3_start
	f3_eq "after a crash in $dir" "$(cd "$F3_MNT/$dir" && stat -c '%n %s %y' open set f g)" "$before"
done
