# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Real S3 servers for tests, and a proxy that breaks what passes between. Read after lib.sh:
#
#	. "$F3_SRCDIR/tests/functional/lib.sh"
#	. "$F3_SRCDIR/tests/functional/s3.sh"
#	f3_s3_start versitygw		# rgw, versitygw, minio or any; skips where it cannot run
#	f3_s3_volume data default-class=durable
#	f3_start
#
# The server is shared by the tests of a run, the bucket is the test's own. What is set then:
# S3_ENDPOINT, S3_TLS_ENDPOINT (and S3_CA), S3_VHOST_ENDPOINT (for names like bucket.localhost),
# S3_REGION, S3_BUCKET, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, S3_KIND, S3_PIDS.

# f3_s3_start KIND
f3_s3_start()
{
	local server=$F3_SRCDIR/tests/s3/server kind=$1 why dir
	[ "$kind" != any ] || read -r kind < <("$server" kinds; echo versitygw)
	why=$("$server" why "$kind")
	[ -z "$why" ] || f3_skip "$why"
	dir=$F3_S3_SHARED/$kind
	"$server" share "$kind" "$dir" "$F3_RUN_PID" || f3_fail "$kind does not start"
	set -a
	# shellcheck source=/dev/null
	. "$dir/env"
	S3_BUCKET=f3-$$-${EPOCHREALTIME/[.,]/-}
	S3_DIRECT=$S3_ENDPOINT
	set +a
	f3_s3 mb || f3_fail "no bucket $S3_BUCKET"
}

# f3_s3_each FUNCTION KIND...: calls FUNCTION KIND for each of these servers that can run here, each time
# with directories and a daemon of its own. Skips if none can. After suites.sh.
f3_s3_each()
{
	local function=$1 kind why any=no
	shift
	for kind; do
		why=$("$F3_SRCDIR/tests/s3/server" why "$kind")
		if [ -n "$why" ]; then
			echo "not on $kind: $why"
			continue
		fi
		any=yes
		f3_apart "$kind" "$function" "$kind"
	done
	[ $any = yes ] || f3_skip "needs one of these S3 servers: $*"
}

# The foreign client, straight to the server: f3_s3 put KEY FILE, f3_s3 ls ... (tests/s3/s3.py -h)
f3_s3()
{
	S3_ENDPOINT=$S3_DIRECT "$F3_SRCDIR/tests/s3/s3.py" "$@"
}

# f3_s3_volume NAME [KEY=VALUE...]: a volume on the test's bucket; S3_PREFIX: below it.
f3_s3_volume()
{
	local name=$1
	shift
	f3_volume "$name" "s3://$S3_BUCKET${S3_PREFIX:+/$S3_PREFIX}" "endpoint=$S3_ENDPOINT" \
		"region=$S3_REGION" path-style=yes "$@"
}

# f3_s3_proxy [RULE...]: from here on S3_ENDPOINT is a proxy in front of the server, with these rules
# (tests/s3/proxy.py -h). It ends with the test.
f3_s3_proxy()
{
	local word args=() rule
	for rule; do
		args+=(--rule "$rule")
	done
	# By a FIFO and not a coprocess: the daemon's own is waited for by number.
	mkfifo "$F3_TEST_TMP/proxy.said"
	"$F3_SRCDIR/tests/s3/proxy.py" serve --to "${S3_DIRECT#http://}" \
		--control "$F3_TEST_TMP/proxy.sock" --log "$F3_TEST_TMP/proxy.log" "${args[@]}" \
		>"$F3_TEST_TMP/proxy.said" 2>"$F3_TEST_TMP/proxy.err" &
	f3_proxy_pid=$!
	read -r word S3_ENDPOINT <"$F3_TEST_TMP/proxy.said"
	[ "$word" = ready ] || f3_fail "no proxy: $(cat "$F3_TEST_TMP/proxy.err")"
	S3_ENDPOINT=http://127.0.0.1:$S3_ENDPOINT
	f3_at_exit+=(f3_proxy_stop)
}

f3_proxy_stop()
{
	kill "$f3_proxy_pid" 2>/dev/null
	wait "$f3_proxy_pid"
	[ ! -s "$F3_TEST_TMP/proxy.err" ] || f3_bad "the proxy said: $(cat "$F3_TEST_TMP/proxy.err")"
}

# f3_proxy add RULE | remove N | clear | rules | wait N [TIMES] | release [N] | idle
f3_proxy()
{
	"$F3_SRCDIR/tests/s3/proxy.py" ctl "$F3_TEST_TMP/proxy.sock" "$@"
}

# f3_proxy_log JQ-EXPRESSION: of all requests that passed, as a list: f3_proxy_log 'map(.method)'. Waits
# until none is under way.
f3_proxy_log()
{
	f3_proxy idle >/dev/null
	jq -rsc "$1" "$F3_TEST_TMP/proxy.log"
}
