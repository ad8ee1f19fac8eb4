/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a change of a file takes away: set-id bits and file capabilities, by
 * every call that changes bytes, as root and as others; and the running of
 * programs.
 */
#include "config.h"

#include "tests/posix/posix.h"

#include <endian.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>

/* Each changes the 8192 bytes of "f", opened anew or as fd; fd is read-write. */
static int by_write(int fd)
{
	return write(fd, "x", 1) == 1 ? 0 : -1;
}

static int by_pwrite(int fd)
{
	return pwrite(fd, "x", 1, 5000) == 1 ? 0 : -1;
}

static int by_writev(int fd)
{
	struct iovec iov = { (char *)"x", 1 };

	return writev(fd, &iov, 1) == 1 ? 0 : -1;
}

static int by_append(int fd)
{
	if (fcntl(fd, F_SETFL, O_APPEND))
		return -1;
	return write(fd, "x", 1) == 1 ? 0 : -1;
}

static int by_direct(int fd)
{
	void *buf = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (buf == MAP_FAILED || fcntl(fd, F_SETFL, O_DIRECT))
		return -1;
	return pwrite(fd, buf, 4096, 0) == 4096 ? 0 : -1;
}

static int by_truncate(int fd)
{
	(void)fd;
	return truncate("f", 100);
}

static int by_ftruncate(int fd)
{
	return ftruncate(fd, 100);
}

static int by_open_trunc(int fd)
{
	int other = open("f", O_WRONLY | O_TRUNC | O_CLOEXEC);

	(void)fd;
	return other < 0 ? -1 : close(other);
}

static int by_fallocate(int fd)
{
	return fallocate(fd, 0, 0, 16384);
}

static int by_punch(int fd)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
}

static int by_copy_file_range(int fd)
{
	int in = open("source", O_RDONLY | O_CLOEXEC);
	off_t at = 0;
	int ret = copy_file_range(in, NULL, fd, &at, 100, 0) == 100 ? 0 : -1;

	close(in);
	return ret;
}

static int by_sendfile(int fd)
{
	int in = open("source", O_RDONLY | O_CLOEXEC);
	int ret = sendfile(fd, in, NULL, 100) == 100 ? 0 : -1;

	close(in);
	return ret;
}

static int by_splice(int fd)
{
	int ends[2], ret;

	if (pipe2(ends, O_CLOEXEC) || write(ends[1], "x", 1) != 1)
		return -1;
	ret = splice(ends[0], NULL, fd, NULL, 1, 0) == 1 ? 0 : -1;
	close(ends[0]);
	close(ends[1]);
	return ret;
}

static const struct {
	const char *name;
	int (*change)(int fd);
	bool optional; /* the file system may lack it */
} ways[] = {
	{ "write", by_write, false },
	{ "pwrite", by_pwrite, false },
	{ "writev", by_writev, false },
	{ "append", by_append, false },
	{ "direct", by_direct, true },
	{ "truncate", by_truncate, false },
	{ "ftruncate", by_ftruncate, false },
	{ "open trunc", by_open_trunc, false },
	{ "fallocate", by_fallocate, true },
	{ "punch", by_punch, true },
	{ "copy_file_range", by_copy_file_range, false },
	{ "sendfile", by_sendfile, false },
	{ "splice", by_splice, false },
};

static int prepare(mode_t mode, const struct pt_user *owner)
{
	static const char data[8192] = { 0 };
	int fd;

	OK(pt_put("f", data, sizeof(data)));
	OK(chown("f", owner->uid, owner->gid));
	OK(chmod("f", mode));
	MODE_EQ(pt_perm("f"), mode);
	fd = OK(open("f", O_RDWR | O_CLOEXEC));
	return fd;
}

/* True if the change was made; a skip where the file system may lack it. */
static bool change(size_t way, int fd)
{
	if (ways[way].change(fd) == 0)
		return true;
	if (ways[way].optional && (errno == EOPNOTSUPP || errno == EINVAL)) {
		char why[128];

		snprintf(why, sizeof(why), "the file system does not have it: %s", ways[way].name);
		SKIP(why);
		return false;
	}
	FAIL("%s: %s", ways[way].name, strerrorname_np(errno));
	return false;
}

static void make_source(void)
{
	static const char data[8192] = { 1 };

	OK(pt_put("source", data, sizeof(data)));
	OK(chmod("source", 0644));
}

static const struct pt_user root_user = { .name = "root" };

