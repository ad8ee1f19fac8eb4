#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# What small files on S3 cost, in requests: an open brings the bytes it asks about; who opens the files of
# a directory one after the other, by name or as readdir has them, gets those that follow fetched ahead,
# once each, and next to nothing for nothing; and none of that shows what is not so. With attributes =
# listing the files of a listing are shown as it has them, without a question about any.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq
f3_s3_start versitygw
f3_s3_proxy
f3_set memory-limit=512M # with less there are few connections
# What was seen stays good however slow the machine is; but for one second what was fetched ahead.
S3_PREFIX=p f3_s3_volume v default-class=durable attr-ttl=1h
S3_PREFIX=l f3_s3_volume listed default-class=durable attr-ttl=1h attributes=listing
S3_PREFIX=q f3_s3_volume strict default-class=durable attr-ttl=0
f3_start
export F3_RUN
f3_python "$F3_MNT/v" "$F3_MNT/strict" "$F3_MNT/listed" <<'P'
from s3test import *

v, strict, listed = sys.argv[1:]
N = 200


def proxy(*words):
    subprocess.run([os.environ["F3_SRCDIR"] + "/tests/s3/proxy.py", "ctl",
                    os.environ["F3_TEST_TMP"] + "/proxy.sock", *words],
                   check=True, capture_output=True)


def made(directory, n=N, size=4096, at="p"):
    for i in range(n):
        client.put(f"{at}/{directory}/{i:04}", bytes([i % 251]) * size)


def counts(since, path):
    """Methods of what was asked about one object."""
    return sorted(r["method"] for r in passed(since) if r["path"].endswith(path))


def asked(since, directory):
    """Of each object of a directory what was asked, as text: {"0001": "GET HEAD"}."""
    found = {}
    for r in passed(since):
        if f"/p/{directory}/" in r["path"]:
            found.setdefault(r["path"].rpartition("/")[2], []).append(r["method"])
    return {name: " ".join(sorted(m)) for name, m in found.items()}


def check_read(directory, name):
    eq(f"{directory}/{name}", get(f"{v}/{directory}/{name}"), bytes([int(name) % 251]) * 4096)


# One file. Its name costs a HEAD, its open and its bytes one GET.
made("one", 8)
os.listdir(f"{v}/one")
n = len(passed())
check_read("one", "0003")
eq("a small file", counts(n, "/one/0003"), ["GET", "HEAD"])
n = len(passed())
check_read("one", "0003")
eq("a second time", counts(n, "/one/0003"), ["HEAD"])
big = os.urandom(1 << 20) * 3
client.put("p/large", big)
os.stat(f"{v}/large")
n = len(passed())
fd = os.open(f"{v}/large", os.O_RDONLY)
eq("opened", counts(n, "/large"), ["GET"])
eq("its first bytes", os.pread(fd, 4096, 0), big[:4096])
os.close(fd)
check("all of it", get(f"{v}/large") == big)
eq("nothing came twice", sum(r["got"] for r in passed(n) if r["path"].endswith("/large") and
                             r["method"] == "GET") - len(big), 0)

# It has changed since: what is known by a listing is not what the open finds.
for i, new in enumerate((b"", b"x", b"y" * 4096, b"z" * 300000)):
    client.put(f"p/one/000{4 + i if i < 3 else 0}", new)
    eq("changed since it was listed", get(f"{v}/one/000{4 + i if i < 3 else 0}"), new)
client.delete("p/one/0007")
refused("gone since it was listed", "ENOENT", get, f"{v}/one/0007")

# By name, as a shell does it. With a store that takes its time there is much to be ahead of.
made("walk")
names = sorted(os.listdir(f"{v}/walk"))
proxy("add", json.dumps({"method": "GET", "path": "/p/walk/", "times": 0, "delay_ms": 30}))
n = len(passed())
for name in names:
    check_read("walk", name)
