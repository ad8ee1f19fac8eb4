# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the programs that start S3 servers share. Each of them (rgw, versitygw, minio) begins with
#
#	. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#
# defines s3_why (prints why the server cannot run here, or nothing) and s3_start (starts it in
# S3_DIR), and ends with s3_main "$@". Everything of a server is in its directory: its data, its
# logs, "pids", and last of all "env", which is there when the server answers.
#
# Every process carries F3_S3_DIR=DIR in its environment: one that is not ours is never killed,
# whatever its number. Nothing of a server is worth keeping, so they are ended by SIGKILL.

set -uo pipefail
S3_HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
S3_TOP=$(cd "$S3_HERE/../.." && pwd)
S3_BIN=${F3_S3_BIN:-$S3_TOP/.deps/go/bin}
export LC_ALL=C.UTF-8
S3_REGION=us-east-1
S3_BUCKET=f3test
exec {s3_err}>&2 # where the reason goes, whatever a program does with its own
exec {s3_pause}<> <(:) # nothing is ever said there: a pause between two looks

s3_die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&"$s3_err"
	exit 1
}

# s3_until SECONDS WHAT COMMAND...: until the command succeeds, or a process of the server ends.
s3_until()
{
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >"$S3_DIR/until.log" 2>&1; do
		s3_all_live || s3_failed "$what: a process of it ended"
		[ "$SECONDS" -lt "$deadline" ] || s3_failed "$what: not in time"
		read -rt 0.05 -u "$s3_pause"
	done
}

# Shows what its logs end with, ends what was started, and itself.
s3_failed()
{
	local log
	for log in "$S3_DIR"/*.log; do
		[ -s "$log" ] && printf -- '---- %s\n' "$log" && tail -n 15 "$log"
	done >&"$s3_err"
	s3_stop
	s3_die "$@"
}

# s3_run NAME COMMAND...: starts a process of the server, its output in NAME.log.
s3_run()
{
	local name=$1
	shift
	# A session of its own: what a terminal or timeout(1) sends to a test's group is not for it. And
	# not the test's own variables: whatever carries F3_TEST_TMP goes with that test.
	env -u F3_TEST_TMP F3_S3_DIR="$S3_DIR" setsid "$@" \
		>>"$S3_DIR/$name.log" 2>&1 </dev/null {s3_pause}<&- {s3_err}>&- &
	echo $! >>"$S3_DIR/pids"
	# Told to stop meanwhile: whoever did so may have read the list before.
	if [ -e "$S3_DIR/stopped" ] || ! [ -e "$S3_DIR/pids" ]; then
		kill -KILL $!
		s3_failed "stopped while it started"
	fi
}

s3_is_ours()
{
	grep -qzxF "F3_S3_DIR=$S3_DIR" "/proc/$1/environ" 2>/dev/null
}

# Has it ended with all its threads, or is it not ours? What it had open is closed then.
s3_gone()
{
	local state tasks
	read -r state 2>/dev/null <"/proc/$1/stat" || return 0
	state=${state##*) }
	tasks=("/proc/$1/task/"*)
	if [ "${state%% *}" = Z ]; then
		[ ${#tasks[@]} -le 1 ]
	else
		! s3_is_ours "$1"
	fi
}

s3_all_live()
{
	local pid
	while read -r pid; do
		kill -0 "$pid" 2>/dev/null || return 1
	done <"$S3_DIR/pids"
}

s3_stop()
{
	local pid
	: >"$S3_DIR/stopped"
	[ -e "$S3_DIR/pids" ] || return 0
	while read -r pid; do
		s3_is_ours "$pid" && kill -KILL "$pid"
	done <"$S3_DIR/pids"
	while read -r pid; do
		until s3_gone "$pid"; do
			read -rt 0.02 -u "$s3_pause"
		done
	done <"$S3_DIR/pids"
	rm -f "$S3_DIR/env"
}

# s3_ports N: so many free ports of loopback, below those that outgoing connections get: one that is
# free now and used a moment later is not one the kernel gave away in between.
s3_ports()
{
	python3 - "$1" <<-'END'
		import random, socket, sys
		held = []
		while len(held) < int(sys.argv[1]):
		    s = socket.socket()
		    try:
		        s.bind(("127.0.0.1", random.randrange(20000, 32000)))
		    except OSError:
		        continue
		    held.append(s)
		print(*(s.getsockname()[1] for s in held))
	END
}

# A CA in ca.pem, and a server's certificate by it in tls.pem with its key in tls.key, for 127.0.0.1,
# localhost and the names below localhost.
s3_certificates()
{
	local new=(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30)
	(
		cd "$S3_DIR" || exit
		"${new[@]}" -subj "/CN=F3 test CA" -keyout ca.key -out ca.pem \
			-addext keyUsage=critical,keyCertSign,cRLSign &&
			"${new[@]}" -subj /CN=localhost -keyout tls.key -out tls.pem -CA ca.pem -CAkey ca.key \
				-addext basicConstraints=critical,CA:FALSE \
				-addext "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:*.localhost"
	) >"$S3_DIR/openssl.log" 2>&1
}

s3_random()
{
	od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

# s3_answers PORT: does something speak HTTP there?
s3_answers()
{
	python3 - "$1" <<-'END'
		import http.client, sys
		c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
		c.request("GET", "/")
		c.getresponse().read()
	END
}

s3_listens()
{
	: 2>/dev/null <>"/dev/tcp/127.0.0.1/$1"
}

# s3_ready PORT [TLS-PORT]: makes the bucket and writes the environment: the server can be used.
s3_ready()
{
	cat >"$S3_DIR/env.new" <<-END
		S3_KIND=${0##*/}
		S3_ENDPOINT=http://127.0.0.1:$1
		S3_VHOST_ENDPOINT=http://localhost:$1
		S3_TLS_ENDPOINT=${2:+https://127.0.0.1:$2}
		S3_CA=${2:+"$S3_DIR/ca.pem"}
		S3_REGION=$S3_REGION
		S3_BUCKET=$S3_BUCKET
		AWS_ACCESS_KEY_ID=$S3_ACCESS
		AWS_SECRET_ACCESS_KEY=$S3_SECRET
		S3_OTHER_ACCESS=$S3_OTHER_ACCESS
		S3_OTHER_SECRET=$S3_OTHER_SECRET
		S3_PIDS="$(paste -sd' ' "$S3_DIR/pids")"
	END
	s3_until 30 "the bucket" python3 "$S3_HERE/s3.py" --env "$S3_DIR/env.new" mb
	mv "$S3_DIR/env.new" "$S3_DIR/env"
}

