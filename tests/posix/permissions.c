/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what: every combination of three permission bits, for every kind
 * of user, against open, access, exec and the uses of a directory.
 */
#include "config.h"

#include "tests/posix/posix.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Which of the three groups of bits counts for whom. */
static const struct {
	const struct pt_user *user;
	int shift;
} who[] = { { &pt_owner, 6 }, { &pt_mate, 3 }, { &pt_member, 3 }, { &pt_other, 0 } };

/* Bits for one class of users, the opposite for all others: no class may stand in. */
static mode_t mode_for(int bits, int shift)
{
	mode_t rest = bits ^ 7;

	return ((rest << 6 | rest << 3 | rest) & ~((mode_t)7 << shift)) | ((mode_t)bits << shift);
}

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 ? -1 : close(fd);
}

static void expect(bool may, int ret)
{
	if (may)
		OK(ret);
	else
		ERR(EACCES, ret);
}

static void open_files(void)
{
	OK(pt_make_owned(PT_REG, "f", 0644, pt_owner.uid, pt_owner.gid));
	for (int bits = 0; bits < 8; bits++) {
		for (size_t u = 0; u < PT_ARRAY_SIZE(who); u++) {
			OK(chmod("f", mode_for(bits, who[u].shift)));
			pt_row("mode=%04o %s", mode_for(bits, who[u].shift), who[u].user->name);
			AS(who[u].user) {
				expect(bits & 4, try_open("f", O_RDONLY));
				expect(bits & 2, try_open("f", O_WRONLY));
				expect((bits & 6) == 6, try_open("f", O_RDWR));
				expect(bits & 2, try_open("f", O_WRONLY | O_APPEND));
				expect(bits & 2, try_open("f", O_WRONLY | O_TRUNC));
				expect((bits & 6) == 6, try_open("f", O_RDONLY | O_TRUNC));
				OK(try_open("f", O_PATH));
			}
		}
		pt_row("bits=%o root", bits);
		OK(chmod("f", 0));
		OK(try_open("f", O_RDWR));
	}
}

static void open_fifos(void)
{
	if (!pt_can_make(PT_FIFO))
		return;
	OK(pt_make_owned(PT_FIFO, "p", 0644, pt_owner.uid, pt_owner.gid));
	for (int bits = 0; bits < 8; bits++) {
		for (size_t u = 0; u < PT_ARRAY_SIZE(who); u++) {
			OK(chmod("p", mode_for(bits, who[u].shift)));
			pt_row("mode=%04o %s", mode_for(bits, who[u].shift), who[u].user->name);
			AS(who[u].user) {
				expect(bits & 4, try_open("p", O_RDONLY));
				expect((bits & 6) == 6, try_open("p", O_RDWR));
				if (bits & 2)
					ERR(ENXIO, try_open("p", O_WRONLY));
				else
					ERR(EACCES, try_open("p", O_WRONLY));
			}
		}
	}
}

static void use_directories(void)
{
	OK(pt_make_owned(PT_DIR, "d", 0755, pt_owner.uid, pt_owner.gid));
	OK(pt_touch("d/f", 0666));
	for (int bits = 0; bits < 8; bits++) {
		for (size_t u = 0; u < PT_ARRAY_SIZE(who); u++) {
			bool search = bits & 1, change = (bits & 3) == 3;
			struct stat st;

			OK(chmod("d", mode_for(bits, who[u].shift)));
			pt_row("mode=%04o %s", mode_for(bits, who[u].shift), who[u].user->name);
			AS(who[u].user) {
				expect(bits & 4, try_open("d", O_RDONLY | O_DIRECTORY));
				expect(search, stat("d/f", &st));
				expect(search, try_open("d/f", O_RDWR));
				expect(search, access("d/f", F_OK));
				expect(search, access("d/.", F_OK));
				expect(change, mkdir("d/new", 0755));
				expect(change, rename("d/f", "d/g"));
				if (change) {
					OK(rename("d/g", "d/f"));
					OK(rmdir("d/new"));
				}
				/* The directory itself is seen from outside. */
				OK(stat("d", &st));
				if (search)
					ERR(ENOENT, access("d/missing", F_OK));
				else
					ERR(EACCES, access("d/missing", F_OK));
			}
		}
	}
	OK(chmod("d", 0));
	pt_row("root");
	OK(access("d/f", R_OK | W_OK));
	OK(mkdir("d/new", 0755));
	OK(try_open("d", O_RDONLY));
}

static void change_directory(void)
{
	OK(pt_make_owned(PT_DIR, "d", 0755, pt_owner.uid, pt_owner.gid));
	for (int bits = 0; bits < 8; bits++) {
		for (size_t u = 0; u < PT_ARRAY_SIZE(who); u++) {
			OK(chmod("d", mode_for(bits, who[u].shift)));
			pt_row("mode=%04o %s", mode_for(bits, who[u].shift), who[u].user->name);
			AS(who[u].user)
				expect(bits & 1, chdir("d"));
			if (bits & 1)
				OK(chdir(".."));
		}
	}
}

