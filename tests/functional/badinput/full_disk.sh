#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A full cache disk: ENOSPC to who writes, what is there stays, and there is room again after rm.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
mkdir "$F3_TEST_TMP/disk"
# Room for the database and 100 MiB more.
mount -t tmpfs -o size=200M none "$F3_TEST_TMP/disk" || f3_fail "no tmpfs"
F3_CACHE=$F3_TEST_TMP/disk/cache
f3_set "cache=$F3_CACHE" writer-reserve=4M
f3_volume data -
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_start
d=$F3_MNT/data
echo keep >"$d/keep"
n=0
until ! dd if=/dev/urandom of="$d/f$n" bs=1M count=10 status=none 2>err; do
	n=$((n + 1))
	[ $n -lt 60 ] || f3_fail "a disk of 200 MiB takes 600"
done
f3_match "the error" "$(cat err)" 'No space left on device'
[ $n -ge 5 ] || f3_bad "full after $n files of 10 MiB"
f3_eq "what was there" "$(cat "$d/keep")" keep
for ((i = 0; i < n; i++)); do
	f3_eq "file $i is whole" "$(stat -c %s "$d/f$i")" 10485760
done
f3_ok ctl status >/dev/null
f3_match "df" "$(df --output=pcent "$d" | tail -n 1)" '(9[0-9]|100)%'
rm "$d"/f*
again() { head -c 20M /dev/zero >"$d/again" 2>/dev/null; }
f3_until 60 again || f3_bad "no room after rm"
rm "$d/again"

# Copies of objects make room by themselves.
for i in {1..25}; do
	head -c 10M /dev/urandom >"$F3_MNT/photos/o$i" || f3_bad "object $i: no room although older ones can go"
	f3_ok ctl sync "$F3_MNT/photos/o$i" >/dev/null
done
f3_eq "all of them" "$(cat "$F3_MNT"/photos/o* | md5sum)" "$(cat "$F3_STORE"/photos/o* | md5sum)"
f3_stop
f3_start
f3_eq "after a restart" "$(cat "$d/keep")" keep
f3_ok ctl fsck >/dev/null
