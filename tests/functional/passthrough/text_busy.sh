#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# Programs run from the mount: a text in use is not written (ETXTBSY), a file being written is not
# run, and execute permission alone is enough.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough python3
f3_volume v -
f3_volume m - default-class=memory
f3_start
for dir in v m; do
	cp "$(command -v cat)" "$F3_MNT/$dir/cat"
	f3_python "$F3_MNT/$dir" <<'END'
import os, subprocess, sys
from f3test import *

top = sys.argv[1]
cat = top + "/cat"
sealed(cat)
run = subprocess.Popen([cat], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
run.stdin.write(b"x\n")
run.stdin.flush()
eq("it runs", run.stdout.readline(), b"x\n")
refused("write to a running text", "ETXTBSY", os.open, cat, os.O_WRONLY)
refused("O_TRUNC of a running text", "ETXTBSY", os.open, cat, os.O_RDWR | os.O_TRUNC)
refused("truncate of a running text", "ETXTBSY", os.truncate, cat, 0)
os.close(os.open(cat, os.O_RDONLY))
os.chmod(cat, 0o700)
# Replacing and removing it is nobody's harm.
put(top + "/new", b"new")
os.rename(top + "/new", cat)
run.stdin.write(b"y\n")
run.stdin.flush()
eq("it still runs", run.stdout.readline(), b"y\n")
run.stdin.close()
eq("exit code", run.wait(), 0)

script = top + "/script"
put(script, b"#!/bin/sh\necho from the script\n", 0o755)
fd = os.open(script, os.O_WRONLY)
refused("run while a writer is open", "ETXTBSY", os.execv, script, [script])
os.close(fd)
eq("a script", subprocess.run([script], capture_output=True).stdout, b"from the script\n")
os.chmod(script, 0o644)
refused("run without permission", "EACCES", os.execv, script, [script])
done()
END
	# To run it nobody needs to read it.
	cp /bin/true "$F3_MNT/$dir/true"
	chmod 711 "$F3_MNT/$dir/true"
	f3_ok setpriv --reuid 1001 --regid 1001 --clear-groups "$F3_MNT/$dir/true"
	f3_no 1 "Permission denied" setpriv --reuid 1001 --regid 1001 --clear-groups \
		cat "$F3_MNT/$dir/true"
	# A shared library, mapped executable.
	f3_ok cp "$(ldd "$(command -v cat)" | awk '/libc\.so/ { print $3 }')" "$F3_MNT/$dir/libc.so.6"
	f3_eq "with its own libc" "$(echo hello | LD_LIBRARY_PATH=$F3_MNT/$dir cat)" hello
done
