#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Programs that are ended while they wait for the store: a read that the store does not answer ends with
# its program, at once, and takes nobody's bytes with it; a close goes on to its end; and a daemon that is
# stopped meanwhile sends it when it is started again.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3 jq
f3_s3_start versitygw
f3_s3_proxy
f3_set retry-min=20ms
S3_PREFIX=p f3_s3_volume v default-class=durable
v=$F3_MNT/v
head -c 3000000 /dev/urandom >small
head -c 80000000 /dev/urandom >big
f3_s3 put p/small small >/dev/null || f3_fail "put"
f3_s3 put p/big big >/dev/null || f3_fail "put"
f3_start
# ended SIGNAL COMMAND...: it waits for a held GET, and ends by the signal while that is held.
ended()
{
	local signal=$1 rule program
	shift
	rule=$(f3_proxy add '{"method": "GET", "path": "/p/(small|big)", "hold": true, "times": 0}')
	"$@" >/dev/null 2>&1 &
	program=$!
	f3_proxy wait "$rule" >/dev/null
	kill -"$signal" "$program"
	f3_until 60 f3_gone "$program" || f3_bad "$*: is not ended by $signal while the store says nothing"
	wait "$program"
	f3_proxy remove "$rule"
	f3_proxy release
}
for signal in TERM KILL; do
	ended $signal cat "$v/small"
	ended $signal dd if="$v/big" of=/dev/null bs=1M skip=70
done
f3_ok cmp small "$v/small"
f3_ok cmp big "$v/big"

# One of two who wait for the same bytes is ended; the other has them.
f3_closed
f3_ok ctl evict "$v/big" >/dev/null
rule=$(f3_proxy add '{"method": "GET", "path": "/p/big", "hold": true, "times": 0}')
cat "$v/big" >whole &
stays=$!
f3_proxy wait "$rule" >/dev/null
dd if="$v/big" of=/dev/null bs=1M 2>/dev/null &
goes=$!
f3_until 60 eval '[ "$(ctl --json status | jq .opens.now)" -ge 1 ]'
kill -KILL $goes
wait $goes
f3_proxy remove "$rule"
f3_proxy release
wait $stays || f3_bad "the other reader"
f3_ok cmp big whole

# A close that waits for its PUT goes on to the end, whatever comes.
rule=$(f3_proxy add '{"method": "PUT", "path": "/p/closing", "hold": true}')
cp small "$v/closing" &
program=$!
f3_proxy wait "$rule" >/dev/null
kill -TERM $program
f3_proxy release
wait $program
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_ok cmp small <(f3_s3 get p/closing)

# Stopped while a close is held.
rule=$(f3_proxy add '{"method": "PUT", "path": "/p/stopped", "hold": true, "times": 0}')
cp small "$v/stopped" 2>/dev/null &
writer=$!
f3_proxy wait "$rule" >/dev/null
f3_stop
wait $writer
f3_proxy clear
f3_proxy release
f3_start
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_ok cmp small "$v/stopped"
f3_ok cmp small <(f3_s3 get p/stopped)
f3_closed
f3_stop
f3_fsck || f3_bad "fsck"
