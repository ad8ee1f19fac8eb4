#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The hint socket with many connections, long pipelines, readers that do not read, and half lines.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq python3
f3_volume data -
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_start
echo content >"$F3_MNT/data/f"
echo "own bytes" >"$F3_MNT/photos/f"
f3_ok ctl sync
resident() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$F3_PID/status"; }
before=$(resident)

f3_ok python3 - "$F3_RUN/hint.sock" <<'P'
import os, select, socket, sys, threading
sys.path.insert(0, os.environ['F3_SRCDIR'] + '/tests/functional')
from hinttest import Connection, wants
path = sys.argv[1]

# 20,000 hints without waiting for an answer; those that need no store are answered in order.
c = Connection(path)
ask = b'{"op":"locate","volume":"data","paths":["/f"],"id":%d}\n'
sender = threading.Thread(target=lambda: [c.send(b''.join(ask % i for i in range(n, n + 100)))
                                          for n in range(0, 20000, 100)])
sender.start()
for i in range(20000):
    wants(c.answer(), ok=True, id=i)
sender.join()
# The same with ones that go through the daemon's queue: every one is answered, once.
sender = threading.Thread(target=lambda: [
    c.send(b'{"op":"prefetch","volume":"photos","paths":["/f","/no"],"id":%d}\n' % i) for i in range(2000)])
sender.start()
got = sorted(wants(c.answer(), ok=True, here=1, missing=1)['id'] for _ in range(2000))
assert got == list(range(2000))
sender.join()

# Who does not read is not read from any more, and costs a bounded amount of memory.
deaf = Connection(path)
deaf.socket.setblocking(False)
sent = 0
try:
    while True:
        sent += deaf.socket.send(b'{"op":"hello"}\n' * 1000)
        assert sent < 64 << 20, 'it takes for ever what is not read'
except BlockingIOError:
    pass
wants(c.ask({'op': 'hello'}), ok=True)
# It is answered everything once it reads.
deaf.socket.settimeout(120)
answers = 0
data = b''
while answers < sent // 15:
    data = deaf.socket.recv(1 << 20)
    answers += data.count(b'\n')

# 1,000 connections, each with half a line; then the rest of it.
many = []
for _ in range(1000):
    many.append(Connection(path))
    many[-1].send(b'{"op":"hello",')
for i, m in enumerate(many):
    m.send(b'"id":%d}\n' % i)
for i, m in enumerate(many):
    wants(m.answer(), ok=True, id=i)
# Connections are bounded: one too many is told so, and has a place when another goes.
while True:
    more = Connection(path)
    try:
        more.send(b'{"op":"hello"}\n')
    except ConnectionError:
        pass    # turned away before it has said anything
    a = more.answer()
    if not a['ok']:
        wants(a, error='EBUSY')
        break
    many.append(more)
    assert len(many) <= 1024, len(many)
for m in many:
    m.close()
wants(c.ask({'op': 'hello'}), ok=True)

# Half lines that are long: who asks for too much of what all share is disconnected, the others stay.
greedy = []
for _ in range(60):
    greedy.append(Connection(path))
    try:
        greedy[-1].send(b'{"op":"' + b'x' * 60000)
    except ConnectionError:
        pass
wants(c.ask({'op': 'hello'}), ok=True)
ends = select.poll()
for g in greedy:
    ends.register(g.socket, select.POLLIN)
assert ends.poll(60000), 'nobody was disconnected'
ended = 0
for g in greedy:
    g.socket.settimeout(0)
    try:
        ended += not g.socket.recv(1)
    except BlockingIOError:
        pass
    except ConnectionError:
        ended += 1
assert 0 < ended < 60, ended
for g in greedy:
    g.close()

# The last line of who closes its sending side needs no newline.
last = Connection(path)
last.send(b'{"op":"hello","id":1}\n{"op":"prefetch","volume":"photos","paths":["/f"],"id":2}')
last.socket.shutdown(socket.SHUT_WR)
assert {last.answer()['id'], last.answer()['id']} == {1, 2}
assert last.socket.recv(1) == b''
# Who goes in the middle of everything is forgotten.
for _ in range(50):
    gone = Connection(path)
    gone.send(b'{"op":"prefetch","volume":"photos","paths":["/f"]}\n' * 20 + b'{"op')
    gone.close()
wants(c.ask({'op': 'hello'}), ok=True)
P
after=$(resident)
[ -n "${F3_SANITIZE:-}" ] || [ $((after - before)) -lt 16384 ] ||
	f3_bad "$((after - before)) KiB more resident than before"
alone() { [ "$(grep '^f3_hint_connections ' "$F3_MNT/.stats")" = "f3_hint_connections 0" ]; }
f3_until 60 alone || f3_bad "$(grep '^f3_hint_connections' "$F3_MNT/.stats")"

# Stopping does not wait for those who hold connections, nor for what they have begun.
exec {idle}<> <(:)
python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"{\"op\":\"status\"}\n" * 200 + b"half a li")
print("connected", flush=True)
sys.stdin.read()' "$F3_RUN/hint.sock" <&"$idle" >connected &
holder=$!
f3_until 60 grep -q connected connected || f3_bad "not connected"
f3_stop
kill $holder 2>/dev/null
wait $holder 2>/dev/null
exec {idle}<&-
[ -e "$F3_RUN/hint.sock" ] && f3_bad "the socket is still there after a stop"
exit 0
