/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/stage_impl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/metric.h"
#include "fs/core/commitset.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"

static struct f3_counter dropped = {
	.name = "f3_stage_dropped_total",
	.labels = "",
	.help = "Files that were gone, or local, before anything of them was sent to a store.",
};
static struct f3_counter dropped_bytes = {
	.name = "f3_stage_dropped_bytes_total",
	.labels = "",
	.help = "Bytes of them.",
};

/* ---- What is needed ---- */

bool f3_stage_in_store(const struct f3_inode *inode)
{
	if (!inode->volume || !inode->volume->store)
		return false;
	if (S_ISDIR(inode->rec.mode))
		return !(inode->rec.flags & F3_INO_LOCAL_TREE) &&
		       inode->ino != inode->volume->root_ino;
	return f3_class_in_store((enum f3_class)inode->rec.class_);
}

/* Its object is somebody else's, or no store would take it, and that was said: left alone. */
static bool lost(const struct f3_inode *inode)
{
	return (inode->rec.flags & F3_INO_TORN) || inode->rec.error == ESTALE ||
	       f3_stage_permanent(-inode->rec.error);
}

static int lost_error(const struct f3_inode *inode)
{
	return (inode->rec.flags & F3_INO_TORN) || inode->rec.error == ESTALE ? -EIO :
										-inode->rec.error;
}

bool f3_stage_unchanged(const struct f3_inode *inode)
{
	const struct f3_stage *st = inode->stage;

	/* A change that is on its way may not arrive. */
	if (inode->changed || !inode->rec.etag[0] ||
	    (st && st->taken && st->snap.content && !st->snap.again))
		return false;
	return f3_fill_incomplete(inode) ||
	       !memcmp(&inode->seen, &inode->committed, sizeof(inode->seen));
}

static int fingerprint(struct f3_inode *inode, struct f3_fingerprint *ret_fp)
{
	struct stat st;
	int r = f3_backing_stat(f3_file_store(inode), inode->ino, inode->rec.backing, &st);

	if (r)
		return r;
	*ret_fp = (struct f3_fingerprint){
		.size = (uint64_t)st.st_size,
		.mtime_ns = f3_ns_from_timespec(st.st_mtim),
		.ctime_ns = f3_ns_from_timespec(st.st_ctim),
	};
	return 0;
}

/*
 * Attributes alone are a change of the object that must not undo what others did to it. Where the
 * store does not look at the condition of such a change, a small file is sent anew, as far as it
 * looks at that of a PUT; of others the attributes stay here until their content is committed.
 */
#define AGAIN_MAX_BYTES (16u << 20)

bool f3_stage_attr_alone(const struct f3_volume *v, const struct f3_inode_rec *rec)
{
	return S_ISDIR(rec->mode) || !v->store || v->store->caps.set_attr_match;
}

static bool attr_with_content(const struct f3_inode *inode)
{
	const struct f3_inode_rec *rec = &inode->rec;

	if (!(rec->flags & F3_INO_ATTR_DIRTY) || f3_stage_attr_alone(inode->volume, rec) ||
	    !inode->volume->store->caps.put_match)
		return false;
	return !S_ISREG(rec->mode) || (f3_file_complete(inode) && rec->size <= AGAIN_MAX_BYTES);
}

static bool content_differs(struct f3_inode *inode)
{
	struct f3_fingerprint now;

	if (S_ISDIR(inode->rec.mode))
		return false;
	if ((inode->rec.flags & F3_INO_DIRTY) || !inode->rec.etag[0])
		return true;
	if (!S_ISREG(inode->rec.mode) || inode->rec.state != F3_STATE_WRITING)
		return false;
	if (inode->changed)
		return true;
	if (!f3_file_complete(inode))
		return false;
	return fingerprint(inode, &now) || memcmp(&now, &inode->committed, sizeof(now)) != 0;
}

bool f3_stage_content_again(struct f3_inode *inode)
{
	return !inode->member && attr_with_content(inode) && !content_differs(inode);
}

/* Of a member of a commit set attributes alone wait until that is published, or go with the content. */
bool f3_stage_content_dirty(struct f3_inode *inode)
{
	if (inode->member)
		return !f3_commitset_settled(inode) && content_differs(inode);
	return attr_with_content(inode) || content_differs(inode);
}

bool f3_stage_dirty(struct f3_core *core, struct f3_inode *inode)
{
	(void)core;
	if (!f3_stage_in_store(inode) || inode->dead || !inode->rec.nlink ||
	    (inode->rec.flags & F3_INO_ORPHAN) || lost(inode))
		return false;
	return (!inode->member && (inode->rec.flags & F3_INO_ATTR_DIRTY) &&
		f3_stage_attr_alone(inode->volume, &inode->rec)) ||
	       f3_stage_content_dirty(inode);
}

