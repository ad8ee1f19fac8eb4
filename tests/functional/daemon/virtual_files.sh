#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The files of the mount's root that are not stored: who may read them, how many at a time, df.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse python3 setpriv
f3_volume data -
f3_start

f3_ok grep -q f3_fuse_op_seconds "$F3_MNT/.stats"
f3_ok setpriv --reuid 65534 --clear-groups cat "$F3_MNT/.config" >"$F3_TEST_TMP/config"
f3_no 1 "Permission denied" setpriv --reuid 65534 --clear-groups cat "$F3_MNT/.accesslog"
f3_eq "file system of .stats" "$(stat -f -c %T "$F3_MNT/.stats")" fuseblk
f3_ok python3 - "$F3_MNT/.stats" <<'END'
import errno, os, sys

fds = []
try:
    while len(fds) < 200:
        fds.append(os.open(sys.argv[1], os.O_RDONLY))
except OSError as e:
    if e.errno != errno.EMFILE:
        raise
if not 16 <= len(fds) < 200:
    sys.exit(f"{len(fds)} were opened at a time")
for fd in fds:
    os.close(fd)
for _ in range(200):
    os.close(os.open(sys.argv[1], os.O_RDONLY))
END
