/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_tree: a directory of the store gets another name by copies.
 *
 * One thread walks what is there under the old name, and starts up to MOVERS objects on their way:
 * copy, note the copy's ETag in the record of the file here, delete. Markers are made before what is
 * below them, and go after it, when the last of their directory has arrived.
 *
 * Nothing is remembered of how far it came: whatever still has the old name is still to be moved, and
 * a copy that is there already is known by the generation it shares with its source, so that it is not
 * made again and has the ETag that was noted. So it may end anywhere, by kill -9 too, and be begun
 * again. An object that others change on the way is left to the next round, which sees what there is.
 *
 * Answers come on threads of the store and only say that they are there; what follows from them is
 * done by the thread that walks. Lock: that of the tree, rank F3_RANK_QUEUE.
 */
#include "config.h"

#include "fs/core/journal_impl.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/crc32c.h"
#include "fs/core/escape.h"
#include "fs/core/file.h"
#include "fs/core/leftover.h"
#include "fs/core/namespace.h"
#include "fs/core/store_op.h"

#define MOVERS 16u
#define ROUNDS 16
#define DEPTH_MAX 512 /* components of a key: more cannot be in 1024 bytes */

/* One that is walked, or waits for what is below it. */
struct tree_dir {
	struct tree_dir *parent;
	size_t pending; /* the walk, objects on their way, directories below */
	bool kept; /* something is left in it */
	uint64_t ino; /* here; 0: not known */
	struct f3_obj_op op; /* of the walk */
	char from[F3_KEY_MAX + 1], to[F3_KEY_MAX + 1];
	char cursor[F3_OBJ_CURSOR_MAX + 1];
};

enum step {
	STEP_LOOK, /* what the listing did not say of the source */
	STEP_LOOK_COPY, /* of an attempt before this one */
	STEP_COPY,
	STEP_LOOK_AGAIN, /* is it still the one that was copied? Where DELETE does not ask. */
	STEP_DELETE,
	STEP_RMDIR,
};

/* An object on its way, or a directory that goes. */
struct mover {
	struct tree *tree;
	struct tree_dir *dir; /* it is in; RMDIR: it is */
	bool used;
	bool answered; /* lock */
	enum step step;
	struct f3_obj_op op;
	uint64_t start_ns;
	struct f3_obj_gen gen;
	uint64_t size;
	uint64_t begun; /* record of the copy, if it is made in parts */
	char from[F3_KEY_MAX + 1], to[F3_KEY_MAX + 1];
	char etag[F3_OBJ_ETAG_MAX + 1];
};

struct tree {
	struct f3_journal_call *call;
	struct f3_lock lock;
	pthread_cond_t cond;
	int error; /* the first that ends it all */
	bool again; /* something is left for another round */
	unsigned n, used;
	struct mover movers[];
};

/* ---- Requests ---- */

static void answered(struct f3_obj_op *op)
{
	struct mover *m = op->owner;
	struct tree *t = m->tree;

	f3_store_counted(op, m->start_ns);
	f3_lock(&t->lock);
	m->answered = true;
	pthread_cond_signal(&t->cond);
	f3_unlock(&t->lock);
}

static void begin(struct mover *m, enum f3_obj_type type, enum step step)
{
	f3_object_op_done(&m->op);
	f3_object_op_init(&m->op, type);
	m->op.key = m->from;
	m->op.want = F3_OBJ_WANT_OBJECT;
	m->step = step;
}

static int submit(struct mover *m)
{
	m->op.owner = m;
	m->op.done = answered;
	m->start_ns = f3_clock_mono_ns();
	f3_store_submit(m->tree->call->volume, &m->op);
	return 1;
}

/* By the thread that walks. */
static int ask(struct tree *t, struct f3_obj_op *op)
{
	int r = f3_store_run(t->call->volume, op);

	if (r)
		snprintf(t->call->message, sizeof(t->call->message), "%s", op->message);
	return r;
}

/* ---- One object. 1: there is an answer to come; else its end. ---- */

static int send_copy(struct mover *m)
{
	begin(m, F3_OBJ_COPY, STEP_COPY);
	m->op.key2 = m->to;
	m->op.gen = &m->gen;
	if (m->tree->call->volume->store->caps.copy_source_match)
		m->op.etag2 = m->etag;
	return submit(m);
}

static int copy_or_look(struct mover *m, const struct f3_obj_info *info)
{
	const struct f3_journal_entry *e = m->tree->call->e;

	m->size = info->size;
	m->gen = info->gen;
	/* The same in every attempt, and another one for what others put in its place. */
	if (!info->have_gen)
		m->gen = (struct f3_obj_gen){ .id = e->id,
					      .generation = e->generation,
					      .attempt = f3_crc32c(0, m->etag, strlen(m->etag)) };
	if (!m->tree->call->tried)
		return send_copy(m);
	begin(m, F3_OBJ_HEAD, STEP_LOOK_COPY);
	m->op.key = m->to;
	return submit(m);
}

