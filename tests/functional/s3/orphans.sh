#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Uploads in parts that a crash leaves: the next start ends them, whether it knew their id or not, and the
# file arrives all the same. What could not be ended gc lists and ends, and nothing of anybody else's. An
# upload that somebody else ends is begun anew.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse debug python3 jq
export AWS_EC2_METADATA_DISABLED=true
f3_s3_start "${F3_S3_KIND:-versitygw}"
f3_s3_proxy
f3_set retry-min=20ms retry-max=30s restart=no
S3_PREFIX=p f3_s3_volume w default-class=writeback attr-ttl=50ms
S3_PREFIX=q f3_s3_volume d default-class=durable attr-ttl=50ms
w=$F3_MNT/w d=$F3_MNT/d
head -c 90000000 /dev/urandom >big
uploads()
{
	f3_s3 uploads | cut -f 1 | sort | tr '\n' ' '
}
# crash RULE COMMAND...: kill -9 of everything while a request is held (or its answer), and a new start.
crash()
{
	local rule writer
	rule=$(f3_proxy add "$1")
	shift
	"$@" 2>/dev/null &
	writer=$!
	f3_proxy wait "$rule" >/dev/null
	f3_kill
	kill $writer 2>/dev/null
	wait $writer
	f3_proxy clear
	uploads >left
	f3_start
	f3_proxy release
	f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
}
f3_start

# While the program has the file open.
crash '{"method": "PUT", "path": "/early.*partNumber=2", "hold": true}' \
	python3 -c "
import time
f = open('$w/early', 'wb', buffering=0)
f.write(open('big', 'rb').read())
time.sleep(1000)"
f3_eq "left by the writer" "$(cat left)" "p/early "
f3_becomes 60 "after the start" '' uploads
f3_ok cmp "$w/early" <(f3_s3 get p/early)
f3_ok cmp -n 90000000 big "$w/early"

# While close(2) waits (the last part goes up only then), and before the store's answer to the beginning was there.
crash '{"method": "PUT", "path": "/closing.*partNumber=11", "hold": true}' cp big "$d/closing"
f3_eq "left by close" "$(cat left)" "q/closing "
f3_becomes 60 "after the start" '' uploads
f3_ok cmp big "$d/closing"
f3_ok cmp big <(f3_s3 get q/closing)
crash '{"method": "POST", "path": "/unknown.*uploads", "hold_answer": true}' cp big "$w/unknown"
f3_eq "left without its id" "$(cat left)" "p/unknown "
f3_becomes 60 "after the start" '' uploads
f3_ok cmp -n "$(stat -c %s "$w/unknown")" big "$w/unknown"

# The same, and the next start begins another one of that key while it looks at what there is: it looks again.
rule=$(f3_proxy add '{"method": "POST", "path": "/twice.*uploads", "hold_answer": true}')
cp big "$w/twice" 2>/dev/null &
writer=$!
f3_proxy wait "$rule" >/dev/null
f3_kill
wait $writer
f3_proxy clear
look=$(f3_proxy add '{"method": "GET", "path": "uploads", "hold": true}')
rule=$(f3_proxy add '{"method": "POST", "path": "/twice.*uploads", "hold_answer": true}')
f3_start
f3_proxy wait "$look" >/dev/null
f3_proxy wait "$rule" >/dev/null
looked()
{
	jq -e 'select(.method == "GET" and (.path + .query | test("uploads"))) | select(.rules != [])' \
		"$F3_TEST_TMP/proxy.log"
}
f3_proxy release "$look"
f3_until 60 looked || f3_bad "nobody looks for uploads"
f3_proxy release
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_becomes 60 "after two beginnings" '' uploads
f3_ok cmp -n "$(stat -c %s "$w/twice")" big "$w/twice"
f3_proxy clear

