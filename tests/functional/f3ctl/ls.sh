#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl ls: classes and places of names, one directory or everything below, in any number.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data -
f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_start
d=$F3_MNT/data
mkdir -p "$d/many" "$d/tree/a/b"
(cd "$d/many" && for i in {1..700}; do : >"f$i"; done)
echo 1 >"$d/tree/one"
echo 2 >"$d/tree/a/b/two"
ln -s one "$d/tree/link"

f3_eq "names" "$(ctl --json ls "$d/many" | jq -r .path | sort | uniq | wc -l)" 700
f3_eq "not below" "$(ctl --json ls "$d" | jq -r .path | sort | tr '\n' ' ')" "/many /tree "
f3_eq "everything below" "$(ctl --json ls -R data:/tree | jq -r '.path + ":" + .type' | sort |
	tr '\n' ' ')" \
	"/tree/a/b/two:file /tree/a/b:directory /tree/a:directory /tree/link:symlink /tree/one:file "
f3_eq "the whole mount" "$(ctl --json ls -R "$F3_MNT" | jq -s length)" 709
f3_eq "volumes" "$(ctl --json ls "$F3_MNT" | jq -r .volume | sort | tr '\n' ' ')" "data photos "
f3_eq "one file" "$(ctl --json ls "$d/tree/one" | jq -r .size)" 2
cd "$d/tree" || exit 1
f3_eq "here" "$(ctl --json ls | jq -r .path | sort | tr '\n' ' ')" "/tree/a /tree/link /tree/one "
cd / || exit 1

# For people: a heading, sorted, names only; paths with -R.
f3_eq "rows" "$(ctl ls "$d/many" | wc -l)" 701
f3_eq "sorted" "$(ctl ls "$d/many" | awk 'NR > 1 { print $NF }' | LC_ALL=C sort -c && echo yes)" yes
f3_match "directory" "$(ctl ls "$d/tree")" ' a/'
f3_match "paths" "$(ctl ls -R "$d/tree")" "$d/tree/a/b/two"

# Where the bytes are.
echo a >"$F3_MNT/photos/a"
echo b >"$F3_MNT/photos/b"
f3_ok ctl sync
f3_closed
f3_ok ctl evict "$F3_MNT/photos/a"
f3_ok ctl pin "$F3_MNT/photos/b"
f3_eq "places" "$(ctl --json ls photos:/ | jq -r '.path + " " + .place + " " + .in_store + " \(.pinned)"' |
	sort | tr '\n' ';')" "/a store yes false;/b here yes true;"

# Deeper than a path may be long: by relative steps.
cd "$d" || exit 1
long=$(printf 'd%.0s' {1..200})
for _ in {1..40}; do
	mkdir "$long" && cd "$long" || exit 1
done
: >bottom
cd / || exit 1
f3_eq "40 levels of long names" "$(ctl --json ls -R data:/ | jq -r .path | grep -c "$long")" 41
f3_no 1 'ENOENT' ctl ls "$d/nope"
# A reader that goes away ends it.
ctl --json ls -R "$d" | head -n 1 >/dev/null
f3_ok ctl status >/dev/null
