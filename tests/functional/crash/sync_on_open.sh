#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The power goes after a write to a file opened with O_SYNC or O_DSYNC has returned, and nothing else
# was synced: the bytes are there, and so are the name and the directories that lead to it.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse loop unshare mkfs.xfs python3
[ -n "${F3_TEST_OWN_MOUNTS:-}" ] ||
	F3_TEST_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0"

cat >writer.py <<'END'
import os, sys
for top in sys.argv[1:]:
    for name, flags in (("sync", os.O_CREAT | os.O_EXCL | os.O_SYNC),
                        ("dsync", os.O_CREAT | os.O_DSYNC),
                        ("was", os.O_TRUNC | os.O_SYNC)):
        os.mkdir(f"{top}/{name}.d")
        path = f"{top}/{name}.d/file"
        if name == "was":
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        fd = os.open(path, flags | os.O_RDWR)
        assert os.write(fd, b"there") == 5
END
# opened TYPE VOLUME
opened()
{
	local disk name
	f3_cache_on "$1" 512M
	disk=$F3_NATIVE
	f3_volume v -
	f3_volume w "file://$F3_STORE/w" default-class=writeback
	f3_start
	f3_ok python3 writer.py "$F3_MNT/$2"
	f3_power_cut "$1" "$disk"
	for name in sync dsync was; do
		f3_eq "$1, $2/$name" "$(cat "$F3_MNT/$2/$name.d/file")" there
	done
	f3_stop
	f3_fsck
}
for type in ext4 xfs; do
	for volume in v w; do
		f3_apart $type-$volume opened $type $volume
	done
done
