#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# What the mount refuses, it refuses as SEMANTICS says.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough python3
f3_cache_on xfs 400M
f3_volume v -
f3_start
head -c 1000000 /dev/urandom >"$F3_MNT/v/a"
head -c 1000000 /dev/zero >"$F3_MNT/v/b"
# ThreadSanitizer has a thread of its own, and a process with two makes no user namespace.
[[ ${F3_SANITIZE:-} == *thread* ]] || f3_eq "an idmapped mount" "$(fstry idmap "$F3_MNT")" EINVAL
f3_eq FICLONE "$(fstry ficlone "$F3_MNT/v/a" "$F3_MNT/v/b")" EOPNOTSUPP
f3_ok mkswap -q "$F3_MNT/v/b" 2>/dev/null
chmod 600 "$F3_MNT/v/b"
f3_eq swapon "$(fstry swapon "$F3_MNT/v/b")" EINVAL
# cp --reflink=auto shares blocks all the same where the disk can: copy_file_range.
f3_ok cp --reflink=auto "$F3_MNT/v/a" "$F3_MNT/v/c"
f3_ok cmp "$F3_MNT/v/a" "$F3_MNT/v/c"
f3_python "$F3_MNT" <<'END'
import ctypes, os, sys
from f3test import *

top = sys.argv[1]
v = top + "/v"
libc = ctypes.CDLL(None, use_errno=True)


def rename2(old, new, flags):
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


put(v + "/f", b"f" * 10000)
refused("RENAME_WHITEOUT", "EINVAL", rename2, v + "/f", v + "/g", 4)
refused("RENAME_NOREPLACE|EXCHANGE", "EINVAL", rename2, v + "/f", v + "/a", 3)
fd = os.open(v + "/f", os.O_RDWR)
for name, mode in (("COLLAPSE_RANGE", 0x08), ("INSERT_RANGE", 0x20), ("UNSHARE_RANGE", 0x40)):
    if libc.fallocate(fd, mode, ctypes.c_long(4096), ctypes.c_long(4096)) == 0:
        bad(f"{name} succeeded")
    else:
        eq(name, ctypes.get_errno(), 95)
os.close(fd)
for name in ("security.selinux", "system.other", "unknown.name"):
    refused("set " + name, "EOPNOTSUPP", os.setxattr, v + "/f", name, b"x")
refused("a class of several nodes", "EOPNOTSUPP", os.setxattr, v + "/f", "user.f3.class", b"replicated")
refused("a class that needs a store", "EOPNOTSUPP", os.setxattr, v + "/f", "user.f3.class", b"durable")
refused("no class at all", "EINVAL", os.setxattr, v + "/f", "user.f3.class", b"golden")
for name in ("state", "nodes", "etag", "unknown"):
    refused("set user.f3." + name, "EPERM", os.setxattr, v + "/f", "user.f3." + name, b"x")
refused("a name of 256 bytes", "ENAMETOOLONG", put, v + "/" + "n" * 256)
put(v + "/" + "n" * 255)
refused("an xattr of more than 64 KiB", "E2BIG", os.setxattr, v + "/f", "user.big", b"x" * 65537)
for what, call in (("mkdir", os.mkdir), ("mknod", os.mknod), ("open", put)):
    refused(what + " in the root", "EPERM", call, top + "/new")
refused("rmdir of a volume", "EPERM", os.rmdir, top + "/v")
refused("rename of a volume", "EPERM", os.rename, top + "/v", top + "/w")
refused("unlink of a virtual file", "EPERM", os.unlink, top + "/.stats")
refused("write to a virtual file", "EACCES", os.open, top + "/.stats", os.O_WRONLY)
done()
END
