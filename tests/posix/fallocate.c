/* SPDX-License-Identifier: Apache-2.0 */
/* fallocate(2), every mode, against a model of the bytes. */
#include "config.h"

#include "tests/posix/posix.h"

#include <linux/falloc.h>
#include <stdlib.h>

#define KEEP FALLOC_FL_KEEP_SIZE
#define SIZE 400000
#define ROOM 1200000

static char want[ROOM], got[ROOM];

/* One small call of a mode in the working directory, to see whether it is there at all. */
static int try_mode(int mode)
{
	int fd = open("try", O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
	int ret, err;

	if (fd < 0 || ftruncate(fd, 4 * 65536))
		return -1;
	ret = fallocate(fd, mode, 65536, 65536);
	err = errno;
	close(fd);
	unlink("try");
	errno = err;
	return ret;
}

static int try_plain(void)
{
	return try_mode(0);
}

static int try_keep(void)
{
	return try_mode(KEEP);
}

static int try_punch(void)
{
	return try_mode(FALLOC_FL_PUNCH_HOLE | KEEP);
}

static int try_zero(void)
{
	return try_mode(FALLOC_FL_ZERO_RANGE);
}

static int try_zero_keep(void)
{
	return try_mode(FALLOC_FL_ZERO_RANGE | KEEP);
}

static int try_collapse(void)
{
	return try_mode(FALLOC_FL_COLLAPSE_RANGE);
}

static int try_insert(void)
{
	return try_mode(FALLOC_FL_INSERT_RANGE);
}

static int try_unshare(void)
{
	return try_mode(FALLOC_FL_UNSHARE_RANGE);
}

/* The modes that the FUSE protocol lets through to a file system. */
static bool fuse_has(int mode)
{
	return !(mode &
		 (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE));
}

static bool supported(const char *name, int mode, int (*try)(void))
{
	if (try() == 0)
		return true;
	EQ(errno, EOPNOTSUPP);
	if (pt_is_fuse() && !fuse_has(mode))
		SKIP("not in the FUSE protocol");
	else
		UNSUPPORTED(name, try);
	return false;
}

static void compare(int fd, off_t size)
{
	EQ(pt_fstat(fd).st_size, size);
	EQ(pread(fd, got, ROOM, 0), size);
	MEM_EQ(got, want, size);
}

static int fresh(unsigned int seed)
{
	int fd = OK(open("f", O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644));

	memset(want, 0, sizeof(want));
	pt_fill(want, SIZE, seed);
	OK(pt_write_full(fd, want, SIZE, 0));
	return fd;
}

static const struct {
	off_t off, len;
} ranges[] = {
	{ 0, 4096 },     { 0, 1 },           { 1, 4095 },       { 4095, 2 },
	{ 5000, 100 },   { 4096, 8192 },     { 10000, 50000 },  { 0, SIZE },
	{ 0, SIZE + 1 }, { SIZE - 1, 1 },    { SIZE - 10, 20 }, { SIZE, 4096 },
	{ SIZE, 1 },     { SIZE + 5000, 1 }, { 500000, 70000 }, { 100, 600000 },
};

static void extending(void)
{
	static const struct {
		const char *name;
		int mode;
		int (*try)(void);
		bool zeroes, grows;
	} modes[] = {
		{ "plain", 0, try_plain, false, true },
		{ "keep size", KEEP, try_keep, false, false },
		{ "punch", FALLOC_FL_PUNCH_HOLE | KEEP, try_punch, true, false },
		{ "zero", FALLOC_FL_ZERO_RANGE, try_zero, true, true },
		{ "zero keep size", FALLOC_FL_ZERO_RANGE | KEEP, try_zero_keep, true, false },
		{ "unshare", FALLOC_FL_UNSHARE_RANGE, try_unshare, false, true },
	};

	for (size_t m = 0; m < PT_ARRAY_SIZE(modes); m++) {
		pt_row("%s", modes[m].name);
		if (!supported(modes[m].name, modes[m].mode, modes[m].try))
			continue;
		for (size_t r = 0; r < PT_ARRAY_SIZE(ranges); r++) {
			off_t off = ranges[r].off, end = off + ranges[r].len, size = SIZE;
			int fd = fresh(r);

			pt_row("%s at %lld of %lld", modes[m].name, (long long)off,
			       (long long)ranges[r].len);
			OK(fallocate(fd, modes[m].mode, off, ranges[r].len));
			if (modes[m].grows && end > size)
				size = end;
			if (modes[m].zeroes && off < SIZE)
				memset(want + off, 0, end - off);
			compare(fd, size);
			/* What lay behind the end is zeros when the file grows later. */
			OK(ftruncate(fd, ROOM));
			compare(fd, ROOM);
			OK(close(fd));
		}
	}
}

static void collapse(void)
{
	int fd;

	if (!supported("collapse", FALLOC_FL_COLLAPSE_RANGE, try_collapse))
		return;
	fd = fresh(1);
	OK(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 65536, 131072));
	memmove(want + 65536, want + 65536 + 131072, SIZE - 65536 - 131072);
	compare(fd, SIZE - 131072);
	ERR(EINVAL, fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 100, 65536));
	ERR(EINVAL, fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, SIZE));
	ERR(EOPNOTSUPP, fallocate(fd, FALLOC_FL_COLLAPSE_RANGE | KEEP, 0, 65536));
	OK(close(fd));
}

