#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600
#
# SQLite: four writers and readers at a time in every journal mode, one writer killed in the middle
# of a transaction; nothing is lost or half there. Also not when the daemon is killed.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse sqlite3

local_classes()
{
	f3_local
	f3_start
	f3_same "$F3_MNT/e" program_sqlite "$(f3_by_weight 25 200)" normal delete truncate \
		persist wal
	f3_same "$F3_MNT/m" program_sqlite "$(f3_by_weight 25 200)" full delete wal
	daemon_killed
}

# Writers say what they committed while the daemon is killed under them.
daemon_killed()
{
	local db=$F3_MNT/e/killed.db n rows committed=0
	sqlite "$db" 'PRAGMA journal_mode=wal; CREATE TABLE t(i);' || f3_bad "creating $db"
	mkfifo said
	awk 'BEGIN {
		for (i = 1; i <= 1000000; i++)
			print "INSERT INTO t VALUES(" i "); SELECT " i ";"
	}' | sqlite "$db" >said 2>sqlite.err &
	while read -r n; do
		committed=$n
		[ "$n" -ne 300 ] || f3_kill
	done <said
	wait $!
	[ "$committed" -ge 300 ] || f3_bad "only $committed transactions"
	f3_start
	for db in "$F3_MNT"/[em]/program_sqlite/*.db "$db"; do
		f3_eq "$db after the daemon was killed" "$(sqlite "$db" 'PRAGMA integrity_check')" ok
	done
	rows=$(sqlite "$db" 'SELECT count(*) FROM t')
	[ "$rows" -ge "$committed" ] || f3_bad "$rows rows, $committed were committed"
}

durable()
{
	f3_durable
	f3_start
	f3_same "$F3_MNT/d" program_sqlite "$(f3_by_weight 10 50)" full delete wal
	# The store has the database as a file that is whole.
	f3_eq "the object" "$(sqlite "$F3_STORE/d/program_sqlite/delete.db" \
		'PRAGMA integrity_check')" ok
}

f3_apart local local_classes
f3_apart durable durable
