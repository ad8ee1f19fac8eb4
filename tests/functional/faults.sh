# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Debug points and faults of the daemon that runs now (fs/base/debug.h). Sourced after lib.sh; wants
# python3, and a debug build.

# fault OP NAME [ACTION]: an operation of the control socket: fault, fault-count, point. Prints how often it
# happened.
fault()
{
	python3 -c 'import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
request = {"op": sys.argv[2], "name": sys.argv[3]}
if len(sys.argv) > 4:
    request["action"] = sys.argv[4]
s.sendall(json.dumps(request).encode() + b"\n")
answer = json.loads(s.makefile().readline())
if not answer["ok"]:
    sys.exit(str(answer))
print(answer.get("happened", 0))' "$F3_RUN/control.sock" "$@"
}
