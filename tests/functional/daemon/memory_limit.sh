#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Many files made and looked up: the daemon stays within memory-limit, and is small again and without
# work once nobody asks. F3_HEAVY=1: a million of them, else a hundred thousand.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse
[ -z "${F3_SANITIZE:-}" ] || f3_skip "the sanitizer's memory is not ours"
files=100000
[ -z "${F3_HEAVY:-}" ] || files=1000000
limit_mib=128
f3_set memory-limit=${limit_mib}M cache-size=20G
f3_volume data -
f3_start

kib() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$F3_PID/status"; }
ticks() { sed 's/.*) //' "/proc/$F3_PID/stat" | awk '{ print $12 + $13 }'; }
within()
{
	[ "$(kib VmHWM)" -le $((limit_mib << 10)) ] ||
		f3_bad "$1: $(kib VmHWM) KiB resident, the limit is $limit_mib MiB"
}
small() { [ "$(kib VmRSS)" -lt 65536 ]; }
quiet()
{
	local before
	before=$(ticks)
	read -rt 1 <> <(:)	# the length of the measurement
	[ "$(ticks)" = "$before" ]
}

f3_ok "$F3_BUILDDIR/tests/bench/fsbench" --procs 2 --count $((files / 2)) --seconds 3600 --keep \
	create-write-close "$F3_MNT/data" >made
within "$files files made"
# shellcheck disable=SC2010,SC2012 # -l is what asks for the attributes
f3_eq "files listed" "$(ls -lR "$F3_MNT/data" | grep -c '^-')" "$files"
within "$files files listed"
echo "at most $(kib VmHWM) KiB resident, $(kib VmRSS) now"
f3_until 120 small || f3_bad "still $(kib VmRSS) KiB resident"
f3_until 120 quiet || f3_bad "it does not come to rest"
small || f3_bad "it has grown to $(kib VmRSS) KiB"
echo "at rest $(kib VmRSS) KiB"
f3_eq "a file" "$(stat -c %s "$F3_MNT"/data/*/c0000000 | sort -u)" 4096
