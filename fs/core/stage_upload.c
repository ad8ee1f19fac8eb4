/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage_upload: large files in parts.
 *
 * An upload outlives an attempt that failed, and a round in which the file changed: a part that is
 * in the store already counts if the file still has the bytes its checksum was made of, else it
 * goes again. Nothing shows in the store before it is completed.
 */
#include "config.h"

#include "fs/core/activation.h"
#include "fs/core/stage_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/crc32c.h"
#include "fs/base/debug.h"
#include "fs/core/commitset_impl.h"
#include "fs/core/fill.h"
#include "fs/core/leftover.h"
#include "fs/core/stage_parts.h"
#include "fs/core/stage_sums.h"
#include "fs/core/store_op.h"

#define CHECK_BYTES (256u << 10)

/* ---- The upload ---- */

void f3_upload_free(struct f3_upload *u)
{
	if (!u)
		return;
	if (u->under_way)
		f3_parts_drop(u->under_way);
	free(u->parts);
	free(u);
}

void f3_stage_upload_drop(struct f3_stage *st)
{
	struct f3_upload *u = st->upload;

	st->upload = NULL;
	if (u)
		f3_leftover_abort(st->inode->volume, u->key, u->id);
	f3_upload_free(u);
}

void f3_stage_upload_abort(struct f3_journal_call *call)
{
	f3_leftover_abort(call->volume, call->e->key, call->e->upload);
	call->e->upload[0] = '\0';
}

static int create(struct f3_sending *s, bool copies)
{
	struct f3_stage *st = s->st;
	struct f3_journal_entry *e = s->call->e;
	struct f3_upload *u = calloc(1, sizeof(*u));
	struct f3_obj_op op;
	uint64_t begun;
	int r = u ? f3_stage_next_attempt(s) : -ENOMEM;

	if (!r)
		r = f3_leftover_begin(st->inode->volume, s->key, &begun);
	if (r) {
		free(u);
		return r;
	}
	u->gen = f3_stage_gen(s);
	u->copies = copies;
	u->attr_changes = s->snap.attr_changes;
	u->mtime_ns = s->attr.attr.mtime_ns;
	snprintf(u->key, sizeof(u->key), "%s", s->key);
	f3_object_op_init(&op, F3_OBJ_UPLOAD_CREATE);
	op.key = s->key;
	op.copies = copies;
	op.attr = &s->attr.attr;
	op.gen = &u->gen;
	r = f3_stage_request(st, &op);
	snprintf(s->call->message, sizeof(s->call->message), "%s", op.message);
	snprintf(u->id, sizeof(u->id), "%s", op.ret_upload);
	f3_object_op_done(&op);
	if (!r) {
		snprintf(e->key, sizeof(e->key), "%s", u->key);
		snprintf(e->upload, sizeof(e->upload), "%s", u->id);
		r = f3_leftover_named(st->inode->volume, e, begun);
		if (r)
			f3_leftover_abort(st->inode->volume, u->key, u->id);
	} else if (r != F3_OBJ_AMBIGUOUS) {
		f3_leftover_end(st->inode->volume, begun);
	}
	if (r) {
		free(u);
		return r == F3_OBJ_AMBIGUOUS ? -EAGAIN : r;
	}
	st->upload = u;
	return 0;
}

