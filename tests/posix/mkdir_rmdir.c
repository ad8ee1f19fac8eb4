/* SPDX-License-Identifier: Apache-2.0 */
/* mkdir(2) and rmdir(2). */
#include "config.h"

#include "tests/posix/posix.h"

#include <dirent.h>
#include <stdio.h>

/* btrfs and object stores do not count subdirectories. */
static bool counts_subdirs(void)
{
	return !pt_opt.object && !pt_is_btrfs();
}

static void modes(void)
{
	static const struct {
		mode_t umask, mode, want;
	} rows[] = {
		{ 0, 0755, 0755 },      { 0, 0151, 0151 },    { 077, 0151, 0100 },
		{ 070, 0345, 0305 },    { 0501, 0345, 0244 }, { 0, 0, 0 },
		{ 0, 0777, 0777 },      { 022, 0777, 0755 },  { 0, 01777, 01777 },
		{ 0777, 01777, 01000 },
	};

	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		pt_row("mode=%04o umask=%04o", rows[i].mode, rows[i].umask);
		umask(rows[i].umask);
		OK(mkdir("d", rows[i].mode));
		MODE_EQ(pt_lstat("d").st_mode, S_IFDIR | rows[i].want);
		OK(rmdir("d"));
	}
}

static void fresh_directory(void)
{
	struct timespec before = pt_now();
	struct dirent *de;
	struct stat st;
	int dots = 0;
	DIR *dir;

	pt_tick();
	OK(mkdir("d", 0755));
	st = pt_lstat("d");
	TIME_GT(st.st_atim, before);
	TIME_GT(st.st_mtim, before);
	TIME_GT(st.st_ctim, before);
	if (counts_subdirs())
		EQ(st.st_nlink, 2);
	EQ(pt_lstat("d/.").st_ino, st.st_ino);
	EQ(pt_lstat("d/..").st_ino, pt_lstat(".").st_ino);
	dir = opendir("d");
	if (!CHECK(dir != NULL))
		return;
	while ((de = readdir(dir)) != NULL) {
		CHECK(strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0);
		dots++;
	}
	EQ(dots, 2);
	closedir(dir);
}

static void ownership(void)
{
	const struct pt_user *users[] = { &pt_owner, &pt_mate, &pt_member, &pt_other };

	OK(chmod(".", 0777));
	for (size_t i = 0; i < PT_ARRAY_SIZE(users); i++) {
		pt_row("%s", users[i]->name);
		AS(users[i])
			OK(mkdir("d", 0755));
		EQ(pt_lstat("d").st_uid, users[i]->uid);
		EQ(pt_lstat("d").st_gid, users[i]->gid);
		OK(rmdir("d"));
	}
}

static void setgid_inherited(void)
{
	OK(mkdir("d", 0777));
	OK(chown("d", 0, pt_owner.gid));
	OK(chmod("d", 02777));
	AS(&pt_other) {
		OK(mkdir("d/sub", 0755));
		OK(mkdir("d/sub/sub", 0700));
	}
	EQ(pt_lstat("d/sub").st_gid, pt_owner.gid);
	MODE_EQ(pt_perm("d/sub"), 02755);
	EQ(pt_lstat("d/sub/sub").st_gid, pt_owner.gid);
	MODE_EQ(pt_perm("d/sub/sub"), 02700);
	OK(chmod("d", 0777));
	AS(&pt_other)
		OK(mkdir("d/plain", 0755));
	EQ(pt_lstat("d/plain").st_gid, pt_other.gid);
	MODE_EQ(pt_perm("d/plain"), 0755);
}

static void link_counts(void)
{
	char name[32];

	if (!counts_subdirs()) {
		SKIP("subdirectories are not counted here");
		return;
	}
	OK(mkdir("d", 0755));
	for (int i = 0; i < 20; i++) {
		pt_row("i=%d", i);
		EQ(pt_nlink("d"), 2 + i);
		snprintf(name, sizeof(name), "d/s%d", i);
		OK(mkdir(name, 0755));
	}
	OK(pt_touch("d/file", 0644));
	EQ(pt_nlink("d"), 22);
	for (int i = 0; i < 20; i++) {
		pt_row("i=%d", i);
		snprintf(name, sizeof(name), "d/s%d", i);
		OK(rmdir(name));
		EQ(pt_nlink("d"), 21 - i);
	}
}

static void in_the_way(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0644));
		ERR(EEXIST, mkdir("x", 0755));
		MODE_EQ(pt_lstat("x").st_mode & S_IFMT, pt_type_mode(t));
		if (t == PT_DIR)
			OK(rmdir("x"));
		else
			ERR(ENOTDIR, rmdir("x"));
		pt_remove("x");
	}
	ERR(EEXIST, mkdir(".", 0755));
	ERR(EEXIST, mkdir("..", 0755));
	ERR(EEXIST, mkdir("/", 0755));
	/* Not through a dangling link. */
	OK(symlink("target", "l"));
	ERR(EEXIST, mkdir("l", 0755));
	CHECK(!pt_exists("target"));
	OK(mkdir("slash/", 0755));
	OK(rmdir("slash//"));
}

static void not_empty(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(mkdir("d", 0755));
		OK(pt_make(t, "d/x", 0644));
		ERR2(ENOTEMPTY, EEXIST, rmdir("d"));
		CHECK(pt_exists("d/x"));
		OK(pt_remove("d/x"));
		OK(rmdir("d"));
		CHECK(!pt_exists("d"));
	}
	OK(mkdir("d", 0755));
	OK(pt_touch("d/.hidden", 0644));
	ERR2(ENOTEMPTY, EEXIST, rmdir("d"));
	/* Moved out, it is empty. */
	OK(rename("d/.hidden", "out"));
	OK(rmdir("d"));
}

