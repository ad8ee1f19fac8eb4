#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Outputs with readers and a lifetime: when they are removed, and when not.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/activation.sh"
f3_requires root fuse jq
f3_volume w "file://$F3_STORE/w" default-class=durable
f3_set node=worker-1
f3_start
w=$F3_MNT/w
mkdir "$w/tmp" "$w/mem" "$w/out" "$w/long" "$w/short"
h=$(act_hierarchies | head -n 1)
a=$(act_group "$h" a) || f3_skip "no group can be made in $h"
act_holder "$a"; pid=$act_pid
begin() { hint "$(jq -nc --arg id "$1" --arg action "$2" --argjson pid "$pid" \
	'{op: "begin", activation: $id, namespace: "guest", action: $action, container: {pid: $pid}, volume: "w",
	  outputs: [{path: "/tmp/**", class: "ephemeral", readers: ["/guest/one", "/guest/two"]},
		    {path: "/mem/**", class: "memory", readers: ["/guest/one"]},
		    {path: "/short/**", class: "ephemeral", lifetime: 1},
		    {path: "/long/**", class: "ephemeral", lifetime: 5000, readers: ["/guest/one"]},
		    {path: "/out/**", class: "durable", readers: ["/guest/one"], lifetime: 1}]}')" >/dev/null; }
end() { act_end "$1" "${2:-true}" >/dev/null; }
# run ID ACTION SHELL-COMMAND [true|false]: an activation that does that, with $w as $0
run()
{
	f3_ok begin "$1" "$2"
	f3_ok act_in "$a" sh -c "$3" "$w"
	f3_ok end "$1" "${4:-true}"
}
gone() { f3_until 30 test ! -e "$1" || f3_bad "$2: $1 is there: $(ctl --json info "$1")"; }
there() { [ -e "$1" ] || f3_bad "$2: $1 is gone"; }
after() { ctl --json info "$1" | jq -c '.released_after'; }

# After its readers.
run P1 /guest/make 'echo 1 >"$0/tmp/a"; echo 1 >"$0/mem/b"; echo 1 >"$0/out/d"; echo 1 >"$0/long/l"'
f3_eq "whom it waits for" "$(after "$w/tmp/a") $(after "$w/out/d")" '["/guest/one","/guest/two"] null'
f3_match "until when" "$(ctl --json info "$w/long/l" | jq -r .released_at)" '^20..-.*Z$'
f3_match "for people" "$(ctl info "$w/tmp/a")" 'after /guest/one, /guest/two'
run R0 /guest/other 'cat "$0/tmp/a" "$0/mem/b" >/dev/null'
run R1 /guest/one 'cat "$0/tmp/a" "$0/mem/b" "$0/out/d" >/dev/null' false
run R2 /guest/one ':'
cat "$w/tmp/a" "$w/mem/b" >/dev/null
f3_eq "failed, or did not read it" "$(after "$w/tmp/a") $(after "$w/mem/b")" '["/guest/one","/guest/two"] ["/guest/one"]'
run R3 /guest/one 'cat "$0/tmp/a" "$0/mem/b" "$0/out/d" >/dev/null'
gone "$w/mem/b" "its reader has ended"
f3_eq "one of two" "$(after "$w/tmp/a")" '["/guest/two"]'
there "$w/out/d" "durable"

# Restarts in between: of the daemon while a reader is at work, and of what it knows.
f3_ok begin R4 /guest/two
act_in "$a" cat "$w/tmp/a" >/dev/null
kill -9 "$F3_PID"
f3_until 30 ctl status >/dev/null
f3_eq "after a restart" "$(after "$w/tmp/a")" '["/guest/two"]'
f3_ok end R4
gone "$w/tmp/a" "both have ended"

