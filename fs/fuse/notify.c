/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify: telling the kernel to forget.
 *
 * An invalidation may wait for locks that a request being served holds, so it is never sent from
 * inside one: a thread of its own hands them to the notifier (notifier.h) in order. The queue is
 * bounded, and so is its memory; what does not fit is left to the time-outs.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "fs/fuse/impl.h"
#include "fs/fuse/notifier.h"

#define NOTIFY_MAX 65536

/* linux/fuse.h since 6.9; the headers of the build machine may be older than its kernel. */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define DEV_IOC_BACKING_OPEN _IOW(229, 1, struct backing_map)
#define DEV_IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)

struct notice {
	struct f3_work work;
	struct f3_fuse *f;
	uint64_t ino;
	size_t len; /* 0: an inode, else a name in it */
	char name[];
};

static void notice_free(struct notice *n)
{
	f3_budget_give(n->f->core->budget, F3_ACCT_PARKED, sizeof(*n) + n->len + 1);
	free(n);
}

static void send_notice(struct f3_work *work)
{
	struct notice *n = (struct notice *)work;

	if (!n->f->stopping) {
		if (n->len)
			f3_notifier_entry(n->f->notifier, n->ino, n->name, n->len);
		else
			f3_notifier_inode(n->f->notifier, n->ino);
	}
	notice_free(n);
}

static void queue(struct f3_fuse *f, uint64_t ino, const char *name, size_t len)
{
	struct f3_budget *budget = f->core->budget;
	struct notice *n;

	if (f3_budget_try_take(budget, F3_ACCT_PARKED, sizeof(*n) + len + 1))
		return;
	n = malloc(sizeof(*n) + len + 1);
	if (!n) {
		f3_budget_give(budget, F3_ACCT_PARKED, sizeof(*n) + len + 1);
		return;
	}
	n->work.fn = send_notice;
	n->f = f;
	n->ino = ino;
	n->len = len;
	if (len)
		memcpy(n->name, name, len);
	n->name[len] = '\0';
	if (f3_workq_push(f->notify, &n->work))
		notice_free(n);
}

static void inval_inode(void *arg, uint64_t ino)
{
	queue(arg, ino, NULL, 0);
}

static void inval_entry(void *arg, uint64_t parent, const char *name, size_t len)
{
	queue(arg, parent, name, len);
}

static void forget_activations(void *arg)
{
	struct f3_fuse *f = arg;

	f3_opens_forget_activations(f->opens);
}

static void drain(void *arg)
{
	struct f3_fuse *f = arg;

	f3_workq_drain(f->notify);
}

static void close_id(struct f3_fuse *f, int id)
{
	uint32_t backing = (uint32_t)id;

	ioctl(fuse_session_fd(f->se), DEV_IOC_BACKING_CLOSE, &backing);
}

static int backing_open(void *arg, int fd)
{
	struct f3_fuse *f = arg;
	struct backing_map map = { .fd = fd };
	int id = ioctl(fuse_session_fd(f->se), DEV_IOC_BACKING_OPEN, &map);
	int r;

	if (id <= 0)
		return id ? -errno : -EINVAL;
	f3_lock(&f->ids_lock);
	r = f3_keep_add_id(f->keep, (uint32_t)id);
	f3_unlock(&f->ids_lock);
	if (r) {
		close_id(f, id);
		return r;
	}
	return id;
}

static void backing_close(void *arg, int id)
{
	f3_backing_id_close(arg, id);
}

/* Out of the keep first: the kernel gives a closed id to whoever asks next, whose entry it would be that
 * goes. After a death in between a backing file stays registered until the mount ends. */
void f3_backing_id_close(struct f3_fuse *f, int id)
{
	f3_lock(&f->ids_lock);
	f3_keep_del_id(f->keep, (uint32_t)id);
	f3_unlock(&f->ids_lock);
	close_id(f, id);
}

int f3_notify_start(struct f3_fuse *f)
{
	return f3_workq_new("notify", 1, NOTIFY_MAX, &f->notify);
}

void f3_notify_ops(struct f3_fuse *f, struct f3_kernel_ops *ret_ops)
{
	*ret_ops = (struct f3_kernel_ops){
		.inval_inode = inval_inode,
		.inval_entry = inval_entry,
		.backing_open = f->passthrough ? backing_open : NULL,
		.backing_close = f->passthrough ? backing_close : NULL,
		.direct_mmap = f->direct_mmap,
		.forget_activations = forget_activations,
		.drain = drain,
		.arg = f,
	};
}
