/* SPDX-License-Identifier: Apache-2.0 */
/* renameat2(2): RENAME_NOREPLACE and RENAME_EXCHANGE. */
#include "config.h"

#include "tests/posix/posix.h"

#include <stdio.h>

static int noreplace(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

static int exchange(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE);
}

static void noreplace_free(void)
{
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		ino_t ino;

		if (!pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(mkdir("d", 0755));
		OK(pt_make(t, "a", 0644));
		ino = pt_lstat("a").st_ino;
		OK(noreplace("a", "b"));
		OK(noreplace("b", "d/c"));
		EQ(pt_lstat("d/c").st_ino, ino);
		CHECK(!pt_exists("a"));
		CHECK(!pt_exists("b"));
		OK(pt_remove("d/c"));
		OK(rmdir("d"));
	}
}

static void noreplace_taken(void)
{
	for (int from = PT_REG; from < PT_N_TYPES; from++) {
		for (int to = PT_REG; to < PT_N_TYPES; to++) {
			ino_t a, b;

			if (!pt_can_make(from) || !pt_can_make(to))
				continue;
			pt_row("%s over %s", pt_type_name(from), pt_type_name(to));
			OK(pt_make(from, "a", 0644));
			OK(pt_make(to, "b", 0644));
			a = pt_lstat("a").st_ino;
			b = pt_lstat("b").st_ino;
			ERR(EEXIST, noreplace("a", "b"));
			EQ(pt_lstat("a").st_ino, a);
			EQ(pt_lstat("b").st_ino, b);
			OK(pt_remove("a"));
			OK(pt_remove("b"));
		}
	}
	OK(pt_touch("a", 0644));
	ERR(EEXIST, noreplace("a", "a"));
	ERR(ENOENT, noreplace("missing", "b"));
	if (pt_has_links()) {
		OK(link("a", "l"));
		ERR(EEXIST, noreplace("a", "l"));
	}
}

static void exchange_types(void)
{
	for (int x = PT_REG; x < PT_N_TYPES; x++) {
		for (int y = PT_REG; y < PT_N_TYPES; y++) {
			struct stat a, b;

			if (!pt_can_make(x) || !pt_can_make(y))
				continue;
			pt_row("%s with %s", pt_type_name(x), pt_type_name(y));
			OK(mkdir("d", 0755));
			OK(mkdir("e", 0755));
			OK(pt_make(x, "d/a", 0644));
			OK(pt_make(y, "e/b", 0600));
			a = pt_lstat("d/a");
			b = pt_lstat("e/b");
			OK(exchange("d/a", "e/b"));
			EQ(pt_lstat("d/a").st_ino, b.st_ino);
			EQ(pt_lstat("e/b").st_ino, a.st_ino);
			MODE_EQ(pt_lstat("d/a").st_mode, b.st_mode);
			MODE_EQ(pt_lstat("e/b").st_mode, a.st_mode);
			if (!pt_is_btrfs()) {
				EQ(pt_nlink("d"), y == PT_DIR ? 3 : 2);
				EQ(pt_nlink("e"), x == PT_DIR ? 3 : 2);
			}
			OK(pt_remove("d/a"));
			OK(pt_remove("e/b"));
			OK(rmdir("d"));
			OK(rmdir("e"));
		}
	}
}

static void exchange_contents(void)
{
	struct stat a, b;
	char buf[8];
	int fd;

	OK(pt_put("a", "AAAA", 4));
	OK(pt_put("b", "BB", 2));
	fd = OK(open("a", O_RDWR | O_CLOEXEC));
	OK(exchange("a", "b"));
	EQ(pt_get("a", buf, 8), 2);
	MEM_EQ(buf, "BB", 2);
	EQ(pwrite(fd, "x", 1, 0), 1);
	EQ(pt_get("b", buf, 8), 4);
	MEM_EQ(buf, "xAAA", 4);
	OK(close(fd));
	OK(exchange("a", "b"));
	EQ(pt_size("a"), 4);
	EQ(pt_size("b"), 2);
	a = pt_lstat("a");
	b = pt_lstat("b");
	OK(exchange("a", "a"));
	EQ(pt_lstat("a").st_ino, a.st_ino);
	EQ(pt_lstat("b").st_ino, b.st_ino);
}

static void exchange_full_directories(void)
{
	OK(mkdir("a", 0755));
	OK(mkdir("b", 0755));
	OK(pt_touch("a/in-a", 0644));
	OK(pt_touch("b/in-b", 0644));
	OK(mkdir("b/sub", 0755));
	OK(exchange("a", "b"));
	CHECK(pt_exists("a/in-b"));
	CHECK(pt_exists("a/sub"));
	CHECK(pt_exists("b/in-a"));
	CHECK(!pt_exists("a/in-a"));
	OK(exchange("a/sub", "b/in-a"));
	CHECK(S_ISREG(pt_lstat("a/sub").st_mode));
	CHECK(S_ISDIR(pt_lstat("b/in-a").st_mode));
	EQ(pt_lstat("b/in-a/..").st_ino, pt_lstat("b").st_ino);
}

