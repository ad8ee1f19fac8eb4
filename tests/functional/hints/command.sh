#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3hint: its verbs, what it prints and ends with, over the death of the daemon too.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume photos "file://$F3_STORE/photos" default-class=writeback namespace=guest
f3_set node=worker-1
f3_start
echo content >"$F3_MNT/photos/a"
f3_ok ctl sync
f3_closed
export F3_HINT_SOCKET=$F3_RUN/hint.sock

f3_eq "hello" "$(f3hint hello | jq -c '[.ok, .version, .node]')" '[true,1,"worker-1"]'
f3_eq "status" "$(f3hint status | jq .pid)" "$F3_PID"
f3_eq "locate" "$(f3hint -s "$F3_RUN/hint.sock" locate photos /a /b | jq -c '[.files[].size, .nodes[0].bytes]')" "[8,null,8]"
f3_ok ctl evict "$F3_MNT/photos/a"
f3_eq "prefetch" "$(f3hint prefetch photos /a | jq .begun)" 1
f3_eq "send" "$(f3hint send '{"op":"status"}' '{"op":"hello"}' | jq -c .ok | tr '\n' ' ')" "true true "
f3_eq "lines" "$(for i in {1..3000}; do echo '{"op":"status"}'; done | f3hint send | jq -s -c '[length, (map(.ok) | all)]')" \
	"[3000,true]"
f3_eq "a last line" "$(printf ' \n{"op":"hello"}\n\n{"op":"hello"}' | f3hint send | wc -l)" 2

f3_eq "bind" "$(f3hint bind box guest photos / ro $$ | jq .new)" true
f3_eq "shown" "$(cat "$F3_RUN/views/box/a")" content
f3_eq "unbind" "$(f3hint unbind box | jq .was_bound)" true
f3_no 1 'see namespace in f3.conf' f3hint bind box stranger photos / ro
f3_no 2 'are wanted' f3hint bind box guest
f3_no 2 'are wanted' f3hint bind box guest photos / rwx
f3_no 2 'number of a process' f3hint bind box guest photos / ro 1x
f3_no 2 'one view is wanted' f3hint unbind

f3_no 1 'there is no such volume' f3hint locate nope /a
f3_eq "what is refused is printed too" "$(f3hint locate nope /a 2>/dev/null | jq -r .error)" ENOENT
f3_no 1 'no such operation' f3hint send '{"op":"nope"}'
f3_no 1 'is no JSON object' f3hint send garbage
f3_no 1 'is no JSON object' f3hint send <<<garbage
f3_eq "the others are sent" "$(printf '{"op":"hello"}\ngarbage\n{"op":"nope"}\n{"op":"hello"}\n' | f3hint send 2>/dev/null | wc -l)" 3
f3_no 1 'No such file' f3hint -s "$F3_TEST_TMP/nothing" hello
f3_no 2 'which verb' f3hint
f3_no 2 'no such verb' f3hint nope
f3_no 2 'wants a volume and paths' f3hint locate photos
f3_no 2 'takes no arguments' f3hint hello there
f3_no 2 'unknown option' f3hint --nope hello
f3_no 2 '86400' f3hint -t -1 hello
f3_match "version" "$(f3hint -V)" '^f3hint [0-9.]+$'
for verb in $(f3hint --print=names); do
	f3_match "help has $verb" "$(f3hint -h)" "  $verb "
done

# One connection over kill -9 and f3ctl upgrade: what is asked next is answered by the successor.
mkfifo in
f3hint -t 60 send <in >out &
asking=$!
exec {ask}>in
answers() { [ "$(wc -l <out)" -ge "$1" ]; }
pid() { tail -n 1 out | jq .pid; }
echo '{"op":"status"}' >&"$ask"
f3_until 60 answers 1 || f3_bad "no answer"
f3_eq "the first" "$(pid)" "$F3_PID"
kill -KILL "$F3_PID"
f3_until 60 f3_gone "$F3_PID"
echo '{"op":"status"}' >&"$ask"
f3_until 60 answers 2 || f3_bad "no answer of the second"
f3_eq "the second" "$(pid)" "$(ctl --json status | jq .pid)"
F3_PID=$(pid)
f3_ok ctl upgrade >/dev/null
echo '{"op":"status"}' >&"$ask"
f3_until 60 answers 3 || f3_bad "no answer of the third"
f3_eq "the third" "$(pid)" "$(ctl --json status | jq .pid)"
F3_PID=$(pid)
exec {ask}>&-
wait "$asking"
f3_eq "exit code" $? 0

# What the shell completes, from the same table.
_init_completion() { cword=$COMP_CWORD words=("${COMP_WORDS[@]}") cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}; }
_filedir() { mapfile -t COMPREPLY < <(compgen -f -- "$cur"); }
set +u
# shellcheck source=/dev/null
. "$F3_BUILDDIR/completion/f3hint"
offered()
{
	COMP_WORDS=(f3hint "$@") COMP_CWORD=$# COMPREPLY=()
	_f3hint
	printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' '
}
f3_eq "verbs" "$(offered '')" "$(f3hint --print=names | sort | tr '\n' ' ')"
f3_eq "options" "$(offered --t)" "--timeout "
f3_eq "paths" "$(offered prefetch photos ou)" "out "
f3_eq "no paths" "$(offered -t 5 hello ou)" " "
