/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/core/activation.h"
#include "fs/core/authority.h"
#include "fs/core/commitset.h"
#include "fs/core/evict.h"
#include "fs/core/fetch.h"
#include "fs/core/fill.h"
#include "fs/core/hold.h"
#include "fs/core/lifetime.h"
#include "fs/core/move.h"
#include "fs/core/namespace.h"
#include "fs/core/sealer.h"
#include "fs/core/stage.h"
#include "fs/core/stage_sums.h"
#include "fs/core/store_dir.h"
#include "fs/core/stream.h"

/* Objects from this size on are read past the page cache while they are not here. */
#define UNCACHED_BYTES (64ull << 20)

const char *f3_open_mode_name(enum f3_open_mode m)
{
	static const char *const names[] = { "none", "passthrough", "cached" };

	return (unsigned)m < sizeof(names) / sizeof(names[0]) ? names[m] : "unknown";
}

bool f3_file_complete(const struct f3_inode *inode)
{
	return inode->rec.backing && !f3_fill_incomplete(inode);
}

static bool in_store(const struct f3_inode *inode)
{
	return f3_class_in_store((enum f3_class)inode->rec.class_) && inode->volume->store;
}

/* One that is gone is bytes that are lost, not a name that is not there. */
static int open_backing(const struct f3_inode *inode, int flags)
{
	int fd = f3_backing_open_file(f3_file_store(inode), inode->ino, inode->rec.backing, flags);

	return fd == -ENOENT ? -EIO : fd;
}

int f3_file_fd(struct f3_core *core, struct f3_inode *inode)
{
	(void)core;
	if (inode->fd < 0)
		inode->fd = open_backing(inode, O_RDONLY);
	return inode->fd;
}

int f3_file_fd_noatime(struct f3_inode *inode)
{
	return open_backing(inode, O_RDONLY | O_NOATIME);
}

int f3_file_write_fd(struct f3_core *core, struct f3_inode *inode, bool *ret_close)
{
	int fd;

	f3_fill_forget(core, inode);
	*ret_close = false;
	if (inode->write_fd >= 0)
		return inode->write_fd;
	fd = open_backing(inode, O_RDWR);
	if (fd < 0)
		return fd;
	if (inode->writers)
		inode->write_fd = fd;
	else
		*ret_close = true;
	return fd;
}

static struct f3_fingerprint fingerprint_of(const struct stat *st)
{
	return (struct f3_fingerprint){
		.size = (uint64_t)st->st_size,
		.mtime_ns = f3_ns_from_timespec(st->st_mtim),
		.ctime_ns = f3_ns_from_timespec(st->st_ctim),
	};
}

void f3_file_seen(struct f3_inode *inode, const struct stat *st)
{
	inode->seen = fingerprint_of(st);
	inode->seen_atime_ns = f3_ns_from_timespec(st->st_atim);
	inode->seen_valid = true;
}

void f3_file_account(struct f3_core *core, struct f3_inode *inode, uint64_t size, uint64_t blocks)
{
	uint64_t before = f3_file_charge(&inode->rec), held = inode->rec.blocks;
	uint64_t kept = f3_file_kept(&inode->rec);

	inode->rec.size = size;
	inode->rec.blocks = blocks;
	f3_volume_account(inode->volume, (int64_t)f3_file_charge(&inode->rec) - (int64_t)before);
	if (inode->rec.backing_class != F3_CLASS_MEMORY)
		f3_evict_account(core, ((int64_t)blocks - (int64_t)held) * 512);
	f3_evict_keep(core, (int64_t)f3_file_kept(&inode->rec) - (int64_t)kept);
}

/* While ranges are missing, fills move the file's times about: then the record counts. */
void f3_file_catch_up(struct f3_core *core, struct f3_inode *inode, const struct stat *st)
{
	struct f3_inode_rec *rec = &inode->rec;
	struct f3_fingerprint now = fingerprint_of(st);
	int64_t atime_ns = f3_ns_from_timespec(st->st_atim);

	if (inode->extents)
		return;
	if (inode->seen_valid && rec->state == F3_STATE_WRITING) {
		if (now.mtime_ns != inode->seen.mtime_ns) {
			rec->mtime_ns = now.mtime_ns;
			if (now.mtime_ns > rec->ctime_ns)
				rec->ctime_ns = now.mtime_ns;
		}
	}
	if (inode->seen_valid && atime_ns != inode->seen_atime_ns)
		rec->atime_ns = atime_ns;
	if (rec->state == F3_STATE_WRITING)
		f3_file_account(core, inode, now.size, (uint64_t)st->st_blocks);
	f3_file_seen(inode, st);
}

