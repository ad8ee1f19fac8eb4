/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/view_bind.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/worker.h"
#include "fs/base/log.h"

#define FUSE_MAGIC 0x65735546
#define REQUEST_MAX (3 * PATH_MAX)
#define GO 'G'

enum step {
	STEP_FORK,
	STEP_MOUNTPOINT,
	STEP_PLACE,
	STEP_COPY,
	STEP_READY,
	STEP_TARGET,
	STEP_MOUNT
};

/* What the process says: once when it is ready or cannot, once when it is done or could not. */
struct word {
	int32_t step, error; /* errno; 0 */
};

/* ---- The process that binds one view --------------------------------------------------------- */

struct request {
	bool read_only;
	const char *dir, *name, *place;
};

static int open_mountpoint(const char *mountpoint)
{
	int fd = open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;
	struct statx st;

	if (fd < 0 || fstatfs(fd, &fs) || statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st))
		return -1;
	if (fs.f_type != FUSE_MAGIC || !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT)) {
		errno = ENOTCONN;
		return -1;
	}
	return fd;
}

static int open_place(int mountpoint, const char *place)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};

	/* Beneath: a path from the mount's root, without its slash. */
	return (int)syscall(SYS_openat2, mountpoint, place + 1, &how, sizeof(how));
}

