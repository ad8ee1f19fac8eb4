#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What a container sees of a view, when, and that it reaches nothing else: by crun, with a root file
# system and the capabilities that engines give.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/boxes.sh
. "$F3_SRCDIR/tests/functional/boxes.sh"
# shellcheck source=tests/functional/contained.sh
. "$F3_SRCDIR/tests/functional/contained.sh"
f3_requires root fuse jq
box_requires crun
contained crun
