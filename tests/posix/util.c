/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/posix/posix.h"

#include <dirent.h>
#include <grp.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define PT_GID_SHARED 12001

const struct pt_user pt_owner = { "owner", 12001, PT_GID_SHARED, { 0 }, 0 };
const struct pt_user pt_mate = { "mate", 12002, PT_GID_SHARED, { 0 }, 0 };
const struct pt_user pt_member = { "member", 12003, 12003, { 12007, PT_GID_SHARED }, 2 };
const struct pt_user pt_other = { "other", 12004, 12004, { 0 }, 0 };

/* Types that the class under test refuses; set once, before any case. */
static bool refused[PT_N_TYPES];

/* The saved uid stays 0, which is the way back. */
void pt_enter(const struct pt_user *user)
{
	if (setgroups(user->n_groups, user->groups) || setresgid(user->gid, user->gid, 0) ||
	    setresuid(user->uid, user->uid, 0)) {
		FAIL("becoming %s: errno %d", user->name, errno);
		_exit(1);
	}
	/* Otherwise /proc/self would be root's. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

void pt_leave(void)
{
	int err = errno;

	if (setresuid(0, 0, 0) || setresgid(0, 0, 0) || setgroups(0, NULL)) {
		FAIL("becoming root again: errno %d", errno);
		_exit(1);
	}
	errno = err;
}

const char *pt_type_name(enum pt_type type)
{
	static const char *const names[] = { "regular", "dir",    "fifo",   "block",
					     "char",    "socket", "symlink" };

	return names[type];
}

mode_t pt_type_mode(enum pt_type type)
{
	static const mode_t modes[] = { S_IFREG, S_IFDIR,  S_IFIFO, S_IFBLK,
					S_IFCHR, S_IFSOCK, S_IFLNK };

	return modes[type];
}

static bool have_cap_mknod(void)
{
	unsigned long long caps = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, "CapEff:", 7) == 0)
			caps = strtoull(line + 7, NULL, 16);
	fclose(f);
	return caps & (1ULL << 27);
}

/* Runs in the directory under test, with nothing there by this name. */
void pt_types_probe(void)
{
	bool devices = have_cap_mknod();

	for (int t = PT_REG; t < PT_N_TYPES; t++) {
		if ((t == PT_BLK || t == PT_CHR) && !devices) {
			refused[t] = true;
			continue;
		}
		/* Only an object class may refuse, and only what no object can express. */
		if (!pt_opt.object || t == PT_REG || t == PT_DIR || t == PT_LNK)
			continue;
		refused[t] = pt_make(t, "probe", 0644) != 0;
		unlink("probe");
	}
}

bool pt_can_make(enum pt_type type)
{
	/* A case has a process of its own: once per case is enough. */
	static bool told[PT_N_TYPES];
	char why[64];

	if (refused[type] && !told[type]) {
		snprintf(why, sizeof(why), "cannot make a %s here", pt_type_name(type));
		SKIP(why);
		told[type] = true;
	}
	return !refused[type];
}

static int bind_socket(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int fd, ret, err;

	if (len >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(addr.sun_path, path, len + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	ret = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	err = errno;
	close(fd);
	errno = err;
	return ret;
}

int pt_make(enum pt_type type, const char *path, mode_t mode)
{
	switch (type) {
	case PT_REG:
		return pt_touch(path, mode);
	case PT_DIR:
		if (mkdir(path, mode))
			return -1;
		return chmod(path, mode);
	case PT_FIFO:
		return mkfifo(path, mode);
	case PT_BLK:
		return mknod(path, S_IFBLK | mode, makedev(1, 2));
	case PT_CHR:
		return mknod(path, S_IFCHR | mode, makedev(1, 3));
	case PT_SOCK:
		if (bind_socket(path))
			return -1;
		return chmod(path, mode);
	default:
		return symlink("no-such-target", path);
	}
}

int pt_make_owned(enum pt_type type, const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	if (pt_make(type, path, mode) || lchown(path, uid, gid))
		return -1;
	return type == PT_LNK ? 0 : chmod(path, mode);
}

int pt_remove(const char *path)
{
	if (unlink(path) == 0)
		return 0;
	return errno == EISDIR ? rmdir(path) : -1;
}

int pt_remove_tree(int dirfd, const char *name)
{
	struct dirent *de;
	DIR *dir;
	int fd, ret = 0;

	if (unlinkat(dirfd, name, 0) == 0)
		return 0;
	if (errno != EISDIR)
		return -errno;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
		return 0;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		ret = -errno;
		close(fd);
		return ret;
	}
	while ((de = readdir(dir)) != NULL) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		ret = pt_remove_tree(fd, de->d_name);
		if (ret)
			break;
	}
	closedir(dir);
	if (!ret && unlinkat(dirfd, name, AT_REMOVEDIR))
		ret = -errno;
	return ret;
}

bool pt_has_links(void)
{
	return !pt_opt.no_hardlinks && !pt_opt.object;
}

int pt_touch(const char *path, mode_t mode)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);

	if (fd < 0)
		return -1;
	return close(fd);
}

int pt_put(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
	int ret;

	if (fd < 0)
		return -1;
	ret = pt_write_full(fd, data, len, 0);
	if (close(fd))
		ret = -1;
	return ret;
}

