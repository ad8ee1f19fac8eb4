#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The power goes right after close(2) of a file of class durable: the object is committed, and the
# cache's disk has the log of the database up to some moment before, and none of the file's bytes.
# Wherever that moment is, the file is what was written.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse loop unshare mkfs.xfs python3
[ -n "${F3_TEST_OWN_MOUNTS:-}" ] ||
	F3_TEST_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0"

# write.py TOP WHAT WHEN: the log is synced at that moment, by way of another file.
cat >write.py <<'END'
import os, sys
top, what, when = sys.argv[1:]
other = os.open(f"{top}/v/other", os.O_CREAT | os.O_WRONLY)
def moment(name):
    if name == when:
        os.write(other, b"x")
        os.fsync(other)
path = f"{top}/d/{what}-{when}"
flags = {"made": os.O_CREAT | os.O_EXCL, "emptied": os.O_TRUNC, "changed": 0}[what]
fd = os.open(path, flags | os.O_WRONLY)
moment("opened")
os.write(fd, b"new")
moment("written")
os.fsync(fd) if when == "fsync" else os.close(fd)
moment("closed")
if when == "mode":
    os.chmod(path, 0o640)
    moment("mode")
END
f3_cache_on xfs 512M
disk=$F3_NATIVE
f3_volume v -
f3_volume d "file://$F3_STORE/d" default-class=durable
f3_start
for what in made emptied changed; do
	for when in opened written fsync mode; do
		file=$what-$when
		[ $what = made ] || echo -n "before" >"$F3_MNT/d/$file"
		f3_ok python3 write.py "$F3_MNT" $what $when
		f3_power_cut xfs "$disk"
		wanted=new
		[ $what != changed ] || wanted=newore
		f3_eq "$file, its size" "$(stat -c %s "$F3_MNT/d/$file")" ${#wanted}
		f3_eq "$file, through the mount" "$(cat "$F3_MNT/d/$file")" $wanted
		f3_ok ctl sync
		f3_eq "$file, the object" "$(cat "$F3_STORE/d/$file")" $wanted
	done
done
f3_stop
f3_fsck
