#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An object directory that vanishes while it is used, and comes back: errors meanwhile, nothing lost.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# test: timeout=240
f3_requires root fuse jq
f3_set retry-min=20ms retry-max=500ms
f3_volume photos "file://$F3_STORE/photos" default-class=durable attr-ttl=100ms
f3_volume later "file://$F3_STORE/later" default-class=writeback attr-ttl=100ms
f3_volume data -
f3_start
p=$F3_MNT/photos
l=$F3_MNT/later
head -c 3000000 /dev/urandom >"$p/cold"
head -c 3000000 /dev/urandom >"$p/warm"
echo old >"$l/doc"
f3_ok ctl sync >/dev/null
sums=$(cat "$p/cold" "$p/warm" | md5sum)
f3_closed
f3_ok ctl evict "$p/cold"
exec {reader}<"$p/warm" {writer}>>"$l/doc"
echo new >&"$writer"

mv "$F3_STORE/photos" "$F3_STORE/photos.away"
mv "$F3_STORE/later" "$F3_STORE/later.away"
# A directory that was only moved can still be read by who had it open: right bytes or an error.
if cat "$p/cold" >cold 2>err; then
	f3_ok cmp cold "$F3_STORE/photos.away/cold"
else
	f3_match "reading" "$(cat err)" 'Input/output error'
fi
f3_no 1 'Input/output error' touch "$p/new"
f3_eq "what is open goes on" "$(head -c 3000000 <&"$reader" | md5sum)" "$(md5sum <"$F3_STORE/photos.away/warm")"
exec {writer}>&- {reader}<&-
f3_eq "other volumes go on" "$(echo y >"$F3_MNT/data/y" && cat "$F3_MNT/data/y")" y
grep -q 'volume photos: the object store does not work' "$F3_LOG" ||
	f3_bad "the log does not say which store is gone"

# It stops without its stores; it does not start with new, empty ones in their place.
f3_stop
f3_launch && f3_fail "started with a store that is not there, as if it was new"
f3_match "reason" "$(tail -n 1 "$F3_LOG")" "$F3_STORE/(later|photos)"
[ -e "$F3_STORE/photos" ] && f3_bad "an empty store was made"
mv "$F3_STORE/photos.away" "$F3_STORE/photos"
mv "$F3_STORE/later.away" "$F3_STORE/later"
f3_start
f3_ok ctl sync >/dev/null
f3_eq "it came there" "$(cat "$F3_STORE/later/doc")" $'old\nnew'
f3_eq "all is as it was" "$(cat "$p/cold" "$p/warm" | md5sum)" "$sums"
echo x >"$p/new" || f3_bad "new file"
f3_eq "new one" "$(cat "$F3_STORE/photos/new")" x
f3_ok ctl fsck >/dev/null
