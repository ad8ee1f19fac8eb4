#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small S3 client: what tests use to look at objects, and to change them, as somebody else.

    s3.py [--env FILE] [--bucket B] [--virtual] COMMAND...

    mb                              make the bucket
    put KEY FILE [--meta NAME=VALUE]... [--header NAME=VALUE]...    FILE may be -; prints the ETag
    get KEY [--range FROM-TO]       its bytes
    head KEY                        its headers as JSON, names in small letters
    ls [PREFIX] [--long]            keys, one a line; long: size, ETag, key
    rm KEY... | rm -r [PREFIX]      objects
    copy FROM TO [--meta NAME=VALUE]...     with metadata: in place of what it has
    multipart KEY FILE [--part-size N] [--meta NAME=VALUE]...       an upload in parts
    upload KEY [FILE]               begins one and leaves it so, with a part if there is a file; prints its id
    uploads [PREFIX]                unfinished uploads: key and id
    abort KEY ID                    one of these
    request METHOD KEY [--query Q] [--header NAME=VALUE]... [FILE]  prints status, headers, body

The server, bucket and keys come from the environment, or from the file a server of tests/s3 wrote:
S3_ENDPOINT, S3_REGION, S3_BUCKET, S3_CA (for https), AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
AWS_SESSION_TOKEN. An answer that is an error is told, and ends it with 1; 404 with 4, 412 with 5.

