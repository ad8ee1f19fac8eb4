/* SPDX-License-Identifier: Apache-2.0 */
/* utimensat(2) and futimens(3). */
#include "config.h"

#include "tests/posix/posix.h"

#define OMIT                          \
	{                             \
		.tv_nsec = UTIME_OMIT \
	}
#define NOW                          \
	{                            \
		.tv_nsec = UTIME_NOW \
	}

static int set_times(const char *path, const struct timespec ts[2])
{
	return utimensat(AT_FDCWD, path, ts, AT_SYMLINK_NOFOLLOW);
}

static void every_type(void)
{
	const struct timespec ts[2] = { { 1900000000, 123456789 }, { 1950000000, 987654321 } };

	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		struct stat before, after;

		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0644));
		before = pt_lstat("x");
		pt_tick();
		OK(set_times("x", ts));
		after = pt_lstat("x");
		TIME_EQ(after.st_atim, ts[0]);
		TIME_EQ(after.st_mtim, ts[1]);
		TIME_GT(after.st_ctim, before.st_ctim);
		OK(pt_remove("x"));
	}
}

static void ranges(void)
{
	static const struct timespec rows[] = {
		{ 0, 0 },
		{ 0, 1 },
		{ 1, 999999999 },
		{ 1000000000, 500 },
		{ 2147483647, 999999999 },
		{ 2147483648, 0 },
		{ 4294967295, 1 },
		{ 4294967296, 1 },
		{ 7000000000, 1 },
		{ -1, 0 },
		{ -1, 999999999 },
		{ -1000000000, 250 },
	};

	OK(pt_touch("f", 0644));
	OK(mkdir("d", 0755));
	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		const struct timespec ts[2] = { rows[i], rows[i] };

		pt_row("%lld.%09ld", (long long)rows[i].tv_sec, rows[i].tv_nsec);
		OK(set_times("f", ts));
		TIME_EQ(pt_lstat("f").st_atim, rows[i]);
		TIME_EQ(pt_lstat("f").st_mtim, rows[i]);
		OK(set_times("d", ts));
		TIME_EQ(pt_lstat("d").st_mtim, rows[i]);
	}
}

static void omit_and_now(void)
{
	const struct timespec a = { 1000000000, 1 }, b = { 1100000000, 2 };
	const struct {
		const char *name;
		struct timespec ts[2];
		int atime, mtime; /* 0 old, 1 given, 2 now */
	} rows[] = {
		{ "omit omit", { OMIT, OMIT }, 0, 0 },
		{ "omit given", { OMIT, { 1200000000, 3 } }, 0, 1 },
		{ "given omit", { { 1200000000, 3 }, OMIT }, 1, 0 },
		{ "now omit", { NOW, OMIT }, 2, 0 },
		{ "omit now", { OMIT, NOW }, 0, 2 },
		{ "now now", { NOW, NOW }, 2, 2 },
		{ "given now", { { 1200000000, 3 }, NOW }, 1, 2 },
		{ "now given", { NOW, { 1200000000, 3 } }, 2, 1 },
		{ "given given", { { 1200000000, 3 }, { 1200000000, 3 } }, 1, 1 },
	};

	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (!pt_can_make(t))
			continue;
		OK(pt_make(t, "x", 0644));
		for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
			const struct timespec old[2] = { a, b };
			struct timespec start;
			struct stat before, after;

			pt_row("%s %s", pt_type_name(t), rows[i].name);
			OK(set_times("x", old));
			before = pt_lstat("x");
			start = pt_now();
			pt_tick();
			OK(set_times("x", rows[i].ts));
			after = pt_lstat("x");
			if (rows[i].atime == 2)
				TIME_GT(after.st_atim, start);
			else
				TIME_EQ(after.st_atim, rows[i].atime ? rows[i].ts[0] : a);
			if (rows[i].mtime == 2)
				TIME_GT(after.st_mtim, start);
			else
				TIME_EQ(after.st_mtim, rows[i].mtime ? rows[i].ts[1] : b);
			if (i == 0)
				TIME_EQ(after.st_ctim, before.st_ctim);
			else
				TIME_GT(after.st_ctim, before.st_ctim);
		}
		OK(pt_remove("x"));
	}
}

static void null_means_now(void)
{
	struct timespec start;
	int fd;

	OK(pt_touch("f", 0644));
	start = pt_now();
	pt_tick();
	OK(utimensat(AT_FDCWD, "f", NULL, 0));
	TIME_GT(pt_lstat("f").st_atim, start);
	TIME_GT(pt_lstat("f").st_mtim, start);
	start = pt_now();
	pt_tick();
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	OK(futimens(fd, NULL));
	TIME_GT(pt_lstat("f").st_mtim, start);
	OK(close(fd));
}

static void symlinks(void)
{
	const struct timespec one[2] = { { 1000000000, 1 }, { 1000000001, 1 } };
	const struct timespec two[2] = { { 1100000000, 2 }, { 1100000001, 2 } };

	OK(pt_touch("f", 0644));
	OK(symlink("f", "l"));
	OK(utimensat(AT_FDCWD, "l", one, 0));
	TIME_EQ(pt_lstat("f").st_mtim, one[1]);
	OK(utimensat(AT_FDCWD, "l", two, AT_SYMLINK_NOFOLLOW));
	TIME_EQ(pt_lstat("f").st_mtim, one[1]);
	TIME_EQ(pt_lstat("l").st_mtim, two[1]);
}

