#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600
#
# A store that does not answer and many programs that close durable files: their closes wait without
# threads, memory stays in its bounds, and all of it is in the store once that answers.
# F3_HEAVY=1: 1,000 writers of 1 MiB, else 200 of 64 KiB.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq debug fstry mkfifo
limit_mib=128
writers=200
bytes=65536
if [ -n "${F3_HEAVY:-}" ]; then
	writers=1000
	bytes=1048576
fi
f3_set memory-limit=${limit_mib}M cache-size=20G retry-max=10m
f3_volume v "file://$F3_STORE/v" default-class=durable attr-ttl=1h
mkfifo "$F3_TEST_TMP/gate"
exec {open}<>"$F3_TEST_TMP/gate"
F3_DEBUG_POINTS="objfile.put=gate:$F3_TEST_TMP/gate" eval "f3_start $open>&-"
status() { ctl --json status | jq "$1"; }
changes() { [ "$(status .journal.entries)" -ge "$1" ]; }
peak_kib() { awk '$1 == "VmHWM:" { print $2 }' "/proc/$F3_PID/status"; }
within()
{
	[ -n "${F3_SANITIZE:-}" ] || [ "$(peak_kib)" -le $((limit_mib * 1126)) ] ||
		f3_bad "$1: $(peak_kib) KiB resident, the limit is $limit_mib MiB"
}
many() { fstry write-many "$writers" "$bytes" "$1" >"$2" || f3_bad "writers of $1: $(cat "$2")"; }
# Nothing has to be asked about names any more.
f3_eq "names" "$(ls "$F3_MNT/v")" ""
exec {open}>&-	# from now on it does not answer
many "$F3_MNT/v" closed &
pid=$!
f3_until 300 changes "$writers" || f3_bad "$(status .journal.entries) commits wait"
within "$writers closes wait"
f3_eq "in the store" "$(find "$F3_STORE/v" -name 'w*' -size +0 | wc -l)" 0
f3_eq "names" "$(ls "$F3_MNT/v" | wc -l)" "$writers"
exec {open}<>"$F3_TEST_TMP/gate"
wait "$pid"
f3_eq "closed" "$(cat closed)" "$writers right, 0 wrong"
f3_eq "in the store" "$(find "$F3_STORE/v" -name 'w*' -size "${bytes}c" | wc -l)" "$writers"
f3_eq "one of them" "$(od -An -tu4 -N4 "$F3_STORE/v/w7" | tr -d ' ')" 7
within "written"
at_rest() { [ "$(status '.memory.accounts.parked + .memory.accounts.buffers + .memory.waiting')" = 0 ]; }
f3_until 60 at_rest || f3_bad "memory is not given back: $(status .memory)"
echo "$writers writers of $bytes: at most $(peak_kib) KiB resident"
