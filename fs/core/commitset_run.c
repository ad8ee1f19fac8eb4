/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commitset_run: from the end of an activation to the record of its outputs.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/core/commitset_impl.h"
#include "fs/core/leftover.h"
#include "fs/core/store_op.h"

/* Commits under way at once. */
#define AT_ONCE 256u
/* Members that change meanwhile are prepared again. */
#define TRIES 3

/* ---- Preparing ---- */

/* An upload is for one key; its file may have got another one with its directory. */
static int check_key(struct f3_commitset *set, struct f3_inode *inode)
{
	char key[F3_KEY_MAX + 1], id[F3_OBJ_UPLOAD_MAX + 1] = "", was[F3_KEY_MAX + 1];
	struct f3_batch *b;
	int r = f3_inode_key(set->core, inode->ino, key, sizeof(key));

	if (r)
		return r == -ENOENT ? 0 : r;
	r = f3_batch_new(set->core->meta, &b);
	if (r)
		return r;
	f3_lock(&inode->lock);
	if (inode->member && inode->member->p.upload &&
	    strcmp(inode->member->p.upload->key, key) != 0) {
		memcpy(id, inode->member->p.upload->id, sizeof(id));
		memcpy(was, inode->member->p.upload->key, sizeof(was));
		f3_set_note_del_member(b, set, inode->ino, &inode->member->p);
		f3_set_note_member(b, set, inode->ino, NULL);
		r = f3_batch_commit(b);
		if (!r)
			f3_prepared_done(&inode->member->p);
	}
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	if (!r && id[0])
		f3_leftover_abort(set->volume, was, id);
	return r;
}

/* All have what they are now in the store. */
static int prepare_some(struct f3_commitset *set, struct f3_inode **inodes, size_t n)
{
	struct f3_blocker *w = calloc(n, sizeof(*w));
	int first = 0;

	if (!w)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int r = set->core->stopping ? -ESHUTDOWN : check_key(set, inodes[i]);

		f3_blocker_init(&w[i]);
		if (!r)
			r = f3_stage_commit(set->core, inodes[i], &w[i].w);
		if (r == 1)
			w[i].w.len = 1; /* it will be called */
		else if (r && !first)
			first = r;
	}
	for (size_t i = 0; i < n; i++) {
		int r = w[i].w.len ? f3_blocker_wait(&w[i]) : 0;

		if (r && !first)
			first = r;
		f3_blocker_done(&w[i]);
	}
	free(w);
	return first;
}

static int prepare(struct f3_commitset *set)
{
	struct f3_inode **inodes;
	size_t n;
	int r = f3_commitset_inodes(set, &inodes, &n);

	if (r)
		return r;
	for (size_t i = 0; i < n && !r; i += AT_ONCE)
		r = prepare_some(set, inodes + i, n - i < AT_ONCE ? n - i : AT_ONCE);
	for (size_t i = 0; i < n; i++)
		f3_inode_put(set->core, inodes[i]);
	free(inodes);
	return r;
}

/* ---- The record ---- */

/* What the set removes under the key that a member takes is what that one replaces. */
static int take_left(struct f3_commitset *set, struct f3_inode *inode, const char *key)
{
	struct f3_member_left *left;
	struct f3_batch *b;
	int r = 0;

	TAILQ_FOREACH(left, &set->left, of_set)
		if (left->etag[0] && !strcmp(left->key, key))
			break;
	if (!left)
		return 0;
	r = f3_batch_new(set->core->meta, &b);
	if (r)
		return r;
	f3_lock(&inode->lock);
	if (!inode->rec.etag[0])
		memcpy(inode->rec.etag, left->etag, sizeof(inode->rec.etag));
	f3_batch_put_inode(b, &inode->rec);
	if (left->upload[0]) {
		left->etag[0] = '\0';
		f3_set_note_left(b, left);
	} else {
		f3_set_note_del_left(b, left);
	}
	r = f3_batch_commit(b);
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	if (r)
		return r;
	set->core->commitsets->n_left--;
	if (left->upload[0])
		return 0;
	f3_lock(&set->lock);
	TAILQ_REMOVE(&set->left, left, of_set);
	f3_unlock(&set->lock);
	f3_member_left_free(left);
	return 0;
}

/* 1: it has changed since it was prepared. */
static int describe_one(struct f3_commitset *set, struct f3_inode *inode,
			struct f3_commit_item *item, struct f3_buf *text)
{
	char key[F3_KEY_MAX + 1];
	bool dirty, valid;
	int r = f3_inode_key(set->core, inode->ino, key, sizeof(key));

