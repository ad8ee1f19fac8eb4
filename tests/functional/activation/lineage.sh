#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Which activation read and made which content of which file, and how that is walked.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/activation.sh"
f3_requires root fuse jq
f3_volume w "file://$F3_STORE/w" default-class=durable
f3_set node=worker-1
f3_start
w=$F3_MNT/w
mkdir "$w/in" "$w/tmp" "$w/out"
h=$(act_hierarchies | head -n 1)
a=$(act_group "$h" a) || f3_skip "no group can be made in $h"
act_holder "$a"; pid=$act_pid
begin() { hint "$(jq -nc --arg id "$1" --arg action "/guest/${2:-step}" --argjson pid "$pid" \
	'{op: "begin", activation: $id, namespace: "guest", action: $action, version: "0.0.1", container: {pid: $pid}, volume: "w",
	  outputs: [{path: "/tmp/**", class: "ephemeral"}]}')"; }
end() { hint "$(jq -nc --arg id "$1" --argjson ok "${2:-true}" '{op: "end", activation: $id, ok: $ok}')"; }
# run ID ACTION SHELL-COMMAND: an activation that does that, with $w as $0
run()
{
	f3_ok begin "$1" "$2" >/dev/null
	f3_ok act_in "$a" sh -c "$3" "$w"
	f3_ok end "$1" >/dev/null
}
# edges PATH OPTION...: "edge activation path generation" of each, sorted
edges() { ctl --json lineage "$@" | jq -rs '[.[] | .item? // . | select(.edge) | [.edge, .activation, .path, (.generation | tostring)] | join(" ")] | sort | join("; ")'; }

echo raw >"$w/in/a"
echo table >"$w/in/t"
run A1 fetch 'cat "$0/in/a" "$0/in/t" >"$0/tmp/b"'
run A2 blur 'cat "$0/tmp/b" >"$0/tmp/c.new" && mv "$0/tmp/c.new" "$0/tmp/c"'
run A3 thumb 'cat "$0/tmp/c" >"$0/out/d"; cat "$0/tmp/c" >/dev/null'
f3_becomes 20 "up" 'generated A1 /tmp/b 1; generated A2 /tmp/c.new 1; generated A3 /out/d 1; used A1 /in/a 1; used A1 /in/t 1; used A2 /tmp/b 1; used A3 /tmp/c 1' edges "$w/out/d" --up
f3_eq "down" "$(edges "$w/in/a" --down)" 'generated A1 /tmp/b 1; generated A2 /tmp/c.new 1; generated A3 /out/d 1; used A1 /in/a 1; used A2 /tmp/b 1; used A3 /tmp/c 1'
f3_eq "both" "$(edges "$w/tmp/c")" 'generated A1 /tmp/b 1; generated A2 /tmp/c.new 1; generated A3 /out/d 1; used A1 /in/a 1; used A1 /in/t 1; used A2 /tmp/b 1; used A3 /tmp/c 1'
f3_eq "one activation far" "$(edges "$w/out/d" --up --depth 1)" 'generated A3 /out/d 1; used A3 /tmp/c 1'
f3_eq "counted" "$(ctl --json activation show A1 | jq -c '.lineage')" '{"edges":3,"dropped":0}'

# What came after is another content, and what was before is still known; so is what is gone.
run A4 edit 'echo more >>"$0/out/d"; rm "$0/tmp/b"; mv "$0/tmp/c" "$0/tmp/elsewhere"'
echo by-nobody >"$w/in/a"
f3_becomes 20 "goes on" '["generated A4 2 1","generated A3 1 "]' \
	eval 'ctl --json lineage "$w/out/d" --up | jq -cs "[.[] | .item? // . | select(.edge == \"generated\" and .path == \"/out/d\") | \"\(.edge) \(.activation) \(.generation) \(.from_generation // \"\")\"]"'
f3_match "an earlier one" "$(edges "$w/out/d" --up --generation 1)" '^generated A1 /tmp/b 1; generated A2 /tmp/c.new 1; generated A3 /out/d 1; used A1'
f3_match "renamed" "$(edges "$w/tmp/elsewhere" --up)" 'generated A2 /tmp/c.new 1'
f3_eq "by nobody" "$(edges "$w/in/a")" ''

# The same as PROV-JSON.
prov=$(ctl lineage --prov --up "$w/out/d")
f3_eq "PROV: sections" "$(jq -c '[keys[]]' <<<"$prov")" '["actedOnBehalfOf","activity","agent","entity","prefix","used","wasAssociatedWith","wasDerivedFrom","wasGeneratedBy"]'
f3_eq "PROV: what is named is there" "$(jq -c '. as $d | [
	(.used, .wasGeneratedBy | .[] | ($d.entity[."prov:entity"], $d.activity[."prov:activity"]) != null),
	(.wasAssociatedWith[] | ($d.agent[."prov:agent"], $d.activity[."prov:activity"]) != null),
	(.actedOnBehalfOf[] | ($d.agent[."prov:delegate"], $d.agent[."prov:responsible"]) != null),
	(.wasDerivedFrom[] | ($d.entity[."prov:generatedEntity"], $d.entity[."prov:usedEntity"]) != null)] | all' <<<"$prov")" true
