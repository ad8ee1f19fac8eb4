#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# A directory of 3,000 objects that another client made comes in pages, all of it, once, and without a
# question about any of them. F3_S3_KEYS=1000000 in the environment: of so many, within the same memory.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq
f3_s3_start versitygw
f3_s3_proxy
f3_s3_volume v default-class=durable attr-ttl=1h
n=${F3_S3_KEYS:-3000}
f3_eq "nothing yet" "$(f3_s3 ls)" ''

# With this server a file in its directory is an object; as an object there tells where that is.
echo here | f3_s3 put many/mark-of-this-test - >/dev/null
if [ "$n" -gt 10000 ]; then
	where=$(find "$F3_S3_SHARED" -name mark-of-this-test -path "*$S3_BUCKET/many*" | head -n 1)
	[ -n "$where" ] || f3_fail "the server keeps its objects elsewhere"
	python3 - "${where%/*}" $n <<'P'
import os, sys
os.chdir(sys.argv[1])
for i in range(int(sys.argv[2])):
    fd = os.open(f"key-{i:07}", os.O_CREAT | os.O_WRONLY)
    os.setxattr(fd, "user.etag", b"d41d8cd98f00b204e9800998ecf8427e")  # without one it is no object
    os.close(fd)
P
else
	python3 - $n <<'P'
import os, sys
sys.path.append(os.environ["F3_SRCDIR"] + "/tests/s3")
sys.dont_write_bytecode = True
import s3
c = s3.Client(endpoint=os.environ["S3_DIRECT"])
for i in range(int(sys.argv[1])):
    c.put(f"many/key-{i:07}", b"")
P
fi
f3_s3 rm many/mark-of-this-test
f3_start
from=$(f3_proxy_log length)
began=$EPOCHREALTIME
# shellcheck disable=SC2012 # it is ls that is tested
f3_eq "names" "$(ls -f "$F3_MNT/v/many" | tee names | wc -l)" $((n + 2))
ended=$EPOCHREALTIME
echo "$n names: $(awk -v a="$began" -v b="$ended" 'BEGIN { print b - a }') s, $(
	)$(grep VmHWM "/proc/$F3_PID/status")"
f3_proxy_log ".[$from:] | map(select(.path | contains(\"/many/\")))" >asked
f3_eq "questions about single ones" "$(cat asked)" '[]'
pages=$(f3_proxy_log ".[$from:] | map(select(.query | contains(\"delimiter\"))) | length")
[ "$pages" -ge $((n / 1000)) ] || f3_bad "only $pages pages"
f3_eq "each once" "$(grep -c '^key-[0-9]\{7\}$' names) $(sort -u names | wc -l)" "$n $((n + 2))"
peak=$(awk '/VmHWM/ { print $2 }' "/proc/$F3_PID/status")
[ -n "${F3_SANITIZE:-}" ] || [ "$peak" -lt $((300 << 10)) ] || f3_bad "$peak KiB of memory"
