#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What can be evicted is free to df, as it is to whoever writes; local files and what is not in the
# store yet are not. The same after a restart and after a crash.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_set cache-size=100M
f3_volume v "file://$F3_STORE/v" default-class=writeback
f3_volume local -
f3_start
used_mib() { echo $(($(df --output=used -B1 "$F3_MNT/$1" | tail -n 1) >> 20)); }
comes_to() { [ "$(used_mib v)" = "$1" ] && [ "$(used_mib local)" = "$1" ]; }
wants() { f3_until 60 comes_to "$2" || f3_bad "$1: used $(used_mib v), $(used_mib local) MiB, wanted $2"; }
wants "empty" 0
head -c 20M /dev/urandom >"$F3_MNT/local/kept"
wants "a local file" 20
head -c 30M /dev/urandom >"$F3_MNT/v/copy"
f3_ok ctl sync >/dev/null
wants "an object's copy" 20
[ "$(ctl --json status | jq .cache.used_bytes)" -ge $((50 << 20)) ] || f3_bad "it is not cached"
f3_closed
f3_ok ctl evict "$F3_MNT/v/copy" >/dev/null
f3_ok cmp "$F3_MNT/v/copy" "$F3_STORE/v/copy"
wants "fetched again" 20
f3_ok ctl class ephemeral "$F3_MNT/v/copy" >/dev/null
wants "made local" 50
f3_restart
wants "after a restart" 50
f3_kill
f3_start
wants "after a crash" 50
f3_ok ctl class writeback "$F3_MNT/v/copy" >/dev/null
f3_ok ctl sync >/dev/null
wants "in the store again" 20
rm "$F3_MNT/local/kept"
wants "removed" 0
# And it is true: as much as df says can be written.
head -c 85M /dev/urandom >"$F3_MNT/local/much" || f3_bad "no room for what df calls free"
