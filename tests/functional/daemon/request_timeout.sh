#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A kernel that aborts mounts whose requests wait long: f3d says so when it starts. What the kernel
# says is replaced for this test only, in a mount namespace of its own.
if [ -z "${F3_OWN_MOUNTS:-}" ] && [ "$(id -u)" = 0 ]; then
	F3_OWN_MOUNTS=1 exec unshare --mount --propagation private "$0"
fi
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse unshare
file=/proc/sys/fs/fuse/max_request_timeout
[ -e "$file" ] || f3_skip "this kernel has no time limit for requests (Linux 6.15 or later)"
f3_volume data -
f3_start
if grep -q "request_timeout is" "$F3_LOG"; then
	f3_bad "a warning without a reason: $(grep "request_timeout is" "$F3_LOG")"
fi
f3_stop
echo 60 >"$F3_TEST_TMP/seconds"
mount --bind "$F3_TEST_TMP/seconds" "$file" || f3_fail "cannot be replaced"
f3_start
umount "$file"
f3_match "the warning" "$(cat "$F3_LOG")" "max_request_timeout is 60 s: .*set it to 0"
echo "goes on" >"$F3_MNT/data/f" || f3_bad "it does not serve"
