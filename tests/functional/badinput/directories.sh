#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Directories that cannot be read, written or made: the reason, exit code 1, nothing mounted.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse
bad()
{
	local regex=$1
	shift
	f3_no 1 "$regex" f3d -f -c "$F3_CONF" "$@"
	f3_unmounted "$F3_MNT"
}
f3_volume data -
echo file >"$F3_TEST_TMP/file"
bad "cache directory $F3_TEST_TMP/file .*Not a directory|$F3_TEST_TMP/file.*Not a directory" \
	-o "cache=$F3_TEST_TMP/file"
bad "$F3_TEST_TMP/file/below cannot be made: Not a directory" -o "cache=$F3_TEST_TMP/file/below"
bad "$F3_TEST_TMP/file.*Not a directory" -o "run-dir=$F3_TEST_TMP/file"
bad "$F3_TEST_TMP/file.*Not a directory" -o "memory-dir=$F3_TEST_TMP/file"
bad "volume v: .*$F3_TEST_TMP/file" --volume "v=file://$F3_TEST_TMP/file"
bad "access log $F3_TEST_TMP/no/log cannot be opened" -o "access-log=$F3_TEST_TMP/no/log"
bad "log file $F3_TEST_TMP/no/log" -o "log=$F3_TEST_TMP/no/log"

# Read-only.
mkdir ro
mount -t tmpfs none ro
mkdir ro/cache ro/run ro/store
mount -o remount,ro none ro
bad 'cache directory .*/ro/cache is not writable: Read-only' -o "cache=$PWD/ro/cache"
bad 'ro/new cannot be made: Read-only' -o "cache=$PWD/ro/new"
bad 'run directory .*/ro/run is not writable: Read-only|ro/run' -o "run-dir=$PWD/ro/run,memory-dir=$F3_TEST_TMP/mem"

# A store that may only be read is a volume that may only be read.
echo object >"$F3_TEST_TMP/object"
mount -o remount,rw none ro
cp "$F3_TEST_TMP/object" ro/store/object
mount -o remount,ro none ro
f3_start --volume "photos=file://$PWD/ro/store"
f3_eq "read" "$(cat "$F3_MNT/photos/object")" object
f3_no 1 'Read-only file system' touch "$F3_MNT/photos/new"
f3_eq "shown" "$(ctl --json status | jq -c '[.volumes[] | .read_only]')" "[false,true]"
f3_ok touch "$F3_MNT/data/new"
f3_stop
umount ro

# Directories made where they are missing.
f3_start -o "cache=$F3_TEST_TMP/a/b/cache,run-dir=$F3_TEST_TMP/c/d/run,memory-dir=$F3_TEST_TMP/e/f"
f3_eq "cache for the daemon only" "$(stat -c %a "$F3_TEST_TMP/a/b/cache")" 700
F3_RUN=$F3_TEST_TMP/c/d/run f3_ok ctl status >/dev/null
