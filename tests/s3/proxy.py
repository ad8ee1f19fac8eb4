#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A proxy in front of an S3 server that does what networks and servers do on bad days.

    proxy.py serve --to HOST:PORT --control SOCKET --log FILE [--listen PORT] [--rule JSON]...
    proxy.py ctl SOCKET add JSON        prints the rule's number
    proxy.py ctl SOCKET remove N | clear | rules
    proxy.py ctl SOCKET wait N [TIMES]  until rule N has acted so often (default: once)
    proxy.py ctl SOCKET release [N]     what is held or stalled by the rule (by all) goes on
    proxy.py ctl SOCKET idle            until no request is under way
    proxy.py ctl SOCKET stop

serve says "ready PORT" when it serves, on 127.0.0.1. Requests go on byte for byte, so signatures
hold, Host among them. Answers come back the same way while they arrive.

A rule is a JSON object. Which requests: "method" and "path" (regular expressions; path with its
query), "skip" (so many of them pass first), "times" (act so often, default 1, 0: always). What
happens, all that is named, in this order:

    "drop": [NAME...]     these headers of the request are left out
    "delay_ms": N         it waits
    "hold": true          it waits, its body taken, until released; then it goes to the server even if
                          the client has gone: a request that arrives late
    "reset": "before"     the connection is reset, nothing reaches the server
    "answer": A           A is answered, nothing reaches the server
    "twice": true         the server gets it twice; its second answer counts
    "reset": "after"      the connection is reset when the server has answered
    "replace": A          A instead of the server's answer
    "hold_answer": true   the answer waits until released
    "set": {NAME: VALUE}  headers of the answer; null takes one away
    "length": N           Content-Length says so many more (fewer)
    "corrupt": N          byte N of the answer's body is another
    "truncate": N         the connection ends after N bytes of the body
    "stall": N            nothing comes after N bytes of the body, until released

A is {"status": 503, "headers": {...}, "body": "..."} or {"error": NAME}, an S3 error: SlowDown,
InternalError, ServiceUnavailable, RequestTimeout, AccessDenied, ExpiredToken,
RequestTimeTooSkewed, PreconditionFailed, ConditionalRequestConflict, NoSuchUpload, NoSuchKey; with
"status" it comes with another one, 200 say.

