# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# contained KIND: everything that is tried in containers of a kind (boxes.sh). Read after both.

contained()
{
	local kind=$1 v mnt handle up
	rm -rf "$F3_CACHE" "$F3_STORE"
	f3_dirs
	f3_volume data - namespace=guest mode=1777
	f3_volume other - namespace=guest
	f3_start
	export F3_HINT_SOCKET=$F3_RUN/hint.sock
	v=$F3_RUN/views
	mnt=$F3_MNT/data
	chmod 755 "$F3_RUN" "$v"
	mkdir -p "$mnt/a/sub/deep" "$mnt/a/mnt" "$mnt/secret" "$F3_MNT/other/d"
	echo inside >"$mnt/a/f"
	echo secret >"$mnt/secret/s"
	echo other >"$F3_MNT/other/d/o"
	ln "$mnt/secret/s" "$mnt/a/hard"
	ln -s ../secret/s "$mnt/a/rel"
	ln -s "$mnt/secret/s" "$mnt/a/abs"
	ln -s .. "$mnt/a/up"
	ln -s "$F3_MNT" "$mnt/a/whole"
	mknod "$mnt/a/zero" c 1 5
	chmod 666 "$mnt/a/zero" "$mnt/a/f" "$mnt/a/hard"
	chmod 777 "$mnt/a" "$mnt/a/sub" "$mnt/a/sub/deep" "$mnt/a/mnt"
	cp /usr/bin/id "$mnt/a/suid"
	chmod 4755 "$mnt/a/suid"

	bind() { f3hint send "{\"op\":\"bind\",\"view\":\"$1\",\"namespace\":\"guest\",\"volume\":\"data\",\"path\":\"$2\",\"mode\":\"$3\"}" >/dev/null; }
	unbind() { f3hint send "{\"op\":\"unbind\",\"view\":\"$1\"}" >/dev/null; }

	# One that was started before the bind, with an empty directory, and one with all of them.
	mkdir "$v/early"
	box_start "$kind" early "$v/early"
	box_start "$kind" whole "$v"
	f3_eq "empty" "$(box early "ls('/f3')")" ""
	f3_ok bind early /a rw
	f3_eq "it appears" "$(box early "read('/f3/f')")" inside
	f3_eq "it appears among all" "$(box whole "read('/f3/early/f')")" inside
	f3_ok bind late /a ro
	box_start "$kind" late "$v/late" ro
	f3_eq "given" "$(box late "read('/f3/f')")" inside
	f3_eq "ro" "$(box late "write('/f3/new', 'x')")" EROFS
	f3_eq "ro" "$(box late "write('/f3/f', 'x')")" EROFS
	f3_eq "ro" "$(box late "done(os.unlink, '/f3/f')")" EROFS
	f3_eq "rw" "$(box early "write('/f3/made', 'by early')")" ok
	f3_eq "seen by others" "$(cat "$mnt/a/made") $(box late "read('/f3/made')")" "by early by early"
	rm "$mnt/a/made"

	# Up, by names and by descriptors.
	f3_eq "all there is" "$(box early "ls('/f3')")" "abs f hard mnt rel sub suid up whole zero"
	for up in /f3/.. /f3/sub/../.. /f3/sub/deep/../../.. /f3/up /f3/sub/../up; do
		f3_eq "$up" "$(box early "os.path.samefile('$up', '/')")" True
		f3_eq "$up" "$(box early "read('$up/secret/s')")" ENOENT
	done
	f3_eq "openat" "$(box early "ls(os.open('..', os.O_RDONLY, dir_fd=os.open('/f3/sub', os.O_RDONLY)))")" \
		"abs f hard mnt rel sub suid up whole zero"
	f3_eq "openat" "$(box early "os.fstat(os.open('../../..', os.O_RDONLY, dir_fd=os.open('/f3/sub', os.O_PATH))).st_ino == os.stat('/').st_ino")" True
	f3_eq "by /proc" "$(box early "os.path.samefile('/proc/self/fd/%d/..' % os.open('/f3', os.O_PATH), '/')")" True
	f3_eq "by /proc" "$(box early "read('/proc/self/fd/%d/../secret/s' % os.open('/f3', os.O_PATH))")" ENOENT
	f3_eq "by the working directory" "$(box early "(os.chdir('/f3/sub'), ls('..'), os.path.samefile('../../..', '/'), os.chdir('/'))[1:3]")" \
		"('abs f hard mnt rel sub suid up whole zero', True)"

	# Symbolic links lead where the container has something, hard links to what they are.
	for up in rel abs whole whole/other/d/o; do
		f3_eq "symbolic link $up" "$(box early "read('/f3/$up')")" ENOENT
	done
	f3_eq "hard link" "$(box early "read('/f3/hard')")" secret
	f3_eq "hard link out" "$(box early "done(os.link, '/f3/f', '/tmp/f')")" EXDEV
	f3_eq "rename out" "$(box early "done(os.rename, '/f3/f', '/tmp/f')")" EXDEV
	f3_match "between views" "$(box whole "done(os.rename, '/f3/early/f', '/f3/late/g')")" 'EXDEV|EROFS'
	f3_match "between views" "$(box whole "done(os.link, '/f3/early/f', '/f3/late/g')")" 'EXDEV|EROFS'
	f3_eq "links inside" "$(box early "done(os.link, '/f3/f', '/f3/sub/g')")" ok
	f3_eq "renames inside" "$(box early "done(os.rename, '/f3/sub/g', '/f3/sub/deep/g')")" ok
	f3_eq "seen outside" "$(cat "$mnt/a/sub/deep/g")" inside

	# File handles: of what is outside, of what is above, of what is inside too.
	for up in secret/s secret . a/f; do
		handle=$(python3 - "$mnt/$up" <<<"$(sed '/^print/,$d' "$F3_TEST_TMP/agent.py")
print(handle_of(sys.argv[1]))")
		[ -n "$handle" ] || f3_bad "no handle of $up"
		f3_match "handle of $up" "$(box early "open_handle('/f3', '$handle')")" '^(EPERM|ESTALE)$'
	done

	# Set-uid programs and devices are files like others.
	f3_eq "device" "$(box early "os.open('/f3/zero', os.O_RDONLY)")" EACCES
	f3_match "flags" "$(box early "[l.split()[5] for l in open('/proc/self/mountinfo') if ' - fuse.f3 ' in l][0]")" 'nosuid.*nodev'
	[ "$kind" = crun ] || f3_match "mounting is not for it" \
		"$(box early "check(libc.mount(None, b'/f3', None, 32 | 4096, None))")" '^E(PERM|ACCES|INVAL)$'

	# What is mounted on a directory of F3 later is not the container's.
	mount -t tmpfs none "$mnt/a/mnt"
	echo foreign >"$mnt/a/mnt/foreign"
	f3_eq "a mount below" "$(box early "ls('/f3/mnt')")" ""
	umount "$mnt/a/mnt"

	# The directory under its feet: out of the view, and the view's own, away and back.
	f3_eq "cd" "$(box early "done(os.chdir, '/f3/sub/deep')")" ok
	mv "$mnt/a/sub" "$mnt/moved"
	f3_eq "still here" "$(box early "ls('.')")" g
	f3_eq "no way up" "$(box early "ls('../..')")" ENOENT
	f3_eq "no way up" "$(box early "read('../../secret/s')")" ENOENT
	f3_eq "no way up" "$(box early "os.open('/proc/self/cwd/../..', os.O_RDONLY)")" ENOENT
	f3_eq "not there" "$(box early "ls('/f3')")" "abs f hard mnt rel suid up whole zero"
	mv "$mnt/moved" "$mnt/a/sub"
	f3_eq "there again" "$(box early "(ls('../..'), os.chdir('/'))[0]")" "abs f hard mnt rel sub suid up whole zero"
	mv "$mnt/secret/s" "$mnt/a/in"
	f3_eq "moved in" "$(box early "read('/f3/in')")" secret
	mv "$mnt/a/in" "$mnt/secret/s"
	f3_eq "moved out" "$(box early "read('/f3/in')")" ENOENT
	mv "$mnt/a" "$mnt/secret/a"
	f3_eq "the same directory" "$(box early "read('/f3/f')")" inside
	f3_eq "and nothing above it" "$(box early "os.path.samefile('/f3/..', '/')")" True
	mv "$mnt/secret/a" "$mnt/a"
	mv "$mnt/a" "$F3_MNT/other/a" 2>/dev/null # copied: another volume
	mv "$F3_MNT/other/a" "$mnt/a"
	f3_eq "one that is gone" "$(box early "ls('/f3')")" ""
	f3_eq "one that is gone" "$(box early "write('/f3/x', 'x')")" ENOENT

	# Unbound while files are open: the path goes, what is open stays.
	f3_ok unbind early
	f3_ok unbind late
	f3_ok bind early /a rw
	f3_eq "bound anew" "$(box early "read('/f3/f')")" inside
	f3_eq "held" "$(box early "globals().update(held=open('/f3/held', 'w+'), cwd=os.open('/f3/sub', os.O_RDONLY)) or 'ok'")" ok
	f3_ok unbind early
	f3_eq "the path is gone" "$(box early "ls('/f3')")" ""
	f3_eq "for who sees all" "$(box whole "ls('/f3')")" early
	f3_eq "the path is gone" "$(box early "read('/f3/f')")" ENOENT
	f3_eq "what is open stays" "$(box early "(held.write('after'), held.flush(), held.seek(0), held.read())[3]")" after
	f3_eq "what is open stays" "$(cat "$mnt/a/held") $(box early "ls(cwd)")" "after deep"

	# A daemon that dies meanwhile, and one that stops.
	f3_ok bind early / ro
	f3_eq "shown" "$(box early "ls('/f3')")" "a secret"
	kill -KILL "$F3_PID"
	f3_eq "over a death" "$(box early "read('/f3/secret/s')")" secret
	pid() { ctl --json status 2>/dev/null | jq .pid; }
	f3_until 60 eval 'F3_PID=$(pid) && [ -n "$F3_PID" ]' || f3_fail "it was not started again"
	f3_eq "closed" "$(box early "held.close() or os.close(cwd) or 'ok'")" ok
	f3_stop
	f3_eq "stopped" "$(box early "ls('/f3')")" ""
	f3_start
	f3_becomes 60 "bound again" "a secret" box early "ls('/f3')"
	f3_ok unbind early
	f3_eq "unbound" "$(box early "ls('/f3')")" ""
	rmdir "$v/early"
	box_stop_all
	f3_stop
	f3_unmounted "$v"
}