# s3_main start DIR [PID] | stop DIR | why. The server ends with process PID, however that ends.
s3_main()
{
	local why
	case ${1:-}:$# in
	why:1)
		s3_why
		;;
	start:[23])
		why=$(s3_why)
		[ -z "$why" ] || { echo "$why" >&2; exit 77; }
		mkdir -p "$2" && S3_DIR=$(cd "$2" && pwd) || exit 1
		[ -z "$(ls -A "$S3_DIR")" ] || s3_die "$S3_DIR is not empty"
		[ -z "${3:-}" ] || kill -0 "$3" 2>/dev/null || s3_die "process $3 has ended"
		: >"$S3_DIR/pids"
		trap 's3_failed interrupted' INT TERM HUP
		S3_ACCESS=F3$(s3_random 9)
		S3_SECRET=$(s3_random 20)
		# Of somebody who may do nothing until a bucket's policy says so.
		S3_OTHER_ACCESS=F3$(s3_random 9)
		S3_OTHER_SECRET=$(s3_random 20)
		if [ -n "${3:-}" ]; then
			# shellcheck disable=SC2016 # the shell below expands it
			env -u F3_TEST_TMP setsid bash -c 'tail --pid="$1" -f /dev/null; exec "$2" stop "$3"' \
				f3-s3-keeper "$3" "$S3_HERE/${0##*/}" "$S3_DIR" \
				>/dev/null 2>&1 </dev/null {s3_pause}<&- {s3_err}>&- &
		fi
		s3_start
		;;
	stop:2)
		[ -d "$2" ] || exit 0
		S3_DIR=$(cd "$2" && pwd)
		s3_stop
		;;
	*)
		echo "usage: ${0##*/} why | start DIR [PID] | stop DIR" >&2
		exit 2
		;;
	esac
}
