/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/move.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/core/evict.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/journal_run.h"
#include "fs/core/stage.h"
#include "fs/core/volume.h"

struct choice {
	enum f3_class class_;
	enum f3_class_source source;
};

static enum f3_class place_of(enum f3_class c)
{
	return c == F3_CLASS_MEMORY ? F3_CLASS_MEMORY : F3_CLASS_EPHEMERAL;
}

/* The record is this one now, of another class: what a file counts for depends on it. Inode lock
 * held. */
static void take(struct f3_inode *inode, const struct f3_inode_rec *rec)
{
	uint64_t before = f3_file_charge(&inode->rec), kept = f3_file_kept(&inode->rec);

	inode->rec = *rec;
	f3_evict_keep(inode->core, (int64_t)f3_file_kept(rec) - (int64_t)kept);
	f3_volume_account(inode->volume, (int64_t)f3_file_charge(rec) - (int64_t)before);
	f3_stage_account(inode);
}

static int commit(struct f3_inode *inode, const struct f3_inode_rec *rec, struct f3_batch *b)
{
	int r;

	inode->unpromised = false; /* what another class promised stays true of its bytes */
	f3_batch_put_inode(b, rec);
	r = f3_batch_commit(b);
	if (!r)
		take(inode, rec);
	return r;
}

/* Where nothing is here yet the place costs nothing. */
static struct f3_inode_rec with_class(const struct f3_inode *inode, const struct choice *to)
{
	struct f3_inode_rec rec = inode->rec;

	rec.class_ = (uint8_t)to->class_;
	rec.class_source = (uint8_t)to->source;
	rec.ctime_ns = f3_clock_file_ns();
	if (!rec.backing || rec.state == F3_STATE_REMOTE)
		rec.backing_class = (uint8_t)place_of(to->class_);
	return rec;
}

static int set_class(struct f3_core *core, struct f3_inode *inode, const struct choice *to)
{
	struct f3_inode_rec rec;
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_lock(&inode->lock);
	rec = with_class(inode, to);
	r = inode->dead ? -ESTALE : commit(inode, &rec, b);
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	return r;
}

/* ---- Place ---- */

/* May the bytes be copied and the file change places? Inode lock held. */
static int movable(struct f3_core *core, struct f3_inode *inode, struct stat *ret_st)
{
	int fd, r;

	if (inode->dead || inode->opens || inode->mapped || inode->rec.state == F3_STATE_WRITING ||
	    !f3_file_complete(inode) || !f3_fill_idle(inode))
		return -EBUSY;
	fd = f3_file_fd(core, inode);
	if (fd < 0)
		return fd;
	if (f3_backing_caps(f3_file_store(inode))->leases) {
		r = f3_backing_probe(fd);
		if (r <= 0)
			return r < 0 ? r : -EBUSY;
	}
	return fstat(fd, ret_st) ? -errno : 0;
}

