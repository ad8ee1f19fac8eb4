#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A directory that is made and removed while the only thread that tells the store is busy: neither is
# told, and nothing else of the order suffers.
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
f3_eq "names" "$(ls "$w")" ""
f3_ok mkdir "$w/parent"
f3_ok ctl sync >/dev/null
f3_eq "names" "$(ls "$w/parent")" ""
exec {open}>&-	# the next commit waits
echo held >"$w/held"
running() { [ "$(ctl --json status | jq .journal.running)" = 1 ]; }
f3_until 60 running || f3_bad "nothing is being told"
collapsed() { sed -n 's/^f3_journal_collapsed_total //p' "$F3_MNT/.stats"; }
before=$(collapsed)
entries() { ctl --json status | jq .journal.entries; }
for i in {1..50}; do
	f3_ok mkdir "$w/parent/d$i"
	f3_ok rmdir "$w/parent/d$i"
done
f3_eq "the store is to be told of what is undone" "$(($(collapsed) - before)) $(entries)" "100 1"
# One that waits for another one keeps its place until that is over.
f3_ok mkdir "$w/parent/stays" "$w/parent/goes"
for i in {1..50}; do
	f3_ok mkdir "$w/parent/stays/d$i" "$w/parent/goes/d$i"
	f3_ok rmdir "$w/parent/stays/d$i" "$w/parent/goes/d$i"
done
f3_ok rmdir "$w/parent/goes"
[ "$(collapsed)" -ge $((before + 300)) ] || f3_bad "collapsed: $before, then $(collapsed)"
exec {open}<>gate
f3_ok ctl sync >/dev/null
f3_eq "in the store" "$(cd "$F3_STORE/w" && find . -path ./.f3 -prune -o -print | sort | tr '\n' ' ')" \
	". ./held ./parent ./parent/stays "
f3_eq "who serves" "$(ctl --json status | jq .restarts)" 0
exec {open}>&-
f3_stop
f3_fsck