static void who_may(void)
{
	const struct timespec given[2] = { { 1000000000, 1 }, { 1000000001, 1 } };
	const struct timespec now[2] = { NOW, NOW };
	const struct timespec half[2] = { NOW, OMIT };
	const struct timespec nothing[2] = { OMIT, OMIT };

	OK(pt_touch("f", 0644));
	AS(&pt_other) {
		ERR(EACCES, set_times("f", NULL));
		ERR(EACCES, set_times("f", now));
		ERR(EPERM, set_times("f", given));
		ERR(EPERM, set_times("f", half));
		OK(set_times("f", nothing));
	}
	OK(chmod("f", 0666));
	AS(&pt_other) {
		/* Write permission is enough for "now", and only for both at once. */
		OK(set_times("f", NULL));
		OK(set_times("f", now));
		ERR(EPERM, set_times("f", given));
		ERR(EPERM, set_times("f", half));
	}
	OK(chown("f", pt_owner.uid, pt_owner.gid));
	OK(chmod("f", 0444));
	AS(&pt_owner) {
		OK(set_times("f", NULL));
		OK(set_times("f", now));
		OK(set_times("f", given));
		OK(set_times("f", half));
	}
	OK(chmod("f", 0));
	AS(&pt_owner)
		OK(set_times("f", given));
	AS(&pt_mate)
		ERR(EPERM, set_times("f", given));
	TIME_EQ(pt_lstat("f").st_mtim, given[1]);
}

static void wrong_values(void)
{
	const struct timespec rows[][2] = {
		{ { 1, 1000000000 }, { 1, 0 } },
		{ { 1, 0 }, { 1, -1 } },
		{ { 1, 0 }, { 1, 2000000000 } },
	};
	struct timespec before;

	OK(pt_touch("f", 0644));
	before = pt_lstat("f").st_mtim;
	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		pt_row("i=%zu", i);
		ERR(EINVAL, set_times("f", rows[i]));
	}
	ERR(EINVAL, utimensat(AT_FDCWD, "f", rows[0], 0x40000000));
	TIME_EQ(pt_lstat("f").st_mtim, before);
}

/*
 * What cp -p, tar and rsync rely on: times set while the file is open for
 * writing are still there after the close.
 */
static void survive_close(void)
{
	const struct timespec ts[2] = { { 1000000000, 111 }, { 1100000000, 222 } };
	struct timespec after;
	int fd;

	fd = OK(open("a", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	EQ(write(fd, "data", 4), 4);
	OK(futimens(fd, ts));
	TIME_EQ(pt_fstat(fd).st_mtim, ts[1]);
	OK(close(fd));
	TIME_EQ(pt_lstat("a").st_atim, ts[0]);
	TIME_EQ(pt_lstat("a").st_mtim, ts[1]);

	pt_row("by path while open");
	fd = OK(open("b", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	EQ(write(fd, "data", 4), 4);
	OK(set_times("b", ts));
	OK(fsync(fd));
	TIME_EQ(pt_lstat("b").st_mtim, ts[1]);
	OK(close(fd));
	TIME_EQ(pt_lstat("b").st_mtim, ts[1]);

	pt_row("open to write, nothing written");
	fd = OK(open("b", O_RDWR | O_CLOEXEC));
	OK(close(fd));
	TIME_EQ(pt_lstat("b").st_mtim, ts[1]);

	pt_row("a write after it counts again");
	fd = OK(open("b", O_RDWR | O_CLOEXEC));
	OK(futimens(fd, ts));
	EQ(write(fd, "x", 1), 1);
	after = pt_fstat(fd).st_mtim;
	TIME_GT(after, ts[1]);
	OK(close(fd));
	TIME_EQ(pt_lstat("b").st_mtim, after);

	pt_row("after close, rename and chmod");
	OK(set_times("b", ts));
	OK(rename("b", "c"));
	OK(chmod("c", 0600));
	TIME_EQ(pt_lstat("c").st_mtim, ts[1]);
}

static void times_of_the_past_and_future_order(void)
{
	const struct timespec ts[2] = { { 2000000000, 0 }, { 1000000000, 0 } };
	const struct timespec back[2] = { { 1000000000, 0 }, { 2000000000, 0 } };

	OK(pt_touch("f", 0644));
	OK(set_times("f", ts));
	TIME_EQ(pt_lstat("f").st_atim, ts[0]);
	TIME_EQ(pt_lstat("f").st_mtim, ts[1]);
	OK(set_times("f", back));
	TIME_EQ(pt_lstat("f").st_atim, back[0]);
	TIME_EQ(pt_lstat("f").st_mtim, back[1]);
}

static void unlinked(void)
{
	const struct timespec ts[2] = { { 1000000000, 1 }, { 1100000000, 2 } };
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	OK(unlink("f"));
	OK(futimens(fd, ts));
	TIME_EQ(pt_fstat(fd).st_mtim, ts[1]);
	OK(close(fd));
}

static const struct pt_case cases[] = {
	{ "every_type", every_type, 0 },
	{ "ranges", ranges, 0 },
	{ "omit_and_now", omit_and_now, 0 },
	{ "null_means_now", null_means_now, 0 },
	{ "symlinks", symlinks, 0 },
	{ "who_may", who_may, 0 },
	{ "wrong_values", wrong_values, 0 },
	{ "survive_close", survive_close, 0 },
	{ "times_of_the_past_and_future_order", times_of_the_past_and_future_order, 0 },
	{ "unlinked", unlinked, 0 },
};

PT_FAMILY(utimensat, cases);
