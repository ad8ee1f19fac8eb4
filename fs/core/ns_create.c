/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ns_create: names come: files, directories, links.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/core/acl.h"
#include "fs/core/activation.h"
#include "fs/core/answered.h"
#include "fs/core/commitset.h"
#include "fs/core/evict.h"
#include "fs/core/journal_run.h"
#include "fs/core/ns.h"
#include "fs/core/stage.h"

/* One object in the making. */
struct making {
	struct f3_core *core;
	struct f3_inode *dir;
	const char *name; /* NULL: O_TMPFILE */
	size_t len;
	struct f3_inode_rec rec;
	struct f3_buf acl, dflt; /* inherited ACLs, empty if none */
	struct f3_placement_result place;
	struct f3_batch *b;
	struct f3_ns_told told; /* what the store is told after it */
	struct f3_commitset *set; /* that it joins; referenced */
	bool charged;
	const struct f3_caller *who;
};

static int inherit_acl(struct making *mk, uint32_t dir_flags, mode_t umask_)
{
	static const char dflt[] = F3_ACL_DEFAULT;
	mode_t mode;
	int r;

	if (!(dir_flags & F3_INO_HAS_DEFAULT_ACL)) {
		mk->rec.mode &= ~(uint32_t)umask_ | S_IFMT;
		return 0;
	}
	r = f3_meta_get_xattr(mk->core->meta, mk->dir->ino, dflt, sizeof(dflt) - 1, &mk->dflt);
	if (r)
		return r;
	r = f3_acl_create(mk->dflt.data, mk->dflt.len, mk->rec.mode, &mode, &mk->acl);
	if (r)
		return r;
	mk->rec.mode = mode;
	if (mk->acl.len)
		mk->rec.flags |= F3_INO_HAS_ACL | F3_INO_HAS_XATTR;
	if (S_ISDIR(mode))
		mk->rec.flags |= F3_INO_HAS_DEFAULT_ACL | F3_INO_HAS_XATTR;
	else
		mk->dflt.len = 0;
	return 0;
}

static void making_done(struct making *mk)
{
	if (mk->charged)
		f3_volume_uncharge(mk->dir->volume, 0, 1);
	f3_commitset_put(mk->set);
	f3_batch_free(mk->b);
	f3_buf_done(&mk->acl);
	f3_buf_done(&mk->dflt);
	f3_inode_rec_done(&mk->rec);
	f3_inode_put(mk->core, mk->dir);
}

/* Everything of a new object that does not depend on whether the name is free. */
static int making_init(struct making *mk, struct f3_core *core, uint64_t parent, const char *name,
		       mode_t mode, const struct f3_caller *who)
{
	struct f3_inode_rec *rec = &mk->rec;
	uint32_t dir_flags;
	int r;

	memset(mk, 0, sizeof(*mk));
	mk->core = core;
	mk->name = name;
	mk->who = who;
	f3_buf_init(&mk->acl, F3_XATTR_VALUE_MAX);
	f3_buf_init(&mk->dflt, F3_XATTR_VALUE_MAX);
	r = name ? f3_ns_name_check(name, &mk->len) : 0;
	if (!r)
		r = f3_ns_dir_get(core, parent, &mk->dir);
	if (r)
		return r;
	rec->mode = (uint32_t)mode;
	rec->uid = who->uid;
	rec->gid = who->gid;
	f3_lock(&mk->dir->lock);
	dir_flags = mk->dir->rec.flags;
	if (mk->dir->rec.mode & S_ISGID) {
		rec->gid = mk->dir->rec.gid;
		if (S_ISDIR(mode))
			rec->mode |= S_ISGID;
	}
	f3_unlock(&mk->dir->lock);
	r = inherit_acl(mk, dir_flags, who->umask);
	if (!r)
		r = f3_ns_place(core, mk->dir, name ? name : "", S_ISDIR(mode), who, &mk->place);
	if (!r && name)
		r = f3_ns_key_check(core, mk->dir, name, mk->place.class_);
	if (r)
		return r;
	if (!name && f3_class_in_store(mk->place.class_)) {
		/* Without a name there is nothing to be durable under; linkat(2) decides again. */
		mk->place.class_ = F3_CLASS_EPHEMERAL;
		mk->place.source = F3_FROM_DEFAULT;
	}
	if (f3_commitsets_live(core) && name && !S_ISDIR(mode) && mk->dir->volume->store &&
	    f3_class_in_store(mk->place.class_))
		mk->set = f3_act_set_of(core, who, mk->dir, name);
	rec->class_ = (uint8_t)mk->place.class_;
	rec->class_source = (uint8_t)mk->place.source;
	if (mk->place.stream && S_ISREG(mode))
		rec->flags |= F3_INO_STREAMS;
	rec->backing_class =
		mk->place.class_ == F3_CLASS_MEMORY ? F3_CLASS_MEMORY : F3_CLASS_EPHEMERAL;
	if (S_ISDIR(mode) && !f3_class_in_store(mk->place.class_))
		rec->flags |= F3_INO_LOCAL_TREE;
	rec->volume = mk->dir->volume->id;
	rec->nlink = S_ISDIR(mode) ? 2 : name ? 1 : 0;
	if (!name)
		rec->flags |= F3_INO_ORPHAN;
	rec->atime_ns = rec->mtime_ns = rec->ctime_ns = rec->btime_ns = f3_clock_file_ns();
	r = f3_volume_charge(mk->dir->volume, 0, 1);
	if (r)
		return r;
	mk->charged = true;
	r = f3_batch_new(core->meta, &mk->b);
	f3_meta_new_id(core->meta, &rec->id);
	if (name) {
		rec->parent = parent;
		rec->name_len = (uint8_t)mk->len;
		memcpy(rec->name, name, mk->len + 1);
	}
	return r;
}

