/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which time stamps each operation moves: of the file d/f, of its directory d,
 * and of another directory e. Whatever a row does not name must stay.
 */
#include "config.h"

#include "tests/posix/posix.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#define A (1u << 0)
#define M (1u << 1)
#define C (1u << 2)
/* The same, where an implementation is free (relatime, ctime of a renamed file). */
#define A_MAY (1u << 3)
#define M_MAY (1u << 4)
#define C_MAY (1u << 5)

struct row {
	const char *name;
	int (*op)(void);
	unsigned int f, d, e;
	unsigned int flags; /* of struct pt_case */
};

/* Open d/f and e/g for the rows that work on descriptors, made by prepare(). */
static int fd, src;

static int op_read(void)
{
	char buf[8];

	return read(fd, buf, sizeof(buf)) == 8 ? 0 : -1;
}

static int op_write(void)
{
	return write(fd, "x", 1) == 1 ? 0 : -1;
}

static int op_write_nothing(void)
{
	return write(fd, "x", 0);
}

static int op_pwrite_past_end(void)
{
	return pwrite(fd, "x", 1, 10000) == 1 ? 0 : -1;
}

static int op_writev(void)
{
	struct iovec iov[2] = { { (char *)"a", 1 }, { (char *)"b", 1 } };

	return writev(fd, iov, 2) == 2 ? 0 : -1;
}

static int op_sendfile(void)
{
	off_t off = 0;

	return sendfile(fd, src, &off, 4) == 4 ? 0 : -1;
}

static int op_copy_file_range(void)
{
	off_t in = 0, out = 0;

	return copy_file_range(src, &in, fd, &out, 4, 0) == 4 ? 0 : -1;
}

static int op_ftruncate_down(void)
{
	return ftruncate(fd, 3);
}

static int op_ftruncate_up(void)
{
	return ftruncate(fd, 3000);
}

static int op_truncate_down(void)
{
	return truncate("d/f", 3);
}

static int op_truncate_up(void)
{
	return truncate("d/f", 3000);
}

static int op_truncate_same(void)
{
	return truncate("d/f", 8);
}

static int open_close(int flags)
{
	int other = open("d/f", flags | O_CLOEXEC, 0644);

	return other < 0 ? -1 : close(other);
}

static int op_open_read(void)
{
	return open_close(O_RDONLY);
}

static int op_open_write(void)
{
	return open_close(O_RDWR);
}

static int op_open_create_existing(void)
{
	return open_close(O_RDWR | O_CREAT);
}

static int op_open_trunc(void)
{
	return open_close(O_WRONLY | O_TRUNC);
}

static int op_stat(void)
{
	struct stat st;

	return stat("d/f", &st);
}

static int op_access(void)
{
	return access("d/f", R_OK);
}

static int op_fsync(void)
{
	return fsync(fd);
}

static int op_lock(void)
{
	return flock(fd, LOCK_EX) || flock(fd, LOCK_UN) ? -1 : 0;
}

static int op_chmod(void)
{
	return chmod("d/f", 0600);
}

static int op_chmod_same(void)
{
	return chmod("d/f", 0644);
}

static int op_chown(void)
{
	return chown("d/f", 1, 1);
}

static int op_setxattr(void)
{
	return setxattr("d/f", "user.k", "w", 1, 0);
}

static int op_removexattr(void)
{
	return removexattr("d/f", "user.old");
}

static int op_getxattr(void)
{
	char value[8];

	return getxattr("d/f", "user.old", value, sizeof(value)) < 0 ? -1 : 0;
}

static int op_utimens(void)
{
	const struct timespec ts[2] = { { 2000000000, 1 }, { 2000000000, 1 } };

	return utimensat(AT_FDCWD, "d/f", ts, 0);
}

static int op_rename_within(void)
{
	return rename("d/f", "d/renamed") || rename("d/renamed", "d/f") ? -1 : 0;
}

static int op_rename_across(void)
{
	return rename("d/f", "e/f") || rename("e/f", "d/f") ? -1 : 0;
}

static int op_rename_over(void)
{
	return rename("d/victim", "e/g");
}

static int op_rename_dir_across(void)
{
	return rename("d/sub", "e/sub");
}

static int op_rename_same(void)
{
	return rename("d/f", "d/f");
}

static int op_link_here(void)
{
	return link("d/f", "d/link");
}

static int op_link_there(void)
{
	return link("d/f", "e/link");
}

static int op_unlink_link(void)
{
	return unlink("d/f2");
}