ssize_t pt_get(const char *path, void *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t done = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -1;
	while (done < size) {
		n = read(fd, (char *)buf + done, size - done);
		if (n <= 0)
			break;
		done += n;
	}
	close(fd);
	return n < 0 ? -1 : (ssize_t)done;
}

/* Bytes that differ with the seed and with every position, also page by page. */
void pt_fill(void *buf, size_t len, unsigned int seed)
{
	unsigned char *p = buf;
	uint32_t x = seed * 2654435761u + 12345;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = x >> 24;
	}
}

bool pt_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

struct stat pt_lstat(const char *path)
{
	struct stat st = { 0 };

	if (lstat(path, &st))
		FAIL("lstat %.80s: %s", path, strerrorname_np(errno));
	return st;
}

struct stat pt_fstat(int fd)
{
	struct stat st = { 0 };

	if (fstat(fd, &st))
		FAIL("fstat %d: %s", fd, strerrorname_np(errno));
	return st;
}

mode_t pt_perm(const char *path)
{
	return pt_lstat(path).st_mode & 07777;
}

off_t pt_size(const char *path)
{
	return pt_lstat(path).st_size;
}

nlink_t pt_nlink(const char *path)
{
	return pt_lstat(path).st_nlink;
}

int pt_read_full(int fd, void *buf, size_t len, off_t off)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, off + done);

		if (n < 0)
			return -1;
		if (n == 0) {
			errno = ENODATA;
			return -1;
		}
		done += n;
	}
	return 0;
}

int pt_write_full(int fd, const void *buf, size_t len, off_t off)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done, off + done);

		if (n < 0)
			return -1;
		done += n;
	}
	return 0;
}

int pt_time_cmp(struct timespec a, struct timespec b)
{
	if (a.tv_sec != b.tv_sec)
		return a.tv_sec < b.tv_sec ? -1 : 1;
	if (a.tv_nsec != b.tv_nsec)
		return a.tv_nsec < b.tv_nsec ? -1 : 1;
	return 0;
}

struct timespec pt_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts;
}

/* File systems stamp with the coarse clock: wait until it has passed the exact one. */
void pt_tick(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	struct timespec start = pt_now(), coarse;

	do {
		clock_nanosleep(CLOCK_MONOTONIC, 0, &ms, NULL);
		clock_gettime(CLOCK_REALTIME_COARSE, &coarse);
	} while (pt_time_cmp(coarse, start) <= 0);
}

static bool is_magic(unsigned long magic)
{
	struct statfs sf;

	return statfs(pt_opt.dir, &sf) == 0 && (unsigned long)sf.f_type == magic;
}

bool pt_is_fuse(void)
{
	return is_magic(FUSE_SUPER_MAGIC);
}

bool pt_is_btrfs(void)
{
	return is_magic(BTRFS_SUPER_MAGIC);
}

void pt_unsupported_at(const char *file, int line, const char *what, int (*try)(void))
{
	char dir[4096], why[256];
	pid_t pid;
	int status;

	snprintf(why, sizeof(why), "the file system below does not have it either: %s", what);
	if (!pt_opt.native) {
		if (pt_is_fuse())
			pt_fail_at(file, line, "%s: unsupported, and no --native to excuse it",
				   what);
		else
			pt_skip_at(file, line, why);
		return;
	}
	snprintf(dir, sizeof(dir), "%s/posix-native.XXXXXX", pt_opt.native);
	if (!mkdtemp(dir)) {
		pt_fail_at(file, line, "%s: %s", dir, strerrorname_np(errno));
		return;
	}
	pid = pt_fork();
	if (pid == 0)
		_exit(chdir(dir) == 0 && try() != -1 ? 0 : 1);
	status = pt_wait(pid);
	pt_remove_tree(AT_FDCWD, dir);
	if (status) {
		pt_skip_at(file, line, why);
		return;
	}
	pt_fail_at(file, line, "%s: unsupported here, but %s has it", what, pt_opt.native);
}

int pt_sysctl_fs(const char *name, int fallback)
{
	char path[128], text[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/sys/fs/%s", name);
	n = pt_get(path, text, sizeof(text) - 1);
	if (n <= 0)
		return fallback;
	text[n] = '\0';
	return strtol(text, NULL, 10);
}

pid_t pt_fork(void)
{
	pid_t pid = fork();

	if (pid < 0) {
		FAIL("fork: %s", strerrorname_np(errno));
		_exit(1);
	}
	return pid;
}

int pt_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			FAIL("waitpid: %s", strerrorname_np(errno));
			return 255;
		}
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void pt_gate_init(struct pt_gate *gate)
{
	if (pipe2(gate->fds, O_CLOEXEC)) {
		FAIL("pipe: %s", strerrorname_np(errno));
		_exit(1);
	}
}

void pt_gate_done(struct pt_gate *gate)
{
	close(gate->fds[0]);
	close(gate->fds[1]);
}

void pt_gate_open(struct pt_gate *gate, unsigned int n)
{
	while (n-- > 0) {
		if (write(gate->fds[1], "", 1) != 1) {
			FAIL("gate: %s", strerrorname_np(errno));
			_exit(1);
		}
	}
}

void pt_gate_wait(struct pt_gate *gate)
{
	char c;
	ssize_t n;

	do {
		n = read(gate->fds[0], &c, 1);
	} while (n < 0 && errno == EINTR);
	if (n != 1) {
		FAIL("gate: nobody left to open it");
		_exit(1);
	}
}
