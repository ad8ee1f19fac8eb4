#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=200
#
# Objects that others change, replace and remove in the store: while the file is open here, partly
# here, or being written. Reads end with bytes of one version or an error, never never; what was
# written here is refused (durable) or published beside it (writeback), never lost silently.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3
f3_set retry-min=20ms retry-max=1s
f3_volume durable "file://$F3_STORE/durable" default-class=durable attr-ttl=100ms
f3_volume writeback "file://$F3_STORE/writeback" default-class=writeback attr-ttl=100ms
mkdir -p "$F3_STORE/durable" "$F3_STORE/writeback"
for f in gone replaced; do
	head -c 40000000 /dev/urandom >"$F3_STORE/durable/$f"
	cp "$F3_STORE/durable/$f" "old-$f"
done
f3_start
f3_python "$F3_MNT" "$F3_STORE" "$PWD" <<'P'
import errno, glob, os, signal, sys
from f3test import *
mnt, store, here = sys.argv[1:]
d, s = f"{mnt}/durable", f"{store}/durable"

def put(path, data):
    """As another client: written elsewhere, then renamed."""
    with open(path + ".other", "wb") as f:
        f.write(data)
    os.rename(path + ".other", path)

# Nothing here may wait for ever.
signal.alarm(120)

# Open and partly here when the object goes, or becomes another one.
for name in ("gone", "replaced"):
    old = open(f"{here}/old-{name}", "rb").read()
    fd = os.open(f"{d}/{name}", os.O_RDONLY)
    check(f"{name}: beginning", os.pread(fd, 4096, 0) == old[:4096])
    if name == "gone":
        os.unlink(f"{s}/{name}")
    else:
        put(f"{s}/{name}", b"of others")
    for off in (4096 * 3, 20_000_000, 39_900_000):
        try:
            check(f"{name}: bytes of another version at {off}",
                  os.pread(fd, 50_000, off) == old[off:off + 50_000])
        except OSError as e:
            check(f"{name}: at {off}: {e}", e.errno in (errno.EIO, errno.ESTALE))
    os.close(fd)
until(60, "the name goes", lambda: not os.path.exists(f"{d}/gone"))
until(60, "the new content shows", lambda: open(f"{d}/replaced", "rb").read() == b"of others")

# Changed by others while a program here writes it: the durable writer is told.
for how in ("replaced", "appended", "removed", "made a directory"):
    path, key = f"{d}/w-{how}", f"{s}/w-{how}"
    with open(path, "wb") as f:
        f.write(b"first")
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, b"FIRST")
    if how == "replaced":
        put(key, b"theirs")
    elif how == "appended":
        with open(key, "ab") as f:
            f.write(b" theirs")
    else:
        os.unlink(key)
        if how != "removed":
            os.mkdir(key)
    said = error_of(os.fsync, fd)
    closed = error_of(os.close, fd)
    if how == "removed":
        eq(f"{how}: fsync", said, "ok")
        eq(f"{how}: it is there again", open(key, "rb").read(), b"FIRST")
        continue
    check(f"{how}: fsync {said}, close {closed}", said != "ok" and closed != "ok")
    if how == "made a directory":
        check("it is a directory still", os.path.isdir(key))
    else:
        check(f"{how}: theirs stays", b"theirs" in open(key, "rb").read())

# Written anew on purpose it takes the place of theirs.
with open(f"{d}/w-replaced", "wb") as f:
    f.write(b"again")
eq("written again", open(f"{s}/w-replaced", "rb").read(), b"again")

# Made here and there at once, exclusively: one of them wins, and the other is told.
fd = os.open(f"{d}/both", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
os.write(fd, b"ours")
put(f"{s}/both", b"theirs")
eq("both made it", error_of(os.fsync, fd), "EIO")
error_of(os.close, fd)
eq("both: theirs", open(f"{s}/both", "rb").read(), b"theirs")

# Unlinked and renamed here while others have changed it: theirs stays.
for what in ("unlink", "rename"):
    with open(f"{d}/{what}", "wb") as f:
        f.write(b"ours")
    put(f"{s}/{what}", b"theirs")
    if what == "unlink":
        error_of(os.unlink, f"{d}/{what}")
    else:
        error_of(os.rename, f"{d}/{what}", f"{d}/{what}-to")
    left = [open(p, "rb").read() for p in glob.glob(f"{s}/{what}*")]
    eq(f"{what} of what others changed", left, [b"theirs"])

# Writeback: both contents, under two names.
w, ws = f"{mnt}/writeback", f"{store}/writeback"
with open(f"{w}/doc", "wb") as f:
    f.write(b"first")
until(60, "it is up", lambda: os.path.exists(f"{ws}/doc"))
until(60, "and known to be", lambda: state(f"{w}/doc") == "clean")
fd = os.open(f"{w}/doc", os.O_WRONLY)
os.write(fd, b"OURS!")
put(f"{ws}/doc", b"theirs")
os.close(fd)
until(60, "both are there", lambda: glob.glob(f"{ws}/doc.f3-conflict-*"))
until(60, "here too", lambda: glob.glob(f"{w}/doc.f3-conflict-*"))
eq("theirs", open(f"{ws}/doc", "rb").read(), b"theirs")
eq("ours", [open(p, "rb").read() for p in glob.glob(f"{ws}/doc.f3-conflict-*")], [b"OURS!"])
until(60, "theirs shows here", lambda: open(f"{w}/doc", "rb").read() == b"theirs")
done()
P
f3_ok ctl fsck >/dev/null
