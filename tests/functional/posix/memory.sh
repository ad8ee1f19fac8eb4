#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=400
#
# Operation by operation, a volume of class memory behaves as POSIX and Linux say: its writers
# go through the daemon beside readers that do not.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough
f3_volume v - default-class=memory
f3_set memory-size=1G
f3_start
f3_disk tmpfs 1G native
F3_NATIVE=native
f3_posix "$F3_MNT/v"
