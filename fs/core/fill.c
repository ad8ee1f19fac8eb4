/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/fill_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/base/debug.h"

void f3_fill_moved(struct f3_fill *fill)
{
	if (fill->sleepers)
		pthread_cond_broadcast(&fill->moved);
}

void f3_fill_sleep(struct f3_inode *inode, struct f3_fill *fill)
{
	fill->sleepers++;
	(void)f3_cond_wait(&fill->moved, &inode->lock, 0);
	fill->sleepers--;
}

bool f3_fill_idle(const struct f3_inode *inode)
{
	const struct f3_fill *fill = inode->fill;

	if (!fill)
		return true;
	return !fill->n_transfers && TAILQ_EMPTY(&fill->ended) && !fill->n_writes &&
	       !fill->sleepers && !fill->tidy_queued && !fill->stopping &&
	       (!inode->extents || !inode->extents->waiters.first);
}

void f3_fill_drop(struct f3_inode *inode)
{
	if (inode->fill && !inode->extents && f3_fill_idle(inode)) {
		f3_fill_free(inode->fill);
		inode->fill = NULL;
	}
}

/* Returns with the inode lock held and extents there, or 1 (complete) or -errno without it. */
static int lock_prepared(struct f3_core *core, struct f3_inode *inode)
{
	for (;;) {
		int r;

		f3_lock(&inode->lock);
		if (inode->extents)
			return 0;
		r = f3_fill_incomplete(inode) ? 0 : 1;
		f3_unlock(&inode->lock);
		if (!r)
			r = f3_fill_prepare(core, inode);
		if (r)
			return r;
	}
}

static int need(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		bool reading, struct f3_waiter *w)
{
	struct f3_fill *fill;
	uint64_t limit;
	int r = lock_prepared(core, inode);

	if (r)
		return r;
	fill = inode->fill;
	limit = inode->rec.base_limit;
	/* It was another object; an open asked the store since, and it is the right one again. */
	if (fill->error && inode->checked_mono_ns)
		fill->error = 0;
	if (!len || off >= limit) {
		f3_unlock(&inode->lock);
		return 1;
	}
	if (len > limit - off)
		len = limit - off;
	if (reading)
		f3_fill_note(core, inode, off, off + len);
	if (f3_extents_has(inode->extents, off, len))
		r = 1;
	else if (fill->stopping)
		r = -ESTALE;
	else if (fill->error)
		r = fill->error;
	else if (!inode->volume->store)
		r = -EIO;
	if (r >= 0 && !fill->error && !fill->stopping && inode->volume->store) {
		if (!r) {
			w->off = off;
			w->len = len;
			f3_waiter_add(&inode->extents->waiters, w);
		}
		if (f3_fill_plan(core, inode, off, off + len) && !r && !fill->n_transfers) {
			(void)f3_waiter_cancel(w);
			r = -ENOMEM;
		}
	}
	f3_unlock(&inode->lock);
	f3_fill_gate_run(inode->volume->fills);
	return r;
}

int f3_fill_need(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		 struct f3_waiter *w)
{
	return need(core, inode, off, len, true, w);
}

/* Inode lock held. Is it in memory? Then it is lent. */
static bool lend(struct f3_core *core, const struct f3_inode *inode, uint64_t off, uint64_t len,
		 struct f3_fill_lent *ret_lent)
{
	const struct f3_inode_rec *rec = &inode->rec;

	/* Without its content here it may be another object by now. */
	if (off >= rec->size || (!inode->extents && f3_fill_incomplete(inode)))
		return false;
	if (len > rec->size - off)
		len = rec->size - off;
	return f3_recent_lend(core->recent, inode->ino, rec->backing, off, len, ret_lent);
}

bool f3_fill_lend(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		  struct f3_fill_lent *ret_lent)
{
	struct f3_fill *fill;
	bool ahead = false, lent;

	if (!f3_recent_any(core->recent))
		return false;
	f3_lock(&inode->lock);
	lent = lend(core, inode, off, len, ret_lent);
	fill = inode->fill;
	if (lent && inode->extents && off < inode->rec.base_limit) {
		uint64_t left = inode->rec.base_limit - off;

		f3_fill_note(core, inode, off, off + (len < left ? len : left));
		ahead = !fill->error && !fill->stopping && inode->volume->store;
		if (ahead)
			f3_fill_plan_ahead(core, inode);
	}
	f3_unlock(&inode->lock);
	if (ahead)
		f3_fill_gate_run(inode->volume->fills);
	return lent;
}

