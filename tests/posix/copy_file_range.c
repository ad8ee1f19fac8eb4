/* SPDX-License-Identifier: Apache-2.0 */
/* copy_file_range(2). */
#include "config.h"

#include "tests/posix/posix.h"

#include <stdlib.h>
#include <sys/mman.h>

#define MIB (1024 * 1024)

/* Copies all of len, however many calls it takes; gives the sum. */
static ssize_t copy(int in, off_t in_off, int out, off_t out_off, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = copy_file_range(in, &in_off, out, &out_off, len - done, 0);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += n;
	}
	return done;
}

static void ranges(void)
{
	static const struct {
		off_t in, out;
		size_t len;
	} rows[] = {
		{ 0, 0, 300000 },       { 0, 0, 1 },          { 1, 0, 100 },
		{ 0, 1, 100 },          { 4096, 8192, 4096 }, { 100, 200, 65536 },
		{ 299999, 0, 1 },       { 0, 500000, 1000 },  { 65536, 0, 131072 },
		{ 123, 300000, 45678 },
	};
	static char src[300000], want[600000], got[600000];
	int in, out;

	pt_fill(src, sizeof(src), 1);
	OK(pt_put("in", src, sizeof(src)));
	in = OK(open("in", O_RDONLY | O_CLOEXEC));
	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		size_t size = 300000;

		pt_row("in=%lld out=%lld len=%zu", (long long)rows[i].in, (long long)rows[i].out,
		       rows[i].len);
		memset(want, 0, sizeof(want));
		pt_fill(want, 300000, 2);
		OK(pt_put("out", want, 300000));
		out = OK(open("out", O_RDWR | O_CLOEXEC));
		EQ(copy(in, rows[i].in, out, rows[i].out, rows[i].len), rows[i].len);
		memcpy(want + rows[i].out, src + rows[i].in, rows[i].len);
		if (rows[i].out + rows[i].len > size)
			size = rows[i].out + rows[i].len;
		EQ(pt_fstat(out).st_size, size);
		EQ(pread(out, got, sizeof(got), 0), size);
		MEM_EQ(got, want, size);
		OK(close(out));
	}
	EQ(pt_fstat(in).st_size, 300000);
	OK(close(in));
}

