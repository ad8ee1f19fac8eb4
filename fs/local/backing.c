/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/local/backing_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/base/clock.h"

/* A file of this many bytes takes longer to free than to hand over to the ring. */
#define FREE_LATER_BYTES (256u << 10)

/* ---- Names ---------------------------------------------------------------------------------- */

void f3_backing_name(struct f3_backing_name *ret_name, uint64_t ino, uint32_t number)
{
	snprintf(ret_name->path, sizeof(ret_name->path), "%02x/%016" PRIx64 ".%08" PRIx32,
		 (unsigned)(ino & (F3_BACKING_SHARDS - 1)), ino, number);
}

/* The name in its shard, exactly as f3_backing_name writes it. */
static bool parse_name(const char *name, unsigned shard, uint64_t *ret_ino, uint32_t *ret_number)
{
	struct f3_backing_name again;
	uint64_t ino;
	uint32_t number;

	if (strlen(name) != 16 + 1 + 8 || strspn(name, "0123456789abcdef") != 16 ||
	    strspn(name + 17, "0123456789abcdef") != 8)
		return false;
	ino = strtoull(name, NULL, 16);
	number = (uint32_t)strtoul(name + 17, NULL, 16);
	f3_backing_name(&again, ino, number);
	if ((ino & (F3_BACKING_SHARDS - 1)) != shard || strcmp(again.path + 3, name) != 0)
		return false;
	*ret_ino = ino;
	*ret_number = number;
	return true;
}

/* ---- The table of synced names ---------------------------------------------------------------- */

static struct f3_backing_synced *synced_slot(struct f3_backing_store *s, uint64_t ino,
					     uint32_t number)
{
	uint64_t mixed = (ino + ((uint64_t)number << 40)) * UINT64_C(0x9e3779b97f4a7c15);

	return &s->synced[(mixed >> 32) & (F3_BACKING_SYNCED - 1)];
}

static bool is_synced(struct f3_backing_store *s, uint64_t ino, uint32_t number)
{
	struct f3_backing_synced *slot = synced_slot(s, ino, number);
	bool yes;

	f3_lock(&s->lock);
	yes = slot->ino == ino && slot->number_1 == (uint64_t)number + 1;
	f3_unlock(&s->lock);
	return yes;
}

static void note_synced(struct f3_backing_store *s, uint64_t ino, uint32_t number)
{
	struct f3_backing_synced *slot = synced_slot(s, ino, number);

	f3_lock(&s->lock);
	slot->ino = ino;
	slot->number_1 = (uint64_t)number + 1;
	f3_unlock(&s->lock);
}

static void forget_synced(struct f3_backing_store *s, uint64_t ino, uint32_t number)
{
	struct f3_backing_synced *slot = synced_slot(s, ino, number);

	f3_lock(&s->lock);
	if (slot->ino == ino && slot->number_1 == (uint64_t)number + 1)
		slot->number_1 = 0;
	f3_unlock(&s->lock);
}

/* ---- Life ------------------------------------------------------------------------------------- */

static int sync_dir(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd))
		r = -errno;
	close(fd);
	return r;
}

