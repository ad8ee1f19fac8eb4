/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are open and have no name any more. */
#include "config.h"

#include "tests/posix/posix.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>

static int entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void goes_on(void)
{
	struct stat st;
	char buf[16];
	ino_t ino;
	int fd;

	OK(pt_put("f", "data", 4));
	fd = OK(open("f", O_RDWR | O_CLOEXEC));
	ino = pt_fstat(fd).st_ino;
	OK(unlink("f"));
	/* No name left, and no helper name made either. */
	EQ(entries("."), 0);
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
	EQ(st.st_ino, ino);
	EQ(st.st_size, 4);
	EQ(read(fd, buf, 16), 4);
	MEM_EQ(buf, "data", 4);
	EQ(pwrite(fd, "more", 4, 4), 4);
	EQ(pt_fstat(fd).st_size, 8);
	OK(ftruncate(fd, 6));
	EQ(pread(fd, buf, 16, 0), 6);
	MEM_EQ(buf, "datamo", 6);
	OK(fchmod(fd, 0600));
	OK(fchown(fd, 11, 12));
	OK(fstat(fd, &st));
	MODE_EQ(st.st_mode, S_IFREG | 0600);
	EQ(st.st_uid, 11);
	EQ(st.st_nlink, 0);
	OK(fsync(fd));
	OK(close(fd));
	EQ(entries("."), 0);
}

static void time_of_unlink(void)
{
	struct stat before;
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	before = pt_fstat(fd);
	pt_tick();
	OK(unlink("f"));
	TIME_GT(pt_fstat(fd).st_ctim, before.st_ctim);
	TIME_EQ(pt_fstat(fd).st_mtim, before.st_mtim);
	OK(close(fd));
}

static void through_proc(void)
{
	char self[64], target[4096], buf[8];
	int fd, other;
	ssize_t n;

	OK(pt_put("f", "data", 4));
	fd = OK(open("f", O_RDONLY | O_CLOEXEC));
	OK(unlink("f"));
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = OK(readlink(self, target, sizeof(target) - 1));
	target[n > 0 ? n : 0] = '\0';
	CHECK(strstr(target, " (deleted)") != NULL);
	/* Opened again, with more rights than before. */
	other = OK(open(self, O_RDWR | O_CLOEXEC));
	EQ(pwrite(other, "D", 1, 0), 1);
	EQ(pread(fd, buf, 4, 0), 4);
	MEM_EQ(buf, "Data", 4);
	OK(close(fd));
	EQ(pread(other, buf, 4, 0), 4);
	MEM_EQ(buf, "Data", 4);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", other);
	OK(truncate(self, 2));
	EQ(pt_fstat(other).st_size, 2);
	OK(close(other));
}