static void insert(void)
{
	int fd;

	if (!supported("insert", FALLOC_FL_INSERT_RANGE, try_insert))
		return;
	fd = fresh(1);
	OK(fallocate(fd, FALLOC_FL_INSERT_RANGE, 65536, 131072));
	memmove(want + 65536 + 131072, want + 65536, SIZE - 65536);
	memset(want + 65536, 0, 131072);
	compare(fd, SIZE + 131072);
	ERR(EINVAL, fallocate(fd, FALLOC_FL_INSERT_RANGE, 100, 65536));
	ERR(EINVAL, fallocate(fd, FALLOC_FL_INSERT_RANGE, 1048576, 65536));
	OK(close(fd));
}

static void reserves_space(void)
{
	int fd;
	blkcnt_t blocks;

	if (!supported("plain", 0, try_plain))
		return;
	fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	OK(fallocate(fd, 0, 0, 1048576));
	EQ(pt_fstat(fd).st_size, 1048576);
	blocks = pt_fstat(fd).st_blocks;
	CHECK(blocks >= 2048);
	OK(pt_write_full(fd, want, 65536, 0));
	OK(fsync(fd));
	CHECK(pt_fstat(fd).st_blocks <= blocks + 128);
	if (supported("punch", FALLOC_FL_PUNCH_HOLE | KEEP, try_punch)) {
		OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | KEEP, 0, 1048576));
		CHECK(pt_fstat(fd).st_blocks < blocks / 4);
		EQ(pt_fstat(fd).st_size, 1048576);
	}
	OK(close(fd));
}

static void keep_size_beyond_the_end(void)
{
	char byte;
	int fd;

	if (!supported("keep size", KEEP, try_keep))
		return;
	fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	EQ(write(fd, "data", 4), 4);
	OK(fallocate(fd, KEEP, 0, 1048576));
	EQ(pt_fstat(fd).st_size, 4);
	EQ(pread(fd, &byte, 1, 4), 0);
	EQ(lseek(fd, 0, SEEK_END), 4);
	EQ(write(fd, "more", 4), 4);
	EQ(pt_fstat(fd).st_size, 8);
	OK(close(fd));
	EQ(pt_size("f"), 8);
}

static void posix_function(void)
{
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	EQ(posix_fallocate(fd, 0, 100000), 0);
	EQ(pt_fstat(fd).st_size, 100000);
	EQ(posix_fallocate(fd, 0, 10), 0);
	EQ(pt_fstat(fd).st_size, 100000);
	EQ(posix_fallocate(fd, 0, 0), EINVAL);
	EQ(posix_fallocate(fd, -1, 10), EINVAL);
	OK(close(fd));
	EQ(posix_fallocate(fd, 0, 10), EBADF);
}

static void wrong_arguments(void)
{
	int fd, ends[2];

	fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	ERR(EINVAL, fallocate(fd, 0, 0, 0));
	ERR(EINVAL, fallocate(fd, 0, 0, -1));
	ERR(EINVAL, fallocate(fd, 0, -1, 10));
	ERR(EFBIG, fallocate(fd, 0, INT64_MAX - 10, 100));
	ERR(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
	ERR(EOPNOTSUPP, fallocate(fd, 0x4000, 0, 10));
	ERR2(EOPNOTSUPP, EINVAL,
	     fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | KEEP, 0, 10));
	EQ(pt_fstat(fd).st_size, 0);
	OK(close(fd));
	ERR(EBADF, fallocate(fd, 0, 0, 10));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	ERR(EBADF, fallocate(fd, 0, 0, 10));
	OK(close(fd));
	OK(pipe(ends));
	ERR(ESPIPE, fallocate(ends[1], 0, 0, 10));
	OK(mkdir("d", 0755));
	fd = OK(open("d", O_RDONLY | O_CLOEXEC));
	ERR(EBADF, fallocate(fd, 0, 0, 10));
	OK(close(fd));
}

/* A random walk over all modes the file system has. */
static void mixed(void)
{
	static const int modes[] = { 0, KEEP, FALLOC_FL_PUNCH_HOLE | KEEP, FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_ZERO_RANGE | KEEP };
	bool have[PT_ARRAY_SIZE(modes)];
	unsigned int x = 99;
	off_t size = SIZE;
	int fd;

	for (size_t m = 0; m < PT_ARRAY_SIZE(modes); m++)
		have[m] = try_mode(modes[m]) == 0;
	fd = fresh(42);
	for (int i = 0; i < 200; i++) {
		size_t m = i % PT_ARRAY_SIZE(modes);
		off_t off, len, end;

		x = x * 1664525 + 1013904223;
		off = (x >> 8) % (ROOM - 100000);
		x = x * 1664525 + 1013904223;
		len = 1 + (x >> 8) % 90000;
		end = off + len;
		if (!have[m])
			continue;
		if (fallocate(fd, modes[m], off, len))
			FAIL("step %d: %s", i, strerrorname_np(errno));
		if (modes[m] & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
			memset(want + off, 0, len);
		if (!(modes[m] & KEEP) && end > size)
			size = end;
		if (i % 4 == 0) {
			pt_fill(want + off, len, i);
			OK(pt_write_full(fd, want + off, len, off));
			if (end > size)
				size = end;
		}
		if (i % 40 == 39) {
			pt_row("step=%d", i);
			compare(fd, size);
		}
	}
	OK(close(fd));
}

static const struct pt_case cases[] = {
	{ "extending", extending, 0 },
	{ "collapse", collapse, 0 },
	{ "insert", insert, 0 },
	{ "reserves_space", reserves_space, 0 },
	{ "keep_size_beyond_the_end", keep_size_beyond_the_end, 0 },
	{ "posix_function", posix_function, 0 },
	{ "wrong_arguments", wrong_arguments, 0 },
	{ "mixed", mixed, 0 },
};

PT_FAMILY(fallocate, cases);
