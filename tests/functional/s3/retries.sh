#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# A store that asks for patience, breaks off, or hangs for a while: the program does not see it.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq
export AWS_EC2_METADATA_DISABLED=true
f3_s3_start versitygw
f3_s3_proxy
f3_set retry-min=20ms retry-max=30s
S3_PREFIX=d f3_s3_volume d default-class=durable attr-ttl=100ms timeout=1s
f3_start
d=$F3_MNT/d
head -c 3000000 /dev/urandom >"$d/file"
sum=$(sha256sum <"$d/file")

# cold RULE...: the file is read anew while that happens to its reads.
cold()
{
	local rule
	f3_closed
	f3_ok ctl evict "$d/file" >/dev/null
	for rule; do
		f3_proxy add "{\"method\": \"GET\", \"path\": \"/d/file\", $rule}" >/dev/null
	done
	f3_eq "$*" "$(sha256sum <"$d/file")" "$sum"
}
cold '"answer": {"status": 503, "headers": {"Retry-After": "2"}}'
# shellcheck disable=SC2016 # jq's own variable
f3_eq "the pause it asked for" "$(f3_proxy_log 'map(select(.method == "GET" and (.path | endswith("/d/file")))) |
	(map(select(.status == 503)) | .[0]) as $no |
	map(select(.range == $no.range and .start > $no.start)) | .[0].start - $no.start >= 2')" true
cold '"answer": {"error": "SlowDown"}, "times": 3'
cold '"reset": "before"' '"reset": "before"'
cold '"truncate": 100000' '"truncate": 0'
cold '"answer": {"error": "InternalError"}, "times": 2'
cold '"stall": 100000'
f3_proxy release
f3_proxy add '{"method": "PUT", "path": "/d/slow", "answer": {"status": 429, "headers": {"Retry-After": "1"}}}' >/dev/null
f3_ok sh -c "echo slow >$d/slow"
f3_eq "the pause it asked for" "$(f3_proxy_log 'map(select(.method == "PUT" and (.path | endswith("/d/slow")))) |
	.[1].start - .[0].start >= 1')" true
f3_ok ctl fsck >/dev/null
