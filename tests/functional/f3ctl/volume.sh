#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# f3ctl volume: added while the daemon runs, there after a restart, removed without a trace.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq
f3_volume data -
f3_start
volumes() { ctl --json volume list | jq -r '[.volumes[].name] | join(" ")'; }
f3_eq "at first" "$(volumes)" data

f3_ok ctl volume add scratch quota=1M default-class=memory mode=0750
f3_ok ctl volume add photos "file://$F3_STORE/photos" default-class=writeback
f3_eq "three" "$(volumes)" "data photos scratch"
f3_eq "mode" "$(stat -c %a "$F3_MNT/scratch")" 750
echo m >"$F3_MNT/scratch/m"
f3_no 1 'quota' sh -c "head -c 3000000 /dev/zero >'$F3_MNT/scratch/big'"
f3_eq "its class" "$(f3_info "$F3_MNT/scratch/m" .class)" memory

f3_no 1 'there is a volume data already' ctl volume add data
f3_no 1 'is a file name' ctl volume add a/b
f3_no 1 'overlaps' ctl volume add other "file://$F3_STORE/photos/below"
f3_no 1 'inside the mountpoint' ctl volume add other "file://$F3_MNT/data"
f3_no 1 'inside the cache' ctl volume add other "file://$F3_CACHE/x"
f3_no 1 'wants a store' ctl volume add other default-class=durable
f3_no 1 'no such option' ctl volume add other colour=red
f3_no 1 'quota' ctl volume add other quota=-1
f3_no 2 'neither a URL nor' ctl volume add other what
f3_no 2 'list, add or remove' ctl volume
f3_no 2 'only with remove' ctl volume list --purge
f3_eq "none of these came" "$(volumes)" "data photos scratch"

f3_stop
f3_start
f3_eq "after a restart" "$(volumes)" "data photos scratch"
f3_eq "quota after a restart" "$(ctl --json volume list | jq '.volumes[2].quota_bytes')" 1048576
rm -f "$F3_MNT/scratch/big"

# Not while it is used, dirty, or has what is only here.
f3_no 1 'in the configuration' ctl volume remove data
f3_no 1 'no volume nope' ctl volume remove nope
f3_no 1 'only here: --purge' ctl volume remove scratch
p=$F3_MNT/photos
mkdir -p "$p/a/b/c" "$p/empty"
for i in {1..600}; do echo "$i" >"$p/a/b/f$i"; done
ln -s f1 "$p/a/link"
exec {fd}>"$p/open"
f3_no 1 'is open|is written to' ctl volume remove photos
exec {fd}>&-
f3_ok ctl sync
exec {fd}<"$p/a/b/f1"
f3_no 1 'is open' ctl volume remove photos
exec {fd}<&-
before=$(cd "$F3_STORE/photos" && find . -type f -not -path './.f3/*' | wc -l)
id=$(ctl --json volume list | jq '.volumes[] | select(.name == "photos").id')
f3_until 60 ctl volume remove photos || f3_bad "not removed: $(ctl volume remove photos 2>&1)"
f3_eq "gone" "$(volumes)" "data scratch"
[ -e "$p" ] && f3_bad "$p is still there"
[ -e "$F3_CACHE/data/$id" ] && f3_bad "its backing files are still there"
f3_eq "objects stay" "$(cd "$F3_STORE/photos" && find . -type f -not -path './.f3/*' | wc -l)" "$before"

# With hard links, a deep tree and many files, of local classes.
s=$F3_MNT/scratch
mkdir -p "$s/x/y/z"
for i in {1..300}; do : >"$s/x/y/f$i"; done
for i in {1..20}; do ln "$s/x/y/f$i" "$s/x/l$i"; done
setfattr -n user.color -v red "$s/x/y/f1"
f3_until 60 ctl volume remove --purge scratch || f3_bad "not removed: $(ctl volume remove --purge scratch 2>&1)"
f3_eq "only one left" "$(volumes)" data
f3_eq "nothing left behind" "$(ctl --json fsck | jq -c '[.inodes, .problems]')" "[2,0]"
f3_eq "listing" "$(ls "$F3_MNT")" data
f3_stop
f3_ok f3ctl fsck --cache "$F3_CACHE"
f3_start
f3_eq "after a restart" "$(volumes)" data
# The name can be taken again, and the objects are there.
f3_ok ctl volume add photos "file://$F3_STORE/photos"
f3_eq "the same objects" "$(cat "$F3_MNT/photos/a/b/f600")" 600

# Taken out of the configuration a volume stays until somebody removes it.
echo kept >"$F3_MNT/data/kept"
sed -i '/^\[volume data\]$/d' "$F3_CONF"
f3_volume memory - default-class=memory
f3_restart
f3_match "where they are from" "$(ctl volume list)" 'data .* before .*memory .* config .*photos .* f3ctl '
f3_eq "left in memory" "$(ctl --json volume list |
	jq '.volumes[] | select(.name == "memory") | .left_bytes <= 67108864')" true
f3_eq "its file" "$(cat "$F3_MNT/data/kept")" kept
f3_ok ctl volume remove --purge data
f3_eq "without it" "$(volumes)" "memory photos"
