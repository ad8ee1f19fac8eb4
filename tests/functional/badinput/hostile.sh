#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Hostile bytes for whatever reads outside bytes: mutated inputs of a fixed seed, and corpora. The long
# run is make hostile.
# test: timeout=600
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse
"$F3_BUILDDIR/tests/fuzz/hostile" -n "${F3_COUNT:-3000}" -s "${F3_SEED:-1}" >out || f3_bad "$(cat out)"
# All of them ran, and said so.
f3_match "the last line" "$(tail -n 1 out)" '[0-9]{4,} inputs tried, .* 0 accepted wrongly, 0 crashes'
[ "$(grep -c ' refused$' out)" -ge 20 ] || f3_bad "not every target ran: $(cat out)"
tail -n 1 out
