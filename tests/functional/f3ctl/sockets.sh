#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The control socket of a dead daemon is replaced, of a living one respected.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data -
f3_start
[ -S "$F3_RUN/control.sock" ] || f3_bad "no socket while it serves"
f3_kill
[ -S "$F3_RUN/control.sock" ] || f3_bad "kill -9 took the socket away?"
f3_no 1 'no f3d answers.*Connection refused' ctl status
f3_start
f3_ok ctl status >/dev/null
first=$F3_PID

# A second one on the same run directory, or on the same cache.
mkdir "$F3_TEST_TMP/mnt2"
f3_no 1 "run directory $F3_RUN is in use" f3d -f -c "$F3_CONF" -o "cache=$F3_TEST_TMP/cache2" \
	-o "memory-dir=$F3_TEST_TMP/memory2" "$F3_TEST_TMP/mnt2"
f3_no 1 "cache directory $F3_CACHE is in use by another f3d \(process $F3_SUPERVISOR\)" f3d -f -c "$F3_CONF" \
	-o "run-dir=$F3_TEST_TMP/run2" "$F3_TEST_TMP/mnt2"
f3_unmounted "$F3_TEST_TMP/mnt2"
f3_eq "the first goes on" "$(ctl --json status | jq .pid)" "$first"
f3_stop
[ -e "$F3_RUN/control.sock" ] && f3_bad "the socket is still there after a stop"
echo file >"$F3_RUN/control.sock"
f3_launch && f3_bad "started over a file"
grep -q 'in the way, and not a socket' "$F3_LOG" || f3_bad "reason: $(tail -n 1 "$F3_LOG")"
f3_unmounted "$F3_MNT"
f3_eq "the file" "$(cat "$F3_RUN/control.sock")" file
rm "$F3_RUN/control.sock"

# A run directory with a name longer than a socket's address can be.
long=$F3_TEST_TMP/$(printf 'r%.0s' {1..120})
f3_start -o "run-dir=$long"
F3_RUN=$long f3_ok ctl status >/dev/null
