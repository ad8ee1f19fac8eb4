/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes: namespaces, flags, limits, lists, rights. */
#include "config.h"

#include "tests/posix/posix.h"

#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>

static char big[XATTR_SIZE_MAX + 16];
static char got[XATTR_SIZE_MAX + 16];

/* How often name is in the list of path; -1 if the list cannot be read. */
static int listed(const char *path, const char *name)
{
	char list[16384];
	ssize_t n = llistxattr(path, list, sizeof(list));
	int times = 0;

	if (n < 0)
		return -1;
	for (char *p = list; p < list + n; p += strlen(p) + 1)
		times += strcmp(p, name) == 0;
	return times;
}

/* How many attributes are listed, not counting those of a security module. */
static int list_length(const char *path)
{
	char list[16384];
	ssize_t n = llistxattr(path, list, sizeof(list));
	int count = 0;

	if (n < 0)
		return -1;
	for (char *p = list; p < list + n; p += strlen(p) + 1)
		count += strcmp(p, "security.selinux") != 0;
	return count;
}

static void set_get_remove(void)
{
	static const char *const names[] = { "user.a", "user.some.longer.name", "trusted.t",
					     "security.f3test" };
	char value[64];

	for (int t = PT_REG; t <= PT_DIR; t++) {
		OK(pt_make(t, "x", 0644));
		for (size_t i = 0; i < PT_ARRAY_SIZE(names); i++) {
			pt_row("%s %s", pt_type_name(t), names[i]);
			ERR(ENODATA, getxattr("x", names[i], value, sizeof(value)));
			EQ(listed("x", names[i]), 0);
			OK(setxattr("x", names[i], "value", 5, 0));
			EQ(getxattr("x", names[i], value, sizeof(value)), 5);
			MEM_EQ(value, "value", 5);
			EQ(lgetxattr("x", names[i], value, sizeof(value)), 5);
			EQ(listed("x", names[i]), 1);
			OK(setxattr("x", names[i], "longer value", 12, 0));
			EQ(getxattr("x", names[i], value, sizeof(value)), 12);
			MEM_EQ(value, "longer value", 12);
			OK(setxattr("x", names[i], "s", 1, 0));
			EQ(getxattr("x", names[i], value, sizeof(value)), 1);
			OK(removexattr("x", names[i]));
			ERR(ENODATA, getxattr("x", names[i], value, sizeof(value)));
			ERR(ENODATA, removexattr("x", names[i]));
			EQ(listed("x", names[i]), 0);
		}
		OK(pt_remove("x"));
	}
}

static void create_replace(void)
{
	char value[16];

	OK(pt_touch("f", 0644));
	ERR(ENODATA, setxattr("f", "user.k", "v", 1, XATTR_REPLACE));
	EQ(listed("f", "user.k"), 0);
	OK(setxattr("f", "user.k", "v1", 2, XATTR_CREATE));
	ERR(EEXIST, setxattr("f", "user.k", "v22", 3, XATTR_CREATE));
	EQ(getxattr("f", "user.k", value, sizeof(value)), 2);
	MEM_EQ(value, "v1", 2);
	OK(setxattr("f", "user.k", "v333", 4, XATTR_REPLACE));
	EQ(getxattr("f", "user.k", value, sizeof(value)), 4);
	MEM_EQ(value, "v333", 4);
	ERR(EINVAL, setxattr("f", "user.k", "v", 1, 0x80));
	/* Both at once can never succeed, and changes nothing. */
	CHECK(setxattr("f", "user.k", "v", 1, XATTR_CREATE | XATTR_REPLACE) == -1);
	EQ(getxattr("f", "user.k", value, sizeof(value)), 4);
}

