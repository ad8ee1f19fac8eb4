# SPDX-License-Identifier: Apache-2.0
"""The file systems under test.

A target has a name, start() that returns the directory to work in, stop(), and
the processes that serve it.  Everything it needs lies in a directory of its own
on the scratch file system, so that each target has the same file system below.
"""

import fcntl
import os
import select
import signal
import subprocess
import time


class TargetError(Exception):
    """A file system did not start, stop, or stay."""


def mounted(path):
    """True if something is mounted exactly there."""
    want = os.path.realpath(path)
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return any(line.split()[4] == want for line in f)


def wait_mounted(path, process, timeout_s=30):
    """Waits for the mount or the end of the process; mountinfo and a pidfd tell, no sleeping."""
    deadline = time.monotonic() + timeout_s
    pidfd = os.pidfd_open(process.pid)
    try:
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            poll = select.poll()
            poll.register(f.fileno(), select.POLLPRI | select.POLLERR)
            poll.register(pidfd, select.POLLIN)
            while not mounted(path):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TargetError("not mounted after %d s: %s" % (timeout_s, path))
                poll.poll(left * 1000)
                if process.poll() is not None and not mounted(path):
                    raise TargetError("ended with %d before it mounted %s" %
                                      (process.returncode, path))
    finally:
        os.close(pidfd)


