/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/clock.h"

#define TICK_NS (int64_t)(50 * F3_NS_PER_MS) /* longer than any kernel's */

void f3_meta_logs_init(struct f3_meta_logs *l)
{
	memset(l, 0, sizeof(*l));
}

int f3_meta_logs_open(struct f3_meta_logs *l, const char *dir)
{
	l->dir = opendir(dir);
	return l->dir ? 0 : -errno;
}

void f3_meta_logs_close(struct f3_meta_logs *l)
{
	for (size_t i = 0; i < l->n; i++)
		close(l->v[i].fd);
	free(l->v);
	if (l->dir)
		closedir(l->dir);
	f3_meta_logs_init(l);
}

/* "000123.log" */
static bool log_number(const char *name, uint64_t *ret_number)
{
	char *end;

	if (name[0] < '0' || name[0] > '9')
		return false;
	*ret_number = strtoull(name, &end, 10);
	return strcmp(end, ".log") == 0;
}

/* 1 if it is new, 0 if known or gone, -errno */
static int see_log(struct f3_meta_logs *l, const char *name, uint64_t number)
{
	int fd;

	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].number == number) {
			l->v[i].there = true;
			return 0;
		}
	}
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 16;
		struct f3_meta_log *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	/* Kept open, so that an error of the disk between two syncs is reported to us. */
	fd = openat(dirfd(l->dir), name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	l->v[l->n++] = (struct f3_meta_log){ .number = number, .fd = fd, .there = true };
	return 1;
}

static int list_logs(struct f3_meta_logs *l, bool *ret_new)
{
	struct dirent *e;
	uint64_t number;
	size_t kept = 0;
	int r;

	for (size_t i = 0; i < l->n; i++)
		l->v[i].there = false;
	rewinddir(l->dir);
	while (errno = 0, (e = readdir(l->dir)) != NULL) {
		if (!log_number(e->d_name, &number))
			continue;
		r = see_log(l, e->d_name, number);
		if (r < 0)
			return r;
		*ret_new |= r;
	}
	if (errno)
		return -errno;
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].there)
			l->v[kept++] = l->v[i];
		else
			close(l->v[i].fd);
	}
	l->n = kept;
	return 0;
}

/* Lists the directory if it may have changed. A change within the same tick of the clock as the
 * listing could leave the same time, so that only a time from before is trusted. */
static int look(struct f3_meta_logs *l, bool *ret_new)
{
	int64_t now = f3_clock_file_ns(), changed;
	struct stat st;
	int r;

	if (fstat(dirfd(l->dir), &st))
		return -errno;
	changed = f3_ns_from_timespec(st.st_mtim);
	if (changed == l->changed_ns)
		return 0;
	r = list_logs(l, ret_new);
	l->changed_ns = !r && changed < now - TICK_NS ? changed : 0;
	return r;
}

int f3_meta_logs_sync(struct f3_meta_logs *l)
{
	bool new = false;
	struct stat st;
	int r = look(l, &new);

	if (r)
		return r;
	for (size_t i = 0; i < l->n; i++) {
		struct f3_meta_log *log = &l->v[i];

		if (fstat(log->fd, &st))
			return -errno;
		if ((uint64_t)st.st_size == log->synced_bytes)
			continue;
		if (fdatasync(log->fd))
			return -errno;
		log->synced_bytes = (uint64_t)st.st_size;
	}
	return new &&fsync(dirfd(l->dir)) ? -errno : 0;
}
