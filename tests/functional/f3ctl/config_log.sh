#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl config and log-level; logs are opened again on SIGHUP; the access log.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data -
log=$F3_TEST_TMP/log
access=$F3_TEST_TMP/access
F3_F3_CACHE_LOW=5M F3_METRICS_LISTEN='' f3_launch && f3_bad "an empty address was taken"
F3_F3_CACHE_LOW=5M f3_start -o "log=$log,access-log=$access,slow-operation=0" --volume extra

text=$(ctl config)
f3_match "from the file" "$text" "cache = $F3_CACHE +# file $F3_CONF:3"
f3_match "from the environment" "$text" 'cache-low = 5M +# environment F3_F3_CACHE_LOW'
f3_match "from the command line" "$text" "log = $log +# command line"
f3_match "default" "$text" 'retry-max = 1m +# default'
f3_match "volume" "$text" '\[volume extra\]'
f3_eq "as JSON" "$(ctl --json config | jq -c '.f3["cache-low"]')" \
	'{"value":"5M","source":"environment F3_F3_CACHE_LOW"}'
f3_eq "the virtual file" "$(cat "$F3_MNT/.config")" "$text"

f3_eq "level" "$(ctl log-level)" info
f3_ok ctl log-level debug
f3_eq "level now" "$(ctl --json log-level | jq -r .level)" debug
f3_eq "in the status" "$(ctl --json status | jq -r .log_level)" debug
grep -q 'log level: debug, was info' "$log" || f3_bad "the log does not say so: $(cat "$log")"
f3_no 2 'no level' ctl log-level loud
f3_no 2 'one level' ctl log-level info debug

# Rotated: what comes later is in the new files.
echo one >"$F3_MNT/data/one"
logged() { grep -q "create ([0-9]*,$1): OK <[0-9.]*> act=-\$" "$access"; }
f3_until 60 logged one || f3_bad "not in the access log: $(cat "$access")"
f3_match "a line" "$(grep create "$access")" \
	"^[0-9]{4}\.[0-9]{2}\.[0-9]{2} [0-9:]{8}\.[0-9]{6} \[uid:0,gid:0,pid:[0-9]+\] create \([0-9]+,one\): OK"
mv "$log" "$log.1"
mv "$access" "$access.1"
kill -HUP "$F3_SUPERVISOR"
reopened() { grep -q 'logs opened again' "$log"; }
f3_until 60 reopened || f3_bad "the log was not opened again"
echo two >"$F3_MNT/data/"$'tw\no'
f3_until 60 logged 'tw\\no' || f3_bad "not in the new access log"
f3_stop
f3_match "stopped" "$(tail -n 1 "$log")" stopped

# Into the log itself.
f3_start -o access-log=yes
echo three >"$F3_MNT/data/three"
f3_until 60 grep -q 'info .* access: \[uid:0.*create ([0-9]*,three): OK' "$F3_LOG" ||
	f3_bad "not in the log"
# Reading the stream of operations is none itself.
timeout 60 head -n 1 "$F3_MNT/.accesslog" >line &
pid=$!
until [ -s line ] || ! kill -0 $pid 2>/dev/null; do stat "$F3_MNT/data/$RANDOM" >/dev/null 2>&1; done
wait $pid
f3_match "virtual file" "$(cat line)" '^[0-9.]+ [0-9:.]+ \[uid:0,gid:0,pid:[0-9]+\] [a-z]+ \([0-9]+'
