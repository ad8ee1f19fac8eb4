/* SPDX-License-Identifier: Apache-2.0 */
/* chmod(2) and relatives. */
#include "config.h"

#include "tests/posix/posix.h"

static const mode_t modes[] = { 0,     0111,  0222,  0444,  0644,  0755,  0777,
				01621, 01777, 02755, 02644, 04711, 06555, 07777 };

static void every_type(void)
{
	for (int t = PT_REG; t < PT_LNK; t++) {
		if (!pt_can_make(t))
			continue;
		OK(pt_make(t, "x", 0644));
		OK(symlink("x", "l"));
		for (size_t i = 0; i < PT_ARRAY_SIZE(modes); i++) {
			pt_row("%s mode=%04o", pt_type_name(t), modes[i]);
			OK(chmod("x", modes[i]));
			MODE_EQ(pt_lstat("x").st_mode, pt_type_mode(t) | modes[i]);
			OK(chmod("x", 0));
			OK(chmod("l", modes[i]));
			MODE_EQ(pt_lstat("x").st_mode, pt_type_mode(t) | modes[i]);
			OK(chmod("x", 0));
			OK(fchmodat(AT_FDCWD, "x", modes[i], 0));
			MODE_EQ(pt_lstat("x").st_mode, pt_type_mode(t) | modes[i]);
		}
		MODE_EQ(pt_lstat("l").st_mode, S_IFLNK | 0777);
		/* Bits beyond the mode are not looked at. */
		OK(chmod("x", S_IFLNK | 0640));
		MODE_EQ(pt_lstat("x").st_mode, pt_type_mode(t) | 0640);
		OK(unlink("l"));
		OK(pt_remove("x"));
	}
}

static void by_descriptor(void)
{
	int fd;

	OK(pt_touch("f", 0644));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	for (size_t i = 0; i < PT_ARRAY_SIZE(modes); i++) {
		pt_row("mode=%04o", modes[i]);
		OK(fchmod(fd, modes[i]));
		MODE_EQ(pt_fstat(fd).st_mode, S_IFREG | modes[i]);
		MODE_EQ(pt_perm("f"), modes[i]);
	}
	OK(unlink("f"));
	OK(fchmod(fd, 0123));
	MODE_EQ(pt_fstat(fd).st_mode, S_IFREG | 0123);
	OK(close(fd));
	ERR(EBADF, fchmod(fd, 0644));
	OK(mkdir("d", 0755));
	fd = OK(open("d", O_RDONLY | O_CLOEXEC));
	OK(fchmod(fd, 03710));
	MODE_EQ(pt_perm("d"), 03710);
	OK(close(fd));
}

static void times(void)
{
	for (int t = PT_REG; t < PT_LNK; t++) {
		struct stat before, after, dir;

		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0644));
		before = pt_lstat("x");
		dir = pt_lstat(".");
		pt_tick();
		OK(chmod("x", 0600));
		after = pt_lstat("x");
		TIME_GT(after.st_ctim, before.st_ctim);
		TIME_EQ(after.st_mtim, before.st_mtim);
		TIME_EQ(after.st_atim, before.st_atim);
		TIME_EQ(pt_lstat(".").st_mtim, dir.st_mtim);
		TIME_EQ(pt_lstat(".").st_ctim, dir.st_ctim);
		before = after;
		pt_tick();
		AS(&pt_other)
			ERR(EPERM, chmod("x", 0644));
		after = pt_lstat("x");
		TIME_EQ(after.st_ctim, before.st_ctim);
		MODE_EQ(after.st_mode, pt_type_mode(t) | 0600);
		OK(pt_remove("x"));
	}
}

static void who_may(void)
{
	const struct pt_user *strangers[] = { &pt_mate, &pt_member, &pt_other };

	for (int t = PT_REG; t < PT_LNK; t++) {
		if (!pt_can_make(t))
			continue;
		OK(pt_make_owned(t, "x", 0666, pt_owner.uid, pt_owner.gid));
		for (size_t i = 0; i < PT_ARRAY_SIZE(strangers); i++) {
			pt_row("%s %s", pt_type_name(t), strangers[i]->name);
			AS(strangers[i])
				ERR(EPERM, chmod("x", 0777));
			MODE_EQ(pt_perm("x"), 0666);
		}
		pt_row("%s owner", pt_type_name(t));
		AS(&pt_owner) {
			OK(chmod("x", 0));
			OK(chmod("x", 0640));
			/* Linux lets anybody have the sticky bit. */
			OK(chmod("x", 01640));
		}
		MODE_EQ(pt_perm("x"), 01640);
		OK(pt_remove("x"));
	}
}

