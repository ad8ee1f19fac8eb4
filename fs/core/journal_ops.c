/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_ops: what the journal's entries about names ask of the store.
 *
 * Each may run again after a crash or an answer that was lost: before anything is said to have
 * failed, the store is asked whether it was done by us, which the generation in the object tells.
 */
#include "config.h"

#include "fs/core/journal_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/core/escape.h"
#include "fs/core/file.h"
#include "fs/core/namespace.h"
#include "fs/core/store_attr.h"
#include "fs/core/store_op.h"

/* ---- Common ---- */

static struct f3_obj_gen gen_of(const struct f3_journal_entry *e)
{
	return (struct f3_obj_gen){ .id = e->id,
				    .generation = e->generation,
				    .attempt = e->attempt };
}

static void keep_message(struct f3_journal_call *call, const struct f3_obj_op *op)
{
	snprintf(call->message, sizeof(call->message), "%s", op->message);
}

/* Runs it, keeps what the store said, frees its results. */
static int run(struct f3_journal_call *call, struct f3_obj_op *op)
{
	int r = f3_store_run(call->volume, op);

	keep_message(call, op);
	return r;
}

struct seen {
	bool ours; /* made by this entry's file */
	bool is_dir, have_gen;
	struct f3_obj_gen gen;
	char etag[F3_OBJ_ETAG_MAX + 1];
};

/* What is there under the key now. */
static int look(struct f3_journal_call *call, const char *key, enum f3_obj_want want,
		struct seen *ret_seen)
{
	struct f3_obj_op op;
	int r = f3_store_head(call->volume, &op, key, want);

	if (!r) {
		ret_seen->ours = op.info.have_gen && f3_id_equal(&op.info.gen.id, &call->e->id);
		ret_seen->is_dir = op.info.is_dir;
		ret_seen->have_gen = op.info.have_gen;
		ret_seen->gen = op.info.gen;
		memcpy(ret_seen->etag, op.info.etag, sizeof(ret_seen->etag));
	} else {
		keep_message(call, &op);
	}
	f3_object_op_done(&op);
	return r;
}

/* The record of the result: of the inode, if it is there still, and of the entry's end. */
static int record(struct f3_journal_call *call, void (*fn)(struct f3_inode *inode, const void *arg),
		  const void *arg)
{
	struct f3_inode *inode = NULL;
	struct f3_batch *b;
	int r = f3_batch_new(call->core->meta, &b);

	if (!r && fn) {
		r = f3_inode_get(call->core, call->e->ino, &inode);
		if (r == -ENOENT || r == -ESTALE)
			r = 0;
	}
	if (!r && !call->hold)
		f3_batch_del_journal(b, call->e->seq);
	if (!r && inode)
		f3_lock(&inode->lock);
	if (!r && inode && !inode->dead) {
		fn(inode, arg);
		f3_batch_put_inode(b, &inode->rec);
	}
	if (!r)
		r = f3_batch_commit(b);
	if (inode)
		f3_unlock(&inode->lock);
	f3_batch_free(b);
	f3_inode_put(call->core, inode);
	return r;
}

/* A listing that was begun before this may still show what is gone now. */
static void names_went(struct f3_journal_call *call, uint64_t dir)
{
	struct f3_inode *inode = dir ? f3_inode_peek(call->core, dir) : NULL;

	if (!inode)
		return;
	f3_lock(&inode->lock);
	inode->gone_mono_ns = f3_clock_mono_ns();
	f3_unlock(&inode->lock);
	f3_inode_put(call->core, inode);
}

/* ---- MKDIR, RMDIR ---- */

static void marker_made(struct f3_inode *inode, const void *arg)
{
	const struct f3_obj_info *info = arg;

	inode->rec.flags |= F3_INO_MARKER;
	inode->rec.flags &= ~(uint32_t)F3_INO_IMPLICIT;
	snprintf(inode->rec.etag, sizeof(inode->rec.etag), "%s", info->etag);
	inode->checked_mono_ns = f3_clock_mono_ns();
}

static int take_attr(struct f3_journal_call *call, struct f3_inode *inode,
		     struct f3_store_attr *ret_a)
{
	int r;

	f3_lock(&inode->lock);
	r = inode->dead ? -ECANCELED : f3_store_attr_take(call->core, inode, ret_a);
	f3_unlock(&inode->lock);
	return r;
}

