#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Killed again and again under load, at any moment and at every step of a commit: each start has what
# was acknowledged, databases open, and fsck finds nothing. F3_KILLS says how often (make kill-loop:
# 200), F3_SEED which moments.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse debug python3
# With the daemon the mount goes, too: what is looked at is what a start finds.
f3_set restart=no
kills=${F3_KILLS:-8}
# Files of the store only in the long loop.
volumes="v m"
seconds=2
[ -z "${F3_KILLS:-}" ] || volumes="v m w d" seconds=6
RANDOM=${F3_SEED:-1}
f3_volume v -
f3_volume m - default-class=memory
f3_volume w "file://$F3_STORE/w" default-class=writeback
f3_volume d "file://$F3_STORE/d" default-class=durable

# Transactions, each acknowledged in a file that is not on the mount.
cat >transactions.py <<'END'
import os, sqlite3, sys
path, acked = sys.argv[1], os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
try:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=" + sys.argv[3])
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, text TEXT)")
    n = db.execute("SELECT coalesce(max(n), 0) FROM t").fetchone()[0]
    # A writer in passthrough goes on when the daemon is dead: not for ever.
    for _ in range(2000):
        db.execute("INSERT INTO t VALUES (?, ?)", (n + 1, "x" * (n % 3000)))
        n += 1
        os.pwrite(acked, b"%d\n" % n, 0)
except sqlite3.Error as e:
    print(e)
END
cat >check.py <<'END'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
acked = int(open(sys.argv[2]).read() or 0)
assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
count, most = db.execute("SELECT count(*), coalesce(max(n), 0) FROM t").fetchone()
assert count == most and most >= acked, (count, most, acked)
END

# begin: load on a running daemon; its processes are in loads.
begin()
{
	local dir args
	loads=()
	for dir in $volumes; do
		case $dir in
		[vm]) args=(--procs 2) ;;
		*) args=(--procs 1 --no-hardlinks) ;;
		esac
		mkdir -p "$F3_MNT/$dir/storm"
		rm -f "manifest-$dir".*
		F3_MANIFEST=manifest-$dir f3_storm "$F3_MNT/$dir/storm" "${args[@]}" --ops 100000 \
			--seconds $seconds --seed $round --may-die --keep >"storm-$dir.out" 2>&1 &
		loads+=($!)
	done
	for dir in wal delete; do
		python3 transactions.py "$F3_MNT/v/$dir.db" $dir.acked $dir >$dir.out 2>&1 &
		loads+=($!)
	done
}

# What must be there after the crash. Then it makes room for the next load.
verify()
{
	local dir
	for dir in $volumes; do
		# Killed before the storm had begun: there is nothing to compare.
		if [ -s "manifest-$dir.0" ]; then
			F3_MANIFEST=manifest-$dir f3_storm_verify "$F3_MNT/$dir/storm" crash \
				>verify.out 2>&1 ||
				{ cat "storm-$dir.out" verify.out; f3_fail "round $round: $dir/storm"; }
		fi
		# The next daemon may die before there is a load again.
		rm -rf "${F3_MNT:?}/$dir/storm" "manifest-$dir".*
	done
	for dir in wal delete; do
		[ -s $dir.acked ] || continue
		python3 check.py "$F3_MNT/v/$dir.db" $dir.acked || f3_fail "round $round: $dir.db"
	done
}

enough() { [ "$(cat manifest-[vmwd].* 2>/dev/null | wc -l)" -ge $1 ]; }

# Steps at which a daemon dies, and how often they are passed about in a round.
points=(meta.before-commit=900 meta.after-commit=900 create.taken=200 stock.made=300
	change.on-disk=100 truncate.on-disk=20 seal.probed=300 file.before-unlink=100
	file.after-unlink=100 sync.data=40 journal.before-request=100 journal.after-result=100
	stage.before-put=60 stage.after-put=60 stage.before-commit=60 stage.after-commit=60
	stage.before-complete=4 stage.after-complete=4
	recover.counted=2 recover.reaped=2 recover.sealed=8)

f3_start
for ((round = 1; round <= kills; round++)); do
	if [ $((round % 2)) -eq 1 ]; then
		# At any moment.
		begin
		f3_until 60 enough $((RANDOM % 3000))
		kill -KILL "$F3_SUPERVISOR" "$F3_PID"
		f3_crashed
	else
		# At a step, perhaps one of starting; or when the load ends without it.
		point=${points[RANDOM % ${#points[@]}]}
		f3_kill
		if F3_DEBUG_POINTS="${point%=*}=exit@$((RANDOM % ${point#*=} + 1))" f3_launch; then
			begin
			wait "${loads[@]}"
			kill -KILL "$F3_SUPERVISOR" "$F3_PID" 2>/dev/null
			f3_crashed
		else
			umount -l "$F3_MNT" 2>/dev/null
		fi
	fi
	wait "${loads[@]}"
	f3_launch || f3_fail "round $round: no start"
	verify
	if [ $((round % 10)) -eq 0 ]; then
		f3_stop || f3_fail "round $round: stop"
		f3_fsck || f3_fail "round $round: fsck"
		f3_start
	fi
done
f3_stop
f3_fsck
echo "$kills kills"