what = asked(n, "walk")
eq("GETs", sum(m.split().count("GET") for m in what.values()), N)
single = sum(m == "GET" for m in what.values())
check(f"{single} of {N} files by one request", single > N // 2)
together = max(r["in_flight"] for r in passed(n))
check(f"up to {together} at once", 8 <= together <= 40)
proxy("clear")

# As readdir has it.
made("order")
n = len(passed())
with os.scandir(f"{v}/order") as entries:
    for entry in entries:
        check_read("order", entry.name)
what = asked(n, "order")
eq("GETs in the order of readdir", sum(m.split().count("GET") for m in what.values()), N)
single = sum(m == "GET" for m in what.values())
check(f"{single} of {N} files by one request in the order of readdir", single > N // 2)

# Anywhere, and the beginning of a walk that stops: what was for nothing is little.
made("some")
order = os.listdir(f"{v}/some")
names = sorted(order)
n = len(passed())
at = 0
for i in range(25):
    check_read("some", names[at])
    # Neither near it nor, by chance, one of the next of readdir, whose order is another one each time.
    near = order[order.index(names[at]):][:10]
    order.remove(names[at])
    at = next(k % N for k in range(at + 83, at + 83 + N)
              if names[k % N] in order and names[k % N] not in near and abs(k % N - at) > 32)
eq("opens here and there", sum(m.split().count("GET") for m in asked(n, "some").values()), 25)
made("few")
names = sorted(os.listdir(f"{v}/few"))
n = len(passed())
for name in names[:10]:
    check_read("few", name)
gets = sum(m.split().count("GET") for m in asked(n, "few").values())
check(f"{gets} GETs for ten files", 10 <= gets <= 30)

# They change while they are fetched ahead, or go: what an open shows was there at some time, whole, and
# what it shows later is what is there.
made("race")
names = sorted(os.listdir(f"{v}/race"))
for i, name in enumerate(names):
    if i % 10 == 5:
        for other in names[i + 1:i + 4]:
            client.put(f"p/race/{other}", b"new" * 1000)
    try:
        got = get(f"{v}/race/{name}")
    except OSError as e:
        eq("an error of a race", e.errno, 0)
    check(f"{name} is whole", got in (bytes([i % 251]) * 4096, b"new" * 1000))
for name in names:
    fd = os.open(f"{v}/race/{name}", os.O_RDONLY)
    eq(f"{name} at last", os.pread(fd, 8192, 0), client.get(f"p/race/{name}"))
    eq(f"size of {name} at last", os.fstat(fd).st_size, len(client.get(f"p/race/{name}")))
    os.close(fd)
made("vanish", 60)
names = sorted(os.listdir(f"{v}/vanish"))
for i, name in enumerate(names):
    if i == 5:
        for other in names[20:]:
            os.unlink(f"{v}/vanish/{other}")
        os.rename(f"{v}/vanish/{names[10]}", f"{v}/vanish/moved")
    if name in names[20:]:
        refused("unlinked here", "ENOENT", get, f"{v}/vanish/{name}")
    elif i == 10:
        refused("renamed here", "ENOENT", get, f"{v}/vanish/{name}")
        eq("renamed", get(f"{v}/vanish/moved"), bytes([10]) * 4096)
    else:
        check_read("vanish", name)
eq("what is left", sorted(os.listdir(f"{v}/vanish")), sorted(names[:10] + names[11:20] + ["moved"]))

# The store's word counts at every open where nothing may be older.
made("strict", 30, at="q")
names = sorted(os.listdir(f"{strict}/strict"))
for i, name in enumerate(names):
    client.put(f"q/strict/{name}", b"%d" % i)
    eq("nothing is older than its open", get(f"{strict}/strict/{name}"), b"%d" % i)

# What a listing says of files is shown without a question, until they are opened or changed.
SAYS = {"x-amz-meta-mode": str(0o100640), "x-amz-meta-uid": "1234", "x-amz-meta-gid": "1234",
        "x-amz-meta-mtime": "1000000000"}
for name in [f"{i:02}" for i in range(30)] + ["opened", "changed", "renamed", "tagged", "gone"]:
    client.put(f"l/dir/{name}", b"12345", SAYS)
n = len(passed())
for entry in os.scandir(f"{listed}/dir"):
    st = entry.stat()
    eq(f"{entry.name} as listed", (oct(st.st_mode), st.st_uid, st.st_size), ("0o100644", 0, 5))
    check(f"time of {entry.name}", abs(st.st_mtime - time.time()) < 3600)
eq("questions about files", [r["method"] for r in passed(n) if "/l/dir/" in r["path"]], [])


def what(name):
    st = os.stat(f"{listed}/dir/{name}")
    return oct(st.st_mode), st.st_uid, st.st_mtime


n = len(passed())
fd = os.open(f"{listed}/dir/opened", os.O_RDONLY)
eq("bytes", os.read(fd, 100), b"12345")
os.close(fd)
until(60, "after its open", lambda: what("opened") == ("0o100640", 1234, 1000000000))
eq("questions for an open", counts(n, "/dir/opened"), ["GET"])
os.chmod(f"{listed}/dir/changed", 0o600)
eq("changed", what("changed"), ("0o100600", 1234, 1000000000))
os.rename(f"{listed}/dir/renamed", f"{listed}/dir/other")
until(60, "renamed", lambda: what("other") == ("0o100640", 1234, 1000000000))
os.setxattr(f"{listed}/dir/tagged", "user.tag", b"1")
until(60, "with an xattr", lambda: what("tagged") == ("0o100640", 1234, 1000000000))
client.delete("l/dir/gone")
refused("gone", "ENOENT", os.chmod, f"{listed}/dir/gone", 0o600)
sync()
eq("what the store has of it", [meta(f"l/dir/{k}").get("uid") for k in ("changed", "other", "tagged")],
   ["1234"] * 3)

# The store goes away in the middle: EIO, and no file seems to be gone.
made("away", 60)
names = sorted(os.listdir(f"{v}/away"))
for name in names[:10]:
    check_read("away", name)
rule = json.dumps({"path": "/p/away/", "times": 0, "answer": {"error": "ServiceUnavailable"}})
proxy("add", rule)
here = 0
try:
    for name in names[10:]:
        check_read("away", name)
        here += 1
except OSError as e:
    eq("while it is away", errno.errorcode[e.errno], "EIO")
check(f"{here} of 50 were here", here < 50)
proxy("clear")
until(60, "it is back", lambda: get(f"{v}/away/0059") == bytes([59]) * 4096)
for name in names:
    check_read("away", name)
done()
P
f3_stop
