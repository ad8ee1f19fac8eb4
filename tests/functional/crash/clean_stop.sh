#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# The power goes right after an orderly stop: copies of objects that are trusted from then on are on
# the disk, and so is what nobody had synced. The disk is shut down without writing anything back;
# another boot id makes it a machine's restart.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse loop unshare jq xfs_io mkfs.xfs
[ -n "${F3_TEST_OWN_MOUNTS:-}" ] ||
	F3_TEST_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0"
f3_cache_on xfs 512M
f3_volume v "file://$F3_STORE/v" default-class=durable
f3_rules v 'local-* = ephemeral'
mkdir "$F3_STORE/v"
for i in 1 2 3 4; do head -c 3000000 /dev/urandom >"$F3_STORE/v/cold$i"; done
f3_start
v=$F3_MNT/v
for i in 1 2 3 4; do f3_ok cmp "$v/cold$i" "$F3_STORE/v/cold$i"; done
head -c 2000000 /dev/urandom >"$v/new"
head -c 1000000 /dev/urandom >"$v/local-file"
sum=$(md5sum <"$v/local-file")
f3_eq "a copy is here" "$(f3_info "$v/cold1" .state)" clean
f3_stop

xfs_io -x -c shutdown "$F3_NATIVE" || f3_skip "this disk cannot be shut down"
f3_umount "$F3_NATIVE"
f3_disk_again xfs "$F3_NATIVE"
cat /proc/sys/kernel/random/uuid >boot_id
mount --bind boot_id /proc/sys/kernel/random/boot_id || f3_skip "the boot id cannot be replaced"
f3_start
for i in 1 2 3 4; do f3_ok cmp "$v/cold$i" "$F3_STORE/v/cold$i"; done
f3_ok cmp "$v/new" "$F3_STORE/v/new"
f3_eq "of class ephemeral" "$(md5sum <"$v/local-file")" "$sum"
f3_ok ctl fsck >/dev/null
