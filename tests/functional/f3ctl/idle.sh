#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An idle daemon uses no CPU, with idle admins and a metrics server too.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse python3
case ${F3_SANITIZE:-} in *thread*) f3_skip "ThreadSanitizer has a thread that wakes up by itself" ;; esac
f3_volume data -
printf '\n[metrics]\nlisten = 127.0.0.1:%s\n' $((20000 + $$ % 12000)) >>"$F3_CONF"
f3_start
echo x >"$F3_MNT/data/x"
f3_ok ctl sync >/dev/null
python3 - "$F3_RUN/control.sock" "$F3_PID" <<'P' || f3_bad "it is not idle"
import select, socket, sys
path, pid = sys.argv[1:]
def ticks():
    total = 0
    import os
    for t in os.listdir(f'/proc/{pid}/task'):
        f = open(f'/proc/{pid}/task/{t}/stat').read().rsplit(')', 1)[1].split()
        total += int(f[11]) + int(f[12])
    return total
def switches():
    import os
    total = 0
    for t in os.listdir(f'/proc/{pid}/task'):
        for l in open(f'/proc/{pid}/task/{t}/status'):
            if l.startswith('voluntary_ctxt'):
                total += int(l.split()[1])
    return total
idle = []
for _ in range(20):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.sendall(b'{"op":"log-level"}\n')
    assert b'"ok":true' in s.recv(4096)
    idle.append(s)
# Idle is what it becomes once what the requests and the start began is over, and stays: three
# seconds in a row, of at most thirty. (Measuring time, not waiting for anything.)
for _ in range(10):
    a, sa = ticks(), switches()
    select.select([], [], [], 3)
    b, sb = ticks(), switches()
    print('ticks', b - a, 'wake-ups', sb - sa)
    if b == a and sb - sa <= 2:
        sys.exit(0)
sys.exit(1)
P
rss=$(awk '$1 == "VmRSS:" { print $2 }' "/proc/$F3_PID/status")
[ -n "${F3_SANITIZE:-}" ] || [ "$rss" -lt 65536 ] || f3_bad "$rss KiB resident"
