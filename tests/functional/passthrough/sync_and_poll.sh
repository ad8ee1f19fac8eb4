#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What never reaches the daemon through passthrough: O_SYNC, so such opens of object classes are not
# passed through and a write that returned is in the store; and poll(2), which says ready of both.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough python3 jq
f3_volume local -
f3_volume objects "file://$F3_STORE/objects" default-class=durable
f3_start

mkfifo opened go
f3_python "$F3_MNT/local/f" "$F3_MNT/objects/f" "$F3_STORE/objects/f" "$F3_MNT/.stats" <<'END' &
import os, select, sys
from f3test import *

local, durable, stored, stats = sys.argv[1:]
for path in local, durable:
    put(path, b"first")
fds = [os.open(path, os.O_RDWR | flag) for path in (local, durable) for flag in (os.O_SYNC,)]
for n, fd in enumerate(fds):
    os.pwrite(fd, b"synced", 0)
eq("in the store when write returns", get(stored), b"synced")
os.close(fds[1])
fds[1] = os.open(durable, os.O_RDWR | os.O_DSYNC)
os.pwrite(fds[1], b"again!", 0)
eq("with O_DSYNC", get(stored), b"again!")


def poll_all():
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN | select.POLLOUT)
    for _ in range(100):
        eq("ready", sorted(e for _, e in poll.poll(0)), [select.POLLIN | select.POLLOUT] * 2)


poll_all()
with open("opened", "w"):
    pass
with open("go"):
    pass
done()
END
child=$!
: <opened
f3_eq "ephemeral" "$(f3_info "$F3_MNT/local/f" .open_mode)" passthrough
f3_eq "native writers of it" "$(f3_info "$F3_MNT/local/f" .native_writers)" 1
f3_eq "native writers with O_SYNC on durable" "$(f3_info "$F3_MNT/objects/f" .native_writers)" 0
f3_match "why" "$(f3_info "$F3_MNT/objects/f" .not_passthrough)" 'O_SYNC on an object class'
: >go
wait $child || f3_bad "see above"
