#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# A shared mapping outlives its descriptor: what is stored through it later is seen by everybody,
# with new times, and the file is sealed only when the last mapping is gone, however it goes.
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
import mmap, os, signal, sys
from f3test import *

top = sys.argv[1]
PAGE = 4096


def mapping(path, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_SHARED):
    fd = os.open(path, os.O_RDWR)
    m = mmap.mmap(fd, 4 * PAGE, flags, prot)
    os.close(fd)
    # Python keeps a copy of the descriptor; it must be gone as well.
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") == path:
                os.close(int(name))
        except OSError:
            pass
    return m


def not_sealed(path):
    """Whoever seals works in order: when a file closed later is sealed, this one was looked at."""
    for i in range(2):
        put(path + ".later", b"x")
        sealed(path + ".later")
        eq("a mapping lives", state(path), "writing")


def stored(m, path, at, byte):
    before = os.stat(path)
    m.flush()
    m[at:at + 1] = byte
    after = os.stat(path)
    eq("bytes by read", get(path)[at:at + 1], byte)
    check("mtime moves on", after.st_mtime_ns >= before.st_mtime_ns)
    check("ctime moves on", after.st_ctime_ns >= before.st_ctime_ns)


f = top + "/f"
put(f, b"a" * 4 * PAGE)
sealed(f)
old = os.stat(f).st_mtime_ns
m = mapping(f)
not_sealed(f)
stored(m, f, 0, b"b")
check("the store changed mtime", os.stat(f).st_mtime_ns > old)
stored(m, f, PAGE, b"c")
# An open and close of others in between changes nothing.
put(top + "/g", get(f))
with open(f, "ab") as more:
    more.write(b"z")
not_sealed(f)
stored(m, f, 2 * PAGE, b"d")
late = os.stat(f).st_mtime_ns
m.close()
sealed(f)
eq("mtime stays at the end", os.stat(f).st_mtime_ns, late)
eq("content", get(f), b"b" + b"a" * (PAGE - 1) + b"c" + b"a" * (PAGE - 1) + b"d" +
   b"a" * (2 * PAGE - 1) + b"z")

# Two mappings: the last one counts.
one, two = mapping(f), mapping(f)
one.close()
not_sealed(f)
two[5:6] = b"t"
two.close()
sealed(f)
eq("second mapping's byte", get(f)[5:6], b"t")

# A process that ends with its mapping, by itself or killed.
for end in (lambda: os._exit(0), lambda: os.kill(os.getpid(), signal.SIGKILL)):
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        m = mapping(f)
        m[7:8] = b"k"
        os.write(ready[1], b"1")
        os.read(go[0], 1)
        m[8:9] = b"l"
        end()
    os.read(ready[0], 1)
    not_sealed(f)
    os.write(go[1], b"1")
    os.waitpid(pid, 0)
    sealed(f)
    eq("bytes of the dead", get(f)[7:9], b"kl")

# Read-only and private mappings do not hold it back.
for prot, flags in ((mmap.PROT_READ, mmap.MAP_SHARED),
                    (mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE)):
    fd = os.open(f, os.O_RDONLY)
    m = mmap.mmap(fd, PAGE, flags, prot)
    os.close(fd)
    put(f, b"n" * 4 * PAGE)
    sealed(f)
    m.close()

# The name goes, the mapping stays: nobody misses the file, its space comes back.
m = mapping(f)
os.unlink(f)
m[0:1] = b"u"
eq("mapping of an unlinked file", m[0:1], b"u")
m.close()
done()
END
done

# A clean restart has everything.
sum=$(cd "$F3_MNT" && sha256sum v/g m/g)
f3_restart
f3_eq "after a restart" "$(cd "$F3_MNT" && sha256sum v/g m/g)" "$sum"
