#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Who may speak on the control socket: root, and whom the configuration names.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq setpriv
chmod 755 "$F3_TEST_TMP"
f3_volume data -
sock=$F3_RUN/control.sock
as() { setpriv --reuid "$1" --regid "$2" --groups "$3" -- f3ctl -s "$sock" status; }

f3_start
f3_eq "mode" "$(stat -c '%a %u %g' "$sock")" "660 0 0"
f3_no 1 'Permission denied' as 1000 1000 1000
f3_ok ctl status >/dev/null
f3_stop

f3_start -o control-gid=2000
f3_eq "the group's" "$(stat -c '%a %g' "$sock")" "660 2000"
f3_no 1 'Permission denied' as 1000 1000 1000
f3_ok as 1000 1000 1000,2000 >/dev/null
f3_ok as 1000 2000 2000 >/dev/null
f3_stop

f3_start -o control-uid=1001 -o 'control-gid=2000\,2001'
f3_eq "everybody may knock" "$(stat -c %a "$sock")" 666
f3_no 1 'not for this user' as 1000 1000 1000
f3_ok as 1001 1000 1000 >/dev/null
f3_ok as 1000 1000 2001 >/dev/null
f3_no 1 'not for this user' as 1000 1000 1002
