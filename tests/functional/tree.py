# SPDX-License-Identifier: Apache-2.0
"""Prints all that a program can see of a directory, a line a name, so that two can be compared.

tree.py [--no-links] [--no-times] [--names] DIR

Hard links show as the first of their names. Times are those of modification, in nanoseconds.
"""
import hashlib
import os
import stat
import sys


def xattrs(path):
    try:
        names = sorted(os.listxattr(path, follow_symlinks=False))
    except OSError:
        return ""
    return " ".join(f"{n}={os.getxattr(path, n, follow_symlinks=False).hex()}" for n in names)


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb", buffering=0) as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()[:16]


def show(path, name, first, options):
    st = os.lstat(path)
    if options & {"--names"}:
        return f"{name!r} {stat.filemode(st.st_mode)[0]}"
    fields = [repr(name), stat.filemode(st.st_mode), f"{st.st_uid}:{st.st_gid}"]
    if "--no-times" not in options:
        fields.append(str(st.st_mtime_ns))
    if stat.S_ISREG(st.st_mode):
        fields += [str(st.st_size), digest(path)]
    elif stat.S_ISLNK(st.st_mode):
        fields.append(repr(os.readlink(path)))
    elif stat.S_ISBLK(st.st_mode) or stat.S_ISCHR(st.st_mode):
        fields.append(f"{os.major(st.st_rdev)},{os.minor(st.st_rdev)}")
    if not stat.S_ISDIR(st.st_mode) and "--no-links" not in options:
        fields += [str(st.st_nlink), repr(first.setdefault((st.st_dev, st.st_ino), name))]
    return " ".join(fields + [xattrs(path)])


def main():
    options = {a for a in sys.argv[1:] if a.startswith("--")}
    top = os.fsencode(next(a for a in sys.argv[1:] if not a.startswith("--")))
    names = [b"."]
    for where, dirs, files in os.walk(top):
        names += [os.path.relpath(os.path.join(where, n), top) for n in dirs + files]
    first = {}
    for name in sorted(names):
        print(show(os.path.join(top, name), name, first, options))


main()
