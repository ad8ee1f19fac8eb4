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
user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
f3_ok user grep -q f3_fuse_op_seconds "$F3_MNT/.stats"
f3_ok grep -q '^cache = ' "$F3_MNT/.config"
f3_no 1 "Permission denied" user cat "$F3_MNT/.config"
f3_no 1 "Permission denied" user cat "$F3_MNT/.accesslog"
f3_no 0 '^data$' ls -A "$F3_MNT"
for act in "chmod 777 @" "chown 1 @" "setfattr -n user.f3.class -v memory @" "setfattr -x user.a @" \
	"rm -f @" "ln @ $F3_MNT/data/l" "mv @ $F3_MNT/data/l"; do
	# shellcheck disable=SC2086 # words
	f3_no 1 'Operation not permitted|Invalid cross-device' ${act//@/$F3_MNT/.stats}
done
f3_no 2 'Permission denied' sh -c ": >'$F3_MNT/.stats'"
f3_eq "file system of .stats" "$(stat -f -c %T "$F3_MNT/.stats")" fuseblk
mkfifo held ended
chmod 666 held ended
f3_ok python3 - "$F3_MNT/.stats" held ended <<'END'
import errno, os, select, sys, time

fds = []
try:
    while len(fds) < 200:
        fds.append(os.open(sys.argv[1], os.O_RDONLY))
except OSError as e:
    if e.errno != errno.EMFILE:
        raise
if not 16 <= len(fds) < 200:
    sys.exit(f"{len(fds)} were opened at a time")
# whoever holds so many, root sees what goes on
pid = os.fork()
if pid == 0:
    for fd in fds:
        os.close(fd)
    os.setresuid(65534, 65534, 65534)
    held = []
    try:
        while True:
            held.append(os.open(sys.argv[1], os.O_RDONLY))
    except OSError as e:
        print(len(held), "for users", flush=True)
    with open(sys.argv[2], "w"):
        pass
    with open(sys.argv[3]):
        pass
    os._exit(0)
for fd in fds:
    os.close(fd)
with open(sys.argv[2]):
    pass
for _ in range(10):
    fds = [os.open(sys.argv[1], os.O_RDONLY)]
    os.close(fds.pop())
with open(sys.argv[3], "w"):
    pass
if os.waitpid(pid, 0)[1]:
    sys.exit("the other user's process failed")
# The daemon hears of a close some time after it: nobody waits for that.
end = time.monotonic() + 60
opened = 0
while opened < 200:
    try:
        os.close(os.open(sys.argv[1], os.O_RDONLY))
        opened += 1
    except OSError as e:
        if e.errno != errno.EMFILE or time.monotonic() > end:
            raise
        select.select([], [], [], 0.01)
END
