/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ns_remove: names go: unlink, rmdir, and the end of files without names.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/core/answered.h"
#include "fs/core/commitset.h"
#include "fs/core/extents.h"
#include "fs/core/fill.h"
#include "fs/core/hold.h"
#include "fs/core/journal_run.h"
#include "fs/core/lifetime.h"
#include "fs/core/ns.h"
#include "fs/core/stage.h"
#include "fs/core/store_dir.h"

#define EPOCH_NONE UINT64_MAX

/* The name leads to this inode. Reference taken. */
static int child_of(struct f3_core *core, uint64_t parent, const char *name, size_t len,
		    struct f3_inode **ret_child)
{
	struct f3_meta_name found;
	int r = f3_meta_get_name(core->meta, parent, name, len, &found);

	return r ? r : f3_inode_get(core, found.ino, ret_child);
}

/* Does the store have an object for this inode, as far as is known? What a commit set has of it goes
 * with that. */
static bool store_knows(struct f3_inode *inode)
{
	bool known;

	if (!inode->volume->store)
		return false;
	f3_lock(&inode->lock);
	if (S_ISDIR(inode->rec.mode))
		known = !(inode->rec.flags & F3_INO_LOCAL_TREE);
	else
		known = !inode->member && f3_class_in_store((enum f3_class)inode->rec.class_) &&
			f3_stage_stored(inode);
	f3_unlock(&inode->lock);
	return known;
}

int f3_ns_room(struct f3_inode *inode, const struct f3_caller *who)
{
	bool stage;

	if (!f3_journal_full(inode->volume) || !store_knows(inode))
		return 0;
	/* An entry that is there makes room for the one that takes its place. */
	f3_lock(&inode->lock);
	stage = inode->stage != NULL;
	f3_unlock(&inode->lock);
	return stage ? 0 : f3_journal_room(inode->volume, who);
}

static int removal_entry(struct f3_core *core, struct f3_inode *inode, uint64_t parent,
			 struct f3_journal_entry **ret_e)
{
	struct f3_journal_entry *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	r = f3_inode_key(core, inode->ino, e->key, sizeof(e->key));
	if (r) {
		free(e);
		return r;
	}
	f3_lock(&inode->lock);
	e->type = S_ISDIR(inode->rec.mode) ? F3_JOURNAL_RMDIR : F3_JOURNAL_DELETE;
	e->volume = inode->rec.volume;
	e->ino = inode->ino;
	e->dir1 = parent;
	e->id = inode->rec.id;
	e->generation = inode->rec.generation;
	snprintf(e->etag, sizeof(e->etag), "%s", inode->rec.etag);
	f3_unlock(&inode->lock);
	*ret_e = e;
	return 0;
}

bool f3_ns_drop_name(struct f3_inode *inode, int64_t now_ns, struct f3_batch *b)
{
	if (S_ISDIR(inode->rec.mode))
		inode->rec.nlink = 0;
	else
		inode->rec.nlink--;
	inode->rec.ctime_ns = now_ns;
	if (inode->rec.nlink) {
		f3_batch_put_inode(b, &inode->rec);
		return false;
	}
	inode->rec.parent = 0;
	if (inode->opens) {
		inode->rec.flags |= F3_INO_ORPHAN;
		f3_batch_put_inode(b, &inode->rec);
		f3_batch_put_mark(b, F3_MARK_ORPHAN, inode->ino);
		f3_batch_del_mark(b, F3_MARK_DIRTY, inode->ino);
		return false;
	}
	inode->dead = true;
	f3_batch_del_known_inode(b, &inode->rec);
	return true;
}

void f3_ns_died(struct f3_core *core, struct f3_inode *inode)
{
	if (inode->fill)
		f3_fill_stop(core, inode);
	if (inode->holds)
		f3_hold_drop(core, inode);
	f3_life_gone(core, inode->ino);
}