f3_eq "PROV: names" "$(jq -c '[.entity, .activity, .agent | keys[] | test("^f3:[a-z]+/([A-Za-z0-9_]|%[0-9A-F]{2})+$")] | all' <<<"$prov")" true
f3_eq "PROV: prefixes" "$(jq -r '.prefix | keys | join(" ")' <<<"$prov")" 'f3 prov xsd'
f3_eq "PROV: times" "$(jq -c '[.activity[] | ."prov:startTime", ."prov:endTime" | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$")] | all' <<<"$prov")" true
f3_eq "PROV: derived only where it goes on" "$(jq -c '[.wasDerivedFrom[] | ."prov:generatedEntity", ."prov:usedEntity" | sub(".*_"; "")]' <<<"$prov")" '["2","1"]'
f3_eq "PROV: who" "$(jq -c '[.agent[] | ."prov:label"] | sort' <<<"$prov")" '["/guest/blur","/guest/edit","/guest/fetch","/guest/thumb","guest"]'

# Written anew, and in the place of a file that the store has, whose id it goes on under.
run A5 again 'echo new >"$0/out/d"'
f3_becomes 20 "emptied first" 'generated A5 /out/d 3' edges "$w/out/d" --up
run A6 swap 'python3 -c "import os, sys; w = sys.argv[1]; f = open(w + \"/out/d.new\", \"w\"); f.write(open(w + \"/in/t\").read()); f.flush(); os.rename(w + \"/out/d.new\", w + \"/out/d\")" "$0"'
swapped() { edges "$w/out/d" --up | grep -c 'became A6 .*generated A6 .*used A6 /in/t 1'; }
f3_becomes 20 "replaced" 1 swapped
run A7 reader 'cat "$0/out/d" >"$0/out/e"'
f3_match "through it" "$(edges "$w/in/t" --down)" 'generated A6 /out/d 4; generated A7 /out/e 1'
# In a circle, and by itself.
run A8 loop 'cat "$0/out/e" "$0/out/d" >"$0/tmp/x"; cat "$0/tmp/x" >>"$0/out/e"; cat "$0/out/e" >>"$0/tmp/x"'
f3_match "in a circle" "$(timeout 20 f3ctl -s "$F3_RUN/control.sock" lineage "$w/out/e")" 'written by A8'
run A9 truncate 'truncate -s 3 "$0/in/t"'
f3_match "truncated" "$(edges "$w/in/t" --up)" 'generated A9 /in/t 2'

f3_match "as a tree" "$(ctl lineage --up "$w/tmp/elsewhere")" 'tmp/elsewhere generation 1.*what it was made of:.*written by A2, /guest/blur 0.0.1 of guest, ok .*read .*/tmp/b generation 1.*written by A1.*read .*/in/a generation 1'
f3_eq "PROV: replaced" "$(ctl lineage --prov "$w/out/d" --up | jq '.alternateOf | length')" 1

# Hostile ids.
evil=$'x"/\\ %s\n\t../../\xc3\xa9 {"a":1}'
run "$evil" evil 'echo 1 >"$0/out/evil"'
f3_becomes 20 "hostile id" "$evil" eval 'ctl --json lineage "$w/out/evil" --up | jq -rs ".[] | .item? // . | select(.edge) | .activation"'
f3_eq "hostile id: PROV" "$(ctl lineage --prov "$w/out/evil" | jq -r '.activity[]."f3:activation"')" "$evil"
long=$(printf 'y%.0s' {1..255})
run "$long" evil 'echo 1 >"$0/out/long"; echo 1 >"$0/out/name-$(printf "n%.0s" $(seq 200))"'
f3_becomes 20 "long id" "generated $long /out/long 1" edges "$w/out/long" --up
f3_no 1 'not a file' ctl lineage "$w/out"
f3_no 1 'No such file' ctl lineage "$w/none"
f3_no 1 'the depth is' ctl lineage --depth 1001 "$w/out/d"
f3_no 2 'one path' ctl lineage

# Many files of one activation; what is written is there after the daemon's death.
f3_ok begin many >/dev/null
act_in "$a" python3 - "$w/tmp" <<'END'
import sys
for i in range(3000):
    with open(f"{sys.argv[1]}/m{i}", "w") as f:
        f.write("x")
for i in range(0, 3000, 3):
    open(f"{sys.argv[1]}/m{i}").read()
END
many() { ctl lineage "$w/tmp/m2999" >/dev/null; ctl --json activation show many | jq '.lineage.edges'; }
f3_becomes 60 "many" 4000 many
kill -9 "$F3_PID"
f3_until 30 ctl status >/dev/null
f3_eq "after a restart" "$(many)" 4000
act_in "$a" cp "$w/tmp/m1" "$w/tmp/n"
f3_ok end many >/dev/null
f3_becomes 20 "goes on" 4002 many
f3_eq "nothing dropped" "$(ctl --json activation show many | jq '.lineage.dropped')" 0

# Bounded: with the activation its edges go, the oldest first.
f3_match "still there" "$(edges "$w/tmp/m5" --up)" 'generated many /tmp/m5 1;'
sed -i 's/^\[f3\]$/[f3]\nlineage-kept = 50/' "$F3_CONF"
f3_ok ctl reload >/dev/null
run B1 last 'cat "$0/tmp/n" >"$0/out/last"'
gone() { ctl --json activation list | jq -rs '[.[] | .item? // . | select(.activation) | .activation] | join(" ")'; }
f3_becomes 20 "forgotten" B1 gone
f3_eq "its edges, too" "$(edges "$w/tmp/m5")" ''
f3_eq "not those of others" "$(edges "$w/out/last" --up)" 'generated B1 /out/last 1; used B1 /tmp/n 1'
f3_match "fsck" "$(ctl fsck)" ' 0 problems'
