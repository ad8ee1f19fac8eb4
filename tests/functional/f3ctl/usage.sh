#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl's exit codes: 0 done, 1 failed, 2 called wrongly; and its help.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_no 2 'which verb' f3ctl
f3_no 2 'there is no verb "nope"' f3ctl nope
f3_no 2 'unknown option' f3ctl --nope
f3_no 2 'unknown option' f3ctl status --nope
f3_no 2 'missing argument' f3ctl status -s
f3_no 2 'no arguments' f3ctl status now
f3_no 1 'no f3d answers at /nonexistent/control.sock: No such file' f3ctl -s /nonexistent/control.sock status
f3_no 1 'no f3d answers' f3ctl status -s "$(printf '/x%.0s' {1..100})"
f3_no 0 '^f3ctl [0-9]+\.[0-9]+' f3ctl --version
f3_no 0 'f3ctl \[OPTIONS\] VERB' f3ctl --help
for verb in $(f3ctl --print=names); do
	f3_no 0 "f3ctl $verb: " f3ctl "$verb" -h
	f3_match "$verb in the help" "$(f3ctl -h)" "  $verb +[a-z]"
	grep -q "^.It Ic $verb\b" "$F3_BUILDDIR/man/f3ctl.8" || f3_bad "f3ctl(8) has no $verb"
done
# The socket of the configured run-dir.
F3_F3_RUN_DIR=/some/where f3_no 1 '/some/where/control.sock' f3ctl status
# What answers may be anybody.
f3_requires python3
python3 - <<'P'
import socket, os, subprocess, sys
bad = 0
for reply, code, said in [
    (b'', 1, 'closed the connection'),
    (b'garbage\n', 1, 'is no f3d'),
    (b'[]\n', 1, 'is no f3d'),
    (b'{"ok":"maybe"}\n', 1, ''),
    (b'{"ok":true}\n', 0, ''),
    (b'{"ok":true,"volumes":7,"memory":[],"opens":"x","uptime_s":"y"}\n', 0, ''),
    (b'{"ok":false,"error":5,"message":{}}\n', 1, ''),
    (b'{"progress":1}\n{"item":[]}\n{"ok":true}\n', 0, ''),
    (b'{"ok":false,"error":"EIO","message":"\\u001b[31mred"}\n', 1, r'\x1b[31mred'),
    (b'\x00' * 100000 + b'\n', 1, 'is no f3d'),
]:
    s = socket.socket(socket.AF_UNIX)
    if os.path.exists('s'):
        os.unlink('s')
    s.bind('s')
    s.listen(1)
    p = subprocess.Popen(['f3ctl', '-s', 's', 'status'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    c, _ = s.accept()
    c.recv(65536)
    try:
        c.sendall(reply)
    except BrokenPipeError:
        pass
    c.close()
    out, err = p.communicate()
    if p.returncode != code or said.encode() not in err:
        print('reply', reply[:60], 'code', p.returncode, out, err)
        bad = 1
sys.exit(bad)
P
f3_eq "strange answers" $? 0
