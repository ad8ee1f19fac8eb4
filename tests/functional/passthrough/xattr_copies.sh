#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# What is copied with xattrs gets what was set and nothing of F3's own, and symbolic links have no
# user xattrs.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough rsync getfattr
f3_volume v -
f3_volume m -
f3_start
mkdir "$F3_MNT/v/from" native
cd "$F3_MNT/v/from" || exit 1
echo a >a
setfattr -n user.one -v 1 a
setfattr -n trusted.two -v 2 a
echo b >b
setfattr -n user.f3.class -v memory b
ln -s a link
mknod fifo p
setfacl -m u:1001:r a 2>/dev/null || f3_skip "needs setfacl"
f3_no 1 "Operation not permitted|Operation not supported" setfattr -h -n user.no -v 1 link
f3_eq "names on a" "$(getfattr -m- a 2>/dev/null | grep -v ^# | sort | tr '\n' ' ')" \
	" system.posix_acl_access trusted.two user.one "
f3_eq "names on b" "$(getfattr -m- b | grep -v ^# | tr '\n' ' ')" "user.f3.class  "
f3_eq "but it can be asked" "$(getfattr --only-values -n user.f3.class a)" ephemeral
cd "$F3_TEST_TMP" || exit 1

f3_ok cp -a "$F3_MNT/v/from" native/cp
f3_ok rsync -aXA "$F3_MNT/v/from/" native/rsync
f3_ok cp -a "$F3_MNT/v/from" "$F3_MNT/m/cp"
f3_ok rsync -aXA "$F3_MNT/v/from/" "$F3_MNT/m/rsync"
for copy in native/cp native/rsync "$F3_MNT/m/cp" "$F3_MNT/m/rsync"; do
	f3_eq "$copy" "$(getfattr -m- --absolute-names "$copy/a" | grep -v '^#' | sort | tr '\n' ' ')" \
		" system.posix_acl_access trusted.two user.one "
	f3_ok diff -r --no-dereference -x fifo "$F3_MNT/v/from" "$copy"
done
# A class of its own goes along where there are classes.
f3_eq "class of the copy" "$(getfattr --only-values -n user.f3.class "$F3_MNT/m/cp/b")" memory
f3_eq "second rsync has nothing to do" "$(rsync -aXAi "$F3_MNT/v/from/" "$F3_MNT/m/rsync")" ""
