#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Python makes a virtual environment on the mount, installs a package into it, and what it runs
# from there is what it runs from a plain directory.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse python3
python3 -c 'import ensurepip, venv' 2>/dev/null || f3_skip "needs Python's venv and ensurepip"
f3_local
f3_start
f3_same "$F3_MNT/e" program_venv
if f3_heavy; then
	f3_same "$F3_MNT/m" program_venv
fi
f3_restart
f3_ok "$F3_MNT/e/program_venv/env/bin/hello" >/dev/null
