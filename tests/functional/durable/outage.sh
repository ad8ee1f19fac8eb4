#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# The object directory is full, or cannot be written, and works again: the durable program is told
# why, nothing of what it wrote is lost, and all of it is in the store when that works again.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq python3 chattr
f3_set retry-min=20ms retry-max=1s
f3_disk tmpfs 40M "$F3_STORE/full"
f3_volume full "file://$F3_STORE/full" default-class=durable attr-ttl=100ms
f3_disk tmpfs 10M "$F3_STORE/later"
f3_volume later "file://$F3_STORE/later" default-class=writeback
f3_start
v=$F3_MNT/full
echo old >"$v/old"
head -c 30000000 /dev/zero | tr '\0' x >"$F3_STORE/full/ballast"
head -c 20000000 /dev/urandom >data
f3_python "$v" data "$F3_STORE/full" <<'P'
import os, sys
from f3test import *
v, data, store = sys.argv[1:]
data = open(data, "rb").read()
fd = os.open(f"{v}/new", os.O_CREAT | os.O_WRONLY)
os.write(fd, data)
eq("fsync with a full store", error_of(os.fsync, fd), "ENOSPC")
eq("close with a full store", error_of(os.close, fd), "ENOSPC")
check("nothing half in the store", not os.path.exists(f"{store}/new"))
until(60, "it says so", lambda: state(f"{v}/new") == "failed")
check("it can be read here", open(f"{v}/new", "rb").read() == data)
fd = os.open(f"{v}/old", os.O_WRONLY | os.O_TRUNC)
os.write(fd, data)
eq("over an object", error_of(os.close, fd), "ENOSPC")
eq("the object is as it was", open(f"{store}/old", "rb").read(), b"old\n")
# A file that failed may be renamed and removed.
eq("rename", error_of(os.rename, f"{v}/new", f"{v}/renamed"), "ok")
eq("names", sorted(os.listdir(v)), ["ballast", "old", "renamed"])
done()
P
name=renamed
echo later >"$F3_MNT/later/doc"
rm "$F3_STORE/full/ballast"
# An attempt that was under way may still fail, and that is what a sync of that moment says.
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_ok cmp data "$F3_STORE/full/$name"
f3_ok cmp data "$v/$name"
f3_eq "state" "$(f3_info "$v/$name" .state)" clean
f3_eq "writeback" "$(cat "$F3_STORE/later/doc")" later
rm "$v/$name"
f3_ok cmp data "$F3_STORE/full/old"

# No right to write, for a while.
chattr +i "$F3_STORE/full" || f3_skip "a directory here cannot be made immutable"
f3_python "$v" <<'P'
import os, sys
from f3test import *
v = sys.argv[1]
fd = os.open(f"{v}/old", os.O_WRONLY)
os.pwrite(fd, b"changed", 0)
said = error_of(os.fsync, fd)
check(f"fsync to a store that is cannot be written: {said}", said in ("EPERM", "EROFS", "EIO"))
check("close too", error_of(os.close, fd) in ("EPERM", "EROFS", "EIO"))
for what, call in (("mkdir", lambda: os.mkdir(f"{v}/dir")), ("unlink", lambda: os.unlink(f"{v}/old")),
                   ("rename", lambda: os.rename(f"{v}/old", f"{v}/older")),
                   ("symlink", lambda: os.symlink("x", f"{v}/link"))):
    said = error_of(call)
    check(f"{what}: {said}", said in ("EPERM", "EROFS", "EIO"))
eq("names are as they were", [n for n in os.listdir(v) if n != "old"], [])
eq("read here", open(f"{v}/old", "rb").read(7), b"changed")
done()
P
chattr -i "$F3_STORE/full"
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_eq "up at last" "$(head -c 7 "$F3_STORE/full/old")" changed
f3_ok mkdir "$v/dir"
[ -d "$F3_STORE/full/dir" ] || f3_bad "no directory in the store"
grep -q 'works again\|is in the object store now' "$F3_LOG" || f3_bad "the log does not say that it works again"
f3_ok ctl fsck >/dev/null
f3_restart
f3_eq "after a restart" "$(head -c 7 "$v/old")" changed
