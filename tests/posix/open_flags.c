/* SPDX-License-Identifier: Apache-2.0 */
/* What each flag of open(2) does to files of each type, and fcntl(F_SETFL) later. */
#include "config.h"

#include "tests/posix/posix.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/statvfs.h>

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 ? -1 : close(fd);
}

static void access_modes(void)
{
	static const struct {
		const char *name;
		int flags;
		bool reads, writes;
	} rows[] = {
		{ "rdonly", O_RDONLY, true, false },
		{ "wronly", O_WRONLY, false, true },
		{ "rdwr", O_RDWR, true, true },
		{ "wronly append", O_WRONLY | O_APPEND, false, true },
		{ "rdwr append", O_RDWR | O_APPEND, true, true },
		{ "rdwr sync", O_RDWR | O_SYNC, true, true },
		{ "rdwr dsync", O_RDWR | O_DSYNC, true, true },
		{ "rdonly nonblock", O_RDONLY | O_NONBLOCK, true, false },
		{ "rdonly noatime", O_RDONLY | O_NOATIME, true, false },
	};
	char buf[8];
	void *p;
	int fd;

	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		pt_row("%s", rows[i].name);
		OK(pt_put("f", "12345678", 8));
		fd = OK(open("f", rows[i].flags | O_CLOEXEC));
		EQ(fcntl(fd, F_GETFL) & O_ACCMODE, rows[i].flags & O_ACCMODE);
		if (rows[i].reads) {
			EQ(read(fd, buf, 8), 8);
			EQ(pread(fd, buf, 4, 4), 4);
			MEM_EQ(buf, "5678", 4);
			p = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
			if (CHECK(p != MAP_FAILED)) {
				MEM_EQ(p, "12345678", 8);
				OK(munmap(p, 8));
			}
		} else {
			ERR(EBADF, read(fd, buf, 8));
			ERR(EBADF, pread(fd, buf, 8, 0));
			CHECK(mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
			EQ(errno, EACCES);
		}
		if (rows[i].writes) {
			EQ(write(fd, "ab", 2), 2);
			EQ(pwrite(fd, "cd", 2, 2), 2);
			OK(ftruncate(fd, 4));
			OK(fsync(fd));
			EQ(pt_fstat(fd).st_size, 4);
		} else {
			ERR(EBADF, write(fd, "ab", 2));
			ERR(EBADF, pwrite(fd, "ab", 2, 0));
			ERR(EINVAL, ftruncate(fd, 4));
			ERR(EBADF, fallocate(fd, 0, 0, 16));
			CHECK(mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
			      MAP_FAILED);
			EQ(errno, EACCES);
			OK(fsync(fd));
			EQ(pt_fstat(fd).st_size, 8);
		}
		OK(close(fd));
		ERR(EBADF, fsync(fd));
	}
}

