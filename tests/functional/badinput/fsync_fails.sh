#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# fsync(2) that the disk fails is never swallowed: the program gets EIO, the file is `failed` from
# then on and says so, and files of other volumes on another disk are not touched.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq python3 debug getfattr
f3_volume data -
f3_volume store "file://$F3_STORE/store" default-class=durable
F3_DEBUG_FAULTS="backing.sync=EIO@2x1" f3_start
f3_python "$F3_MNT/data" <<'END'
import os, sys
from f3test import *

top = sys.argv[1]
good = os.open(top + "/good", os.O_CREAT | os.O_WRONLY)
os.write(good, b"good")
eq("the first", error_of(os.fsync, good), "ok")
bad_one = os.open(top + "/bad", os.O_CREAT | os.O_WRONLY)
os.write(bad_one, b"bad")
eq("the disk fails", error_of(os.fsync, bad_one), "EIO")
check(f"no word of it: {state(top + '/bad')}", state(top + "/bad") in ("failed", "writing"))
os.close(bad_one)
until(60, "it is failed", lambda: state(top + "/bad") == "failed")
eq("its bytes stay", open(top + "/bad", "rb").read(), b"bad")
os.write(good, b" still")
eq("another file", error_of(os.fsync, good), "ok")
os.close(good)
until(60, "another file's state", lambda: state(top + "/good") == "sealed")
done()
END
f3_eq "f3ctl info" "$(f3_info "$F3_MNT/data/bad" .state)" failed
f3_match "f3ctl info says why" "$(ctl info "$F3_MNT/data/bad")" 'EIO|Input/output'
grep -q 'data/bad.*fsync failed.*EIO' "$F3_LOG" || f3_bad "the log does not say so"
