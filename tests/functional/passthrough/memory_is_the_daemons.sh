#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test: timeout=240
#
# Files of class memory are charged to the daemon, not to the container that writes them: a writer in
# a small cgroup is not killed.
# shellcheck source=tests/functional/lib.sh
. "$F3_SRCDIR/tests/functional/lib.sh"
# shellcheck source=tests/functional/suites.sh
. "$F3_SRCDIR/tests/functional/suites.sh"
f3_requires root fuse passthrough
f3_set memory-size=256M
f3_volume m - default-class=memory
f3_start
limit=$((48 << 20))
if [ -d /sys/fs/cgroup/memory ]; then
	group=/sys/fs/cgroup/memory/f3-test-$$
	file=memory.limit_in_bytes
elif grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
	group=/sys/fs/cgroup/f3-test-$$
	file=memory.max
else
	f3_skip "needs a memory cgroup"
fi
mkdir "$group" 2>/dev/null || f3_skip "cannot make a cgroup"
trap 'rmdir "$group"; f3_cleanup' EXIT
echo $limit >"$group/$file" || f3_skip "cannot limit a cgroup"

# Does the limit bite at all? The same amount in a tmpfs of the writer's own.
mkdir plain
mount -t tmpfs none plain
in_group() { bash -c 'echo $BASHPID >"$1/cgroup.procs" && shift && exec "$@"' - "$group" "$@"; }
in_group dd if=/dev/zero of=plain/f bs=1M count=160 2>/dev/null &&
	f3_skip "the limit of a cgroup has no effect here"
umount plain
f3_ok in_group dd if=/dev/zero of="$F3_MNT/m/f" bs=1M count=160 status=none
f3_eq "all of it" "$(stat -c %s "$F3_MNT/m/f")" $((160 << 20))
f3_ok in_group cmp "$F3_MNT/m/f" <(head -c $((160 << 20)) /dev/zero)