/* Has the file still the bytes the part was made of? */
static bool still_right(const struct f3_sending *s, const struct f3_upload_part *part, char *buf)
{
	uint64_t done = 0, hash;
	uint32_t crc = 0;

	if (part->hashed)
		return !f3_sums_hash(s->fd, part->off, part->len, &hash) && hash == part->hash;
	while (done < part->len) {
		size_t want = part->len - done < CHECK_BYTES ? part->len - done : CHECK_BYTES;
		ssize_t n = pread(s->fd, buf, want, (off_t)(part->off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		crc = f3_crc32c(crc, buf, (size_t)n);
		done += (uint64_t)n;
	}
	return crc == part->crc32c;
}

/* Parts that are not there, but are the same as in the object that is replaced. */
static void copy_known(const struct f3_sending *s, struct f3_upload *u)
{
	const struct f3_sums *sums;

	f3_lock(&s->st->inode->lock);
	sums = u->copies ? f3_sums_of(s->st->inode, s->etag) : NULL;
	f3_unlock(&s->st->inode->lock);
	for (size_t i = 0; i < u->n_parts; i++) {
		struct f3_upload_part *part = &u->parts[i];
		uint64_t hash;

		if (part->sent || !f3_sums_has(sums, (uint32_t)i, part->off, part->len) ||
		    f3_sums_hash(s->fd, part->off, part->len, &hash) || hash != sums->hash[i])
			continue;
		part->copy = part->hashed = true;
		part->hash = hash;
	}
}

/* The parts a file of this size has. What is in the store already, or on its way there, is to be looked
 * at again. */
static int schedule(const struct f3_sending *s, struct f3_upload *u)
{
	uint64_t size = s->snap.size;
	uint32_t n = f3_plan_part_at(size - 1);
	struct f3_upload_part *parts;

	if (!n)
		return -EFBIG;
	/* Copies of another object, or of a longer file: what is on its way is not what is wanted. */
	if (u->under_way &&
	    (strcmp(u->from, s->etag) || f3_plan_part_offset((uint32_t)u->n_parts + 1) > size))
		f3_parts_drop(u->under_way);
	parts = reallocarray(u->parts, n > u->n_parts ? n : u->n_parts, sizeof(*parts));
	if (!parts)
		return -ENOMEM;
	u->parts = parts;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t off = f3_plan_part_offset(i + 1), len = f3_plan_part_size(i + 1);

		if (len > size - off)
			len = size - off;
		if (i < u->n_parts && (parts[i].sent || parts[i].sending) && parts[i].len == len &&
		    (!parts[i].copy || !strcmp(u->from, s->etag)))
			parts[i].doubtful = true;
		else
			parts[i] = (struct f3_upload_part){ .off = off, .len = len };
	}
	u->n_parts = n;
	snprintf(u->from, sizeof(u->from), "%s", s->etag);
	copy_known(s, u);
	return 0;
}

static int begin_part(void *arg, struct f3_obj_op *op, unsigned slot)
{
	struct f3_sending *s = arg;

	return s->st->core->stopping ? -EAGAIN : f3_stage_request_begin(s->st, op, slot);
}

static int end_part(void *arg, struct f3_obj_op *op, unsigned slot)
{
	struct f3_sending *s = arg;
	int r = f3_stage_request_end(s->st, slot, op->result);

	if (r && r != -ECANCELED)
		snprintf(s->call->message, sizeof(s->call->message), "%s", op->message);
	return r;
}

/* The next part from i on that has to be sent; n_parts: there is none. */
static size_t next_unsent(const struct f3_upload *u, size_t i)
{
	while (i < u->n_parts && (u->parts[i].sent || u->parts[i].sending))
		i++;
	return i;
}

/* Everything that is not there; and what is there is compared with the file meanwhile. */
static int send_parts(struct f3_sending *s, struct f3_upload *u)
{
	const struct f3_parts_user user = { begin_part, end_part, s };
	char *buf = malloc(CHECK_BYTES);
	struct f3_parts *pool = u->under_way;
	size_t i = 0, look = 0;
	int r = buf ? 0 : -ENOMEM;

	if (!r && pool)
		f3_parts_adopt(pool, s->fd, &user);
	else if (!r)
		r = f3_parts_new(s->st->inode->volume, u, s->fd, &user, &pool);
	if (r) {
		free(buf);
		return r;
	}
	while (!r) {
		i = next_unsent(u, i);
		/* While those that are under way keep the connections busy. */
		if (look < u->n_parts && (i == u->n_parts || f3_parts_full(pool))) {
			struct f3_upload_part *part = &u->parts[look];
			bool on_its_way = part->doubtful && part->sending;

			if (!on_its_way) {
				if (part->doubtful && part->sent && !still_right(s, part, buf))
					part->sent = part->copy = part->hashed = false;
				part->doubtful = false;
				/* It may have to be sent, again or because it failed. */
				i = look < i ? look : i;
				look++;
			}
			r = f3_parts_reap(pool, on_its_way);
		} else if (i < u->n_parts) {
			r = f3_parts_send(pool, i);
		} else {
			break;
		}
	}
	r = f3_parts_end(pool, r);
	free(buf);
	return r;
}

/* It was begun, its parts were sent or copied, and it was completed. */
static void count_stored(struct f3_sending *s, const struct f3_upload *u)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < u->n_parts; i++)
		bytes += u->parts[i].copy ? 0 : u->parts[i].len;
	f3_act_stored(s->st->inode, (unsigned)u->n_parts + 2, bytes);
}

