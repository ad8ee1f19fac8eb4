#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bind and unbind: who may, what is refused and why, what may be said twice.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq python3
f3_volume data - namespace=guest,other namespace=third
f3_volume shared - 'namespace=*'
f3_volume closed -
f3_volume photos "file://$F3_STORE/photos" readonly=yes namespace=guest
mkdir -p "$F3_STORE/photos"
f3_start
d=$F3_MNT/data
mkdir -p "$d/a/b" "$d/c"
echo content >"$d/a/f"
ln -s a "$d/link"
ln -s / "$d/root"
echo photo >"$F3_STORE/photos/p"

f3_ok python3 - "$F3_RUN" "$F3_MNT" <<'P'
import os, sys
sys.path.insert(0, os.environ['F3_SRCDIR'] + '/tests/functional')
from hinttest import Connection, wants
run, mnt = sys.argv[1:]
views = run + '/views'
c = Connection(run + '/hint.sock')
good = {'op': 'bind', 'view': 'v', 'namespace': 'guest', 'volume': 'data', 'path': '/a', 'mode': 'rw'}

def bind(**more):
    request = {**good, **more}
    return c.ask({k: v for k, v in request.items() if v is not None})

def refused(error, **more):
    a = wants(bind(**more), ok=False, error=error)
    assert a['message'], a
    return a['message']

assert {'bind', 'unbind'} <= set(c.ask({'op': 'hello'})['ops'])
assert os.listdir(views) == []

# Whatever is missing, or not as it must be, binds nothing.
for key in ('view', 'namespace', 'volume', 'path', 'mode'):
    refused('EINVAL', **{key: None})
    for wrong in (1, True, [], {}, ''):
        refused('EINVAL', **{key: wrong})
for name in ('.', '..', '.x', 'a/b', '/a', '../x', 'a\nb', 'a\x7fb'):
    refused('EINVAL', view=name)
refused('ENAMETOOLONG', view='x' * 256)
refused('ENAMETOOLONG', namespace='x' * 256)
for mode in ('RW', 'w', 'ro ', 'r', 'rwx', 'ro,rw', 'rw,suid', 'dev', 'bind'):
    refused('EINVAL', mode=mode)
for path in ('a', '/..', '/a/..', '/a/../../closed', '/./a', '..', '/a/b/../../..'):
    refused('EINVAL', path=path)
refused('ENAMETOOLONG', path='/x' * 4000)
refused('ENAMETOOLONG', path='/' + 'x' * 256)
refused('EINVAL', volume='data/a')
refused('EINVAL', volume='')
for container in (1, 'x', [], {'pid': '1'}, {'pid': 0}, {'pid': -1}, {'pid': 2**31}, {'pid': 1.5}, {'pid': True},
                  {'id': 1}, {'id': ''}, {'id': 'a\nb'}, {'id': {}, 'pid': 1}):
    refused('EINVAL', container=container)
refused('ENAMETOOLONG', container={'id': 'x' * 256})
refused('ESRCH', container={'pid': 2**31 - 1})

# The volume's word.
refused('ENOENT', volume='no')
for namespace in ('stranger', 'gues', 'guest2', 'guest,other', 'GUEST', '*'):
    assert 'see namespace in f3.conf' in refused('EACCES', namespace=namespace)
for namespace in ('guest', '*'):
    refused('EACCES', volume='closed', path='/', namespace=namespace)
refused('EROFS', volume='photos', path='/')

# What is there, and is a directory of that volume, without a symbolic link on the way.
refused('ENOENT', path='/nope')
refused('ENOENT', path='/a/nope/x')
refused('ENOTDIR', path='/a/f')
refused('ENOTDIR', path='/a/f/x')
assert 'symbolic link' in refused('ELOOP', path='/link')
refused('ELOOP', path='/link/b')
refused('ELOOP', path='/root/proc')
refused('ELOOP', path='/root')
assert os.listdir(views) == [], os.listdir(views)

# It is bound, may be said again, and shows nothing else under the same name.
wants(bind(id=1), ok=True, id=1, new=True, directory=views + '/v')
assert open(views + '/v/f').read() == 'content\n'
assert os.listdir(views + '/v') == ['b', 'f'] or os.listdir(views + '/v') == ['f', 'b']
wants(bind(), ok=True, new=False)
wants(bind(path='//a///'), ok=True, new=False)
wants(bind(container={'id': 'c1', 'pid': os.getpid()}), ok=True, new=False)
for other in ({'path': '/'}, {'mode': 'ro'}, {'volume': 'shared', 'path': '/'}, {'namespace': 'other'}, {'path': '/c'}):
    assert 'shows /data/a already' in refused('EEXIST', **other)
