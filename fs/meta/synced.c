/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/synced.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/base/hash.h"

#define MAGIC 0x66335f73796e6331ull

/* On disk: magic, number, hash of the two; big-endian. */
struct rec {
	uint64_t magic, number, hash;
};

int f3_meta_synced_open(const char *dir, bool read_only)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, F3_META_SYNCED_FILE);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, (read_only ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

uint64_t f3_meta_synced_get(int fd)
{
	struct rec rec;

	if (pread(fd, &rec, sizeof(rec), 0) != (ssize_t)sizeof(rec) ||
	    be64toh(rec.magic) != MAGIC || be64toh(rec.hash) != f3_hash64(&rec, 16, 0))
		return 0;
	return be64toh(rec.number);
}

void f3_meta_synced_put(int fd, uint64_t number)
{
	struct rec rec = { .magic = htobe64(MAGIC), .number = htobe64(number) };
	ssize_t n;

	rec.hash = htobe64(f3_hash64(&rec, 16, 0));
	/* Written over in place. If it fails the number stays an older one. */
	n = pwrite(fd, &rec, sizeof(rec), 0);
	(void)n;
}
