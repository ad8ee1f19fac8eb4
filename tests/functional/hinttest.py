# SPDX-License-Identifier: Apache-2.0
"""A connection to the hint socket, byte by byte, for tests of the protocol itself."""
import json
import socket


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(120)
        self.rest = b''

    def send(self, request):
        if not isinstance(request, bytes):
            request = json.dumps(request).encode() + b'\n'
        self.socket.sendall(request)

    def line(self):
        while b'\n' not in self.rest:
            got = self.socket.recv(65536)
            if not got:
                raise EOFError('the daemon closed the connection')
            self.rest += got
        line, self.rest = self.rest.split(b'\n', 1)
        return line

    def answer(self):
        line = self.line()
        assert len(line) <= 65536, len(line)
        return json.loads(line)

    def ask(self, request):
        self.send(request)
        return self.answer()

    def close(self):
        self.socket.close()


def wants(answer, **members):
    """The answer has these members with these values."""
    for key, value in members.items():
        if answer.get(key) != value:
            raise SystemExit(f'{key} is not {value!r}: {answer}')
    return answer
