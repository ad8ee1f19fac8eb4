# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Whole programs at work. Read after lib.sh and suites.sh by tests that run them on a mount:
#
#	. "$F3_SRCDIR/tests/functional/programs.sh"
#	f3_same DIR program_git
#
# A program_X function works in the current directory, ends with a status that says whether all
# went well, and prints what must not depend on where it ran. f3_same runs it in a plain directory
# of the file system that the cache lies on, and then in DIR, and compares.
#
# F3_HEAVY=1 (make check-heavy) makes the long versions of them.

F3_PLAIN=$F3_TEST_TMP/plain
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b \
	GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='1700000000 +0000' \
	GIT_COMMITTER_DATE='1700000000 +0000' PYTHONDONTWRITEBYTECODE=1

f3_heavy()
{
	[ "${F3_HEAVY:-0}" != 0 ]
}

# f3_by_weight LIGHT HEAVY: prints the one or the other.
f3_by_weight()
{
	if f3_heavy; then
		echo "$2"
	else
		echo "$1"
	fi
}

# f3_durable: cache and store of this daemon on a tmpfs, and the volume d there of class durable:
# each close of a file of it is a commit, and a real disk's syncs are not what is looked at.
f3_durable()
{
	f3_cache_on tmpfs 4G
	F3_STORE=$F3_NATIVE/store
	F3_PLAIN=$F3_NATIVE/plain
	mkdir "$F3_STORE"
	f3_volume d "file://$F3_STORE/d" default-class=durable
}

# f3_local: the volumes e of class ephemeral and m of class memory.
f3_local()
{
	f3_set memory-size=1G
	f3_volume e -
	f3_volume m - default-class=memory
}