wants(bind(view='w', path='/', namespace='third', mode='ro'), ok=True, new=True)
wants(bind(view='s', volume='shared', path='/', namespace='anybody'), ok=True, new=True)
wants(bind(view='p', volume='photos', path='/', mode='ro'), ok=True, new=True)
wants(bind(view='blank \\ v\u00f6', path='/a/b'), ok=True, new=True)
assert open(views + '/p/p').read() == 'photo\n'
for where in ('/w/a/f', '/p/p'):
    try:
        open(views + where, 'w')
        sys.exit('a view that is ro was written to')
    except OSError as e:
        assert e.errno == 30, e
open(views + '/v/new', 'w').write('x')
assert open(mnt + '/data/a/new').read() == 'x'
assert c.ask({'op': 'status'})['views'] == 5
flags = {line.split()[4]: line.split()[5] for line in open('/proc/self/mountinfo')}
assert {'nosuid', 'nodev', 'rw'} <= set(flags[views + '/v'].split(',')), flags
assert {'nosuid', 'nodev', 'ro'} <= set(flags[views + '/w'].split(',')), flags

# What is there no more, or never was, may be unbound.
for wrong in (None, 1, '', '.', 'a/b', 'x' * 256):
    a = c.ask({'op': 'unbind', 'view': wrong})
    assert not a['ok'] and a['error'] in ('EINVAL', 'ENAMETOOLONG'), a
wants(c.ask({'op': 'unbind'}), ok=False, error='EINVAL')
wants(c.ask({'op': 'unbind', 'view': 'never'}), ok=True, was_bound=False)
wants(c.ask({'op': 'unbind', 'view': 'v'}), ok=True, was_bound=True)
wants(c.ask({'op': 'unbind', 'view': 'v'}), ok=True, was_bound=False)
assert not os.path.exists(views + '/v')
wants(bind(path='/c', mode='ro'), ok=True, new=True)
for name in ('v', 'w', 's', 'p', 'blank \\ v\u00f6'):
    wants(c.ask({'op': 'unbind', 'view': name}), ok=True, was_bound=True)
assert os.listdir(views) == [], os.listdir(views)

# A directory that was there is taken and stays; what is none is in the way.
os.mkdir(views + '/mine')
open(views + '/file', 'w').close()
wants(bind(view='mine'), ok=True, new=True)
wants(c.ask({'op': 'unbind', 'view': 'mine'}), ok=True, was_bound=True)
assert os.listdir(views + '/mine') == []
refused('ENOTDIR', view='file')
os.rmdir(views + '/mine')
os.unlink(views + '/file')

# Many at once, of the same and of others.
many = [Connection(run + '/hint.sock') for _ in range(8)]
for i, one in enumerate(many):
    for k in range(16):
        one.send({**good, 'view': f'm{k}', 'id': k})
new = 0
for one in many:
    for _ in range(16):
        new += wants(one.answer(), ok=True)['new']
assert new == 16, new
assert c.ask({'op': 'status'})['views'] == 16
for k in range(16):
    for one in many:
        one.send({'op': 'unbind', 'view': f'm{k}'})
was = sum(wants(one.answer(), ok=True)['was_bound'] for _ in range(16) for one in many)
assert was == 16, was
assert os.listdir(views) == []
P

# An admin needs no namespace. A volume that is shown cannot be removed.
f3_ok ctl volume add extra namespace=guest
f3_eq "bound" "$(ctl view bind adm extra:/)" "$F3_RUN/views/adm"
f3_no 1 'namespace guest2 may not bind volume extra' ctl view bind -n guest2 x extra:/
f3_ok ctl view bind --ro -n guest -c c7 -p $$ sub "$d/a/b" >/dev/null
f3_match "for people" "$(ctl view list)" 'VIEW +SHOWS +MODE +NAMESPACE +STATE.*adm +extra:/ +rw +- +bound.*sub +data:/a/b +ro +guest +bound'
f3_eq "listed" "$(ctl --json view list | jq -c '.views[1] | [.view, .volume, .path, .mode, .namespace, .container, .state]')" \
	"[\"sub\",\"data\",\"/a/b\",\"ro\",\"guest\",{\"id\":\"c7\",\"pid\":$$},\"bound\"]"
f3_eq "named on a view" "$(f3_info "$F3_RUN/views/adm" .volume)" extra
f3_eq "of the volume" "$(ctl --json volume list | jq -c '.volumes[] | select(.name == "extra") | .namespaces')" '["guest"]'
f3_no 1 'view adm shows it' ctl volume remove extra
f3_eq "counted" "$(grep '^f3_views ' "$F3_MNT/.stats")" "f3_views 2"
f3_ok ctl view unbind adm sub
f3_no 1 'there is no view adm' ctl view unbind adm
f3_ok ctl volume remove extra
f3_no 2 'bind, unbind or list' ctl view
f3_no 2 'for bind only' ctl view list --ro
f3_no 1 'namespace guest may not bind volume closed' ctl view bind -n guest x closed:/
f3_stop
f3_unmounted "$F3_RUN/views"
