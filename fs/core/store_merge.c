/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/store_dir.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/core/escape.h"
#include "fs/core/journal_run.h"
#include "fs/core/ns.h"
#include "fs/core/stage.h"
#include "fs/core/store_attr.h"

#define DEPTH_MAX (PATH_MAX / 2)

/* What becomes of one name. */
enum fate {
	KEEP,
	REFRESH, /* the same object; it says something new about itself */
	ADD,
	REPLACE, /* another object: another inode */
	REMOVE,
};

struct one {
	struct f3_merge_name *m;
	enum fate fate;
	struct f3_inode *old; /* referenced; the inode the name leads to, where needed */
	bool old_died;
	bool shown; /* the kernel may know what is not right any more */
	/* Of the old one, if it was changed, as it was before. */
	bool altered, was_dead, was_superseded;
	struct f3_inode_rec was;
	uint32_t flags_changed;
	struct f3_inode_rec rec; /* of the new inode */
	struct f3_placement_result place;
};

struct merge {
	struct f3_core *core;
	struct f3_inode *dir;
	uint64_t asked_ns;
	int64_t now_ns;
	struct f3_store_owner owner; /* of what does not say */
	char key[F3_KEY_MAX + 1]; /* of the directory */
	int depth;
	bool unsure;
};

bool f3_store_knows_better(struct f3_core *core, struct f3_inode *inode, const char *key,
			   uint64_t asked_ns)
{
	const struct f3_inode_rec *rec = &inode->rec;
	bool better;

	(void)core;
	f3_lock(&inode->lock);
	better = inode->checked_mono_ns > asked_ns;
	if (S_ISDIR(rec->mode))
		better |= (rec->flags & (F3_INO_LOCAL_TREE | F3_INO_ATTR_DIRTY)) || inode->stage;
	else
		better |= !f3_class_in_store((enum f3_class)rec->class_) || inode->stage ||
			  inode->stage_held || (rec->flags & F3_INO_DIRTY) ||
			  rec->state == F3_STATE_WRITING || !rec->etag[0];
	f3_unlock(&inode->lock);
	return better || f3_journal_covers(inode->volume, inode->ino, key);
}

static int child_key(const struct merge *mg, const char *name, char *out, size_t size)
{
	size_t len = strlen(mg->key), n = strlen(name);

	if (len + n + 2 > size)
		return -ENAMETOOLONG;
	memcpy(out, mg->key, len);
	if (len)
		out[len++] = '/';
	memcpy(out + len, name, n + 1);
	return f3_unescape_path(out + len);
}

/* ---- Deciding. Names lock held. ---- */

/* The record of what the name leads to, from memory if it is there. */
static int record_of(struct f3_core *core, uint64_t ino, struct f3_inode_rec *ret_rec)
{
	struct f3_inode *inode = f3_inode_peek(core, ino);
	int r;

	if (!inode)
		return f3_meta_get_inode(core->meta, ino, ret_rec);
	f3_lock(&inode->lock);
	r = inode->dead ? -ENOENT : f3_inode_rec_copy(ret_rec, &inode->rec);
	f3_unlock(&inode->lock);
	f3_inode_put(core, inode);
	return r;
}

static enum fate fate_of(const struct f3_volume *v, const struct f3_inode_rec *rec,
			 const struct f3_obj_info *info)
{
	bool is_dir = S_ISDIR(rec->mode);

	if (!info)
		return REMOVE;
	if (is_dir != info->is_dir)
		return REPLACE;
	if (!is_dir && strcmp(rec->etag, info->etag) != 0)
		return REPLACE;
	/* What is not proved any more is asked for when it is wanted. */
	if (!info->have_attr)
		return rec->modified_ns && !f3_store_attr_proved(info, rec) ? REFRESH : KEEP;
	if (!is_dir && f3_store_attr_type(info) != (rec->mode & S_IFMT))
		return REPLACE;
	if (is_dir && !!(rec->flags & F3_INO_IMPLICIT) != info->implicit)
		return REFRESH;
	if (is_dir && !info->implicit && !(rec->flags & F3_INO_MARKER))
		return REFRESH;
	if (!(rec->flags & F3_INO_ATTR_DIRTY) &&
	    (f3_store_attr_differs(info, rec) || (rec->flags & F3_INO_GUESSED)))
		return REFRESH;
	if (!is_dir && !v->store->caps.list_has_attr && !f3_store_attr_proved(info, rec))
		return REFRESH;
	return KEEP;
}

