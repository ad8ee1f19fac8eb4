#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl status: the facts a program reads, and how files are open just now.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq passthrough
f3_volume data - quota=100M
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_start

has()
{
	ctl --json status | jq -e "$1" >/dev/null || f3_bad "status lacks: $1: $(ctl --json status)"
}

for key in version pid supervisor_pid uptime_s mountpoint volumes cache dirty_bytes memory peers \
	transport passthrough passthrough_reason opens journal database; do
	has "has(\"$key\")"
done
has ".ok and .pid == $F3_PID and .supervisor_pid == $F3_SUPERVISOR and .peers == []"
has ".mountpoint == \"$F3_MNT\" and .transport == \"classic\" and .passthrough"
has '.cache.limit_bytes == 1073741824 and .memory.limit_bytes <= 134217728'
has '[.volumes[].name] == ["data", "photos"]'
has '.volumes[0] | .quota_bytes == 104857600 and .default_class == "ephemeral" and .url == ""'
has ".volumes[1].url == \"file://$F3_STORE/photos\""

# One file open natively; of class memory a writer goes through the daemon.
mkdir "$F3_MNT/data/m"
setfattr -n user.f3.class -v memory "$F3_MNT/data/m"
exec {a}>"$F3_MNT/data/a" {b}>"$F3_MNT/data/m/b"
has '.opens.now == 2 and .opens.passthrough == 2'
f3_eq "mode" "$(f3_info "$F3_MNT/data/m/b" .writers)" 1
f3_match "why its writes come to the daemon" "$(f3_info "$F3_MNT/data/m/b" .not_passthrough)" \
	'class memory'
exec {a}>&- {b}>&-
f3_closed
head -c 300000 /dev/zero >"$F3_MNT/data/big"
f3_ok ctl sync
has '.volumes[0].used_bytes >= 300000 and .cache.used_bytes >= 300000'

# For people: the same, as text.
text=$(ctl status)
for word in "process $F3_PID" "supervisor +process $F3_SUPERVISOR, restarts 0" "$F3_MNT" ephemeral writeback "100 MiB"; do
	f3_match "table" "$text" "$word"
done

f3_stop
f3_set passthrough=off
f3_start
has '(.passthrough | not) and .passthrough_reason == "switched off by configuration"'
exec {a}<"$F3_MNT/data/big"
has '.opens.cached == 1'
f3_match "why not passthrough" "$(f3_info "$F3_MNT/data/big" .not_passthrough)" configuration
exec {a}<&-
