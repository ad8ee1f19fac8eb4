#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# A cache that is full of what no store has yet, and more programs that write than the daemon has
# threads: they wait without any, cache-size holds, no byte that is only here goes, whoever needs no
# room goes on, and once the store answers all of it gets there.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq debug fstry mkfifo
cache_mib=64
writers=60
f3_set cache-size=${cache_mib}M writer-reserve=8M space-wait=10m io-threads=4 retry-max=10m
f3_volume w "file://$F3_STORE/w" default-class=writeback attr-ttl=1h
f3_volume d "file://$F3_STORE/d" default-class=durable attr-ttl=1h
f3_volume local -
mkfifo "$F3_TEST_TMP/gate"
exec {open}<>"$F3_TEST_TMP/gate"
# Not in the store itself: who opens a file to write asks it first, and would wait behind these.
F3_DEBUG_POINTS="stage.before-put=gate:$F3_TEST_TMP/gate" eval "f3_start $open>&-"
status() { ctl --json status | jq "$1"; }
# What a writer in passthrough wrote counts when it has closed, some milliseconds later.
within()
{
	local kib
	[ "$(status .cache.used_bytes)" -le $(((cache_mib + 8) << 20)) ] ||
		f3_bad "$1: the cache takes $(status .cache.used_bytes) bytes"
	kib=$(du -sk "$F3_CACHE/data" | cut -f 1)
	[ "$kib" -le $(((cache_mib + 8) << 10)) ] || f3_bad "$1: the backing files take $kib KiB"
}
f3_eq "names" "$(ls "$F3_MNT/w")$(ls "$F3_MNT/d")" ""
head -c 1M /dev/urandom >"$F3_MNT/local/kept"
head -c 16M /dev/urandom >"$F3_MNT/w/copy"
mkdir "$F3_MNT/w/more"
for ((i = 0; i < writers; i++)); do
	: >"$F3_MNT/w/more/w$i"
done
f3_ok ctl sync >/dev/null
f3_eq "more names" "$(ls "$F3_MNT/w/more" | wc -l)" "$writers"
exec {open}>&-	# from now on the store takes nothing

# Most of the cache; then more than is left of it, which fits once these files can go.
f3_ok fstry write-many 17 3276800 "$F3_MNT/w" >/dev/null
fstry write-many "$writers" 409600 "$F3_MNT/w/more" >written 2>&1 &
pid=$!
many_wait() { [ "$(status .waiting_for_room)" -gt 8 ]; }
f3_until 90 many_wait || f3_bad "$(status .waiting_for_room) wait for room"
within "writers wait"
f3_eq "the copy made room" "$(f3_info "$F3_MNT/w/copy" .place)" store

# Calls that need a thread find one, and what needs no room goes on.
for i in {1..8}; do
	f3_ok mkdir "$F3_MNT/d/dir$i"
done
f3_eq "in the store" "$(find "$F3_STORE/d" -name 'dir*' | wc -l)" 8
f3_ok dd if=/dev/zero of="$F3_MNT/local/kept" bs=64k count=4 conv=notrunc,fsync status=none
f3_ok mv "$F3_MNT/local/kept" "$F3_MNT/local/kept2"
f3_eq "a local file" "$(stat -c %s "$F3_MNT/local/kept2")" 1048576

# Dirty data cannot be made to go.
dirty=$(status .dirty_bytes)
ctl evict "$F3_MNT"/w/w{0..16} "$F3_MNT"/w/more/w{0..59} >/dev/null 2>&1
f3_eq "dirty bytes" "$(status .dirty_bytes)" "$dirty"
within "asked to evict"

# Who does not want to wait so long is told.
f3_set space-wait=100ms
f3_ok ctl reload >/dev/null
f3_no 1 'No space left on device' dd if=/dev/zero of="$F3_MNT/w/late" bs=1M count=1
f3_ok dd if=/dev/zero of="$F3_MNT/local/kept2" bs=64k count=4 conv=notrunc,fsync status=none

f3_set space-wait=10m
f3_ok ctl reload >/dev/null
exec {open}<>"$F3_TEST_TMP/gate"
watching() { within "the store answers again"; kill -0 "$pid" 2>/dev/null; }
while watching; do
	read -rt 0.1 -u "$f3_pause"
done
wait "$pid"
f3_eq "written" "$(cat written)" "$writers right, 0 wrong"
f3_ok ctl sync >/dev/null
within "in the end"
bad=0
for f in w{0..16} more/w{0..59}; do
	i=${f##*w}
	cmp -s "$F3_MNT/w/$f" "$F3_STORE/w/$f" || bad=$((bad + 1))
	[ "$(head -c 4 "$F3_STORE/w/$f" | od -An -tu4 | tr -d ' ')" = "$i" ] || bad=$((bad + 1))
	[ "$(tail -c 4 "$F3_STORE/w/$f" | od -An -tu4 | tr -d ' ')" = "$i" ] || bad=$((bad + 1))
done
f3_eq "large ones in the store" "$(find "$F3_STORE/w" -name 'w*' -size 3276800c | wc -l)" 17
f3_eq "the others" "$(find "$F3_STORE/w/more" -name 'w*' -size 409600c | wc -l)" "$writers"
f3_eq "files that are wrong" $bad 0
f3_eq "nobody waits" "$(status .waiting_for_room)" 0
f3_ok ctl fsck >/dev/null
