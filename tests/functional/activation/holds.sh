#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Outputs that stream end with their activation, not with a close: well, or torn; over the daemon's death.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/activation.sh"
f3_requires root fuse jq
f3_volume w - default-class=ephemeral
f3_set restart=yes
f3_start
w=$F3_MNT/w
g=$(act_hierarchies | head -1)
[ -n "$g" ] || f3_skip "no hierarchy of control groups"
g=$(act_group "$g" h) || f3_skip "no control group can be made"
act_holder "$g"
mkdir "$w/out" "$w/now"
outputs='"outputs": [{"path": "/out/**", "stream": true}, {"path": "/now/**", "stream": true, "close": "seal"}]'
state() { getfattr --absolute-names --only-values -n user.f3.state "$1"; }

# reads FILE: in the background, to $F3_TEST_TMP/got with its exit code behind it.
reads()
{
	# A writer's descriptor that it had, too, would keep its own end away.
	{ eval "exec ${fd:-9}>&-"; cat "$1" 2>&1; echo "($?)"; } >"$F3_TEST_TMP/got" &
	reader=$!
	f3_until 20 grep -q . "$F3_TEST_TMP/got"
}
# ends WHAT WANTED: the reader ends, with that.
ends()
{
	wait "$reader"
	f3_eq "$1" "$(sed "s|cat: $w/out/||" "$F3_TEST_TMP/got" | tr '\n' ' ')" "$2"
}
write() { act_in "$g" sh -c "echo $2 >>'$1'"; }

# One process after the other.
f3_ok act_begin well "$act_pid" w "$outputs"
write "$w/out/a" 1
reads "$w/out/a"
write "$w/out/a" 2
f3_eq "between two" "$(state "$w/out/a")" writing
write "$w/out/a" 3
write "$w/now/a" 1
f3_becomes 20 "sealed by its close" sealed state "$w/now/a"
f3_ok act_end well
ends "all of it" "1 2 3 (0) "
f3_becomes 20 "sealed by the end" sealed state "$w/out/a"

# What failed is not whole, though every program closed it.
f3_ok act_begin badly "$act_pid" w "$outputs"
write "$w/out/b" 1
reads "$w/out/b"
f3_ok act_end badly false
ends "torn" "1 b: Input/output error (1) "
f3_eq "for who comes later, too" "$(cat "$w/out/b" 2>&1 >/dev/null | sed 's/.*: //')" "Input/output error"

# The daemon dies meanwhile; and at the end.
f3_ok act_begin over "$act_pid" w "$outputs"
write "$w/out/c" 1
reads "$w/out/c"
kill -9 "$(ctl --json status | jq .pid)"
f3_eq "after a death" "$(state "$w/out/c")" writing
write "$w/out/c" 2
f3_ok act_end over
ends "over a death" "1 2 (0) "
f3_becomes 20 "its state" sealed state "$w/out/c"

# An input that is followed streams whoever writes it, and however: made, or made anew.
f3_ok act_begin follows "$act_pid" w '"inputs": [{"path": "/in/made", "stream": true}, {"path": "/in/anew", "stream": true}]'
mkdir "$w/in"
echo old >"$w/in/anew"
f3_becomes 20 "sealed before" sealed state "$w/in/anew"
for name in made anew; do
	exec {fd}>"$w/in/$name"
	echo 1 >&$fd
	reads "$w/in/$name"
	echo 2 >&$fd
	exec {fd}>&-
	ends "follows $name" "1 2 (0) "
done
f3_ok act_end follows
fd=
mkdir -p "$w/plain"
exec {fd}>"$w/plain/x"
echo 1 >&$fd
f3_eq "what nobody follows ends where it is" "$(cat "$w/plain/x")" 1
exec {fd}>&-
fd=

# Begun anew it could not be: its container is gone.
g2=$(act_group "$(act_hierarchies | head -1)" gone)
act_holder "$g2"
f3_ok act_begin lost "$act_pid" w "$outputs"
act_in "$g2" sh -c "echo 1 >>'$w/out/d'"
reads "$w/out/d"
kill "$act_pid"
wait "$act_pid" 2>/dev/null
kill -9 "$(ctl --json status | jq .pid)"
ends "lost" "1 d: Input/output error (1) "
f3_eq "has failed" "$(ctl --json activation show lost | jq -r .state)" failed
