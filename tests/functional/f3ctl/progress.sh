#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Verbs that may take long show on a terminal how far they are, and nothing of it elsewhere.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse script
f3_volume data "file://$F3_STORE" default-class=writeback
f3_start
mkdir "$F3_MNT/data/d"
for i in {1..40}; do echo "$i" >"$F3_MNT/data/d/$i"; done

# The line is written over and over: it begins with a carriage return and the code that clears it.
line=$'\r\e\\[K[^\n]*[0-9]+(/[0-9]+)? files'

# on_terminal VERB...: stderr is one, then it is none.
on_terminal()
{
	local command got
	printf -v command '%q ' f3ctl -s "$F3_RUN/control.sock" "$@"
	got=$(script -qec "$command" /dev/null </dev/null) || f3_bad "$*: failed: $got"
	f3_match "$* on a terminal" "$got" "$line"
	got=$(script -qec "$command 2>/dev/null" /dev/null </dev/null)
	[[ $got == *$'\e'* ]] && f3_bad "$*: progress without a terminal: $got"
	got=$(ctl "$@" 2>&1) || f3_bad "$*: failed: $got"
	[[ $got == *$'\e'* ]] && f3_bad "$*: progress without a terminal: $got"
	return 0
}

on_terminal gc
on_terminal fsck
on_terminal class -R durable "$F3_MNT/data/d"
on_terminal evict -R "$F3_MNT/data/d"
on_terminal warm -R "$F3_MNT/data/d"