static void directories(void)
{
	char buf[8];
	int fd;

	OK(mkdir("d", 0777));
	OK(try_open("d", O_RDONLY));
	OK(try_open("d", O_RDONLY | O_DIRECTORY));
	OK(try_open("d/.", O_RDONLY));
	OK(try_open("d/..", O_RDONLY));
	ERR(EISDIR, try_open("d", O_WRONLY));
	ERR(EISDIR, try_open("d", O_RDWR));
	ERR(EISDIR, try_open("d", O_RDONLY | O_TRUNC));
	ERR(EISDIR, try_open("d", O_WRONLY | O_TRUNC));
	ERR(EISDIR, try_open("d", O_RDWR | O_APPEND));
	ERR(EISDIR, try_open(".", O_WRONLY));
	fd = OK(open("d", O_RDONLY | O_CLOEXEC));
	ERR(EISDIR, read(fd, buf, sizeof(buf)));
	ERR(EISDIR, pread(fd, buf, sizeof(buf), 0));
	ERR(EBADF, write(fd, "x", 1));
	ERR(EINVAL, ftruncate(fd, 0));
	OK(fsync(fd));
	CHECK(mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	EQ(errno, ENODEV);
	OK(close(fd));
}

static void must_be_directory(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (t == PT_DIR || t == PT_LNK || !pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0644));
		ERR(ENOTDIR, try_open("x", O_RDONLY | O_DIRECTORY));
		ERR(ENOTDIR, try_open("x", O_PATH | O_DIRECTORY));
		OK(symlink("x", "l"));
		ERR(ENOTDIR, try_open("l", O_RDONLY | O_DIRECTORY));
		OK(unlink("l"));
		OK(unlink("x"));
	}
	OK(mkdir("d", 0755));
	OK(symlink("d", "l"));
	OK(try_open("l", O_RDONLY | O_DIRECTORY));
	ERR(ENOTDIR, try_open("l", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

static void no_follow(void)
{
	struct stat st;
	char buf[16];
	int fd;

	OK(pt_touch("file", 0644));
	OK(symlink("file", "l"));
	OK(symlink("nowhere", "dangling"));
	ERR(ELOOP, try_open("l", O_RDONLY | O_NOFOLLOW));
	ERR(ELOOP, try_open("l", O_WRONLY | O_NOFOLLOW));
	ERR(ELOOP, try_open("l", O_RDWR | O_NOFOLLOW | O_TRUNC));
	ERR(ELOOP, try_open("dangling", O_RDONLY | O_NOFOLLOW));
	ERR(ELOOP, open("l", O_RDWR | O_NOFOLLOW | O_CREAT, 0644));
	OK(try_open("file", O_RDWR | O_NOFOLLOW));
	/* Only the last component. */
	OK(mkdir("d", 0755));
	OK(pt_touch("d/f", 0644));
	OK(symlink("d", "ld"));
	OK(try_open("ld/f", O_RDONLY | O_NOFOLLOW));
	fd = OK(open("l", O_PATH | O_NOFOLLOW | O_CLOEXEC));
	OK(fstat(fd, &st));
	CHECK(S_ISLNK(st.st_mode));
	EQ(readlinkat(fd, "", buf, sizeof(buf)), 4);
	MEM_EQ(buf, "file", 4);
	OK(close(fd));
}

static void path_only(void)
{
	struct stat st;
	char buf[8], self[64];
	int fd, other;

	OK(pt_put("f", "data", 4));
	OK(chmod("f", 0));
	fd = OK(open("f", O_PATH | O_CLOEXEC));
	ERR(EBADF, read(fd, buf, 4));
	ERR(EBADF, write(fd, "x", 1));
	ERR(EBADF, fchmod(fd, 0644));
	ERR(EBADF, fchown(fd, 0, 0));
	ERR(EBADF, ftruncate(fd, 0));
	ERR(EBADF, fsync(fd));
	OK(fstat(fd, &st));
	EQ(st.st_size, 4);
	OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
	EQ(st.st_size, 4);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	other = OK(open(self, O_RDWR | O_CLOEXEC));
	EQ(read(other, buf, 4), 4);
	EQ(pwrite(other, "DATA", 4, 0), 4);
	OK(close(other));
	/* It holds the file, also without a name. */
	OK(unlink("f"));
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
	other = OK(open(self, O_RDONLY | O_CLOEXEC));
	EQ(read(other, buf, 4), 4);
	MEM_EQ(buf, "DATA", 4);
	OK(close(other));
	OK(close(fd));
	OK(mkdir("d", 0755));
	OK(pt_touch("d/x", 0644));
	fd = OK(open("d", O_PATH | O_DIRECTORY | O_CLOEXEC));
	OK(fstatat(fd, "x", &st, 0));
	OK(unlinkat(fd, "x", 0));
	OK(mkdirat(fd, "y", 0755));
	OK(fchdir(fd));
	OK(rmdir("y"));
	OK(close(fd));
}

static void sockets_cannot_be_opened(void)
{
	if (!pt_can_make(PT_SOCK))
		return;
	OK(pt_make(PT_SOCK, "s", 0777));
	ERR(ENXIO, try_open("s", O_RDONLY));
	ERR(ENXIO, try_open("s", O_WRONLY));
	ERR(ENXIO, try_open("s", O_RDWR));
	OK(try_open("s", O_PATH));
}

static void fifo_without_peer(void)
{
	int fd;

	if (!pt_can_make(PT_FIFO))
		return;
	OK(pt_make(PT_FIFO, "p", 0666));
	ERR(ENXIO, try_open("p", O_WRONLY | O_NONBLOCK));
	fd = OK(open("p", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	OK(try_open("p", O_WRONLY | O_NONBLOCK));
	OK(close(fd));
	OK(try_open("p", O_RDWR));
}

static void no_atime(void)
{
	OK(pt_put("f", "data", 4));
	OK(chmod("f", 0666));
	OK(chown("f", pt_owner.uid, pt_owner.gid));
	OK(try_open("f", O_RDONLY | O_NOATIME));
	AS(&pt_owner)
		OK(try_open("f", O_RDONLY | O_NOATIME));
	AS(&pt_other) {
		ERR(EPERM, try_open("f", O_RDONLY | O_NOATIME));
		OK(try_open("f", O_RDONLY));
	}
}

static void no_atime_keeps_atime(void)
{
	struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000001 } };
	char buf[4];
	int fd;

	OK(pt_put("f", "data", 4));
	OK(utimensat(AT_FDCWD, "f", old, 0));
	fd = OK(open("f", O_RDONLY | O_NOATIME | O_CLOEXEC));
	EQ(read(fd, buf, 4), 4);
	OK(close(fd));
	TIME_EQ(pt_lstat("f").st_atim, old[0]);
}

/* Whoever else reads the bytes, to copy them away for example, leaves no trace. */
static void close_keeps_atime(void)
{
	struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000001 } };
	int fd = OK(open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0644));

	EQ(write(fd, "data", 4), 4);
	OK(futimens(fd, old));
	OK(fsync(fd));
	OK(close(fd));
	TIME_EQ(pt_lstat("f").st_atim, old[0]);
	fd = OK(open("f", O_RDONLY | O_NOATIME | O_CLOEXEC));
	OK(close(fd));
	TIME_EQ(pt_lstat("f").st_atim, old[0]);
	TIME_EQ(pt_lstat("f").st_mtim, old[1]);
}

