/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/fill_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <unistd.h>

#include "fs/base/log.h"
#include "fs/core/evict.h"

static void tidy(struct f3_fill *fill);

static void tidy_work(struct f3_work *work)
{
	tidy((struct f3_fill *)((char *)work - offsetof(struct f3_fill, tidy_work)));
}

static void tidy_later(struct f3_work *work)
{
	struct f3_timer *timer =
		(struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));

	tidy((struct f3_fill *)((char *)timer - offsetof(struct f3_fill, tidy_later)));
}

void f3_fill_tidy_init(struct f3_fill *fill)
{
	fill->tidy_work.fn = tidy_work;
	f3_timer_init(&fill->tidy_later, fill->core->transfer, tidy_later);
}

void f3_fill_tidy_soon(struct f3_inode *inode, struct f3_fill *fill)
{
	if (fill->tidy_queued) {
		fill->tidy_again = true;
		return;
	}
	fill->tidy_queued = true;
	f3_inode_ref(inode);
	/* A timer finds its way into a full queue by itself. */
	if (f3_workq_push(fill->core->transfer, &fill->tidy_work) &&
	    f3_timer_arm(&fill->tidy_later, f3_clock_mono_ns())) {
		fill->tidy_queued = false;
		f3_inode_put(fill->core, inode); /* not the last one: the caller has one */
	}
}

/* What the file occupies now. Inode lock held. */
static void account(struct f3_core *core, struct f3_inode *inode)
{
	struct stat st;

	if (!f3_backing_stat(f3_file_store(inode), inode->ino, inode->rec.backing, &st))
		f3_file_account(core, inode, inode->rec.size, (uint64_t)st.st_blocks);
}

/* The database has many small keys, or keys within others: one for each range instead. */
static void join_keys(struct f3_inode *inode, struct f3_batch *b)
{
	const struct f3_extents *x = inode->extents;

	f3_batch_del_extents(b, inode->ino);
	for (size_t i = 0; i < x->n; i++)
		f3_batch_put_extent(b, inode->ino, x->v[i].off, x->v[i].len);
	inode->fill->n_keys = x->n;
}

/* Tells the database of `saving`, which is on the disk as far as it has to be. */
static int save_ranges(struct f3_core *core, struct f3_inode *inode,
		       const struct f3_extents *saving)
{
	struct f3_fill *fill = inode->fill;
	struct f3_batch *b;
	int r;

	if (!inode->extents)
		return 0;
	r = f3_batch_new(core->meta, &b);
	if (r)
		return r;
	account(core, inode);
	for (size_t i = 0; i < saving->n; i++) {
		uint64_t off = saving->v[i].off, len = saving->v[i].len;

		if (off >= inode->rec.base_limit)
			break;
		if (len > inode->rec.base_limit - off)
			len = inode->rec.base_limit - off;
		f3_batch_put_extent(b, inode->ino, off, len);
		fill->n_keys++;
	}
	if (fill->n_keys > F3_FILL_KEYS_MAX && fill->n_keys > 4 * inode->extents->n &&
	    !fill->unsaved->n)
		join_keys(inode, b);
	f3_batch_put_inode(b, &inode->rec);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	return r;
}

/* Inode lock held; let go of while the disk is waited for. */
static int save(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_fill *fill = inode->fill;
	struct f3_extents *saving = fill->unsaved, *fresh;
	uint32_t number = inode->rec.backing;
	int r = 0;

	if (!saving->n)
		return 0;
	fresh = f3_extents_new();
	if (!fresh)
		return -ENOMEM;
	fill->unsaved = fresh;
	if (f3_fill_careful(inode)) {
		f3_unlock(&inode->lock);
		r = f3_backing_sync(f3_file_store(inode), inode->ino, number, true);
		f3_lock(&inode->lock);
	}
	if (!r)
		r = save_ranges(core, inode, saving);
	if (r && inode->extents) {
		/* Still to be done. If there is no memory for that the ranges are merely fetched
		 * again after a restart. */
		for (size_t i = 0; i < saving->n; i++)
			(void)f3_extents_add(fill->unsaved, saving->v[i].off, saving->v[i].len);
	}
	f3_extents_free(saving);
	return r;
}