bool f3_stage_same(struct f3_core *core, struct f3_inode *inode, const struct f3_snapshot *snap)
{
	struct f3_fingerprint now;

	(void)core;
	if (!snap->regular)
		return true;
	if (inode->changed || inode->rec.generation != snap->generation)
		return false;
	if (!snap->complete || !f3_file_complete(inode))
		return true;
	return !fingerprint(inode, &now) && !memcmp(&now, &snap->fp, sizeof(now));
}

bool f3_stage_needed(struct f3_core *core, struct f3_inode *inode)
{
	bool needed;

	f3_lock(&inode->lock);
	needed = inode->stage || lost(inode) || f3_stage_dirty(core, inode);
	f3_unlock(&inode->lock);
	return needed;
}

void f3_stage_account(struct f3_inode *inode)
{
	uint64_t now = (inode->rec.flags & F3_INO_DIRTY) && !inode->dead &&
				       !(inode->rec.flags & F3_INO_ORPHAN) ?
			       inode->rec.size :
			       0;

	if (!inode->volume || now == inode->dirty_counted)
		return;
	inode->volume->dirty_bytes += now - inode->dirty_counted;
	inode->dirty_counted = now;
}

/* ---- Beginning ---- */

struct f3_stage *f3_stage_new(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_stage *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	st->core = core;
	st->inode = inode;
	f3_inode_ref(inode);
	return st;
}

/* No lock held: its reference to the inode may be the last. */
void f3_stage_free(struct f3_stage *st)
{
	if (!st)
		return;
	f3_upload_free(st->upload);
	f3_inode_put(st->core, st->inode);
	free(st);
}

static uint64_t delay_of(struct f3_inode *inode, bool content)
{
	if (inode->stage_waiters.first)
		return 0;
	return inode->rec.class_ == F3_CLASS_WRITEBACK || !content ? F3_STAGE_DELAY_NS : 0;
}

int f3_stage_enter(struct f3_core *core, struct f3_inode *inode, const char *key, bool acked)
{
	struct f3_inode_rec *rec = &inode->rec;
	bool content = f3_stage_content_dirty(inode);
	struct f3_journal_entry e = {
		.type = content ? F3_JOURNAL_PUT : F3_JOURNAL_ATTR,
		.flags = rec->class_ == F3_CLASS_DURABLE ? F3_JOURNAL_DURABLE : 0,
		.volume = rec->volume,
		.ino = inode->ino,
		.dir1 = rec->parent,
		.id = rec->id,
		.generation = rec->generation,
		.attempt = f3_stage_new_attempt(inode),
	};
	struct f3_stage *st = f3_stage_new(core, inode);
	struct f3_batch *b = NULL;
	int r = st ? f3_batch_new(core->meta, &b) : -ENOMEM;

	snprintf(e.key, sizeof(e.key), "%s", key);
	snprintf(e.etag, sizeof(e.etag), "%s", rec->etag);
	if (!r)
		r = f3_journal_announce(inode->volume, &e,
					F3_JOURNAL_RETRY | (acked ? F3_JOURNAL_ACKED : 0),
					&st->task);
	if (!r) {
		f3_batch_put_journal(b, &e);
		r = f3_batch_commit(b);
		if (r)
			(void)f3_journal_withdraw(st->task);
	}
	f3_batch_free(b);
	if (r) {
		if (st)
			inode->refs--; /* not the last: the caller has one */
		free(st);
		return r;
	}
	st->seq = e.seq;
	inode->stage = st;
	/* Under the lock, so that it cannot be withdrawn and gone before it is begun; nobody is
	 * called back, since it has no waiter. */
	f3_journal_begin(st->task, delay_of(inode, content), NULL);
	return 0;
}

/* With nothing to do, who waits has what he waits for. Inode lock held. */
static void serve_idle(struct f3_inode *inode, struct f3_waiter_list *ready)
{
	if (!inode->stage)
		f3_waiters_collect(&inode->stage_waiters, lost(inode) ? lost_error(inode) : 0,
				   ready);
}

/* `off` counts the rounds that a waiter saw fail. Inode lock held. */
static void await_commit(struct f3_inode *inode, struct f3_waiter *w)
{
	w->off = 0;
	f3_waiter_add(&inode->stage_waiters, w);
}

