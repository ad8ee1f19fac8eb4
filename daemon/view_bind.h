/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view_bind: the process that binds views.
 *
 * Whoever binds a directory of the mount has to go there, which waits for who serves the mount: the
 * worker must not, since it would be stuck in a request to itself once it dies, with its locks and
 * files. So a child of it, the binder, forked early and with no descriptor but the one it is asked
 * over, forks a process for each view. That one opens the directory (below the mount's root, without
 * symbolic links and without going through another mount), makes a private mount of exactly that,
 * says that it is ready, and mounts it on its place when it is told to. Whoever asked and does not want
 * to wait any longer closes his end: then that process ends without having done anything.
 *
 * The binder ends with the worker, and what it forked with it. One that is gone is started again.
 *
 * Threads: any may bind; each call blocks for F3_BIND_NS at most.
 */
#ifndef F3_DAEMON_VIEW_BIND_H
#define F3_DAEMON_VIEW_BIND_H

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "fs/base/clock.h"
#include "fs/base/err.h"

#define F3_BIND_NS (10 * F3_NS_PER_SEC)
#define F3_BIND_AT_ONCE 64	/* processes, those included that nobody waits for any more */

struct f3_binder {
	char mountpoint[PATH_MAX];
	pthread_mutex_t lock;
	int fd;			/* lock; -1: there is none */
	pid_t pid;
};

/* Forks: best while there is one thread. 0 or -errno. */
int f3_binder_start(struct f3_binder *b, const char *mountpoint);
void f3_binder_stop(struct f3_binder *b);
/* Mounts the directory `place` ("/photos/a/b", from the mount's root) on the directory dir/name, which
 * is there. 0 or -errno with the reason: -ENOENT, -ENOTDIR, -ELOOP (a symbolic link), -EXDEV (another
 * mount) on the way; -ETIMEDOUT; -EAGAIN: too many at a time. */
int f3_binder_bind(struct f3_binder *b, const char *dir, const char *name, const char *place,
		   bool read_only, struct f3_err *err);

#endif
