#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A name that puts a file into another local class: rename and linkat of a file without a name
# succeed once, and the file has its class and bytes.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse python3 getfattr
f3_volume data -
f3_rules data '*.mem = memory'
f3_start
top=$F3_MNT/data

class() { getfattr --absolute-names --only-values -n user.f3.class "$1"; }

echo bytes >"$top/file"
f3_ok mv "$top/file" "$top/file.mem"
f3_eq "class" "$(class "$top/file.mem")" memory
f3_eq "bytes" "$(cat "$top/file.mem")" bytes
f3_ok mv "$top/file.mem" "$top/file"
f3_eq "class" "$(class "$top/file")" ephemeral
echo other >"$top/other"
f3_ok mv -f "$top/other" "$top/file.mem"
f3_ok mv -f "$top/file" "$top/file.mem"
f3_eq "bytes that replaced others" "$(class "$top/file.mem") $(cat "$top/file.mem")" "memory bytes"

f3_ok python3 - "$top" <<'END'
import os, sys

fd = os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR)
os.write(fd, b"nameless")
here = os.open("/", os.O_PATH)
os.link(f"/proc/self/fd/{fd}", sys.argv[1] + "/named.mem", src_dir_fd=here, follow_symlinks=True)
END
f3_eq "a file without a name" "$(class "$top/named.mem") $(cat "$top/named.mem")" "memory nameless"
f3_eq "names" "$(cd "$top" && echo *)" "file.mem named.mem"

# Directories that change places hand down what they have, not what was there.
mkdir "$top/m" "$top/n"
f3_ok setfattr -n user.f3.class -v memory "$top/m"
touch "$top/m/1" "$top/n/1"
f3_ok python3 - "$top" <<'END'
import ctypes, os, sys

libc = ctypes.CDLL(None, use_errno=True)
m, n = (os.fsencode(f"{sys.argv[1]}/{name}") for name in "mn")
if libc.renameat2(-100, m, -100, n, 2):
    sys.exit(os.strerror(ctypes.get_errno()))
END
touch "$top/m/2" "$top/n/2"
f3_eq "below what was exchanged" "$(class "$top/n/2") $(class "$top/m/2")" "memory ephemeral"
