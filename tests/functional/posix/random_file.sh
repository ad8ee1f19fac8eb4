#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Random reads, writes, mappings, sizes, holes and copies on one file give what a model says, in
# both local classes and on every kind of disk.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough
f3_volume v -
f3_volume m - default-class=memory
f3_start
for seed in 1 2 3 4; do
	f3_fsx "$F3_MNT/v/f" --seed $seed --ops 10000
	f3_fsx "$F3_MNT/m/f" --seed $seed --ops 10000
	# large enough for several extents and read-ahead
	f3_fsx "$F3_MNT/v/f" --seed $((seed + 100)) --ops 2000 --size 8388608
done
f3_stop

# on_disk TYPE
on_disk()
{
	f3_cache_on "$1" 1G
	f3_volume v -
	f3_start
	f3_fsx "$F3_MNT/v/f" --seed 5 --ops 8000
	f3_fsx "$F3_MNT/v/f" --seed 6 --ops 8000
}

for type in ext4 xfs btrfs tmpfs; do
	f3_apart $type on_disk $type
done
