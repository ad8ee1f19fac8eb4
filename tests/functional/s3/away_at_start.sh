#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A node comes up while the store of a volume it knows is away: what is here is served, what is not is
# EIO, and when the store is there again it is probed, and what waited goes up. A volume that is new, or
# whose keys are wrong, is a reason not to start.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq
export AWS_EC2_METADATA_DISABLED=true
f3_s3_start versitygw
f3_s3_proxy
f3_set retry-min=20ms retry-max=500ms
S3_PREFIX=d f3_s3_volume d default-class=durable attr-ttl=100ms
S3_PREFIX=w f3_s3_volume w default-class=writeback attr-ttl=100ms
f3_volume local -

# New, and away: no start, no matter which way.
rule=$(f3_proxy add '{"reset": "before", "times": 0}')
f3_launch && f3_fail "started with a new volume whose store nobody has seen"
f3_match "reason" "$(tail -n 1 "$F3_LOG")" "volume d: s3://$S3_BUCKET at $S3_ENDPOINT: GET"
f3_proxy remove "$rule"
f3_start
caps()
{
	ctl --json volume list | jq -c '.volumes[] | select(.name == "d") | .store'
}
known=$(caps)
f3_eq "reached" "$(jq .reached <<<"$known")" true
head -c 300000 /dev/urandom >"$F3_MNT/d/here"
head -c 300000 /dev/urandom >"$F3_MNT/d/there"
echo first >"$F3_MNT/w/pending"
sum=$(sha256sum <"$F3_MNT/d/here")
away=$(sha256sum <"$F3_MNT/d/there")
f3_closed
f3_ok ctl evict "$F3_MNT/d/there" >/dev/null

# Killed with something to upload, and the store is gone before it comes back.
for how in '{"reset": "before", "times": 0}' \
	'{"answer": {"status": 404, "body": "<Error><Code>NoSuchBucket</Code></Error>"}, "times": 0}'; do
	rule=$(f3_proxy add "$how")
	echo "$how" >"$F3_MNT/w/pending" || f3_bad "writeback without its store"
	f3_kill
	f3_start
	f3_eq "reached" "$(caps | jq .reached)" false
	f3_eq "no capabilities" "$(caps | jq '.put_match or .put_absent or .delete_match')" false
	f3_eq "what is here" "$(sha256sum <"$F3_MNT/d/here")" "$sum"
	f3_no 1 'Input/output error' cat "$F3_MNT/d/there"
	f3_no 2 'Input/output error' ls "$F3_MNT/d/unknown"
	f3_no 2 'Input/output error' sh -c "echo x >$F3_MNT/d/new"
	f3_eq "other volumes" "$(echo y >"$F3_MNT/local/y" && cat "$F3_MNT/local/y")" y
	f3_eq "what has to go up" "$(cat "$F3_MNT/w/pending")" "$how"
	echo "$how more" >"$F3_MNT/w/pending" || f3_bad "writeback without its store"
	f3_match "it says so" "$(cat "$F3_LOG")" 'volume d starts without its object store'
	f3_proxy remove "$rule"
	f3_becomes 60 "capabilities" "$known" caps
	f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
	f3_eq "it went up" "$(f3_s3 get w/pending)" "$how more"
	f3_eq "what was there" "$(sha256sum <"$F3_MNT/d/there")" "$away"
	f3_closed
	f3_ok ctl evict "$F3_MNT/d/there" >/dev/null
	f3_ok rm -f "$F3_MNT/d/new"
done
f3_match "it says so" "$(cat "$F3_LOG")" 'volume w: the object store works again after'

# It stops as well while it is being looked for; and hangs.
rule=$(f3_proxy add '{"hold": true, "times": 0}')
f3_restart
f3_eq "what is here" "$(sha256sum <"$F3_MNT/d/here")" "$sum"
f3_proxy wait "$rule" 3 >/dev/null
f3_stop
f3_proxy remove "$rule"
f3_proxy release

# What no waiting heals.
(export AWS_SECRET_ACCESS_KEY=wrong-and-secret; f3_launch) && f3_fail "started with wrong keys"
f3_match "reason" "$(tail -n 1 "$F3_LOG")" 'SignatureDoesNotMatch.*the secret key is wrong'
f3_start
f3_eq "all is as it was" "$(sha256sum <"$F3_MNT/d/there")" "$away"
f3_ok ctl fsck >/dev/null
