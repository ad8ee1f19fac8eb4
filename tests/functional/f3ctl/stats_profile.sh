#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl stats and profile: numbers that agree with what was done.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data -
f3_start
d=$F3_MNT/data
f3_eq "one line" "$(ctl stats -n 1 | wc -l)" 2
f3_match "heading" "$(ctl stats -n 1 | head -n 1)" 'ops/s +opens/s +passed/s .* cache +dirty'
jq -e 'has("operations_per_second") and has("dirty_bytes") and .open == null and has("opens")' \
	< <(ctl --json stats -n 1) >/dev/null || f3_bad "stats --json"

# The snapshot is taken before the work begins: stats has answered once.
coproc STATS { exec f3ctl -s "$F3_RUN/control.sock" --json stats -n 2; }
pid=$STATS_PID
exec {out}<&"${STATS[0]}"
read -r _ <&"$out"
for i in {1..100}; do echo "$i" >"$d/f$i"; done
read -r line <&"$out"
wait "$pid" || f3_bad "stats ended with $?"
created=$(jq '.opens_started_per_second' <<<"$line")
awk -v n="$created" 'BEGIN { exit !(n > 50 && n < 150) }' || f3_bad "100 files made: $line"

coproc PROFILE { exec f3ctl -s "$F3_RUN/control.sock" --json profile -n 2; }
pid=$PROFILE_PID
exec {out2}<&"${PROFILE[0]}"
read -r _ <&"$out2"
for i in {1..50}; do mkdir "$d/d$i"; done
read -r line <&"$out2"
wait "$pid" || f3_bad "profile ended with $?"
f3_eq "50 directories made" "$(jq '.histograms[] | select(.labels == "op=\"mkdir\"").count' <<<"$line")" 50
jq -e '.histograms[] | select(.labels == "op=\"mkdir\"") | .mean_s > 0 and .p50_s <= .p99_s and
	.p99_s <= .max_s and .mean_s <= .max_s' <<<"$line" >/dev/null || f3_bad "quantiles: $line"
f3_match "for people" "$(ctl profile -n 1)" 'OPERATION +PER SECOND +MEAN'
f3_no 2 'above 0' ctl stats -n -1
f3_no 2 'above 0' ctl profile -i 0
f3_no 2 'no arguments' ctl stats now
