#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=900
#
# stress-ng's stressors of file systems, with what they verify, by groups at the same time. What it
# cannot do in a plain directory of this machine either is not asked of F3.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse stress-ng

# The class "filesystem" without what does nothing to the directory given (bind-mount binderfs
# eventfd ioprio procfs), then those of other classes that work on files.
groups=(
	'access chattr chdir chmod chown copy-file dentry'
	'dir dirdeep dirmany dnotify dup fallocate fanotify'
	'fcntl fiemap file-ioctl filename flock fpunch fsize'
	'fstat getdent handle hdd inode-flags inotify iomix'
	'lease link locka lockf lockofd mknod open'
	'rename symlink sync-file touch utime verity xattr'
	'aio aiol msync readahead revio seek sendfile'
)

# stress DIR SECONDS STRESSOR... All of a group together fit into the cache: by default sync-file
# alone would take all of it, and who then gets no room says something else than ENOSPC.
stress()
{
	local dir=$1 seconds=$2 s args=()
	shift 2
	for s; do
		args+=("--$s" 1)
	done
	mkdir -p "$dir"
	(
		ulimit -c 0
		exec stress-ng --temp-path "$dir" --verify --timeout "$seconds" --hdd-bytes 32M \
			--iomix-bytes 32M --fallocate-bytes 64M --copy-file-bytes 128M \
			--sync-file-bytes 64M --revio-bytes 64M --msync-bytes 64M "${args[@]}"
	) >stress.out 2>&1
}

# all_on DIR: which one of a group it was is found out one by one.
all_on()
{
	local dir=$1 group s start
	mkdir -p plain
	for group in "${groups[@]}"; do
		start=$SECONDS
		# shellcheck disable=SC2086 # words
		stress "$dir" "$(f3_by_weight 2 20)" $group
		if [ $? -eq 0 ]; then
			echo "$group in ${dir##*/}: $((SECONDS - start)) s"
			continue
		fi
		grep -i 'fail\|error' stress.out
		one_by_one "$dir" "$group" && continue
		# Together and not alone: said in any case, and a failure if it is so again.
		cp stress.out "together.${group%% *}"
		# shellcheck disable=SC2086 # words
		if stress "$dir" "$(f3_by_weight 2 20)" $group; then
			echo "once, together: $group"
		else
			cat stress.out
			f3_bad "together, not alone: $group"
		fi
	done
}

# one_by_one DIR GROUP: 0: it is known which one it is.
one_by_one()
{
	local dir=$1 s known=1
	for s in $2; do
		stress "$dir" 2 "$s" && continue
		known=0
		cp stress.out one.out
		if stress plain 2 "$s"; then
			cat one.out
			f3_bad "$s in $dir"
		else
			not_here="$not_here $s"
		fi
	done
	return $known
}

not_here=
f3_local
f3_start
all_on "$F3_MNT/e"
if f3_heavy; then
	all_on "$F3_MNT/m"
fi
f3_eq "what is left" "$(ls -A "$F3_MNT/e")" ''
[ -z "$not_here" ] || echo "fail in a plain directory too:$not_here"
[ "$(wc -w <<<"$not_here")" -le 3 ] || f3_bad "too many for a test that says something"
