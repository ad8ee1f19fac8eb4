#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# kill -9 of the daemon: programs that have files open go on, in every mode and class; what is open
# without a name stays; locks hold; and what is closed afterwards is sealed as ever.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq python3
f3_volume data "file://$F3_STORE/data" default-class=durable
f3_start
d=$F3_MNT/data
mkdir "$d/e" "$d/m"
setfattr -n user.f3.class -v ephemeral "$d/e"
setfattr -n user.f3.class -v memory "$d/m"

# Kills the daemon that serves, and waits until another one does.
die()
{
	local was=$F3_PID
	kill -KILL "$was"
	f3_until 60 eval 'F3_PID=$(ctl --json status 2>/dev/null | jq .pid) && [ -n "$F3_PID" ] && [ "$F3_PID" != '"$was"' ]' ||
		f3_fail "it was not started again"
}

cat >prog.py <<'P'
import fcntl, mmap, os, sys
d = sys.argv[1]
def step():
    print("ready", flush=True)
    sys.stdin.readline()
held = {c: os.open(f"{d}/{c}", os.O_RDWR | os.O_CREAT) for c in ("e/native", "m/memory", "object")}
for fd in held.values():
    os.write(fd, b"before ")
nameless = os.open(f"{d}/e", os.O_TMPFILE | os.O_RDWR)
os.write(nameless, b"nameless")
gone = os.open(f"{d}/e/gone", os.O_RDWR | os.O_CREAT)
os.write(gone, b"unlinked")
os.unlink(f"{d}/e/gone")
mapped = os.open(f"{d}/e/mapped", os.O_RDWR | os.O_CREAT)
os.ftruncate(mapped, 8192)
m = mmap.mmap(mapped, 8192)
os.close(mapped)
m[0:5] = b"first"
fcntl.flock(held["e/native"], fcntl.LOCK_EX)
append = os.open(f"{d}/m/append", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(append, b"1")
step()
for name, fd in held.items():
    os.write(fd, b"after")
    assert os.pread(fd, 100, 0) == b"before after", (name, os.pread(fd, 100, 0))
    assert os.fstat(fd).st_size == 12
os.write(append, b"2")
assert os.pread(nameless, 100, 0) == b"nameless"
assert os.pread(gone, 100, 0) == b"unlinked"
assert os.fstat(gone).st_nlink == 0
os.link(str(nameless), f"{d}/e/named", src_dir_fd=os.open("/proc/self/fd", os.O_RDONLY))
m[5:11] = b"second"
other = os.open(f"{d}/e/native", os.O_RDWR)
try:
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    raise SystemExit("the lock was lost")
except BlockingIOError:
    pass
assert os.listdir(f"{d}/e").count("native") == 1
step()
for fd in (*held.values(), nameless, gone, append, other):
    os.close(fd)
m.close()
print("done", flush=True)
P
coproc python3 prog.py "$d"
exec {in}<&"${COPROC[0]}" {out}>&"${COPROC[1]}"
for _ in 1 2; do
	read -r said <&"$in" || f3_fail "the program died"
	f3_eq "the program" "$said" ready
	die
	echo >&"$out"
done
read -r said <&"$in"
f3_eq "the program" "$said" "done"
f3_eq "native" "$(cat "$d/e/native")" "before after"
f3_eq "memory" "$(cat "$d/m/memory")" "before after"
f3_eq "appended" "$(cat "$d/m/append")" 12
f3_eq "durable" "$(cat "$F3_STORE/data/object")" "before after"
f3_eq "named" "$(cat "$d/e/named")" nameless
f3_eq "mapped" "$(head -c 11 "$d/e/mapped")" firstsecond
for f in native mapped named; do
	f3_becomes 60 "$f" sealed f3_info "$d/e/$f" .state
done
f3_closed
f3_eq "restarts" "$(ctl --json status | jq .restarts)" 2
f3_match "last death" "$(ctl --json status | jq -r .last_death)" 'signal 9'
f3_stop
f3_fsck || f3_bad "fsck"
