#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# A file that is open and only partly here goes on being read after its name and its object are
# gone: removed, and replaced by a rename, durable and writeback.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3
f3_volume durable "file://$F3_STORE/durable" default-class=durable
f3_volume writeback "file://$F3_STORE/writeback" default-class=writeback
for v in durable writeback; do
	mkdir -p "$F3_STORE/$v"
	for f in removed replaced; do
		head -c 40000000 /dev/urandom >"$F3_STORE/$v/$f"
	done
	cp "$F3_STORE/$v/removed" "$v.removed"
	cp "$F3_STORE/$v/replaced" "$v.replaced"
done
f3_start
f3_python "$F3_MNT" "$PWD" <<'P'
import os, sys
from f3test import *
mnt, here = sys.argv[1:]
for volume in ("durable", "writeback"):
    for name in ("removed", "replaced"):
        path = f"{mnt}/{volume}/{name}"
        want = open(f"{here}/{volume}.{name}", "rb").read()
        fd = os.open(path, os.O_RDONLY)
        check(f"{path}: first", os.pread(fd, 4096, 0) == want[:4096])
        if name == "removed":
            os.unlink(path)
        else:
            with open(path + ".new", "wb") as f:
                f.write(b"new")
            os.rename(path + ".new", path)
            eq(f"{path}: the new one", open(path, "rb").read(), b"new")
        for off in (39_000_000, 20_000_000, 4096):
            check(f"{path}: at {off} after it was {name}",
                  os.pread(fd, 100_000, off) == want[off:off + 100_000])
        eq(f"{path}: links", os.fstat(fd).st_nlink, 0)
        os.close(fd)
done()
P
f3_ok ctl sync >/dev/null
[ -e "$F3_STORE/durable/removed" ] && f3_bad "the object is still there"
[ -e "$F3_STORE/writeback/removed" ] && f3_bad "the object is still there"
f3_eq "replaced" "$(cat "$F3_STORE/writeback/replaced" "$F3_STORE/durable/replaced")" newnew
f3_ok ctl fsck >/dev/null
