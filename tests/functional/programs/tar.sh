#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=400
#
# tar packs and unpacks times, owners, modes, holes, xattrs, ACLs, links and special files.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse tar python3 setfattr setfacl

local_classes()
{
	f3_local
	f3_start
	f3_same "$F3_MNT/e" program_tar
	f3_same "$F3_MNT/m" program_tar
	still_there e m
}

durable()
{
	f3_durable
	f3_start
	f3_same "$F3_MNT/d" program_tar nolinks # an object has one key
	still_there d
}

# still_there VOLUME...: also after a restart
still_there()
{
	local v
	f3_restart
	for v; do
		f3_tree "$F3_MNT/$v/program_tar/out" | diff "$F3_MNT/$v/program_tar/out.list" - ||
			f3_bad "$v after a restart"
	done
}

f3_apart local local_classes
f3_apart durable durable