static void truncation(void)
{
	static const struct {
		const char *name;
		int flags;
	} rows[] = {
		{ "rdonly", O_RDONLY },
		{ "wronly", O_WRONLY },
		{ "rdwr", O_RDWR },
		{ "append", O_WRONLY | O_APPEND },
		{ "creat", O_WRONLY | O_CREAT },
	};
	struct timespec before;
	ino_t ino;
	int fd;

	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		pt_row("%s", rows[i].name);
		OK(pt_put("f", "contents", 8));
		before = pt_lstat("f").st_mtim;
		ino = pt_lstat("f").st_ino;
		pt_tick();
		fd = OK(open("f", rows[i].flags | O_TRUNC | O_CLOEXEC, 0644));
		EQ(pt_fstat(fd).st_size, 0);
		EQ(pt_fstat(fd).st_blocks, 0);
		OK(close(fd));
		EQ(pt_size("f"), 0);
		EQ(pt_lstat("f").st_ino, ino);
		TIME_GT(pt_lstat("f").st_mtim, before);
		TIME_GT(pt_lstat("f").st_ctim, before);
	}
}

static void truncation_needs_write(void)
{
	static const struct {
		mode_t mode;
		const struct pt_user *user;
	} rows[] = {
		{ 0477, &pt_owner }, { 0747, &pt_mate }, { 0747, &pt_member }, { 0774, &pt_other },
		{ 0177, &pt_owner }, { 0717, &pt_mate }, { 0717, &pt_member }, { 0771, &pt_other },
		{ 0077, &pt_owner }, { 0707, &pt_mate }, { 0707, &pt_member }, { 0770, &pt_other },
	};

	OK(pt_put("f", "contents", 8));
	OK(chown("f", pt_owner.uid, pt_owner.gid));
	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		pt_row("mode=%04o %s", rows[i].mode, rows[i].user->name);
		OK(chmod("f", rows[i].mode));
		AS(rows[i].user) {
			ERR(EACCES, try_open("f", O_RDONLY | O_TRUNC));
			ERR(EACCES, try_open("f", O_WRONLY | O_TRUNC));
			ERR(EACCES, truncate("f", 0));
		}
		EQ(pt_size("f"), 8);
	}
	pt_row("may write");
	OK(chmod("f", 0666));
	AS(&pt_other)
		OK(try_open("f", O_WRONLY | O_TRUNC));
	EQ(pt_size("f"), 0);
}

