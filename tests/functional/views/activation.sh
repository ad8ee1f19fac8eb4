#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An activation that begins in the container of a view, sees it as its root, and goes on over the death of
# the daemon, as the view does.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/activation.sh
. "$F3_SRCDIR/tests/functional/activation.sh"
f3_requires root fuse jq
f3_volume w "file://$F3_STORE/w" default-class=durable namespace=guest
f3_start
export F3_HINT_SOCKET=$F3_RUN/hint.sock
mkdir -p "$F3_MNT/w/box" "$F3_MNT/w/tmp"
group=
for h in $(act_hierarchies); do
	group=$(act_group "$h" box 2>/dev/null) && break
done
[ -n "$group" ] || f3_skip "no control group can be made"
act_holder "$group"
f=$F3_RUN/views/box

f3_eq "no process" "$(f3hint bind none guest w / rw | jq .container_known)" false
f3_no 1 'no view none, or it was bound without a container' f3hint begin n guest /guest/blur none
f3_eq "in the daemon's group" "$(f3hint bind none guest w / rw "$F3_PID" | jq .container_known)" false
f3_eq "in a group of its own" "$(f3hint bind box guest w /box rw "$act_pid" | jq .container_known)" true
f3_ok f3hint begin a guest /guest/blur box '{"outputs": [{"path": "/tmp/**", "class": "ephemeral"}]}' >/dev/null
mkdir "$f/tmp"
act_in "$group" cp /etc/hostname "$f/tmp/one"
f3_eq "paths are the view's" "$(f3_info "$F3_MNT/w/box/tmp/one" .class)" ephemeral
act_in "$group" cp /etc/hostname "$F3_MNT/w/tmp/other"
f3_eq "and nothing above it" "$(f3_info "$F3_MNT/w/tmp/other" .class)" durable

pid() { ctl --json status 2>/dev/null | jq .pid; }
another() { local now; now=$(pid) && [ -n "$now" ] && [ "$now" != "$F3_PID" ] && F3_PID=$now; }
kill -KILL "$F3_PID"
f3_until 60 another || f3_fail "it was not started again"
act_in "$group" cp /etc/hostname "$f/tmp/two"
f3_eq "over a death" "$(f3_info "$F3_MNT/w/box/tmp/two" .class)" ephemeral
f3_ok f3hint end a ok >/dev/null
act_in "$group" cp /etc/hostname "$f/tmp/three"
f3_eq "after its end" "$(f3_info "$F3_MNT/w/box/tmp/three" .class)" durable
f3_ok f3hint unbind box >/dev/null
f3_no 1 'no view box' f3hint begin b guest /guest/blur box
