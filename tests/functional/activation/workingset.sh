#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Working sets on S3: what the run of an action read that was not here comes ahead of the next run, also
# of another input, and nothing else does.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
. "$F3_SRCDIR/tests/functional/activation.sh"
f3_requires root fuse python3 jq
f3_s3_start versitygw
f3_s3_proxy
f3_set memory-limit=512M # with less there are few connections
# Names that were seen stay good however slow the machine is.
S3_PREFIX=p f3_s3_volume v default-class=durable attr-ttl=1h
S3_PREFIX=q f3_s3_volume other default-class=durable attr-ttl=1h
f3_start
v=$F3_MNT/v
g=$(act_hierarchies | head -1)
[ -n "$g" ] || f3_skip "no hierarchy of control groups"
g=$(act_group "$g" ws) || f3_skip "no control group can be made"
act_holder "$g"

export F3_RUN
f3_python <<'P'
from s3test import *

for key, size in (("p/model/big", 32 << 20), ("q/model/big", 32 << 20), ("p/model/index", 20000),
                  ("p/in/a", 8 << 20), ("p/in/b", 16 << 20), ("p/in/d/1", 300000), ("p/in/d/2", 300000),
                  ("p/in/e/1", 300000), ("p/in/e/2", 300000)):
    client.put(key, os.urandom(size))
for i in range(10, 70):
    client.put(f"p/many/{i}", bytes([i]) * 3000)
for i in range(10, 30):
    client.put(f"p/else/{i}", bytes([i]) * 3000)
P
[ -e "$v/model/index" ] || f3_fail "no objects"
find "$v" "$F3_MNT/other" >/dev/null

begin()	# ID VERSION INPUT... [VOLUME=NAME]
{
	local id=$1 version=$2 volume=v action=/guest/blur
	shift 2
	case ${1:-} in volume=*) volume=${1#*=}; shift ;; esac
	case ${1:-} in action=*) action=${1#*=}; shift ;; esac
	hint "$(jq -nc --arg id "$id" --arg v "$version" --argjson pid "$act_pid" --arg vol "$volume" --arg a "$action" '{op: "begin", activation: $id, namespace: "guest", action: $a, version: $v,
		container: {pid: $pid}, volume: $vol, inputs: [$ARGS.positional[] | {path: .}]}' --args -- "$@")" >/dev/null
}
end() { hint "$(jq -nc --arg id "$1" --argjson ok "${2:-true}" '{op: "end", activation: $id, ok: $ok}')" >/dev/null; }
from_here() { f3_proxy idle >/dev/null; mark=$(wc -l <"$F3_TEST_TMP/proxy.log"); }
cold() { f3_closed; f3_ok ctl evict -R "$v" >/dev/null; from_here; }
# How many requests for bytes of an object there were since.
got() { f3_proxy_log ".[$mark:] | map(select(.method == \"GET\" and (.path | test(\"/$1\\\\z\")))) | length"; }
metric() { grep -F "$1" "$F3_MNT/.stats" | cut -d' ' -f2; }
complete() { metric 'f3_working_set_replays_total{result="complete"}'; }
replayed() { f3_becomes 60 "replays" "$1" complete; f3_proxy idle >/dev/null; }
trace() { ctl --json trace show | jq -c "$1"; }
reads()	# INPUT: what the function does
{
	act_in "$g" sh -c 'cd "$0" && cat model/index && for at in 16 160 320; do dd if=model/big bs=64k skip=$at count=1 status=none; done
		dd if="$1" bs=64k skip=32 count=1 status=none; tail -c 70000 "$1"' "$v" "$1" | sha256sum
}

# ---- It is written down, and comes back.

cold
f3_ok begin a1 1 /in/a
first=$(reads in/a)
f3_eq "nothing is kept before its end" "$(trace '.sets | length')" 0
f3_ok end a1
f3_eq "a set" "$(trace '.sets | map([.namespace, .action, .version, .files, .recording])')" '[["guest","/guest/blur","1",3,true]]'
f3_eq "its files" "$(ctl --json trace show /guest/blur | jq -c 'select(.item) | .item | [.input, .path, .whole]' | tr '\n' ' ')" \
	'[null,"/model/index",true] [null,"/model/big",false] [0,"",false] '
f3_eq "its ranges" "$(ctl --json trace show /guest/blur | jq -c 'select(.item.path == "/model/big") | .item.ranges | map(.[0] / 65536 | floor)')" '[16,160,320]'
f3_match "for people" "$(ctl trace show /guest/blur)" '\{0\} +2097152 '

cold
f3_ok begin a2 1 /in/a
replayed 1
n=$(got model/big)
[ "$n" -ge 3 ] || f3_bad "$n requests for model/big before it is read"
[ "$(got model/index)" -ge 1 ] || f3_bad "no request for model/index"
before="$(got 'model/(big|index)') $(got in/a)"
f3_eq "the same bytes" "$(reads in/a)" "$first"
f3_eq "nothing is asked for again" "$(got 'model/(big|index)') $(got in/a)" "$before"
f3_ok end a2
used=$(metric 'f3_working_set_bytes_total{event="used"}')
[ "$used" -gt 250000 ] || f3_bad "$used bytes used"

# Another input: the same parts of it, the last from its end.
cold
f3_ok begin a3 1 /in/b
replayed 2
f3_eq "not of the first input" "$(got in/a)" 0
n=$(got in/b)
[ "$n" -ge 2 ] || f3_bad "$n requests for in/b"
reads in/b >/dev/null
f3_eq "of the second it is all" "$(got in/b)" "$n"
f3_ok end a3

