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

/* "MACHINE-ID DEVICE:INODE" of an open identity file. */
static int fingerprint(int fd, char *out, size_t size)
{
	char machine[64] = "none";
	struct stat st;
	int id = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);

	if (id >= 0) {
		ssize_t n = read(id, machine, sizeof(machine) - 1);

		machine[n > 0 ? n : 0] = '\0';
		machine[strcspn(machine, "\n ")] = '\0';
		close(id);
	}
	if (fstat(fd, &st))
		return -errno;
	snprintf(out, size, "%s %llx:%llu", machine, (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	return 0;
}

static int write_identity(int fd, const uint8_t uuid[16], const char *print)
{
	char text[37], line[256];
	int n;

	uuid_unparse_lower(uuid, text);
	n = snprintf(line, sizeof(line), "%s\n%s\n", text, print);
	if (ftruncate(fd, 0) || pwrite(fd, line, (size_t)n, 0) != n || fsync(fd))
		return errno ? -errno : -EIO;
	return 0;
}

int f3_node_identity(const char *cache_dir, uint8_t ret_uuid[16], struct f3_err *err)
{
	char path[PATH_MAX], text[256] = "", print[160], *nl, *was;
	ssize_t n;
	int r, fd;

	if (snprintf(path, sizeof(path), "%s/node", cache_dir) >= (int)sizeof(path))
		return f3_err_set(err, -ENAMETOOLONG, "cache directory's path is too long");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) {
		r = -errno;
		return f3_err_set(err, r, "%s cannot be opened: %s", path, strerror(-r));
	}
	r = fingerprint(fd, print, sizeof(print));
	if (r)
		goto out;
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	nl = strchr(text, '\n');
	if (nl) {
		*nl = '\0';
		was = nl + 1;
		was[strcspn(was, "\n")] = '\0';
		if (uuid_parse(text, ret_uuid) == 0 && !strcmp(was, print))
			goto out;
		f3_log_warn(
			"cache directory %s was copied or restored from elsewhere: this node takes a "
			"new identity",
			cache_dir);
	}
	uuid_generate(ret_uuid);
	r = write_identity(fd, ret_uuid, print);
out:
	close(fd);
	return r ? f3_err_set(err, r, "%s cannot be written: %s", path, strerror(-r)) : 0;
}