# The file is synced before the upload of what is written begins, so that the entry of its commit is older
# than that, and waits for its directory: slow FILE. A crash before the commit has taken the upload over, and
# one after it was completed.
slow()
{
	marker=$(f3_proxy add '{"method": "PUT", "path": "/p/'"$1"'/$", "hold": true}')
	mkdir "$w/$1"
	f3_proxy wait "$marker" >/dev/null
	mkfifo "$F3_TEST_TMP/$1.go"
	python3 -c "
import os
big = open('big', 'rb').read()
f = open('$w/$1/f', 'wb', buffering=0)
f.write(big[:1000000])
os.fsync(f.fileno())
f.write(big[1000000:])
open('$F3_TEST_TMP/$1.go').read()
f.close()" 2>/dev/null &
	writer=$!
}
f3_stop
F3_DEBUG_POINTS="early.begun=exit" f3_start
slow begun
f3_crashed
: >"$F3_TEST_TMP/begun.go"
wait $writer
f3_proxy clear
f3_eq "left beside the entry" "$(uploads)" "p/begun/f "
f3_start
f3_proxy release
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_becomes 60 "after the start, of two entries" '' uploads
f3_ok cmp "$w/begun/f" <(f3_s3 get p/begun/f)

part=$(f3_proxy add '{"method": "PUT", "path": "/ended/f.*partNumber=2", "hold": true}')
slow ended
f3_proxy wait "$part" >/dev/null
: >"$F3_TEST_TMP/ended.go"
f3_ok wait $writer
rule=$(f3_proxy add '{"method": "POST", "path": "/ended/f.*uploadId", "hold_answer": true}')
f3_proxy release "$part"
f3_proxy release "$marker"
f3_proxy wait "$rule" >/dev/null
f3_kill
f3_proxy clear
f3_start
f3_proxy release
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_becomes 60 "after its completion" '' uploads
f3_ok cmp big <(f3_s3 get p/ended/f)
f3_eq "its directory" "$(ls "$w/ended")" f

# An upload that may not be ended, beside others': gc has that one, and no other.
f3_s3 upload p/foreign >/dev/null
f3_s3 upload p/unknown >/dev/null
f3_s3 upload other >/dev/null
rule=$(f3_proxy add '{"method": "PUT", "path": "/kept.*partNumber=2", "hold": true}')
cp big "$w/kept" 2>/dev/null &
writer=$!
f3_proxy wait "$rule" >/dev/null
f3_kill
wait $writer
f3_proxy clear
f3_proxy add '{"method": "DELETE", "path": "/kept.*uploadId=", "answer": {"error": "AccessDenied"}, "times": 0}' >/dev/null
f3_start
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_eq "refused" "$(uploads)" "other p/foreign p/kept p/unknown "
f3_ok cmp -n "$(stat -c %s "$w/kept")" <(f3_s3 get p/kept) "$w/kept"
found()
{
	ctl --json gc "$@" | jq -s -c '[.[].item | select(.what == "upload") | [.key, .deleted]], [.[-1].uploads, .[-1].deleted]' | tr '\n' ' '
}
f3_eq "gc" "$(found)" '[["kept",false]] [1,0] '
f3_eq "gc --delete, refused" "$(found --delete)" '[["kept",false]] [1,0] '
f3_proxy clear
f3_eq "gc --delete" "$(found --delete)" '[["kept",true]] [1,1] '
f3_eq "gc afterwards" "$(found --delete)" '[] [0,0] '
f3_eq "others'" "$(uploads)" "other p/foreign p/unknown "
# Not by the age of others' either, and not by a start.
f3_set gc-upload-age=1ms
f3_restart
f3_eq "gc, of any age" "$(found --delete)" '[] [0,0] '
f3_eq "others' still" "$(uploads)" "other p/foreign p/unknown "

# Somebody ends the upload under way.
rule=$(f3_proxy add '{"method": "PUT", "path": "/taken.*partNumber=4", "hold": true}')
cp big "$d/taken" &
writer=$!
f3_proxy wait "$rule" >/dev/null
f3_s3 abort q/taken "$(f3_s3 uploads q/taken | cut -f 2)"
f3_proxy release
f3_ok wait $writer
f3_ok cmp big <(f3_s3 get q/taken)
f3_eq "left by it" "$(uploads)" "other p/foreign p/unknown "
f3_stop
f3_fsck