static void set_id_bits(void)
{
	static const struct {
		mode_t mode, want;
	} rows[] = {
		{ 06777, 0777 }, { 04777, 0777 }, { 02777, 0777 },
		{ 04666, 0666 }, { 0777, 0777 },  { 01777, 01777 },
	};
	static const struct {
		const char *name;
		const struct pt_user *owner, *user;
	} actors[] = {
		{ "stranger of root's", &root_user, &pt_other },
		{ "owner", &pt_owner, &pt_owner },
		{ "group", &pt_owner, &pt_mate },
		{ "stranger", &pt_owner, &pt_other },
	};

	make_source();
	for (size_t w = 0; w < PT_ARRAY_SIZE(ways); w++) {
		for (size_t r = 0; r < PT_ARRAY_SIZE(rows); r++) {
			for (size_t a = 0; a < PT_ARRAY_SIZE(actors); a++) {
				bool done = false;
				int fd;

				pt_row("%s mode=%04o by %s", ways[w].name, rows[r].mode,
				       actors[a].name);
				fd = prepare(rows[r].mode, actors[a].owner);
				AS(actors[a].user)
					done = change(w, fd);
				if (done) {
					MODE_EQ(pt_perm("f"), rows[r].want);
					MODE_EQ(pt_fstat(fd).st_mode & 07777, rows[r].want);
				}
				OK(close(fd));
				MODE_EQ(pt_perm("f"), done ? rows[r].want : rows[r].mode);
				OK(unlink("f"));
			}
		}
	}
}

/* Root keeps them: it could set them again. */
static void set_id_bits_root(void)
{
	make_source();
	for (size_t w = 0; w < PT_ARRAY_SIZE(ways); w++) {
		int fd;

		pt_row("%s", ways[w].name);
		fd = prepare(06777, &pt_owner);
		if (change(w, fd))
			MODE_EQ(pt_perm("f"), 06777);
		OK(close(fd));
		MODE_EQ(pt_perm("f"), 06777);
		OK(unlink("f"));
	}
}

/* Again and again: bits set anew are cleared anew, also on the descriptor in use. */
static void set_id_bits_again(void)
{
	int fd = prepare(0777, &pt_owner);

	for (int i = 0; i < 5; i++) {
		pt_row("i=%d", i);
		OK(chmod("f", 06777));
		AS(&pt_other)
			EQ(write(fd, "x", 1), 1);
		MODE_EQ(pt_perm("f"), 0777);
	}
	/* Reading, syncing, closing take nothing. */
	OK(chmod("f", 06777));
	AS(&pt_other) {
		char byte;

		EQ(pread(fd, &byte, 1, 0), 1);
		OK(fsync(fd));
		EQ(write(fd, "", 0), 0);
	}
	OK(close(fd));
	MODE_EQ(pt_perm("f"), 06777);
}

static int give_capability(const char *path)
{
	struct vfs_cap_data cap = {
		.magic_etc = htole32(VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE),
	};

	cap.data[0].permitted = htole32(1u << CAP_NET_RAW);
	return setxattr(path, "security.capability", &cap, sizeof(cap), 0);
}

static bool has_capability(const char *path)
{
	char value[64];

	return getxattr(path, "security.capability", value, sizeof(value)) > 0;
}

static int try_capability(void)
{
	int ret;

	if (pt_touch("try-cap", 0755))
		return -1;
	ret = give_capability("try-cap");
	unlink("try-cap");
	return ret;
}

static void capabilities(void)
{
	if (try_capability()) {
		UNSUPPORTED("security.capability", try_capability);
		return;
	}
	make_source();
	for (size_t w = 0; w < PT_ARRAY_SIZE(ways); w++) {
		for (int as_root = 0; as_root < 2; as_root++) {
			bool done = false;
			int fd;

			pt_row("%s %s", ways[w].name, as_root ? "root" : "other");
			fd = prepare(0777, &pt_owner);
			OK(give_capability("f"));
			CHECK(has_capability("f"));
			if (as_root)
				done = change(w, fd);
			else
				AS(&pt_other)
					done = change(w, fd);
			OK(close(fd));
			EQ(has_capability("f"), !done);
			OK(unlink("f"));
		}
	}
	pt_row("chown");
	OK(close(prepare(0777, &pt_owner)));
	OK(give_capability("f"));
	OK(chown("f", pt_other.uid, (gid_t)-1));
	CHECK(!has_capability("f"));
	pt_row("chmod, rename and utimens keep it");
	OK(give_capability("f"));
	OK(chmod("f", 0755));
	OK(rename("f", "g"));
	OK(utimensat(AT_FDCWD, "g", NULL, 0));
	CHECK(has_capability("g"));
	AS(&pt_other)
		ERR(EPERM, give_capability("g"));
}

static int copy_program(const char *from, const char *to)
{
	char buf[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);
	ssize_t n;

	if (in < 0 || out < 0)
		return -1;
	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, n) != n)
			return -1;
	close(in);
	return close(out);
}

