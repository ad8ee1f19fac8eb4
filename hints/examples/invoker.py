#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What an invoker does with hints, without a library: lines of JSON over a Unix socket.

    invoker.py VOLUME PATH...

Before a function runs it asks what it would take to have its inputs here, and has them fetched. All
of it is advice: where there is no F3, or it is late, the function runs all the same. With
CONTAINER_PID, a process of the function's container, in the environment the run is an activation.
"""
import json
import os
import socket
import sys


class Hints:
    def __init__(self, path=None, timeout_s=1):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout_s)
        self.socket.connect(path or os.environ.get('F3_HINT_SOCKET', '/run/f3/hint.sock'))
        self.lines = self.socket.makefile('rb')
        self.id = 0

    def ask(self, op, **members):
        self.id += 1
        request = dict(members, op=op, id=self.id)
        self.socket.sendall(json.dumps(request).encode() + b'\n')
        while True:
            answer = json.loads(self.lines.readline() or b'{"ok":false,"message":"it is gone"}')
            # one that came too late for an earlier request is not ours
            if answer.get('id', self.id) == self.id:
                return answer


def advise(volume, paths):
    hints = Hints()
    print('where:', hints.ask('locate', volume=volume, paths=paths))
    print('fetched:', hints.ask('prefetch', volume=volume, paths=paths))


def run(volume, container_pid):
    """The function in its container: what it makes below /out goes to the object store, what it makes
    below /tmp never does. This is no advice: where begin is refused, it must not run."""
    hints = Hints()
    activation = f'example-{os.getpid()}'
    answer = hints.ask('begin', activation=activation, namespace='guest', action='/guest/example',
                       volume=volume, container={'pid': container_pid},
                       outputs=[{'path': '/out/**', 'class': 'durable'},
                                {'path': '/tmp/**', 'class': 'ephemeral'}])
    print('begin:', 'ok' if answer['ok'] else answer['message'])
    if not answer['ok']:
        return 1
    ok = True  # whatever the platform does to have it run goes here
    answer = hints.ask('end', activation=activation, ok=ok)
    print('end:', 'ok' if answer['ok'] else answer['message'])
    return 0 if answer['ok'] else 1


def main():
    if len(sys.argv) < 3:
        sys.exit('usage: invoker.py VOLUME PATH...')
    try:
        advise(sys.argv[1], sys.argv[2:])
    except (OSError, ValueError) as e:
        print('no advice:', e)
    print('the function runs now')
    if 'CONTAINER_PID' in os.environ:
        return run(sys.argv[1], int(os.environ['CONTAINER_PID']))
    return 0


sys.exit(main())
