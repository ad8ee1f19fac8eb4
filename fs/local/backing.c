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
#include "fs/base/debug.h"

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

/* To read or sync it. Descriptor or -errno. */
static int open_dir_in(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

static int sync_dir(int dirfd, const char *path)
{
	int fd = open_dir_in(dirfd, path), r = 0;

	if (fd < 0)
		return fd;
	if (fsync(fd))
		r = -errno;
	close(fd);
	return r;
}

static bool is_shard_name(const char *name)
{
	return strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2;
}

/* Calls fn for what is in a directory until it returns non-zero. Takes fd over, which may be the
 * error of opening it. */
static int each_entry(int fd, int (*fn)(void *arg, int dirfd, const char *name), void *arg)
{
	struct dirent *entry;
	DIR *dir;
	int r = 0;

	if (fd < 0)
		return fd;
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
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = fn(arg, fd, entry->d_name);
	}
	closedir(dir);
	return r;
}

/* Shards are made when their first file is. What has the name of one must be one: a symbolic link
 * would lead files elsewhere. */
static int check_shard(void *arg, int dirfd, const char *name)
{
	struct stat st;

	(void)arg;
	if (!is_shard_name(name))
		return 0;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int open_store(struct f3_backing_store *s, const char *dir, struct f3_err *err)
{
	struct stat st;
	int r;

	if (mkdir(dir, 0700) && errno != EEXIST)
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
	r = each_entry(open_dir_in(s->dirfd, "."), check_shard, NULL);
	if (r)
		return f3_err_set(err, r, "%s: cannot use the directories in it: %s", dir,
				  strerror(-r));
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
	r = open_store(s, dir, err);
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
	int fd, error;

	if (f3_fault("backing.make", &error))
		return error;
	f3_backing_name(&name, ino, number);
	flags |= O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	fd = openat(s->dirfd, name.path, flags, 0600);
	if (fd < 0 && errno == ENOENT) {
		char shard[3] = { name.path[0], name.path[1], '\0' };

		if (!mkdirat(s->dirfd, shard, 0700) || errno == EEXIST)
			fd = openat(s->dirfd, name.path, flags, 0600);
	}
	if (fd >= 0)
		return fd;
	/* Somebody removed the store: nothing that a program's path has to do with. */
	return errno == ENOENT ? -EIO : -errno;
}

int f3_backing_create(struct f3_backing_store *s, uint64_t ino, uint32_t number)
{
	return f3_backing_make(s, ino, number, O_RDONLY);
}

int f3_backing_create_anew(struct f3_backing_store *s, uint64_t ino, uint32_t number)
{
	int fd = f3_backing_create(s, ino, number);

	if (fd != -EEXIST)
		return fd;
	f3_backing_unlink(s, ino, number);
	return f3_backing_create(s, ino, number);
}

int f3_backing_open_file(struct f3_backing_store *s, uint64_t ino, uint32_t number, int flags)
{
	struct f3_backing_name name;
	int fd, error;

	if (f3_fault("backing.open", &error))
		return error;
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
	int fd = -1, error;

	f3_backing_name(&name, ino, number);
	forget_synced(s, ino, number);
	if (f3_fault("backing.unlink", &error) ||
	    fstatat(s->dirfd, name.path, &st, AT_SYMLINK_NOFOLLOW))
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
	int error;

	if (f3_fault("backing.stat", &error))
		return error;
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

/* The names of the shard's files, of the shard, and of the store. */
static int sync_names(struct f3_backing_store *s, unsigned shard)
{
	char path[3];
	int r;

	snprintf(path, sizeof(path), "%02x", shard & 0xff);
	if (!f3_fault("backing.sync-names", &r))
		r = sync_dir(s->dirfd, path);
	if (!r && !s->shard_synced[shard]) {
		r = sync_dir(s->dirfd, ".");
		if (!r)
			r = sync_dir(s->dirfd, "..");
	}
	if (!r)
		s->shard_synced[shard] = true;
	return r;
}

int f3_backing_sync(struct f3_backing_store *s, uint64_t ino, uint32_t number, bool data_only)
{
	struct f3_io io = { .op = data_only ? F3_IO_FDATASYNC : F3_IO_FSYNC };
	int r;

	io.fd = f3_backing_open_file(s, ino, number, O_RDONLY);
	if (io.fd < 0)
		return io.fd;
	if (!f3_fault("backing.sync", &r))
		r = (int)f3_io_run(&io);
	close(io.fd);
	if (r || is_synced(s, ino, number))
		return r;

	r = sync_names(s, ino & (F3_BACKING_SHARDS - 1));
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
	int error;

	if (f3_fault("backing.set-times", &error))
		return error;
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
	unsigned shard;
};

static int visit_top(void *arg, int dirfd, const char *name)
{
	const struct visitor *v = arg;

	(void)dirfd;
	return is_shard_name(name) ? 0 : v->stranger(v->arg, name);
}

static int visit(void *arg, int dirfd, const char *name)
{
	const struct visitor *v = arg;
	char path[3 + NAME_MAX + 1];
	bool ours;
	struct stat st;
	uint64_t ino;
	uint32_t number;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	ours = parse_name(name, v->shard, &ino, &number) && S_ISREG(st.st_mode);
	if (ours)
		return v->file ? v->file(v->arg, ino, number, &st) : 0;
	snprintf(path, sizeof(path), "%02x/%s", v->shard & 0xff, name);
	return v->stranger ? v->stranger(v->arg, path) : 0;
}

static int visit_all(struct f3_backing_store *s, struct visitor *v)
{
	int fd, r = 0;

	if (v->stranger)
		r = each_entry(open_dir_in(s->dirfd, "."), visit_top, v);
	for (v->shard = 0; v->shard < F3_BACKING_SHARDS && !r; v->shard++) {
		char path[3];

		snprintf(path, sizeof(path), "%02x", v->shard & 0xff);
		fd = open_dir_in(s->dirfd, path);
		if (fd != -ENOENT)
			r = each_entry(fd, visit, v);
	}
	return r;
}

int f3_backing_each(struct f3_backing_store *s,
		    int (*fn)(void *arg, uint64_t ino, uint32_t number, const struct stat *st),
		    void *arg)
{
	struct visitor v = { .file = fn, .arg = arg };

	return visit_all(s, &v);
}

int f3_backing_each_stranger(struct f3_backing_store *s, int (*fn)(void *arg, const char *path),
			     void *arg)
{
	struct visitor v = { .stranger = fn, .arg = arg };

	return visit_all(s, &v);
}
