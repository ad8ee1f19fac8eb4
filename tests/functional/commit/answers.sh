#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Answers that do not tell whether a step of a commit set was done: each is done once, and nothing is taken
# for somebody else's. async is answered when the record is there, sync when all is published. A record of
# an attempt that was given up and comes late does nothing.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/activation.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
. "$F3_SRCDIR/tests/functional/commit.sh"
f3_requires root fuse jq python3
export AWS_EC2_METADATA_DISABLED=true
f3_s3_start versitygw
f3_s3_proxy
set_container
set_on_s3
f3_set retry-min=20ms retry-max=20s
f3_s3_volume v default-class=durable attr-ttl=50ms
f3_start
v=$F3_MNT/v
mkdir "$v/out"
head -c 70000000 /dev/urandom >big

# round WHAT RULE...
round()
{
	local what=$1 rule
	shift
	echo before >"$v/out/old"
	f3_ok set_begin "r-$what" sync >/dev/null
	for rule; do
		f3_proxy add "$rule" >/dev/null
	done
	does "echo $what >out/old && echo $what >out/new" || f3_bad "$what: the function"
	[ "$what" != upload ] || does "cp '$F3_TEST_TMP/big' out/big" || f3_bad "$what: the function"
	f3_until 60 set_end "r-$what" || f3_bad "$what: end: $(set_end "r-$what" 2>&1)"
	f3_eq "$what" "$(stored out/old) $(stored out/new)" "$what $what"
	[ "$what" != upload ] || f3_ok cmp big <(stored out/big)
	f3_proxy clear
	rm -f "$v"/out/*
	f3_eq "$what: in the end" "$(keys)" ""
	set_nothing_left "$what"
}
lost='"method": "PUT", "path": "/%s", "reset": "after"'
# shellcheck disable=SC2059
at() { printf "{$2}" "$1"; }
round staged "$(at '[.]f3/stage/' "$lost")"
round record "$(at '[.]f3/commit/' "$lost")"
round recordnot '{"method": "PUT", "path": "/[.]f3/commit/", "reset": "before"}'
round record500 '{"method": "PUT", "path": "/[.]f3/commit/", "replace": {"error": "InternalError"}}'
round recordtwice '{"method": "PUT", "path": "/[.]f3/commit/", "twice": true}'
round item "$(at 'out/' "$lost")" '{"method": "PUT", "path": "/out/new", "reset": "before"}'
round upload '{"method": "POST", "path": "/out/big.*uploadId=", "reset": "after"}' '{"method": "POST", "path": "/out/big.*uploads", "reset": "before"}'
round sweep '{"method": "DELETE", "path": "/[.]f3/", "reset": "after", "times": 2}'

# async: published later.
f3_ok set_begin async async >/dev/null
does "echo async >out/a && echo async >out/b" || f3_bad "async: the function"
n=$(f3_proxy add '{"method": "PUT", "path": "/out/", "hold": true, "times": 0}')
f3_ok set_end async >/dev/null
f3_proxy wait "$n"
f3_eq "async: answered before it is published" "$(keys)" ""
f3_eq "async: read here" "$(cat "$v/out/a")" async
f3_eq "async: cannot be dropped" "$(set_end async false | jq -r .error)" EEXIST
f3_proxy remove "$n"
f3_proxy release "$n"
f3_becomes 60 "async: published" "out/a out/b " keys
set_nothing_left async
rm "$v"/out/*

# Given up, then dropped, and the record comes.
f3_ok set_begin late sync >/dev/null
does "echo late >out/late" || f3_bad "late: the function"
n=$(f3_proxy add '{"method": "PUT", "path": "/[.]f3/commit/", "hold": true}')
set_end late >end.said 2>&1 &
f3_proxy wait "$n"
f3_proxy add '{"method": "PUT", "path": "/[.]f3/commit/", "answer": {"error": "InternalError"}, "times": 0}' >/dev/null
kill -9 "$F3_PID"
wait $!
f3_proxy clear
f3_until 60 set_end late false || f3_bad "late: $(set_end late false 2>&1)"
f3_proxy release "$n" 2>/dev/null
f3_until 60 f3_proxy idle
f3_eq "late: dropped" "$(keys) $(ls "$v/out")" " "
f3_eq "late: what the record says" "$(f3_s3 ls | grep '^\.f3/commit/.' | while read -r key; do f3_s3 get "$key"; done | grep -c '^set .* dropped$')" 1
staged() { f3_s3 ls | grep -c '^\.f3/stage/.'; }
f3_becomes 60 "late: what was staged" 0 staged
F3_PID=$(($(<"/proc/$F3_SUPERVISOR/task/$F3_SUPERVISOR/children")))

# Refused.
f3_ok set_begin first async >/dev/null
f3_eq "two in one container" "$(set_begin second async | jq -r .error)" EBUSY
f3_eq "two in one container, one with a set" "$(set_begin second none | jq -r .error)" EBUSY
f3_ok set_end first >/dev/null
grep -a 'f3-conflict' "$F3_LOG" && f3_bad "it was taken for somebody else's"
f3_stop