static void values(void)
{
	char value[300], back[300];

	OK(pt_touch("f", 0644));
	for (int i = 0; i < 256; i++)
		value[i] = (char)i;
	OK(setxattr("f", "user.bytes", value, 256, 0));
	EQ(getxattr("f", "user.bytes", back, sizeof(back)), 256);
	MEM_EQ(back, value, 256);
	OK(setxattr("f", "user.empty", "", 0, 0));
	EQ(getxattr("f", "user.empty", back, sizeof(back)), 0);
	EQ(getxattr("f", "user.empty", NULL, 0), 0);
	EQ(listed("f", "user.empty"), 1);
	OK(setxattr("f", "user.null", NULL, 0, 0));
	EQ(listed("f", "user.null"), 1);
}

static void buffers(void)
{
	char value[64], list[256];
	ssize_t n;

	OK(pt_touch("f", 0644));
	OK(setxattr("f", "user.k", "0123456789", 10, 0));
	EQ(getxattr("f", "user.k", NULL, 0), 10);
	ERR(ERANGE, getxattr("f", "user.k", value, 9));
	EQ(getxattr("f", "user.k", value, 10), 10);
	OK(setxattr("f", "user.second", "v", 1, 0));
	n = OK(listxattr("f", NULL, 0));
	CHECK(n >= (ssize_t)(sizeof("user.k") + sizeof("user.second")));
	ERR(ERANGE, listxattr("f", list, n - 1));
	EQ(listxattr("f", list, n), n);
	EQ(list[n - 1], 0);
}

/* What nobody set is not there: tools copy what is listed. */
static void fresh_files_have_none(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0644));
		EQ(list_length("x"), 0);
		OK(pt_remove("x"));
	}
	OK(pt_put("f", "data", 4));
	EQ(list_length("f"), 0);
	EQ(list_length("."), 0);
}

static void name_lengths(void)
{
	char name[XATTR_NAME_MAX + 2], value[4];

	OK(pt_touch("f", 0644));
	for (size_t len = 6; len <= XATTR_NAME_MAX + 1; len = len == 6 ? 254 : len + 1) {
		pt_row("len=%zu", len);
		memset(name, 'n', sizeof(name));
		memcpy(name, "user.", 5);
		name[len] = '\0';
		if (len <= XATTR_NAME_MAX) {
			OK(setxattr("f", name, "v", 1, 0));
			EQ(getxattr("f", name, value, sizeof(value)), 1);
			EQ(listed("f", name), 1);
			OK(removexattr("f", name));
		} else {
			ERR(ERANGE, setxattr("f", name, "v", 1, 0));
			ERR(ERANGE, getxattr("f", name, value, sizeof(value)));
			ERR(ERANGE, removexattr("f", name));
		}
	}
}

static void value_lengths(void)
{
	static const size_t sizes[] = { 1,    100,  255,  256,   1000,
					2000, 3000, 4000, 16384, XATTR_SIZE_MAX };

	OK(pt_touch("f", 0644));
	pt_fill(big, sizeof(big), 5);
	for (size_t i = 0; i < PT_ARRAY_SIZE(sizes); i++) {
		pt_row("len=%zu", sizes[i]);
		if (setxattr("f", "user.big", big, sizes[i], 0) == 0) {
			EQ(getxattr("f", "user.big", NULL, 0), sizes[i]);
			EQ(getxattr("f", "user.big", got, sizeof(got)), sizes[i]);
			MEM_EQ(got, big, sizes[i]);
		} else {
			/* File systems may have less room, never less than about 2 KiB. */
			CHECK(errno == ENOSPC || errno == E2BIG || errno == EDQUOT);
			CHECK(sizes[i] > (pt_opt.object ? 1000 : 2000));
			/* And the old value stays whole. */
			EQ(getxattr("f", "user.big", got, sizeof(got)), sizes[i - 1]);
			MEM_EQ(got, big, sizes[i - 1]);
			break;
		}
	}
	pt_row("too long");
	ERR(E2BIG, setxattr("f", "user.big", big, XATTR_SIZE_MAX + 1, 0));
}

