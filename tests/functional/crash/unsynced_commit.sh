#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The machine goes down in the middle of a close of class durable, and the disk never had the bytes:
# what was replaced is what the store has, what was new is empty, and both can be read, written and
# removed. The restart is played: another boot id, bytes taken from the disk.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse debug unshare
[ -n "${F3_TEST_OWN_MOUNTS:-}" ] ||
	F3_TEST_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0"

f3_set restart=no
f3_volume d "file://$F3_STORE/d" default-class=durable
f3_start
mkdir "$F3_MNT/d/dir"
echo "in the store" >"$F3_MNT/d/dir/old"
f3_eq "committed" "$(cat "$F3_STORE/d/dir/old")" "in the store"
for name in old new; do
	f3_stop
	F3_DEBUG_POINTS="stage.before-put=exit" f3_launch || f3_fail "no start"
	{ echo "what was lost" >"$F3_MNT/d/dir/$name"; } 2>/dev/null
	f3_wait
	umount -l "$F3_MNT"
	mapfile -t made < <(find "$F3_CACHE/data" -type f -size -2 -newer "$F3_STORE/d/dir/old")
	grep -l "what was lost" "${made[@]}" >lost || f3_fail "$name: its bytes are not in the cache"
	rm "$(cat lost)"
	f3_other_boot
	f3_start
done
f3_eq "old, through the mount" "$(cat "$F3_MNT/d/dir/old")" "in the store"
f3_eq "old, the object" "$(cat "$F3_STORE/d/dir/old")" "in the store"
if [ -e "$F3_MNT/d/dir/new" ]; then
	f3_eq "new" "$(cat "$F3_MNT/d/dir/new")" ""
fi
for name in old new; do
	f3_ok sh -c "echo again >'$F3_MNT/d/dir/$name'"
	f3_eq "written again" "$(cat "$F3_STORE/d/dir/$name")" again
done
f3_ok rm -r "$F3_MNT/d/dir"
f3_stop
[ ! -e "$F3_STORE/d/dir" ] || f3_bad "the store still has it"
