#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=400
#
# Without passthrough every byte goes through the daemon, and is the same.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse jq
f3_set passthrough=off
f3_local
f3_start
f3_eq "passthrough" "$(ctl --json status | jq -r .passthrough,.passthrough_reason)" \
	$'false\nswitched off by configuration'
f3_match "the log" "$(cat "$F3_LOG")" 'passthrough: switched off by configuration; reads and writes'
exec 5>"$F3_MNT/e/open"
f3_eq "how a file is open" "$(ctl --json status | jq -c '.opens | [.passthrough, .cached]')" '[0,1]'
exec 5>&-
f3_reduced "$F3_MNT/e"
f3_disk tmpfs 1G native
F3_NATIVE=native
f3_reduced "$F3_MNT/m"
f3_eq "opens in passthrough" "$(sed -n 's/^f3_fuse_opens_total{mode="passthrough[^"]*"} //p' \
	"$F3_MNT/.stats" | sort -u)" 0
