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
#include "fs/core/extents.h"
#include "fs/core/fill.h"
#include "fs/core/journal_run.h"
#include "fs/core/ns.h"
#include "fs/core/stage.h"
#include "fs/core/store_dir.h"

/* The name leads to this inode. Reference taken. */
static int child_of(struct f3_core *core, uint64_t parent, const char *name, size_t len,
		    struct f3_inode **ret_child)
{
	struct f3_meta_name found;
	int r = f3_meta_get_name(core->meta, parent, name, len, &found);

	return r ? r : f3_inode_get(core, found.ino, ret_child);
}

/* Does the store have, or may it soon have, an object for this inode? */
static bool store_knows(struct f3_inode *inode)
{
	bool known;

	if (!inode->volume->store)
		return false;
	f3_lock(&inode->lock);
	if (S_ISDIR(inode->rec.mode))
		known = !(inode->rec.flags & F3_INO_LOCAL_TREE);
	else
		known = f3_class_in_store((enum f3_class)inode->rec.class_) &&
			(inode->rec.etag[0] || inode->stage);
	f3_unlock(&inode->lock);
	return known;
}

static struct f3_journal_entry *removal_entry(struct f3_core *core, struct f3_inode *inode,
					      uint64_t parent, int *ret_error)
{
	struct f3_journal_entry *e = calloc(1, sizeof(*e));

	*ret_error = -ENOMEM;
	if (!e)
		return NULL;
	e->type = S_ISDIR(inode->rec.mode) ? F3_JOURNAL_RMDIR : F3_JOURNAL_DELETE;
	e->volume = inode->rec.volume;
	e->ino = inode->ino;
	e->dir1 = parent;
	e->id = inode->rec.id;
	e->generation = inode->rec.generation;
	*ret_error = f3_inode_key(core, inode->ino, e->key, sizeof(e->key));
	f3_lock(&inode->lock);
	snprintf(e->etag, sizeof(e->etag), "%s", inode->rec.etag);
	f3_unlock(&inode->lock);
	if (*ret_error) {
		free(e);
		return NULL;
	}
	return e;
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
	f3_batch_del_inode(b, inode->ino);
	return true;
}

void f3_ns_reap(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_batch *b;
	bool mine;

	if (f3_batch_new(core->meta, &b))
		return;		/* the mark stays: the next start reaps it */
	f3_lock(&inode->lock);
	mine = !inode->dead && !inode->opens && (inode->rec.flags & F3_INO_ORPHAN);
	if (mine) {
		inode->dead = true;
		f3_batch_del_inode(b, inode->ino);
	}
	f3_unlock(&inode->lock);
	if (mine) {
		(void)f3_batch_commit(b);	/* as above */
		if (inode->fill)
			f3_fill_stop(core, inode);
	}
	f3_batch_free(b);
}

/* The change itself, in one batch together with what the store is still to be told. */
static int remove_local(struct f3_core *core, struct f3_inode *dir, const char *name, size_t len,
			struct f3_inode *child, const struct f3_journal_entry *entry)
{
	bool is_dir = S_ISDIR(child->rec.mode), died = false;
	/* A directory's own names are locked too: nothing may be made in it meanwhile. */
	struct f3_lock *locks[] = { f3_names_lock(core, dir->ino),
				    is_dir ? f3_names_lock(core, child->ino) : NULL };
	int64_t now = f3_clock_file_ns();
	struct f3_meta_name found;
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_lock_many(locks, 2);
	r = f3_meta_get_name(core->meta, dir->ino, name, len, &found);
	if (!r && found.ino != child->ino)
		r = -ESTALE;
	if (!r && is_dir)
		r = f3_meta_dir_has_names(core->meta, child->ino) ? -ENOTEMPTY : 0;
	if (!r) {
		f3_batch_del_name(b, dir->ino, name, len);
		f3_ns_dir_changed(dir, -1, is_dir ? -1 : 0, now, b);
		if (entry)
			f3_batch_put_journal(b, entry);
		f3_lock(&child->lock);
		died = f3_ns_drop_name(child, now, b);
		f3_unlock(&child->lock);
		r = f3_batch_commit(b);
	}
	f3_unlock_many(locks, 2);
	f3_batch_free(b);
	if (died && child->fill)
		f3_fill_stop(core, child);
	return r;
}

/* What of the object tier has to happen for the removal of `child`. *ret_entry is set where the
 * store is told afterwards (writeback); for durable names it has been told at return. */
static int remove_from_store(struct f3_core *core, struct f3_inode *dir, struct f3_inode *child,
			     const struct f3_caller *who, struct f3_journal_entry **ret_entry)
{
	bool is_dir = S_ISDIR(child->rec.mode);
	struct f3_journal_entry *e;
	int r = 0;

	if (!store_knows(child)) {
		/* Born and deleted before its stage: it never leaves the node. */
		if (!is_dir && (child->rec.flags & F3_INO_DIRTY))
			f3_stage_drop(core, child);
		return 0;
	}
	if (!who->may_block)
		return -F3_EWAIT;
	if (is_dir) {
		r = f3_store_dir_list(core, child);
		if (!r && f3_meta_dir_has_names(core->meta, child->ino))
			r = -ENOTEMPTY;
		if (r)
			return r;
	} else {
		f3_stage_drop(core, child);
	}
	e = removal_entry(core, child, dir->ino, &r);
	if (!e)
		return r;
	if (child->rec.class_ == F3_CLASS_DURABLE) {
		r = f3_ns_tell_store(core, e);
		free(e);
		return r;
	}
	f3_ns_entry_number(core, e);
	*ret_entry = e;
	return 0;
}

static int remove_name(struct f3_core *core, uint64_t parent, const char *name, bool is_dir,
		       const struct f3_caller *who)
{
	struct f3_inode *dir = NULL, *child = NULL;
	struct f3_journal_entry *e = NULL;
	size_t len;
	int r = f3_ns_name_check(name, &len);

	if (!r)
		r = f3_ns_dir_get(core, parent, &dir);
	if (!r)
		r = child_of(core, parent, name, len, &child);
	if (!r && is_dir != S_ISDIR(child->rec.mode))
		r = is_dir ? -ENOTDIR : -EISDIR;
	if (!r && (is_dir || child->rec.nlink <= 1))
		r = remove_from_store(core, dir, child, who, &e);
	if (!r)
		r = remove_local(core, dir, name, len, child, e);
	if (!r && e)
		r = f3_journal_add(core, e, true, NULL);
	free(e);
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