/* Names lock held. */
static int name_is_free(struct making *mk)
{
	struct f3_meta_name found;
	int r;

	if (mk->dir->dead)
		return -ENOENT; /* removed while we came */
	r = f3_meta_get_name(mk->core->meta, mk->dir->ino, mk->name, mk->len, &found);
	return r == -ENOENT ? 0 : r ? r : -EEXIST;
}

/* Names lock held: everything in one batch, then memory. The record moves into the inode. */
static int making_commit(struct making *mk, struct f3_inode **ret_inode)
{
	struct f3_inode_rec *rec = &mk->rec;
	bool is_dir = S_ISDIR(rec->mode);
	struct f3_ns_change change;
	struct f3_inode *inode;
	bool joins;
	int r = mk->name ? name_is_free(mk) : mk->dir->dead ? -ENOENT : 0;

	if (r)
		return r;
	if (mk->name)
		f3_batch_put_name(mk->b, mk->dir->ino, mk->name, mk->len, rec->ino,
				  f3_ns_dtype(rec->mode));
	if (mk->acl.len)
		f3_batch_put_xattr(mk->b, rec->ino, F3_ACL_ACCESS, sizeof(F3_ACL_ACCESS) - 1,
				   mk->acl.data, mk->acl.len);
	if (mk->dflt.len)
		f3_batch_put_xattr(mk->b, rec->ino, F3_ACL_DEFAULT, sizeof(F3_ACL_DEFAULT) - 1,
				   mk->dflt.data, mk->dflt.len);
	f3_batch_put_inode(mk->b, rec);
	r = f3_ns_told_batch(mk->dir->volume, &mk->told, mk->b);
	if (!r)
		r = f3_inode_add(mk->core, rec, &inode);
	if (r)
		return r;
	joins = mk->set && f3_commitset_join_batch(mk->set, inode->ino, mk->b);
	f3_ns_change_begin(&change, mk->b, (struct f3_inode *[4]){ mk->name ? mk->dir : NULL });
	if (mk->name)
		f3_ns_dir_count(mk->dir, 1, is_dir, inode->rec.ctime_ns, mk->b);
	f3_answered_put(mk->core, mk->who, inode->ino, mk->b);
	r = f3_ns_change_end(&change, 0);
	if (joins)
		f3_commitset_joined(mk->set, r ? NULL : inode);
	mk->charged = false;
	if (r) {
		/* Its end gives back what it was charged for. */
		inode->dead = inode->forgotten = true;
		f3_inode_put(mk->core, inode);
		return r;
	}
	*ret_inode = inode;
	return 0;
}

