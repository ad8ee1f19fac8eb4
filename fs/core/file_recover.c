/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_recover: what the last run left: files that had a writer, files without a name, and, after
 * the machine itself went down, copies that cannot be trusted.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/core/commitset.h"
#include "fs/core/evict.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/namespace.h"
#include "fs/core/stage.h"
#include "fs/core/stream.h"

struct inos {
	uint64_t *v;
	size_t n, cap;
};

static int inos_add(void *arg, uint64_t ino)
{
	struct inos *inos = arg;

	if (inos->n == inos->cap) {
		size_t cap = inos->cap ? inos->cap * 2 : 256;
		uint64_t *v = reallocarray(inos->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		inos->v = v;
		inos->cap = cap;
	}
	inos->v[inos->n++] = ino;
	return 0;
}

/* Each inode of a mark; one that is gone loses its mark. */
static int each_marked(struct f3_core *core, enum f3_mark mark,
		       int (*fn)(struct f3_core *core, struct f3_inode *inode))
{
	struct inos inos = { 0 };
	int r = f3_meta_each_mark(core->meta, mark, inos_add, &inos);

	for (size_t i = 0; i < inos.n && !r; i++) {
		struct f3_inode *inode;

		r = f3_inode_get(core, inos.v[i], &inode);
		if (r == -ENOENT || r == -ESTALE) {
			struct f3_batch *b;

			r = f3_batch_new(core->meta, &b);
			if (r)
				break;
			f3_batch_del_mark(b, mark, inos.v[i]);
			r = f3_batch_commit(b);
			f3_batch_free(b);
			continue;
		}
		if (!r) {
			r = fn(core, inode);
			f3_inode_put(core, inode);
		}
	}
	free(inos.v);
	return r;
}

static int reap_orphan(struct f3_core *core, struct f3_inode *inode)
{
	f3_ns_reap(core, inode);
	/* No kernel of this run knows the number: the bytes go with the last reference. */
	f3_inode_forget(core, inode->ino);
	return 0;
}

/* The store has a content of it, and nothing that was closed or synced since is only here. */
static bool store_has_it(const struct f3_inode_rec *rec)
{
	return f3_class_in_store((enum f3_class)rec->class_) && rec->etag[0] &&
	       !(rec->flags & F3_INO_DIRTY);
}

/* An etag that no object has: what the store has, or has not, counts from the next look on. */
#define ETAG_UNKNOWN "?"

int f3_file_drop_copy(struct f3_core *core, uint64_t ino)
{
	struct f3_file_gone gone = { .fd = -1 };
	struct f3_inode *inode;
	struct f3_batch *b;
	int r = f3_inode_get(core, ino, &inode);

	if (r)
		return r == -ENOENT ? 0 : r;
	/* What was to be sent is not sent. */
	f3_stage_hold(core, inode);
	r = f3_batch_new(core->meta, &b);
	if (!r) {
		f3_lock(&inode->lock);
		f3_file_detach(core, inode, &gone);
		f3_file_account(core, inode, inode->rec.store_size, 0);
		inode->rec.state = F3_STATE_REMOTE;
		inode->rec.base_limit = 0;
		inode->rec.flags &= ~(uint32_t)(F3_INO_DIRTY | F3_INO_TORN);
		inode->rec.error = 0;
		/* Attributes that were not sent are of an object that may be another one by now. */
		if (inode->rec.class_ == F3_CLASS_DURABLE)
			inode->rec.flags &= ~(uint32_t)F3_INO_ATTR_DIRTY;
		if (!inode->rec.etag[0]) {
			snprintf(inode->rec.etag, sizeof(inode->rec.etag), ETAG_UNKNOWN);
			inode->rec.size = 0;
		}
		f3_batch_del_extents(b, ino);
		f3_batch_del_mark(b, F3_MARK_WRITER, ino);
		if (!(inode->rec.flags & F3_INO_ATTR_DIRTY))
			f3_batch_del_mark(b, F3_MARK_DIRTY, ino);
		f3_batch_put_inode(b, &inode->rec);
		r = f3_batch_commit(b);
		f3_unlock(&inode->lock);
		f3_batch_free(b);
		f3_file_gone(core, &gone);
	}
	f3_stage_release(core, inode);
	f3_inode_put(core, inode);
	return r;
}

static int seal_writer(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_backing_store *store = f3_file_store(inode);
	struct stat st;
	int r, fd;

	r = f3_backing_stat(store, inode->ino, inode->rec.backing, &st);
	if (r == -ENOENT && store_has_it(&inode->rec)) {
		f3_log_warn("inode %" PRIu64
			    ": what was being written did not survive the machine's "
			    "crash; it is what the store has",
			    inode->ino);
		return f3_file_drop_copy(core, inode->ino);
	}
	if (inode->rec.base_limit) {
		r = f3_fill_prepare(core, inode);
		if (r)
			return r;
	}
	f3_lock(&inode->lock);
	if (inode->rec.state != F3_STATE_WRITING) {
		f3_unlock(&inode->lock);
		return 0;
	}
	r = f3_backing_stat(store, inode->ino, inode->rec.backing, &st);
	if (r == -ENOENT) {
		/* The name was synced, the bytes never were: as on any local file system, an empty
		 * file is left. */
		f3_log_warn("inode %" PRIu64 ": its bytes did not survive the machine's crash",
			    inode->ino);
		fd = f3_backing_create(store, inode->ino, inode->rec.backing);
		if (fd >= 0) {
			inode->fd = fd;
			r = fstat(fd, &st) ? -errno : 0;
		} else {
			r = fd;
		}
	}
	/* A writer that a reader may follow was cut off: nobody said that this is all. */
	if (!core->takes_over && f3_stream_wanted(&inode->rec) &&
	    (r || !(inode->rec.flags & F3_INO_HELD) || (uint64_t)st.st_size != inode->rec.size))
		inode->rec.flags |= F3_INO_TORN;
	if (!core->takes_over)
		inode->grace_until_ns = 1; /* nobody is left who would come again */
	if (!r) {
		inode->seen_valid = true; /* all zero: whatever the file says is news */
		if (st.st_size == 0 && inode->rec.size == 0)
			f3_file_seen(inode, &st);
		if (inode->extents)
			f3_file_account(core, inode, (uint64_t)st.st_size, (uint64_t)st.st_blocks);
		inode->changed = true;
	}
	f3_unlock(&inode->lock);
	if (!r)
		r = f3_file_seal(core, inode);
	if (r == -EBUSY)
		r = 0;
	if (r)
		f3_log_error("inode %" PRIu64 ": what its writer left cannot be read: %s",
			     inode->ino, strerror(-r));
	return 0;
}

static int resume_dirty(struct f3_core *core, struct f3_inode *inode)
{
	f3_lock(&inode->lock);
	inode->changed = !f3_commitset_settled(inode);
	if (f3_stage_permanent(-inode->rec.error))
		inode->rec.error = 0; /* it may be another store, with other limits */
	f3_unlock(&inode->lock);
	(void)f3_stage_commit(core, inode,
			      NULL); /* what cannot start is shown by the file's state */
	return 0;
}

struct sweep {
	struct f3_core *core;
	struct f3_volume *volume;
	bool disk;
	uint64_t removed;
};

/* A lower number is an older content that a crash kept from being removed; a higher one, or one in
 * the wrong place, is a move or a replacement that did not get through. */
static bool is_content(const struct f3_inode_rec *rec, const struct f3_volume *v,
		       enum f3_class where, uint32_t number)
{
	return rec->volume == v->id && rec->backing == number && rec->backing_class == where &&
	       rec->state != F3_STATE_REMOTE;
}

/* Numbers that are made without the lock: the copy of a move, the clone a commit reads. */
static bool in_the_making(const struct f3_inode *inode, uint32_t number)
{
	return (inode->moving && number == inode->rec.backing + 1) ||
	       (inode->stage && number & F3_FILE_CLONE_NUMBER);
}

int f3_file_remove_stray(struct f3_core *core, struct f3_volume *v, enum f3_class where,
			 uint64_t ino, uint32_t number, bool dry_run)
{
	struct f3_inode *inode;
	struct f3_inode_rec rec;
	bool stray;
	int r;

	if (ino >= core->first_ino)
		return 0;
	r = f3_meta_get_inode(core->meta, ino, &rec);
	if (r == -ENOENT) {
		/* Without a record, but somebody may have it open. */
		inode = f3_inode_peek(core, ino);
		if (inode) {
			f3_inode_put(core, inode);
			return 0;
		}
		if (!dry_run)
			f3_backing_unlink(f3_volume_backing(v, where), ino, number);
		return 1;
	}
	if (r)
		return r;
	stray = !is_content(&rec, v, where, number);
	f3_inode_rec_done(&rec);
	if (!stray)
		return 0;
	/* That was no more than a hint: what is in memory counts, and it stays as it is while we
	 * hold its lock. */
	r = f3_inode_get(core, ino, &inode);
	if (r)
		return r == -ENOENT ? 0 : r;
	f3_lock(&inode->lock);
	stray = !is_content(&inode->rec, v, where, number) && !in_the_making(inode, number);
	if (stray && !dry_run)
		f3_backing_unlink(f3_volume_backing(v, where), ino, number);
	f3_unlock(&inode->lock);
	f3_inode_put(core, inode);
	return stray;
}

static int sweep_file(void *arg, uint64_t ino, uint32_t number, const struct stat *st)
{
	struct sweep *sweep = arg;
	enum f3_class where = sweep->disk ? F3_CLASS_EPHEMERAL : F3_CLASS_MEMORY;
	int r;

	(void)st;
	if (sweep->core->stopping)
		return -ESHUTDOWN;
	r = f3_file_remove_stray(sweep->core, sweep->volume, where, ino, number, false);
	if (r > 0)
		sweep->removed++;
	return r < 0 ? r : 0;
}

static void sweep_volume(void *arg, struct f3_volume *v)
{
	struct sweep sweep = { .core = arg, .volume = v };

	for (int disk = 0; disk < 2; disk++) {
		sweep.disk = disk;
		(void)f3_backing_each(disk ? v->disk : v->memory, sweep_file, &sweep);
	}
	if (sweep.removed)
		f3_log_info("volume %s: %" PRIu64 " backing files of unfinished operations removed",
			    v->name, sweep.removed);
}

static void sweep_work(struct f3_work *work)
{
	struct f3_core *core = *(struct f3_core **)(work + 1);

	f3_volume_each(core, sweep_volume, core);
	free(work);
}

static int start_sweep(struct f3_core *core)
{
	struct f3_work *work = calloc(1, sizeof(*work) + sizeof(core));
	int r;

	if (!work)
		return -ENOMEM;
	work->fn = sweep_work;
	memcpy(work + 1, &core, sizeof(core));
	r = f3_workq_push(core->transfer, work);
	if (r)
		free(work);
	return r;
}

struct rebuild {
	struct f3_core *core;
	bool new_boot;
	struct inos lost; /* bytes gone with the machine: memory class */
	struct inos distrust; /* clean copies that were perhaps never written to the disk */
	struct inos differ; /* files whose bytes were not all written to the disk */
};

/* The log has names and sizes also of files whose bytes nobody had synced: local ones, and of the
 * others those that were being closed. */
static int pick_unsynced(struct rebuild *rb, struct f3_volume *v, const struct f3_inode_rec *rec)
{
	struct stat st;
	int r;

	if (rec->state != F3_STATE_SEALED &&
	    (!f3_class_in_store((enum f3_class)rec->class_) ||
	     (rec->state != F3_STATE_STAGING && rec->state != F3_STATE_FAILED)))
		return 0;
	r = f3_backing_stat(v->disk, rec->ino, rec->backing, &st);
	if (r == -ENOENT && f3_class_in_store((enum f3_class)rec->class_) && rec->etag[0])
		return inos_add(&rb->distrust, rec->ino);
	if (r == -ENOENT || (!r && (uint64_t)st.st_size != rec->size))
		return inos_add(&rb->differ, rec->ino);
	return 0;
}

/* After a restart of the machine: what to do about this file. A tmpfs may have outlived us. */
static int pick(struct rebuild *rb, struct f3_volume *v, const struct f3_inode_rec *rec)
{
	struct stat st;

	if (rec->backing_class == F3_CLASS_MEMORY)
		return f3_backing_stat(v->memory, rec->ino, rec->backing, &st) ?
			       inos_add(&rb->lost, rec->ino) :
			       0;
	/* Nobody synced the copy that a writer of class durable worked on. What he was promised by
	 * close is what the store has, whether the log knows of it or not: sent now, the holes of the
	 * copy would take the object's place. */
	if (rec->state == F3_STATE_CLEAN || rec->state == F3_STATE_FILLING ||
	    (rec->state == F3_STATE_WRITING && rec->class_ == F3_CLASS_DURABLE &&
	     !(rec->flags & (F3_INO_DIRTY | F3_INO_ORPHAN))))
		return inos_add(&rb->distrust, rec->ino);
	return pick_unsynced(rb, v, rec);
}

/* The one pass over all inodes after an unclean end: usage is counted again, and after a restart
 * of the machine what did not survive it is picked. */
static int rebuild_one(void *arg, const struct f3_inode_rec *rec)
{
	struct rebuild *rb = arg;
	struct f3_volume *v;
	int r = 0;

	if (!rec->volume)
		return 0;
	v = f3_volume_get(rb->core, rec->volume);
	if (!v)
		return 0;
	f3_volume_account(v, (int64_t)f3_file_charge(rec));
	v->used_inodes++;
	if (rec->backing_class != F3_CLASS_MEMORY && S_ISREG(rec->mode))
		f3_evict_account(rb->core, (int64_t)(rec->blocks * 512));
	f3_evict_keep(rb->core, (int64_t)f3_file_kept(rec));
	if (rb->new_boot && S_ISREG(rec->mode) && rec->backing)
		r = pick(rb, v, rec);
	f3_volume_put(v);
	return r;
}

static void zero_usage(void *arg, struct f3_volume *v)
{
	(void)arg;
	v->used_bytes = 0;
	v->used_inodes = 0;
}

static int compare_inos(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Takes the names of lost files out of one directory. An inode knows at most one of its names, and
 * a file with hard links perhaps one that is another's by now: so all names are looked at. */
static int drop_names(struct f3_core *core, const struct inos *lost, uint64_t dir)
{
	static const struct f3_caller daemon_ = { .may_block = true };
	struct f3_meta_name found;
	char name[F3_NAME_MAX + 1];
	struct f3_meta_dir *d;
	const char *text;
	size_t len;
	int r = f3_meta_dir_open(core->meta, dir, 0, &d);

	if (r)
		return r;
	while ((r = f3_meta_dir_next(d, &found, &text, &len)) == 1) {
		if (!bsearch(&found.ino, lost->v, lost->n, sizeof(*lost->v), compare_inos))
			continue;
		memcpy(name, text, len);
		name[len] = '\0';
		r = f3_ns_unlink(core, dir, name, &daemon_);
		if (r)
			f3_log_warn("inode %" PRIu64
				    ", of class memory and lost, cannot be removed: %s",
				    found.ino, strerror(-r));
	}
	f3_meta_dir_close(d);
	return r;
}

static int add_dir(void *arg, const struct f3_inode_rec *rec)
{
	return rec->volume && S_ISDIR(rec->mode) ? inos_add(arg, rec->ino) : 0;
}

/* The bytes were in the machine's memory: the files go with them. */
static int drop_lost(struct f3_core *core, const struct inos *lost)
{
	struct inos dirs = { 0 };
	int r;

	if (!lost->n)
		return 0;
	qsort(lost->v, lost->n, sizeof(*lost->v), compare_inos);
	r = f3_meta_each_inode(core->meta, 0, add_dir, &dirs);
	for (size_t i = 0; i < dirs.n && !r; i++)
		r = drop_names(core, lost, dirs.v[i]);
	free(dirs.v);
	/* No kernel of this run knows the numbers. */
	for (size_t i = 0; i < lost->n; i++)
		f3_inode_forget(core, lost->v[i]);
	if (!r)
		f3_log_info("%zu files of class memory ended with the machine's restart", lost->n);
	return r;
}

/* As if a writer had been at work: the backing file knows what is left. */
static int distrust_size(struct f3_core *core, uint64_t ino)
{
	struct f3_inode *inode;
	struct f3_batch *b;
	int r = f3_inode_get(core, ino, &inode);

	if (r)
		return r;
	r = f3_batch_new(core->meta, &b);
	if (!r) {
		f3_lock(&inode->lock);
		inode->rec.state = F3_STATE_WRITING;
		f3_batch_put_mark(b, F3_MARK_WRITER, ino);
		f3_batch_put_inode(b, &inode->rec);
		r = f3_batch_commit(b);
		f3_unlock(&inode->lock);
		f3_batch_free(b);
	}
	f3_inode_put(core, inode);
	return r;
}

int f3_file_recover(struct f3_core *core, struct f3_err *err)
{
	struct rebuild rb = { .core = core, .new_boot = !f3_meta_same_boot(core->meta) };
	bool unclean = !f3_meta_was_clean(core->meta);
	int r;

	if (unclean || rb.new_boot) {
		f3_volume_each(core, zero_usage, NULL);
		r = f3_meta_each_inode(core->meta, 0, rebuild_one, &rb);
		for (size_t i = 0; i < rb.distrust.n && !r && unclean; i++)
			r = f3_file_drop_copy(core, rb.distrust.v[i]);
		for (size_t i = 0; i < rb.differ.n && !r; i++)
			r = distrust_size(core, rb.differ.v[i]);
		if (!r)
			r = drop_lost(core, &rb.lost);
		free(rb.lost.v);
		free(rb.distrust.v);
		free(rb.differ.v);
		if (r)
			return f3_err_set(err, r, "the files of the last run cannot be read: %s",
					  strerror(-r));
	}
	f3_debug_point("recover.counted");
	r = each_marked(core, F3_MARK_ORPHAN, reap_orphan);
	f3_debug_point("recover.reaped");
	if (!r)
		r = each_marked(core, F3_MARK_WRITER, seal_writer);
	f3_debug_point("recover.sealed");
	if (!r)
		r = each_marked(core, F3_MARK_DIRTY, resume_dirty);
	if (!r && unclean)
		r = start_sweep(core);
	return r ? f3_err_set(err, r, "the last run's open files cannot be recovered: %s",
			      strerror(-r)) :
		   0;
}
