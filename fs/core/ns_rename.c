/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ns_rename: names move.
 *
 * Local names move in one batch. With an object store behind the volume:
 *   object -> name in the store      server-side rename, journalled; bytes that are not up yet
 *                                    follow to the new key
 *   object -> local class            bytes are made complete here, the object goes
 *   local file -> name in the store  the name moves, then the bytes are staged (and waited for:
 *                                    write-to-temporary-then-rename ends durable)
 *   directory in the store           one journalled job; into a local tree: EXDEV
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/core/activation.h"
#include "fs/core/answered.h"
#include "fs/core/commitset.h"
#include "fs/core/escape.h"
#include "fs/core/journal_run.h"
#include "fs/core/lineage.h"
#include "fs/core/move.h"
#include "fs/core/ns.h"
#include "fs/core/stage.h"
#include "fs/core/store_dir.h"
#include "fs/core/store_op.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1u
#endif
#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2u
#endif

struct side {
	struct f3_inode *dir;
	const char *name;
	size_t len;
	struct f3_inode *inode; /* NULL: no such name */
	uint64_t epoch; /* of the directory, before it was looked up */
	bool in_store; /* an object or marker stands for it */
	char key[F3_KEY_MAX + 1];
};

struct renaming {
	struct f3_core *core;
	struct side from, to;
	struct f3_placement_result place; /* of the file under its new name */
	bool exclusive; /* RENAME_NOREPLACE */
	bool to_store; /* the file is one of the store under its new name */
	bool resend; /* and has bytes that are not up yet */
	struct f3_ns_told moved, gone; /* what the store is told: of the object, of the target's */
	struct f3_commitset *sets[2]; /* that the file, and the target, are members of */
	bool dirs; /* or directories that hold members may be renamed */
	struct f3_commitset *joins; /* that the file joins under its new name; referenced */
	const struct f3_caller *who;
};

static int side_init(struct f3_core *core, struct side *s, uint64_t parent, const char *name)
{
	struct f3_meta_name found;
	int r = f3_ns_name_check(name, &s->len);

	s->name = name;
	if (!r)
		r = f3_ns_dir_get(core, parent, &s->dir);
	if (r)
		return r;
	s->epoch = f3_ns_epoch(s->dir);
	r = f3_meta_get_name(core->meta, parent, name, s->len, &found);
	if (r)
		return r == -ENOENT ? 0 : r;
	return f3_inode_get(core, found.ino, &s->inode);
}

static void side_done(struct f3_core *core, struct side *s)
{
	f3_inode_put(core, s->inode);
	f3_inode_put(core, s->dir);
}

static bool is_dir(const struct side *s)
{
	return s->inode && S_ISDIR(s->inode->rec.mode);
}

static int side_store(struct f3_core *core, struct side *s)
{
	struct f3_inode *inode = s->inode;

	if (!inode || !inode->volume->store)
		return 0;
	f3_lock(&inode->lock);
	s->in_store = f3_file_in_store(&inode->rec);
	f3_unlock(&inode->lock);
	return s->in_store ? f3_inode_key(core, inode->ino, s->key, sizeof(s->key)) : 0;
}

/* A directory may not move below itself: the kernel checks what it knows, and this what it may
 * not know. */
static int check_loop(struct f3_core *core, uint64_t moved, uint64_t into)
{
	while (into && into != F3_INO_ROOT) {
		struct f3_inode *inode;
		int r;

		if (into == moved)
			return -EINVAL;
		r = f3_inode_get(core, into, &inode);
		if (r)
			return r;
		into = inode->rec.parent;
		f3_inode_put(core, inode);
	}
	return 0;
}

