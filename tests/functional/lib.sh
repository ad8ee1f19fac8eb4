# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What functional tests on a real mount share. A test begins with
#
#	. "$F3_SRCDIR/tests/functional/lib.sh"
#	f3_requires root fuse jq
#	f3_volume data "file://$F3_STORE/data" default-class=writeback
#	f3_start
#
# and works below $F3_MNT/data. Everything lies in $F3_TEST_TMP: config file F3_CONF, mountpoint
# F3_MNT, cache directory F3_CACHE, run directory F3_RUN, directory for file:// volumes F3_STORE,
# the daemon's log F3_LOG. F3_PID serves the mount, F3_SUPERVISOR keeps it. What is still there at the end of the test is
# stopped and unmounted, and a daemon that does not stop cleanly (a sanitizer's finding, say)
# fails the test. Nothing here waits by sleeping: the daemon says when it serves (ready_run), and
# its end is waited for. A second daemon: F3_NAME=b f3_dirs, see there.

set -uo pipefail

F3_PID=
F3_CHILD=
f3_failures=0
f3_at_exit=()	# functions that clear away what other files of functions started

# ---- Saying how it went ----------------------------------------------------------------------

f3_skip()
{
	echo "$*"
	exit 77
}

# Ends the test. f3_bad notes a failure and goes on; the exit code is 1 in the end.
f3_fail()
{
	printf 'FAILED: %s\n' "$*"
	f3_failures=$((f3_failures + 1))
	exit 1
}

f3_bad()
{
	printf 'FAILED: %s\n' "$*"
	f3_failures=$((f3_failures + 1))
}

# f3_eq WHAT GOT WANTED
f3_eq()
{
	[ "$2" = "$3" ] || f3_bad "$1: got '$2', wanted '$3'"
}

# f3_match WHAT GOT EXTENDED-REGEX
f3_match()
{
	[[ $2 =~ $3 ]] || f3_bad "$1: got '$2', wanted something like '$3'"
}

# f3_ok COMMAND...: it succeeds. f3_no STATUS REGEX COMMAND...: it ends with STATUS and its output
# (both streams, kept in $f3_output) matches.
f3_ok()
{
	local rc
	"$@"
	rc=$?
	[ $rc -eq 0 ] || f3_bad "status $rc: $*"
	return $rc
}

f3_no()
{
	local status=$1 regex=$2 rc
	shift 2
	f3_output=$("$@" 2>&1)
	rc=$?
	[ $rc -eq "$status" ] || f3_bad "status $rc instead of $status: $*: $f3_output"
	[[ $f3_output =~ $regex ]] || f3_bad "$*: said '$f3_output', wanted '$regex'"
}

# f3_until SECONDS COMMAND...: until it succeeds. For what nobody announces; most waiting is done
# by f3ctl sync, inotifywait or a FIFO instead. Sanitizers make everything slow: five times longer.
f3_until()
{
	local slower=${F3_SANITIZE:+5}
	local deadline=$((SECONDS + $1 * ${slower:-1}))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || return 1
		read -rt 0.02 -u "$f3_pause"
	done
	return 0	# and not what the pause ended with
}

# f3_becomes SECONDS WHAT WANTED COMMAND...: until the command prints that.
f3_becomes()
{
	local seconds=$1 what=$2 wanted=$3
	shift 3
	f3_prints() { [ "$("$@" 2>/dev/null)" = "$wanted" ]; }
	f3_until "$seconds" f3_prints "$@" || f3_eq "$what" "$("$@" 2>&1)" "$wanted"
}

# ---- What a test needs -----------------------------------------------------------------------

