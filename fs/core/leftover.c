/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/leftover.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/core/commitset.h"
#include "fs/core/journal_impl.h"
#include "fs/core/store_op.h"

/* A store takes no requests of clocks that are further off. */
#define CLOCKS_DIFFER_NS (15 * 60 * F3_NS_PER_SEC)

/* ---- Records ---- */

static int note(struct f3_volume *v, const char *key, const char *id, uint64_t *ret_seq)
{
	struct f3_meta *meta = v->core->meta;
	struct f3_journal_entry *e = calloc(1, sizeof(*e));
	struct f3_batch *b = NULL;
	int r = e ? f3_batch_new(meta, &b) : -ENOMEM;

	if (!r) {
		e->seq = f3_meta_new_seq(meta);
		e->type = F3_JOURNAL_UPLOAD;
		e->volume = v->id;
		e->since_ns = f3_clock_real_ns();
		snprintf(e->key, sizeof(e->key), "%s", key);
		snprintf(e->upload, sizeof(e->upload), "%s", id);
		f3_batch_put_journal(b, e);
		r = f3_batch_commit(b);
	}
	if (!r)
		*ret_seq = e->seq;
	f3_batch_free(b);
	free(e);
	return r;
}

int f3_leftover_begin(struct f3_volume *v, const char *key, uint64_t *ret_seq)
{
	return note(v, key, "", ret_seq);
}

/* What a sweep could not tell because of a beginning it may be able to tell now. */
static void again(struct f3_volume *v)
{
	if (atomic_exchange(&v->stages->unsure, false))
		f3_leftover_go(v);
}

int f3_leftover_named(struct f3_volume *v, const struct f3_journal_entry *e, uint64_t begun)
{
	struct f3_batch *b;
	int r = f3_batch_new(v->core->meta, &b);

	if (r)
		return r;
	f3_batch_put_journal(b, e);
	f3_batch_del_journal(b, begun);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	again(v);
	return r;
}

void f3_leftover_end(struct f3_volume *v, uint64_t seq)
{
	struct f3_batch *b;

	if (f3_batch_new(v->core->meta, &b))
		return; /* the next start finds nothing to do for it */
	f3_batch_del_journal(b, seq);
	if (f3_batch_commit(b))
		f3_log_warn("journal entry %llu cannot be removed", (unsigned long long)seq);
	f3_batch_free(b);
	again(v);
}

static int ask_to_abort(struct f3_volume *v, const char *key, const char *id)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_UPLOAD_ABORT);
	op.key = key;
	op.upload = id;
	r = f3_store_run(v, &op);
	f3_object_op_done(&op);
	return r == -ENOENT ? 0 : r;
}

void f3_leftover_abort(struct f3_volume *v, const char *key, const char *id)
{
	uint64_t seq;
	int r = ask_to_abort(v, key, id);

	if (r && note(v, key, id, &seq))
		f3_log_warn("volume %s: an upload of %s stays in the store", v->name, key);
}

int f3_leftover_copies(struct f3_volume *v, struct f3_obj_op *op, uint64_t *ret_seq)
{
	const char *target = op->type == F3_OBJ_COPY ? op->key2 : op->key;

	op->in_parts = true;
	op->result = v->core->stopping ? -EAGAIN : f3_leftover_begin(v, target, ret_seq);
	return op->result;
}

void f3_leftover_copied(struct f3_volume *v, const struct f3_obj_op *op, uint64_t seq)
{
	if (!op->ret_left)
		f3_leftover_end(v, seq);
}

uint64_t f3_leftover_now(struct f3_core *core)
{
	return f3_meta_new_seq(core->meta);
}

/* ---- Whose is it? ---- */

struct question {
	struct f3_volume *v;
	const struct f3_obj_upload *u;
	uint64_t first_seq; /* of this run */
	bool known, wanted;
	bool unsure; /* it may be one that begins now */
};

static int ask_record(void *arg, const struct f3_journal_entry *e)
{
	struct question *q = arg;

	if (e->volume != q->v->id)
		return 0;
	if (e->type != F3_JOURNAL_UPLOAD)
		q->wanted |= !strcmp(e->upload, q->u->upload);
	else if (strcmp(e->key, q->u->key) != 0)
		return 0;
	else if (e->upload[0])
		q->known |= !strcmp(e->upload, q->u->upload);
	else if (e->seq >= q->first_seq)
		q->unsure = true;
	else
		q->known |= q->u->since_ns >= e->since_ns - (int64_t)CLOCKS_DIFFER_NS;
	return q->wanted;
}