The log has one JSON line for a request, written before the last byte of its answer is sent: n,
method, path, query, range, status (0: none), sent and got (bytes of the bodies), start and end
(seconds of the monotonic clock), in_flight (with itself, at its start), rules (that acted), amz
(copy-source, storage-class and server-side-encryption of its headers, where they are there).
"""
import argparse
import asyncio
import collections
import json
import re
import socket
import struct
import sys
import time

CHUNK = 256 << 10
HEAD_MAX = 128 << 10
ERRORS = {
    "SlowDown": 503, "ServiceUnavailable": 503, "InternalError": 500, "RequestTimeout": 400,
    "AccessDenied": 403, "ExpiredToken": 400, "RequestTimeTooSkewed": 403,
    "PreconditionFailed": 412, "ConditionalRequestConflict": 409, "NoSuchUpload": 404,
    "NoSuchKey": 404,
}
WORDS = {"method", "path", "skip", "times", "drop", "delay_ms", "hold", "reset", "answer", "twice",
         "replace", "hold_answer", "set", "length", "corrupt", "truncate", "stall"}

LOGGED = ("copy-source", "storage-class", "server-side-encryption",
          "server-side-encryption-aws-kms-key-id")


class Gone(Exception):
    """The connection of the client is to be ended, with a reset or without."""

    def __init__(self, reset=False):
        super().__init__()
        self.reset = reset


class Head:
    """First line and headers of a message, as bytes that came, changed only where a rule says so."""

    def __init__(self, raw):
        self.lines = raw[:-4].split(b"\r\n")
        self.first = self.lines.pop(0)

    def get(self, name):
        for line in self.lines:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.encode():
                return value.strip().decode("latin-1")
        return None

    def set(self, name, value):
        low = name.lower().encode()
        self.lines = [x for x in self.lines if x.partition(b":")[0].strip().lower() != low]
        if value is not None:
            self.lines.append(f"{name}: {value}".encode("latin-1"))

    def raw(self):
        return b"\r\n".join([self.first, *self.lines, b"", b""])

    def status(self):
        return int(self.first.split(b" ", 2)[1])

    def is_chunked(self):
        return (self.get("transfer-encoding") or "").lower().endswith("chunked")


async def read_head(reader):
    """None where the connection ends instead."""
    try:
        return Head(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.IncompleteReadError as e:
        if e.partial:
            raise
        return None


async def some(reader, limit):
    data = await reader.read(min(limit, CHUNK))
    if not data:
        raise asyncio.IncompleteReadError(b"", limit)
    return data


async def chunks(reader):
    while True:
        line = await reader.readuntil(b"\n")
        left = int(line.split(b";")[0], 16)
        if left == 0:
            while line.strip(b"\r\n"):  # the trailer
                yield line, False
                line = await reader.readuntil(b"\n")
            yield line, True
            return
        yield line, False
        left += 2
        while left:
            data = await some(reader, left)
            left -= len(data)
            yield data, False


async def counted(reader, left):
    while left:
        data = await some(reader, left)
        left -= len(data)
        yield data, left == 0


async def to_the_end(reader):
    while data := await reader.read(CHUNK):
        yield data, False
    yield b"", True


async def of_bytes(body):
    if body:
        yield body, True


def pieces(reader, head, until_close):
    """(bytes, is it the last) of a body as it is on the wire, chunks with their frames."""
    if head.is_chunked():
        return chunks(reader)
    if head.get("content-length") is not None:
        return counted(reader, int(head.get("content-length")))
    return to_the_end(reader) if until_close else of_bytes(b"")


def made(answer):
    """Head and body of an answer of a rule."""
    name, status, body = answer.get("error"), answer.get("status"), answer.get("body", "")
    headers = dict(answer.get("headers", {}))
    if name:
        status = status or ERRORS[name]
        body = ('<?xml version="1.0" encoding="UTF-8"?>\n'
                f"<Error><Code>{name}</Code><Message>said the proxy</Message>"
                "<RequestId>proxy</RequestId></Error>")
        headers.setdefault("Content-Type", "application/xml")
    body = body.encode()
    headers.setdefault("Content-Length", str(len(body)))
    lines = [f"HTTP/1.1 {status or 500} by the proxy"] + [f"{k}: {v}" for k, v in headers.items()]
    return Head(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")), body


class Rule:
    def __init__(self, number, spec):
        unknown = set(spec) - WORDS
        if unknown:
            raise ValueError(f"no such word in a rule: {' '.join(sorted(unknown))}")
        for answer in (spec.get("answer"), spec.get("replace")):
            if answer:
                made(answer)
        self.number, self.spec = number, spec
        self.method = re.compile(spec.get("method", ""))
        self.path = re.compile(spec.get("path", ""))
        self.seen = self.acted = 0
        self.released = asyncio.Event()
        self.hit = asyncio.Condition()

    async def takes(self, method, target):
        """Does it act on this request? Counted."""
        if not (self.method.search(method) and self.path.search(target)):
            return False
        self.seen += 1
        times = self.spec.get("times", 1)
        if self.seen <= self.spec.get("skip", 0) or (times and self.acted >= times):
            return False
        return True

    async def act(self):
        async with self.hit:
            self.acted += 1
            self.hit.notify_all()


class Exchange:
    """One request and its answer."""

    def __init__(self, proxy, head):
        self.proxy, self.head = proxy, head
        method, target, _ = head.first.decode("latin-1").split(" ", 2)
        path, _, query = target.partition("?")
        self.method, self.target = method, target
        self.rules = []
        self.entry = {"n": 0, "method": method, "path": path, "query": query,
                      "range": head.get("range"), "status": 0, "sent": 0, "got": 0,
                      "start": time.monotonic(), "end": 0, "in_flight": 0, "rules": [],
                      "amz": {n: head.get("x-amz-" + n) for n in LOGGED if head.get("x-amz-" + n)}}
        self.logged = False

    def word(self, name):
        """What the first rule that has something to say says."""
        return next((r.spec[name] for r in self.rules if name in r.spec), None)

    async def released(self, name):
        for rule in self.rules:
            if name in rule.spec:
                await rule.released.wait()

    async def choose(self):
        chosen = [r for r in list(self.proxy.rules.values())
                  if await r.takes(self.method, self.target)]
        self.rules = chosen
        self.entry["rules"] = [r.number for r in chosen]
        for rule in chosen:
            await rule.act()

    def log(self):
        if self.logged:
            return
        self.logged = True
        self.entry["end"] = time.monotonic()
        self.proxy.log.write(json.dumps(self.entry) + "\n")
        self.proxy.log.flush()

    async def finish(self, writer, head, body_pieces):
        """Sends an answer, with what the rules do to it. body_pieces: as pieces() gives them."""
        for name, value in (self.word("set") or {}).items():
            head.set(name, value)
        if self.word("length") is not None:
            length = int(head.get("content-length") or 0) + self.word("length")
            head.set("Content-Length", str(length))
        self.entry["status"] = head.status()
        corrupt, cut, stall = self.word("corrupt"), self.word("truncate"), self.word("stall")
        first = head.raw()  # goes with the first bytes of the body
        async for data, last in body_pieces:
            at = self.entry["got"]
            end = at + len(data)
            if corrupt is not None and at <= corrupt < end:
                data = bytearray(data)
                data[corrupt - at] ^= 0xff
            if stall is not None and end > stall:
                writer.write(first + data[:stall - at])
                await writer.drain()
                await self.released("stall")
                first, data, stall, at = b"", data[stall - at:], None, stall
            if cut is not None and end >= cut:
                data = data[:cut - at]
            self.entry["got"] = at + len(data)
            if last or cut is not None and end >= cut:
                self.log()
            writer.write(first + data)
            first = b""
            await writer.drain()
            if cut is not None and end >= cut:
                raise Gone()
        self.log()
        if first:
            writer.write(first)
            await writer.drain()
        if self.word("length") is not None:
            raise Gone()


class Connection:
    """One client, and the connection to the server that belongs to it."""

    def __init__(self, proxy, reader, writer):
        self.proxy, self.reader, self.writer = proxy, reader, writer
        self.up_reader = self.up_writer = None

    async def run(self):
        try:
            while head := await read_head(self.reader):
                x = Exchange(self.proxy, head)
                self.proxy.begin(x)
                try:
                    await self.exchange(x)
                finally:
                    x.log()
                    await self.proxy.end()
        except Gone as e:
            if e.reset:
                sock = self.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.writer.transport.abort()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError):
            pass  # one of them ended, or does not speak HTTP
        finally:
            self.writer.close()
            if self.up_writer:
                self.up_writer.close()

    async def upstream(self):
        if self.up_reader is None or self.up_reader.at_eof():
            if self.up_writer:
                self.up_writer.close()
            self.up_reader, self.up_writer = await asyncio.open_connection(
                *self.proxy.to, limit=HEAD_MAX)

    async def take_body(self, x):
        """The whole body of a request, for which the client may have to be asked."""
        if (x.head.get("expect") or "").lower() == "100-continue":
            x.head.set("Expect", None)
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await self.writer.drain()
        body = b"".join([data async for data, _ in pieces(self.reader, x.head, False)])
        x.entry["sent"] = len(body)
        return body

    async def pump(self, x):
        """The body of a request to the server, as it comes."""
        async for data, _ in pieces(self.reader, x.head, False):
            x.entry["sent"] += len(data)
            self.up_writer.write(data)
            await self.up_writer.drain()

    async def exchange(self, x):
        await x.choose()
        for name in x.word("drop") or ():
            x.head.set(name, None)
        await asyncio.sleep((x.word("delay_ms") or 0) / 1000)
        body = None
        if any(x.word(w) for w in ("hold", "answer", "twice")):
            body = await self.take_body(x)
        if x.word("hold"):
            await x.released("hold")
        if x.word("reset") == "before":
            raise Gone(reset=True)
        if x.word("answer"):
            await x.finish(self.writer, *self.of_rule(x.method, x.word("answer")))
            return
        for again in ([True, False] if x.word("twice") else [False]):
            await self.forward(x, body, again)

    @staticmethod
    def of_rule(method, answer):
        head, body = made(answer)
        return head, of_bytes(b"" if method == "HEAD" else body)

    async def forward(self, x, body, forget):
        """To the server and back. body: None while the client still has it. forget: the answer."""
        await self.upstream()
        self.up_writer.write(x.head.raw() + (body or b""))
        pump = asyncio.create_task(self.pump(x)) if body is None else None
        try:
            await self.up_writer.drain()
            while True:
                head = await read_head(self.up_reader)
                if head is None:
                    raise Gone()
                if head.status() >= 200:
                    break
                if pump:
                    self.writer.write(head.raw())
                    await self.writer.drain()
            bodiless = x.method == "HEAD" or head.status() in (204, 304)
            answer = of_bytes(b"") if bodiless else pieces(self.up_reader, head, True)
            if forget or x.word("reset") == "after" or x.word("replace"):
                async for _ in answer:
                    pass
                x.entry["status"] = head.status()
            if forget:
                return
            if x.word("hold_answer"):
                await x.released("hold_answer")
            if x.word("reset") == "after":
                raise Gone(reset=True)
            if x.word("replace"):
                head, answer = self.of_rule(x.method, x.word("replace"))
            await x.finish(self.writer, head, answer)
            if pump and not pump.done():
                # Answered before it was all there: whatever still comes is not a request.
                await asyncio.wait([pump], timeout=0 if x.head.get("expect") else 1)
                if not pump.done():
                    raise Gone()
            if (head.get("connection") or "").lower() == "close":
                raise Gone()
        finally:
            if pump:
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)


class Proxy:
    def __init__(self, to, log):
        host, _, port = to.rpartition(":")
        self.to = (host, int(port))
        self.log = log
        self.rules = {}
        self.tasks = set()
        self.count = collections.Counter()
        self.idle = asyncio.Condition()
        self.stopped = asyncio.Event()

    def begin(self, x):
        self.count["all"] += 1
        self.count["now"] += 1
        x.entry.update(n=self.count["all"], in_flight=self.count["now"])

    async def end(self):
        self.count["now"] -= 1
        async with self.idle:
            self.idle.notify_all()

    def add(self, spec):
        self.count["rules"] += 1
        self.rules[self.count["rules"]] = Rule(self.count["rules"], spec)
        return self.count["rules"]

    def drop(self, numbers):
        for n in numbers:
            self.rules.pop(n).released.set()

    async def command(self, verb, *words):
        if verb == "add":
            return self.add(json.loads(words[0]))
        if verb == "remove":
            return self.drop([int(words[0])])
        if verb == "clear":
            return self.drop(list(self.rules))
        if verb == "rules":
            return [dict(r.spec, n=r.number, seen=r.seen, acted=r.acted) for r in self.rules.values()]
        if verb == "wait":
            rule, times = self.rules[int(words[0])], int(words[1]) if len(words) > 1 else 1
            async with rule.hit:
                return await rule.hit.wait_for(lambda: rule.acted >= times) and rule.acted
        if verb == "release":
            for n in [int(words[0])] if words else list(self.rules):
                self.rules[n].released.set()
            return None
        if verb == "idle":
            async with self.idle:
                await self.idle.wait_for(lambda: not self.count["now"])
            return self.count["all"]
        if verb == "stop":
            return self.stopped.set()
        raise ValueError(f"no such command: {verb}")

    async def control(self, reader, writer):
        try:
            answer = {"ok": await self.command(*json.loads(await reader.readline()))}
        except (ValueError, KeyError, IndexError, TypeError, re.error) as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
        writer.close()

    def client(self, reader, writer):
        # asyncio itself forgets who serves a client that has gone.
        task = asyncio.create_task(Connection(self, reader, writer).run())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def serve(a):
    with open(a.log, "a", encoding="utf-8") as log:
        proxy = Proxy(a.to, log)
        for rule in a.rule:
            proxy.add(json.loads(rule))
        server = await asyncio.start_server(proxy.client, "127.0.0.1", a.listen, limit=HEAD_MAX)
        await asyncio.start_unix_server(proxy.control, a.control, limit=HEAD_MAX)
        print("ready", server.sockets[0].getsockname()[1], flush=True)
        await proxy.stopped.wait()
        await asyncio.sleep(0.02)  # the answer to who said so


def ctl(a):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(a.socket)
        s.sendall(json.dumps(a.words).encode() + b"\n")
        answer = json.loads(s.makefile().readline() or '{"error": "it has gone"}')
    if "error" in answer:
        sys.exit(f"proxy.py: {answer['error']}")
    if answer["ok"] is not None:
        print(json.dumps(answer["ok"]))


def main():
    top = argparse.ArgumentParser(description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True)
    p = commands.add_parser("serve")
    p.add_argument("--to", required=True)
    p.add_argument("--control", required=True)
    p.add_argument("--log", required=True)
    p.add_argument("--listen", type=int, default=0)
    p.add_argument("--rule", action="append", default=[])
    p = commands.add_parser("ctl")
    p.add_argument("socket")
    p.add_argument("words", nargs="+")
    a = top.parse_args()
    if a.command == "ctl":
        ctl(a)
    else:
        asyncio.run(serve(a))


if __name__ == "__main__":
    main()