static void dots(void)
{
	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	ERR(EINVAL, rmdir("d/e/."));
	ERR2(ENOTEMPTY, EEXIST, rmdir("d/e/.."));
	ERR(EINVAL, rmdir("."));
	ERR2(ENOTEMPTY, EEXIST, rmdir(".."));
	CHECK(pt_exists("d/e"));
	OK(symlink("d/e", "l"));
	ERR(ENOTDIR, rmdir("l"));
	ERR(ENOTDIR, rmdir("l/"));
	OK(rmdir("d/e"));
}

/* A directory removed under somebody who stands in it. */
static void removed_while_used(void)
{
	struct stat st;
	char buf[64];
	DIR *dir;
	int fd;

	OK(mkdir("d", 0755));
	fd = OK(open("d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	dir = opendir("d");
	if (!CHECK(dir != NULL))
		return;
	OK(chdir("d"));
	OK(rmdir("../d"));
	OK(fstat(fd, &st));
	if (counts_subdirs())
		EQ(st.st_nlink, 0);
	CHECK(S_ISDIR(st.st_mode));
	OK(stat(".", &st));
	ERR(ENOENT, mkdir("x", 0755));
	ERR(ENOENT, mknod("x", S_IFREG | 0644, 0));
	ERR(ENOENT, open("x", O_CREAT | O_RDWR, 0644));
	ERR(ENOENT, symlink("t", "x"));
	ERR(ENOENT, openat(fd, "x", O_RDONLY));
	CHECK(getcwd(buf, sizeof(buf)) == NULL);
	while (readdir(dir))
		;
	closedir(dir);
	OK(close(fd));
	OK(chdir("/"));
}

static void permission_on_parent(void)
{
	static const struct {
		mode_t mode;
		const struct pt_user *user;
		bool may;
	} rows[] = {
		{ 0700, &pt_owner, true },  { 0300, &pt_owner, true },   { 0577, &pt_owner, false },
		{ 0677, &pt_owner, false }, { 0770, &pt_mate, true },    { 0757, &pt_mate, false },
		{ 0770, &pt_member, true }, { 0747, &pt_member, false }, { 0707, &pt_other, true },
		{ 0773, &pt_other, true },  { 0775, &pt_other, false },  { 0776, &pt_other, false },
	};

	OK(mkdir("d", 0755));
	OK(chown("d", pt_owner.uid, pt_owner.gid));
	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		pt_row("mode=%04o %s", rows[i].mode, rows[i].user->name);
		OK(mkdir("d/old", 0777));
		OK(chmod("d", rows[i].mode));
		AS(rows[i].user) {
			if (rows[i].may) {
				OK(mkdir("d/new", 0755));
				OK(rmdir("d/old"));
			} else {
				ERR(EACCES, mkdir("d/new", 0755));
				ERR(EACCES, rmdir("d/old"));
			}
		}
		EQ(pt_exists("d/new"), rows[i].may);
		EQ(pt_exists("d/old"), !rows[i].may);
		OK(rmdir(rows[i].may ? "d/new" : "d/old"));
	}
}

static void sticky(void)
{
	static const struct {
		const struct pt_user *dir, *victim;
		bool may; /* pt_owner removes */
	} rows[] = {
		{ &pt_owner, &pt_owner, true }, { &pt_owner, &pt_other, true },
		{ &pt_other, &pt_owner, true }, { &pt_other, &pt_mate, false },
		{ &pt_mate, &pt_other, false },
	};

	OK(mkdir("d", 0777));
	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		pt_row("dir=%s victim=%s", rows[i].dir->name, rows[i].victim->name);
		OK(chown("d", rows[i].dir->uid, rows[i].dir->gid));
		OK(chmod("d", 01777));
		OK(mkdir("d/x", 0777));
		OK(chown("d/x", rows[i].victim->uid, rows[i].victim->gid));
		AS(&pt_owner) {
			if (rows[i].may)
				OK(rmdir("d/x"));
			else
				ERR(EPERM, rmdir("d/x"));
		}
		if (!rows[i].may)
			OK(rmdir("d/x"));
	}
}

static void deep(void)
{
	int fd;

	for (int i = 0; i < 200; i++) {
		if (mkdir("d", 0755) || chdir("d")) {
			FAIL("level %d: %s", i, strerrorname_np(errno));
			return;
		}
	}
	OK(pt_touch("bottom", 0644));
	fd = OK(open("bottom", O_RDWR | O_CLOEXEC));
	EQ(write(fd, "x", 1), 1);
	OK(close(fd));
	OK(unlink("bottom"));
	for (int i = 0; i < 200; i++) {
		if (chdir("..") || rmdir("d")) {
			FAIL("level %d up: %s", i, strerrorname_np(errno));
			return;
		}
	}
	CHECK(!pt_exists("d"));
}

static const struct pt_case cases[] = {
	{ "modes", modes, 0 },
	{ "fresh_directory", fresh_directory, 0 },
	{ "ownership", ownership, 0 },
	{ "setgid_inherited", setgid_inherited, 0 },
	{ "link_counts", link_counts, 0 },
	{ "in_the_way", in_the_way, 0 },
	{ "not_empty", not_empty, 0 },
	{ "dots", dots, 0 },
	{ "removed_while_used", removed_while_used, 0 },
	{ "permission_on_parent", permission_on_parent, 0 },
	{ "sticky", sticky, 0 },
	{ "deep", deep, 0 },
};

PT_FAMILY(mkdir_rmdir, cases);
