#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes calls of a running daemon fail, one after the other, and looks what programs are told.

    mount.py table MOUNTPOINT CONTROL-SOCKET [--passthrough] [--only WORD] [-v]
    mount.py stopped MOUNTPOINT CONTROL-SOCKET PLACE ACTION
    mount.py slow MOUNTPOINT CONTROL-SOCKET

table: files are made, a place of the daemon (fs/base/debug.h) is made to fail, a program's call is
made, its errno is compared, the place is made whole, and the same call succeeds. It is also a
failure if the fault was never reached. The volumes: l is ephemeral, d durable, w writeback.

stopped: a fault after which the database takes no more changes: EIO, then EROFS, while what is there
can be read.

slow: a call of the database, of the disk and of the store takes long, in the middle of something that
locks a file too; it waits and then succeeds, and nobody else does, also not who asks for the status.

The last line has the figures: "N cases, M faults".
"""
import argparse
import ctypes
import errno
import json
import os
import socket
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../functional"))
from f3test import bad, done, error_of, get, put, sealed, state, until  # noqa: E402

CONTENT = bytes(range(256)) * 64
AMBIGUOUS = "4095"
libc = ctypes.CDLL(None, use_errno=True)


class Daemon:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(path)
        self.file = self.socket.makefile("rwb", buffering=0)
        self.faults = 0

    def ask(self, **request):
        self.file.write(json.dumps(request).encode() + b"\n")
        while True:
            line = self.file.readline()
            if not line:
                raise SystemExit(f"the daemon has gone: {request}")
            answer = json.loads(line)
            if "ok" in answer:
                return answer

    def arm(self, places, action):
        """Of several places ("a+b") all but the last only lead there."""
        for place in places.split("+"):
            answer = self.ask(op="fault", name=place,
                              action=action if places.endswith(place) else "EIO")
            if not answer["ok"]:
                raise SystemExit(answer)

    def disarm(self, places):
        happened = 0
        for place in places.split("+"):
            happened = self.ask(op="fault", name=place)["happened"]
        self.faults += happened
        return happened

    def happened(self, place):
        return self.ask(op="fault-count", name=place)["happened"]

    def evict(self, path):
        """Its bytes leave the node."""
        mount, _, rest = path.partition("/d/")
        until(30, f"{path} can be evicted",
              lambda: self.ask(op="evict", volume="d", path="/" + rest)["ok"] and
              self.ask(op="info", volume="d", path="/" + rest)["place"] == "store")


def fallocate(fd, mode, off, length):
    if libc.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")


class File:
    """What most cases begin with: a file, and a directory of one's own around it."""

    def __init__(self, daemon, top, volume, name):
        self.daemon = daemon
        self.volume = volume
        self.dir = tempfile.mkdtemp(prefix=f"{name}.", dir=f"{top}/{volume}")
        self.path = f"{self.dir}/f"
        self.other = f"{self.dir}/g"
        put(self.path, CONTENT)
        self.fd = None

    def open(self, flags=os.O_RDWR):
        self.fd = os.open(self.path, flags)
        return self.fd

    def close(self):
        if self.fd is not None:
            fd, self.fd = self.fd, None  # gone, whatever close says
            os.close(fd)


# ---- What is called: prepare(File, Daemon) or None, call(File) --------------------------------

def opened(f, _):
    f.open()


def uncached(f, _):
    """The kernel has to ask for its bytes."""
    f.open()
    os.posix_fadvise(f.fd, 0, 0, os.POSIX_FADV_DONTNEED)


def closed_uncached(f, d):
    """Nor has the daemon it open."""
    sealed(f.path)
    uncached(f, d)
    f.close()


def evicted(f, d):
    d.evict(f.path)


def written(f, _):
    f.open(os.O_WRONLY)
    os.pwrite(f.fd, b"new", 0)


def a_directory(f, _):
    os.mkdir(f.other)


def many_names(f, _):
    for i in range(20):
        put(f"{f.dir}/n{i}")


def of_others(f, _):
    """A directory that others made: of one that was made here all names are known."""
    theirs = f"{os.environ['F3_STORE']}/{f.volume}/{os.path.basename(f.dir)}.theirs"
    os.mkdir(theirs)
    f.theirs = f"{f.dir}.theirs"
    until(30, f"{theirs} shows", lambda: os.path.isdir(f.theirs))


def has_xattr(f, _):
    os.setxattr(f.path, "user.x", b"1")


def create(f):
    put(f.other, b"x")


def create_many(f):
    """What is in stock needs nothing new for a while."""
    for i in range(300):
        os.close(os.open(f"{f.dir}/many{i}", os.O_CREAT | os.O_WRONLY))


def read(f):
    if get(f.path) != CONTENT:
        bad(f"{f.path}: other bytes")


