#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=900
#
# The longest that any call waits when the daemon is killed and when it is upgraded, with many inodes
# known and files open, below fio verify and a storm of names; and that no call fails. F3_INODES and
# F3_OPENS say how many (make pauses: 100,000 and 1,000); what it took is printed, and no bound of it is
# tested, since that is the machine's and its load's.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq python3 fio
inodes=${F3_INODES:-2000} opens=${F3_OPENS:-100} rounds=${F3_ROUNDS:-2}
F3_MEMORY_LIMIT=${F3_MEMORY_LIMIT:-512M} f3_dirs
f3_volume data -
f3_start
d=$F3_MNT/data

cat >prober.py <<'P'
import os, sys, threading, time
d, inodes, opens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for i in range(inodes):
    if i % 1000 == 0:
        os.mkdir(f"{d}/{i // 1000}")
    os.close(os.open(f"{d}/{i // 1000}/{i}", os.O_CREAT | os.O_WRONLY))
held = [os.open(f"{d}/{i // 1000}/{i}", os.O_RDWR) for i in range(opens)]
for i in range(inodes):
    os.stat(f"{d}/{i // 1000}/{i}")
longest = 0.0
failed = []
ended = False
def probe():
    global longest
    n = 0
    while not ended:
        n += 1
        before = time.monotonic()
        try:
            fd = os.open(f"{d}/probe", os.O_CREAT | os.O_EXCL | os.O_RDWR)
            os.write(fd, b"x")
            os.close(fd)
            os.rename(f"{d}/probe", f"{d}/probe2")
            os.unlink(f"{d}/probe2")
        except OSError as e:
            failed.append(str(e))
            return
        longest = max(longest, time.monotonic() - before)
t = threading.Thread(target=probe)
t.start()
print("ready", flush=True)
for line in sys.stdin:
    if line == "mark\n":
        print(f"{longest:.3f}", flush=True)
        longest = 0.0
ended = True
t.join()
for i, fd in enumerate(held):
    os.write(fd, b"%d" % i)
    assert os.pread(fd, 10, 0) == b"%d" % i
    os.close(fd)
print("failed: " + failed[0] if failed else "done", flush=True)
P
coproc python3 prober.py "$d" "$inodes" "$opens"
exec {in}<&"${COPROC[0]}" {out}>&"${COPROC[1]}"
read -r said <&"$in"
f3_eq "the prober" "$said" ready
end=$F3_TEST_TMP/end
load_names()
{
	local n=0
	while [ ! -e "$end" ]; do
		n=$((n + 1))
		f3_storm "$d/s" --procs 1 --ops 2000 --seed $n >storm.out 2>&1 || return
		rm -rf "$d/s"
	done
}
load_bytes()
{
	while [ ! -e "$end" ]; do
		fio --name=verify --filename="$d/fio" --size=16M --rw=randrw --bs=4k --verify=crc32c \
			--verify_fatal=1 --verify_backlog=256 >fio.out 2>&1 || return
	done
}
load_names &
names=$!
load_bytes &
bytes=$!

longest() { echo mark >&"$out"; read -r took <&"$in"; }
changed() { F3_PID=$(ctl --json status | jq .pid) && [ "$F3_PID" != "$was" ]; }
longest
echo "without: $took s"
for ((i = 0; i < rounds; i++)); do
	was=$F3_PID
	kill -KILL "$F3_PID"
	f3_until 120 changed || f3_fail "it was not started again"
	longest
	echo "kill -9: $took s ($(ctl --json status | jq .last_pause_s) s in the daemon's own count)"
	if [[ ${F3_SANITIZE:-} == *thread* ]]; then
		echo "no upgrade: ThreadSanitizer does not see what the kernel orders by a descriptor kept over exec"
		continue
	fi
	was=$F3_PID
	f3_ok ctl --json upgrade >upgraded
	changed || f3_bad "the same process serves"
	longest
	echo "upgrade: $took s ($(jq .pause_s upgraded) s)"
done
: >"$end"
wait $names || { cat storm.out; f3_bad "the storm failed"; }
wait $bytes || { cat fio.out; f3_bad "fio failed"; }
exec {out}>&-
eval "exec ${COPROC[1]}>&-"
read -r said <&"$in"
f3_eq "the prober" "$said" "done"
echo "$inodes inodes, $opens open files"
