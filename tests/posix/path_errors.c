/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every call that takes a path answers when the path is at fault: each
 * kind of wrong path against each call.
 */
#include "config.h"

#include "tests/posix/posix.h"

#include <limits.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#define NEW (1u << 0) /* the call makes the last component */
#define CHANGES (1u << 1) /* the call needs write permission on the parent */
#define FOLLOWS (1u << 2) /* a symlink as last component is followed */
#define LINKS (1u << 3) /* needs hard links */

struct path_op {
	const char *name;
	int (*call)(const char *path);
	unsigned int flags;
};

static int close_fd(int fd)
{
	return fd < 0 ? -1 : close(fd);
}

static int op_open(const char *p)
{
	return close_fd(open(p, O_RDONLY | O_CLOEXEC));
}

static int op_open_write(const char *p)
{
	return close_fd(open(p, O_WRONLY | O_CLOEXEC));
}

static int op_open_create(const char *p)
{
	return close_fd(open(p, O_RDWR | O_CREAT | O_CLOEXEC, 0644));
}

static int op_open_excl(const char *p)
{
	return close_fd(open(p, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
}

static int op_open_dir(const char *p)
{
	return close_fd(open(p, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int op_open_path(const char *p)
{
	return close_fd(open(p, O_PATH | O_CLOEXEC));
}

static int op_mkdir(const char *p)
{
	return mkdir(p, 0755);
}

static int op_mkfifo(const char *p)
{
	return mknod(p, S_IFIFO | 0644, 0);
}

static int op_mknod(const char *p)
{
	return mknod(p, S_IFREG | 0644, 0);
}

static int op_symlink(const char *p)
{
	return symlink("target", p);
}

static int op_link_to(const char *p)
{
	return link("file", p);
}

static int op_link_from(const char *p)
{
	return link(p, "new");
}

static int op_rename_to(const char *p)
{
	return rename("file", p);
}

static int op_rename_from(const char *p)
{
	return rename(p, "new");
}

static int op_rename_dir_to(const char *p)
{
	return rename("dir", p);
}

static int op_truncate(const char *p)
{
	return truncate(p, 100);
}

static int op_chmod(const char *p)
{
	return chmod(p, 0600);
}

static int op_chown(const char *p)
{
	return chown(p, pt_owner.uid, pt_owner.gid);
}

static int op_lchown(const char *p)
{
	return lchown(p, pt_owner.uid, pt_owner.gid);
}

static int op_utimens(const char *p)
{
	return utimensat(AT_FDCWD, p, NULL, 0);
}

static int op_stat(const char *p)
{
	struct stat st;

	return stat(p, &st);
}

static int op_lstat(const char *p)
{
	struct stat st;

	return lstat(p, &st);
}

static int op_statx(const char *p)
{
	struct statx stx;

	return statx(AT_FDCWD, p, 0, STATX_BASIC_STATS, &stx);
}

static int op_readlink(const char *p)
{
	char buf[16];

	return readlink(p, buf, sizeof(buf)) < 0 ? -1 : 0;
}

static int op_access(const char *p)
{
	return access(p, F_OK);
}

static int op_statfs(const char *p)
{
	struct statfs sf;

	return statfs(p, &sf);
}

static int op_getxattr(const char *p)
{
	char buf[16];

	return getxattr(p, "user.x", buf, sizeof(buf)) < 0 ? -1 : 0;
}

static int op_setxattr(const char *p)
{
	return setxattr(p, "user.x", "v", 1, 0);
}

static int op_lsetxattr(const char *p)
{
	return lsetxattr(p, "trusted.x", "v", 1, 0);
}

static int op_listxattr(const char *p)
{
	char buf[16];

	return listxattr(p, buf, sizeof(buf)) < 0 ? -1 : 0;
}

static int op_removexattr(const char *p)
{
	return removexattr(p, "user.x");
}

static int op_chdir(const char *p)
{
	return chdir(p);
}

static int op_exec(const char *p)
{
	char *const argv[] = { (char *)"x", NULL };

	return execve(p, argv, argv + 1);
}

static const struct path_op ops[] = {
	{ "open", op_open, FOLLOWS },
	{ "open_write", op_open_write, FOLLOWS },
	{ "open_create", op_open_create, NEW | CHANGES | FOLLOWS },
	{ "open_excl", op_open_excl, NEW | CHANGES },
	{ "open_dir", op_open_dir, FOLLOWS },
	{ "open_path", op_open_path, FOLLOWS },
	{ "mkdir", op_mkdir, NEW | CHANGES },
	{ "rmdir", rmdir, CHANGES },
	{ "mkfifo", op_mkfifo, NEW | CHANGES },
	{ "mknod", op_mknod, NEW | CHANGES },
	{ "unlink", unlink, CHANGES },
	{ "symlink", op_symlink, NEW | CHANGES },
	{ "link_to", op_link_to, NEW | CHANGES | LINKS },
	{ "link_from", op_link_from, LINKS },
	{ "rename_to", op_rename_to, NEW | CHANGES },
	{ "rename_from", op_rename_from, CHANGES },
	{ "rename_dir_to", op_rename_dir_to, NEW | CHANGES },
	{ "truncate", op_truncate, FOLLOWS },
	{ "chmod", op_chmod, FOLLOWS },
	{ "chown", op_chown, FOLLOWS },
	{ "lchown", op_lchown, 0 },
	{ "utimensat", op_utimens, FOLLOWS },
	{ "stat", op_stat, FOLLOWS },
	{ "lstat", op_lstat, 0 },
	{ "statx", op_statx, FOLLOWS },
	{ "readlink", op_readlink, 0 },
	{ "access", op_access, FOLLOWS },
	{ "statfs", op_statfs, FOLLOWS },
	{ "getxattr", op_getxattr, FOLLOWS },
	{ "setxattr", op_setxattr, FOLLOWS },
	{ "lsetxattr", op_lsetxattr, 0 },
	{ "listxattr", op_listxattr, FOLLOWS },
	{ "removexattr", op_removexattr, FOLLOWS },
	{ "chdir", op_chdir, FOLLOWS },
	{ "execve", op_exec, FOLLOWS },
};

static bool op_possible(const struct path_op *op)
{
	return !(op->flags & LINKS) || pt_has_links();
}

#define FOR_OPS(op)                                                               \
	for (const struct path_op *op = ops; op < ops + PT_ARRAY_SIZE(ops); op++) \
		if (op_possible(op))

static void make_sources(void)
{
	OK(pt_touch("file", 0644));
	OK(mkdir("dir", 0755));
}

/* The same wrong path given to every call. */
static void all_answer(int err, const char *path, const char *what)
{
	FOR_OPS(op) {
		pt_row("%s %s", op->name, what);
		ERR(err, op->call(path));
	}
}

static void prefix_not_a_directory(void)
{
	make_sources();
	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if (t == PT_DIR || t == PT_LNK || !pt_can_make(t))
			continue;
		OK(pt_make(t, "not-dir", 0777));
		all_answer(ENOTDIR, "not-dir/x", pt_type_name(t));
		all_answer(ENOTDIR, "dir/../not-dir/./x", pt_type_name(t));
		OK(unlink("not-dir"));
	}
	OK(symlink("file", "to-file"));
	all_answer(ENOTDIR, "to-file/x", "symlink to a file");
}

static void prefix_missing(void)
{
	make_sources();
	all_answer(ENOENT, "missing/x", "missing prefix");
	all_answer(ENOENT, "dir/missing/x", "missing prefix below");
	OK(symlink("nowhere", "dangling"));
	all_answer(ENOENT, "dangling/x", "dangling prefix");
	all_answer(ENOENT, "", "empty path");
}

static void last_missing(void)
{
	make_sources();
	FOR_OPS(op) {
		pt_row("%s", op->name);
		if (!(op->flags & NEW))
			ERR(ENOENT, op->call("missing"));
	}
	OK(symlink("nowhere", "dangling"));
	FOR_OPS(op) {
		pt_row("%s dangling", op->name);
		if ((op->flags & FOLLOWS) && !(op->flags & NEW))
			ERR(ENOENT, op->call("dangling"));
	}
}

static void component_too_long(void)
{
	char name[512], path[600];

	make_sources();
	for (size_t len = 256; len <= 500; len += 122) {
		memset(name, 'n', len);
		name[len] = '\0';
		pt_row("len=%zu", len);
		all_answer(ENAMETOOLONG, name, "long last component");
		snprintf(path, sizeof(path), "%s/x", name);
		all_answer(ENAMETOOLONG, path, "long prefix");
		snprintf(path, sizeof(path), "dir/%s", name);
		all_answer(ENAMETOOLONG, path, "long component in a directory");
	}
}

/* PATH_MAX counts the terminating NUL: 4095 bytes go through, 4096 do not. */
static void path_too_long(void)
{
	char path[PATH_MAX + 2];

	make_sources();
	memset(path, '/', sizeof(path));
	for (size_t i = 0; i < PATH_MAX; i += 2)
		path[i] = '.';
	path[PATH_MAX] = '\0';
	path[PATH_MAX - 1] = 'x';
	EQ(strlen(path), PATH_MAX);
	all_answer(ENAMETOOLONG, path, "4096 bytes");
	path[PATH_MAX - 1] = '\0';
	path[PATH_MAX - 2] = 'x';
	FOR_OPS(op) {
		pt_row("%s 4095 bytes", op->name);
		if (!(op->flags & NEW))
			ERR(ENOENT, op->call(path));
	}
	pt_row("4095 bytes");
	OK(op_mkdir(path));
	OK(op_stat("x"));
	OK(rmdir(path));
}

static void symlink_loops(void)
{
	char name[32], target[32];

	make_sources();
	OK(symlink("loop-b", "loop-a"));
	OK(symlink("loop-a", "loop-b"));
	OK(symlink("self", "self"));
	all_answer(ELOOP, "loop-a/x", "loop as prefix");
	all_answer(ELOOP, "self/x", "self as prefix");
	FOR_OPS(op) {
		pt_row("%s", op->name);
		if (op->flags & FOLLOWS)
			ERR(ELOOP, op->call("loop-a"));
	}
	/* 40 links are the limit. */
	OK(symlink("file", "chain-0"));
	for (int i = 1; i <= 40; i++) {
		snprintf(name, sizeof(name), "chain-%d", i);
		snprintf(target, sizeof(target), "chain-%d", i - 1);
		OK(symlink(target, name));
	}
	pt_row("40 links");
	OK(op_stat("chain-39"));
	OK(op_open("chain-39"));
	pt_row("41 links");
	ERR(ELOOP, op_stat("chain-40"));
	ERR(ELOOP, op_open("chain-40"));
	ERR(ELOOP, op_truncate("chain-40"));
}

static void bad_address(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	SKIP("a sanitizer reads the path before the kernel does");
#else
	make_sources();
	/* Out of every address space, and not known to the compiler as such. */
	all_answer(EFAULT, (const char *)(uintptr_t) - (long)getpagesize(), "bad address");
#endif
}

static void no_search_permission(void)
{
	OK(chown(".", pt_owner.uid, pt_owner.gid));
	AS(&pt_owner) {
		make_sources();
		OK(mkdir("closed", 0700));
		OK(pt_touch("closed/x", 0777));
		OK(mkdir("closed/d", 0777));
		OK(chmod("closed", 0600));
		all_answer(EACCES, "closed/x", "present");
		all_answer(EACCES, "closed/missing", "missing");
		all_answer(EACCES, "closed/d/x", "below");
	}
	/* Root is not held up. */
	OK(op_stat("closed/x"));
	AS(&pt_owner) {
		OK(chmod("closed", 0700));
		OK(op_stat("closed/x"));
		OK(op_open("closed/x"));
	}
}

static void no_write_permission(void)
{
	OK(chown(".", pt_owner.uid, pt_owner.gid));
	AS(&pt_owner) {
		make_sources();
		OK(mkdir("ro", 0755));
		OK(pt_touch("ro/x", 0777));
		OK(mkdir("ro/d", 0777));
		OK(chmod("ro", 0555));
		FOR_OPS(op) {
			if (!(op->flags & CHANGES))
				continue;
			pt_row("%s", op->name);
			if (op->flags & NEW)
				ERR(EACCES, op->call("ro/new"));
			else
				ERR(EACCES, op->call(op->call == rmdir ? "ro/d" : "ro/x"));
		}
		pt_row("still there");
		OK(op_stat("ro/x"));
		OK(op_stat("ro/d"));
		OK(op_open_create("ro/x"));
		ERR(ENOENT, op_stat("ro/new"));
		OK(chmod("ro", 0755));
		OK(op_mkdir("ro/new"));
		OK(unlink("ro/x"));
	}
}

static void trailing_slash(void)
{
	static const struct {
		const char *op;
		int file; /* errno for "file/" */
		int dir; /* errno for "dir/", 0: works */
		int fresh; /* errno for "fresh/" where nothing is */
	} rows[] = {
		{ "open", ENOTDIR, 0, ENOENT },
		{ "open_write", ENOTDIR, EISDIR, ENOENT },
		{ "open_create", EISDIR, EISDIR, EISDIR },
		{ "open_dir", ENOTDIR, 0, ENOENT },
		{ "mkdir", EEXIST, EEXIST, 0 },
		{ "rmdir", ENOTDIR, 0, ENOENT },
		{ "unlink", ENOTDIR, EISDIR, ENOENT },
		{ "mkfifo", EEXIST, EEXIST, ENOENT },
		{ "symlink", EEXIST, EEXIST, ENOENT },
		{ "rename_from", ENOTDIR, 0, ENOENT },
		{ "rename_dir_to", ENOTDIR, 0, 0 },
		{ "truncate", ENOTDIR, EISDIR, ENOENT },
		{ "chmod", ENOTDIR, 0, ENOENT },
		{ "lchown", ENOTDIR, 0, ENOENT },
		{ "stat", ENOTDIR, 0, ENOENT },
		{ "lstat", ENOTDIR, 0, ENOENT },
		{ "access", ENOTDIR, 0, ENOENT },
		{ "readlink", ENOTDIR, EINVAL, ENOENT },
		{ "listxattr", ENOTDIR, 0, ENOENT },
		{ "utimensat", ENOTDIR, 0, ENOENT },
	};

	for (size_t i = 0; i < PT_ARRAY_SIZE(rows); i++) {
		FOR_OPS(op) {
			if (strcmp(op->name, rows[i].op) != 0)
				continue;
			pt_row("%s", op->name);
			make_sources();
			OK(pt_touch("plain", 0644));
			OK(mkdir("folder", 0755));
			ERR(rows[i].file, op->call("plain/"));
			if (rows[i].dir)
				ERR(rows[i].dir, op->call("folder/"));
			else
				OK(op->call("folder/"));
			if (rows[i].fresh)
				ERR(rows[i].fresh, op->call("fresh/"));
			else if (op->call != op_rename_dir_to)
				OK(op->call("fresh/"));
			pt_remove("new");
			pt_remove("folder");
			pt_remove("fresh");
			pt_remove("plain");
			pt_remove("file");
			pt_remove("dir");
		}
	}
}

static const struct pt_case cases[] = {
	{ "prefix_not_a_directory", prefix_not_a_directory, 0 },
	{ "prefix_missing", prefix_missing, 0 },
	{ "last_missing", last_missing, 0 },
	{ "component_too_long", component_too_long, 0 },
	{ "path_too_long", path_too_long, 0 },
	{ "symlink_loops", symlink_loops, 0 },
	{ "bad_address", bad_address, 0 },
	{ "no_search_permission", no_search_permission, 0 },
	{ "no_write_permission", no_write_permission, 0 },
	{ "trailing_slash", trailing_slash, 0 },
};

PT_FAMILY(path_errors, cases);
