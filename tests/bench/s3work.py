# SPDX-License-Identifier: Apache-2.0
"""The workloads of an object tier.

A workload gives figures of one or more ids: run(bench, target, number) returns {id: speed}, in bytes
or times a second. A target is "raw", "native" or a mount. A file counts as written when the store has
it: close() may say so before. What is read is checked: the first bytes of each MiB are its number.
"""

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import s3raw

MIB = 1 << 20
BLOCK = MIB
PART = s3raw.PART


class WorkError(RuntimeError):
    """A file system gave a wrong answer, or none."""


def blocks(size, seed=1):
    """The bytes of a file of this size, a MiB at a time."""
    block = bytearray(random.Random(seed).randbytes(BLOCK))
    for n in range(size // BLOCK):
        block[:8] = n.to_bytes(8, "little")
        yield block


def write_file(path, size, flags=os.O_CREAT | os.O_EXCL):
    fd = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        for block in blocks(size):
            if os.write(fd, block) != BLOCK:
                raise WorkError("short write to " + path)
    finally:
        os.close(fd)


def read_file(path, size):
    block = bytearray(BLOCK)
    fd = os.open(path, os.O_RDONLY)
    try:
        for n in range(size // BLOCK):
            have = 0
            while have < BLOCK:
                got = os.preadv(fd, [memoryview(block)[have:]], n * BLOCK + have)
                if got <= 0:
                    raise WorkError("%s ends early" % path)
                have += got
            if int.from_bytes(block[:8], "little") != n:
                raise WorkError("wrong data in MiB %d of %s" % (n, path))
    finally:
        os.close(fd)


def read_at(path, offset):
    fd = os.open(path, os.O_RDONLY)
    try:
        got = os.pread(fd, 4096, offset)
    finally:
        os.close(fd)
    if len(got) != 4096 or offset % BLOCK == 0 and int.from_bytes(got[:8], "little") != (
            offset // BLOCK):
        raise WorkError("wrong data at %d of %s" % (offset, path))


def timed(function, *args):
    start = time.monotonic()
    function(*args)
    return time.monotonic() - start


def until(what, seconds, ready):
    """Asks again every few milliseconds; what asks is the measurement."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise WorkError("%s: not after %d s" % (what, seconds))
        time.sleep(0.005)  # so as not to keep the server busy with our questions


def side_by_side(count, function):
    """Runs function(i, go) in so many processes at once; go() waits for all to be ready."""
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(count + 1)

    def one(i):
        try:
            function(i, lambda: barrier.wait(120))
        except BaseException as e:
            barrier.abort()
            print("%s: %s" % (type(e).__name__, e), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    processes = [fork.Process(target=one, args=(i,)) for i in range(count)]
    for p in processes:
        p.start()
    try:
        barrier.wait(120)
        start = time.monotonic()
        for p in processes:
            p.join(600)
        seconds = time.monotonic() - start
    except multiprocessing.context.ProcessError as e:
        raise WorkError(str(e)) from e
    finally:
        for p in processes:
            if p.is_alive():
                p.kill()
    if any(p.exitcode for p in processes):
        raise WorkError("%d of %d processes failed" % (
            sum(p.exitcode != 0 for p in processes), count))
    return seconds


class Read:
    """A large object, cold and then again."""

    ids = ("read-cold", "read-warm")

    def targets(self, bench):
        return ["raw", "raw to files", "native", "f3"] + bench.rivals

    def run(self, bench, target, _number):
        if target in ("raw", "raw to files"):
            into = os.path.join(bench.scratch, "ranges") if target != "raw" else None
            return {"read-cold": bench.size / s3raw.read(bench.client, "big", bench.size, into)}
        path = bench.native
        found = {}
        if target != "native":
            target.cold()
            path = os.path.join(target.directory(), "big")
            found["read-cold"] = bench.size / timed(read_file, path, bench.size)
        if "read-warm" in bench.wanted:
            read_file(path, bench.size)
            passes, start = 0, time.monotonic()
            while passes < 2 or time.monotonic() - start < 0.7:
                read_file(path, bench.size)
                passes += 1
            found["read-warm"] = passes * bench.size / (time.monotonic() - start)
        return found


class Write:
    """A large file, until the store has it."""

    ids = ("write",)

    def targets(self, bench):
        return ["raw", "f3"] + bench.rivals

    def run(self, bench, target, number):
        if target == "raw":
            return {"write": bench.size / s3raw.write(bench.client, "raw-w", bench.parts,
                                                      bench.scratch)}
        target.cold()
        key = "%s-w%d" % (target.name, number)
        start = time.monotonic()
        write_file(os.path.join(target.directory(), key), bench.size)
        closed = time.monotonic()
        until(key + " in the store", 300, lambda: bench.length(key) == bench.size)
        end = time.monotonic()
        bench.note("write, close() after", target, "%.2f of %.2f s" % (closed - start, end - start))
        bench.client.delete(key)
        return {"write": bench.size / (end - start)}


class FirstByte:
    """The first 4 KiB of a cold file, of a name that was looked up before and of one that was not."""

    ids = ("first-byte", "first-byte-name")

    def targets(self, bench):
        return ["raw", "f3"] + bench.rivals

    def run(self, bench, target, _number):
        known, unknown = [], []
        if target == "raw":
            for _ in range(5):
                known.append(s3raw.first_byte(bench.client, "big"))
                unknown.append(s3raw.first_byte(bench.client, "big", head=True))
        else:
            target.cold()
            for key in bench.copies():
                path = os.path.join(target.directory(), key)
                if len(known) > len(unknown):
                    unknown.append(timed(read_at, path, 0))
                else:
                    os.stat(path)
                    known.append(timed(read_at, path, 0))
                bench.come_to_rest()
        return {"first-byte": 1 / statistics.median(known),
                "first-byte-name": 1 / statistics.median(unknown)}


class RandomRead:
    """4 KiB at random offsets of a cold file, by many readers at once."""

    ids = ("random-4k",)
    readers, each = 16, 16

    def targets(self, bench):
        return ["raw", "f3"] + bench.rivals

    def offsets(self, bench, number, each):
        """All different, as far as there are so many MiB."""
        count, of = self.readers * each, bench.size // BLOCK
        rng = random.Random(number)
        return [n * BLOCK for _ in range(-(-count // of)) for n in rng.sample(range(of), of)][:count]

    def run(self, bench, target, number):
        offsets = self.offsets(bench, number, self.each)
        if target == "raw":
            seconds = s3raw.ranges(bench.client, "big", offsets, 4096, self.readers)
        else:
            target.cold()
            path = os.path.join(target.directory(), "big")
            os.stat(path)
            seconds = self.read(path, offsets, self.each)
        return {"random-4k": len(offsets) / seconds}

    def read(self, path, offsets, each):
        def one(i, go):
            go()
            for offset in offsets[i * each:(i + 1) * each]:
                read_at(path, offset)
        return side_by_side(self.readers, one)


class Small:
    """1,000 files of 4 KiB: made, listed cold, read cold, by one program, one after the other."""

    ids = ("small-create", "small-ls", "small-read")
    count = 1000

    def targets(self, bench):
        return ["raw", "f3", "f3-listing", "f3-writeback"] + bench.rivals

    def names(self, number, name):
        return ["%s-s%d/%04d" % (name, number, i) for i in range(self.count)]

    def all_there(self, bench, prefix):
        _, found = s3raw.list_all(bench.client, prefix + "/")
        return sum(size == 4096 for size in found.values()) == self.count

    def run(self, bench, target, number):
        name = target if target == "raw" else target.name
        keys = self.names(number, name)
        prefix = os.path.dirname(keys[0])
        if target == "raw":
            source = os.path.join(bench.scratch, "4k")
            with open(source, "wb") as f:
                f.write(os.urandom(4096))
            create = s3raw.put_all(bench.client, keys, source)
            ls = s3raw.list_all(bench.client, prefix + "/")[0]
            read = s3raw.get_all(bench.client, keys)
            return {"small-create": 1 / create, "small-ls": 1 / ls, "small-read": 1 / read}
        target.cold()
        create = timed(self.create, bench, target, keys, prefix)
        target.cold()
        directory = os.path.join(target.directory(), prefix)
        ls = timed(self.ls, directory)
        target.cold()
        read = timed(self.read, directory)
        return {"small-create": 1 / create, "small-ls": 1 / ls, "small-read": 1 / read}

    def create(self, bench, target, keys, prefix):
        os.mkdir(os.path.join(target.directory(), prefix))
        data = os.urandom(4096)
        for key in keys:
            with open(os.path.join(target.directory(), key), "xb", buffering=0) as f:
                f.write(data)
        until("all of %s in the store" % prefix, 300, lambda: self.all_there(bench, prefix))

    def ls(self, directory):
        done = subprocess.run(["ls", "-l", directory], check=True, stdout=subprocess.PIPE)
        if len(done.stdout.splitlines()) != self.count + 1:
            raise WorkError("ls -l shows %d lines" % len(done.stdout.splitlines()))

    def read(self, directory):
        for name in sorted(os.listdir(directory)):
            with open(os.path.join(directory, name), "rb", buffering=0) as f:
                if len(f.read(8192)) != 4096:
                    raise WorkError("%s is short" % name)


class SmallMany(Small):
    """The same by 16 programs at once."""

    ids = ("small-create-x16", "small-read-x16")
    writers = 16

    def names(self, number, name):
        return super().names(number, name + "-x16")

    def run(self, bench, target, number):
        found = super().run(bench, target, number)
        return {"small-create-x16": found["small-create"], "small-read-x16": found["small-read"]}

    def create(self, bench, target, keys, prefix):
        os.mkdir(os.path.join(target.directory(), prefix))
        data = os.urandom(4096)

        def one(i, go):
            go()
            for key in keys[i::self.writers]:
                with open(os.path.join(target.directory(), key), "xb", buffering=0) as f:
                    f.write(data)
        side_by_side(self.writers, one)
        until("all of %s in the store" % prefix, 300, lambda: self.all_there(bench, prefix))

    def ls(self, directory):
        pass  # measured by the other

    def read(self, directory):
        names = sorted(os.listdir(directory))

        def one(i, go):
            go()
            for name in names[i::self.writers]:
                with open(os.path.join(directory, name), "rb", buffering=0) as f:
                    if len(f.read(8192)) != 4096:
                        raise WorkError("%s is short" % name)
        side_by_side(self.writers, one)


WORKS = (Read, Write, FirstByte, RandomRead, Small, SmallMany)


class Proxy:
    """tests/s3/proxy.py between the mount and the server: what passes is counted there."""

    PROGRAM = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../s3/proxy.py")

    def __init__(self, scratch, to, rules=()):
        self.dir = tempfile.mkdtemp(dir=scratch)
        self.log_path = os.path.join(self.dir, "log")
        self.control = os.path.join(self.dir, "sock")
        argv = [self.PROGRAM, "serve", "--to", to.partition("://")[2], "--control", self.control,
                "--log", self.log_path]
        for rule in rules:
            argv += ["--rule", json.dumps(rule)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        word, _, port = self.process.stdout.readline().decode().strip().partition(" ")
        if word != "ready":
            raise WorkError("no proxy")
        self.endpoint = "http://127.0.0.1:" + port

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.dir)


@contextlib.contextmanager
def counted(bench, target, rules=()):
    """The mount asks through a proxy, from a cold start on."""
    proxy = Proxy(bench.scratch, bench.env["S3_ENDPOINT"], rules)
    try:
        target.at(proxy.endpoint)
        target.cold()
        yield proxy
        target.stop()
    finally:
        target.at(bench.env["S3_ENDPOINT"])
        proxy.close()


def count_random(bench, target):
    """Readers that wait for their 4 KiB: how many are asked for at a time, how much comes."""
    work, each = RandomRead(), 2
    rule = {"method": "GET", "path": "/big", "delay_ms": 200, "times": 0}
    with counted(bench, target, [rule]) as proxy:
        path = os.path.join(target.directory(), "big")
        os.stat(path)
        work.read(path, work.offsets(bench, 99, each), each)
        log = [x for x in proxy.log() if x["method"] == "GET" and x["path"].endswith("/big")]
    return {"requests": len(log), "in_flight": max([x["in_flight"] for x in log], default=0),
            "readers": work.readers, "reads": work.readers * each,
            "downloaded_bytes": sum(x["got"] for x in log),
            "downloaded_share": round(sum(x["got"] for x in log) / bench.size, 3)}


def count_edit(bench, target, warm):
    """4 KiB in the middle of a large object are changed, nothing of it being here, or all.

    What goes up in one piece counts for as many parts as it would have been.
    """
    key = "edit-" + target.name
    bench.client.copy("big", key)
    before = bench.client.head(key)["etag"]
    with counted(bench, target) as proxy:
        path = os.path.join(target.directory(), key)
        os.stat(path)
        if warm:
            read_file(path, bench.size)
        skip = len(proxy.log())
        start = time.monotonic()
        fd = os.open(path, os.O_RDWR)
        if os.pwrite(fd, b"x" * 4096, bench.size // 2) != 4096:
            raise WorkError("short write")
        os.close(fd)
        until(key + " changed in the store", 300,
              lambda: bench.client.head(key)["etag"] != before)
        seconds = time.monotonic() - start
        log = proxy.log()[skip:]
    bench.check_edit(key)
    bench.client.delete(key)
    sends = [x for x in log if x["method"] == "PUT" and "partNumber=" in (x["query"] or "")]
    return {"seconds": round(seconds, 3),
            "parts_uploaded": sum(-(-x["sent"] // PART) for x in log if x["method"] == "PUT"),
            "parts_copied": sum(x["sent"] == 0 for x in sends),
            "uploaded_bytes": sum(x["sent"] for x in log if x["method"] == "PUT"),
            "downloaded_bytes": sum(x["got"] for x in log if x["method"] == "GET"),
            "requests": len(log)}


def count_memory(bench, target):
    """The peak of resident memory of all its processes while 100 programs write 20 MiB each."""
    writers, size = 100, 20 * MIB
    target.cold()

    def one(i, go):
        path = os.path.join(target.directory(), "%s-m%03d" % (target.name, i))
        go()
        write_file(path, size)
    seconds = side_by_side(writers, one)
    peak = 0
    for pid in target.pids():
        with open("/proc/%d/status" % pid, encoding="utf-8", errors="replace") as f:
            peak += sum(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
    prefix = target.name + "-m"

    def there():
        return sum(n == size for n in s3raw.list_all(bench.client, prefix)[1].values()) == writers
    until("all of %s in the store" % prefix, 600, there)
    target.stop()
    for i in range(writers):
        bench.client.delete("%s%03d" % (prefix, i))
    return {"peak_mib": round(peak / 1024, 1), "seconds": round(seconds, 2), "writers": writers}