static int look(struct f3_core *core, struct f3_inode *inode)
{
	struct stat st;
	int r;

	if (inode->fd >= 0)
		r = fstat(inode->fd, &st) ? -errno : 0;
	else
		r = f3_backing_stat(f3_file_store(inode), inode->ino, inode->rec.backing, &st);
	if (!r)
		f3_file_catch_up(core, inode, &st);
	return r;
}

int f3_file_make_backing(struct f3_inode *inode)
{
	struct stat st;
	struct f3_backing_store *store = f3_file_store(inode);
	uint32_t number = inode->rec.backing + 1;
	int fd = f3_backing_create_anew(store, inode->ino, number);

	if (fd < 0)
		return fd;
	inode->rec.backing++;
	inode->fd = fd;
	if (!fstat(fd, &st))
		f3_file_seen(inode, &st);
	return 0;
}

/* Everything of the old content goes: a new, empty backing file. Native readers of the old one
 * cannot be (the mode would be passthrough, and then the file is truncated in place). */
static int replace_empty(struct f3_core *core, struct f3_inode *inode, struct f3_file_gone *gone)
{
	f3_file_detach(core, inode, gone);
	f3_extents_free(inode->extents);
	inode->extents = NULL;
	inode->rec.base_limit = 0;
	return f3_file_make_backing(inode);
}

static int empty_in_place(struct f3_core *core, struct f3_inode *inode)
{
	struct stat st;
	bool close_it;
	int fd = f3_file_write_fd(core, inode, &close_it), r = 0;

	if (fd < 0)
		return fd;
	if (inode->extents)
		r = f3_fill_truncate(core, inode, fd, 0);
	else if (!f3_fault("file.truncate", &r) && ftruncate(fd, 0))
		r = -errno;
	if (!r && fstat(fd, &st))
		r = -errno;
	if (!r) {
		f3_file_seen(inode, &st);
		f3_file_account(core, inode, 0, (uint64_t)st.st_blocks);
	}
	if (close_it)
		close(fd);
	return r;
}

/* Its last writer has gone, which a daemon that comes after a crash cannot see; or one is there again. */
static int note_held(struct f3_core *core, struct f3_inode *inode, bool held)
{
	uint32_t was = inode->rec.flags;
	struct f3_batch *b;
	int r;

	inode->rec.flags = held ? was | F3_INO_HELD : was & ~(uint32_t)F3_INO_HELD;
	if (inode->dead)
		return 0;
	r = f3_batch_new(core->meta, &b);
	if (!r) {
		f3_batch_put_inode(b, &inode->rec);
		r = f3_batch_commit(b);
		f3_batch_free(b);
	}
	if (r)
		inode->rec.flags = was;
	return r;
}

static int mark_writing(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_inode_rec was;
	struct f3_batch *b;
	int r;

	f3_hold_writes(inode);
	if (inode->rec.state == F3_STATE_WRITING) {
		/* A commit that lost a race is history also where the sealer has not come by yet. */
		inode->rec.error = 0;
		return inode->rec.flags & F3_INO_HELD ? note_held(core, inode, false) : 0;
	}
	if (inode->dead) {
		inode->rec.state = F3_STATE_WRITING;
		return 0;
	}
	r = f3_batch_new(core->meta, &b);
	if (r)
		return r;
	was = inode->rec;
	if (inode->rec.state == F3_STATE_CLEAN || inode->rec.state == F3_STATE_FILLING)
		inode->committed = inode->seen;
	inode->rec.state = F3_STATE_WRITING;
	inode->rec.generation++;
	inode->rec.error = 0;
	f3_batch_put_inode(b, &inode->rec);
	f3_batch_put_mark(b, F3_MARK_WRITER, inode->ino);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	/* Else the next writer would be taken for marked. */
	if (r)
		inode->rec = was;
	return r;
}

