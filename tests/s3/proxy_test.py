#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each rule of proxy.py, with the client of s3.py against a real server: proxy_test.py SOCKET LOG

The environment is a test's: S3_ENDPOINT is the proxy, S3_DIRECT the server.
"""
import http.client
import json
import os
import socket
import sys
import threading

from s3 import Client, S3Error

SOCKET, LOG = sys.argv[1:]
failures = 0
cases = 0
s3 = Client(timeout=10)
direct = Client(endpoint=os.environ["S3_DIRECT"])
BODY = os.urandom(700000)


def eq(what, got, wanted):
    global failures, cases
    cases += 1
    if got != wanted:
        failures += 1
        print(f"FAILED: {what}: got {got!r:.200}, wanted {wanted!r:.200}")


def ctl(*words):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(SOCKET)
        s.sendall(json.dumps(words).encode() + b"\n")
        answer = json.loads(s.makefile().readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["ok"]


def rule(**spec):
    return ctl("add", json.dumps(spec))


def log(last=1):
    ctl("idle")
    with open(LOG, encoding="utf-8") as f:
        return [json.loads(x) for x in f][-last:]


def outcome(function, *args, **kwargs):
    """What it returns, the status and code of an error, or the kind of failure."""
    try:
        return function(*args, **kwargs)
    except S3Error as e:
        return f"{e.status} {e.code}"
    except (OSError, http.client.HTTPException) as e:
        return type(e).__name__


def there(key):
    status, _, body = direct.raw("GET", key)
    return body if status == 200 else None


def errors():
    rule(method="PUT", answer={"error": "SlowDown", "headers": {"Retry-After": "1"}})
    try:
        s3.put("slow", b"1")
        eq("an error", "none", "503")
    except S3Error as e:
        eq("an error", (e.status, e.code, e.headers["retry-after"]), (503, "SlowDown", "1"))
    eq("nothing reached the server", there("slow"), None)
    eq("only once", outcome(s3.put, "slow", b"1") is None, False)
    eq("then it is there", there("slow"), b"1")

    for name in ("ExpiredToken", "RequestTimeTooSkewed", "InternalError", "AccessDenied"):
        rule(path="/slow", answer={"error": name})
        eq(name, outcome(s3.get, "slow").split()[1], name)
    rule(method="HEAD", answer={"error": "ServiceUnavailable"})
    eq("HEAD has no body", outcome(s3.head, "slow"), "503 ")
    eq("the connection goes on", s3.get("slow"), b"1")
    rule(answer={"status": 400, "body": "<html>", "headers": {"Content-Type": "text/html"}})
    eq("no S3 at all", outcome(s3.get, "slow"), "400 ")

    upload = s3.upload_start("many")
    etag = s3.upload_part("many", upload, 1, b"part")
    rule(method="POST", path="uploadId", replace={"error": "InternalError", "status": 200})
    eq("an error that says 200", outcome(s3.upload_finish, "many", upload, [etag]),
       "200 InternalError")
    eq("yet it was done", there("many"), b"part")
    eq("the status of the server is not what is logged", log()[0]["status"], 200)


def connections():
    rule(method="PUT", reset="before")
    eq("reset before", outcome(s3.put, "r1", BODY) in ("ConnectionResetError", "BrokenPipeError"),
       True)
    eq("nothing there", there("r1"), None)
    eq("no answer in the log", log()[0]["status"], 0)

    rule(method="PUT", reset="after")
    eq("reset after", outcome(s3.put, "r2", BODY), "ConnectionResetError")
    eq("it is there", there("r2"), BODY)
    eq("the server's answer in the log", log()[0]["status"], 200)

    rule(method="DELETE", twice=True)
    eq("twice", outcome(s3.delete, "r2"), None)
    rule(method="PUT", twice=True)
    eq("twice, with a condition", outcome(s3.put, "once", b"x", {"if-none-match": "*"}),
       "412 PreconditionFailed")
    eq("the first of them won", there("once"), b"x")


def bodies():
    s3.put("body", BODY)
    rule(method="GET", corrupt=300000)
    got = s3.get("body")
    eq("one byte differs", [i for i in range(len(BODY)) if got[i] != BODY[i]], [300000])
    eq("of as many", len(got), len(BODY))

    rule(method="GET", truncate=1000)
    eq("cut", outcome(s3.get, "body"), "IncompleteRead")
    s3.close()
    eq("what was sent of it", log()[0]["got"], 1000)
    rule(method="GET", truncate=0)
    eq("cut to nothing", outcome(s3.get, "body"), "IncompleteRead")
    s3.close()

    rule(method="GET", length=5)
    eq("too long a length", outcome(s3.get, "body"), "IncompleteRead")
    s3.close()
    rule(method="GET", length=-5)
    eq("too short a length", outcome(s3.get, "body"), BODY[:-5])
    s3.close()

    rule(method="HEAD", set={"ETag": '"other"', "Last-Modified": None,
                             "Date": "Thu, 01 Jan 2015 00:00:00 GMT"})
    head = s3.head("body")
    eq("headers", (head["etag"], head.get("last-modified"), head["date"]),
       ('"other"', None, "Thu, 01 Jan 2015 00:00:00 GMT"))
    eq("the true one", s3.head("body")["etag"], direct.head("body")["etag"])

    rule(method="GET", drop=["Range"])
    eq("a header that is not signed is dropped",
       len(s3.raw("GET", "body", headers={"range": "bytes=0-9"}, unsigned={"range"})[2]), len(BODY))
    rule(method="GET", drop=["x-amz-date"])
    eq("one that is", outcome(s3.get, "body").split()[0], "403")


def waiting():
    n = rule(method="GET", delay_ms=300)
    s3.get("body")
    entry = log()[0]
    eq("delayed", (entry["end"] - entry["start"] >= 0.3, entry["rules"]), (True, [n]))

    n = rule(method="GET", stall=1000)
    results = []
    thread = threading.Thread(target=lambda: results.append(Client().get("body")))
    thread.start()
    ctl("wait", str(n))
    eq("others go on meanwhile", s3.get("once"), b"x")
    eq("stalled", results, [])
    ctl("release", str(n))
    thread.join()
    eq("and went on", results, [BODY])
    eq("in flight", [e["in_flight"] for e in log(2)], [2, 1])

    n = rule(method="PUT", hold_answer=True)
    thread = threading.Thread(target=lambda: Client().put("held", b"h"))
    thread.start()
    ctl("wait", str(n))
    while there("held") is None:
        pass
    eq("done, but not told", thread.is_alive(), True)
    ctl("release")
    thread.join()


def choosing():
    n = rule(method="^GET$", path="once\\?x=", skip=1, times=2, answer={"error": "NoSuchKey"})
    outcomes = [outcome(s3.get, "once") for _ in range(2)]
    outcomes += [outcome(lambda: s3.raw("GET", "once", {"x": "1"})[0]) for _ in range(4)]
    eq("by path, skip and times", outcomes, [b"x", b"x", 200, 404, 404, 200])
    mine = [r for r in ctl("rules") if r["n"] == n]
    eq("counted", [(r["seen"], r["acted"]) for r in mine], [(4, 2)])
    n = rule(times=0, answer={"error": "NoSuchKey"})
    eq("always", [outcome(s3.get, "once") for _ in range(5)], ["404 NoSuchKey"] * 5)
    ctl("remove", str(n))
    eq("until removed", s3.get("once"), b"x")
    s3.raw("GET", "once", {"x": "y"}, {"range": "bytes=0-0"})
    entry = log()[0]
    eq("the log", [entry[k] for k in ("method", "path", "query", "range", "status", "got")],
       ["GET", f"/{s3.bucket}/once", "x=y", "bytes=0-0", 206, 1])
    for spec in ('{"methd": "GET"}', '{"path": "("}', "[", '{"answer": {"error": "Nonsense"}}'):
        try:
            ctl("add", spec)
            eq(f"a rule like {spec}", "taken", "refused")
        except ValueError:
            pass


for part in (errors, connections, bodies, waiting, choosing):
    part()
    ctl("clear")
print(f"{cases} cases, {failures} failures")
sys.exit(1 if failures else 0)
