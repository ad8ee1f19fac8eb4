#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Answers that no server should give: listings that never end or say impossible things, objects without
# ETag or of absurd sizes, headers of 100 KiB, errors that come with 200, redirects to somebody else. The
# program gets what is right or EIO (EREMOTE of what is elsewhere), nothing is lost, and all is as before
# when the server has recovered. Whoever a redirect names is not asked, and so learns no signature.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3 jq
export AWS_EC2_METADATA_DISABLED=true
f3_s3_start versitygw
f3_s3_proxy
f3_set retry-min=20ms retry-max=2s
f3_s3_volume d default-class=durable attr-ttl=50ms timeout=1s
f3_start
d=$F3_MNT/d
mkdir "$d/dir"
for i in 1 2 3; do echo "content $i" >"$d/dir/f$i"; done
names=$'f1\nf2\nf3'
head -c 70000000 /dev/urandom >big

# What was right before, a little later.
heals()
{
	f3_proxy clear
	[ $f3_failures -lt 4 ] || exit 1
	f3_becomes 30 "names after $1" "$names" ls "$d/dir"
	f3_becomes 30 "f1 after $1" "content 1" cat "$d/dir/f1"
	f3_becomes 30 "size after $1" 10 stat -c %s "$d/dir/f1"
}

# listing WHAT BODY: of the directory. Right or EIO, and it ends.
listing()
{
	local said rule
	echo x >"$d/other" # its own listing is not the answer
	read -rt 0.1 -u "$f3_pause"
	printf %s "$2" >body
	rule=$(jq -cn --rawfile body body '{method: "GET", path: "delimiter=%2F", times: 0, replace: {status: 200, body: $body}}')
	f3_proxy add "$rule" >/dev/null
	said=$(timeout 60 ls "$d/dir" 2>err) || grep -q 'Input/output error' err || f3_bad "$1: $? $(cat err)"
	[ -s err ] || f3_eq "$1" "$said" "${3:-$names}"
	timeout 60 stat "$d/dir/f2" >/dev/null 2>err || grep -qE 'Input/output error|No such file' err || f3_bad "$1: $? $(cat err)"
	heals "$1"
}
# entry NAME SIZE
entry()
{
	printf '<Contents><Key>dir/%s</Key><Size>%s</Size>%s</Contents>' "$1" "$2" "<ETag>an-etag</ETag>"
}
page='<?xml version="1.0"?><ListBucketResult><EncodingType>url</EncodingType><IsTruncated>'
all=$(for i in 1 2 3; do entry f$i 10; done)
end='</ListBucketResult>'
listing "no ETags" "${page}false</IsTruncated>${all//an-etag/}$end"
listing "each twice" "${page}false</IsTruncated>$all$all$end"
listing "impossible sizes" "${page}false</IsTruncated>$(entry f1 99999999999999999999999)$(entry f2 10)$(entry f3 10)$end"
listing "a size below zero" "${page}false</IsTruncated>$(entry f1 -18446744073709551606)$(entry f2 10)$(entry f3 10)$end"
listing "a NUL and names that are none" "${page}false</IsTruncated>$all$(entry a%00b 1)$(entry ../x 1)$(entry a/b 1)<Contents><Key>elsewhere/f</Key></Contents>$end"
listing "a line's end in a name" "${page}false</IsTruncated>$(entry 'a%0Ab' 1)$all$end" $'a\nb\n'"$names"
listing "100 KiB of name" "${page}false</IsTruncated>$(entry "$(head -c 100000 /dev/zero | tr '\0' x)" 1)$end"
listing "the same page for ever" "${page}true</IsTruncated><NextContinuationToken>one</NextContinuationToken>$all$end"
listing "a bomb" "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\">]><ListBucketResult><IsTruncated>false</IsTruncated>$(entry '&a;&a;' 1)$end"
# Two pages that each say that the other is next.
echo x >"$d/other"
read -rt 0.1 -u "$f3_pause"
circle()
{
	jq -cn --arg path "$1" --arg body "${page}true</IsTruncated><NextContinuationToken>$2</NextContinuationToken>$all$end" \
		'{method: "GET", path: $path, times: 0, answer: {status: 200, body: $body}}'
}
for rule in "$(circle 'continuation-token=one' two)" "$(circle 'continuation-token=two' one)" \
	"$(circle '[?](?!.*continuation-token).*delimiter=%2F' one)"; do
	f3_proxy add "$rule" >/dev/null
done
said=$(timeout 60 ls "$d/dir" 2>err) || grep -q 'Input/output error' err || f3_bad "two pages in a circle: $? $(cat err)"
[ -s err ] || f3_eq "two pages in a circle" "$said" "$names"
heals "two pages in a circle"

