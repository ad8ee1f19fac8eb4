#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The power goes when the store has learned of two changes of a file's attributes, and the disk of
# the cache only that there would be a first. The object has another etag then, by a request of which
# nobody remembers the number: the file is read all the same, at once and later.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse loop unshare mkfs.xfs python3
[ -n "${F3_TEST_OWN_MOUNTS:-}" ] ||
	F3_TEST_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0"

cat >change.py <<'END'
import os, sys
top = sys.argv[1]
for d in "dw":
    os.chmod(f"{top}/{d}/file", 0o600)
other = os.open(f"{top}/v/other", os.O_CREAT | os.O_WRONLY)
os.write(other, b"x")
os.fsync(other)
END
in_store()
{
	[ "$(stat -c %a "$F3_STORE/d/file")" = "$1" ] && [ "$(stat -c %a "$F3_STORE/w/file")" = "$1" ]
}

f3_cache_on xfs 512M
disk=$F3_NATIVE
f3_volume v -
f3_volume d "file://$F3_STORE/d" default-class=durable
f3_volume w "file://$F3_STORE/w" default-class=writeback
f3_start
echo "what it holds" >"$F3_MNT/d/file"
echo "what it holds" >"$F3_MNT/w/file"
f3_ok ctl sync
f3_restart # it is known to be what the store has
f3_ok python3 change.py "$F3_MNT"
f3_until 60 in_store 600 || f3_fail "the first mode does not get there"
chmod 640 "$F3_MNT/d/file" "$F3_MNT/w/file"
f3_until 60 in_store 640 || f3_fail "the second mode does not get there"
f3_power_cut xfs "$disk"
for v in d w; do
	f3_eq "$v: content" "$(cat "$F3_MNT/$v/file")" "what it holds"
done
f3_ok ctl sync
for v in d w; do
	f3_eq "$v: content, later" "$(cat "$F3_MNT/$v/file")" "what it holds"
	f3_eq "$v: the object" "$(cat "$F3_STORE/$v/file")" "what it holds"
done
f3_stop
f3_fsck
