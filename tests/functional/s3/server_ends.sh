#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A server ends when it is told to, and with the process it was started for, however that ends.
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires python3
server=$F3_SRCDIR/tests/s3/server
read -r kind < <("$server" kinds)
[ -n "${kind:-}" ] || f3_skip "needs an S3 server"

all_end()
{
	local pid
	for pid; do
		f3_until 20 f3_gone "$pid" || f3_bad "$pid goes on"
	done
}

f3_ok "$server" start "$kind" one
read -ra pids < <(. ./one/env && echo "$S3_PIDS")
f3_no 1 'not empty' "$server" start "$kind" one
f3_ok "$server" stop "$kind" one
for pid in "${pids[@]}"; do
	f3_gone "$pid" || f3_bad "$pid goes on"
done
f3_ok "$server" stop "$kind" one

tail -f /dev/null &
owner=$!
f3_ok "$server" share "$kind" two "$owner"
f3_ok "$server" share "$kind" two "$owner"	# is there
read -ra pids < <(. ./two/env && echo "$S3_PIDS")
kill -KILL "$owner"
all_end "${pids[@]}"
f3_until 20 [ ! -e two/env ] || f3_bad "its environment is there"
