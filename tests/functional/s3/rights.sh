#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Keys of somebody who may only read, as real servers know it: by a bucket's policy. The volume is read-only
# and says so; what may be read is read. Rights that are taken away while the volume is used are an error for
# who waits, and nothing is lost; given again, all goes up. No rights at all: no start, with the reason.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3 jq
export AWS_EC2_METADATA_DISABLED=true

# may ACTION...: what the policy of the bucket lets everybody with keys do
may()
{
	local allowed
	allowed=$(printf '"s3:%s",' "$@")
	printf '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": [%s],
		"Resource": ["arn:aws:s3:::%s", "arn:aws:s3:::%s/*"]}]}' "${allowed%,}" "$S3_BUCKET" "$S3_BUCKET" >policy
	[[ $(owner request PUT '' policy --query policy) = 20[04]* ]] || f3_fail "no policy"
}

owner()
{
	AWS_ACCESS_KEY_ID=$access AWS_SECRET_ACCESS_KEY=$secret f3_s3 "$@"
}

rights()
{
	local d w command
	f3_s3_start "$1"
	f3_set retry-min=20ms retry-max=2s
	access=$AWS_ACCESS_KEY_ID secret=$AWS_SECRET_ACCESS_KEY
	export AWS_ACCESS_KEY_ID=$S3_OTHER_ACCESS AWS_SECRET_ACCESS_KEY=$S3_OTHER_SECRET
	S3_PREFIX=d f3_s3_volume d default-class=durable attr-ttl=50ms
	S3_PREFIX=w f3_s3_volume w default-class=writeback attr-ttl=50ms
	d=$F3_MNT/d w=$F3_MNT/w
	echo old | owner put d/file - >/dev/null
	head -c 20000000 /dev/urandom >big
	echo second >second
	owner put d/big big >/dev/null
	f3_launch && f3_fail "started without any right"
	f3_match "no rights" "$(tail -n 1 "$F3_LOG")" "volume d: .*AccessDenied.*s3:ListBucket"

	may GetObject ListBucket
	f3_start
	f3_eq "read" "$(cat "$d/file")" old
	f3_ok cmp big "$d/big"
	for command in "echo x >$d/new" "mkdir $d/dir" "rm $d/file" "mv $d/file $d/other" "chmod 600 $d/file" "echo x >>$d/big"; do
		f3_no "$([[ $command = echo* ]] && echo 2 || echo 1)" 'Read-only file system' sh -c "$command"
	done
	f3_match "it says so" "$(grep -a 'read-only' "$F3_LOG" | tail -n 1)" 'warn.*volume [dw]: .*may not be written; the volume is read-only'
	f3_eq "read_only" "$(ctl --json volume list | jq -c '.volumes | map(.read_only)')" "[true,true]"
	f3_stop
	f3_eq "objects" "$(owner ls | sort | tr '\n' ' ')" "d/big d/file "

	may GetObject ListBucket PutObject DeleteObject AbortMultipartUpload ListMultipartUploadParts ListBucketMultipartUploads
	f3_start
	f3_ok sh -c "echo first >$d/mine && echo first >$w/mine"
	f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
	may GetObject ListBucket
	# One server takes a policy a moment after it said so.
	refused()
	{
		! echo x | f3_s3 put probe -
	}
	f3_until 60 refused || f3_fail "it may be written still"
	f3_no 1 'Permission denied' cp big "$d/refused"
	f3_no 1 'Permission denied' cp second "$d/mine"
	f3_ok sh -c "echo second >$w/mine"
	f3_ok mkdir "$w/dir"
	f3_ok cp big "$w/dir/big"
	f3_eq "what was refused is kept" "$(cat "$d/mine" "$w/mine")" $'second\nsecond'
	f3_ok cmp big "$d/refused"
	# A start in between: nothing of it is lost, though the volume may not be written.
	f3_restart
	f3_eq "after a start" "$(cat "$w/mine")" second
	f3_ok cmp big "$w/dir/big"
	may GetObject ListBucket PutObject DeleteObject AbortMultipartUpload ListMultipartUploadParts ListBucketMultipartUploads
	f3_until 60 eval '! refused' || f3_fail "it may not be written again"
	f3_restart
	f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
	f3_eq "went up" "$(owner get d/mine) $(owner get w/mine)" "second second"
	f3_ok cmp big <(owner get w/dir/big)
	f3_ok cmp big <(owner get d/refused)
	f3_eq "uploads" "$(owner uploads)" ''
	f3_stop
	f3_fsck
}
f3_s3_each rights versitygw rgw
