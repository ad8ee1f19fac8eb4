#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The process that binds views: killed it is replaced, stuck it holds up nobody, and what was given up
# does not come true later. And the kill of the daemon at each step of a bind.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data - namespace=guest
f3_start
export F3_HINT_SOCKET=$F3_RUN/hint.sock
mkdir "$F3_MNT/data/a"
echo content >"$F3_MNT/data/a/f"

bind() # NAME
{
	f3hint -t 60 send "{\"op\":\"bind\",\"view\":\"$1\",\"namespace\":\"guest\",\"volume\":\"data\",\"path\":\"/a\",\"mode\":\"rw\"}"
}
binder()
{
	local pid
	for pid in $(cat "/proc/$F3_PID/task/"*/children); do
		[ "$(cat "/proc/$pid/comm")" != f3-binder ] || echo "$pid"
	done
}
pid() { ctl --json status 2>/dev/null | jq .pid; }
another() { local now; now=$(pid) && [ -n "$now" ] && [ "$now" != "$F3_PID" ] && F3_PID=$now; }

f3_eq "bound" "$(bind one | jq .new)" true
was=$(binder)
f3_match "one process" "$was" '^[0-9]+$'
f3_eq "what it has open" "$(find "/proc/$was/fd" -mindepth 1 | wc -l)" 1
f3_eq "where it is" "$(readlink "/proc/$was/cwd")" /
no_children() { [ -z "$(cat "/proc/$(binder)/task/"*/children)" ]; }
f3_until 60 no_children || f3_bad "its processes stay"
kill -KILL "$was"
f3_until 60 f3_gone "$was"
f3_eq "bound by another" "$(bind two | jq .new)" true
[ "$(binder)" != "$was" ] || f3_bad "the same process"
grep -q 'process that binds views is gone' "$F3_LOG" || f3_bad "nothing was said"

# Stopped: who asks is told after a while, everybody else is served, and nothing comes of it.
kill -STOP "$(binder)"
bind late >late.out 2>&1 &
asked=$!
f3_eq "others are answered" "$(f3hint status | jq .ok)" true
f3_eq "and programs" "$(cat "$F3_RUN/views/one/f")" content
wait "$asked"
f3_match "told" "$(cat late.out)" 'ETIMEDOUT.*longer than 10 s'
kill -CONT "$(binder)"
f3_until 60 no_children || f3_bad "its processes stay"
f3_eq "the next one is bound" "$(bind three | jq .new)" true
f3_until 60 no_children || f3_bad "its processes stay"
f3_mounted "$F3_RUN/views/late" && f3_bad "what was given up was bound later"
[ ! -e "$F3_RUN/views/late" ] || f3_bad "the directory is left"
f3_eq "views" "$(ctl --json view list | jq -r '.views[].view' | tr '\n' ' ')" "one two three "

# The daemon dies while the binder is at it: bound or not, the mounts, records and the list are one.
for round in 1 2 3 4 5; do
	asking=()
	for i in {1..8}; do
		bind "r$round-$i" >/dev/null 2>&1 &
		asking+=($!)
	done
	[ "$round" = 1 ] || f3_until 60 test -e "$F3_RUN/views/r$round-$round"
	kill -KILL "$F3_PID"
	f3_until 60 another || f3_fail "it was not started again"
	wait "${asking[@]}"
	for i in {1..8}; do
		f3_eq "asked again" "$(bind "r$round-$i" | jq .ok)" true
		f3_eq "shown" "$(cat "$F3_RUN/views/r$round-$i/f")" content
	done
done
f3_eq "all" "$(ctl --json view list | jq '[.views[] | select(.state == "bound")] | length')" 43
f3_eq "records" "$(find "$F3_CACHE/views" -type f | wc -l)" 43
f3_eq "mounts" "$(grep -c "$F3_RUN/views/" /proc/self/mountinfo)" 43
f3_ok ctl view unbind one two three
f3_stop
f3_eq "mounts" "$(grep -c "$F3_RUN/views/" /proc/self/mountinfo)" 0
