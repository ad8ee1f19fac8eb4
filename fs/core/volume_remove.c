/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume_remove: takes a volume away while the daemon runs. Its objects stay in the store.
 *
 * First everything is looked at while the volume serves on: nothing may be open, nothing dirty, and
 * without `purge` no file may be there whose only copy this is. Then the volume leaves the table:
 * no inode of it can be loaded any more, and those in memory are dropped; if one is held after all,
 * the volume goes back. With nobody left everything is looked at again, which is exact now, and the
 * records are deleted from the leaves up, in batches that each leave a tree that is whole: a crash
 * in between leaves a smaller volume, and the command can be repeated. The volume's own record goes
 * last, then its directories.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/core/evict.h"
#include "fs/core/inode.h"
#include "fs/core/sealer.h"
#include "fs/core/stage.h"
#include "fs/core/volume_impl.h"

#define BATCH_NAMES 256u

/* ---- May it go? ------------------------------------------------------------------------------ */

struct look {
	struct f3_core *core;
	struct f3_volume *v;
	bool purge;
	uint64_t ino; /* what is in the way */
	const char *why;
	int error;
};

/* Is its content, or its being there, known nowhere else? */
static bool only_copy(const struct f3_volume *v, const struct f3_inode_rec *rec)
{
	if (rec->ino == v->root_ino)
		return false;
	if (S_ISDIR(rec->mode))
		return (rec->flags & F3_INO_LOCAL_TREE) != 0;
	return !f3_class_in_store((enum f3_class)rec->class_);
}

static int look_at(void *arg, const struct f3_inode_rec *rec)
{
	bool in_store = f3_class_in_store((enum f3_class)rec->class_);
	struct look *l = arg;

	if (rec->volume != l->v->id)
		return 0;
	l->ino = rec->ino;
	l->error = -EBUSY;
	if (S_ISREG(rec->mode) && rec->state == F3_STATE_WRITING)
		l->why = "is written to";
	else if (in_store && ((rec->flags & F3_INO_DIRTY) ||
			      ((rec->flags & F3_INO_ATTR_DIRTY) && f3_stage_attr_alone(l->v, rec))))
		l->why = "is not in the store as it is here";
	else if (in_store && (rec->state == F3_STATE_STAGING || rec->state == F3_STATE_FAILED))
		l->why = "is not in the store";
	else if (rec->state == F3_STATE_MOVING)
		l->why = "is on its way to another class";
	if (l->why)
		return 1;
	l->error = -ENOTEMPTY;
	if (!l->purge && only_copy(l->v, rec))
		l->why = "is only here";
	return l->why != NULL;
}

static void see_open(void *arg, struct f3_inode *inode)
{
	struct look *l = arg;

	if (inode->volume != l->v || l->why)
		return;
	f3_lock(&inode->lock);
	if (inode->opens || inode->mapped) {
		l->why = inode->opens ? "is open" : "is mapped for writing";
		l->ino = inode->ino;
		l->error = -EBUSY;
	}
	f3_unlock(&inode->lock);
}

static int is_of_volume(void *arg, const struct f3_journal_entry *e)
{
	return e->volume == ((struct look *)arg)->v->id && e->type != F3_JOURNAL_UPLOAD;
}

/* 0, -EBUSY or -ENOTEMPTY with the reason. */
static int may_go(struct f3_core *core, struct f3_volume *v, bool purge, struct f3_err *err)
{
	struct look l = { .core = core, .v = v, .purge = purge };
	char path[PATH_MAX];
	int r;

	f3_itable_each(core, see_open, &l);
	r = l.why ? 1 : f3_meta_each_inode(core->meta, 0, look_at, &l);
	if (r < 0)
		return f3_err_set(err, r, "the database cannot be read: %s", strerror(-r));
	if (!l.why) {
		r = f3_meta_each_journal(core->meta, is_of_volume, &l);
		return r ? f3_err_set(
				   err, r < 0 ? r : -EBUSY,
				   "changes of volume %s are on their way to its store: f3ctl sync",
				   v->name) :
			   0;
	}
	if (f3_inode_path(core, l.ino, path, sizeof(path)))
		snprintf(path, sizeof(path), "inode %" PRIu64, l.ino);
	return f3_err_set(err, l.error, "volume %s: %.300s %s%s", v->name, path, l.why,
			  l.error == -ENOTEMPTY ? ": --purge deletes such files" : "");
}