void f3_ns_reap(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_batch *b;
	bool mine;

	if (f3_batch_new(core->meta, &b))
		return; /* the mark stays: the next start reaps it */
	f3_lock(&inode->lock);
	mine = !inode->dead && !inode->opens && (inode->rec.flags & F3_INO_ORPHAN);
	if (mine) {
		inode->dead = true;
		f3_batch_del_known_inode(b, &inode->rec);
	}
	f3_unlock(&inode->lock);
	if (mine) {
		(void)f3_batch_commit(b); /* as above */
		f3_ns_died(core, inode);
	}
	f3_batch_free(b);
}

/* The change itself, in one batch together with what the store is or was told. epoch: of dir before
 * the name was found to lead to child; EPOCH_NONE: it was not looked up. */
static int remove_local(struct f3_core *core, struct f3_inode *dir, const char *name, size_t len,
			struct f3_inode *child, uint64_t epoch, const struct f3_caller *who,
			struct f3_ns_told *told)
{
	bool is_dir = S_ISDIR(child->rec.mode), died = false;
	/* A directory's own names are locked too: nothing may be made in it meanwhile. */
	struct f3_lock *locks[] = { f3_names_lock(core, dir->ino),
				    is_dir ? f3_names_lock(core, child->ino) : NULL };
	int64_t now = f3_clock_file_ns();
	struct f3_member_left *left = NULL;
	char key[F3_KEY_MAX + 1] = "";
	struct f3_ns_change change;
	struct f3_meta_name found;
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	if (f3_commitsets_live(core))
		(void)f3_inode_key(core, child->ino, key, sizeof(key));
	f3_lock_many(locks, 2);
	if (!f3_ns_unchanged(dir, epoch)) {
		r = f3_meta_get_name(core->meta, dir->ino, name, len, &found);
		if (!r && found.ino != child->ino)
			r = -ESTALE;
	}
	if (!r && is_dir)
		r = f3_meta_dir_has_names(core->meta, child->ino) ? -ENOTEMPTY : 0;
	if (!r)
		r = f3_ns_told_batch(dir->volume, told, b);
	if (!r) {
		f3_ns_change_begin(&change, b, (struct f3_inode *[4]){ dir, child });
		r = f3_commitset_leave_batch(child, key, false, false, b, &left);
		f3_batch_del_name(b, dir->ino, name, len);
		f3_ns_dir_count(dir, -1, is_dir ? -1 : 0, now, b);
		died = f3_ns_drop_name(child, now, b);
		f3_answered_put(core, who, 0, b);
		r = f3_ns_change_end(&change, r);
	}
	f3_unlock_many(locks, 2);
	f3_batch_free(b);
	f3_commitset_left(core, left, r);
	if (!r && died)
		f3_ns_died(core, child);
	return r;
}

static int drop_entry(struct f3_core *core, uint64_t seq)
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

int f3_ns_keep_open(struct f3_core *core, struct f3_inode *inode)
{
	bool wanted;
	int r;

	f3_lock(&inode->lock);
	wanted = S_ISREG(inode->rec.mode) && inode->opens && inode->rec.nlink == 1 &&
		 inode->rec.state != F3_STATE_FAILED && f3_fill_incomplete(inode);
	f3_unlock(&inode->lock);
	r = wanted ? f3_fill_whole(core, inode) : 0;
	/* With no place for it, or nothing to fetch any more, it could not be read either way. */
	return r == -ENOSPC || r == -EDQUOT || r == -ESTALE || r == -ENOENT ? 0 : r;
}

