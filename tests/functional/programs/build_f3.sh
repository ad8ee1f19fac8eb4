#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=900
#
# F3 is configured and built with its build directory on the mount; what comes out is, byte by byte,
# what comes out in a plain directory, and make finds all of it up to date. The whole of it with
# F3_HEAVY=1, else f3ctl.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
# shellcheck source=tests/functional/programs.sh
. "$F3_SRCDIR/tests/functional/programs.sh"
f3_requires root fuse make
[ -x "$F3_SRCDIR/configure" ] || f3_skip "needs a configure script in the source tree"

program_build()
{
	local targets=f3ctl
	f3_heavy && targets='all check-programs'
	eval "set -- $("$F3_BUILDDIR/config.status" --config)"
	# Where the sources are may be written there relative to that build. And nothing in the objects
	# that tells where they were made.
	"$F3_SRCDIR/configure" "$@" --srcdir="$F3_SRCDIR" --disable-werror CFLAGS='-O0 -g0' \
		LDFLAGS=-Wl,--build-id=none >configure.out 2>&1 || {
		tail -n 20 configure.out
		return 1
	}
	# shellcheck disable=SC2086 # words
	make -j2 $targets >make.out 2>&1 || {
		tail -n 20 make.out
		return 1
	}
	# shellcheck disable=SC2086 # words
	make $targets >again.out 2>&1 || return
	if grep '^ *\(CC\|AR\|CCLD\) ' again.out; then
		echo "make finds something to do again"
		return 1
	fi
	rm daemon/f3ctl.o
	make f3ctl >again.out 2>&1 && [ "$(grep -c '^ *CC ' again.out)" = 1 ] || return
	./f3ctl --version && ./f3ctl --print=options | sha256sum &&
		find . -name '*.o' -exec sha256sum {} + | sort -k2 && sha256sum f3ctl
}

f3_local
f3_start
f3_same "$F3_MNT/e" program_build
