#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# Large files: parts go up while they are written, what changed since goes again, what was read
# back has the right bytes; a small change of a large object copies the rest inside the store.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq python3
f3_volume v "file://$F3_STORE/v" default-class=durable
f3_start
v=$F3_MNT/v
# requests OPERATION: how many there were
requests()
{
	awk -v n="f3_object_requests_total{op=\"$1\",result=\"ok\"}" '$1 == n { print $2 }' "$F3_MNT/.stats"
}

head -c 100000000 /dev/urandom >data
# While it is written: the first parts are there before it is closed.
f3_python "$v/big" data "$F3_STORE/v" <<'P'
import glob, os, sys
from f3test import *
path, data, store = sys.argv[1:]
data = open(data, "rb").read()
fd = os.open(path, os.O_CREAT | os.O_WRONLY)
os.write(fd, data[:90_000_000])
until(60, "a part goes up before the close",
      lambda: any(os.stat(p).st_size > 8 << 20 for p in glob.glob(f"{store}/.f3/upload/*/data")))
check("it shows before it is complete", not os.path.exists(f"{store}/big"))
os.write(fd, data[90_000_000:])
os.close(fd)
done()
P
f3_eq "completed" "$(requests upload-complete)" 1
f3_ok cmp data "$F3_STORE/v/big"
f3_eq "no upload is left" "$(ls -A "$F3_STORE/v/.f3/upload")" ""

# Written over at the beginning while later parts are on their way: never a mixture.
python3 - "$v/again" data <<'P' || f3_bad "changing what is going up"
import os, sys
path, data = sys.argv[1:]
data = bytearray(open(data, "rb").read())
fd = os.open(path, os.O_CREAT | os.O_RDWR)
for off in range(0, len(data), 1 << 20):
    os.pwrite(fd, data[off:off + (1 << 20)], off)
    if off and off % (20 << 20) == 0:
        data[off - (15 << 20)] ^= 0xff
        os.pwrite(fd, data[off - (15 << 20):off - (15 << 20) + 1], off - (15 << 20))
os.ftruncate(fd, len(data) - 12345)
os.close(fd)
open("again", "wb").write(data[:-12345])
P
f3_ok cmp again "$F3_STORE/v/again"

# 4 KiB in the middle of an object that is not here.
f3_closed
f3_ok ctl evict "$v/big" >/dev/null
copied=$(requests upload-part-copy)
head -c 4096 /dev/urandom >patch.bin
dd if=patch.bin of=data bs=4096 seek=12000 conv=notrunc status=none
dd if=patch.bin of="$v/big" bs=4096 seek=12000 conv=notrunc status=none || f3_bad "edit"
f3_ok cmp data "$F3_STORE/v/big"
[ "$(requests upload-part-copy)" -gt "${copied:-0}" ] || f3_bad "nothing was copied in the store"
f3_ok cmp data "$v/big"

# The same in one that is here, which is written natively: what it was is known part by part.
f3_closed
f3_eq "state" "$(f3_info "$v/big" .state)" clean
copied=$(requests upload-part-copy) sent=$(requests upload-part)
dd if=patch.bin of=data bs=4096 seek=700 conv=notrunc status=none
dd if=patch.bin of="$v/big" bs=4096 seek=700 conv=notrunc status=none || f3_bad "edit of a complete file"
f3_ok cmp data "$F3_STORE/v/big"
f3_eq "parts sent for 4 KiB" $(($(requests upload-part) - ${sent:-0})) 1
f3_eq "parts copied" $(($(requests upload-part-copy) - copied)) 11
# And appended to: only its end goes up.
f3_closed
sent=$(requests upload-part)
cat patch.bin >>data
cat patch.bin >>"$v/big"
f3_ok cmp data "$v/big"
f3_ok cmp data "$F3_STORE/v/big"
[ $(($(requests upload-part) - sent)) -le 2 ] || f3_bad "appending sent $(($(requests upload-part) - sent)) parts"

# Appended to, and cut, without being here.
f3_closed
f3_ok ctl evict "$v/big" >/dev/null
echo tail >>data
echo tail >>"$v/big"
f3_ok cmp data "$F3_STORE/v/big"
f3_closed
f3_ok ctl evict "$v/big" >/dev/null
truncate -s 70000000 data "$v/big" || f3_bad "truncate"
f3_ok ctl sync >/dev/null
f3_ok cmp data "$F3_STORE/v/big"
f3_ok cmp data "$v/big"
f3_eq "no upload is left" "$(ls -A "$F3_STORE/v/.f3/upload")" ""
f3_ok ctl fsck >/dev/null
