#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# An I/O error of the database: who asks is told, and once the disk works again the daemon is started
# anew by itself. What was there is there, programs go on, and nothing was made that was refused.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse debug jq
f3_volume data -
# In every process anew; a start takes less.
F3_DEBUG_FAULTS="kv.write=EIO@150" f3_launch || f3_fail "no start"
d=$F3_MNT/data
echo held >"$d/held"
exec {held}<>"$d/held"
refused=0
for i in {1..100}; do
	make() { echo "$i" 2>err >"$d/f$i" && mkdir "$d/d$i" 2>err; }
	if ! make; then
		refused=$((refused + 1))
		rm -rf "$d/f$i" "$d/d$i" 2>/dev/null
		again() { rm -rf "$d/f$i" "$d/d$i" && make; }
		f3_until 60 again || f3_fail "file $i: nothing is written any more: $(cat err)"
	fi
done
[ $refused -gt 0 ] || f3_bad "nothing failed"
f3_until 60 ctl status || f3_fail "nobody serves"
restarts=$(ctl --json status | jq .restarts)
[ "${restarts:-0}" -gt 0 ] || f3_bad "restarted $restarts times"
for i in {1..100}; do
	f3_eq "file $i" "$(cat "$d/f$i")" "$i"
	[ -d "$d/d$i" ] || f3_bad "directory $i"
done
f3_eq "names" "$(ls "$d" | wc -l)" 201
read -r text <&"$held"
f3_eq "an open file" "$text" held
exec {held}>&-
grep -q 'the database failed, and its disk works again' "$F3_LOG" || f3_bad "the log does not say why"
F3_PID=$(ctl --json status | jq .pid)
f3_kill
