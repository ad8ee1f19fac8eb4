#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Answers that are wrong: cut listings, lengths and ranges that are not true, connections that break off.
# The program gets the right bytes and names, or an error; and the right ones afterwards.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq
export AWS_EC2_METADATA_DISABLED=true
f3_s3_start versitygw
f3_s3_proxy
f3_set retry-min=20ms retry-max=2s
f3_s3_volume d default-class=durable attr-ttl=50ms timeout=1s
f3_start
d=$F3_MNT/d
mkdir "$d/dir"
head -c 400000 /dev/urandom >"$d/dir/file"
for i in 1 2 3; do echo "$i" >"$d/dir/f$i"; done
sum=$(sha256sum <"$d/dir/file")
names=$'f1\nf2\nf3\nfile'

# bytes RULE: of the file, read anew
bytes()
{
	local said rule
	f3_closed 0
	f3_ok ctl evict "$d/dir/file" >/dev/null
	rule=$(f3_proxy add "{\"method\": \"GET\", \"path\": \"/dir/file\", $1}")
	if said=$(cat "$d/dir/file" 2>err | sha256sum; exit "${PIPESTATUS[0]}"); then
		f3_eq "$1" "$said" "$sum"
	else
		grep -q 'Input/output error\|Stale file handle' err || f3_bad "$1: $(cat err)"
	fi
	f3_proxy remove "$rule"
	f3_proxy release
	f3_eq "after $1" "$(sha256sum <"$d/dir/file")" "$sum"
}
bytes '"length": 7'
bytes '"set": {"Content-Range": "bytes 7-400006/400007"}'
bytes '"set": {"Content-Range": null}'
bytes '"set": {"ETag": "\"0123456789abcdef0123456789abcdef\""}'

# listing RULE: of the directory
listing()
{
	local said rule
	echo x >"$d/other" # its own listing is not the answer
	read -rt 0.1 -u "$f3_pause"
	rule=$(f3_proxy add "{\"method\": \"GET\", \"path\": \"list-type=2\", $1}")
	if said=$(ls "$d/dir" 2>err); then
		f3_eq "$1" "$said" "$names"
	else
		grep -q 'Input/output error' err || f3_bad "$1: $(cat err)"
	fi
	stat "$d/nothing" >/dev/null 2>err
	f3_proxy remove "$rule"
	f3_proxy release
	f3_until 20 ls "$d/dir/file" || f3_bad "after $1"
	f3_eq "after $1" "$(ls "$d/dir")" "$names"
	f3_eq "after $1" "$(ls "$d")" $'dir\nother'
}
start='<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>'
for text in '' '<html><body>Sign in</body></html>' "${start}false</IsTruncated><Contents><Key>dir/f1" \
	"${start}true</IsTruncated></ListBucketResult>" \
	"${start}false</IsTruncated><Contents><Key>dir/f1</Key><Size>-1</Size></Contents></ListBucketResult>"; do
	listing "\"replace\": {\"status\": 200, \"body\": \"$text\"}, \"times\": 0"
done
listing '"truncate": 100, "times": 2'
# What is no name of ours is passed over.
entries=
for name in '..' '.' 'dir/../x' 'other/f1' '' 'dir/&#1;&#10;x'; do
	entries+="<Contents><Key>$name</Key><Size>1</Size><ETag>x</ETag></Contents>"
done
rule=$(f3_proxy add "{\"method\": \"GET\", \"path\": \"delimiter=%2F\", \"replace\": {\"status\": 200, \"body\": \"${start}false</IsTruncated>$entries</ListBucketResult>\"}, \"times\": 0}")
ls -a "$d/dir" >shown 2>&1
f3_proxy remove "$rule"
[ -e "$d/x" ] && f3_bad "a name from above"
f3_until 20 ls "$d/dir/file" || f3_bad "its names are not back"
f3_eq "its names" "$(ls "$d/dir")" "$names"
f3_eq "objects" "$(f3_s3 ls | grep -v '^\.f3/' | sort | tr '\n' ' ')" "dir/ dir/f1 dir/f2 dir/f3 dir/file other "
f3_ok ctl fsck >/dev/null
