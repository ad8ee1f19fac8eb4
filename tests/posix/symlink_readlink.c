/* SPDX-License-Identifier: Apache-2.0 */
/* symlink(2) and readlink(2). */
#include "config.h"

#include "tests/posix/posix.h"

#include <limits.h>
#include <stdio.h>

static void targets(void)
{
	char target[PATH_MAX + 1], back[PATH_MAX + 16];

	for (size_t len = 1; len < PATH_MAX;) {
		pt_row("len=%zu", len);
		for (size_t i = 0; i < len; i++)
			target[i] = i % 50 == 49 ? '/' : 'a' + i % 26;
		target[len] = '\0';
		if (len >= 1024 && !pt_is_fuse() && symlink(target, "l") && errno == ENAMETOOLONG) {
			SKIP("xfs keeps 1023 bytes");
			break;
		}
		if (!pt_exists("l"))
			OK(symlink(target, "l"));
		EQ(readlink("l", back, sizeof(back)), len);
		MEM_EQ(back, target, len);
		EQ(pt_size("l"), len);
		MODE_EQ(pt_lstat("l").st_mode, S_IFLNK | 0777);
		OK(unlink("l"));
		/* Around the lengths that inodes and messages like to keep inline. */
		if (len < 16)
			len += 5;
		else if (len == PATH_MAX - 1)
			break;
		else
			len = len * 2 > PATH_MAX - 1 ? PATH_MAX - 1 : len * 2 - 1;
	}
	for (size_t len = 59; len <= 61; len++) {
		memset(target, 't', len);
		target[len] = '\0';
		pt_row("len=%zu", len);
		OK(symlink(target, "l"));
		EQ(readlink("l", back, sizeof(back)), len);
		OK(unlink("l"));
	}
	memset(target, 't', PATH_MAX);
	target[PATH_MAX] = '\0';
	ERR(ENAMETOOLONG, symlink(target, "l"));
	ERR(ENOENT, symlink("", "l"));
	CHECK(!pt_exists("l"));
}

static void any_bytes(void)
{
	char target[300], back[300];
	size_t n = 0;

	for (int c = 1; c < 256; c++)
		target[n++] = (char)c;
	target[n] = '\0';
	OK(symlink(target, "l"));
	EQ(readlink("l", back, sizeof(back)), n);
	MEM_EQ(back, target, n);
	EQ(pt_size("l"), n);
}

static void short_buffer(void)
{
	char buf[16];

	OK(symlink("0123456789", "l"));
	memset(buf, '#', sizeof(buf));
	EQ(readlink("l", buf, 4), 4);
	MEM_EQ(buf, "0123####", 8);
	EQ(readlink("l", buf, 10), 10);
	EQ(buf[10], '#');
	ERR(EINVAL, readlink("l", buf, 0));
}

static void not_a_link(void)
{
	char buf[16];

	for (int t = PT_REG; t < PT_LNK; t++) {
		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0644));
		ERR(EINVAL, readlink("x", buf, sizeof(buf)));
		OK(pt_remove("x"));
	}
	ERR(EINVAL, readlink(".", buf, sizeof(buf)));
}

static void following(void)
{
	char buf[8];

	OK(mkdir("d", 0755));
	OK(pt_put("d/f", "data", 4));
	OK(symlink("d/f", "rel"));
	OK(symlink("d", "dir"));
	OK(symlink("../d/f", "d/up"));
	OK(symlink("rel", "twice"));
	EQ(pt_get("rel", buf, 4), 4);
	EQ(pt_get("dir/f", buf, 4), 4);
	EQ(pt_get("d/up", buf, 4), 4);
	EQ(pt_get("dir/up", buf, 4), 4);
	EQ(pt_get("twice", buf, 4), 4);
	EQ(pt_lstat("dir/f").st_ino, pt_lstat("d/f").st_ino);
	CHECK(S_ISDIR(pt_lstat("dir/").st_mode));
	CHECK(S_ISLNK(pt_lstat("dir").st_mode));
	/* The target may change under the link. */
	OK(rename("d", "e"));
	ERR(ENOENT, open("rel", O_RDONLY));
	OK(mkdir("d", 0755));
	OK(pt_put("d/f", "other", 5));
	EQ(pt_get("rel", buf, 5), 5);
	MEM_EQ(buf, "other", 5);
}

static void absolute(void)
{
	char cwd[PATH_MAX], target[PATH_MAX + 8], buf[8];

	CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
	OK(pt_put("f", "data", 4));
	snprintf(target, sizeof(target), "%s/f", cwd);
	OK(symlink(target, "l"));
	EQ(pt_get("l", buf, 4), 4);
	OK(symlink("/proc/self/status", "proc"));
	CHECK(pt_get("proc", buf, 4) == 4);
}

static void in_the_way(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0644));
		ERR(EEXIST, symlink("target", "x"));
		MODE_EQ(pt_lstat("x").st_mode & S_IFMT, pt_type_mode(t));
		OK(pt_remove("x"));
	}
	ERR(EEXIST, symlink("target", "."));
	ERR(EEXIST, symlink("target", ".."));
}

static void times_and_owner(void)
{
	struct stat dir, l;

	OK(mkdir("d", 0777));
	OK(chmod("d", 0777));
	dir = pt_lstat("d");
	pt_tick();
	umask(077);
	AS(&pt_owner)
		OK(symlink("t", "d/l"));
	umask(0);
	l = pt_lstat("d/l");
	/* Neither umask nor mode count for a link. */
	MODE_EQ(l.st_mode, S_IFLNK | 0777);
	EQ(l.st_uid, pt_owner.uid);
	EQ(l.st_gid, pt_owner.gid);
	EQ(l.st_nlink, 1);
	TIME_GT(l.st_mtim, dir.st_mtim);
	TIME_GT(l.st_ctim, dir.st_ctim);
	TIME_GT(pt_lstat("d").st_mtim, dir.st_mtim);
	TIME_GT(pt_lstat("d").st_ctim, dir.st_ctim);
}

static void setgid_directory(void)
{
	OK(chown(".", 0, pt_owner.gid));
	OK(chmod(".", 02777));
	AS(&pt_other)
		OK(symlink("t", "l"));
	EQ(pt_lstat("l").st_gid, pt_owner.gid);
}

static void chmod_of_a_link(void)
{
	OK(symlink("t", "l"));
	/* Linux has no mode on links. */
	ERR2(EOPNOTSUPP, ENOTSUP, fchmodat(AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW));
	MODE_EQ(pt_lstat("l").st_mode, S_IFLNK | 0777);
}

static const struct pt_case cases[] = {
	{ "targets", targets, 0 },
	{ "any_bytes", any_bytes, 0 },
	{ "short_buffer", short_buffer, 0 },
	{ "not_a_link", not_a_link, 0 },
	{ "following", following, 0 },
	{ "absolute", absolute, 0 },
	{ "in_the_way", in_the_way, 0 },
	{ "times_and_owner", times_and_owner, 0 },
	{ "setgid_directory", setgid_directory, 0 },
	{ "chmod_of_a_link", chmod_of_a_link, 0 },
};

PT_FAMILY(symlink_readlink, cases);