static int complete_once(struct f3_sending *s, struct f3_upload *u, struct f3_obj_part *parts)
{
	const struct f3_obj_caps *caps = &s->st->inode->volume->store->caps;
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_UPLOAD_COMPLETE);
	op.key = s->key;
	op.upload = u->id;
	op.copies = u->copies;
	op.parts = parts;
	op.n_parts = u->n_parts;
	op.gen = &u->gen;
	r = f3_stage_condition(s, &op, caps->complete_match, caps->complete_absent);
	f3_debug_point("stage.before-complete");
	if (!r)
		r = f3_stage_change(s, &op);
	f3_debug_point("stage.after-complete");
	snprintf(s->call->message, sizeof(s->call->message), "%s", op.message);
	if (!r) {
		memcpy(s->new_etag, op.info.etag, sizeof(s->new_etag));
		count_stored(s, u);
	}
	f3_object_op_done(&op);
	return r;
}

/* -EAGAIN: the upload is of no use (any more). */
static int complete(struct f3_sending *s, struct f3_upload *u)
{
	struct f3_obj_part *parts = calloc(u->n_parts, sizeof(*parts));
	int r = 0;

	if (!parts)
		return -ENOMEM;
	for (size_t i = 0; i < u->n_parts; i++) {
		parts[i].number = (uint32_t)i + 1;
		parts[i].off = u->parts[i].off;
		parts[i].len = u->parts[i].len;
		parts[i].crc32c = u->parts[i].crc32c;
		memcpy(parts[i].etag, u->parts[i].etag, sizeof(parts[i].etag));
	}
	for (int tries = 0; tries < 3; tries++) {
		char had[F3_ETAG_MAX + 1];
		int answer;

		memcpy(had, s->etag, sizeof(had));
		answer = complete_once(s, u, parts);
		/* Perhaps because it was completed, and the answer lost. */
		if (answer == -ENOENT || answer == -EINVAL) {
			r = f3_stage_settle(s, F3_OBJ_AMBIGUOUS, &u->gen);
			break;
		}
		r = f3_stage_settle(s, answer, &u->gen);
		/* Another of ours is there, or none: the condition is another one. Or it was not done
		 * when we looked: the parts are there still, and if it is done meanwhile the next
		 * answer tells. */
		if (r != -EAGAIN || (answer != F3_OBJ_AMBIGUOUS && !strcmp(had, s->etag)))
			break;
	}
	free(parts);
	return r;
}

