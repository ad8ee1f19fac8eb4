#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A change of names that the database cannot write has not happened: with a full disk below the
# daemon mv and rm fail, and every file has its name, its bytes and its number of links, at once
# and after a restart.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse python3
mkdir "$F3_CACHE"
mount -t tmpfs -o size=96M,mode=700 none "$F3_CACHE" || f3_skip "needs tmpfs"
f3_volume m - default-class=memory
f3_start

top=$F3_MNT/m
for name in target tmp gone linked left right; do
	echo "$name" >"$top/$name"
done
ln "$top/linked" "$top/linked2"
mkdir "$top/dir"
shown() { (cd "$1" && ls -1 && cat left linked linked2 right target tmp gone && stat -c '%n %h' -- *); }
want=$(shown "$top")

# Every block, also those that the database keeps for itself: what may still be written is written.
f3_ok python3 - "$top/target" "$F3_CACHE/junk" <<'END'
import errno, os, sys

junk = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)


def fill():
    try:
        while os.write(junk, b"x" * 4096) > 0:
            pass
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise


fill()
for i in range(100000):
    try:
        os.setxattr(sys.argv[1], "user.x", b"a" * 30000)
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
        break
    fill()
else:
    sys.exit("the database writes on a full disk")
END

f3_no 1 "No space left" mv -f "$top/tmp" "$top/target"
f3_no 1 "No space left" rm "$top/gone"
f3_no 1 "No space left" rm "$top/linked2"
f3_no 1 "No space left" ln "$top/left" "$top/another"
f3_no 1 "No space left" rmdir "$top/dir"
rm "$F3_CACHE/junk"
f3_until 60 touch "$top/target" || f3_fail "nothing is written with room again"
f3_eq "once there is room" "$(shown "$top")" "$want"
f3_restart
f3_eq "after a restart" "$(shown "$top")" "$want"
f3_stop
f3_umount "$F3_CACHE"
