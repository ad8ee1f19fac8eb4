#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Killed at exactly each commit of a small storm, before and after it, and at the steps in between:
# the next start has all that was acknowledged, and fsck finds nothing.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse debug
# With the daemon the mount goes, too: what is looked at is what a start finds.
f3_set restart=no
f3_volume v -
f3_volume m - default-class=memory

# crash POINT N DIR: a daemon that dies when POINT is reached for the N-th time. 1: it never was.
crash()
{
	local what="$1@$2 in $3" dir=$F3_MNT/$3 rc
	umount -l "$F3_RUN/memory" 2>/dev/null
	rm -rf --one-file-system "$F3_CACHE" "$F3_RUN" manifest.*
	if F3_DEBUG_POINTS="$1=exit@$2" f3_launch; then
		f3_storm "$dir/s" --procs 1 --ops 40 --seed 7 --may-die --keep >storm.out 2>&1
		rc=$?
		if [ $rc -eq 0 ]; then
			f3_kill
			return 1
		fi
		f3_crashed
	else
		rc=start
		umount -l "$F3_MNT" 2>/dev/null
	fi
	crashes=$((crashes + 1))
	f3_launch || f3_fail "$what: no start after the crash"
	# Died before the storm had begun: there is nothing to compare.
	if [ -s manifest.0 ]; then
		# It may die while the storm is looking at its result: that counts as gone, too.
		[ $rc = 3 ] || grep -q 'connection abort\|not connected' storm.out ||
			{ cat storm.out; f3_bad "$what: storm ended with $rc"; }
		f3_storm_verify "$dir/s" crash >storm.out 2>&1 ||
			{ cat storm.out; f3_bad "$what: after the crash"; }
	fi
	f3_stop || f3_fail "$what: stop"
	f3_fsck || f3_bad "$what: fsck"
}

crashes=0
# Every second commit, before it in one class and after it in the other; the rest next time round.
n=1
while [ $n -lt 200 ] && crash meta.before-commit $n v; do n=$((n + 2)); done
n=2
while [ $n -lt 200 ] && crash meta.after-commit $n m; do n=$((n + 2)); done
for point in create.taken stock.made change.on-disk truncate.on-disk seal.probed file.before-unlink \
	file.after-unlink sync.data; do
	for n in 1 4; do
		crash $point $n v
		crash $point $n m
	done
done
echo "$crashes crashes"
[ $crashes -gt 40 ] || f3_bad "only $crashes crashes"
