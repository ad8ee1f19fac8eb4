#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: alone
#
# With the io_uring transport the death of the daemon ends the mount for whoever uses it, and it is
# mounted anew: with all that was there.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq ordered-uring
switch=/sys/module/fuse/parameters/enable_uring
[ -w $switch ] || f3_skip "this kernel has no FUSE over io_uring (Linux 6.14 or later)"
# The switch is the machine's.
exec {lock}<$switch
flock $lock
was=$(cat $switch)
trap 'rc=$?; echo "$was" >$switch; (exit $rc); f3_cleanup' EXIT
echo Y >$switch
f3_volume data -
f3_set transport=io_uring
f3_start
f3_eq "transport" "$(ctl --json status | jq -r .transport)" io_uring
echo kept >"$F3_MNT/data/file"
exec 5<"$F3_MNT/data"
kill -KILL "$F3_PID"
back() { [ "$(cat "$F3_MNT/data/file" 2>/dev/null)" = kept ]; }
f3_until 60 back || f3_bad "it was not mounted again"
# Whose call is on its way at that moment is told so.
f3_match "who had the old mount" "$(ls /proc/self/fd/5/ 2>&1)" 'not connected|connection abort'
exec 5<&-
F3_PID=$(($(<"/proc/$F3_SUPERVISOR/task/$F3_SUPERVISOR/children")))
f3_eq "restarts" "$(ctl --json status | jq .restarts)" 1
