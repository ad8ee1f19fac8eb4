# SPDX-License-Identifier: Apache-2.0
# Containers, as far as the daemon sees them: control groups. Sourced after lib.sh.

# act_hierarchies: mount points of hierarchies in which groups can be made, the unified one last.
act_hierarchies()
{
	awk '$3 == "cgroup" && $4 ~ /(^|,)(pids|memory)(,|$)/ { print $2 } $3 == "cgroup2" { u = $2 } END { if (u) print u }' /proc/mounts
}

# act_group HIERARCHY NAME: makes one; prints it. It goes at the end of the test.
act_group()
{
	local dir=$1/f3-test-$$/$2

	mkdir -p "$dir" || return
	echo "$dir" >>"$F3_TEST_TMP/groups"
	echo "$dir"
}

# act_in GROUP COMMAND...: runs it in that group.
act_in()
{
	local group=$1
	shift
	sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
}

# act_holder GROUP: a process that stays there, ended by act_cleanup; sets act_pid.
act_holder()
{
	sh -c 'echo $$ >"$0/cgroup.procs" && exec sleep 3600' "$1" </dev/null >/dev/null 2>&1 &
	act_pid=$!
	echo "$act_pid" >>"$F3_TEST_TMP/holders"
	f3_until 10 grep -q "f3-test-$$" "/proc/$act_pid/cgroup"
}

act_cleanup()
{
	local dir pid

	while read -r pid; do
		kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	done 2>/dev/null <"$F3_TEST_TMP/holders"
	tac "$F3_TEST_TMP/groups" 2>/dev/null | while read -r dir; do
		f3_until 10 rmdir "$dir" || f3_bad "$dir stays: $(cat "$dir/cgroup.procs")"
	done
	for dir in $(act_hierarchies); do
		[ ! -d "$dir/f3-test-$$" ] || rmdir "$dir/f3-test-$$"
	done
	rm -f "$F3_TEST_TMP/groups" "$F3_TEST_TMP/holders"
}
f3_at_exit+=(act_cleanup)

# hint JSON: one line to the hint socket; prints the answer. Status 1 if it says no.
hint()
{
	f3hint -s "$F3_RUN/hint.sock" send "$1"
}

# act_begin ID PID VOLUME [MEMBERS]: begins /guest/blur in the container of that process.
act_begin()
{
	hint "$(jq -nc --arg id "$1" --argjson pid "$2" --arg volume "$3" --argjson more "{${4:-}}" \
		'{op: "begin", activation: $id, namespace: "guest", action: "/guest/blur", version: "0.0.1",
		  container: {pid: $pid}, volume: $volume} + $more')"
}

# act_end ID [true|false]
act_end()
{
	hint "$(jq -nc --arg id "$1" --argjson ok "${2:-true}" '{op: "end", activation: $id, ok: $ok}')"
}
