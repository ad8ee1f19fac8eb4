/* SPDX-License-Identifier: Apache-2.0 */
/* rename(2): every type over every type, directories, loops, times, open files. */
#include "config.h"

#include "tests/posix/posix.h"

#include <stdio.h>

/* btrfs and object stores do not count subdirectories. */
static bool counts_subdirs(void)
{
	return !pt_opt.object && !pt_is_btrfs();
}

static void to_new_name(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		struct stat before, after, dir;

		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(mkdir("d", 0755));
		OK(pt_make(t, "a", 0604));
		before = pt_lstat("a");
		dir = pt_lstat("d");
		pt_tick();
		OK(rename("a", "b"));
		CHECK(!pt_exists("a"));
		EQ(pt_lstat("b").st_ino, before.st_ino);
		OK(rename("b", "d/c"));
		CHECK(!pt_exists("b"));
		after = pt_lstat("d/c");
		EQ(after.st_ino, before.st_ino);
		MODE_EQ(after.st_mode, before.st_mode);
		EQ(after.st_uid, before.st_uid);
		EQ(after.st_size, t == PT_DIR ? after.st_size : before.st_size);
		EQ(after.st_nlink, before.st_nlink);
		EQ(after.st_rdev, before.st_rdev);
		if (t != PT_DIR)
			TIME_EQ(after.st_mtim, before.st_mtim);
		TIME_GT(pt_lstat("d").st_mtim, dir.st_mtim);
		TIME_GT(pt_lstat("d").st_ctim, dir.st_ctim);
		OK(pt_remove("d/c"));
		OK(rmdir("d"));
	}
}

/* Every type onto every type, with the errno each pair must give. */
static void over_existing(void)
{
	for (int from = PT_REG; from < PT_N_TYPES; from++) {
		for (int to = PT_REG; to < PT_N_TYPES; to++) {
			struct stat a, b;

			if (!pt_can_make(from) || !pt_can_make(to))
				continue;
			pt_row("%s over %s", pt_type_name(from), pt_type_name(to));
			OK(pt_make(from, "a", 0644));
			OK(pt_make(to, "b", 0600));
			a = pt_lstat("a");
			b = pt_lstat("b");
			if (from == PT_DIR && to != PT_DIR) {
				ERR(ENOTDIR, rename("a", "b"));
			} else if (from != PT_DIR && to == PT_DIR) {
				ERR(EISDIR, rename("a", "b"));
			} else {
				OK(rename("a", "b"));
				CHECK(!pt_exists("a"));
				EQ(pt_lstat("b").st_ino, a.st_ino);
				MODE_EQ(pt_lstat("b").st_mode, a.st_mode);
				OK(pt_remove("b"));
				continue;
			}
			EQ(pt_lstat("a").st_ino, a.st_ino);
			EQ(pt_lstat("b").st_ino, b.st_ino);
			OK(pt_remove("a"));
			OK(pt_remove("b"));
		}
	}
}

static void contents_follow(void)
{
	char buf[16];
	int old, new;

	OK(pt_put("a", "from a", 6));
	OK(pt_put("b", "from b!", 7));
	old = OK(open("b", O_RDWR | O_CLOEXEC));
	new = OK(open("a", O_RDWR | O_CLOEXEC));
	OK(rename("a", "b"));
	EQ(pt_get("b", buf, sizeof(buf)), 6);
	MEM_EQ(buf, "from a", 6);
	/* Descriptors keep their files: the replaced one and the renamed one. */
	EQ(pread(old, buf, sizeof(buf), 0), 7);
	MEM_EQ(buf, "from b!", 7);
	EQ(pt_fstat(old).st_nlink, 0);
	EQ(pwrite(new, "X", 1, 0), 1);
	EQ(pwrite(old, "Y", 1, 0), 1);
	EQ(pt_get("b", buf, sizeof(buf)), 6);
	MEM_EQ(buf, "Xrom a", 6);
	OK(close(old));
	OK(close(new));
	EQ(pt_size("b"), 6);
}

