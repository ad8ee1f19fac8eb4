#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# A store that does not answer, and programs that go on making files that are to go there: what is
# still to be told takes no more memory than it may. Who makes more waits and gets ENOSPC, and
# nobody else; what was taken is all in the store in the end, and who waited goes on.
# F3_HEAVY=1: memory-limit is 512M instead of 96M.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq debug python3 mkfifo
limit_mib=96
files=20000
[ -z "${F3_HEAVY:-}" ] || { limit_mib=512 files=200000; }
f3_set memory-limit=${limit_mib}M cache-size=20G space-wait=1s
f3_volume w "file://$F3_STORE/w" default-class=writeback attr-ttl=1h
f3_rules w '*.tmp = ephemeral'
f3_volume other "file://$F3_STORE/other" default-class=writeback attr-ttl=1h
mkfifo "$F3_TEST_TMP/gate"
exec {open}<>"$F3_TEST_TMP/gate"
F3_DEBUG_POINTS="objfile.put=gate:$F3_TEST_TMP/gate" eval "f3_start $open>&-"
status() { ctl --json status | jq "$1"; }
peak_kib() { awk '$1 == "VmHWM:" { print $2 }' "/proc/$F3_PID/status"; }
within()
{
	[ -n "${F3_SANITIZE:-}" ] || [ "$(peak_kib)" -le $((limit_mib * 1126)) ] ||
		f3_bad "$1: $(peak_kib) KiB resident, the limit is $limit_mib MiB"
	[ "$(status .memory.accounts.journal)" -le "$(status .memory.shares.journal)" ] ||
		f3_bad "$1: the journal takes $(status .memory.accounts.journal) bytes"
}
f3_eq "names" "$(ls "$F3_MNT/w")$(ls "$F3_MNT/other")" ""
echo 1 >"$F3_MNT/w/stored"
mkdir "$F3_MNT/w/late"{1..20} || f3_bad "mkdir"
f3_ok ctl sync >/dev/null
for i in {1..20}; do
	f3_eq "names in late$i" "$(ls "$F3_MNT/w/late$i")" ""
done
exec {open}>&-	# from now on it does not answer

made=$(f3_python "$F3_MNT/w" "$files" <<'P'
import os, sys
from f3test import *
top, n = sys.argv[1], int(sys.argv[2])
i, said = 0, "ok"
while i < n and said == "ok":
    said = error_of(put, f"{top}/f{i}", b"%d" % i)
    i += said == "ok"
eq("in the end", said, "ENOSPC")
print(i)
done()
P
) || f3_bad "$made"
made=${made##*$'\n'}
[ "$made" -ge 400 ] || f3_fail "full after $made files"
within "$made files wait"
f3_eq "they are all here" "$(ls "$F3_MNT/w" | wc -l)" $((made + 21))

# Nothing else of the volume needs room there, and another volume has some left.
f3_python "$F3_MNT/w" "$F3_MNT/other" <<'P'
import os, sys
from f3test import *
w, other = sys.argv[1:]
for what, call in (("a rename", lambda: os.rename(f"{w}/stored", f"{w}/renamed")),
                   ("chmod", lambda: os.chmod(f"{w}/stored", 0o600)),
                   ("unlink of an object", lambda: os.unlink(f"{w}/stored")),
                   ("mkdir", lambda: os.mkdir(f"{w}/d")),
                   ("open for writing", lambda: os.close(os.open(f"{w}/stored", os.O_WRONLY))),
                   ("symlink", lambda: os.symlink("x", f"{w}/l"))):
    refused(what, "ENOSPC", call)
for i in range(20):
    refused("a local file", "ok", put, f"{w}/{i}.tmp", b"x")
    refused("a file of another volume", "ok", put, f"{other}/f{i}", b"%d" % i)
refused("reading", "ok", get, f"{w}/f0")
# What has its entry already may change, also its name. (Not the first ones: they are on their way.)
refused("writing on", "ok", put, f"{w}/f200", b"other")
refused("renaming what waits", "ok", os.rename, f"{w}/f200", f"{w}/f200.renamed")
refused("and back", "ok", os.rename, f"{w}/f200.renamed", f"{w}/f200")
done()
P

# Who waits goes on when there is room: here since what never was in the store is removed. (The kernel
# lets one at a time make a name in a directory, and who waits for room is that one.)
ctl_set() { f3_set "$1"; ctl reload >/dev/null || f3_bad "reload"; }
ctl_set space-wait=10m
waits() { [ "$(status .waiting_for_room)" = "$1" ]; }
for i in {1..20}; do
	printf 'late%s' "$i" >"$F3_MNT/w/late$i/f" &
done
f3_until 60 waits 20 || f3_bad "$(status .waiting_for_room) wait"
rm "$F3_MNT"/w/f3[0-9][0-9]
f3_until 60 waits 0 || f3_bad "$(status .waiting_for_room) wait although there is room"
within "removed"

# The store answers again.
( : >"$F3_MNT/w/last" ) &
exec {open}<>"$F3_TEST_TMP/gate"
jobs=$(jobs -p | grep -vx "$F3_CHILD")
for pid in $jobs; do
	wait "$pid" || f3_bad "a writer: status $?"
done
f3_ok ctl sync >/dev/null
f3_eq "in the store" "$(find "$F3_STORE/w" -maxdepth 1 -name 'f*' -type f | wc -l)" $((made - 100))
f3_eq "what was late" "$(cat "$F3_STORE"/w/late*/f | wc -c)" $((20 * 4 + 9 + 11 * 2))
f3_eq "of the other volume" "$(cat "$F3_STORE"/other/f7)" 7
f3_eq "rewritten" "$(cat "$F3_STORE/w/f200")" other
wrong() { for f in "$F3_STORE"/w/f*; do [ "$(<"$f")" = "${f##*/f}" ] || echo "${f##*/}"; done; }
f3_eq "contents" "$(wrong)" f200
f3_eq "no room is taken" "$(status .memory.accounts.journal)" 0
f3_ok mkdir "$F3_MNT/w/d"
within "all told"
f3_ok ctl fsck >/dev/null
echo "$made files wait for the store: at most $(peak_kib) KiB resident"
