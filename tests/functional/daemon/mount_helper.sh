#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# mount.f3 turns what mount(8) hands it into the command line of f3d, and into mount flags.
set -u
# shellcheck disable=SC2016 # the helper's text
real=$(sed -n 's/^"\(.*\)" "\$@" "\$dir".*/\1/p' "$F3_BUILDDIR/mount.f3")
[ -n "$real" ] || { echo "cannot tell which f3d mount.f3 starts"; exit 1; }

# In place of f3d: notes its arguments, mounts a tmpfs. It is the helper that is tested here.
cat >f3d <<'END'
#!/bin/sh
printf '%s\n' "$@" >args
[ -e refuse ] && exit 1
for dir; do :; done
[ "$dir" = mnt ] && mount -t tmpfs none mnt
exit 0
END
sed "s,^\"$real\",\"$PWD/f3d\"," "$F3_BUILDDIR/mount.f3" >helper
chmod +x f3d helper
mkdir mnt
trap 'umount mnt 2>/dev/null' EXIT
bad=0

# expect STATUS ARGUMENTS-OF-F3D... -- ARGUMENTS-OF-THE-HELPER...
expect()
{
	local status=$1 want='' rc
	shift
	while [ "$1" != -- ]; do
		want+=$1$'\n'
		shift
	done
	shift
	rm -f args
	: >args
	./helper "$@" 2>err
	rc=$?
	if [ $rc -ne "$status" ] || [ "$(cat args)" != "${want%$'\n'}" ]; then
		printf 'mount.f3 %s: status %s, f3d got:\n' "$*" $rc
		cat args err
		bad=$((bad + 1))
	fi
}

expect 0 -c /etc/f3.conf dir -- /etc/f3.conf dir
expect 0 -c /etc/f3.conf dir -- /etc/f3.conf dir -o rw,defaults,_netdev,x-systemd.automount
expect 0 -c f -o 'node=a\,b,control-uid=1\,2' dir -- f dir -o 'rw,node=a\,b,control-uid=1\,2'
expect 0 -c f -o cache=/a,node=b dir -- f dir -n -v -o rw,cache=/a -o node=b
expect 0 --volume photos=file:///srv/photos dir -- file:///srv/photos dir
expect 0 --volume b=s3://b/ dir -- s3://b/ dir
expect 0 --volume v=s3://b/p dir -- s3://b/p dir -o volume=v
expect 0 -c 'a b' 'c d' -- 'a b' 'c d'
expect 0 -- /etc/f3.conf dir -f
expect 1 -- /etc/f3.conf
expect 1 -- a b c
expect 1 -- /etc/f3.conf dir -o
expect 1 -- /etc/f3.conf dir -o sunny
expect 1 -- /etc/f3.conf dir -o volume=v
expect 1 -- file:/// dir
: >refuse
expect 32 -c f dir -- f dir
rm refuse

if [ "$(id -u)" = 0 ]; then
	expect 0 -c f mnt -- f mnt -o nosuid,nodev,ro
	options=$(awk -v d="$PWD/mnt" '$5 == d { print $6 }' /proc/self/mountinfo)
	case $options in
	*ro,nosuid,nodev*) ;;
	*) echo "mount flags: $options"; bad=$((bad + 1)) ;;
	esac
fi
[ $bad -eq 0 ]
