#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Backing files of a content that was replaced, or is about to be, just before a crash: the next
# start removes both and keeps the one that the record speaks of. So for a file that was closed,
# and for one that had a writer, which the next start holds in memory from its beginning on.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse
f3_volume data -
f3_start

# backing FILE: the only backing file it has
backing()
{
	find "$F3_CACHE/data" -name "$(printf %016x "$(stat -c %i "$F3_MNT/data/$1")").*"
}

echo kept >"$F3_MNT/data/closed"
exec 3>"$F3_MNT/data/written"
echo kept >&3
closed=$(backing closed) written=$(backing written)
f3_match "its backing file" "$closed" '\.00000001$'
f3_match "its backing file" "$written" '\.00000001$'
f3_kill
exec 3>&-
for now in "$closed" "$written"; do
	head -c 1000000 /dev/zero >"${now%1}0"
	head -c 1000000 /dev/zero >"${now%1}2"
done
f3_start
# The sweep may come after this: the stray is in the way of the new content.
: >"$F3_MNT/data/closed" || f3_bad "a stray backing file is in the way of a truncation"
echo kept >"$F3_MNT/data/closed"
closed=$(backing closed | tail -n 1)
for now in "$closed" "$written"; do
	ino=$(basename "${now%.*}")
	f3_until 60 eval '[ "$(find "$F3_CACHE/data" -name "$ino.*")" = "$now" ]' ||
		f3_bad "there are $(find "$F3_CACHE/data" -name "$ino.*")"
done
f3_eq "its content" "$(cat "$F3_MNT/data/closed")" kept
f3_eq "its content" "$(cat "$F3_MNT/data/written")" kept