static int send_delete(struct mover *m, bool match)
{
	begin(m, F3_OBJ_DELETE, STEP_DELETE);
	if (match) {
		m->op.cond = F3_OBJ_MATCH;
		m->op.etag = m->etag;
	}
	return submit(m);
}

/* The file here has the copy's etag from now on; its name is still under the old directory. 1: it
 * had that of the source. */
static int adopt_as(struct mover *m, const char *name, const char *etag)
{
	struct f3_core *core = m->tree->call->core;
	uint64_t dir = m->dir->ino;
	struct f3_meta_name found;
	struct f3_inode *inode;
	struct f3_batch *b;
	int r;

	if (!dir || f3_meta_get_name(core->meta, dir, name, strlen(name), &found))
		return 0;
	r = f3_inode_get(core, found.ino, &inode);
	if (r)
		return r == -ENOENT ? 0 : r;
	r = f3_batch_new(core->meta, &b);
	if (!r) {
		f3_lock(&inode->lock);
		if (!strcmp(inode->rec.etag, m->etag)) {
			snprintf(inode->rec.etag, sizeof(inode->rec.etag), "%s", etag);
			inode->rec.modified_ns = 0;
			inode->checked_mono_ns = f3_clock_mono_ns();
			f3_batch_put_inode(b, &inode->rec);
			r = f3_batch_commit(b);
			r = r ? r : 1;
		}
		f3_unlock(&inode->lock);
		f3_batch_free(b);
	}
	f3_inode_put(core, inode);
	return r;
}

static const char *last_of(const char *key)
{
	const char *slash = strrchr(key, '/');

	return slash ? slash + 1 : key;
}

/* A directory may have its name, and it another one. */
static int adopt(struct mover *m, const char *etag)
{
	const char *object = last_of(m->from);
	char name[F3_NAME_MAX + 1];
	int r = 0;

	for (int beside = 0; beside < 2 && !r; beside++) {
		if (!f3_escape_name(object, strlen(object), beside, name))
			r = adopt_as(m, name, etag);
	}
	return r < 0 ? r : 0;
}

static int copied(struct mover *m, const char *etag)
{
	int r = adopt(m, etag);

	if (r)
		return r;
	if (m->tree->call->volume->store->caps.delete_match)
		return send_delete(m, true);
	/* As near as this store lets us come. */
	begin(m, F3_OBJ_HEAD, STEP_LOOK_AGAIN);
	return submit(m);
}

/* Its answer. */
static int copy_answered(struct mover *m)
{
	struct f3_volume *v = m->tree->call->volume;

	if (m->op.result == F3_OBJ_IN_PARTS) {
		if (!f3_leftover_copies(v, &m->op, &m->begun))
			return submit(m);
	} else if (m->op.in_parts) {
		f3_leftover_copied(v, &m->op, m->begun);
	}
	return m->op.result ? m->op.result : copied(m, m->op.info.etag);
}

static int next_step(struct mover *m)
{
	const struct f3_obj_info *info = &m->op.info;
	int r = m->op.result;

	switch (m->step) {
	case STEP_LOOK:
		if (!r && strcmp(info->etag, m->etag) != 0)
			r = -ESTALE;
		return r ? r : copy_or_look(m, info);
	case STEP_LOOK_COPY:
		if (!r && info->have_gen && f3_obj_gen_equal(&info->gen, &m->gen) &&
		    info->size == m->size)
			return copied(m, info->etag);
		return !r || r == -ENOENT ? send_copy(m) : r;
	case STEP_COPY:
		return copy_answered(m);
	case STEP_LOOK_AGAIN:
		if (r == -ENOENT)
			return 0;
		if (!r && strcmp(info->etag, m->etag) != 0)
			r = -ESTALE;
		return r ? r : send_delete(m, false);
	case STEP_DELETE:
	case STEP_RMDIR:
		break;
	}
	return r;
}

/* ---- Movers ---- */

static void go_on(struct tree *t, struct tree_dir *d, int r)
{
	/* Gone or changed since it was listed, or put there since: the next round sees what there is. */
	if (r == -ENOENT || r == -ESTALE || r == -ENOTEMPTY || r == F3_OBJ_AMBIGUOUS)
		r = -EAGAIN;
	if (r == -EAGAIN)
		t->again = true;
	else if (r && !t->error)
		t->error = r;
	if (r && d)
		d->kept = true;
}

