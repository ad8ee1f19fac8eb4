#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Who makes a user namespace has every capability in it, and is nobody here: suid goes with a write
# as on the disk, and class and stream flag stay what the owner said.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse setpriv unshare setfattr
setpriv --reuid 1001 --regid 1001 --clear-groups unshare -Ur true ||
	f3_skip "users may not make user namespaces here"
f3_volume v -
f3_volume m - default-class=memory
f3_volume d "file://$F3_STORE/d"
f3_start
mkdir native
chmod 777 native

other() { setpriv --reuid 1001 --regid 1001 --clear-groups "$@"; }
# after OPERATION FILE: what is left of the mode of somebody's suid file that all may write
after()
{
	echo content >"$2"
	chown 1000:1000 "$2"
	chmod 6777 "$2"
	other unshare -Ur sh -c "$1" "$2"
	stat -c %a "$2"	# asks for the mode alone, which the kernel may think it knows
}
# shellcheck disable=SC2016 # the shell in the namespace expands it
for operation in 'echo x >>"$0"' 'echo x >"$0"' 'truncate -s 3 "$0"' 'fallocate -l 9999 "$0"'; do
	wanted=$(after "$operation" "$F3_TEST_TMP/native/f")
	f3_eq "on the disk: $operation" "$wanted" 777
	for volume in v m d; do
		f3_eq "$volume: $operation" "$(after "$operation" "$F3_MNT/$volume/f")" "$wanted"
	done
done

# Writable by all, but not theirs.
f=$F3_MNT/d/f
f3_ok other setfattr -n user.theirs -v 1 "$f"
for who in other "other unshare -Ur"; do
	f3_no 1 'Operation not permitted' $who setfattr -n user.f3.class -v memory "$f"
	f3_no 1 'Operation not permitted' $who setfattr -n user.f3.stream -v 1 "$f"
done
f3_eq "class" "$(f3_info "$f" .class)" durable
f3_ok setpriv --reuid 1000 --regid 1000 --clear-groups setfattr -n user.f3.class -v writeback "$f"
f3_no 1 'Operation not permitted' other setfattr -x user.f3.class "$f"
f3_eq "the owner's class" "$(f3_info "$f" .class)" writeback
f3_ok setfattr -n user.f3.stream -v 1 "$f"
f3_ok setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps +fowner --ambient-caps +fowner \
	setfattr -x user.f3.stream "$f"
