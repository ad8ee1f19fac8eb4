#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl fsck: of a living daemon and of a directory without one, found and repaired.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data -
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_start
d=$F3_MNT/data
mkdir -p "$d/a/b"
for i in {1..50}; do echo "$i" >"$d/a/b/f$i"; done
ln "$d/a/b/f1" "$d/hard"
echo p >"$F3_MNT/photos/p"
f3_ok ctl sync
exec {fd}>"$d/open"
echo growing >&$fd
f3_eq "clean, while it is used" "$(ctl --json fsck | jq -c '[.ok, .problems]')" "[true,0]"
f3_match "for people" "$(ctl fsck)" '[0-9]+ inodes, [0-9]+ names, 0 problems'
f3_no 1 'stop f3d' ctl fsck --repair
f3_no 1 'in use by another f3d' ctl fsck --cache "$F3_CACHE"
exec {fd}>&-
f3_ok ctl sync

# A backing file goes: seen at once, with its path.
lost=$(f3_info "$d/a/b/f7" .backing.path)
cached=$(f3_info "$F3_MNT/photos/p" .backing.path)
rm "$lost"
f3_no 1 'backing file is missing or wrong.*ENOENT.*/data/a/b/f7' ctl fsck
f3_eq "as JSON" "$(ctl --json fsck | jq -s -c '[.[0].item.path, .[1].problems]')" '["/a/b/f7",1]'
rm "$cached"
f3_stop

f3_no 1 '2 problems, 0 repaired' f3ctl fsck --cache "$F3_CACHE"
f3_eq "repaired" "$(f3ctl --json fsck --cache "$F3_CACHE" --repair | tail -n 1 |
	jq -c '.problems >= 2 and .problems == .repaired')" true
f3_ok f3ctl fsck --cache "$F3_CACHE" >/dev/null
f3_start
f3_no 1 'Input/output error' cat "$d/a/b/f7"
f3_eq "what the store has is fetched again" "$(cat "$F3_MNT/photos/p")" p
f3_eq "others" "$(cat "$d/a/b/f8" "$d/hard")" $'8\n1'

# A check between a crash and the next start does not hide the crash.
echo after >"$d/after"
f3_kill
f3ctl fsck --cache "$F3_CACHE" >/dev/null
f3ctl fsck --cache "$F3_CACHE" --repair >/dev/null
f3_start
f3_eq "written before the crash" "$(cat "$d/after")" after
f3_ok ctl fsck >/dev/null

f3_no 1 'is no directory' f3ctl fsck --cache "$F3_TEST_TMP/nope"
mkdir empty
f3_no 1 'is no cache directory' f3ctl fsck --cache empty
f3_no 2 'only with --cache' f3ctl fsck --memory /tmp
f3_no 2 'no arguments' f3ctl fsck here
