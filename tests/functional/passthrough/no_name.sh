#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# Files without a name: they work until the last close, their space comes back then, O_TMPFILE gets a
# name by linkat, and what a crash leaves of them is removed by the next start.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough python3
f3_volume v - quota=100M
f3_volume m - default-class=memory
f3_start

# Backing files with bytes in them: stocks of empty ones are kept.
backing()
{
	find "$F3_CACHE/data" "$F3_RUN/memory" -type f -size +0 | wc -l
}
used()
{
	df --output=used -B1 "$F3_MNT/v" | tail -n 1
}

at_first=$(used)
for dir in v m; do
	f3_python "$F3_MNT/$dir" <<'END'
import os, sys
from f3test import *

top = sys.argv[1]
put(top + "/f", b"f" * 1_000_000)
sealed(top + "/f")
reader = os.open(top + "/f", os.O_RDONLY)
writer = os.open(top + "/f", os.O_RDWR)
os.unlink(top + "/f")
refused("the name is gone", "ENOENT", os.stat, top + "/f")
eq("links", os.fstat(reader).st_nlink, 0)
put(top + "/f", b"another")
os.pwrite(writer, b"more", 1_000_000)
eq("size", os.fstat(reader).st_size, 1_000_004)
eq("bytes", os.pread(reader, 10, 999_998), b"ffmore")
os.ftruncate(writer, 10)
eq("size after ftruncate", os.fstat(reader).st_size, 10)
os.fchmod(writer, 0o600)
os.close(writer)
eq("bytes after the writer's close", os.pread(reader, 100, 0), b"f" * 10)
again = os.open(f"/proc/self/fd/{reader}", os.O_RDWR)
os.write(again, b"again")
os.close(again)
eq("bytes by another open", os.pread(reader, 5, 0), b"again")
os.close(reader)
eq("the other file", get(top + "/f"), b"another")
os.unlink(top + "/f")

# O_TMPFILE, with and without a name to come.
fd = os.open(top, os.O_TMPFILE | os.O_RDWR, 0o640)
os.write(fd, b"t" * 500_000)
eq("links of O_TMPFILE", os.fstat(fd).st_nlink, 0)
os.link(f"/proc/self/fd/{fd}", top + "/linked", src_dir_fd=fd, follow_symlinks=True)
os.write(fd, b"after")
eq("links", os.fstat(fd).st_nlink, 1)
os.close(fd)
sealed(top + "/linked")
eq("content", get(top + "/linked"), b"t" * 500_000 + b"after")
fd = os.open(top, os.O_TMPFILE | os.O_RDWR, 0o640)
os.write(fd, b"t" * 500_000)
os.close(fd)
fd = os.open(top, os.O_TMPFILE | os.O_EXCL | os.O_RDWR, 0o640)
refused("linkat of O_TMPFILE|O_EXCL", "ENOENT", os.link, f"/proc/self/fd/{fd}", top + "/x", src_dir_fd=fd,
        follow_symlinks=True)
os.close(fd)
# Replaced by rename while open.
put(top + "/a", b"a" * 300_000)
put(top + "/b", b"b")
fd = os.open(top + "/a", os.O_RDONLY)
os.rename(top + "/b", top + "/a")
eq("the replaced one", os.pread(fd, 3, 0), b"aaa")
eq("the new one", get(top + "/a"), b"b")
os.close(fd)
done()
END
done
# RELEASE comes after close(2) has returned, FORGET some time later.
f3_becomes 60 "backing files of a, linked and twice" 4 backing
rm "$F3_MNT"/[vm]/linked
f3_until 60 eval '[ "$(used)" -le $((at_first + 8192)) ]' ||
	f3_bad "space did not come back: $(used), at first $at_first"

# A crash with such files open.
for dir in v m; do
	head -c 200000 /dev/zero >"$F3_MNT/$dir/going"
done
exec 7<>"$F3_MNT/v/going" 8<>"$F3_MNT/m/going"
rm "$F3_MNT"/[vm]/going
f3_kill
exec 7>&- 8>&-
f3_start
f3_eq "names after a crash" "$(ls "$F3_MNT"/v "$F3_MNT"/m | tr '\n' ' ')" \
	"$F3_MNT/m: a  $F3_MNT/v: a "
f3_until 60 eval '[ "$(backing)" -eq 2 ]' || f3_bad "$(backing) backing files after a crash, wanted 2"
