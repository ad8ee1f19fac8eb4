#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# A machine whose clock is wrong, at the daemon's start and while it runs: real servers refuse what it
# signs, F3 takes the store's time, goes on, and says by how much they differ.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3 jq faketime
[ -z "${F3_SANITIZE:-}" ] || f3_skip "a sanitizer's library has to be loaded first"
lib=$(find /usr/lib /usr/local/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1)
[ -n "$lib" ] || f3_skip "needs libfaketime"
export AWS_EC2_METADATA_DISABLED=true

# off OFFSET: the daemon's clock, from now on
off()
{
	echo "$1" >"$F3_TEST_TMP/offset.new"
	mv "$F3_TEST_TMP/offset.new" "$F3_TEST_TMP/offset"
}

clocks()
{
	local d offset n=0 logged
	f3_s3_start "$1"
	f3_set retry-min=20ms retry-max=30s
	f3_s3_volume d default-class=durable attr-ttl=50ms
	d=$F3_MNT/d
	for offset in +2h -30d; do
		off "$offset"
		LD_PRELOAD=$lib FAKETIME_TIMESTAMP_FILE=$F3_TEST_TMP/offset FAKETIME_NO_CACHE=1 \
			FAKETIME_DONT_FAKE_MONOTONIC=1 f3_start
		for now in "$offset" -3h +0; do
			n=$((n + 1))
			off "$now"
			f3_ok sh -c "echo $n >$d/file$n"
			f3_ok mkdir "$d/dir$n"
			f3_eq "$now after $offset" "$(f3_s3 get "file$n")" $n
			f3_s3 copy "file$n" "dir$n/other" >/dev/null
			f3_eq "$now after $offset, of others" "$(cat "$d/dir$n/other")" $n
			f3_ok mv "$d/file$n" "$d/moved$n"
		done
		f3_stop
	done
	f3_eq "objects" "$(f3_s3 ls | grep -c -E '^(moved[0-9]+|dir[0-9]+/(other)?)$')" $((3 * n))
	logged=$(grep -a 'clock' "$F3_LOG")
	f3_match "it is told" "$logged" "warn.*s3://$S3_BUCKET: this machine's clock is 2.0 h ahead of the store's"
	f3_no 1 '' grep -aq error "$F3_LOG"
	f3_fsck
}
f3_s3_each clocks versitygw rgw
