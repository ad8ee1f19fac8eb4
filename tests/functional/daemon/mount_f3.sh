#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# mount.f3 with the real daemon: a configuration or a URL, mount flags, and umount ends it.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
sed "s,^\"[^\"]*/f3d\",\"$F3_BUILDDIR/f3d\"," "$F3_BUILDDIR/mount.f3" >helper
grep -q "^\"$F3_BUILDDIR/f3d\"" helper || f3_fail "cannot tell which f3d mount.f3 starts"
chmod +x helper
f3_set "log=$F3_LOG"
f3_volume data -
serving() { ctl --json status | jq '.pid, .supervisor_pid'; }
ended()
{
	local pid
	for pid; do
		f3_until 60 f3_gone "$pid" || f3_bad "the daemon did not end with its mount"
	done
}

f3_ok ./helper "$F3_CONF" "$F3_MNT" -o rw,nosuid,noexec,_netdev
mapfile -t pids < <(serving)
echo x >"$F3_MNT/data/x"
f3_match "flags" "$(awk -v d="$F3_MNT" '$5 == d { print $6 }' /proc/self/mountinfo)" 'nosuid.*noexec'
f3_match "type" "$(findmnt -no FSTYPE,SOURCE "$F3_MNT")" '^fuse.f3 +f3$'
f3_no 32 'in use' ./helper "$F3_CONF" "$F3_MNT" -o "cache=$F3_TEST_TMP/c2,run-dir=$F3_TEST_TMP/r2"
umount "$F3_MNT"
ended "${pids[@]}"

# A URL; read-only for programs.
mkdir "$F3_STORE/photos"
echo object >"$F3_STORE/photos/object"
options=cache=$F3_CACHE.2,run-dir=$F3_RUN,log=$F3_LOG
f3_ok ./helper "file://$F3_STORE/photos" "$F3_MNT" -o "ro,$options"
mapfile -t pids < <(serving)
f3_eq "object" "$(cat "$F3_MNT/photos/object")" object
f3_no 1 'Read-only' touch "$F3_MNT/photos/new"
umount "$F3_MNT"
ended "${pids[@]}"
f3_no 32 'no such option' ./helper "$F3_CONF" "$F3_MNT" -o colour=red
f3_unmounted "$F3_MNT"