static void file_offsets(void)
{
	char buf[16];
	int in, out;

	OK(pt_put("in", "0123456789", 10));
	in = OK(open("in", O_RDONLY | O_CLOEXEC));
	out = OK(open("out", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	EQ(copy_file_range(in, NULL, out, NULL, 4, 0), 4);
	EQ(lseek(in, 0, SEEK_CUR), 4);
	EQ(lseek(out, 0, SEEK_CUR), 4);
	EQ(copy_file_range(in, &(loff_t){ 8 }, out, NULL, 100, 0), 2);
	EQ(lseek(in, 0, SEEK_CUR), 4);
	EQ(lseek(out, 0, SEEK_CUR), 6);
	EQ(copy_file_range(in, NULL, out, &(loff_t){ 0 }, 1, 0), 1);
	EQ(lseek(in, 0, SEEK_CUR), 5);
	EQ(lseek(out, 0, SEEK_CUR), 6);
	EQ(pread(out, buf, 16, 0), 6);
	MEM_EQ(buf, "412389", 6);
	/* At and behind the end of the source there is nothing to copy. */
	EQ(copy_file_range(in, &(loff_t){ 10 }, out, NULL, 10, 0), 0);
	EQ(copy_file_range(in, &(loff_t){ 100 }, out, NULL, 10, 0), 0);
	EQ(copy_file_range(in, NULL, out, NULL, 0, 0), 0);
	EQ(pt_fstat(out).st_size, 6);
	OK(close(in));
	OK(close(out));
}

static void same_file(void)
{
	char buf[16];
	int fd;

	OK(pt_put("f", "0123456789", 10));
	fd = OK(open("f", O_RDWR | O_CLOEXEC));
	EQ(copy(fd, 0, fd, 5, 5), 5);
	EQ(pread(fd, buf, 16, 0), 10);
	MEM_EQ(buf, "0123401234", 10);
	EQ(copy(fd, 0, fd, 10, 5), 5);
	EQ(pt_fstat(fd).st_size, 15);
	ERR(EINVAL, copy_file_range(fd, &(loff_t){ 0 }, fd, &(loff_t){ 2 }, 5, 0));
	ERR(EINVAL, copy_file_range(fd, &(loff_t){ 2 }, fd, &(loff_t){ 0 }, 5, 0));
	ERR(EINVAL, copy_file_range(fd, &(loff_t){ 0 }, fd, &(loff_t){ 0 }, 5, 0));
	OK(close(fd));
}

static void large(void)
{
	enum { SIZE = 8 * MIB + 123 };
	char *want = malloc(SIZE), *got = malloc(SIZE);
	int in, out;

	CHECK(want && got);
	pt_fill(want, SIZE, 3);
	OK(pt_put("in", want, SIZE));
	in = OK(open("in", O_RDONLY | O_CLOEXEC));
	out = OK(open("out", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	EQ(copy(in, 0, out, 0, SIZE), SIZE);
	EQ(pt_get("out", got, SIZE), SIZE);
	MEM_EQ(got, want, SIZE);
	/* The copy is a copy: neither sees what happens to the other. */
	EQ(pwrite(out, "changed", 7, 4096), 7);
	EQ(pread(in, got, 7, 4096), 7);
	MEM_EQ(got, want + 4096, 7);
	OK(truncate("in", 0));
	EQ(pread(out, got, 100, MIB), 100);
	MEM_EQ(got, want + MIB, 100);
	OK(close(in));
	OK(close(out));
	free(want);
	free(got);
}

/* What is still only in memory is copied, too: dirty pages and stores to a mapping. */
static void dirty_source(void)
{
	char buf[16];
	int in = OK(open("in", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	int out = OK(open("out", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	char *p;

	EQ(write(in, "0123456789", 10), 10);
	EQ(copy(in, 0, out, 0, 10), 10);
	EQ(pread(out, buf, 10, 0), 10);
	MEM_EQ(buf, "0123456789", 10);
	p = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, in, 0);
	if (CHECK(p != MAP_FAILED)) {
		memcpy(p, "mapped", 6);
		EQ(copy(in, 0, out, 0, 10), 10);
		EQ(pread(out, buf, 10, 0), 10);
		MEM_EQ(buf, "mapped6789", 10);
		OK(munmap(p, 10));
	}
	/* And a reader with pages of the target in memory sees the new bytes. */
	p = mmap(NULL, 10, PROT_READ, MAP_SHARED, out, 0);
	if (CHECK(p != MAP_FAILED)) {
		EQ(p[0], 'm');
		EQ(pwrite(in, "Z", 1, 0), 1);
		EQ(copy(in, 0, out, 0, 10), 10);
		EQ(p[0], 'Z');
		OK(munmap(p, 10));
	}
	OK(close(in));
	OK(close(out));
}

static void wrong_arguments(void)
{
	int rw, ro, wo, dir, ap, ends[2];

	OK(pt_put("f", "0123456789", 10));
	OK(pt_put("g", "0123456789", 10));
	OK(mkdir("d", 0755));
	rw = OK(open("f", O_RDWR | O_CLOEXEC));
	ro = OK(open("g", O_RDONLY | O_CLOEXEC));
	wo = OK(open("g", O_WRONLY | O_CLOEXEC));
	ap = OK(open("g", O_WRONLY | O_APPEND | O_CLOEXEC));
	dir = OK(open("d", O_RDONLY | O_CLOEXEC));
	ERR(EBADF, copy_file_range(rw, NULL, ro, NULL, 5, 0));
	ERR(EBADF, copy_file_range(wo, NULL, rw, NULL, 5, 0));
	ERR(EBADF, copy_file_range(rw, NULL, ap, NULL, 5, 0));
	ERR(EISDIR, copy_file_range(dir, NULL, rw, NULL, 5, 0));
	ERR(EISDIR, copy_file_range(rw, NULL, dir, NULL, 5, 0));
	ERR(EINVAL, copy_file_range(rw, NULL, wo, NULL, 5, 1u << 20));
	OK(pipe(ends));
	ERR(EINVAL, copy_file_range(rw, NULL, ends[1], NULL, 5, 0));
	EQ(pt_size("g"), 10);
	OK(close(rw));
	ERR(EBADF, copy_file_range(rw, NULL, wo, NULL, 5, 0));
}

static void from_holes(void)
{
	static char got[MIB];
	int in = OK(open("in", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	int out = OK(open("out", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	EQ(pwrite(in, "a", 1, 0), 1);
	EQ(pwrite(in, "z", 1, MIB - 1), 1);
	memset(got, 'x', sizeof(got));
	EQ(pwrite(out, got, MIB, 0), MIB);
	EQ(copy(in, 0, out, 0, MIB), MIB);
	EQ(pread(out, got, MIB, 0), MIB);
	EQ(got[0], 'a');
	EQ(got[MIB - 1], 'z');
	for (int i = 1; i < MIB - 1; i++) {
		if (got[i]) {
			FAIL("byte %d is %02x", i, (unsigned char)got[i]);
			break;
		}
	}
	OK(close(in));
	OK(close(out));
}

/* Between file systems: some kernels say EXDEV, and cp then falls back. */
static void across(void)
{
	char buf[16];
	int out, in = OK(memfd_create("source", MFD_CLOEXEC));
	ssize_t n;

	EQ(write(in, "0123456789", 10), 10);
	out = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	n = copy(in, 0, out, 0, 10);
	if (n < 0) {
		EQ(errno, EXDEV);
		EQ(pt_fstat(out).st_size, 0);
	} else {
		EQ(n, 10);
		EQ(pread(out, buf, 16, 0), 10);
		MEM_EQ(buf, "0123456789", 10);
	}
	OK(close(in));
	OK(close(out));
}

static const struct pt_case cases[] = {
	{ "ranges", ranges, 0 },
	{ "file_offsets", file_offsets, 0 },
	{ "same_file", same_file, 0 },
	{ "large", large, 0 },
	{ "dirty_source", dirty_source, 0 },
	{ "wrong_arguments", wrong_arguments, 0 },
	{ "from_holes", from_holes, 0 },
	{ "across", across, 0 },
};

PT_FAMILY(copy_file_range, cases);
