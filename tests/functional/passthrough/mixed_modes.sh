#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# However files are opened beside each other, nobody gets EIO and nobody sees old bytes: sealed
# readers and new writers, class memory, and writers that go through the daemon near a limit.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough python3
f3_set writer-reserve=1M
f3_volume v -
f3_volume m - default-class=memory
f3_volume q - quota=1500K
f3_start

# The posix suite opens every pair of ways once; here many processes do so at random, and every
# one that reads checks that it sees what was written last before it began.
for dir in v m q; do
	f3_python "$F3_MNT/$dir" <<'END'
import mmap, os, random, struct, sys, time
from f3test import *

top = sys.argv[1]
PAGE = 4096
FILES = 4
WORKERS = 6
shared = mmap.mmap(-1, FILES * 8)      # highest number that is surely written


def record(n):
    return struct.pack("<Q", n) * (PAGE // 8)


def worker(seed):
    rng = random.Random(seed)
    held = []
    end = time.monotonic() + 4
    flags = [os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_SYNC,
             os.O_WRONLY | os.O_DSYNC, os.O_RDONLY | os.O_DIRECT, os.O_RDWR | os.O_DIRECT,
             os.O_RDONLY | os.O_NOATIME]
    count = 0
    while time.monotonic() < end:
        i = rng.randrange(FILES)
        path = f"{top}/f{i}"
        flag = rng.choice(flags)
        fd = os.open(path, flag)
        held.append(fd)
        mode = flag & os.O_ACCMODE
        # Pages [1 + seed] belong to this worker: it alone writes them.
        at = (1 + seed) * PAGE
        if mode != os.O_RDONLY and not flag & os.O_APPEND:
            count += 1
            buf = mmap.mmap(-1, PAGE)
            buf[:] = record(seed << 32 | count)
            os.pwrite(fd, buf, at)
            if mode == os.O_RDWR:
                got = mmap.mmap(-1, PAGE)
                os.preadv(fd, [got], at)
                eq("own page", got[:], buf[:])
            with open(path, "rb", buffering=0) as other:
                other.seek(at)
                eq("own page by another open", other.read(PAGE), buf[:])
            if rng.random() < .3 and mode == os.O_RDWR:
                m = mmap.mmap(fd, 16 * PAGE)
                eq("own page by a mapping", m[at:at + PAGE], buf[:])
                count += 1
                m[at:at + PAGE] = record(seed << 32 | count)
                if rng.random() < .5:
                    held.append(m)
                os_got = os.pread(fd, PAGE, at) if not flag & os.O_DIRECT else m[at:at + PAGE]
                eq("mapped store by read", os_got, record(seed << 32 | count))
        elif mode == os.O_RDONLY:
            got = mmap.mmap(-1, PAGE)
            k = rng.randrange(WORKERS)
            os.preadv(fd, [got], (1 + k) * PAGE)
            numbers = set(struct.unpack(f"<{PAGE // 8}Q", got[:]))
            check(f"a page has one owner: {numbers}", {n >> 32 for n in numbers} <= {k, 0})
        while len(held) > 5:
            gone = held.pop(rng.randrange(len(held)))
            gone.close() if isinstance(gone, mmap.mmap) else os.close(gone)


for i in range(FILES):
    put(f"{top}/f{i}", b"\0" * 16 * PAGE)
pids = []
sys.stdout.flush()
for seed in range(WORKERS):
    pid = os.fork()
    if pid == 0:
        import f3test
        code = 1
        try:
            worker(seed)
            code = 1 if f3test.failures else 0
        except BaseException as e:
            print("FAILED:", top, repr(e), flush=True)
        os._exit(code)
    pids.append(pid)
for pid in pids:
    eq("worker", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
for i in range(FILES):
    sealed(f"{top}/f{i}")
done()
END
done

# It was really both ways.
opens()
{
	sed -n "s/^f3_fuse_opens_total{mode=\"$1\"} //p" "$F3_MNT/.stats"
}
for mode in passthrough passthrough_direct; do
	[ "$(opens $mode)" -gt 100 ] || f3_bad "only $(opens $mode) opens in mode $mode"
done
f3_eq "cached opens" "$(opens cached)" 0