# f3_requires WORD...: root, fuse, passthrough, tmpfs, loop, debug (a build with --enable-debug),
# ordered-uring (whoever looks at this build knows in which order requests come by FUSE over io_uring),
# or the name of a program. Skips with the reason where it is not there.
f3_requires()
{
	local word
	for word; do
		case $word in
		root) [ "$(id -u)" = 0 ] || f3_skip "needs root" ;;
		fuse) [ -r /dev/fuse ] || f3_skip "needs /dev/fuse" ;;
		passthrough)
			local major minor
			IFS=.- read -r major minor _ < <(uname -r)
			[ $((major * 100 + minor)) -ge 609 ] ||
				f3_skip "needs passthrough: Linux 6.9 or later"
			;;
		loop) [ -e /dev/loop-control ] || f3_skip "needs loop devices" ;;
		ordered-uring)
			[[ ${F3_SANITIZE:-} != *thread* ]] ||
				f3_skip "ThreadSanitizer does not see that the kernel orders the threads of rings"
			;;
		debug)
			F3_DEBUG_POINTS="none=exit" f3d --version >/dev/null 2>&1 ||
				f3_skip "needs a build with --enable-debug"
			;;
		*) command -v "$word" >/dev/null || f3_skip "needs $word" ;;
		esac
	done
}

# ---- Configuration ---------------------------------------------------------------------------

# The directories of a daemon called F3_NAME (default: none, directly below F3_TEST_TMP). Called
# once when this file is read; again for a test with two daemons.
f3_dirs()
{
	local top=${F3_TEST_TMP:?}${F3_NAME:+/$F3_NAME}
	F3_MNT=$top/mnt
	F3_CACHE=$top/cache
	F3_RUN=$top/run
	F3_STORE=$top/store
	F3_LOG=$top/f3d.log
	F3_CONF=$top/f3.conf
	mkdir -p "$F3_MNT" "$F3_STORE"
	cat >"$F3_CONF" <<END
[f3]
mountpoint = $F3_MNT
cache = $F3_CACHE
cache-size = ${F3_CACHE_SIZE:-1G}
memory-size = ${F3_MEMORY_SIZE:-64M}
memory-limit = ${F3_MEMORY_LIMIT:-128M}
run-dir = $F3_RUN
END
}

# f3_set KEY=VALUE...: options of [f3], in place of what they were.
f3_set()
{
	local option
	for option; do
		sed -i -e "1,/^$/{/^${option%%=*} = /d}" \
			-e "0,/^\[f3\]$/s||[f3]\n${option%%=*} = ${option#*=}|" "$F3_CONF"
	done
}

# f3_volume NAME URL|- [KEY=VALUE...]: a volume; - is one without an object tier.
f3_volume()
{
	local name=$1 url=$2 option
	shift 2
	{
		printf '\n[volume %s]\n' "$name"
		[ "$url" = - ] || printf 'url = %s\n' "$url"
		for option; do
			printf '%s = %s\n' "${option%%=*}" "${option#*=}"
		done
	} >>"$F3_CONF"
}

# f3_rules VOLUME 'PATTERN = CLASS'...
f3_rules()
{
	printf '\n[placement %s]\n' "$1" >>"$F3_CONF"
	shift
	printf '%s\n' "$@" >>"$F3_CONF"
}

# ---- The daemon ------------------------------------------------------------------------------

# f3_launch ARGUMENT...: starts f3d in the foreground with the configuration and these arguments.
# 0: it serves. Else its exit code (its log says why).
f3_launch()
{
	local said pipe=$F3_CONF.said
	mkfifo "$pipe" || f3_fail "no FIFO"
	# No process substitution: bash keeps their numbers, and in a long loop takes a process that
	# has the same number for one of them.
	ready_run f3d -f -c "$F3_CONF" "$@" >"$pipe" 2>>"$F3_LOG" &
	F3_CHILD=$!
	exec {f3_said}<"$pipe"
	rm "$pipe"
	read -r -u "$f3_said" said
	case $said in
	"ready "*)
		F3_SUPERVISOR=${said#ready }
		# Nothing if it has died since: 0 would be the test itself for kill.
		read -r F3_PID _ 2>/dev/null \
			<"/proc/$F3_SUPERVISOR/task/$F3_SUPERVISOR/children" || :
		;;
	*)
		f3_wait
		return
		;;
	esac
}

# The same, and the test ends if it does not start.
f3_start()
{
	if ! f3_launch "$@"; then
		tail -n 20 "$F3_LOG"
		f3_fail "f3d did not start"
	fi
}