static int send_marker(struct f3_journal_call *call, struct f3_inode *inode)
{
	struct f3_obj_gen gen = gen_of(call->e);
	struct f3_store_attr a;
	struct f3_obj_op op;
	struct seen seen;
	char key[F3_KEY_MAX + 1];
	int r = f3_journal_key(call->volume, inode->ino, key);

	if (!r)
		r = take_attr(call, inode, &a);
	if (r)
		return r == -ENOENT ? -ECANCELED : r;
	f3_object_op_init(&op, F3_OBJ_MKDIR);
	op.key = key;
	op.cond = F3_OBJ_ABSENT;
	op.attr = &a.attr;
	op.gen = &gen;
	r = run(call, &op);
	if (r == F3_OBJ_AMBIGUOUS || r == -EEXIST) {
		int h = look(call, key, F3_OBJ_WANT_DIR, &seen);

		/* Of somebody else: mkdir(2) says so while it still can; later there are two that
		 * made one directory. */
		if (!h && (seen.ours || (r == -EEXIST && call->acked))) {
			memcpy(op.info.etag, seen.etag, sizeof(op.info.etag));
			r = 0;
		} else if (h && h != -ENOENT) {
			r = h;
		}
	}
	if (!r)
		r = record(call, marker_made, &op.info);
	f3_object_op_done(&op);
	f3_store_attr_done(&a);
	return r;
}

static int carry_mkdir(struct f3_journal_call *call)
{
	struct f3_inode *inode;
	int r = f3_inode_get(call->core, call->e->ino, &inode);

	if (!r) {
		r = send_marker(call, inode);
		f3_inode_put(call->core, inode);
	} else if (r == -ENOENT || r == -ESTALE) {
		r = -ECANCELED;
	}
	return r == -ECANCELED ? record(call, NULL, NULL) : r;
}

static int carry_rmdir(struct f3_journal_call *call)
{
	struct f3_obj_op op;
	struct seen seen;
	int r;

	f3_object_op_init(&op, F3_OBJ_RMDIR);
	op.key = call->e->key;
	r = run(call, &op);
	f3_object_op_done(&op);
	if (r == F3_OBJ_AMBIGUOUS) {
		int h = look(call, call->e->key, F3_OBJ_WANT_DIR, &seen);

		if (h == -ENOENT)
			r = 0;
		else if (h)
			r = h;
	}
	/* Others have put something into it meanwhile: then it is theirs, and shows up again. */
	if (r == -ENOTEMPTY && call->acked) {
		f3_log_warn(
			"volume %s: directory %s was removed here but holds objects of others in the "
			"store; it stays there",
			call->volume->name, call->e->key);
		r = 0;
	}
	if (r)
		return r;
	names_went(call, call->e->dir1);
	return record(call, NULL, NULL);
}

/* ---- DELETE ---- */

/* Deletes the object if it still is the one with this etag. -ESTALE: it is not. */
static int delete_if(struct f3_journal_call *call, const char *key, const char *etag)
{
	const struct f3_obj_caps *caps = &call->volume->store->caps;
	struct f3_obj_op op;
	struct seen seen;
	int r;

	if (!caps->delete_match) {
		/* As near as this store lets us come. */
		r = look(call, key, F3_OBJ_WANT_OBJECT, &seen);
		if (r)
			return r == -ENOENT ? 0 : r;
		if (strcmp(seen.etag, etag) != 0)
			return -ESTALE;
	}
	f3_object_op_init(&op, F3_OBJ_DELETE);
	op.key = key;
	if (caps->delete_match) {
		op.cond = F3_OBJ_MATCH;
		op.etag = etag;
	}
	r = run(call, &op);
	f3_object_op_done(&op);
	return r;
}

/* The object under the key, as far as it is one of ours; what others have put there stays. */
static int delete_ours(struct f3_journal_call *call, const char *key, const char *etag)
{
	struct seen seen;
	int r = *etag ? delete_if(call, key, etag) : -ESTALE;

	if (r != -ESTALE && r != F3_OBJ_AMBIGUOUS)
		return r;
	r = look(call, key, F3_OBJ_WANT_OBJECT, &seen);
	if (r == -ENOENT)
		return 0;
	if (r)
		return r;
	if (!seen.ours && strcmp(seen.etag, etag) != 0)
		return 0;
	r = delete_if(call, key, seen.etag);
	return r == -ESTALE || r == F3_OBJ_AMBIGUOUS ? -EAGAIN : r;
}

static int carry_delete(struct f3_journal_call *call)
{
	int r;

	if (!call->volume->store)
		return -EIO;
	r = delete_ours(call, call->e->key, call->e->etag);
	if (r)
		return r;
	names_went(call, call->e->dir1);
	return record(call, NULL, NULL);
}

/* ---- RENAME ---- */

