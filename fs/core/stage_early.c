/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage_early: parts of a large file go up while the writer still writes.
 *
 * A file that a writer was opened on is looked at after a tenth of a second, and as long as it grows
 * again and again; one that does not grow is looked at less and less often. Once it is larger than
 * what goes up in one request, every part that lies whole behind the writer is sent. Nothing of it
 * shows: the upload is completed by the commit, which takes it over (f3_early_take) and checks each
 * part against the file, since the writer may have come back to it.
 *
 * The upload is journalled as an entry that nobody has begun: a restart finds it and aborts the
 * upload.
 *
 * Of a struct f3_early exactly one holds at a time: its timer is armed, its work is queued or runs,
 * or it rests (`idle`: it is finished, or was stopped). Guarded by the inode's lock.
 */
#include "config.h"

#include "fs/core/stage_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/leftover.h"
#include "fs/core/stage_parts.h"
#include "fs/core/stage_sums.h"
#include "fs/core/store_op.h"

#define LOOK_NS (100 * F3_NS_PER_MS)
#define LOOK_MAX_NS (64 * F3_NS_PER_SEC)

struct f3_early {
	struct f3_core *core;
	struct f3_inode *inode; /* referenced unless idle */
	struct f3_timer timer;
	struct f3_work work;
	uint64_t interval_ns;
	uint64_t size; /* as last looked at */
	int64_t mtime_ns;
	bool idle, stop;
	bool wanted; /* by who stopped it, with what is under way */
	struct f3_parts *pool; /* while parts are sent */
	struct f3_upload *upload; /* of whoever has the work */
	uint64_t seq; /* of its journal record */
	struct f3_obj_op *ops[F3_STAGE_OPS]; /* under way, for cancel */
	struct f3_waiter_list stoppers;
};

/* Names that programs give to what they are going to rename or remove. */
static bool looks_temporary(const char *name)
{
	static const char *const ends[] = { ".tmp",        "~",    ".part", ".partial",
					    ".crdownload", ".swp", ".temp", ".lock" };
	size_t len = strlen(name);

	if (name[0] == '.' || name[0] == '#')
		return true;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		size_t n = strlen(ends[i]);

		if (len >= n && !strcmp(name + len - n, ends[i]))
			return true;
	}
	return false;
}

static void look(struct f3_work *work);

static void early_free(struct f3_early *f)
{
	if (!f)
		return;
	f3_upload_free(f->upload);
	free(f);
}

void f3_stage_writer_opened(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_early *f;

	f3_lock(&inode->lock);
	if (inode->early || inode->dead || !f3_stage_in_store(inode) ||
	    inode->rec.state != F3_STATE_WRITING || f3_fill_incomplete(inode) ||
	    looks_temporary(inode->rec.name) || core->stopping) {
		f3_unlock(&inode->lock);
		return;
	}
	f = calloc(1, sizeof(*f));
	if (f) {
		f->core = core;
		f->inode = inode;
		f->interval_ns = LOOK_NS;
		f3_timer_init(&f->timer, core->transfer, look);
		if (f3_timer_arm(&f->timer, f3_clock_mono_ns() + LOOK_NS)) {
			free(f);
		} else {
			f3_inode_ref(inode);
			inode->early = f;
		}
	}
	f3_unlock(&inode->lock);
}

/* ---- Looking ---- */

/* It rests from now on. Inode lock held; let go of. */
static void rest(struct f3_early *f)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_inode *inode = f->inode;
	struct f3_core *core = f->core;
	bool useless = !f->upload && !f->stoppers.first;

	f->idle = true;
	f3_waiters_collect(&f->stoppers, 0, &ready);
	if (useless)
		inode->early = NULL;
	f3_unlock(&inode->lock);
	if (useless)
		early_free(f);
	f3_waiters_call(&ready);
	f3_inode_put(core, inode);
}

static void later(struct f3_early *f, uint64_t interval_ns)
{
	f->interval_ns = interval_ns < LOOK_MAX_NS ? interval_ns : LOOK_MAX_NS;
	if (f3_timer_arm(&f->timer, f3_clock_mono_ns() + f->interval_ns))
		rest(f);
	else
		f3_unlock(&f->inode->lock);
}

/* May parts of it go up still? Inode lock held. */
static bool suitable(const struct f3_early *f)
{
	const struct f3_inode *inode = f->inode;

	return !f->stop && !inode->dead && inode->rec.state == F3_STATE_WRITING && !inode->mapped &&
	       !inode->stage_held && !f3_fill_incomplete(inode) && f3_stage_in_store(inode) &&
	       !(inode->rec.flags & F3_INO_ORPHAN) && !f->core->stopping;
}

