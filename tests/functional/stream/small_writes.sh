#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Many small writes one close after the other, of which readers are told together: each byte arrives, also the
# last one when nothing follows it and the file stays open; poll and O_NONBLOCK tell of what is there.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3
f3_volume data - default-class=ephemeral
f3_rules data '** = ephemeral stream'
f3_start
f3_python "$F3_MNT/data" "$F3_MNT/.stats" <<'END'
import os, select, sys
from stream import *

d, stats = sys.argv[1:]
ROUNDS, WRITES = 50, 200
fd = os.open(f"{d}/f", os.O_WRONLY | os.O_CREAT)
os.write(fd, b"first")
back_r, back_w = os.pipe()
reader = os.fork()
if reader == 0:
    os.close(fd)
    mine = os.open(f"{d}/f", os.O_RDONLY)
    polled = os.open(f"{d}/f", os.O_RDONLY | os.O_NONBLOCK)
    got = b""
    wanted = 5
    for i in range(ROUNDS):
        wanted += WRITES * 7
        while len(got) < wanted:
            got += os.read(mine, 1 << 16)
        while os.lseek(polled, 0, os.SEEK_CUR) < wanted:
            if select.select([polled], [], [], 60)[0] != [polled]:
                os._exit(2)
            os.read(polled, 1 << 16)
        try:
            os.read(polled, 1)
            os._exit(3)
        except BlockingIOError:
            pass
        os.write(back_w, b".")  # the writer goes on when all is here
    ok = got == b"first" + b"".join(b"%06d\n" % i for i in range(ROUNDS * WRITES)) and os.read(mine, 1) == b""
    os._exit(0 if ok else 1)
n = 0
for i in range(ROUNDS):
    for _ in range(WRITES):
        os.write(fd, b"%06d\n" % n)
        n += 1
    os.read(back_r, 1)
os.close(fd)
eq("what the reader got", os.waitpid(reader, 0)[1], 0)
done()
END
f3_closed
f3_stop