/* What of the object tier has to happen for the removal of `child`, whose commits are held. */
static int remove_from_store(struct f3_core *core, struct f3_inode *dir, struct f3_inode *child,
			     const struct f3_caller *who, struct f3_ns_told *told)
{
	bool is_dir = S_ISDIR(child->rec.mode);
	struct f3_journal_entry *e;
	int r = 0;

	/* Born and deleted before its stage: it never leaves the node. */
	if (!store_knows(child))
		return 0;
	if (!who->may_block)
		return -F3_EWAIT;
	if (is_dir) {
		r = f3_store_dir_list(core, child);
		/* What is told later is checked then. */
		if (r == -EIO && child->rec.class_ != F3_CLASS_DURABLE)
			r = 0;
		if (!r && f3_meta_dir_has_names(core->meta, child->ino))
			r = -ENOTEMPTY;
	}
	if (!r)
		r = f3_ns_keep_open(core, child);
	if (!r)
		r = removal_entry(core, child, dir->ino, &e);
	return r ? r : f3_ns_tell(dir->volume, e, child->rec.class_ == F3_CLASS_DURABLE, told);
}

static int remove_child(struct f3_core *core, struct f3_inode *dir, const char *name, size_t len,
			struct f3_inode *child, uint64_t epoch, const struct f3_caller *who)
{
	bool is_dir = S_ISDIR(child->rec.mode);
	bool last = (is_dir || child->rec.nlink <= 1) && child->volume->store;
	struct f3_commitset *set = NULL;
	struct f3_ns_told told = { 0 };
	bool held;
	int r = 0;

	if (last)
		r = f3_ns_room(child, who);
	if (!r && last)
		r = f3_commitset_enter(core, child, who, &set);
	if (r)
		return r;
	if (last && !who->may_block && f3_stage_running(child)) {
		f3_commitset_leave(set);
		return -F3_EWAIT;
	}
	if (last)
		f3_stage_hold(core, child);
	if (last)
		r = remove_from_store(core, dir, child, who, &told);
	if (!r)
		r = remove_local(core, dir, name, len, child, epoch, who, &told);
	held = told.held;
	f3_ns_told_done(core, &told, r);
	/* The marker went and then a name appeared in the directory: it stays, and has a marker. */
	if (r == -ENOTEMPTY && held)
		f3_ns_dir_mark(core, child);
	if (last)
		f3_stage_release(core, child);
	f3_commitset_leave(set);
	return r;
}

int f3_ns_withdraw(struct f3_core *core, struct f3_inode *inode)
{
	char name[F3_NAME_MAX + 1];
	struct f3_ns_change change;
	struct f3_meta_name found;
	struct f3_lock *lock;
	struct f3_inode *dir;
	struct f3_batch *b;
	bool died = false;
	uint64_t parent;
	size_t len;
	int r;

	f3_lock(&inode->lock);
	parent = inode->rec.parent;
	len = inode->rec.name_len;
	memcpy(name, inode->rec.name, len + 1);
	f3_unlock(&inode->lock);
	r = parent ? f3_inode_get(core, parent, &dir) : -ENOENT;
	if (r)
		return r;
	r = f3_batch_new(core->meta, &b);
	if (r) {
		f3_inode_put(core, dir);
		return r;
	}
	lock = f3_names_lock(core, parent);
	f3_lock(lock);
	r = f3_meta_get_name(core->meta, parent, name, len, &found);
	if (!r && found.ino != inode->ino)
		r = -ESTALE;
	if (!r) {
		f3_ns_change_begin(&change, b, (struct f3_inode *[4]){ dir, inode });
		inode->rec.flags |= F3_INO_WITHDRAWN;
		f3_batch_del_name(b, parent, name, len);
		f3_ns_dir_count(dir, -1, 0, f3_clock_file_ns(), b);
		died = f3_ns_drop_name(inode, f3_clock_file_ns(), b);
		r = f3_ns_change_end(&change, 0);
	}
	f3_unlock(lock);
	f3_batch_free(b);
	if (!r && died)
		f3_ns_died(core, inode);
	if (!r && core->kernel.inval_entry)
		core->kernel.inval_entry(core->kernel.arg, parent, name, len);
	f3_inode_put(core, dir);
	return r;
}