int f3_stage_commit(struct f3_core *core, struct f3_inode *inode, struct f3_waiter *w)
{
	struct f3_waiter_list ready = { NULL };
	char key[F3_KEY_MAX + 1];
	struct f3_stage *st;
	bool durable;
	int r = f3_inode_key(core, inode->ino, key, sizeof(key));

	if (r)
		return r == -ENOENT ? 0 : r;
	f3_lock(&inode->lock);
	durable = inode->rec.class_ == F3_CLASS_DURABLE;
	if (!inode->stage && !f3_stage_dirty(core, inode)) {
		r = w && lost(inode) && f3_stage_in_store(inode) ? lost_error(inode) : 0;
		serve_idle(inode, &ready);
	} else {
		if (w)
			await_commit(inode, w);
		if (!inode->stage && !inode->stage_held) {
			r = f3_stage_enter(core, inode, key, !w || !durable);
			if (r && w)
				(void)f3_waiter_cancel(w);
		}
		st = inode->stage;
		if (!r && w && st && st->taken && f3_stage_same(core, inode, &st->snap)) {
			(void)f3_waiter_cancel(w);
			f3_waiter_add(&st->served, w);
		}
		if (!r && w && st && st->task)
			f3_journal_hurry(st->task);
		if (!r)
			r = w != NULL;
	}
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
	return r;
}

int f3_stage_room(struct f3_inode *inode, const struct f3_caller *who)
{
	bool enters;

	if (!f3_journal_full(inode->volume))
		return 0;
	f3_lock(&inode->lock);
	enters = f3_stage_in_store(inode) && !inode->dead && !inode->stage &&
		 !(inode->rec.flags & F3_INO_ORPHAN) && inode->rec.state != F3_STATE_WRITING;
	f3_unlock(&inode->lock);
	return enters ? f3_journal_room(inode->volume, who) : 0;
}

int f3_stage_sync_local(struct f3_core *core, struct f3_inode *inode)
{
	int r = f3_file_sync_bytes(inode, false);

	if (r)
		return f3_file_synced(core, inode, r);
	/* The journal entry goes to the disk with the name. */
	r = f3_stage_commit(core, inode, NULL);
	return r ? r : f3_file_synced(core, inode, 0);
}

/* ---- Attributes ---- */

void f3_stage_attr_mark(struct f3_inode *inode, struct f3_batch *b)
{
	if (!f3_stage_in_store(inode) || inode->dead || (inode->rec.flags & F3_INO_ORPHAN))
		return;
	inode->rec.flags |= F3_INO_ATTR_DIRTY;
	inode->attr_changes++;
	f3_batch_put_mark(b, F3_MARK_DIRTY, inode->ino);
}

void f3_stage_attr_changed(struct f3_core *core, struct f3_inode *inode)
{
	bool now;

	f3_lock(&inode->lock);
	/* A file being written takes them with it when it is committed. */
	now = (inode->rec.flags & F3_INO_ATTR_DIRTY) && inode->rec.etag[0] && !inode->stage &&
	      !inode->member && inode->rec.state != F3_STATE_WRITING;
	f3_unlock(&inode->lock);
	if (now)
		(void)f3_stage_commit(core, inode, NULL); /* the mark stays: later, then */
}

/* ---- Hold and release ---- */

static int drop_record(struct f3_core *core, uint64_t seq)
{
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_batch_del_journal(b, seq);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	return r;
}

bool f3_stage_running(struct f3_inode *inode)
{
	bool running;

	f3_lock(&inode->lock);
	running = inode->stage && inode->stage->running;
	f3_unlock(&inode->lock);
	return running;
}

static void cancel(struct f3_object_store *store, struct f3_obj_op *const ops[F3_STAGE_OPS])
{
	for (unsigned i = 0; i < F3_STAGE_OPS; i++)
		if (ops[i] && store)
			f3_object_cancel(store, ops[i]);
}

/* Inode lock held; let go of meanwhile. */
static void stop_running(struct f3_inode *inode, struct f3_stage *st)
{
	struct f3_object_store *store = inode->volume->store;
	struct f3_obj_op *ops[F3_STAGE_OPS];
	struct f3_blocker b;

	f3_blocker_init(&b);
	f3_waiter_add(&st->stoppers, &b.w);
	st->stop = true;
	memcpy(ops, st->ops, sizeof(ops));
	f3_unlock(&inode->lock);
	cancel(store, ops);
	(void)f3_blocker_wait(&b);
	f3_blocker_done(&b);
	f3_lock(&inode->lock);
}