/* With the store when it was asked. What a listing says its directory remembers. */
static void agreed(const struct merge *mg, struct f3_inode *inode)
{
	f3_lock(&inode->lock);
	if (inode->checked_mono_ns < mg->asked_ns)
		inode->checked_mono_ns = mg->asked_ns;
	f3_unlock(&inode->lock);
}

/* One that stays, or is new. */
static void found_so(const struct merge *mg, const struct one *one, uint64_t ino)
{
	struct f3_inode *inode;

	if (!one->m->asked || f3_inode_get(mg->core, ino, &inode))
		return;
	agreed(mg, inode);
	f3_inode_put(mg->core, inode);
}

static int decide(struct merge *mg, struct one *one)
{
	struct f3_core *core = mg->core;
	const struct f3_obj_info *info = one->m->info;
	struct f3_meta_name found;
	struct f3_inode_rec rec;
	char key[F3_KEY_MAX + 1];
	int r = f3_meta_get_name(core->meta, mg->dir->ino, one->m->name, strlen(one->m->name),
				 &found);

	one->fate = KEEP;
	if (r && r != -ENOENT)
		return r;
	if (r && !info)
		return 0;
	if (child_key(mg, one->m->name, key, sizeof(key)))
		return 0;
	if (r) {
		if (f3_journal_covers(mg->dir->volume, 0, key))
			return 0;
		/* It may be what was removed a moment ago. */
		f3_lock(&mg->dir->lock);
		if (mg->dir->gone_mono_ns >= mg->asked_ns)
			mg->unsure = true;
		else
			one->fate = ADD;
		f3_unlock(&mg->dir->lock);
		return 0;
	}
	r = record_of(core, found.ino, &rec);
	if (r)
		return r == -ENOENT ? 0 : r;
	one->fate = fate_of(mg->dir->volume, &rec, info);
	f3_inode_rec_done(&rec);
	if (one->fate == KEEP) {
		found_so(mg, one, found.ino);
		return 0;
	}
	r = f3_inode_get(core, found.ino, &one->old);
	if (r) {
		one->fate = KEEP;
		return r == -ENOENT ? 0 : r;
	}
	if (f3_store_knows_better(core, one->old, key, mg->asked_ns)) {
		one->fate = KEEP;
	} else if (S_ISDIR(one->old->rec.mode) && one->fate != REFRESH &&
		   f3_meta_dir_has_names(core->meta, one->old->ino)) {
		/* Something in it is only here: the directory stays for it. */
		one->fate = KEEP;
	}
	return 0;
}

/* ---- Changing. Names lock held. ---- */

static int fill_record(struct merge *mg, struct one *one, struct f3_batch *b)
{
	const struct f3_obj_info *info = one->m->info;
	struct f3_volume *v = mg->dir->volume;
	struct f3_inode_rec *rec = &one->rec;
	size_t len = strlen(one->m->name);
	int r = f3_meta_new_ino(mg->core->meta, &rec->ino);

	if (r)
		return r;
	f3_meta_new_id(mg->core->meta, &rec->id);
	r = f3_store_attr_put(v, info, &mg->owner, mg->now_ns, rec, b);
	if (r)
		return r;
	rec->nlink = info->is_dir ? 2 : 1;
	rec->btime_ns = rec->mtime_ns;
	rec->volume = v->id;
	rec->class_ = (uint8_t)one->place.class_;
	rec->class_source = (uint8_t)one->place.source;
	rec->backing_class = F3_CLASS_EPHEMERAL;
	rec->generation = 1;
	rec->parent = mg->dir->ino;
	rec->name_len = (uint8_t)len;
	memcpy(rec->name, one->m->name, len + 1);
	memcpy(rec->etag, info->etag, sizeof(rec->etag));
	if (info->is_dir && info->have_attr)
		rec->flags |= info->implicit ? F3_INO_IMPLICIT : F3_INO_MARKER;
	if (S_ISREG(rec->mode)) {
		if (one->place.stream)
			rec->flags |= F3_INO_STREAMS;
		rec->size = rec->store_size = info->size;
		rec->state = F3_STATE_REMOTE;
	}
	if (one->m->target) {
		rec->target = one->m->target;
		rec->target_len = (uint16_t)strlen(rec->target);
		rec->size = rec->target_len;
		one->m->target = NULL;
	}
	return 0;
}