static int op_unlink_other(void)
{
	return unlink("d/victim");
}

static int op_create(void)
{
	return pt_touch("d/new", 0644);
}

static int op_mkdir(void)
{
	return mkdir("d/new", 0755);
}

static int op_rmdir(void)
{
	return rmdir("d/sub");
}

static int op_symlink(void)
{
	return symlink("t", "d/new");
}

static int op_mknod(void)
{
	return mknod("d/new", S_IFREG | 0644, 0);
}

static int op_tmpfile(void)
{
	int tmp = open("d", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);

	return tmp < 0 ? -1 : close(tmp);
}

static int op_create_below(void)
{
	return pt_touch("d/sub/new", 0644);
}

static int op_readdir(void)
{
	DIR *dir = opendir("d");

	if (!dir)
		return -1;
	while (readdir(dir))
		;
	return closedir(dir);
}

static int op_chmod_dir(void)
{
	return chmod("d", 0700);
}

static int op_setxattr_dir(void)
{
	return setxattr("d", "user.k", "v", 1, 0);
}

static int op_lookup_missing(void)
{
	return access("d/missing", F_OK) == -1 && errno == ENOENT ? 0 : -1;
}

static int fails(int ret)
{
	return ret == -1 ? 0 : -1;
}

static int op_fail_create(void)
{
	return fails(pt_touch("d/f", 0644));
}

static int op_fail_mkdir(void)
{
	return fails(mkdir("d/f", 0755));
}

static int op_fail_unlink(void)
{
	return fails(unlink("d/missing"));
}

static int op_fail_rmdir(void)
{
	return fails(rmdir("d/full"));
}

static int op_fail_rename(void)
{
	return fails(rename("d/f", "d/sub"));
}

static int op_fail_truncate(void)
{
	return fails(truncate("d/f", -1));
}

static int op_fail_setxattr(void)
{
	return fails(setxattr("d/f", "user.old", "v", 1, XATTR_CREATE));
}

static int op_mmap_read(void)
{
	volatile char *p = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
	char c;

	if (p == MAP_FAILED)
		return -1;
	c = p[0];
	munmap((void *)p, 8);
	return c == '0' ? 0 : -1;
}

static const struct row rows[] = {
	{ "read", op_read, A_MAY, 0, 0, 0 },
	{ "mmap read", op_mmap_read, A_MAY, 0, 0, 0 },
	{ "write", op_write, M | C, 0, 0, 0 },
	{ "write of nothing", op_write_nothing, 0, 0, 0, 0 },
	{ "pwrite past the end", op_pwrite_past_end, M | C, 0, 0, 0 },
	{ "writev", op_writev, M | C, 0, 0, 0 },
	{ "sendfile", op_sendfile, M | C, 0, 0, 0 },
	{ "copy_file_range", op_copy_file_range, M | C, 0, 0, 0 },
	{ "ftruncate down", op_ftruncate_down, M | C, 0, 0, 0 },
	{ "ftruncate up", op_ftruncate_up, M | C, 0, 0, 0 },
	{ "truncate down", op_truncate_down, M | C, 0, 0, 0 },
	{ "truncate up", op_truncate_up, M | C, 0, 0, 0 },
	{ "truncate same", op_truncate_same, M_MAY | C_MAY, 0, 0, 0 },
	{ "open read", op_open_read, 0, 0, 0, 0 },
	{ "open write", op_open_write, 0, 0, 0, 0 },
	{ "open create existing", op_open_create_existing, 0, 0, 0, 0 },
	{ "open trunc", op_open_trunc, M | C, 0, 0, 0 },
	{ "stat", op_stat, 0, 0, 0, 0 },
	{ "access", op_access, 0, 0, 0, 0 },
	{ "fsync", op_fsync, 0, 0, 0, 0 },
	{ "flock", op_lock, 0, 0, 0, 0 },
	{ "chmod", op_chmod, C, 0, 0, 0 },
	{ "chmod same", op_chmod_same, C, 0, 0, 0 },
	{ "chown", op_chown, C, 0, 0, 0 },
	{ "setxattr", op_setxattr, C, 0, 0, 0 },
	{ "removexattr", op_removexattr, C, 0, 0, 0 },
	{ "getxattr", op_getxattr, 0, 0, 0, 0 },
	{ "utimensat", op_utimens, A | M | C, 0, 0, 0 },
	{ "rename within", op_rename_within, C_MAY, M | C, 0, 0 },
	{ "rename across", op_rename_across, C_MAY, M | C, M | C, 0 },
	{ "rename over", op_rename_over, 0, M | C, M | C, 0 },
	{ "rename dir across", op_rename_dir_across, 0, M | C, M | C, 0 },
	{ "rename same", op_rename_same, 0, 0, 0, 0 },
	{ "link here", op_link_here, C, M | C, 0, PT_LINKS },
	{ "link there", op_link_there, C, 0, M | C, PT_LINKS },
	{ "unlink link", op_unlink_link, C, M | C, 0, PT_LINKS },
	{ "unlink other", op_unlink_other, 0, M | C, 0, 0 },
	{ "create", op_create, 0, M | C, 0, 0 },
	{ "mkdir", op_mkdir, 0, M | C, 0, 0 },
	{ "rmdir", op_rmdir, 0, M | C, 0, 0 },
	{ "symlink", op_symlink, 0, M | C, 0, 0 },
	{ "mknod", op_mknod, 0, M | C, 0, 0 },
	{ "tmpfile", op_tmpfile, 0, 0, 0, 0 },
	{ "create below", op_create_below, 0, 0, 0, 0 },
	{ "readdir", op_readdir, 0, A_MAY, 0, 0 },
	{ "chmod dir", op_chmod_dir, 0, C, 0, 0 },
	{ "setxattr dir", op_setxattr_dir, 0, C, 0, 0 },
	{ "lookup missing", op_lookup_missing, 0, 0, 0, 0 },
	{ "failed create", op_fail_create, 0, 0, 0, 0 },
	{ "failed mkdir", op_fail_mkdir, 0, 0, 0, 0 },
	{ "failed unlink", op_fail_unlink, 0, 0, 0, 0 },
	{ "failed rmdir", op_fail_rmdir, 0, 0, 0, 0 },
	{ "failed rename", op_fail_rename, 0, 0, 0, 0 },
	{ "failed truncate", op_fail_truncate, 0, 0, 0, 0 },
	{ "failed setxattr", op_fail_setxattr, 0, 0, 0, 0 },
};