/* Symlinks and special files have no close(): they go to the store as they are made. */
static int publish_object(struct making *mk, struct f3_inode *inode)
{
	int r;

	if (inode->rec.class_ == F3_CLASS_DURABLE)
		return f3_ns_commit_wait(mk->core, inode);
	r = f3_stage_commit(mk->core, inode, NULL);
	return r < 0 ? r : 0;
}

static struct f3_journal_entry *marker_entry(struct f3_core *core, struct f3_inode *dir,
					     const char *name, const struct f3_inode_rec *rec,
					     int *ret_error)
{
	struct f3_journal_entry *e = calloc(1, sizeof(*e));

	*ret_error = -ENOMEM;
	if (!e)
		return NULL;
	e->type = F3_JOURNAL_MKDIR;
	e->volume = rec->volume;
	e->ino = rec->ino;
	e->dir1 = dir->ino;
	e->id = rec->id;
	e->generation = rec->generation;
	*ret_error = f3_ns_key(core, dir, name, e->key, sizeof(e->key));
	return e;
}

static int make_object(struct making *mk, const struct f3_caller *who, struct f3_entry *ret_e)
{
	bool store = f3_class_in_store(mk->place.class_) && mk->dir->volume->store;
	bool durable = mk->place.class_ == F3_CLASS_DURABLE, is_dir = S_ISDIR(mk->rec.mode);
	struct f3_lock *lock = f3_names_lock(mk->core, mk->dir->ino);
	struct f3_journal_entry *e = NULL;
	struct f3_inode *inode = NULL;
	int r = store ? f3_journal_room(mk->dir->volume, who) : 0;

	if (r)
		return r;
	if (store && durable && !who->may_block)
		return -F3_EWAIT;
	r = f3_meta_new_ino(mk->core->meta, &mk->rec.ino);
	if (!r && store && is_dir)
		e = marker_entry(mk->core, mk->dir, mk->name, &mk->rec, &r);
	if (r) {
		free(e);
		return r;
	}
	if (e && !durable) {
		mk->told.e = e;
		e = NULL;
	} else if (store && !is_dir) {
		mk->rec.flags |= F3_INO_DIRTY;
		f3_batch_put_mark(mk->b, F3_MARK_DIRTY, mk->rec.ino);
	}
	f3_lock(lock);
	r = making_commit(mk, &inode);
	f3_unlock(lock);
	f3_ns_told_done(mk->core, &mk->told, r);
	if (!r && store) {
		/* The marker of a durable directory is there at return. */
		f3_debug_point("make.before-store");
		if (e)
			r = f3_journal_tell(mk->dir->volume, e, NULL);
		else if (!is_dir)
			r = publish_object(mk, inode);
		if (r)
			(void)f3_ns_unmake(mk->core, mk->dir, inode);
	}
	free(e);
	/* There was nothing of that name, hence nothing below it. */
	if (!r && store && is_dir) {
		f3_lock(&inode->lock);
		inode->listed_mono_ns = f3_clock_mono_ns();
		f3_unlock(&inode->lock);
	}
	if (!r)
		f3_ns_fill_entry(mk->core, mk->dir, inode, ret_e);
	f3_inode_put(mk->core, inode);
	return r;
}

/* Made by a daemon that died before the store knew of it, perhaps. Inode lock held. */
static bool store_may_wait(const struct f3_inode *dir, const struct f3_inode *inode)
{
	const struct f3_inode_rec *rec = &inode->rec;

	if (inode->dead || rec->class_ != F3_CLASS_DURABLE || !dir->volume->store)
		return false;
	return S_ISDIR(rec->mode) ? !(rec->flags & F3_INO_MARKER) : rec->flags & F3_INO_DIRTY;
}

static int publish_again(struct f3_core *core, struct f3_inode *dir, struct f3_inode *inode)
{
	struct f3_journal_entry *e;
	char name[F3_NAME_MAX + 1];
	int r;

	if (!S_ISDIR(inode->rec.mode))
		return f3_ns_commit_wait(core, inode);
	f3_lock(&inode->lock);
	memcpy(name, inode->rec.name, sizeof(name));
	f3_unlock(&inode->lock);
	e = marker_entry(core, dir, name, &inode->rec, &r);
	if (!r)
		r = f3_journal_tell(dir->volume, e, NULL);
	free(e);
	return r;
}

