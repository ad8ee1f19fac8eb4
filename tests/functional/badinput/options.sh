#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Unknown and malformed options: a message that names where, exit code 2, nothing mounted.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
conf=$F3_TEST_TMP/bad.conf
bad()
{
	local regex=$1
	shift
	f3_no 2 "$regex" f3d -f "$@"
	f3_unmounted "$F3_MNT"
}
bad 'unknown option' --nope
bad 'missing argument' -c
bad 'one mountpoint only' -c "$F3_CONF" "$F3_MNT" /another
bad 'no mountpoint' --volume data
bad 'command line: .*no such option.*"nope"' -o nope=1 "$F3_MNT"
bad 'command line: .*unknown section' -o nope.key=1 "$F3_MNT"
bad 'command line: .*cache-size' -o cache-size=much "$F3_MNT"
bad 'command line: .*cache-size' -o cache-size=-1 "$F3_MNT"
bad 'command line: .*io-threads' -o io-threads=0 "$F3_MNT"
bad 'command line: .*passthrough' -o passthrough=perhaps "$F3_MNT"
bad 'command line: .*allow-other' -o allow-other=maybe "$F3_MNT"
bad 'command line: .*run-dir' -o run-dir=relative "$F3_MNT"
bad 'command line: .*"data": a volume|command line: .*url' --volume data=nonsense "$F3_MNT"
bad 'needs a name' --volume =file:///srv "$F3_MNT"
bad 'url: after s3:// a bucket' --volume data=s3:///x "$F3_MNT"
bad 'command line: .*on-failure' -o on-failure=perhaps "$F3_MNT"
bad 'several nodes are not in this build yet' -o cluster.etcd=http://x "$F3_MNT"
bad 'retry-min is more than retry-max' -o retry-min=2m,retry-max=1m "$F3_MNT"
bad 'lies inside the mountpoint' -o "cache=$F3_MNT/cache" "$F3_MNT"
bad 'control-uid' -o control-uid=root "$F3_MNT"
bad 'log: "somewhere"' -o log=somewhere "$F3_MNT"
f3_no 2 'environment F3_F3_THREADS: .*many' env F3_F3_THREADS=many f3d -f "$F3_MNT"
f3_no 2 'environment F3_F3_NOPE' env F3_F3_NOPE=1 f3d -f "$F3_MNT"
f3_no 2 'F3_DEBUG_POINTS|not compiled|debug' env F3_DEBUG_POINTS=nonsense f3d --version

printf '[f3]\nmountpoint = %s\n\ncolour = red\n' "$F3_MNT" >"$conf"
bad "$conf:4: .*\"colour\"" -c "$conf"
f3_no 2 "$conf:4: " f3d --check-config -c "$conf"
printf '[f3]\nmountpoint = %s\n[volume a]\ndefault-class = durable\n' "$F3_MNT" >"$conf"
f3_no 2 "$conf:4: .*wants a store" f3d --check-config -c "$conf"
head -c 5000 /dev/urandom >"$conf"
bad "$conf" -c "$conf"
bad 'No such file' -c "$F3_TEST_TMP/nope.conf"
mkdir "$F3_TEST_TMP/dir.conf"
bad "dir.conf" -c "$F3_TEST_TMP/dir.conf"

f3_no 0 'the configuration is good' f3d --check-config -c "$F3_CONF"
f3_no 0 'Options of the configuration' f3d --help
f3_no 0 '^f3d [0-9]' f3d --version
# A comma in a value, a flag without one, a list: split where mount(8) splits.
f3_no 0 'good' f3d --check-config -c "$F3_CONF" -o 'node=a\,b,allow-other,control-uid=1\,2,control-uid=3'
# In the background the reason comes back, too.
f3_no 1 'is no directory|Not a directory|directory' f3d -c "$F3_CONF" -o "cache=$F3_CONF/x"
f3_unmounted "$F3_MNT"
