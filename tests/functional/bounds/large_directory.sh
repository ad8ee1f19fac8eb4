#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=1200
#
# A directory of many names, here and in the store: listing it takes no more memory than listing a
# small one, and a second listing sees what others removed and made there.
# F3_HEAVY=1: a million names, else 40,000.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq python3
limit_mib=128
names=40000
[ -z "${F3_HEAVY:-}" ] || names=1000000
f3_set memory-limit=${limit_mib}M cache-size=20G
mkdir "$F3_STORE/v"
f3_volume v "file://$F3_STORE/v" attr-ttl=100ms
f3_volume local -
f3_start
peak_kib() { awk '$1 == "VmHWM:" { print $2 }' "/proc/$F3_PID/status"; }
within()
{
	[ -n "${F3_SANITIZE:-}" ] || [ "$(peak_kib)" -le $((limit_mib * 1126)) ] ||
		f3_bad "$1: $(peak_kib) KiB resident, the limit is $limit_mib MiB"
}
make() { python3 -c 'import os, sys
for i in range(int(sys.argv[2]), int(sys.argv[3])): os.close(os.open(f"{sys.argv[1]}/n{i}", os.O_CREAT | os.O_WRONLY))' "$@"; }
# Each name once: a name that came twice would make up for one that is missing.
count() { python3 -c 'import os, sys
n = 0
seen = set()
for e in os.scandir(sys.argv[1]): n += 1; seen.add(hash(e.name))
print(n, len(seen))' "$1"; }
mkdir "$F3_STORE/v/d"
make "$F3_STORE/v/d" 0 "$names"
f3_eq "listed" "$(count "$F3_MNT/v/d")" "$names $names"
within "$names names of the store listed"
for i in 0 7 $((names / 2)) $((names - 1)); do rm "$F3_STORE/v/d/n$i"; done
make "$F3_STORE/v/d" "$names" $((names + 10))
changed() { [ "$(count "$F3_MNT/v/d")" = "$((names + 6)) $((names + 6))" ]; }
f3_until 300 changed || f3_bad "changes by others: $(count "$F3_MNT/v/d")"
within "listed again"
f3_no 2 'No such file' ls "$F3_MNT/v/d/n7"
f3_ok ls "$F3_MNT/v/d/n$names" >/dev/null
f3_eq "memory of listings" "$(ctl --json status | jq .memory.accounts.lists)" 0
echo "$names names in the store: at most $(peak_kib) KiB resident"

# The same here.
mkdir "$F3_MNT/local/d"
make "$F3_MNT/local/d" 0 "$names"
f3_eq "listed" "$(count "$F3_MNT/local/d")" "$names $names"
within "$names names here listed"
echo "and as many here: at most $(peak_kib) KiB resident"