/* Writes of this open come to the daemon although the file is complete: tmpfs pages must be
 * charged to the daemon, not to the writer's cgroup; near a limit every write is checked; and
 * what must be durable when write(2) returns cannot bypass us. */
static const char *not_native(struct f3_core *core, struct f3_inode *inode, int flags)
{
	if (inode->rec.backing_class == F3_CLASS_MEMORY)
		return "class memory is charged to the daemon";
	if ((flags & (O_SYNC | O_DSYNC)) && in_store(inode))
		return "O_SYNC on an object class";
	if (!f3_volume_may_passthrough_write(core, inode->volume, F3_CLASS_EPHEMERAL))
		return "little space left under the quota or on the disk";
	return NULL;
}

static void choose_cached(struct f3_inode *inode, const char *reason)
{
	inode->mode = F3_MODE_CACHED;
	inode->mode_reason = reason;
}

/* A large object that is not here: it is likely to be read through once, and the bytes are in a buffer of
 * ours when they are asked for. A second copy in the page cache would cost more than the request. */
static bool past_page_cache(const struct f3_core *core, const struct f3_inode *inode)
{
	return inode->extents && core->kernel.direct_mmap &&
	       inode->rec.base_limit >= UNCACHED_BYTES;
}

/* Decides how the kernel reaches the bytes and counts the open. Inode lock held. */
static void plan_open(struct f3_core *core, struct f3_inode *inode, int flags, bool writer,
		      struct f3_open_plan *plan)
{
	const char *reason = writer ? not_native(core, inode, flags) : NULL;

	memset(plan, 0, sizeof(*plan));
	plan->stream = !writer && inode->stream && f3_stream_live(inode);
	if (inode->mode == F3_MODE_NONE) {
		inode->mode_reason = NULL;
		if (!core->kernel.backing_open)
			choose_cached(inode, "no passthrough: kernel or configuration");
		else if (!f3_file_complete(inode))
			choose_cached(inode, "not all bytes are here");
		else if (!f3_backing_caps(f3_file_store(inode))->leases)
			/* A mapping in passthrough would outlive its release unnoticed; one through the
			 * page cache holds it back. */
			choose_cached(inode,
				      "the cache's file system cannot tell when a writer is gone");
		else
			inode->mode = F3_MODE_PASSTHROUGH;
	}
	if (inode->mode == F3_MODE_PASSTHROUGH && !inode->backing_id) {
		int fd = f3_file_fd(core, inode);
		int id = fd < 0 ? fd : core->kernel.backing_open(core->kernel.arg, fd);

		if (id > 0)
			inode->backing_id = id;
		else
			choose_cached(inode, id == -ELOOP ?
						     "the cache lies on a stacked file system" :
						     "the kernel refused the backing file");
	}
	if (inode->mode == F3_MODE_PASSTHROUGH)
		f3_fill_forget(core, inode);
	plan->cold = false;
	plan->mode = inode->mode;
	plan->backing_id = inode->mode == F3_MODE_PASSTHROUGH ? inode->backing_id : 0;
	/* Reads of what may be withdrawn come to the daemon, which then says so. */
	plan->direct_io = plan->stream || (inode->mode == F3_MODE_PASSTHROUGH ?
						   reason || (inode->member && !writer) :
						   !writer && past_page_cache(core, inode));
	plan->native = writer && inode->mode == F3_MODE_PASSTHROUGH && !reason;
	plan->noflush = !writer || (!in_store(inode) && !f3_stream_wanted(&inode->rec));
	if (inode->mode == F3_MODE_CACHED) {
		plan->keep_cache = !writer && inode->cached_generation == inode->rec.generation;
		inode->cached_generation = inode->rec.generation;
	} else {
		inode->touched = true;
		inode->cached_generation = 0;
		if (reason)
			inode->mode_reason = reason;
	}
	core->mode_opens[inode->mode]++;
	if (inode->opens++ == 0)
		core->open_files++;
	if (writer)
		inode->writers++;
	if (plan->native) {
		inode->passthrough_writers++;
		inode->volume->passthrough_writers++;
	}
}

