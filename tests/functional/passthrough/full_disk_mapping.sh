#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# A store into a hole when the disk is full kills the program that makes it and nobody else.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough python3
f3_cache_on ext4 64M -m 0
f3_volume v -
f3_start
f3_python "$F3_MNT/v" <<'END'
import mmap, os, signal, sys
from f3test import *

top = sys.argv[1]
put(top + "/kept", b"kept")
fd = os.open(top + "/sparse", os.O_CREAT | os.O_RDWR)
os.ftruncate(fd, 1 << 30)
hog = os.open(top + "/hog", os.O_CREAT | os.O_WRONLY)
error = "ok"
while error == "ok":
    error = error_of(os.write, hog, b"h" * (1 << 16))
check("the disk is full: " + error, error in ("ENOSPC", "EDQUOT"))
pid = os.fork()
if pid == 0:
    m = mmap.mmap(fd, 1 << 30)
    for at in range(0, 1 << 30, 4096):
        m[at:at + 1] = b"s"
    os._exit(0)
eq("the child died of", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), -signal.SIGBUS)
eq("others go on", get(top + "/kept"), b"kept")
os.ftruncate(hog, 0)
os.close(hog)
os.close(fd)
os.unlink(top + "/sparse")
until(60, "room again", lambda: error_of(put, top + "/new", b"n" * (1 << 20)) == "ok")
done()
END