static void prepare(void)
{
	/* Far from now, so that relatime's day-old rule does not come in by chance. */
	OK(mkdir("d", 0755));
	OK(mkdir("e", 0755));
	OK(mkdir("d/sub", 0755));
	OK(mkdir("d/full", 0755));
	OK(pt_touch("d/full/x", 0644));
	OK(pt_put("d/f", "01234567", 8));
	OK(pt_put("d/victim", "v", 1));
	OK(pt_put("e/g", "source bytes", 12));
	OK(setxattr("d/f", "user.old", "v", 1, 0));
	if (pt_has_links())
		OK(link("d/f", "d/f2"));
	fd = OK(open("d/f", O_RDWR | O_CLOEXEC));
	src = OK(open("e/g", O_RDONLY | O_CLOEXEC));
}

static void moved(const char *what, struct timespec before, struct timespec after, bool must,
		  bool may)
{
	int cmp = pt_time_cmp(after, before);

	if (must && cmp <= 0)
		FAIL("%s did not move", what);
	else if (!must && !may && cmp != 0)
		FAIL("%s moved by %lld s %ld ns", what, (long long)(after.tv_sec - before.tv_sec),
		     after.tv_nsec - before.tv_nsec);
	else if (cmp < 0)
		FAIL("%s went back", what);
	else
		CHECK(true);
}

static void compare(const char *who, const struct stat *before, const struct stat *after,
		    unsigned int what)
{
	char label[32];
	const struct {
		const char *name;
		const struct timespec *before, *after;
		unsigned int must, may;
	} stamps[] = {
		{ "atime", &before->st_atim, &after->st_atim, A, A_MAY },
		{ "mtime", &before->st_mtim, &after->st_mtim, M, M_MAY },
		{ "ctime", &before->st_ctim, &after->st_ctim, C, C_MAY },
	};

	for (size_t i = 0; i < PT_ARRAY_SIZE(stamps); i++) {
		snprintf(label, sizeof(label), "%s%s", who, stamps[i].name);
		moved(label, *stamps[i].before, *stamps[i].after, what & stamps[i].must,
		      what & stamps[i].may);
	}
}

