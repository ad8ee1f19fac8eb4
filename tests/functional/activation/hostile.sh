#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Begins and ends that nobody should send: each is answered, nothing stays behind, and what is held is bounded.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/activation.sh
. "$F3_SRCDIR/tests/functional/activation.sh"
f3_requires root fuse jq python3
f3_volume w - default-class=ephemeral
f3_set activations-kept=20
f3_start
g=$(act_hierarchies | head -1)
[ -n "$g" ] || f3_skip "no hierarchy of control groups"
g=$(act_group "$g" x) || f3_skip "no control group can be made"
act_holder "$g"
f3_ok python3 - "$F3_RUN/hint.sock" "$act_pid" <<'P'
import copy, os, random, sys
sys.path.insert(0, os.environ['F3_SRCDIR'] + '/tests/functional')
from hinttest import Connection, wants
c = Connection(sys.argv[1])
pid = int(sys.argv[2])
good = {'op': 'begin', 'activation': 'x', 'namespace': 'guest', 'action': '/guest/blur', 'version': '1',
        'volume': 'w', 'container': {'pid': pid}, 'deadline': 0, 'commit': 'none', 'next': ['/guest/thumb'],
        'inputs': [{'path': '/in', 'stream': True, 'wait': 1}],
        'outputs': [{'path': '/out/**', 'class': 'ephemeral', 'stream': True, 'readers': ['/guest/thumb'],
                     'lifetime': 60, 'close': 'seal'}]}
values = [None, True, False, -1, 0, 1, 2**31, 2**63 - 1, 1.5, '', 'x', '/', '..', '/../..', '\\', '[', '[[:', '*' * 1000,
          'x' * 255, 'x' * 256, 'x' * 60000, '\x7f\u20ac', [], {}, [[]], [{}], ['x'] * 300, [{'path': '/'}] * 256,
          [{'path': '/x'}] * 257, {'pid': -1}, {'pid': 0}, {'pid': 1}, {'pid': 2**40}, {'pid': 'x'}, 'ephemeral', 'durable']
random.seed(7)


def places(o, at=()):
    for k in (o if isinstance(o, dict) else range(len(o))):
        yield at + (k,)
        if isinstance(o[k], (dict, list)):
            yield from places(o[k], at + (k,))


begun = refused = 0
for n in range(3000):
    bad = copy.deepcopy(good)
    bad['activation'] = f'x{n}'
    for _ in range(random.choice((1, 1, 2, 5))):
        where = random.choice(list(places(bad)))
        if where == ('op',):
            continue
        o = bad
        for k in where[:-1]:
            o = o[k]
        if random.random() < .2:
            del o[where[-1]]
        else:
            o[where[-1]] = copy.deepcopy(random.choice(values))
    try:
        a = c.ask(bad)
    except UnicodeEncodeError:
        continue
    if a['ok']:
        begun += 1
        a = c.ask({'op': 'end', 'activation': bad['activation'], 'ok': random.random() < .5})
        assert a['ok'] or a['error'] == 'EEXIST', a  # past its deadline before
    else:
        refused += 1
        assert a['message'] and len(a['message']) < 2000, a
assert begun > 100 and refused > 100, (begun, refused)
for ok in (None, 1, 'true', [], {}):
    wants(c.ask({'op': 'end', 'activation': 'x0', 'ok': ok}), ok=False, error='EINVAL')

# As many as there may be, and no more: what they were begun with is held until their ends.
fat = dict(good, outputs=[{'path': f'/{i}/' + 'p' * 200} for i in range(200)])
live = []
for n in range(2000):
    a = c.ask(dict(fat, activation=f'fat{n}'))
    if not a['ok']:
        wants(a, error='ENOSPC')
        break
    live.append(f'fat{n}')
assert 10 < len(live) < 100, len(live)
for name in live:
    wants(c.ask({'op': 'end', 'activation': name, 'ok': True}), ok=True)
wants(c.ask(dict(fat, activation='once more')), ok=True)
wants(c.ask({'op': 'end', 'activation': 'once more', 'ok': True}), ok=True)
P
f3_eq "that live" "$(ctl --json activation list --running)" ""
f3_becomes 20 "kept" 20 sh -c "f3ctl -s '$F3_RUN/control.sock' --json activation list | wc -l"
f3_ok cp /etc/hostname "$F3_MNT/w/x"
