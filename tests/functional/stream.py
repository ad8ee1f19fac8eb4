# SPDX-License-Identifier: Apache-2.0
"""What the tests of files that are read while they are written share.

A writer is a process of its own, so that a reader may be held up, and so that it can be killed.
"""
import json
import os
import signal
import socket
import sys

from f3test import *  # noqa: F403
from f3test import until


class Writer:
    """Does to its file what it is told, and says when it is done."""

    def __init__(self, path, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self.ours.close()
            self.serve(theirs, path, flags)
        theirs.close()
        self.path = path
        self.heard()

    @staticmethod
    def serve(tell, path, flags):
        fd = os.open(path, flags, 0o644)
        tell.send(b".")
        while True:
            command = tell.recv(1 << 16)
            if not command or command == b"exit":
                os._exit(0)
            what, _, data = command.partition(b" ")
            if what == b"write":
                assert os.write(fd, data) == len(data)
            elif what == b"fill":
                os.write(fd, b"x" * int(data))
            elif what == b"pwrite":
                at, _, data = data.partition(b" ")
                os.pwrite(fd, data, int(at))
            elif what == b"truncate":
                os.ftruncate(fd, int(data))
            elif what == b"reopen":
                os.close(fd)
                fd = os.open(path, os.O_WRONLY | os.O_APPEND)
            elif what == b"fsync":
                os.fsync(fd)
            elif what == b"close":
                os.close(fd)
            elif what == b"status":
                os._exit(int(data))
            tell.send(b".")

    def heard(self):
        if self.ours.recv(1) != b".":
            raise RuntimeError("the writer of %s died" % self.path)

    def __call__(self, command):
        self.ours.send(command)
        self.heard()

    def ends(self, command=b"exit"):
        self.ours.send(command)
        self.wait()

    def killed(self, how=signal.SIGKILL):
        os.kill(self.pid, how)
        self.wait()

    def wait(self):
        os.waitpid(self.pid, 0)
        self.ours.close()


class Reader:
    """A read in a process of its own: what it got or the name of the error, once result() is asked."""

    def __init__(self, function, *args):
        self.ours, theirs = socket.socketpair()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self.ours.close()
            try:
                got = function(*args)
            except OSError as e:
                got = b"errno %d" % e.errno
            theirs.sendall(got)
            os._exit(0)
        theirs.close()

    def result(self):
        got = b""
        while True:
            more = self.ours.recv(1 << 20)
            if not more:
                break
            got += more
        os.waitpid(self.pid, 0)
        return got


def parked(stats, count):
    """Waits until so many requests wait for bytes."""
    def now():
        with open(stats, encoding="ascii") as f:
            for line in f:
                if line.startswith("f3_fuse_parked_reads "):
                    return float(line.split()[1]) == count
        return False
    return until(60, "%d requests wait" % count, now)


def tell(**request):
    """A request of f3ctl's protocol."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.environ["F3_RUN"] + "/control.sock")
        s.sendall(json.dumps(request).encode() + b"\n")
        with s.makefile("rb") as f:
            for line in f:
                answer = json.loads(line)
                if "ok" in answer:
                    if not answer["ok"]:
                        raise RuntimeError("%s: %s" % (request, answer))
                    return answer
    raise RuntimeError("no answer to %s" % request)


def read_all(path):
    with open(path, "rb", buffering=0) as f:
        return f.readall()
