#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=400
#
# Operation by operation, a volume of class ephemeral behaves as POSIX and Linux say.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough
f3_volume v -
f3_start
f3_posix "$F3_MNT/v" --passthrough
# What is skipped above for the flags of the mount, which whoever is root may change.
f3_ok mount -i -o remount,suid,dev "$F3_MNT"
f3_posix "$F3_MNT/v" --passthrough -k devices -k suid_exec
f3_eq "skipped for the mount's flags" "$(grep -c 'skipped: mounted' posix.out)" 0
