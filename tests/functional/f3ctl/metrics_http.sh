#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prometheus text over HTTP: well formed, numbers that move, other requests refused.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq curl
f3_volume data - quota=10M
f3_volume photos "file://$F3_STORE/photos" default-class=durable
port=$((20000 + $$ % 12000))
printf '\n[metrics]\nlisten = 127.0.0.1:%s\n' $port >>"$F3_CONF"
f3_start
url=http://127.0.0.1:$port
curl -s "$url/metrics" >m || f3_bad "no answer"
f3_match "type" "$(curl -si "$url/metrics" | tr -d '\r' | grep -i '^content-type')" 'text/plain; version=0.0.4'
grep -vE '^(# (HELP|TYPE) f3_[a-z0-9_]+ .+|f3_[a-z0-9_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [-+0-9.e]+(Inf)?)$' m &&
	f3_bad "lines that are no metrics"
for name in f3_build_info f3_cache_used_bytes f3_cache_limit_bytes f3_dirty_bytes f3_dirty_age_seconds \
	f3_memory_used_bytes f3_memory_limit_bytes f3_process_resident_bytes f3_database_disk_bytes \
	f3_database_memory_bytes f3_fuse_open_files f3_fuse_parked_reads f3_inodes_in_memory \
	f3_volume_used_bytes f3_volume_used_inodes f3_volume_quota_bytes f3_journal_entries \
	f3_fuse_op_seconds_count f3_fuse_errors_total f3_fuse_opens_total f3_data_bytes_total \
	f3_fills_total f3_fill_retries_total f3_stages_total f3_journal_retries_total \
	f3_object_requests_total f3_object_request_seconds_count; do
	f3_eq "$name has one TYPE" "$(grep -c "^# TYPE ${name%_count} " m)" 1
	grep -qE "^${name}( |\{)" m || f3_bad "$name is missing"
done
f3_eq "families are together" "$(grep '^# TYPE' m | awk '{ print $3 }' | sort | uniq -d)" ""
value() { curl -s "$url/metrics" | awk -v n="$1" '$1 == n { print $2 }'; }
before=$(value 'f3_volume_used_bytes{volume="data"}')
head -c 500000 /dev/zero >"$F3_MNT/data/f"
grown() { [ "$(value 'f3_volume_used_bytes{volume="data"}')" -ge $((before + 500000)) ]; }
f3_until 60 grown || f3_bad "usage does not move"
f3_closed
exec {fd}<"$F3_MNT/data/f"
f3_eq "open files" "$(value f3_fuse_open_files)" 1
exec {fd}<&-

# What is fetched of an object shows as bytes by source and class, as a fill, and as a request.
head -c 300000 /dev/urandom >"$F3_MNT/photos/p"
f3_closed
f3_ok ctl evict "$F3_MNT/photos/p" >/dev/null
f3_ok cmp -s "$F3_MNT/photos/p" "$F3_STORE/photos/p"
for name in 'f3_data_bytes_total{source="object",class="durable"} 300000' 'f3_fills_total{result="ok"} 1' \
	'f3_object_requests_total{op="get",result="ok"} 1' \
	'f3_object_request_seconds_count{op="get"} 1'; do
	got=$(value "${name% *}")
	[ "${got:-0}" -ge "${name##* }" ] || f3_bad "${name% *}: $got"
done
from_local=$(value 'f3_data_bytes_total{source="local",class="durable"}')
[ "${from_local:-0}" -ge 300000 ] || f3_bad "read through the daemon: $from_local bytes"

odd='odd "name'$'\\'
f3_ok ctl volume add "$odd"
f3_match "label" "$(curl -s "$url/metrics" | grep 'f3_volume_quota_bytes.*odd')" 'volume="odd \\"name\\\\\\\\"'
f3_eq "the virtual file has the same" "$(grep -c '^# TYPE' "$F3_MNT/.stats")" "$(curl -s "$url/metrics" | grep -c '^# TYPE')"

f3_match "elsewhere" "$(curl -si "$url/")" '404'
f3_match "posted" "$(curl -si -d x "$url/metrics")" '405'
f3_match "head" "$(curl -sI "$url/metrics")" '200'
# Garbage does no harm; an address in use is a reason not to start.
(printf 'GET / HTTP/9.9\r\n\x00\xff\r\n\r\n' >/dev/tcp/127.0.0.1/$port)
f3_ok curl -sf "$url/metrics" -o /dev/null
f3_no 1 "listen = 127.0.0.1:$port: Address already in use" f3d -f -o "cache=$F3_TEST_TMP/c2" \
	-o "run-dir=$F3_TEST_TMP/r2" -o "metrics.listen=127.0.0.1:$port" "$(mkdir mnt2 && echo "$PWD/mnt2")"
f3_unmounted "$PWD/mnt2"
