/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notifier: the process that hands invalidations to the kernel.
 *
 * The kernel takes the lock of the directory or the pages it is told to forget, and whoever holds
 * these may wait for an answer of ours. A thread that waits there cannot be killed, and a process
 * with such a thread does not end: were it the worker, its death would never be told and nobody
 * would give that answer. So a child of the worker does the writing. It has nothing but /dev/fuse
 * and a socket, ends with the worker, or, if it waits just then, as soon as the next worker has
 * answered.
 *
 * Threads: one at a time. f3_notifier_inode and _entry block while the kernel does.
 */
#ifndef F3_FUSE_NOTIFIER_H
#define F3_FUSE_NOTIFIER_H

#include <stddef.h>
#include <stdint.h>

struct f3_notifier {
	int fuse_fd;
	int fd;		/* what is to be told; -1: not started */
};

/* Forks: early, while the process is small and has one thread. fuse_fd stays the caller's. 0 or
 * -errno. */
int f3_notifier_start(struct f3_notifier *n, int fuse_fd);
void f3_notifier_stop(struct f3_notifier *n);
/* Forget the attributes and pages of an inode. */
void f3_notifier_inode(struct f3_notifier *n, uint64_t ino);
/* Forget a name. */
void f3_notifier_entry(struct f3_notifier *n, uint64_t parent, const char *name, size_t len);

#endif