# Is the process with all its threads at its end, reaped or not? What it had open is closed then.
f3_gone()
{
	local state
	read -r state 2>/dev/null <"/proc/$1/stat" || return 0
	state=${state##*) }
	[ "${state%% *}" = Z ] || return 1
	set -- "/proc/$1/task/"*
	[ $# -le 1 ]
}

# Waits for the end of the daemon, both its processes; the supervisor's exit code.
f3_wait()
{
	local rc
	wait "$F3_CHILD"
	rc=$?
	[ -z "$F3_PID" ] || f3_until 60 f3_gone "$F3_PID" || f3_bad "process $F3_PID does not end"
	exec {f3_said}<&-
	F3_PID=
	F3_SUPERVISOR=
	F3_CHILD=
	return $rc
}

# Stops it as systemd does, and wants exit code 0.
f3_stop()
{
	local rc
	kill -TERM "$F3_SUPERVISOR"
	f3_wait
	rc=$?
	if [ $rc -ne 0 ]; then
		tail -n 20 "$F3_LOG"
		f3_bad "f3d ended with $rc"
	fi
	f3_unmounted "$F3_MNT"
	return $rc
}

# kill -9 of both its processes, and the dead mount is taken away.
f3_kill()
{
	kill -KILL "$F3_SUPERVISOR" "$F3_PID"
	f3_wait
	umount -l "$F3_MNT" 2>/dev/null
	return 0
}

# f3_umount DIR: a file system that a daemon used. The kernel closes files that were registered with
# a mount of ours a moment after that is gone.
f3_umount()
{
	f3_until 60 umount "$1" || f3_fail "$1 cannot be unmounted"
}

f3_restart()
{
	f3_stop
	f3_start "$@"
}

# Is something mounted exactly there? Does not touch it.
f3_mounted()
{
	awk -v d="$1" '$5 == d { found = 1 } END { exit !found }' /proc/self/mountinfo
}

f3_unmounted()
{
	if f3_mounted "$1"; then
		f3_bad "something is mounted on $1"
	fi
}

# The admin's tool, talking to this daemon.
ctl()
{
	f3ctl -s "$F3_RUN/control.sock" "$@"
}

# f3_info FILE JQ-EXPRESSION: one fact of a file: f3_info "$F3_MNT/data/x" .class
f3_info()
{
	ctl --json info "$1" | jq -r "$2"
}

# f3_closed [N]: until the daemon knows of every close, but of N files that are still open. The kernel
# tells it some time after close(2) has returned, and what is open is not evicted, not moved, and not
# removed with its volume.
f3_closed()
{
	f3_opens() { ctl --json status | jq .opens.now; }
	f3_becomes 60 "open files" "${1:-0}" f3_opens
}

# A daemon that dies is started again, and programs may never know. Tests kill with signal 9 or at a
# named point (137), and what keeps one from starting is told as a reason: any other death is a bug.
f3_no_deaths()
{
	local log line
	for log in "$F3_TEST_TMP"/f3d.log "$F3_TEST_TMP"/*/f3d.log; do
		[ -f "$log" ] || continue
		while read -r line; do
			[[ $line =~ (signal 9 |exit code 137|exit code [0-9]+: ) ]] || f3_bad "$line"
		done < <(grep -a 'the daemon died' "$log")
	done
}

f3_cleanup()
{
	local rc=$? mnt f
	trap - EXIT
	[ -n "$F3_PID" ] && f3_stop
	for f in "${f3_at_exit[@]}"; do
		"$f"
	done
	f3_no_deaths
	while read -r mnt; do
		umount -l "$(printf '%b' "$mnt")"
	done < <(awk -v d="${F3_TEST_TMP:?}/" 'index($5 "/", d) == 1 { print $5 }' \
		/proc/self/mountinfo | sort -r)
	if [ $rc -eq 0 ] && [ $f3_failures -gt 0 ]; then
		rc=1
	fi
	if [ $rc -ne 0 ] && [ $rc -ne 77 ] && [ -s "$F3_LOG" ]; then
		echo "---- the daemon's log ends:"
		tail -n 20 "$F3_LOG"
	fi
	exit $rc
}

if [ -z "${F3_TEST_TMP:-}" ]; then
	echo "run it by tests/run" >&2
	exit 1
fi
f3_dirs
exec {f3_pause}<> <(:)	# nothing is ever said there: f3_until waits on it
trap f3_cleanup EXIT