/* What readdir says of the type. An object that is larger than any link has bytes. */
static uint8_t type_shown(const struct f3_inode_rec *rec)
{
	return (rec->flags & F3_INO_GUESSED) && !S_ISDIR(rec->mode) && rec->size <= F3_SYMLINK_MAX ?
		       DT_UNKNOWN :
		       f3_ns_dtype(rec->mode);
}

static int add(struct merge *mg, struct one *one, struct f3_batch *b)
{
	int r = fill_record(mg, one, b);

	if (r)
		return r;
	f3_batch_put_inode(b, &one->rec);
	f3_batch_put_name(b, mg->dir->ino, one->m->name, strlen(one->m->name), one->rec.ino,
			  type_shown(&one->rec));
	return 0;
}

/* Before the old inode is changed. Its lock held. */
static void remember(struct one *one)
{
	one->altered = true;
	one->was_dead = one->old->dead;
	one->was_superseded = one->old->superseded;
	one->was = one->old->rec;
}

/* The batch did not get through: what was changed here is as before. Others may have changed the rest
 * of the record meanwhile. */
static void take_back(struct one *one)
{
	struct f3_inode *inode = one->old;
	struct f3_inode_rec *rec = &inode->rec;

	if (!one->altered)
		return;
	f3_lock(&inode->lock);
	inode->dead = one->was_dead;
	inode->superseded = one->was_superseded;
	rec->flags ^= one->flags_changed;
	rec->nlink = one->was.nlink;
	rec->parent = one->was.parent;
	rec->mode = one->was.mode;
	rec->uid = one->was.uid;
	rec->gid = one->was.gid;
	rec->rdev = one->was.rdev;
	rec->mtime_ns = one->was.mtime_ns;
	rec->ctime_ns = one->was.ctime_ns;
	rec->modified_ns = one->was.modified_ns;
	f3_unlock(&inode->lock);
}

static void drop_old(struct merge *mg, struct one *one, struct f3_batch *b)
{
	f3_lock(&one->old->lock);
	remember(one);
	one->old_died = f3_ns_drop_name(one->old, mg->now_ns, b);
	one->flags_changed = one->was.flags ^ one->old->rec.flags;
	one->old->superseded = true;
	f3_unlock(&one->old->lock);
}

static int refresh(struct merge *mg, struct one *one, struct f3_batch *b)
{
	const struct f3_obj_info *info = one->m->info;
	struct f3_inode *inode = one->old;
	struct f3_inode_rec *rec = &inode->rec;
	int64_t atime_ns = rec->atime_ns;
	int r = 0;

	f3_lock(&inode->lock);
	remember(one);
	if (!info->have_attr) {
		rec->modified_ns = 0;
		inode->checked_mono_ns = 0;
	} else if (rec->flags & F3_INO_GUESSED) {
		one->shown = inode->volume->listed_attr && f3_store_attr_differs(info, rec);
		r = f3_store_attr_put(inode->volume, info, &mg->owner, mg->now_ns, rec, b);
		f3_batch_put_name(b, mg->dir->ino, one->m->name, strlen(one->m->name), inode->ino,
				  type_shown(rec));
	} else if (f3_store_attr_differs(info, rec) && !(rec->flags & F3_INO_ATTR_DIRTY)) {
		one->shown = true;
		r = f3_store_attr_put(inode->volume, info, &mg->owner, mg->now_ns, rec, b);
		rec->atime_ns = atime_ns;
	} else if (!info->is_dir && !inode->volume->store->caps.list_has_attr) {
		rec->modified_ns = info->modified_ns;
	}
	if (info->is_dir && info->have_attr) {
		rec->flags &= ~(uint32_t)(F3_INO_IMPLICIT | F3_INO_MARKER);
		rec->flags |= info->implicit ? F3_INO_IMPLICIT : F3_INO_MARKER;
	}
	one->flags_changed = one->was.flags ^ rec->flags;
	f3_batch_put_inode(b, rec);
	f3_unlock(&inode->lock);
	return r;
}

