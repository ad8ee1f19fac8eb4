#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# An ACL that does not fit beside the xattrs of an object is refused, and the mode stays.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse setfacl setfattr
f3_volume w "file://$F3_STORE/w" default-class=writeback
f3_start
f=$F3_MNT/w/file
echo x >"$f"
chmod 600 "$f"
f3_ok setfattr -n user.big -v "$(head -c 2030 /dev/zero | tr '\0' a)" "$f"
f3_no 1 "No space left" setfacl -m u:1000:rwx,o::rwx "$f"
f3_eq "the mode" "$(stat -c %a "$f")" 600
# Nothing of it lasts with the next change either.
f3_ok chown 1:1 "$f"
f3_eq "the mode after a chown" "$(stat -c %a "$f")" 600