/* ---- Out of the table and back --------------------------------------------------------------- */

static void take_out(struct f3_volumes *vs, struct f3_volume *v)
{
	f3_lock(&vs->lock);
	for (struct f3_volume **p = &vs->first; *p; p = &(*p)->next) {
		if (*p == v) {
			*p = v->next;
			break;
		}
	}
	f3_unlock(&vs->lock);
}

static void put_back(struct f3_volumes *vs, struct f3_volume *v)
{
	f3_lock(&vs->lock);
	f3_volumes_insert(vs, v);
	f3_unlock(&vs->lock);
}

/* One reference is ours. */
static int let_go(struct f3_core *core, struct f3_volume *v, struct f3_err *err)
{
	bool free_;

	take_out(core->volumes, v);
	free_ = f3_itable_drop_volume(core, v);
	/* Its files made ahead are made on this queue. */
	f3_workq_drain(core->transfer);
	f3_sealer_settle(core->sealer);
	if (free_ && v->refs == 1)
		return 0;
	put_back(core->volumes, v);
	return f3_err_set(err, -EBUSY, "volume %s is in use just now: try again", v->name);
}

/* ---- Deleting -------------------------------------------------------------------------------- */

/* A directory under way, whose names go in batches. */
struct level {
	struct level *up;
	struct f3_inode_rec rec;
	uint64_t cookie; /* names up to it are gone */
};

struct dropped {
	uint64_t ino;
	uint32_t number;
	uint8_t backing_class;
	uint64_t blocks, kept;
};

struct deletion {
	struct f3_core *core;
	struct f3_volume *v;
	struct f3_batch *b;
	struct level *level;
	struct dropped files[BATCH_NAMES]; /* to be removed once the batch is committed */
	unsigned n_files, n_names;
};

static void remove_files(struct deletion *d)
{
	for (unsigned i = 0; i < d->n_files; i++) {
		const struct dropped *f = &d->files[i];

		f3_backing_unlink(f3_volume_backing(d->v, (enum f3_class)f->backing_class), f->ino,
				  f->number);
		if (f->backing_class != F3_CLASS_MEMORY)
			f3_evict_account(d->core, -(int64_t)(f->blocks * 512));
		f3_evict_keep(d->core, -(int64_t)f->kept);
	}
	d->n_files = 0;
}

/* The directory of the level as it is after the names of this batch. */
static int commit(struct deletion *d)
{
	int r;

	if (d->level)
		f3_batch_put_inode(d->b, &d->level->rec);
	r = f3_batch_commit(d->b);
	d->n_names = 0;
	if (!r)
		remove_files(d);
	return r;
}

static int enter(struct deletion *d, uint64_t ino)
{
	struct level *l = calloc(1, sizeof(*l));
	int r = l ? f3_meta_get_inode(d->core->meta, ino, &l->rec) : -ENOMEM;

	if (r) {
		free(l);
		return r;
	}
	l->up = d->level;
	d->level = l;
	return 0;
}

static void leave(struct deletion *d)
{
	struct level *l = d->level;

	d->level = l->up;
	f3_inode_rec_done(&l->rec);
	free(l);
}

/* One name of anything but a directory, and the inode with its last name. 1: it has more names,
 * which are counted from what is committed. */
static int drop_file(struct deletion *d, uint64_t ino)
{
	struct f3_inode_rec rec;
	bool more;
	int r = f3_meta_get_inode(d->core->meta, ino, &rec);

	if (r)
		return r == -ENOENT ? 0 : r;
	more = rec.nlink > 1;
	if (more) {
		rec.nlink--;
		f3_batch_put_inode(d->b, &rec);
	} else {
		f3_batch_del_inode(d->b, ino);
		if (S_ISREG(rec.mode) && rec.backing && rec.state != F3_STATE_REMOTE)
			d->files[d->n_files++] =
				(struct dropped){ ino, rec.backing, rec.backing_class, rec.blocks,
						  f3_file_kept(&rec) };
	}
	f3_inode_rec_done(&rec);
	return more;
}

