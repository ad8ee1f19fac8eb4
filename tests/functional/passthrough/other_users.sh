#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# Users other than the daemon's work on the mount within their permissions, with no privilege of
# their own: directly, through a bind mount, and in a user namespace.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough bwrap setpriv
f3_volume v -
f3_start
as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
mkdir "$F3_MNT/v/ours" "$F3_MNT/v/theirs" native
chown 1001:1001 "$F3_MNT/v/theirs" native
chmod 700 "$F3_MNT/v/ours"

# A child process of that user does the same here and on a plain directory.
cat >work.sh <<'END'
set -e
cd "$1"
umask 022
echo content >file
cat file
cp file copy
mv copy moved
ln moved linked
ln -s linked soft
cat soft
mkdir dir
echo x >dir/x
chmod 600 dir/x
setfattr -n user.mine -v 1 file
getfattr --only-values -n user.mine file
dd if=/dev/zero of=big bs=1M count=3 status=none
truncate -s 5000 big
head -c 100000 big | sha256sum
rm linked
chmod u-w dir
rm dir/x 2>/dev/null && echo removed
chmod u+w dir
chown 0 file 2>/dev/null && echo given away
ls -ln | awk 'NR > 1 { print $1, $2, $3, $4, $5, $9 }'
END
as 1001 bash work.sh "$PWD/native" >want 2>&1
as 1001 bash work.sh "$F3_MNT/v/theirs" >got 2>&1
f3_ok diff want got
f3_no 2 "Permission denied" as 1001 ls "$F3_MNT/v/ours"
f3_no 1 "Permission denied" as 1001 touch "$F3_MNT/v/ours/x"
f3_eq "modes" "$(as 1001 find "$F3_MNT/v/theirs" -newer work.sh -user 1001 -name big)" "$F3_MNT/v/theirs/big"

# In a container: root there, or uid 1000 in a user namespace of its own.
mkdir "$F3_MNT/v/box1" "$F3_MNT/v/box2"
chown 1000:1000 "$F3_MNT/v/box2"
f3_ok bwrap --ro-bind / / --dev /dev --tmpfs /tmp --bind "$PWD" /tmp/w --bind "$F3_MNT/v/box1" /mnt \
	--unshare-pid --unshare-ipc bash /tmp/w/work.sh /mnt
f3_ok as 1000 bwrap --unshare-user --uid 0 --gid 0 --ro-bind / / --bind "$F3_MNT/v/box2" /mnt \
	--unshare-pid bash -c 'cd /mnt && echo inside >x && cat x && chmod 4755 x && rm -f gone'
f3_eq "owner of what was made inside" "$(stat -c %u:%g "$F3_MNT/v/box2/x")" 1000:1000
f3_eq "content" "$(cat "$F3_MNT/v/box2/x")" inside
# What is made outside is seen inside at once, natively written both ways.
coproc BOX { exec bwrap --ro-bind / / --bind "$F3_MNT/v/box1" /mnt bash -c \
	'cd /mnt; while read -r n; do cat "$n"; echo "back $n" >"$n.back"; echo done; done'; }
for n in 1 2 3; do
	echo "for $n" >"$F3_MNT/v/box1/$n"
	echo "$n" >&"${BOX[1]}"
	read -r line <&"${BOX[0]}"
	f3_eq "seen inside" "$line" "for $n"
	read -r line <&"${BOX[0]}"
	f3_eq "seen outside" "$(cat "$F3_MNT/v/box1/$n.back")" "back $n"
done
exec {BOX[1]}>&-
wait "$BOX_PID"
