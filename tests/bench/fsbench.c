/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsbench: run one named workload on a directory, print one JSON line.
 *
 * Works only inside DIR/fsbench.<pid> (the large directory of ls-l and readdir
 * is DIR/fsbench.entries.<count> and stays, because making it takes longer than
 * measuring it).  Every workload is prepare (not timed), warm-up (not timed),
 * run (timed), clean up (not timed).
 *
 * Page cache: buffered figures are warm on purpose; a warm read is the one that
 * shows what the file system adds.  --direct gives the figures of the device.
 * posix_fadvise(DONTNEED) is not used: through a file system in user space it
 * drops another inode's pages than those that hold the data.
 *
 * What is read is checked against what was written (a stamp per block), so that
 * a fast wrong answer is a failure and not a figure.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define FSBENCH_PROCS_MAX 64
#define FSBENCH_SMALL_BYTES 4096
#define FSBENCH_STAMP UINT64_C(0x46334633f3f3beef)
#define FSBENCH_ENTRIES "fsbench.entries."

struct fsbench_options {
	const char *dir;
	double seconds; /* a timed loop ends after this, or ... */
	uint64_t count; /* ... after so many operations; 0: the workload's own */
	uint64_t file_bytes;
	size_t block_bytes;
	unsigned int procs;
	int cpu; /* pin to this CPU; -1: do not */
	int marker; /* told when the timed part starts and ends; -1: nobody */
	bool direct;
	bool keep;
};

/* One process's share; the run part of all of them is in shared memory. */
struct fsbench_worker {
	unsigned int index;
	uint64_t ops;
	uint64_t bytes;
	uint64_t ns;
	bool failed;
};

struct fsbench_workload {
	const char *name;
	uint64_t count; /* operations at most, or files prepared */
	bool bytes; /* the figure is bytes a second */
	void (*prepare)(const struct fsbench_options *o);
	void (*run)(const struct fsbench_options *o, struct fsbench_worker *w);
	const char *help;
};

static const char *self = "fsbench";

__attribute__((format(printf, 1, 2), noreturn)) static void fsbench_die(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	fprintf(stderr, "%s: ", self);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (saved)
		fprintf(stderr, ": %s", strerror(saved));
	fputc('\n', stderr);
	exit(1);
}

static uint64_t fsbench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t fsbench_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x;
}

/* Names are relative to the worker's directory, as in a program that works in its cwd. */
static const char *fsbench_name(char *buf, size_t size, const char *what, uint64_t i)
{
	snprintf(buf, size, "%s%07" PRIu64, what, i);
	return buf;
}

static void *fsbench_buffer(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		fsbench_die("buffer of %zu bytes", bytes);
	memset(p, 0x5a, bytes);
	return p;
}

static uint64_t fsbench_stamp(uint64_t offset)
{
	return FSBENCH_STAMP ^ (offset / FSBENCH_SMALL_BYTES);
}

static void fsbench_stamp_write(char *buf, size_t bytes, uint64_t offset)
{
	for (size_t i = 0; i < bytes; i += FSBENCH_SMALL_BYTES) {
		uint64_t stamp = fsbench_stamp(offset + i);

		memcpy(buf + i, &stamp, sizeof(stamp));
	}
}

static void fsbench_stamp_check(const char *buf, uint64_t offset)
{
	uint64_t stamp;

	memcpy(&stamp, buf, sizeof(stamp));
	if (stamp != fsbench_stamp(offset)) {
		errno = 0;
		fsbench_die("wrong data at offset %" PRIu64, offset);
	}
}