static int check_types(struct renaming *rn, unsigned flags)
{
	if (!rn->from.inode)
		return -ENOENT;
	if (flags & RENAME_EXCHANGE)
		return rn->to.inode ? 0 : -ENOENT;
	if (!rn->to.inode)
		return 0;
	if (flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (is_dir(&rn->from) != is_dir(&rn->to))
		return is_dir(&rn->to) ? -EISDIR : -ENOTDIR;
	return 0;
}

static struct f3_journal_entry *entry_new(const struct renaming *rn, uint8_t type)
{
	struct f3_journal_entry *e = calloc(1, sizeof(*e));
	const struct f3_inode_rec *rec = &rn->from.inode->rec;

	if (!e)
		return NULL;
	e->type = type;
	e->volume = rec->volume;
	e->ino = rec->ino;
	e->dir1 = rn->from.dir->ino;
	e->dir2 = rn->to.dir->ino;
	e->id = rec->id;
	e->generation = rec->generation;
	return e;
}

/* An object of the target that nothing will overwrite goes after the names have changed. */
static int drop_target(struct renaming *rn)
{
	struct f3_journal_entry *e;
	int r = 0;

	if (!rn->to.in_store)
		return 0;
	if (is_dir(&rn->to))
		r = f3_store_dir_list(rn->core, rn->to.inode);
	if (r)
		return r;
	e = entry_new(rn, is_dir(&rn->to) ? F3_JOURNAL_RMDIR : F3_JOURNAL_DELETE);
	if (!e)
		return -ENOMEM;
	f3_lock(&rn->to.inode->lock);
	e->ino = rn->to.inode->ino;
	e->id = rn->to.inode->rec.id;
	e->dir1 = rn->to.dir->ino;
	e->dir2 = 0;
	snprintf(e->etag, sizeof(e->etag), "%s", rn->to.inode->rec.etag);
	f3_unlock(&rn->to.inode->lock);
	snprintf(e->key, sizeof(e->key), "%s", rn->to.key);
	return f3_ns_tell(rn->to.dir->volume, e, false, &rn->gone);
}

/* The object, or everything below the directory, gets the new key. */
static int move_key(struct renaming *rn, uint8_t type, bool durable)
{
	struct f3_journal_entry *e = entry_new(rn, type);
	int r;

	if (!e)
		return -ENOMEM;
	if (rn->exclusive)
		e->flags |= F3_JOURNAL_EXCLUSIVE;
	snprintf(e->key, sizeof(e->key), "%s", rn->from.key);
	if (type == F3_JOURNAL_RENAME) {
		f3_lock(&rn->from.inode->lock);
		snprintf(e->etag, sizeof(e->etag), "%s", rn->from.inode->rec.etag);
		f3_unlock(&rn->from.inode->lock);
	}
	r = f3_ns_key(rn->core, rn->to.dir, rn->to.name, e->key2, sizeof(e->key2));
	if (r) {
		free(e);
		return r;
	}
	return f3_ns_tell(rn->from.dir->volume, e, durable, &rn->moved);
}

/* Directories still to be looked into, and how long their keys would be. */
struct below {
	struct {
		uint64_t ino;
		size_t len;
	} * v;
	size_t n, cap;
};

static int below_add(struct below *below, uint64_t ino, size_t len)
{
	if (below->n == below->cap) {
		size_t cap = below->cap ? 2 * below->cap : 64;
		void *v = reallocarray(below->v, cap, sizeof(*below->v));

		if (!v)
			return -ENOMEM;
		below->v = v;
		below->cap = cap;
	}
	below->v[below->n].ino = ino;
	below->v[below->n++].len = len;
	return 0;
}

/* A name in a directory whose key would be len long. */
static int check_name_below(struct renaming *rn, struct below *below, size_t len,
			    const struct f3_meta_name *found, const char *text, size_t n)
{
	char name[F3_NAME_MAX + 1], object[F3_NAME_MAX + 1];
	struct f3_inode *inode;
	bool in_store;
	int r;

	memcpy(name, text, n);
	name[n] = '\0';
	r = f3_unescape_name(name, n, object);
	if (r)
		return r;
	len += 1 + strlen(object);
	if (found->d_type == DT_DIR)
		return below_add(below, found->ino, len);
	if (len <= F3_KEY_MAX)
		return 0;
	r = f3_inode_get(rn->core, found->ino, &inode);
	if (r)
		return r == -ENOENT ? 0 : r;
	f3_lock(&inode->lock);
	in_store = f3_file_in_store(&inode->rec);
	f3_unlock(&inode->lock);
	f3_inode_put(rn->core, inode);
	return in_store ? -ENAMETOOLONG : 0;
}

static int check_dir_below(struct renaming *rn, struct below *below, uint64_t ino, size_t len)
{
	struct f3_meta_name found;
	struct f3_meta_dir *d;
	struct f3_inode *inode;
	bool local, leaf;
	const char *text;
	size_t n;
	int r = f3_inode_get(rn->core, ino, &inode);

	if (r)
		return r == -ENOENT ? 0 : r;
	f3_lock(&inode->lock);
	local = inode->rec.flags & F3_INO_LOCAL_TREE;
	leaf = inode->rec.nlink <= 2;
	f3_unlock(&inode->lock);
	f3_inode_put(rn->core, inode);
	/* Most are not listed: without directories in it, and no name could be too long. */
	if (local || (leaf && len + 1 + F3_NAME_MAX <= F3_KEY_MAX))
		return 0;
	if (len > F3_KEY_MAX)
		return -ENAMETOOLONG;
	r = f3_meta_dir_open(rn->core->meta, ino, 0, &d);
	if (r)
		return r;
	while ((r = f3_meta_dir_next(d, &found, &text, &n)) == 1) {
		r = check_name_below(rn, below, len, &found, text, n);
		if (r)
			break;
	}
	f3_meta_dir_close(d);
	return r;
}

/* A longer name must leave room for the keys of all below it that is known here. */
static int check_keys_below(struct renaming *rn)
{
	struct below below = { .n = 0 };
	char key[F3_KEY_MAX + 1];
	int r = f3_ns_key(rn->core, rn->to.dir, rn->to.name, key, sizeof(key));

	if (r || strlen(key) <= strlen(rn->from.key))
		return r;
	r = below_add(&below, rn->from.inode->ino, strlen(key));
	while (!r && below.n) {
		below.n--;
		r = check_dir_below(rn, &below, below.v[below.n].ino, below.v[below.n].len);
	}
	free(below.v);
	return r;
}

static int store_dir_rename(struct renaming *rn)
{
	struct f3_inode *inode = rn->from.inode;
	int r;

	if (rn->to.dir->local_tree)
		return -EXDEV;
	r = f3_ns_key_check(rn->core, rn->to.dir, rn->to.name, F3_CLASS_DURABLE);
	if (!r)
		r = check_keys_below(rn);
	if (r)
		return r;
	/* What is there must be empty: the store checks it again. */
	if (rn->to.inode && rn->to.in_store) {
		r = f3_store_dir_list(rn->core, rn->to.inode);
		if (!r && f3_meta_dir_has_names(rn->core->meta, rn->to.inode->ino))
			r = -ENOTEMPTY;
	}
	return r ? r : move_key(rn, F3_JOURNAL_RENAME_DIR, inode->rec.class_ == F3_CLASS_DURABLE);
}

/* An answer was lost about the object of a file whose commits are held: is it there? What the
 * journal has still to say of it would make another thing of the answer. */
static int ask(struct renaming *rn, const struct side *s)
{
	struct f3_inode *inode = s->inode;
	struct f3_obj_op op;
	bool ours, unsure;
	int r;

	if (!s->in_store)
		return 0;
	f3_lock(&inode->lock);
	unsure = inode->maybe_stored;
	f3_unlock(&inode->lock);
	if (!unsure || f3_journal_covers(inode->volume, inode->ino, s->key))
		return 0;
	r = f3_store_head(inode->volume, &op, s->key, F3_OBJ_WANT_OBJECT);
	f3_lock(&inode->lock);
	ours = !r && op.info.have_gen && f3_id_equal(&op.info.gen.id, &inode->rec.id);
	if (ours)
		snprintf(inode->rec.etag, sizeof(inode->rec.etag), "%s", op.info.etag);
	else if (r == -ENOENT)
		inode->rec.etag[0] = '\0';
	if (!r || r == -ENOENT)
		inode->maybe_stored = false;
	f3_unlock(&inode->lock);
	f3_object_op_done(&op);
	/* What is told the store later need not find it now. */
	return !r || r == -ENOENT || rn->place.class_ != F3_CLASS_DURABLE ? 0 : f3_store_errno(r);
}

/* A file of the store, to a name in the store. Its commits are held. The object it has goes to the
 * new key; what was not up yet follows there. If it has none, what it replaces is replaced by a PUT
 * that is conditional on it. */
static int object_rename(struct renaming *rn)
{
	struct f3_inode *inode = rn->from.inode;
	bool stored, known;
	int r = ask(rn, &rn->from);

	if (r)
		return r;
	f3_lock(&inode->lock);
	if (inode->rec.error == ENAMETOOLONG)
		inode->rec.error = 0; /* the new key is another one */
	rn->resend = f3_stage_dirty(rn->core, inode);
	/* What the store has of a member stays until its set is published. */
	stored = f3_stage_stored(inode) && !inode->member;
	known = inode->rec.etag[0];
	f3_unlock(&inode->lock);
	if (!stored)
		return ask(rn, &rn->to);
	r = move_key(rn, F3_JOURNAL_RENAME, rn->place.class_ == F3_CLASS_DURABLE);
	if (r == -ENOENT && !known) {
		/* It was not there after all. */
		f3_ns_told_done(rn->core, &rn->moved, 0);
		f3_lock(&inode->lock);
		inode->maybe_stored = false;
		f3_unlock(&inode->lock);
		r = ask(rn, &rn->to);
	}
	return r;
}

/* Everything the store has to do or know before the names change here. */
static int before(struct renaming *rn)
{
	struct f3_inode *inode = rn->from.inode;
	int r;

	r = side_store(rn->core, &rn->from);
	if (!r)
		r = side_store(rn->core, &rn->to);
	if (r)
		return r;
	if (is_dir(&rn->from)) {
		if (!rn->from.in_store && !rn->to.in_store)
			return 0;
		if (!rn->who->may_block)
			return -F3_EWAIT;
		return rn->from.in_store ? store_dir_rename(rn) : drop_target(rn);
	}
	if (rn->to.in_store) {
		if (!rn->who->may_block)
			return -F3_EWAIT;
		r = f3_ns_keep_open(rn->core, rn->to.inode);
		if (r)
			return r;
	}
	rn->place.class_ = (enum f3_class)inode->rec.class_;
	rn->place.source = (enum f3_class_source)inode->rec.class_source;
	if (rn->place.source != F3_FROM_OWN && rn->place.source != F3_FROM_HINT)
		r = f3_ns_place(rn->core, rn->to.dir, rn->to.name, false, rn->who, &rn->place);
	if (!r)
		r = f3_ns_key_check(rn->core, rn->to.dir, rn->to.name, rn->place.class_);
	if (r)
		return r;
	rn->to_store = f3_class_in_store(rn->place.class_) && inode->volume->store;
	if (rn->to_store && rn->to.dir->local_tree)
		return -EXDEV; /* its own class is above what the name can be */
	/* It can neither leave its set, nor take the place of what is published at its end, as another
	 * class; programs copy then. */
	if ((rn->sets[0] || rn->sets[1]) && !rn->to_store)
		return -EXDEV;
	/* Another class is another place for the bytes, which is not waited for here either. */
	if (!rn->from.in_store && !rn->to.in_store && !rn->to_store)
		return rn->place.class_ != inode->rec.class_ && !rn->who->may_block ? -F3_EWAIT : 0;
	if (!rn->who->may_block)
		return -F3_EWAIT;
	if (!rn->from.in_store && rn->to_store) {
		r = f3_journal_room(inode->volume, rn->who);
		if (r)
			return r;
		if (f3_commitsets_live(rn->core))
			rn->joins = f3_act_set_of(rn->core, rn->who, rn->to.dir, rn->to.name);
	}
	if (rn->from.in_store && rn->to_store)
		return object_rename(rn);
	if (rn->from.in_store) {
		r = f3_move_class(rn->core, inode, rn->place.class_, rn->place.source, rn->who);
		if (r)
			return r;
	}
	return rn->to_store ? ask(rn, &rn->to) : drop_target(rn);
}

/* Within a change. */
static void put_name_of(struct side *at, struct f3_inode *inode, struct f3_batch *b, int64_t now_ns)
{
	f3_ns_set_name(inode, at->dir->ino, at->name, at->len);
	inode->rec.ctime_ns = now_ns;
	f3_batch_put_inode(b, &inode->rec);
	f3_batch_put_name(b, at->dir->ino, at->name, at->len, inode->ino,
			  f3_ns_dtype(inode->rec.mode));
}

static void change_begin(struct renaming *rn, struct f3_batch *b, struct f3_ns_change *ch)
{
	f3_ns_change_begin(
		ch, b,
		(struct f3_inode *[4]){ rn->from.dir, rn->to.dir, rn->from.inode, rn->to.inode });
}

static int still_so(struct renaming *rn, struct side *s)
{
	struct f3_meta_name found;
	int r;

	if (s->dir->dead)
		return -ENOENT;
	if (f3_ns_unchanged(s->dir, s->epoch))
		return 0;
	r = f3_meta_get_name(rn->core->meta, s->dir->ino, s->name, s->len, &found);
	if (r == -ENOENT)
		return s->inode ? -ESTALE : 0;
	return r ? r : s->inode && found.ino == s->inode->ino ? 0 : -ESTALE;
}

static int exchange_local(struct renaming *rn)
{
	struct f3_lock *locks[] = { f3_names_lock(rn->core, rn->from.dir->ino),
				    f3_names_lock(rn->core, rn->to.dir->ino) };
	int moved = is_dir(&rn->to) - is_dir(&rn->from);
	int64_t now = f3_clock_file_ns();
	struct f3_ns_change change;
	struct f3_batch *b;
	int r = f3_batch_new(rn->core->meta, &b);

	if (r)
		return r;
	f3_lock_many(locks, 2);
	r = still_so(rn, &rn->from);
	if (!r)
		r = still_so(rn, &rn->to);
	if (!r) {
		change_begin(rn, b, &change);
		put_name_of(&rn->to, rn->from.inode, b, now);
		put_name_of(&rn->from, rn->to.inode, b, now);
		f3_ns_dir_count(rn->from.dir, 0, moved, now, b);
		f3_ns_dir_count(rn->to.dir, 0, -moved, now, b);
		f3_answered_put(rn->core, rn->who, 0, b);
		r = f3_ns_change_end(&change, 0);
	}
	f3_unlock_many(locks, 2);
	f3_batch_free(b);
	return r;
}

/* Within a change. */
static void count_moved(struct renaming *rn, int64_t now_ns, struct f3_batch *b)
{
	int names = rn->to.inode ? 0 : 1, out = is_dir(&rn->from);
	int in = out - is_dir(&rn->to);

	if (rn->from.dir == rn->to.dir) {
		f3_ns_dir_count(rn->to.dir, names - 1, in - out, now_ns, b);
		return;
	}
	f3_ns_dir_count(rn->from.dir, -1, -out, now_ns, b);
	f3_ns_dir_count(rn->to.dir, names, in, now_ns, b);
}

/* What it replaces in the store is what its first PUT is conditional on. Until then that is its own
 * object, which may have to be renamed or to go: so it goes on as the file that the object's mark
 * speaks of. Within a change. */
static void take_over(struct f3_inode *inode, const struct f3_inode *gone)
{
	struct f3_inode_rec *rec = &inode->rec;

	if (!f3_stage_stored(gone))
		return;
	memcpy(rec->etag, gone->rec.etag, sizeof(rec->etag));
	rec->id = gone->rec.id;
	rec->attempt = gone->rec.attempt;
	if (rec->generation <= gone->rec.generation)
		rec->generation = gone->rec.generation + 1;
	if (inode->attempts < gone->attempts)
		inode->attempts = gone->attempts;
	inode->maybe_stored = gone->maybe_stored;
}

static int rename_local(struct renaming *rn)
{
	bool replaced = false;
	struct f3_lock *locks[] = { f3_names_lock(rn->core, rn->from.dir->ino),
				    f3_names_lock(rn->core, rn->to.dir->ino),
				    is_dir(&rn->to) ? f3_names_lock(rn->core, rn->to.inode->ino) :
						      NULL };
	int64_t now = f3_clock_file_ns();
	struct f3_member_left *left[2] = { NULL, NULL };
	bool joined = false;
	struct f3_ns_change change;
	struct f3_content was = { .generation = 0 };
	struct f3_batch *b;
	int r = f3_batch_new(rn->core->meta, &b);

	if (r)
		return r;
	f3_lock_many(locks, 3);
	r = still_so(rn, &rn->from);
	if (!r)
		r = still_so(rn, &rn->to);
	if (!r && is_dir(&rn->to))
		r = f3_meta_dir_has_names(rn->core->meta, rn->to.inode->ino) ? -ENOTEMPTY : 0;
	if (!r)
		r = f3_ns_told_batch(rn->to.dir->volume, &rn->gone, b);
	if (!r)
		r = f3_ns_told_batch(rn->from.dir->volume, &rn->moved, b);
	if (!r) {
		joined = rn->joins && f3_commitset_join_batch(rn->joins, rn->from.inode->ino, b);
		change_begin(rn, b, &change);
		r = f3_commitset_leave_batch(rn->from.inode, rn->from.key, true, false, b,
					     &left[0]);
		if (!r && rn->to.inode)
			r = f3_commitset_leave_batch(rn->to.inode, rn->to.key, false, true, b,
						     &left[1]);
		f3_batch_del_name(b, rn->from.dir->ino, rn->from.name, rn->from.len);
		count_moved(rn, now, b);
		if (rn->to_store) {
			struct f3_inode_rec *rec = &rn->from.inode->rec;

			if (!rn->moved.e)
				rec->etag[0] = '\0';
			was = (struct f3_content){ rec->id, rec->generation };
			if (!rn->moved.e && rn->to.inode && rn->to.in_store)
				take_over(rn->from.inode, rn->to.inode);
			if (rn->from.in_store) {
				rec->class_ = (uint8_t)rn->place.class_;
				rec->class_source = (uint8_t)rn->place.source;
			}
		}
		if (rn->to.inode)
			replaced = f3_ns_drop_name(rn->to.inode, now, b);
		put_name_of(&rn->to, rn->from.inode, b, now);
		f3_answered_put(rn->core, rn->who, 0, b);
		r = f3_ns_change_end(&change, r);
	}
	f3_unlock_many(locks, 3);
	f3_batch_free(b);
	for (int i = 0; i < 2; i++)
		f3_commitset_left(rn->core, left[i], r);
	if (joined)
		f3_commitset_joined(rn->joins, r ? NULL : rn->from.inode);
	if (!r && replaced)
		f3_ns_died(rn->core, rn->to.inode);
	if (!r && was.generation && S_ISREG(rn->from.inode->rec.mode))
		f3_lineage_became(rn->core, rn->who, rn->from.inode, &was);
	return r;
}

/* What follows once the names have changed, and commits are not held any more. */
static int after(struct renaming *rn)
{
	struct f3_inode *inode = rn->from.inode;
	bool writing;

	if (is_dir(&rn->from)) {
		rn->core->inherit_epoch++;
		return 0;
	}
	if (!rn->from.in_store || !rn->to_store)
		return f3_ns_place_again(rn->core, rn->to.dir, inode, rn->to.name, rn->who);
	f3_lock(&inode->lock);
	writing = inode->rec.state == F3_STATE_WRITING;
	f3_unlock(&inode->lock);
	/* What it has to say was or will be said to those who wrote it, and the names have changed. */
	if (rn->resend && rn->place.class_ == F3_CLASS_DURABLE && !writing)
		(void)f3_ns_commit_wait(rn->core, inode);
	return 0;
}

static void leave_sets(struct renaming *rn)
{
	for (int i = 0; i < 2; i++)
		f3_commitset_leave(rn->sets[i]);
	f3_commitset_put(rn->joins);
	rn->joins = NULL;
	if (rn->dirs)
		f3_commitset_leave_dir(rn->core);
	rn->sets[0] = rn->sets[1] = NULL;
	rn->dirs = false;
}

/* Commit sets are not decided while names of their members change. */
static int enter_sets(struct renaming *rn)
{
	struct f3_core *core = rn->core;
	int r = 0;

	if (is_dir(&rn->from)) {
		r = f3_commitset_enter_dir(core, rn->from.inode, rn->who);
		rn->dirs = !r;
		return r;
	}
	r = f3_commitset_enter(core, rn->from.inode, rn->who, &rn->sets[0]);
	if (!r)
		r = f3_commitset_enter(core, rn->to.inode, rn->who, &rn->sets[1]);
	if (r)
		leave_sets(rn);
	return r;
}

/* Commits of both files stop while their names change. -F3_EWAIT. */
static int hold(struct renaming *rn)
{
	struct f3_inode *files[] = { rn->from.inode, rn->to.inode };
	int r;

	if (!rn->from.dir->volume->store)
		return 0;
	r = f3_store_known(rn->core, rn->from.inode, rn->who);
	for (int i = 0; !r && i < 2; i++) {
		r = files[i] ? f3_ns_room(files[i], rn->who) : 0;
		if (!r && files[i] && !rn->who->may_block && f3_stage_running(files[i]))
			r = -F3_EWAIT;
	}
	if (!r && f3_commitsets_live(rn->core))
		r = enter_sets(rn);
	if (r)
		return r;
	for (int i = 0; i < 2; i++)
		if (files[i])
			f3_stage_hold(rn->core, files[i]);
	return 0;
}

static void release(struct renaming *rn)
{
	if (!rn->from.dir->volume->store)
		return;
	f3_stage_release(rn->core, rn->from.inode);
	if (rn->to.inode)
		f3_stage_release(rn->core, rn->to.inode);
	leave_sets(rn);
}

static int rename_held(struct renaming *rn)
{
	int r = before(rn);

	if (!r)
		r = rename_local(rn);
	f3_ns_told_done(rn->core, &rn->gone, r);
	f3_ns_told_done(rn->core, &rn->moved, r);
	return r;
}

int f3_ns_rename_replayed(struct f3_core *core, struct f3_inode *dir, const char *name,
			  struct f3_inode *inode, struct f3_ns_told *told)
{
	static const struct f3_caller daemon_ = { .may_block = true };
	struct renaming rn = { .core = core, .who = &daemon_, .moved = *told };
	const char *object = strrchr(told->e->key2, '/');
	char newname[F3_NAME_MAX + 1];
	int r;

	object = object ? object + 1 : told->e->key2;
	r = f3_escape_name(object, strlen(object), false, newname);
	if (!r)
		r = side_init(core, &rn.from, dir->ino, name);
	if (!r)
		r = side_init(core, &rn.to, told->e->dir2, newname);
	if (!r && rn.from.inode != inode)
		r = -ESTALE;
	if (!r)
		r = check_types(&rn, 0);
	if (!r) {
		r = rename_local(&rn);
		core->inherit_epoch++;
	}
	side_done(core, &rn.from);
	side_done(core, &rn.to);
	return r;
}

int f3_ns_set_aside(struct f3_core *core, struct f3_inode *inode, const char *name)
{
	struct renaming rn = { .core = core };
	char old[F3_NAME_MAX + 1];
	uint64_t parent;
	int r;

	f3_lock(&inode->lock);
	parent = inode->rec.parent;
	memcpy(old, inode->rec.name, sizeof(old));
	f3_unlock(&inode->lock);
	r = side_init(core, &rn.from, parent, old);
	if (!r)
		r = side_init(core, &rn.to, parent, name);
	if (!r && (rn.from.inode != inode || rn.to.inode))
		r = rn.to.inode ? -EEXIST : -ESTALE;
	if (!r) {
		/* The batch of the names takes these along. */
		f3_lock(&inode->lock);
		inode->rec.etag[0] = '\0';
		inode->rec.flags |= F3_INO_PINNED;
		inode->maybe_stored = false;
		f3_unlock(&inode->lock);
		r = rename_local(&rn);
	}
	side_done(core, &rn.from);
	side_done(core, &rn.to);
	if (!r && core->kernel.inval_entry) {
		core->kernel.inval_entry(core->kernel.arg, parent, old, strlen(old));
		core->kernel.inval_entry(core->kernel.arg, parent, name, strlen(name));
	}
	return r;
}

static int exchange(struct renaming *rn)
{
	struct side *sides[] = { &rn->from, &rn->to };
	int r;

	/* No store can swap two objects. */
	for (int i = 0; i < 2; i++) {
		r = side_store(rn->core, sides[i]);
		if (r)
			return r;
		if (sides[i]->in_store)
			return -EINVAL;
	}
	r = exchange_local(rn);
	/* After the change: what is worked out meanwhile, of where they were, does not count. */
	rn->core->inherit_epoch++;
	return r;
}

static void forget_name(struct renaming *rn, const struct side *s)
{
	const struct f3_kernel_ops *kernel = &rn->core->kernel;

	if (kernel->inval_entry)
		kernel->inval_entry(kernel->arg, s->dir->ino, s->name, s->len);
}

/* The kernel moves what it keeps of a name along with it: one that it may keep for long, since only
 * this node changes it, must not end up among names that the store changes. A directory stays what
 * it was (and may be somebody's working directory, which must not lose its name). */
static void forget_kept(struct renaming *rn, const struct side *left, const struct side *now)
{
	if (!f3_ns_dir_in_store(left->dir) && f3_ns_dir_in_store(now->dir) && !is_dir(left))
		forget_name(rn, now);
}

int f3_ns_rename(struct f3_core *core, uint64_t parent, const char *name, uint64_t newparent,
		 const char *newname, unsigned flags, const struct f3_caller *who)
{
	struct renaming rn = { .core = core, .who = who };
	int r;

	if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
	    (flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)) == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	r = side_init(core, &rn.from, parent, name);
	if (!r)
		r = side_init(core, &rn.to, newparent, newname);
	if (!r && rn.from.dir->volume != rn.to.dir->volume)
		r = -EXDEV;
	if (!r)
		r = check_types(&rn, flags);
	if (!r && rn.from.inode == rn.to.inode)
		goto out; /* two names of one file: nothing happens (POSIX) */
	if (!r && is_dir(&rn.from) && parent != newparent)
		r = check_loop(core, rn.from.inode->ino, newparent);
	if (!r && (flags & RENAME_EXCHANGE) && is_dir(&rn.to) && parent != newparent)
		r = check_loop(core, rn.to.inode->ino, parent);
	if (r)
		goto out;
	if (flags & RENAME_EXCHANGE) {
		r = exchange(&rn);
		if (!r) {
			forget_kept(&rn, &rn.from, &rn.to);
			forget_kept(&rn, &rn.to, &rn.from);
		}
		goto out;
	}
	rn.exclusive = flags & RENAME_NOREPLACE;
	r = hold(&rn);
	if (r)
		goto out;
	r = rename_held(&rn);
	release(&rn);
	if (r)
		goto out;
	forget_kept(&rn, &rn.from, &rn.to);
	r = after(&rn);
	if (r) {
		/* Moved, although the kernel is told otherwise: it has to ask. */
		forget_name(&rn, &rn.from);
		forget_name(&rn, &rn.to);
	}
out:
	side_done(core, &rn.from);
	side_done(core, &rn.to);
	return r;
}