/* A closed directory half way down stops every path through it. */
static void path_prefix(void)
{
	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	OK(mkdir("a/b/c", 0755));
	OK(pt_touch("a/b/c/f", 0666));
	AS(&pt_other)
		OK(access("a/b/c/f", R_OK));
	OK(chmod("a/b", 0700));
	AS(&pt_other) {
		ERR(EACCES, access("a/b/c/f", R_OK));
		ERR(EACCES, access("a/b/c/../../b/c/f", R_OK));
		ERR(EACCES, try_open("a/b/c/f", O_RDONLY));
		ERR(EACCES, access("a/b/.", F_OK));
	}
	OK(chmod("a/b", 0755));
	AS(&pt_other)
		OK(access("a/b/c/f", R_OK));
}

static void access_call(void)
{
	for (int t = PT_REG; t <= PT_DIR; t++) {
		OK(pt_make_owned(t, "x", 0644, pt_owner.uid, pt_owner.gid));
		for (int bits = 0; bits < 8; bits++) {
			for (size_t u = 0; u < PT_ARRAY_SIZE(who); u++) {
				OK(chmod("x", mode_for(bits, who[u].shift)));
				for (int ask = 0; ask < 8; ask++) {
					bool may = (bits & ask) == ask;

					pt_row("%s mode=%04o %s ask=%d", pt_type_name(t),
					       mode_for(bits, who[u].shift), who[u].user->name,
					       ask);
					AS(who[u].user) {
						expect(may, access("x", ask));
						expect(may,
						       faccessat(AT_FDCWD, "x", ask, AT_EACCESS));
					}
				}
			}
		}
		OK(pt_remove("x"));
	}
	pt_row("arguments");
	OK(pt_touch("x", 0644));
	ERR(EINVAL, access("x", 8));
	ERR(EINVAL, syscall(SYS_faccessat2, AT_FDCWD, "x", R_OK, 0x40000000));
	OK(symlink("missing", "l"));
	ERR(ENOENT, access("l", F_OK));
	OK(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW));
}

/* Root reads and writes all, but executes only what somebody may. */
static void root(void)
{
	for (mode_t mode = 0; mode < 01000; mode += 0111) {
		pt_row("mode=%04o", mode);
		OK(pt_touch("f", mode));
		OK(access("f", R_OK | W_OK));
		if (mode & 0111)
			OK(access("f", X_OK));
		else
			ERR(EACCES, access("f", X_OK));
		OK(unlink("f"));
	}
	for (int i = 0; i < 3; i++) {
		pt_row("one x bit %d", i);
		OK(pt_touch("f", 1u << (3 * i)));
		OK(access("f", X_OK));
		OK(unlink("f"));
	}
	OK(mkdir("d", 0));
	OK(access("d", R_OK | W_OK | X_OK));
}

static int run(const char *path)
{
	pid_t pid = pt_fork();

	if (pid == 0) {
		char *const argv[] = { (char *)path, (char *)"-c", (char *)"exit 7", NULL };

		execv(path, argv);
		_exit(errno == EACCES ? 100 : 101);
	}
	return pt_wait(pid);
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

static void execute(void)
{
	OK(copy_program("/bin/sh", "sh"));
	OK(chown("sh", pt_owner.uid, pt_owner.gid));
	for (int bits = 0; bits < 8; bits++) {
		for (size_t u = 0; u < PT_ARRAY_SIZE(who); u++) {
			OK(chmod("sh", mode_for(bits, who[u].shift)));
			pt_row("mode=%04o %s", mode_for(bits, who[u].shift), who[u].user->name);
			AS(who[u].user)
				EQ(run("./sh"), bits & 1 ? 7 : 100);
		}
	}
	pt_row("root");
	OK(chmod("sh", 0666));
	EQ(run("./sh"), 100);
	OK(chmod("sh", 0001));
	EQ(run("./sh"), 7);
	pt_row("script");
	OK(pt_put("script", "#!./sh\nexit 9\n", 14));
	OK(chmod("script", 0755));
	OK(chmod("sh", 0755));
	{
		pid_t pid = pt_fork();

		if (pid == 0) {
			char *const argv[] = { (char *)"script", NULL };

			execv("./script", argv);
			_exit(100);
		}
		EQ(pt_wait(pid), 9);
	}
	pt_row("directory");
	OK(mkdir("d", 0777));
	EQ(run("./d"), 100);
	pt_row("no program");
	OK(pt_put("text", "no program", 10));
	OK(chmod("text", 0755));
	EQ(run("./text"), 101);
}

/* A group list that changes counts from that moment. */
static void groups_change(void)
{
	static const struct pt_user joined = { "joined", 12004, 12004, { 12001 }, 1 };

	OK(pt_make_owned(PT_REG, "f", 0060, pt_owner.uid, pt_owner.gid));
	for (int i = 0; i < 5; i++) {
		pt_row("i=%d", i);
		AS(&pt_other)
			ERR(EACCES, try_open("f", O_RDWR));
		AS(&joined)
			OK(try_open("f", O_RDWR));
	}
}

static const struct pt_case cases[] = {
	{ "open_files", open_files, 0 },
	{ "open_fifos", open_fifos, 0 },
	{ "use_directories", use_directories, 0 },
	{ "change_directory", change_directory, 0 },
	{ "path_prefix", path_prefix, 0 },
	{ "access_call", access_call, 0 },
	{ "root", root, 0 },
	{ "execute", execute, 0 },
	{ "groups_change", groups_change, 0 },
};

PT_FAMILY(permissions, cases);
