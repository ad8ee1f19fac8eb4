#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# Files of no bytes, and of 5 GiB with next to none in them, through the store and back.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3 jq
f3_set cache-size=4G
f3_volume v "file://$F3_STORE/v" default-class=durable
f3_start
v=$F3_MNT/v
: >"$v/empty"
[ -f "$F3_STORE/v/empty" ] || f3_bad "no object of an empty file"
f3_eq "its size" "$(stat -c %s "$F3_STORE/v/empty")" 0
echo x >"$v/emptied"
: >"$v/emptied"
f3_eq "emptied" "$(stat -c %s "$F3_STORE/v/emptied")" 0
f3_closed
f3_ok ctl evict "$v/empty" >/dev/null
f3_eq "read back" "$(wc -c <"$v/empty")" 0
echo now >>"$v/empty"
f3_eq "no longer empty" "$(cat "$F3_STORE/v/empty")" now

f3_python "$v" "$F3_STORE/v" <<'P'
import os, sys
from f3test import *
v, store = sys.argv[1:]
G = 1 << 30
places = [0, 1 * G + 12345, 4 * G - 2, 5 * G - 10]
fd = os.open(f"{v}/sparse", os.O_CREAT | os.O_RDWR)
os.ftruncate(fd, 5 * G)
for i, at in enumerate(places):
    os.pwrite(fd, b"<%d>" % i, at)
os.close(fd)
st = os.stat(f"{store}/sparse")
eq("size in the store", st.st_size, 5 * G)
check(f"holes in the store: {st.st_blocks * 512} bytes", st.st_blocks * 512 < G)
with open(f"{store}/sparse", "rb") as f:
    for i, at in enumerate(places):
        f.seek(at)
        eq(f"in the store at {at}", f.read(3), b"<%d>" % i)
    f.seek(3 * G)
    eq("a hole", f.read(4096), bytes(4096))
done()
P
f3_becomes 60 "its state" clean f3_info "$v/sparse" .state
f3_closed
f3_ok ctl evict "$v/sparse" >/dev/null
f3_python "$v" <<'P'
import os, sys
from f3test import *
v = sys.argv[1]
G = 1 << 30
fd = os.open(f"{v}/sparse", os.O_RDONLY)
eq("not here: size", os.fstat(fd).st_size, 5 * G)
eq("beyond 4 GiB", os.pread(fd, 100, 5 * G - 10), b"<3>" + bytes(7))
eq("across 4 GiB", os.pread(fd, 5, 4 * G - 3), b"\0<2>\0")
eq("a hole", os.pread(fd, 65536, 2 * G), bytes(65536))
eq("the beginning", os.pread(fd, 4, 0), b"<0>\0")
os.close(fd)
os.truncate(f"{v}/sparse", 3)
done()
P
f3_ok ctl sync >/dev/null
f3_eq "cut" "$(cat "$F3_STORE/v/sparse")" "<0>"
f3_ok ctl fsck >/dev/null
