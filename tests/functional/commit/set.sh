#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=300
#
# Outputs of an activation are published together at its end, or dropped: small and large ones, new names
# and old ones, renamed and removed ones; on a directory and on S3. Who reads them meanwhile sees them, and
# gets EIO when they are withdrawn.
. "$F3_SRCDIR/tests/functional/lib.sh"
. "$F3_SRCDIR/tests/functional/activation.sh"
. "$F3_SRCDIR/tests/functional/suites.sh"
. "$F3_SRCDIR/tests/functional/s3.sh"
. "$F3_SRCDIR/tests/functional/commit.sh"
f3_requires root fuse jq python3
export AWS_EC2_METADATA_DISABLED=true
python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 280000)' >big

rounds()
{
	local v=$F3_MNT/v said
	set_container
	mkdir "$v/out"
	echo first >"$v/out/old"
	echo first >"$v/out/moved"
	echo first >"$v/out/gone"
	echo first >"$v/out/whole"
	f3_ok ctl sync >/dev/null

	f3_ok set_begin one sync >/dev/null
	does "echo fresh >out/new && mkdir out/d && cp '$F3_TEST_TMP/big' out/d/big && echo second >out/old &&
		echo second >out/moved && mv out/moved out/there && echo second >out/gone && rm out/gone &&
		echo tmp >out/whole.tmp && mv out/whole.tmp out/whole && echo beside >other" || f3_bad "the function"
	f3_eq "$1: seen here" "$(cat "$v/out/new" "$v/out/old" "$v/out/there" "$v/out/whole" | tr '\n' ' ')" "fresh second second tmp "
	f3_ok cmp big "$v/out/d/big"
	f3_eq "$1: names here" "$(ls "$v/out" | tr '\n' ' ')" "d new old there whole "
	f3_eq "$1: nothing of it is published" "$(keys)" "other out/gone out/moved out/old out/whole "
	f3_eq "$1: old versions" "$(stored out/old)$(stored out/moved)$(stored out/gone)$(stored out/whole)" firstfirstfirstfirst
	f3_eq "$1: prepared" "$(prepared) $(uploads)" "5 1"
	f3_ok set_end one >/dev/null
	f3_eq "$1: published" "$(keys)" "other out/d/big out/new out/old out/there out/whole "
	f3_eq "$1: new versions" "$(stored out/new) $(stored out/old) $(stored out/there) $(stored out/whole)" "fresh second second tmp"
	f3_ok cmp big <(stored out/d/big)
	f3_eq "$1: states" "$(for f in new old there whole d/big; do f3_info "$v/out/$f" .state; done | sort -u)" clean
	set_nothing_left "$1"

	# Dropped.
	f3_ok set_begin two async >/dev/null
	does "echo third >out/old && echo third >out/young && cp '$F3_TEST_TMP/big' out/big2 && echo third >out/there &&
		rm out/there && mv out/new out/new2 && echo third >out/new2 && mv out/whole out/whole2" || f3_bad "the function"
	exec {young}<"$v/out/young"
	rm -f reader.go reader.said
	mkfifo reader.go
	python3 - "$v/out/old" "$F3_TEST_TMP/reader.go" >reader.said <<'P' &
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
print(os.pread(fd, 100, 0), flush=True)
with open(sys.argv[2]) as go:
    go.read()
try:
    print(os.pread(fd, 100, 0))
except OSError as e:
    print(os.strerror(e.errno))
P
	f3_until 30 test -s reader.said || f3_bad "$1: the reader does not begin"
	f3_ok set_end two false >/dev/null
	echo >reader.go
	wait $!
	f3_eq "$1: who had an old one open" "$(cat reader.said | tr '\n' ' ')" "b'third\\n' Input/output error "
	said=$(cat <&"$young" 2>&1) && f3_bad "$1: a withdrawn file can be read: $said"
	f3_match "$1: who had a new one open" "$said" 'Input/output error'
	exec {young}<&-
	f3_eq "$1: names after it" "$(ls "$v/out" | tr '\n' ' ')" "d new2 old there whole2 "
	f3_eq "$1: versions here" "$(cat "$v/out/old" "$v/out/there" "$v/out/new2" | tr '\n' ' ')" "second second fresh "
	f3_eq "$1: in the store" "$(keys)" "other out/d/big out/new2 out/old out/there out/whole2 "
	set_nothing_left "$1"

	# After its end the volume's rules hold.
	does "echo later >out/later" || f3_bad "the function"
	f3_eq "$1: after the end" "$(stored out/later)" later
	rm -r "$v/out" "$v/other"
	f3_eq "$1: in the end" "$(keys)" ""
}

on_files()
{
	set_on_files
	f3_volume v "file://$F3_STORE/v" default-class=durable
	f3_start
	rounds files
	f3_stop
	f3_fsck
}
on_server()
{
	f3_s3_start "$1"
	set_on_s3
	f3_s3_volume v default-class=durable
	f3_start
	rounds "$1"
	f3_stop
	f3_fsck
}
f3_apart files on_files
[ $f3_failures -gt 0 ] || f3_s3_each on_server versitygw rgw
