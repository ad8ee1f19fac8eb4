#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl class: files go to another class, one by one or a whole tree, and stay there.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data -
f3_volume photos "file://$F3_STORE/photos" default-class=ephemeral
f3_start
p=$F3_MNT/photos
mkdir -p "$p/tree/sub"
for i in {1..20}; do echo "$i" >"$p/tree/sub/f$i"; done
echo one >"$p/one"
[ -e "$F3_STORE/photos/one" ] && f3_bad "an ephemeral file is in the store"

f3_ok ctl class durable "$p/one"
f3_eq "in the store at return" "$(cat "$F3_STORE/photos/one")" one
f3_eq "class" "$(f3_info "$p/one" '.class + " " + .class_source + " " + .in_store')" "durable own yes"
f3_eq "listed" "$(getfattr --only-values -n user.f3.class "$p/one")" durable

f3_no 1 'photos:/tree: a directory: -R' ctl warm "$p/tree"
# Below a directory of a local class nothing is more durable than its name.
f3_no 1 'nothing is more durable' ctl class -R writeback "$p/tree"
f3_eq "left alone" "$(f3_info "$p/tree/sub/f1" .class)" ephemeral
f3_ok ctl class -R memory "$p/tree"
f3_eq "whole tree" "$(ctl --json ls -R "$p/tree" | jq -r 'select(.type == "file").class' | sort | uniq -c |
	awk '{ print $1, $2 }')" "20 memory"
f3_eq "contents" "$(cat "$p"/tree/sub/f* | sort -n | tr '\n' ' ')" "$(seq 20 | tr '\n' ' ')"
echo new >"$p/tree/sub/new"
f3_eq "made later" "$(f3_info "$p/tree/sub/new" .class)" memory
f3_eq "sum" "$(ctl --json class -R ephemeral "$p/tree" | jq -c '[.ok, .files, .failed]')" "[true,21,0]"
f3_match "sum for people" "$(ctl class -R ephemeral "$p/tree")" '^21 files'

# What stands against it.
echo x >"$F3_MNT/data/x"
f3_no 1 'wants a store, and the volume has none' ctl class durable "$F3_MNT/data/x"
f3_no 2 'no class' ctl class dureable "$p/one"
f3_no 2 'a class and a path' ctl class durable
f3_no 1 'ENOENT' ctl class durable "$p/nope"

f3_closed
# An open file moves between tmpfs and disk when it is closed.
echo open >"$p/moving"
exec {fd}<"$p/moving"
f3_eq "waits for its close" "$(ctl --json class memory "$p/moving" | jq -c '[.ok, .moving]')" "[true,1]"
f3_eq "still there" "$(cat "$p/moving")" open
exec {fd}<&-
moved() { [[ $(f3_info "$p/moving" .backing.filesystem) == tmpfs ]]; }
f3_until 60 moved || f3_bad "not moved after its close: $(ctl --json info "$p/moving")"
f3_eq "content" "$(cat "$p/moving")" open
