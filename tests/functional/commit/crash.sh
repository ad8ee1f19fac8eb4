#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600
#
# Killed at each step between the first byte of a commit set and its record, or its being dropped: the mount goes on, and when the
# platform has said `end` again the set is published, all of it, or dropped, all of it. Nothing is left in
# the store.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/activation.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/commit.sh"
f3_requires root fuse jq debug python3
. "$F3_SRCDIR/tests/functional/commit_crash.sh"
for point in stage.before-prepared stage.after-prepared commit.prepared commit.before-record commit.after-record; do
	killed $point true
done
for point in stage.after-prepared commit.dropped commit.withdrawn activation.ending; do
	killed $point false
done
f3_fsck