static int make_shards(struct f3_backing_store *s, bool *ret_made)
{
	for (unsigned shard = 0; shard < F3_BACKING_SHARDS; shard++) {
		struct stat st;
		char name[3];

		snprintf(name, sizeof(name), "%02x", shard);
		if (!mkdirat(s->dirfd, name, 0700)) {
			*ret_made = true;
			continue;
		}
		if (errno != EEXIST)
			return -errno;
		if (fstatat(s->dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
			return -errno;
		if (!S_ISDIR(st.st_mode))
			return -ENOTDIR;
	}
	return 0;
}

static int open_dir(struct f3_backing_store *s, const char *dir, struct f3_err *err)
{
	bool made = false;
	struct stat st;
	int r;

	if (!mkdir(dir, 0700))
		made = true;
	else if (errno != EEXIST)
		return f3_err_set(err, -errno, "%s: cannot make the directory: %s", dir,
				  strerror(errno));
	s->dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->dirfd < 0 || fstat(s->dirfd, &st))
		return f3_err_set(err, -errno, "%s: cannot open the directory: %s", dir,
				  strerror(errno));
	/* Anybody else who could write here could also put files under our names. */
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return f3_err_set(
			err, -EPERM,
			"%s: must belong to the daemon's user and be writable by nobody else", dir);
	r = make_shards(s, &made);
	if (r)
		return f3_err_set(err, r, "%s: cannot make the directories in it: %s", dir,
				  strerror(-r));
	if (made) {
		r = sync_dir(s->dirfd, ".");
		if (!r)
			r = sync_dir(s->dirfd, "..");
		if (r)
			return f3_err_set(err, r, "%s: cannot sync: %s", dir, strerror(-r));
	}
	r = f3_backing_caps_probe(s->dirfd, &s->caps);
	if (r)
		return f3_err_set(err, r, "%s: cannot make a file to try things with: %s", dir,
				  strerror(-r));
	return 0;
}

int f3_backing_open(const char *dir, struct f3_ring *ring, struct f3_backing_store **ret_s,
		    struct f3_err *err)
{
	struct f3_backing_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return f3_err_set(err, -ENOMEM, "%s: no memory", dir);
	f3_lock_init(&s->lock, F3_RANK_LOCAL);
	s->dirfd = -1;
	s->ring = ring;
	/* A writer who opens a file while it is probed makes the kernel send this to the holder of
	 * the lease; unhandled it kills. */
	signal(SIGIO, SIG_IGN);
	r = open_dir(s, dir, err);
	if (r) {
		f3_backing_close(s);
		return r;
	}
	*ret_s = s;
	return 0;
}

void f3_backing_close(struct f3_backing_store *s)
{
	if (!s)
		return;
	if (s->dirfd >= 0)
		close(s->dirfd);
	f3_lock_done(&s->lock);
	free(s);
}

const struct f3_backing_caps *f3_backing_caps(const struct f3_backing_store *s)
{
	return &s->caps;
}

int f3_backing_dirfd(const struct f3_backing_store *s)
{
	return s->dirfd;
}

/* ---- Single files ------------------------------------------------------------------------------ */

int f3_backing_make(struct f3_backing_store *s, uint64_t ino, uint32_t number, int flags)
{
	struct f3_backing_name name;
	int fd;

	f3_backing_name(&name, ino, number);
	fd = openat(s->dirfd, name.path, flags | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		return fd;
	/* Somebody removed the shard: nothing that a program's path has to do with. */
	return errno == ENOENT ? -EIO : -errno;
}

int f3_backing_create(struct f3_backing_store *s, uint64_t ino, uint32_t number)
{
	return f3_backing_make(s, ino, number, O_RDONLY);
}

int f3_backing_open_file(struct f3_backing_store *s, uint64_t ino, uint32_t number, int flags)
{
	struct f3_backing_name name;
	int fd;

	f3_backing_name(&name, ino, number);
	fd = openat(s->dirfd, name.path, flags | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static void freed(struct f3_io *io)
{
	free(io);
}

/* Closes the last descriptor of a deleted file where nobody waits for it. The caller may hold
 * locks, so he does not wait for room in the ring either. */
static void close_later(struct f3_backing_store *s, int fd)
{
	struct f3_io *io = calloc(1, sizeof(*io));

	if (io) {
		io->op = F3_IO_CLOSE;
		io->fd = fd;
		io->done = freed;
		if (f3_ring_try_submit(s->ring, io))
			return;
		free(io);
	}
	close(fd);
}

void f3_backing_unlink(struct f3_backing_store *s, uint64_t ino, uint32_t number)
{
	struct f3_backing_name name;
	struct stat st;
	int fd = -1;

	f3_backing_name(&name, ino, number);
	forget_synced(s, ino, number);
	if (fstatat(s->dirfd, name.path, &st, AT_SYMLINK_NOFOLLOW))
		return;
	/* An O_PATH descriptor keeps the file, but is neither a reader nor a writer of it. */
	if ((uint64_t)st.st_blocks * 512 >= FREE_LATER_BYTES)
		fd = openat(s->dirfd, name.path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	unlinkat(s->dirfd, name.path, 0);
	if (fd >= 0)
		close_later(s, fd);
}

int f3_backing_stat(struct f3_backing_store *s, uint64_t ino, uint32_t number, struct stat *ret_st)
{
	struct f3_backing_name name;
	struct stat st;

	f3_backing_name(&name, ino, number);
	if (fstatat(s->dirfd, name.path, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	*ret_st = st;
	return 0;
}

int f3_backing_probe(int fd)
{
	if (!fcntl(fd, F_SETLEASE, F_RDLCK)) {
		fcntl(fd, F_SETLEASE, F_UNLCK);
		return 1;
	}
	switch (errno) {
	case EAGAIN:
		return 0;
	case EINVAL:
	case ENOSYS:
	case ENOLCK:
		return -ENOTSUP;
	default:
		return -errno;
	}
}

int f3_backing_sync(struct f3_backing_store *s, uint64_t ino, uint32_t number, bool data_only)
{
	struct f3_io io = { .op = data_only ? F3_IO_FDATASYNC : F3_IO_FSYNC };
	struct f3_backing_name name;
	int r;

	io.fd = f3_backing_open_file(s, ino, number, O_RDONLY);
	if (io.fd < 0)
		return io.fd;
	r = (int)f3_io_run(&io);
	close(io.fd);
	if (r || is_synced(s, ino, number))
		return r;

	f3_backing_name(&name, ino, number);
	name.path[2] = '\0';
	r = sync_dir(s->dirfd, name.path);
	if (!r)
		note_synced(s, ino, number);
	return r;
}

int f3_backing_set_times(struct f3_backing_store *s, uint64_t ino, uint32_t number,
			 int64_t atime_ns, int64_t mtime_ns)
{
	const struct timespec times[2] = { f3_timespec_from_ns(atime_ns),
					   f3_timespec_from_ns(mtime_ns) };
	struct f3_backing_name name;

	f3_backing_name(&name, ino, number);
	return utimensat(s->dirfd, name.path, times, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

int f3_backing_space(struct f3_backing_store *s, uint64_t *ret_total, uint64_t *ret_free,
		     uint64_t *ret_files_free)
{
	struct statvfs st;

	if (fstatvfs(s->dirfd, &st))
		return -errno;
	*ret_total = (uint64_t)st.f_blocks * st.f_frsize;
	*ret_free = (uint64_t)st.f_bavail * st.f_frsize;
	*ret_files_free = st.f_files ? st.f_favail : *ret_free / 4096;
	return 0;
}

/* ---- All files --------------------------------------------------------------------------------- */

struct visitor {
	int (*file)(void *arg, uint64_t ino, uint32_t number, const struct stat *st);
	int (*stranger)(void *arg, const char *path);
	void *arg;
};

/* shard < 0: the store's directory itself. */
static int visit(const struct visitor *v, DIR *dir, int shard, const char *name)
{
	char path[3 + NAME_MAX + 1];
	struct stat st;
	uint64_t ino;
	uint32_t number;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return 0;
	if (shard >= 0) {
		bool ours = parse_name(name, (unsigned)shard, &ino, &number);

		if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW))
			return errno == ENOENT ? 0 : -errno;
		if (ours && S_ISREG(st.st_mode))
			return v->file ? v->file(v->arg, ino, number, &st) : 0;
		snprintf(path, sizeof(path), "%02x/%s", (unsigned)shard, name);
	} else {
		if (strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2)
			return 0;
		snprintf(path, sizeof(path), "%s", name);
	}
	return v->stranger ? v->stranger(v->arg, path) : 0;
}

static int visit_dir(struct f3_backing_store *s, const struct visitor *v, int shard)
{
	struct dirent *entry;
	char path[3] = ".";
	DIR *dir;
	int fd, r = 0;

	if (shard >= 0)
		snprintf(path, sizeof(path), "%02x", (unsigned)shard & 0xff);
	fd = openat(s->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	while (!r) {
		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			r = -errno;
			break;
		}
		r = visit(v, dir, shard, entry->d_name);
	}
	closedir(dir);
	return r;
}

static int visit_all(struct f3_backing_store *s, const struct visitor *v)
{
	int r = 0;

	for (int shard = -1; shard < (int)F3_BACKING_SHARDS && !r; shard++)
		r = visit_dir(s, v, shard);
	return r;
}

int f3_backing_each(struct f3_backing_store *s,
		    int (*fn)(void *arg, uint64_t ino, uint32_t number, const struct stat *st),
		    void *arg)
{
	const struct visitor v = { .file = fn, .arg = arg };

	return visit_all(s, &v);
}

int f3_backing_each_stranger(struct f3_backing_store *s, int (*fn)(void *arg, const char *path),
			     void *arg)
{
	const struct visitor v = { .stranger = fn, .arg = arg };

	return visit_all(s, &v);
}
