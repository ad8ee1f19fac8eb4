#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A volume with readonly=yes: what the store has is read, nothing in it or in the store is changed.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq python3
mkdir -p "$F3_STORE/v/dir"
head -c 3000000 /dev/urandom >"$F3_STORE/v/file"
echo inside >"$F3_STORE/v/dir/inside"
f3_volume v "file://$F3_STORE/v" readonly=yes default-class=durable
listing() { (cd "$F3_STORE/v" && find . -printf '%p %m %s %T@ %C@\n' | sort); }
before=$(listing)
f3_start
f3_ok cmp "$F3_MNT/v/file" "$F3_STORE/v/file"
f3_eq "in a directory" "$(cat "$F3_MNT/v/dir/inside")" inside
f3_python "$F3_MNT/v" <<'END'
import os
import sys
from f3test import *

top = sys.argv[1]
f = top + "/file"
for what, call, *args in (
        ("create", put, top + "/new"), ("mkdir", os.mkdir, top + "/newdir"),
        ("symlink", os.symlink, "x", top + "/link"), ("mknod", os.mknod, top + "/node"),
        ("unlink", os.unlink, f), ("rmdir", os.rmdir, top + "/dir"),
        ("rename", os.rename, f, top + "/other"), ("link", os.link, f, top + "/hard"),
        ("open for writing", os.open, f, os.O_WRONLY), ("truncate", os.truncate, f, 1),
        ("chmod", os.chmod, f, 0o600), ("chown", os.chown, f, 1, 1), ("utime", os.utime, f, (1, 1)),
        ("setxattr", os.setxattr, f, "user.x", b"1"),
        ("class", os.setxattr, f, "user.f3.class", b"writeback")):
    refused(what, "EROFS", call, *args)
eq("names", sorted(os.listdir(top)), ["dir", "file"])
done()
END
# What may be done here is: the local copy comes and goes.
f3_closed
f3_ok ctl evict "$F3_MNT/v/file" >/dev/null
f3_ok cmp "$F3_MNT/v/file" "$F3_STORE/v/file"
f3_ok f3_stop
f3_eq "the store" "$(listing)" "$before"
