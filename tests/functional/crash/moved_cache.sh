#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A cache directory whose disk has another number after a boot is what it was; one that was copied is
# another node, with everything that was in it.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse loop
f3_cache_on ext4 256M
disk=$F3_NATIVE
f3_volume v -
f3_start
echo content >"$F3_MNT/v/file"
identity=$(head -n 1 "$F3_CACHE/node")
device=$(stat -c %d "$F3_CACHE")
f3_stop

# Another disk takes its number.
f3_umount "$disk"
truncate -s 16M other.img
mkfs.ext4 -q other.img
mkdir other
mount -o loop other.img other || f3_skip "no second loop device"
f3_disk_again ext4 "$disk"
[ "$(stat -c %d "$F3_CACHE")" != "$device" ] || echo "the disk has the same number again"
f3_start
f3_eq "content" "$(cat "$F3_MNT/v/file")" content
f3_eq "identity" "$(head -n 1 "$F3_CACHE/node")" "$identity"
f3_stop

cp -a "$F3_CACHE" copy
F3_CACHE=$PWD/copy
f3_set "cache=$F3_CACHE"
for start in first second; do
	f3_start
	f3_eq "content of the copy, $start start" "$(cat "$F3_MNT/v/file")" content
	[ "$(head -n 1 "$F3_CACHE/node")" != "$identity" ] || f3_bad "the copy is the same node"
	echo "$start" >"$F3_MNT/v/new"
	f3_stop
	f3_fsck
done
umount other
