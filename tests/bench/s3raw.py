# SPDX-License-Identifier: Apache-2.0
"""What the server and curl can do without a file system: the limit others are measured by.

One curl process with eight transfers at a time over connections that it keeps, the URLs signed
beforehand (the curl of Debian 12 signs without x-amz-content-sha256, which Ceph and others refuse), so
nothing is hashed while it runs. What is read goes to /dev/null, what is written comes from the page
cache. "raw to files" puts what it reads into files beside the caches of the others: what a cache on
disk costs at least.
"""

import datetime
import hashlib
import hmac
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../s3"))

import s3  # noqa: E402

PARALLEL = 8
PART = 16 << 20


class RawError(RuntimeError):
    """curl failed."""


class Client(s3.Client):
    """One that comes back to a connection the server has closed meanwhile."""

    def raw(self, *args, **kwargs):
        try:
            return super().raw(*args, **kwargs)
        except http.client.RemoteDisconnected:
            return super().raw(*args, **kwargs)


def presign(client, method, key, query=None, seconds=3600):
    """A URL that is signed in its query."""
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = "%s/%s/s3/aws4_request" % (stamp[:8], client.region)
    query = {**(query or {}), "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
             "X-Amz-Credential": client.access + "/" + scope, "X-Amz-Date": stamp,
             "X-Amz-Expires": str(seconds), "X-Amz-SignedHeaders": "host"}
    path = client.base + "/" + s3.quote(key, "-_.~/")
    text = "&".join("%s=%s" % (s3.quote(k), s3.quote(v)) for k, v in sorted(query.items()))
    canonical = "\n".join([method, path, text, "host:%s\n" % client.host, "host",
                           "UNSIGNED-PAYLOAD"])
    secret = ("AWS4" + client.secret).encode()
    for word in scope.split("/"):
        secret = hmac.digest(secret, word.encode(), "sha256")
    to_sign = "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (
        stamp, scope, hashlib.sha256(canonical.encode()).hexdigest())
    return "%s://%s%s?%s&X-Amz-Signature=%s" % (
        client.url.scheme, client.host, path, text,
        hmac.digest(secret, to_sign.encode(), "sha256").hex())


def curl(transfers, parallel=PARALLEL, write_out=""):
    """Runs transfers, each a list of lines of curl's configuration, side by side.

    Returns seconds, and what write_out printed.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".curl") as f:
        f.write("\nnext\n".join("\n".join(lines + [
            "silent", "show-error", "fail", 'header = "Expect:"'] + (
                ['write-out = "%s"' % write_out] if write_out else [])) for lines in transfers))
        f.write("\n")
        f.flush()
        how = ["--parallel", "--parallel-immediate", "--parallel-max", str(parallel)]
        start = time.monotonic()
        done = subprocess.run(["curl", "-q"] + (how if parallel > 1 else []) + ["-K", f.name],
                              check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        seconds = time.monotonic() - start
    if done.returncode:
        raise RawError("curl: exit status %d: %s" % (
            done.returncode, done.stderr.decode(errors="replace").strip()[-200:]))
    return seconds, done.stdout.decode()


def get(url, first=None, last=None, output="/dev/null"):
    return (['url = "%s"' % url, 'output = "%s"' % output] +
            ([] if first is None else ['range = "%d-%d"' % (first, last)]))


def put(url, path, headers_to="/dev/null"):
    return ['url = "%s"' % url, 'upload-file = "%s"' % path, 'output = "/dev/null"',
            'dump-header = "%s"' % headers_to]


def read(client, key, size, into=None):
    """Seconds for all of an object in eight ranges; into: a directory for a file of each."""
    url = presign(client, "GET", key)
    step = -(-size // PARALLEL)
    if into:
        os.mkdir(into)
    try:
        return curl([get(url, at, min(at + step, size) - 1,
                         os.path.join(into, str(at)) if into else "/dev/null")
                     for at in range(0, size, step)])[0]
    finally:
        if into:
            shutil.rmtree(into)


def write(client, key, parts, scratch):
    """Seconds for an upload in parts, from files, until it is complete."""
    start = time.monotonic()
    upload = client.upload_start(key)
    answers = [os.path.join(scratch, "headers.%d" % n) for n in range(len(parts))]
    curl([put(presign(client, "PUT", key, {"partNumber": str(n + 1), "uploadId": upload}),
              path, answers[n]) for n, path in enumerate(parts)])
    etags = []
    for path in answers:
        with open(path, encoding="latin-1") as f:
            lines = dict(line.strip().partition(":")[::2] for line in f)
        etags.append({k.lower(): v.strip() for k, v in lines.items()}["etag"])
        os.unlink(path)
    client.upload_finish(key, upload, etags)
    return time.monotonic() - start


def first_byte(client, key, size=4096, head=False):
    """Seconds of one range GET on a connection of its own, its making included, curl's start not.

    head: a HEAD goes before it, on the same connection.
    """
    url = get(presign(client, "GET", key), 0, size - 1)
    before = [['url = "%s"' % presign(client, "HEAD", key), "head", 'output = "/dev/null"']]
    said = curl((before if head else []) + [url], 1, "%{time_total}\\n")[1]
    return sum(float(line) for line in said.split())


def ranges(client, key, offsets, size, parallel):
    url = presign(client, "GET", key)
    return curl([get(url, at, at + size - 1) for at in offsets], parallel)[0]


def get_all(client, keys):
    return curl([get(presign(client, "GET", k)) for k in keys])[0]


def put_all(client, keys, path):
    return curl([put(presign(client, "PUT", k), path) for k in keys])[0]


def list_all(client, prefix):
    """Seconds for a listing, a page after the other, and the objects that are in it."""
    start = time.monotonic()
    found = {key: size for key, size, _ in client.list(prefix)}
    return time.monotonic() - start, found

