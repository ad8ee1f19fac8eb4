#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Attributes reach the object, several changes as one copy of it, and come back to a node that has never
# seen it. What other programs have noted on an object outlives changes and renames. New objects get
# the storage class and the encryption that the volume asks for.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq
f3_s3_start versitygw
f3_s3_proxy
S3_PREFIX=a f3_s3_volume v default-class=durable attr-ttl=100ms
S3_PREFIX=b f3_s3_volume w default-class=writeback storage-class=STANDARD_IA encryption=aws:kms \
	kms-key=the-key
f3_start
export F3_RUN

f3_python "$F3_MNT/v" "$F3_MNT/w" <<'P'
from s3test import *
import base64
import struct
import urllib.parse

v, w = sys.argv[1:]
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in (
    (1, 6, 0xffffffff), (2, 4, 1000), (4, 4, 0xffffffff), (16, 4, 0xffffffff), (32, 0, 0xffffffff)))
os.mkdir(f"{v}/dir")
put(f"{v}/dir/f", b"x" * 100000)
sync()

# Several changes, one copy.
n, etag = len(passed()), head("a/dir/f")["etag"]
os.chown(f"{v}/dir/f", 1234, 4321)
os.chmod(f"{v}/dir/f", 0o640)
os.setxattr(f"{v}/dir/f", "user.color", b"\x00red\xff")
os.setxattr(f"{v}/dir/f", "user.w\u00f6rd", b"")
os.setxattr(f"{v}/dir/f", "system.posix_acl_access", acl)
os.utime(f"{v}/dir/f", ns=(981173106000000001, 981173106123456789))
sync()
puts = [r for r in passed(n) if r["method"] == "PUT"]
check(f"few copies: {puts}", 0 < len(puts) <= 2)
check("nothing was sent again", not sum(r["sent"] for r in puts))
m = meta("a/dir/f")
eq("in the store", (m.get("mode"), m.get("uid"), m.get("gid"), m.get("mtime")),
   (str(0o100640), "1234", "4321", "981173106.123456789"))
x = json.loads(urllib.parse.unquote(m["xattr"]))
eq("xattrs as s3fs has them", {k: base64.b64decode(x[k]) for k in x},
   {"user.color": b"\x00red\xff", "user.w\u00f6rd": b"", "system.posix_acl_access": acl})
eq("the same bytes", client.get("a/dir/f"), b"x" * 100000)
# Of a directory, on its marker.
os.chmod(f"{v}/dir", 0o2750)
os.chown(f"{v}/dir", 7, 8)
os.setxattr(f"{v}/dir", "user.of", b"directory")
sync()
m = meta("a/dir/")
eq("of a directory", (int(m["mode"]) & 0o777, m["uid"], m["gid"]), (0o750, "7", "8"))

# What has no bytes.
os.symlink("target/of a link", f"{v}/dir/link")
os.mkfifo(f"{v}/dir/pipe", 0o600)
os.mknod(f"{v}/dir/null", 0o20600, os.makedev(1, 3))
sync()

# What others noted.
theirs = {"cache-control": "max-age=60", "content-encoding": "x-own", "content-language": "fr",
          "content-disposition": "attachment", "content-type": "text/x-special",
          "x-amz-meta-color": "red", "x-amz-meta-f3": "not ours", "x-amz-meta-mode": "33188"}
client.put("a/dir/theirs", b"their bytes", theirs)
def says(key):
    got = head(key) or {}
    return {k: got.get(k) for k in theirs if k != "x-amz-meta-mode"}
before = says("a/dir/theirs")
check(f"the server keeps it: {before}", before["x-amz-meta-color"] == "red")
until(60, "what others made shows", lambda: os.path.exists(f"{v}/dir/theirs"))
os.chmod(f"{v}/dir/theirs", 0o600)
sync()
eq("after chmod", says("a/dir/theirs"), before)
eq("the mode", meta("a/dir/theirs").get("mode"), str(0o100600))
os.rename(f"{v}/dir/theirs", f"{v}/dir/renamed")
sync()
eq("after rename", (head("a/dir/theirs"), says("a/dir/renamed")), (None, before))
eq("the bytes", client.get("a/dir/renamed"), b"their bytes")

# Storage class and encryption: of whatever makes an object.
n = len(passed())
put(f"{w}/small", b"small")
put(f"{w}/large", os.urandom(1 << 20) * 70)
os.mkdir(f"{w}/dir")
sync()
made = [r for r in passed(n) if "/b/" in r["path"] and "/.f3/" not in r["path"] and
        (r["method"] == "PUT" and "partNumber" not in r["query"] or
         r["method"] == "POST" and "uploads" in r["query"])]
check(f"what made objects: {made}", len(made) >= 3)
for r in made:
    eq(f"{r['method']} {r['path']} is encrypted",
       (r["amz"].get("server-side-encryption"),
        r["amz"].get("server-side-encryption-aws-kms-key-id")), ("aws:kms", "the-key"))
    if not r["path"].endswith("/"):
        eq(f"{r['path']}: storage class", r["amz"].get("storage-class"), "STANDARD_IA")
done()
P

# On a node that has never seen any of it.
f3_stop
f3_fsck
rm -rf --one-file-system "$F3_CACHE"
f3_start
f3_python "$F3_MNT/v" <<'P'
from s3test import *
import stat

v = sys.argv[1]
eq("names", sorted(os.listdir(f"{v}/dir")), ["f", "link", "null", "pipe", "renamed"])
st = os.stat(f"{v}/dir/f")
eq("a file", (oct(st.st_mode), st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns),
   (oct(0o100640), 1234, 4321, 100000, 981173106123456789))
eq("xattrs", (os.getxattr(f"{v}/dir/f", "user.color"), os.getxattr(f"{v}/dir/f", "user.w\u00f6rd")),
   (b"\x00red\xff", b""))
check("the ACL", b"\x02\x00\x04\x00\xe8\x03" in os.getxattr(f"{v}/dir/f", "system.posix_acl_access"))
st = os.stat(f"{v}/dir")
eq("a directory", (st.st_mode & 0o777, st.st_uid, st.st_gid), (0o750, 7, 8))
eq("its xattr", os.getxattr(f"{v}/dir", "user.of"), b"directory")
eq("a link", os.readlink(f"{v}/dir/link"), "target/of a link")
eq("a pipe", oct(os.stat(f"{v}/dir/pipe").st_mode), oct(0o10600))
st = os.stat(f"{v}/dir/null")
check(f"a device: {st.st_mode:o}", stat.S_ISCHR(st.st_mode) and st.st_rdev == os.makedev(1, 3))
eq("another's", oct(os.stat(f"{v}/dir/renamed").st_mode), oct(0o100600))
eq("kinds", {e.name: (e.is_symlink(), e.is_file(follow_symlinks=False))
             for e in os.scandir(f"{v}/dir")},
   {"f": (False, True), "link": (True, False), "null": (False, False), "pipe": (False, False),
    "renamed": (False, True)})
done()
P
