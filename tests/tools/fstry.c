/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fstry: system calls that no program of the shell makes.
 *
 *   fstry idmap DIR            an idmapped clone of a mount
 *   fstry ficlone FROM TO      FICLONE of a whole file
 *   fstry swapon FILE          (and swapoff again)
 *   fstry shutdown DIR         FS_IOC_SHUTDOWN without writing anything back: a power cut
 *   fstry deny EPERM|ENOSYS COMMAND...   runs a program that gets that from io_uring_setup
 *   fstry hold COUNT PATTERN   opens COUNT files PATTERN0, PATTERN1, ..., says "held N", keeps them
 *                              until its input ends
 *   fstry read-many COUNT BYTES STEP FILE SAME GO   COUNT threads read so many bytes of FILE each,
 *                              past the page cache, STEP apart; then those of SAME: "N right, M
 *                              wrong". FILE is open when GO, a FIFO, can be opened for writing, and
 *                              they begin when it is closed
 *   fstry write-many COUNT BYTES DIR   COUNT threads make a file each, of its number again and again,
 *                              and close it: "N right, M wrong"
 *
 * Prints "ok" or the errno's name, and exits with 0 if it could try at all.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHUTDOWN _IOR('X', 125, uint32_t)
#define SHUTDOWN_NOLOGFLUSH 2

static int say(int result)
{
	puts(result < 0 ? strerrorname_np(errno) : "ok");
	return 0;
}

static int give_up(const char *what)
{
	fprintf(stderr, "fstry: %s: %s\n", what, strerror(errno));
	return 1;
}

static int write_map(pid_t pid, const char *name)
{
	char path[64];
	int fd, r;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	r = write(fd, "0 100000 65536", 14) == 14 ? 0 : -1;
	close(fd);
	return r;
}

/* A user namespace that maps 0 to 100000, by descriptor. */
static int make_user_ns(void)
{
	char path[64];
	int ready[2], fd = -1;
	pid_t pid;
	char c;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (pid == 0) {
		close(ready[0]);
		if (unshare(CLONE_NEWUSER) || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (pid > 0 && read(ready[0], &c, 1) == 1 && !write_map(pid, "uid_map") &&
	    !write_map(pid, "gid_map")) {
		snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	close(ready[0]);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return fd;
}

static int idmap(const char *dir)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	int tree, ns = make_user_ns();

	if (ns < 0)
		return give_up("user namespace");
	tree = (int)syscall(SYS_open_tree, AT_FDCWD, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return give_up(dir);
	attr.userns_fd = (uint64_t)ns;
	return say((int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)));
}

static int ficlone(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_RDWR | O_CLOEXEC);

	if (in < 0 || out < 0)
		return give_up(in < 0 ? from : to);
	return say(ioctl(out, FICLONE, in));
}

static int try_swapon(const char *file)
{
	int r = swapon(file, 0);

	say(r);
	return r ? 0 : swapoff(file);
}

static int shut_down(const char *dir)
{
	uint32_t how = SHUTDOWN_NOLOGFLUSH;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return give_up(dir);
	return say(ioctl(fd, SHUTDOWN, &how));
}

static int deny(const char *name, char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	code[2].k |= !strcmp(name, "EPERM") ? EPERM : ENOSYS;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		return give_up("seccomp");
	execvp(argv[0], argv);
	return give_up(argv[0]);
}

static int hold(int count, const char *pattern)
{
	char path[4096], c;

	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s%d", pattern, i);
		if (open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644) < 0)
			return give_up(path);
	}
	printf("held %d\n", count);
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

/* ---- Many threads that wait ---- */

struct many {
	size_t bytes, step;
	int fd, same;
	const char *dir;
	_Atomic unsigned next, right;
};

static void *read_one(void *arg)
{
	struct many *m = arg;
	unsigned i = m->next++;
	char *got, *want = malloc(m->bytes);
	off_t at = (off_t)(i * m->step);

	if (want && !posix_memalign((void **)&got, 4096, m->bytes)) {
		if (pread(m->fd, got, m->bytes, at) == (ssize_t)m->bytes &&
		    pread(m->same, want, m->bytes, at) == (ssize_t)m->bytes &&
		    !memcmp(got, want, m->bytes))
			m->right++;
		free(got);
	}
	free(want);
	return NULL;
}

static void *write_one(void *arg)
{
	struct many *m = arg;
	unsigned i = m->next++, *text = malloc(m->bytes);
	char path[4096];
	int fd;

	if (!text)
		return NULL;
	for (size_t k = 0; k < m->bytes / sizeof(i); k++)
		text[k] = i;
	snprintf(path, sizeof(path), "%s/w%u", m->dir, i);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0) {
		size_t done = 0;
		ssize_t n = 0;

		while (done < m->bytes && (n = write(fd, (char *)text + done, m->bytes - done)) > 0)
			done += (size_t)n;
		if (!close(fd) && done == m->bytes)
			m->right++;
	}
	free(text);
	return NULL;
}

static int run_many(unsigned count, void *(*one)(void *), struct many *m)
{
	pthread_t *threads = calloc(count, sizeof(*threads));
	pthread_attr_t attr;
	unsigned n = 0;

	if (!threads)
		return give_up("memory");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	while (n < count && !(errno = pthread_create(&threads[n], &attr, one, m)))
		n++;
	if (n < count)
		return give_up("thread");
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("%u right, %u wrong\n", m->right, count - m->right);
	free(threads);
	return m->right != count;
}

static int read_many(char **argv)
{
	struct many m = { .bytes = strtoul(argv[1], NULL, 10), .step = strtoul(argv[2], NULL, 10) };
	int go;
	char c;

	m.fd = open(argv[3], O_RDONLY | O_DIRECT | O_CLOEXEC);
	m.same = open(argv[4], O_RDONLY | O_CLOEXEC);
	if (m.fd < 0 || m.same < 0)
		return give_up(m.fd < 0 ? argv[3] : argv[4]);
	go = open(argv[5], O_RDONLY | O_CLOEXEC);
	if (go < 0)
		return give_up(argv[5]);
	while (read(go, &c, 1) > 0)
		;
	close(go);
	return run_many((unsigned)strtoul(argv[0], NULL, 10), read_one, &m);
}

static int write_many(char **argv)
{
	struct many m = { .bytes = strtoul(argv[1], NULL, 10), .dir = argv[2] };

	return run_many((unsigned)strtoul(argv[0], NULL, 10), write_one, &m);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";

	if (!strcmp(verb, "idmap"))
		return idmap(argv[2]);
	if (!strcmp(verb, "ficlone") && argc > 3)
		return ficlone(argv[2], argv[3]);
	if (!strcmp(verb, "swapon"))
		return try_swapon(argv[2]);
	if (!strcmp(verb, "shutdown"))
		return shut_down(argv[2]);
	if (!strcmp(verb, "deny") && argc > 3)
		return deny(argv[2], argv + 3);
	if (!strcmp(verb, "hold") && argc > 3)
		return hold((int)strtol(argv[2], NULL, 10), argv[3]);
	if (!strcmp(verb, "read-many") && argc > 7)
		return read_many(argv + 2);
	if (!strcmp(verb, "write-many") && argc > 4)
		return write_many(argv + 2);
	fputs("usage: see the top of tests/tools/fstry.c\n", stderr);
	return 2;
}