	if (r)
		return r == -ENOENT ? 0 : r;
	f3_lock(&inode->lock);
	valid = inode->member && inode->member->p.valid;
	/* Whoever goes on writing has what was prepared published. */
	dirty = f3_stage_dirty(set->core, inode) &&
		(!valid || inode->rec.state != F3_STATE_WRITING);
	if (valid && inode->member->p.upload)
		dirty |= strcmp(inode->member->p.upload->key, key) != 0;
	f3_unlock(&inode->lock);
	if (dirty)
		return 1;
	if (!valid)
		return 0; /* not changed at all */
	r = take_left(set, inode, key);
	if (!r)
		r = f3_commit_item_of(inode, item);
	if (!r)
		f3_commit_text_item(text, item);
	f3_commit_item_done(item);
	return r;
}

/* 1: something has changed. */
static int describe(struct f3_commitset *set, struct f3_buf *text)
{
	struct f3_commit_head *head = calloc(1, sizeof(*head));
	struct f3_commit_item *item = calloc(1, sizeof(*item));
	struct f3_member_left *left;
	struct f3_inode **inodes = NULL;
	size_t n = 0;
	int r = head && item ? f3_commitset_inodes(set, &inodes, &n) : -ENOMEM;

	if (!r) {
		head->id = set->id;
		memcpy(head->act, set->act, sizeof(head->act));
		memcpy(head->key, set->key, sizeof(head->key));
		f3_commit_text_head(text, head);
	}
	for (size_t i = 0; i < n; i++) {
		if (!r)
			r = describe_one(set, inodes[i], item, text);
		f3_inode_put(set->core, inodes[i]);
	}
	free(inodes);
	if (!r) {
		TAILQ_FOREACH(left, &set->left, of_set) {
			if (!left->etag[0])
				continue;
			item->kind = F3_COMMIT_DELETE;
			memcpy(item->key, left->key, sizeof(item->key));
			memcpy(item->etag, left->etag, sizeof(item->etag));
			f3_commit_text_item(text, item);
		}
		f3_commit_text_end(text);
	}
	free(item);
	free(head);
	return r ? r : text->error == -EMSGSIZE ? -EFBIG : text->error;
}

/* ---- Deciding ---- */

/* From here on nothing changes the set but the record. */
static int close_set(struct f3_commitset *set)
{
	struct f3_commitsets *all = set->core->commitsets;
	struct f3_blocker w;
	int r;

	f3_lock(&all->lock);
	f3_lock(&set->lock);
	set->state = F3_SET_COMMITTING;
	f3_unlock(&set->lock);
	f3_unlock(&all->lock);
	for (;;) {
		bool calm;

		f3_blocker_init(&w);
		f3_lock(&all->lock);
		f3_lock(&set->lock);
		calm = (!set->changing && !all->dirs_changing) || all->stopping;
		if (!calm)
			f3_waiter_add(&set->calm, &w.w);
		f3_unlock(&set->lock);
		f3_unlock(&all->lock);
		r = calm ? 0 : f3_blocker_wait(&w);
		f3_blocker_done(&w);
		if (calm || r)
			break;
	}
	if (!r && set->core->stopping)
		r = -ESHUTDOWN;
	return r;
}

static void set_state(struct f3_commitset *set, enum f3_set_state state)
{
	f3_lock(&set->lock);
	set->state = state;
	f3_unlock(&set->lock);
	f3_commitset_wake(set);
}

/* 1: something changed, again. Decided: the state says how; else it is OPEN, or COMMITTING if nobody
 * knows. */
static int try_once(struct f3_commitset *set)
{
	struct f3_buf text;
	int r = prepare(set);

	if (r)
		return r;
	f3_debug_point("commit.prepared");
	r = close_set(set);
	f3_buf_init(&text, F3_COMMIT_TEXT_MAX);
	if (!r)
		r = describe(set, &text);
	if (!r) {
		f3_lock(&set->lock);
		set->attempt++;
		f3_unlock(&set->lock);
		r = f3_commitset_note(set);
	}
	if (r) {
		f3_buf_done(&text);
		set_state(set, F3_SET_OPEN);
		return r;
	}
	r = f3_commitset_write(set, &text, F3_COMMIT_GEN_DONE);
	f3_buf_done(&text);
	if (r == F3_OBJ_AMBIGUOUS)
		return r;
	if (r == -EALREADY || r == -EEXIST) {
		f3_lock(&set->lock);
		set->want_drop = true;
		f3_unlock(&set->lock);
	}
	if (r) {
		set_state(set, F3_SET_OPEN);
		return r;
	}
	set_state(set, F3_SET_COMMITTED);
	/* If this is lost the next start finds the record. */
	(void)f3_commitset_note(set);
	return 0;
}

