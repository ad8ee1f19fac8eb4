#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# O_DIRECT: aligned reads and writes go past the page cache and agree with all other ways.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough python3
f3_volume v -
f3_volume m - default-class=memory
f3_start
for dir in v m; do
	f3_python "$F3_MNT/$dir" <<'END'
import mmap, os, sys
from f3test import *

top = sys.argv[1]
f = top + "/f"
MiB = 1 << 20


def buffer(byte, size=MiB):
    b = mmap.mmap(-1, size)
    b[:] = byte * size
    return b


fd = os.open(f, os.O_CREAT | os.O_RDWR | os.O_DIRECT, 0o644)
for i in range(8):
    eq("direct write", os.pwrite(fd, buffer(bytes([65 + i])), i * MiB), MiB)
eq("size", os.fstat(fd).st_size, 8 * MiB)
eq("buffered read of it", get(f), b"".join(bytes([65 + i]) * MiB for i in range(8)))
plain = os.open(f, os.O_RDWR)
os.pwrite(plain, b"buffered", 3 * MiB)
got = mmap.mmap(-1, 4096)
eq("direct read", os.preadv(fd, [got], 3 * MiB), 4096)
eq("of buffered bytes", got[:9], b"bufferedD")
m = mmap.mmap(plain, 8 * MiB)
m[5 * MiB:5 * MiB + 6] = b"mapped"
m.flush()
os.preadv(fd, [got], 5 * MiB)
eq("direct read of a mapping's store", got[:7], b"mappedF")
os.pwrite(fd, buffer(b"z", 4096), 5 * MiB)
eq("mapping after a direct write", m[5 * MiB:5 * MiB + 2], b"zz")
eq("direct read at the end", os.preadv(fd, [got], 8 * MiB), 0)
os.ftruncate(plain, 8 * MiB + 100)
eq("direct read of the last piece", os.preadv(fd, [got], 8 * MiB), 100)
m.close()
os.close(plain)
os.close(fd)
sealed(f)
fd = os.open(f, os.O_RDONLY | os.O_DIRECT)
os.preadv(fd, [got], 3 * MiB)
eq("direct read of a sealed file", got[:9], b"bufferedD")
os.close(fd)
done()
END
done
# What the disk refuses is refused: a misaligned buffer or length.
want=$(dd if=/dev/zero of=misaligned bs=1000 count=1 oflag=direct 2>&1 | grep -o 'Invalid argument')
got=$(dd if=/dev/zero of="$F3_MNT/v/misaligned" bs=1000 count=1 oflag=direct 2>&1 |
	grep -o 'Invalid argument')
f3_eq "a write of 1000 bytes" "$got" "$want"
