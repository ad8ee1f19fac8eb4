#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600
#
# Operation by operation, a volume of class durable behaves as POSIX and Linux say, as far as an
# object store lets it.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough
# Thousands of small objects, each synced: the store lies in memory.
f3_disk tmpfs 1G "$F3_STORE"
f3_volume v "file://$F3_STORE/v" default-class=durable
f3_start
f3_posix "$F3_MNT/v" --object --passthrough
