#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Options whose effect shows nowhere else in the suite: how long the kernel keeps what it was told,
# requests in the background, the form of the log, how long a writer waits for space.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq python3
f3_volume data -
f3_volume up "file://$F3_STORE/up" default-class=writeback
f3_set log-format=json "log=$F3_TEST_TMP/log.json" max-background=77 entry-timeout=0s attr-timeout=0s \
	negative-timeout=0s cache-size=64M space-wait=200ms \
	passthrough=off
f3_start
top=$F3_MNT/data

# count OP: requests of this kind so far.
count()
{
	awk -v op="f3_fuse_op_seconds_count{op=\"$1\"}" '$1 == op { print $2 }' "$F3_MNT/.stats"
}

# asked OP N COMMAND...: the command makes at least N requests of this kind.
asked()
{
	local op=$1 n=$2 before
	shift 2
	before=$(count "$op")
	"$@"
	[ $(($(count "$op") - before)) -ge "$n" ] || f3_bad "$*: fewer than $n of $op"
}
known() { for _ in {1..20}; do [ -f "$top/file" ] || f3_bad "not there"; done; }
missing() { for _ in {1..20}; do [ ! -e "$top/missing" ] || f3_bad "there"; done; }
touch "$top/file"
asked lookup 20 known
asked lookup 20 missing
times() { for _ in {1..20}; do stat -L "/proc/self/fd/$fd" >/dev/null; done; }
exec {fd}<"$top/file"
asked getattr 20 times
exec {fd}<&-

f3_ok jq -es 'length > 0 and all(.[]; type == "object")' "$F3_TEST_TMP/log.json" >/dev/null
mkdir ctl
if mount -t fusectl none ctl; then
	f3_eq "requests in the background" "$(cat "ctl/$(stat -c %d "$F3_MNT")/max_background")" 77
	umount ctl
else
	echo "max-background is not looked at: no fusectl"
fi

# With the store gone nothing that is dirty can be evicted.
f3_ok python3 - "$F3_MNT/up" "$F3_STORE" <<'END'
import errno, os, sys, time

top, store = sys.argv[1:]
files = [open(f"{top}/{i}", "wb", buffering=0) for i in range(30)]
os.rename(store + "/up", store + "/away")
try:
    for f in files:
        for i in range(4):
            began = time.monotonic()
            f.write(bytes(1 << 20))
    sys.exit("120 MiB fit into 64")
except OSError as e:
    if e.errno != errno.ENOSPC:
        raise
    # 30 s is what it would be without the option
    if time.monotonic() - began > 25:
        sys.exit(f"waited {time.monotonic() - began:.1f} s for space")
END
mv "$F3_STORE/away" "$F3_STORE/up"
f3_until 60 ctl sync || f3_bad "sync: $(ctl sync 2>&1)"
f3_ok dd if=/dev/zero "of=$F3_MNT/up/after" bs=1M count=4 status=none
