#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Without /dev/fuse, or where it may not be opened, f3d says so and ends; nothing is left behind.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse unshare
f3_volume v -

# refused REGEX COMMAND: f3d after that command of a shell in a mount namespace.
refused()
{
	f3_no 1 "$1" unshare -m sh -c "$2 && exec f3d -f -c '$F3_CONF'"
	f3_unmounted "$F3_MNT"
	f3_eq "sockets left" "$(find "$F3_RUN" -type s 2>/dev/null)" ''
}

dev='mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9'
refused '/dev/fuse' "$dev"
# A device of that name that is not FUSE's, and one that the file system does not let be opened.
refused '/dev/fuse' "$dev && mknod /dev/fuse c 1 3"
refused '/dev/fuse' "$dev && mknod /dev/fuse c 10 229 && mount -o remount,nodev /dev"
f3_start
f3_ok touch "$F3_MNT/v/works"
