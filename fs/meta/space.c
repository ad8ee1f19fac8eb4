/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/space.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/base/clock.h"

#define RESERVE_FILE "f3-reserve"

/* A sixty-fourth of the disk within these bounds, but of the smallest never more than an eighth.
 * A native writer takes up to 2 MiB in a millisecond, and is seen a few milliseconds later. */
#define RESERVE_MIN_BYTES (8ull << 20)
#define RESERVE_MAX_BYTES (32ull << 20)

static uint64_t reserve_for(uint64_t disk_bytes)
{
	uint64_t bytes = disk_bytes / 64;

	if (bytes < RESERVE_MIN_BYTES)
		bytes = RESERVE_MIN_BYTES;
	if (bytes > RESERVE_MAX_BYTES)
		bytes = RESERVE_MAX_BYTES;
	return bytes < disk_bytes / 8 ? bytes : disk_bytes / 8;
}

void f3_meta_space_init(struct f3_meta_space *s)
{
	s->fd = -1;
	s->reserve_bytes = 0;
	atomic_init(&s->looked_ns, 0);
	atomic_init(&s->level, F3_META_SPACE_AMPLE);
}

static uint64_t free_bytes(const struct f3_meta_space *s)
{
	struct statvfs st;

	/* Unknown is no reason to refuse: the write will tell. f_bfree: the daemon may use what is
	 * kept for root, and so may the writers that it has to be quicker than. */
	if (fstatvfs(s->fd, &st))
		return UINT64_MAX;
	return (uint64_t)st.f_bfree * st.f_frsize;
}

/* times: how much room, counted in reserves, it takes to keep one (again). */
static void look(struct f3_meta_space *s, unsigned times)
{
	uint64_t left = free_bytes(s);
	int level = atomic_load(&s->level);

	if (level == F3_META_SPACE_AMPLE) {
		if (left >= s->reserve_bytes)
			return;
		if (ftruncate(s->fd, 0) == 0)
			left = free_bytes(s);
	} else if (left >= times * s->reserve_bytes) {
		/* Without a reserve (a file system that cannot keep one), by the count alone. */
		if (fallocate(s->fd, 0, 0, (off_t)s->reserve_bytes) && errno == ENOSPC)
			return;
		atomic_store(&s->level, F3_META_SPACE_AMPLE);
		return;
	}
	atomic_store(&s->level,
		     left < s->reserve_bytes / 4 ? F3_META_SPACE_FULL : F3_META_SPACE_TIGHT);
}

enum f3_meta_space_level f3_meta_space_level(struct f3_meta_space *s)
{
	int64_t now = f3_clock_file_ns(), last = atomic_load(&s->looked_ns);

	/* One thread looks, the others go by what was seen last. */
	if (s->fd >= 0 && now != last && atomic_compare_exchange_strong(&s->looked_ns, &last, now))
		look(s, 3);
	return (enum f3_meta_space_level)atomic_load(&s->level);
}

int f3_meta_space_open(struct f3_meta_space *s, const char *dir)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, RESERVE_FILE);
	struct statvfs st;
	struct stat now;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return -errno;
	if (fstatvfs(s->fd, &st) == 0)
		s->reserve_bytes = reserve_for((uint64_t)st.f_blocks * st.f_frsize);
	/* Held from the last time: looked after as usual. Else taken when there is room. */
	if (fstat(s->fd, &now) || (uint64_t)now.st_size < s->reserve_bytes)
		atomic_store(&s->level, F3_META_SPACE_TIGHT);
	look(s, 2);
	return 0;
}

void f3_meta_space_close(struct f3_meta_space *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}
