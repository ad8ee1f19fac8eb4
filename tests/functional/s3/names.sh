#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Names and keys: every name that a file can have arrives as the key of its path, byte for byte, and the
# other way round. Keys that are no names of files show escaped, can be read, renamed and removed, and
# are not lost. What is F3's own is hidden.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
f3_requires root fuse python3 jq

names()
{
	f3_s3_start "$1"
	f3_s3_volume v default-class=durable attr-ttl=100ms
	f3_start
	export F3_RUN
	f3_python "$F3_MNT/v" <<'P'
from s3test import *

v = os.fsencode(sys.argv[1])
ANY_BYTES = KIND == "rgw"

plain = [b"a b", b" lead", b"trail ", b"100%", b"%41", b"%2F", b"a+b", b"a%20b", b"caf\xc3\xa9",
         "日本語".encode(), "😀".encode(), b"#hash", b"?query=1&x=y", b"a&b;c=d", b"'single'",
         b'"double"', b"back\\slash", b"<xml>&amp;", b"]]>", b"~tilde", b"*?[a]", b"a=b",
         b"a:b", b"a,b", b"$HOME", b"`x`", b"(a)", b"|", b"^", b"{}", b"-", b"--", b"...", b"..a",
         b".hidden", b"n" * 255, "é".encode() * 127, b"con", b"@", b"!"]
if ANY_BYTES:
    plain += [b"line\nend", b"tab\there", b"\r", b"bell\x07", b"\x01", b"\x1f", b"del\x7f",
              bytes(range(1, 47)), b"\x0b\x0c", "\ufffe".encode()]


# Ours, each a file and a directory with a file.
os.mkdir(v + b"/ours")
for i, name in enumerate(plain):
    put(v + b"/ours/" + name, b"%d" % i)
    os.mkdir(v + b"/ours/" + name + b"d" if len(name) < 254 else v + b"/ours/d%d" % i)
    if len(name) < 254:
        put(v + b"/ours/" + name + b"d/" + name, b"below %d" % i)
for i, name in enumerate(plain):
    eq(f"key of {name}", client.get(b"ours/" + name), b"%d" % i)
    if len(name) < 254:
        eq(f"key below {name}", client.get(b"ours/" + name + b"d/" + name), b"below %d" % i)
# Renamed in the store, where the name is part of a header.
for i, name in enumerate(plain):
    other = b"/ours/" + (b"_" + name if len(name) < 255 else b"m" * 255)
    os.rename(v + b"/ours/" + name, v + other)
    os.rename(v + other, v + b"/ours/" + name)
    eq(f"{name}, there and back", client.get(b"ours/" + name), b"%d" % i)

# Theirs.
for i, name in enumerate(plain):
    client.put(b"theirs/" + name, b"their %d" % i)
eq("theirs are listed", sorted(os.listdir(v + b"/theirs")), sorted(plain))
for i, name in enumerate(plain):
    eq(f"theirs: {name}", get(v + b"/theirs/" + name), b"their %d" % i)
    if i % 2:
        os.unlink(v + b"/theirs/" + name)
        eq(f"removed: {name}", head(b"theirs/" + name), None)
eq("the others stay", sorted(os.listdir(v + b"/theirs")), sorted(plain[::2]))

# A key is UTF-8; a name of a class that has none is not.
for name in (b"\xff\xfe", b"latin\xe9"):
    refused(f"{name}", "EINVAL", put, v + b"/ours/" + name)
    refused(f"directory {name}", "EINVAL", os.mkdir, v + b"/ours/" + name)
    refused(f"{name}, looked up", "ENOENT", os.stat, v + b"/ours/" + name)
    refused(f"renamed to {name}", "EINVAL", os.rename, v + b"/ours/" + plain[0],
            v + b"/ours/" + name)
os.mkdir(v + b"/local")
os.setxattr(v + b"/local", "user.f3.class", b"ephemeral")
put(v + b"/local/latin\xe9", b"local")
eq("in a local class", get(v + b"/local/latin\xe9"), b"local")

# Not ours to see, nor to make.
client.put(".f3/secret/thing", b"hidden")
client.put("visible", b"yes")
until(60, "visible", lambda: b"visible" in os.listdir(v))
check("hidden", b".f3" not in os.listdir(v))
refused("lookup of .f3", "ENOENT", os.stat, v + b"/.f3")
check(".f3 cannot be made", error_of(os.mkdir, v + b"/.f3") != "ok")
refused("a reserved name", "EINVAL", put, v + b"/new.f3-object")
refused("a reserved name of a directory", "EINVAL", os.mkdir, v + b"/new.f3-object")
refused("renamed to one", "EINVAL", os.rename, v + b"/visible", v + b"/new.f3-object")
refused("a directory renamed to one", "EINVAL", os.rename, v + b"/theirs", v + b"/new.f3-object")
eq("still there", client.get(".f3/secret/thing"), b"hidden")
client.delete(".f3/secret/thing")

if ANY_BYTES:
    E = b".f3-object"
    odd = {  # key: where it shows
        b"odd/.": b"odd/%2E" + E,
        b"odd/..": b"odd/%2E%2E" + E,
        b"odd//b": b"odd/" + E + b"/b",
        b"odd///c": b"odd/" + E + b"/" + E + b"/c",
        b"odd/a": b"odd/a" + E,
        b"odd/a/b": b"odd/a/b",
        b"odd/a-b": b"odd/a-b",
        b"odd/a!": b"odd/a!",
        b"odd/p%q": b"odd/p%25q" + E,
        b"odd/p%q/x": b"odd/p%q/x",
        b"odd/said" + E: b"odd/said" + E + E,
        b"deep/../x": b"deep/%2E%2E" + E + b"/x",
        b"deep/./y": b"deep/%2E" + E + b"/y",
        b"deep/z/": None,
    }
    for key, name in odd.items():
        client.put(key, b"" if name is None else b"<%s>" % key)
    client.put(b"odd/" + b"l" * 256, b"too long for a name")
    client.put(b"/lead", b"an empty name in the root")

    def tree(top, failed=lambda e: bad(str(e))):
        found = set()
        for path, dirs, files in os.walk(top, onerror=failed):
            found |= {os.path.relpath(path + b"/" + f, v) for f in files}
        return found

    shown = {name for name in odd.values() if name}
    # Names of a listing that is fresh still are not asked for.
    until(60, "odd keys show", lambda: tree(v + b"/odd", None) | tree(v + b"/deep", None) == shown)
    eq("odd keys", sorted(tree(v + b"/odd") | tree(v + b"/deep")), sorted(shown))
    for key, name in odd.items():
        if name:
            eq(f"content of {key}", get(v + b"/" + name), b"<%s>" % key)
            eq(f"size of {key}", os.stat(v + b"/" + name).st_size, len(key) + 2)
    # Changed under its name here, it is its own key there.
    for key in (b"odd/a", b"odd/..", b"odd///c", b"deep/../x"):
        put(v + b"/" + odd[key], b"changed " + key)
        eq(f"{key} has changed", client.get(key), b"changed " + key)
    eq("the directory beside it has not", client.get(b"odd/a/b"), b"<odd/a/b>")
    os.rename(v + b"/" + odd[b"odd/a"], v + b"/odd/free")
    eq("renamed to a plain name", (head(b"odd/a"), client.get(b"odd/free")), (None, b"changed odd/a"))
    check("the directory stays", os.path.isfile(v + b"/odd/a/b"))
    # Without the directory the object has its name.
    os.unlink(v + b"/odd/p%q/x")
    if os.path.isdir(v + b"/odd/p%q"):
        os.rmdir(v + b"/odd/p%q")
    until(60, "the plain name again", lambda: os.path.isfile(v + b"/odd/p%q"))
    eq("its content", get(v + b"/odd/p%q"), b"<odd/p%q>")
    until(60, "no other name", lambda: b"p%25q" + E not in os.listdir(v + b"/odd"))
    # All can be removed.
    for path, dirs, files in os.walk(v + b"/deep", topdown=False):
        for f in files:
            os.unlink(path + b"/" + f)
        for d in dirs:
            os.rmdir(path + b"/" + d)
    for name in tree(v + b"/odd"):
        os.unlink(v + b"/" + name)
    sync()
    gone = [k for k in odd if not k.endswith(b"/") and head(k)]
    eq("removed", gone, [])
    eq("what has no name here is not lost", (client.get(b"odd/" + b"l" * 256), client.get(b"/lead")),
       (b"too long for a name", b"an empty name in the root"))
done()
P
	f3_stop
	f3_fsck
}

f3_s3_each names versitygw rgw
