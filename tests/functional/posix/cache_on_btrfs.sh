#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=400
#
# The same POSIX behaviour with the cache directory on btrfs.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough
f3_cache_on btrfs 2G
f3_volume v -
f3_start
f3_posix "$F3_MNT/v" --passthrough
