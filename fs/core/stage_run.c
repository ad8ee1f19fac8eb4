/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/stage_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/budget.h"
#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/base/metric.h"
#include "fs/core/activation.h"
#include "fs/core/commitset_impl.h"
#include "fs/core/evict.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/leftover.h"
#include "fs/core/ns.h"
#include "fs/core/store_op.h"

/* Smaller files are copied while they are written to, so that they can be sent in peace. */
#define COPY_MAX_BYTES (1u << 20)
/* Of one turn, with ever new ones that wait for it. */
#define ROUNDS_MAX 64

static struct f3_counter done_ok = {
	.name = "f3_stages_total",
	.labels = "result=\"ok\"",
	.help = "Commits of files to object stores, by what became of each attempt.",
};
static struct f3_counter done_error = { .name = "f3_stages_total", .labels = "result=\"error\"" };
static struct f3_counter done_lost = { .name = "f3_stages_total", .labels = "result=\"lost\"" };
static struct f3_counter done_again = { .name = "f3_stages_total", .labels = "result=\"changed\"" };
static struct f3_counter conflicts = {
	.name = "f3_stage_conflicts_total",
	.labels = "",
	.help = "Files published under a conflict name, because others had changed the object.",
};
static struct f3_counter bytes_sent = {
	.name = "f3_stage_bytes_total",
	.labels = "",
	.help = "Bytes of files committed to object stores.",
};
static struct f3_histogram took = {
	.name = "f3_stage_seconds",
	.labels = "",
	.help = "Time to commit a file, from its turn to the record of the result.",
};

void f3_stage_register_counters(void)
{
	done_error.help = done_lost.help = done_again.help = done_ok.help;
	f3_counter_register(&done_ok);
	f3_counter_register(&done_error);
	f3_counter_register(&done_lost);
	f3_counter_register(&done_again);
	f3_counter_register(&conflicts);
	f3_counter_register(&bytes_sent);
	f3_histogram_register(&took);
}

/* ---- What is sent ---- */

static void sending_done(struct f3_sending *s)
{
	struct f3_inode *inode = s->st->inode;

	if (s->fd >= 0)
		close(s->fd);
	f3_budget_give(s->st->core->budget, F3_ACCT_BUFFERS, s->copied_bytes);
	if (s->clone)
		f3_backing_unlink(f3_file_store(inode), inode->ino, s->clone);
	if (s->have_attr)
		f3_store_attr_done(&s->attr);
	s->fd = -1;
	s->clone = 0;
	s->copied_bytes = 0;
	s->have_attr = false;
}

/* Gone, without a name, or local by now: there is nothing it could be committed to. */
static bool pointless(const struct f3_inode *inode)
{
	return inode->dead || !inode->rec.nlink || (inode->rec.flags & F3_INO_ORPHAN) ||
	       !f3_stage_in_store(inode);
}

static bool looks(int fd, struct f3_fingerprint *ret_fp)
{
	struct stat st;

	if (fstat(fd, &st))
		return false;
	*ret_fp = (struct f3_fingerprint){
		.size = (uint64_t)st.st_size,
		.mtime_ns = f3_ns_from_timespec(st.st_mtim),
		.ctime_ns = f3_ns_from_timespec(st.st_ctim),
	};
	return true;
}

/* A copy that shares the blocks. -errno: there is none. */
static int clone_of(struct f3_sending *s, struct f3_backing_store *store, uint32_t number)
{
	uint64_t ino = s->st->inode->ino;
	int r;

	s->clone = number | F3_FILE_CLONE_NUMBER;
	f3_backing_unlink(store, ino, s->clone);
	r = f3_backing_clone(store, ino, number, store, ino, s->clone);
	if (r) {
		s->clone = 0;
		return r;
	}
	return f3_backing_open_file(store, ino, s->clone, O_RDONLY | O_NOATIME);
}

/* A copy in memory, of a small file. -errno: there is none. */
static int copy_of(struct f3_sending *s, uint64_t size)
{
	int fd, r = f3_budget_try_take(s->st->core->budget, F3_ACCT_BUFFERS, size);
	uint64_t done = 0;
	off_t from = 0;

	if (r)
		return r;
	fd = memfd_create("f3-stage", MFD_CLOEXEC);
	while (fd >= 0 && done < size) {
		ssize_t n = sendfile(fd, s->fd, &from, size - done);

		if (n <= 0) {
			close(fd);
			fd = -1;
		} else {
			done += (uint64_t)n;
		}
	}
	if (fd < 0) {
		f3_budget_give(s->st->core->budget, F3_ACCT_BUFFERS, size);
		return -EIO;
	}
	s->copied_bytes = size;
	return fd;
}

