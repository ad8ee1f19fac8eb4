#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Bytes that are damaged on their way are noticed where the store knows their sum, and asked for again;
# always damaged they are an I/O error that names the object. With hedge-after a read whose answer does
# not come is asked for a second time, and only then.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq curl
export AWS_EC2_METADATA_DISABLED=true
f3_s3_start versitygw
f3_s3_proxy
f3_set retry-min=20ms retry-max=1s
S3_PREFIX=d f3_s3_volume d default-class=durable attr-ttl=50ms
S3_PREFIX=h f3_s3_volume h default-class=durable attr-ttl=50ms hedge-after=2s
port=$((20000 + $$ % 12000))
printf '\n[metrics]\nlisten = 127.0.0.1:%s\n' $port >>"$F3_CONF"
f3_start
d=$F3_MNT/d h=$F3_MNT/h

# metric NAME: its value, summed over labels that are not said
metric()
{
	curl -s "http://127.0.0.1:$port/metrics" | awk -v name="$1" 'index($1, name) == 1 { n += $2 } END { print n + 0 }'
}

# again FILE: nothing of it is here any more
again()
{
	f3_closed 0
	f3_ok ctl evict "$1" >/dev/null
}

# ---- Sums ----
head -c 100000 /dev/urandom >"$d/file"
sum=$(sha256sum <"$d/file")
again "$d/file"
f3_proxy add '{"method": "GET", "path": "/d/file", "corrupt": 12345}' >/dev/null
f3_eq "damaged once" "$(sha256sum <"$d/file")" "$sum"
f3_eq "seen" "$(metric f3_object_damaged_total)" 1
again "$d/file"
rule=$(f3_proxy add '{"method": "GET", "path": "/d/file", "corrupt": 99999, "times": 0}')
cat "$d/file" >/dev/null 2>err && f3_bad "damaged bytes were read"
grep -q 'Input/output error' err || f3_bad "damaged: $(cat err)"
f3_proxy remove "$rule"
f3_until 20 cat "$d/file" >/dev/null || f3_bad "it does not heal"
f3_eq "afterwards" "$(sha256sum <"$d/file")" "$sum"
grep -q 'file: damaged' "$F3_LOG" || f3_bad "nothing is said of it"

# ---- Twice ----
for i in 1 2; do head -c 120000 /dev/urandom >"$h/file$i"; done
sums=$(cat "$h"/file? | sha256sum)
again "$h/file1"
again "$h/file2"
rule=$(f3_proxy add '{"method": "GET", "path": "/h/file1", "hold_answer": true}')
f3_eq "while the first answer is held" "$(timeout 60 cat "$h"/file? | sha256sum)" "$sums"
f3_eq "by the second" "$(metric 'f3_object_hedges_total{result="won"}')" 1
f3_proxy release
f3_proxy remove "$rule"
f3_eq "requests" "$(f3_proxy_log 'map(select(.method == "GET" and (.path | test("/h/file[12]$")))) | length')" 3
# A file of the other volume is waited for.
again "$d/file"
rule=$(f3_proxy add '{"method": "GET", "path": "/d/file", "hold_answer": true}')
sha256sum <"$d/file" >said &
f3_proxy wait "$rule" >/dev/null
f3_proxy release
wait $! || f3_bad "the read that waited"
f3_eq "what waited" "$(cat said)" "$sum"
f3_eq "no more of them" "$(metric f3_object_hedges_total)" 1
f3_ok ctl fsck >/dev/null
