/* SPDX-License-Identifier: Apache-2.0 */
/* link(2): several names of one file. */
#include "config.h"

#include "tests/posix/posix.h"

#include <stdio.h>
#include <sys/xattr.h>

static void every_type(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		struct stat st;

		if (t == PT_DIR || !pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(mkdir("d", 0755));
		OK(pt_make(t, "a", 0644));
		EQ(pt_nlink("a"), 1);
		OK(link("a", "b"));
		OK(link("b", "d/c"));
		EQ(pt_nlink("a"), 3);
		EQ(pt_nlink("b"), 3);
		EQ(pt_nlink("d/c"), 3);
		EQ(pt_lstat("b").st_ino, pt_lstat("a").st_ino);
		EQ(pt_lstat("d/c").st_ino, pt_lstat("a").st_ino);
		OK(lchown("b", pt_owner.uid, pt_owner.gid));
		if (t != PT_LNK)
			OK(chmod("d/c", 0201));
		st = pt_lstat("a");
		EQ(st.st_uid, pt_owner.uid);
		EQ(st.st_gid, pt_owner.gid);
		MODE_EQ(st.st_mode & S_IFMT, pt_type_mode(t));
		if (t != PT_LNK)
			MODE_EQ(st.st_mode & 07777, 0201);
		OK(unlink("a"));
		CHECK(!pt_exists("a"));
		EQ(pt_nlink("b"), 2);
		EQ(pt_nlink("d/c"), 2);
		OK(unlink("d/c"));
		EQ(pt_nlink("b"), 1);
		EQ(pt_lstat("b").st_uid, pt_owner.uid);
		OK(unlink("b"));
		OK(rmdir("d"));
	}
}

static void times(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		struct stat file, dir;

		if (t == PT_DIR || !pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "a", 0644));
		OK(mkdir("d", 0755));
		file = pt_lstat("a");
		dir = pt_lstat("d");
		pt_tick();
		OK(link("a", "d/b"));
		TIME_GT(pt_lstat("a").st_ctim, file.st_ctim);
		TIME_EQ(pt_lstat("a").st_mtim, file.st_mtim);
		TIME_GT(pt_lstat("d").st_ctim, dir.st_ctim);
		TIME_GT(pt_lstat("d").st_mtim, dir.st_mtim);
		file = pt_lstat("a");
		dir = pt_lstat("d");
		pt_tick();
		ERR(EEXIST, link("a", "d/b"));
		TIME_EQ(pt_lstat("a").st_ctim, file.st_ctim);
		TIME_EQ(pt_lstat("d").st_ctim, dir.st_ctim);
		TIME_EQ(pt_lstat("d").st_mtim, dir.st_mtim);
		OK(unlink("a"));
		OK(unlink("d/b"));
		OK(rmdir("d"));
	}
}

static void contents_are_shared(void)
{
	char buf[16];
	int fd;

	OK(pt_put("a", "hello", 5));
	OK(link("a", "b"));
	fd = OK(open("b", O_RDWR | O_CLOEXEC));
	EQ(pwrite(fd, "J", 1, 0), 1);
	EQ(pt_get("a", buf, sizeof(buf)), 5);
	MEM_EQ(buf, "Jello", 5);
	EQ(pwrite(fd, " world", 6, 5), 6);
	EQ(pt_size("a"), 11);
	OK(truncate("a", 2));
	EQ(pt_fstat(fd).st_size, 2);
	OK(unlink("b"));
	EQ(pwrite(fd, "X", 1, 1), 1);
	OK(close(fd));
	EQ(pt_get("a", buf, sizeof(buf)), 2);
	MEM_EQ(buf, "JX", 2);
	OK(link("a", "c"));
	OK(setxattr("c", "user.k", "v", 1, 0));
	EQ(getxattr("a", "user.k", buf, sizeof(buf)), 1);
}

static void in_the_way(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_touch("a", 0644));
		OK(pt_make(t, "x", 0644));
		ERR(EEXIST, link("a", "x"));
		EQ(pt_nlink("a"), 1);
		MODE_EQ(pt_lstat("x").st_mode & S_IFMT, pt_type_mode(t));
		OK(pt_remove("x"));
		OK(unlink("a"));
	}
	OK(pt_touch("a", 0644));
	ERR(EEXIST, link("a", "a"));
	ERR(EEXIST, link("a", "."));
	ERR(EEXIST, link("a", ".."));
	EQ(pt_nlink("a"), 1);
}

static void directories(void)
{
	OK(mkdir("d", 0755));
	ERR(EPERM, link("d", "e"));
	ERR(EPERM, link(".", "e"));
	ERR(EPERM, link("d/..", "e"));
	OK(chown(".", pt_owner.uid, pt_owner.gid));
	AS(&pt_owner) {
		OK(mkdir("mine", 0755));
		ERR(EPERM, link("mine", "e"));
	}
	CHECK(!pt_exists("e"));
}

