/* SPDX-License-Identifier: Apache-2.0 */
/* truncate(2) and ftruncate(2). */
#include "config.h"

#include "tests/posix/posix.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

static int by_path(off_t len)
{
	return truncate("f", len);
}

static int by_descriptor(off_t len)
{
	int fd = open("f", O_WRONLY | O_CLOEXEC);
	int ret, err;

	if (fd < 0)
		return -1;
	ret = ftruncate(fd, len);
	err = errno;
	close(fd);
	errno = err;
	return ret;
}

static const struct {
	const char *name;
	int (*call)(off_t len);
} ways[] = { { "truncate", by_path }, { "ftruncate", by_descriptor } };

/* Cut bytes are gone, and what grows back is zeros. */
static void sizes(void)
{
	static const off_t steps[] = { 0,     1,     4095,    4096, 4097, 100,
				       65536, 65535, 12345,   8192, 8191, 131073,
				       50000, 4096,  1234567, 567,  0,    23456 };
	static char want[1300000], got[1300000];
	off_t size = 70000;

	for (size_t w = 0; w < PT_ARRAY_SIZE(ways); w++) {
		memset(want, 0, sizeof(want));
		pt_fill(want, size = 70000, 3);
		OK(pt_put("f", want, size));
		for (size_t i = 0; i < PT_ARRAY_SIZE(steps); i++) {
			pt_row("%s to %lld", ways[w].name, (long long)steps[i]);
			OK(ways[w].call(steps[i]));
			if (steps[i] < size)
				memset(want + steps[i], 0, size - steps[i]);
			size = steps[i];
			EQ(pt_size("f"), size);
			EQ(pt_get("f", got, sizeof(got)), size);
			MEM_EQ(got, want, size);
		}
	}
}

static void times(void)
{
	for (size_t w = 0; w < PT_ARRAY_SIZE(ways); w++) {
		struct stat before, after;

		pt_row("%s", ways[w].name);
		OK(pt_put("f", "0123456789", 10));
		before = pt_lstat("f");
		pt_tick();
		OK(ways[w].call(5));
		after = pt_lstat("f");
		TIME_GT(after.st_mtim, before.st_mtim);
		TIME_GT(after.st_ctim, before.st_ctim);
		before = after;
		pt_tick();
		OK(ways[w].call(500));
		after = pt_lstat("f");
		TIME_GT(after.st_mtim, before.st_mtim);
		TIME_GT(after.st_ctim, before.st_ctim);
		before = after;
		pt_tick();
		AS(&pt_other)
			ERR(EACCES, ways[w].call(1));
		TIME_EQ(pt_lstat("f").st_mtim, before.st_mtim);
		TIME_EQ(pt_lstat("f").st_ctim, before.st_ctim);
		EQ(pt_size("f"), 500);
	}
}

static void permission(void)
{
	static const struct {
		mode_t mode;
		const struct pt_user *user;
		bool may;
	} rows[] = {
		{ 0600, &pt_owner, true },   { 0200, &pt_owner, true }, { 0466, &pt_owner, false },
		{ 0060, &pt_mate, true },    { 0646, &pt_mate, false }, { 0020, &pt_member, true },
		{ 0606, &pt_member, false }, { 0002, &pt_other, true }, { 0664, &pt_other, false },
	};

	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		pt_row("mode=%04o %s", rows[i].mode, rows[i].user->name);
		OK(pt_put("f", "0123456789", 10));
		OK(chown("f", pt_owner.uid, pt_owner.gid));
		OK(chmod("f", rows[i].mode));
		AS(rows[i].user) {
			if (rows[i].may)
				OK(truncate("f", 3));
			else
				ERR(EACCES, truncate("f", 3));
		}
		EQ(pt_size("f"), rows[i].may ? 3 : 10);
		OK(unlink("f"));
	}
}

static void wrong_arguments(void)
{
	int fd, ends[2];

	OK(pt_put("f", "0123456789", 10));
	ERR(EINVAL, truncate("f", -1));
	fd = OK(open("f", O_RDWR | O_CLOEXEC));
	ERR(EINVAL, ftruncate(fd, -1));
	OK(close(fd));
	ERR(EBADF, ftruncate(fd, 0));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	ERR(EINVAL, ftruncate(fd, 0));
	OK(close(fd));
	OK(mkdir("d", 0777));
	ERR(EISDIR, truncate("d", 0));
	OK(pipe(ends));
	ERR(EINVAL, ftruncate(ends[1], 0));
	for (int t = PT_FIFO; t <= PT_SOCK; t++) {
		if (t == PT_BLK || t == PT_CHR || !pt_can_make(t))
			continue;
		pt_row("%s", pt_type_name(t));
		OK(pt_make(t, "x", 0666));
		ERR(EINVAL, truncate("x", 0));
		OK(unlink("x"));
	}
	EQ(pt_size("f"), 10);
	/* Up to the limit of the file system, wherever that is. */
	if (truncate("f", INT64_MAX)) {
		CHECK(errno == EFBIG || errno == EINVAL);
		EQ(pt_size("f"), 10);
	}
}