/* One less below the directory; when it was the last the free mover takes the marker away. */
static void dir_put(struct mover *m, struct tree_dir *d)
{
	struct tree *t = m->tree;

	while (d && !--d->pending) {
		struct tree_dir *parent = d->parent;

		if (!d->kept && !t->error) {
			m->used = true;
			t->used++;
			m->dir = d;
			begin(m, F3_OBJ_RMDIR, STEP_RMDIR);
			m->op.key = d->from;
			(void)submit(m);
			return;
		}
		if (parent)
			parent->kept = true;
		free(d);
		d = parent;
	}
}

static void finish(struct mover *m, int r)
{
	struct tree *t = m->tree;
	struct tree_dir *d = m->dir;

	if (r)
		snprintf(t->call->message, sizeof(t->call->message), "%s", m->op.message);
	f3_object_op_done(&m->op);
	m->used = false;
	t->used--;
	if (m->step == STEP_RMDIR) {
		d = d->parent;
		free(m->dir);
	}
	m->dir = NULL;
	go_on(t, d, r);
	dir_put(m, d);
}

/* Goes on with whatever is answered; waits until something is. */
static void reap(struct tree *t)
{
	bool any = false;

	f3_lock(&t->lock);
	for (;;) {
		for (unsigned i = 0; i < t->n; i++)
			any |= t->movers[i].answered;
		if (any)
			break;
		f3_cond_wait(&t->cond, &t->lock, 0);
	}
	f3_unlock(&t->lock);
	for (unsigned i = 0; i < t->n; i++) {
		struct mover *m = &t->movers[i];
		int r;

		f3_lock(&t->lock);
		any = m->answered;
		m->answered = false;
		f3_unlock(&t->lock);
		if (!any)
			continue;
		r = next_step(m);
		if (r != 1)
			finish(m, r);
	}
}

static struct mover *free_mover(struct tree *t)
{
	while (t->used == t->n)
		reap(t);
	for (unsigned i = 0;; i++) {
		if (!t->movers[i].used)
			return &t->movers[i];
	}
}

/* ---- The walk ---- */

static int join(char out[F3_KEY_MAX + 1], const char *dir, const char *name)
{
	int n = snprintf(out, F3_KEY_MAX + 1, "%s/%s", dir, name);

	return n < 0 || n > F3_KEY_MAX ? -ENAMETOOLONG : 0;
}

static int move_object(struct tree *t, struct tree_dir *d, const struct f3_obj_entry *e)
{
	struct mover *m = free_mover(t);
	int r = join(m->from, d->from, e->name);

	if (!r)
		r = join(m->to, d->to, e->name);
	if (r)
		return r;
	memcpy(m->etag, e->info.etag, sizeof(m->etag));
	m->used = true;
	t->used++;
	m->dir = d;
	d->pending++;
	if (e->info.have_attr) {
		(void)copy_or_look(m, &e->info);
	} else {
		begin(m, F3_OBJ_HEAD, STEP_LOOK);
		(void)submit(m);
	}
	return 0;
}

static int move_marker(struct tree *t, struct tree_dir *d, const struct f3_obj_info *info)
{
	const struct f3_journal_entry *e = t->call->e;
	struct f3_obj_gen gen = info->gen;
	struct f3_obj_op op;
	int r;

	if (info->implicit)
		return 0;
	if (!info->have_gen)
		gen = (struct f3_obj_gen){ .id = e->id, .generation = e->generation };
	f3_object_op_init(&op, F3_OBJ_MKDIR);
	op.key = d->to;
	op.attr = info->have_attr ? &info->attr : NULL;
	op.gen = &gen;
	r = ask(t, &op);
	f3_object_op_done(&op);
	return r;
}

static uint64_t dir_here(struct tree *t, uint64_t parent, const char *object)
{
	char name[F3_NAME_MAX + 1];
	struct f3_meta_name found;

	if (!parent || f3_escape_name(object, strlen(object), false, name) ||
	    f3_meta_get_name(t->call->core->meta, parent, name, strlen(name), &found))
		return 0;
	return found.ino;
}

static int walk(struct tree *t, struct tree_dir *d, int depth);

/* Takes d over. */
static int move_dir(struct tree *t, struct tree_dir *d, const struct f3_obj_info *info, int depth)
{
	struct f3_obj_op *op = &d->op;
	int r = depth < DEPTH_MAX ? 0 : -ENAMETOOLONG;

	d->pending = 1;
	if (d->parent)
		d->parent->pending++;
	f3_object_op_init(op, F3_OBJ_HEAD);
	if (!r && !info->have_attr) {
		op->key = d->from;
		op->want = F3_OBJ_WANT_DIR;
		r = ask(t, op);
		info = &op->info;
	}
	if (!r)
		r = move_marker(t, d, info);
	f3_object_op_done(op);
	if (!r)
		r = walk(t, d, depth);
	go_on(t, d, r);
	dir_put(free_mover(t), d);
	return t->error;
}

