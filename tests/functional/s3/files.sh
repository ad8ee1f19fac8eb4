#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Contents: files of all sizes arrive whole and come back whole to a cold cache; what is changed in the
# middle, behind the end, by mappings and truncation is what another client reads; an edit of a large
# object sends little of it; what has no name any more is never sent.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq
f3_s3_start versitygw
f3_s3_proxy
S3_PREFIX=d f3_s3_volume d default-class=durable
S3_PREFIX=w f3_s3_volume w default-class=writeback
f3_start
export F3_RUN
f3_python "$F3_MNT" <<'P'
from s3test import *
import hashlib
import mmap
import struct
import threading

mnt = sys.argv[1]
MIB = 1 << 20
block = os.urandom(MIB)


def content(size, seed):
    """Different at every MiB, cheap to make."""
    out = bytearray(block * (size // MIB + 1))
    for i in range(0, size, MIB):
        out[i:i + 8] = struct.pack("<II", seed, i // MIB)
    return bytes(out[:size])


def sha(data):
    return hashlib.sha256(data).hexdigest()


def file_sha(path):
    h = hashlib.sha256()
    with open(path, "rb", buffering=0) as f:
        while piece := f.read(4 * MIB):
            h.update(piece)
    return h.hexdigest()


def cold(*paths):
    """Nothing of these is here."""
    def gone():
        said = json.loads(ctl("--json", "evict", *paths).decode().splitlines()[-1])
        return not said["kept"] and not said["failed"]
    until(60, f"evicted: {paths}", gone)




sizes = {"d": (0, 1, 5 * MIB - 1, 16 * MIB, 64 * MIB + 1, 200 * MIB),
         "w": (0, 1, 4097, 5 * MIB, 64 * MIB)}
want = {}
for vol in sizes:
    for size in sizes[vol]:
        data = content(size, size & 0xffff)
        want[f"{vol}/{size}"] = sha(data)
        put(f"{mnt}/{vol}/{size}", data)
        if vol == "d":
            eq(f"{vol}/{size} has its size in the store when it is closed",
               int(client.head(f"{vol}/{size}").get("content-length", 0)), size)
del data
sync()
for key, hash_ in want.items():
    eq(f"{key} in the store", sha(client.get(key)), hash_)
cold(*(f"{mnt}/{key}" for key in want if not key.endswith("/0")))
for key, hash_ in want.items():
    eq(f"{key} read cold", file_sha(f"{mnt}/{key}"), hash_)

# 4 KiB in the middle of what is not here.
large = f"d/{200 * MIB}"
cold(f"{mnt}/{large}")
n = len(passed())
with open(f"{mnt}/{large}", "r+b", buffering=0) as f:
    f.seek(100 * MIB + 12345)
    f.write(b"E" * 4096)
data = bytearray(content(200 * MIB, (200 * MIB) & 0xffff))
data[100 * MIB + 12345:100 * MIB + 12345 + 4096] = b"E" * 4096
log = [r for r in passed(n) if r["path"].endswith(f"/{large}")]
sent = [r for r in log if r["method"] == "PUT" and r["sent"] > 0]
copied = [r for r in log if r["method"] == "PUT" and "copy-source" in r["amz"]]
check(f"parts sent: {len(sent)}", len(sent) < 3)
check(f"bytes sent: {sum(r['sent'] for r in sent)}", sum(r["sent"] for r in sent) <= 40 * MIB)
check(f"parts copied: {len(copied)}", len(copied) >= 1)
eq("edited, in the store", sha(client.get(large)), sha(data))
eq("edited, here", file_sha(f"{mnt}/{large}"), sha(data))
del data

# Changes of a file that is not here at first.
model = bytearray(content(20 * MIB, 5))
put(f"{mnt}/d/edit", model)


def check_edit(what):
    sync()  # truncate(2) does not wait
    eq(what, sha(client.get("d/edit")), sha(model))
    eq(what + ", here", file_sha(f"{mnt}/d/edit"), sha(model))
    cold(f"{mnt}/d/edit")


check_edit("as written")
with open(f"{mnt}/d/edit", "ab", buffering=0) as f:
    f.write(b"appended")
model += b"appended"
check_edit("appended")
os.truncate(f"{mnt}/d/edit", 7 * MIB + 3)
del model[7 * MIB + 3:]
check_edit("shorter")
os.truncate(f"{mnt}/d/edit", 30 * MIB)
model += bytes(30 * MIB - len(model))
check_edit("longer, with a hole")
with open(f"{mnt}/d/edit", "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
    for at in (0, 5 * MIB - 2, 29 * MIB):
        m[at:at + 5] = b"mmap!"
        model[at:at + 5] = b"mmap!"
    m.flush()
    os.fsync(f.fileno())
check_edit("by a mapping")
with open(f"{mnt}/d/sparse", "wb", buffering=0) as f:
    f.seek(33 * MIB)
    f.write(b"end")
eq("sparse", sha(client.get("d/sparse")), sha(bytes(33 * MIB) + b"end"))

# fsync and O_SYNC: there before close.
fd = os.open(f"{mnt}/d/synced", os.O_CREAT | os.O_WRONLY, 0o644)
os.write(fd, b"one")
os.fsync(fd)
eq("after fsync", client.get("d/synced"), b"one")
os.write(fd, b" two")
os.fsync(fd)
eq("after the second", client.get("d/synced"), b"one two")
os.close(fd)
fd = os.open(f"{mnt}/d/osync", os.O_CREAT | os.O_WRONLY | os.O_SYNC, 0o644)
for i in range(3):
    os.write(fd, b"%d" % i)
    eq("O_SYNC", client.get("d/osync"), b"012"[:i + 1])
os.close(fd)

# Many small ones, in parallel.
for vol in "dw":
    os.mkdir(f"{mnt}/{vol}/many")


def many(vol, first):
    for i in range(first, 200, 4):
        put(f"{mnt}/{vol}/many/{i}", b"%s %d" % (vol.encode(), i) * i)


threads = [threading.Thread(target=many, args=(vol, first)) for vol in "dw" for first in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
sync()
for vol in "dw":
    wrong = [i for i in range(200)
             if client.get(f"{vol}/many/{i}") != b"%s %d" % (vol.encode(), i) * i]
    eq(f"small files of {vol}", wrong, [])

# Without a name nothing is sent.
n = len(passed())
fd = os.open(f"{mnt}/w/unlinked", os.O_CREAT | os.O_RDWR, 0o644)
os.write(fd, content(MIB, 1))
os.unlink(f"{mnt}/w/unlinked")
os.write(fd, content(MIB, 1))
os.close(fd)
sync()
eq("sent of a file without a name", [r["path"] for r in passed(n)
                                     if r["path"].endswith("/unlinked") and r["sent"]], [])
eq("no uploads are left", list(client.uploads()), [])
done()
P
f3_stop
f3_fsck
