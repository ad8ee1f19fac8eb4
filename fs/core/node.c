/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/node.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uuid/uuid.h>

#include "fs/base/log.h"

int f3_node_make_dirs(const char *path)
{
	char part[PATH_MAX];
	size_t len = strlen(path);

	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, len + 1);
	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(part, 0755) && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(part, 0700) && errno != EEXIST)
		return -errno;
	return 0;
}

int f3_node_lock(const char *cache_dir, struct f3_err *err)
{
	char path[PATH_MAX], owner[32] = "";
	ssize_t n;
	int fd, r = f3_node_make_dirs(cache_dir);

	if (r)
		return f3_err_set(err, r, "cache directory %s cannot be made: %s", cache_dir,
				  strerror(-r));
	if (snprintf(path, sizeof(path), "%s/lock", cache_dir) >= (int)sizeof(path))
		return f3_err_set(err, -ENAMETOOLONG, "cache directory's path is too long");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		r = -errno;
		return f3_err_set(err, r, "cache directory %s is not writable: %s", cache_dir,
				  strerror(-r));
	}
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		n = pread(fd, owner, sizeof(owner) - 1, 0);
		owner[n > 0 ? n : 0] = '\0';
		owner[strcspn(owner, "\n")] = '\0';
		close(fd);
		return f3_err_set(
			err, r,
			"cache directory %s is in use by another f3d (process %s): give this "
			"one a cache directory of its own",
			cache_dir, owner[0] ? owner : "unknown");
	}
	n = snprintf(owner, sizeof(owner), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) || pwrite(fd, owner, (size_t)n, 0) != n) {
		r = errno ? -errno : -EIO;
		close(fd);
		return f3_err_set(err, r, "%s cannot be written: %s", path, strerror(-r));
	}
	return fd;
}

/* Of the first form, with a device number, that differs by now: disks change theirs from boot to
 * boot. */
static bool same_but_device(const char *was, const char *print)
{
	const char *machine = strchr(was, ' '), *ino = strrchr(was, ':');
	size_t len = machine ? (size_t)(machine - was) + 1 : 0;
	size_t digits = ino ? strlen(ino + 1) : 0;

	return len && digits && ino > machine && !strchr(was, '@') && !strncmp(was, print, len) &&
	       !strncmp(ino + 1, print + len, digits) && print[len + digits] == '@';
}

/* "MACHINE-ID INODE@BIRTH" of an open identity file. */
static int fingerprint(int fd, char *out, size_t size)
{
	char machine[64] = "none";
	struct statx st = { 0 };
	int id = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);

	if (id >= 0) {
		ssize_t n = read(id, machine, sizeof(machine) - 1);

		machine[n > 0 ? n : 0] = '\0';
		machine[strcspn(machine, "\n ")] = '\0';
		close(id);
	}
	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st))
		return -errno;
	if (!(st.stx_mask & STATX_BTIME))
		st.stx_btime = (struct statx_timestamp){ 0 };
	snprintf(out, size, "%s %llu@%lld.%09u", machine, (unsigned long long)st.stx_ino,
		 (long long)st.stx_btime.tv_sec, (unsigned)st.stx_btime.tv_nsec);
	return 0;
}

static bool no_uuid(const uint8_t uuid[16])
{
	static const uint8_t none[16];

	return !memcmp(uuid, none, sizeof(none));
}

static int write_identity(int fd, const uint8_t uuid[16], const char *print, const uint8_t was[16])
{
	char text[37], old[37] = "", line[256];
	int n;

	uuid_unparse_lower(uuid, text);
	if (!no_uuid(was))
		uuid_unparse_lower(was, old);
	n = snprintf(line, sizeof(line), "%s\n%s\n%s%s", text, print, old, old[0] ? "\n" : "");
	if (ftruncate(fd, 0) || pwrite(fd, line, (size_t)n, 0) != n || fsync(fd))
		return errno ? -errno : -EIO;
	return 0;
}

/* The next line of *at, which moves on; "" at the end. */
static char *next_line(char **at)
{
	char *line = *at, *nl = strchr(line, '\n');

	*at = nl ? nl + 1 : line + strlen(line);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* 0, or -errno if it cannot be written. */
static int identity(int fd, const char *cache_dir, uint8_t ret_uuid[16], uint8_t ret_was[16])
{
	char text[256] = "", print[160], *at = text;
	const char *uuid, *was;
	ssize_t n;
	int r = fingerprint(fd, print, sizeof(print));

	if (r)
		return r;
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	uuid = next_line(&at);
	was = next_line(&at);
	memset(ret_was, 0, 16);
	if (!uuid_parse(uuid, ret_uuid)) {
		(void)uuid_parse(next_line(&at), ret_was);
		if (!strcmp(was, print))
			return 0;
		if (same_but_device(was, print))
			return write_identity(fd, ret_uuid, print, ret_was);
		memcpy(ret_was, ret_uuid, 16);
	}
	if (text[0])
		f3_log_warn("cache directory %s was copied or restored from elsewhere: this node "
			    "takes a new identity",
			    cache_dir);
	uuid_generate(ret_uuid);
	return write_identity(fd, ret_uuid, print, ret_was);
}

int f3_node_identity(const char *cache_dir, uint8_t ret_uuid[16], uint8_t ret_was[16],
		     struct f3_err *err)
{
	char path[PATH_MAX];
	int r, fd;

	if (snprintf(path, sizeof(path), "%s/node", cache_dir) >= (int)sizeof(path))
		return f3_err_set(err, -ENAMETOOLONG, "cache directory's path is too long");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) {
		r = -errno;
		return f3_err_set(err, r, "%s cannot be opened: %s", path, strerror(-r));
	}
	r = identity(fd, cache_dir, ret_uuid, ret_was);
	close(fd);
	return r ? f3_err_set(err, r, "%s cannot be written: %s", path, strerror(-r)) : 0;
}
