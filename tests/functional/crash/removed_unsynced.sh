#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The power goes after files were removed or replaced and nobody synced that: what was fsynced before
# is there with its bytes, or gone, or replaced. The disk may have written down by then that the
# backing files went; it must not have if the database's log is not on it.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse loop unshare mkfs.xfs
[ -n "${F3_TEST_OWN_MOUNTS:-}" ] ||
	F3_TEST_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0"

# no_bytes INO...: none of these files has any in the cache
no_bytes()
{
	local ino
	for ino; do
		[ -z "$(find "$F3_CACHE/data" -name "$ino.*")" ] || return 1
	done
}

# is_one_of FILE CONTENT...
is_one_of()
{
	local file=$1 now content
	now=$(cat "$file") || f3_bad "$file cannot be read"
	shift
	for content; do
		[ "$now" != "$content" ] || return 0
	done
	f3_bad "$file has '$now'"
}

# removed TYPE
removed()
{
	local disk name inos
	f3_cache_on "$1" 512M
	disk=$F3_NATIVE
	f3_volume v -
	f3_volume w "file://$F3_STORE/w" default-class=writeback
	f3_start
	for name in v/gone v/replaced w/gone w/replaced; do
		echo old >"$F3_MNT/$name"
		sync "$F3_MNT/$name" "$F3_MNT/${name%/*}"
	done
	ctl sync >/dev/null || f3_fail "$1: the store does not have it"
	mapfile -t inos < <(stat -c %i "$F3_MNT"/[vw]/gone "$F3_MNT"/[vw]/replaced)
	for name in v w; do
		echo new >"$F3_MNT/$name/tmp"
		sync "$F3_MNT/$name/tmp"
	done
	for name in v w; do
		mv "$F3_MNT/$name/tmp" "$F3_MNT/$name/replaced"
		rm "$F3_MNT/$name/gone"
	done
	f3_until 60 no_bytes "${inos[@]}" || f3_fail "$1: the bytes do not go"
	# The disk's own journal, with everything that was done to its names so far.
	echo x >"$disk/other"
	sync "$disk/other"
	f3_power_cut "$1" "$disk"
	for name in v w; do
		is_one_of "$F3_MNT/$name/replaced" old new
		[ ! -e "$F3_MNT/$name/gone" ] || is_one_of "$F3_MNT/$name/gone" old
	done
	f3_stop
	f3_fsck
}
for type in ext4 xfs; do
	f3_apart $type removed $type
done