/* The kernel has the backing file; where many are open at a time ours is let go until it is needed,
 * so that the limit of descriptors is none of open files. Only with the first open: others may be
 * using it. Inode lock held; the caller closes what it gets, -1: none. */
static int spare_fd(struct f3_core *core, struct f3_inode *inode, const struct f3_open_plan *plan)
{
	int fd = inode->fd;

	if (inode->opens != 1 || plan->mode != F3_MODE_PASSTHROUGH ||
	    core->open_files <= core->fd_files)
		return -1;
	inode->fd = -1;
	return fd;
}

void f3_file_opened_new(struct f3_core *core, struct f3_inode *inode, int flags,
			const struct f3_stock_item *item, struct f3_open_plan *ret_plan)
{
	int fd, was;

	f3_lock(&inode->lock);
	was = inode->fd; /* of somebody who waited for the name */
	inode->fd = item->fd;
	inode->backing_id = item->backing_id;
	f3_file_seen(inode, &item->st);
	plan_open(core, inode, flags, true, ret_plan);
	fd = spare_fd(core, inode, ret_plan);
	f3_unlock(&inode->lock);
	if (fd >= 0)
		close(fd);
	if (was >= 0)
		close(was);
}

/* One round of an open with the inode's lock held. 1: fill_prepare is needed first. */
static int open_locked(struct f3_core *core, struct f3_inode *inode, int flags, bool writer,
		       struct f3_open_plan *ret_plan, struct f3_file_gone *gone)
{
	bool truncate = (flags & O_TRUNC) != 0;
	struct stat st;
	int r = 0;

	if ((inode->dead && !f3_file_complete(inode)) || f3_commitset_withdrawn(inode))
		return -ESTALE;
	if (f3_fill_incomplete(inode) && truncate && inode->mode == F3_MODE_NONE && !inode->fill &&
	    !inode->stream)
		r = replace_empty(core, inode, gone);
	else if (f3_fill_incomplete(inode) && !inode->extents)
		return 1;
	else if (!inode->rec.backing)
		r = f3_file_make_backing(inode);
	if (!r && !inode->seen_valid) {
		int fd = f3_file_fd(core, inode);

		r = fd < 0 ? fd : fstat(fd, &st) ? -errno : 0;
		if (!r)
			f3_file_seen(inode, &st);
	}
	if (!r && writer)
		r = mark_writing(core, inode);
	if (!r && writer && inode->stream) {
		/* What splice(2) read into the page cache is not the end of it any more. */
		core->kernel.inval_inode(core->kernel.arg, inode->ino);
		f3_stream_writes(inode);
	}
	if (!r && !writer && f3_stream_live(inode))
		r = f3_stream_start(core, inode);
	if (!r && truncate) {
		int64_t now = f3_clock_file_ns();

		/* Whatever the record says: a native writer may have made it longer. */
		r = empty_in_place(core, inode);
		f3_debug_point("truncate.on-disk");
		inode->changed = true;
		inode->rec.mtime_ns = inode->rec.ctime_ns = now;
		f3_file_emptied(core, inode);
	}
	if (!r)
		plan_open(core, inode, flags, writer, ret_plan);
	return r;
}

/* What is on its way ahead of the open is waited for, and says what is the case. */
static int check_open(struct f3_core *core, struct f3_inode *inode, bool bytes)
{
	bool ahead = false;

	if (bytes && f3_fetch_await(inode)) {
		f3_lock(&inode->lock);
		ahead = f3_fetch_vouched(inode);
		f3_unlock(&inode->lock);
	}
	return ahead ? 0 : f3_store_inode_check(core, inode, bytes);
}

int f3_file_join_set(struct f3_core *core, struct f3_inode *inode, const struct f3_caller *who)
{
	struct f3_commitset *set;
	int r;

	if (!inode->volume || !in_store(inode))
		return 0;
	set = f3_act_set_of_file(core, who, inode);
	r = set ? f3_commitset_join(set, inode, who) : 0;
	f3_commitset_put(set);
	return r;
}

