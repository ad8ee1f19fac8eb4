#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=400
# The threads that read requests: one busy program gets one on its own CPU, and nothing that this
# brings about stops anybody: other programs, a CPU that others need, a handler that hangs.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq python3 taskset
f3_volume data -
f3_start
d=$F3_MNT/data

# Times that a thread of this daemon went to a program's CPU.
sprints()
{
	awk '$1 == "f3_fuse_sprints_total" { print $2 }' "$F3_MNT/.stats"
}

# Makes and removes COUNT files in DIR on CPU (-: any), in one thread; COUNT 0: until the mount goes.
work()
{
	python3 - "$@" <<'P'
import os, sys
directory, count, cpu = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if cpu != '-':
    os.sched_setaffinity(0, [int(cpu)])
os.makedirs(directory, exist_ok=True)
n = 0
try:
    while not count or n < count:
        path = f'{directory}/f{n}'
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.unlink(path)
        n += 1
except OSError:
    sys.exit(count != 0)
P
}

# Are all threads of the daemon as it was started: on its CPUs (those of rings each on its own), of
# normal class?
at_rest()
{
	python3 - "$F3_PID" <<'P'
import os, sys
pid = int(sys.argv[1])
cpus = os.sched_getaffinity(pid)
for tid in map(int, os.listdir(f'/proc/{pid}/task')):
    ring = open(f'/proc/{pid}/task/{tid}/comm').read().startswith('fuse-ring-')
    away = os.sched_getaffinity(tid) != cpus and not ring
    if away or os.sched_getscheduler(tid) != os.SCHED_OTHER:
        sys.exit(f'thread {tid} is not at rest')
P
}

some_sprint()
{
	work "$d/one" 300 -
	[ "$(sprints)" -gt "$before" ]
}

mapfile -t cpus < <(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)), sep="\n")')
first=${cpus[0]}
last=${cpus[-1]}

before=$(sprints)
if ! f3_until 20 some_sprint; then
	# On a machine where no CPU is idle nobody sprints.
	busy=0
	for _ in {1..50}; do
		read -r _ _ _ runnable _ </proc/loadavg
		[ "${runnable%/*}" -gt ${#cpus[@]} ] && busy=$((busy + 1))
		read -rt 0.02 <> <(:)
	done
	if [ $busy -gt 25 ]; then
		echo "not judged, no CPU is idle here: does a reader come to a busy program"
	else
		f3_bad "one busy program, and no reader came to it"
	fi
fi
f3_eq "reason" "$(ctl --json status | jq -r .sprint_reason)" null
f3_until 60 at_rest || f3_bad "nobody asks, and still: $(at_rest 2>&1)"
f3_eq "sprinting" "$(ctl --json status | jq .sprinting)" 0

# Several at once, on all CPUs; then each is done and the daemon at rest.
workers=()
for i in {1..6}; do
	work "$d/many$i" 400 "${cpus[$((i % ${#cpus[@]}))]}" &
	workers+=($!)
done
for p in "${workers[@]}"; do wait "$p" || f3_bad "one of many programs failed"; done
f3_until 60 at_rest || f3_bad "after many programs: $(at_rest 2>&1)"

# CPU hogs on the client's CPU: whoever is idle-class there gets nothing. The work goes on.
hogged()
{
	local hogs=()
	for _ in 1 2; do
		python3 -c 'import os, sys
os.sched_setaffinity(0, [int(sys.argv[1])])
while os.getppid() == int(sys.argv[2]): pass' "$first" $$ &
		hogs+=($!)
	done
	work "$d/hogged" 1000 "$first" || f3_bad "with hogs on its CPU a program failed"
	kill "${hogs[@]}"
	wait "${hogs[@]}" 2>/dev/null
	f3_until 60 at_rest || f3_bad "after hogs: $(at_rest 2>&1)"
}
hogged

# The daemon is confined to one CPU, the client works on another: nobody leaves the confinement.
taskset -a -p -c "$last" "$F3_PID" >/dev/null
work "$d/confined" 300 "$first" || f3_bad "the program of another CPU failed"
f3_until 60 at_rest || f3_bad "confined: $(at_rest 2>&1)"
f3_eq "CPUs of the daemon" "$(python3 -c 'import os, sys
print(*os.sched_getaffinity(int(sys.argv[1])))' "$F3_PID")" "$last"

# It stops under a busy program.
work "$d/to_the_end" 0 - &
worker=$!
f3_until 60 test -d "$d/to_the_end"
f3_stop
wait "$worker" || f3_bad "the program that worked until the end failed"

# Switched off nobody goes anywhere.
f3_set reader-affinity=off
f3_start
work "$d/off" 500 -
f3_eq "sprints" "$(sprints)" 0
f3_match "why" "$(ctl --json status | jq -r .sprint_reason)" configuration
f3_stop
f3_set reader-affinity=auto

# The threads of rings have their CPU anyway, and change their class only.
read -r uring 2>/dev/null </sys/module/fuse/parameters/enable_uring
if [ "${uring:-N}" = Y ] && [[ ${F3_SANITIZE:-} != *thread* ]]; then
	f3_set transport=io_uring
	f3_start
	work "$d/ring" 2000 - || f3_bad "the program failed"
	# A thread of a work queue that a ring starts is not pinned with it.
	echo content >"$d/synced"
	f3_ok taskset -c "$first" sync "$d/synced"
	f3_until 60 at_rest || f3_bad "rings: $(at_rest 2>&1)"
	hogged
	work "$d/rings_to_the_end" 0 - &
	worker=$!
	f3_until 60 test -d "$d/rings_to_the_end"
	f3_stop
	wait "$worker" || f3_bad "the program that worked until the end failed"
	f3_set transport=classic
else
	echo "not tried, fuse.enable_uring is off or ThreadSanitizer in the way: the transport io_uring"
fi

# A handler that hangs, most likely that of the sprinting thread: others are answered.
if F3_DEBUG_POINTS="none=exit" f3d --version >/dev/null 2>&1; then
	F3_DEBUG_POINTS="create.taken=stop:$F3_TEST_TMP/stopped@400" f3_start
	mkdir "$d/other"
	echo content >"$d/other/file"
	work "$d/hangs" 0 - &
	worker=$!
	f3_until 120 test -s "$F3_TEST_TMP/stopped" || f3_bad "the handler was never reached"
	for i in {1..50}; do
		timeout 100 stat "$d/other/missing$i" >/dev/null 2>&1
		[ $? -eq 1 ] || f3_fail "request $i after the one that hangs is not answered"
	done
	f3_eq "content" "$(timeout 100 cat "$d/other/file")" content
	f3_kill
	wait "$worker" || f3_bad "the program whose request hung failed"
else
	echo "not tried, needs a build with --enable-debug: a handler that hangs"
fi