# Not while it is open, not before its maker has ended; not where it was written anew meanwhile.
f3_ok begin P2 /guest/make
act_in "$a" sh -c 'echo 2 >"$0/mem/open"; echo 2 >"$0/mem/anew"' "$w"
f3_ok end P2
exec {fd}<"$w/mem/open"
f3_ok begin R5 /guest/one
act_in "$a" cat "$w/mem/open" "$w/mem/anew" >/dev/null
f3_becomes 20 "sealed" sealed f3_info "$w/mem/anew" .state
echo 3 >"$w/mem/anew"
f3_ok end R5
f3_eq "all have read it" "$(after "$w/mem/open")" '[]'
there "$w/mem/open" "open"
exec {fd}<&-
gone "$w/mem/open" "closed"
there "$w/mem/anew" "written anew"
run R6 /guest/one 'cat "$0/mem/anew" >/dev/null'
gone "$w/mem/anew" "read again"

# Renamed elsewhere, with a second name, in another class: it stays. Renamed within: it goes.
run P3 /guest/make 'for i in away link class within; do echo 3 >"$0/mem/$i"; done'
mv "$w/mem/away" "$w/away"
ln "$w/mem/link" "$w/link"
f3_ok ctl class durable "$w/mem/class" >/dev/null
mv "$w/mem/within" "$w/mem/was-within"
run R7 /guest/one 'cat "$0/away" "$0/link" "$0/mem/class" "$0/mem/was-within" >/dev/null'
gone "$w/mem/was-within" "renamed within"
there "$w/away" "renamed"; there "$w/mem/link" "linked"; there "$w/mem/class" "promoted"

# A lifetime ends whoever has it open, and also while no daemon runs.
run P4 /guest/make 'echo 4 >"$0/short/a"; sleep 0.1' false
exec {fd}<"$w/short/a"
gone "$w/short/a" "lifetime"
f3_eq "still read" "$(cat <&$fd)" 4
exec {fd}<&-
run P5 /guest/make 'echo 5 >"$0/short/b"'
f3_stop
f3_start
gone "$w/short/b" "lifetime, over a restart"
there "$w/long/l" "a longer one"
# A lifetime begins with the end of its maker.
f3_ok begin P6 /guest/make
act_in "$a" sh -c 'echo 6 >"$0/short/c"' "$w"
there "$w/short/c" "its maker runs"

# Many of them; names and actions as they come.
evil=$'/x"\\ \n%s/../\xc3\xa9'
hint "$(jq -nc --arg action "$evil" --argjson pid "$pid" '{op: "end", activation: "P6", ok: true}')" >/dev/null
hint "$(jq -nc --arg id "$evil" --arg action "$evil" --argjson pid "$pid" '{op: "begin", activation: $id, namespace: "n", action: $action,
	container: {pid: $pid}, volume: "w", outputs: [{path: "/tmp/many/**", class: "ephemeral", readers: [$action]}]}')" >/dev/null
act_in "$a" python3 -c 'import os, sys
os.mkdir(sys.argv[1])
for i in range(3000): open(f"{sys.argv[1]}/f{i}", "w").write("x")' "$w/tmp/many"
f3_ok end "$evil"
hint "$(jq -nc --arg action "$evil" --argjson pid "$pid" '{op: "begin", activation: "many", namespace: "n", action: $action, container: {pid: $pid}, volume: "w"}')" >/dev/null
act_in "$a" python3 -c 'import sys
for i in range(2999): open(f"{sys.argv[1]}/f{i}").read()' "$w/tmp/many"
kill -9 "$F3_PID"
f3_until 30 ctl status >/dev/null
f3_ok end many
left() { find "$w/tmp/many" -type f | wc -l; }
f3_becomes 60 "many" 1 left
there "$w/tmp/many/f2999" "nobody read it"
f3_no 1 EINVAL hint "$(jq -nc --argjson pid "$pid" '{op: "begin", activation: "y", namespace: "n", action: "a", container: {pid: $pid}, volume: "w",
	outputs: [{path: "/tmp/**", readers: [range(65) | tostring]}]}')"
f3_match "counted" "$(cat "$F3_MNT/.stats")" 'f3_released_files_total\{reason="readers"\} 2999'
f3_ok ctl sync >/dev/null
f3_match "fsck" "$(ctl fsck)" ' 0 problems'
