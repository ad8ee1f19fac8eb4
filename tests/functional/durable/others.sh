#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# The object directory is plain files for everybody else: content, mode, owner, times and names as
# they are in the volume, also after renames of files and of directories with unfinished children;
# and what others put there shows in the volume.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse python3
f3_volume durable "file://$F3_STORE/durable" default-class=durable attr-ttl=100ms
f3_volume writeback "file://$F3_STORE/writeback" default-class=writeback attr-ttl=100ms
f3_start

# tree DIR: every name with type, mode, owner, size and modification time, and content.
tree()
{
	(cd "$1" && find . -mindepth 1 -path ./.f3 -prune -o -type d -printf '%P %y %m %U %G\n' \
		-o -printf '%P %y %m %U %G %s %T@ %l\n' | sort
	find . -path ./.f3 -prune -o -type f -print | sort | xargs -d '\n' md5sum)
}

for volume in durable writeback; do
	v=$F3_MNT/$volume s=$F3_STORE/$volume
	mkdir -p "$v/a/b/c" "$v/a/empty"
	for i in $(seq 30); do echo "$volume $i" >"$v/a/b/f$i"; done
	echo secret >"$v/a/secret"
	chmod 600 "$v/a/secret"
	chown 1234:4321 "$v/a/secret"
	touch -d '2001-02-03 04:05:06.123456789' "$v/a/secret"
	ln -s ../target "$v/a/b/link"
	chmod 750 "$v/a/b/c"
	echo with blanks >"$v/a/ a  b "
	echo bytes >"$v/a/"$'\xff\xfe'
	# A directory moves while files below it are still being written and sent.
	exec {fd}>"$v/a/b/c/open"
	echo before >&$fd
	for i in $(seq 30); do echo "again $i" >"$v/a/b/f$i"; done
	mkdir "$v/to"
	f3_ok mv "$v/a" "$v/to/a2"
	echo after >&$fd
	exec {fd}>&-
	f3_ok mv "$v/to/a2/b" "$v/b2"
	f3_ok mv "$v/b2/f1" "$v/b2/f2"
	rm "$v/b2/f3"
	echo new >"$v/b2/f3"
	f3_ok ctl sync >/dev/null
	tree "$v" >here
	tree "$s" >there
	f3_ok cmp here there || diff here there
	f3_eq "$volume: moved while it was open" "$(cat "$s/b2/c/open")" $'before\nafter'
	f3_eq "$volume: not in the old place" "$(ls "$s")" $'b2\nto'
	f3_eq "$volume: of others it is readable" "$(stat -c '%a %u:%g' "$s/to/a2/secret")" "600 1234:4321"

	# From outside.
	mkdir "$s/to/foreign"
	echo foreign >"$s/to/foreign/file"
	rm -r "$s/to/a2/empty"
	cp -a "$s/b2/f5" "$s/b2/copy"
	shows() { [ "$(cat "$v/to/foreign/file")" = foreign ] && [ ! -e "$v/to/a2/empty" ] && cmp "$v/b2/copy" "$v/b2/f5"; }
	f3_until 60 shows || f3_bad "$volume: what others did does not show"
	f3_ok mv "$v/to/foreign" "$v/mine"
	f3_ok rm -r "$v/mine"
	f3_ok ctl sync >/dev/null
	[ -e "$s/mine" ] || [ -e "$s/to/foreign" ] && f3_bad "$volume: the foreign directory is still there"
done

# An object directory is not swapped with anything; names of local classes are.
f3_python "$F3_MNT/durable" <<'P'
import ctypes, errno, os, sys
from f3test import *
v = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
def exchange(a, b):
    if libc.renameat2(-100, a.encode(), -100, b.encode(), 2):
        raise OSError(ctypes.get_errno(), "exchange")
os.mkdir(f"{v}/x")
os.setxattr(f"{v}/x", "user.f3.class", b"ephemeral")
for name, cls in (("x/1", b"ephemeral"), ("x/2", b"memory"), ("obj", None)):
    with open(f"{v}/{name}", "w") as f:
        f.write(name)
    if cls:
        os.setxattr(f"{v}/{name}", "user.f3.class", cls)
exchange(f"{v}/x/1", f"{v}/x/2")
eq("exchanged between local classes", (open(f"{v}/x/1").read(), open(f"{v}/x/2").read()), ("x/2", "x/1"))
eq("classes go with the files", os.getxattr(f"{v}/x/1", "user.f3.class"), b"memory")
refused("exchange with an object", "EINVAL", exchange, f"{v}/x/1", f"{v}/obj")
eq("both as before", (open(f"{v}/x/1").read(), open(f"{v}/obj").read()), ("x/2", "obj"))
# O_TMPFILE, then a name: durable when link returns.
fd = os.open(v, os.O_TMPFILE | os.O_RDWR, 0o644)
os.write(fd, b"born without a name")
def link(to):
    if libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, to.encode(), 0x400):
        raise OSError(ctypes.get_errno(), "link")
said = error_of(link, f"{v}/named")
os.close(fd)
check(f"link of an O_TMPFILE: {said}", said in ("ok", "EPERM"))
if said == "ok":
    eq("it is in the store", open(v.replace("/mnt/", "/store/") + "/named").read(), "born without a name")
else:
    check("no name", not os.path.exists(f"{v}/named"))
done()
P
f3_ok ctl fsck >/dev/null
