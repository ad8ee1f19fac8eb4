#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What the kernel keeps: names and attributes that only this node changes cost no request however
# often they are asked for, also below a volume with an object store. What others may change there is
# asked for again after attr-ttl, also when the name was moved from a directory of the first kind.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3
f3_volume data "file://$F3_STORE" default-class=ephemeral attr-ttl=0s
f3_rules data 'local = ephemeral' '*.dur = durable'
f3_start

f3_python "$F3_MNT" "$F3_STORE" <<'END'
import os
import sys
from f3test import *

mnt, store = sys.argv[1:]
top = mnt + "/data"
local = top + "/local"
names = [f"{local}/f{i}" for i in range(200)]


def asked():
    counts = {}
    for line in get(mnt + "/.stats").decode().splitlines():
        if line.startswith('f3_fuse_op_seconds_count{op="'):
            counts[line.split('"')[1]] = int(line.split()[-1])
    return counts


def look():
    for name in names:
        os.stat(name)
    for i in range(50):
        os.path.exists(f"{local}/absent{i}")


def requests(function):
    """What the function cost, without asking for it (a file is looked up, opened and read) and
    without what whoever lists the machine's mounts asks of each of them."""
    before = asked()
    function()
    after = asked()
    return {op: after[op] - before[op] for op in after
            if after[op] > before[op] and op not in ("open", "read", "release", "statfs")}


os.mkdir(local)
for name in names:
    put(name, b"x")
for name in names:
    sealed(name)
look()
fd = os.open(local, os.O_RDONLY)
os.chdir(fd)
names = [os.path.basename(n) for n in names]
local = "."
got = requests(lambda: (look(), look()))
check(f"requests for what is known: {got}", sum(got.values()) < 20)
os.chdir(top)
names = ["local/" + n for n in names]
local = "local"
got = requests(look)
eq("requests on the way there", set(got) - {"lookup", "getattr"}, set())
check(f"only the way there: {got}", got.get("lookup", 0) <= 260 and got.get("getattr", 0) <= 310)

# the same file, then under a name that the store keeps
for n, call in (("a", os.rename), ("b", lambda old, new: os.replace(old, new))):
    put(f"{top}/local/{n}", b"mine")
    os.stat(f"{top}/local/{n}")
    call(f"{top}/local/{n}", f"{top}/{n}.dur")
    eq("in the store", get(f"{store}/{n}.dur"), b"mine")
    os.stat(f"{top}/{n}.dur")
    os.unlink(f"{store}/{n}.dur")
    until(60, f"{n}.dur is gone", lambda: error_of(os.stat, f"{top}/{n}.dur") == "ENOENT")
    check("its old name", not os.path.exists(f"{top}/local/{n}"))
done()
END
