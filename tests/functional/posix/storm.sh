#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Storms of operations by several processes leave what their models say: at once, after a clean
# restart, and after a second storm beside the first one's files; on every kind of disk.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough

# storms TYPE: of the disk, or class memory
storms()
{
	if [ "$1" = memory ]; then
		f3_volume v - default-class=memory
	else
		f3_cache_on "$1" 1G
		f3_volume v -
	fi
	f3_start
	f3_storm "$F3_MNT/v/one" --procs 4 --ops 3000 --seed 1 --keep || f3_bad "first storm"
	f3_restart
	f3_storm_verify "$F3_MNT/v/one" crash || f3_bad "after a restart"
	F3_MANIFEST=second f3_storm "$F3_MNT/v/two" --procs 4 --ops 3000 --seed 2 ||
		f3_bad "second storm"
	f3_storm_verify "$F3_MNT/v/one" crash || f3_bad "after the second storm"
}

for type in ext4 xfs btrfs tmpfs memory; do
	f3_apart $type storms $type
done