static int change(struct merge *mg, struct one *one, struct f3_batch *b, int *names, int *subdirs)
{
	const struct f3_obj_info *info = one->m->info;
	bool was_dir = one->old && S_ISDIR(one->old->rec.mode);
	size_t len = strlen(one->m->name);
	int r = 0;

	switch (one->fate) {
	case KEEP:
		return 0;
	case REFRESH:
		return refresh(mg, one, b);
	case ADD:
		r = add(mg, one, b);
		*names += 1;
		*subdirs += info->is_dir;
		break;
	case REPLACE:
		drop_old(mg, one, b);
		r = add(mg, one, b);
		*subdirs += info->is_dir - was_dir;
		break;
	case REMOVE:
		drop_old(mg, one, b);
		f3_batch_del_name(b, mg->dir->ino, one->m->name, len);
		*names -= 1;
		*subdirs -= was_dir;
		break;
	}
	return r;
}

/* ---- Around the lock ---- */

/* An inode whose class is decided by its name here; whatever the rules say, it is in the store. */
static int place(struct merge *mg, struct one *one)
{
	const struct f3_placement *p = &mg->dir->volume->placement;
	int r;

	if (!one->m->info)
		return 0;
	r = f3_ns_place(mg->core, mg->dir, one->m->name, one->m->info->is_dir, NULL, &one->place);
	if (r)
		return r;
	if (!f3_class_in_store(one->place.class_)) {
		one->place.class_ = f3_class_in_store(p->dflt) ? p->dflt : F3_CLASS_DURABLE;
		one->place.source = F3_FROM_DEFAULT;
	}
	return 0;
}

static int purge(struct merge *mg, struct f3_inode *dir);

/* A directory that is none any more in the store: what of it was only seen there goes first. */
static int clear_way(struct merge *mg, const struct f3_merge_name *m)
{
	struct f3_meta_name found;
	struct f3_inode *inode;
	int r;

	if (m->info && m->info->is_dir)
		return 0;
	r = f3_meta_get_name(mg->core->meta, mg->dir->ino, m->name, strlen(m->name), &found);
	if (r || found.d_type != DT_DIR)
		return r == -ENOENT ? 0 : r;
	r = f3_inode_get(mg->core, found.ino, &inode);
	if (r)
		return r == -ENOENT ? 0 : r;
	r = f3_ns_dir_in_store(inode) ? purge(mg, inode) : 0;
	f3_inode_put(mg->core, inode);
	return r;
}

static void after(struct merge *mg, struct one *one)
{
	struct f3_core *core = mg->core;
	struct f3_volume *v = mg->dir->volume;
	bool inval = one->fate == REPLACE || one->fate == REMOVE;

	if (one->fate == ADD || one->fate == REPLACE) {
		v->used_inodes++;
		f3_volume_account(v, (int64_t)f3_file_charge(&one->rec));
		found_so(mg, one, one->rec.ino);
	}
	if (one->old_died)
		f3_ns_died(core, one->old);
	if (inval && core->kernel.inval_entry)
		core->kernel.inval_entry(core->kernel.arg, mg->dir->ino, one->m->name,
					 strlen(one->m->name));
	if (one->fate == REFRESH && one->m->asked)
		agreed(mg, one->old);
	if (one->shown && core->kernel.inval_inode)
		core->kernel.inval_inode(core->kernel.arg, one->old->ino);
}

/* The batch did not get through: memory goes back to what it was. */
static void uncount(struct f3_inode *dir, int names, int subdirs)
{
	f3_lock(&dir->lock);
	dir->rec.size -= (uint64_t)(int64_t)names;
	dir->rec.nlink -= (uint32_t)subdirs;
	f3_unlock(&dir->lock);
}

