#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Stopped while programs work on the mount: they get errors, the daemon ends cleanly, and what was
# synced is there after the next start.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse python3
f3_volume data -

cat >"$F3_TEST_TMP/work.py" <<'END'
import os, sys, threading

top = sys.argv[1]


def work(i):
    try:
        fd = os.open(f"{top}/file{i}", os.O_CREAT | os.O_RDWR)
        for n in range(1000000):
            os.pwrite(fd, b"%08d" % i, 0)
            os.fsync(fd)
            if not n:
                os.write(1, b".\n")
            os.close(os.open(f"{top}/new{i}", os.O_CREAT | os.O_RDWR))
            os.unlink(f"{top}/new{i}")
    except OSError:
        pass


for i in range(12):
    threading.Thread(target=work, args=(i,)).start()
END
for round in 1 2 3 4 5; do
	f3_start
	exec {lines}< <(exec python3 "$F3_TEST_TMP/work.py" "$F3_MNT/data")
	for i in {1..12}; do
		read -r -u "$lines" -t 30 _ || f3_fail "round $round: the programs do nothing"
	done
	f3_stop || f3_fail "round $round"
	while read -r -u "$lines" _; do :; done
	exec {lines}<&-
done
f3_start
for i in {0..11}; do
	f3_eq "file $i" "$(cat "$F3_MNT/data/file$i")" "$(printf %08d "$i")"
done