/* The set-group-id bit is for those in the group. */
static void setgid_outside_group(void)
{
	static const struct {
		gid_t gid;
		mode_t want;
	} rows[] = {
		{ 12003, 02755 }, /* its own group */
		{ 12001, 02755 }, /* a supplementary one */
		{ 12007, 02755 }, /* another supplementary one */
		{ 12004, 0755 }, /* a foreign one */
		{ 0, 0755 },
	};

	for (int t = PT_REG; t < PT_LNK; t++) {
		if (t == PT_BLK || t == PT_CHR || !pt_can_make(t))
			continue;
		for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
			pt_row("%s gid=%d", pt_type_name(t), (int)rows[i].gid);
			OK(pt_make_owned(t, "x", 0644, pt_member.uid, rows[i].gid));
			AS(&pt_member)
				OK(chmod("x", 02755));
			MODE_EQ(pt_perm("x"), rows[i].want);
			/* Root may give it. */
			OK(chmod("x", 02711));
			MODE_EQ(pt_perm("x"), 02711);
			OK(pt_remove("x"));
		}
	}
}

/* Seen at once by everybody: nothing may be cached past it. */
static void takes_effect_at_once(void)
{
	int fd;

	OK(pt_put("f", "data", 4));
	OK(chown("f", pt_owner.uid, pt_owner.gid));
	OK(mkdir("d", 0755));
	OK(pt_put("d/f", "data", 4));
	for (int i = 0; i < 20; i++) {
		pt_row("i=%d", i);
		OK(chmod("f", 0600));
		OK(chmod("d", 0755));
		AS(&pt_owner) {
			fd = OK(open("f", O_RDWR | O_CLOEXEC));
			OK(close(fd));
			OK(access("d/f", F_OK));
		}
		AS(&pt_other)
			ERR(EACCES, open("f", O_RDONLY));
		OK(chmod("f", 0004));
		OK(chmod("d", 0700));
		AS(&pt_owner) {
			ERR(EACCES, open("f", O_RDONLY));
			ERR(EACCES, access("d/f", F_OK));
		}
		AS(&pt_other) {
			fd = OK(open("f", O_RDONLY | O_CLOEXEC));
			OK(close(fd));
		}
	}
}

/* Rights are looked at when a file is opened, not when it is used. */
static void open_descriptors_keep_rights(void)
{
	char buf[4];
	int fd;

	OK(pt_put("f", "data", 4));
	OK(chown("f", pt_owner.uid, pt_owner.gid));
	AS(&pt_owner) {
		fd = OK(open("f", O_RDWR | O_CLOEXEC));
		OK(chmod("f", 0));
		EQ(pread(fd, buf, 4, 0), 4);
		EQ(pwrite(fd, "DATA", 4, 0), 4);
		OK(ftruncate(fd, 2));
		OK(fsync(fd));
		ERR(EACCES, open("f", O_RDONLY));
	}
	EQ(pt_fstat(fd).st_size, 2);
	OK(close(fd));
}

static void wrong_flags(void)
{
	OK(pt_touch("f", 0644));
	ERR(EINVAL, fchmodat(AT_FDCWD, "f", 0600, 0x40000000));
	MODE_EQ(pt_perm("f"), 0644);
}

static const struct pt_case cases[] = {
	{ "every_type", every_type, 0 },
	{ "by_descriptor", by_descriptor, 0 },
	{ "times", times, 0 },
	{ "who_may", who_may, 0 },
	{ "setgid_outside_group", setgid_outside_group, 0 },
	{ "takes_effect_at_once", takes_effect_at_once, 0 },
	{ "open_descriptors_keep_rights", open_descriptors_keep_rights, 0 },
	{ "wrong_flags", wrong_flags, 0 },
};

PT_FAMILY(chmod, cases);
