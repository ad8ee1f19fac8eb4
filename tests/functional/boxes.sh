# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Containers for tests of views: a Python in a box that evaluates what it is told. Read after lib.sh:
#
#	box_start bwrap|user|crun NAME SOURCE [ro]	SOURCE is seen as /f3; ro is for engines that want
#						to be told what the source is
#	box NAME EXPRESSION			what it prints: the value, or the name of an errno
#	box_stop NAME
#
# bwrap: root, without capabilities. user: uid 1000 in a user namespace of its own. crun: an OCI
# container with a root file system, and the capabilities that engines give by default.

declare -A box_in box_out box_pid

box_program()
{
	cat >"$F3_TEST_TMP/agent.py" <<'P'
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)

class Handle(ctypes.Structure):
    _fields_ = [('bytes', ctypes.c_uint), ('type', ctypes.c_int), ('data', ctypes.c_ubyte * 128)]

def check(r):
    if r < 0:
        raise OSError(ctypes.get_errno(), '')
    return r

def handle_of(path):
    h, mount = Handle(bytes=128), ctypes.c_int()
    check(libc.name_to_handle_at(-100, os.fsencode(path), ctypes.byref(h), ctypes.byref(mount), 0))
    return '%d:%s' % (h.type, bytes(h.data[:h.bytes]).hex())

def open_handle(at, text):
    kind, data = text.split(':')
    data = bytes.fromhex(data)
    h = Handle(bytes=len(data), type=int(kind))
    ctypes.memmove(h.data, data, len(data))
    fd = os.open(at, os.O_RDONLY)
    return check(libc.open_by_handle_at(fd, ctypes.byref(h), os.O_RDONLY))

def read(path):
    return open(path).read().strip()

def write(path, text):
    with open(path, 'w') as f:
        f.write(text)
    return 'ok'

def ls(path):
    return ' '.join(sorted(os.listdir(path)))

def done(call, *args, **more):
    call(*args, **more)
    return 'ok'

print('ready', flush=True)
for line in sys.stdin:
    if line == 'quit\n':    # others may have the other end of the pipe too
        break
    try:
        print(eval(line), flush=True)
    except OSError as e:
        print(errno.errorcode[e.errno], flush=True)
P
	chmod 755 "$F3_TEST_TMP"
}

# The root file system: this machine's /usr, and nothing else.
box_bundle() # DIR SOURCE [ro]
{
	mkdir -p "$1/root"/{usr,proc,dev,tmp,f3,etc}
	for l in bin sbin lib lib64; do
		[ ! -L "/$l" ] || cp -P "/$l" "$1/root/"
	done
	cp "$F3_TEST_TMP/agent.py" "$1/root/"
	python3 - "$2" "${3:-rw}" >"$1/config.json" <<'P'
import json, sys
caps = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_KILL', 'CAP_MKNOD', 'CAP_SETGID',
        'CAP_SETUID', 'CAP_SYS_CHROOT']
print(json.dumps({
    'ociVersion': '1.0.0',
    'process': {'user': {'uid': 0, 'gid': 0}, 'args': ['/usr/bin/python3', '/agent.py'], 'cwd': '/',
                'env': ['PATH=/usr/bin:/bin', 'LC_ALL=C.UTF-8'], 'noNewPrivileges': True,
                'capabilities': {k: caps for k in ('bounding', 'effective', 'permitted')}},
    'root': {'path': 'root', 'readonly': True},
    'mounts': [
        {'destination': '/proc', 'type': 'proc', 'source': 'proc'},
        {'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['nosuid', 'mode=755']},
        {'destination': '/tmp', 'type': 'tmpfs', 'source': 'tmpfs'},
        {'destination': '/usr', 'type': 'bind', 'source': '/usr', 'options': ['rbind', 'ro']},
        {'destination': '/f3', 'type': 'bind', 'source': sys.argv[1], 'options': ['rbind', 'rslave', 'nosuid', 'nodev', sys.argv[2]]}],
    # as engines say it for a volume with rslave; without, crun lets nothing in
    'linux': {'rootfsPropagation': 'rslave', 'namespaces': [{'type': t} for t in ('pid', 'mount', 'ipc', 'uts')]}}))
P
}

box_run() # KIND NAME SOURCE [ro]: in place of this shell
{
	local common=(--ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib
		--symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp
		--ro-bind "$F3_TEST_TMP/agent.py" /agent.py --bind "$3" /f3 --unshare-pid --chdir /)
	case $1 in
	bwrap) exec bwrap --cap-drop ALL "${common[@]}" /usr/bin/python3 /agent.py ;;
	user) exec bwrap --unshare-user --uid 1000 --gid 1000 "${common[@]}" /usr/bin/python3 /agent.py ;;
	crun)
		box_bundle "$F3_TEST_TMP/box-$2" "$3" "${4:-rw}"
		cd "$F3_TEST_TMP/box-$2" || exit 1
		# crun takes both hierarchies at a time for a mistake.
		exec unshare -m --propagation slave sh -c "umount /sys/fs/cgroup/unified 2>/dev/null
			exec crun --root '$F3_TEST_TMP/crun' --cgroup-manager disabled run f3-$$-$2"
		;;
	esac
}

# Does this machine let one be made? Skips with the reason.
box_requires() # KIND
{
	f3_requires "${1/user/bwrap}" /usr/bin/python3
	[ -f "$F3_TEST_TMP/agent.py" ] || box_program
	mkdir -p "$F3_TEST_TMP/probe"
	(box_run "$1" probe "$F3_TEST_TMP/probe") <<<"1 + 1" >"$F3_TEST_TMP/probe.out" 2>&1
	[ "$(tail -n 1 "$F3_TEST_TMP/probe.out")" = 2 ] ||
		f3_skip "no container by $1 here: $(tail -n 1 "$F3_TEST_TMP/probe.out")"
}

box_start() # KIND NAME SOURCE [ro]
{
	local said in out pipe=$F3_TEST_TMP/box-$2
	mkfifo "$pipe.in" "$pipe.out"
	(box_run "$@") <"$pipe.in" >"$pipe.out" 2>"$pipe.err" &
	box_pid[$2]=$!
	exec {in}>"$pipe.in" {out}<"$pipe.out"
	rm "$pipe.in" "$pipe.out"
	box_in[$2]=$in
	box_out[$2]=$out
	read -rt 60 -u "$out" said || f3_fail "container $2 does not start: $(cat "$pipe.err")"
	f3_eq "container $2" "$said" ready
}

box() # NAME EXPRESSION
{
	local said
	echo "$2" >&"${box_in[$1]}"
	read -rt 120 -u "${box_out[$1]}" said || f3_fail "container $1 is gone: $(cat "$F3_TEST_TMP/box-$1.err")"
	printf '%s\n' "$said"
}

box_stop() # NAME
{
	local in=${box_in[$1]} out=${box_out[$1]}
	echo quit >&"$in"
	exec {in}>&- {out}<&-
	wait "${box_pid[$1]}"
	unset "box_in[$1]"
}

box_stop_all()
{
	local name
	for name in "${!box_in[@]}"; do
		box_stop "$name"
	done
}
f3_at_exit+=(box_stop_all)
