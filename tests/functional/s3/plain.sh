#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Objects are plain: what F3 writes any client reads, with its attributes as s3fs has them, and what
# other clients write, replace and remove shows in the volume.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq

plain()
{
	f3_s3_start "$1"
	S3_PREFIX=some/place f3_s3_volume v default-class=durable attr-ttl=100ms
	S3_PREFIX=slow f3_s3_volume slow default-class=durable attr-ttl=1h
	f3_start
	export F3_RUN
	f3_python "$F3_MNT/v" "$F3_MNT/slow" <<'P'
from s3test import *
import stat

v, slow = sys.argv[1:]
TOP = "some/place/"

# Ours.
os.mkdir(f"{v}/dir")
put(f"{v}/dir/hello.txt", b"hello\n", 0o640)
os.chmod(f"{v}/dir/hello.txt", 0o640)
os.chown(f"{v}/dir/hello.txt", 1234, 4321)
os.utime(f"{v}/dir/hello.txt", ns=(981173106000000001, 981173106123456789))
put(f"{v}/dir/page.html", b"<p>")
put(f"{v}/dir/data", b"")
big = os.urandom(1 << 20) * 20
put(f"{v}/dir/big.json", big)
os.symlink("../some where", f"{v}/dir/link")
os.mkfifo(f"{v}/dir/pipe", 0o600)
eq("in the store once closed", client.get(TOP + "dir/big.json") == big, True)
sync()
eq("bytes", client.get(TOP + "dir/hello.txt"), b"hello\n")
m = meta(TOP + "dir/hello.txt")
eq("mode", m.get("mode"), str(0o100640))
eq("owner", (m.get("uid"), m.get("gid")), ("1234", "4321"))
eq("mtime", m.get("mtime"), "981173106.123456789")
eq("types", [client.head(TOP + "dir/" + n)["content-type"] for n in
             ("hello.txt", "page.html", "data", "big.json")],
   ["text/plain", "text/html", "application/octet-stream", "application/json"])
eq("empty object", client.get(TOP + "dir/data"), b"")
eq("marker", client.head(TOP + "dir/").get("content-length", "0"), "0")
eq("mode of the marker", meta(TOP + "dir/").get("mode"), str(0o40755))
eq("link", client.get(TOP + "dir/link"), b"../some where")
eq("mode of the link", int(meta(TOP + "dir/link")["mode"]) & 0o170000, stat.S_IFLNK)
eq("mode of the pipe", meta(TOP + "dir/pipe").get("mode"), str(0o10600))

# Theirs.
client.put(TOP + "dir/none", b"no metadata")
client.put(TOP + "dir/s3fs", b"by s3fs", {
    "x-amz-meta-mode": "33152", "x-amz-meta-uid": "1000", "x-amz-meta-gid": "100",
    "x-amz-meta-mtime": "1000000000", "content-type": "text/plain"})
client.put(TOP + "dir/rclone", b"by rclone", {
    "x-amz-meta-mode": "100600", "x-amz-meta-uid": "7", "x-amz-meta-gid": "8",
    "x-amz-meta-mtime": "1600000000.987654321",
    "x-amz-meta-atime": "2020-09-13T12:26:40.000000000Z"})
client.put(TOP + "dir/garbage", b"garbage", {
    "x-amz-meta-mode": "zebra", "x-amz-meta-uid": "-1", "x-amz-meta-gid": "99999999999",
    "x-amz-meta-mtime": "yesterday"})
client.put(TOP + "dir/new/deep/file", b"implicit directories")
names = {"hello.txt", "page.html", "data", "big.json", "link", "pipe", "none", "s3fs", "rclone",
         "garbage", "new"}
until(60, "all names are here", lambda: set(os.listdir(f"{v}/dir")) == names)
st = os.stat(f"{v}/dir/none")
root = os.stat(v)
eq("default mode and owner", (oct(st.st_mode), st.st_uid, st.st_gid),
   (oct(0o100644), root.st_uid, root.st_gid))
check("its time is the store's", abs(st.st_mtime - time.time()) < 3600)
st = os.stat(f"{v}/dir/s3fs")
eq("as s3fs wrote it", (oct(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns),
   (oct(0o100600), 1000, 100, 1000000000 * 10**9))
st = os.stat(f"{v}/dir/rclone")
eq("as rclone wrote it", (oct(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns),
   (oct(0o100600), 7, 8, 1600000000987654321))
eq("malformed is as if not there", oct(os.stat(f"{v}/dir/garbage").st_mode), oct(0o100644))
eq("content", get(f"{v}/dir/rclone"), b"by rclone")
eq("below implicit directories", get(f"{v}/dir/new/deep/file"), b"implicit directories")
st = os.stat(f"{v}/dir/new")
eq("an implicit directory", oct(st.st_mode), oct(0o40755))

# Replaced: at open at once, whatever attr-ttl says.
client.put("slow/file", b"one")
eq("first", get(f"{slow}/file"), b"one")
client.put("slow/file", b"the second")
eq("replaced, at open", get(f"{slow}/file"), b"the second")
client.put("slow/file", b"3")
with open(f"{slow}/file", "rb") as f:
    eq("replaced again", (os.fstat(f.fileno()).st_size, f.read()), (1, b"3"))
client.delete("slow/file")
refused("removed, at open", "ENOENT", open, f"{slow}/file")
# Without an open after attr-ttl.
client.put(TOP + "dir/none", b"longer than it was")
until(60, "another size", lambda: os.stat(f"{v}/dir/none").st_size == 18)
client.delete(TOP + "dir/none")
until(60, "gone", lambda: not os.path.exists(f"{v}/dir/none"))
client.put(TOP + "dir/none", b"back")
until(60, "back", lambda: os.path.exists(f"{v}/dir/none"))
client.delete(TOP + "dir/new/deep/file")
until(60, "implicit directories go with what was in them",
      lambda: not os.path.exists(f"{v}/dir/new"))

# Replaced while it is open and not all here: the old content or ESTALE, never a mixture.
A, B = b"A" * (1 << 20), b"B" * (1 << 20)
client.put(TOP + "large", A * 48)
fd = os.open(f"{v}/large", os.O_RDONLY)
eq("its begin", os.pread(fd, 4096, 0) == A[:4096], True)
etag = client.head(TOP + "large")["etag"]
client.put(TOP + "large", B * 48)
said = set()
for at in range(47, -1, -1):
    try:
        got = os.pread(fd, 1 << 20, at << 20)
        said.add("old" if got and got == A[:len(got)] else "OTHER")
    except OSError as e:
        said.add(errno.errorcode[e.errno])
check(f"reader of the old content: {said}", said <= {"old", "ESTALE"})
new = get(f"{v}/large")
check("the new content", new == B * 48)
os.close(fd)
# Removed while it is open.
client.put(TOP + "large", A * 48)
fd = os.open(f"{v}/large", os.O_RDONLY)
eq("its begin again", os.pread(fd, 4096, 0) == A[:4096], True)
client.delete(TOP + "large")
said = set()
for at in range(47, -1, -1):
    try:
        got = os.pread(fd, 1 << 20, at << 20)
        said.add("old" if got and got == A[:len(got)] else "OTHER")
    except OSError as e:
        said.add(errno.errorcode[e.errno])
check(f"reader of what was removed: {said}", said <= {"old", "ESTALE"})
os.close(fd)
until(60, "large is gone", lambda: not os.path.exists(f"{v}/large"))

# Removed here, there too.
for name in os.listdir(f"{v}/dir"):
    os.unlink(f"{v}/dir/{name}")
os.rmdir(f"{v}/dir")
sync()
eq("nothing is left", [k for k in keys(TOP) if not k.startswith(TOP + ".f3/") and k != TOP], [])
done()
P
	f3_stop
	f3_fsck
}

f3_s3_each plain versitygw rgw
