#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600
#
# Operation by operation, class durable on S3 behaves as POSIX and Linux say, as far as an object store
# lets it, and random operations leave what their models say: here, and in the store.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse passthrough python3 jq
f3_s3_start versitygw
f3_s3_volume v default-class=durable
f3_start

# What changes objects or their names; the rest is the same on any store. But for what makes thousands of
# files, each of which is a request or several.
cases=(-k readdir/entries_and_types -k readdir/small_and_large_buffers -k readdir/rename_while_reading
	-k readdir/rewind_sees_changes)
while read -r family; do
	case $family in
	chmod | chown | fsync | mkdir_rmdir | mknod_mkfifo | o_tmpfile | open_create | open_modes | rename* | \
		symlink_readlink | truncate_ftruncate | unlink | unlinked | xattr) cases+=(-k "$family/") ;;
	esac
done < <("$F3_BUILDDIR/tests/posix/posix_suite" -l "$F3_MNT/v" | cut -d/ -f1 | sort -u)
f3_posix "$F3_MNT/v" --object --passthrough --slowest "${cases[@]}"
f3_fsx "$F3_MNT/v/fsx" --seed 1 --ops 300 --size 2000000
f3_storm "$F3_MNT/v/storm" --procs 4 --ops 60 --seed 3 --no-hardlinks --keep || f3_bad "storm"
f3_ok ctl sync >/dev/null
f3_storm_verify "$F3_MNT/v/storm" crash || f3_bad "after the storm"
f3_stop
f3_fsck
rm -rf --one-file-system "$F3_CACHE"
f3_start
f3_storm_verify "$F3_MNT/v/storm" crash || f3_bad "on a node that has never seen it"
