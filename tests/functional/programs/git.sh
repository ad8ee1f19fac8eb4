#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600
#
# git: init, commits, merge, rebase, stash, worktree, clones by link and by pack, writers side by
# side, gc, repack and fsck give in every class what they give in a plain directory.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse git python3

local_classes()
{
	f3_local
	f3_start
	f3_same "$F3_MNT/e" program_git
	f3_same "$F3_MNT/m" program_git
	f3_restart
	f3_ok git -C "$F3_MNT/e/program_git/packed" fsck --full
	f3_ok git -C "$F3_MNT/m/program_git/packed" fsck --full
}

durable()
{
	f3_durable
	f3_start
	f3_same "$F3_MNT/d" program_git
	# The store has what was committed, as plain files that git can read.
	f3_ok git -C "$F3_STORE/d/program_git/repo" fsck --full --no-dangling
}

f3_apart local local_classes
f3_apart durable durable