/* What editors, databases and package managers do all day. */
static void write_then_rename(void)
{
	char buf[32], text[32];
	int n;

	OK(pt_put("config", "version 0", 9));
	for (int i = 1; i <= 100; i++) {
		int fd;

		pt_row("i=%d", i);
		n = snprintf(text, sizeof(text), "version %d", i);
		fd = OK(open("config.tmp", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
		EQ(write(fd, text, n), n);
		if (i % 10 == 0)
			OK(fsync(fd));
		if (i % 2)
			OK(close(fd));
		OK(rename("config.tmp", "config"));
		if (i % 2 == 0)
			OK(close(fd));
		EQ(pt_get("config", buf, sizeof(buf)), n);
		MEM_EQ(buf, text, n);
		CHECK(!pt_exists("config.tmp"));
	}
}

static void same_file(void)
{
	struct stat before;

	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "a", 0644));
		before = pt_lstat("a");
		OK(rename("a", "a"));
		OK(rename("./a", "a"));
		EQ(pt_lstat("a").st_ino, before.st_ino);
		EQ(pt_lstat("a").st_nlink, before.st_nlink);
		OK(pt_remove("a"));
	}
}

/* Two names of one file: rename does nothing and succeeds. */
static void between_links(void)
{
	OK(pt_touch("a", 0644));
	OK(mkdir("d", 0755));
	OK(link("a", "b"));
	OK(link("a", "d/c"));
	OK(rename("a", "b"));
	CHECK(pt_exists("a"));
	CHECK(pt_exists("b"));
	OK(rename("a", "d/c"));
	CHECK(pt_exists("a"));
	EQ(pt_nlink("a"), 3);
}

static void victim_with_links(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		struct stat before;

		if (t == PT_DIR || !pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "src", 0644));
		OK(pt_make(t, "dst", 0644));
		OK(link("dst", "other"));
		OK(link("src", "src2"));
		before = pt_lstat("other");
		EQ(before.st_nlink, 2);
		pt_tick();
		OK(rename("src", "dst"));
		EQ(pt_nlink("other"), 1);
		EQ(pt_lstat("other").st_ino, before.st_ino);
		TIME_GT(pt_lstat("other").st_ctim, before.st_ctim);
		EQ(pt_nlink("dst"), 2);
		EQ(pt_lstat("dst").st_ino, pt_lstat("src2").st_ino);
		OK(unlink("dst"));
		OK(unlink("other"));
		OK(unlink("src2"));
	}
}

static void directory_not_empty(void)
{
	OK(mkdir("a", 0755));
	OK(pt_touch("a/f", 0644));
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(mkdir("b", 0755));
		OK(pt_make(t, "b/x", 0644));
		ERR2(ENOTEMPTY, EEXIST, rename("a", "b"));
		CHECK(pt_exists("a/f"));
		CHECK(pt_exists("b/x"));
		OK(pt_remove("b/x"));
		OK(rename("a", "b"));
		CHECK(pt_exists("b/f"));
		CHECK(!pt_exists("a"));
		OK(rename("b", "a"));
	}
}

static void into_itself(void)
{
	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	OK(mkdir("a/b/c", 0755));
	ERR(EINVAL, rename("a", "a/x"));
	ERR(EINVAL, rename("a", "a/b"));
	ERR(EINVAL, rename("a", "a/b/x"));
	ERR(EINVAL, rename("a", "a/b/c"));
	ERR(EINVAL, rename("a", "a/b/c/x"));
	ERR(EINVAL, rename("a/b", "a/b/c/x"));
	ERR2(ENOTEMPTY, EEXIST, rename("a/b/c", "a"));
	ERR2(ENOTEMPTY, EEXIST, rename("a/b", "a"));
	/* Names that only begin alike are no loop. */
	OK(mkdir("aa", 0755));
	OK(rename("a", "aa/a"));
	OK(rename("aa/a", "a"));
	CHECK(pt_exists("a/b/c"));
}