/* Status flags changed on an open descriptor take effect at once. */
static void set_append_later(void)
{
	char buf[16];
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	EQ(write(fd, "0123456789", 10), 10);
	OK(fcntl(fd, F_SETFL, O_APPEND));
	EQ(fcntl(fd, F_GETFL) & O_APPEND, O_APPEND);
	EQ(lseek(fd, 2, SEEK_SET), 2);
	EQ(write(fd, "ab", 2), 2);
	EQ(lseek(fd, 0, SEEK_CUR), 12);
	EQ(pwrite(fd, "cd", 2, 0), 2);
	OK(fcntl(fd, F_SETFL, 0));
	EQ(pwrite(fd, "X", 1, 0), 1);
	EQ(pread(fd, buf, 16, 0), 14);
	MEM_EQ(buf, "X123456789abcd", 14);
	OK(close(fd));
}

static void clear_append_later(void)
{
	char buf[16];
	int fd;

	OK(pt_put("f", "0123456789", 10));
	fd = OK(open("f", O_RDWR | O_APPEND | O_CLOEXEC));
	EQ(write(fd, "ab", 2), 2);
	OK(fcntl(fd, F_SETFL, 0));
	EQ(fcntl(fd, F_GETFL) & O_APPEND, 0);
	EQ(pwrite(fd, "X", 1, 1), 1);
	EQ(pread(fd, buf, 16, 0), pt_fstat(fd).st_size);
	/* The kernel opens the file behind a passthrough with the flags of the first moment. */
	if (pt_opt.passthrough) {
		EQ(pt_fstat(fd).st_size, 13);
		MEM_EQ(buf, "0123456789abX", 13);
	} else {
		EQ(pt_fstat(fd).st_size, 12);
		MEM_EQ(buf, "0X23456789ab", 12);
	}
	OK(close(fd));
}

static int open_direct(void)
{
	int fd = open("direct", O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0644);

	return fd < 0 ? -1 : close(fd);
}

static void set_direct_later(void)
{
	char *buf = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char want[4096];
	int fd;

	CHECK(buf != MAP_FAILED);
	if (open_direct()) {
		UNSUPPORTED("O_DIRECT", open_direct);
		return;
	}
	fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	pt_fill(want, sizeof(want), 1);
	EQ(pwrite(fd, want, 4096, 0), 4096);
	OK(fcntl(fd, F_SETFL, O_DIRECT));
	EQ(pread(fd, buf, 4096, 0), 4096);
	MEM_EQ(buf, want, 4096);
	pt_fill(buf, 4096, 2);
	EQ(pwrite(fd, buf, 4096, 4096), 4096);
	OK(fcntl(fd, F_SETFL, 0));
	EQ(pread(fd, want, 4096, 4096), 4096);
	MEM_EQ(want, buf, 4096);
	OK(close(fd));
}

static void devices(void)
{
	struct statvfs sv;
	char buf[4];
	int fd;

	if (!pt_can_make(PT_CHR))
		return;
	OK(statvfs(".", &sv));
	OK(pt_make(PT_CHR, "null", 0666));
	if (sv.f_flag & ST_NODEV) {
		ERR(EACCES, try_open("null", O_RDWR));
		SKIP("mounted nodev");
		return;
	}
	fd = OK(open("null", O_RDWR | O_CLOEXEC));
	EQ(write(fd, "x", 1), 1);
	EQ(read(fd, buf, 4), 0);
	OK(close(fd));
	EQ(pt_size("null"), 0);
}

static const struct pt_case cases[] = {
	{ "access_modes", access_modes, 0 },
	{ "directories", directories, 0 },
	{ "must_be_directory", must_be_directory, 0 },
	{ "no_follow", no_follow, 0 },
	{ "path_only", path_only, 0 },
	{ "sockets_cannot_be_opened", sockets_cannot_be_opened, 0 },
	{ "fifo_without_peer", fifo_without_peer, 0 },
	{ "no_atime", no_atime, 0 },
	{ "no_atime_keeps_atime", no_atime_keeps_atime, 0 },
	{ "close_keeps_atime", close_keeps_atime, 0 },
	{ "truncation", truncation, 0 },
	{ "truncation_needs_write", truncation_needs_write, 0 },
	{ "set_append_later", set_append_later, 0 },
	{ "clear_append_later", clear_append_later, 0 },
	{ "set_direct_later", set_direct_later, 0 },
	{ "devices", devices, 0 },
};

PT_FAMILY(open_flags, cases);