static void renamed(struct f3_inode *inode, const void *arg)
{
	const struct f3_obj_info *info = arg;

	snprintf(inode->rec.etag, sizeof(inode->rec.etag), "%s", info->etag);
	inode->maybe_stored = false;
	inode->checked_mono_ns = f3_clock_mono_ns();
}

/* One operation of the store. */
static int rename_inside(struct f3_journal_call *call, struct f3_obj_info *ret_info)
{
	struct f3_journal_entry *e = call->e;
	struct f3_obj_gen gen = gen_of(e);
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_RENAME);
	op.key = e->key;
	op.key2 = e->key2;
	op.gen = e->type == F3_JOURNAL_RENAME ? &gen : NULL;
	op.cond = e->flags & F3_JOURNAL_EXCLUSIVE ? F3_OBJ_ABSENT : F3_OBJ_ANY;
	op.etag2 = e->etag[0] && e->type == F3_JOURNAL_RENAME ? e->etag : NULL;
	r = run(call, &op);
	if (!r)
		*ret_info = op.info;
	f3_object_op_done(&op);
	return r;
}

/* Copy, then delete: both may show, never neither. */
static int rename_by_copy(struct f3_journal_call *call, struct f3_obj_info *ret_info)
{
	const struct f3_obj_caps *caps = &call->volume->store->caps;
	struct f3_journal_entry *e = call->e;
	struct f3_obj_gen gen = gen_of(e);
	bool exclusive = e->flags & F3_JOURNAL_EXCLUSIVE;
	struct f3_obj_op op;
	struct seen seen;
	int r;

	if (exclusive && !caps->copy_target_absent) {
		r = look(call, e->key2, F3_OBJ_WANT_ANY, &seen);
		if (!r && !seen.ours)
			return -EEXIST;
		if (r && r != -ENOENT)
			return r;
	}
	f3_object_op_init(&op, F3_OBJ_COPY);
	op.key = e->key;
	op.key2 = e->key2;
	op.gen = &gen;
	if (exclusive && caps->copy_target_absent)
		op.cond = F3_OBJ_ABSENT;
	op.etag2 = e->etag[0] && caps->copy_source_match ? e->etag : NULL;
	r = run(call, &op);
	if (!r)
		*ret_info = op.info;
	f3_object_op_done(&op);
	return r ? r : delete_ours(call, e->key, e->etag);
}

/* No clear answer, or the source is not there (any more): was it done before? */
static int rename_settle(struct f3_journal_call *call, int r, struct f3_obj_info *ret_info)
{
	struct f3_journal_entry *e = call->e;
	enum f3_obj_want want = e->type == F3_JOURNAL_RENAME ? F3_OBJ_WANT_OBJECT : F3_OBJ_WANT_DIR;
	struct seen from, to;
	int h = look(call, e->key2, want, &to), g;

	if (h && h != -ENOENT)
		return h;
	g = look(call, e->key, want, &from);
	if (g && g != -ENOENT)
		return g;
	if (!h && to.ours) {
		snprintf(ret_info->etag, sizeof(ret_info->etag), "%s", to.etag);
		return g ? 0 : delete_ours(call, e->key, e->etag);
	}
	/* A directory that others made has no mark: it is there and not here any more. */
	if (!h && g == -ENOENT && to.is_dir && call->tried) {
		snprintf(ret_info->etag, sizeof(ret_info->etag), "%s", to.etag);
		return 0;
	}
	if (g == -ENOENT)
		return -ENOENT;
	if (r == -ESTALE && from.ours) {
		/* Its attributes were changed by us since. */
		snprintf(e->etag, sizeof(e->etag), "%s", from.etag);
		return -EAGAIN;
	}
	return r == F3_OBJ_AMBIGUOUS ? -EAGAIN : r;
}

/* Somebody else has removed or replaced it: nothing of ours is there to be renamed. The next look at
 * the directories shows what is. */
static void log_gone(struct f3_journal_call *call)
{
	struct f3_inode *inode;
	bool dead;

	/* Not known to be there in the first place. */
	if (call->e->type == F3_JOURNAL_RENAME && !call->e->etag[0])
		return;
	/* Removed here since, and so perhaps never told to the store. */
	if (f3_inode_get(call->core, call->e->ino, &inode))
		return;
	f3_lock(&inode->lock);
	dead = inode->dead || !inode->rec.nlink;
	f3_unlock(&inode->lock);
	f3_inode_put(call->core, inode);
	if (dead)
		return;
	f3_log_warn("volume %s: %s was changed by others before it could be renamed to %s",
		    call->volume->name, call->e->key, call->e->key2);
}

/* An answer was lost of the commit that may have made the object: what others have there instead
 * stays. */
