# SPDX-License-Identifier: Apache-2.0
"""Workloads that are whole programs, and what an idle daemon costs.

Each program workload has prepare(scratch, fsbench), once, and run(directory,
number), timed by itself; it returns seconds.  What the runs made is removed
after the last one, so that no run pays for the deletions of the one before.
"""

import os
import random
import subprocess
import tarfile
import time

ENTRIES = 100000
ENV = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "HOME": "/nonexistent",
       "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
       "GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "bench@localhost",
       "GIT_COMMITTER_NAME": "bench", "GIT_COMMITTER_EMAIL": "bench@localhost"}


def output(argv, env=None):
    """Runs it and returns what it printed; a failure carries the last line of its stderr."""
    done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=env)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise RuntimeError("exit status %d, %s" % (done.returncode, lines[-1]))
    return done.stdout


def timed(argv):
    start = time.monotonic()
    output(argv, ENV)
    return time.monotonic() - start


def remove(paths):
    if paths:
        output(["rm", "-rf", "--"] + paths)


def small_files(count, per_directory, seed):
    """(name, bytes) of a tree like that of a source archive; the same each time."""
    rng = random.Random(seed)
    for i in range(count):
        yield ("d%03d/file%05d.txt" % (i // per_directory, i),
               rng.randbytes(rng.randint(512, 3072)).hex().encode("ascii"))


class GitClone:
    """git clone of a local repository, objects copied."""

    files = 4000

    def __init__(self, scratch, _fsbench):
        self.repo = os.path.join(scratch, "repo")
        self.made = []
        for name, content in small_files(self.files, 40, 1):
            path = os.path.join(self.repo, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(content)
        for args in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "files"],
                     ["gc", "-q"]):
            output(["git", "-C", self.repo] + args, ENV)

    def run(self, directory, number):
        to = os.path.join(directory, "clone-%d" % number)
        self.made.append(to)
        seconds = timed(["git", "clone", "-q", "--no-hardlinks", self.repo, to])
        have = sum(n.endswith(".txt") for _, _, names in os.walk(to) for n in names)
        if have != self.files:
            raise RuntimeError("%s has %d of %d files" % (to, have, self.files))
        return seconds

    def clean(self):
        remove(self.made)


class TarX:
    """tar x of an archive that is in the page cache."""

    files = 20000

    def __init__(self, scratch, _fsbench):
        self.archive = os.path.join(scratch, "files.tar")
        self.made = []
        tree = os.path.join(scratch, "tree")
        for name, content in small_files(self.files, 100, 2):
            path = os.path.join(tree, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(content)
        with tarfile.open(self.archive, "w") as t:
            t.add(tree, arcname="tree")
        remove([tree])

    def run(self, directory, number):
        to = os.path.join(directory, "tar-%d" % number)
        os.mkdir(to)
        self.made.append(to)
        seconds = timed(["tar", "-xf", self.archive, "-C", to])
        have = sum(len(names) for _, _, names in os.walk(to))
        if have != self.files:
            raise RuntimeError("%s has %d of %d files" % (to, have, self.files))
        return seconds

    def clean(self):
        remove(self.made)


class LsL:
    """The real ls -l of a large directory that was listed before."""

    def __init__(self, _scratch, fsbench):
        self.fsbench = fsbench
        self.warm = set()

    def run(self, directory, _number):
        entries = os.path.join(directory, "fsbench.entries.%d" % ENTRIES)
        if directory not in self.warm:
            # fsbench makes the directory, where it is not there yet, and keeps it
            output([self.fsbench, "--seconds", "0.001", "--count", str(ENTRIES), "readdir",
                    directory])
            timed(["ls", "-l", entries])
            self.warm.add(directory)
        return timed(["ls", "-l", entries])

    def clean(self):
        pass  # removed with the scratch file system


PROGRAMS = {"git_clone": GitClone, "tar_x": TarX, "ls_l": LsL}


def cpu_ticks(pids):
    ticks = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks


def resident_mib(pids):
    kib = 0
    for pid in pids:
        with open("/proc/%d/status" % pid, encoding="utf-8", errors="replace") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    kib += int(line.split()[1])
    return kib / 1024


def settle(pids, timeout_s=60):
    """Waits until a whole second passed without CPU time; False if that does not come."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        before = cpu_ticks(pids)
        time.sleep(1)  # the length of the measurement
        if cpu_ticks(pids) == before:
            return True
    return False


def idle(targets, seconds):
    """What each daemon uses while nobody asks any of them anything."""
    found = []
    for target in targets:
        pids = target.pids()
        found.append([target, pids, settle(pids), 0])
    for entry in found:
        entry[3] = cpu_ticks(entry[1])
    time.sleep(seconds)  # the length of the measurement
    for target, pids, settled, before in found:
        target.check()
        yield {"settled": settled, "cpu_ticks": cpu_ticks(pids) - before,
               "resident_mib": round(resident_mib(pids), 1), "processes": len(pids)}
