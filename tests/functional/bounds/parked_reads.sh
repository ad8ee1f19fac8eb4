#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=600
#
# A store that does not answer and many programs that read from it: each waits without a thread and
# with little memory, can be killed, and holds up neither others nor releases; once the store
# answers each gets its bytes, though there is no memory for all of them at once.
# F3_HEAVY=1: 10,000 readers, else 400.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq debug python3 fstry mkfifo
limit_mib=64
readers=400
if [ -n "${F3_HEAVY:-}" ]; then
	readers=10000
	limit_mib=128
fi
large=60
f3_set memory-limit=${limit_mib}M cache-size=20G fill-size=1M
mkdir "$F3_STORE/v"
# Something of its own at every place that is read.
f3_ok python3 - "$F3_STORE/v" "$readers" "$large" <<'END'
import os, sys
top, readers, large = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(top + "/scattered", "wb") as f:
    for i in range(readers):
        f.seek(i << 17)
        f.write(b"%4096d" % i)
with open(top + "/large", "wb") as f:
    for i in range(large):
        f.write(b"%1048576d" % i)
with open(top + "/killed", "wb") as f:
    f.write(b"k" * (1 << 20))
END
f3_volume v "file://$F3_STORE/v" attr-ttl=1h
f3_volume local -
mkfifo "$F3_TEST_TMP/gate"
exec {open}<>"$F3_TEST_TMP/gate"	# the store answers while this is open
F3_DEBUG_POINTS="objfile.get=gate:$F3_TEST_TMP/gate" eval "f3_start $open>&-"
status() { ctl --json status | jq "$1"; }
reads_wait() { [ "$(status .parked_reads)" = "$1" ]; }
peak_kib() { awk '$1 == "VmHWM:" { print $2 }' "/proc/$F3_PID/status"; }
within()
{
	[ -n "${F3_SANITIZE:-}" ] || [ "$(peak_kib)" -le $((limit_mib * 1126)) ] ||
		f3_bad "$1: $(peak_kib) KiB resident, the limit is $limit_mib MiB"
}
f3_eq "names" "$(ls -m "$F3_MNT/v")" "killed, large, scattered"

# All have the file open before that: opening it asks the store.
direct=
cached=
mkfifo "$F3_TEST_TMP/go" "$F3_TEST_TMP/opened" "$F3_TEST_TMP/close"
for how in direct cached; do
	(
		exec {open}>&-
		exec python3 - "$F3_MNT/v/killed" "$how" "$F3_TEST_TMP/opened" "$F3_TEST_TMP/go" \
			"$F3_TEST_TMP/close"
	) <<'END' &
import mmap, os, sys, threading
path, how, opened, go, close = sys.argv[1:]
fd = os.open(path, os.O_RDONLY | (os.O_DIRECT if how == "direct" else 0))
page = mmap.mmap(-1, 4096)
with open(opened, "w") as f:
    f.write(how)
open(go).read()
reader = threading.Thread(target=lambda: os.preadv(fd, [page], 8192))
reader.start()
if how == "direct":
    open(close).read()
    os.close(fd)
reader.join()
sys.exit(page[:] != b"k" * 4096)
END
	eval "$how=\$!"
	read -r _ <"$F3_TEST_TMP/opened"
done
mkfifo go.scattered go.large
read_many()
{
	exec {open}>&-
	exec fstry read-many "$1" "$2" "$3" "$F3_MNT/v/$4" "$F3_STORE/v/$4" "go.$4"
}
read_many "$readers" 4096 131072 scattered >scattered &
scattered=$!
read_many "$large" 1048576 1048576 large >large &
large_pid=$!
exec {go_scattered}>go.scattered {go_large}>go.large
exec {open}>&-	# from now on it does not
exec {go_scattered}>&- {go_large}>&-
f3_until 120 reads_wait $((readers + large)) || f3_fail "$(status .parked_reads) reads wait"
within "$readers readers wait"
[ "$(status .memory.accounts.parked)" -gt $((readers * 512)) ] || f3_bad "they are not accounted for"

# Others go on: nothing keeps releases, or what has no store, from being served.
for i in {1..50}; do
	echo "$i" >"$F3_MNT/local/f$i" || f3_bad "file $i"
done
f3_eq "others" "$(cat "$F3_MNT"/local/f* | wc -l)" 50
released() { [ "$(status .opens.now)" = 4 ]; }
f3_until 60 released || f3_bad "open: $(status .opens.now), all but four are closed"

# Killed, and closed while another thread still reads. (The kernel sends no interrupt for either:
# the first one's request waits on without it.)
: >"$F3_TEST_TMP/go"
f3_until 60 reads_wait $((readers + large + 2)) || f3_bad "two more do not wait"
: >"$F3_TEST_TMP/close"
kill -TERM "$cached"
wait "$cached"
f3_eq "its end" $? 143
within "killed"
exec {open}<>"$F3_TEST_TMP/gate"
for p in $scattered $large_pid $direct; do
	wait "$p" || f3_bad "readers: status $?"
done
f3_eq "what $readers readers got" "$(cat scattered)" "$readers right, 0 wrong"
f3_eq "what those of 1 MiB got" "$(cat large)" "$large right, 0 wrong"
f3_until 60 reads_wait 0 || f3_bad "reads wait although all is there"
at_rest() { [ "$(status '.memory.accounts.parked + .memory.accounts.buffers + .memory.waiting')" = 0 ]; }
f3_until 60 at_rest || f3_bad "memory is not given back: $(status .memory)"
within "read"
echo "$readers readers: at most $(peak_kib) KiB resident"