struct next {
	struct f3_meta_name name;
	char text[F3_NAME_MAX];
	size_t len;
};

/* 1 and the first name after the cookie; 0: none; -errno. */
static int next_name(struct f3_core *core, const struct level *l, struct next *ret)
{
	struct f3_meta_dir *dir;
	const char *text;
	int r = f3_meta_dir_open(core->meta, l->rec.ino, l->cookie, &dir);

	if (r)
		return r;
	r = f3_meta_dir_next(dir, &ret->name, &text, &ret->len);
	if (r == 1)
		memcpy(ret->text, text, ret->len);
	f3_meta_dir_close(dir);
	return r;
}

static void drop_name(struct deletion *d, const struct next *n)
{
	struct level *l = d->level;

	f3_batch_del_name(d->b, l->rec.ino, n->text, n->len);
	l->cookie = n->name.cookie;
	if (l->rec.size)
		l->rec.size--;
	d->n_names++;
}

/* The directory of the level is empty: its own name goes, in the directory above. */
static int drop_directory(struct deletion *d)
{
	struct f3_inode_rec rec = d->level->rec;
	struct next n = { .name.ino = rec.ino, .len = rec.name_len };
	int r = commit(d);

	if (r)
		return r;
	memcpy(n.text, rec.name, rec.name_len);
	leave(d);
	n.name.cookie = d->level->cookie;
	drop_name(d, &n);
	d->level->rec.nlink--;
	f3_batch_del_inode(d->b, n.name.ino);
	return 0;
}

static int step(struct deletion *d)
{
	struct next n;
	int r = next_name(d->core, d->level, &n);

	if (r < 0)
		return r;
	if (r == 0)
		return d->level->up ? drop_directory(d) : 1;
	if (n.name.d_type == DT_DIR) {
		d->level->cookie = n.name.cookie;
		return enter(d, n.name.ino);
	}
	r = drop_file(d, n.name.ino);
	if (r < 0)
		return r;
	drop_name(d, &n);
	return r == 1 || d->n_names >= BATCH_NAMES ? commit(d) : 0;
}

/* What has no name: files that were open when the daemon was killed. */
static int drop_orphan(void *arg, const struct f3_inode_rec *rec)
{
	struct deletion *d = arg;

	if (rec->volume != d->v->id || rec->ino == d->v->root_ino)
		return 0;
	f3_batch_del_inode(d->b, rec->ino);
	if (S_ISREG(rec->mode) && rec->backing && rec->state != F3_STATE_REMOTE)
		d->files[d->n_files++] =
			(struct dropped){ rec->ino, rec->backing, rec->backing_class, rec->blocks,
					  f3_file_kept(rec) };
	return ++d->n_names == BATCH_NAMES;
}

static int delete_content(struct deletion *d)
{
	int r = enter(d, d->v->root_ino);

	while (!r)
		r = step(d);
	if (r == 1)
		r = commit(d);
	while (d->level)
		leave(d);
	do {
		if (!r)
			r = f3_meta_each_inode(d->core->meta, 0, drop_orphan, d);
		if (r >= 0) {
			int error = commit(d);

			r = error ? error : r;
		}
	} while (r == 1);
	return r;
}

/* Uploads that could not be ended: nobody can any more. */
static int drop_leftover(void *arg, const struct f3_journal_entry *e)
{
	struct deletion *d = arg;

	if (e->volume == d->v->id)
		f3_batch_del_journal(d->b, e->seq);
	return 0;
}

