#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl reload: what can change does, the rest is listed with when it counts, and both are kept over the
# death of the daemon; what an upgrade takes, and what it leaves to a start.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data - quota=100M
F3_F3_RETRY_MIN=100ms f3_start
d=$F3_MNT/data
f3_eq "nothing" "$(ctl reload)" "nothing has changed"
head -c 3M /dev/zero >"$d/three"

f3_set entry-timeout=5s cache-size=512M log-level=debug threads=3 retry-min=10ms failure-wait=5s
sed -i 's/^quota = .*/quota = 4M/' "$F3_CONF"
f3_volume more -
changes=$(ctl --json reload | jq -r '.changes[] | "\(.section) \(.name) \(.key) \(.was) \(.now) \(.counts)"')
for one in 'f3 null entry-timeout 1h 5s now' 'f3 null cache-size 1G 512M now' \
	'f3 null log-level info debug now' 'f3 null threads 8 3 upgrade' \
	'f3 null failure-wait 60s 5s start' 'volume data quota 100M 4M now' \
	'volume more null null more upgrade'; do
	grep -qxF "$one" <<<"$changes" || f3_bad "not listed: $one"
done
f3_eq "so many" "$(wc -l <<<"$changes")" 7	# the environment has retry-min

# In force, and shown so.
f3_eq "cache-size" "$(ctl --json status | jq .cache.limit_bytes)" $((512 << 20))
f3_eq "level" "$(ctl log-level)" debug
f3_eq "quota" "$(ctl --json status | jq '.volumes[0].quota_bytes')" $((4 << 20))
f3_match "a full volume" "$(head -c 3M /dev/zero 2>&1 >"$d/more")" 'quota|exceeded'
rm -f "$d/more"
text=$(ctl config)
f3_match "config" "$text" 'entry-timeout = 5s +# file'
f3_match "config" "$text" 'threads = 8 '
f3_eq "threads" "$(ctl --json status | jq .threads)" 8
f3_match "for people" "$(ctl reload)" 'threads +8 +3 +after f3ctl upgrade'

# What has an error in it changes nothing.
cp "$F3_CONF" good
f3_set entry-timeout=7s
echo nonsense >>"$F3_CONF"
f3_no 1 'f3.conf:[0-9]+: neither' ctl reload
f3_match "config" "$(ctl config)" 'entry-timeout = 5s +# file'

# Over a death: as it was read last, not as the file is now.
kill -KILL "$F3_PID"
back() { F3_PID=$(ctl --json status | jq .pid) && [ "$(ctl --json status | jq .restarts)" = 1 ]; }
f3_until 60 back || f3_fail "it was not started again"
text=$(ctl config)
f3_match "config" "$text" 'entry-timeout = 5s +# file'
f3_match "config" "$text" 'threads = 3 '
f3_match "of the mount" "$text" 'failure-wait = 60s +# the running mount'
f3_match "of the environment" "$text" 'retry-min = 100ms +# environment'
f3_eq "volumes" "$(ctl --json status | jq -c '[.volumes[].name]')" '["data","more"]'

cp good "$F3_CONF"
f3_set threads=4 "run-dir=$F3_TEST_TMP/elsewhere"
f3_ok ctl upgrade >/dev/null
F3_PID=$(ctl --json status | jq .pid)
f3_eq "threads" "$(ctl --json status | jq .threads)" 4
f3_match "of the mount" "$(ctl config)" "run-dir = $F3_RUN +# the running mount"
f3_match "said" "$(cat "$F3_LOG")" 'run-dir stays .* until f3d is stopped and started'
f3_eq "all is there" "$(stat -c %s "$d/three")" $((3 << 20))
