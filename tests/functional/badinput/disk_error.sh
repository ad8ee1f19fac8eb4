#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The cache disk fails: EIO to who asks, the daemon lives, and what was synced is there afterwards.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq loop xfs_io
f3_cache_on ext4 300M
f3_volume data -
f3_start
d=$F3_MNT/data
for i in {1..30}; do echo "$i" >"$d/f$i"; done
sync -d "$d"/f* || f3_bad "sync"
sync "$d"
exec {fd}>>"$d/f1"
echo "more" >&"$fd"
# The disk is pulled: every access fails from now on.
xfs_io -x -c 'shutdown' "$F3_TEST_TMP/disk" || f3_skip "this kernel cannot shut ext4 down"
f3_no 1 'Input/output error|Read-only' touch "$d/new"
f3_no 1 'Input/output error|Read-only' sh -c "head -c 1M /dev/zero >>'$d/f2'; sync '$d/f2'"
f3_eq "it still answers" "$(ctl --json status | jq .pid)" "$F3_PID"
f3_ok ls "$F3_MNT" >/dev/null
exec {fd}>&-
kill -TERM "$F3_SUPERVISOR"
f3_wait
rc=$?
[ $rc -le 1 ] || f3_bad "f3d ended with $rc"
f3_unmounted "$F3_MNT"
umount "$F3_TEST_TMP/run/memory" 2>/dev/null
f3_umount "$F3_TEST_TMP/disk"
f3_disk_again ext4 "$F3_TEST_TMP/disk"
f3_start
for i in {1..30}; do
	f3_eq "file $i" "$(head -n 1 "$d/f$i")" "$i"
done
f3_ok ctl fsck >/dev/null
