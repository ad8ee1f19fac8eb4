#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bash completion knows the verbs, their options and words of f3ctl's own table.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# What the package bash-completion has for it, as far as it is needed here.
# shellcheck disable=SC2034 # read by the completion
_init_completion()
{
	cword=$COMP_CWORD
	words=("${COMP_WORDS[@]}")
	cur=${words[cword]}
	prev=${words[cword - 1]}
}
_filedir() { mapfile -t COMPREPLY < <(compgen -f -- "$cur"); }
set +u
# shellcheck source=/dev/null
. "$F3_BUILDDIR/completion/f3ctl"

# complete WORD...: what is offered for the last word.
offered()
{
	COMP_WORDS=(f3ctl "$@")
	COMP_CWORD=$#
	COMP_LINE="f3ctl $*"
	COMP_POINT=${#COMP_LINE}
	COMPREPLY=()
	_f3ctl
	printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' '
}
f3_eq "verbs" "$(offered '')" "$(f3ctl --print=names | sort | tr '\n' ' ')"
f3_eq "begun" "$(offered sy)" "sync "
f3_eq "options" "$(offered ls -)" "$(printf '%s\n' -R --recursive -h --help --json -s --socket | sort | tr '\n' ' ')"
f3_eq "classes" "$(offered class '')" "durable ephemeral memory writeback "
f3_eq "after an option" "$(offered --json class -R du)" "durable "
f3_eq "subcommands" "$(offered volume '')" "add list remove "
f3_eq "levels" "$(offered log-level w)" "warn "
touch some-file other
f3_eq "paths" "$(offered info so)" "some-file "
f3_eq "paths after the class" "$(offered class memory o)" "other "
f3_eq "file of an option" "$(offered -s so)" "some-file "
for verb in $(f3ctl --print=names); do
	f3ctl "$verb" -h >help || f3_bad "$verb -h"
	mapfile -t options < <(grep -o -- '--[a-z-]*' help | sort -u)
	for option in "${options[@]}"; do
		[[ " $(offered "$verb" -) " == *" $option "* ]] || f3_bad "$verb: $option is not offered"
	done
done
