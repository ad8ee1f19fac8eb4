/* SPDX-License-Identifier: Apache-2.0 */
/* lseek(2) with SEEK_DATA and SEEK_HOLE. */
#include "config.h"

#include "tests/posix/posix.h"

#include <linux/falloc.h>
#include <stdlib.h>

#define MIB (1024 * 1024)
/* As coarse as a file system may keep its holes. */
#define GRAIN 65536

static int try_holes(void)
{
	int fd = open("holes", O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	off_t hole;

	if (fd < 0 || pwrite(fd, "x", 1, 0) != 1 || pwrite(fd, "x", 1, 4 * MIB) != 1)
		return -1;
	hole = lseek(fd, 0, SEEK_HOLE);
	close(fd);
	unlink("holes");
	if (hole < 0)
		return -1;
	errno = EOPNOTSUPP;
	return hole < 4 * MIB ? 0 : -1;
}

static void whole_file(void)
{
	static char data[300000];
	int fd;

	pt_fill(data, sizeof(data), 1);
	OK(pt_put("f", data, sizeof(data)));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	EQ(lseek(fd, 0, SEEK_DATA), 0);
	EQ(lseek(fd, 12345, SEEK_DATA), 12345);
	EQ(lseek(fd, 0, SEEK_CUR), 12345);
	EQ(lseek(fd, 0, SEEK_HOLE), 300000);
	EQ(lseek(fd, 299999, SEEK_HOLE), 300000);
	EQ(lseek(fd, 299999, SEEK_DATA), 299999);
	ERR(ENXIO, lseek(fd, 300000, SEEK_DATA));
	ERR(ENXIO, lseek(fd, 300000, SEEK_HOLE));
	ERR(ENXIO, lseek(fd, 400000, SEEK_DATA));
	ERR(ENXIO, lseek(fd, 400000, SEEK_HOLE));
	OK(close(fd));
}

static void empty_file(void)
{
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	ERR(ENXIO, lseek(fd, 0, SEEK_DATA));
	ERR(ENXIO, lseek(fd, 0, SEEK_HOLE));
	OK(close(fd));
}

static void sparse(bool sync)
{
	static char block[GRAIN];
	int fd = OK(open("f", O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644));
	off_t pos;

	memset(block, 'x', sizeof(block));
	/* Data at 0, 1 MiB and 3 MiB, one grain each; the end at 4 MiB. */
	EQ(pwrite(fd, block, GRAIN, 0), GRAIN);
	EQ(pwrite(fd, block, GRAIN, MIB), GRAIN);
	EQ(pwrite(fd, block, GRAIN, 3 * MIB), GRAIN);
	OK(ftruncate(fd, 4 * MIB));
	if (sync)
		OK(fsync(fd));
	EQ(lseek(fd, 0, SEEK_DATA), 0);
	EQ(lseek(fd, 0, SEEK_HOLE), GRAIN);
	EQ(lseek(fd, GRAIN, SEEK_DATA), MIB);
	EQ(lseek(fd, GRAIN, SEEK_HOLE), GRAIN);
	EQ(lseek(fd, GRAIN + 5, SEEK_HOLE), GRAIN + 5);
	EQ(lseek(fd, MIB, SEEK_HOLE), MIB + GRAIN);
	EQ(lseek(fd, MIB + GRAIN, SEEK_DATA), 3 * MIB);
	EQ(lseek(fd, 3 * MIB + 10, SEEK_DATA), 3 * MIB + 10);
	EQ(lseek(fd, 3 * MIB, SEEK_HOLE), 3 * MIB + GRAIN);
	ERR(ENXIO, lseek(fd, 3 * MIB + GRAIN, SEEK_DATA));
	EQ(lseek(fd, 4 * MIB - 1, SEEK_HOLE), 4 * MIB - 1);
	ERR(ENXIO, lseek(fd, 4 * MIB, SEEK_HOLE));
	/* Filled in, it is no hole any more. */
	EQ(pwrite(fd, block, GRAIN, 2 * MIB), GRAIN);
	pos = lseek(fd, MIB + GRAIN, SEEK_DATA);
	EQ(pos, 2 * MIB);
	OK(close(fd));
	/* And the same after opening again. */
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	EQ(lseek(fd, GRAIN, SEEK_DATA), MIB);
	EQ(lseek(fd, MIB, SEEK_HOLE), MIB + GRAIN);
	OK(close(fd));
}

static void sparse_files(void)
{
	if (try_holes()) {
		UNSUPPORTED("holes", try_holes);
		return;
	}
	pt_row("unsynced");
	sparse(false);
	pt_row("synced");
	sparse(true);
}

static void only_a_hole(void)
{
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	OK(ftruncate(fd, MIB));
	if (try_holes()) {
		UNSUPPORTED("holes", try_holes);
	} else {
		ERR(ENXIO, lseek(fd, 0, SEEK_DATA));
		EQ(lseek(fd, 0, SEEK_HOLE), 0);
		EQ(lseek(fd, 1000, SEEK_HOLE), 1000);
	}
	OK(close(fd));
}

static void punched(void)
{
	static char data[MIB];
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	memset(data, 'x', sizeof(data));
	EQ(write(fd, data, sizeof(data)), sizeof(data));
	if (try_holes()) {
		UNSUPPORTED("holes", try_holes);
	} else if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * GRAIN,
			     2 * GRAIN)) {
		EQ(errno, EOPNOTSUPP);
		SKIP("no punching of holes");
	} else {
		EQ(lseek(fd, 0, SEEK_HOLE), 4 * GRAIN);
		EQ(lseek(fd, 4 * GRAIN, SEEK_DATA), 6 * GRAIN);
	}
	OK(close(fd));
}

/* Whatever the granularity: walking data and holes covers the file and finds all data. */
static void walk(void)
{
	static char byte;
	off_t pos = 0, data, hole;
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	int found = 0;

	for (int i = 0; i < 20; i++)
		EQ(pwrite(fd, "d", 1, (off_t)i * 3 * GRAIN + 777), 1);
	for (int steps = 0; steps < 100; steps++) {
		data = lseek(fd, pos, SEEK_DATA);
		if (data < 0) {
			EQ(errno, ENXIO);
			break;
		}
		CHECK(data >= pos);
		hole = OK(lseek(fd, data, SEEK_HOLE));
		CHECK(hole > data);
		for (off_t off = data; off < hole; off++)
			if (pread(fd, &byte, 1, off) == 1 && byte == 'd')
				found++;
		pos = hole;
	}
	EQ(found, 20);
	OK(close(fd));
}

static const struct pt_case cases[] = {
	{ "whole_file", whole_file, 0 },     { "empty_file", empty_file, 0 },
	{ "sparse_files", sparse_files, 0 }, { "only_a_hole", only_a_hole, 0 },
	{ "punched", punched, 0 },           { "walk", walk, 0 },
};

PT_FAMILY(lseek_hole_data, cases);