static void object_class_limit(void)
{
	if (!pt_opt.object) {
		SKIP("a local class has no such limit");
		return;
	}
	OK(pt_touch("f", 0644));
	OK(setxattr("f", "user.small", big, 1000, 0));
	CHECK(setxattr("f", "user.big", big, 3000, 0) == -1);
	CHECK(errno == ENOSPC || errno == E2BIG);
	EQ(getxattr("f", "user.small", NULL, 0), 1000);
	EQ(listed("f", "user.big"), 0);
}

static void namespaces(void)
{
	char value[16];

	OK(pt_touch("f", 0644));
	ERR(EOPNOTSUPP, setxattr("f", "nodot", "v", 1, 0));
	ERR(EOPNOTSUPP, setxattr("f", "bogus.x", "v", 1, 0));
	ERR(EOPNOTSUPP, getxattr("f", "bogus.x", value, sizeof(value)));
	ERR(EOPNOTSUPP, removexattr("f", "bogus.x"));
	ERR(EOPNOTSUPP, setxattr("f", "userx", "v", 1, 0));
	ERR(EINVAL, setxattr("f", "user.", "v", 1, 0));
	ERR(EINVAL, setxattr("f", "trusted.", "v", 1, 0));
	ERR(ERANGE, setxattr("f", "", "v", 1, 0));
	EQ(list_length("f"), 0);
	/* Names are bytes, and case counts. */
	OK(setxattr("f", "user.Case", "A", 1, 0));
	OK(setxattr("f", "user.case", "a", 1, 0));
	OK(setxattr("f", "user.\xff\xfe \n", "b", 1, 0));
	EQ(getxattr("f", "user.Case", value, sizeof(value)), 1);
	EQ(value[0], 'A');
	EQ(list_length("f"), 3);
	/* The same name in two namespaces is two attributes. */
	OK(setxattr("f", "trusted.case", "t", 1, 0));
	EQ(getxattr("f", "user.case", value, sizeof(value)), 1);
	EQ(value[0], 'a');
}

/* user.* is for files and directories; trusted.* and security.* for all. */
static void types(void)
{
	char value[16];

	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		bool user = t == PT_REG || t == PT_DIR;

		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0666));
		if (user) {
			OK(lsetxattr("x", "user.k", "v", 1, 0));
			OK(lremovexattr("x", "user.k"));
		} else {
			ERR(EPERM, lsetxattr("x", "user.k", "v", 1, 0));
			ERR(ENODATA, lgetxattr("x", "user.k", value, sizeof(value)));
		}
		OK(lsetxattr("x", "trusted.k", "v", 1, 0));
		EQ(lgetxattr("x", "trusted.k", value, sizeof(value)), 1);
		EQ(listed("x", "trusted.k"), 1);
		OK(lremovexattr("x", "trusted.k"));
		OK(pt_remove("x"));
	}
}

static void symlinks(void)
{
	char value[16];

	OK(pt_touch("f", 0644));
	OK(symlink("f", "l"));
	OK(setxattr("l", "user.k", "file", 4, 0));
	EQ(getxattr("f", "user.k", value, sizeof(value)), 4);
	EQ(getxattr("l", "user.k", value, sizeof(value)), 4);
	OK(lsetxattr("l", "trusted.k", "link", 4, 0));
	ERR(ENODATA, getxattr("f", "trusted.k", value, sizeof(value)));
	EQ(lgetxattr("l", "trusted.k", value, sizeof(value)), 4);
	MEM_EQ(value, "link", 4);
	EQ(listed("l", "user.k"), 0);
	EQ(listed("l", "trusted.k"), 1);
	OK(removexattr("l", "user.k"));
	EQ(listed("f", "user.k"), 0);
}

