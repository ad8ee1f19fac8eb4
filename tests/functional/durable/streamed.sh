#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# A large object that is not here is read past the page cache, out of what just came: through, by two
# readers, by mappings of both kinds, up to a tail that is not aligned; and a program's bytes stay.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3
f3_set memory-limit=128M
f3_volume v "file://$F3_STORE/v" default-class=durable
mkdir -p "$F3_STORE/v"
head -c $(((68 << 20) + 13)) /dev/urandom >"$F3_STORE/v/big"
cp "$F3_STORE/v/big" "$F3_STORE/v/mapped"
cp "$F3_STORE/v/big" "$F3_STORE/v/private"
cp "$F3_STORE/v/big" "$F3_STORE/v/edited"
f3_start
v=$F3_MNT/v
cmp "$v/big" "$F3_STORE/v/big" &
other=$!
f3_ok cmp "$v/big" "$F3_STORE/v/big"
f3_ok wait "$other"
f3_closed
f3_ok cmp "$v/big" "$F3_STORE/v/big"

f3_python "$v" "$F3_STORE/v" <<'P'
import mmap, os, sys
from f3test import *
v, store = sys.argv[1:]
want = open(f"{store}/big", "rb").read()
for name, kind in (("mapped", mmap.MAP_SHARED), ("private", mmap.MAP_PRIVATE)):
    fd = os.open(f"{v}/{name}", os.O_RDONLY)
    eq("begin of " + name, os.pread(fd, 5000, 0), want[:5000])
    with mmap.mmap(fd, len(want), kind, mmap.PROT_READ) as m:
        check("mapping of " + name, m[:] == want)
    eq("end of " + name, os.pread(fd, 100, len(want) - 50), want[-50:])
    os.close(fd)
# Who reads on sees what was written meanwhile, before it came and after.
fd = os.open(f"{v}/edited", os.O_RDONLY)
now, writer = bytearray(want), None
step = 1 << 20
for at in range(0, len(want), step):
    if at == 4 * step:
        writer = os.open(f"{v}/edited", os.O_WRONLY)
    if writer is not None and at % (4 * step) == 0:
        for where in (at + 777, at + 3 * step + 5):
            if where + 5000 <= len(want):
                os.pwrite(writer, b"w" * 5000, where)
                now[where:where + 5000] = b"w" * 5000
    got = os.pread(fd, step, at)
    check(f"bytes at {at}", got == bytes(now[at:at + step]))
os.close(writer)
check("all of it", open(f"{v}/edited", "rb").read() == bytes(now))
check("in the store", open(f"{store}/edited", "rb").read() == bytes(now))
os.close(fd)
P
