#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The daemon dies between making a durable name and telling the store of it: the call that comes again
# returns when the store knows.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse debug jq
f3_volume v "file://$F3_STORE" default-class=durable
F3_DEBUG_POINTS=make.before-store=exit@1 f3_start
f3_ok mkdir "$F3_MNT/v/dir"
[ -d "$F3_STORE/dir" ] || f3_bad "no directory in the store"
f3_ok mkdir "$F3_MNT/v/dir/below"
[ -d "$F3_STORE/dir/below" ] || f3_bad "no second directory in the store"
f3_ok ln -s target "$F3_MNT/v/dir/link"
[ -e "$F3_STORE/dir/link" ] || [ -L "$F3_STORE/dir/link" ] || f3_bad "no symbolic link in the store"
f3_ok mkfifo "$F3_MNT/v/dir/pipe"
f3_eq "deaths" "$(jq .restarts "$F3_RUN/supervisor.json")" 4
f3_eq "the link" "$(readlink "$F3_MNT/v/dir/link")" target
F3_PID=$(($(<"/proc/$F3_SUPERVISOR/task/$F3_SUPERVISOR/children")))
f3_stop
f3_start
f3_eq "names" "$(cd "$F3_MNT/v" && find . | sort | tr '\n' ' ')" ". ./dir ./dir/below ./dir/link ./dir/pipe "
f3_stop
f3_fsck
