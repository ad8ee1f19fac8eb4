#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The fault proxy of the tests does each thing it says, in front of a real server.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires python3 jq curl
f3_s3_start any
f3_s3_proxy

"$F3_SRCDIR/tests/s3/proxy_test.py" "$F3_TEST_TMP/proxy.sock" "$F3_TEST_TMP/proxy.log" ||
	f3_fail "see above"

# By a client that asks before it sends, on one connection, with a body of chunks.
f3_proxy clear
head -c 3000000 /dev/urandom >big
sum=$(sha256sum <big)
curl=(curl -sS --fail --aws-sigv4 "aws:amz:$S3_REGION:s3" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD'
	--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY")
f3_ok "${curl[@]}" -H 'Expect: 100-continue' -T big "$S3_ENDPOINT/$S3_BUCKET/asked" -o said \
	--next "${curl[@]:1}" "$S3_ENDPOINT/$S3_BUCKET/asked" -o back
f3_eq "what came back" "$(sha256sum <back)" "$sum"
f3_eq "what is there" "$(f3_s3 get asked | sha256sum)" "$sum"
f3_eq "two requests" "$(f3_proxy_log '.[-2:] | map([.method, .status, .sent, .got])')" \
	'[["PUT",200,3000000,0],["GET",200,0,3000000]]'

# A client that has gone: what is held arrives all the same.
rule=$(f3_proxy add '{"method": "PUT", "hold": true}')
f3_no 28 '' "${curl[@]}" -m 1 -T big "$S3_ENDPOINT/$S3_BUCKET/late"
f3_no 4 404 f3_s3 head late
f3_proxy wait "$rule" >/dev/null
f3_proxy release
f3_proxy idle >/dev/null
f3_eq "what came late" "$(f3_s3 get late | sha256sum)" "$sum"
