#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Names, paths, links and attributes that are too long: the errno POSIX has for it.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse python3
f3_volume data -
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_start
python3 - "$F3_MNT/data" "$F3_MNT/photos" <<'P'
import ctypes, errno, os, sys
local, store = sys.argv[1:]
bad = 0
def expect(what, code, fn, *args, **kw):
    global bad
    try:
        fn(*args, **kw)
        got = 0
    except OSError as e:
        got = e.errno
    if got != code:
        print(what, 'got', errno.errorcode.get(got, got), 'wanted', errno.errorcode.get(code, code))
        bad = 1
libc = ctypes.CDLL(None, use_errno=True)
def link(fd, path):
    # os.link does not follow the link in /proc
    if libc.linkat(-100, f'/proc/self/fd/{fd}'.encode(), -100, path.encode(), 0x400):
        raise OSError(ctypes.get_errno(), path)
def make(path):
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
for d in local, store:
    f = d + '/f'
    make(f)
    for n, code in (255, 0), (256, errno.ENAMETOOLONG), (4000, errno.ENAMETOOLONG):
        name = d + '/' + 'n' * n
        expect(f'create {n}', code, make, name)
        expect(f'mkdir {n}', code, os.mkdir, d + '/' + 'm' * n)
        expect(f'symlink {n}', code, os.symlink, 'x', d + '/' + 's' * n)
        expect(f'rename {n}', code, os.rename, f, d + '/' + 'r' * n)
        if not code:
            os.rename(d + '/' + 'r' * n, f)
        else:
            expect(f'stat {n}', code, os.stat, name)
            expect(f'unlink {n}', code, os.unlink, name)
    expect('255 bytes of UTF-8', 0, make, d + '/' + 'ä' * 127)
    expect('a path of 4096', errno.ENAMETOOLONG, os.stat, d + '/x' * 2048)
    expect('a target of 4095', 0, os.symlink, 't' * 4095, d + '/long')
    expect('a target of 4096', errno.ENAMETOOLONG, os.symlink, 't' * 4096, d + '/longer')
    expect('xattr name of 255', 0, os.setxattr, f, 'user.' + 'a' * 250, b'v')
    expect('xattr name of 256', errno.ERANGE, os.setxattr, f, 'user.' + 'a' * 251, b'v')
    expect('xattr value above 64 KiB', errno.E2BIG, os.setxattr, f, 'user.big', b'v' * 65537)
    expect('unknown xattr namespace', errno.EOPNOTSUPP, os.setxattr, f, 'nope.x', b'v')
    expect('no name', errno.EINVAL, os.setxattr, f, 'user.', b'v')
    expect("F3's own", errno.EPERM, os.setxattr, f, 'user.f3.state', b'clean')
    expect('no class', errno.EINVAL, os.setxattr, f, 'user.f3.class', b'fast')
    expect('class with a NUL', errno.EINVAL, os.setxattr, f, 'user.f3.class', b'memory\0')
    expect('replicated', errno.EOPNOTSUPP, os.setxattr, f, 'user.f3.class', b'replicated')
    expect('stream', errno.EINVAL, os.setxattr, f, 'user.f3.stream', b'2')
    expect('truncate beyond everything', errno.EFBIG, os.truncate, f, 2**63 - 1)

# An object's key has at most 1,024 bytes, and .f3 at the top is F3's own.
deep = store
for i in range(4):
    deep += '/' + 'd' * 200
    os.mkdir(deep)
shorts = len(deep) - len(store)  # the slash at its end counts, the first does not
make(deep + '/' + 'k' * (1024 - shorts))
f = store + '/f'
for top, name, code in (deep, 'k' * (1025 - shorts), errno.ENAMETOOLONG), (store, '.f3', errno.EINVAL):
    expect(f'create {code}', code, make, top + '/' + name)
    expect(f'mkdir {code}', code, os.mkdir, top + '/' + name)
    expect(f'symlink {code}', code, os.symlink, 'x', top + '/' + name)
    expect(f'mkfifo {code}', code, os.mkfifo, top + '/' + name)
    expect(f'rename {code}', code, os.rename, f, top + '/' + name)
    os.makedirs(store + '/dir', exist_ok=True)
    expect(f'rename of a directory {code}', code, os.rename, store + '/dir', top + '/' + name)
    fd = os.open(top, os.O_TMPFILE | os.O_WRONLY)
    expect(f'link {code}', code, link, fd, top + '/' + name)
    os.close(fd)
make(store + '/.f3x')
fd = os.open(store, os.O_TMPFILE | os.O_WRONLY)
expect('link of a file without a name', 0, link, fd, store + '/linked')
os.close(fd)
os.mkdir(store + '/dir/.f3')
expect('xattr value of 64 KiB', 0, os.setxattr, local + '/f', 'user.big', b'v' * 65536)
expect('more than object metadata', errno.ENOSPC, os.setxattr, store + '/f', 'user.big', b'v' * 2100)
expect('a name in the root', errno.EPERM, make, os.path.dirname(local) + '/x')
expect('a volume by mkdir', errno.EPERM, os.mkdir, os.path.dirname(local) + '/x')
expect('a volume removed by rmdir', errno.EPERM, os.rmdir, local)
sys.exit(bad)
P
f3_eq "errnos" $? 0
f3_ok ctl sync
f3_ok ctl status >/dev/null
