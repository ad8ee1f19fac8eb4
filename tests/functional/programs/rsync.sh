#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=400
#
# rsync copies a tree with all there is; a second run finds nothing to do; changes go in place, by
# delta, appended and with deletions.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse rsync python3 setfattr setfacl

local_classes()
{
	f3_local
	f3_start
	f3_same "$F3_MNT/e" program_rsync
	if f3_heavy; then
		f3_same "$F3_MNT/m" program_rsync
	fi
}

durable()
{
	f3_durable
	f3_local
	f3_start
	f3_same "$F3_MNT/d" program_rsync nolinks # an object has one key
	# From class to class and out again.
	touch -d '2005-05-05 05:05:05.050505' "$F3_MNT/d/program_rsync/copy"
	f3_ok rsync -aAXS --numeric-ids "$F3_MNT/d/program_rsync/copy/" "$F3_MNT/e/moved/"
	f3_ok rsync -aAXS --numeric-ids "$F3_MNT/e/moved/" "$F3_PLAIN/moved/"
	f3_tree "$F3_MNT/d/program_rsync/copy" >in
	f3_tree "$F3_PLAIN/moved" >out
	f3_ok diff in out
}

f3_apart local local_classes
f3_apart durable durable
