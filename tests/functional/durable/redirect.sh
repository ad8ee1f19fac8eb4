#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What a shell writes by redirection is one object, made once: the descriptor that it closes before
# the first byte has a duplicate. What is closed empty for good is an object too.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse python3
f3_volume v "file://$F3_STORE/v" default-class=durable
f3_start
v=$F3_MNT/v
puts()
{
	awk '$1 == "f3_object_requests_total{op=\"put\",result=\"ok\"}" { print $2 }' "$F3_MNT/.stats"
}

before=$(puts)
bash -c 'head -c 5000 /dev/zero >"$1"' sh "$v/redirected"
f3_eq "objects put for a redirection" $(($(puts) - before)) 1
f3_eq "its size" "$(stat -c %s "$F3_STORE/v/redirected")" 5000
# The object that is there is not replaced by an empty one first.
before=$(puts)
bash -c 'head -c 6000 /dev/zero >"$1"' sh "$v/redirected"
f3_eq "objects put when it is written over" $(($(puts) - before)) 1
f3_eq "its size now" "$(stat -c %s "$F3_STORE/v/redirected")" 6000
# Nothing but a close.
before=$(puts)
python3 - "$v/empty" "$F3_STORE/v/empty" <<'P' || f3_bad "an empty file is not there when close returns"
import os, sys
os.close(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY))
os.stat(sys.argv[2])
P
f3_eq "objects put for an empty file" $(($(puts) - before)) 1
# The duplicate is closed without a byte.
python3 - "$v/twice" "$F3_STORE/v/twice" <<'P' || f3_bad "after the last close it is not there"
import os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
os.close(os.dup(fd))
assert not os.path.exists(sys.argv[2]), "it is there before the last close"
os.close(fd)
os.stat(sys.argv[2])
P
