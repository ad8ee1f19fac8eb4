/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll: poll(2), select(2) and epoll(7) on files.
 *
 * All but one kind of file can always be read and written. A reader who follows the writers of a file
 * that streams can read when there is more than he has read: the kernel does not say where he is, so
 * it is where his last read ended. One question of each description waits at a time: the kernel needs
 * one answer to wake all who poll it.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "fs/core/stream.h"
#include "fs/fuse/impl.h"

struct f3_poll {
	struct f3_waiter w; /* first: found again from the waiter */
	_Atomic int refs; /* of the description, and of the waiter's function */
	struct fuse_pollhandle *ph;
};

static void poll_put(struct f3_poll *p)
{
	if (--p->refs)
		return;
	fuse_pollhandle_destroy(p->ph);
	free(p);
}

static void more(struct f3_waiter *w, int result)
{
	struct f3_poll *p = (struct f3_poll *)w;

	(void)result; /* whatever it is, the read tells */
	fuse_lowlevel_notify_poll(p->ph);
	poll_put(p);
}

static void replace(struct f3_open *open, struct f3_inode *inode, struct f3_poll *p)
{
	struct f3_poll *was = atomic_exchange(&open->poll, p);

	if (!was)
		return;
	if (f3_stream_cancel(inode, &was->w))
		poll_put(was);
	poll_put(was);
}

void f3_poll_drop(struct f3_open *open, struct f3_inode *inode)
{
	replace(open, inode, NULL);
}

/* Can more be read? If not, ph (NULL: nobody waits) is told when it is worth asking again; it is taken
 * over. -errno: it cannot be waited for. */
static int readable(struct f3_fuse *f, struct f3_open *open, struct fuse_pollhandle *ph)
{
	struct f3_poll *p = NULL;
	uint64_t len;
	int r;

	if (ph) {
		p = calloc(1, sizeof(*p));
		if (!p) {
			fuse_pollhandle_destroy(ph);
			return -ENOMEM;
		}
		p->refs = 2;
		p->ph = ph;
		p->w.fn = more;
	}
	r = f3_stream_need(open->inode, open->next_off, 1, false, p ? &p->w : NULL, &len);
	if (!r && p)
		f3_open_note_poll(f->opens, open, f3_request_poll());
	if (!r) {
		replace(open, open->inode, p);
		return 0;
	}
	if (p) {
		p->refs = 1;
		poll_put(p);
	}
	return r == -EAGAIN ? 0 : 1; /* an error too is found by reading */
}

static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph)
{
	struct f3_fuse *f = fuse_req_userdata(req);
	struct f3_open *open = f3_open_find(f->opens, fi->fh);
	int r = 1;

	(void)ino;
	if (open && open->inode && open->stream)
		r = readable(f, open, ph);
	else if (ph)
		fuse_pollhandle_destroy(ph);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_poll(req, r ? POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM : 0);
}

void f3_ops_poll(struct fuse_lowlevel_ops *ops)
{
	ops->poll = op_poll;
}
