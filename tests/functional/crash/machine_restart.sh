#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# After a restart of the machine: files of class memory are gone with all their names and nothing
# else is, and files of class ephemeral that nobody synced show what there is of them. The restart
# is played: another boot id, an empty tmpfs, bytes taken from the disk.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse unshare setfattr
[ -n "${F3_TEST_OWN_MOUNTS:-}" ] ||
	F3_TEST_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0"

f3_volume data -
f3_rules data '*.mem = memory'
f3_start
cd "$F3_MNT/data" || exit
echo kept >kept
echo lost >lost
echo short >short
echo x >a.mem
ln a.mem b
f3_ok mv b c.mem
mkdir dir
ln a.mem dir/name.mem
rm dir/name.mem
echo precious >dir/other
f3_ok mv dir/other dir/name.mem
setfattr -n user.f3.class -v ephemeral dir/name.mem
touch 1.mem 2.mem 3.mem
inodes() { df --output=iused "$F3_MNT/data" | tail -n 1 | tr -d ' '; }
backing() { find "$F3_CACHE/data" -name "$(printf %016x "$(stat -c %i "$1")").*"; }
lost=$(backing lost) short=$(backing short)
cd / || exit

f3_kill
f3_umount "$F3_RUN/memory"
rm "$lost"
truncate -s 2 "$short"
sed 's/./0/' /proc/sys/kernel/random/boot_id >"$F3_TEST_TMP/boot_id"
[ "$(cat "$F3_TEST_TMP/boot_id")" != "$(cat /proc/sys/kernel/random/boot_id)" ] ||
	sed 's/./1/' /proc/sys/kernel/random/boot_id >"$F3_TEST_TMP/boot_id"
mount --bind "$F3_TEST_TMP/boot_id" /proc/sys/kernel/random/boot_id || f3_skip "the boot id cannot be replaced"
f3_start

cd "$F3_MNT/data" || exit
f3_eq "names" "$(find . | sort | tr '\n' ' ')" ". ./dir ./dir/name.mem ./kept ./lost ./short "
f3_eq "inodes in use" "$(inodes)" 6
f3_eq "kept" "$(cat kept)" kept
f3_eq "another file under an old name" "$(cat dir/name.mem)" precious
f3_eq "bytes lost" "$(stat -c %s lost):$(cat lost)" "0:"
f3_eq "bytes cut off" "$(stat -c %s short):$(cat short)" "2:sh"
cd / || exit
