#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Ways to a store: TLS with a CA of one's own, and with one that is not its; the bucket in the host's name;
# through an HTTP proxy.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq openssl
export AWS_EC2_METADATA_DISABLED=true
f3_s3_start versitygw
way()
{
	local prefix=$1
	shift
	f3_volume "$prefix" "s3://$S3_BUCKET/$prefix" "region=$S3_REGION" default-class=durable "$@"
}
cp "$F3_CONF" plain.conf
openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -out other.pem -days 2 -subj /CN=other 2>/dev/null ||
	f3_fail "no certificate"
for ca in "$F3_TEST_TMP/other.pem" /etc/ssl/certs/ca-certificates.crt; do
	[ -e "$ca" ] || continue
	cp plain.conf "$F3_CONF"
	way tls "endpoint=$S3_TLS_ENDPOINT" path-style=yes "ca-file=$ca"
	f3_launch && f3_fail "a server that $ca does not know"
	f3_match "reason" "$(tail -n 1 "$F3_LOG")" 'volume tls: .*(certificate|CA)'
done
cp plain.conf "$F3_CONF"
way tls "endpoint=$S3_TLS_ENDPOINT" path-style=yes "ca-file=$S3_CA"
way host "endpoint=$S3_VHOST_ENDPOINT" path-style=no
f3_start
for volume in tls host; do
	head -c 100000 /dev/urandom >"$F3_MNT/$volume/x"
	f3_ok cmp "$F3_MNT/$volume/x" <(f3_s3 get "$volume/x")
	mkdir "$F3_MNT/$volume/dir" && mv "$F3_MNT/$volume/x" "$F3_MNT/$volume/dir/y"
	f3_eq "$volume: there" "$(f3_s3 ls "$volume/" | grep -v '/\.f3/' | sort)" "$volume/dir/"$'\n'"$volume/dir/y"
	f3_closed 0
	f3_ok ctl evict "$F3_MNT/$volume/dir/y" >/dev/null
	f3_ok cmp "$F3_MNT/$volume/dir/y" <(f3_s3 get "$volume/dir/y")
done
f3_stop

# A proxy that is asked for whole URLs, and notes whom for.
cat >forward.py <<'P'
import http.client, http.server, sys, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def pass_on(self):
        url = urllib.parse.urlsplit(self.path)
        with open("forwarded", "a") as f:
            f.write(f"{self.command} {url.netloc}\n")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        c = http.client.HTTPConnection(url.netloc)
        c.putrequest(self.command, url.path + ("?" + url.query if url.query else ""),
                     skip_host=True, skip_accept_encoding=True)
        for k, v in self.headers.items():
            if not k.lower().startswith("proxy-") and k.lower() != "expect":
                c.putheader(k, v)
        c.endheaders(body or None)
        r = c.getresponse()
        data = b"" if self.command == "HEAD" else r.read()
        self.send_response_only(r.status)
        for k, v in r.getheaders():
            if k.lower() not in ("transfer-encoding", "connection"):
                self.send_header(k, v)
        if r.getheader("Content-Length") is None and r.status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = pass_on
    def log_message(self, *args):
        pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(s.server_address[1], flush=True)
s.serve_forever()
P
mkfifo port
python3 forward.py >port &
forward=$!
end_forward() { kill "$forward"; wait "$forward" 2>/dev/null; }
f3_at_exit+=(end_forward)
read -r port <port
cp plain.conf "$F3_CONF"
way proxied "endpoint=$S3_DIRECT" path-style=yes
export http_proxy=http://127.0.0.1:$port no_proxy=
f3_start
unset http_proxy no_proxy
head -c 100000 /dev/urandom >"$F3_MNT/proxied/x"
f3_ok cmp "$F3_MNT/proxied/x" <(f3_s3 get proxied/x)
grep -q "PUT ${S3_DIRECT#http://}" forwarded || f3_bad "nothing went through the proxy"
