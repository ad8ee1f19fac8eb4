#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# libf3hint as others use it: what it exports, its pkg-config file, and the examples built with it.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
f3_requires root fuse jq python3 pkg-config nm readelf
so=$F3_BUILDDIR/libf3hint.so.1
f3_eq "symbols" "$(nm -D --defined-only "$so" | awk '{ print $3 }' | grep -vE '^_(_asan|_odr_asan|_ubsan|_tsan|init|fini|edata|end|_bss_start)' | LC_ALL=C sort)" \
	"$(cat "$F3_SRCDIR/hints/f3hint.symbols")"
f3_match "its name" "$(readelf -d "$so")" 'SONAME.*\[libf3hint\.so\.1\]'

# As installed: the header below include, the library with its links below lib.
mkdir -p include lib
cp "$F3_SRCDIR/hints/f3hint.h" include
cp "$so" lib
ln -s libf3hint.so.1 lib/libf3hint.so
export PKG_CONFIG_PATH=$F3_BUILDDIR/hints
read -ra flags < <(pkg-config --define-variable=includedir="$PWD/include" \
	--define-variable=libdir="$PWD/lib" --cflags --libs f3hint)
f3_eq "version" "$(pkg-config --modversion f3hint)" "$(f3hint -V | cut -d' ' -f2)"
# shellcheck disable=SC2086 # both are lists of words
f3_ok $F3_CC ${F3_SANITIZE:-} -Wall -Wextra -Werror -o invoker \
	"$F3_SRCDIR/hints/examples/invoker.c" "${flags[@]}" || exit 1
export LD_LIBRARY_PATH=$PWD/lib
f3_match "linked with" "$(ldd ./invoker)" "libf3hint.so.1 => $PWD/lib"
if command -v g++ >/dev/null; then
	echo '#include <f3hint.h>
int main() { f3hint_free(f3hint_new(0)); }' >plus.cc
	f3_ok g++ -Wall -Wextra -Werror -Iinclude -fsyntax-only plus.cc
fi

f3_volume photos "file://$F3_STORE/photos" default-class=writeback
f3_start
head -c 100000 /dev/urandom >"$F3_MNT/photos/a"
f3_ok ctl sync
f3_closed
python=("$F3_SRCDIR/hints/examples/invoker.py")
export F3_HINT_SOCKET=$F3_RUN/hint.sock
for invoker in ./invoker "${python[0]}"; do
	f3_ok ctl evict "$F3_MNT/photos/a"
	"$invoker" photos /a >said || f3_bad "$invoker: status $?"
	f3_match "$invoker" "$(cat said)" 'where: .*missing_bytes.*100000.*fetched: .*begun.*1.*the function runs now'
	prefetched() { f3_info "$F3_MNT/photos/a" .place; }
	f3_becomes 60 "fetched by $invoker" here prefetched
	f3_closed
done
# The run as an activation: refused for a process that is where the daemon is.
for invoker in ./invoker "${python[0]}"; do
	f3_no 1 'begin: .*control group of its own' env CONTAINER_PID=$$ "$invoker" photos /a
done
f3_eq "several at once" "$(grep -c 'status [0-9]*: ok' <(./invoker photos /a))" 3
f3_stop
# Advice is never what keeps a function from running.
for invoker in ./invoker "${python[0]}"; do
	f3_match "without F3" "$("$invoker" photos /a)" 'the function runs now'
done