void f3_stage_hold(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_stage *gone = NULL;
	bool early;

	f3_lock(&inode->lock);
	inode->stage_held++;
	early = inode->early != NULL;
	while (inode->stage && !gone) {
		struct f3_stage *st = inode->stage;

		if (st->running || !f3_journal_withdraw(st->task)) {
			/* Taken up by its thread, or about to be. */
			stop_running(inode, st);
			continue;
		}
		gone = st;
		inode->stage = NULL;
	}
	f3_unlock(&inode->lock);
	if (early)
		f3_early_drop(inode);
	if (!gone)
		return;
	if (drop_record(core, gone->seq))
		f3_log_warn("inode %llu: its journal entry could not be removed",
			    (unsigned long long)inode->ino);
	f3_stage_upload_drop(gone);
	f3_stage_free(gone);
}

/* It has no name in the store any more, and never had: nothing of it left the node. Inode lock held. */
static void count_dropped(struct f3_inode *inode)
{
	if (!S_ISREG(inode->rec.mode) || inode->sent || f3_stage_stored(inode))
		return;
	inode->sent = true; /* only once */
	f3_count(&dropped, 1);
	f3_count(&dropped_bytes, inode->rec.size);
}

void f3_stage_release(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_waiter_list ready = { NULL };
	bool again = false;

	f3_lock(&inode->lock);
	if (--inode->stage_held == 0) {
		if (inode->dead || !inode->rec.nlink)
			count_dropped(inode);
		f3_stage_account(inode);
		if (inode->stage_waiters.first)
			again = true;
		else if (inode->rec.state != F3_STATE_WRITING)
			again = f3_stage_dirty(core, inode);
		if (inode->dead || !inode->rec.nlink || !f3_stage_in_store(inode))
			serve_idle(inode, &ready);
	}
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
	if (again)
		(void)f3_stage_commit(core, inode, NULL); /* its state shows what cannot start */
}

void f3_stage_drop(struct f3_core *core, struct f3_inode *inode)
{
	f3_stage_hold(core, inode);
	f3_stage_release(core, inode);
}

/* ---- For the journal ---- */

int f3_stage_adopt(struct f3_core *core, const struct f3_journal_entry *e,
		   struct f3_journal_task *t)
{
	struct f3_inode *inode;
	struct f3_stage *st;
	int r = f3_inode_get(core, e->ino, &inode);

	if (r == -ENOENT || r == -ESTALE)
		return -ENOENT;
	if (r)
		return r;
	f3_lock(&inode->lock);
	if (inode->stage) {
		r = -ENOENT; /* an entry before this one is enough for the content of now */
	} else {
		st = f3_stage_new(core, inode);
		r = st ? 0 : -ENOMEM;
		if (st) {
			st->task = t;
			st->seq = e->seq;
			st->attempted = true;
			inode->maybe_stored = true;
			inode->stage = st;
		}
	}
	f3_unlock(&inode->lock);
	f3_inode_put(core, inode);
	return r;
}

void f3_stage_late(struct f3_core *core, uint64_t ino)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_inode *inode = f3_inode_peek(core, ino);

	if (!inode)
		return;
	f3_lock(&inode->lock);
	if (inode->stage && !inode->stage->running)
		f3_waiters_collect(&inode->stage_waiters, -EIO, &ready);
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
	f3_inode_put(core, inode);
}

static void interrupt_one(void *arg, struct f3_inode *inode)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_obj_op *ops[F3_STAGE_OPS] = { NULL };

	(void)arg;
	f3_lock(&inode->lock);
	if (inode->stage)
		memcpy(ops, inode->stage->ops, sizeof(ops));
	if (!inode->stage || !inode->stage->running)
		f3_waiters_collect(&inode->stage_waiters, -ESHUTDOWN, &ready);
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
	if (inode->volume)
		cancel(inode->volume->store, ops);
	f3_early_interrupt(inode);
}

void f3_stage_interrupt(struct f3_core *core)
{
	if (core->itable)
		f3_itable_each(core, interrupt_one, core);
}

static void forget_one(void *arg, struct f3_inode *inode)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_stage *st;

	(void)arg;
	f3_lock(&inode->lock);
	st = inode->stage;
	inode->stage = NULL;
	f3_waiters_collect(&inode->stage_waiters, -ESHUTDOWN, &ready);
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
	f3_stage_free(st);
	f3_early_forget(inode);
}

void f3_stage_forget(struct f3_core *core)
{
	if (core->itable)
		f3_itable_each(core, forget_one, core);
}

/* ---- Metrics ---- */

void f3_stage_register_metrics(void)
{
	f3_counter_register(&dropped);
	f3_counter_register(&dropped_bytes);
	f3_stage_register_counters();
	f3_stage_register_superseded();
}
