#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Who may give hints: root, and whom the configuration names; and the socket of each next daemon.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq setpriv /usr/bin/python3
chmod 755 "$F3_TEST_TMP"
f3_volume data -
sock=$F3_RUN/hint.sock
cat >hello.py <<'P'
import socket, sys
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
    s.sendall(b'{"op":"hello"}\n')
except ConnectionError:
    pass    # the reason may be there already
except PermissionError as e:
    sys.exit(str(e))
line = s.makefile().readline()
print(line, end='')
sys.exit('"ok":true' not in line)
P
hello() { python3 hello.py "$sock"; }
as() { setpriv --reuid "$1" --regid "$2" --groups "$3" -- /usr/bin/python3 hello.py "$sock"; }
chmod 755 . && chmod 644 hello.py

f3_start
f3_eq "mode" "$(stat -c '%a %u %g' "$sock")" "660 0 0"
f3_no 1 'Permission denied' as 1000 1000 1000
f3_ok hello >/dev/null
f3_stop

f3_start -o hint-gid=2000 -o control-gid=3000
f3_eq "the group's" "$(stat -c '%a %g' "$sock")" "660 2000"
f3_no 1 'Permission denied' as 1000 1000 1000,3000
f3_ok as 1000 1000 1000,2000 >/dev/null
f3_stop

f3_start -o hint-uid=1001 -o 'hint-gid=2000\,2001'
f3_eq "everybody may knock" "$(stat -c %a "$sock")" 666
f3_no 1 'EACCES.*not for this user: see hint-uid and hint-gid' as 1000 1000 1000
f3_ok as 1001 1000 1000 >/dev/null
f3_ok as 1000 1000 2001 >/dev/null

# The worker dies, and there is another; then another program takes over. Connections end, new ones work.
cat >held.py <<'P'
import os, sys
sys.path.insert(0, os.environ['F3_SRCDIR'] + '/tests/functional')
from hinttest import Connection
c = Connection(sys.argv[1])
assert c.ask({'op': 'status'})['ok']
print('connected', flush=True)
try:
    c.line()
except (EOFError, ConnectionError):
    sys.exit(0)
sys.exit('something was said')
P
lost() # COMMAND...: it makes who is connected lose the connection
{
	local holder
	rm -f connected
	python3 held.py "$sock" >connected &
	holder=$!
	f3_until 60 grep -q connected connected || f3_bad "not connected"
	f3_ok "$@" >/dev/null
	wait "$holder" || f3_bad "held on"
	f3_until 60 hello || f3_bad "no hints after $*"
}
lost kill -KILL "$F3_PID"
pid() { ctl --json status | jq .pid; }
other() { local now; now=$(pid) && [ -n "$now" ] && [ "$now" != "$F3_PID" ]; }
f3_until 60 other || f3_bad "the worker is still the same"
F3_PID=$(pid)
lost ctl upgrade
f3_until 60 other || f3_bad "not upgraded"
F3_PID=$(pid)
f3_stop
echo file >"$sock"
f3_launch && f3_bad "started over a file"
grep -q 'hint.sock is in the way, and not a socket' "$F3_LOG" || f3_bad "reason: $(tail -n 1 "$F3_LOG")"
rm "$sock"