static int move_below(struct tree *t, struct tree_dir *d, const struct f3_obj_entry *e, int depth)
{
	struct tree_dir *below = calloc(1, sizeof(*below));
	int r = below ? 0 : -ENOMEM;

	if (!r)
		r = join(below->from, d->from, e->name);
	if (!r)
		r = join(below->to, d->to, e->name);
	if (r) {
		free(below);
		return r;
	}
	below->parent = d;
	below->ino = dir_here(t, d->ino, e->name);
	return move_dir(t, below, &e->info, depth + 1);
}

/* All pages, though what was on those before has gone meanwhile. */
static int walk(struct tree *t, struct tree_dir *d, int depth)
{
	struct f3_obj_op *op = &d->op;
	bool more = true;
	int r = 0;

	while (!r && more) {
		f3_object_op_init(op, F3_OBJ_LIST);
		op->key = d->from;
		op->after = d->cursor[0] ? d->cursor : NULL;
		r = ask(t, op);
		for (size_t i = 0; i < op->n_entries && !r; i++) {
			const struct f3_obj_entry *e = &op->entries[i];

			r = e->info.is_dir ? move_below(t, d, e, depth) : move_object(t, d, e);
			if (!r)
				r = t->call->core->stopping ? -EAGAIN : t->error;
		}
		more = !r && op->ret_next;
		if (more)
			snprintf(d->cursor, sizeof(d->cursor), "%s", op->ret_next);
		f3_object_op_done(op);
	}
	return r == -ENOENT ? 0 : r;
}

static int move_all(struct tree *t)
{
	struct f3_journal_entry *e = t->call->e;
	struct tree_dir *top = calloc(1, sizeof(*top));
	struct f3_obj_op op;
	int r;

	if (!top)
		return -ENOMEM;
	snprintf(top->from, sizeof(top->from), "%s", e->key);
	snprintf(top->to, sizeof(top->to), "%s", e->key2);
	top->ino = e->ino;
	r = f3_store_head(t->call->volume, &op, e->key, F3_OBJ_WANT_DIR);
	if (r) {
		snprintf(t->call->message, sizeof(t->call->message), "%s", op.message);
		f3_object_op_done(&op);
		free(top);
		return r;
	}
	t->again = false;
	(void)move_dir(t, top, &op.info, 0);
	f3_object_op_done(&op);
	while (t->used)
		reap(t);
	return t->error ? t->error : t->again ? -EAGAIN : 0;
}

/* ---- All ---- */

static struct tree *tree_new(struct f3_journal_call *call, size_t *ret_bytes)
{
	size_t bytes = sizeof(struct tree) + MOVERS * sizeof(struct mover);
	unsigned n = MOVERS;
	struct tree *t;

	*ret_bytes = bytes;
	if (f3_budget_try_take(call->core->budget, F3_ACCT_LISTS, bytes)) {
		*ret_bytes = 0;
		n = 1;
	}
	t = calloc(1, sizeof(*t) + n * sizeof(t->movers[0]));
	if (!t) {
		f3_budget_give(call->core->budget, F3_ACCT_LISTS, *ret_bytes);
		return NULL;
	}
	t->call = call;
	t->n = n;
	f3_lock_init(&t->lock, F3_RANK_QUEUE);
	f3_cond_init(&t->cond);
	for (unsigned i = 0; i < n; i++)
		t->movers[i].tree = t;
	return t;
}

int f3_journal_move_tree(struct f3_journal_call *call, struct f3_obj_info *ret_info)
{
	struct f3_obj_op op;
	size_t bytes;
	struct tree *t = tree_new(call, &bytes);
	int r = -EAGAIN;

	if (!t)
		return -ENOMEM;
	/* What never holds still is gone on with after a rest. */
	for (int round = 0; round < ROUNDS && r == -EAGAIN && !call->core->stopping; round++) {
		r = move_all(t);
		if (r == -ENOENT && call->tried)
			r = 0;
		call->tried = true;
	}
	pthread_cond_destroy(&t->cond);
	f3_lock_done(&t->lock);
	free(t);
	f3_budget_give(call->core->budget, F3_ACCT_LISTS, bytes);
	if (r)
		return r;
	r = f3_store_head(call->volume, &op, call->e->key2, F3_OBJ_WANT_DIR);
	if (!r)
		snprintf(ret_info->etag, sizeof(ret_info->etag), "%s", op.info.etag);
	else
		snprintf(call->message, sizeof(call->message), "%s", op.message);
	f3_object_op_done(&op);
	return r;
}