static void rights_user(void)
{
	static const struct {
		mode_t mode;
		const struct pt_user *user;
		bool reads, writes;
	} rows[] = {
		{ 0600, &pt_owner, true, true },    { 0400, &pt_owner, true, false },
		{ 0200, &pt_owner, false, true },   { 0060, &pt_mate, true, true },
		{ 0040, &pt_mate, true, false },    { 0020, &pt_member, false, true },
		{ 0606, &pt_member, false, false }, { 0004, &pt_other, true, false },
		{ 0002, &pt_other, false, true },   { 0660, &pt_other, false, false },
	};
	char value[16];

	for (int t = PT_REG; t <= PT_DIR; t++) {
		OK(pt_make_owned(t, "x", 0644, pt_owner.uid, pt_owner.gid));
		for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
			pt_row("%s mode=%04o %s", pt_type_name(t), rows[i].mode,
			       rows[i].user->name);
			OK(setxattr("x", "user.k", "v", 1, 0));
			OK(chmod("x", rows[i].mode));
			AS(rows[i].user) {
				if (rows[i].reads)
					EQ(getxattr("x", "user.k", value, sizeof(value)), 1);
				else
					ERR(EACCES, getxattr("x", "user.k", value, sizeof(value)));
				if (rows[i].writes) {
					OK(setxattr("x", "user.k", "w", 1, 0));
					OK(removexattr("x", "user.k"));
				} else {
					ERR(EACCES, setxattr("x", "user.k", "w", 1, 0));
					ERR(EACCES, removexattr("x", "user.k"));
				}
				/* The list is open to all who reach the file. */
				CHECK(listxattr("x", value, 0) >= 0);
			}
		}
		OK(pt_remove("x"));
	}
}

static void rights_sticky_directory(void)
{
	OK(pt_make_owned(PT_DIR, "d", 01777, pt_owner.uid, pt_owner.gid));
	AS(&pt_other)
		ERR(EPERM, setxattr("d", "user.k", "v", 1, 0));
	AS(&pt_owner)
		OK(setxattr("d", "user.k", "v", 1, 0));
}

static void rights_privileged(void)
{
	char value[16];

	OK(pt_make_owned(PT_REG, "f", 0666, pt_owner.uid, pt_owner.gid));
	OK(setxattr("f", "trusted.t", "v", 1, 0));
	OK(setxattr("f", "security.f3test", "v", 1, 0));
	OK(setxattr("f", "user.u", "v", 1, 0));
	AS(&pt_owner) {
		ERR(EPERM, setxattr("f", "trusted.t", "w", 1, 0));
		ERR(EPERM, setxattr("f", "trusted.new", "w", 1, 0));
		ERR(EPERM, removexattr("f", "trusted.t"));
		/* Not even that it is there. */
		ERR(ENODATA, getxattr("f", "trusted.t", value, sizeof(value)));
		if (!pt_is_btrfs())
			EQ(listed("f", "trusted.t"), 0);
		EQ(listed("f", "user.u"), 1);
		ERR(EPERM, setxattr("f", "security.f3test", "w", 1, 0));
		EQ(getxattr("f", "security.f3test", value, sizeof(value)), 1);
	}
	EQ(listed("f", "trusted.t"), 1);
	EQ(getxattr("f", "trusted.t", value, sizeof(value)), 1);
	EQ(value[0], 'v');
}

static void times(void)
{
	struct stat before, after;

	OK(pt_touch("f", 0644));
	before = pt_lstat("f");
	pt_tick();
	OK(setxattr("f", "user.k", "v", 1, 0));
	after = pt_lstat("f");
	TIME_GT(after.st_ctim, before.st_ctim);
	TIME_EQ(after.st_mtim, before.st_mtim);
	before = after;
	pt_tick();
	ERR(EEXIST, setxattr("f", "user.k", "v", 1, XATTR_CREATE));
	ERR(ENODATA, removexattr("f", "user.none"));
	CHECK(getxattr("f", "user.k", NULL, 0) == 1);
	TIME_EQ(pt_lstat("f").st_ctim, before.st_ctim);
	pt_tick();
	OK(removexattr("f", "user.k"));
	TIME_GT(pt_lstat("f").st_ctim, before.st_ctim);
	TIME_EQ(pt_lstat("f").st_mtim, before.st_mtim);
}