static int fsbench_open(const char *name, int flags)
{
	int fd = open(name, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		fsbench_die("open %s", name);
	return fd;
}

static void fsbench_close(int fd)
{
	if (close(fd) < 0)
		fsbench_die("close");
}

static void fsbench_write(int fd, const char *buf, size_t bytes, uint64_t offset)
{
	while (bytes > 0) {
		ssize_t n = pwrite(fd, buf, bytes, (off_t)offset);

		if (n <= 0)
			fsbench_die("write at %" PRIu64, offset);
		buf += n;
		bytes -= (size_t)n;
		offset += (uint64_t)n;
	}
}

static void fsbench_read(int fd, char *buf, size_t bytes, uint64_t offset)
{
	ssize_t n = pread(fd, buf, bytes, (off_t)offset);

	if (n != (ssize_t)bytes) {
		if (n >= 0)
			errno = 0;
		fsbench_die("read at %" PRIu64 ": %zd of %zu bytes", offset, n, bytes);
	}
	fsbench_stamp_check(buf, offset);
}

static void fsbench_small_file(const char *name, const char *buf)
{
	int fd = fsbench_open(name, O_WRONLY | O_CREAT | O_EXCL);

	fsbench_write(fd, buf, FSBENCH_SMALL_BYTES, 0);
	fsbench_close(fd);
}

/* Looks at the clock every few operations only: the clock must not be the workload. */
static bool fsbench_go_on(const struct fsbench_options *o, const struct fsbench_worker *w,
			  uint64_t start_ns, unsigned int every)
{
	if (w->ops % every != 0)
		return true;
	return (double)(fsbench_now_ns() - start_ns) < o->seconds * 1e9;
}

/* --- one large file --- */

static uint64_t fsbench_blocks(const struct fsbench_options *o)
{
	return o->file_bytes / o->block_bytes;
}

static int fsbench_flags(const struct fsbench_options *o, int flags)
{
	return o->direct ? flags | O_DIRECT : flags;
}

static void fsbench_large_prepare(const struct fsbench_options *o)
{
	size_t bytes = 1 << 20;
	char *buf = fsbench_buffer(bytes);
	int fd = fsbench_open("large", O_RDWR | O_CREAT | O_EXCL);

	for (uint64_t at = 0; at < o->file_bytes; at += bytes) {
		fsbench_stamp_write(buf, bytes, at);
		fsbench_write(fd, buf, bytes, at);
	}
	/* buffered runs end before write-back begins; a sync would only heat up the device */
	if (o->direct && fsync(fd) < 0)
		fsbench_die("fsync");
	for (uint64_t at = 0; at < o->file_bytes; at += bytes)
		fsbench_read(fd, buf, bytes, at);
	fsbench_close(fd);
	munmap(buf, bytes);
}

static void fsbench_seq_write(const struct fsbench_options *o, struct fsbench_worker *w)
{
	char *buf = fsbench_buffer(o->block_bytes);
	uint64_t start = fsbench_now_ns();

	/*
	 * A new file each pass: allocation belongs to the cost of writing, truncation
	 * does not.  Never O_TRUNC: ext4 then writes the file out at close, and the
	 * device is busy with that during the next workload.
	 */
	do {
		int fd = fsbench_open("seq", fsbench_flags(o, O_WRONLY | O_CREAT | O_EXCL));
		uint64_t pass = fsbench_now_ns();

		for (uint64_t at = 0; at < o->file_bytes; at += o->block_bytes) {
			fsbench_write(fd, buf, o->block_bytes, at);
			w->ops++;
			w->bytes += o->block_bytes;
		}
		w->ns += fsbench_now_ns() - pass;
		fsbench_close(fd);
		if (unlink("seq") < 0)
			fsbench_die("unlink");
	} while ((double)(fsbench_now_ns() - start) < o->seconds * 1e9);
}

static void fsbench_seq_read(const struct fsbench_options *o, struct fsbench_worker *w)
{
	char *buf = fsbench_buffer(o->block_bytes);
	int fd = fsbench_open("large", fsbench_flags(o, O_RDONLY));
	uint64_t start = fsbench_now_ns();
	uint64_t at = 0;

	do {
		fsbench_read(fd, buf, o->block_bytes, at);
		w->ops++;
		w->bytes += o->block_bytes;
		at += o->block_bytes;
		if (at >= o->file_bytes)
			at = 0;
	} while (fsbench_go_on(o, w, start, 8));
	w->ns = fsbench_now_ns() - start;
	fsbench_close(fd);
}

static void fsbench_rand_read(const struct fsbench_options *o, struct fsbench_worker *w)
{
	char *buf = fsbench_buffer(o->block_bytes);
	int fd = fsbench_open("large", fsbench_flags(o, O_RDONLY));
	uint64_t seed = 88172645463325252ULL + w->index;
	uint64_t blocks = fsbench_blocks(o);
	uint64_t start = fsbench_now_ns();

	do {
		fsbench_read(fd, buf, o->block_bytes,
			     fsbench_random(&seed) % blocks * o->block_bytes);
		w->ops++;
	} while (fsbench_go_on(o, w, start, 256));
	w->ns = fsbench_now_ns() - start;
	fsbench_close(fd);
}

static void fsbench_rand_write(const struct fsbench_options *o, struct fsbench_worker *w)
{
	char *buf = fsbench_buffer(o->block_bytes);
	int fd = fsbench_open("large", fsbench_flags(o, O_RDWR));
	uint64_t seed = 88172645463325252ULL + w->index;
	uint64_t blocks = fsbench_blocks(o);
	uint64_t start = fsbench_now_ns();
	uint64_t last = 0;

	do {
		last = fsbench_random(&seed) % blocks * o->block_bytes;
		fsbench_stamp_write(buf, o->block_bytes, last);
		fsbench_write(fd, buf, o->block_bytes, last);
		w->ops++;
	} while (fsbench_go_on(o, w, start, 256));
	w->ns = fsbench_now_ns() - start;
	fsbench_read(fd, buf, o->block_bytes, last);
	fsbench_close(fd);
}

static void fsbench_mmap_read(const struct fsbench_options *o, struct fsbench_worker *w)
{
	char *buf = fsbench_buffer(o->block_bytes);
	int fd = fsbench_open("large", O_RDONLY);
	uint64_t seed = 88172645463325252ULL + w->index;
	uint64_t blocks = fsbench_blocks(o);
	char *map = mmap(NULL, o->file_bytes, PROT_READ, MAP_SHARED, fd, 0);
	uint64_t start;

	if (map == MAP_FAILED)
		fsbench_die("mmap");
	for (uint64_t at = 0; at < o->file_bytes; at += FSBENCH_SMALL_BYTES)
		fsbench_stamp_check(map + at, at);
	start = fsbench_now_ns();
	do {
		uint64_t at = fsbench_random(&seed) % blocks * o->block_bytes;

		memcpy(buf, map + at, o->block_bytes);
		fsbench_stamp_check(buf, at);
		w->ops++;
	} while (fsbench_go_on(o, w, start, 256));
	w->ns = fsbench_now_ns() - start;
	munmap(map, o->file_bytes);
	fsbench_close(fd);
}

/* --- many small files --- */

static void fsbench_files_prepare(const struct fsbench_options *o)
{
	char *buf = fsbench_buffer(FSBENCH_SMALL_BYTES);
	char name[64];
	struct stat st;

	fsbench_stamp_write(buf, FSBENCH_SMALL_BYTES, 0);
	for (uint64_t i = 0; i < o->count; i++)
		fsbench_small_file(fsbench_name(name, sizeof(name), "f", i), buf);
	/* once after the last change: from here on nothing has touched them */
	for (uint64_t i = 0; i < o->count; i++)
		if (lstat(fsbench_name(name, sizeof(name), "f", i), &st) < 0)
			fsbench_die("lstat %s", name);
	munmap(buf, FSBENCH_SMALL_BYTES);
}

static void fsbench_create(const struct fsbench_options *o, struct fsbench_worker *w)
{
	char *buf = fsbench_buffer(FSBENCH_SMALL_BYTES);
	uint64_t start = fsbench_now_ns();
	char name[64];

	while (w->ops < o->count) {
		fsbench_small_file(fsbench_name(name, sizeof(name), "c", w->ops), buf);
		w->ops++;
		if (!fsbench_go_on(o, w, start, 32))
			break;
	}
	w->ns = fsbench_now_ns() - start;
}

static void fsbench_open_read(const struct fsbench_options *o, struct fsbench_worker *w)
{
	char *buf = fsbench_buffer(FSBENCH_SMALL_BYTES);
	uint64_t start = fsbench_now_ns();
	uint64_t i = 0;
	char name[64];

	do {
		int fd = fsbench_open(fsbench_name(name, sizeof(name), "f", i), O_RDONLY);

		fsbench_read(fd, buf, FSBENCH_SMALL_BYTES, 0);
		fsbench_close(fd);
		w->ops++;
		if (++i == o->count)
			i = 0;
	} while (fsbench_go_on(o, w, start, 32));
	w->ns = fsbench_now_ns() - start;
}

static void fsbench_stat_known(const struct fsbench_options *o, struct fsbench_worker *w)
{
	uint64_t start = fsbench_now_ns();
	uint64_t i = 0;
	struct stat st;
	char name[64];

	do {
		if (lstat(fsbench_name(name, sizeof(name), "f", i), &st) < 0)
			fsbench_die("lstat %s", name);
		if (st.st_size != FSBENCH_SMALL_BYTES) {
			errno = 0;
			fsbench_die("%s has %lld bytes", name, (long long)st.st_size);
		}
		w->ops++;
		if (++i == o->count)
			i = 0;
	} while (fsbench_go_on(o, w, start, 256));
	w->ns = fsbench_now_ns() - start;
}

/* Names never asked for before: one lookup each, whatever is cached. */
static void fsbench_stat_missing(const struct fsbench_options *o, struct fsbench_worker *w)
{
	uint64_t start = fsbench_now_ns();
	struct stat st;
	char name[64];

	while (w->ops < o->count) {
		if (lstat(fsbench_name(name, sizeof(name), "n", w->ops), &st) == 0 ||
		    errno != ENOENT)
			fsbench_die("lstat %s: not missing", name);
		w->ops++;
		if (!fsbench_go_on(o, w, start, 32))
			break;
	}
	w->ns = fsbench_now_ns() - start;
}

static void fsbench_unlink(const struct fsbench_options *o, struct fsbench_worker *w)
{
	uint64_t start = fsbench_now_ns();
	char name[64];

	while (w->ops < o->count) {
		if (unlink(fsbench_name(name, sizeof(name), "f", w->ops)) < 0)
			fsbench_die("unlink %s", name);
		w->ops++;
		if (!fsbench_go_on(o, w, start, 32))
			break;
	}
	w->ns = fsbench_now_ns() - start;
}

static void fsbench_rename(const struct fsbench_options *o, struct fsbench_worker *w)
{
	uint64_t start = fsbench_now_ns();
	char from[64], to[64];

	/* write-to-temporary-then-rename is how programs use it: the new name is new */
	while (w->ops < o->count) {
		fsbench_name(from, sizeof(from), "f", w->ops);
		fsbench_name(to, sizeof(to), "r", w->ops);
		if (rename(from, to) < 0)
			fsbench_die("rename %s", from);
		w->ops++;
		if (!fsbench_go_on(o, w, start, 32))
			break;
	}
	w->ns = fsbench_now_ns() - start;
}

static void fsbench_mkdir(const struct fsbench_options *o, struct fsbench_worker *w)
{
	uint64_t start = fsbench_now_ns();
	char name[64];

	while (w->ops < o->count) {
		if (mkdir(fsbench_name(name, sizeof(name), "d", w->ops), 0755) < 0)
			fsbench_die("mkdir %s", name);
		w->ops++;
		if (!fsbench_go_on(o, w, start, 32))
			break;
	}
	w->ns = fsbench_now_ns() - start;
}

/* --- one large directory --- */

static uint64_t fsbench_list(const struct fsbench_options *o, bool attributes)
{
	char path[PATH_MAX], value[256];
	uint64_t entries = 0;
	struct dirent *de;
	struct stat st;
	DIR *d;

	snprintf(path, sizeof(path), "%s/" FSBENCH_ENTRIES "%" PRIu64, o->dir, o->count);
	if (chdir(path) < 0)
		fsbench_die("%s", path);
	d = opendir(".");
	if (!d)
		fsbench_die("opendir %s", path);
	while ((errno = 0, de = readdir(d)) != NULL) {
		if (de->d_name[0] == '.')
			continue;
		entries++;
		if (!attributes)
			continue;
		if (lstat(de->d_name, &st) < 0)
			fsbench_die("lstat %s", de->d_name);
		/* what ls -l asks of every file: is there an access control list, a label? */
		if (getxattr(de->d_name, "security.selinux", value, sizeof(value)) < 0 &&
		    errno != ENODATA && errno != EOPNOTSUPP)
			fsbench_die("getxattr %s", de->d_name);
		if (getxattr(de->d_name, "system.posix_acl_access", value, sizeof(value)) < 0 &&
		    errno != ENODATA && errno != EOPNOTSUPP)
			fsbench_die("getxattr %s", de->d_name);
	}
	if (errno)
		fsbench_die("readdir %s", path);
	closedir(d);
	if (entries != o->count) {
		errno = 0;
		fsbench_die("%s has %" PRIu64 " entries, %" PRIu64 " wanted", path, entries,
			    o->count);
	}
	return entries;
}

static void fsbench_entries_prepare(const struct fsbench_options *o)
{
	char path[PATH_MAX], cwd[PATH_MAX], name[64];

	if (!getcwd(cwd, sizeof(cwd)))
		fsbench_die("getcwd");
	snprintf(path, sizeof(path), "%s/" FSBENCH_ENTRIES "%" PRIu64, o->dir, o->count);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		fsbench_die("mkdir %s", path);
	if (chdir(path) < 0)
		fsbench_die("%s", path);
	/* the last one tells a complete directory from an interrupted preparation */
	if (access(fsbench_name(name, sizeof(name), "e", o->count - 1), F_OK) < 0) {
		for (uint64_t i = 0; i < o->count; i++)
			fsbench_close(fsbench_open(fsbench_name(name, sizeof(name), "e", i),
						   O_WRONLY | O_CREAT));
	}
	fsbench_list(o, true);
	if (chdir(cwd) < 0)
		fsbench_die("%s", cwd);
}

static void fsbench_ls(const struct fsbench_options *o, struct fsbench_worker *w)
{
	uint64_t start = fsbench_now_ns();

	do {
		w->ops += fsbench_list(o, true);
	} while (fsbench_go_on(o, w, start, 1));
	w->ns = fsbench_now_ns() - start;
}

static void fsbench_readdir(const struct fsbench_options *o, struct fsbench_worker *w)
{
	uint64_t start = fsbench_now_ns();

	do {
		w->ops += fsbench_list(o, false);
	} while (fsbench_go_on(o, w, start, 1));
	w->ns = fsbench_now_ns() - start;
}

static const struct fsbench_workload fsbench_workloads[] = {
	{ "seq-write-1m", 0, true, NULL, fsbench_seq_write, "a new file in blocks of 1 MiB" },
	{ "seq-read-1m", 0, true, fsbench_large_prepare, fsbench_seq_read,
	  "a file in blocks of 1 MiB" },
	{ "rand-read-4k", 0, false, fsbench_large_prepare, fsbench_rand_read,
	  "4 KiB at random offsets" },
	{ "rand-write-4k", 0, false, fsbench_large_prepare, fsbench_rand_write,
	  "4 KiB at random offsets of an existing file" },
	{ "mmap-rand-read", 0, false, fsbench_large_prepare, fsbench_mmap_read,
	  "4 KiB copied from random pages of a shared mapping" },
	{ "create-write-close", 10000, false, NULL, fsbench_create, "new files of 4 KiB" },
	{ "open-read-close", 1000, false, fsbench_files_prepare, fsbench_open_read,
	  "files of 4 KiB, read whole" },
	{ "stat-known", 5000, false, fsbench_files_prepare, fsbench_stat_known,
	  "lstat of files looked up before and not touched since" },
	{ "stat-missing", 100000, false, NULL, fsbench_stat_missing,
	  "lstat of names that do not exist, each once" },
	{ "unlink", 10000, false, fsbench_files_prepare, fsbench_unlink, "files of 4 KiB" },
	{ "rename", 10000, false, fsbench_files_prepare, fsbench_rename, "to a new name" },
	{ "mkdir", 10000, false, NULL, fsbench_mkdir, "new directories" },
	{ "ls-l", 100000, false, fsbench_entries_prepare, fsbench_ls,
	  "readdir, lstat and getxattr of every entry, again" },
	{ "readdir", 100000, false, fsbench_entries_prepare, fsbench_readdir,
	  "names of a large directory, again" },
};

#define FSBENCH_WORKLOADS (sizeof(fsbench_workloads) / sizeof(fsbench_workloads[0]))

static const struct fsbench_workload *fsbench_find(const char *name)
{
	for (size_t i = 0; i < FSBENCH_WORKLOADS; i++)
		if (strcmp(name, fsbench_workloads[i].name) == 0)
			return &fsbench_workloads[i];
	return NULL;
}

/* Flat directories of files and empty directories only: what the workloads make. */
static void fsbench_remove(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *de;

	if (!d)
		fsbench_die("opendir %s", path);
	while ((errno = 0, de = readdir(d)) != NULL) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(d), de->d_name, 0) < 0 &&
		    (errno != EISDIR || unlinkat(dirfd(d), de->d_name, AT_REMOVEDIR) < 0))
			fsbench_die("unlink %s/%s", path, de->d_name);
	}
	closedir(d);
	if (rmdir(path) < 0)
		fsbench_die("rmdir %s", path);
}

