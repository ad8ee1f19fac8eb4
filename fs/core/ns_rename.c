/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ns_rename: names move.
 *
 * Local names move in one batch. With an object store behind the volume:
 *   object -> name in the store      server-side rename, journalled; a file with bytes that are not
 *                                    up yet is sent to its new key and the old key deleted after
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
#include "fs/core/fill.h"
#include "fs/core/journal_run.h"
#include "fs/core/move.h"
#include "fs/core/ns.h"
#include "fs/core/stage.h"

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
	struct f3_inode *inode;		/* NULL: no such name */
	bool in_store;			/* an object or marker stands for it */
	char key[F3_KEY_MAX + 1];
};

struct renaming {
	struct f3_core *core;
	struct side from, to;
	struct f3_placement_result place;	/* of the file under its new name */
	bool resend;			/* bytes not up yet: PUT to the new key, DELETE the old */
	struct f3_journal_entry *after;	/* what the store is told after the change */
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
	if (S_ISDIR(inode->rec.mode))
		s->in_store = !(inode->rec.flags & F3_INO_LOCAL_TREE);
	else
		s->in_store = f3_class_in_store((enum f3_class)inode->rec.class_);
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

static int new_key(struct renaming *rn, char *out, size_t size)
{
	size_t len;
	int r = f3_inode_key(rn->core, rn->to.dir->ino, out, size);

	if (r)
		return r;
	len = strlen(out);
	if (len + rn->to.len + 2 > size)
		return -ENAMETOOLONG;
	if (len)
		out[len++] = '/';
	memcpy(out + len, rn->to.name, rn->to.len + 1);
	return 0;
}

/* An object of the target that nothing will overwrite has to be deleted. */
static int drop_target(struct renaming *rn)
{
	struct f3_journal_entry *e;
	int r;

	if (!rn->to.in_store)
		return 0;
	if (!is_dir(&rn->to))
		f3_stage_drop(rn->core, rn->to.inode);
	e = entry_new(rn, is_dir(&rn->to) ? F3_JOURNAL_RMDIR : F3_JOURNAL_DELETE);
	if (!e)
		return -ENOMEM;
	e->ino = rn->to.inode->ino;
	snprintf(e->key, sizeof(e->key), "%s", rn->to.key);
	r = f3_ns_tell_store(rn->core, e);
	free(e);
	return r;
}

static int store_dir_rename(struct renaming *rn)
{
	struct f3_journal_entry *e;
	int r;

	if (rn->to.dir->rec.flags & F3_INO_LOCAL_TREE)
		return -EXDEV;
	/* Keys of bytes on their way are resolved when they are sent: nothing may be on its way. */
	r = f3_ns_journal_barrier(rn->core, rn->from.inode->volume->id);
	if (!r)
		r = drop_target(rn);
	if (r)
		return r;
	e = entry_new(rn, F3_JOURNAL_RENAME_DIR);
	if (!e)
		return -ENOMEM;
	snprintf(e->key, sizeof(e->key), "%s", rn->from.key);
	r = new_key(rn, e->key2, sizeof(e->key2));
	if (!r)
		r = f3_ns_tell_store(rn->core, e);
	free(e);
	return r;
}

/* A file that has an object, to a name in the store. */
static int object_rename(struct renaming *rn)
{
	struct f3_inode *inode = rn->from.inode;
	struct f3_journal_entry *e;
	bool dirty;
	int r;

	f3_lock(&inode->lock);
	dirty = (inode->rec.flags & F3_INO_DIRTY) || inode->stage ||
		inode->rec.state == F3_STATE_WRITING || !inode->rec.etag[0];
	f3_unlock(&inode->lock);
	if (dirty) {
		f3_stage_drop(rn->core, inode);
		rn->resend = true;
		if (!inode->rec.etag[0])
			return 0;
		rn->after = entry_new(rn, F3_JOURNAL_DELETE);
		if (!rn->after)
			return -ENOMEM;
		snprintf(rn->after->key, sizeof(rn->after->key), "%s", rn->from.key);
		snprintf(rn->after->etag, sizeof(rn->after->etag), "%s", inode->rec.etag);
		return 0;
	}
	if (rn->to.inode && rn->to.in_store)
		f3_stage_drop(rn->core, rn->to.inode);
	e = entry_new(rn, F3_JOURNAL_RENAME);
	if (!e)
		return -ENOMEM;
	snprintf(e->key, sizeof(e->key), "%s", rn->from.key);
	snprintf(e->etag, sizeof(e->etag), "%s", inode->rec.etag);
	r = new_key(rn, e->key2, sizeof(e->key2));
	if (!r && rn->place.class_ == F3_CLASS_DURABLE)
		r = f3_ns_tell_store(rn->core, e);
	else if (!r)
		rn->after = e;
	if (r || !rn->after)
		free(e);
	return r;
}

/* Everything the store has to do or know before the names change here. */
static int before(struct renaming *rn)
{
	struct f3_inode *inode = rn->from.inode;
	bool to_store;
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
	rn->place.class_ = (enum f3_class)inode->rec.class_;
	rn->place.source = (enum f3_class_source)inode->rec.class_source;
	if (rn->place.source != F3_FROM_OWN && rn->place.source != F3_FROM_HINT)
		r = f3_ns_place(rn->core, rn->to.dir, rn->to.name, false, F3_CLASS_NONE, -1,
				&rn->place);
	if (r)
		return r;
	to_store = f3_class_in_store(rn->place.class_) && inode->volume->store;
	if (to_store && (rn->to.dir->rec.flags & F3_INO_LOCAL_TREE))
		return -EXDEV;		/* its own class is above what the name can be */
	if (!rn->from.in_store && !rn->to.in_store && !to_store)
		return 0;
	if (!rn->who->may_block)
		return -F3_EWAIT;
	if (rn->from.in_store && to_store)
		return object_rename(rn);
	if (rn->from.in_store) {
		r = f3_move_class(rn->core, inode, rn->place.class_, rn->place.source, rn->who);
		if (r)
			return r;
	}
	return to_store ? 0 : drop_target(rn);
}

/* Names and inode locks as the caller says. */
static void put_name_of(struct side *at, struct f3_inode *inode, struct f3_batch *b, int64_t now_ns)
{
	f3_lock(&inode->lock);
	f3_ns_set_name(inode, at->dir->ino, at->name, at->len);
	inode->rec.ctime_ns = now_ns;
	f3_batch_put_inode(b, &inode->rec);
	f3_batch_put_name(b, at->dir->ino, at->name, at->len, inode->ino,
			  f3_ns_dtype(inode->rec.mode));
	f3_unlock(&inode->lock);
}

static int still_so(struct renaming *rn, struct side *s)
{
	struct f3_meta_name found;
	int r = f3_meta_get_name(rn->core->meta, s->dir->ino, s->name, s->len, &found);

	if (s->dir->dead)
		return -ENOENT;
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
	struct f3_batch *b;
	int r = f3_batch_new(rn->core->meta, &b);

	if (r)
		return r;
	f3_lock_many(locks, 2);
	r = still_so(rn, &rn->from);
	if (!r)
		r = still_so(rn, &rn->to);
	if (!r) {
		put_name_of(&rn->to, rn->from.inode, b, now);
		put_name_of(&rn->from, rn->to.inode, b, now);
		f3_ns_dir_changed(rn->from.dir, 0, moved, now, b);
		f3_ns_dir_changed(rn->to.dir, 0, -moved, now, b);
		r = f3_batch_commit(b);
	}
	f3_unlock_many(locks, 2);
	f3_batch_free(b);
	return r;
}

static int rename_local(struct renaming *rn)
{
	bool moving_dir = is_dir(&rn->from), replaced = false;
	struct f3_lock *locks[] = { f3_names_lock(rn->core, rn->from.dir->ino),
				    f3_names_lock(rn->core, rn->to.dir->ino),
				    is_dir(&rn->to) ? f3_names_lock(rn->core, rn->to.inode->ino) : NULL };
	int64_t now = f3_clock_file_ns();
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
	if (!r) {
		f3_batch_del_name(b, rn->from.dir->ino, rn->from.name, rn->from.len);
		f3_ns_dir_changed(rn->from.dir, -1, moving_dir ? -1 : 0, now, b);
		f3_ns_dir_changed(rn->to.dir, rn->to.inode ? 0 : 1,
				  (moving_dir ? 1 : 0) - (is_dir(&rn->to) ? 1 : 0), now, b);
		if (rn->to.inode) {
			f3_lock(&rn->to.inode->lock);
			/* What it replaces in the store is what the next PUT is conditional on. */
			if (rn->to.in_store && !moving_dir && !rn->from.in_store)
				memcpy(rn->from.inode->rec.etag, rn->to.inode->rec.etag,
				       sizeof(rn->from.inode->rec.etag));
			replaced = f3_ns_drop_name(rn->to.inode, now, b);
			f3_unlock(&rn->to.inode->lock);
		}
		put_name_of(&rn->to, rn->from.inode, b, now);
		if (rn->after) {
			f3_ns_entry_number(rn->core, rn->after);
			f3_batch_put_journal(b, rn->after);
		}
		r = f3_batch_commit(b);
	}
	f3_unlock_many(locks, 3);
	f3_batch_free(b);
	if (replaced && rn->to.inode->fill)
		f3_fill_stop(rn->core, rn->to.inode);
	return r;
}

/* What the store learns once the names have changed. */
static int after(struct renaming *rn)
{
	struct f3_inode *inode = rn->from.inode;
	int r = 0;

	if (is_dir(&rn->from)) {
		rn->core->inherit_epoch++;
		return 0;
	}
	if (rn->resend) {
		f3_lock(&inode->lock);
		inode->rec.etag[0] = '\0';
		if (rn->to.in_store)
			memcpy(inode->rec.etag, rn->to.inode->rec.etag, sizeof(inode->rec.etag));
		inode->rec.class_ = (uint8_t)rn->place.class_;
		inode->rec.class_source = (uint8_t)rn->place.source;
		f3_unlock(&inode->lock);
		if (inode->rec.state != F3_STATE_WRITING) {
			r = rn->place.class_ == F3_CLASS_DURABLE ? f3_ns_commit_wait(rn->core, inode) :
								   f3_stage_commit(rn->core, inode, NULL);
			if (r > 0)
				r = 0;
		}
	} else {
		r = f3_ns_place_again(rn->core, rn->to.dir, inode, rn->to.name, rn->who);
	}
	if (!r && rn->after)
		r = f3_journal_add(rn->core, rn->after, true, NULL);
	return r;
}

static int exchange(struct renaming *rn)
{
	struct side *sides[] = { &rn->from, &rn->to };

	/* No store can swap two objects. */
	for (int i = 0; i < 2; i++) {
		int r = side_store(rn->core, sides[i]);

		if (r)
			return r;
		if (sides[i]->in_store)
			return -EINVAL;
	}
	rn->core->inherit_epoch++;
	return exchange_local(rn);
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
		goto out;		/* two names of one file: nothing happens (POSIX) */
	if (!r && is_dir(&rn.from) && parent != newparent)
		r = check_loop(core, rn.from.inode->ino, newparent);
	if (!r && (flags & RENAME_EXCHANGE) && is_dir(&rn.to) && parent != newparent)
		r = check_loop(core, rn.to.inode->ino, parent);
	if (r)
		goto out;
	if (flags & RENAME_EXCHANGE) {
		r = exchange(&rn);
		goto out;
	}
	r = before(&rn);
	if (!r)
		r = rename_local(&rn);
	if (!r)
		r = after(&rn);
out:
	free(rn.after);
	side_done(core, &rn.from);
	side_done(core, &rn.to);
	return r;
}