def read_fd(f):
    if os.pread(f.fd, len(CONTENT), 0) != CONTENT:
        bad(f"{f.path}: other bytes")


def write_fd(f):
    if os.pwrite(f.fd, CONTENT[:4096], 0) != 4096:
        bad(f"{f.path}: a short write")


def close(f):
    f.close()


def write_large(f):
    """Goes up in parts, some of them before it is closed."""
    f.open()
    for i in range(17):
        os.pwrite(f.fd, CONTENT * 256, i * len(CONTENT) * 256)
    f.close()


def synced(function):
    """What a call left to be done behind it."""
    def call(f):
        function(f)
        answer = f.daemon.ask(op="sync", volume=f.volume, path="/")
        if not answer["ok"]:
            raise OSError(getattr(errno, answer["error"]), answer["message"])
    return call


def stored(f, _):
    synced(lambda f: None)(f)


CALLS = {
    "lookup": (None, lambda f: os.path.lexists(f.dir) and os.stat(f.dir + "/not there")),
    "lookup in theirs": (of_others, lambda f: os.stat(f"{f.theirs}/not there")),
    "readdir of theirs": (of_others, lambda f: os.listdir(f.theirs)),
    "create": (None, create),
    "create many": (None, create_many),
    "mkdir": (None, lambda f: os.mkdir(f.other)),
    "rmdir": (a_directory, lambda f: os.rmdir(f.other)),
    "symlink": (None, lambda f: os.symlink("f", f.other)),
    "link": (None, lambda f: os.link(f.path, f.other)),
    "unlink": (None, lambda f: os.unlink(f.path)),
    "rename": (None, lambda f: os.rename(f.path, f.other)),
    "chmod": (None, lambda f: os.chmod(f.path, 0o600)),
    "setxattr": (None, lambda f: os.setxattr(f.path, "user.x", b"1")),
    "getxattr": (has_xattr, lambda f: os.getxattr(f.path, "user.x")),
    "listxattr": (has_xattr, lambda f: os.listxattr(f.path)),
    "removexattr": (has_xattr, lambda f: os.removexattr(f.path, "user.x")),
    "readdir": (many_names, lambda f: os.listdir(f.dir)),
    "truncate": (None, lambda f: os.truncate(f.path, 100)),
    "open": (None, lambda f: f.open(os.O_RDONLY)),
    "write large": (None, write_large),
    "create, sync": (None, synced(create)),
    "chmod, sync": (stored, synced(lambda f: os.chmod(f.path, 0o600))),
    "setxattr, sync": (stored, synced(lambda f: os.setxattr(f.path, "user.x", b"1"))),
    "rename, sync": (stored, synced(lambda f: os.rename(f.path, f.other))),
    "unlink, sync": (stored, synced(lambda f: os.unlink(f.path))),
    "to class ephemeral, sync": (
        stored, synced(lambda f: os.setxattr(f.path, "user.f3.class", b"ephemeral"))),
    "open and truncate": (None, lambda f: f.open(os.O_RDWR | os.O_TRUNC)),
    "fallocate": (opened, lambda f: fallocate(f.fd, 0, 0, 1 << 20)),
    "copy": (opened, lambda f: os.copy_file_range(f.fd, f.fd, 4096, 0, 8192)),
    "read": (closed_uncached, read),
    "read again": (uncached, read_fd),
    "read from store": (evicted, read),
    "write": (opened, write_fd),
    "fsync": (written, lambda f: os.fsync(f.fd)),
    "fdatasync": (written, lambda f: os.fdatasync(f.fd)),
    "close": (written, close),
    "to class memory": (None, lambda f: os.setxattr(f.path, "user.f3.class", b"memory")),
    "statfs": (None, lambda f: os.statvfs(f.path)),
}

# ---- The table --------------------------------------------------------------------------------
#
# volume, call, place, action, what the program is told; daemon: only without passthrough; again:
# what it is told in the end when nothing fails any more.

CASES = []


def case(volume, call, place, action, *told, daemon=False, again=("ok",)):
    CASES.append((volume, call, place, action, told, daemon, again))


# The database says that it has no room, or cannot read.
for call in ("create", "mkdir", "rmdir", "symlink", "link", "unlink", "rename", "setxattr",
             "removexattr"):
    case("l", call, "kv.write", "ENOSPCx1", "ENOSPC")
for call in ("lookup", "create", "getxattr"):
    case("l", call, "kv.get", "EIOx1", "EIO", again=("ok", "ENOENT"))
    case("l", call, "kv.get", "EBADMSGx1", "EIO", again=("ok", "ENOENT"))
case("l", "readdir", "kv.next", "EIO@5x1", "EIO")
case("l", "readdir", "kv.next", "EBADMSG@3x1", "EIO")
case("l", "listxattr", "kv.next", "EIOx1", "EIO")

