#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600
#
# Where io_uring may not be used for the daemon's own I/O, by option or because the kernel refuses
# it as many containers do, threads do that work.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse jq

# Through the daemon, so that there is I/O of its own, and with a store to fill from and stage to.
work()
{
	f3_eq "io_uring" "$(ctl --json status | jq .cache.io_uring)" false
	f3_posix "$F3_MNT/e" -k rw/ -k fsync/ -k fallocate/ -k copy_file_range/ -k truncate
	f3_fsx "$F3_MNT/e/fsx" --seed 1 --ops 2000
	f3_same "$F3_MNT/e" program_sqlite 5 full delete
	f3_same "$F3_MNT/d" program_tar nolinks
	ctl sync >/dev/null || f3_bad "sync"
	f3_closed
	ctl evict -R "$F3_MNT/d/program_tar" >/dev/null || f3_bad "evict"
	f3_tree "$F3_MNT/d/program_tar/out" | diff "$F3_MNT/d/program_tar/out.list" - ||
		f3_bad "after eviction"
}

by_option()
{
	f3_durable
	f3_local
	f3_set io-uring=off passthrough=off
	f3_start
	work
}

# by_kernel ERRNO
by_kernel()
{
	f3_durable
	f3_local
	f3_set passthrough=off
	f3_under refuse_uring "$1"
	f3_start
	work
}

# Else what is below would say nothing.
there()
{
	f3_volume e -
	f3_start
	f3_eq "io_uring where nobody refuses it" "$(ctl --json status | jq .cache.io_uring)" true
}

[ "$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null)" != 2 ] ||
	f3_skip "io_uring is switched off on this machine (kernel.io_uring_disabled)"
f3_apart there there
f3_apart option by_option
f3_apart EPERM by_kernel EPERM
f3_apart ENOSYS by_kernel ENOSYS