# object WHAT RULE: of one object that is asked for, and of its bytes.
object()
{
	local said
	f3_closed 0
	ctl evict "$d/dir/f1" >/dev/null
	read -rt 0.1 -u "$f3_pause"
	f3_proxy add "{\"path\": \"/dir/f1\", \"times\": 0, $2}" >/dev/null
	said=$(timeout 60 cat "$d/dir/f1" 2>err) || grep -qE 'Input/output error|Object is remote' err || f3_bad "$1: $? $(cat err)"
	[ -s err ] || f3_eq "$1" "$said" "content 1"
	heals "$1"
}
object "HEAD without ETag" '"method": "HEAD", "set": {"ETag": null}'
object "GET without ETag" '"method": "GET", "set": {"ETag": null}'
object "a size of all" '"method": "HEAD", "set": {"Content-Length": "99999999999999999999"}'
object "a range of another object" '"method": "GET", "set": {"Content-Range": "bytes 0-9/18446744073709551615"}'
object "a range below zero" '"method": "GET", "set": {"Content-Range": "bytes -10--1/10"}'
long=$(head -c 100000 /dev/zero | tr '\0' h)
object "100 KiB of a header" "\"set\": {\"X-Amz-Meta-Long\": \"$long\"}"
object "100 KiB of ETag" "\"set\": {\"ETag\": \"\\\"$long\\\"\"}"
object "a time that is none" '"set": {"Last-Modified": "yesterday", "X-Amz-Meta-Mtime": "1e400", "X-Amz-Meta-Mode": "-1"}'

# What goes up, and is answered with nonsense.
# written WHAT RULE FILE: writes it; it may fail, but is there in the end.
written()
{
	rm -f "$d/new"
	f3_proxy add "{\"path\": \"/new\", $2}" >/dev/null
	timeout 100 cp "$3" "$d/new" 2>err || grep -q 'Input/output error' err || f3_bad "$1: $? $(cat err)"
	heals "$1"
	f3_until 60 ctl sync || f3_bad "$1: sync: $(ctl sync 2>&1)"
	f3_ok cmp "$3" "$d/new"
	f3_ok cmp "$3" <(f3_s3 get new)
}
echo small >small
written "PUT without ETag" '"method": "PUT", "set": {"ETag": null}' small
written "PUT with an error and 200" '"method": "PUT", "replace": {"error": "InternalError", "status": 200}' small
written "a part without ETag" '"method": "PUT", "path": "/new.*partNumber=2", "set": {"ETag": null}' big
for how in answer replace; do
	written "Complete with an error and 200, $how" "\"method\": \"POST\", \"path\": \"/new[?]uploadId\", \"$how\": {\"error\": \"InternalError\", \"status\": 200}" big
	f3_proxy add "{\"method\": \"PUT\", \"path\": \"/moved\", \"$how\": {\"error\": \"InternalError\", \"status\": 200}}" >/dev/null
	timeout 60 mv "$d/dir/f3" "$d/moved" 2>err || grep -q 'Input/output error' err || f3_bad "copy, $how: $? $(cat err)"
	f3_proxy clear
	[ -e "$d/dir/f3" ] || f3_ok mv "$d/moved" "$d/dir/f3"
	heals "a copy with an error and 200, $how"
	f3_eq "f3, $how" "$(f3_s3 get dir/f3)" "content 3"
done

# Redirects: a listener that notes who comes.
python3 - port came <<'P' &
import os, socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
with open(sys.argv[1] + ".new", "w") as f:
    print(s.getsockname()[1], file=f)
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    c, _ = s.accept()
    c.settimeout(5)
    data = c.recv(65536)
    if data.startswith(b"end"):
        break
    with open(sys.argv[2], "ab") as f:
        f.write(data)
    c.close()
P
listener=$!
stop_listener()
{
	kill $listener 2>/dev/null
	wait $listener
}
f3_at_exit+=(stop_listener)
f3_until 30 test -s port || f3_fail "no listener"
to=http://127.0.0.1:$(cat port)
for status in 301 307; do
	object "a redirect with $status" "\"answer\": {\"status\": $status, \"headers\": {\"Location\": \"$to/\", \"x-amz-bucket-region\": \"nowhere-1\"}, \"body\": \"<Error><Code>TemporaryRedirect</Code><Endpoint>127.0.0.1</Endpoint></Error>\"}"
	written "a PUT redirected with $status" "\"method\": \"PUT\", \"answer\": {\"status\": $status, \"headers\": {\"Location\": \"$to/new\"}}" small
done
python3 -c "
import socket
socket.create_connection(('127.0.0.1', $(cat port))).sendall(b'end')"
wait $listener
[ ! -e came ] || f3_bad "asked was who a redirect named: $(head -c 300 came)"
f3_eq "objects" "$(f3_s3 ls | grep -v '^\.f3/' | sort | tr '\n' ' ')" "dir/ dir/f1 dir/f2 dir/f3 new other "
f3_eq "uploads" "$(f3_s3 uploads)" ''
f3_stop
f3_fsck
