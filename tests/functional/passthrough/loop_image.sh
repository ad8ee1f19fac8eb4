#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# An ext4 image on the mount is mounted through a loop device, written, and whole afterwards. In a
# mount namespace of its own: one that somebody else makes meanwhile would keep the image mounted.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough loop unshare mkfs.ext4
[ -n "${F3_TEST_OWN_MOUNTS:-}" ] ||
	F3_TEST_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0"
f3_volume v -
f3_start
truncate -s 64M "$F3_MNT/v/image"
f3_ok mkfs.ext4 -q -F "$F3_MNT/v/image"
mkdir inside
f3_ok mount -o loop "$F3_MNT/v/image" inside
f3_ok cp -a /usr/share/common-licenses inside/
f3_ok "$F3_BUILDDIR/tests/posix/fsx_model" --ops 2000 inside/f
f3_ok umount inside
f3_ok e2fsck -fn "$F3_MNT/v/image"
f3_becomes 60 "the image" sealed getfattr --only-values -n user.f3.state "$F3_MNT/v/image"
f3_restart
f3_ok mount -o loop,ro "$F3_MNT/v/image" inside
f3_ok diff -r /usr/share/common-licenses inside/common-licenses
f3_ok umount inside
