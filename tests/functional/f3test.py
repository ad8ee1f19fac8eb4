# SPDX-License-Identifier: Apache-2.0
"""What the Python parts of functional tests share: checks that go on, processes of other users.

A script is fed to f3_python (suites.sh) and ends with done(). Nothing here sleeps to wait: until()
looks again and again for what nobody announces.
"""
import errno
import os
import select
import sys
import time
import traceback

failures = 0


def bad(text):
    global failures
    failures += 1
    print("FAILED:", text, flush=True)


def eq(what, got, want):
    if got != want:
        bad(f"{what}: got {got!r}, wanted {want!r}")
    return got == want


def check(what, ok):
    if not ok:
        bad(what)
    return ok


def error_of(function, *args, **named):
    """The name of the errno that a call ends with, 'ok' if it succeeds."""
    try:
        function(*args, **named)
    except OSError as e:
        name = errno.errorcode.get(e.errno, str(e.errno))
        return "EOPNOTSUPP" if name == "ENOTSUP" else name
    return "ok"


def refused(what, want, function, *args, **named):
    return eq(what, error_of(function, *args, **named), want)


def state(path):
    return os.getxattr(path, "user.f3.state").decode()


def until(seconds, what, function):
    if os.environ.get("F3_SANITIZE"):
        seconds *= 5  # as f3_until
    end = time.monotonic() + seconds
    while not function():
        if time.monotonic() > end:
            bad(f"not within {seconds} s: {what}")
            return False
        select.select([], [], [], 0.005)
    return True


def sealed(path, seconds=60):
    return until(seconds, f"{path} is sealed", lambda: state(path) == "sealed")


def in_child(function, *args, uid=None, gid=None, groups=()):
    """Runs a function in a process of its own, perhaps as another user; its failures count."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        global failures
        failures = 0
        try:
            if uid is not None:
                os.setgroups(list(groups))
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
            function(*args)
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            failures += 1
        sys.stdout.flush()
        os._exit(1 if failures else 0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:
        bad(f"{function.__name__} died of signal {-status}")
    elif status:
        bad(f"{function.__name__} as {uid}: see above")


def put(path, data=b"", mode=0o644):
    fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view):]
    finally:
        os.close(fd)


def get(path):
    with open(path, "rb", buffering=0) as f:
        return f.readall()


def done():
    sys.exit(1 if failures else 0)
