#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl warm, evict, pin and unpin: copies come and go, what is only here stays.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data -
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_start
p=$F3_MNT/photos
mkdir "$p/set"
for i in {1..40}; do head -c $((i * 1000)) /dev/urandom >"$p/set/f$i"; done
head -c 20000000 /dev/urandom >"$p/big"
sum=$(cat "$p/big" "$p"/set/f* | md5sum)
f3_ok ctl sync "$p"
f3_closed
places() { ctl --json ls -R "$p" | jq -r 'select(.type == "file").place' | sort | uniq -c | awk '{ print $1 $2 }'; }

f3_eq "evicted" "$(ctl --json evict -R "$p" | jq -c '[.ok, .files, .kept, .failed]')" "[true,41,0,0]"
f3_eq "nothing here" "$(places)" 41store
used=$(ctl --json status | jq .cache.used_bytes)
[ "$used" -lt 1000000 ] || f3_bad "the cache still holds $used bytes"
f3_eq "warmed" "$(ctl --json warm -R "$p/set" "$p/big" | jq -s -c 'map([.ok, .files, .bytes])')" \
	"[[true,40,820000],[true,1,20000000]]"
f3_eq "all here" "$(places)" 41here
mv "$F3_STORE/photos" "$F3_STORE/away"
f3_eq "read without the store" "$(cat "$p/big" "$p"/set/f* | md5sum)" "$sum"
mv "$F3_STORE/away" "$F3_STORE/photos"
f3_closed

# Pinned, open, dirty and local files stay.
f3_ok ctl pin "$p/big"
f3_no 1 'photos:/big: it is pinned \(EPERM\)' ctl evict "$p/big"
exec {fd}<"$p/set/f40"
f3_no 1 'photos:/set/f40: it is open or mapped \(EBUSY\)' ctl evict "$p/set/f40"
echo local >"$F3_MNT/data/x"
f3_no 1 'only copy \(EINVAL\)' ctl evict "$F3_MNT/data/x"
f3_closed 1
f3_eq "kept below a directory" "$(ctl --json evict -R "$F3_MNT" | jq -c '[.ok, .files, .kept]')" \
	"[true,39,3]"
exec {fd}<&-
f3_eq "those three" "$(places)" "2here
39store"
f3_stop
f3_start
f3_no 1 'pinned' ctl evict "$p/big"
f3_ok ctl unpin -R "$p"
f3_ok ctl evict "$p/big"
f3_eq "read again" "$(cat "$p/big" "$p"/set/f* | md5sum)" "$sum"
f3_no 2 'a path is wanted' ctl warm
f3_no 2 'a path is wanted' ctl evict
f3_no 1 'only files have bytes' ctl warm "$p/nope" "$(mkfifo "$F3_MNT/data/fifo"; echo "$F3_MNT/data/fifo")"
