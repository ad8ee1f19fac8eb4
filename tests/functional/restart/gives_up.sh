#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A daemon that cannot be started again: calls wait for failure-wait, then get EIO until there is
# one again (on-failure=eio), or the mount is given up (abort). And restart=no.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data -
f3_set failure-wait=1s

break_database() { mv "$F3_CACHE/db/CURRENT" "$F3_TEST_TMP/CURRENT"; echo nonsense >"$F3_CACHE/db/CURRENT"; }
mend_database() { mv "$F3_TEST_TMP/CURRENT" "$F3_CACHE/db/CURRENT"; }

f3_set on-failure=eio
f3_start
echo kept >"$F3_MNT/data/file"
exec 5<"$F3_MNT/data/file"
break_database
kill -KILL "$F3_PID"
f3_match "a call that waited" "$(stat "$F3_MNT/data/new" 2>&1)" 'Input/output error'
f3_match "the next" "$(cat "$F3_MNT/data/new2" 2>&1)" 'Input/output error'
f3_match "why" "$(cat "$F3_LOG")" 'could not be served for 1 s .*calls get EIO until it is back'
f3_eq "state" "$(jq -r .state "$F3_RUN/supervisor.json")" refusing
# What it says of itself while nobody serves.
# A worker that had not said so before its time was over may be the last that died: the next will.
says_why() { [[ $(ctl status 2>&1) =~ reason\ +.*database ]]; }
f3_until 60 says_why
f3_no 1 'cannot be started: calls get EIO' ctl status
f3_match "supervisor" "$f3_output" "supervisor +process $F3_SUPERVISOR, restarts [1-9][0-9]*, last death"
f3_match "mount" "$f3_output" "$F3_MNT"
f3_match "why" "$f3_output" 'reason +.*database'
says() { jq -e "$1" <<<"$(ctl --json status)" >/dev/null; }
for fact in '.ok == false' '.state == "refusing"' ".supervisor_pid == $F3_SUPERVISOR" '.restarts > 0' \
	'.pid >= 0' '.last_death | test("exit code 1|signal")' ".mountpoint == \"$F3_MNT\""; do
	says "$fact" || f3_bad "status lacks $fact: $(ctl --json status)"
done
f3_eq "the native reader goes on" "$(head -c 4 <&5)" kept
exec 5<&-
mend_database
back() { [ "$(cat "$F3_MNT/data/file" 2>/dev/null)" = kept ]; }
f3_until 60 back || f3_bad "it did not come back"
F3_PID=$(($(<"/proc/$F3_SUPERVISOR/task/$F3_SUPERVISOR/children")))
f3_eq "closed while nobody served" "$(ctl --json status | jq .opens.now)" 0
f3_stop

# A request that every daemon dies of is answered in the end, and the mount goes on.
if F3_DEBUG_POINTS="none=exit" f3d --version >/dev/null 2>&1; then
	F3_DEBUG_POINTS="create.taken=exit" f3_start
	f3_match "what kills it" "$(: 2>&1 >"$F3_MNT/data/poison")" 'Input/output error'
	f3_until 60 back || f3_bad "it did not come back"
	F3_PID=$(($(<"/proc/$F3_SUPERVISOR/task/$F3_SUPERVISOR/children")))
	f3_stop
fi

f3_set on-failure=abort
f3_start
break_database
kill -KILL "$F3_PID"
f3_match "a call that waited" "$(stat "$F3_MNT/data/new" 2>&1)" 'not connected|abort|No such file'
f3_wait
f3_eq "exit code" $? 1
f3_unmounted "$F3_MNT"
f3_no 1 'no f3d answers' ctl status
mend_database

f3_set restart=no
f3_start
kill -KILL "$F3_PID"
f3_wait
f3_eq "exit code" $? 1
f3_match "the mount" "$(stat "$F3_MNT/data" 2>&1)" 'not connected'
umount -l "$F3_MNT"
f3_start
f3_eq "all is there" "$(cat "$F3_MNT/data/file")" kept
