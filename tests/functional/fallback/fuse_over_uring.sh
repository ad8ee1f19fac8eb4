#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600 alone
#
# Requests come by io_uring where that is asked for and the kernel has it, and the classic way where
# it has not; the log says why.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse jq ordered-uring
switch=/sys/module/fuse/parameters/enable_uring
[ -w $switch ] || f3_skip "this kernel has no FUSE over io_uring (Linux 6.14 or later)"
# The switch is the machine's.
exec {lock}<$switch
flock $lock
was=$(cat $switch)
trap 'rc=$?; echo "$was" >$switch; (exit $rc); f3_cleanup' EXIT

# over_uring passthrough|all: with bytes past the daemon, or all by the rings
over_uring()
{
	local arguments=(--passthrough)
	echo Y >$switch
	f3_set transport=io_uring
	if [ "$1" = all ]; then
		f3_set passthrough=off io-uring=off
		arguments=()
	fi
	f3_local
	f3_start
	if grep -q 'libfuse is older' "$F3_LOG"; then
		f3_skip "this libfuse has no io_uring"
	fi
	f3_eq "transport" "$(ctl --json status | jq -r .transport)" io_uring
	threads=$(grep -lx 'fuse-ring-[0-9]*' "/proc/$F3_PID"/task/*/comm 2>/dev/null | wc -l)
	[ "$threads" -ge 1 ] || f3_bad "no threads of rings: $(sort -u "/proc/$F3_PID"/task/*/comm)"
	f3_reduced "$F3_MNT/e" "${arguments[@]}"
	f3_same "$F3_MNT/m" program_sqlite 10 full delete wal
	f3_restart
	f3_storm "$F3_MNT/e/storm" --procs 4 --ops 1000 --seed 1 || f3_bad "storm"
}

# not_there REGEX: whatever was arranged, it works the classic way and the log matches.
not_there()
{
	f3_set transport=io_uring
	f3_local
	f3_start
	f3_eq "transport" "$(ctl --json status | jq -r .transport)" classic
	f3_match "the log" "$(cat "$F3_LOG")" "transport io_uring: $1"
	f3_fsx "$F3_MNT/e/fsx" --seed 1 --ops 2000
	f3_same "$F3_MNT/e" program_sqlite 5 normal wal
}

switched_off()
{
	echo N >$switch
	not_there 'the kernel has it switched off'
}

# refused ERRNO: the module would, the kernel will not.
refused()
{
	echo Y >$switch
	f3_under refuse_uring "$1"
	not_there 'the kernel refuses'
}

f3_apart rings over_uring passthrough
f3_apart all over_uring all
f3_apart off switched_off
f3_apart EPERM refused EPERM
f3_apart ENOSYS refused ENOSYS
