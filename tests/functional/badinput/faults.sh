#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=400
#
# Calls of the daemon to its disk, its database and its object stores fail, one kind after the
# other: programs are told what SEMANTICS.md says, the daemon lives, and fsck finds nothing.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse debug jq python3
export F3_STORE
f3_set retry-min=20ms retry-max=200ms restart=no
f3_volume l -
f3_volume d "file://$F3_STORE/d" default-class=durable
f3_volume w "file://$F3_STORE/w" default-class=writeback

cases=0
faults=0
deaths=0
# faults PART [ARGUMENT...]: with the daemon that runs.
faults()
{
	local part=$1 c f
	shift
	python3 "$F3_SRCDIR/tests/fault/mount.py" "$part" "$F3_MNT" "$F3_RUN/control.sock" "$@" \
		>out 2>&1 || { cat out; f3_bad "$part $*"; }
	read -r c f < <(sed -n 's/^\([0-9]*\) cases, \([0-9]*\) faults$/\1 \2/p' out)
	cases=$((cases + ${c:-0}))
	faults=$((faults + ${f:-0}))
	kill -0 "$F3_PID" && return
	deaths=$((deaths + 1))
	f3_fail "$part $*: $deaths deaths of the daemon"
}

for mode in auto off; do
	f3_set passthrough=$mode
	f3_start
	case $mode in
	auto) faults table --passthrough ;;
	off) faults table ;;
	esac
	faults slow
	f3_stop
	f3_fsck
done

# What the database does not take back: it serves what there is until it is started again.
for fault in kv.write=EIOx1 kv.write=EBADMSGx1 kv.sync=EIOx1; do
	f3_start
	faults stopped "${fault%=*}" "${fault#*=}"
	kill -TERM "$F3_SUPERVISOR"
	f3_wait
	f3_unmounted "$F3_MNT"
	f3_start
	mkdir "$F3_MNT/l/after" || f3_bad "$fault: after a restart"
	rmdir "$F3_MNT/l/after"
	f3_stop
	f3_fsck
done
echo "$cases cases, $faults faults injected, $deaths deaths of the daemon"