/* The name at the top of the mount, the root directory and the volume's record. */
static int delete_volume(struct deletion *d)
{
	struct f3_lock *names = f3_names_lock(d->core, F3_INO_ROOT);
	struct f3_volume *v = d->v;
	struct f3_inode *root;
	int r = f3_inode_get(d->core, F3_INO_ROOT, &root);

	if (r)
		return r;
	f3_lock(names);
	f3_batch_del_name(d->b, F3_INO_ROOT, v->name, strlen(v->name));
	f3_batch_del_inode(d->b, v->root_ino);
	f3_batch_del_volume(d->b, v->id);
	(void)f3_meta_each_journal(d->core->meta, drop_leftover, d);
	f3_lock(&root->lock);
	root->rec.nlink--;
	root->rec.size--;
	root->rec.mtime_ns = root->rec.ctime_ns = f3_clock_file_ns();
	f3_batch_put_inode(d->b, &root->rec);
	r = f3_batch_commit(d->b);
	if (r) {
		root->rec.nlink++;
		root->rec.size++;
	}
	f3_unlock(&root->lock);
	f3_unlock(names);
	f3_inode_put(d->core, root);
	return r;
}

/* ---- Directories ----------------------------------------------------------------------------- */

/* A backing store's directory: its shards and what is left in them. Nothing else is touched, so
 * that a directory that was put there by hand stays. */
static void remove_shard(int dir_fd, const char *shard)
{
	int fd = openat(dir_fd, shard, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlinkat(fd, e->d_name, 0);
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	unlinkat(dir_fd, shard, AT_REMOVEDIR);
}

static void remove_store(const char *top, const char *below, uint32_t id)
{
	char path[PATH_MAX], shard[4];
	int fd;

	if (snprintf(path, sizeof(path), "%s%s/%" PRIu32, top, below, id) >= (int)sizeof(path))
		return;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	for (unsigned i = 0; i < 256; i++) {
		snprintf(shard, sizeof(shard), "%02x", i);
		remove_shard(fd, shard);
	}
	close(fd);
	if (rmdir(path))
		f3_log_warn("%s could not be removed: %s", path, strerror(errno));
}

/* ---- Removing -------------------------------------------------------------------------------- */

bool f3_volume_configured(struct f3_core *core, const char *name)
{
	const char *const *names;
	size_t n = f3_conf_volumes(core->conf, &names);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

static int check_configured(struct f3_core *core, const char *name, struct f3_err *err)
{
	if (!f3_volume_configured(core, name))
		return 0;
	return f3_err_set(err, -EPERM,
			  "volume %s is in the configuration and would be back after the next "
			  "start: take it out there and restart first",
			  name);
}

/* The volume is out of the table and all ours. */
static int delete_all(struct f3_core *core, struct f3_volume *v, struct f3_err *err)
{
	struct deletion *d = calloc(1, sizeof(*d));
	int r = d ? f3_batch_new(core->meta, &d->b) : -ENOMEM;

	if (!r) {
		d->core = core;
		d->v = v;
		r = delete_content(d);
	}
	if (!r)
		r = delete_volume(d);
	if (!r)
		r = f3_meta_sync(core->meta);
	if (d)
		f3_batch_free(d->b);
	free(d);
	return r ? f3_err_set(err, r, "volume %s was removed in part only, do it again: %s",
			      v->name, strerror(-r)) :
		   0;
}

int f3_volume_remove(struct f3_core *core, const char *name, bool purge, struct f3_err *err)
{
	struct f3_volume *v;
	uint32_t id;
	int r = check_configured(core, name, err);

	if (r)
		return r;
	v = f3_volume_find(core, name);
	if (!v)
		return f3_err_set(err, -ENOENT, "there is no volume %s", name);
	r = may_go(core, v, purge, err);
	if (!r)
		r = let_go(core, v, err);
	if (r) {
		f3_volume_put(v);
		return r;
	}
	r = may_go(core, v, purge, err);
	if (!r)
		r = delete_all(core, v, err);
	if (r) {
		put_back(core->volumes, v);
		f3_volume_put(v);
		return r;
	}
	id = v->id;
	f3_volume_free(v);
	remove_store(core->cache_dir, "/data", id);
	remove_store(core->memory_dir, "", id);
	if (core->kernel.inval_entry)
		core->kernel.inval_entry(core->kernel.arg, F3_INO_ROOT, name, strlen(name));
	return 0;
}