/* Bytes that stay as they are while they are sent, where that can be had cheaply. */
static void freeze(struct f3_sending *s, struct f3_backing_store *store, uint32_t number,
		   bool reflink)
{
	struct f3_fingerprint after;
	int fd = -1;

	if (!looks(s->fd, &s->frozen_fp))
		return;
	if (s->frozen_fp.size <= COPY_MAX_BYTES)
		fd = copy_of(s, s->frozen_fp.size);
	else if (reflink)
		fd = clone_of(s, store, number);
	if (fd < 0)
		return;
	s->frozen = looks(s->fd, &after) && !memcmp(&after, &s->frozen_fp, sizeof(after));
	if (s->frozen) {
		int was = s->fd;

		s->fd = fd;
		fd = was;
	}
	close(fd);
}

/* A descriptor on the bytes, and for a file somebody may be writing to, on bytes that stay as they
 * are. */
static int open_bytes(struct f3_sending *s)
{
	struct f3_inode *inode = s->st->inode;
	struct f3_backing_store *store;
	bool written, complete, regular;
	uint32_t number;
	int r = 0;

	f3_lock(&inode->lock);
	store = f3_file_store(inode);
	number = inode->rec.backing;
	regular = S_ISREG(inode->rec.mode) && number && inode->rec.state != F3_STATE_REMOTE;
	written = inode->writers || inode->mapped;
	complete = f3_file_complete(inode);
	if (regular)
		s->fd = f3_backing_open_file(store, inode->ino, number, O_RDONLY | O_NOATIME);
	f3_unlock(&inode->lock);
	if (!regular)
		return 0;
	if (s->fd < 0) {
		r = s->fd;
		s->fd = -1;
		return r;
	}
	if (!written)
		return 0;
	/* Stores through a mapping change the file's time only on pages that are clean: what was
	 * dirtied before now must not hide what is stored from now on. */
	(void)sync_file_range(s->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	if (complete)
		freeze(s, store, number, f3_backing_caps(store)->reflink);
	return 0;
}

/* What the record and the file say at one moment. */
static int take(struct f3_sending *s)
{
	struct f3_stage *st = s->st;
	struct f3_inode *inode = st->inode;
	const struct f3_inode_rec *rec = &inode->rec;
	struct f3_snapshot *snap = &s->snap;
	struct stat now;
	int r = 0;

	if (st->stop)
		return -ECANCELED;
	if (pointless(inode) || !f3_stage_dirty(st->core, inode))
		return F3_STAGE_NOTHING;
	snap->regular = S_ISREG(rec->mode);
	snap->complete = f3_file_complete(inode);
	snap->generation = rec->generation;
	snap->size = S_ISREG(rec->mode) ? rec->size : 0;
	snap->content = f3_stage_content_dirty(inode);
	snap->again = f3_stage_content_again(inode);
	snap->attr_changes = inode->attr_changes;
	if (snap->regular && snap->complete) {
		r = f3_backing_stat(f3_file_store(inode), inode->ino, rec->backing, &now);
		if (r)
			return r;
		f3_file_catch_up(st->core, inode, &now);
		snap->fp = inode->seen;
		snap->size = (uint64_t)now.st_size;
	}
	snprintf(s->etag, sizeof(s->etag), "%s", rec->etag);
	s->member = inode->member != NULL;
	if (s->member)
		f3_commitset_staged(inode->member->set, inode->ino, s->staged);
	if (S_ISLNK(rec->mode)) {
		s->target_len = rec->target_len;
		memcpy(s->target, rec->target, s->target_len);
	}
	r = f3_store_attr_take(st->core, inode, &s->attr);
	if (r)
		return r;
	s->have_attr = true;
	/* From here on every change is one of the content after this. */
	s->was_changed = inode->changed;
	inode->changed = false;
	st->snap = *snap;
	st->taken = true;
	if (snap->content && rec->state == F3_STATE_SEALED && S_ISREG(rec->mode))
		inode->rec.state = F3_STATE_STAGING;
	f3_waiters_move(&inode->stage_waiters, &st->served);
	return 0;
}

static int prepare(struct f3_sending *s)
{
	struct f3_inode *inode = s->st->inode;
	int r = f3_journal_key(inode->volume, inode->ino, s->key);

	if (r)
		return r == -ENOENT ? F3_STAGE_NOTHING : r;
	r = open_bytes(s);
	if (r)
		return r;
	f3_lock(&inode->lock);
	r = take(s);
	f3_unlock(&inode->lock);
	/* The snapshot is older than what `take` saw: it must be the same. */
	if (!r && s->frozen &&
	    (!s->snap.complete || memcmp(&s->frozen_fp, &s->snap.fp, sizeof(s->frozen_fp))))
		r = F3_STAGE_CHANGED;
	return r;
}

static int send_it(struct f3_sending *s)
{
	uint32_t mode = s->attr.attr.mode;
	int r;

	if (S_ISDIR(mode))
		return f3_stage_send_dir(s);
	if (!s->snap.content || s->snap.again)
		return f3_stage_send_attr(s);
	if (S_ISREG(mode) && s->fd >= 0 && !s->snap.complete)
		r = f3_stage_edit(s);
	else if (S_ISREG(mode) && s->snap.size > F3_PLAN_SINGLE_BYTES)
		r = f3_stage_upload(s);
	else
		r = f3_stage_put(s);
	if (!r)
		f3_count(&bytes_sent, s->snap.size);
	return r;
}

/* ---- The result ---- */

/* The same of a member of a commit set: its key is as it was. Synced, since the store does not show what
 * was promised. */
static int record_prepared(struct f3_sending *s)
{
	struct f3_stage *st = s->st;
	struct f3_inode *inode = st->inode;
	struct f3_inode_rec *rec = &inode->rec;
	struct f3_upload *was = NULL;
	struct f3_prepared p = {
		.valid = true,
		.regular = s->snap.regular,
		.complete = s->snap.complete,
		.gen = f3_stage_gen(s),
		.generation = s->snap.generation,
		.size = s->snap.size,
		.fp = s->snap.fp,
		.attr_changes = s->snap.attr_changes,
		.upload = st->upload,
	};
	bool same, exact;
	struct f3_batch *b;
	int r = f3_batch_new(st->core->meta, &b);

	if (r)
		return r;
	memcpy(p.etag, s->new_etag, sizeof(p.etag));
	/* Attributes of an upload that are not those of now follow when it is published. */
	exact = !p.upload ||
		(p.upload->attr_changes == s->snap.attr_changes &&
		 (p.upload->mtime_unsaid || p.upload->mtime_ns == s->attr.attr.mtime_ns));
	f3_lock(&inode->lock);
	same = f3_stage_same(st->core, inode, &s->snap) && !(rec->flags & F3_INO_TORN);
	rec->attempt = s->call->e->attempt;
	if (!exact)
		rec->flags |= F3_INO_ATTR_DIRTY;
	else if (inode->attr_changes == s->snap.attr_changes)
		rec->flags &= ~(uint32_t)F3_INO_ATTR_DIRTY;
	if (same && rec->state != F3_STATE_WRITING && S_ISREG(rec->mode))
		rec->state = F3_STATE_STAGING;
	f3_batch_put_inode(b, rec);
	if (inode->member->p.upload)
		f3_set_note_del_member(b, inode->member->set, inode->ino, &inode->member->p);
	f3_set_note_member(b, inode->member->set, inode->ino, &p);
	if (same || s->frozen)
		f3_batch_del_journal(b, s->call->e->seq);
	f3_debug_point("stage.before-prepared");
	r = f3_batch_commit(b);
	f3_debug_point("stage.after-prepared");
	if (!r) {
		was = inode->member->p.upload;
		inode->member->p = p;
		st->upload = NULL;
	}
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	if (was)
		f3_leftover_abort(inode->volume, was->key, was->id);
	f3_upload_free(was);
	if (!r)
		r = f3_meta_sync(st->core->meta);
	return r ? r : same || s->frozen ? 0 : F3_STAGE_CHANGED;
}

/* 0, F3_STAGE_CHANGED, or the database's error. */
static int record(struct f3_sending *s)
{
	struct f3_stage *st = s->st;
	struct f3_inode *inode = st->inode;
	struct f3_inode_rec *rec = &inode->rec;
	const struct f3_journal_entry *e = s->call->e;
	struct f3_batch *b;
	bool same;
	int r = f3_batch_new(st->core->meta, &b);

	if (r)
		return r;
	f3_lock(&inode->lock);
	/* What a killed writer left is not the file, whatever of it was synced. */
	same = f3_stage_same(st->core, inode, &s->snap) && !(rec->flags & F3_INO_TORN);
	memcpy(rec->etag, s->new_etag, sizeof(rec->etag));
	rec->modified_ns = 0;
	rec->attempt = e->attempt;
	inode->maybe_stored = false;
	inode->checked_mono_ns = s->unseen ? 0 : f3_clock_mono_ns();
	if (s->snap.content && S_ISREG(rec->mode)) {
		rec->store_size = s->snap.size;
		inode->committed = s->snap.fp;
		if (same) {
			rec->flags &= ~(uint32_t)F3_INO_DIRTY;
			rec->error = 0;
		}
		if (same && rec->state != F3_STATE_WRITING)
			rec->state = f3_fill_incomplete(inode) ? F3_STATE_FILLING : F3_STATE_CLEAN;
	} else if (s->snap.content) {
		rec->flags &= ~(uint32_t)F3_INO_DIRTY;
		rec->error = 0;
	}
	if (S_ISDIR(rec->mode)) {
		rec->flags |= F3_INO_MARKER;
		rec->flags &= ~(uint32_t)F3_INO_IMPLICIT;
	}
	if (inode->attr_changes == s->snap.attr_changes)
		rec->flags &= ~(uint32_t)F3_INO_ATTR_DIRTY;
	if (!(rec->flags & (F3_INO_DIRTY | F3_INO_ATTR_DIRTY)))
		f3_batch_del_mark(b, F3_MARK_DIRTY, inode->ino);
	f3_stage_account(inode);
	if (!inode->dead)
		f3_batch_put_inode(b, rec);
	/* Torn: the same entry goes on. */
	if (same || s->frozen)
		f3_batch_del_journal(b, e->seq);
	f3_debug_point("stage.before-commit");
	r = f3_batch_commit(b);
	f3_debug_point("stage.after-commit");
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	f3_evict_wake(st->core);
	return r ? r : same || s->frozen ? 0 : F3_STAGE_CHANGED;
}

static void not_taken(struct f3_sending *s)
{
	struct f3_inode *inode = s->st->inode;

	f3_lock(&inode->lock);
	inode->changed |= s->was_changed;
	s->st->taken = false;
	f3_unlock(&inode->lock);
	s->was_changed = false;
}

/* The file changed under a round: who saw as many as can be asked of him is told. Does anybody wait
 * still? */
static bool one_more(struct f3_stage *st)
{
	struct f3_waiter_list tired = { NULL }, ready = { NULL };
	struct f3_inode *inode = st->inode;
	struct f3_waiter *w, *next;
	bool more;

	f3_lock(&inode->lock);
	for (w = st->served.first; w; w = next) {
		next = w->next;
		if (++w->off < F3_STAGE_ROUNDS)
			continue;
		(void)f3_waiter_cancel(w);
		f3_waiter_add(&tired, w);
	}
	f3_waiters_collect(&tired, -EBUSY, &ready);
	more = st->served.first || inode->stage_waiters.first;
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
	return more;
}

/* 0, F3_STAGE_NOTHING, F3_STAGE_CHANGED, -ECANCELED (held), -ESTALE with *ret_lost, or an error. */
static int rounds(struct f3_stage *st, struct f3_journal_call *call, struct f3_sending *s)
{
	int r = 0;

	for (int round = 1;; round++) {
		memset(s, 0, sizeof(*s));
		s->st = st;
		s->call = call;
		s->fd = -1;
		r = prepare(s);
		if (!r)
			r = send_it(s);
		if (!r)
			r = s->member ? record_prepared(s) : record(s);
		sending_done(s);
		if (r)
			not_taken(s);
		if (r != F3_STAGE_CHANGED)
			break;
		f3_count(&done_again, 1);
		if (round >= (one_more(st) ? ROUNDS_MAX : F3_STAGE_ROUNDS))
			break;
	}
	return r;
}

/* ---- What becomes of it ---- */

static void log_lost(struct f3_stage *st, const char *key, const char *now)
{
	f3_log_error("volume %s: %s was changed in the store by others; what was written here %s%s",
		     st->inode->volume->name, key, now ? "is published as " : "stays here only",
		     now ? now : "");
}

/* The bytes go to a name of their own, pinned; the winner's show up under the old one. */
static int set_aside(struct f3_stage *st, const struct f3_sending *s)
{
	struct f3_inode *inode = st->inode;
	char name[F3_NAME_MAX + 1], suffix[64];
	size_t len, max;
	int r;

	f3_lock(&inode->lock);
	snprintf(suffix, sizeof(suffix), ".f3-conflict-%" PRIu64, inode->rec.generation);
	max = F3_NAME_MAX - strlen(suffix) - 12;
	len = inode->rec.name_len < max ? inode->rec.name_len : max;
	memcpy(name, inode->rec.name, len);
	f3_unlock(&inode->lock);
	snprintf(name + len, sizeof(name) - len, "%s", suffix);
	r = f3_ns_set_aside(st->core, inode, name);
	if (r == -EEXIST) {
		snprintf(name + len, sizeof(name) - len, "%s-%x", suffix,
			 (unsigned)(f3_clock_mono_ns() >> 10) & 0xffffu);
		r = f3_ns_set_aside(st->core, inode, name);
	}
	if (r)
		return r;
	f3_count(&conflicts, 1);
	log_lost(st, s->key, name);
	return 0;
}

/* The file says why nothing of it is in the store; the program, if it waits, gets -EIO. */
static void give_up(struct f3_stage *st, const struct f3_sending *s)
{
	struct f3_inode *inode = st->inode;

	log_lost(st, s->key, NULL);
	f3_lock(&inode->lock);
	inode->rec.error = ESTALE;
	if (inode->rec.state != F3_STATE_WRITING)
		inode->rec.state = F3_STATE_FAILED;
	/* Written again it takes the place of what is there now. */
	memcpy(inode->rec.etag, s->new_etag, sizeof(inode->rec.etag));
	inode->maybe_stored = false;
	f3_unlock(&inode->lock);
}

/* The entry's end without success: record of the inode as it is, and no journal entry. */
static int record_end(struct f3_stage *st, uint64_t seq)
{
	struct f3_inode *inode = st->inode;
	struct f3_batch *b;
	int r = f3_batch_new(st->core->meta, &b);

	if (r)
		return r;
	f3_lock(&inode->lock);
	if (!inode->dead)
		f3_batch_put_inode(b, &inode->rec);
	f3_batch_del_journal(b, seq);
	r = f3_batch_commit(b);
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	return r;
}

/* It failed and is tried again. Who waits is told when the error is definite or old enough. */
static void failed(struct f3_stage *st, int r, struct f3_waiter_list *ready)
{
	struct f3_inode *inode = st->inode;
	uint64_t now = f3_clock_mono_ns();
	bool tell, say;

	f3_lock(&inode->lock);
	st->running = false;
	if (!st->failing_since_ns)
		st->failing_since_ns = now;
	tell = !f3_store_transient(r) || now - st->failing_since_ns >= st->core->opt.retry_max_ns;
	say = tell && r != -EBUSY && inode->rec.state != F3_STATE_FAILED &&
	      (!st->failing || inode->rec.state != F3_STATE_WRITING);
	st->failing |= say;
	f3_waiters_move(&st->served, &inode->stage_waiters);
	if (tell)
		f3_waiters_collect(&inode->stage_waiters, f3_store_errno(r), ready);
	f3_waiters_collect(&st->stoppers, 0, ready);
	f3_unlock(&inode->lock);
	f3_count(&done_error, 1);
	if (say)
		f3_file_fail(st->core, inode, f3_store_errno(r), "commit to the object store");
}

/* The stage is over: what came meanwhile is a commit of its own. */
static void end(struct f3_stage *st, int result, struct f3_waiter_list *ready)
{
	struct f3_core *core = st->core;
	struct f3_inode *inode = st->inode;
	char key[F3_KEY_MAX + 1];
	bool have_key = f3_inode_key(core, inode->ino, key, sizeof(key)) == 0;
	bool again, stop;

	f3_lock(&inode->lock);
	stop = st->stop;
	inode->stage = NULL;
	if (stop && result)
		f3_waiters_move(&st->served, &inode->stage_waiters);
	else
		f3_waiters_collect(&st->served, result, ready);
	if (result && !stop)
		f3_waiters_collect(&inode->stage_waiters, result, ready);
	f3_waiters_collect(&st->stoppers, 0, ready);
	again = have_key && !inode->stage_held && f3_stage_dirty(core, inode) &&
		(inode->stage_waiters.first || inode->rec.state != F3_STATE_WRITING);
	if (again && f3_stage_enter(core, inode, key, true))
		again = false;
	if (!again && !inode->stage_held)
		f3_waiters_collect(&inode->stage_waiters, 0, ready);
	f3_unlock(&inode->lock);
}

static int decide(struct f3_stage *st, struct f3_sending *s, int r)
{
	struct f3_waiter_list ready = { NULL };
	uint64_t seq = s->call->e->seq;
	bool writeback, heals;
	int result = 0;

	f3_lock(&st->inode->lock);
	writeback = st->inode->rec.class_ == F3_CLASS_WRITEBACK && !st->inode->member;
	heals = st->failing && !r;
	f3_unlock(&st->inode->lock);
	if (r == -ESTALE && s->lost) {
		f3_count(&done_lost, 1);
		r = writeback ? set_aside(st, s) : 0;
		if (!r && !writeback) {
			give_up(st, s);
			result = -EIO;
		}
		if (!r)
			r = record_end(st, seq);
	} else if (f3_stage_permanent(r)) {
		f3_count(&done_error, 1);
		f3_file_fail(st->core, st->inode, r, "commit to the object store");
		result = r;
		r = record_end(st, seq);
	} else if (r == F3_STAGE_NOTHING || r == -ECANCELED) {
		result = r == -ECANCELED ? r : 0;
		r = record_end(st, seq);
	} else if (!r) {
		f3_count(&done_ok, 1);
		f3_act_closed(st->inode);
	}
	if (r == F3_STAGE_CHANGED)
		r = -EBUSY;
	if (r) {
		failed(st, r, &ready);
		f3_waiters_call(&ready);
		return r;
	}
	if (heals)
		f3_log_info("inode %" PRIu64 ": %s is in the object store now", st->inode->ino,
			    s->key);
	end(st, result, &ready);
	f3_waiters_call(&ready);
	f3_stage_upload_drop(st);
	if (!result)
		f3_early_drop_stale(st->inode);
	f3_stage_free(st);
	return 0;
}

/* An entry of a file that is gone, or of a commit that another one took over. */
static int superseded(struct f3_journal_call *call)
{
	struct f3_batch *b;
	int r;

	if (call->e->upload[0])
		f3_stage_upload_abort(call);
	r = f3_batch_new(call->core->meta, &b);
	if (r)
		return r;
	f3_batch_del_journal(b, call->e->seq);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	return r ? r : -ECANCELED;
}

/* Its turn comes again. */
static int not_now(struct f3_stage *st)
{
	struct f3_waiter_list ready = { NULL };

	f3_lock(&st->inode->lock);
	st->running = false;
	f3_waiters_collect(&st->stoppers, 0, &ready);
	f3_unlock(&st->inode->lock);
	f3_waiters_call(&ready);
	return -EBUSY;
}

int f3_stage_run(struct f3_journal_call *call)
{
	uint64_t start = f3_clock_mono_ns();
	struct f3_sending *s;
	struct f3_inode *inode;
	struct f3_stage *st;
	bool waits;
	int r = f3_inode_get(call->core, call->e->ino, &inode);

	if (r == -ENOENT || r == -ESTALE)
		return superseded(call);
	if (r)
		return r;
	f3_lock(&inode->lock);
	st = inode->stage;
	if (st && st->seq != call->e->seq)
		st = NULL;
	if (st)
		st->running = true;
	waits = st && f3_member_waits(inode);
	f3_unlock(&inode->lock);
	if (waits) {
		r = not_now(st);
		f3_inode_put(call->core, inode);
		return r;
	}
	s = st ? malloc(sizeof(*s)) : NULL;
	if (st && call->e->upload[0] && !st->upload)
		f3_stage_upload_abort(call);
	if (!st) {
		r = superseded(call);
	} else if (!s) {
		struct f3_waiter_list ready = { NULL };

		r = -ENOMEM;
		failed(st, r, &ready);
		f3_waiters_call(&ready);
	} else {
		r = rounds(st, call, s);
		r = decide(st, s, r);
		if (!r)
			f3_observe(&took, f3_clock_mono_ns() - start);
	}
	free(s);
	f3_inode_put(call->core, inode);
	return r;
}

void f3_stage_vanished(struct f3_core *core, uint64_t ino, uint64_t seq)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_inode *inode = f3_inode_peek(core, ino);
	struct f3_stage *st;

	if (!inode)
		return;
	f3_lock(&inode->lock);
	st = inode->stage && inode->stage->seq == seq ? inode->stage : NULL;
	if (st)
		st->running = true;
	f3_unlock(&inode->lock);
	if (st) {
		end(st, 0, &ready);
		f3_waiters_call(&ready);
		f3_stage_upload_drop(st);
		f3_stage_free(st);
	}
	f3_inode_put(core, inode);
}