static void symlinks(void)
{
	OK(pt_touch("f", 0644));
	OK(symlink("f", "l"));
	/* link() does not follow, linkat() if asked to. */
	OK(link("l", "m"));
	CHECK(S_ISLNK(pt_lstat("m").st_mode));
	EQ(pt_nlink("l"), 2);
	EQ(pt_nlink("f"), 1);
	OK(linkat(AT_FDCWD, "l", AT_FDCWD, "n", AT_SYMLINK_FOLLOW));
	CHECK(S_ISREG(pt_lstat("n").st_mode));
	EQ(pt_nlink("f"), 2);
	OK(symlink("gone", "dangling"));
	OK(link("dangling", "dangling2"));
	ERR(ENOENT, linkat(AT_FDCWD, "dangling", AT_FDCWD, "o", AT_SYMLINK_FOLLOW));
	ERR(EINVAL, linkat(AT_FDCWD, "f", AT_FDCWD, "o", 0x40000000));
}

static void permissions(void)
{
	OK(mkdir("from", 0755));
	OK(mkdir("to", 0755));
	OK(chown("from", pt_owner.uid, pt_owner.gid));
	OK(chown("to", pt_owner.uid, pt_owner.gid));
	OK(pt_touch("from/f", 0644));
	OK(chown("from/f", pt_owner.uid, pt_owner.gid));
	AS(&pt_owner) {
		OK(link("from/f", "to/f"));
		OK(unlink("to/f"));
		OK(chmod("to", 0555));
		ERR(EACCES, link("from/f", "to/f"));
		OK(chmod("to", 0600));
		ERR(EACCES, link("from/f", "to/f"));
		OK(chmod("to", 0700));
		OK(chmod("from", 0600));
		ERR(EACCES, link("from/f", "to/f"));
		OK(chmod("from", 0500));
		OK(link("from/f", "to/f"));
		OK(unlink("to/f"));
	}
	OK(chmod("from", 0755));
	OK(chmod("to", 0777));
	AS(&pt_other) {
		/* The kernel's protection: not to what one could not open read-write. */
		if (pt_sysctl_fs("protected_hardlinks", 0))
			ERR(EPERM, link("from/f", "to/f"));
		else
			OK(link("from/f", "to/f"));
	}
	unlink("to/f");
	OK(chmod("from/f", 0666));
	AS(&pt_other)
		OK(link("from/f", "to/f"));
	EQ(pt_lstat("to/f").st_uid, pt_owner.uid);
}

static void other_file_system(void)
{
	/* proc is a file system of its own everywhere. */
	ERR(EXDEV, link("/proc/self/status", "x"));
	CHECK(!pt_exists("x"));
}

static void many(void)
{
	char name[32];

	OK(pt_put("f", "x", 1));
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		if (link("f", name)) {
			FAIL("link %d: %s", i, strerrorname_np(errno));
			return;
		}
	}
	EQ(pt_nlink("f"), 501);
	EQ(pt_nlink("l499"), 501);
	OK(unlink("f"));
	EQ(pt_size("l250"), 1);
	for (int i = 0; i < 499; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		if (unlink(name))
			FAIL("unlink %d: %s", i, strerrorname_np(errno));
	}
	EQ(pt_nlink("l499"), 1);
}

/* Where the class has no links: a clear answer, and nothing half done. */
static void refused(void)
{
	if (pt_has_links()) {
		SKIP("the class has hard links");
		return;
	}
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		struct stat dir;

		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "a", 0644));
		dir = pt_lstat(".");
		ERR(EPERM, link("a", "b"));
		CHECK(!pt_exists("b"));
		if (t != PT_DIR)
			EQ(pt_nlink("a"), 1);
		TIME_EQ(pt_lstat(".").st_mtim, dir.st_mtim);
		OK(pt_remove("a"));
	}
	OK(pt_touch("a", 0644));
	OK(pt_touch("b", 0644));
	ERR(EEXIST, link("a", "b"));
	ERR(ENOENT, link("missing", "c"));
}

static const struct pt_case cases[] = {
	{ "every_type", every_type, PT_LINKS },
	{ "times", times, PT_LINKS },
	{ "contents_are_shared", contents_are_shared, PT_LINKS },
	{ "in_the_way", in_the_way, 0 },
	{ "directories", directories, 0 },
	{ "symlinks", symlinks, PT_LINKS },
	{ "permissions", permissions, PT_LINKS },
	{ "other_file_system", other_file_system, 0 },
	{ "many", many, PT_LINKS },
	{ "refused", refused, 0 },
};

PT_FAMILY(link, cases);
