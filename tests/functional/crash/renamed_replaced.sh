#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# An object is renamed, and another file takes its place before the store has heard of the rename.
# The other file replaces the object, whose etag the rename has changed: nobody else has been at
# work, and nothing is set aside as a conflict. So with a daemon that goes on, and after a crash.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse
f3_volume w "file://$F3_STORE/w" default-class=writeback
f3_start
for how in alive crash; do
	top=$F3_MNT/w/$how
	object=$F3_STORE/w/$how
	mkdir "$top"
	echo renamed >"$top/a"
	echo overwritten >"$top/b"
	f3_ok ctl sync "$top" >/dev/null
	f3_eq "$how: the object" "$(cat "$object/a")" renamed
	exec {writer}>"$top/c"
	# A store that cannot be reached hears of nothing for a while.
	mv "$F3_STORE/w" "$F3_STORE/away"
	f3_ok mv -f "$top/a" "$top/b"
	f3_ok mv -f "$top/c" "$top/b"
	echo replaced >&"$writer"
	[ $how = alive ] || f3_kill
	exec {writer}>&-
	mv "$F3_STORE/away" "$F3_STORE/w"
	[ $how = alive ] || f3_start
	f3_ok ctl sync "$top" >/dev/null
	f3_eq "$how: names" "$(ls "$top" | tr '\n' ' ')" "b "
	f3_eq "$how: content" "$(cat "$top/b")" replaced
	f3_eq "$how: names in the store" "$(ls "$object" | tr '\n' ' ')" "b "
	f3_eq "$how: content in the store" "$(cat "$object/b")" replaced
done