int f3_file_open(struct f3_core *core, struct f3_inode *inode, int flags,
		 const struct f3_caller *who, struct f3_open_plan *ret_plan)
{
	bool writer = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
	struct f3_file_gone gone = { .fd = -1 };
	bool kill_priv = false, check, ahead, bytes, cold;
	int r, fd = -1;

	if (!inode->volume)
		return -EISDIR;
	if (writer) {
		r = f3_authority_here(core, inode->volume);
		if (!r)
			r = f3_stage_room(inode, who);
		if (!r && atomic_load_explicit(&core->n_followed, memory_order_relaxed))
			r = f3_act_rewrites(core, inode);
		if (r)
			return r;
	}
	f3_lock(&inode->lock);
	check = in_store(inode) && inode->rec.etag[0] && inode->rec.state != F3_STATE_WRITING &&
		!(inode->rec.flags & F3_INO_DIRTY) && !inode->dead;
	ahead = check && f3_fetch_vouched(inode);
	bytes = check && !(flags & O_TRUNC) && inode->rec.state == F3_STATE_REMOTE;
	cold = !(flags & O_TRUNC) && (ahead || f3_fill_incomplete(inode));
	f3_unlock(&inode->lock);
	if (check && !ahead && !who->may_block)
		return -F3_EWAIT;
	if (ahead || bytes)
		f3_fetch_opened(core, inode, !ahead);
	if (check && !ahead) {
		r = check_open(core, inode, bytes);
		if (r)
			return r;
	}
	if (writer && f3_commitsets_live(core)) {
		r = f3_file_join_set(core, inode, who);
		if (r)
			return r;
	}
	if (writer && !(flags & O_TRUNC)) {
		r = f3_fill_settle(core, inode);
		if (r)
			return r;
		f3_sums_prepare(core, inode);
	}
	for (;;) {
		f3_lock(&inode->lock);
		r = open_locked(core, inode, flags, writer, ret_plan, &gone);
		kill_priv = !r && (flags & O_TRUNC) && (inode->rec.flags & F3_INO_HAS_CAPS);
		ret_plan->cold = cold;
		if (!r)
			fd = spare_fd(core, inode, ret_plan);
		f3_unlock(&inode->lock);
		if (r != 1)
			break;
		r = f3_fill_prepare(core, inode);
		if (r)
			break;
	}
	if (fd >= 0)
		close(fd);
	f3_file_gone(core, &gone);
	if (kill_priv)
		f3_file_kill_priv(core, inode, NULL);
	if (!r && writer && in_store(inode))
		f3_stage_writer_opened(core, inode);
	return r;
}

int f3_file_restore(struct f3_core *core, const struct f3_open_kept *kept,
		    struct f3_inode **ret_inode)
{
	struct f3_inode *inode;
	int r = f3_inode_get(core, kept->ino, &inode);

	if (r)
		return r;
	f3_lock(&inode->lock);
	if (!inode->volume || !S_ISREG(inode->rec.mode) ||
	    (inode->opens && inode->backing_id != kept->backing_id)) {
		f3_unlock(&inode->lock);
		f3_inode_put(core, inode);
		return -ENOENT;
	}
	inode->mode = kept->backing_id ? F3_MODE_PASSTHROUGH : F3_MODE_CACHED;
	inode->mode_reason = kept->backing_id ? NULL : "opened so before a restart of the daemon";
	inode->backing_id = kept->backing_id;
	inode->touched = true;
	core->mode_opens[inode->mode]++;
	if (inode->opens++ == 0)
		core->open_files++;
	inode->writers += kept->writer;
	if (kept->stream)
		r = f3_stream_start(core, inode);
	if (kept->native) {
		inode->passthrough_writers++;
		inode->volume->passthrough_writers++;
	}
	f3_unlock(&inode->lock);
	if (r) {
		f3_file_release(core, inode, kept->writer, kept->native);
		f3_inode_put(core, inode);
		return r;
	}
	*ret_inode = inode;
	return 0;
}

static void mapping_gone(void *arg, unsigned events)
{
	struct f3_inode *inode = arg;

	(void)events;
	if (inode->core->sealer)
		f3_sealer_push(inode->core->sealer, inode);
}

/* The last RELEASE came but stores through a mapping still go to the backing file: be told when
 * the mapping goes. The watch holds a reference. 1: it went meanwhile. */