/* Attributes given at the start of the upload that have changed since. */
static int correct_attr(struct f3_sending *s, const struct f3_upload *u)
{
	struct f3_obj_gen gen;
	struct f3_obj_op op;
	int r;

	if (u->attr_changes == s->snap.attr_changes &&
	    (u->mtime_unsaid || u->mtime_ns == s->attr.attr.mtime_ns))
		return 0;
	memcpy(s->etag, s->new_etag, sizeof(s->etag));
	r = f3_stage_next_attempt(s);
	if (r)
		return r;
	gen = f3_stage_gen(s);
	f3_object_op_init(&op, F3_OBJ_SET_ATTR);
	op.key = s->key;
	op.attr = &s->attr.attr;
	op.gen = &gen;
	r = f3_stage_condition(s, &op, s->st->inode->volume->store->caps.put_match, false);
	if (!r)
		r = f3_stage_change(s, &op);
	if (!r)
		memcpy(s->new_etag, op.info.etag, sizeof(s->new_etag));
	f3_object_op_done(&op);
	return f3_stage_settle(s, r, &gen);
}

/* Where the store does not look what it copies parts of: was it the same object all the time? It was, if
 * it is now. */
static int check_source(struct f3_sending *s, const struct f3_upload *u)
{
	bool any = false, same;
	struct f3_obj_op op;
	int r;

	for (size_t i = 0; i < u->n_parts; i++)
		any |= u->parts[i].copy;
	if (!any || s->st->inode->volume->store->caps.part_copy_match)
		return 0;
	f3_object_op_init(&op, F3_OBJ_HEAD);
	op.key = s->key;
	op.want = F3_OBJ_WANT_OBJECT;
	r = f3_stage_request(s->st, &op);
	same = !r && !strcmp(op.info.etag, u->from);
	f3_object_op_done(&op);
	if (same)
		return 0;
	return r && r != -ENOENT ? r : f3_stage_settle(s, -ESTALE, &u->gen);
}

static int finish(struct f3_sending *s, struct f3_upload *u)
{
	struct f3_stage *st = s->st;
	bool same;
	int r = send_parts(s, u);

	if (r)
		return r;
	if (!s->frozen) {
		f3_lock(&st->inode->lock);
		same = f3_stage_same(st->core, st->inode, &s->snap);
		f3_unlock(&st->inode->lock);
		if (!same)
			return F3_STAGE_CHANGED;
	}
	r = check_source(s, u);
	/* That is what publishing it is. */
	if (!r && s->member)
		return 0;
	if (!r)
		r = complete(s, u);
	if (r == -EAGAIN || (r == -ESTALE && s->lost))
		f3_stage_upload_drop(st);
	if (r)
		return r;
	st->upload = NULL;
	r = correct_attr(s, u);
	f3_upload_free(u);
	return r;
}

/* What went up while the file was being written. */
static int take_early(struct f3_sending *s)
{
	struct f3_stage *st = s->st;
	struct f3_journal_entry *e = s->call->e;
	struct f3_batch *b;
	uint64_t seq = 0;
	struct f3_upload *u = f3_early_take(st->inode, &seq);
	int r;

	if (!u)
		return 0;
	st->upload = u;
	r = f3_batch_new(st->core->meta, &b);
	if (r)
		return r;
	snprintf(e->upload, sizeof(e->upload), "%s", u->id);
	/* Its number is used; it may have been given out after the one of the entry. */
	if (e->attempt < u->gen.attempt) {
		e->attempt = u->gen.attempt;
		st->attempted = true;
	}
	f3_batch_del_journal(b, seq);
	f3_batch_put_journal(b, e);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	return r;
}

static bool knows_parts(const struct f3_sending *s)
{
	bool knows;

	f3_lock(&s->st->inode->lock);
	knows = f3_sums_of(s->st->inode, s->etag) != NULL;
	f3_unlock(&s->st->inode->lock);
	return knows;
}