static void go_on(struct f3_commitset *set)
{
	if (f3_workq_push(set->volume->stages->q, &set->work))
		(void)f3_timer_arm(&set->timer, f3_clock_mono_ns() + F3_NS_PER_SEC);
}

static int decide(struct f3_commitset *set, struct f3_err *err)
{
	int r = 1;

	if (set->volume->store && !set->volume->store->unmet)
		for (int tries = 0; r == 1 && tries < TRIES; tries++)
			r = try_once(set);
	else
		r = -EIO;
	if (r == -EEXIST) {
		f3_log_info("activation %s: another run of the same work has published; what this "
			    "one wrote is dropped",
			    set->act);
		r = 0;
	}
	if (r == 1)
		r = f3_err_set(err, -EBUSY,
			       "outputs of activation %s are changed again and again while it is "
			       "being committed",
			       set->act);
	else if (r)
		r = f3_err_set(err, f3_store_errno(r),
			       "the outputs of activation %s cannot be committed: %s", set->act,
			       f3_errno_name(r));
	return r;
}

/* Until it is at its end. Set lock held, let go of. */
static int wait_end(struct f3_commitset *set)
{
	struct f3_blocker w;
	int r;

	if (set->core->commitsets->stopping) {
		f3_unlock(&set->lock);
		return -ESHUTDOWN;
	}
	f3_blocker_init(&w);
	f3_waiter_add(&set->ends, &w.w);
	f3_unlock(&set->lock);
	r = f3_blocker_wait(&w);
	f3_blocker_done(&w);
	return r;
}

/* Nobody else decides; or it is decided. Set lock held. */
static int take_turn(struct f3_commitset *set)
{
	while (set->busy && (set->state == F3_SET_OPEN || set->state == F3_SET_COMMITTING)) {
		struct f3_blocker w;
		int r;

		if (set->core->commitsets->stopping)
			return -ESHUTDOWN;
		f3_blocker_init(&w);
		f3_waiter_add(&set->calm, &w.w);
		f3_unlock(&set->lock);
		r = f3_blocker_wait(&w);
		f3_blocker_done(&w);
		f3_lock(&set->lock);
		if (r)
			return r;
	}
	return 0;
}

int f3_commitset_publish(struct f3_commitset *set, struct f3_err *err)
{
	enum f3_set_state state;
	bool mine, dropped;
	int r;

	f3_lock(&set->lock);
	r = take_turn(set);
	mine = !r && set->state == F3_SET_OPEN && !set->want_drop;
	if (mine)
		set->busy = true;
	state = set->state;
	dropped = set->dropped;
	f3_unlock(&set->lock);
	if (r)
		return f3_err_set(err, r, "activation %s cannot be committed: %s", set->act,
				  f3_errno_name(r));
	if (mine) {
		r = decide(set, err);
		f3_lock(&set->lock);
		state = set->state;
		/* What is decided, or nobody knows of, goes on in the background. */
		mine = state != F3_SET_OPEN || set->want_drop;
		set->busy = mine;
		f3_unlock(&set->lock);
		f3_commitset_wake(set);
		if (mine)
			go_on(set);
		if (r)
			return r;
	} else if (dropped || state == F3_SET_OPEN) {
		return f3_err_set(err, -EALREADY, "the outputs of activation %s were dropped",
				  set->act);
	}
	if (!set->sync)
		return 0;
	f3_lock(&set->lock);
	if (set->state == F3_SET_GONE) {
		f3_unlock(&set->lock);
		return 0;
	}
	r = wait_end(set);
	return r ? f3_err_set(err, r,
			      "the outputs of activation %s are committed and not published yet: "
			      "%s",
			      set->act, f3_errno_name(r)) :
		   0;
}

int f3_commitset_drop(struct f3_commitset *set)
{
	int r;

	f3_lock(&set->lock);
	r = take_turn(set);
	if (!r && (set->state == F3_SET_COMMITTED || (set->state == F3_SET_GONE && !set->dropped)))
		r = -EALREADY;
	if (r || set->state != F3_SET_OPEN) {
		f3_unlock(&set->lock);
		return r;
	}
	set->want_drop = true;
	set->busy = true;
	/* Without a record that could come late it is decided here. */
	if (!set->attempt) {
		set->state = F3_SET_DROPPED;
		set->dropped = true;
	}
	f3_unlock(&set->lock);
	if (!set->attempt) {
		r = f3_commitset_note(set);
		f3_debug_point("commit.dropped");
		if (!r)
			r = f3_commitset_withdraw(set);
	}
	go_on(set);
	return r;
}
