#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Large objects are copied in parts, inside the store: for another name, for other attributes, with a tree.
# Killed between two parts: the next start has it done, and leaves no upload behind; nor does one whose
# beginning was never answered. None of their bytes comes here. Large is what has more than 512 MiB; here it
# is 16, unless F3_S3_LARGE is in the environment.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse debug python3 jq
f3_s3_start "${F3_S3_KIND:-versitygw}"
f3_s3_proxy
f3_set retry-min=20ms retry-max=30s restart=no
S3_PREFIX=p f3_s3_volume w default-class=writeback attr-ttl=50ms
w=$F3_MNT/w
size=$((513 << 20))
if [ -z "${F3_S3_LARGE:-}" ]; then
	export F3_DEBUG_FAULTS="object-s3.short-copies=E2BIG"
	size=17000000
fi
head -c $size /dev/urandom >whole
f3_s3 multipart p/object whole --part-size $((64 << 20)) >/dev/null || f3_fail "no object"
f3_s3 copy p/object p/tree/object >/dev/null || f3_fail "no copy"
uploads()
{
	f3_s3 uploads | cut -f 1 | sort | tr '\n' ' '
}
# killed KEY COMMAND...: kill -9 of everything while the second part of that copy is held; then a new start.
killed()
{
	local key=$1 rule
	shift
	rule=$(f3_proxy add "{\"method\": \"PUT\", \"path\": \"/p/$key.*partNumber=2\", \"hold\": true}")
	f3_ok "$@" || exit
	f3_proxy wait "$rule" >/dev/null
	f3_kill
	f3_proxy clear
	f3_eq "left by $*" "$(uploads)" "p/$key "
	# It arrives still, later than all else.
	f3_start
	f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
	f3_becomes 60 "after the start, $*" '' uploads
	f3_proxy release
	f3_becomes 60 "after what arrives late, $*" '' uploads
}
f3_start
killed renamed mv "$w/object" "$w/renamed"
f3_ok cmp whole <(f3_s3 get p/renamed)
f3_eq "its old name" "$(f3_s3 ls p/object)" ''
killed renamed chmod 640 "$w/renamed"
f3_ok cmp whole <(f3_s3 get p/renamed)
f3_match "its mode" "$(f3_s3 head p/renamed | jq -r '.["x-amz-meta-mode"]')" '^(33184|0?100640)$'
f3_eq "its mode here" "$(stat -c %a "$w/renamed")" 640
killed moved/object mv "$w/tree" "$w/moved"
f3_ok cmp whole <(f3_s3 get p/moved/object)
f3_eq "their old name" "$(f3_s3 ls p/tree/)" ''

# Nobody knows whether it has begun.
f3_proxy add '{"method": "POST", "path": "/p/again.*uploads", "reset": "after"}' >/dev/null
f3_ok mv "$w/renamed" "$w/again"
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_ok cmp whole <(f3_s3 get p/again)
f3_eq "nobody knows of it" "$(uploads)" "p/again "
f3_restart
f3_becomes 60 "after a start" '' uploads

# A part that comes to nothing takes the copy with it, and that may be refused, too.
f3_proxy add '{"method": "PUT", "path": "/p/last.*partNumber=3", "answer": {"error": "NoSuchUpload"}}' >/dev/null
f3_proxy add '{"method": "DELETE", "path": "/p/last.*uploadId", "answer": {"error": "AccessDenied"}}' >/dev/null
f3_ok mv "$w/again" "$w/last"
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_ok cmp whole <(f3_s3 get p/last)
f3_eq "refused" "$(uploads)" "p/last "
f3_restart
f3_becomes 60 "after a start" '' uploads
f3_eq "objects" "$(f3_s3 ls p/ | grep -v '/\.f3/' | sort | tr '\n' ' ')" "p/last p/moved/object "
f3_eq "bytes that came" "$(f3_proxy_log 'map(select(.method == "GET" and (.path | test("object|renamed|again|last"))) | .got) | add // 0')" 0
f3_stop
f3_fsck
