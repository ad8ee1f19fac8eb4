#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# While nothing is open, and while native writers are, the daemon has no writable descriptor of a
# backing file: the lease probe would take it for a writer.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse jq passthrough
f3_volume v -
f3_volume m - default-class=memory
f3_start

# Descriptors of the daemon below data directories, with their access mode.
writable()
{
	local fd target flags
	for fd in "/proc/$F3_PID/fd"/*; do
		target=$(readlink "$fd") || continue
		case $target in
		*/data/* | "$F3_RUN"/memory/*) ;;
		*) continue ;;
		esac
		flags=$(sed -n 's/^flags:\t*//p' "/proc/$F3_PID/fdinfo/${fd##*/}" 2>/dev/null)
		[ -n "$flags" ] || continue
		[ $((flags & 3)) -eq 0 ] || [ $((flags & 010000000)) -ne 0 ] || echo "$target $flags"
	done
}

"$F3_BUILDDIR/tests/posix/fsx_model" --ops 1000 "$F3_MNT/v/f" || f3_bad fsx
"$F3_BUILDDIR/tests/posix/fsx_model" --ops 1000 "$F3_MNT/m/f" || f3_bad fsx
for dir in v m; do
	for i in {1..50}; do
		echo "$i" >"$F3_MNT/$dir/file$i"
	done
	truncate -s 100 "$F3_MNT/$dir/file1"
	fallocate -l 100000 "$F3_MNT/$dir/file2"
	cp --reflink=auto "$F3_MNT/$dir/file2" "$F3_MNT/$dir/file3"
	touch -d yesterday "$F3_MNT/$dir/file4"
done
f3_closed
f3_eq "nothing open" "$(writable)" ""

exec 7>>"$F3_MNT/v/file5" 8<"$F3_MNT/v/file6"
echo more >&7
f3_eq "a native writer open" "$(writable)" ""
exec 7>&- 8<&-

# One that goes through the daemon, while it is open; then no longer.
exec 7>>"$F3_MNT/m/file5"
echo more >&7
f3_match "a writer of class memory open" "$(writable)" "/memory/.* 0[0-9]*2"
exec 7>&-
f3_becomes 60 "a closed file" sealed getfattr --only-values -n user.f3.state "$F3_MNT/m/file5"
f3_eq "after it" "$(writable)" ""
