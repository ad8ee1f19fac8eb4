#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Programs that cannot take over are refused with the reason, and whoever serves goes on as if nothing
# had been; one that fails after it was told to go makes room for the program of before.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq setpriv
f3_volume data -
f3_set upgrade-wait=20s
f3_start
exec 5<>"$F3_MNT/data/open"
echo 1 >&5

# refused REGEX [BINARY]: it is, and nothing has happened.
refused()
{
	local regex=$1
	shift
	f3_no 1 "$regex" ctl upgrade "$@"
	f3_eq "who serves" "$(ctl --json status | jq .pid)" "$F3_PID"
	f3_eq "upgrades" "$(ctl --json status | jq .upgrades)" 0
	f3_ok stat "$F3_MNT/data/open" >/dev/null
}
other() { cp "$(command -v other_f3d)" "$F3_TEST_TMP/f3d-$1" && echo "$F3_TEST_TMP/f3d-$1"; }

refused 'No such file' "$F3_TEST_TMP/nothing"
refused 'not an executable file' "$F3_CONF"
refused 'not an executable file' "$F3_TEST_TMP"
refused 'exit code 0: is it an f3d' "$(type -P true)"
printf '#!/bin/sh\nexit 0\n' >script
chmod +x script
refused 'it needs an interpreter' "$PWD/script"
head -c 100 "$(command -v f3d)" >broken
chmod +x broken
refused 'cannot be executed' "$PWD/broken"
cp "$(type -P true)" "$F3_MNT/data/program"
refused 'FUSE file system' "$F3_MNT/data/program"
refused "speaks version 1 of the supervisor's protocol, the supervisor 2" "$(other protocol)"
refused 'has format 1 of the database, the one that serves 2' "$(other database)"
refused 'saved state: format [0-9]+, this f3d knows' "$(other keep)"
refused 'neither .SECTION. nor KEY' "$(echo nonsense >>"$F3_CONF"; command -v f3d)"
sed -i '$d' "$F3_CONF"

# Not for everybody who may use f3ctl.
f3_stop
f3_start -o control-uid=1001
chmod 755 "$F3_TEST_TMP"
f3_no 1 'only root' setpriv --reuid 1001 --regid 1001 --clear-groups -- \
	f3ctl -s "$F3_RUN/control.sock" upgrade
f3_stop

# A second one at the same time, and one that says nothing.
f3_set upgrade-wait=3s
f3_start
exec 5<>"$F3_MNT/data/open"
mkfifo said
ctl upgrade "$(other slow)" >said 2>&1 &
exec 6<said
children() { [ "$(wc -w <"/proc/$F3_SUPERVISOR/task/$F3_SUPERVISOR/children")" = "$1" ]; }
f3_until 60 children 2
f3_no 1 'under way' ctl upgrade
f3_match "the slow one" "$(cat <&6)" 'not ready within 3 s'
f3_until 60 children 1 || f3_bad "the slow one is there still"
f3_eq "who serves" "$(ctl --json status | jq .pid)" "$F3_PID"
f3_stop

if F3_DEBUG_POINTS="none=exit" f3d --version >/dev/null 2>&1; then
	f3_set upgrade-wait=30s
	f3_start
	exec 5<>"$F3_MNT/data/open"
	f3_no 1 'exit code 137: the program of before goes on' ctl upgrade "$(other dies)"
	f3_match "the log" "$(cat "$F3_LOG")" 'the upgrade failed'
	f3_eq "upgrades" "$(ctl --json status | jq .upgrades)" 0
	F3_PID=$(ctl --json status | jq .pid)
	echo 2 >&5
	f3_ok ctl upgrade >/dev/null
	F3_PID=$(ctl --json status | jq .pid)
	f3_eq "what failed is forgotten" "$(ctl --json status | jq 'has("upgrade_failed")')" false
	exec 5>&-
	f3_stop
fi
