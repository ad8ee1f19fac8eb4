/* SPDX-License-Identifier: Apache-2.0 */
/* fsync(2) and its kin: that they answer, and what they answer. */
#include "config.h"

#include "tests/posix/posix.h"

#include <sys/mman.h>
#include <sys/socket.h>

static void regular_files(void)
{
	static const int flags[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_APPEND };
	char buf[8];

	OK(pt_put("f", "data", 4));
	for (size_t i = 0; i < PT_ARRAY_SIZE(flags); i++) {
		int fd = OK(open("f", flags[i] | O_CLOEXEC));

		pt_row("flags=%x", flags[i]);
		if (flags[i] != O_RDONLY)
			CHECK(write(fd, "x", 1) == 1);
		OK(fsync(fd));
		OK(fdatasync(fd));
		OK(fsync(fd));
		OK(syncfs(fd));
		OK(sync_file_range(fd, 0, 0,
				   SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					   SYNC_FILE_RANGE_WAIT_AFTER));
		OK(close(fd));
	}
	EQ(pt_get("f", buf, 8), 5);
	MEM_EQ(buf, "xatax", 5);
}

static void directories(void)
{
	int fd;

	OK(mkdir("d", 0755));
	fd = OK(open("d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	OK(fsync(fd));
	OK(pt_touch("d/f", 0644));
	OK(fsync(fd));
	OK(fdatasync(fd));
	OK(rename("d/f", "d/g"));
	OK(fsync(fd));
	OK(syncfs(fd));
	OK(unlink("d/g"));
	OK(fsync(fd));
	OK(rmdir("d"));
	OK(fsync(fd));
	OK(close(fd));
}

static void other_things(void)
{
	int fd, ends[2];

	OK(pipe(ends));
	ERR(EINVAL, fsync(ends[1]));
	fd = OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	ERR(EINVAL, fsync(fd));
	OK(close(fd));
	ERR(EBADF, fsync(fd));
	ERR(EBADF, fdatasync(fd));
	ERR(EBADF, syncfs(fd));
	OK(pt_touch("f", 0644));
	fd = OK(open("f", O_PATH | O_CLOEXEC));
	ERR(EBADF, fsync(fd));
	OK(close(fd));
	if (pt_can_make(PT_FIFO)) {
		OK(pt_make(PT_FIFO, "p", 0644));
		fd = OK(open("p", O_RDWR | O_CLOEXEC));
		ERR(EINVAL, fsync(fd));
		OK(close(fd));
	}
}

static void without_a_name(void)
{
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	EQ(write(fd, "data", 4), 4);
	OK(unlink("f"));
	OK(fsync(fd));
	OK(fdatasync(fd));
	EQ(pwrite(fd, "more", 4, 4), 4);
	OK(fsync(fd));
	OK(close(fd));
}

static void mapped(void)
{
	char buf[4];
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	char *p;

	OK(ftruncate(fd, 4096));
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!CHECK(p != MAP_FAILED))
		return;
	memcpy(p, "page", 4);
	OK(fsync(fd));
	OK(close(fd));
	memcpy(p, "late", 4);
	OK(msync(p, 4096, MS_SYNC));
	OK(munmap(p, 4096));
	EQ(pt_get("f", buf, 4), 4);
	MEM_EQ(buf, "late", 4);
}

/* Several at once, as a database and its log would. */
static void at_once(void)
{
	pid_t pids[4];

	for (size_t i = 0; i < PT_ARRAY_SIZE(pids); i++) {
		pids[i] = pt_fork();
		if (pids[i] == 0) {
			char name[2] = { 'a' + (char)i, '\0' };
			int fd = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0644);

			for (int k = 0; k < 25; k++)
				if (pwrite(fd, &k, sizeof(k), k * 4) != sizeof(k) || fsync(fd))
					_exit(1);
			_exit(0);
		}
	}
	for (size_t i = 0; i < PT_ARRAY_SIZE(pids); i++)
		EQ(pt_wait(pids[i]), 0);
	EQ(pt_size("a"), 100);
	EQ(pt_size("d"), 100);
}

static const struct pt_case cases[] = {
	{ "regular_files", regular_files, 0 },
	{ "directories", directories, 0 },
	{ "other_things", other_things, 0 },
	{ "without_a_name", without_a_name, 0 },
	{ "mapped", mapped, 0 },
	{ "at_once", at_once, 0 },
};

PT_FAMILY(fsync, cases);
