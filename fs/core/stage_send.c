/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/activation.h"
#include "fs/core/stage_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/metric.h"
#include "fs/core/store_op.h"

static struct f3_counter superseded = {
	.name = "f3_stage_superseded_total",
	.labels = "",
	.help = "Files that were opened for writing again before anything was sent of what had been "
		"closed.",
};

void f3_stage_register_superseded(void)
{
	f3_counter_register(&superseded);
}

int f3_stage_request_begin(struct f3_stage *st, struct f3_obj_op *op, unsigned slot)
{
	struct f3_inode *inode = st->inode;
	bool stop;

	f3_lock(&inode->lock);
	stop = st->stop;
	if (!stop)
		st->ops[slot] = op;
	f3_unlock(&inode->lock);
	return stop ? -ECANCELED : 0;
}

int f3_stage_request_end(struct f3_stage *st, unsigned slot, int r)
{
	struct f3_inode *inode = st->inode;
	bool stop;

	f3_lock(&inode->lock);
	st->ops[slot] = NULL;
	stop = st->stop;
	f3_unlock(&inode->lock);
	/* Ended for another reason than a hold: it is tried again. */
	return r == -ECANCELED && !stop ? -EAGAIN : r;
}

int f3_stage_request(struct f3_stage *st, struct f3_obj_op *op)
{
	int r = f3_stage_request_begin(st, op, 0);

	if (r)
		return r;
	r = st->core->stopping ? -EAGAIN : f3_store_run(st->inode->volume, op);
	return f3_stage_request_end(st, 0, r);
}

int f3_stage_change(struct f3_sending *s, struct f3_obj_op *op)
{
	struct f3_inode *inode = s->st->inode;
	bool was;
	int r;

	f3_lock(&inode->lock);
	was = inode->maybe_stored;
	inode->maybe_stored = true;
	f3_unlock(&inode->lock);
	r = f3_stage_request(s->st, op);
	if (r && r != F3_OBJ_AMBIGUOUS) {
		f3_lock(&inode->lock);
		inode->maybe_stored = was;
		f3_unlock(&inode->lock);
	}
	return r;
}

struct f3_obj_gen f3_stage_gen(const struct f3_sending *s)
{
	const struct f3_journal_entry *e = s->call->e;

	return (struct f3_obj_gen){ .id = e->id,
				    .generation = e->generation,
				    .attempt = e->attempt };
}

int f3_stage_next_attempt(struct f3_sending *s)
{
	struct f3_stage *st = s->st;
	struct f3_inode *inode = st->inode;
	struct f3_journal_entry *e = s->call->e;
	struct f3_batch *b;
	int r;

	f3_lock(&inode->lock);
	inode->sent = true;
	f3_unlock(&inode->lock);
	if (!st->attempted && e->generation < s->snap.generation)
		f3_count(&superseded, 1);
	e->generation = s->snap.generation;
	if (!st->attempted) {
		/* The number in the record was not used yet. */
		st->attempted = true;
		return 0;
	}
	r = f3_batch_new(st->core->meta, &b);
	if (r)
		return r;
	f3_lock(&inode->lock);
	if (inode->attempts < e->attempt)
		inode->attempts = e->attempt;
	e->attempt = f3_stage_new_attempt(inode);
	snprintf(e->etag, sizeof(e->etag), "%s", s->etag);
	f3_batch_put_journal(b, e);
	r = f3_batch_commit(b);
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	return r;
}

/* ---- Conditions ---- */

/* What is there under the key now. 0, -ENOENT or the store's error. */
static int look(struct f3_sending *s, enum f3_obj_want want, struct f3_obj_info *ret_info)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_HEAD);
	op.key = s->key;
	op.want = want;
	r = f3_stage_request(s->st, &op);
	if (!r)
		*ret_info = op.info;
	else
		snprintf(s->call->message, sizeof(s->call->message), "%s", op.message);
	f3_object_op_done(&op);
	return r;
}

int f3_stage_condition(struct f3_sending *s, struct f3_obj_op *op, bool match, bool absent)
{
	struct f3_obj_info info;
	int r;

	if (s->etag[0] ? match : absent) {
		op->cond = s->etag[0] ? F3_OBJ_MATCH : F3_OBJ_ABSENT;
		op->etag = s->etag[0] ? s->etag : NULL;
		return 0;
	}
	/* This store does not look itself: as near as it lets us come. */
	r = look(s, s->etag[0] ? F3_OBJ_WANT_OBJECT : F3_OBJ_WANT_ANY, &info);
	if (r == -ENOENT)
		return s->etag[0] ? -ESTALE : 0;
	if (r)
		return r;
	if (!s->etag[0])
		return -EEXIST;
	return strcmp(info.etag, s->etag) ? -ESTALE : 0;
}

/*
 * Objects of ours that the record does not know of have a higher attempt than it does: their answer
 * was lost. One with a known number and another etag was changed in place by somebody who left our
 * mark on it.
 */
static bool ours(const struct f3_sending *s, const struct f3_obj_info *info)
{
	const struct f3_journal_entry *e = s->call->e;
	uint64_t known;

	if (!info->have_gen || !f3_id_equal(&info->gen.id, &e->id))
		return false;
	f3_lock(&s->st->inode->lock);
	known = s->st->inode->rec.attempt;
	f3_unlock(&s->st->inode->lock);
	return info->gen.attempt > known && info->gen.attempt <= e->attempt;
}

