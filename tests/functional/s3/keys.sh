#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# What a store refuses: keys that have ended (others are in the file by then), a clock that differs, the
# wrong region, what the keys may not do. It goes on where it can, says what to do where not, and no
# secret is in a log, a bundle, a message or a command line.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq
export AWS_EC2_METADATA_DISABLED=true
f3_s3_start versitygw
f3_s3_proxy
f3_set retry-min=20ms retry-max=3s log-level=debug
access=$AWS_ACCESS_KEY_ID secret=$AWS_SECRET_ACCESS_KEY
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
f3_s3()
{
	AWS_ACCESS_KEY_ID=$access AWS_SECRET_ACCESS_KEY=$secret S3_ENDPOINT=$S3_DIRECT \
		"$F3_SRCDIR/tests/s3/s3.py" "$@"
}
export AWS_SHARED_CREDENTIALS_FILE=$F3_TEST_TMP/credentials AWS_CONFIG_FILE=$F3_TEST_TMP/none
umask 077
# keys [TOKEN]: as another program renews them. This server takes none with a token.
keys()
{
	{
		printf '[work]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$access" "$secret"
		[ -z "${1:-}" ] || printf 'aws_session_token = %s\n' "$1"
	} >credentials.new
	mv credentials.new "$AWS_SHARED_CREDENTIALS_FILE"
}
keys
S3_PREFIX=d f3_s3_volume d default-class=durable attr-ttl=100ms profile=work
d=$F3_MNT/d

# At a start: the reason, with what to do.
chmod 644 "$AWS_SHARED_CREDENTIALS_FILE"
f3_launch && f3_fail "secrets that all may read"
f3_match "open to others" "$(tail -n 1 "$F3_LOG")" "$AWS_SHARED_CREDENTIALS_FILE.*chmod"
chmod 600 "$AWS_SHARED_CREDENTIALS_FILE"
rule=$(f3_proxy add '{"method": "GET", "path": "list-type", "answer": {"error": "AccessDenied"}, "times": 0}')
f3_launch && f3_fail "started without the right to list"
f3_match "no list" "$(tail -n 1 "$F3_LOG")" "volume d: .*AccessDenied.*s3:ListBucket"
f3_proxy remove "$rule"
for error in ExpiredToken RequestTimeTooSkewed; do
	rule=$(f3_proxy add "{\"answer\": {\"error\": \"$error\"}, \"times\": 0}")
	f3_launch && f3_fail "started with $error"
	f3_match "reason" "$(tail -n 1 "$F3_LOG")" "$error.*(renew it|clock)"
	f3_proxy remove "$rule"
done

# The wrong region is corrected by what the store says.
S3_REGION=nowhere-1 S3_PREFIX=r f3_s3_volume r profile=work
f3_start
f3_ok sh -c "echo x >$F3_MNT/r/x"
f3_eq "the region it said" "$(f3_s3 get r/x)" x
echo old >"$d/file"

# A clock that is an hour off: that of the store is taken.
date=$(date -u -d '+1 hour' '+%a, %d %b %Y %H:%M:%S GMT')
f3_proxy add "{\"method\": \"PUT\", \"path\": \"/clock\", \"answer\": {\"error\": \"RequestTimeTooSkewed\", \"headers\": {\"Date\": \"$date\"}}}" >/dev/null
f3_ok sh -c "echo x >$d/clock"
# Signed with that hour the real one refuses, and is believed in its turn.
f3_eq "what was asked" "$(f3_proxy_log 'map(select(.method == "PUT" and (.path | endswith("/clock")))) | map(.status) | .[:3]')" "[403,403,200]"
f3_proxy add "{\"method\": \"HEAD\", \"path\": \"/clock2\", \"answer\": {\"status\": 403, \"headers\": {\"Date\": \"$date\"}}}" >/dev/null
f3_ok sh -c "echo x >$d/clock2"

# Keys that are not taken any more, as the store says with a code, and to HEAD without; then others.
# Files are read again after ten seconds, and five after a look that found the same.
echo first >"$d/ended"
exec {out}<>"$d/ended"
keys token-never-told
read -rt 10.2 -u "$f3_pause"
refused()
{
	! ls "$d/unknown" 2>err && grep -q 'Permission denied' err
}
f3_until 20 refused || f3_bad "nobody refuses a wrong token"
f3_no 1 'Permission denied' python3 -c "
import os
os.write($out, b'again')
os.fsync($out)"
exec {out}>&-
keys
f3_until 20 sh -c "ls $d/unknown 2>&1 | grep -q 'No such file'" || f3_bad "new keys are not found"
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_eq "went up with the new ones" "$(f3_s3 get d/ended)" again
grep -qa 'InvalidToken' "$F3_LOG" || f3_bad "nobody says what was wrong"
# No others: an error for who waits, and nothing is lost.
rule=$(f3_proxy add '{"method": "PUT", "path": "/kept", "answer": {"error": "ExpiredToken"}, "times": 0}')
f3_no 1 'Permission denied' python3 -c "
fd = open('$d/kept', 'w')
fd.write('kept')
fd.close()"
f3_proxy remove "$rule"
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_eq "kept" "$(f3_s3 get d/kept)" kept
grep -q 'the session token has ended: renew it' "$F3_LOG" || f3_bad "nobody says what to do"
# Each request is told, with what came of it, and at each try.
for line in 'PUT /[^ ]*/d/clock: 403, try 1, [0-9.]+ ms, 2 bytes sent' \
	'PUT /[^ ]*/d/clock: 200, try 3, ' 'HEAD /[^ ]*/d/unknown: 404, try' 'GET .*list-type&.*prefix=d/'; do
	grep -qaE "debug .*$line" "$F3_LOG" || f3_bad "no line like '$line'"
done
ctl debug bundle bundle.tar.gz >/dev/null || f3_bad "no bundle"
cat /proc/$F3_PID/cmdline /proc/$F3_SUPERVISOR/cmdline >cmdlines
f3_stop

# Keys that may not write.
rule=$(f3_proxy add '{"method": "PUT|POST|DELETE", "answer": {"error": "AccessDenied"}, "times": 0}')
f3_start
f3_eq "read" "$(cat "$d/file")" old
for command in "echo x >$d/new" "mkdir $d/dir" "rm $d/file" "mv $d/file $d/other" "chmod 600 $d/file"; do
	f3_no "$([[ $command = echo* ]] && echo 2 || echo 1)" 'Read-only file system' sh -c "$command"
done
f3_match "it says so" "$(grep -a 'read-only' "$F3_LOG" | tail -n 1)" 'warn.*volume [dr]: .*may not be written; the volume is read-only'
f3_eq "read_only" "$(ctl --json volume list | jq -c '.volumes | map(.read_only)')" "[true,true]"
f3_proxy remove "$rule"
f3_stop

mkdir -p bundle && tar xf bundle.tar.gz -C bundle
for word in "$secret" token-never-told 'Signature=' 'AWS4-HMAC'; do
	found=$(grep -raoE -e "$word" "$F3_LOG" bundle cmdlines | head -n 3)
	[ -z "$found" ] || f3_bad "a secret is told: $found"
done
