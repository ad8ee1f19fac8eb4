#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Which activation a process belongs to, by its control group, and what begin says of its outputs.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/activation.sh"
f3_requires root fuse jq
f3_volume w "file://$F3_STORE/w" default-class=durable
f3_volume local -
f3_set node=worker-1
f3_start
w=$F3_MNT/w
mkdir "$w/in" "$w/deep"
begin() { act_begin "$1" "$2" w "${3:-}"; }
end() { act_end "$@"; }
count() { ctl --json activation show "$1" | jq "$2"; }

n=0
for h in $(act_hierarchies); do
	n=$((n + 1))
	a=$(act_group "$h" a$n) || { echo "no group can be made in $h"; continue; }
	b=$(act_group "$h" b$n)
	act_holder "$a"; in_a=$act_pid
	act_holder "$b"; in_b=$act_pid
	f3_ok begin x$n "$in_a" '"outputs": [{"path": "/tmp/**", "class": "ephemeral"}, {"path": "/**/*.log", "class": "writeback"}]'
	f3_ok begin y$n "$in_b" '"outputs": [{"path": "/tmp/**", "class": "writeback"}]'
	mkdir -p "$a/below"
	echo "$a/below" >>"$F3_TEST_TMP/groups"
	act_in "$a" mkdir "$w/tmp"
	act_in "$a" cp /etc/hostname "$w/tmp/one"
	act_in "$a/below" cp /etc/hostname "$w/deep/two.log"
	act_in "$b" cp /etc/hostname "$w/deep/three.log"
	cp /etc/hostname "$w/deep/four.log"
	f3_eq "$h: outputs" "$(f3_info "$w/tmp/one" .class) $(f3_info "$w/deep/two.log" .class)" "ephemeral writeback"
	f3_eq "$h: others" "$(f3_info "$w/deep/three.log" .class) $(f3_info "$w/deep/four.log" .class)" "durable durable"
	f3_eq "$h: who chose" "$(f3_info "$w/tmp/one" .class_source)" hint
	# After its end the volume's rules count again, for a process that went on, too.
	act_in "$a" sh -c 'echo 1 >"$0/deep/before.log"; read -r go; echo 1 >"$0/deep/after.log"' "$w" < <(f3_until 20 test -e "$w/deep/before.log"; end x$n >/dev/null; echo go)
	f3_eq "$h: after its end" "$(f3_info "$w/deep/before.log" .class) $(f3_info "$w/deep/after.log" .class)" "writeback durable"
	f3_ok end y$n false
	rm -r "$w/tmp" "$w"/deep/*
done
[ $n -gt 0 ] || f3_skip "no hierarchy of control groups"

# Two at a time in one container: neither.
f3_ok begin s1 "$in_a" '"outputs": [{"path": "/**", "class": "ephemeral"}]'
f3_ok begin s2 "$in_a" '"outputs": [{"path": "/**", "class": "ephemeral"}]'
act_in "$a" cp /etc/hostname "$w/shared"
f3_eq "shared" "$(f3_info "$w/shared" .class)" durable
f3_ok end s1
f3_ok end s2

# The same once more is the same; another one is not.
f3_ok begin r1 "$in_a"
f3_eq "again" "$(begin r1 "$in_a" | jq -c '[.ok, .again]')" '[true,true]'
f3_eq "otherwise" "$(begin r1 "$in_a" '"next": ["/guest/thumb"]' | jq -r .error)" EEXIST
f3_ok end r1
f3_eq "end again" "$(end r1 | jq -c '[.ok, .again]')" '[true,true]'
f3_eq "end otherwise" "$(end r1 false | jq -r .error)" EEXIST
f3_eq "begin after its end" "$(begin r1 "$in_a" | jq -r .error)" EEXIST
f3_eq "end of none" "$(end nobody | jq -r .error)" ENOENT

# From a shell.
h="f3hint -s $F3_RUN/hint.sock"
f3_ok $h begin sh1 guest /guest/blur - "{\"container\":{\"pid\":$in_a},\"volume\":\"w\"}"
f3_ok $h end sh1 ok
f3_eq "by words" "$(count sh1 .state)" '"ok"'
f3_no 2 'ok or failed are wanted' $h end sh1 well
f3_no 2 'no JSON object' $h begin sh2 guest /guest/blur - '[]'
f3_no 1 'there is no view' $h begin sh2 guest /guest/blur nothing

# What is refused, and is not begun.
refused()	# ERROR WHAT MEMBERS
{
	f3_eq "$2" "$(begin bad "$in_a" "$3" 2>/dev/null | jq -r .error)" "$1"
	f3_eq "$2: not begun" "$(end bad 2>/dev/null | jq -r .error)" ENOENT
}
refused EINVAL "no class" '"outputs": [{"path": "/x", "class": "gold"}]'
refused EINVAL "no path" '"outputs": [{"class": "durable"}]'
refused EINVAL "relative" '"inputs": [{"path": "x"}]'
refused EINVAL "no list" '"outputs": {"path": "/x"}'
refused EINVAL "commit" '"commit": "maybe"'
refused EINVAL "deadline" '"deadline": -1'
refused ENODEV "no volume" '"volume": "nowhere"'
refused ENOENT "no view" '"view": "nothing"'
refused EOPNOTSUPP "no store" '"volume": "local", "outputs": [{"path": "/x", "class": "durable"}]'
refused EINVAL "our own group" '"container": {"pid": '$$'}'
refused ESRCH "no process" '"container": {"pid": 4194303}'

# A deadline ends it.
f3_ok begin late "$in_a" "\"deadline\": $(($(date +%s%3N) + 300))"
f3_until 20 sh -c "! f3ctl -s '$F3_RUN/control.sock' --json activation show late | jq -e '.state == \"running\"' >/dev/null"
f3_eq "past its deadline" "$(end late 2>/dev/null | jq -r .error)" EEXIST
f3_eq "its state" "$(count late .state)" '"failed"'

# The daemon's death is nothing to it.
f3_ok begin z "$in_a" '"outputs": [{"path": "/**", "class": "ephemeral"}]'
kill -9 "$F3_PID"
f3_until 30 ctl status >/dev/null
act_in "$a" cp /etc/hostname "$w/z"
f3_eq "after a restart" "$(f3_info "$w/z" .class)" ephemeral
f3_ok end z
f3_eq "its state" "$(ctl --json activation show z | jq -r .state)" ok