static int merge(struct merge *mg, struct f3_merge_name *names, size_t n)
{
	struct f3_lock *lock = f3_names_lock(mg->core, mg->dir->ino);
	struct one *ones = calloc(n, sizeof(*ones));
	int n_names = 0, n_subdirs = 0, r = ones ? 0 : -ENOMEM;
	struct f3_batch *b = NULL;
	bool any = false, changed = false;

	for (size_t i = 0; i < n && !r; i++) {
		ones[i].m = &names[i];
		r = clear_way(mg, &names[i]);
		if (!r)
			r = place(mg, &ones[i]);
	}
	if (!r)
		r = f3_batch_new(mg->core->meta, &b);
	if (r)
		goto out;
	mg->now_ns = f3_clock_file_ns();
	f3_lock(lock);
	for (size_t i = 0; i < n && !r && !mg->dir->dead; i++) {
		r = decide(mg, &ones[i]);
		if (!r)
			r = change(mg, &ones[i], b, &n_names, &n_subdirs);
		any |= ones[i].fate != KEEP;
		changed |= ones[i].fate != KEEP && ones[i].fate != REFRESH;
	}
	if (!r && changed)
		f3_ns_dir_changed(mg->dir, n_names, n_subdirs, mg->now_ns, b);
	if (!r && any) {
		r = f3_batch_commit(b);
		if (r && changed)
			uncount(mg->dir, n_names, n_subdirs);
	}
	for (size_t i = 0; i < n && r; i++)
		take_back(&ones[i]);
	f3_unlock(lock);
out:
	f3_batch_free(b);
	for (size_t i = 0; ones && i < n; i++) {
		if (!r)
			after(mg, &ones[i]);
		f3_inode_put(mg->core, ones[i].old);
		f3_inode_rec_done(&ones[i].rec);
	}
	free(ones);
	return r;
}

/* Drops all names of a directory that were only seen in the store. */
static int purge(struct merge *mg, struct f3_inode *dir)
{
	struct merge *below;
	struct f3_merge_name *names;
	struct f3_meta_name found;
	struct f3_meta_dir *d = NULL;
	const char *name;
	size_t len, n = 0;
	int r = 0;

	if (mg->depth >= DEPTH_MAX)
		return -ENAMETOOLONG;
	below = malloc(sizeof(*below));
	names = calloc(F3_MERGE_MAX, sizeof(*names));
	if (!below || !names) {
		free(below);
		free(names);
		return -ENOMEM;
	}
	*below = *mg;
	below->dir = dir;
	below->depth++;
	r = f3_inode_key(mg->core, dir->ino, below->key, sizeof(below->key));
	if (!r)
		r = f3_meta_dir_open(mg->core->meta, dir->ino, 0, &d);
	while (!r && (r = f3_meta_dir_next(d, &found, &name, &len)) == 1) {
		r = 0;
		memset(&names[n], 0, sizeof(names[n]));
		memcpy(names[n].name, name, len);
		if (++n == F3_MERGE_MAX) {
			r = merge(below, names, n);
			n = 0;
		}
	}
	f3_meta_dir_close(d);
	if (!r && n)
		r = merge(below, names, n);
	free(names);
	free(below);
	return r == -ENOENT ? 0 : r;
}

int f3_store_merge(struct f3_core *core, struct f3_inode *dir, struct f3_merge_name *names,
		   size_t n, uint64_t asked_ns, bool *ret_unsure)
{
	struct merge *mg = calloc(1, sizeof(*mg));
	int r;

	*ret_unsure = false;
	if (!mg)
		return -ENOMEM;
	mg->core = core;
	mg->dir = dir;
	mg->asked_ns = asked_ns;
	f3_store_attr_owner(dir->volume, &mg->owner);
	r = f3_inode_key(core, dir->ino, mg->key, sizeof(mg->key));
	if (!r)
		r = merge(mg, names, n);
	*ret_unsure = mg->unsure;
	free(mg);
	return r == -ENOENT ? -ESTALE : r;
}