static int know_source(struct f3_journal_call *call)
{
	struct f3_journal_entry *e = call->e;
	struct seen from;
	int r;

	if (e->etag[0])
		return 0;
	r = look(call, e->key, F3_OBJ_WANT_OBJECT, &from);
	if (r)
		return r;
	if (!from.ours)
		return -ENOENT;
	snprintf(e->etag, sizeof(e->etag), "%s", from.etag);
	return 0;
}

/* Another file may have replaced the renamed one before the store had heard of that, and goes on as
 * the same (take_over in ns_rename.c): its first PUT is conditional on the object, which has another
 * etag from now on. If it has moved on, its own entry finds the object by its mark. */
static int pass_on(struct f3_journal_call *call, const struct f3_obj_info *info)
{
	const struct f3_journal_entry *e = call->e;
	const char *object = strrchr(e->key2, '/');
	struct f3_lock *names = f3_names_lock(call->core, e->dir2);
	struct f3_inode *inode = NULL;
	char name[F3_NAME_MAX + 1];
	struct f3_meta_name found;
	struct f3_batch *b;
	int r;

	object = object ? object + 1 : e->key2;
	if (f3_escape_name(object, strlen(object), false, name))
		return 0;
	r = f3_batch_new(call->core->meta, &b);
	if (r)
		return r;
	f3_lock(names);
	r = f3_meta_get_name(call->core->meta, e->dir2, name, strlen(name), &found);
	if (!r && found.ino != e->ino)
		r = f3_inode_get(call->core, found.ino, &inode);
	if (inode) {
		f3_lock(&inode->lock);
		if (f3_file_in_store(&inode->rec) && f3_id_equal(&inode->rec.id, &e->id)) {
			renamed(inode, info);
			f3_batch_put_inode(b, &inode->rec);
			r = f3_batch_commit(b);
		}
		f3_unlock(&inode->lock);
	}
	f3_unlock(names);
	f3_batch_free(b);
	f3_inode_put(call->core, inode);
	return r == -ENOENT || r == -ESTALE ? 0 : r;
}

static int carry_rename(struct f3_journal_call *call)
{
	struct f3_obj_info info = { .size = 0 };
	int r;

	if (!call->volume->store)
		return -EIO;
	for (int tries = 0;; tries++) {
		r = know_source(call);
		if (!r)
			r = call->volume->store->caps.rename ? rename_inside(call, &info) :
							       rename_by_copy(call, &info);
		if (r == F3_OBJ_AMBIGUOUS || r == -ENOENT || r == -ESTALE ||
		    (r == -EEXIST && call->tried))
			r = rename_settle(call, r, &info);
		if (r != -EAGAIN || tries == 2)
			break;
		call->tried = true;
	}
	if ((r == -ENOENT || r == -ESTALE) && call->acked) {
		log_gone(call);
		names_went(call, call->e->dir1);
		return record(call, NULL, NULL);
	}
	if (!r)
		r = pass_on(call, &info);
	if (r)
		return r;
	names_went(call, call->e->dir1);
	return record(call, renamed, &info);
}

/* ---- RENAME_DIR ---- */

static int carry_rename_dir(struct f3_journal_call *call)
{
	struct f3_obj_info info = { .size = 0 };
	int r;

	if (!call->volume->store)
		return -EIO;
	if (call->volume->store->caps.rename) {
		r = rename_inside(call, &info);
		if (r == F3_OBJ_AMBIGUOUS)
			call->tried = true;
		if (r == F3_OBJ_AMBIGUOUS || r == -ENOENT)
			r = rename_settle(call, r, &info);
		/* Others have put something under the new name: what is ours joins it. */
		if ((r == -ENOTEMPTY || r == -EEXIST) && call->acked)
			r = f3_journal_move_tree(call, &info);
	} else {
		r = f3_journal_move_tree(call, &info);
	}
	if (r == -ENOENT && call->acked) {
		log_gone(call);
		names_went(call, call->e->dir1);
		return record(call, NULL, NULL);
	}
	if (!r)
		r = pass_on(call, &info);
	if (r)
		return r;
	names_went(call, call->e->dir1);
	return record(call, renamed, &info);
}

int f3_journal_carry_out(struct f3_journal_call *call)
{
	switch (call->e->type) {
	case F3_JOURNAL_MKDIR:
		return carry_mkdir(call);
	case F3_JOURNAL_RMDIR:
		return carry_rmdir(call);
	case F3_JOURNAL_DELETE:
		return carry_delete(call);
	case F3_JOURNAL_RENAME:
		return carry_rename(call);
	case F3_JOURNAL_RENAME_DIR:
		return carry_rename_dir(call);
	default:
		return -EINVAL;
	}
}
