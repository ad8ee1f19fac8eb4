#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# overlayfs takes the mount as its lower layer: it is read, copied up and never changed. As the upper
# layer it is refused: that needs whiteouts.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough
grep -qw overlay /proc/filesystems || f3_skip "this kernel has no overlayfs"
f3_volume v -
f3_start
mkdir -p "$F3_MNT/v/lower/dir" disk merged
printf one >"$F3_MNT/v/lower/one"
printf two >"$F3_MNT/v/lower/dir/two"
ln -s one "$F3_MNT/v/lower/link"
setfattr -n user.kept -v yes "$F3_MNT/v/lower/one"
before=$(cd "$F3_MNT/v/lower" && find . -type f -exec sha256sum {} + | sort && ls -lR --full-time)
mount -t tmpfs none disk
mkdir disk/upper disk/work
f3_ok mount -t overlay -o "lowerdir=$F3_MNT/v/lower,upperdir=disk/upper,workdir=disk/work" none merged
f3_eq "read through" "$(cat merged/one merged/dir/two merged/link)" onetwoone
printf more >>merged/one
f3_eq "copied up" "$(cat merged/one)" onemore
f3_eq "its xattr" "$(getfattr --only-values -n user.kept merged/one)" yes
f3_ok rm merged/dir/two
f3_ok mv merged/dir merged/moved
f3_ok sh -c 'echo new >merged/moved/new'
f3_eq "listing" "$(cd merged && find . | sort | tr '\n' ' ')" ". ./link ./moved ./moved/new ./one "
f3_ok umount merged
f3_eq "the lower layer" "$(cd "$F3_MNT/v/lower" && find . -type f -exec sha256sum {} + | sort &&
	ls -lR --full-time)" "$before"

mkdir "$F3_MNT/v/upper" "$F3_MNT/v/work"
if mount -t overlay -o "lowerdir=/usr/share,upperdir=$F3_MNT/v/upper,workdir=$F3_MNT/v/work" none merged \
	2>/dev/null; then
	f3_bad "the mount was taken as the upper layer"
	umount merged
fi
