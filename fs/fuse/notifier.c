/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/fuse/notifier.h"

#include <errno.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/base/log.h"

#define NAME_BYTES 256u /* with NUL */

struct notification {
	struct fuse_out_header out;
	union {
		struct fuse_notify_inval_inode_out inode;
		struct {
			struct fuse_notify_inval_entry_out entry;
			char name[NAME_BYTES];
		};
	};
};

/* Only what may be called after a fork of a process with threads. */
static void run(int fuse_fd, int from, pid_t parent)
{
	unsigned low = (unsigned)(fuse_fd < from ? fuse_fd : from);
	unsigned high = (unsigned)(fuse_fd < from ? from : fuse_fd);
	struct notification told;
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	prctl(PR_SET_NAME, "f3-notifier");
	/* Locks and files of the worker must end with it. */
	if (low > 0)
		close_range(0, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0u, 0);
	while ((n = recv(from, &told, sizeof(told), 0)) > 0 || (n < 0 && errno == EINTR)) {
		/* ENOENT: the kernel has forgotten it already. ENODEV: the mount is gone. */
		if (n > 0 && write(fuse_fd, &told, (size_t)n) < 0 && errno == ENODEV)
			break;
	}
	_exit(0);
}

int f3_notifier_start(struct f3_notifier *n, int fuse_fd)
{
	int fds[2], r;
	pid_t parent = getpid(), pid;

	n->fuse_fd = fuse_fd;
	n->fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -errno;
	pid = fork();
	if (!pid)
		run(fuse_fd, fds[1], parent);
	r = pid < 0 ? -errno : 0;
	close(fds[1]);
	if (r)
		close(fds[0]);
	else
		n->fd = fds[0];
	return r;
}

void f3_notifier_stop(struct f3_notifier *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

static void tell(struct f3_notifier *n, const struct notification *told)
{
	bool again = true;

	while (n->fd >= 0 && send(n->fd, told, told->out.len, MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		if (!again)
			break;
		/* Somebody has killed it. */
		again = false;
		f3_log_warn("the notifier process is gone: another one is started");
		f3_notifier_stop(n);
		(void)f3_notifier_start(n, n->fuse_fd);
	}
}

void f3_notifier_inode(struct f3_notifier *n, uint64_t ino)
{
	struct notification told = {
		.out = {
			.len = sizeof(told.out) + sizeof(told.inode),
			.error = FUSE_NOTIFY_INVAL_INODE,
		},
		.inode = { .ino = ino },
	};

	tell(n, &told);
}

void f3_notifier_entry(struct f3_notifier *n, uint64_t parent, const char *name, size_t len)
{
	struct notification told = {
		.out = { .error = FUSE_NOTIFY_INVAL_ENTRY },
		.entry = { .parent = parent, .namelen = (uint32_t)len },
	};

	if (len >= sizeof(told.name))
		return; /* no such name was ever given out */
	memcpy(told.name, name, len);
	told.out.len = (uint32_t)(sizeof(told.out) + sizeof(told.entry) + len + 1);
	tell(n, &told);
}
