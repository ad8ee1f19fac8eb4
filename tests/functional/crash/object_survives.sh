#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A file of the store is open for writing when the machine goes down, and the disk never had its
# cached copy: the object is what there is, not an empty file that takes its place. The restart is
# played: another boot id, bytes taken from the disk.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse unshare
[ -n "${F3_TEST_OWN_MOUNTS:-}" ] ||
	F3_TEST_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0"

f3_volume d "file://$F3_STORE/d" default-class=durable
f3_start
echo "in the store" >"$F3_MNT/d/file"
f3_eq "committed" "$(cat "$F3_STORE/d/file")" "in the store"
ino=$(printf %016x "$(stat -c %i "$F3_MNT/d/file")")
exec {writer}<>"$F3_MNT/d/file"
f3_kill
exec {writer}>&-
find "$F3_CACHE/data" -name "$ino.*" -delete
sed 's/./0/' /proc/sys/kernel/random/boot_id >"$F3_TEST_TMP/boot_id"
cmp -s "$F3_TEST_TMP/boot_id" /proc/sys/kernel/random/boot_id &&
	sed 's/./1/' /proc/sys/kernel/random/boot_id >"$F3_TEST_TMP/boot_id"
mount --bind "$F3_TEST_TMP/boot_id" /proc/sys/kernel/random/boot_id ||
	f3_skip "the boot id cannot be replaced"
f3_start
f3_eq "read through the mount" "$(cat "$F3_MNT/d/file")" "in the store"
echo "something else" >"$F3_MNT/d/other"
f3_stop
f3_eq "the object" "$(cat "$F3_STORE/d/file")" "in the store"
