#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Files that are gone, replaced, or written again before the store was told of them cost no upload, and
# are counted.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq debug mkfifo
f3_set stage-parallel=1
f3_volume w "file://$F3_STORE/w" default-class=writeback attr-ttl=1h
mkfifo gate
exec {open}<>gate
F3_DEBUG_POINTS="stage.before-put=gate:$PWD/gate" eval "f3_start $open>&-"
w=$F3_MNT/w
count() { sed -n "s/^$1 //p" "$F3_MNT/.stats"; }
puts() { count 'f3_object_requests_total{op="put",result="ok"}'; }
running() { [ "$(ctl --json status | jq .journal.running)" = 1 ]; }
exec {open}>&-	# the next commit waits, and with it all others
echo held >"$w/held"
f3_until 60 running || f3_bad "nothing is being told"
before=$(puts)
for i in {1..20}; do
	echo "content $i" >"$w/gone$i"
	f3_ok rm "$w/gone$i"
done
f3_closed
f3_eq "gone" "$(count f3_stage_dropped_total)" 20
f3_eq "bytes" "$(count f3_stage_dropped_bytes_total)" $((9 * 10 + 11 * 11))
# Unlinked while it is open.
exec {fd}>"$w/open"
f3_ok rm "$w/open"
echo into >&$fd
exec {fd}>&-
f3_closed
f3_eq "unlinked while open" "$(count f3_stage_dropped_total)" 21
# A name that moves is not gone; one that is replaced is.
echo old >"$w/kept"
echo new >"$w/kept.new"
f3_ok mv "$w/kept.new" "$w/kept"
f3_eq "replaced" "$(count f3_stage_dropped_total)" 22
echo one >"$w/again"
f3_closed
for i in 2 3 4; do
	echo "$i" >"$w/again"
	f3_closed
done
f3_eq "superseded, so far" "$(count f3_stage_superseded_total)" 0
exec {open}<>gate
f3_ok ctl sync >/dev/null
f3_eq "superseded" "$(count f3_stage_superseded_total)" 1
f3_eq "uploads: held, kept, again" "$(($(puts) - before))" 3
f3_eq "in the store" "$(cd "$F3_STORE/w" && grep . held kept again | tr '\n' ' ')" \
	"held:held kept:new again:4 "
# What was uploaded is no such file.
f3_ok rm "$w/held" "$w/again"
f3_ok ctl sync >/dev/null
f3_eq "gone in the end" "$(count f3_stage_dropped_total)" 22
exec {open}>&-
f3_stop
f3_fsck