# f3_same DIR FUNCTION [ARGUMENT...]: see above. What it made in DIR stays, in DIR/FUNCTION.
f3_same()
{
	local dir=$1 function=$2 plain out start=$SECONDS
	shift 2
	plain=$F3_PLAIN/${dir##*/}-$function
	out=$plain.out
	mkdir -p "$plain" "$dir/$function"
	if ! (cd "$plain" && "$function" "$@") >"$out" 2>"$out.err"; then
		cat "$out" "$out.err"
		f3_bad "$function fails in a plain directory: the test itself is wrong here"
		return 1
	fi
	if ! (cd "$dir/$function" && "$function" "$@") >"$out.f3" 2>"$out.f3.err"; then
		tail -n 40 "$out.f3" "$out.f3.err"
		f3_bad "$function $* in $dir"
		return 1
	fi
	if ! diff "$out" "$out.f3"; then
		f3_bad "$function $* in $dir: not what it is in a plain directory"
		return 1
	fi
	rm -rf "$plain"
	echo "$function $* in ${dir##*/}: $((SECONDS - start)) s"
}

# f3_reduced DIR [ARGUMENT-OF-POSIX-SUITE...]: a part of everything, for a way of working that few
# choose.
f3_reduced()
{
	f3_posix "$@" -k rw/ -k mmap/ -k open_ -k truncate -k rename/ -k unlinked/ -k stat_times/ \
		-k fallocate/ -k copy_file_range/ -k locks/ -k readdir/ -k suid_exec/ -k concurrency/
	f3_fsx "$1/fsx" --seed 1 --ops 4000
	f3_fsx "$1/fsx" --seed 2 --ops 500 --size 8388608
	f3_same "$1" program_sqlite 10 normal delete wal
	f3_same "$1" program_tar
}

# f3_under COMMAND...: f3d of f3_start runs under a command.
f3_under()
{
	mkdir -p under
	printf '#!/bin/sh\nexec %s %s "$@"\n' "$*" "$F3_BUILDDIR/f3d" >under/f3d
	chmod +x under/f3d
	PATH=$PWD/under:$PATH
}

f3_tree()
{
	python3 "$F3_SRCDIR/tests/functional/tree.py" "$@"
}

# some_files COUNT SEED: the same files wherever it is called, in directories of 40.
some_files()
{
	python3 - "$@" <<'SCRIPT'
import os, random, sys
count, rng = int(sys.argv[1]), random.Random(int(sys.argv[2]))
for i in range(count):
    os.makedirs(f"d{i // 40:03}", exist_ok=True)
    with open(f"d{i // 40:03}/file{i:05}.txt", "w") as f:
        f.writelines(rng.randbytes(30).hex() + "\n" for _ in range(rng.randint(1, 60)))
SCRIPT
}

# ---- git -------------------------------------------------------------------------------------

program_git()
{
	local n
	git init -q -b main repo || return
	(
		set -e
		cd repo
		some_files "$(f3_by_weight 280 4000)" 1
		git add .
		git commit -q -m one
		sed -i '1s/^/changed /' d00[0-4]/*.txt
		git mv d005 moved
		git rm -q d006/file00250.txt
		ln -s moved/file00210.txt link
		chmod +x d000/file00001.txt
		git add -A
		git commit -q -m two
		git checkout -q -b side HEAD~1
		echo side >side
		git add side
		git commit -q -m three
		git checkout -q main
		git merge -q -m merged side
		git rebase -q side
		git tag -a -m tag v1
		echo dirty >>d001/file00040.txt
		git stash -q
		git stash pop -q
		git checkout -q -- .
	) || return
	git clone -q repo clone && git clone -q "file://$PWD/repo" packed &&
		git -C repo worktree add -q ../tree side || return
	# Lock files: every update of every process has to arrive.
	for n in 1 2 3 4; do
		(
			parent=$(git -C repo rev-parse main)
			for i in 1 2 3 4 5; do
				parent=$(git -C repo commit-tree -p "$parent" -m "$n.$i" 'main^{tree}') &&
					git -C repo update-ref "refs/heads/w$n" "$parent" || exit
			done
		) &
	done
	for n in 1 2 3 4; do
		wait -n || return
	done
	for n in repo clone packed; do
		git -C "$n" gc -q --prune=now && git -C "$n" fsck --full --strict --no-dangling &&
			git -C "$n" status --porcelain || return
	done
	git -C packed pull -q --rebase && git -C packed fetch -q origin 'w*:w*' &&
		git -C packed repack -adfq --write-bitmap-index && git -C packed fsck --full || return
	for n in repo clone packed tree; do
		git -C "$n" for-each-ref --format='%(objectname) %(refname)' &&
			git -C "$n" ls-files -s | sha256sum || return
	done
	f3_tree --no-times --no-links tree | grep -v "^b'.git"
}

# ---- SQLite ----------------------------------------------------------------------------------

sqlite()
{
	sqlite3 -batch -bail -cmd '.timeout 120000' "$@"
}

# one_writer DATABASE NUMBER TRANSACTIONS SYNCHRONOUS
one_writer()
{
	awk -v w="$2" -v n="$3" -v s="$4" 'BEGIN {
		print "PRAGMA synchronous=" s ";"
		for (i = 1; i <= n; i++)
			printf "BEGIN IMMEDIATE; INSERT INTO t VALUES(%d, %d, hex(zeroblob(%d)));" \
				" UPDATE sum SET n = n + %d; COMMIT;\n", w, i, i % 700, i
	}' | sqlite "$1"
}

# program_sqlite TRANSACTIONS SYNCHRONOUS MODE...
program_sqlite()
{
	local transactions=$1 synchronous=$2 mode n db
	shift 2
	for mode; do
		db=$mode.db
		sqlite "$db" "PRAGMA journal_mode=$mode; CREATE TABLE sum(n);
			CREATE TABLE t(w, i, x, PRIMARY KEY(w, i)); INSERT INTO sum VALUES(0);" || return
		for n in 1 2 3 4; do
			one_writer "$db" $n "$transactions" "$synchronous" &
		done
		# Readers beside them see whole transactions only.
		for n in 1 2 3 4 5; do
			sqlite "$db" 'BEGIN; SELECT n - (SELECT total(i) FROM t) FROM sum; COMMIT' || return
		done
		for n in 1 2 3 4; do
			wait -n || return
		done
		# One that is killed in the middle of a transaction that was spilled to the file.
		sqlite3 -batch "$db" >/dev/null <<-'SQL' &
			PRAGMA cache_size=10; PRAGMA cache_spill=1; BEGIN IMMEDIATE;
			UPDATE t SET x = 'gone';
			INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
				SELECT 9, n, hex(zeroblob(100)) FROM c;
		SQL
		n=$!
		f3_until 120 spilled "$db" || return
		kill -KILL $n
		wait $n 2>/dev/null
		sqlite "$db" 'PRAGMA integrity_check; SELECT n FROM sum;
			SELECT count(*), total(i), total(length(x)) FROM t;
			VACUUM; PRAGMA integrity_check; PRAGMA wal_checkpoint(TRUNCATE);' || return
		sqlite "$db" 'SELECT * FROM t ORDER BY w, i' | sha256sum
	done
}

spilled()
{
	[ "$(stat -c %s "$1" "$1-wal" 2>/dev/null | awk '{ s += $1 } END { print s }')" -gt 2000000 ]
}

# ---- A tree with all there is ----------------------------------------------------------------

# odd_tree DIR [nolinks]: times, modes, owners, holes, xattrs, ACLs, special files, odd names.
odd_tree()
{
	mkdir -p "$1" || return
	(
		set -e
		cd "$1"
		some_files 200 2
		head -c 3000000 /dev/urandom >big
		truncate -s 64M sparse
		printf data | dd of=sparse bs=1 seek=20000000 conv=notrunc status=none
		head -c 100000 /dev/urandom | dd of=sparse bs=65536 seek=700 conv=notrunc status=none
		truncate -s 1M hole
		: >empty
		mkdir -p deep/a/b/c/d/e/f/g 'with space' private
		echo x >"deep/a/b/c/d/e/f/g/$(printf '%0255d' 0)"
		echo x >"with space/"$'new\nline'
		echo x >"with space/"$'\x80\xff not UTF-8'
		ln -s "$(printf 'target/%.0s' {1..100})" symlink
		ln -s empty short
		mkfifo fifo
		mknod null c 1 3
		mknod disk b 240 7
		if [ "${2:-}" != nolinks ]; then
			ln big deep/big-again
			ln big deep/a/big-3
			ln symlink deep/symlink-again
		fi
		setfattr -n user.one -v 1 big
		setfattr -n user.long -v "$(printf '%0900d' 7)" d001/file00040.txt
		setfattr -n user.dir -v dir deep
		setfattr -n trusted.one -v trusted empty
		setfacl -m u:1234:rw,g:99:r d000/file00000.txt
		setfacl -m u:1234:rwx,d:u:1234:rx,d:g:99:- d000
		chown 1000:1001 d002/*
		chown -h 12:13 symlink fifo
		chmod 4755 d002/file00080.txt
		chmod 2755 d002/file00081.txt
		chmod 1777 deep
		chmod 000 d003/file00120.txt
		find . -exec touch -h -d '2003-03-03 03:03:03.030303' {} +
		touch -d '2001-02-03 04:05:06.789012345' d000/* big
		touch -d '1969-12-31 23:59:58.5' d001/file00041.txt
		touch -d '2100-01-01 00:00:00.000000001' d001/file00042.txt
		touch -h -d '2011-11-11 11:11:11.111111111' symlink
		touch -d '2002-02-02 02:02:02.020202020' deep/a/b deep/a deep private .
	)
}

# program_tar [nolinks]
program_tar()
{
	local all='--xattrs --xattrs-include=* --acls --numeric-owner --format=posix'
	odd_tree tree "$@" || return
	set -f
	# shellcheck disable=SC2086 # words
	set -- $all
	set +f
	tar "$@" -S -cf one.tar -C tree . && mkdir out &&
		tar "$@" --same-owner -xpf one.tar -C out &&
		tar "$@" -S -df one.tar -C out &&
		tar "$@" -cf two.tar -C out . && mkdir again &&
		tar "$@" --same-owner -xpf two.tar -C again || return
	f3_tree out >out.list && f3_tree tree | diff - out.list && f3_tree again | diff - out.list ||
		return
	# The same wherever it is, but for what is random in it.
	sed -E 's/(3000000|67108864) [0-9a-f]{16}/\1/' out.list
	[ "$(stat -c %b out/sparse)" -lt 4096 ] && echo sparse
}

# program_rsync [nolinks]: there, back and from one place here to another.
program_rsync()
{
	local options='-aHAXS --numeric-ids' again
	odd_tree tree "$@" || return
	# shellcheck disable=SC2086 # words
	set -- $options
	rsync "$@" tree/ copy/ && again=$(rsync "$@" -i tree/ copy/) && [ -z "$again" ] &&
		again=$(rsync "$@" -nic --delete tree/ copy/) && [ -z "$again" ] || return
	f3_tree tree >tree.list && f3_tree copy | diff tree.list - || return
	sed -i '1s/^/changed /' tree/d00[0-2]/*.txt || return
	printf more >>tree/big
	printf in >tree/in && dd if=tree/in of=tree/sparse bs=1 seek=10000000 conv=notrunc status=none
	rm -r tree/d003 tree/short
	mkdir tree/short && echo y >tree/short/now-a-directory
	# rsync takes times of directories within a second for the same
	find tree -exec touch -h -d '2004-04-04 04:04:04.040404' {} +
	rsync -aHAX --numeric-ids --inplace --no-whole-file --delete tree/ copy/ || return
	f3_tree tree >tree.list && f3_tree copy | diff tree.list - || return
	printf tail >>tree/big
	echo z >tree/empty
	rsync "$@" --append-verify tree/big copy/big && rsync "$@" --delay-updates --partial-dir=.part \
		--backup --suffix=.old --delete-after tree/ copy/ || return
	rsync "$@" -ni tree/ copy/ && cmp tree/big copy/big && cmp tree/empty copy/empty && f3_tree --names copy
}

# ---- Python ----------------------------------------------------------------------------------

# A wheel made here is what pip installs: there is no network in it.
program_venv()
{
	unset PYTHONDONTWRITEBYTECODE
	python3 -m venv env && env/bin/python - <<-'SCRIPT' || return
		import os, zipfile
		with zipfile.ZipFile("hello-1.0-py3-none-any.whl", "w") as z:
		    z.writestr("hello/__init__.py", "def main():\n    print('hello', __name__)\n")
		    for i in range(100):
		        z.writestr(f"hello/part{i}.py", f"value = {i}\n")
		    z.writestr("hello-1.0.dist-info/METADATA",
		               "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n")
		    z.writestr("hello-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n"
		               "Generator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
		    z.writestr("hello-1.0.dist-info/entry_points.txt",
		               "[console_scripts]\nhello = hello:main\n")
		    z.writestr("hello-1.0.dist-info/RECORD", "")
	SCRIPT
	env/bin/python -m pip install -q --no-index --no-deps --disable-pip-version-check \
		hello-1.0-py3-none-any.whl && env/bin/hello &&
		env/bin/python -m pip list --disable-pip-version-check --format=freeze || return
	env/bin/python - <<-'SCRIPT' || return
		import importlib, sys, sqlite3, ssl, json, multiprocessing
		print(sum(importlib.import_module(f"hello.part{i}").value for i in range(100)))
		print(sys.prefix.endswith("/env"), sys.prefix != sys.base_prefix)
	SCRIPT
	# Compiled once, and found fresh: the times of source and compiled file fit.
	env/bin/python -v -c 'import hello.part7' 2>&1 |
		grep -c '__pycache__/part7[^ ]* matches ' || return
	(cd env && find . | LC_ALL=C sort)
}