static int await_mapping(struct f3_core *core, struct f3_inode *inode, int fd)
{
	int r;

	if (!inode->watch) {
		r = f3_watch_add(core->watcher, fd, F3_WATCH_CLOSE_WRITE, mapping_gone, inode,
				 &inode->watch);
		if (r)
			return r;
		f3_inode_ref(inode);
	}
	inode->mapped = true;
	return f3_backing_probe(fd);
}

void f3_file_release(struct f3_core *core, struct f3_inode *inode, bool writer, bool native)
{
	bool seal = false, reap = false, resume = false, wake = false;
	struct f3_stream *stream = NULL;
	int write_fd = -1, fd = -1;

	f3_lock(&inode->lock);
	core->mode_opens[inode->mode]--;
	inode->opens--;
	if (writer && --inode->writers == 0) {
		write_fd = inode->write_fd;
		inode->write_fd = -1;
	}
	if (native) {
		inode->passthrough_writers--;
		inode->volume->passthrough_writers--;
	}
	if (!inode->opens) {
		inode->mode = F3_MODE_NONE;
		core->open_files--;
		wake = inode->release_waits;
		reap = (inode->rec.flags & F3_INO_ORPHAN) != 0;
		if (reap || inode->rec.state != F3_STATE_WRITING)
			stream = f3_stream_take(inode);
		resume = inode->rec.state != F3_STATE_WRITING && f3_move_pending(inode);
		if (inode->rec.state != F3_STATE_WRITING) {
			fd = inode->fd;
			inode->fd = -1;
		}
		f3_evict_wake(core);
	}
	seal = !inode->writers && inode->rec.state == F3_STATE_WRITING && !reap;
	f3_unlock(&inode->lock);
	f3_stream_free(stream);
	if (write_fd >= 0)
		close(write_fd);
	if (fd >= 0)
		close(fd);
	if (reap)
		f3_ns_reap(core, inode);
	else if (seal)
		f3_sealer_push(core->sealer, inode);
	else if (resume)
		f3_move_resume(core, inode);
	if (wake && !seal)
		f3_life_wake(core);
}

void f3_file_torn(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_batch *b;

	f3_lock(&inode->lock);
	if (f3_stream_wanted(&inode->rec) && !inode->dead) {
		inode->rec.flags |= F3_INO_TORN;
		if (!f3_batch_new(core->meta, &b)) {
			f3_batch_put_inode(b, &inode->rec);
			(void)f3_batch_commit(b); /* it will be said again when it is sealed */
			f3_batch_free(b);
		}
	}
	f3_unlock(&inode->lock);
}

void f3_file_emptied(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_batch *b;

	inode->presized = false;
	f3_stream_truncated(inode, 0);
	if (!(inode->rec.flags & F3_INO_TORN))
		return;
	inode->rec.flags &= ~(uint32_t)F3_INO_TORN;
	inode->rec.error = 0;
	if (inode->dead || f3_batch_new(core->meta, &b))
		return;
	f3_batch_put_inode(b, &inode->rec);
	(void)f3_batch_commit(b); /* it is said again when the file is sealed */
	f3_batch_free(b);
}

/* The record of a file that nothing writes any more. */
static int record_sealed(struct f3_core *core, struct f3_inode *inode)
{
	bool store = in_store(inode);
	/* Stores through a mapping that outlived its open need not have changed the file's times. */
	bool was_mapped = inode->mapped;
	uint32_t was_flags = inode->rec.flags;
	uint8_t was_state = inode->rec.state;
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	if (store && !was_mapped && f3_stage_unchanged(inode)) {
		inode->rec.state = f3_fill_incomplete(inode) ? F3_STATE_FILLING : F3_STATE_CLEAN;
		inode->rec.flags &= ~(uint32_t)(F3_INO_DIRTY | F3_INO_TORN);
		if (!(inode->rec.flags & F3_INO_ATTR_DIRTY))
			f3_batch_del_mark(b, F3_MARK_DIRTY, inode->ino);
	} else {
		/* Who reads on must not take what is there for all of it. */
		if (inode->rec.flags & F3_INO_TORN)
			inode->rec.error = EIO;
		/* A commit that failed, or an fsync: the disk may have other bytes than it says. */
		inode->rec.state = inode->rec.error ? F3_STATE_FAILED : F3_STATE_SEALED;
		if (store) {
			inode->rec.flags |= F3_INO_DIRTY;
			f3_batch_put_mark(b, F3_MARK_DIRTY, inode->ino);
		}
	}
	inode->rec.flags &= ~(uint32_t)F3_INO_HELD;
	f3_stage_account(inode);
	f3_batch_del_mark(b, F3_MARK_WRITER, inode->ino);
	f3_batch_put_inode(b, &inode->rec);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	if (r) {
		/* It is what the database says it is, and can be sealed later. */
		inode->rec.state = was_state;
		inode->rec.flags = was_flags;
		f3_stage_account(inode);
	}
	return r;
}

