#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600
#
# Killed at each step after the record of a commit set is there: it is published, all of it, and nothing is
# left in the store.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/activation.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/commit.sh"
f3_requires root fuse jq debug python3
. "$F3_SRCDIR/tests/functional/commit_crash.sh"
for point in commit.before-item commit.after-item commit.before-note commit.after-note commit.before-deletes \
	commit.before-record-goes commit.after-record-goes activation.ending; do
	killed $point true
done
f3_fsck
