#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A mountpoint that is missing, no directory, in use, or dead: the reason, exit code 1.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse unshare
f3_volume data -
bad()
{
	f3_no 1 "$1" f3d -f -c "$F3_CONF" -o "cache=$F3_TEST_TMP/c2,run-dir=$F3_TEST_TMP/r2" "$2"
}
bad 'mountpoint .*/nope: No such file' "$F3_TEST_TMP/nope"
bad 'conf is not a directory' "$F3_CONF"
mkdir used
mount -t tmpfs none used
bad 'used is in use: something is mounted there' "$PWD/used"
umount used
f3_start
echo first >"$F3_MNT/data/x"
bad "$F3_MNT is in use" "$F3_MNT"
f3_eq "the first goes on" "$(cat "$F3_MNT/data/x")" first
kill -KILL "$F3_SUPERVISOR" "$F3_PID"
f3_wait
bad "$F3_MNT is a mount whose daemon is gone: umount -l" "$F3_MNT"
umount -l "$F3_MNT"
f3_start
f3_eq "after it was taken away" "$(cat "$F3_MNT/data/x")" first

# Unmounted by hand: the daemon ends in order.
umount "$F3_MNT"
f3_wait || f3_bad "f3d ended with $?"
grep -q 'stopped' <(tail -n 1 "$F3_LOG") || f3_bad "log: $(tail -n 2 "$F3_LOG")"
# Stopped while a program has a file open: the program gets an error, the daemon ends.
f3_start
exec {fd}<"$F3_MNT/data/x"
f3_stop
f3_no 1 'not connected|Transport endpoint' cat "/proc/self/fd/$fd"
exec {fd}<&-
# Stopped while another mount namespace has a copy of the mount, or when it was taken away before and a
# file of it is still open: so too.
f3_start
mkfifo held go
unshare --mount --propagation private sh -c ': >held; : <go; exec cat "$1"' - "$F3_MNT/data/x" >copy 2>&1 &
copy=$!
: <held
f3_stop
: >go
wait $copy && f3_bad "the copy of the mount still has $(cat copy)"
f3_match "in the copy of the mount" "$(cat copy)" 'not connected|Transport endpoint'
f3_start
exec {fd}<"$F3_MNT/data/x"
umount -l "$F3_MNT"
f3_stop
exec {fd}<&-
# In the background: it returns when it serves.
f3d -c "$F3_CONF" -o "log=$F3_LOG" || f3_bad "in the background: $?"
f3_eq "served at once" "$(cat "$F3_MNT/data/x")" first
f3_eq "its own session" "$(ps -o sid= -p "$(ctl --json status | jq .pid)" | tr -d ' ')" \
	"$(ctl --json status | jq .supervisor_pid)"
pid=$(ctl --json status | jq .supervisor_pid)
umount "$F3_MNT"
f3_until 60 f3_gone "$pid" || f3_bad "it did not end"