static void by_descriptor(void)
{
	char value[16], list[64];
	int fd, path;

	OK(pt_touch("f", 0644));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	OK(fsetxattr(fd, "user.k", "v", 1, 0));
	EQ(fgetxattr(fd, "user.k", value, sizeof(value)), 1);
	EQ(flistxattr(fd, list, sizeof(list)), sizeof("user.k"));
	path = OK(open("f", O_PATH | O_CLOEXEC));
	ERR(EBADF, fgetxattr(path, "user.k", value, sizeof(value)));
	ERR(EBADF, fsetxattr(path, "user.k", "v", 1, 0));
	OK(close(path));
	OK(unlink("f"));
	EQ(fgetxattr(fd, "user.k", value, sizeof(value)), 1);
	OK(fsetxattr(fd, "user.after", "v", 1, 0));
	OK(fremovexattr(fd, "user.k"));
	ERR(ENODATA, fgetxattr(fd, "user.k", value, sizeof(value)));
	OK(close(fd));
	/* A new file by the old name does not inherit. */
	OK(pt_touch("f", 0644));
	EQ(list_length("f"), 0);
}

static void follow_the_file(void)
{
	char value[16];

	OK(pt_put("f", "data", 4));
	OK(mkdir("d", 0755));
	OK(setxattr("f", "user.k", "v", 1, 0));
	OK(rename("f", "d/g"));
	EQ(getxattr("d/g", "user.k", value, sizeof(value)), 1);
	OK(pt_put("h", "x", 1));
	OK(setxattr("h", "user.h", "v", 1, 0));
	OK(rename("h", "d/g"));
	ERR(ENODATA, getxattr("d/g", "user.k", value, sizeof(value)));
	EQ(getxattr("d/g", "user.h", value, sizeof(value)), 1);
	OK(truncate("d/g", 0));
	OK(chmod("d/g", 0600));
	EQ(getxattr("d/g", "user.h", value, sizeof(value)), 1);
}

static void many(void)
{
	char name[32], value[32], list[4096];
	ssize_t n;
	int count = pt_opt.object ? 20 : 40;

	OK(pt_touch("f", 0644));
	for (int i = 0; i < count; i++) {
		pt_row("i=%d", i);
		snprintf(name, sizeof(name), "user.attr%d", i);
		OK(setxattr("f", name, name, strlen(name), 0));
	}
	n = OK(listxattr("f", list, sizeof(list)));
	CHECK(n > 0);
	for (int i = 0; i < count; i++) {
		pt_row("i=%d", i);
		snprintf(name, sizeof(name), "user.attr%d", i);
		EQ(listed("f", name), 1);
		EQ(getxattr("f", name, value, sizeof(value)), strlen(name));
		MEM_EQ(value, name, strlen(name));
		if (i % 2)
			OK(removexattr("f", name));
	}
	EQ(list_length("f"), count / 2);
}

static const struct pt_case cases[] = {
	{ "set_get_remove", set_get_remove, 0 },
	{ "create_replace", create_replace, 0 },
	{ "values", values, 0 },
	{ "buffers", buffers, 0 },
	{ "fresh_files_have_none", fresh_files_have_none, 0 },
	{ "name_lengths", name_lengths, 0 },
	{ "value_lengths", value_lengths, 0 },
	{ "object_class_limit", object_class_limit, 0 },
	{ "namespaces", namespaces, 0 },
	{ "types", types, 0 },
	{ "symlinks", symlinks, 0 },
	{ "rights_user", rights_user, 0 },
	{ "rights_sticky_directory", rights_sticky_directory, 0 },
	{ "rights_privileged", rights_privileged, 0 },
	{ "times", times, 0 },
	{ "by_descriptor", by_descriptor, 0 },
	{ "follow_the_file", follow_the_file, 0 },
	{ "many", many, 0 },
};

PT_FAMILY(xattr, cases);
