#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Directories: implicit ones and markers, removal, and renames of files and trees, which are exact after
# a kill -9 in the middle, and lose nothing that another client adds meanwhile.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq
f3_s3_start versitygw
f3_s3_proxy
f3_set restart=no
S3_PREFIX=p f3_s3_volume v default-class=durable attr-ttl=100ms
S3_PREFIX=slow f3_s3_volume slow default-class=durable attr-ttl=1h
f3_start
export F3_RUN
f3_python "$F3_MNT/v" "$F3_MNT/slow" <<'P'
from s3test import *

v, slow = sys.argv[1:]

# Implicit directories become explicit by the first change in them.
client.put("p/imp/a/b/c", b"deep")
client.put("p/imp/a/d", b"beside")
eq("implicit", get(f"{v}/imp/a/b/c"), b"deep")
eq("nothing is written by looking", [k for k in keys("p/imp") if k.endswith("/")], [])
put(f"{v}/imp/a/new", b"new")
sync()
check("its marker", head("p/imp/a/") is not None)
client.delete("p/imp/a/b/c")
client.delete("p/imp/a/d")
until(60, "others' directories go with what is in them",
      lambda: sorted(os.listdir(f"{v}/imp/a")) == ["new"])
os.unlink(f"{v}/imp/a/new")
sync()
eq("one that was changed here stays", os.listdir(f"{v}/imp/a"), [])
client.put("p/only/one", b"1")
until(60, "one", lambda: os.path.exists(f"{v}/only/one"))
os.unlink(f"{v}/only/one")
sync()
check("an implicit one of which the last file was removed here, too", os.path.isdir(f"{v}/only"))

# Removal.
os.mkdir(f"{v}/full")
put(f"{v}/full/file", b"x")
refused("not empty", "ENOTEMPTY", os.rmdir, f"{v}/full")
os.unlink(f"{v}/full/file")
os.rmdir(f"{v}/full")
eq("all gone", keys("p/full"), [])
os.mkdir(f"{slow}/seen")
eq("seen empty", os.listdir(f"{slow}/seen"), [])
client.put("slow/seen/by others", b"precious")
refused("not empty for others", "ENOTEMPTY", os.rmdir, f"{slow}/seen")
eq("what others put there", client.get("slow/seen/by others"), b"precious")
client.put("p/theirs/", b"", {"content-type": "application/x-directory"})
until(60, "a marker of others", lambda: os.path.isdir(f"{v}/theirs"))
os.rmdir(f"{v}/theirs")
eq("their marker is gone", head("p/theirs/"), None)

# Files.
small, large = b"small", os.urandom(1 << 20) * 70
put(f"{v}/small", small)
put(f"{v}/large", large)
put(f"{v}/target", b"in the way")
n = len(passed())
os.rename(f"{v}/small", f"{v}/target")
os.rename(f"{v}/large", f"{v}/only/large")
eq("renamed", (client.get("p/target"), client.get("p/only/large") == large), (small, True))
eq("gone", (head("p/small"), head("p/large")), (None, None))
check("nothing was sent for it", sum(r["sent"] for r in passed(n)) < 10000)
check("here", get(f"{v}/only/large") == large)
refused("onto a directory", "EISDIR", os.rename, f"{v}/target", f"{v}/only")
refused("a directory onto a full one", "ENOTEMPTY", os.rename, f"{v}/imp", f"{v}/only")

# A key that comes while its directory moves.
for i in range(30):
    client.put(f"p/moves/{i}", b"%d" % i)
until(60, "to move", lambda: os.path.isdir(f"{v}/moves") and len(os.listdir(f"{v}/moves")) == 30)
proxy = [os.environ["F3_SRCDIR"] + "/tests/s3/proxy.py", "ctl",
         os.environ["F3_TEST_TMP"] + "/proxy.sock"]
rule = subprocess.run(proxy + ["add", json.dumps({"method": "PUT", "path": "/p/moved/", "skip": 10,
                                                  "hold_answer": True})],
                      check=True, capture_output=True).stdout.decode().strip()
mover = subprocess.Popen(["mv", f"{v}/moves", f"{v}/moved"])
subprocess.run(proxy + ["wait", rule], check=True, capture_output=True)
client.put("p/moves/late", b"late")
subprocess.run(proxy + ["release"], check=True, capture_output=True)
eq("mv", mover.wait(), 0)
sync()
eq("all moved", [i for i in range(30) if client.get(f"p/moved/{i}") != b"%d" % i], [])
where = [k for k in ("p/moves/late", "p/moved/late") if head(k)]
eq("what came late is in one place", len(where), 1)
eq("whole", client.get(where[0]), b"late")
eq("nothing else is left", [k for k in keys("p/moves/") if k not in ("p/moves/", "p/moves/late")], [])
shown = f"{v}/{where[0][2:]}"
until(60, "and shows there", lambda: os.path.exists(shown))
done()
P

# moved_in_full WHAT: the tree is under one name, whole, here and there.
moved_in_full()
{
	f3_python "$F3_MNT/v" "$1" <<'P'
from s3test import *
v, what = sys.argv[1:]
names = [n for n in ("tree", "gone") if os.path.isdir(f"{v}/{n}")]
eq(f"{what}: under one name", len(names), 1)
for name in names:
    got = tree_of(f"{v}/{name}")
    eq(f"{what}: files", got, FILES)
    eq(f"{what}: contents", [f for f in got if get(f"{v}/{name}/{f}") != f.encode()], [])
there = {k for k in keys("p/tree/") + keys("p/gone/") if not k.endswith("/")}
eq(f"{what}: keys", there, {f"p/{name}/{f}" for name in names for f in FILES})
done()
P
}

# killed RULE: kill -9 while the rule holds an answer, or a request, of a tree's rename.
killed()
{
	local rule mover
	f3_python "$F3_MNT/v" <<'P'
from s3test import *
v = sys.argv[1]
for key in keys("p/tree/") + keys("p/gone/"):
    client.delete(key)
for f in FILES:
    client.put(f"p/tree/{f}", f.encode())
until(60, "the last one is gone", lambda: not os.path.exists(f"{v}/gone"))
until(60, "a tree", lambda: tree_of(f"{v}/tree") == FILES)
done()
P
	rule=$(f3_proxy add "$1")
	mv "$F3_MNT/v/tree" "$F3_MNT/v/gone" 2>/dev/null &
	mover=$!
	f3_proxy wait "$rule" >/dev/null
	f3_kill
	f3_proxy clear
	f3_proxy release >/dev/null
	wait "$mover"
	f3_proxy idle >/dev/null
	f3_start
	f3_ok ctl sync >/dev/null
	moved_in_full "$1"
}

killed '{"method": "PUT", "path": "/p/gone/", "hold_answer": true}'
killed '{"method": "PUT", "path": "/p/gone/", "skip": 12, "hold": true}'
killed '{"method": "DELETE", "path": "/p/tree/", "skip": 9, "hold_answer": true}'
f3_stop
f3_fsck
