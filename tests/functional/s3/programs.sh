#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# git and SQLite work in a durable volume on S3, and what they leave there is whole for a node that has
# never seen it.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/programs.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse git sqlite3 python3 jq
f3_s3_start versitygw
f3_s3_volume v default-class=durable
f3_start
v=$F3_MNT/v

git init -q plain && seq 2000 >plain/numbers && mkdir plain/dir && for i in {1..20}; do
	echo "$i" >"plain/dir/$i"
done
git -C plain add . && git -C plain commit -qm one && seq 3000 >plain/numbers &&
	git -C plain commit -qam two
f3_ok git clone -q --no-hardlinks plain "$v/clone"
seq 4000 >"$v/clone/numbers"
rm "$v/clone/dir/3"
echo new >"$v/clone/dir/new"
f3_ok git -C "$v/clone" add -A
f3_ok git -C "$v/clone" commit -qm three
f3_ok git -C "$v/clone" checkout -q -b other HEAD~1
f3_eq "the old content" "$(wc -l <"$v/clone/numbers")" 3000
f3_ok git -C "$v/clone" checkout -q -
f3_ok git -C "$v/clone" fsck --full
want=$(git -C "$v/clone" rev-parse HEAD)

sqlite3 "$v/data.db" 'PRAGMA journal_mode=delete; CREATE TABLE t(i INTEGER, b BLOB);' >/dev/null
for i in {1..10}; do
	f3_ok sqlite3 "$v/data.db" "BEGIN; INSERT INTO t VALUES($i, randomblob(20000));
		INSERT INTO t VALUES($i, randomblob(100)); COMMIT;"
done
f3_eq "rows" "$(sqlite3 "$v/data.db" 'SELECT count(*), sum(i) FROM t')" "20|110"
f3_s3 get data.db >object.db
f3_eq "the object" "$(sqlite3 object.db 'PRAGMA integrity_check; SELECT count(*) FROM t')" $'ok\n20'

f3_stop
f3_fsck
rm -rf --one-file-system "$F3_CACHE"
f3_start
f3_ok git -C "$v/clone" fsck --full
f3_eq "the commit" "$(git -C "$v/clone" rev-parse HEAD)" "$want"
f3_eq "its state" "$(git -C "$v/clone" status --porcelain)" ""
f3_eq "the database" "$(sqlite3 "$v/data.db" 'PRAGMA integrity_check; SELECT count(*) FROM t')" \
	$'ok\n20'
