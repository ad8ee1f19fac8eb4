#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Backing files of a content that was replaced, or is about to be, just before a crash: the next
# start removes both and keeps the one that the record speaks of.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse
f3_volume data -
f3_start

echo kept >"$F3_MNT/data/file"
ino=$(printf %016x "$(stat -c %i "$F3_MNT/data/file")")
f3_kill
now=$(find "$F3_CACHE/data" -name "$ino.*")
f3_match "its backing file" "$now" "/$ino\\.00000001\$"
head -c 1000000 /dev/zero >"${now%1}0"
head -c 1000000 /dev/zero >"${now%1}2"
f3_start
f3_until 20 eval '[ "$(find "$F3_CACHE/data" -name "$ino.*")" = "$now" ]' ||
	f3_bad "there are $(find "$F3_CACHE/data" -name "$ino.*")"
f3_eq "its content" "$(cat "$F3_MNT/data/file")" kept