static void fsbench_worker_path(char *buf, size_t size, const struct fsbench_options *o, long pid,
				unsigned int index)
{
	snprintf(buf, size, "%s/fsbench.%ld.%u", o->dir, pid, index);
}

/* For whoever traces the timed part and nothing else: see trips. */
static void fsbench_mark(const struct fsbench_options *o, const char *what)
{
	if (o->marker < 0)
		return;
	if (dprintf(o->marker, "fsbench %s\n", what) < 0)
		fsbench_die("marker");
}

/*
 * Each worker is a process with a directory of its own.  All prepare first; the
 * pipe is the start signal: its write end closes in the parent when the last
 * worker has said that it is ready.
 */
static void fsbench_run(const struct fsbench_options *o, const struct fsbench_workload *wl,
			struct fsbench_worker *workers)
{
	pid_t pids[FSBENCH_PROCS_MAX];
	long parent = (long)getpid();
	int ready[2], go[2];
	char path[PATH_MAX], c;

	if (pipe(ready) < 0 || pipe(go) < 0)
		fsbench_die("pipe");
	for (unsigned int i = 0; i < o->procs; i++) {
		fsbench_worker_path(path, sizeof(path), o, parent, i);
		if (mkdir(path, 0755) < 0)
			fsbench_die("mkdir %s", path);
		pids[i] = fork();
		if (pids[i] < 0)
			fsbench_die("fork");
		if (pids[i] > 0)
			continue;
		close(ready[0]);
		close(go[1]);
		workers[i].index = i;
		workers[i].failed = true;
		if (chdir(path) < 0)
			fsbench_die("%s", path);
		if (wl->prepare)
			wl->prepare(o);
		if (write(ready[1], "r", 1) != 1 || read(go[0], &c, 1) < 0)
			fsbench_die("start signal");
		fsbench_mark(o, "start");
		wl->run(o, &workers[i]);
		fsbench_mark(o, "end");
		workers[i].failed = false;
		exit(0);
	}
	close(ready[1]);
	close(go[0]);
	for (unsigned int i = 0; i < o->procs; i++)
		if (read(ready[0], &c, 1) != 1)
			break; /* a worker died before it was ready; it has said why */
	close(go[1]);
	for (unsigned int i = 0; i < o->procs; i++) {
		while (waitpid(pids[i], NULL, 0) < 0)
			if (errno != EINTR)
				fsbench_die("waitpid");
		fsbench_worker_path(path, sizeof(path), o, parent, i);
		if (!o->keep)
			fsbench_remove(path);
	}
	close(ready[0]);
}

