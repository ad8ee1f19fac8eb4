#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# Writes, truncation, allocation, copies and changes of owner take suid, sgid and capabilities away
# as on the disk itself, also where the daemon does not see the write.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough python3 setcap
f3_volume v -
f3_volume m - default-class=memory
f3_start
mkdir native
chmod 777 native

# Each operation by each user on each mode: here, and on a plain directory.
f3_python "$F3_TEST_TMP/native" "$F3_MNT/v" "$F3_MNT/m" <<'END'
import mmap, os, stat, struct, sys
from f3test import *

OWNER = (1000, 1000, ())
OTHER = (1001, 1001, ())
MATE = (1002, 1002, (1000,))     # the file's group is one of its groups
ROOT = (0, 0, ())
USERS = {"owner": OWNER, "other": OTHER, "mate": MATE, "root": ROOT}
MODES = (0o6777, 0o6767, 0o4767, 0o2777, 0o2767)
# VFS_CAP_REVISION_2, cap_net_raw effective and permitted
CAPS = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


def with_fd(flags, act):
    def run(path):
        fd = os.open(path, flags)
        try:
            act(fd)
        finally:
            os.close(fd)
    return run


def store(path):
    fd = os.open(path, os.O_RDWR)
    m = mmap.mmap(fd, 4096)
    m[0:1] = b"s"
    m.close()
    os.close(fd)


def copy(path):
    src = os.open(os.path.dirname(path) + "/source", os.O_RDONLY)
    fd = os.open(path, os.O_RDWR)
    os.copy_file_range(src, fd, 100, 0, 0)
    os.close(src)
    os.close(fd)


def twice(fd):
    os.write(fd, b"1")
    os.write(fd, b"2")


def spliced(path):
    src = os.open(os.path.dirname(path) + "/source", os.O_RDONLY)
    fd = os.open(path, os.O_RDWR)
    os.sendfile(fd, src, 0, 100)
    os.close(src)
    os.close(fd)


OPS = {
    "write": with_fd(os.O_WRONLY, twice),
    "append": with_fd(os.O_WRONLY | os.O_APPEND, twice),
    "pwritev": with_fd(os.O_RDWR, lambda fd: os.pwritev(fd, [b"a", b"b"], 5)),
    "read only": with_fd(os.O_RDONLY, lambda fd: os.read(fd, 1)),
    "open for writing": with_fd(os.O_RDWR, lambda fd: None),
    "O_TRUNC": with_fd(os.O_WRONLY | os.O_TRUNC, lambda fd: None),
    "truncate": lambda path: os.truncate(path, 10),
    "truncate to the same": lambda path: os.truncate(path, 8192),
    "ftruncate": with_fd(os.O_RDWR, lambda fd: os.ftruncate(fd, 20000)),
    "fallocate": with_fd(os.O_RDWR, lambda fd: os.posix_fallocate(fd, 0, 65536)),
    "copy_file_range": copy,
    "sendfile": spliced,
    "store through a mapping": store,
    "chown to itself": lambda path: os.chown(path, os.stat(path).st_uid, -1),
    "chgrp": lambda path: os.chown(path, -1, os.getgid()),
    "utime": lambda path: os.utime(path),
}


def once(path, mode, caps, user, op):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    put(path, b"x" * 8192)
    os.chown(path, 1000, 1000)
    os.chmod(path, mode)
    if caps:
        os.setxattr(path, "security.capability", CAPS)
    result = []
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        uid, gid, groups = user
        os.setgroups(list(groups))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.write(write, error_of(op, path).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    said = os.read(read, 100).decode()
    os.close(read)
    have = error_of(os.getxattr, path, "security.capability") == "ok"
    st = os.stat(path)
    return said, oct(stat.S_IMODE(st.st_mode)), have, st.st_uid, st.st_gid


native, *mounts = sys.argv[1:]
for top in [native] + mounts:
    put(top + "/source", b"y" * 4096)
rows = 0
for op_name, op in OPS.items():
    for user_name, user in USERS.items():
        for mode in MODES:
            for caps in (False, True):
                want = once(native + "/f", mode, caps, user, op)
                for top in mounts:
                    got = once(top + "/f", mode, caps, user, op)
                    eq(f"{top}: {op_name} by {user_name} mode {oct(mode)} caps {caps}", got, want)
                    rows += 1
eq("others can write at all", once(native + "/f", 0o6777, False, OTHER, OPS["write"])[0], "ok")
eq("and do", once(mounts[0] + "/f", 0o6777, False, OTHER, OPS["write"])[0], "ok")
print(rows, "rows")
done()
END

# What was cleared stays so.
printf x >"$F3_MNT/v/kept"
chmod 6777 "$F3_MNT/v/kept"
setpriv --reuid 1001 --regid 1001 --clear-groups bash -c 'echo more >>"$1"' - "$F3_MNT/v/kept"
f3_eq "mode before the restart" "$(stat -c %a "$F3_MNT/v/kept")" 777
f3_restart
f3_eq "mode after the restart" "$(stat -c %a "$F3_MNT/v/kept")" 777