int f3_ns_made_before(struct f3_core *core, uint64_t parent, uint64_t ino,
		      const struct f3_caller *who, struct f3_entry *ret_e)
{
	struct f3_inode *dir, *inode = NULL;
	bool wait = false;
	int r = f3_inode_get(core, parent, &dir);

	if (r)
		return r;
	r = f3_inode_get(core, ino, &inode);
	if (!r) {
		f3_lock(&inode->lock);
		wait = store_may_wait(dir, inode);
		f3_unlock(&inode->lock);
	}
	if (wait && !who->may_block) {
		r = -F3_EWAIT;
	} else if (wait) {
		r = publish_again(core, dir, inode);
		if (r)
			(void)f3_ns_unmake(core, dir, inode);
	}
	if (!r)
		f3_ns_fill_entry(core, dir, inode, ret_e);
	f3_inode_put(core, inode);
	f3_inode_put(core, dir);
	return r;
}

int f3_ns_mknod(struct f3_core *core, uint64_t parent, const char *name, mode_t mode, dev_t rdev,
		const struct f3_caller *who, struct f3_entry *ret_e)
{
	struct making mk;
	int r = making_init(&mk, core, parent, name, mode, who);

	if (!r) {
		mk.rec.rdev = S_ISBLK(mode) || S_ISCHR(mode) ? rdev : 0;
		r = make_object(&mk, who, ret_e);
	}
	making_done(&mk);
	return r;
}

int f3_ns_symlink(struct f3_core *core, uint64_t parent, const char *name, const char *target,
		  const struct f3_caller *who, struct f3_entry *ret_e)
{
	struct f3_caller no_umask = *who;
	size_t len = strlen(target);
	struct making mk;
	int r;

	if (len > F3_SYMLINK_MAX)
		return -ENAMETOOLONG;
	no_umask.umask = 0;
	r = making_init(&mk, core, parent, name, S_IFLNK | 0777, &no_umask);
	mk.rec.mode = S_IFLNK | 0777; /* no default ACL applies to a symlink */
	mk.rec.flags &= ~(uint32_t)(F3_INO_HAS_ACL | F3_INO_HAS_DEFAULT_ACL | F3_INO_HAS_XATTR);
	mk.acl.len = mk.dflt.len = 0;
	if (!r) {
		mk.rec.target = strdup(target);
		mk.rec.target_len = (uint16_t)len;
		mk.rec.size = len;
		r = mk.rec.target ? make_object(&mk, who, ret_e) : -ENOMEM;
	}
	making_done(&mk);
	return r;
}

int f3_ns_create(struct f3_core *core, uint64_t parent, const char *name, mode_t mode, int flags,
		 const struct f3_caller *who, struct f3_entry *ret_e, struct f3_inode **ret_inode,
		 struct f3_open_plan *ret_plan)
{
	struct f3_stock_item item;
	struct f3_inode *inode = NULL;
	struct f3_stock *stock;
	struct f3_lock *lock;
	struct making mk;
	int r = making_init(&mk, core, parent, name, S_IFREG | (mode & 07777), who);

	if (!r && f3_class_in_store(mk.place.class_) && mk.dir->volume->store) {
		r = f3_evict_room_or_wait(core, 0, who);
		if (!r)
			r = f3_journal_room(mk.dir->volume, who);
	} else if (!r && mk.rec.backing_class != F3_CLASS_MEMORY) {
		r = f3_evict_room(core, 0);
	}
	if (r)
		goto out;
	/* The backing file comes first: a crash in between leaves a file that no record speaks of,
	 * which the next start removes. */
	stock = mk.rec.backing_class == F3_CLASS_MEMORY ? mk.dir->volume->memory_stock :
							  mk.dir->volume->disk_stock;
	r = f3_stock_take(stock, &item);
	if (r)
		goto out;
	f3_debug_point("create.taken");
	mk.rec.ino = item.ino;
	mk.rec.backing = 1;
	mk.rec.state = F3_STATE_WRITING;
	mk.rec.generation = 1;
	f3_batch_put_mark(mk.b, F3_MARK_WRITER, item.ino);
	if (!name)
		f3_batch_put_mark(mk.b, F3_MARK_ORPHAN, item.ino);
	lock = f3_names_lock(core, parent);
	f3_lock(lock);
	r = making_commit(&mk, &inode);
	f3_unlock(lock);
	if (r) {
		f3_stock_drop(stock, &item);
		goto out;
	}
	f3_file_opened_new(core, inode, flags, &item, ret_plan);
	if (f3_class_in_store(mk.place.class_) && mk.dir->volume->store)
		f3_stage_writer_opened(core, inode);
	f3_ns_fill_new_entry(core, mk.dir, inode, ret_e);
	*ret_inode = inode;
out:
	making_done(&mk);
	return r;
}

