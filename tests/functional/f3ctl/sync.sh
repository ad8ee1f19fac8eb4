#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl sync: returns when the store has everything, and says what it waits for.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_set retry-min=50ms retry-max=500ms
mkdir "$F3_STORE/photos"
mount -t tmpfs -o size=2M none "$F3_STORE/photos" || f3_fail "no tmpfs"
f3_start
p=$F3_MNT/photos
mkdir "$p/d"
for i in {1..50}; do echo "$i" >"$p/d/f$i"; done
mv "$p/d/f50" "$p/d/last"
rm "$p/d/f49"
f3_ok ctl sync
f3_eq "names in the store" "$(find "$F3_STORE/photos/d" -type f | wc -l)" 49
f3_eq "renamed" "$(cat "$F3_STORE/photos/d/last")" 50
f3_eq "nothing dirty" "$(ctl --json status | jq -c '[.dirty_bytes, .journal.entries]')" "[0,0]"

# A file that is open for writing is made durable as it is now.
exec {fd}>"$p/open"
echo first >&$fd
f3_eq "open file" "$(ctl --json sync "$p/open" | jq .ok)" true
f3_eq "its content now" "$(cat "$F3_STORE/photos/open")" first
echo second >&$fd
exec {fd}>&-
f3_ok ctl sync "$p/d" "$p/open"
f3_eq "and later" "$(cat "$F3_STORE/photos/open")" $'first\nsecond'

# The store is full: it waits, can be interrupted, and ends when there is room.
head -c 4M /dev/zero >"$F3_STORE/photos/filler" 2>/dev/null
head -c 500000 /dev/urandom >"$p/late"
f3ctl -s "$F3_RUN/control.sock" sync &
pid=$!
tried() { [ "$(ctl --json status | jq .journal.retrying)" -ge 1 ]; }
f3_until 60 tried || f3_bad "nothing was tried: $(ctl --json status)"
f3_match "dirty" "$(ctl --json status | jq .dirty_bytes)" '^[1-9]'
kill -0 "$pid" || f3_bad "sync did not wait"
kill -TERM "$pid"
wait "$pid"
f3_eq "interrupted" $? 143
f3ctl -s "$F3_RUN/control.sock" sync "$p/late" &
pid=$!
rm "$F3_STORE/photos/filler"
wait "$pid" || f3_bad "sync failed after there was room"
f3_ok cmp "$F3_STORE/photos/late" "$p/late"
f3_no 1 'ENOENT' ctl sync "$p/nope"
