#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600
#
# PostgreSQL, as a user without privileges: initdb, pgbench, a clean stop, a crash of the server and
# one of the daemon; page checksums, indexes and pgbench's own invariant hold each time.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse setpriv
for bin in /usr/lib/postgresql/*/bin; do
	PATH=$bin:$PATH
done
f3_requires initdb pgbench pg_amcheck
id postgres >/dev/null 2>&1 || f3_skip "needs the user postgres"

seconds=$(f3_by_weight 4 60)
scale=$(f3_by_weight 1 20)
sockets=$F3_TEST_TMP/sockets
mkdir "$sockets"
chown postgres: "$sockets"
export PGHOST=$sockets PGUSER=postgres PGDATABASE=postgres

as_postgres()
{
	(cd / && setpriv --reuid postgres --regid postgres --clear-groups "$@")
}

# start DATA; stop DATA MODE
start()
{
	as_postgres pg_ctl -D "$1" -w -t 120 -l "$sockets/log" -o "-k '$sockets' -h ''" start >/dev/null &&
		return
	tail -n 20 "$sockets/log"
	f3_bad "PostgreSQL in $1 does not start"
}

stop()
{
	as_postgres pg_ctl -D "$1" -w -t 120 -m "$2" stop >/dev/null
}

query()
{
	psql -qAtX -c "$1"
}

# What pgbench keeps: all these sums are the same one. The number of transactions is in $rows.
consistent()
{
	local sums
	sums=$(query 'SELECT (SELECT sum(abalance) FROM pgbench_accounts),
		(SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(bbalance) FROM pgbench_branches),
		(SELECT coalesce(sum(delta), 0) FROM pgbench_history)')
	[[ $sums =~ ^(-?[0-9]+)\|(-?[0-9]+)\|(-?[0-9]+)\|(-?[0-9]+)$ ]] &&
		[ "$(tr '|' '\n' <<<"$sums" | sort -u | wc -l)" = 1 ] || f3_bad "$1: sums $sums"
	rows=$(query 'SELECT count(*) FROM pgbench_history')
	pg_amcheck --install-missing -a >amcheck.out 2>&1 || f3_bad "$1: $(head -n 5 amcheck.out)"
}

# postgres DATA
postgres()
{
	local data=$1 count
	mkdir "${data%/*}"
	chown postgres: "${data%/*}"
	as_postgres initdb -D "$data" -A trust --data-checksums >"$sockets/initdb" 2>&1 ||
		f3_fail "initdb in $data: $(tail -n 5 "$sockets/initdb")"
	start "$data"
	as_postgres pgbench -i -q -s "$scale" >"$sockets/bench" 2>&1 ||
		f3_bad "pgbench -i: $(tail -n 5 "$sockets/bench")"
	as_postgres pgbench -n -c 4 -j 2 -T "$seconds" >"$sockets/bench" 2>&1 ||
		f3_bad "pgbench: $(tail -n 5 "$sockets/bench")"
	count=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$sockets/bench")
	consistent "after pgbench"
	f3_eq "transactions" "$rows" "$count"
	echo "$data: $count transactions in $seconds s"
	f3_ok stop "$data" fast
	f3_ok as_postgres pg_checksums --check -D "$data" >/dev/null
}

# The server ends without a word in the middle of its work.
server_crash()
{
	local data=$1 before bench
	start "$data"
	consistent "after a restart"
	before=$rows
	as_postgres pgbench -n -c 4 -j 2 -T 600 >/dev/null 2>&1 &
	bench=$!
	f3_until 120 more_than "$((before + 100))" || f3_bad "no transactions"
	f3_ok stop "$data" immediate
	wait $bench
	start "$data"
	consistent "after a crash of the server"
	[ "$rows" -gt "$((before + 100))" ] || f3_bad "transactions are gone"
}

more_than()
{
	[ "$(query 'SELECT count(*) FROM pgbench_history')" -gt "$1" ]
}

# The daemon is killed while the server works.
daemon_crash()
{
	local data=$1 before=$rows bench server
	as_postgres pgbench -n -c 4 -j 2 -T 600 >/dev/null 2>&1 &
	bench=$!
	f3_until 120 more_than "$((before + 100))" || f3_bad "no transactions"
	server=$(head -n 1 "$data/postmaster.pid")
	f3_kill
	kill -QUIT "$server"
	wait $bench
	f3_until 120 f3_gone "$server" || f3_bad "the server does not end"
	f3_start
	# Until somebody has reaped it, its number looks like a living server's.
	rm -f "$data/postmaster.pid" "$sockets"/.s.PGSQL.*.lock
	start "$data"
	consistent "after a crash of the daemon"
	[ "$rows" -gt "$((before + 100))" ] || f3_bad "transactions are gone"
	f3_ok stop "$data" fast
	f3_ok as_postgres pg_checksums --check -D "$data" >/dev/null
}

f3_local
f3_start
postgres "$F3_TEST_TMP/plain/data"
rm -rf "$F3_TEST_TMP/plain"
postgres "$F3_MNT/m/pg/data"
postgres "$F3_MNT/e/pg/data"
server_crash "$F3_MNT/e/pg/data"
daemon_crash "$F3_MNT/e/pg/data"
