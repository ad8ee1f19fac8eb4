/* SPDX-License-Identifier: Apache-2.0 */
/* unlink(2). */
#include "config.h"

#include "tests/posix/posix.h"

static void every_type(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		struct timespec before;

		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(mkdir("d", 0755));
		OK(pt_make(t, "d/x", 0644));
		before = pt_lstat("d").st_mtim;
		pt_tick();
		if (t == PT_DIR) {
			/* POSIX says EPERM, Linux EISDIR. */
			ERR(EISDIR, unlink("d/x"));
			CHECK(pt_exists("d/x"));
			TIME_EQ(pt_lstat("d").st_mtim, before);
			OK(rmdir("d/x"));
		} else {
			OK(unlink("d/x"));
			TIME_GT(pt_lstat("d").st_mtim, before);
			TIME_GT(pt_lstat("d").st_ctim, before);
		}
		CHECK(!pt_exists("d/x"));
		ERR(ENOENT, unlink("d/x"));
		OK(rmdir("d"));
	}
}

static void one_of_two_names(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		struct stat before;

		if (t == PT_DIR || !pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0644));
		OK(linkat(AT_FDCWD, "x", AT_FDCWD, "y", 0));
		before = pt_lstat("x");
		EQ(before.st_nlink, 2);
		pt_tick();
		OK(unlink("y"));
		EQ(pt_nlink("x"), 1);
		EQ(pt_lstat("x").st_ino, before.st_ino);
		TIME_GT(pt_lstat("x").st_ctim, before.st_ctim);
		TIME_EQ(pt_lstat("x").st_mtim, before.st_mtim);
		OK(unlink("x"));
	}
}

static void failure_changes_nothing(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		struct stat before, dir;

		if (t == PT_DIR || !pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0666));
		before = pt_lstat("x");
		dir = pt_lstat(".");
		pt_tick();
		AS(&pt_other)
			ERR(EACCES, unlink("x"));
		TIME_EQ(pt_lstat("x").st_ctim, before.st_ctim);
		TIME_EQ(pt_lstat(".").st_mtim, dir.st_mtim);
		TIME_EQ(pt_lstat(".").st_ctim, dir.st_ctim);
		OK(unlink("x"));
	}
}

/* What counts is the directory; the file's own mode says nothing. */
static void permission_is_the_parents(void)
{
	static const struct {
		mode_t mode;
		const struct pt_user *user;
		bool may;
	} rows[] = {
		{ 0700, &pt_owner, true },  { 0300, &pt_owner, true },  { 0500, &pt_owner, false },
		{ 0600, &pt_owner, false }, { 0577, &pt_owner, false }, { 0030, &pt_mate, true },
		{ 0757, &pt_mate, false },  { 0030, &pt_member, true }, { 0757, &pt_member, false },
		{ 0003, &pt_other, true },  { 0775, &pt_other, false }, { 0772, &pt_other, false },
	};

	OK(mkdir("d", 0755));
	OK(chown("d", pt_owner.uid, pt_owner.gid));
	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		pt_row("mode=%04o %s", rows[i].mode, rows[i].user->name);
		OK(pt_touch("d/x", 0));
		OK(chmod("d", rows[i].mode));
		AS(rows[i].user) {
			if (rows[i].may)
				OK(unlink("d/x"));
			else
				ERR(EACCES, unlink("d/x"));
		}
		EQ(pt_exists("d/x"), !rows[i].may);
		unlink("d/x");
	}
}

static void sticky(void)
{
	static const struct {
		const struct pt_user *dir, *victim;
		bool may; /* pt_owner removes */
	} rows[] = {
		{ &pt_owner, &pt_owner, true }, { &pt_owner, &pt_other, true },
		{ &pt_owner, &pt_mate, true },  { &pt_other, &pt_owner, true },
		{ &pt_other, &pt_mate, false }, { &pt_mate, &pt_other, false },
		{ &pt_mate, &pt_mate, false },
	};

	OK(mkdir("d", 0777));
	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		for (int t = PT_REG; t < PT_N_TYPES; t++) {
			if (t == PT_DIR || !pt_can_make(t))
				continue;
			pt_row("%s dir=%s victim=%s", pt_type_name(t), rows[i].dir->name,
			       rows[i].victim->name);
			OK(chown("d", rows[i].dir->uid, rows[i].dir->gid));
			OK(chmod("d", 01777));
			OK(pt_make_owned(t, "d/x", 0666, rows[i].victim->uid, rows[i].victim->gid));
			AS(&pt_owner) {
				if (rows[i].may)
					OK(unlink("d/x"));
				else
					ERR(EPERM, unlink("d/x"));
			}
			EQ(pt_exists("d/x"), !rows[i].may);
			if (!rows[i].may)
				OK(unlink("d/x"));
		}
	}
	pt_row("without the sticky bit");
	OK(chown("d", pt_other.uid, pt_other.gid));
	OK(chmod("d", 0777));
	OK(pt_touch("d/x", 0600));
	AS(&pt_owner)
		OK(unlink("d/x"));
}

static void dots(void)
{
	OK(mkdir("d", 0755));
	ERR(EISDIR, unlink("."));
	ERR(EISDIR, unlink(".."));
	ERR(EISDIR, unlink("d/."));
	ERR(EISDIR, unlink("d/.."));
	ERR(EISDIR, unlink("/"));
	OK(symlink("d", "l"));
	OK(unlink("l"));
	CHECK(pt_exists("d"));
	OK(rmdir("d"));
}

static void symlink_not_target(void)
{
	OK(pt_touch("f", 0644));
	OK(symlink("f", "l"));
	OK(unlink("l"));
	CHECK(pt_exists("f"));
	CHECK(!pt_exists("l"));
	OK(symlink("f", "l"));
	OK(unlink("f"));
	CHECK(pt_exists("l"));
}

static void at_flags(void)
{
	OK(mkdir("d", 0755));
	OK(pt_touch("f", 0644));
	ERR(EISDIR, unlinkat(AT_FDCWD, "d", 0));
	ERR(ENOTDIR, unlinkat(AT_FDCWD, "f", AT_REMOVEDIR));
	ERR(EINVAL, unlinkat(AT_FDCWD, "f", 0x40000000));
	OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
	OK(unlinkat(AT_FDCWD, "f", 0));
}

static void and_create_again(void)
{
	char buf[8];

	for (int i = 0; i < 50; i++) {
		char c = 'a' + i % 26;

		pt_row("i=%d", i);
		OK(pt_put("f", &c, 1));
		EQ(pt_get("f", buf, sizeof(buf)), 1);
		EQ(buf[0], c);
		OK(unlink("f"));
		CHECK(!pt_exists("f"));
		if (i % 3 == 0) {
			OK(mkdir("f", 0755));
			CHECK(S_ISDIR(pt_lstat("f").st_mode));
			OK(rmdir("f"));
		}
	}
}

static const struct pt_case cases[] = {
	{ "every_type", every_type, 0 },
	{ "one_of_two_names", one_of_two_names, PT_LINKS },
	{ "failure_changes_nothing", failure_changes_nothing, 0 },
	{ "permission_is_the_parents", permission_is_the_parents, 0 },
	{ "sticky", sticky, 0 },
	{ "dots", dots, 0 },
	{ "symlink_not_target", symlink_not_target, 0 },
	{ "at_flags", at_flags, 0 },
	{ "and_create_again", and_create_again, 0 },
};

PT_FAMILY(unlink, cases);