void f3_fill_forget(struct f3_core *core, struct f3_inode *inode)
{
	f3_recent_forget(core->recent, inode->ino);
}

int f3_fill_all(struct f3_core *core, struct f3_inode *inode, struct f3_waiter *w)
{
	return need(core, inode, 0, UINT64_MAX, false, w);
}

int f3_fill_ahead(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		  const _Atomic bool *stop, void (*fn)(void *arg, uint64_t off, uint64_t len),
		  void *arg)
{
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len;

	while (off < end && !*stop) {
		struct f3_extent got[F3_FILL_PIECES];
		unsigned n = 0;
		int r = lock_prepared(core, inode);

		if (r)
			return r < 0 ? r : 0;
		while (inode->fill->n_transfers >= F3_FILL_PIECES && !inode->fill->stopping)
			f3_fill_sleep(inode, inode->fill);
		if (inode->fill->stopping || inode->fill->error || !inode->volume->store)
			r = -ESTALE;
		else if (inode->extents)
			n = f3_fill_plan_range(core, inode, &off, end, got);
		else
			off = end;
		f3_fill_drop(inode);
		f3_unlock(&inode->lock);
		f3_fill_gate_run(inode->volume->fills);
		for (unsigned i = 0; i < n; i++)
			fn(arg, got[i].off, got[i].len);
		if (r)
			return r;
	}
	return 0;
}

void f3_fill_rest(struct f3_inode *inode)
{
	f3_lock(&inode->lock);
	while (inode->fill && inode->fill->n_transfers)
		f3_fill_sleep(inode, inode->fill);
	f3_fill_drop(inode);
	f3_unlock(&inode->lock);
}

/* All bytes were here: waits until the file is said to be complete, and nothing of the filling is
 * left. 1: some are missing again. */
static int finish(struct f3_inode *inode)
{
	int r = 0;

	f3_lock(&inode->lock);
	while (inode->extents && !f3_fill_lacks(inode) && !r) {
		struct f3_fill *fill = inode->fill;

		fill->save_error = 0;
		f3_fill_tidy_soon(inode, fill);
		f3_fill_sleep(inode, fill);
		r = fill->save_error;
	}
	if (!r && inode->extents)
		r = 1;
	while (!r && inode->fill && (inode->fill->n_transfers || inode->fill->tidy_queued))
		f3_fill_sleep(inode, inode->fill);
	f3_fill_drop(inode);
	f3_unlock(&inode->lock);
	return r;
}

int f3_fill_whole(struct f3_core *core, struct f3_inode *inode)
{
	int r;

	do {
		struct f3_blocker b;

		f3_blocker_init(&b);
		r = f3_fill_all(core, inode, &b.w);
		if (!r)
			r = f3_blocker_wait(&b);
		else if (r > 0)
			r = 0;
		f3_blocker_done(&b);
		if (!r)
			r = finish(inode);
	} while (r == 1);
	return r;
}

bool f3_fill_cancel(struct f3_inode *inode, struct f3_waiter *w)
{
	bool canceled;

	f3_lock(&inode->lock);
	canceled = f3_waiter_cancel(w);
	f3_unlock(&inode->lock);
	return canceled;
}

static bool landing(const struct f3_fill *fill, uint64_t off, uint64_t len)
{
	const struct f3_transfer *t;

	for (t = TAILQ_FIRST(&fill->transfers); t; t = TAILQ_NEXT(t, of_fill))
		if (t->landing_len &&
		    (t->direct || f3_fill_overlap(t->landing_off, t->landing_len, off, len)))
			return true;
	return false;
}

void f3_fill_await_landing(struct f3_inode *inode, uint64_t off, uint64_t len)
{
	while (inode->fill && landing(inode->fill, off, len))
		f3_fill_sleep(inode, inode->fill);
}

int f3_fill_write_begin(struct f3_inode *inode, uint64_t off, uint64_t len)
{
	struct f3_fill *fill = inode->fill;
	struct f3_fill_write *write;

	if (!inode->extents || off >= inode->rec.base_limit || !len)
		return 0;
	if (inode->extents->n + fill->n_writes + 2 > F3_EXTENTS_MAX)
		return -EFBIG;
	write = malloc(sizeof(*write));
	if (!write)
		return -ENOMEM;
	/* From here on nothing begins to land there. */
	*write = (struct f3_fill_write){ off, len, fill->writes };
	fill->writes = write;
	fill->n_writes++;
	f3_fill_await_landing(inode, off, len);
	return 0;
}