static void exchange_wrong(void)
{
	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	OK(mkdir("a/b/c", 0755));
	OK(pt_touch("f", 0644));
	ERR(ENOENT, exchange("f", "missing"));
	ERR(ENOENT, exchange("missing", "f"));
	ERR(EINVAL, exchange("a", "a/b"));
	ERR(EINVAL, exchange("a/b/c", "a"));
	ERR2(EBUSY, EINVAL, exchange("f", "."));
	ERR2(EBUSY, EINVAL, exchange("f", "a/.."));
	CHECK(pt_exists("f"));
	CHECK(pt_exists("a/b/c"));
	OK(mkdir("ro", 0755));
	OK(pt_touch("ro/x", 0644));
	OK(mkdir("rw", 0777));
	OK(pt_touch("rw/y", 0666));
	AS(&pt_owner) {
		ERR(EACCES, exchange("ro/x", "rw/y"));
		ERR(EACCES, exchange("rw/y", "ro/x"));
	}
}

static void exchange_times(void)
{
	struct stat a, b, d, e;

	OK(mkdir("d", 0755));
	OK(mkdir("e", 0755));
	OK(pt_touch("d/a", 0644));
	OK(pt_touch("e/b", 0644));
	a = pt_lstat("d/a");
	b = pt_lstat("e/b");
	d = pt_lstat("d");
	e = pt_lstat("e");
	pt_tick();
	OK(exchange("d/a", "e/b"));
	TIME_GT(pt_lstat("d").st_mtim, d.st_mtim);
	TIME_GT(pt_lstat("e").st_mtim, e.st_mtim);
	TIME_GT(pt_lstat("d").st_ctim, d.st_ctim);
	TIME_GT(pt_lstat("e").st_ctim, e.st_ctim);
	TIME_EQ(pt_lstat("e/b").st_mtim, a.st_mtim);
	TIME_EQ(pt_lstat("d/a").st_mtim, b.st_mtim);
}

/* The object classes cannot do it, say so, and do nothing. */
static void exchange_refused(void)
{
	ino_t a, b;

	if (!pt_opt.object) {
		SKIP("a local class has it");
		return;
	}
	OK(pt_touch("a", 0644));
	OK(pt_touch("b", 0644));
	a = pt_lstat("a").st_ino;
	b = pt_lstat("b").st_ino;
	ERR(EINVAL, exchange("a", "b"));
	EQ(pt_lstat("a").st_ino, a);
	EQ(pt_lstat("b").st_ino, b);
}

static void wrong_flags(void)
{
	OK(pt_touch("a", 0644));
	OK(pt_touch("b", 0644));
	ERR(EINVAL, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE | RENAME_EXCHANGE));
	ERR(EINVAL, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_WHITEOUT | RENAME_EXCHANGE));
	ERR(EINVAL, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", 1u << 20));
	CHECK(pt_exists("a"));
	CHECK(pt_exists("b"));
}

static void between_descriptors(void)
{
	int d, e;

	OK(mkdir("d", 0755));
	OK(mkdir("e", 0755));
	d = OK(open("d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	e = OK(open("e", O_PATH | O_DIRECTORY | O_CLOEXEC));
	OK(pt_put("d/f", "x", 1));
	OK(renameat(d, "f", e, "g"));
	CHECK(pt_exists("e/g"));
	OK(renameat2(e, "g", d, "f", RENAME_NOREPLACE));
	CHECK(pt_exists("d/f"));
	OK(close(d));
	OK(close(e));
	ERR(EBADF, renameat(d, "f", AT_FDCWD, "g"));
}

static const struct pt_case cases[] = {
	{ "noreplace_free", noreplace_free, 0 },
	{ "noreplace_taken", noreplace_taken, 0 },
	{ "exchange_types", exchange_types, PT_LOCAL },
	{ "exchange_contents", exchange_contents, PT_LOCAL },
	{ "exchange_full_directories", exchange_full_directories, PT_LOCAL },
	{ "exchange_wrong", exchange_wrong, PT_LOCAL },
	{ "exchange_times", exchange_times, PT_LOCAL },
	{ "exchange_refused", exchange_refused, 0 },
	{ "wrong_flags", wrong_flags, 0 },
	{ "between_descriptors", between_descriptors, 0 },
};

PT_FAMILY(rename_flags, cases);
