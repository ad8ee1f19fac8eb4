#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A control socket fed garbage: each line is answered, the connection stays, the daemon lives.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq python3
f3_volume data -
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_start
mkdir "$F3_MNT/data/d"
echo content >"$F3_MNT/data/f"
ln -s d "$F3_MNT/data/link"
f3_ok python3 "$F3_SRCDIR/tests/fuzz/control.py" "$F3_RUN/control.sock" \
	"$F3_SRCDIR/tests/fuzz/corpus/control" "${F3_COUNT:-20000}" "${F3_SEED:-1}"
f3_eq "the file" "$(cat "$F3_MNT/data/f")" content
f3_eq "the daemon" "$(ctl --json status | jq .pid)" "$F3_PID"

# Connections are bounded: one too many is told so, and has a place when another goes.
f3_ok python3 - "$F3_RUN/control.sock" <<'P'
import json, socket, sys, time
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.settimeout(30)
    return s
def place():
    """A connection that is served; those closed before may still hold theirs for a while."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        s = connect()
        try:
            s.sendall(b'{"op":"log-level"}\n')
            if json.loads(s.recv(4096))['ok']:
                return s
        except ConnectionError:
            pass    # it was told EBUSY, and the connection closed, before it had said anything
    raise SystemExit('no place is free')
held = [place() for _ in range(32)]
late = connect()
answer = json.loads(late.recv(4096))
assert answer['error'] == 'EBUSY', answer
assert late.recv(1) == b''
held.pop().close()
s = place()
# One that does not read its answers holds up nobody else.
deaf = held.pop()
deaf.sendall(b'{"op":"metrics"}\n' * 200)
s.sendall(b'{"op":"log-level"}\n')
assert json.loads(s.recv(4096))['ok']
P
# Stopping does not wait for those who hold connections.
exec {idle}<> <(:)
python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"{\"op\":\"metrics\"}\n" * 200 + b"half a li")
print("connected", flush=True)
sys.stdin.read()' "$F3_RUN/control.sock" <&"$idle" >connected &
holder=$!
f3_until 60 grep -q connected connected || f3_bad "not connected"
f3_stop
kill $holder 2>/dev/null
wait $holder 2>/dev/null
exec {idle}<&-
