#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The servers of the tests are real: they refuse a wrong signature, serve both kinds of address and
# TLS, and what one client wrote another reads, here curl, which signs by code of its own.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires python3 jq curl

one_server()
{
	f3_s3_start "$1"
	printf 'some bytes' >small
	head -c 11000000 /dev/urandom >big
	f3_ok f3_s3 put 'a b/+ü&=%' small --meta who=me >/dev/null
	f3_ok f3_s3 multipart big big --meta n=1 >/dev/null
	f3_eq "$1: keys" "$(f3_s3 ls | sort)" $'a b/+ü&=%\nbig'
	f3_eq "$1: bytes" "$(f3_s3 get 'a b/+ü&=%')" "some bytes"
	f3_eq "$1: metadata" "$(f3_s3 head 'a b/+ü&=%' | jq -r '."x-amz-meta-who"')" me
	f3_ok f3_s3 copy big copied --meta n=2
	f3_eq "$1: copied with metadata" "$(f3_s3 head copied | jq -r '."x-amz-meta-n"')" 2
	f3_ok cmp big <(f3_s3 get copied)
	f3_s3 request POST unfinished --query uploads >said
	f3_eq "$1: uploads" "$(f3_s3 uploads | cut -f1)" unfinished
	IFS=$'\t' read -r _ id < <(f3_s3 uploads)
	f3_ok f3_s3 abort unfinished "$id"

	AWS_SECRET_ACCESS_KEY=wrong f3_no 1 SignatureDoesNotMatch f3_s3 ls
	f3_no 5 PreconditionFailed f3_s3 put big small --header 'if-none-match=*'
	f3_eq "$1: bucket in the host's name" \
		"$(S3_DIRECT=$S3_VHOST_ENDPOINT f3_s3 --virtual ls | wc -l)" 3
	if [ -n "$S3_TLS_ENDPOINT" ]; then
		f3_eq "$1: TLS" "$(S3_DIRECT=$S3_TLS_ENDPOINT f3_s3 ls | wc -l)" 3
		S3_CA='' S3_DIRECT=$S3_TLS_ENDPOINT f3_no 1 'certificate verify failed' f3_s3 ls
	fi
	f3_ok curl -sS --fail -o back --aws-sigv4 "aws:amz:$S3_REGION:s3" \
		--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
		-H "x-amz-content-sha256: $(sha256sum </dev/null | cut -d' ' -f1)" \
		"$S3_ENDPOINT/$S3_BUCKET/big"
	f3_ok cmp big back
	f3_ok f3_s3 rm -r
	f3_eq "$1: all gone" "$(f3_s3 ls)" ''
}

mapfile -t kinds < <("$F3_SRCDIR/tests/s3/server" kinds)
[ ${#kinds[@]} -gt 0 ] || f3_skip "needs an S3 server"
for kind in "${kinds[@]}"; do
	one_server "$kind"
done
