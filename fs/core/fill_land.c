/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/fill_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>

static void land(struct f3_transfer *t);

/* The first part of [pos, end) where bytes are absent and no program writes. */
static bool next_free(const struct f3_inode *inode, uint64_t pos, uint64_t end, uint64_t *ret_off,
		      uint64_t *ret_len)
{
	uint64_t gap, len;

	while (f3_extents_gap(inode->extents, pos, end, &gap, &len)) {
		const struct f3_fill_write *w;
		uint64_t stop = gap + len;

		pos = gap;
		for (w = inode->fill->writes; w && pos == gap; w = w->next) {
			if (w->off <= gap && gap - w->off < w->len)
				pos = w->len > end - w->off ? end : w->off + w->len;
			else if (w->off > gap && w->off < stop)
				stop = w->off;
		}
		if (pos == gap) {
			*ret_off = gap;
			*ret_len = stop - gap;
			return true;
		}
	}
	return false;
}

/* ---- From the buffer to who waits ---- */

/* All of it is as the object has it: none of it is here, nor about to be written. Inode lock held. */
static bool untouched(const struct f3_transfer *t)
{
	const struct f3_inode *inode = t->inode;
	uint64_t off, len;

	return !inode->fill->stopping && inode->extents &&
	       t->off + t->len <= inode->rec.base_limit &&
	       next_free(inode, t->off, t->off + t->len, &off, &len) && len == t->len;
}

/* Those that are content with what is in memory. Inode lock held. */
static void collect_early(struct f3_transfer *t, struct f3_waiter_list *ready)
{
	struct f3_inode *inode = t->inode;
	uint64_t limit = inode->rec.base_limit;
	struct f3_waiter *w, *next;

	for (w = inode->extents->waiters.first; w; w = next) {
		next = w->next;
		if (w->early && f3_fill_overlap(w->off, w->len, t->off, t->len) &&
		    f3_recent_has(t->core->recent, inode->ino, inode->rec.backing, w->off,
				  w->len < limit - w->off ? w->len : limit - w->off))
			f3_waiter_collect(w, 0, ready);
	}
}

void f3_transfer_arrived(struct f3_transfer *t)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_inode *inode = t->inode;

	f3_lock(&inode->lock);
	t->state = F3_TRANSFER_LANDING;
	t->pos = t->off;
	if (untouched(t)) {
		f3_recent_add(t->core->recent, t->bytes, inode->ino, inode->rec.backing, t->off,
			      t->len);
		collect_early(t, &ready);
	}
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
	land(t);
}

/* ---- From the buffer into the file, only where nothing is ---- */

static void landed(struct f3_io *io)
{
	struct f3_transfer *t =
		(struct f3_transfer *)((char *)io - offsetof(struct f3_transfer, io));
	struct f3_waiter_list ready = { NULL };
	struct f3_inode *inode = t->inode;
	struct f3_fill *fill;
	int r = 0;

	f3_lock(&inode->lock);
	fill = inode->fill;
	if (io->result == -EINVAL && t->direct) {
		/* Of another opinion on what is aligned than the probe: the same again. */
		fill->buffered = true;
	} else if (io->result < 0) {
		r = (int)io->result;
	} else {
		/* In this order: what is present is saved, or will be. */
		r = f3_extents_add(fill->unsaved, t->landing_off, t->landing_len);
		if (!r)
			r = f3_extents_add(inode->extents, t->landing_off, t->landing_len);
		f3_extents_ready(inode->extents, inode->rec.base_limit, &ready);
		t->pos = t->landing_off + t->landing_len;
	}
	t->landing_len = 0;
	t->direct = false;
	if (r == -ENOSPC && !t->disk_full) {
		/* The next try evicts first. */
		t->disk_full = true;
		r = -EAGAIN;
	}
	f3_fill_moved(fill);
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
	if (r)
		f3_transfer_failed(t, r);
	else
		land(t);
}

/* Past the page cache, where it would be touched for this alone: but for the last bytes of an object
 * what is asked for is aligned. Never while a program may write. Inode lock held. */
static bool may_be_direct(const struct f3_transfer *t)
{
	const struct f3_inode *inode = t->inode;
	const struct f3_fill *fill = inode->fill;

	return t->len >= F3_FILL_DIRECT_MIN && inode->rec.base_limit > t->core->opt.fill_bytes &&
	       !fill->buffered && !f3_fill_careful(inode) &&
	       f3_backing_caps(f3_file_store(inode))->o_direct &&
	       !((t->off | t->landing_off | (uintptr_t)t->bytes->buf) % F3_BYTES_ALIGN) &&
	       t->landing_len >= F3_BYTES_ALIGN;
}

/* The descriptor to write with, or -errno. Inode lock held. */
static int landing_fd(struct f3_transfer *t)
{
	struct f3_inode *inode = t->inode;
	struct f3_fill *fill = inode->fill;
	int *fd = t->direct ? &fill->direct_fd : &fill->fd;
	int r;

	if (*fd >= 0)
		return *fd;
	r = f3_backing_open_file(f3_file_store(inode), inode->ino, inode->rec.backing,
				 t->direct ? O_RDWR | O_DIRECT : O_RDWR);
	if (r >= 0)
		*fd = r;
	return r;
}

static void land(struct f3_transfer *t)
{
	struct f3_inode *inode = t->inode;
	struct f3_fill *fill;
	uint64_t end = t->off + t->len;
	bool keep;
	int fd;

	f3_lock(&inode->lock);
	fill = inode->fill;
	if (end > inode->rec.base_limit)
		end = inode->rec.base_limit;
	if (fill->stopping || !inode->extents ||
	    !next_free(inode, t->pos, end, &t->landing_off, &t->landing_len)) {
		/* What went through the page cache is read from there. */
		keep = !fill->stopping && fill->window &&
		       inode->rec.base_limit > t->core->opt.fill_bytes;
		f3_unlock(&inode->lock);
		f3_recent_landed(t->core->recent, t->bytes, keep);
		f3_transfer_end(t);
		return;
	}
	t->direct = may_be_direct(t);
	fd = landing_fd(t);
	if (fd == -EINVAL && t->direct) {
		fill->buffered = true;
		t->direct = false;
		fd = landing_fd(t);
	}
	if (t->direct)
		t->landing_len -= t->landing_len % F3_BYTES_ALIGN;
	if (fd < 0)
		t->landing_len = 0;
	t->io = (struct f3_io){
		.op = F3_IO_WRITE,
		.fd = fd,
		.buf = t->bytes->buf + (t->landing_off - t->off),
		.len = t->landing_len,
		.off = t->landing_off,
		.done = landed,
	};
	f3_unlock(&inode->lock);
	if (fd < 0)
		f3_transfer_failed(t, fd == -ENOENT ? -EIO : fd);
	else
		f3_ring_submit(t->core->ring, &t->io);
}
