#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is counted of an activation, over the daemon's death and its own end; f3ctl activation and top.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/activation.sh"
f3_requires root fuse jq
f3_volume w "file://$F3_STORE/w" default-class=writeback
f3_set activations-kept=5 price-get=1000000 price-put=10000000 price-in=0.5
f3_start
w=$F3_MNT/w
g=$(act_hierarchies | head -1)
[ -n "$g" ] || f3_skip "no hierarchy of control groups"
g=$(act_group "$g" c) || f3_skip "no control group can be made"
act_holder "$g"
show() { ctl --json activation show "$1" | jq -c "$2"; }

head -c 3000000 /dev/urandom >"$w/in"
head -c 100000 /dev/urandom >"$w/small"
f3_ok ctl sync >/dev/null
f3_closed
f3_ok ctl evict "$w/in" "$w/small" >/dev/null
f3_ok act_begin a "$act_pid" w '"outputs": [{"path": "/tmp*", "class": "ephemeral"}]'
act_in "$g" cp "$w/in" "$w/out"
act_in "$g" cp "$w/small" "$w/tmp1"
act_in "$g" cat "$w/tmp1" "$w/nothing" >/dev/null 2>&1
act_in "$g" rm "$w/tmp1"
act_in "$g" mkdir "$w/dir"
# Nobody's:
cp "$w/small" "$w/other"
f3_ok ctl sync >/dev/null
f3_eq "from the store" "$(show a .store.get_bytes)" 3100000
# The kernel may ask for a page twice.
f3_eq "read" "$(show a '[.read_bytes[].writeback // 0] | add | . >= 3100000 and . < 3200000')" true
f3_eq "of the store" "$(show a '.read_bytes.object.writeback > 0')" true
f3_eq "written" "$(show a '[.written_bytes.writeback, .written_bytes.ephemeral]')" '[3000000,100000]'
f3_eq "names" "$(show a '[.created, .removed]')" '[3,1]'
f3_eq "to the store" "$(show a .store.put_bytes)" 3000000
f3_eq "opens" "$(show a '[.opens[]] | add')" 5
f3_eq "natively" "$(show a .native_bytes)" 100000
f3_eq "waited" "$(show a '.waited_seconds > 0 and .waited_seconds <= .operation_seconds')" true
f3_eq "its cost" "$(show a '(.store.gets + 10 * .store.puts + 0.5 * .store.put_bytes / 1099511627776 - .cost) | fabs < 0.0001')" true
f3_match "for people" "$(ctl activation show a)" 'opens +5: '
f3_eq "live" "$(ctl --json activation list --running | jq -r .activation)" a
f3_match "top" "$(ctl top -n 1)" 'a +/guest/blur'

# Counted to its end, and after it what goes up because of it.
before=$(show a .operations)
act_in "$g" cp /etc/hostname "$w/late"
cat "$w/late" >/dev/null
f3_ok act_end a
f3_ok ctl sync >/dev/null
f3_eq "more operations" "$(show a ".operations > $before")" true
f3_becomes 20 "what went up later" "$((3000000 + $(stat -c %s /etc/hostname)))" show a .store.put_bytes
ops=$(show a .operations)
act_in "$g" ls "$w" >/dev/null
f3_eq "after its end" "$(show a .operations)" "$ops"
f3_restart
f3_eq "after a restart" "$(show a '[.state, .operations]')" "[\"ok\",$ops]"

# The oldest are forgotten.
for i in 1 2 3 4 5 6; do
	f3_ok act_begin "b$i" "$act_pid" w
	f3_ok act_end "b$i" false
done
f3_eq "kept" "$(ctl --json activation list | jq -r .activation | sort | tr '\n' ' ')" "b2 b3 b4 b5 b6 "
f3_no 1 "there is no activation a" ctl activation show a