static int fsbench_report(const struct fsbench_options *o, const struct fsbench_workload *wl,
			  const struct fsbench_worker *workers)
{
	uint64_t ops = 0, bytes = 0, ns = 0;
	double seconds, rate;

	for (unsigned int i = 0; i < o->procs; i++) {
		if (workers[i].failed)
			return 1;
		ops += workers[i].ops;
		bytes += workers[i].bytes;
		if (workers[i].ns > ns)
			ns = workers[i].ns;
	}
	seconds = (double)ns / 1e9;
	rate = (double)(wl->bytes ? bytes : ops) / seconds;
	printf("{\"workload\":\"%s\",\"direct\":%s,\"procs\":%u,\"ops\":%" PRIu64
	       ",\"bytes\":%" PRIu64 ",\"seconds\":%.6f,\"rate\":%.1f,\"unit\":\"%s\"}\n",
	       wl->name, o->direct ? "true" : "false", o->procs, ops, bytes, seconds, rate,
	       wl->bytes ? "bytes/s" : "ops/s");
	return fflush(stdout) == 0 ? 0 : 1;
}

static void fsbench_usage(FILE *to)
{
	fprintf(to, "usage: fsbench [options] WORKLOAD DIR\n"
		    "  --seconds S      a timed loop runs about this long (0.7)\n"
		    "  --count N        files or operations at most (by workload)\n"
		    "  --file-mib N     size of the large file (256)\n"
		    "  --direct         O_DIRECT (seq and rand workloads)\n"
		    "  --procs N        processes at once, each in its own directory (1)\n"
		    "  --cpu N          pin to one CPU\n"
		    "  --marker FILE    write a line to FILE when the timed part starts and ends\n"
		    "  --keep           leave the files\n"
		    "  --list           names of the workloads\n"
		    "workloads:\n");
	for (size_t i = 0; i < FSBENCH_WORKLOADS; i++)
		fprintf(to, "  %-20s %s\n", fsbench_workloads[i].name, fsbench_workloads[i].help);
}

