#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# The file system of an object directory is not mounted, its empty mount point is there: that is not
# a store from which everything was deleted, neither for a daemon that runs nor for one that starts.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_set retry-min=20ms retry-max=500ms
mkdir "$F3_TEST_TMP/real" "$F3_TEST_TMP/other" "$F3_STORE/v"
mount --bind "$F3_TEST_TMP/real" "$F3_STORE/v" || f3_fail "no bind mount"
f3_volume v "file://$F3_STORE/v" default-class=durable attr-ttl=100ms
f3_start
v=$F3_MNT/v
mkdir "$v/d"
for i in $(seq 20); do echo "$i" >"$v/d/f$i"; done
f3_closed
f3_ok ctl evict "$v/d/f1" >/dev/null
id=$(cat "$F3_STORE/v/.f3/id")

here()
{
	[ "$(find "$v/d" -type f 2>/dev/null | wc -l)" = 20 ]
}

# While it runs. What is known is shown or refused, but never gone.
umount -l "$F3_STORE/v"
says_so()
{
	cat "$v/d/f1" >/dev/null 2>&1
	grep -q 'is not the directory that was attached' "$F3_LOG"
}
f3_until 60 says_so || f3_bad "nobody says that it is another directory"
for i in 1 2 3; do
	names=$(find "$v/d" -type f 2>err | wc -l)
	[ "$names" = 20 ] || grep -q 'Input/output error' err || f3_bad "$names of 20 names"
done
f3_no 1 'Input/output error' touch "$v/d/new"
f3_eq "nothing is made in the mount point" "$(ls -A "$F3_STORE/v")" ""
mount --bind "$F3_TEST_TMP/real" "$F3_STORE/v"
f3_until 60 here || f3_bad "its files are not back"
f3_until 60 touch "$v/d/new" || f3_bad "it does not work again"
f3_eq "its id" "$(cat "$F3_STORE/v/.f3/id")" "$id"
rm "$v/d/new"
f3_ok ctl sync >/dev/null
f3_stop

# At a start.
umount "$F3_STORE/v"
f3_launch && f3_fail "started with an empty mount point as its store"
f3_match "reason" "$(tail -n 1 "$F3_LOG")" "volume v: .*is the right file system mounted there"
f3_eq "nothing is made in the mount point" "$(ls -A "$F3_STORE/v")" ""
# Nor with the store of somebody else.
mkdir "$F3_TEST_TMP/other/.f3"
echo 0123456789abcdef0123456789abcdef >"$F3_TEST_TMP/other/.f3/id"
mount --bind "$F3_TEST_TMP/other" "$F3_STORE/v"
f3_launch && f3_fail "started with another store"
f3_match "reason" "$(tail -n 1 "$F3_LOG")" "its .f3/id is 0123456789abcdef0123456789abcdef, not $id"
umount "$F3_STORE/v"
mount --bind "$F3_TEST_TMP/real" "$F3_STORE/v"
f3_start
f3_ok here
f3_eq "what was not here" "$(cat "$v/d/f1")" 1
f3_ok ctl fsck >/dev/null
