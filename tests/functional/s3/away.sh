#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# A store that is away, or has lost its bucket: EIO in time, nothing that is known seems deleted, what was
# acknowledged is kept, and all goes on when it is back.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq
export AWS_EC2_METADATA_DISABLED=true
f3_s3_start versitygw
f3_s3_proxy
f3_set retry-min=20ms retry-max=3s
S3_PREFIX=d f3_s3_volume d default-class=durable attr-ttl=100ms timeout=1s
S3_PREFIX=w f3_s3_volume w default-class=writeback attr-ttl=100ms timeout=1s
f3_start
d=$F3_MNT/d w=$F3_MNT/w
head -c 3000000 /dev/urandom >"$d/file"
sum=$(sha256sum <"$d/file")
mkdir "$d/dir" "$w/dir"
for i in 1 2 3; do echo "$i" >"$d/dir/f$i"; done
echo doc >"$w/doc"
f3_ok ctl sync >/dev/null

# Away in one way or the other.
known=$'dir\nfile'
seconds()
{
	local since=$SECONDS
	"$@"
	[ $((SECONDS - since)) -le 30 ] || f3_bad "$((SECONDS - since)) s: $*"
}
n=0
for how in '"reset": "before"' \
	'"answer": {"status": 404, "body": "<Error><Code>NoSuchBucket</Code></Error>"}'; do
	n=$((n + 1))
	exec {open}<"$d/file"
	cat <&"$open" >/dev/null
	f3_closed 1
	rule=$(f3_proxy add "{$how, \"times\": 0}")
	seconds f3_no 2 'Input/output error' ls "$d/unknown"
	f3_no 2 'Input/output error' ls "$d/unknown"
	for dir in "$d" "$d/dir"; do
		said=$(ls "$dir" 2>err)
		if [ "$dir" = "$d" ]; then want=$known; else want=$'f1\nf2\nf3'; fi
		[ "$said" = "$want" ] || grep -q 'Input/output error' err ||
			f3_bad "$how: $dir shows '$said', $(cat err)"
	done
	stat "$d/dir/f2" >/dev/null 2>err || grep -q 'Input/output error' err || f3_bad "$how: $(cat err)"
	cat "$d/file" >/dev/null 2>err || grep -q 'Input/output error' err || f3_bad "$how: $(cat err)"
	f3_eq "$how: what is open" "$(python3 -c "import os, hashlib
print(hashlib.sha256(os.pread($open, 4000000, 0)).hexdigest())")" "${sum%% *}"
	exec {open}<&-
	f3_no 2 'Input/output error' sh -c "echo $n >$d/dir/new"
	seconds f3_no 1 'Input/output error' python3 -c "
fd = open('$d/dir/f1', 'r+')
fd.write('$n')
fd.close()"
	f3_ok sh -c "echo $n >>$w/doc"
	f3_proxy remove "$rule"
	f3_until 60 ctl sync || f3_bad "$how: sync: $(ctl sync 2>&1)"
	f3_until 60 ls "$d/dir/f2" || f3_bad "$how: it does not work again"
	f3_eq "$how: writeback went up" "$(f3_s3 get w/doc)" "$(printf '%s\n' doc $(seq $n))"
	f3_eq "$how: all are there" "$(ls "$d")" "$known"
	f3_eq "$how: all are there" "$(ls "$d/dir")" $'f1\nf2\nf3'
	f3_eq "$how: what was refused is kept" "$(cat "$d/dir/f1")" "$n"
	f3_eq "$how: bytes" "$(sha256sum <"$d/file")" "$sum"
done
grep -q 'the bucket is not there (any more): make it again' "$F3_LOG" || f3_bad "nobody says that the bucket is gone"
f3_ok ctl fsck >/dev/null
f3_eq "objects" "$(f3_s3 ls | grep -v '\.f3/' | sort | tr '\n' ' ')" \
	"d/dir/ d/dir/f1 d/dir/f2 d/dir/f3 d/file w/dir/ w/doc "