static void end_watch(struct f3_core *core, struct f3_inode *inode, struct f3_watch *watch)
{
	if (!watch)
		return;
	f3_watch_del(watch);
	f3_inode_put(core, inode);
}

int f3_file_seal(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_watch *watch = NULL;
	struct f3_stream *stream = NULL;
	bool stage = false, resume = false, wake = false;
	int fd, r = 0, close_fd = -1;
	uint64_t was_size;

	f3_lock(&inode->lock);
	if (inode->dead || inode->rec.state != F3_STATE_WRITING) {
		watch = inode->watch;
		inode->watch = NULL;
		/* Without a name there is no state to be sealed, but whoever reads it has the end. */
		if (!inode->writers)
			f3_stream_sealed(inode, inode->rec.flags & F3_INO_TORN ? EIO : 0, &ready);
		f3_waiters_collect(&inode->seal_waiters, 0, &ready);
		if (!inode->opens)
			stream = f3_stream_take(inode);
		f3_unlock(&inode->lock);
		end_watch(core, inode, watch);
		f3_waiters_call(&ready);
		f3_stream_free(stream);
		return 0;
	}
	fd = inode->writers ? -EBUSY : f3_file_fd(core, inode);
	if (fd < 0) {
		f3_unlock(&inode->lock);
		return fd;
	}
	if (f3_backing_caps(f3_file_store(inode))->leases) {
		r = f3_backing_probe(fd);
		if (r == 0)
			r = await_mapping(core, inode, fd);
		if (r == 0) {
			f3_unlock(&inode->lock);
			return -EBUSY;
		}
		if (r > 0)
			r = 0;
	}
	was_size = inode->rec.size;
	if (!r)
		r = look(core, inode);
	f3_debug_point("seal.probed");
	if (!r && f3_hold_puts_off(core, inode)) {
		if (!(inode->rec.flags & F3_INO_HELD) || inode->rec.size != was_size)
			(void)note_held(core, inode, true); /* then it is taken for torn */
		if (!inode->opens) {
			close_fd = inode->fd;
			inode->fd = -1;
		}
		f3_unlock(&inode->lock);
		if (close_fd >= 0)
			close(close_fd);
		return -EBUSY;
	}
	if (!r)
		r = record_sealed(core, inode);
	if (!r) {
		inode->mapped = inode->presized = false;
		inode->grace_until_ns = 0;
		watch = inode->watch;
		inode->watch = NULL;
		f3_stream_sealed(inode, inode->rec.flags & F3_INO_TORN ? EIO : 0, &ready);
		stage = (inode->rec.flags & F3_INO_DIRTY) != 0;
		resume = !inode->opens && f3_move_pending(inode);
		if (!inode->opens) {
			close_fd = inode->fd;
			inode->fd = -1;
			inode->touched = false;
			stream = f3_stream_take(inode);
		}
		f3_waiters_collect(&inode->seal_waiters, 0, &ready);
		wake = inode->release_waits;
	} else if (!f3_sealer_tries_again(r)) {
		f3_stream_sealed(inode, -r, &ready);
		f3_waiters_collect(&inode->seal_waiters, 0, &ready);
	}
	f3_unlock(&inode->lock);
	if (close_fd >= 0)
		close(close_fd);
	end_watch(core, inode, watch);
	f3_waiters_call(&ready);
	f3_stream_free(stream);
	if (r) {
		f3_log_error("inode %llu: cannot be sealed: %s", (unsigned long long)inode->ino,
			     strerror(-r));
		return r;
	}
	if (wake)
		f3_life_wake(core);
	f3_stage_writers_gone(core, inode);
	f3_act_closed(inode);
	if (stage)
		f3_stage_commit(core, inode, NULL);
	else
		f3_stage_attr_changed(core, inode);
	if (resume)
		f3_move_resume(core, inode);
	return 0;
}