static void same_size(void)
{
	char buf[16];

	OK(pt_put("f", "0123456789", 10));
	OK(truncate("f", 10));
	EQ(pt_get("f", buf, sizeof(buf)), 10);
	MEM_EQ(buf, "0123456789", 10);
	OK(pt_put("empty", "", 0));
	OK(truncate("empty", 0));
	EQ(pt_size("empty"), 0);
}

static void through_symlink(void)
{
	OK(pt_put("f", "0123456789", 10));
	OK(symlink("f", "l"));
	OK(truncate("l", 4));
	EQ(pt_size("f"), 4);
	EQ(pt_size("l"), 1);
}

/* The offset stays; a write past the new end leaves a hole. */
static void offset_stays(void)
{
	char buf[16], want[12] = "012\0\0\0\0\0\0\0ab";
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	EQ(write(fd, "0123456789", 10), 10);
	OK(ftruncate(fd, 3));
	EQ(lseek(fd, 0, SEEK_CUR), 10);
	EQ(read(fd, buf, 4), 0);
	EQ(write(fd, "ab", 2), 2);
	EQ(pread(fd, buf, 16, 0), 12);
	MEM_EQ(buf, want, 12);
	OK(close(fd));
	/* An appender goes to the new end. */
	fd = OK(open("f", O_WRONLY | O_APPEND | O_CLOEXEC));
	EQ(write(fd, "x", 1), 1);
	OK(truncate("f", 2));
	EQ(write(fd, "y", 1), 1);
	EQ(pt_get("f", buf, 16), 3);
	MEM_EQ(buf, "01y", 3);
	OK(close(fd));
}

/* Stores behind the end, in the last page, do not show when the file grows. */
static int try_mapped_tail(void)
{
	char buf[4096] = { 'x' };
	char *p;
	int fd = open("tail", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	int ret = 0;

	if (fd < 0 || write(fd, "0123456789", 10) != 10)
		return -1;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -1;
	memset(p + 10, 'x', 4086);
	if (msync(p, 4096, MS_SYNC) || ftruncate(fd, 4096) || pread(fd, buf, 4096, 0) != 4096)
		ret = -1;
	for (int i = 10; i < 4096; i++)
		if (buf[i] || p[i])
			ret = -1;
	munmap(p, 4096);
	close(fd);
	return ret;
}

/* Linux' tmpfs lets them show. */
static void mapped_tail(void)
{
	if (try_mapped_tail() == 0)
		CHECK(true);
	else
		UNSUPPORTED("zeros behind the end of a mapped file", try_mapped_tail);
}

static void seen_by_other_descriptors(void)
{
	char buf[16];
	int a, b;

	OK(pt_put("f", "0123456789", 10));
	a = OK(open("f", O_RDWR | O_CLOEXEC));
	b = OK(open("f", O_RDONLY | O_CLOEXEC));
	EQ(pread(b, buf, 16, 0), 10);
	OK(ftruncate(a, 4));
	EQ(pt_fstat(b).st_size, 4);
	EQ(pread(b, buf, 16, 0), 4);
	EQ(pread(b, buf, 16, 4), 0);
	OK(truncate("f", 6));
	EQ(pread(b, buf, 16, 0), 6);
	MEM_EQ(buf, "0123\0\0", 6);
	OK(close(a));
	OK(close(b));
}

static void very_large(void)
{
	char byte = 1;
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	OK(ftruncate(fd, (off_t)1 << 40));
	EQ(pt_fstat(fd).st_size, (off_t)1 << 40);
	EQ(pread(fd, &byte, 1, ((off_t)1 << 40) - 1), 1);
	EQ(byte, 0);
	EQ(pread(fd, &byte, 1, (off_t)1 << 40), 0);
	CHECK(pt_fstat(fd).st_blocks < 1024);
	OK(ftruncate(fd, 1));
	OK(close(fd));
}

static void frees_space(void)
{
	char block[65536];
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	pt_fill(block, sizeof(block), 1);
	for (int i = 0; i < 16; i++)
		EQ(write(fd, block, sizeof(block)), sizeof(block));
	OK(fsync(fd));
	CHECK(pt_fstat(fd).st_blocks >= 2048);
	OK(ftruncate(fd, 0));
	OK(fsync(fd));
	CHECK(pt_fstat(fd).st_blocks < 64);
	OK(close(fd));
}

static const struct pt_case cases[] = {
	{ "sizes", sizes, 0 },
	{ "times", times, 0 },
	{ "permission", permission, 0 },
	{ "wrong_arguments", wrong_arguments, 0 },
	{ "same_size", same_size, 0 },
	{ "through_symlink", through_symlink, 0 },
	{ "offset_stays", offset_stays, 0 },
	{ "mapped_tail", mapped_tail, 0 },
	{ "seen_by_other_descriptors", seen_by_other_descriptors, 0 },
	{ "very_large", very_large, PT_LOCAL },
	{ "frees_space", frees_space, 0 },
};

PT_FAMILY(truncate_ftruncate, cases);
