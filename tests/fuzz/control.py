#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile lines for the control socket, or with --alive hello for the hint socket.

    control.py [--alive OP] SOCKET CORPUS-DIRECTORY [COUNT [SEED]]

Each file of the corpus is lines as they are sent; "# answer ERROR" before a line says which
error its answer must have, "# answer ok" that it succeeds ("# answer any": either). \\xNN in a
line is that byte, and @N@ is N letters. Then COUNT mutations of them, which follow from SEED. After
every line the connection answers as before, and so does the daemon.
"""
import glob
import json
import os
import random
import re
import socket
import sys

MAX_LINE = 65536
ALIVE = b'log-level'    # what is always answered


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(60)
        self.rest = b''

    def send(self, line):
        self.socket.sendall(line)

    def answer(self):
        """The last line of a request's answer; items and progress are read over."""
        while True:
            while b'\n' not in self.rest:
                try:
                    got = self.socket.recv(65536)
                except TimeoutError:
                    raise SystemExit('no answer') from None
                if not got:
                    raise SystemExit('the daemon closed the connection')
                self.rest += got
            line, self.rest = self.rest.split(b'\n', 1)
            value = json.loads(line)
            if 'ok' in value:
                return value
            if not ('item' in value or 'progress' in value):
                raise SystemExit(f'neither answer nor item: {line[:200]}')

    def ask(self, line):
        self.send(line + b'\n')
        try:
            return self.answer()
        except SystemExit as e:
            raise SystemExit(f'{line[:200]!r}: {e}') from None

    def alive(self):
        if not self.ask(b'{"op":"%s","id":"alive"}' % ALIVE)['ok']:
            raise SystemExit('it does not answer any more')


def bytes_of(text):
    text = re.sub(rb'@([0-9]+)@', lambda m: b'x' * int(m[1]), text)
    return re.sub(rb'\\x([0-9a-f]{2})', lambda m: bytes([int(m[1], 16)]), text)


def read_corpus(directory):
    for path in sorted(glob.glob(os.path.join(directory, '*.txt'))):
        wanted = 'any'
        for raw in open(path, 'rb').read().split(b'\n'):
            if raw.startswith(b'# answer '):
                wanted = raw[9:].decode()
            elif raw and not raw.startswith(b'#'):
                yield path, wanted, bytes_of(raw)


def run_corpus(connection, corpus):
    bad = 0
    for path, wanted, line in corpus:
        answer = connection.ask(line)
        got = 'ok' if answer['ok'] else answer['error']
        if wanted not in ('any', got):
            print(f'{path}: {line[:100]!r}: got {got} ({answer.get("message")}), wanted {wanted}')
            bad += 1
        if not answer['ok'] and not answer.get('message'):
            print(f'{path}: {line[:100]!r}: an error without a message')
            bad += 1
        connection.alive()
    return bad


def mutate(rng, lines):
    line = bytearray(rng.choice(lines))
    for _ in range(rng.randrange(1, 6)):
        what = rng.randrange(7)
        at = rng.randrange(len(line) + 1)
        if what == 0:
            line[at:at] = bytes([rng.randrange(256)])
        elif what == 1 and line:
            del line[rng.randrange(len(line))]
        elif what == 2:
            line[at:at] = rng.choice([b'{', b'}', b'[', b']', b'"', b':', b',', b'\\u0000', b'\\ud800',
                                      b'null', b'true', b'-1', b'1e999', b'18446744073709551616'])
        elif what == 3:
            other = rng.choice(lines)
            line[at:at] = other[rng.randrange(len(other) + 1):]
        elif what == 4:
            line = line[:at]
        elif what == 5 and line:
            line[rng.randrange(len(line))] ^= 1 << rng.randrange(8)
        else:
            line[at:at] = b'[' * rng.randrange(1, 3000)
    return bytes(line[:2 * MAX_LINE]).replace(b'\n', b' ')


def harmless(line):
    """Mutations must not take away what the test still looks at."""
    return b'remove' not in line and b'"class"' not in line


def run_random(path, lines, count, seed):
    n = refused = 0
    seed *= 1000003
    while n < count:
        rng = random.Random(seed)
        connection = Connection(path)
        for _ in range(min(200, count - n)):
            line = mutate(rng, lines)
            if not harmless(line) or not line.strip(b' \t\r'):
                continue
            answer = connection.ask(line)
            if not answer['ok'] and (answer['error'] == 'E?' or not answer.get('message')):
                raise SystemExit(f'seed {seed}: {line[:200]!r}: {answer}')
            refused += not answer['ok']
            n += 1
        connection.alive()
        # and an end in the middle of a line
        connection.send(mutate(rng, lines))
        connection.socket.close()
        seed += 1
    print(f'{n} lines tried, {refused} refused, all answered, 0 crashes')
    return n


def main():
    global ALIVE
    args = sys.argv[1:]
    if args[0] == '--alive':
        ALIVE = args[1].encode()
        args = args[2:]
    path, directory = args[:2]
    count = int(args[2]) if len(args) > 2 else 5000
    seed = int(args[3]) if len(args) > 3 else 1
    corpus = list(read_corpus(directory))
    if len(corpus) < 20:
        raise SystemExit(f'{directory}: {len(corpus)} lines are no corpus')
    bad = run_corpus(Connection(path), corpus)
    # Everything at once, without waiting: answers come in order.
    connection = Connection(path)
    for i in range(100):
        connection.send(b'{"op":"%s","id":%d}\n' % (ALIVE, i))
    for i in range(100):
        if connection.answer().get('id') != i:
            print('answers out of order')
            bad += 1
    # Byte by byte.
    for byte in b'{"op":"%s"}\n' % ALIVE:
        connection.send(bytes([byte]))
    if not connection.answer()['ok']:
        bad += 1
    if not run_random(path, [line for _, _, line in corpus], count, seed):
        bad += 1
    sys.exit(1 if bad else 0)


main()
