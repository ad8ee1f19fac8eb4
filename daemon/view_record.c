/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/view_record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/file.h"
#include "fs/base/log.h"

#define RECORD_MAX (64u << 10)
#define NEW_NAME ".new.%u" /* no view's: those do not begin with a dot */

static void boot_id(char out[64])
{
	if (f3_file_read("/proc/sys/kernel/random/boot_id", out, 64) <= 0)
		snprintf(out, 64, "unknown");
	out[strcspn(out, "\n")] = '\0';
}

int f3_view_records_open(const char *cache_dir)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/views", cache_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static json_t *to_json(const struct f3_view_record *rec)
{
	json_t *json = json_object();
	char boot[64];
	int r = json ? f3_view_describe(&rec->spec, json) : -ENOMEM;

	boot_id(boot);
	if (!r)
		r = json_object_set_new(json, "boot", json_string(boot)) |
		    json_object_set_new(json, "pid_started",
					json_integer((json_int_t)rec->pid_started)) |
		    json_object_set_new(json, "since", json_integer(rec->since_real_ns)) |
		    json_object_set_new(json, "made", json_boolean(rec->made));
	if (!r)
		return json;
	json_decref(json);
	return NULL;
}

static int write_text(int dir_fd, const char *name, const char *text)
{
	size_t len = strlen(text);
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;
	int r;

	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	r = n < 0 ? -errno : (size_t)n < len ? -ENOSPC : 0;
	if (close(fd) && !r)
		r = -errno;
	return r;
}

int f3_view_record_write(int dir_fd, const struct f3_view_record *rec)
{
	static _Atomic unsigned serial;
	json_t *json = to_json(rec);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL, name[32];
	int r = -ENOMEM;

	snprintf(name, sizeof(name), NEW_NAME, serial++);
	if (text)
		r = write_text(dir_fd, name, text);
	if (!r && renameat(dir_fd, name, dir_fd, rec->spec.name))
		r = -errno;
	if (r)
		(void)unlinkat(dir_fd, name, 0);
	free(text);
	json_decref(json);
	return r;
}

int f3_view_record_remove(int dir_fd, const char *name)
{
	return unlinkat(dir_fd, name, 0) && errno != ENOENT ? -errno : 0;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static char *read_text(int dir_fd, const char *name, size_t *ret_len)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char *text = fd < 0 ? NULL : malloc(RECORD_MAX);
	ssize_t n = text ? read(fd, text, RECORD_MAX) : -1;

	if (fd >= 0)
		close(fd);
	if (n <= 0 || n == RECORD_MAX) {
		free(text);
		return NULL;
	}
	*ret_len = (size_t)n;
	return text;
}

static int from_json(const json_t *json, const char *name, struct f3_view_record *rec)
{
	const json_t *pid_started = json_object_get(json, "pid_started");
	const json_t *since = json_object_get(json, "since");

	if (f3_view_parse(json, false, &rec->spec, NULL))
		return -EINVAL;
	if (strcmp(rec->spec.name, name) != 0) {
		f3_view_spec_done(&rec->spec);
		return -EINVAL;
	}
	rec->pid_started = (uint64_t)json_integer_value(pid_started);
	rec->since_real_ns = json_integer_value(since);
	rec->made = json_is_true(json_object_get(json, "made"));
	return 0;
}

/* 1: of this boot. 0: it was one. -EINVAL */
static int read_one(int dir_fd, const char *name, const char *boot, struct f3_view_record *rec)
{
	size_t len = 0;
	char *text = read_text(dir_fd, name, &len);
	json_t *json = text ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *of = json_string_value(json_object_get(json, "boot"));
	int r = json ? from_json(json, name, rec) : -EINVAL;

	if (!r)
		r = of && !strcmp(of, boot);
	json_decref(json);
	free(text);
	return r;
}

int f3_view_records_read(int dir_fd, int (*fn)(void *arg, const struct f3_view_record *rec),
			 void (*gone)(void *arg, const struct f3_view_record *rec), void *arg)
{
	const struct dirent *e;
	int copy = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0), r = 0;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	char boot[64];

	if (!dir) {
		r = -errno;
		if (copy >= 0)
			close(copy);
		return r;
	}
	boot_id(boot);
	while (!r && (e = readdir(dir)) != NULL) {
		struct f3_view_record rec;
		int known;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		known = e->d_name[0] == '.' ? -EINVAL : read_one(dir_fd, e->d_name, boot, &rec);
		if (known > 0) {
			r = fn(arg, &rec);
			f3_view_spec_done(&rec.spec);
			continue;
		}
		if (known < 0 && e->d_name[0] != '.')
			f3_log_warn("the record of view %.100s cannot be understood: dropped",
				    e->d_name);
		(void)f3_view_record_remove(dir_fd, e->d_name);
		if (!known) {
			gone(arg, &rec);
			f3_view_spec_done(&rec.spec);
		}
	}
	closedir(dir);
	return r;
}
