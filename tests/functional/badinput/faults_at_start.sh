#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=400
#
# A daemon was killed with a file that was being written and one that has to go up, and what its
# successor asks of the disk, the database or a store fails: it serves, or says why not and leaves
# everything as it is for the next one. fsck finds nothing afterwards.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse debug jq
f3_set retry-min=20ms retry-max=200ms restart=no
f3_volume l -
f3_volume d "file://$F3_STORE/d" default-class=durable
f3_volume w "file://$F3_STORE/w" default-class=writeback

starts=0
deaths=0
f3_start
echo local >"$F3_MNT/l/kept"
echo object >"$F3_MNT/d/kept"
for fault in kv.open=EIO kv.open=EBADMSG kv.open=ENOSPC kv.get=EIO@1 kv.get=EIO@4 \
	kv.next=EIO@1 kv.next=EBADMSG@6 kv.next=EIO@12 kv.write=EIO@1 \
	kv.write=ENOSPC@2x1 kv.sync=EIO backing.stat=EIO backing.open=EIO \
	backing.make=ENOSPC object.head=EIO object.put=4095 object.list=EIO; do
	exec {fd}>"$F3_MNT/l/written"
	echo "$fault" >&"$fd"
	echo "$fault" >"$F3_MNT/w/pending"
	f3_kill
	exec {fd}>&-
	rc=0
	F3_DEBUG_FAULTS=$fault f3_launch || rc=$?
	starts=$((starts + 1))
	if [ $rc -ge 128 ]; then
		f3_bad "$fault: f3d died with $rc at its start"
		deaths=$((deaths + 1))
	fi
	if [ $rc -eq 0 ]; then
		f3_kill
	else
		tail -n 1 "$F3_LOG" | grep -Eq "(corrupt|database|$F3_CACHE|volume)" ||
			f3_bad "$fault: it does not say what is wrong: $(tail -n 1 "$F3_LOG")"
	fi
	f3_start
	f3_eq "$fault: what was written" "$(cat "$F3_MNT/l/written")" "$fault"
	f3_eq "$fault: what has to go up" "$(cat "$F3_MNT/w/pending")" "$fault"
done
f3_ok ctl sync
f3_eq "it went up" "$(cat "$F3_STORE/w/pending")" "$fault"
f3_eq "what was there before" "$(cat "$F3_MNT/l/kept" "$F3_MNT/d/kept")" $'local\nobject'
f3_stop
f3_fsck
echo "$starts starts with faults, $deaths deaths of the daemon"