static void send_work(struct f3_work *work);

static void look(struct f3_work *work)
{
	struct f3_timer *timer =
		(struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));
	struct f3_early *f = (struct f3_early *)((char *)timer - offsetof(struct f3_early, timer));
	struct f3_inode *inode = f->inode;
	int64_t mtime_ns;
	uint64_t size;
	struct stat st;

	f3_lock(&inode->lock);
	if (!suitable(f) ||
	    f3_backing_stat(f3_file_store(inode), inode->ino, inode->rec.backing, &st)) {
		rest(f);
		return;
	}
	size = (uint64_t)st.st_size;
	mtime_ns = f3_ns_from_timespec(st.st_mtim);
	if (size < f->size || (size && size == f->size && f->mtime_ns && mtime_ns != f->mtime_ns)) {
		/* Somebody writes inside of it. (The first write stamps it before it has a size.) */
		rest(f);
		return;
	}
	if (size == f->size) {
		f->mtime_ns = mtime_ns;
		later(f, f->interval_ns * 2);
		return;
	}
	f->size = size;
	f->mtime_ns = mtime_ns;
	if (size <= F3_PLAN_SINGLE_BYTES) {
		later(f, LOOK_NS);
		return;
	}
	f->work.fn = send_work;
	if (f3_workq_push(inode->volume->stages->q, &f->work))
		later(f, LOOK_NS);
	else
		f3_unlock(&inode->lock);
}

/* ---- Sending ---- */

static int begin_request(void *arg, struct f3_obj_op *op, unsigned slot)
{
	struct f3_early *f = arg;
	bool stop;

	f3_lock(&f->inode->lock);
	stop = !suitable(f);
	if (!stop)
		f->ops[slot] = op;
	f3_unlock(&f->inode->lock);
	return stop ? -ECANCELED : 0;
}

static int end_request(void *arg, struct f3_obj_op *op, unsigned slot)
{
	struct f3_early *f = arg;

	f3_lock(&f->inode->lock);
	f->ops[slot] = NULL;
	f3_unlock(&f->inode->lock);
	return op->result;
}

static int request(struct f3_early *f, struct f3_obj_op *op)
{
	int r = begin_request(f, op, 0);

	if (r)
		return r;
	(void)f3_store_run(f->inode->volume, op);
	return end_request(f, op, 0);
}

static int begin(struct f3_early *f)
{
	struct f3_inode *inode = f->inode;
	struct f3_upload *u = calloc(1, sizeof(*u));
	struct f3_journal_entry *e = calloc(1, sizeof(*e));
	struct f3_store_attr a;
	struct f3_obj_op op;
	uint64_t begun;
	int r = u && e ? f3_inode_key(f->core, inode->ino, e->key, sizeof(e->key)) : -ENOMEM;

	if (r)
		goto out;
	f3_lock(&inode->lock);
	e->type = F3_JOURNAL_PUT;
	e->volume = inode->rec.volume;
	e->ino = inode->ino;
	e->dir1 = inode->rec.parent;
	e->id = inode->rec.id;
	e->generation = inode->rec.generation;
	e->attempt = f3_stage_new_attempt(inode);
	inode->sent = true;
	e->since_ns = f3_clock_real_ns();
	snprintf(e->etag, sizeof(e->etag), "%s", inode->rec.etag);
	u->attr_changes = inode->attr_changes;
	memcpy(u->from, inode->rec.etag, sizeof(u->from));
	u->copies = f3_sums_of(inode, u->from) != NULL;
	u->mtime_ns = inode->rec.mtime_ns;
	u->mtime_unsaid = inode->volume->store->caps.attr_is_copy;
	r = f3_store_attr_take(f->core, inode, &a);
	f3_unlock(&inode->lock);
	if (r)
		goto out;
	/* It will be another one when the last byte is written, and to correct it then would be to
	 * copy all of the object: the store's own time is as near. */
	if (u->mtime_unsaid)
		a.attr.have_mtime = a.attr.have_atime = false;
	u->gen = (struct f3_obj_gen){ .id = e->id,
				      .generation = e->generation,
				      .attempt = e->attempt };
	memcpy(u->key, e->key, sizeof(u->key));
	r = f3_leftover_begin(inode->volume, u->key, &begun);
	if (r) {
		f3_store_attr_done(&a);
		goto out;
	}
	f3_object_op_init(&op, F3_OBJ_UPLOAD_CREATE);
	op.key = u->key;
	op.copies = u->copies;
	op.attr = &a.attr;
	op.gen = &u->gen;
	r = request(f, &op);
	snprintf(u->id, sizeof(u->id), "%s", op.ret_upload);
	f3_object_op_done(&op);
	f3_store_attr_done(&a);
	if (!r) {
		memcpy(e->upload, u->id, sizeof(e->upload));
		e->seq = f3_meta_new_seq(f->core->meta);
		r = f3_leftover_named(inode->volume, e, begun);
		if (r)
			f3_leftover_abort(inode->volume, u->key, u->id);
		f3_debug_point("early.begun");
	} else if (r != F3_OBJ_AMBIGUOUS) {
		f3_leftover_end(inode->volume, begun);
	}
	if (!r) {
		f->seq = e->seq;
		f->upload = u;
		u = NULL;
	}
out:
	free(u);
	free(e);
	return r;
}