/* The effective uid that "id -u", copied here, sees of itself; -1 if it did not run. */
static long effective_uid(const char *program)
{
	char text[32];
	int ends[2];
	ssize_t n;
	pid_t pid;

	OK(pipe(ends));
	pid = pt_fork();
	if (pid == 0) {
		char *const argv[] = { (char *)"id", (char *)"-u", NULL };

		dup2(ends[1], STDOUT_FILENO);
		execv(program, argv);
		_exit(127);
	}
	close(ends[1]);
	n = read(ends[0], text, sizeof(text) - 1);
	close(ends[0]);
	if (pt_wait(pid) != 0 || n <= 0)
		return -1;
	text[n] = '\0';
	return strtol(text, NULL, 10);
}

static void set_uid_program(void)
{
	struct statvfs sv;
	bool nosuid;

	OK(statvfs(".", &sv));
	if (sv.f_flag & ST_NOEXEC) {
		SKIP("mounted noexec");
		return;
	}
	nosuid = sv.f_flag & ST_NOSUID;
	OK(copy_program("/usr/bin/id", "id"));
	OK(chown("id", pt_owner.uid, pt_owner.gid));
	OK(chmod("id", 0755));
	AS(&pt_other)
		EQ(effective_uid("./id"), pt_other.uid);
	OK(chmod("id", 04755));
	AS(&pt_other)
		EQ(effective_uid("./id"), nosuid ? pt_other.uid : pt_owner.uid);
	/* Written to by another, it is an ordinary program. */
	OK(chmod("id", 04777));
	AS(&pt_other) {
		int fd = OK(open("id", O_WRONLY | O_APPEND | O_CLOEXEC));

		EQ(write(fd, "", 1), 1);
		OK(close(fd));
		EQ(effective_uid("./id"), pt_other.uid);
	}
}

static void text_busy(void)
{
	struct pt_gate running;
	char path[64], exe[4096];
	pid_t pid;
	int fd;

	OK(copy_program("/bin/cat", "cat"));
	/* Open for writing: cannot be run. */
	fd = OK(open("cat", O_WRONLY | O_CLOEXEC));
	pid = pt_fork();
	if (pid == 0) {
		char *const argv[] = { (char *)"cat", NULL };

		execv("./cat", argv);
		_exit(errno == ETXTBSY ? 0 : 1);
	}
	EQ(pt_wait(pid), 0);
	OK(close(fd));
	/* Running: cannot be opened for writing. */
	pt_gate_init(&running);
	pid = pt_fork();
	if (pid == 0) {
		char *const argv[] = { (char *)"cat", NULL };

		dup2(running.fds[0], STDIN_FILENO);
		close(running.fds[1]);
		execv("./cat", argv);
		_exit(127);
	}
	close(running.fds[0]);
	/* It runs once the link of its program names the file. */
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	for (int i = 0; i < 5000; i++) {
		const struct timespec ms = { .tv_nsec = 1000000 };
		ssize_t n = readlink(path, exe, sizeof(exe) - 1);

		if (n > 4 && memcmp(exe + n - 4, "/cat", 4) == 0)
			break;
		nanosleep(&ms, NULL);
	}
	ERR(ETXTBSY, open("cat", O_WRONLY));
	ERR(ETXTBSY, open("cat", O_RDWR));
	ERR(ETXTBSY, truncate("cat", 0));
	fd = OK(open("cat", O_RDONLY | O_CLOEXEC));
	OK(close(fd));
	OK(chmod("cat", 0700));
	OK(rename("cat", "moved"));
	ERR(ETXTBSY, open("moved", O_WRONLY));
	OK(unlink("moved"));
	close(running.fds[1]);
	EQ(pt_wait(pid), 0);
}

/* A program just written and closed runs at once, time after time. */
static void write_then_run(void)
{
	for (int i = 0; i < 10; i++) {
		pid_t pid;

		pt_row("i=%d", i);
		OK(copy_program("/bin/true", "prog"));
		pid = pt_fork();
		if (pid == 0) {
			char *const argv[] = { (char *)"prog", NULL };

			execv("./prog", argv);
			_exit(100);
		}
		EQ(pt_wait(pid), 0);
		OK(unlink("prog"));
	}
}

static const struct pt_case cases[] = {
	{ "set_id_bits", set_id_bits, 0 },
	{ "set_id_bits_root", set_id_bits_root, 0 },
	{ "set_id_bits_again", set_id_bits_again, 0 },
	{ "capabilities", capabilities, 0 },
	{ "set_uid_program", set_uid_program, 0 },
	{ "text_busy", text_busy, 0 },
	{ "write_then_run", write_then_run, 0 },
};

PT_FAMILY(suid_exec, cases);