void f3_file_left(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_batch *b;

	if (f3_batch_new(core->meta, &b))
		return;
	f3_lock(&inode->lock);
	if (!inode->dead) {
		f3_batch_put_inode(b, &inode->rec);
		(void)f3_batch_commit(b); /* then fsck says that the usage is not right */
	}
	f3_unlock(&inode->lock);
	f3_batch_free(b);
}

void f3_file_settle(struct f3_core *core, struct f3_inode *inode)
{
	const struct f3_inode_rec *rec = &inode->rec;
	int64_t was_ns;
	struct f3_batch *b;

	f3_lock(&inode->lock);
	if (inode->touched && !inode->opens && !inode->dead && rec->backing &&
	    rec->state != F3_STATE_WRITING && !inode->extents) {
		was_ns = rec->atime_ns;
		inode->touched = look(core, inode) != 0;
		if (rec->atime_ns != was_ns && !f3_batch_new(core->meta, &b)) {
			f3_batch_put_inode(b, rec);
			(void)f3_batch_commit(b); /* then it is as old as it was */
			f3_batch_free(b);
		}
	}
	f3_unlock(&inode->lock);
}

void f3_file_stat_rec(const struct f3_inode_rec *rec, struct stat *ret_st)
{
	memset(ret_st, 0, sizeof(*ret_st));
	ret_st->st_ino = rec->ino;
	ret_st->st_mode = rec->mode;
	ret_st->st_nlink = rec->nlink;
	ret_st->st_uid = rec->uid;
	ret_st->st_gid = rec->gid;
	ret_st->st_rdev = rec->rdev;
	ret_st->st_blksize = 4096;
	ret_st->st_blocks = (blkcnt_t)rec->blocks;
	if (S_ISDIR(rec->mode))
		ret_st->st_size = 4096;
	else if (S_ISLNK(rec->mode))
		ret_st->st_size = rec->target_len;
	else
		ret_st->st_size = (off_t)rec->size;
	/* What is not (all) here occupies its size in the store: tools that take few blocks for holes
	 * must not skip it. */
	if (S_ISREG(rec->mode) &&
	    (rec->state == F3_STATE_REMOTE || rec->state == F3_STATE_FILLING || rec->base_limit))
		ret_st->st_blocks = (blkcnt_t)((rec->size + 511) / 512);
	ret_st->st_atim = f3_timespec_from_ns(rec->atime_ns);
	ret_st->st_mtim = f3_timespec_from_ns(rec->mtime_ns);
	ret_st->st_ctim = f3_timespec_from_ns(rec->ctime_ns);
}

int f3_file_stat(struct f3_core *core, struct f3_inode *inode, struct stat *ret_st)
{
	const struct f3_inode_rec *rec = &inode->rec;
	int r = 0;

	f3_lock(&inode->lock);
	if (S_ISREG(rec->mode) && rec->backing && !inode->extents &&
	    (rec->state == F3_STATE_WRITING || inode->touched)) {
		r = look(core, inode);
		if (!r && !inode->opens && rec->state != F3_STATE_WRITING)
			inode->touched = false;
	}
	f3_file_stat_rec(rec, ret_st);
	f3_unlock(&inode->lock);
	return r;
}

uint64_t f3_file_attr_ttl(struct f3_core *core, struct f3_inode *inode)
{
	uint64_t ttl = core->opt.attr_ttl_ns;

	f3_lock(&inode->lock);
	if (S_ISREG(inode->rec.mode) && inode->mapped)
		ttl = 0;
	else if (S_ISREG(inode->rec.mode) && inode->rec.state == F3_STATE_WRITING)
		ttl = F3_WRITING_TTL_NS;
	else if (inode->volume && inode->volume->store && f3_file_in_store(&inode->rec) &&
		 ttl > inode->volume->attr_ttl_ns)
		ttl = inode->volume->attr_ttl_ns;
	f3_unlock(&inode->lock);
	return ttl;
}
