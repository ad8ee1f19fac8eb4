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

# adds_up WHAT WANTED JQ-EXPRESSION FD: what is counted in one line of each interval comes to that in the
# end, however many intervals the work took. line is the last one that had any of it.
adds_up()
{
	local what=$1 wanted=$2 expression=$3 fd=$4 sum=0 next n
	line=
	for _ in {1..60}; do
		read -r next <&"$fd" || break
		n=$(jq "($expression) // 0 | round" <<<"$next")
		[ "$n" -eq 0 ] || line=$next
		sum=$((sum + n))
		[ "$sum" -lt "$wanted" ] || break
	done
	f3_eq "$what" "$sum" "$wanted"
}

# The snapshot is taken before the work begins: stats has answered once.
coproc STATS { exec f3ctl -s "$F3_RUN/control.sock" --json stats; }
pid=$STATS_PID
exec {out}<&"${STATS[0]}"
read -r _ <&"$out"
for i in {1..100}; do echo "$i" >"$d/f$i"; done
adds_up "100 files made" 100 '.opens_started_per_second * .seconds' "$out"
kill "$pid"
wait "$pid"

coproc PROFILE { exec f3ctl -s "$F3_RUN/control.sock" --json profile; }
pid=$PROFILE_PID
exec {out2}<&"${PROFILE[0]}"
read -r _ <&"$out2"
for i in {1..50}; do mkdir "$d/d$i"; done
adds_up "50 directories made" 50 '.histograms[] | select(.labels == "op=\"mkdir\"").count' "$out2"
kill "$pid"
wait "$pid"
jq -e '.histograms[] | select(.labels == "op=\"mkdir\"") | .mean_s > 0 and .p50_s <= .p99_s and
	.p99_s <= .max_s and .mean_s <= .max_s' <<<"$line" >/dev/null || f3_bad "quantiles: $line"
f3_match "for people" "$(ctl profile -n 1)" 'OPERATION +PER SECOND +MEAN'
f3_no 2 'above 0' ctl stats -n -1
f3_no 2 'above 0' ctl profile -i 0
f3_no 2 'no arguments' ctl stats now