/* [off, end) was written by a program: the database knows it before the program does. */
static int save_written(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t end)
{
	struct f3_fill *fill = inode->fill;
	uint64_t at = off, gap, len;
	struct f3_batch *b;
	int r;

	if (f3_extents_has(inode->extents, off, end - off))
		return 0;
	r = f3_batch_new(core->meta, &b);
	if (r)
		return r;
	/* Only what is new: a key that begins where an older, longer one does would shorten it. */
	while (f3_extents_gap(inode->extents, at, end, &gap, &len)) {
		f3_batch_put_extent(b, inode->ino, gap, len);
		fill->n_keys++;
		at = gap + len;
	}
	r = f3_batch_commit(b);
	f3_batch_free(b);
	return r ? r : f3_extents_add(inode->extents, off, end - off);
}

int f3_fill_write_end(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		      uint64_t written)
{
	struct f3_fill *fill = inode->fill;
	struct f3_fill_write **p, *write;
	int r = 0;

	if (!fill)
		return 0;
	for (p = &fill->writes; *p && ((*p)->off != off || (*p)->len != len); p = &(*p)->next)
		;
	write = *p;
	if (!write)
		return 0;
	*p = write->next;
	fill->n_writes--;
	free(write);
	if (inode->extents && off < inode->rec.base_limit) {
		uint64_t limit = inode->rec.base_limit;
		uint64_t end = written < limit - off ? off + written : limit;

		if (end > off)
			r = save_written(core, inode, off, end);
		/* Who waits for these bytes is served there, or they are asked for now. */
		fill->more |= inode->extents->waiters.first != NULL;
	}
	if (fill->more || !inode->extents || !f3_fill_lacks(inode))
		f3_fill_tidy_soon(inode, fill);
	return r;
}

int f3_fill_truncate(struct f3_core *core, struct f3_inode *inode, int fd, uint64_t size)
{
	struct f3_fill *fill = inode->fill;
	struct f3_batch *b = NULL;
	int r = 0;

	f3_fill_await_landing(inode, size, UINT64_MAX - size);
	if (inode->extents && size < inode->rec.base_limit)
		r = f3_batch_new(core->meta, &b);
	if (!r && !f3_fault("file.truncate", &r) && ftruncate(fd, (off_t)size))
		r = -errno;
	if (b && !r) {
		inode->rec.base_limit = size;
		f3_extents_truncate(inode->extents, size);
		f3_extents_truncate(fill->unsaved, size);
		/* After the file was cut: seen the other way round by a restart, the bytes between
		 * would be zeros. */
		f3_batch_put_inode(b, &inode->rec);
		r = f3_batch_commit(b);
		if (!size && !inode->extents->waiters.first) {
			f3_extents_free(inode->extents);
			inode->extents = NULL;
		}
	}
	f3_batch_free(b);
	if (inode->fill && (!inode->extents || !f3_fill_lacks(inode)))
		f3_fill_tidy_soon(inode, fill);
	return r;
}

int f3_fill_settle(struct f3_core *core, struct f3_inode *inode)
{
	uint32_t number;
	int r = 0;

	f3_lock(&inode->lock);
	if (f3_fill_incomplete(inode) && !inode->extents && inode->rec.state != F3_STATE_REMOTE) {
		f3_unlock(&inode->lock);
		r = f3_fill_prepare(core, inode);
		if (r)
			return r;
		f3_lock(&inode->lock);
	}
	if (inode->fill) {
		inode->fill->careful = true;
		f3_fill_await_landing(inode, 0, 0);
	}
	number = (inode->rec.state == F3_STATE_CLEAN || inode->rec.state == F3_STATE_FILLING) &&
				 inode->rec.backing_class != F3_CLASS_MEMORY ?
			 inode->rec.backing :
			 0;
	f3_unlock(&inode->lock);
	return number ? f3_backing_sync(f3_file_store(inode), inode->ino, number, true) : 0;
}

void f3_fill_stop(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_fill *fill;

	f3_lock(&inode->lock);
	f3_fill_forget(core, inode);
	fill = inode->fill;
	if (fill && !fill->stopping) {
		fill->stopping = true;
		if (inode->extents)
			f3_waiters_collect(&inode->extents->waiters, -ESTALE, &ready);
		f3_transfers_cancel(inode, fill);
		while (fill->n_transfers || fill->tidy_queued)
			f3_fill_sleep(inode, fill);
		f3_transfers_dispose(inode, fill);
		fill->stopping = false;
		f3_fill_moved(fill);
	} else if (fill) {
		while (fill->stopping)
			f3_fill_sleep(inode, fill);
	}
	f3_fill_drop(inode);
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
}