# Directories and patterns as inputs.
cold
f3_ok begin d1 1 action=/guest/dir /in/d '/in/d/[12]'
act_in "$g" cat "$v/in/d/1" "$v/in/d/2" >/dev/null
f3_ok end d1
cold
f3_ok begin d2 1 action=/guest/dir /in/e
replayed 3
f3_match "all of the directory" "$(got in/e/1) $(got in/e/2) $(got in/d/1)" '^[1-9][0-9]* [1-9][0-9]* 0$'
f3_ok end d2

# ---- What is none of it.

cold
f3_ok begin v1 2 /in/a
f3_eq "another version" "$(metric 'f3_working_set_replays_total{result="complete"}') $(got model/big)" "3 0"
reads in/a >/dev/null
f3_ok end v1 false
f3_eq "a run that failed leaves nothing" "$(trace '.sets | length')" 2
from_here
f3_ok begin w1 1 volume=other /in/a
replayed 4
f3_eq "another volume's files" "$(got 'p/model/big') $(got 'p/in/a')" "0 0"
n=$(got 'q/model/big')
[ "$n" -ge 1 ] || f3_bad "$n requests for those of its own"
f3_ok end w1 false

cold
f3_ok begin h1 1 /in/../model/index
replayed 5
f3_eq "an input that leads elsewhere" "$(got in/a) $(got model/../model/index)" "0 0"
f3_ok end h1 false
cold
mv "$v/model" "$v/model.real"
ln -s model.real "$v/model"
f3_ok begin h2 1 /in/a
replayed 6
f3_eq "nothing behind a link" "$(got 'model(.real)?/(big|index)')" 0
f3_ok end h2 false
rm "$v/model"
mv "$v/model.real" "$v/model"

# ---- Another way: no more is asked for.

cold
f3_ok begin m1 1 action=/guest/many
act_in "$g" sh -c 'cat "$0"/many/*' "$v" >/dev/null
f3_ok end m1
f3_eq "many" "$(trace '.sets | map(select(.action == "/guest/many") | .files)')" '[60]'
cold
rule=$(f3_proxy add '{"method": "GET", "path": "/p/many/", "hold": true, "times": 0}')
f3_ok begin m2 1 action=/guest/many
f3_proxy wait "$rule" 8 >/dev/null
act_in "$g" sh -c 'cat "$0"/else/*' "$v" >/dev/null
f3_eq "diverged" "$(metric 'f3_working_set_replays_total{result="diverged"}')" 1
f3_proxy remove "$rule" >/dev/null
f3_ok end m2
n=$(got 'many/[0-9]*')
[ "$n" -lt 60 ] || f3_bad "$n requests after it went another way"
f3_eq "the set has both" "$(trace '.sets | map(select(.action == "/guest/many") | .files)')" '[80]'

# ---- Ahead without an activation; by f3ctl; off; over a restart; bounds.

cold
f3_eq "prefetch" "$(hint '{"op":"prefetch","namespace":"guest","action":"/guest/blur","version":"1","volume":"v","inputs":[{"path":"/in/a"}]}' | jq -c '[.ok, .set]')" '[true,true]'
replayed 7
[ "$(got model/big)" -ge 3 ] && [ "$(got in/a)" -ge 2 ] || f3_bad "not all of it"
f3_eq "of none" "$(hint '{"op":"prefetch","namespace":"guest","action":"/guest/blur","version":"9","volume":"v"}' | jq -c '[.ok, .set]')" '[true,false]'
f3_eq "no view" "$(hint '{"op":"prefetch","namespace":"guest","action":"/guest/blur","view":"none"}' | jq -r .error)" ENOENT
f3_eq "plain" "$(hint '{"op":"prefetch","volume":"v","paths":["/in/d/1"]}' | jq -r .begun)" 1
f3_until 30 test "$(ctl --json info "$v/in/d/1" | jq -r .here_bytes)" = 300000
f3_ok ctl trace record /guest/blur off
f3_stop
f3_start
f3_eq "over a restart" "$(trace '.sets | map([.action, .version, .files, .recording]) | sort')" \
	'[["/guest/blur","1",3,false],["/guest/dir","1",2,true],["/guest/many","1",80,true]]'
find "$v" >/dev/null
cold
f3_match "by hand" "$(ctl trace replay -i /in/a /guest/blur "$v")" '^3 files looked at, [0-9.]+ [KM]iB fetched$'
n=$(got model/big)
[ "$n" -ge 3 ] || f3_bad "$n requests for model/big by f3ctl"
cold
f3_ok begin o1 1 /in/a
act_in "$g" cat "$v/in/d/1" >/dev/null
f3_ok end o1
f3_eq "off" "$(trace '.sets | map(select(.action == "/guest/blur") | .files)')" '[3]'
f3_no 1 "several|no working set" ctl trace show /guest/none
f3_set working-sets-kept=2
f3_ok ctl reload >/dev/null
cold
f3_ok begin k1 1 action=/guest/kept
act_in "$g" cat "$v/in/d/1" >/dev/null
f3_ok end k1
f3_eq "no more than are kept" "$(trace '.sets | length')" 2
f3_ok ctl trace forget /guest/kept
f3_eq "forgotten" "$(trace '.sets | length')" 1
