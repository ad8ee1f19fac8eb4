#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# The power goes under load: what was fsynced is there with its name, databases have what they
# acknowledged, the rest may be missing but nothing is corrupt. The disk is shut down without
# writing anything back; another boot id makes it a machine's restart. Files of all classes but
# memory. F3_CUTS says how often for each type of disk (make power-cut: 20), F3_SEED which moments.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse loop unshare python3 mkfs.xfs
[ -n "${F3_TEST_OWN_MOUNTS:-}" ] ||
	F3_TEST_OWN_MOUNTS=yes exec unshare --mount --propagation private "$0"

cuts=${F3_CUTS:-1}
seed=${F3_SEED:-1}

# Transactions that are durable when they are acknowledged, in a file that is not on the mount. The
# last one acknowledged does not count, here and below: FS_IOC_SHUTDOWN may let an fsync return that
# did nothing.
cat >transactions.py <<'END'
import os, sqlite3, sys
path, acked = sys.argv[1], os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)
try:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=" + sys.argv[3])
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, text TEXT)")
    n = db.execute("SELECT coalesce(max(n), 0) FROM t").fetchone()[0]
    while True:
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
assert count == most and most >= acked - 1, (count, most, acked)
print(acked, "transactions")
END
# Small files as programs write them safely: temporary name, fsync, rename, fsync of the directory.
# What is acknowledged: the number renamed last, the first one of this round, the last one written
# with O_SYNC. Of those written in an earlier round the last may have missed its cut.
cat >replace.py <<'END'
import os, sys
top, acked = sys.argv[1], os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)
n = max([0] + [int(open(top + "/" + f).read() or 0) for f in os.listdir(top) if f == "current"])
d = os.open(top, os.O_RDONLY)
first, named = n + 1, 0
try:
    while True:
        n += 1
        fd = os.open(f"{top}/tmp", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.write(fd, b"%08d" % n)
        os.fsync(fd)
        os.close(fd)
        os.rename(top + "/tmp", top + "/current")
        if n % 2:
            os.fsync(d)
            named = n
        # O_SYNC: there when write returns, name and all.
        fd = os.open(f"{top}/sync{n % 50}", os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_SYNC)
        os.write(fd, b"s%08d" % n)
        os.close(fd)
        os.pwrite(acked, b"%08d %08d %08d\n" % (named, first, n), 0)
except OSError as e:
    print(e)
END
cat >check_replaced.py <<'END'
import sys
top = sys.argv[1]
named, first, synced = (int(n) for n in open(sys.argv[2]).read().split())
current = open(top + "/current").read()
assert int(current or 0) >= named - 2, ("current", current, "acknowledged", named)
for n in range(max(first, synced - 49), synced):
    there = open(f"{top}/sync{n % 50}").read()
    # The operation under way at the cut may be that of the same name.
    assert int(there[1:] or 0) >= n or (not there and n == synced - 49), (
        f"sync{n % 50}", there, "acknowledged", n, "of", first, synced)
print(named, "renamed,", synced - first, "written with O_SYNC")
END

# acknowledged FILE N: at least so many
acknowledged()
{
	local n
	n=$(tr '\0' '\n' <"$1" | head -n 1)
	[ "${n:-0}" -ge "$2" ]
}

# Enough files were replaced in this round for some of them to be promised.
replaced()
{
	local first synced
	read -r _ first synced 2>/dev/null <replace.acked &&
		[ "$synced" ] && [ $((10#$synced - 10#$first)) -ge 5 ]
}

# enough N: so many operations in all, some of each storm
enough()
{
	[ -s manifest-v.0 ] && [ -s manifest-w.0 ] && [ -s manifest-d.0 ] &&
		[ "$(cat manifest-* | wc -l)" -ge "$1" ]
}

# verified DIR: what its storm promised is there.
verified()
{
	F3_MANIFEST=manifest-$1 f3_storm_verify "$F3_MNT/$1/storm" power >verify.out 2>&1
}

# An object was being renamed when the power went, and nothing else is wrong: the cache has the old name
# and the store the new one, and both show until the store has been asked about the old one again.
between()
{
	grep -q 'entries, 1 problems' verify.out && grep -q 'inode [0-9]* has 2 names, at most 1' verify.out &&
		tail -n 1 manifest-d.0 | grep -q '^B [0-9]* rename'
}

# rounds TYPE
rounds()
{
	local round disk loads dir args
	RANDOM=$seed # here: a subshell has a generator of its own
	f3_cache_on "$1" 1G
	disk=$F3_NATIVE
	f3_volume v -
	f3_volume w "file://$F3_STORE/w" default-class=writeback
	f3_volume d "file://$F3_STORE/d" default-class=durable
	f3_start
	for ((round = 1; round <= cuts; round++)); do
		rm -f ./*.acked manifest-*
		mkdir -p "$F3_MNT/v/r"
		loads=()
		for dir in v w d; do
			args=(--procs 2)
			[ $dir = v ] || args=(--procs 1 --no-hardlinks)
			F3_MANIFEST=manifest-$dir f3_storm "$F3_MNT/$dir/storm" "${args[@]}" \
				--ops 100000 --seconds 20 --seed $((seed + round)) --may-die --keep \
				>storm-$dir.out 2>&1 &
			loads+=($!)
		done
		for dir in wal delete; do
			python3 transactions.py "$F3_MNT/v/$dir.db" $dir.acked $dir >$dir.out 2>&1 &
			loads+=($!)
		done
		python3 replace.py "$F3_MNT/v/r" replace.acked >replace.out 2>&1 &
		loads+=($!)
		f3_until 60 enough $((200 + RANDOM % 2000)) || f3_bad "$1: too slow"
		for dir in wal delete; do
			f3_until 60 acknowledged $dir.acked 5 || f3_bad "$1: $dir is too slow"
		done
		f3_until 60 replaced || f3_bad "$1: replacing is too slow"
		f3_power_cut "$1" "$disk" "${loads[@]}"
		for dir in v w d; do
			verified "$dir" || { [ "$dir" = d ] && between && f3_until 180 verified d; } ||
				{
					cat storm-$dir.out verify.out
					tail -n 6 manifest-$dir.*
					f3_bad "$1 round $round: $dir/storm"
				}
			cat verify.out
			rm -rf "${F3_MNT:?}/$dir/storm"
		done
		for dir in wal delete; do
			python3 check.py "$F3_MNT/v/$dir.db" $dir.acked || f3_bad "$1 round $round: $dir.db"
		done
		python3 check_replaced.py "$F3_MNT/v/r" replace.acked ||
			f3_bad "$1 round $round: replaced files"
		f3_stop
		f3_fsck || f3_bad "$1 round $round: fsck"
		f3_start
	done
}
for type in ext4 xfs; do
	f3_apart $type rounds $type
done