/* 1: it is one. 0: no. -EBUSY: that shows when what begins now has its id. */
static int ask(struct f3_volume *v, const struct f3_obj_upload *u)
{
	struct question q = { .v = v, .u = u, .first_seq = v->stages->j->first_seq };
	int r = f3_meta_each_journal(v->core->meta, ask_record, &q);

	if (r < 0)
		return r;
	if (!q.known || q.wanted || f3_commitset_wants(v, u->upload))
		return 0;
	return q.unsure ? -EBUSY : 1;
}

bool f3_leftover_is(struct f3_volume *v, const struct f3_obj_upload *u)
{
	return ask(v, u) == 1;
}

/* ---- Ending them ---- */

/* Those that the store has of a key, of which only that is known. */
static int abort_of_key(struct f3_volume *v, const char *key)
{
	char after[F3_OBJ_CURSOR_MAX + 1] = "";
	struct f3_obj_op op;
	bool more, unsure = false;
	int r, is;

	do {
		f3_object_op_init(&op, F3_OBJ_UPLOAD_LIST);
		op.key = "";
		op.after = after[0] ? after : NULL;
		r = f3_store_run(v, &op);
		for (size_t i = 0; !r && i < op.n_uploads; i++) {
			if (strcmp(op.uploads[i].key, key) != 0)
				continue;
			is = ask(v, &op.uploads[i]);
			unsure |= is == -EBUSY;
			if (is == 1)
				r = ask_to_abort(v, key, op.uploads[i].upload);
			else if (is && is != -EBUSY)
				r = is;
		}
		more = !r && op.ret_next;
		if (more)
			snprintf(after, sizeof(after), "%s", op.ret_next);
		f3_object_op_done(&op);
	} while (more && !v->core->stopping);
	if (r && r != -ENOENT)
		return r;
	return more ? -ECANCELED : unsure ? -EBUSY : 0;
}

struct next {
	struct f3_volume *v;
	uint64_t after;
	struct f3_journal_entry e;
};

static int find_next(void *arg, const struct f3_journal_entry *e)
{
	struct next *n = arg;

	if (e->type != F3_JOURNAL_UPLOAD || e->volume != n->v->id || e->seq <= n->after ||
	    (!e->upload[0] && e->seq >= n->v->stages->j->first_seq))
		return 0;
	n->e = *e;
	return 1;
}

/* Is there one of which it cannot be told yet? */
static bool sweep(struct f3_volume *v)
{
	struct next *n = calloc(1, sizeof(*n));
	unsigned stay = 0, unsure = 0;
	int r;

	if (!n)
		return false;
	n->v = v;
	while (!v->core->stopping && f3_meta_each_journal(v->core->meta, find_next, n) == 1) {
		n->after = n->e.seq;
		r = n->e.upload[0] ? ask_to_abort(v, n->e.key, n->e.upload) :
				     abort_of_key(v, n->e.key);
		if (!r)
			f3_leftover_end(v, n->e.seq);
		else if (r == -EBUSY)
			unsure++;
		else
			stay++;
	}
	if (stay)
		f3_log_warn("volume %s: %u uploads that nobody will finish cannot be ended now: "
			    "f3ctl gc --delete, or the next start",
			    v->name, stay);
	free(n);
	return unsure;
}

void f3_leftover_sweep(struct f3_volume *v)
{
	(void)sweep(v);
}

static void sweep_work(struct f3_work *work)
{
	struct f3_journal_gate *gate =
		(struct f3_journal_gate *)((char *)work -
					   offsetof(struct f3_journal_gate, leftovers));

	/* First: what it waits for may happen while it looks. */
	atomic_store(&gate->unsure, true);
	if (!sweep(gate->volume))
		atomic_store(&gate->unsure, false);
}

void f3_leftover_go(struct f3_volume *v)
{
	if (!v->store || v->read_only)
		return;
	v->stages->leftovers.fn = sweep_work;
	if (f3_workq_push(v->stages->q, &v->stages->leftovers))
		f3_log_warn("volume %s: no memory to end uploads that a crash left", v->name);
}
