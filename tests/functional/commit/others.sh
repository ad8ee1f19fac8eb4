#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A node that does not come back left the record of a commit set: f3ctl gc --delete of another one publishes
# it, when it is as old as gc-upload-age. A record of something that is over does nothing any more.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/faults.sh"
. "$F3_SRCDIR/tests/functional/activation.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/commit.sh"
f3_requires root fuse jq debug python3
set_container
set_on_files
f3_set restart=no
f3_volume v "file://$F3_STORE/v" default-class=durable attr-ttl=50ms
f3_start
v=$F3_MNT/v
mkdir "$v/out"
for f in old gone; do echo before >"$v/out/$f"; done
f3_ok set_begin lost async >/dev/null
does "echo after >out/old && echo after >out/new && echo after >out/gone && rm out/gone" || f3_bad "the function"
f3_ok fault point commit.before-item exit >/dev/null
set_end lost >/dev/null 2>&1
f3_crashed
record=$(ls "$F3_STORE"/v/.f3/commit/*)
f3_eq "nothing of it is there" "$(keys) $(stored out/old)" "out/gone out/old  before"
cp -a "$record" record
rm -r "$F3_CACHE"

f3_start
f3_ok ctl gc --delete >/dev/null
f3_eq "it may be under way" "$(keys)" "out/gone out/old "
f3_stop
f3_set gc-upload-age=0
f3_start
f3_ok ctl gc --delete >/dev/null
f3_eq "published" "$(keys) $(stored out/old) $(stored out/new)" "out/new out/old  after after"
f3_eq "nothing is left" "$(prepared)" 0
f3_eq "read here" "$(cat "$v/out/old" "$v/out/new" | tr '\n' ' ')" "after after "

# The same once more, and what was removed is there again.
echo before >"$v/out/gone"
echo later >"$v/out/old"
cp -a record "$record"
f3_ok ctl gc --delete >/dev/null
f3_eq "a record that is over" "$(keys) $(stored out/old)" "out/gone out/new out/old  later"
f3_eq "goes" "$(prepared)" 0
# One that is none.
echo "f3-commit 1" >"$record"
f3_ok ctl gc --delete >/dev/null
f3_eq "what is no record stays" "$(prepared)" 1
f3_stop