int f3_ns_unmake(struct f3_core *core, struct f3_inode *dir, struct f3_inode *inode)
{
	struct f3_ns_told told = { 0 };
	char name[F3_NAME_MAX + 1];
	int r;

	f3_stage_hold(core, inode);
	f3_lock(&inode->lock);
	memcpy(name, inode->rec.name, sizeof(name));
	f3_unlock(&inode->lock);
	/* An object whose making was not confirmed goes as soon as the store answers. */
	if (!S_ISDIR(inode->rec.mode) && store_knows(inode) &&
	    !removal_entry(core, inode, dir->ino, &told.e))
		(void)f3_ns_tell(dir->volume, told.e, false, &told);
	r = remove_local(core, dir, name, strlen(name), inode, EPOCH_NONE, NULL, &told);
	f3_ns_told_done(core, &told, r);
	f3_stage_release(core, inode);
	return r;
}

static int remove_name(struct f3_core *core, uint64_t parent, const char *name, bool is_dir,
		       const struct f3_caller *who)
{
	struct f3_inode *dir = NULL, *child = NULL;
	uint64_t epoch = EPOCH_NONE;
	size_t len;
	int r = f3_ns_name_check(name, &len);

	if (!r)
		r = f3_ns_dir_get(core, parent, &dir);
	if (!r)
		epoch = f3_ns_epoch(dir);
	if (!r)
		r = child_of(core, parent, name, len, &child);
	if (!r && is_dir != S_ISDIR(child->rec.mode))
		r = is_dir ? -ENOTDIR : -EISDIR;
	if (!r)
		r = remove_child(core, dir, name, len, child, epoch, who);
	f3_inode_put(core, child);
	f3_inode_put(core, dir);
	return r;
}

int f3_ns_unlink(struct f3_core *core, uint64_t parent, const char *name,
		 const struct f3_caller *who)
{
	return remove_name(core, parent, name, false, who);
}

int f3_ns_rmdir(struct f3_core *core, uint64_t parent, const char *name,
		const struct f3_caller *who)
{
	return remove_name(core, parent, name, true, who);
}

int f3_ns_replay(struct f3_core *core, const struct f3_journal_entry *e)
{
	struct f3_inode *dir = NULL, *inode = NULL;
	struct f3_ns_told told = { .held = true };
	char name[F3_NAME_MAX + 1], key[F3_KEY_MAX + 1] = "";
	bool removal = e->type == F3_JOURNAL_DELETE || e->type == F3_JOURNAL_RMDIR;
	bool here = false;
	int r = 0;

	/* Names that changed together with the entry have changed. Bytes that are not up yet are
	 * kept from being removed, and follow a rename. */
	if (e->ino && (e->type != F3_JOURNAL_MKDIR) && !f3_inode_get(core, e->ino, &inode)) {
		(void)f3_inode_key(core, e->ino, key, sizeof(key));
		f3_lock(&inode->lock);
		memcpy(name, inode->rec.name, sizeof(name));
		here = !inode->dead && inode->rec.parent == e->dir1 && !strcmp(key, e->key) &&
		       (!removal || (!(inode->rec.flags & F3_INO_DIRTY) &&
				     inode->rec.state != F3_STATE_WRITING));
		f3_unlock(&inode->lock);
	}
	if (here)
		here = !f3_inode_get(core, e->dir1, &dir);
	told.e = malloc(sizeof(*told.e));
	if (!told.e) {
		r = -ENOMEM;
	} else {
		*told.e = *e;
		r = -ENOENT;
		if (here && removal)
			r = remove_local(core, dir, name, strlen(name), inode, EPOCH_NONE, NULL,
					 &told);
		else if (here)
			r = f3_ns_rename_replayed(core, dir, name, inode, &told);
		/* Nothing to change, or it cannot be changed any more: what the store shows counts. */
		if (r)
			r = drop_entry(core, e->seq);
	}
	free(told.e);
	f3_inode_put(core, dir);
	f3_inode_put(core, inode);
	return r;
}
