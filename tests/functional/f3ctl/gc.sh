#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl gc: lists and deletes what nothing speaks of, and nothing else.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq python3
f3_volume data -
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_set "retry-min=50ms" "retry-max=200ms"
f3_start
d=$F3_MNT/data
for i in {1..20}; do echo "$i" >"$d/f$i"; done
echo keep >"$F3_MNT/photos/keep"
f3_ok ctl sync >/dev/null
sums=$(cat "$d"/f* "$F3_MNT/photos/keep" | md5sum)
ino=$(f3_info "$d/f1" .ino)

# A large file whose upload has begun; the daemon dies; a copy of that upload is nobody's. Its writer
# closes nothing, not even a duplicate: each close would send the whole file and end the upload.
mkfifo "$F3_TEST_TMP/hold"
python3 -c '
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
for _ in range(80):
    os.write(fd, bytes(1 << 20))
open(sys.argv[2])' "$F3_MNT/photos/large" "$F3_TEST_TMP/hold" &
writer=$!
begun()
{
	upload=$(find "$F3_STORE/photos/.f3/upload" -name data -size +0 2>/dev/null | head -n 1)
	upload=${upload%/data}
	[ -n "$upload" ]
}
f3_until 60 begun || f3_bad "no upload was begun"
f3_kill
kill "$writer"
wait "$writer"
# Numbers that were given out and that no file has: those of the stock.
mapfile -t unused < <(find "$F3_CACHE/data/1" -type f -size 0 -printf '%f\n' | cut -d. -f1 | head -n 2)
[ ${#unused[@]} -eq 2 ] || f3_fail "no stock was left: ${unused[*]}"
begun || f3_fail "no upload is left of the killed daemon: $(find "$F3_STORE/photos/.f3/upload")"
age()
{
	cp -a "$upload" "${upload%??}$1"
	python3 - "${upload%??}$1/manifest" "$2" <<'P'
import os, struct, sys, time
path, days = sys.argv[1], float(sys.argv[2])
b = bytearray(open(path, 'rb').read())
at = 3 + struct.unpack('>H', b[1:3])[0]
data = os.stat(os.path.dirname(path) + '/data').st_ino
b[at:at + 16] = struct.pack('>qQ', int((time.time() - days * 86400) * 1e9), data)
open(path, 'wb').write(b)
P
}
stray()
{
	local path
	path=$(printf '%s/data/1/%02x/%016x.%08x' "$F3_CACHE" $(($1 & 255)) "$1" "$2")
	mkdir -p "${path%/*}"
	head -c 10000 /dev/zero >"$path"
}
age aa 2
age bb 0.5

# The start removes the strays it finds; those that come after it are left to gc.
stray $((16#${unused[0]})) 1
f3_start
f3_until 60 grep -q "volume data: .* backing files of unfinished operations removed" "$F3_LOG" ||
	f3_bad "the start removed no strays"
f3_ok ctl sync >/dev/null
# Of an earlier run: a number that no record has, and one above the record's.
stray $((16#${unused[1]})) 1
stray "$ino" 9
echo hello >"$F3_CACHE/data/1/not-ours"

listed=$(ctl --json gc)
f3_eq "found" "$(jq -s -c '[.[-1].uploads, .[-1].deleted, .[-1].strangers, .[-1].files]' <<<"$listed")" \
	"[1,0,1,2]"
f3_match "upload" "$(jq -r 'select(.item.what == "upload").item.key' <<<"$listed")" '^large$'
f3_eq "nothing was deleted by looking" "$(ctl --json gc | jq -s -c '.[-1].files')" \
	"$(jq -s '.[-1].files' <<<"$listed")"
f3_eq "deleted" "$(ctl --json gc --delete | jq -s -c '.[-1] | .deleted == .files + .uploads')" true
f3_eq "nothing left" "$(ctl --json gc | jq -s -c '.[-1] | [.files, .uploads]')" "[0,0]"
[ -e "$F3_CACHE/data/1/not-ours" ] || f3_bad "what is not F3's was deleted"
[ -e "${upload%??}aa" ] && f3_bad "the old upload is still there"
[ -e "${upload%??}bb" ] || f3_bad "an upload of half a day was deleted"
f3_set gc-upload-age=6h
f3_restart
f3_eq "old enough now" "$(ctl --json gc --delete | jq -s -c '.[-1] | [.uploads, .deleted]')" "[1,1]"
[ -e "${upload%??}bb" ] && f3_bad "an upload older than gc-upload-age is still there"
f3_eq "files are as they were" "$(cat "$d"/f* "$F3_MNT/photos/keep" | md5sum)" "$sums"
f3_ok ctl fsck >/dev/null
f3_match "for people" "$(ctl gc)" '^0 backing files .* 0 deleted|not-ours'
