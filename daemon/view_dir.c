/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/view_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* More than that on one directory nobody has put there by accident. */
#define DEEP_MAX 64

int f3_view_dir_path(const char *run_dir, char *out, size_t size)
{
	char real[PATH_MAX];

	if (!realpath(run_dir, real))
		return -errno;
	return snprintf(out, size, "%s/views", real) < (int)size ? 0 : -ENAMETOOLONG;
}

/* ---- The mount ------------------------------------------------------------------------------- */

/* A bind of the directory on itself. As a copy of what it lies on it would be one with that: what is
 * mounted here would be there too, below this mount. So it is made private first. */
static int bind_itself(int fd)
{
	struct mount_attr attr = { .propagation = MS_PRIVATE };
	int tree = open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), r = 0;

	if (tree < 0)
		return -errno;
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) ||
	    move_mount(tree, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		r = -errno;
	close(tree);
	return r;
}

static int make_mount(const char *dir)
{
	struct statx st = { 0 };
	int fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st))
		r = -errno;
	else if (!(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		r = bind_itself(fd);
	close(fd);
	if (!r && mount(NULL, dir, NULL, MS_SHARED, NULL))
		r = -errno;
	return r;
}

int f3_view_dir_make(const char *dir, struct f3_err *err)
{
	int r;

	/* For who starts containers: a view may show what its parents would keep from others. */
	if (mkdir(dir, 0700) && errno != EEXIST)
		return f3_err_set(err, -errno, "%s cannot be made: %s", dir, strerror(errno));
	r = make_mount(dir);
	if (r == -ENOSYS)
		return f3_err_set(err, r, "views need Linux 5.12 or later");
	if (r)
		return f3_err_set(err, r, "%s cannot be a mount of its own: %s", dir, strerror(-r));
	return 0;
}

static bool is_empty(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	bool empty = d != NULL;

	while (empty && (e = readdir(d)) != NULL)
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	if (d)
		closedir(d);
	return empty;
}

void f3_view_dir_remove(const char *dir)
{
	if (is_empty(dir) && !umount2(dir, UMOUNT_NOFOLLOW))
		(void)rmdir(dir);
}

/* ---- What is mounted in it ------------------------------------------------------------------- */

/* A field of mountinfo: blanks, newlines and backslashes are there in octal. In place; where the next
 * field begins, or NULL. */
static char *next_field(char *at)
{
	char *to = at;

	for (; *at && *at != ' ' && *at != '\n'; at++) {
		unsigned c;

		if (*at == '\\' && sscanf(at + 1, "%3o", &c) == 1 && c && c < 256) {
			*to++ = (char)c;
			at += 3;
		} else {
			*to++ = *at;
		}
	}
	if (!*at)
		return NULL;
	*to = '\0';
	return at + 1;
}

/* "ID PARENT DEV ROOT MOUNTPOINT OPTIONS ... - TYPE SOURCE ..." */
static char *mountpoint_of(char *line, bool *ret_ours)
{
	char *at = line, *point = NULL;

	*ret_ours = strstr(line, " - fuse.f3 ") != NULL;
	for (int i = 0; i < 5 && at; i++) {
		point = at;
		at = next_field(at);
	}
	return at ? point : NULL;
}

int f3_view_dir_each(const char *dir, void (*fn)(void *arg, const char *name, bool ours), void *arg)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	size_t size = 0, n = strlen(dir);
	char *line = NULL;
	int r;

	if (!file)
		return -errno;
	while (getline(&line, &size, file) > 0) {
		bool ours;
		const char *at = mountpoint_of(line, &ours);

		if (at && !strncmp(at, dir, n) && at[n] == '/' && at[n + 1] &&
		    !strchr(at + n + 1, '/'))
			fn(arg, at + n + 1, ours);
	}
	r = ferror(file) ? -EIO : 0;
	free(line);
	fclose(file);
	return r;
}

int f3_view_dir_detach(const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	for (int i = 0; i < DEEP_MAX; i++)
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW))
			return errno == EINVAL || errno == ENOENT ? 0 : -errno;
	return -EBUSY;
}

static void detach_ours(void *arg, const char *name, bool ours)
{
	if (ours)
		(void)f3_view_dir_detach(arg, name);
}

void f3_view_dir_detach_all(const char *dir)
{
	(void)f3_view_dir_each(dir, detach_ours, (void *)dir);
}
