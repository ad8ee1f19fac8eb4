/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/base/hash.h"

/* ---- Keys ---------------------------------------------------------------------------------- */

static bool in_area(const char *key, const char *area)
{
	size_t len = strlen(area);

	return !strncmp(key, area, len) && (!key[len] || key[len] == '/');
}

int f3_objfile_key_check(const char *key)
{
	const char *part = key;

	if (!*key)
		return 0;
	for (;;) {
		size_t len = strcspn(part, "/");

		if (!len || (len == 1 && part[0] == '.') || (len == 2 && !memcmp(part, "..", 2)))
			return -EINVAL;
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		if (!part[len])
			break;
		part += len + 1;
	}
	if (in_area(key, ".f3") && !in_area(key, F3_OBJ_AREA_PROBE) &&
	    !in_area(key, F3_OBJ_AREA_STAGE) && !in_area(key, F3_OBJ_AREA_COMMIT))
		return -EINVAL;
	return 0;
}

/* ---- From the root to a directory ---------------------------------------------------------- */

/* One missing directory. Synced, so that no object is lost with its path; readable by others
 * whatever the umask is. */
static int make_dir(int fd, const char *name, int flags)
{
	bool made = !mkdirat(fd, name, 0700);
	int next, r = 0;

	if (!made && errno != EEXIST)
		return -errno;
	next = openat(fd, name, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (next < 0)
		return errno == ELOOP ? -ENOTDIR : -errno;
	if (made && fchmod(next, 0755) < 0)
		r = -errno;
	if (!r)
		r = f3_objfile_sync_dir(fd);
	if (r < 0) {
		close(next);
		return r;
	}
	return next;
}

/* Component by component, each opened without following a link: what openat2 does at once. With
 * `make`, missing directories are made. */
static int walk(int root_fd, const char *path, size_t len, int flags, bool make)
{
	char name[NAME_MAX + 1];
	int fd = root_fd, next;

	while (len) {
		size_t n = strcspn(path, "/");

		if (n > len)
			n = len;
		if (n > NAME_MAX) {
			next = -ENAMETOOLONG;
			goto out;
		}
		memcpy(name, path, n);
		name[n] = 0;
		path += n + (n < len);
		len -= n + (n < len);
		next = openat(fd, name, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0 && errno == ENOENT && make) {
			next = make_dir(fd, name, flags);
			if (next < 0)
				goto out;
		}
		if (next < 0) {
			next = errno == ELOOP ? -ENOTDIR : -errno;
			goto out;
		}
		if (fd != root_fd)
			close(fd);
		fd = next;
	}
	return fd;
out:
	if (fd != root_fd)
		close(fd);
	return next;
}

int f3_objfile_open_dir(const struct f3_objfile_root *root, const char *path, size_t len, int flags)
{
	/* Denied once by a seccomp filter or an old kernel: denied for good. */
	static atomic_bool no_openat2;
	struct open_how how = {
		.flags = (uint64_t)flags | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	char copy[F3_OBJ_KEY_MAX + 1];
	int fd;

	if (!len) {
		fd = openat(root->fd, ".", flags | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	if (len >= sizeof(copy))
		return -ENAMETOOLONG;
	if (!atomic_load_explicit(&no_openat2, memory_order_relaxed)) {
		memcpy(copy, path, len);
		copy[len] = 0;
		fd = (int)syscall(SYS_openat2, root->fd, copy, &how, sizeof(how));
		if (fd >= 0)
			return fd;
		if (errno != ENOSYS && errno != EPERM && errno != E2BIG)
			return errno == ELOOP ? -ENOTDIR : -errno;
		/* EPERM may be the directory's own: the walk will tell, and this is only speed */
		if (errno != EPERM)
			atomic_store_explicit(&no_openat2, true, memory_order_relaxed);
	}
	return walk(root->fd, path, len, flags, false);
}

static const char *last_component(const char *key, size_t *ret_parent_len)
{
	const char *slash = strrchr(key, '/');

	*ret_parent_len = slash ? (size_t)(slash - key) : 0;
	return slash ? slash + 1 : key;
}

int f3_objfile_parent(const struct f3_objfile_root *root, const char *key, int flags, int *ret_fd,
		      const char **ret_name)
{
	size_t len;
	const char *name = last_component(key, &len);
	int fd = f3_objfile_open_dir(root, key, len, flags);

	if (fd < 0)
		return fd;
	*ret_fd = fd;
	*ret_name = *name ? name : ".";
	return 0;
}

int f3_objfile_parent_make(const struct f3_objfile_root *root, const char *key, int *ret_fd,
			   const char **ret_name)
{
	size_t len;
	const char *name = last_component(key, &len);
	int fd = -ENOENT;

	/* A directory made here may be removed by others before the next one is made in it. */
	for (int tries = 0; fd == -ENOENT && tries < 4; tries++) {
		fd = f3_objfile_open_dir(root, key, len, O_RDONLY);
		if (fd == -ENOENT)
			fd = walk(root->fd, key, len, O_RDONLY, true);
	}
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	*ret_name = name;
	return 0;
}

/* A lease of another program (a file server's oplock) makes O_NONBLOCK fail: wait for it, on
 * exactly the inode that was seen to be a plain file. */
static int open_leased(int dir_fd, const char *name)
{
	char path[64];
	struct stat st;
	int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		errno = EAGAIN;
		return -1;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	close(fd);
	return r;
}

#define OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

int f3_objfile_open_name(int dir_fd, const char *name, struct stat *ret_st)
{
	/* The name may become something else between looking and opening; O_NONBLOCK and the
	 * second look make that harmless, the loop makes it invisible. */
	for (int tries = 0; tries < 8; tries++) {
		struct stat st;
		int fd;

		if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		*ret_st = st;
		if (S_ISLNK(st.st_mode))
			return -ELOOP;
		if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
			return -ENXIO;
		/* atime is an attribute of the object, not of our reading it */
		fd = openat(dir_fd, name, OPEN_FLAGS | O_NOATIME);
		if (fd < 0 && errno == EPERM)
			fd = openat(dir_fd, name, OPEN_FLAGS);
		if (fd < 0 && errno == EAGAIN)
			fd = open_leased(dir_fd, name);
		if (fd < 0) {
			if (errno == ELOOP || errno == ENXIO || errno == EAGAIN)
				continue;
			return -errno;
		}
		if (fstat(fd, &st) < 0) {
			int r = -errno;

			close(fd);
			return r;
		}
		if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
			*ret_st = st;
			return fd;
		}
		close(fd);
	}
	return -EAGAIN;
}

int f3_objfile_sync_dir(int fd)
{
	/* EINVAL: a file system whose directories cannot be synced and need not be */
	return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

/* ---- Gates --------------------------------------------------------------------------------- */

/* One set for the process, keyed by the directory's inode and the name in it: two volumes may
 * lead to the same file by different paths. Bits of one word, so taking two cannot deadlock. */
static pthread_mutex_t gates_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gates_cond = PTHREAD_COND_INITIALIZER;
static uint64_t gates_busy;

uint64_t f3_objfile_gate(int dir_fd, const char *name)
{
	struct stat st = { .st_ino = 0 };

	if (fstat(dir_fd, &st) < 0)
		return 1;
	return 1ull << (f3_hash64(name, strlen(name), st.st_ino ^ st.st_dev) % 64);
}

void f3_objfile_gates_enter(uint64_t gates)
{
	pthread_mutex_lock(&gates_mutex);
	while (gates_busy & gates)
		pthread_cond_wait(&gates_cond, &gates_mutex);
	gates_busy |= gates;
	pthread_mutex_unlock(&gates_mutex);
}

void f3_objfile_gates_leave(uint64_t gates)
{
	pthread_mutex_lock(&gates_mutex);
	gates_busy &= ~gates;
	pthread_cond_broadcast(&gates_cond);
	pthread_mutex_unlock(&gates_mutex);
}

/* ---- Renames ------------------------------------------------------------------------------- */

static bool flags_unknown(int error)
{
	return error == EINVAL || error == ENOSYS || error == EPERM || error == EOPNOTSUPP;
}

int f3_objfile_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	struct stat st;

	if (!renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE))
		return 0;
	if (!flags_unknown(errno))
		return -errno;
	/* NFS: link(2) does not replace either, but directories cannot be linked */
	if (!linkat(from_dir, from, to_dir, to, 0)) {
		unlinkat(from_dir, from, 0);
		return 0;
	}
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
		return -errno;
	/* Nothing else is left: the gates cover our own, others could come between. */
	if (!fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW))
		return -EEXIST;
	if (errno != ENOENT)
		return -errno;
	return renameat(from_dir, from, to_dir, to) < 0 ? -errno : 0;
}

int f3_objfile_rename_exchange(int from_dir, const char *from, int to_dir, const char *to)
{
	if (!renameat2(from_dir, from, to_dir, to, RENAME_EXCHANGE))
		return 0;
	return flags_unknown(errno) ? -EOPNOTSUPP : -errno;
}

/* ---- .f3/tmp ------------------------------------------------------------------------------- */

void f3_objfile_tmp_name(struct f3_objfile_root *root, char ret_name[F3_OBJFILE_TMP_NAME_BYTES])
{
	snprintf(ret_name, F3_OBJFILE_TMP_NAME_BYTES, "%s.%" PRIx64, root->instance,
		 atomic_fetch_add(&root->counter, 1));
}

int f3_objfile_tmp_create(struct f3_objfile_root *root, char ret_name[F3_OBJFILE_TMP_NAME_BYTES])
{
	int fd;

	f3_objfile_tmp_name(root, ret_name);
	fd = openat(root->tmp_fd, ret_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	return fd < 0 ? -errno : fd;
}

static int remove_tree(int dir_fd, const char *name, int depth)
{
	struct dirent *d;
	DIR *dir;
	int fd;

	if (!unlinkat(dir_fd, name, 0))
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (!unlinkat(dir_fd, name, AT_REMOVEDIR))
		return 0;
	if (errno != ENOTEMPTY || !depth)
		return -errno;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int r = -errno;

		if (fd >= 0)
			close(fd);
		return r;
	}
	while ((d = readdir(dir))) {
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			remove_tree(fd, d->d_name, depth - 1);
	}
	closedir(dir);
	return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int f3_objfile_remove(int dir_fd, const char *name)
{
	return remove_tree(dir_fd, name, 2);
}

/*
 * A running store holds a lock on a file in .f3/tmp, and its temporary files begin with that
 * file's name. Whoever can take the lock knows that the owner is gone. The name is ours only when
 * it is locked and still there: another store may have taken it for one left behind.
 */
int f3_objfile_instance_start(struct f3_objfile_root *root)
{
	for (int tries = 0; tries < 16; tries++) {
		struct stat st;
		uint64_t r;
		int fd;

		if (getrandom(&r, sizeof(r), 0) != sizeof(r))
			return -EIO;
		snprintf(root->instance, sizeof(root->instance), "%016" PRIx64, r);
		fd = openat(root->tmp_fd, root->instance,
			    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0) {
			if (errno == EEXIST)
				continue;
			return -errno;
		}
		/* Other errors: no locks here (some network mounts), then nobody cleans up. */
		if ((flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) ||
		    fstat(fd, &st) < 0 || !st.st_nlink) {
			close(fd);
			continue;
		}
		root->lock_fd = fd;
		return 0;
	}
	return -EBUSY;
}

void f3_objfile_instance_stop(struct f3_objfile_root *root)
{
	if (root->lock_fd < 0)
		return;
	unlinkat(root->tmp_fd, root->instance, 0);
	close(root->lock_fd);
	root->lock_fd = -1;
}

/* Everything of one dead store. Its lock file goes last: until then nobody else cleans there. */
static void clean_instance(const struct f3_objfile_root *root, const char *instance,
			   const struct f3_objfile_names *names)
{
	size_t len = strlen(instance);
	int fd = openat(root->tmp_fd, instance, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && errno != ENOENT)
		return;
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return;
	}
	for (size_t i = 0; i < names->n; i++) {
		if (!strncmp(names->name[i], instance, len) && names->name[i][len] == '.')
			f3_objfile_remove(root->tmp_fd, names->name[i]);
	}
	if (fd >= 0) {
		unlinkat(root->tmp_fd, instance, 0);
		close(fd);
	}
}

void f3_objfile_tmp_clean(const struct f3_objfile_root *root)
{
	char instance[F3_OBJFILE_INSTANCE_BYTES] = "";
	struct f3_objfile_names *names;

	/* Sorted, so that one store's names follow each other. What does not fit is for the
	 * next start. */
	if (f3_objfile_names_read(root->tmp_fd, NULL, 10000, &names) < 0)
		return;
	for (size_t i = 0; i < names->n; i++) {
		const char *name = names->name[i];
		size_t len = strcspn(name, ".");

		if (len != F3_OBJFILE_INSTANCE_BYTES - 1 || !strncmp(name, instance, len) ||
		    !strncmp(name, root->instance, len))
			continue;
		memcpy(instance, name, len);
		instance[len] = 0;
		clean_instance(root, instance, names);
	}
	f3_objfile_names_free(names);
}