# The disk of the cache.
for error in ("EIO", "ENOSPC", "EDQUOT"):
    case("l", "create many", "backing.make", error, error, again=("ok", "EEXIST"))
    case("l", "truncate", "file.truncate", f"{error}x1", error)
    case("l", "fallocate", "file.fallocate", f"{error}x1", error)
    case("l", "copy", "file.copy", f"{error}x1", error)
    case("l", "write", "file.write", f"{error}x1", error, daemon=True)
    case("l", "to class memory", "backing.make", error, error)
    case("l", "to class memory", "backing.clone", f"{error}x1", error)
case("l", "read", "backing.open", "EIO", "EIO", daemon=True)
case("l", "read", "backing.open", "EMFILE", "EMFILE", daemon=True)
case("l", "open and truncate", "file.truncate", "EIOx1", "EIO")
case("l", "to class memory", "kv.write", "ENOSPCx1", "ENOSPC")
case("l", "fsync", "io.fsync", "EIOx1", "EIO")
case("l", "fdatasync", "io.fdatasync", "EIOx1", "EIO")
case("l", "fsync", "io.fsync", "ENOSPCx1", "ENOSPC")
case("l", "fsync", "io.fsync", "EINTRx3", "ok")
case("l", "fsync", "backing.sync-names", "EIOx1", "EIO")

# The ring, where reads come to the daemon.
for action, told in (("EIO", "EIO"), ("EAGAIN", "EIO"), ("ECANCELED", "EIO"), ("EINTRx3", "ok"),
                     ("EAGAINx1", "ok"), ("ECANCELEDx1", "ok")):
    case("l", "read again", "read.cached+io.read", action, told, daemon=True)
case("l", "read again", "read.cached+io.short", "EIOx3", "ok", daemon=True)
case("l", "read again", "read.cached+ring.submit", "EAGAINx3", "ok", daemon=True)

# Filling from the store: who reads has the bytes before they are on the disk.
for action in "EIOx1", "ENOSPCx1", "EINTRx3", "EAGAINx1", "ECANCELEDx1", "EIO", "ENOSPC", "ECANCELED":
    case("d", "read from store", "io.write", action, "ok")
case("d", "read from store", "io.short", "EIOx3", "ok")
case("d", "read from store", "ring.submit", "EAGAINx3", "ok")
case("d", "read from store", "backing.make", "EIOx1", "EIO")
case("d", "read from store", "backing.make", "ENOSPCx1", "ENOSPC")
case("d", "read from store", "kv.write", "ENOSPCx1", "ok", "ENOSPC")
for error in ("EIO", AMBIGUOUS, "ETIMEDOUT"):
    case("d", "read from store", "object.get", f"{error}x2", "ok")
    case("d", "read from store", "object.get.lost", f"{error}x2", "ok")
case("d", "read from store", "object.get", "EACCES", "EACCES")
case("d", "read from store", "object.get", "ENOENTx1", "ESTALE")

# Into the store: what it refuses for certain, and what nobody knows.
for call, op in (("close", "put"), ("fsync", "put"), ("mkdir", "mkdir"), ("rmdir", "rmdir"),
                 ("unlink", "delete"), ("rename", "rename"), ("symlink", "put")):
    case("d", call, f"object.{op}", "EIOx1", "ok")
    case("d", call, f"object.{op}", f"{AMBIGUOUS}x2", "ok")
    case("d", call, f"object.{op}.lost", f"{AMBIGUOUS}x1", "ok")
    case("d", call, f"object.{op}.lost", "EIOx1", "ok")
    case("d", call, f"object.{op}", "EACCESx1", "EACCES")
    case("d", call, f"object.{op}", "ENOSPCx1", "ENOSPC")
case("d", "write large", "object.upload-create", "EIOx2", "ok")
case("d", "write large", "object.upload-part", "EIOx2", "ok")
case("d", "write large", "object.upload-part.lost", f"{AMBIGUOUS}x2", "ok")
case("d", "write large", "object.upload-complete", f"{AMBIGUOUS}x1", "ok")
case("d", "write large", "object.upload-complete.lost", f"{AMBIGUOUS}x1", "ok")

# Behind the program's back.
for volume in ("d", "w"):
    for action in ("EIOx2", f"{AMBIGUOUS}x2"):
        for call, op in (("create, sync", "put"), ("chmod, sync", "set-attr"),
                         ("setxattr, sync", "set-attr"), ("rename, sync", "rename"),
                         ("unlink, sync", "delete"), ("to class ephemeral, sync", "delete")):
            case(volume, call, f"object.{op}", action, "ok")
            case(volume, call, f"object.{op}.lost", action, "ok")

# What looks at the store first.
case("d", "readdir of theirs", "object.list", "EIOx1", "EIO")
for error in ("EIO", AMBIGUOUS, "ETIMEDOUT"):
    case("d", "lookup in theirs", "object.head", f"{error}x1", "EIO", again=("ENOENT",))


