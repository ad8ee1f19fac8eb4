#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# More files open than the daemon may have descriptors: those in passthrough need none.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough
f3_volume v -
f3_start
limit=$(ulimit -Hn)
[ "$limit" = unlimited ] || [ "$limit" -gt 40000 ] && f3_skip "the limit of descriptors is too high to reach"
each=$((limit / 2))
ulimit -n "$limit"
for n in 1 2 3; do
	mkdir "$F3_MNT/v/$n"
	coproc { exec fstry hold "$each" "$F3_MNT/v/$n/f" 2>&1; }
	pids[n]=$COPROC_PID
	exec {in[n]}<&"${COPROC[0]}"- {out[n]}>&"${COPROC[1]}"-
	read -r line <&"${in[n]}"
	f3_eq "holder $n" "$line" "held $each"
done
# Others go on working.
f3_ok "$F3_BUILDDIR/tests/posix/fsx_model" --ops 500 "$F3_MNT/v/f"
for n in 1 2 3; do
	exec {out[n]}>&-
	wait "${pids[n]}"
done
f3_eq "all there" "$(find "$F3_MNT/v" -type f | wc -l)" $((3 * each))
