#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A stop does not wait for a store that fails, nor for its next attempt; and what a process of an activation has
# open goes before what it speaks of.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/faults.sh
. "$F3_SRCDIR/tests/functional/faults.sh"
# shellcheck source=tests/functional/activation.sh
. "$F3_SRCDIR/tests/functional/activation.sh"
f3_requires root fuse jq python3 debug
f3_set retry-min=20ms retry-max=120s
f3_volume data "file://$F3_STORE/data" default-class=durable attr-ttl=1h
f3_start
# As often as it takes for the pauses to have become long.
failed_often() { [ "$(fault fault-count object.delete)" -gt 9 ]; }

h=$(act_hierarchies | head -1)
[ -z "$h" ] || g=$(act_group "$h" stop) || g=
if [ -n "$g" ]; then
	act_holder "$g"
	f3_ok act_begin held "$act_pid" data
	echo b >"$F3_MNT/data/open"
	# shellcheck disable=SC2016
	sh -c 'echo $$ >"$0/cgroup.procs" && exec sleep 3600' "$g" <"$F3_MNT/data/open" >/dev/null 2>&1 &
	echo $! >>"$F3_TEST_TMP/holders"
	# shellcheck disable=SC2016
	sh -c 'echo $$ >"$0/cgroup.procs" && exec 3<"$1" && exec sleep 3600' "$g" "$F3_MNT/data/open" >/dev/null 2>&1 &
	echo $! >>"$F3_TEST_TMP/holders"
	opened() { [ "$(ctl --json activation show held | jq '[.opens[]] | add')" -gt 0 ]; }
	f3_until 20 opened || f3_bad "nothing is open of the activation"
fi
echo a >"$F3_MNT/data/f"
fault fault object.delete EIO >/dev/null
timeout 100 rm -f "$F3_MNT/data/f" >rm.out 2>&1 &
f3_until 60 failed_often || f3_bad "the store is not asked"
began=$SECONDS
f3_stop
took=$((SECONDS - began))
# The next attempt is up to two minutes away.
[ $took -lt 20 ] || f3_bad "the stop took $took s"