# ---- Running it -------------------------------------------------------------------------------

# What writes the bytes down that a read was answered with.
LANDING = ("io.write", "io.short", "ring.submit")


def run(daemon, top, number, row, verbose):
    volume, call, place, action, told, _, again = row
    prepare, function = CALLS[call]
    name = f"{volume}: {call}, {place}={action}"
    f = File(daemon, top, volume, number)
    if prepare:
        prepare(f, daemon)
    daemon.arm(place, action)
    got = error_of(function, f)
    if call == "read from store" and place in LANDING:
        until(30, f"{name}: the bytes go to the disk", lambda: daemon.happened(place))
    happened = daemon.disarm(place)
    if verbose:
        print(f"{name}: {got}, {happened} times", flush=True)
    if got not in told:
        bad(f"{name}: the program is told {got}, not {' or '.join(told)}")
    if not happened:
        bad(f"{name}: it never came to that")
    if got != "ok":
        last = []

        # The database asks its disk again a moment after it had no room.
        def goes():
            last.append(error_of(function, f))
            return last[-1] in again
        if not until(60, f"{name}: it goes again", goes):
            print(f"it says {last[-1]}")
    f.close()


def table(daemon, args):
    n = 0
    for number, row in enumerate(CASES):
        if row[5] == args.passthrough:
            continue
        if args.only in f"{row[0]}: {row[1]}, {row[2]}={row[3]}":
            run(daemon, args.mount, number, row, args.v)
            n += 1
    return n


def stopped(daemon, args):
    f = File(daemon, args.mount, "l", 0)
    f.open()
    os.fsync(f.fd)
    directory = os.open(f.dir, os.O_RDONLY)
    os.mkdir(f"{f.dir}/sub")
    daemon.arm(args.place, args.action)
    if args.place == "kv.sync":
        told = [error_of(os.fsync, directory)]
    else:
        told = [error_of(os.mkdir, f.other)]
    os.close(directory)
    if not daemon.disarm(args.place):
        bad(f"{args.place}={args.action}: it never came to that")
    told.append(error_of(os.mkdir, f.other))
    told.append(error_of(os.mkdir, f.other))
    if told != ["EIO", "EROFS", "EROFS"]:
        bad(f"{args.place}={args.action}: the program is told {told}")
    read_fd(f)
    f.close()
    read(f)
    if sorted(os.listdir(f.dir)) != ["f", "sub"]:
        bad(f"{f.dir}: {os.listdir(f.dir)}")
    return 1


def held(daemon, top, place, volume, prepare, function):
    """function waits while the place is held; everything else goes on."""
    fifo = os.path.join(tempfile.mkdtemp(), "fifo")
    os.mkfifo(fifo)
    f = File(daemon, top, volume, place)
    other = File(daemon, top, "l", place)
    for path in (f.path, other.path):
        until(60, f"{path} is sealed", lambda p=path: state(p) != "writing")
    if prepare:
        prepare(f, daemon)
    daemon.arm(place, f"hold:{fifo}")
    told = []
    thread = threading.Thread(target=lambda: told.append(error_of(function, f)))
    thread.start()
    until(60, f"a call is held at {place}",
          lambda: daemon.ask(op="fault-count", name=place)["happened"] > 0)
    read(other)
    if daemon.ask(op="status")["state"] != "serving":
        bad(f"{place}: no status")
    if told:
        bad(f"{place}: the call did not wait: {told}")
    daemon.disarm(place)
    with open(fifo, "wb"):
        os.unlink(fifo)  # who comes late finds nothing to wait for
        thread.join()
    if told != ["ok"]:
        bad(f"{place}: the call that was held: {told}")


def slow(daemon, args):
    held(daemon, args.mount, "kv.write", "l", None, lambda f: os.mkdir(f.other))
    held(daemon, args.mount, "kv.write", "l", None, lambda f: os.chmod(f.path, 0o600))
    held(daemon, args.mount, "backing.sync", "l", written, lambda f: os.fsync(f.fd))
    held(daemon, args.mount, "object.get", "d", evicted, read)
    held(daemon, args.mount, "object.put", "d", None, create)
    return 5


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("table", "stopped", "slow"))
    parser.add_argument("mount")
    parser.add_argument("socket")
    parser.add_argument("place", nargs="?")
    parser.add_argument("action", nargs="?")
    parser.add_argument("--passthrough", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("-v", action="store_true")
    args = parser.parse_args()
    daemon = Daemon(args.socket)
    pid = daemon.ask(op="status")["pid"]
    n = {"table": table, "stopped": stopped, "slow": slow}[args.part](daemon, args)
    if daemon.ask(op="status")["pid"] != pid:
        bad("another daemon serves")
    print(f"{n} cases, {daemon.faults} faults")
    done()


main()
