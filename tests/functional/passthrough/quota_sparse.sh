#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Holes that are filled count against the quota like bytes past the end; overwriting does not.
# An object counts by its size, so making it longer is refused too.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse fallocate
f3_volume m - quota=16M default-class=memory
f3_volume w "file://$F3_STORE/w" quota=16M default-class=writeback
f3_start

f=$F3_MNT/m/sparse
f3_ok truncate -s 64M "$f"
f3_no 1 "quota exceeded" dd if=/dev/zero of="$f" bs=1M count=48 conv=notrunc
[ "$(du -m "$f" | cut -f 1)" -le 16 ] || f3_bad "$(du -m "$f" | cut -f 1) MiB are held"
f3_ok dd if=/dev/zero of="$f" bs=1M count=8 conv=notrunc status=none
f3_no 1 "quota exceeded" dd if=/dev/zero of="$f" bs=1M count=1 seek=60 conv=notrunc
rm "$f"

f3_until 60 eval '[ "$(df --output=used "$F3_MNT/m" | tail -n 1)" -eq 0 ]' || f3_bad "not freed"
f3_ok truncate -s 64M "$f"
f3_no 1 "quota exceeded" fallocate -l 64M "$f"
f3_ok fallocate -l 8M "$f"

f=$F3_MNT/w/object
f3_ok truncate -s 8M "$f"
f3_no 1 "quota exceeded" truncate -s 64M "$f"
f3_eq "its size" "$(stat -c %s "$f")" 8388608
f3_ok truncate -s 15M "$f"