/* What had its last name removed does not come back. */
static void cannot_be_linked(void)
{
	char self[64];
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, self, AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
	EQ(pt_nlink("g"), 2);
	OK(unlink("g"));
	OK(unlink("f"));
	ERR(ENOENT, linkat(AT_FDCWD, self, AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
	ERR(ENOENT, linkat(fd, "", AT_FDCWD, "g", AT_EMPTY_PATH));
	CHECK(!pt_exists("g"));
	OK(close(fd));
}

static void same_name_again(void)
{
	char buf[16];
	int old[20];

	for (int i = 0; i < 20; i++) {
		pt_row("i=%d", i);
		old[i] = OK(open("f", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644));
		EQ(write(old[i], &i, sizeof(i)), sizeof(i));
		OK(unlink("f"));
	}
	OK(pt_put("f", "last", 4));
	for (int i = 0; i < 20; i++) {
		int back = -1;

		pt_row("i=%d", i);
		EQ(pread(old[i], &back, sizeof(back), 0), sizeof(back));
		EQ(back, i);
		for (int k = 0; k < i; k++)
			if (pt_fstat(old[i]).st_ino == pt_fstat(old[k]).st_ino)
				FAIL("two live files with one inode number");
	}
	EQ(pt_get("f", buf, 16), 4);
	for (int i = 0; i < 20; i++)
		OK(close(old[i]));
	EQ(pt_get("f", buf, 16), 4);
	MEM_EQ(buf, "last", 4);
}

static void replaced_by_rename(void)
{
	char buf[8];
	int fd;

	OK(pt_put("f", "old", 3));
	fd = OK(open("f", O_RDWR | O_CLOEXEC));
	OK(pt_put("g", "newer", 5));
	OK(rename("g", "f"));
	EQ(pt_fstat(fd).st_nlink, 0);
	EQ(pread(fd, buf, 8, 0), 3);
	EQ(pwrite(fd, "OLD", 3, 0), 3);
	EQ(pt_get("f", buf, 8), 5);
	MEM_EQ(buf, "newer", 5);
	OK(close(fd));
	EQ(pt_get("f", buf, 8), 5);
}

static void several_descriptors(void)
{
	char buf[8];
	int a, b, copy;
	pid_t pid;

	OK(pt_put("f", "data", 4));
	a = OK(open("f", O_RDWR | O_CLOEXEC));
	b = OK(open("f", O_RDONLY | O_CLOEXEC));
	copy = OK(dup(a));
	OK(unlink("f"));
	OK(close(a));
	EQ(pwrite(copy, "DATA", 4, 0), 4);
	pid = pt_fork();
	if (pid == 0) {
		EQ(pread(b, buf, 8, 0), 4);
		MEM_EQ(buf, "DATA", 4);
		EQ(pwrite(copy, "x", 1, 0), 1);
		_exit(0);
	}
	EQ(pt_wait(pid), 0);
	OK(close(copy));
	EQ(pread(b, buf, 8, 0), 4);
	MEM_EQ(buf, "xATA", 4);
	OK(close(b));
}

static void locked_and_mapped(void)
{
	int a = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));
	int b = OK(open("f", O_RDWR | O_CLOEXEC));
	char *p;

	OK(ftruncate(a, 8192));
	OK(unlink("f"));
	OK(flock(a, LOCK_EX));
	ERR(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, b, 0);
	if (CHECK(p != MAP_FAILED)) {
		char buf[4];

		memcpy(p + 4096, "page", 4);
		EQ(pread(a, buf, 4, 4096), 4);
		MEM_EQ(buf, "page", 4);
		OK(close(a));
		OK(close(b));
		memcpy(p, "gone", 4);
		MEM_EQ(p, "gone", 4);
		OK(munmap(p, 8192));
	}
}

static void with_other_links(void)
{
	char buf[8];
	int fd;

	OK(pt_put("a", "data", 4));
	OK(link("a", "b"));
	fd = OK(open("a", O_RDWR | O_CLOEXEC));
	OK(unlink("a"));
	EQ(pt_fstat(fd).st_nlink, 1);
	EQ(pwrite(fd, "D", 1, 0), 1);
	EQ(pt_get("b", buf, 8), 4);
	MEM_EQ(buf, "Data", 4);
	OK(unlink("b"));
	EQ(pt_fstat(fd).st_nlink, 0);
	EQ(pread(fd, buf, 8, 0), 4);
	OK(close(fd));
}

static void directory_goes_too(void)
{
	char buf[8];
	int fd;

	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	OK(pt_put("d/e/f", "data", 4));
	fd = OK(open("d/e/f", O_RDWR | O_CLOEXEC));
	OK(unlink("d/e/f"));
	OK(rmdir("d/e"));
	OK(rmdir("d"));
	EQ(pread(fd, buf, 8, 0), 4);
	EQ(pwrite(fd, "more", 4, 4), 4);
	EQ(pt_fstat(fd).st_size, 8);
	OK(close(fd));
	EQ(entries("."), 0);
}

static void large(void)
{
	enum { SIZE = 4 * 1024 * 1024 };
	char *want = malloc(SIZE), *got = malloc(SIZE);
	int fd = OK(open("f", O_CREAT | O_RDWR | O_CLOEXEC, 0644));

	CHECK(want && got);
	OK(unlink("f"));
	pt_fill(want, SIZE, 3);
	OK(pt_write_full(fd, want, SIZE, 0));
	OK(fsync(fd));
	OK(pt_read_full(fd, got, SIZE, 0));
	MEM_EQ(got, want, SIZE);
	OK(close(fd));
	free(want);
	free(got);
}

static const struct pt_case cases[] = {
	{ "goes_on", goes_on, 0 },
	{ "time_of_unlink", time_of_unlink, 0 },
	{ "through_proc", through_proc, 0 },
	{ "cannot_be_linked", cannot_be_linked, PT_LINKS },
	{ "same_name_again", same_name_again, 0 },
	{ "replaced_by_rename", replaced_by_rename, 0 },
	{ "several_descriptors", several_descriptors, 0 },
	{ "locked_and_mapped", locked_and_mapped, 0 },
	{ "with_other_links", with_other_links, PT_LINKS },
	{ "directory_goes_too", directory_goes_too, 0 },
	{ "large", large, 0 },
};

PT_FAMILY(unlinked, cases);
