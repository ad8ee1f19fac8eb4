#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A hint socket fed garbage: each line is answered, the connection stays, the daemon lives.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq python3
f3_volume data - namespace=guest
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_start
mkdir "$F3_MNT/data/d"
echo content >"$F3_MNT/data/f"
ln -s d "$F3_MNT/data/link"
f3_ok python3 "$F3_SRCDIR/tests/fuzz/control.py" --alive hello "$F3_RUN/hint.sock" \
	"$F3_SRCDIR/tests/fuzz/corpus/hint" "${F3_COUNT:-20000}" "${F3_SEED:-1}"
f3_eq "the file" "$(cat "$F3_MNT/data/f")" content
f3_eq "the daemon" "$(ctl --json status | jq .pid)" "$F3_PID"

# Mutations may have bound something: for the one namespace, of the one volume, in the one directory.
bad=$(ctl --json view list | jq -c '.views[] | select(.namespace != "guest" or .volume != "data" or (.state != "bound"))')
f3_eq "views" "$bad" ""
ctl --json view list | jq -r '.views[].view' >views
while IFS= read -r view; do
	f3_ok ctl view unbind -- "$view"
done <views
f3_eq "mounts" "$(grep -c "$F3_RUN/views/" /proc/self/mountinfo)" 0
f3_eq "directories" "$(find "$F3_RUN/views" -mindepth 1)" ""
