#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# fio writes by every way there is into a file and finds its checksums again.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse fio

# program_fio ENGINE [OPTION...]
program_fio()
{
	local engine=$1 size
	shift
	size=$(f3_by_weight 8M 128M)
	fio --output=fio.out --size="$size" --ioengine="$engine" --verify=crc32c --verify_fatal=1 \
		--do_verify=1 --randseed=7 --fallocate=none "$@" \
		--name=seq --rw=write --bs=64k \
		--name=random --stonewall --rw=randwrite --bsrange=4k-32k --ba=4k \
		--name=mixed --stonewall --rw=randrw --bs=4k --size=2M --time_based=0 \
		--name=two --stonewall --rw=randwrite --bs=8k --numjobs=2 --size=2M &&
		! grep -i 'verify.*fail\|err= *[1-9]' fio.out && stat -c '%n %s' seq.* random.* mixed.* two.* &&
		rm seq.* random.* mixed.* two.* || {
		cat fio.out
		return 1
	}
}

# can_do ENGINE: this fio and this kernel have it.
can_do()
{
	fio --name=probe --filename="$F3_TEST_TMP/probe" --size=64k --rw=write --ioengine="$1" \
		>/dev/null 2>&1
}

f3_local
f3_start
for volume in e m; do
	f3_same "$F3_MNT/$volume" program_fio psync
	f3_same "$F3_MNT/$volume" program_fio mmap
done
f3_same "$F3_MNT/e" program_fio pvsync2 --fsync=64
for engine in libaio io_uring; do
	if can_do $engine; then
		f3_same "$F3_MNT/e" program_fio $engine --iodepth=16
	else
		echo "fio cannot do $engine here"
	fi
done
f3_same "$F3_MNT/e" program_fio psync --direct=1
if can_do libaio; then
	f3_same "$F3_MNT/e" program_fio libaio --iodepth=16 --direct=1
fi
if can_do io_uring; then
	f3_same "$F3_MNT/e" program_fio io_uring --iodepth=16 --direct=1
fi