int f3_ns_link(struct f3_core *core, uint64_t ino, uint64_t parent, const char *name,
	       const struct f3_caller *who, struct f3_entry *ret_e)
{
	struct f3_inode *dir = NULL, *inode = NULL;
	struct f3_batch *b = NULL;
	struct f3_meta_name found;
	struct f3_placement_result place;
	struct f3_ns_change change;
	struct f3_lock *lock;
	enum f3_class class_ = F3_CLASS_NONE;
	bool was_orphan = false;
	size_t len;
	int r = f3_ns_name_check(name, &len);

	if (!r)
		r = f3_ns_dir_get(core, parent, &dir);
	if (!r)
		r = f3_inode_get(core, ino, &inode);
	if (!r) {
		f3_lock(&inode->lock);
		class_ = (enum f3_class)inode->rec.class_;
		was_orphan = (inode->rec.flags & F3_INO_ORPHAN) != 0;
		if (S_ISDIR(inode->rec.mode))
			r = -EPERM;
		f3_unlock(&inode->lock);
	}
	if (!r && inode->volume != dir->volume)
		r = -EXDEV;
	/* An object has one key. */
	if (!r && f3_class_in_store(class_) && inode->volume->store)
		r = -EPERM;
	/* A file without a name (O_TMPFILE) gets the class of its first one. */
	if (!r && was_orphan) {
		r = f3_ns_place(core, dir, name, false, who, &place);
		if (!r)
			r = f3_ns_key_check(core, dir, name, place.class_);
		if (!r && place.class_ != class_ && !who->may_block)
			r = -F3_EWAIT;
	}
	if (!r)
		r = f3_batch_new(core->meta, &b);
	if (r)
		goto out;
	lock = f3_names_lock(core, parent);
	f3_lock(lock);
	r = f3_meta_get_name(core->meta, parent, name, len, &found);
	r = r == -ENOENT ? 0 : r ? r : -EEXIST;
	f3_ns_change_begin(&change, b, (struct f3_inode *[4]){ inode, dir });
	if (!r && (inode->dead || dir->dead))
		r = -ENOENT;
	if (!r && inode->rec.nlink >= 65000)
		r = -EMLINK;
	if (!r) {
		int64_t now = f3_clock_file_ns();

		was_orphan = (inode->rec.flags & F3_INO_ORPHAN) != 0;
		if (was_orphan) {
			inode->rec.flags &= ~(uint32_t)F3_INO_ORPHAN;
			f3_batch_del_mark(b, F3_MARK_ORPHAN, ino);
		}
		inode->rec.nlink++;
		inode->rec.ctime_ns = now;
		f3_ns_set_name(inode, parent, name, len);
		f3_batch_put_inode(b, &inode->rec);
		f3_batch_put_name(b, parent, name, len, ino, f3_ns_dtype(inode->rec.mode));
		f3_ns_dir_count(dir, 1, 0, now, b);
		f3_answered_put(core, who, ino, b);
	}
	r = f3_ns_change_end(&change, r);
	f3_unlock(lock);
	if (!r && was_orphan)
		r = f3_ns_place_again(core, dir, inode, name, who);
	if (!r)
		f3_ns_fill_entry(core, dir, inode, ret_e);
out:
	f3_batch_free(b);
	f3_inode_put(core, inode);
	f3_inode_put(core, dir);
	return r;
}
