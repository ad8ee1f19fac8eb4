#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Directories nested far deeper than PATH_MAX: what the nearest ancestor says is found without a
# stack that grows with the depth. Threads get small stacks, so that 20,000 levels show it.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse python3
f3_volume data -
ulimit -s 2048
f3_start

f3_ok python3 - "$F3_MNT/data" <<'END'
import os, sys

top = sys.argv[1]
fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
for _ in range(20000):
    os.mkdir("d", dir_fd=fd)
    below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
    os.close(fd)
    fd = below
# What is known of every directory is out of date now.
os.setxattr(top, "user.f3.class", b"memory")
os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd))
got = os.getxattr(f"/proc/self/fd/{os.open('file', os.O_RDONLY, dir_fd=fd)}", "user.f3.class")
if got != b"memory":
    sys.exit(f"the file's class is {got}")
END