def descendants(pid):
    """The process and all below it: a daemon may be a supervisor and a worker."""
    parents = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name, encoding="utf-8", errors="replace") as f:
                parents[int(name)] = int(f.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue  # it ended while we looked
    found = [pid]
    for p in found:
        found += [c for c, parent in parents.items() if parent == p]
    return found


class Target:
    """The file system itself: no daemon, a plain directory."""

    def __init__(self, name, scratch):
        self.name = name
        self.base = os.path.join(scratch, name)
        self.process = None
        self.mountpoint = None
        os.makedirs(self.base)

    def directory(self):
        """Where the workloads run."""
        return os.path.join(self.base, "files")

    def start(self):
        os.makedirs(self.directory())
        spread(self.directory())

    def check(self):
        """Raises if the file system has gone: a dead mount must not be measured as a fast one."""
        if self.mountpoint and (self.process.poll() is not None or not mounted(self.mountpoint)):
            raise TargetError("%s has ended; see %s/log" % (self.name, self.base))

    def restart(self):
        """Drops what the file system holds in memory, where it has that need; see Command."""

    def stop(self):
        pass

    def pids(self):
        return descendants(self.process.pid) if self.process else []


class Command(Target):
    """A file system in user space that mirrors a directory; {src} and {mnt} are filled in."""

    def __init__(self, name, scratch, argv):
        super().__init__(name, scratch)
        self.source = os.path.join(self.base, "files")
        self.mountpoint = os.path.join(self.base, "mnt")
        self.argv = [a.format(src=self.source, mnt=self.mountpoint) for a in argv]

    def directory(self):
        return self.mountpoint

    def start(self):
        os.makedirs(self.source, exist_ok=True)
        os.makedirs(self.mountpoint, exist_ok=True)
        spread(self.source)
        self.launch()

    def launch(self):
        with open(os.path.join(self.base, "log"), "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        wait_mounted(self.mountpoint, self.process)

    def restart(self):
        # passthrough_hp keeps a descriptor for every inode the kernel knows and fails when
        # they are used up: it needs a new mount before, and after, work on many files
        self.stop()
        self.launch()

    def stop(self):
        if not self.process:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                subprocess.run(["umount", "-l", self.mountpoint], check=False)
                raise TargetError("%s did not end within 60 s of SIGTERM" % self.name) from None
        if mounted(self.mountpoint):
            subprocess.run(["umount", "-l", self.mountpoint], check=False)
            raise TargetError("%s ended and left its mount" % self.name)
        self.process = None


class F3(Command):
    """F3 with one ephemeral volume; its cache lies on the scratch file system."""

    CONF = """[f3]
mountpoint = {mnt}
node = bench
cache = {base}/cache
cache-size = 8G
run-dir = {base}/run
log = stderr
transport = {transport}

[volume bench]
url = file://{base}/objects
default-class = ephemeral
"""

    def __init__(self, name, scratch, f3d, transport):
        conf = os.path.join(scratch, name, "f3.conf")
        super().__init__(name, scratch, [f3d, "-f", "-c", conf, "{mnt}"])
        self.conf = conf
        self.transport = transport

    def directory(self):
        return os.path.join(self.mountpoint, "bench")

    def restart(self):
        pass

    def start(self):
        for sub in ("mnt", "cache", "run", "objects"):
            os.makedirs(os.path.join(self.base, sub))
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(self.CONF.format(mnt=self.mountpoint, base=self.base,
                                     transport=self.transport))
        self.launch()
        if not os.path.isdir(self.directory()):
            raise TargetError("%s shows no volume 'bench'" % self.name)


def spread(path):
    """Lets ext4 give each directory below its own block group (chattr +T).

    ext4 does not take an inode again for a minute after it was deleted, and looks
    at all of them to find one that it may take: in a group where ten thousand files
    were just removed a create takes 0.7 ms instead of 0.02.  That would make the
    native figure, and so every ratio, a matter of what ran before.
    """
    get, put, topdir = 0x80086601, 0x40086602, 0x00020000
    fd = os.open(path, os.O_RDONLY)
    try:
        flags = int.from_bytes(fcntl.ioctl(fd, get, bytes(8)), "little") | topdir
        fcntl.ioctl(fd, put, flags.to_bytes(8, "little"))
    except OSError:
        pass  # not ext4: nothing to spread
    finally:
        os.close(fd)


class Scratch:
    """A file system of our own in an image file, so that nobody else's journal is in the way."""

    def __init__(self, parent, image_gib):
        self.path = os.path.join(parent, "f3bench-%d" % os.getpid())
        self.image = self.path + ".img"
        self.own = image_gib > 0
        os.makedirs(self.path)
        if not self.own:
            return
        with open(self.image, "wb") as f:
            f.truncate(image_gib << 30)
        try:
            subprocess.run(["mkfs.ext4", "-q", "-F", "-i", "8192", "-E", "lazy_itable_init=1,"
                            "lazy_journal_init=1", self.image], check=True)
            loop = self.loop()
            try:
                subprocess.run(["mount", "-o", "noinit_itable", loop, self.path], check=True)
            finally:
                # goes with the mount from here on
                subprocess.run(["losetup", "-d", loop], check=True)
        except (OSError, TargetError, subprocess.CalledProcessError):
            self.own = False
            self.close()
            raise

    def loop(self):
        """A loop device past the page cache where that works: else every page is cached twice."""
        for direct in (["--direct-io=on"], []):
            done = subprocess.run(["losetup", "-f", "--show"] + direct + [self.image],
                                  check=False, stdout=subprocess.PIPE)
            if done.returncode == 0:
                return done.stdout.decode().strip()
        raise TargetError("no loop device for " + self.image)

    def close(self):
        if self.own:
            # throw the dirty pages away instead of writing them out: FS_IOC_SHUTDOWN, no log flush
            fd = os.open(self.path, os.O_RDONLY)
            try:
                fcntl.ioctl(fd, 0x8004587d, (2).to_bytes(4, "little"))
            finally:
                os.close(fd)
            # the kernel lets go of the backing files of a dead FUSE mount a little later
            if subprocess.run(["umount", self.path], check=False,
                              stderr=subprocess.DEVNULL).returncode:
                subprocess.run(["umount", "-l", self.path], check=True)
            os.unlink(self.image)
            os.rmdir(self.path)
            return
        if os.path.exists(self.image):
            os.unlink(self.image)
        subprocess.run(["rm", "-rf", "--one-file-system", self.path], check=True)