static bool same_content(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int room_for(struct f3_core *core, struct f3_inode *inode, enum f3_class place,
		    uint64_t bytes)
{
	uint64_t total, left, files;
	int r;

	if (place != F3_CLASS_MEMORY)
		return f3_evict_room(core, bytes);
	r = f3_backing_space(inode->volume->memory, &total, &left, &files);
	return r ? r : left < bytes ? -ENOSPC : 0;
}

static uint8_t state_at_rest(const struct f3_inode_rec *rec)
{
	if (rec->state != F3_STATE_MOVING)
		return rec->state;
	return f3_class_in_store((enum f3_class)rec->class_) && rec->etag[0] &&
			       !(rec->flags & F3_INO_DIRTY) ?
		       F3_STATE_CLEAN :
		       F3_STATE_SEALED;
}

/* The copy takes the file's place. Inode lock held; nothing touched the file since it was made. */
static int change_places(struct f3_core *core, struct f3_inode *inode, const struct choice *to,
			 const struct stat *copy, uint32_t number, struct f3_file_gone *gone)
{
	bool was_committed = !memcmp(&inode->committed, &inode->seen, sizeof(inode->seen));
	struct f3_inode_rec rec = with_class(inode, to), moved;
	struct f3_batch *b;
	int r;

	rec.state = state_at_rest(&rec);
	moved = rec;
	moved.backing = number;
	moved.backing_class = (uint8_t)place_of(to->class_);
	moved.blocks = (uint64_t)copy->st_blocks;
	r = f3_batch_new(core->meta, &b);
	if (r)
		return r;
	f3_batch_put_inode(b, &moved);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	if (r)
		return r;
	take(inode, &rec);
	f3_file_detach(core, inode, gone);
	inode->rec.backing = number;
	inode->rec.backing_class = moved.backing_class;
	f3_file_account(core, inode, rec.size, moved.blocks);
	f3_file_seen(inode, copy);
	if (was_committed)
		inode->committed = inode->seen;
	return 0;
}

struct source {
	struct f3_backing_store *store;
	uint32_t number;
	int64_t atime_ns, mtime_ns;
	struct stat st;
};

static int make_copy(struct f3_inode *inode, struct f3_backing_store *into,
		     const struct source *from, struct stat *ret_st)
{
	uint64_t ino = inode->ino;
	uint32_t number = from->number + 1;
	int r = f3_backing_clone(from->store, ino, from->number, into, ino, number);

	if (r == -EEXIST) {
		/* Of a move that a crash cut short. */
		f3_backing_unlink(into, ino, number);
		r = f3_backing_clone(from->store, ino, from->number, into, ino, number);
	}
	if (r)
		return r;
	r = f3_backing_set_times(into, ino, number, from->atime_ns, from->mtime_ns);
	if (!r)
		r = f3_backing_stat(into, ino, number, ret_st);
	if (r)
		f3_backing_unlink(into, ino, number);
	return r;
}

/* Copies the bytes to where the class asks for them. 0 done (or nothing to do), -EBUSY: not now. */
static int move_bytes(struct f3_core *core, struct f3_inode *inode, const struct choice *to)
{
	enum f3_class place = place_of(to->class_);
	struct f3_backing_store *into = f3_volume_backing(inode->volume, place);
	struct f3_file_gone gone = { .fd = -1 };
	struct source from;
	struct stat now, copy;
	bool opened;
	int r;

	f3_lock(&inode->lock);
	if (!inode->rec.backing || place_of((enum f3_class)inode->rec.backing_class) == place) {
		f3_unlock(&inode->lock);
		return set_class(core, inode, to);
	}
	opened = inode->fd < 0;
	r = movable(core, inode, &from.st);
	from.store = f3_file_store(inode);
	from.number = inode->rec.backing;
	from.atime_ns = inode->rec.atime_ns;
	from.mtime_ns = inode->rec.mtime_ns;
	f3_unlock(&inode->lock);
	if (!r)
		r = room_for(core, inode, place, (uint64_t)from.st.st_blocks * 512);
	if (!r)
		r = make_copy(inode, into, &from, &copy);
	if (r)
		return r;
	f3_lock(&inode->lock);
	r = movable(core, inode, &now);
	if (!r && (inode->rec.backing != from.number || !same_content(&from.st, &now)))
		r = -EBUSY;
	if (!r)
		r = change_places(core, inode, to, &copy, from.number + 1, &gone);
	if (r && opened && !inode->opens) {
		gone.fd = inode->fd;
		inode->fd = -1;
	}
	f3_unlock(&inode->lock);
	if (r)
		f3_backing_unlink(into, inode->ino, from.number + 1);
	f3_file_gone(core, &gone);
	return r;
}

/* The same, with no commit to the store going on meanwhile. */
static int move_place(struct f3_core *core, struct f3_inode *inode, const struct choice *to)
{
	bool hold = f3_class_in_store(to->class_);
	int r;

	if (hold)
		f3_stage_hold(core, inode);
	r = move_bytes(core, inode, to);
	if (hold)
		f3_stage_release(core, inode);
	return r;
}

/* It will be moved when it is closed. */
static int mark_moving(struct f3_core *core, struct f3_inode *inode, const struct choice *to)
{
	struct f3_inode_rec rec;
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_lock(&inode->lock);
	rec = with_class(inode, to);
	if (rec.state == F3_STATE_SEALED || rec.state == F3_STATE_CLEAN)
		rec.state = F3_STATE_MOVING;
	r = inode->dead ? -ESTALE : commit(inode, &rec, b);
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	return r;
}

/* ---- Promise ---- */

/* Several names, or none, or one that is less durable: then it cannot be an object. */
static int name_allows(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_inode *dir;
	uint64_t parent;
	uint32_t nlink;
	int r;

	f3_lock(&inode->lock);
	parent = inode->rec.parent;
	nlink = inode->rec.nlink;
	f3_unlock(&inode->lock);
	if (nlink != 1 || !parent)
		return -EPERM;
	r = f3_inode_get(core, parent, &dir);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	f3_lock(&dir->lock);
	if (dir->rec.flags & F3_INO_LOCAL_TREE)
		r = -EPERM;
	f3_unlock(&dir->lock);
	f3_inode_put(core, dir);
	return r;
}

static int commit_wait(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_blocker b;
	int r;

	f3_blocker_init(&b);
	r = f3_stage_commit(core, inode, &b.w);
	if (r == 1)
		r = f3_blocker_wait(&b);
	f3_blocker_done(&b);
	return r;
}

/* The record and the removal of the object in one batch. Names lock of the parent held. */
static int record_left(struct f3_core *core, struct f3_inode *inode, const struct choice *to,
		       struct f3_journal_entry *e, struct f3_journal_task **ret_task)
{
	struct f3_inode_rec rec;
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_lock(&inode->lock);
	if (inode->dead)
		r = -ESTALE;
	else if (inode->rec.parent != e->dir1 || f3_fill_incomplete(inode))
		r = -EAGAIN;
	if (!r && f3_stage_stored(inode)) {
		e->type = F3_JOURNAL_DELETE;
		/* Without the inode: it is not the name that goes. */
		e->volume = inode->rec.volume;
		e->id = inode->rec.id;
		e->generation = inode->rec.generation;
		snprintf(e->etag, sizeof(e->etag), "%s", inode->rec.etag);
		r = f3_journal_announce(inode->volume, e, F3_JOURNAL_ACKED | F3_JOURNAL_RETRY,
					ret_task);
		if (!r)
			f3_batch_put_journal(b, e);
	}
	if (!r) {
		rec = with_class(inode, to);
		rec.flags &= ~(uint32_t)(F3_INO_DIRTY | F3_INO_ATTR_DIRTY);
		rec.etag[0] = '\0';
		rec.store_size = 0;
		rec.error = 0;
		if (rec.state != F3_STATE_WRITING)
			rec.state = F3_STATE_SEALED;
		f3_batch_del_mark(b, F3_MARK_DIRTY, inode->ino);
		r = commit(inode, &rec, b);
		if (!r)
			inode->maybe_stored = false;
	}
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	if (r && *ret_task) {
		f3_journal_withdraw(*ret_task);
		*ret_task = NULL;
	}
	return r;
}

static int leave_store(struct f3_core *core, struct f3_inode *inode, const struct choice *to)
{
	struct f3_journal_entry *e = calloc(1, sizeof(*e));
	struct f3_journal_task *task = NULL;
	int r;

	if (!e)
		return -ENOMEM;
	f3_stage_hold(core, inode);
	do {
		struct f3_lock *names;

		r = f3_fill_whole(core, inode);
		if (r)
			break;
		f3_lock(&inode->lock);
		e->dir1 = inode->rec.parent;
		f3_unlock(&inode->lock);
		/* A rename would give it another key between the look and the batch. */
		names = f3_names_lock(core, e->dir1);
		f3_lock(names);
		r = f3_inode_key(core, inode->ino, e->key, sizeof(e->key));
		if (!r)
			r = record_left(core, inode, to, e, &task);
		f3_unlock(names);
	} while (r == -EAGAIN);
	f3_stage_release(core, inode);
	if (task)
		f3_journal_begin(task, 0, NULL);
	free(e);
	return r;
}

static int record_entered(struct f3_core *core, struct f3_inode *inode, const struct choice *to,
			  bool *ret_writing)
{
	struct f3_inode_rec rec;
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_lock(&inode->lock);
	rec = with_class(inode, to);
	*ret_writing = rec.state == F3_STATE_WRITING;
	if (!*ret_writing) {
		rec.flags |= F3_INO_DIRTY;
		rec.state = F3_STATE_SEALED;
		f3_batch_put_mark(b, F3_MARK_DIRTY, inode->ino);
	}
	r = inode->dead ? -ESTALE : commit(inode, &rec, b);
	if (!r)
		inode->changed = true; /* the store has nothing of it */
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	return r;
}

static int enter_store(struct f3_core *core, struct f3_inode *inode, const struct choice *to,
		       const struct choice *back)
{
	bool writing;
	int r = record_entered(core, inode, to, &writing);

	if (r)
		return r;
	r = to->class_ == F3_CLASS_DURABLE ? commit_wait(core, inode) :
					     f3_stage_sync_local(core, inode);
	if (r == -EBUSY && writing)
		return 0; /* it never holds still: the last close commits it */
	if (r) {
		/* As it was; of a commit whose end is not known the object goes, too. */
		int undone = leave_store(core, inode, back);

		if (undone)
			f3_log_error("inode %" PRIu64 ": stays of class %s: %s", inode->ino,
				     f3_class_name(to->class_), f3_errno_name(undone));
		return r;
	}
	if (to->class_ == F3_CLASS_WRITEBACK)
		(void)f3_stage_commit(core, inode, NULL); /* its state says if it cannot begin */
	return 0;
}

static int within_store(struct f3_core *core, struct f3_inode *inode, const struct choice *to,
			const struct choice *back)
{
	bool writing;
	int r = set_class(core, inode, to);

	f3_lock(&inode->lock);
	writing = inode->rec.state == F3_STATE_WRITING;
	f3_unlock(&inode->lock);
	if (r || to->class_ != F3_CLASS_DURABLE)
		return r;
	r = commit_wait(core, inode);
	if (r == -EBUSY && writing)
		return 0;
	if (r)
		(void)set_class(core, inode, back); /* the stage's error is what matters */
	return r;
}

/* ---- Both ---- */

static bool place_differs(struct f3_inode *inode, const struct choice *to)
{
	bool differs;

	f3_lock(&inode->lock);
	differs = place_of((enum f3_class)inode->rec.backing_class) != place_of(to->class_);
	f3_unlock(&inode->lock);
	return differs;
}

/* The promise is kept wherever the bytes lie: they follow now, or when they can. */
static int follow(struct f3_core *core, struct f3_inode *inode, const struct choice *to)
{
	int r = place_differs(inode, to) ? move_place(core, inode, to) : 0;

	if (!r)
		return 0;
	if (r != -EBUSY)
		f3_log_warn("inode %" PRIu64 ": cannot be moved yet: %s", inode->ino,
			    f3_errno_name(r));
	return mark_moving(core, inode, to);
}

static int move(struct f3_core *core, struct f3_inode *inode, const struct choice *to,
		const struct choice *back)
{
	bool was = f3_class_in_store(back->class_), will = f3_class_in_store(to->class_);
	struct choice on_disk = { F3_CLASS_EPHEMERAL, to->source };
	uint64_t size;
	int r;

	if (was && will)
		return within_store(core, inode, to, back);
	if (!was && !will) {
		r = move_place(core, inode, to);
		return r == -EBUSY ? mark_moving(core, inode, to) : r;
	}
	if (will) {
		/* What is promised to survive lies on the disk first, if that can be now. */
		r = place_differs(inode, to) ? move_place(core, inode, &on_disk) : 0;
		if (r && r != -EBUSY)
			return r;
		r = enter_store(core, inode, to, back);
		if (!r)
			return follow(core, inode, to);
		(void)follow(core, inode, back); /* the error of the commit is what matters */
		return r;
	}
	f3_lock(&inode->lock);
	size = inode->rec.size;
	f3_unlock(&inode->lock);
	r = place_differs(inode, to) ? room_for(core, inode, place_of(to->class_), size) : 0;
	if (!r)
		r = leave_store(core, inode, to);
	return r ? r : follow(core, inode, to);
}

static int change(struct f3_core *core, struct f3_inode *inode, const struct choice *to,
		  const struct choice *back)
{
	bool writing;

	f3_lock(&inode->lock);
	writing = inode->rec.state == F3_STATE_WRITING;
	f3_unlock(&inode->lock);
	/* What was closed a moment ago need not wait for the sealer: busy means that a writer or a
	 * mapping lives on. */
	if (writing)
		(void)f3_file_seal(core, inode);
	return move(core, inode, to, back);
}

/* One change of an inode at a time: two copies under one name would undo each other. */
static bool begin(struct f3_inode *inode, bool wait)
{
	struct f3_blocker turn;

	f3_lock(&inode->lock);
	while (inode->moving && wait) {
		f3_blocker_init(&turn);
		f3_waiter_add(&inode->move_waiters, &turn.w);
		f3_unlock(&inode->lock);
		(void)f3_blocker_wait(&turn);
		f3_blocker_done(&turn);
		f3_lock(&inode->lock);
	}
	if (inode->moving) {
		inode->move_again = true;
		f3_unlock(&inode->lock);
		return false;
	}
	inode->moving = true;
	inode->move_again = false;
	f3_unlock(&inode->lock);
	return true;
}

static void end(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_waiter_list ready = { NULL };
	bool again;

	f3_lock(&inode->lock);
	inode->moving = false;
	again = inode->move_again && f3_move_pending(inode);
	f3_waiters_collect(&inode->move_waiters, 0, &ready);
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
	if (again)
		f3_move_resume(core, inode);
}

int f3_move_class(struct f3_core *core, struct f3_inode *inode, enum f3_class to,
		  enum f3_class_source source, const struct f3_caller *who)
{
	struct choice choice = { to, source }, back;
	bool regular;
	int r = 0;

	f3_lock(&inode->lock);
	back.class_ = (enum f3_class)inode->rec.class_;
	regular = S_ISREG(inode->rec.mode);
	/* It leaves its commit set with all the others. */
	if (inode->member && back.class_ != to && f3_class_in_store(back.class_))
		r = -EBUSY;
	f3_unlock(&inode->lock);
	if (r)
		return r;
	if (!inode->volume || !regular || to == F3_CLASS_REPLICATED)
		return -EOPNOTSUPP;
	if (to == F3_CLASS_NONE)
		return -EINVAL;
	if (f3_class_in_store(to)) {
		if (!inode->volume->placement.has_store)
			return -EOPNOTSUPP;
		r = inode->volume->store ? name_allows(core, inode) : -EIO;
		if (r)
			return r;
	}
	if (back.class_ != to && !who->may_block)
		return -F3_EWAIT;
	if (!begin(inode, who->may_block))
		return -F3_EWAIT;
	f3_lock(&inode->lock);
	back = (struct choice){ (enum f3_class)inode->rec.class_,
				(enum f3_class_source)inode->rec.class_source };
	f3_unlock(&inode->lock);
	if (back.class_ == to)
		r = back.source == source ? 0 : set_class(core, inode, &choice);
	else if (!who->may_block)
		r = -F3_EWAIT;
	else
		r = change(core, inode, &choice, &back);
	end(core, inode);
	if (!r && core->kernel.inval_inode)
		core->kernel.inval_inode(core->kernel.arg, inode->ino);
	return r;
}

struct resume {
	struct f3_work work;
	struct f3_core *core;
	struct f3_inode *inode; /* referenced */
};

static void resume(struct f3_core *core, struct f3_inode *inode)
{
	struct choice to;
	bool pending;
	int r = 0;

	/* Whoever is at it sees to it that this comes again. */
	if (!begin(inode, false))
		return;
	f3_lock(&inode->lock);
	pending = f3_move_pending(inode);
	to = (struct choice){ (enum f3_class)inode->rec.class_,
			      (enum f3_class_source)inode->rec.class_source };
	f3_unlock(&inode->lock);
	if (pending)
		r = move_place(core, inode, &to);
	end(core, inode);
	if (r && r != -EBUSY)
		f3_log_warn("inode %" PRIu64 " of class %s cannot be moved yet: %s", inode->ino,
			    f3_class_name(to.class_), f3_errno_name(r));
}

static void resume_work(struct f3_work *work)
{
	struct resume *job = (struct resume *)work;

	resume(job->core, job->inode);
	f3_inode_put(job->core, job->inode);
	free(job);
}

void f3_move_resume(struct f3_core *core, struct f3_inode *inode)
{
	struct resume *job = calloc(1, sizeof(*job));

	/* Without memory, or with a queue that is full, the next close tries again. */
	if (!job)
		return;
	job->work.fn = resume_work;
	job->core = core;
	job->inode = inode;
	f3_inode_ref(inode);
	if (f3_workq_push(core->transfer, &job->work)) {
		f3_inode_put(core, inode);
		free(job);
	}
}