static void each_operation(void)
{
	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		struct stat f, d, e, after;

		if ((rows[i].flags & PT_LINKS) && !pt_has_links())
			continue;
		pt_row("%s", rows[i].name);
		prepare();
		f = pt_lstat("d/f");
		d = pt_lstat("d");
		e = pt_lstat("e");
		pt_tick();
		OK(rows[i].op());
		after = pt_lstat("d/f");
		compare("file ", &f, &after, rows[i].f);
		/* The same through the descriptor. */
		if (fstat(fd, &f) == 0)
			TIME_EQ(f.st_mtim, after.st_mtim);
		after = pt_lstat("d");
		compare("directory ", &d, &after, rows[i].d);
		after = pt_lstat("e");
		compare("other directory ", &e, &after, rows[i].e);
		OK(close(fd));
		OK(close(src));
		OK(pt_remove_tree(AT_FDCWD, "d"));
		OK(pt_remove_tree(AT_FDCWD, "e"));
	}
}

/* Closing, syncing and opening again are no changes. */
static void close_changes_nothing(void)
{
	struct stat before, after;
	int other;

	other = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	EQ(write(other, "data", 4), 4);
	before = pt_fstat(other);
	pt_tick();
	OK(fsync(other));
	after = pt_lstat("f");
	TIME_EQ(after.st_mtim, before.st_mtim);
	TIME_EQ(after.st_ctim, before.st_ctim);
	OK(close(other));
	after = pt_lstat("f");
	TIME_EQ(after.st_mtim, before.st_mtim);
	TIME_EQ(after.st_ctim, before.st_ctim);
	EQ(after.st_size, 4);
	EQ(after.st_ino, before.st_ino);
	pt_tick();
	other = OK(open("f", O_RDWR | O_CLOEXEC));
	OK(close(other));
	after = pt_lstat("f");
	TIME_EQ(after.st_mtim, before.st_mtim);
	TIME_EQ(after.st_ctim, before.st_ctim);
}

static int try_mmap_store(void)
{
	struct stat before, after;
	int other = open("m", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	char *p;

	if (other < 0 || write(other, "data", 4) != 4 || fstat(other, &before))
		return -1;
	pt_tick();
	p = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
	if (p == MAP_FAILED)
		return -1;
	p[0] = 'D';
	if (msync(p, 4, MS_SYNC) || munmap(p, 4) || close(other) || stat("m", &after))
		return -1;
	return pt_time_cmp(after.st_mtim, before.st_mtim) > 0 &&
			       pt_time_cmp(after.st_ctim, before.st_ctim) > 0 ?
		       0 :
		       -1;
}

/* POSIX wants it at msync; Linux' tmpfs does not do it. */
static void mmap_store(void)
{
	if (try_mmap_store() == 0)
		CHECK(true);
	else
		UNSUPPORTED("mtime of a store to a shared mapping", try_mmap_store);
}

/* A reader's time is never in the future, and never before the file's birth. */
static void read_time_is_sane(void)
{
	const struct timespec old[2] = { { 1000000000, 0 }, { 1000000001, 0 } };
	struct timespec atime, start = pt_now();
	char buf[4];

	OK(pt_put("f", "data", 4));
	OK(utimensat(AT_FDCWD, "f", old, 0));
	pt_tick();
	EQ(pt_get("f", buf, 4), 4);
	atime = pt_lstat("f").st_atim;
	CHECK(pt_time_cmp(atime, old[0]) == 0 || pt_time_cmp(atime, start) > 0);
	CHECK(pt_time_cmp(atime, pt_now()) <= 0);
	TIME_EQ(pt_lstat("f").st_mtim, old[1]);
}

/* Stat while another descriptor writes: exact at every step. */
static void seen_while_written(void)
{
	struct stat st, last;
	int other = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	last = pt_lstat("f");
	for (int i = 1; i <= 50; i++) {
		pt_row("i=%d", i);
		if (i % 10 == 0)
			pt_tick();
		EQ(write(other, "0123456789", 10), 10);
		st = pt_lstat("f");
		EQ(st.st_size, i * 10);
		if (i % 10 == 0)
			TIME_GT(st.st_mtim, last.st_mtim);
		else
			CHECK(pt_time_cmp(st.st_mtim, last.st_mtim) >= 0);
		last = st;
	}
	OK(close(other));
	TIME_EQ(pt_lstat("f").st_mtim, last.st_mtim);
	EQ(pt_size("f"), 500);
}

static const struct pt_case cases[] = {
	{ "each_operation", each_operation, 0 },
	{ "close_changes_nothing", close_changes_nothing, 0 },
	{ "mmap_store", mmap_store, 0 },
	{ "read_time_is_sane", read_time_is_sane, 0 },
	{ "seen_while_written", seen_while_written, 0 },
};

PT_FAMILY(stat_times, cases);
