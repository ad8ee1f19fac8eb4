# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# What the tests share that kill the daemon at a named point of a commit set. Sourced after commit.sh and
# suites.sh; sets v, the volume, and starts nothing.
. "$F3_SRCDIR/tests/functional/faults.sh"
set_container
set_on_files
f3_set retry-min=20ms retry-max=20s
f3_volume v "file://$F3_STORE/v" default-class=durable attr-ttl=50ms
head -c 70000000 /dev/urandom >big
v=$F3_MNT/v

# killed POINT OK: a daemon that dies there while a set is prepared and ended so; all of it is published, or
# none, and nothing is left.
killed()
{
	local point=$1 ok=$2 id wanted
	id=a-$point-$ok
	# Anew, since one that dies again and again is started again more and more slowly.
	f3_start
	[ -d "$v/out" ] || mkdir "$v/out"
	rm -f "$v"/out/*
	for f in old moved gone; do echo before >"$v/out/$f"; done
	f3_ok set_begin "$id" sync >/dev/null
	f3_ok fault point "$point" exit >/dev/null
	does "echo after >out/old && cp '$F3_TEST_TMP/big' out/big && echo after >out/new && echo after >out/moved && mv out/moved out/there && echo after >out/gone && rm out/gone" ||
		f3_bad "$point: the function"
	f3_until 60 set_end "$id" "$ok" || f3_bad "$point: end: $(set_end "$id" "$ok" 2>&1)"
	wanted=$([ "$ok" = true ] && echo "out/big out/new out/old out/there " || echo "out/gone out/moved out/old ")
	f3_becomes 30 "$point, $ok: in the store" "$wanted" keys
	f3_eq "$point, $ok: old" "$(stored out/old) $(cat "$v/out/old")" \
		"$([ "$ok" = true ] && echo after after || echo before before)"
	[ "$ok" = false ] || f3_ok cmp big "$F3_STORE/v/out/big"
	set_nothing_left "$point, $ok"
	[ "$(jq .restarts "$F3_RUN/supervisor.json")" -gt 0 ] || f3_bad "$point, $ok: was not met"
	F3_PID=$(($(<"/proc/$F3_SUPERVISOR/task/$F3_SUPERVISOR/children")))
	f3_stop
	[ $f3_failures -lt 3 ] || exit 1
}
