/* SPDX-License-Identifier: Apache-2.0 */
/* O_TMPFILE: a file without a name, and how it gets one. */
#include "config.h"

#include "tests/posix/posix.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/xattr.h>

static int tmpfile_in(const char *dir, int flags, mode_t mode)
{
	return open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | flags, mode);
}

static int link_fd(int fd, const char *name)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

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

static void nameless(void)
{
	struct stat st;
	char buf[16];
	int fd = OK(tmpfile_in(".", 0, 0640));

	OK(fstat(fd, &st));
	MODE_EQ(st.st_mode, S_IFREG | 0640);
	EQ(st.st_nlink, 0);
	EQ(st.st_size, 0);
	EQ(entries("."), 0);
	EQ(write(fd, "hello", 5), 5);
	EQ(pread(fd, buf, sizeof(buf), 0), 5);
	MEM_EQ(buf, "hello", 5);
	OK(fchmod(fd, 0600));
	OK(fchown(fd, pt_owner.uid, pt_owner.gid));
	OK(ftruncate(fd, 3));
	OK(fsync(fd));
	OK(fsetxattr(fd, "user.k", "v", 1, 0));
	OK(fstat(fd, &st));
	EQ(st.st_size, 3);
	EQ(st.st_uid, pt_owner.uid);
	MODE_EQ(st.st_mode, S_IFREG | 0600);
	EQ(entries("."), 0);
	OK(close(fd));
	EQ(entries("."), 0);
}

static void gets_a_name(void)
{
	struct stat st;
	char buf[16];
	ino_t ino;
	int fd = OK(tmpfile_in(".", 0, 0640));

	EQ(write(fd, "hello", 5), 5);
	OK(fsetxattr(fd, "user.k", "v", 1, 0));
	ino = pt_fstat(fd).st_ino;
	OK(link_fd(fd, "named"));
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 1);
	EQ(pt_lstat("named").st_ino, ino);
	EQ(entries("."), 1);
	EQ(pwrite(fd, "J", 1, 0), 1);
	OK(close(fd));
	EQ(pt_get("named", buf, sizeof(buf)), 5);
	MEM_EQ(buf, "Jello", 5);
	EQ(getxattr("named", "user.k", buf, sizeof(buf)), 1);
	OK(rename("named", "moved"));
	OK(unlink("moved"));
	EQ(entries("."), 0);
}

static void empty_path_link(void)
{
	int fd = OK(tmpfile_in(".", 0, 0640));

	OK(linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
	EQ(pt_nlink("named"), 1);
	ERR(EEXIST, linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
	OK(linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH));
	EQ(pt_nlink("named"), 2);
	EQ(pt_fstat(fd).st_nlink, 2);
	OK(close(fd));
}

static void in_another_directory(void)
{
	int fd;

	OK(mkdir("a", 0755));
	OK(mkdir("b", 0755));
	fd = OK(tmpfile_in("a", 0, 0640));
	OK(link_fd(fd, "b/f"));
	OK(rmdir("a"));
	EQ(write(fd, "x", 1), 1);
	OK(close(fd));
	EQ(pt_size("b/f"), 1);
}

/* A name taken is not overwritten, and the way back to no name is closed. */
static void no_second_chance(void)
{
	int fd = OK(tmpfile_in(".", 0, 0640));

	OK(pt_touch("taken", 0644));
	ERR(EEXIST, link_fd(fd, "taken"));
	OK(link_fd(fd, "named"));
	OK(unlink("named"));
	EQ(pt_fstat(fd).st_nlink, 0);
	EQ(write(fd, "x", 1), 1);
	ERR(ENOENT, link_fd(fd, "again"));
	CHECK(!pt_exists("again"));
	OK(close(fd));
}

static void exclusive(void)
{
	int fd = OK(tmpfile_in(".", O_EXCL, 0640));

	EQ(write(fd, "x", 1), 1);
	ERR(ENOENT, link_fd(fd, "named"));
	CHECK(!pt_exists("named"));
	OK(close(fd));
}

static void wrong_use(void)
{
	OK(pt_touch("file", 0644));
	ERR(ENOTDIR, tmpfile_in("file", 0, 0644));
	ERR(ENOENT, tmpfile_in("missing", 0, 0644));
	ERR(EINVAL, open(".", O_TMPFILE | O_RDONLY, 0644));
	OK(mkdir("ro", 0555));
	OK(chmod(".", 0755));
	AS(&pt_owner) {
		ERR(EACCES, tmpfile_in("ro", 0, 0644));
		ERR(EACCES, tmpfile_in(".", 0, 0644));
	}
}

static void ownership(void)
{
	int fd;

	OK(chmod(".", 0777));
	AS(&pt_owner) {
		umask(027);
		fd = OK(tmpfile_in(".", 0, 0666));
		umask(0);
	}
	EQ(pt_fstat(fd).st_uid, pt_owner.uid);
	EQ(pt_fstat(fd).st_gid, pt_owner.gid);
	MODE_EQ(pt_fstat(fd).st_mode & 07777, 0640);
	OK(close(fd));
	OK(mkdir("sgid", 0777));
	OK(chown("sgid", 0, pt_owner.gid));
	OK(chmod("sgid", 02777));
	AS(&pt_other)
		fd = OK(tmpfile_in("sgid", 0, 0666));
	EQ(pt_fstat(fd).st_gid, pt_owner.gid);
	OK(close(fd));
}

static void write_only(void)
{
	char byte;
	int fd = OK(open(".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));

	EQ(write(fd, "x", 1), 1);
	ERR(EBADF, read(fd, &byte, 1));
	OK(close(fd));
}

static void many_at_once(void)
{
	char name[32];
	int fds[64];

	for (size_t i = 0; i < PT_ARRAY_SIZE(fds); i++) {
		fds[i] = OK(tmpfile_in(".", 0, 0600));
		EQ(write(fds[i], &i, sizeof(i)), sizeof(i));
	}
	for (size_t i = 0; i < PT_ARRAY_SIZE(fds); i++) {
		size_t back = 0;

		pt_row("i=%zu", i);
		EQ(pread(fds[i], &back, sizeof(back), 0), sizeof(back));
		EQ(back, i);
		if (i % 2 == 0 && pt_has_links()) {
			snprintf(name, sizeof(name), "f%zu", i);
			OK(link_fd(fds[i], name));
		}
		OK(close(fds[i]));
	}
	EQ(entries("."), pt_has_links() ? 32 : 0);
}

static const struct pt_case cases[] = {
	{ "nameless", nameless, 0 },
	{ "gets_a_name", gets_a_name, PT_LINKS },
	{ "empty_path_link", empty_path_link, PT_LINKS },
	{ "in_another_directory", in_another_directory, PT_LINKS },
	{ "no_second_chance", no_second_chance, PT_LINKS },
	{ "exclusive", exclusive, 0 },
	{ "wrong_use", wrong_use, 0 },
	{ "ownership", ownership, 0 },
	{ "write_only", write_only, 0 },
	{ "many_at_once", many_at_once, 0 },
};

PT_FAMILY(o_tmpfile, cases);