int f3_stage_settle(struct f3_sending *s, int r, const struct f3_obj_gen *gen)
{
	struct f3_obj_info info;
	int h;

	if (r != F3_OBJ_AMBIGUOUS && r != -ESTALE && r != -EEXIST)
		return r;
	h = look(s, F3_OBJ_WANT_OBJECT, &info);
	if (h == -ENOENT)
		h = look(s, F3_OBJ_WANT_DIR, &info);
	if (h == -ENOENT) {
		/* Not there: not done, or removed by others; what is here is newer than that. */
		s->etag[0] = '\0';
		return -EAGAIN;
	}
	if (h)
		return h;
	if (!info.is_dir && info.have_gen && f3_obj_gen_equal(&info.gen, gen)) {
		memcpy(s->new_etag, info.etag, sizeof(s->new_etag));
		return 0;
	}
	if (!info.is_dir && ours(s, &info)) {
		memcpy(s->etag, info.etag, sizeof(s->etag));
		return -EAGAIN;
	}
	if (r == F3_OBJ_AMBIGUOUS && !strcmp(info.etag, s->etag))
		return -EAGAIN;
	memcpy(s->new_etag, info.etag, sizeof(s->new_etag));
	s->lost = true;
	return -ESTALE;
}

/* ---- One request for all of it ---- */

static int put_once(struct f3_sending *s)
{
	struct f3_obj_gen gen;
	struct f3_obj_op op;
	int r = f3_stage_next_attempt(s);

	if (r)
		return r;
	gen = f3_stage_gen(s);
	f3_object_op_init(&op, F3_OBJ_PUT);
	op.key = s->member ? s->staged : s->key;
	op.attr = &s->attr.attr;
	op.gen = &gen;
	if (S_ISLNK(s->attr.attr.mode)) {
		op.body = s->target;
		op.len = s->target_len;
	} else if (s->fd >= 0) {
		op.fd = s->fd;
		op.len = s->snap.size;
	}
	if (!s->member)
		r = f3_stage_condition(s, &op, s->st->inode->volume->store->caps.put_match,
				       s->st->inode->volume->store->caps.put_absent);
	f3_debug_point("stage.before-put");
	if (!r)
		r = s->member ? f3_stage_request(s->st, &op) : f3_stage_change(s, &op);
	f3_debug_point("stage.after-put");
	snprintf(s->call->message, sizeof(s->call->message), "%s", op.message);
	if (!r) {
		memcpy(s->new_etag, op.info.etag, sizeof(s->new_etag));
		f3_act_stored(s->st->inode, 1, op.len);
	}
	f3_object_op_done(&op);
	/* Cut shorter while it was read. */
	if (r == -ENODATA)
		return F3_STAGE_CHANGED;
	/* Nobody else knows that place: the same again. */
	if (s->member)
		return r == F3_OBJ_AMBIGUOUS ? -EAGAIN : r;
	return f3_stage_settle(s, r, &gen);
}

int f3_stage_put(struct f3_sending *s)
{
	int r = -EAGAIN;

	for (int tries = 0; r == -EAGAIN && tries < 3; tries++)
		r = put_once(s);
	return r;
}

/* ---- Attributes ---- */

/* The store's one is another object, or none: there is nothing these attributes are of. What is
 * there shows at the next look. */
static int attr_void(struct f3_sending *s)
{
	memcpy(s->new_etag, s->etag, sizeof(s->new_etag));
	s->unseen = true;
	return 0;
}

static int set_attr_once(struct f3_sending *s)
{
	struct f3_obj_gen gen;
	struct f3_obj_op op;
	int r = f3_stage_next_attempt(s);

	if (r)
		return r;
	gen = f3_stage_gen(s);
	f3_object_op_init(&op, F3_OBJ_SET_ATTR);
	op.key = s->key;
	op.attr = &s->attr.attr;
	op.gen = &gen;
	r = f3_stage_condition(s, &op, true, false);
	if (!r)
		r = f3_stage_change(s, &op);
	snprintf(s->call->message, sizeof(s->call->message), "%s", op.message);
	if (!r)
		memcpy(s->new_etag, op.info.etag, sizeof(s->new_etag));
	f3_object_op_done(&op);
	return f3_stage_settle(s, r == -ENOENT ? -ESTALE : r, &gen);
}

int f3_stage_send_attr(struct f3_sending *s)
{
	int r = -EAGAIN;

	for (int tries = 0; r == -EAGAIN && tries < 3; tries++) {
		r = s->snap.again ? put_once(s) : set_attr_once(s);
		if (r == -EAGAIN && !s->etag[0])
			break;
	}
	if ((r == -ESTALE && s->lost) || (r == -EAGAIN && !s->etag[0])) {
		f3_lock(&s->st->inode->lock);
		snprintf(s->etag, sizeof(s->etag), "%s", s->st->inode->rec.etag);
		f3_unlock(&s->st->inode->lock);
		s->lost = false;
		return attr_void(s);
	}
	return r;
}

int f3_stage_send_dir(struct f3_sending *s)
{
	struct f3_obj_gen gen;
	struct f3_obj_op op;
	int r = f3_stage_next_attempt(s);

	if (r)
		return r;
	gen = f3_stage_gen(s);
	f3_object_op_init(&op, F3_OBJ_MKDIR);
	op.key = s->key;
	op.attr = &s->attr.attr;
	op.gen = &gen;
	r = f3_stage_request(s->st, &op);
	snprintf(s->call->message, sizeof(s->call->message), "%s", op.message);
	if (!r)
		memcpy(s->new_etag, op.info.etag, sizeof(s->new_etag));
	f3_object_op_done(&op);
	/* The same again does no harm. */
	return r == F3_OBJ_AMBIGUOUS ? -EAGAIN : r;
}
