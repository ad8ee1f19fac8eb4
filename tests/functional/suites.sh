# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Disks to put a cache on, and the suites of tests/posix on a mount. Read after lib.sh:
#
#	. "$F3_SRCDIR/tests/functional/lib.sh"
#	. "$F3_SRCDIR/tests/functional/suites.sh"

# f3_disk TYPE SIZE DIR [MKFS-ARGUMENT...]: makes DIR a file system of its own: ext4, xfs, btrfs
# (on a loop device, which goes with the mount) or tmpfs. The image is DIR.img.
f3_disk()
{
	local type=$1 size=$2 dir=$3
	shift 3
	mkdir -p "$dir"
	if [ "$type" = tmpfs ]; then
		mount -t tmpfs -o "size=$size" none "$dir" || f3_fail "no tmpfs"
		return
	fi
	f3_requires loop "mkfs.$type"
	grep -qw "$type" /proc/filesystems || f3_skip "this kernel has no $type"
	truncate -s "$size" "$dir.img"
	case $type in
	ext4) mkfs.ext4 -q -F "$@" "$dir.img" ;;
	*) "mkfs.$type" -q "$@" "$dir.img" ;;
	esac >"$dir.mkfs" 2>&1 || f3_fail "mkfs.$type: $(cat "$dir.mkfs")"
	mount -t "$type" -o loop "$dir.img" "$dir" || f3_fail "$type cannot be mounted"
}

# f3_disk_again TYPE DIR: mounts a disk of f3_disk again that was shut down and unmounted. Whoever copied
# the mounts of that moment, another test say, keeps the broken file system a while, and mount would
# find it and take it.
f3_disk_again()
{
	local image=$2.img
	unused() { [ -z "$(losetup -j "$image")" ]; }
	f3_until 60 unused || f3_fail "the disk is still in use elsewhere"
	mount -t "$1" -o loop "$2.img" "$2" || f3_fail "the disk cannot be mounted again"
}

# The next start takes the machine for one that was started anew. Only in mounts of one's own.
f3_other_boot()
{
	local id=$F3_TEST_TMP/boot_id
	umount /proc/sys/kernel/random/boot_id 2>/dev/null
	cat /proc/sys/kernel/random/uuid >"$id"
	mount --bind "$id" /proc/sys/kernel/random/boot_id || f3_skip "the boot id cannot be replaced"
}

# f3_power_cut TYPE DIR [PID...]: the power goes: of the cache, on a disk of f3_disk, there is what was
# synced, and of the daemon nothing. These programs are waited for. Then it is started on a machine that
# was started anew. Only in mounts of one's own.
f3_power_cut()
{
	f3_eq "shutdown" "$(fstry shutdown "$2")" ok
	f3_kill
	[ $# -eq 2 ] || wait "${@:3}"
	f3_umount "$2"
	f3_disk_again "$1" "$2"
	f3_other_boot
	f3_start
}

# f3_cache_on TYPE SIZE: the cache directory lies on a file system of that type. Before f3_start.
f3_cache_on()
{
	local top=${F3_CONF%/*}
	f3_disk "$1" "$2" "$top/disk"
	f3_set "cache=$top/disk/cache"
	F3_CACHE=$top/disk/cache
	F3_NATIVE=$top/disk
}

f3_checks_passed=0
f3_checks_failed=0

# f3_posix DIR [ARGUMENT...]: posix_suite there; its checks are counted as the test's. F3_NATIVE
# is a directory of the backing file system, to say what it does not have.
f3_posix()
{
	local dir=$1 rc passed=0 failed=0
	shift
	mkdir -p "${F3_NATIVE:=$F3_TEST_TMP/native}"
	"$F3_BUILDDIR/tests/posix/posix_suite" --native "$F3_NATIVE" "$@" "$dir" >posix.out 2>&1
	rc=$?
	cat posix.out
	read -r passed failed < <(sed -n 's/^posix: \([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' \
		posix.out)
	f3_checks_passed=$((f3_checks_passed + ${passed:-0}))
	f3_checks_failed=$((f3_checks_failed + ${failed:-0}))
	echo "$f3_checks_passed $f3_checks_failed" >"$F3_TEST_COUNTS"
	[ $rc -eq 0 ] || f3_bad "posix_suite in $dir ended with $rc"
}

# f3_fsx FILE [ARGUMENT...]: random operations against a model of one file.
f3_fsx()
{
	local file=$1
	shift
	"$F3_BUILDDIR/tests/posix/fsx_model" "$@" "$file" || f3_bad "fsx_model $* $file"
}

# f3_storm DIR [ARGUMENT...]: many processes, every one with a model of its files. What is left
# with --keep is looked at again by f3_storm_verify DIR crash|power. F3_MANIFEST is where it is
# written down what was done, not on the mount.
F3_MANIFEST=$F3_TEST_TMP/manifest
f3_storm()
{
	local dir=$1
	shift
	# Only in what is there: where the mount has gone the directory below it must stay empty, or the
	# storm would go on there.
	[ -d "$dir" ] || mkdir "$dir" || return
	"$F3_BUILDDIR/tests/posix/fsstress" --manifest "$F3_MANIFEST" "$@" "$dir"
}

f3_storm_verify()
{
	"$F3_BUILDDIR/tests/posix/fsstress" --verify "$F3_MANIFEST" --after "$2" "$1"
}

# f3_python [ARGUMENT...] <SCRIPT: with tests/functional/f3test.py to import from.
f3_python()
{
	PYTHONPATH="$F3_SRCDIR/tests/functional" PYTHONDONTWRITEBYTECODE=1 python3 - "$@" ||
		f3_bad "the script above found failures"
}

# f3_apart NAME FUNCTION [ARGUMENT...]: with directories, configuration and daemon of its own,
# which are gone afterwards.
f3_apart()
{
	local name=$1
	shift
	(
		trap f3_cleanup EXIT
		f3_failures=0
		F3_NAME=$name f3_dirs
		"$@"
	) || f3_bad "$name: see above"
}

# f3_fsck: the cache directory of a daemon that does not run, and every backing file in it.
f3_fsck()
{
	f3ctl fsck --cache "$F3_CACHE" --memory "$F3_RUN/memory" >fsck.out 2>&1 && return
	cat fsck.out
	f3_bad "fsck found something"
	return 1
}

# f3_crashed: the daemon is dead or about to be: waits for it and takes the dead mount away.
f3_crashed()
{
	f3_wait
	umount -l "$F3_MNT" 2>/dev/null
	return 0
}
