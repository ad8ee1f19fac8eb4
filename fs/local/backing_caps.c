/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/local/backing_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

#define UNIT (64u << 10) /* a multiple of every block size there is */
#define PROBE_NAME "caps-probe"

static int name_fs(int dirfd, struct f3_backing_caps *caps)
{
	static const struct {
		uint32_t magic;
		const char *name;
	} known[] = {
		{ EXT4_SUPER_MAGIC, "ext4" },         { XFS_SUPER_MAGIC, "xfs" },
		{ BTRFS_SUPER_MAGIC, "btrfs" },       { TMPFS_MAGIC, "tmpfs" },
		{ OVERLAYFS_SUPER_MAGIC, "overlay" },
	};
	struct statfs st;
	uint32_t magic;

	if (fstatfs(dirfd, &st))
		return -errno;
	magic = (uint32_t)st.f_type;
	snprintf(caps->fs_name, sizeof(caps->fs_name), "0x%x", magic);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].magic == magic)
			snprintf(caps->fs_name, sizeof(caps->fs_name), "%s", known[i].name);
	caps->stacked = magic == OVERLAYFS_SUPER_MAGIC;
	return 0;
}

/* A file without a name, O_RDWR. */
static int make_file(int dirfd, bool *ret_tmpfile)
{
	int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0) {
		*ret_tmpfile = true;
		return fd;
	}
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return -errno;
	/* Left by somebody who was killed just here. */
	unlinkat(dirfd, PROBE_NAME, 0);
	fd = openat(dirfd, PROBE_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	unlinkat(dirfd, PROBE_NAME, 0);
	return fd;
}

static int reopen(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

/* A full disk is no lack of ability. */
static bool able(int r)
{
	return !r || errno == ENOSPC || errno == EDQUOT;
}

static bool can_fallocate(int fd, int mode)
{
	return able(fallocate(fd, mode, UNIT, UNIT));
}

static bool can_reflink(int dirfd, int fd)
{
	bool tmpfile, yes;
	int other = make_file(dirfd, &tmpfile);

	if (other < 0)
		return false;
	yes = able(ioctl(other, FICLONE, fd));
	close(other);
	return yes;
}

static bool can_direct(int fd)
{
	int direct = reopen(fd, O_RDONLY | O_DIRECT);
	void *buf;
	bool yes = false;

	if (direct < 0)
		return false;
	if (!posix_memalign(&buf, 4096, 4096)) {
		yes = pread(direct, buf, 4096, 0) == 4096;
		free(buf);
	}
	close(direct);
	return yes;
}

/* One change in a row of several could have met a tick of a coarse clock by chance. */
static bool has_fine_times(int fd)
{
	struct stat before, after;

	for (int i = 0; i < 4; i++) {
		if (pwrite(fd, "x", 1, 0) != 1 || fstat(fd, &before) ||
		    pwrite(fd, "y", 1, 0) != 1 || fstat(fd, &after))
			return false;
		if (before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
		    before.st_mtim.tv_nsec == after.st_mtim.tv_nsec)
			return false;
	}
	return true;
}

/* A mapping must count as a writer after its descriptor was closed: on file systems on top of
 * others it may be the lower file that it keeps open. Closes fd. */
static bool has_leases(int fd)
{
	int reader = reopen(fd, O_RDONLY);
	bool writer_seen, mapping_seen, end_seen;
	void *map;

	if (reader < 0) {
		close(fd);
		return false;
	}
	writer_seen = f3_backing_probe(reader) == 0;
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	mapping_seen = map != MAP_FAILED && f3_backing_probe(reader) == 0;
	if (map != MAP_FAILED)
		munmap(map, 4096);
	end_seen = f3_backing_probe(reader) == 1;
	close(reader);
	return writer_seen && mapping_seen && end_seen;
}

/* The file system refuses to seek past what it could hold. */
static uint64_t max_file_bytes(int fd)
{
	uint64_t good = 0, bad = (uint64_t)INT64_MAX + 1;

	while (bad - good > 1) {
		uint64_t middle = good + (bad - good) / 2;

		if (lseek(fd, (off_t)middle, SEEK_SET) >= 0)
			good = middle;
		else
			bad = middle;
	}
	return good;
}

int f3_backing_caps_probe(int dirfd, struct f3_backing_caps *ret_caps)
{
	struct f3_backing_caps caps = { 0 };
	int fd, r = name_fs(dirfd, &caps);

	if (r)
		return r;
	fd = make_file(dirfd, &caps.o_tmpfile);
	if (fd < 0)
		return fd;
	if (ftruncate(fd, 4 * UNIT)) {
		r = -errno;
		close(fd);
		return r;
	}
	caps.punch_hole = can_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	caps.zero_range = can_fallocate(fd, FALLOC_FL_ZERO_RANGE);
	caps.keep_size = can_fallocate(fd, FALLOC_FL_KEEP_SIZE);
	caps.collapse_range = can_fallocate(fd, FALLOC_FL_COLLAPSE_RANGE);
	caps.insert_range = can_fallocate(fd, FALLOC_FL_INSERT_RANGE);
	caps.reflink = can_reflink(dirfd, fd);
	caps.o_direct = can_direct(fd);
	caps.max_file_bytes = max_file_bytes(fd);
	caps.fine_times = has_fine_times(fd);
	caps.leases = has_leases(fd);
	*ret_caps = caps;
	return 0;
}