/* Where the object has a part like it the store copies it; whether the file still has those bytes the
 * commit looks. Inode lock held. */
static void copy_known(const struct f3_inode *inode, struct f3_upload *u, size_t i)
{
	struct f3_upload_part *part = &u->parts[i];
	const struct f3_sums *sums = u->copies ? f3_sums_of(inode, u->from) : NULL;

	if (!f3_sums_has(sums, (uint32_t)i, part->off, part->len))
		return;
	part->copy = part->hashed = true;
	part->hash = sums->hash[i];
}

/* The next part, if all of it lies behind the writer. 1: not yet. */
static int add_next(struct f3_early *f, int fd)
{
	struct f3_upload *u = f->upload;
	uint32_t number = (uint32_t)u->n_parts + 1;
	uint64_t off = f3_plan_part_offset(number), len = f3_plan_part_size(number);
	struct f3_upload_part *parts;
	struct stat st;
	off_t hole;

	if (!len)
		return 1;
	if (fstat(fd, &st))
		return -errno;
	if ((uint64_t)st.st_size <= off + len)
		return 1;
	/* A file that was made long before it is written has its end elsewhere. */
	hole = lseek(fd, (off_t)off, SEEK_HOLE);
	if (hole >= 0 && (uint64_t)hole < off + len)
		return 1;
	parts = reallocarray(u->parts, u->n_parts + 1, sizeof(*parts));
	if (!parts)
		return -ENOMEM;
	u->parts = parts;
	parts[u->n_parts] = (struct f3_upload_part){ .off = off, .len = len };
	f3_lock(&f->inode->lock);
	copy_known(f->inode, u, u->n_parts);
	f3_unlock(&f->inode->lock);
	u->n_parts++;
	return 0;
}

static bool stopped(struct f3_early *f, bool *ret_wanted)
{
	bool stop;

	f3_lock(&f->inode->lock);
	stop = f->stop;
	*ret_wanted = stop && f->wanted;
	f3_unlock(&f->inode->lock);
	return stop;
}

static void set_pool(struct f3_early *f, struct f3_parts *pool)
{
	f3_lock(&f->inode->lock);
	f->pool = pool;
	f3_unlock(&f->inode->lock);
}

/* fd is closed, or left with what is under way. */
static int send_parts(struct f3_early *f, int fd)
{
	const struct f3_parts_user user = { begin_request, end_request, f };
	bool wanted = false;
	struct f3_parts *pool;
	int r = f3_parts_new(f->inode->volume, f->upload, fd, &user, &pool);

	if (r) {
		close(fd);
		return r;
	}
	set_pool(f, pool);
	while (!r && !stopped(f, &wanted)) {
		r = add_next(f, fd);
		if (!r)
			r = f3_parts_send(pool, f->upload->n_parts - 1);
		else if (r == 1 && !f3_parts_idle(pool))
			r = f3_parts_reap(pool, true);
	}
	set_pool(f, NULL);
	(void)stopped(f, &wanted);
	if (wanted && !f3_parts_idle(pool)) {
		f3_parts_leave(pool, fd);
		return r;
	}
	r = f3_parts_end(pool, r);
	close(fd);
	return r;
}

