# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Activations with commit sets. Sourced after lib.sh and activation.sh; the volume is called v, and what
# its store has says `stored KEY`, `keys`, `prepared` and `uploads`, of a directory or of S3.

# set_container: one for the activations of a test: $group, $in_it.
set_container()
{
	local h
	for h in $(act_hierarchies); do
		group=$(act_group "$h" c) && break
	done
	[ -n "${group:-}" ] || f3_skip "no hierarchy of control groups"
	act_holder "$group"
	in_it=$act_pid
}

# set_begin ID async|sync [MEMBERS]: everything below /out, whatever its class.
set_begin()
{
	hint "$(jq -nc --arg id "$1" --arg commit "$2" --argjson pid "$in_it" --argjson more "{${3:-}}" \
		'{op: "begin", activation: $id, namespace: "guest", action: "/guest/blur", container: {pid: $pid},
		volume: "v", commit: $commit, outputs: [{path: "/out/**"}]} + $more')"
}

# set_end ID [true|false]
set_end()
{
	hint "$(jq -nc --arg id "$1" --argjson ok "${2:-true}" '{op: "end", activation: $id, ok: $ok}')"
}

# What the function does: in its container, in the volume.
does()
{
	act_in "$group" sh -c 'cd "$0" && eval "$1"' "$F3_MNT/v" "$1"
}

# Of a volume on a directory: $F3_STORE/v.
set_on_files()
{
	stored() { cat "$F3_STORE/v/$1" 2>/dev/null; }
	keys() { (cd "$F3_STORE/v" && find . -path ./.f3 -prune -o -type f -printf '%P\n' | sort | tr '\n' ' '); }
	prepared() { find "$F3_STORE/v/.f3/stage" "$F3_STORE/v/.f3/commit" -type f 2>/dev/null | wc -l; }
	uploads() { find "$F3_STORE/v/.f3/upload" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }
}

# Of one on S3: f3_s3_start and f3_s3_volume v.
set_on_s3()
{
	stored() { f3_s3 get "$1" 2>/dev/null; }
	keys() { f3_s3 ls | grep -v -e '^\.f3/' -e '/$' | sort | tr '\n' ' '; }
	prepared() { f3_s3 ls | grep -c -e '^\.f3/stage/.' -e '^\.f3/commit/.'; }
	uploads() { f3_s3 uploads | wc -l; }
}

# Nothing is left of any set, here or in the store.
set_nothing_left()
{
	f3_becomes 60 "$1: what was prepared" 0 prepared
	f3_becomes 60 "$1: uploads" 0 uploads
}