int f3_stage_upload(struct f3_sending *s)
{
	struct f3_stage *st = s->st;
	int r = 0;

	/* What it was prepared with before: most of it may be right still. */
	if (!st->upload && s->member)
		st->upload = f3_commitset_take_upload(st->inode);
	if (!st->upload)
		r = take_early(s);
	if (r)
		return r;
	if (st->upload && strcmp(st->upload->key, s->key) != 0)
		f3_stage_upload_drop(st);
	if (!st->upload)
		r = create(s, knows_parts(s));
	if (!r)
		r = schedule(s, st->upload);
	if (!r)
		r = finish(s, st->upload);
	/* Somebody has ended it, or what parts were to be copied from is no more. */
	if (r == -ENOENT && st->upload) {
		r = st->upload->copies ? f3_stage_settle(s, -ESTALE, &st->upload->gen) : -EAGAIN;
		f3_stage_upload_drop(st);
	}
	return r;
}

/* ---- Edits: what was not touched is copied inside the store ---- */

/* What may differ from the object: what is here (fetched or written), and all behind what is wanted
 * of it. */
static int plan(struct f3_sending *s, struct f3_plan_part **ret_parts, size_t *ret_n)
{
	struct f3_inode *inode = s->st->inode;
	struct f3_plan_range *changed = NULL;
	uint64_t old_size, new_size;
	size_t n = 0;
	int r = 0;

	f3_lock(&inode->lock);
	old_size = inode->rec.base_limit < inode->rec.store_size ? inode->rec.base_limit :
								   inode->rec.store_size;
	new_size = s->snap.size;
	if (!inode->extents) {
		r = F3_STAGE_CHANGED; /* complete by now */
	} else {
		n = inode->extents->n;
		changed = calloc(n + 1, sizeof(*changed));
		r = changed ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < n && !r; i++) {
		changed[i].off = inode->extents->v[i].off;
		changed[i].len = inode->extents->v[i].len;
	}
	f3_unlock(&inode->lock);
	if (!r)
		r = f3_plan_edit(old_size, new_size, changed, n, ret_parts, ret_n);
	free(changed);
	return r;
}

static int need(struct f3_sending *s, const struct f3_plan_part *part)
{
	struct f3_inode *inode = s->st->inode;
	struct f3_blocker b;
	int r;

	f3_blocker_init(&b);
	r = f3_fill_need(s->st->core, inode, part->off, part->len, &b.w);
	if (!r)
		r = f3_blocker_wait(&b);
	f3_blocker_done(&b);
	return r > 0 ? 0 : r;
}

static int take_plan(struct f3_upload *u, const char *etag, const struct f3_plan_part *parts,
		     size_t n)
{
	u->parts = calloc(n, sizeof(*u->parts));
	if (!u->parts)
		return -ENOMEM;
	u->n_parts = n;
	snprintf(u->from, sizeof(u->from), "%s", etag);
	for (size_t i = 0; i < n; i++) {
		u->parts[i].off = parts[i].off;
		u->parts[i].len = parts[i].len;
		u->parts[i].copy = parts[i].copy;
	}
	return 0;
}

int f3_stage_edit(struct f3_sending *s)
{
	struct f3_stage *st = s->st;
	const struct f3_obj_caps *caps = &st->inode->volume->store->caps;
	struct f3_plan_part *parts = NULL;
	size_t n = 0;
	int r = caps->range_part_copy && s->etag[0] ? plan(s, &parts, &n) : 0;

	/* Small, or not worth it: complete here it is sent as a whole in the next round. */
	if (!r && !n) {
		r = f3_fill_whole(st->core, st->inode);
		if (!r)
			r = F3_STAGE_CHANGED;
	}
	for (size_t i = 0; i < n && !r; i++)
		if (!parts[i].copy)
			r = need(s, &parts[i]);
	if (!r) {
		f3_stage_upload_drop(st);
		r = create(s, true);
	}
	if (!r)
		r = take_plan(st->upload, s->etag, parts, n);
	free(parts);
	if (!r)
		r = finish(s, st->upload);
	/* Copies are of the object as it was: the next attempt plans anew. */
	if (r && st->upload)
		f3_stage_upload_drop(st);
	return r == -ENOENT ? -ESTALE : r;
}
