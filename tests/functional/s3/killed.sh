#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Killed before and after a request that changes the store: the next start has each object once, with
# the right bytes, and leaves no upload behind.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse debug python3 jq
export AWS_EC2_METADATA_DISABLED=true
f3_s3_start versitygw
# With the daemon the mount goes, too: what is looked at is what a start finds.
f3_set retry-min=20ms retry-max=2s restart=no
f3_s3_volume w default-class=writeback attr-ttl=50ms
w=$F3_MNT/w
python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 280000)' >big

# killed POINT COMMAND...: the command in the volume, with a daemon that dies at that point, at once or later.
killed()
{
	local point=$1
	shift
	F3_DEBUG_POINTS="$point=exit" f3_launch || f3_fail "$point: no start"
	(cd "$w" && "$@") >/dev/null 2>&1
	f3_crashed
	f3_launch || f3_fail "$point: no start after it"
	f3_until 60 ctl sync || f3_bad "$point: sync: $(ctl sync 2>&1)"
}
f3_launch || f3_fail "no start"
for name in p1 p2 p3 p4 b1 b2; do echo old >"$w/$name"; done
echo old >"$w/moved1"
echo old >"$w/moved2"
f3_ok ctl sync >/dev/null
f3_stop
n=0
for point in stage.before-put stage.after-put journal.before-request journal.after-result; do
	n=$((n + 1))
	killed $point sh -c "echo new $point >p$n"
	f3_eq "$point" "$(cat "$w/p$n") $(f3_s3 get "p$n")" "new $point new $point"
	f3_stop
done
n=0
for point in stage.before-complete stage.after-complete; do
	n=$((n + 1))
	killed $point cp "$F3_TEST_TMP/big" b$n
	f3_ok cmp big <(f3_s3 get "b$n")
	f3_ok cmp big "$w/b$n"
	f3_eq "$point: uploads" "$(f3_s3 uploads)" ''
	f3_stop
done
n=0
for point in journal.before-request journal.after-result; do
	n=$((n + 1))
	killed $point mv moved$n to$n
	f3_eq "$point: moved" "$(cat "$w/to$n") $(f3_s3 get "to$n")" "old old"
	f3_stop
done
f3_eq "objects" "$(f3_s3 ls | grep -v '^\.f3/' | sort | tr '\n' ' ')" "b1 b2 p1 p2 p3 p4 to1 to2 "
f3_fsck
