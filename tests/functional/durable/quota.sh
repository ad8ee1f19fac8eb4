#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Quotas of volumes with an object store, where an object counts by its size whether its bytes are
# here or not: EDQUOT to who writes beyond, nobody else, and df tells the truth.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq python3
f3_set writer-reserve=1M
f3_volume d "file://$F3_STORE/d" quota=16M quota-inodes=20 default-class=durable
f3_volume w "file://$F3_STORE/w" quota=16M quota-inodes=20 default-class=writeback
f3_volume other "file://$F3_STORE/other" default-class=durable
f3_start
for dir in d w; do
	f3_python "$F3_MNT/$dir" "$F3_STORE/$dir" "$F3_MNT/other" <<'END'
import os, sys
from f3test import *

top, store, other = sys.argv[1:]
MiB = 1 << 20


def used():
    st = os.statvfs(top)
    return (st.f_blocks - st.f_bfree) * st.f_frsize


def put(path, data):
    with open(path, "wb") as f:
        f.write(data)


eq("df: size", os.statvfs(top).f_blocks * 4096, 16 * MiB)
os.mkdir(top + "/dir")
near = 15 * MiB + MiB // 2
put(top + "/dir/a", b"a" * near)
until(60, "so much is used", lambda: near <= used() <= near + 65536)
# A writer that is opened near the limit goes through the daemon, which counts every byte.
fd = os.open(top + "/dir/b", os.O_CREAT | os.O_WRONLY)
written, error = 0, "ok"
while error == "ok" and written < 40 * MiB:
    try:
        written += os.write(fd, b"b" * 65536)
    except OSError as e:
        error = errno.errorcode[e.errno]
eq("the write that does not fit", error, "EDQUOT")
check(f"{written} bytes fitted", 0 < written <= MiB // 2)
eq("what fitted can be closed", error_of(os.close, fd), "ok")
refused("truncate beyond", "EDQUOT", os.truncate, top + "/dir/b", 5 * MiB)
fd = os.open(top + "/dir/b", os.O_WRONLY)
refused("fallocate beyond", "EDQUOT", os.posix_fallocate, fd, 0, 5 * MiB)
refused("overwriting", "ok", os.pwrite, fd, b"s" * 65536, 0)
os.close(fd)
refused("others", "ok", put, other + "/" + os.path.basename(top), b"o" * 20 * MiB)
n, error = 0, "ok"
while error == "ok" and n < 40:
    error = error_of(os.mkdir, f"{top}/dir/n{n}")
    n += error == "ok"
eq("one inode too many", error, "EDQUOT")
check(f"{n} inodes fitted", n < 20)
refused("a file too many", "EDQUOT", os.open, top + "/dir/x", os.O_CREAT | os.O_WRONLY)
check("no such object", not os.path.exists(store + "/dir/x"))
for i in range(n):
    os.rmdir(f"{top}/dir/n{i}")
os.unlink(top + "/dir/a")
os.unlink(top + "/dir/b")
until(60, f"space comes back: {used()}", lambda: used() <= 65536)
refused("there is room again", "ok", put, top + "/dir/c", b"c" * near)
done()
END
	f3_ok ctl sync >/dev/null
	f3_ok cmp "$F3_MNT/$dir/dir/c" "$F3_STORE/$dir/dir/c"
	# Where its bytes are makes no difference.
	f3_closed
	f3_ok ctl evict "$F3_MNT/$dir/dir/c" >/dev/null
	f3_no 1 'Disk quota exceeded' sh -c "head -c 4M /dev/zero >'$F3_MNT/$dir/dir/more'"
	rm "$F3_MNT/$dir/dir/more"
done
f3_ok ctl fsck >/dev/null
