#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test: timeout=300
#
# Every operation of the object store, asked of a real S3 server (all of tests/s3/vtable.c), and what
# others have noted with an object stays with it and with its copy. F3_TEST_S3_KINDS=all: of each
# kind of server that can run here.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires python3 jq
export AWS_EC2_METADATA_DISABLED=true S3_FOREIGN='theirs +%'

noted()
{
	f3_s3 head "vtable/$1" |
		jq -c '[."content-type", ."x-amz-meta-who", ."cache-control"]'
}

kinds=("${F3_TEST_S3_KINDS:-any}")
[ "${kinds[0]}" != all ] || mapfile -t kinds < <("$F3_SRCDIR/tests/s3/server" kinds)
[ ${#kinds[@]} -gt 0 ] || f3_skip "needs an S3 server"
for kind in "${kinds[@]}"; do
	f3_s3_start "$kind"
	printf bytes >theirs
	f3_ok f3_s3 put "vtable/$S3_FOREIGN" theirs --meta who=me --header content-type=text/x-theirs \
		--header cache-control=no-cache >/dev/null
	before=$(noted "$S3_FOREIGN")
	f3_ok "$F3_BUILDDIR/tests/s3/vtable"
	f3_eq "$kind: noted before" "$before" '["text/x-theirs","me","no-cache"]'
	f3_eq "$kind: of the copy" "$(noted "$S3_FOREIGN-copy")" "$before"
	f3_eq "$kind: after other attributes" "$(noted "$S3_FOREIGN")" "$before"
	f3_eq "$kind: attributes" \
		"$(f3_s3 head "vtable/$S3_FOREIGN" | jq -r '."x-amz-meta-mode"')" 33156
done