static void send_work(struct f3_work *work)
{
	struct f3_early *f = (struct f3_early *)((char *)work - offsetof(struct f3_early, work));
	struct f3_inode *inode = f->inode;
	int fd, r = 0;

	f3_lock(&inode->lock);
	fd = suitable(f) ? f3_backing_open_file(f3_file_store(inode), inode->ino,
						inode->rec.backing, O_RDONLY | O_NOATIME) :
			   -ECANCELED;
	f3_unlock(&inode->lock);
	if (fd < 0)
		r = fd;
	if (!r && !f->upload)
		r = begin(f);
	if (!r)
		r = send_parts(f, fd);
	else if (fd >= 0)
		close(fd);
	f3_lock(&inode->lock);
	/* Whatever went wrong: the commit does it over. */
	if (r < 0 || !suitable(f))
		rest(f);
	else
		later(f, LOOK_NS);
}

/* ---- The end ---- */

static void cancel_all(struct f3_volume *v, struct f3_obj_op *const ops[F3_STAGE_OPS])
{
	for (unsigned i = 0; i < F3_STAGE_OPS; i++)
		if (ops[i])
			f3_object_cancel(v->store, ops[i]);
}

/* Waits until it rests, then takes it from the inode. Inode lock held; let go of meanwhile. What is
 * under way is left in the upload, or ended if nobody wants it. */
static struct f3_early *stop(struct f3_inode *inode, bool wanted)
{
	struct f3_obj_op *ops[F3_STAGE_OPS];
	struct f3_early *f = inode->early;
	struct f3_blocker b;

	if (!f)
		return NULL;
	f->stop = true;
	f->wanted = wanted;
	if (f->pool)
		f3_parts_wake(f->pool);
	if (!f->idle && f3_timer_cancel(&f->timer)) {
		f->idle = true;
		inode->refs--; /* not the last: the caller has one */
	}
	if (!f->idle) {
		f3_blocker_init(&b);
		f3_waiter_add(&f->stoppers, &b.w);
		memcpy(ops, f->ops, sizeof(ops));
		f3_unlock(&inode->lock);
		if (!wanted)
			cancel_all(inode->volume, ops);
		(void)f3_blocker_wait(&b);
		f3_blocker_done(&b);
		f3_lock(&inode->lock);
	}
	if (inode->early != f)
		return NULL;
	inode->early = NULL;
	return f;
}

static struct f3_upload *take(struct f3_inode *inode, bool wanted, uint64_t *ret_seq)
{
	struct f3_upload *u = NULL;
	struct f3_early *f;

	f3_lock(&inode->lock);
	f = stop(inode, wanted);
	f3_unlock(&inode->lock);
	if (f) {
		u = f->upload;
		*ret_seq = f->seq;
		f->upload = NULL;
	}
	early_free(f);
	return u;
}

struct f3_upload *f3_early_take(struct f3_inode *inode, uint64_t *ret_seq)
{
	return take(inode, true, ret_seq);
}

void f3_early_drop(struct f3_inode *inode)
{
	struct f3_core *core = inode->core;
	struct f3_batch *b;
	uint64_t seq = 0;
	struct f3_upload *u = take(inode, false, &seq);

	if (!u)
		return;
	f3_leftover_abort(inode->volume, u->key, u->id);
	f3_upload_free(u);
	if (f3_batch_new(core->meta, &b))
		return; /* the next start does it */
	f3_batch_del_journal(b, seq);
	if (f3_batch_commit(b))
		f3_log_warn("journal entry %llu cannot be removed", (unsigned long long)seq);
	f3_batch_free(b);
}

void f3_early_drop_stale(struct f3_inode *inode)
{
	bool stale;

	f3_lock(&inode->lock);
	stale = inode->early && inode->rec.state != F3_STATE_WRITING;
	f3_unlock(&inode->lock);
	if (stale)
		f3_early_drop(inode);
}

void f3_stage_writers_gone(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_early *f;
	bool useless;

	(void)core;
	f3_lock(&inode->lock);
	f = inode->early;
	if (f && !f->idle && f3_timer_cancel(&f->timer)) {
		f->idle = true;
		inode->refs--; /* not the last: the caller has one */
	}
	useless = f && f->idle && !f->upload && !f->stoppers.first;
	if (useless)
		inode->early = NULL;
	f3_unlock(&inode->lock);
	if (useless)
		early_free(f);
}

void f3_early_interrupt(struct f3_inode *inode)
{
	struct f3_obj_op *ops[F3_STAGE_OPS] = { NULL };

	f3_lock(&inode->lock);
	if (inode->early)
		memcpy(ops, inode->early->ops, sizeof(ops));
	f3_unlock(&inode->lock);
	cancel_all(inode->volume, ops);
}

void f3_early_forget(struct f3_inode *inode)
{
	uint64_t seq;

	f3_upload_free(f3_early_take(inode, &seq));
}