Nothing but Python's library, and written from the specification of Signature Version 4 alone, so
that it shares no mistake with F3's own client.
"""
import argparse
import base64
import datetime
import hashlib
import hmac
import http.client
import json
import os
import shlex
import ssl
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


class S3Error(Exception):
    """An answer of 300 or more: status, code (S3's word for it), headers, body."""

    def __init__(self, status, headers, body):
        code, text = "", ""
        try:
            for e in ElementTree.fromstring(body).iter():
                code = e.text or "" if plain(e.tag) == "Code" else code
                text = e.text or "" if plain(e.tag) == "Message" else text
        except ElementTree.ParseError:
            pass
        super().__init__(f"{status} {code}: {text}")
        self.status, self.code, self.headers, self.body = status, code, headers, body


def plain(tag):
    """A tag without its namespace, which not every server gives."""
    return tag.rpartition("}")[2]


def quote(text, safe="-_.~"):
    return urllib.parse.quote(text, safe=safe)


class Client:
    """One connection, opened at need, not for several threads."""

    def __init__(self, env=os.environ, bucket=None, virtual=False, endpoint=None, timeout=60):
        self.url = urllib.parse.urlsplit(endpoint or env["S3_ENDPOINT"])
        self.region = env.get("S3_REGION") or "us-east-1"
        self.bucket = bucket or env["S3_BUCKET"]
        self.access, self.secret = env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]
        self.token = env.get("AWS_SESSION_TOKEN")
        self.ca = env.get("S3_CA")
        self.host = (self.bucket + "." if virtual else "") + self.url.netloc
        self.base = "" if virtual else "/" + self.bucket
        self.timeout = timeout
        self.conn = None

    def connect(self):
        if self.url.scheme == "https":
            tls = ssl.create_default_context(cafile=self.ca or None)
            self.conn = http.client.HTTPSConnection(self.url.hostname, self.url.port,
                                                    timeout=self.timeout, context=tls)
        else:
            self.conn = http.client.HTTPConnection(self.url.hostname, self.url.port,
                                                   timeout=self.timeout)
        return self.conn

    def sign(self, method, path, query, headers, body):
        """The headers to send: those given, and the signature over all of them."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        headers = {k.lower(): v.strip() for k, v in headers.items()}
        headers.setdefault("host", self.host)
        headers.setdefault("x-amz-date", now)
        headers.setdefault("x-amz-content-sha256", hashlib.sha256(body).hexdigest())
        if self.token:
            headers.setdefault("x-amz-security-token", self.token)
        names = ";".join(sorted(headers))
        canonical = "\n".join([
            method, path, query,
            "".join(f"{k}:{' '.join(v.split())}\n" for k, v in sorted(headers.items())),
            names, headers["x-amz-content-sha256"]])
        stamp = headers["x-amz-date"]
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        key = ("AWS4" + self.secret).encode()
        for word in scope.split("/"):
            key = hmac.digest(key, word.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{scope},"
                                    f"SignedHeaders={names},Signature={signature}")
        return headers

    def raw(self, method, key="", query=None, headers=None, body=b"", unsigned=()):
        """Status, headers (names in small letters) and body, whatever they are. The headers named in
        unsigned are sent without being signed."""
        path = self.base + "/" + quote(key, "-_.~/") if key else self.base or "/"
        query = "&".join(f"{quote(k)}={quote(v)}" for k, v in sorted((query or {}).items()))
        headers = headers or {}
        plain_ones = {k: v for k, v in headers.items() if k in unsigned}
        signed = {k: v for k, v in headers.items() if k not in unsigned}
        headers = {**self.sign(method, path, query, signed, body), **plain_ones}
        conn = self.conn or self.connect()
        try:
            conn.putrequest(method, path + ("?" + query if query else ""), skip_host=True,
                            skip_accept_encoding=True)
            for name, value in headers.items():
                conn.putheader(name, value)
            if method in ("PUT", "POST") and "content-length" not in headers:
                conn.putheader("content-length", str(len(body)))
            conn.endheaders(body or None)
            answer = conn.getresponse()
            got = {k.lower(): v for k, v in answer.getheaders()}
            return answer.status, got, answer.read()
        except Exception:
            self.close()
            raise

    def close(self):
        if self.conn:
            self.conn.close()
        self.conn = None

    def ask(self, *args, **kwargs):
        """Headers and body of an answer below 300, else S3Error."""
        status, headers, body = self.raw(*args, **kwargs)
        if status >= 300:
            raise S3Error(status, headers, body)
        return headers, body

    def make_bucket(self):
        try:
            self.ask("PUT")
        except S3Error as e:
            if e.code != "BucketAlreadyOwnedByYou":
                raise

    def put(self, key, body, headers=None):
        return self.ask("PUT", key, headers=headers, body=body)[0]["etag"]

    def get(self, key, headers=None):
        return self.ask("GET", key, headers=headers)[1]

    def head(self, key):
        return self.ask("HEAD", key)[0]

    def delete(self, key):
        self.ask("DELETE", key)

    def pages(self, query, marks):
        """The answers of a list in parts; marks: which of its elements goes into which parameter."""
        while True:
            root = ElementTree.fromstring(self.ask("GET", query=query)[1])
            yield root
            top = {plain(e.tag): e.text or "" for e in root}
            if top.get("IsTruncated") != "true":
                return
            query = dict(query, **{parameter: top[name] for name, parameter in marks.items()})

    def list(self, prefix=""):
        """(key, size, ETag) of every object below a prefix."""
        # Encoded, as XML has no place for some of the bytes of a key. Not every server does it.
        for root in self.pages({"list-type": "2", "prefix": prefix, "encoding-type": "url"},
                               {"NextContinuationToken": "continuation-token"}):
            url = any(plain(e.tag) == "EncodingType" and e.text == "url" for e in root)
            for item in (e for e in root if plain(e.tag) == "Contents"):
                f = {plain(e.tag): e.text for e in item}
                key = urllib.parse.unquote_plus(f["Key"]) if url else f["Key"]
                yield key, int(f["Size"]), f["ETag"]

    def uploads(self, prefix=""):
        """(key, id) of every unfinished upload below a prefix."""
        for root in self.pages({"uploads": "", "prefix": prefix},
                               {"NextKeyMarker": "key-marker",
                                "NextUploadIdMarker": "upload-id-marker"}):
            for item in (e for e in root if plain(e.tag) == "Upload"):
                f = {plain(e.tag): e.text for e in item}
                yield f["Key"], f["UploadId"]

    def upload_start(self, key, headers=None):
        body = self.ask("POST", key, {"uploads": ""}, headers)[1]
        return next(e.text for e in ElementTree.fromstring(body).iter() if plain(e.tag) == "UploadId")

    def upload_part(self, key, upload, number, body):
        query = {"partNumber": str(number), "uploadId": upload}
        return self.ask("PUT", key, query, body=body)[0]["etag"]

    def upload_finish(self, key, upload, etags, headers=None):
        parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>"
                        for n, e in enumerate(etags, 1))
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        got, answer = self.ask("POST", key, {"uploadId": upload}, headers, body)
        root = ElementTree.fromstring(answer)
        if plain(root.tag) == "Error":  # it may come with 200
            raise S3Error(200, got, answer)
        return next(e.text for e in root.iter() if plain(e.tag) == "ETag") or ""

    def upload_abort(self, key, upload):
        self.ask("DELETE", key, {"uploadId": upload})

    def copy(self, source, key, headers=None):
        source = quote(f"/{self.bucket}/{source}", "-_.~/")
        self.ask("PUT", key, headers=dict(headers or {}, **{"x-amz-copy-source": source}))


def environment(path):
    """What a server of tests/s3 wrote."""
    with open(path, encoding="utf-8") as f:
        return {**os.environ, **dict(w.split("=", 1) for w in shlex.split(f.read(), comments=True))}


def contents(path):
    if path == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as f:
        return f.read()


def pairs(words, prefix=""):
    return {prefix + w.split("=", 1)[0]: w.split("=", 1)[1] for w in words}


def cmd_mb(s3, _):
    s3.make_bucket()


def cmd_put(s3, a):
    print(s3.put(a.key, contents(a.file), {**pairs(a.header), **pairs(a.meta, "x-amz-meta-")}))


def cmd_get(s3, a):
    sys.stdout.buffer.write(s3.get(a.key, {"range": f"bytes={a.range}"} if a.range else {}))


def cmd_head(s3, a):
    print(json.dumps(s3.head(a.key), indent=1, sort_keys=True))


def cmd_ls(s3, a):
    for key, size, etag in s3.list(a.prefix):
        print(f"{size}\t{etag}\t{key}" if a.long else key)


def cmd_rm(s3, a):
    keys = a.key
    if a.recursive:
        keys = [k for k, _, _ in s3.list(keys[0] if keys else "")]
    for key in keys:
        s3.delete(key)


def cmd_copy(s3, a):
    meta = pairs(a.meta, "x-amz-meta-")
    s3.copy(a.source, a.key, dict(meta, **{"x-amz-metadata-directive": "REPLACE"}) if meta else {})


def cmd_multipart(s3, a):
    data = contents(a.file)
    upload = s3.upload_start(a.key, pairs(a.meta, "x-amz-meta-"))
    etags = [s3.upload_part(a.key, upload, n, data[at:at + a.part_size])
             for n, at in enumerate(range(0, len(data), a.part_size), 1)]
    print(s3.upload_finish(a.key, upload, etags))


def cmd_upload(s3, a):
    upload = s3.upload_start(a.key)
    if a.file:
        s3.upload_part(a.key, upload, 1, contents(a.file))
    print(upload)


def cmd_uploads(s3, a):
    for key, upload in s3.uploads(a.prefix):
        print(f"{key}\t{upload}")


def cmd_abort(s3, a):
    s3.upload_abort(a.key, a.id)


def cmd_request(s3, a):
    query = dict(urllib.parse.parse_qsl(a.query, keep_blank_values=True))
    body = contents(a.file) if a.file else b""
    status, headers, body = s3.raw(a.method, a.key, query, pairs(a.header), body)
    print(status)
    print("".join(f"{k}: {v}\n" for k, v in headers.items()))
    sys.stdout.flush()
    sys.stdout.buffer.write(body)


def arguments():
    top = argparse.ArgumentParser(description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--env", help="a file with the environment")
    top.add_argument("--bucket")
    top.add_argument("--virtual", action="store_true", help="the bucket is part of the host's name")
    commands = top.add_subparsers(dest="command", required=True)

    def command(name, *positional, many=()):
        p = commands.add_parser(name)
        for word in positional:
            p.add_argument(word.strip("?"), **({"nargs": "?", "default": ""} if "?" in word else {}))
        for word in many:
            p.add_argument("--" + word, action="append", default=[])
        p.set_defaults(run=globals()["cmd_" + name])
        return p

    command("mb")
    command("put", "key", "file", many=("meta", "header"))
    command("get", "key").add_argument("--range")
    command("head", "key")
    command("ls", "prefix?").add_argument("--long", action="store_true")
    rm = command("rm")
    rm.add_argument("-r", dest="recursive", action="store_true")
    rm.add_argument("key", nargs="*")
    command("copy", "source", "key", many=("meta",))
    command("multipart", "key", "file", many=("meta",)).add_argument("--part-size", type=int,
                                                                     default=5 << 20)
    command("upload", "key", "file?")
    command("uploads", "prefix?")
    command("abort", "key", "id")
    command("request", "method", "key", "file?", many=("header",)).add_argument("--query", default="")
    return top.parse_args()


def main():
    a = arguments()
    s3 = Client(environment(a.env) if a.env else os.environ, a.bucket, a.virtual)
    try:
        a.run(s3, a)
    except S3Error as e:
        print(f"s3.py: {a.command}: {e}", file=sys.stderr)
        sys.exit({404: 4, 412: 5}.get(e.status, 1))


if __name__ == "__main__":
    main()
