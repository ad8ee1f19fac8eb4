#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Inputs of an activation that are not there yet: its processes wait until they have been made, by
# whatever call, and written to; nobody else waits, and nothing but what was declared is waited for.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/activation.sh
. "$F3_SRCDIR/tests/functional/activation.sh"
f3_requires root fuse jq
f3_volume w "file://$F3_STORE/w" default-class=ephemeral
f3_rules w '*.stream = ephemeral stream' '/durable/** = durable'
f3_start
w=$F3_MNT/w
mkdir "$w/there" "$w/durable"
h=$(act_hierarchies | tail -n 1)
[ -n "$h" ] || f3_skip "no hierarchy of control groups"
a=$(act_group "$h" a) && b=$(act_group "$h" b) || f3_skip "no group can be made in $h"
act_holder "$a"
in_a=$act_pid
act_holder "$b"
in_b=$act_pid

# begin ID PID MS PATH...: with these inputs
begin()
{
	local id=$1 pid=$2 ms=$3
	shift 3
	hint "$(jq -nc --arg id "$id" --argjson pid "$pid" --argjson ms "$ms" \
		'{op: "begin", activation: $id, namespace: "guest", action: "/guest/blur", version: "0.0.1", volume: "w",
		  container: {pid: $pid}, inputs: [$ARGS.positional[] | {path: ., wait: $ms}]}' --args "$@")" >begun ||
		f3_fail "begin $id: $(cat begun)"
}
ends() { f3_ok hint "{\"op\": \"end\", \"activation\": \"$1\", \"ok\": true}"; }
hint() { f3hint -s "$F3_RUN/hint.sock" send "$1"; }

# waits COMMAND...: in the background, in the container; its output in out.N
n=0
declare -A pids
waits()
{
	n=$((n + 1))
	act_in "$a" "$@" >out.$n 2>&1 &
	pids[$n]=$!
}
parked() { f3_becomes 30 "requests that wait" "$1" eval "sed -n 's/^f3_fuse_parked_reads //p' '$F3_MNT/.stats'"; }
# got N STATUS TEXT
got()
{
	wait "${pids[$1]}"
	f3_eq "$1: status" $? "$2"
	[[ $(cat out.$1) == *"$3"* ]] || f3_bad "$1: got '$(cat out.$1)', wanted '$3'"
}

# The kernel knows that it is missing; then it is expected.
f3_no 1 'No such file' cat "$w/late"
f3_no 1 'No such file' act_in "$a" cat "$w/late"
begin one "$in_a" 120000 /late /there/renamed /there/linked /x.stream /durable/kept /deep/in/a/tree /statted /copied /given-up
waits cat "$w/late"
waits cat "$w/there/renamed"
waits cat "$w/there/linked"
waits cat "$w/x.stream"
waits cat "$w/durable/kept"
waits cat "$w/deep/in/a/tree"
waits stat -c %s "$w/statted"
waits cp "$w/copied" copy
parked 8
# Nobody else waits, nor for anything else.
f3_no 1 'No such file' cat "$w/late"
f3_no 1 'No such file' act_in "$a" cat "$w/other"
f3_no 1 'No such file' act_in "$b" cat "$w/late"
f3_no 124 '' act_in "$a" timeout 0.3 cat "$w/given-up"
parked 8
echo late >"$w/late"
got 1 0 late
echo renamed >"$w/there/tmp"
mv "$w/there/tmp" "$w/there/renamed"
got 2 0 renamed
echo linked >"$w/there/src"
ln "$w/there/src" "$w/there/linked"
got 3 0 linked
exec {stream}>"$w/x.stream"
parked 5
echo one >&"$stream"
f3_becomes 60 "the first line" one cat out.4
echo two >&"$stream"
exec {stream}>&-
got 4 0 $'one\ntwo'
echo kept >"$w/durable/kept"
got 5 0 kept
mkdir "$w/deep"
mkdir -p "$w/deep/in/a"
echo tree >"$w/deep/in/a/tree"
got 6 0 tree
printf 12345 >"$w/statted"
got 7 0 5
echo copied >"$w/copied"
got 8 0 ""
f3_eq "cp" "$(cat copy)" copied
parked 0
f3_eq "now that it is there" "$(act_in "$a" cat "$w/late")" late

# Many at a time, and the mount is served; its end is theirs.
for _ in {1..40}; do waits cat "$w/given-up"; done
parked 40
echo x >"$w/meanwhile"
ends one
for i in {9..48}; do got "$i" 1 "No such file"; done
f3_no 1 'No such file' act_in "$a" cat "$w/given-up"

# A deadline, and one who did not ask for it.
begin two "$in_a" 500 /never
f3_no 1 'No such file' act_in "$a" cat "$w/never"
f3_no 1 'No such file' act_in "$a" stat "$w/never"
ends two
begin three "$in_b" 0 /never
f3_no 1 'No such file' act_in "$b" cat "$w/never"
ends three

# Over the daemon's death.
begin four "$in_a" 120000 /over /new/over
waits cat "$w/over"
waits cat "$w/new/over"
parked 2
was=$F3_PID
kill -KILL "$was"
f3_until 60 eval 'F3_PID=$(ctl --json status 2>/dev/null | jq .pid) && [ -n "$F3_PID" ] && [ "$F3_PID" != '"$was"' ]' ||
	f3_fail "it was not started again"
parked 2
echo over >"$w/over"
got 49 0 over
mkdir "$w/new"
echo over >"$w/new/over"
got 50 0 over
ends four
f3_closed
f3_stop
f3_fsck || f3_bad "fsck"
