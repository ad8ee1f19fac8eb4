#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Answers that do not tell whether something was done: lost, late, wrong, of a request that came twice.
# What the program was told is true, the store has each object once, with the right bytes, and nobody
# takes our own for somebody else's (no conflict file).
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq
export AWS_EC2_METADATA_DISABLED=true
f3_s3_start versitygw

# What happens to a request. lost...: the server has done it.
names=(lost before lost500 lost503 lost200 answer500 answer503 answer200 conflict lostconflict twice)
declare -A fault=(
	[lost]='"reset": "after"'
	[before]='"reset": "before"'
	[lost500]='"replace": {"error": "InternalError"}'
	[lost503]='"replace": {"error": "ServiceUnavailable"}'
	[lost200]='"replace": {"error": "InternalError", "status": 200}'
	[answer500]='"answer": {"error": "InternalError"}'
	[answer503]='"answer": {"error": "SlowDown"}'
	[answer200]='"answer": {"error": "InternalError", "status": 200}'
	[conflict]='"answer": {"error": "ConditionalRequestConflict"}'
	[lostconflict]='"replace": {"error": "ConditionalRequestConflict"}'
	[twice]='"twice": true'
)
rules=()
# upon METHOD PATH-BEFORE-THE-NAME PATH-BEHIND SKIP NAME...: the (SKIP+1)th such request of each
upon()
{
	local method=$1 front=$2 behind=$3 skip=$4 name
	shift 4
	for name; do
		rules+=("{\"method\": \"$method\", \"path\": \"/$front-$name$behind\", \"skip\": $skip, ${fault[$name]}}")
	done
}
upon PUT new '$' 0 "${names[@]}"
upon PUT new '$' 1 "${names[@]}"
upon PUT moved '$' 0 "${names[@]}"
upon DELETE moved '$' 0 "${names[@]}"
upon PUT dir '/$' 0 "${names[@]}"
upon DELETE dir '/$' 0 "${names[@]}"
upon DELETE again '$' 0 "${names[@]}"
upon POST big '\\?.*uploadId=' 0 lost lost200
upon PUT big '\\?.*partNumber=2' 0 before
upon POST big '\\?uploads' 0 lost500

f3_s3_proxy "${rules[@]}"
f3_set retry-min=20ms retry-max=20s
f3_s3_volume d default-class=durable attr-ttl=100ms
f3_start

python3 - "$F3_MNT/d" "${names[@]}" <<'P' || f3_bad "see above"
import os, sys
d, names = sys.argv[1], sys.argv[2:]
failed = 0

def put(path, data):
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o640)
    try:
        while data:
            data = data[os.write(fd, data):]
    finally:
        os.close(fd)

def attempt(what, call, *args):
    global failed
    try:
        return call(*args)
    except OSError as e:
        print(f"{what}: {e}")
        failed = 1

for n in names:
    attempt(f"{n}: create", put, f"{d}/new-{n}", b"first " + n.encode())
    attempt(f"{n}: replace", put, f"{d}/new-{n}", b"second " + n.encode())
    attempt(f"{n}: mkdir", os.mkdir, f"{d}/dir-{n}")
    attempt(f"{n}: rename", os.rename, f"{d}/new-{n}", f"{d}/moved-{n}")
    attempt(f"{n}: rename again", os.rename, f"{d}/moved-{n}", f"{d}/again-{n}")
    attempt(f"{n}: rmdir", os.rmdir, f"{d}/dir-{n}")
for n in ("lost", "lost200", "before", "lost500"):
    attempt(f"{n}: upload", put, f"{d}/big-{n}", bytes(range(256)) * 280000)
for n in names:
    if attempt(f"{n}: open", open, f"{d}/again-{n}").read() != "second " + n:
        print(f"{n}: other bytes here")
        failed = 1
sys.exit(failed)
P
md5()
{
	printf '%s' "$1" | md5sum | cut -d' ' -f1
}
for name in "${names[@]}"; do
	printf 'again-%s %s\n' "$name" "$(md5 "second $name")"
done | sort >wanted
f3_s3 ls --long | awk '$3 !~ /^(\.f3\/|big-)/ { gsub(/"/, "", $2); print $3, $2 }' | sort >found
diff wanted found || f3_bad "in the store"
f3_eq "here" "$(find "$F3_MNT/d" -name 'again-*' -printf . | wc -c) $(find "$F3_MNT/d" -mindepth 1 -printf . | wc -c)" "11 15"
python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 280000)' >big
for name in lost lost200 before lost500; do
	f3_ok cmp big <(f3_s3 get "big-$name")
done
rm "$F3_MNT"/d/* || f3_bad "rm"
f3_eq "nothing is there" "$(f3_s3 ls | grep -v '^\.f3/')" ''
f3_eq "each happened once" \
	"$(f3_proxy_log '[.[].rules[]] | sort' | jq -c '[length, (unique | length)]')" \
	"[${#rules[@]},${#rules[@]}]"
grep -a 'f3-conflict' "$F3_LOG" && f3_bad "it was taken for somebody else's"
f3_ok ctl fsck >/dev/null
