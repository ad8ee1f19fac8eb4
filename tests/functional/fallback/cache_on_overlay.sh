#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The cache on a stacked file system, as in a container without a volume: the kernel refuses to pass
# files through to it. They go through the daemon, and status and info say why.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse passthrough
f3_volume data -
mkdir lower upper work "$F3_CACHE"
mount -t tmpfs none upper || f3_skip "needs tmpfs"
mkdir upper/up upper/work
mount -t overlay -o "lowerdir=$PWD/lower,upperdir=$PWD/upper/up,workdir=$PWD/upper/work" none "$F3_CACHE" ||
	{ umount upper; f3_skip "needs overlayfs"; }
f3_start
file=$F3_MNT/data/file
head -c 3000000 /dev/urandom >plain
f3_ok cp plain "$file"
f3_ok cmp plain "$file"
exec {fd}<"$file"
f3_eq "mode" "$(f3_info "$file" .open_mode)" cached
f3_match "why" "$(f3_info "$file" .not_passthrough)" 'stacked|tell when a writer is gone'
exec {fd}<&-
f3_ok dd if=/dev/zero "of=$file" bs=4096 seek=1 count=1 conv=notrunc status=none
f3_ok dd if=/dev/zero of=plain bs=4096 seek=1 count=1 conv=notrunc status=none
f3_ok cmp plain "$file"
# shellcheck disable=SC2119 # no arguments
f3_restart
f3_ok cmp plain "$file"
f3_ok f3_stop
umount "$F3_CACHE" upper