static void dots(void)
{
	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	OK(mkdir("x", 0755));
	ERR2(EBUSY, EINVAL, rename("d/e/.", "new"));
	ERR2(EBUSY, EINVAL, rename("d/e/..", "new"));
	ERR2(EBUSY, EINVAL, rename(".", "new"));
	ERR2(EBUSY, EINVAL, rename("..", "new"));
	ERR2(EBUSY, EINVAL, rename("x", "d/."));
	ERR2(EBUSY, EINVAL, rename("x", "d/.."));
	ERR2(EBUSY, EINVAL, rename("x", "."));
	CHECK(pt_exists("d/e"));
	CHECK(pt_exists("x"));
}

static void directory_moves(void)
{
	char buf[8];
	int dirfd;

	OK(mkdir("p", 0755));
	OK(mkdir("q", 0755));
	OK(mkdir("p/d", 0755));
	OK(mkdir("p/d/sub", 0755));
	OK(pt_put("p/d/f", "data", 4));
	dirfd = OK(open("p/d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (counts_subdirs()) {
		EQ(pt_nlink("p"), 3);
		EQ(pt_nlink("q"), 2);
	}
	OK(rename("p/d", "q/e"));
	if (counts_subdirs()) {
		EQ(pt_nlink("p"), 2);
		EQ(pt_nlink("q"), 3);
		EQ(pt_nlink("q/e"), 3);
	}
	EQ(pt_lstat("q/e/..").st_ino, pt_lstat("q").st_ino);
	EQ(pt_lstat("q/e/sub/../..").st_ino, pt_lstat("q").st_ino);
	EQ(pt_get("q/e/f", buf, 4), 4);
	CHECK(!pt_exists("p/d/f"));
	CHECK(!pt_exists("p/d"));
	OK(faccessat(dirfd, "f", F_OK, 0));
	OK(faccessat(dirfd, "../e/f", F_OK, 0));
	OK(close(dirfd));
	/* Over an empty one, in another parent. */
	OK(mkdir("p/d", 0755));
	OK(rename("q/e", "p/d"));
	if (counts_subdirs()) {
		EQ(pt_nlink("p"), 3);
		EQ(pt_nlink("q"), 2);
	}
	EQ(pt_get("p/d/f", buf, 4), 4);
	/* And the name left behind is free. */
	OK(mkdir("q/e", 0755));
	OK(pt_touch("q/e/f", 0644));
	CHECK(!pt_exists("q/e/sub"));
}

/* Standing in a directory, or below it, while it moves. */
static void working_directory_moves(void)
{
	char cwd[4096];

	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	OK(mkdir("c", 0755));
	OK(chdir("a/b"));
	OK(rename("../../a", "../../c/a"));
	OK(pt_touch("f", 0644));
	CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
	CHECK(strstr(cwd, "/c/a/b") != NULL);
	CHECK(pt_exists("../../../c/a/b/f"));
	EQ(pt_lstat("../..").st_ino, pt_lstat("../../../c").st_ino);
}

static void write_permission_on_parents(void)
{
	OK(mkdir("from", 0755));
	OK(mkdir("to", 0755));
	OK(chown("from", pt_owner.uid, pt_owner.gid));
	OK(chown("to", pt_owner.uid, pt_owner.gid));
	AS(&pt_owner) {
		for (int t = PT_REG; t < PT_N_TYPES; t++) {
			if (t == PT_BLK || t == PT_CHR || !pt_can_make(t))
				continue;
			pt_row("%s", pt_type_name(t));
			OK(pt_make(t, "from/x", 0700));
			OK(chmod("from", 0500));
			ERR(EACCES, rename("from/x", "to/y"));
			ERR(EACCES, rename("from/x", "from/y"));
			OK(chmod("from", 0600));
			ERR(EACCES, rename("from/x", "to/y"));
			OK(chmod("from", 0300));
			OK(chmod("to", 0500));
			ERR(EACCES, rename("from/x", "to/y"));
			OK(chmod("to", 0600));
			ERR(EACCES, rename("from/x", "to/y"));
			OK(chmod("to", 0300));
			OK(rename("from/x", "to/y"));
			CHECK(!pt_exists("from/x"));
			OK(pt_remove("to/y"));
			OK(chmod("from", 0700));
			OK(chmod("to", 0700));
		}
	}
}

/* A directory that changes its parent has its ".." written. */
static void write_permission_on_moved_directory(void)
{
	OK(mkdir("p", 0777));
	OK(mkdir("q", 0777));
	OK(mkdir("p/d", 0700));
	AS(&pt_owner) {
		OK(rename("p/d", "p/e"));
		ERR(EACCES, rename("p/e", "q/d"));
	}
	OK(chmod("p/e", 0777));
	AS(&pt_owner)
		OK(rename("p/e", "q/d"));
	CHECK(pt_exists("q/d"));
	OK(pt_touch("p/f", 0600));
	AS(&pt_owner)
		OK(rename("p/f", "q/f"));
	CHECK(pt_exists("q/f"));
}

static void failure_changes_nothing(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		struct stat before, dir;

		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0666));
		before = pt_lstat("x");
		dir = pt_lstat(".");
		pt_tick();
		AS(&pt_other)
			ERR(EACCES, rename("x", "y"));
		TIME_EQ(pt_lstat("x").st_ctim, before.st_ctim);
		TIME_EQ(pt_lstat(".").st_mtim, dir.st_mtim);
		TIME_EQ(pt_lstat(".").st_ctim, dir.st_ctim);
		OK(pt_remove("x"));
	}
}