/* A mount of that directory alone, with nothing that is mounted below it or will be. */
static int copy_mount(int place, bool read_only)
{
	struct mount_attr attr = {
		.attr_set =
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (read_only ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_PRIVATE,
	};
	int tree = open_tree(place, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree >= 0 && mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		return -1;
	return tree;
}

static void say(int to, enum step step, int error)
{
	const struct word w = { step, error };

	(void)!send(to, &w, sizeof(w), MSG_NOSIGNAL);
}

static int open_target(const struct request *q)
{
	int dir = open(q->dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return dir < 0 ? -1 : openat(dir, q->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void bind_one(const char *mountpoint, const struct request *q, int to)
{
	int at, tree, target;
	char go = 0;

	at = open_mountpoint(mountpoint);
	if (at < 0) {
		say(to, STEP_MOUNTPOINT, errno);
		return;
	}
	at = open_place(at, q->place);
	if (at < 0) {
		say(to, STEP_PLACE, errno);
		return;
	}
	tree = copy_mount(at, q->read_only);
	if (tree < 0) {
		say(to, STEP_COPY, errno);
		return;
	}
	say(to, STEP_READY, 0);
	if (recv(to, &go, 1, 0) != 1 || go != GO)
		return;
	target = open_target(q);
	if (target < 0)
		say(to, STEP_TARGET, errno);
	else if (move_mount(tree, "", target, "",
			    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		say(to, STEP_MOUNT, errno);
	else
		say(to, STEP_MOUNT, 0);
}

/* ---- The binder ------------------------------------------------------------------------------ */

/* 'r' or 'w', then directory, name and place, with a NUL each. */
static bool read_request(char *text, ssize_t len, struct request *q)
{
	char *at = text + 1, *end = text + len;
	const char **parts[] = { &q->dir, &q->name, &q->place };

	q->read_only = text[0] == 'r';
	for (size_t i = 0; i < 3; i++) {
		char *stop = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;

		if (!stop)
			return false;
		*parts[i] = at;
		at = stop + 1;
	}
	return q->place[0] == '/' && q->place[1];
}

static void on_child(int sig)
{
	(void)sig;
}

/* Only what may be called after a fork of a process with threads. */
static void serve(const char *mountpoint, int from)
{
	static char text[REQUEST_MAX + 1];
	pid_t self = getpid(), pid;
	unsigned running = 0;
	struct request q;
	ssize_t n;
	int to;

	for (;;) {
		struct pollfd p = { .fd = from, .events = POLLIN };
		sigset_t none;

		while (running && waitpid(-1, NULL, WNOHANG) > 0)
			running--;
		/* Ends of children interrupt only this. */
		sigemptyset(&none);
		if (ppoll(&p, 1, NULL, &none) < 1)
			continue;
		n = f3_message_recv(from, text, sizeof(text), 0, &to);
		if (n <= 0)
			return;
		if (to >= 0 && read_request(text, n, &q)) {
			pid = running < F3_BIND_AT_ONCE ? fork() : -1;
			if (!pid) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				close(from);
				if (getppid() == self)
					bind_one(mountpoint, &q, to);
				_exit(0);
			}
			if (pid > 0)
				running++;
			else
				say(to, STEP_FORK, EAGAIN);
		}
		if (to >= 0)
			close(to);
	}
}

static void run(const char *mountpoint, int from, pid_t parent)
{
	struct sigaction act = { .sa_handler = on_child };
	sigset_t child;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	prctl(PR_SET_NAME, "f3-binder");
	(void)!chdir("/");
	/* Locks and files of the worker must end with it. */
	if (from > 0)
		close_range(0, (unsigned)from - 1, 0);
	close_range((unsigned)from + 1, ~0u, 0);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	sigaction(SIGCHLD, &act, NULL);
	serve(mountpoint, from);
	_exit(0);
}

/* ---- The worker's side ----------------------------------------------------------------------- */

static int start(struct f3_binder *b)
{
	int fds[2], r;
	pid_t parent = getpid(), pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -errno;
	pid = fork();
	if (!pid)
		run(b->mountpoint, fds[1], parent);
	r = pid < 0 ? -errno : 0;
	close(fds[1]);
	if (r) {
		close(fds[0]);
	} else {
		b->fd = fds[0];
		b->pid = pid;
	}
	return r;
}

int f3_binder_start(struct f3_binder *b, const char *mountpoint)
{
	b->fd = -1;
	pthread_mutex_init(&b->lock, NULL);
	if (snprintf(b->mountpoint, sizeof(b->mountpoint), "%s", mountpoint) >=
	    (int)sizeof(b->mountpoint))
		return -ENAMETOOLONG;
	return start(b);
}

void f3_binder_stop(struct f3_binder *b)
{
	if (b->fd < 0)
		return;
	close(b->fd);
	b->fd = -1;
	/* It never waits for the mount, so its end is at hand. */
	kill(b->pid, SIGKILL);
	while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Its end of a connection to a process that binds. */
static int ask(struct f3_binder *b, const char *text, size_t len, int *ret_fd)
{
	int fds[2], r = -EPIPE;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -errno;
	pthread_mutex_lock(&b->lock);
	if (b->fd >= 0)
		r = f3_message_send(b->fd, text, len, fds[1]);
	if (r) {
		/* Somebody has killed it. */
		f3_log_warn("the process that binds views is gone: another one is started");
		f3_binder_stop(b);
		r = start(b);
		if (!r)
			r = f3_message_send(b->fd, text, len, fds[1]);
	}
	pthread_mutex_unlock(&b->lock);
	close(fds[1]);
	if (r)
		close(fds[0]);
	else
		*ret_fd = fds[0];
	return r;
}

static int hear(int fd, uint64_t deadline_ns, struct word *ret_word)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now_ns = f3_clock_mono_ns();
		int ms, n;

		if (now_ns >= deadline_ns)
			return -ETIMEDOUT;
		ms = (int)((deadline_ns - now_ns) / F3_NS_PER_MS) + 1;
		n = poll(&p, 1, ms);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n < 1)
			continue;
		/* It was killed, or the binder. */
		if (recv(fd, ret_word, sizeof(*ret_word), MSG_DONTWAIT) !=
		    (ssize_t)sizeof(*ret_word))
			return -ECONNRESET;
		return 0;
	}
}

static const char *reason(const struct word *w)
{
	static const char *const whats[] = {
		[STEP_FORK] = "too many views are being bound",
		[STEP_MOUNTPOINT] = "the mount",
		[STEP_PLACE] = "there",
		[STEP_COPY] = "a mount of it cannot be made",
		[STEP_TARGET] = "its place among the views",
		[STEP_MOUNT] = "it cannot be mounted",
	};

	if (w->step == STEP_PLACE && w->error == ELOOP)
		return "a symbolic link is on the way";
	if (w->step == STEP_PLACE && w->error == EXDEV)
		return "something else is mounted on the way";
	if (w->step < 0 || (size_t)w->step >= sizeof(whats) / sizeof(whats[0]) || !whats[w->step])
		return "?";
	return whats[w->step];
}

int f3_binder_bind(struct f3_binder *b, const char *dir, const char *name, const char *place,
		   bool read_only, struct f3_err *err)
{
	uint64_t deadline_ns = f3_clock_mono_ns() + F3_BIND_NS;
	char text[REQUEST_MAX], go = GO;
	struct word w = { STEP_FORK, 0 };
	int n, fd = -1, r;

	n = snprintf(text, sizeof(text), "%c%s%c%s%c%s", read_only ? 'r' : 'w', dir, '\0', name,
		     '\0', place);
	if (n >= (int)sizeof(text))
		return f3_err_set(err, -ENAMETOOLONG, "the path is too long");
	r = ask(b, text, (size_t)n + 1, &fd);
	if (r)
		return f3_err_set(err, r, "no process can be had that binds: %s", strerror(-r));
	r = hear(fd, deadline_ns, &w);
	if (!r && w.step == STEP_READY && !w.error) {
		r = -ECONNRESET;
		if (send(fd, &go, 1, MSG_NOSIGNAL) == 1)
			r = hear(fd, deadline_ns, &w);
	}
	close(fd);
	if (r == -ETIMEDOUT)
		return f3_err_set(err, r, "it took longer than %d s to get to the directory",
				  (int)(F3_BIND_NS / F3_NS_PER_SEC));
	if (r)
		return f3_err_set(err, r, "the process that binds was killed");
	if (w.error)
		return f3_err_set(err, -w.error, "%.300s: %s: %s", place, reason(&w),
				  strerror(w.error));
	return 0;
}