/* Returns the number, or ends the program: half-read options measure something else. */
static double fsbench_number(const char *option, const char *text, double low, double high)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (errno || end == text || *end || !(v >= low && v <= high)) {
		fprintf(stderr, "%s: --%s wants a number from %g to %g, not '%s'\n", self, option,
			low, high, text);
		exit(2);
	}
	return v;
}

static void fsbench_parse(int argc, char **argv, struct fsbench_options *o)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "count", required_argument, NULL, 'n' },
		{ "file-mib", required_argument, NULL, 'm' },
		{ "direct", no_argument, NULL, 'd' },
		{ "procs", required_argument, NULL, 'p' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "marker", required_argument, NULL, 'M' },
		{ "keep", no_argument, NULL, 'k' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			o->seconds = fsbench_number("seconds", optarg, 0.001, 3600);
			break;
		case 'n':
			o->count = (uint64_t)fsbench_number("count", optarg, 1, 9999999);
			break;
		case 'm':
			o->file_bytes = (uint64_t)fsbench_number("file-mib", optarg, 1, 1 << 20)
					<< 20;
			break;
		case 'd':
			o->direct = true;
			break;
		case 'p':
			o->procs =
				(unsigned int)fsbench_number("procs", optarg, 1, FSBENCH_PROCS_MAX);
			break;
		case 'c':
			o->cpu = (int)fsbench_number("cpu", optarg, 0, CPU_SETSIZE - 1);
			break;
		case 'M':
			o->marker = fsbench_open(optarg, O_WRONLY | O_APPEND);
			break;
		case 'k':
			o->keep = true;
			break;
		case 'l':
			for (size_t i = 0; i < FSBENCH_WORKLOADS; i++)
				puts(fsbench_workloads[i].name);
			exit(0);
		case 'h':
			fsbench_usage(stdout);
			exit(0);
		default:
			fsbench_usage(stderr);
			exit(2);
		}
	}
	if (argc - optind != 2) {
		fsbench_usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct fsbench_options o = {
		.seconds = 0.7, .file_bytes = 256 << 20, .procs = 1, .cpu = -1, .marker = -1
	};
	const struct fsbench_workload *wl;
	struct fsbench_worker *workers;
	char dir[PATH_MAX];

	fsbench_parse(argc, argv, &o);
	wl = fsbench_find(argv[optind]);
	if (!wl) {
		fprintf(stderr, "%s: no workload '%s'; --list shows them\n", self, argv[optind]);
		return 2;
	}
	if (!realpath(argv[optind + 1], dir))
		fsbench_die("%s", argv[optind + 1]);
	o.dir = dir;
	o.block_bytes = wl->bytes ? 1 << 20 : FSBENCH_SMALL_BYTES;
	if (o.count == 0)
		o.count = wl->count;
	if (o.cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(o.cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set) < 0)
			fsbench_die("CPU %d", o.cpu);
	}
	workers = mmap(NULL, sizeof(*workers) * FSBENCH_PROCS_MAX, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (workers == MAP_FAILED)
		fsbench_die("shared memory");
	fsbench_run(&o, wl, workers);
	return fsbench_report(&o, wl, workers);
}
