#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl debug bundle: one archive, without secrets or contents.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq tar
f3_volume data -
f3_start
echo "the secret content" >"$F3_MNT/data/f"
f3_eq "its name" "$(ctl debug bundle bundle.tgz)" bundle.tgz
mkdir out
tar -xzf bundle.tgz -C out --strip-components=1
for f in status.json config metrics profile.json journal.json volumes.json machine mountinfo; do
	[ -s "out/$f" ] || f3_bad "$f is missing"
done
jq -e .ok out/status.json >/dev/null || f3_bad "status.json"
grep -q '^f3_cache_used_bytes ' out/metrics || f3_bad "metrics"
grep -rq "secret content" out && f3_bad "contents of files are in it"
f3_eq "named by the time" "$(ctl --json debug bundle | jq -r '.file | test("^f3-debug-[0-9]{8}-[0-9]{6}.tar.gz$")')" true
f3_eq "nothing left behind" "$(find "$TMPDIR" -maxdepth 1 -name 'f3ctl-*')" ""
f3_no 1 'tar failed' ctl debug bundle /nope/bundle.tgz
f3_no 2 'bundle is wanted' ctl debug
