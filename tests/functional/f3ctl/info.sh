#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl info: what is known of files of all kinds, by every way to name them.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data -
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_start
d=$F3_MNT/data
echo 12345 >"$d/x"
f3_becomes 60 "its state, closed" sealed f3_info "$d/x" .state

f3_eq "local file" "$(ctl --json info "$d/x" |
	jq -c '[.volume, .path, .type, .size, .here_bytes, .class, .class_source, .state, .place, .in_store]')" \
	'["data","/x","file",6,6,"ephemeral","default","sealed","here",null]'
backing=$(f3_info "$d/x" .backing.path)
f3_eq "backing file" "$(cat "$backing")" 12345
setfattr -n user.f3.class -v memory "$d/x"
f3_eq "class set on it" "$(f3_info "$d/x" '.class + " " + .class_source')" "memory own"

# In the store; evicted; read in part: which ranges are here.
head -c 8000000 /dev/urandom >"$F3_MNT/photos/big"
f3_ok ctl sync "$F3_MNT/photos/big"
f3_eq "staged" "$(f3_info "$F3_MNT/photos/big" '.state + " " + .in_store')" "clean yes"
f3_closed
f3_ok ctl evict "$F3_MNT/photos/big"
f3_eq "evicted" "$(f3_info "$F3_MNT/photos/big" '.state + " " + .place + " \(.here_bytes)"')" \
	"remote store 0"
dd if="$F3_MNT/photos/big" of=/dev/null bs=4096 count=1 skip=1000 status=none
part=$(ctl --json info "$F3_MNT/photos/big")
f3_eq "part of it" "$(jq -r '.place + " " + .state' <<<"$part")" "part filling"
jq -e '.here_bytes > 0 and .here_bytes < .size and .extents_n >= 1 and (.extents[0] | length) == 2 and
	([.extents[][1]] | add) == .here_bytes' <<<"$part" >/dev/null || f3_bad "extents: $part"
f3_match "etag" "$(jq -r .etag <<<"$part")" .
f3_match "for people" "$(ctl info "$F3_MNT/photos/big")" 'here .* of 7\.6 MiB: bytes [0-9]+-[0-9]+'

# By every way.
mkdir -p "$d/a/b" "$F3_TEST_TMP/bound" "$F3_TEST_TMP/links"
echo y >"$d/a/b/f"
ino=$(stat -c %i "$d/a/b/f")
ln -s "$d/a" "$F3_TEST_TMP/links/a"
f3_eq "volume:/path" "$(f3_info data:/a/b/f .ino)" "$ino"
cd "$d/a" || exit 1
f3_eq "relative" "$(f3_info b/f .ino)" "$ino"
f3_eq "with dots" "$(f3_info ./b/../b//f .ino)" "$ino"
cd / || exit 1
f3_eq "through a link outside" "$(f3_info "$F3_TEST_TMP/links/a/b/f" .ino)" "$ino"
mount --bind "$d/a" "$F3_TEST_TMP/bound" || f3_fail "no bind mount"
f3_eq "through a bind mount" "$(f3_info "$F3_TEST_TMP/bound/b/f" .path)" /a/b/f
umount "$F3_TEST_TMP/bound"
f3_eq "mount root" "$(f3_info "$F3_MNT" .type)" directory
f3_eq "volume root" "$(f3_info "$d" '.path + " " + .volume')" "/ data"

# A link inside is shown, not followed: not even on the way.
ln -s a "$d/link"
f3_eq "link" "$(f3_info "$d/link" '.type + " " + .target')" "symlink a"
f3_no 1 'data:/link/b: Not a directory' ctl info data:/link/b

# Any byte but / and NUL.
name=$'\xff\x01 "\\\n'
echo z >"$d/$name"
f3_eq "bytes in hexadecimal" "$(f3_info "$d/$name" .path_hex)" 2fff0120225c0a
f3_match "shown escaped" "$(ctl info "$d/$name")" '\\xff\\x01 "\\\\\\n'

f3_no 1 'data:/nope: No such file or directory \(ENOENT\)' ctl info "$d/nope"
f3_no 1 'does not lie on' ctl info /etc/passwd
f3_no 1 'does not lie on' ctl info "$F3_MNT-beside"
f3_no 2 'a path is wanted' ctl info
f3_no 1 'ENAMETOOLONG' ctl info "data:/$(printf 'x%.0s' {1..256})"
f3_eq "one bad of two" "$(ctl --json info "$d/nope" "$d/x" 2>/dev/null | jq -s -c 'map(.ok)')" \
	'[false,true]'
mkfifo "$d/fifo"
f3_eq "fifo" "$(f3_info "$d/fifo" .type)" fifo