static void other_file_system(void)
{
	OK(pt_touch("f", 0644));
	OK(mkdir("d", 0755));
	ERR(EXDEV, rename("f", "/proc/f"));
	ERR(EXDEV, rename("d", "/proc/d"));
	ERR(EXDEV, rename("/proc/self/status", "s"));
	CHECK(pt_exists("f"));
	CHECK(pt_exists("d"));
}

static void long_chain(void)
{
	char a[32], b[32];
	ino_t ino;

	OK(pt_put("n0", "x", 1));
	ino = pt_lstat("n0").st_ino;
	for (int i = 0; i < 300; i++) {
		snprintf(a, sizeof(a), "n%d", i);
		snprintf(b, sizeof(b), "n%d", i + 1);
		if (rename(a, b)) {
			FAIL("rename %d: %s", i, strerrorname_np(errno));
			return;
		}
	}
	EQ(pt_lstat("n300").st_ino, ino);
	CHECK(!pt_exists("n299"));
	EQ(pt_size("n300"), 1);
}

static const struct pt_case cases[] = {
	{ "to_new_name", to_new_name, 0 },
	{ "over_existing", over_existing, 0 },
	{ "contents_follow", contents_follow, 0 },
	{ "write_then_rename", write_then_rename, 0 },
	{ "same_file", same_file, 0 },
	{ "between_links", between_links, PT_LINKS },
	{ "victim_with_links", victim_with_links, PT_LINKS },
	{ "directory_not_empty", directory_not_empty, 0 },
	{ "into_itself", into_itself, 0 },
	{ "dots", dots, 0 },
	{ "directory_moves", directory_moves, 0 },
	{ "working_directory_moves", working_directory_moves, 0 },
	{ "write_permission_on_parents", write_permission_on_parents, 0 },
	{ "write_permission_on_moved_directory", write_permission_on_moved_directory, 0 },
	{ "failure_changes_nothing", failure_changes_nothing, 0 },
	{ "other_file_system", other_file_system, 0 },
	{ "long_chain", long_chain, 0 },
};

PT_FAMILY(rename, cases);
