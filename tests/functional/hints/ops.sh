#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What each operation of the hint socket answers: hello, status, locate, prefetch.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq python3
f3_volume data -
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_set node=worker-1
f3_start
p=$F3_MNT/photos
mkdir "$p/in"
head -c 3000000 /dev/urandom >"$p/in/a"
head -c 5000 /dev/urandom >"$p/in/b"
echo local >"$F3_MNT/data/x"
sum=$(cat "$p"/in/* | md5sum)
f3_ok ctl sync "$p"
f3_closed

f3_ok python3 - "$F3_RUN/hint.sock" "$F3_PID" "$F3_MNT" <<'P'
import os, sys
sys.path.insert(0, os.environ['F3_SRCDIR'] + '/tests/functional')
from hinttest import Connection, wants
c = Connection(sys.argv[1])
a = wants(c.ask({'op': 'hello', 'version': 1, 'id': 'x'}), ok=True, version=1, node='worker-1', id='x')
assert a['server'].startswith('f3 ')
assert {'hello', 'status', 'locate', 'prefetch', 'begin', 'end', 'bind', 'unbind'} <= set(a['ops']), a
wants(c.ask({'op': 'hello', 'version': 7}), ok=True, version=1)
wants(c.ask({'op': 'hello', 'version': 0}), ok=False, error='EINVAL')
a = wants(c.ask({'op': 'status', 'id': 17}), ok=True, id=17, pid=int(sys.argv[2]), mountpoint=sys.argv[3],
          volumes=['data', 'photos'], dirty_bytes=0, connections=1)
assert a['cache']['used_bytes'] >= 3005000 and a['prefetch'] == {'queued': 0, 'running': 0}, a

# Ids come back as they are; what is none is refused.
for number in (-1, 0, 2**63 - 1):
    wants(c.ask({'op': 'status', 'id': number}), id=number)
for wrong in (None, 1.5, True, [], {}, 'x' * 129):
    a = wants(c.ask({'op': 'status', 'id': wrong}), ok=False, error='EBADMSG')
    assert 'id' not in a
a = c.ask({'op': 'status'})
assert 'id' not in a

# What there is not (yet) is said to be so, and by hello.
for op in ('nope', 'binds', 'HELLO', ''):
    wants(c.ask({'op': op, 'id': 1}), ok=False, error='EOPNOTSUPP', id=1)

a = wants(c.ask({'op': 'locate', 'volume': 'photos', 'new-in-2': [1],
                 'paths': ['/in/a', '/in/b', '/in/c', '/in', '/../x', 'in/a', '/in/a/x']}), ok=True)
f = {x['path']: x for x in a['files']}
wants(f['/in/a'], size=3000000, here_bytes=3000000, state='clean', only_copy=False, type='file')
wants(f['/in/a'], **{'class': 'writeback'})
wants(f['/in/c'], error='ENOENT')
wants(f['/in'], type='directory')
wants(f['/../x'], error='EINVAL')
wants(f['in/a'], error='EINVAL')
wants(f['/in/a/x'], error='ENOTDIR' if f['/in/a/x'].get('error') == 'ENOTDIR' else 'ENOENT')
assert a['nodes'] == [{'node': 'worker-1', 'bytes': 3005000, 'missing_bytes': 0, 'estimate_ms': 0,
                       'only_copy_bytes': 0}], a
a = wants(c.ask({'op': 'locate', 'volume': 'data', 'paths': ['/x']}), ok=True)
wants(a['files'][0], only_copy=True, size=6, **{'class': 'ephemeral'})
assert a['nodes'][0]['only_copy_bytes'] == 6
wants(c.ask({'op': 'locate', 'volume': 'data', 'paths': []}), ok=True, files=[])
wants(c.ask({'op': 'locate', 'volume': 'no', 'paths': []}), ok=False, error='ENOENT')
wants(c.ask({'op': 'locate', 'paths': []}), ok=False, error='EINVAL')
for paths in (None, 'x', [1], {'a': 1}):
    wants(c.ask({'op': 'locate', 'volume': 'data', 'paths': paths}), ok=False, error='EINVAL')
wants(c.ask({'op': 'locate', 'volume': 'data', 'paths': ['/x'] * 257}), ok=False, error='E2BIG')
wants(c.ask({'op': 'locate', 'volume': 'data', 'paths': ['/' + 'x' * 240] * 256}), ok=False, error='EMSGSIZE')
wants(c.ask({'op': 'prefetch', 'volume': 'photos', 'paths': ['/in/a', '/in/b', '/in/c', '/in']}),
      ok=True, begun=0, here=2, missing=2, dropped=0)
P
f3_ok ctl evict -R "$p"
f3_eq "away" "$(f3_info "$p/in/a" .place)" store
f3_ok python3 - "$F3_RUN/hint.sock" <<'P'
import os, sys
sys.path.insert(0, os.environ['F3_SRCDIR'] + '/tests/functional')
from hinttest import Connection, wants
c = Connection(sys.argv[1])
ask = {'op': 'locate', 'volume': 'photos', 'paths': ['/in/a', '/in/b']}
n = wants(c.ask(ask), ok=True)['nodes'][0]
wants(n, bytes=0, missing_bytes=3005000, only_copy_bytes=0)
assert n['estimate_ms'] > 0, n
wants(c.ask({'op': 'prefetch', 'volume': 'photos', 'paths': ['/in/a', '/in/b', '/in/c']}),
      ok=True, begun=2, here=0, missing=1, dropped=0)
P
prefetched() { ctl --json ls "$p/in" | jq -r .place | sort -u; }
f3_becomes 60 "prefetched" here prefetched
mv "$F3_STORE/photos" "$F3_STORE/away"
f3_eq "read without the store" "$(cat "$p"/in/* | md5sum)" "$sum"
mv "$F3_STORE/away" "$F3_STORE/photos"
f3_closed
counted() { grep -F "$1 " "$F3_MNT/.stats" | cut -d' ' -f2; }
f3_eq "prefetches" "$(counted 'f3_hints_total{op="prefetch",result="ok"}')" 2
f3_eq "what was none" "$(counted 'f3_hints_total{op="other",result="error"}')" 10
f3_eq "files" "$(counted 'f3_prefetched_files_total{result="ok"}')" 2

# Names that only the store knows are asked for; other hints are answered meanwhile.
mkdir -p "$F3_STORE/photos/new"
echo foreign >"$F3_STORE/photos/new/f"
f3_ok python3 - "$F3_RUN/hint.sock" <<'P'
import os, sys, time
sys.path.insert(0, os.environ['F3_SRCDIR'] + '/tests/functional')
from hinttest import Connection, wants
c = Connection(sys.argv[1])
deadline = time.monotonic() + 60    # its directory was listed a moment ago
while True:
    a = wants(c.ask({'op': 'locate', 'volume': 'photos', 'paths': ['/new/f'], 'id': 5}), ok=True, id=5)
    if 'error' not in a['files'][0] or time.monotonic() > deadline:
        break
wants(a['files'][0], size=8, here_bytes=0, only_copy=False)
P