/* Every byte is here, and saved: the file is complete. Inode lock held. */
static int complete(struct f3_core *core, struct f3_inode *inode, struct f3_waiter_list *ready)
{
	struct f3_inode_rec *rec = &inode->rec;
	uint64_t limit = rec->base_limit;
	uint8_t state = rec->state;
	struct f3_batch *b;
	struct stat st;
	int r;

	r = f3_batch_new(core->meta, &b);
	if (r)
		return r;
	account(core, inode);
	rec->base_limit = 0;
	if (state == F3_STATE_FILLING)
		rec->state = F3_STATE_CLEAN;
	f3_batch_del_extents(b, inode->ino);
	f3_batch_put_inode(b, rec);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	if (r) {
		rec->base_limit = limit;
		rec->state = state;
		return r;
	}
	f3_waiters_collect(&inode->extents->waiters, 0, ready);
	f3_extents_free(inode->extents);
	inode->extents = NULL;
	f3_extents_truncate(inode->fill->unsaved, 0);
	/* The record's times are the file's; what natively changes from here on is a program's. */
	(void)f3_backing_set_times(f3_file_store(inode), inode->ino, rec->backing, rec->atime_ns,
				   rec->mtime_ns);
	if (!f3_backing_stat(f3_file_store(inode), inode->ino, rec->backing, &st)) {
		f3_file_seen(inode, &st);
		/* So far a program could change it through the daemon only, and it has not since the
		 * last commit: what was filled in is no change to be sent. */
		if (state == F3_STATE_WRITING && !inode->changed && !inode->stage)
			inode->committed = inode->seen;
	}
	return 0;
}

/* One round. Inode lock held. */
static int tidy_once(struct f3_core *core, struct f3_inode *inode, struct f3_waiter_list *ready)
{
	struct f3_fill *fill = inode->fill;
	int r = 0;

	if (!inode->extents)
		return 0;
	f3_extents_ready(inode->extents, inode->rec.base_limit, ready);
	if (ready->first) {
		f3_unlock(&inode->lock);
		f3_waiters_call(ready);
		f3_lock(&inode->lock);
		if (!inode->extents)
			return 0;
	}
	if (fill->more && !fill->stopping && !fill->error && f3_fill_plan_waiters(core, inode) &&
	    !fill->n_transfers)
		f3_waiters_collect(&inode->extents->waiters, -ENOMEM, ready);
	if (!fill->n_transfers || f3_extents_bytes(fill->unsaved) >= F3_FILL_SAVE_BYTES ||
	    !f3_fill_lacks(inode))
		r = save(core, inode);
	if (r || !inode->extents || f3_fill_lacks(inode))
		return r;
	if (fill->unsaved->n) {
		/* Something landed while the disk was waited for. */
		fill->tidy_again = true;
		return 0;
	}
	return complete(core, inode, ready);
}

/* On a thread of core->transfer. */
static void tidy(struct f3_fill *fill)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_inode *inode = fill->inode;
	struct f3_core *core = fill->core;
	int fd, direct_fd, r;

	f3_lock(&inode->lock);
	do {
		fill->tidy_again = false;
		f3_transfers_dispose(inode, fill);
		r = tidy_once(core, inode, &ready);
		if (!fill->n_transfers && (fill->fd >= 0 || fill->direct_fd >= 0)) {
			fd = fill->fd;
			direct_fd = fill->direct_fd;
			fill->fd = fill->direct_fd = -1;
			/* Before it is said to be over: who then asks for a lease must get it. */
			f3_unlock(&inode->lock);
			if (fd >= 0)
				close(fd);
			if (direct_fd >= 0)
				close(direct_fd);
			f3_lock(&inode->lock);
		}
	} while (fill->tidy_again);
	fill->save_error = r;
	fill->tidy_queued = false;
	f3_fill_moved(fill);
	f3_fill_drop(inode);
	f3_unlock(&inode->lock);
	if (r)
		f3_log_warn("inode %" PRIu64 ": what was fetched of it could not be recorded: %s",
			    inode->ino, f3_errno_name(r));
	f3_waiters_call(&ready);
	f3_fill_gate_run(inode->volume->fills);
	f3_evict_wake(core);
	f3_inode_put(core, inode);
}
