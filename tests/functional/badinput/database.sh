#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A database that is damaged, of a newer format, or not one: the reason, and it stays as it is.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data -
f3_start
for i in {1..200}; do echo "$i" >"$F3_MNT/data/f$i"; done
f3_stop
cp -a "$F3_CACHE" good
bad()
{
	f3_no 1 "$1" f3d -f -c "$F3_CONF"
	f3_unmounted "$F3_MNT"
}
again()
{
	rm -rf "$F3_CACHE"
	cp -a good "$F3_CACHE"
}

# A copy has another place: it is a new node, and says so; here it is put back where it was.
dbformat "$F3_CACHE/db" 99
bad 'format 99, this version of F3 knows formats up to 1'
f3_no 1 'format 99' f3ctl fsck --cache "$F3_CACHE"
f3_no 1 'format 99' f3ctl fsck --cache "$F3_CACHE" --repair
again
manifest=$(find "$F3_CACHE/db" -name 'MANIFEST-*' | sort | tail -n 1)
printf 'garbage' | dd of="$manifest" bs=1 seek=20 conv=notrunc status=none
bad "$F3_CACHE/db"
again
echo 'MANIFEST-999999' >"$F3_CACHE/db/CURRENT"
bad "$F3_CACHE/db"
again
: >"$F3_CACHE/db/CURRENT"
bad "$F3_CACHE/db"
again
rm -f "$F3_CACHE"/db/*.sst "$F3_CACHE"/db/*.log
bad "$F3_CACHE/db"
again
rm -rf "$F3_CACHE/db"
echo file >"$F3_CACHE/db"
bad "$F3_CACHE/db"
# Nothing of that was repaired behind our back, and a good one is still good.
again
f3_ok f3ctl fsck --cache "$F3_CACHE" >/dev/null
