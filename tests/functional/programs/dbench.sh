#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# dbench's four file server clients find every file as they left it.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse dbench
[ -r /usr/share/dbench/client.txt ] || f3_skip "needs dbench's client.txt"

# program_dbench SECONDS
program_dbench()
{
	if ! dbench -x -c /usr/share/dbench/client.txt -D . -t "$1" 4 >dbench.out 2>&1 ||
		grep -v barrier dbench.out | grep -i 'fail\|error'; then
		cat dbench.out
		return 1
	fi
	grep '^Throughput' dbench.out >&2
	ls
}

f3_local
f3_start
f3_same "$F3_MNT/e" program_dbench "$(f3_by_weight 4 60)"
f3_same "$F3_MNT/m" program_dbench "$(f3_by_weight 4 60)"
