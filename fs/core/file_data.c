/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_data: what is done to the bytes of a file through the daemon: sizes, ranges, copies, fsync, and the
 * end of a backing file.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/base/process.h"
#include "fs/core/authority.h"
#include "fs/core/commitset.h"
#include "fs/core/evict.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/stage.h"
#include "fs/core/stream.h"

static bool in_store(const struct f3_inode *inode)
{
	return f3_class_in_store((enum f3_class)inode->rec.class_) && inode->volume->store;
}

/* After the daemon changed the backing file on a program's behalf. Inode lock held. */
static void changed(struct f3_core *core, struct f3_inode *inode, int fd)
{
	int64_t now = f3_clock_file_ns();
	struct stat st;

	inode->changed = true;
	if (!fstat(fd, &st)) {
		/* The backing file's own stamp: after a crash there is no other. */
		if (inode->seen_valid && !inode->extents &&
		    f3_ns_from_timespec(st.st_mtim) != inode->seen.mtime_ns)
			now = f3_ns_from_timespec(st.st_mtim);
		f3_file_account(core, inode, (uint64_t)st.st_size, (uint64_t)st.st_blocks);
		f3_file_seen(inode, &st);
	}
	inode->rec.mtime_ns = inode->rec.ctime_ns = now;
}

/* Before a change made while no writer is open (truncate(2)): the content will be another one, and
 * from here on the backing file knows its size, also after a crash. Inode lock held. */
static int mark_changing(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_batch *b;
	int r;

	if (inode->rec.state == F3_STATE_WRITING || inode->dead)
		return 0;
	r = f3_batch_new(core->meta, &b);
	if (r)
		return r;
	inode->rec.generation++;
	inode->rec.state = F3_STATE_WRITING;
	f3_batch_put_mark(b, F3_MARK_WRITER, inode->ino);
	f3_batch_put_inode(b, &inode->rec);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	return r;
}

/* Makes sure there is a backing file to work on and, where `whole`, that every byte is in it.
 * Returns with the inode lock held on success only. */
static int lock_ready(struct f3_core *core, struct f3_inode *inode, bool whole,
		      const struct f3_caller *who)
{
	int r = f3_authority_here(core, inode->volume);

	if (r)
		return r;
	for (;;) {
		f3_lock(&inode->lock);
		if (inode->dead && !f3_file_complete(inode))
			r = -ESTALE;
		else if (f3_file_complete(inode) || (!whole && inode->extents))
			return 0;
		else if (!inode->rec.backing && inode->rec.state == F3_STATE_SEALED)
			r = 1;
		else
			r = 2;
		if (r == 1) {
			r = f3_file_make_backing(inode);
			if (!r)
				return 0;
		}
		f3_unlock(&inode->lock);
		if (r < 0)
			return r;
		if (!who->may_block)
			return -F3_EWAIT;
		r = whole ? f3_fill_whole(core, inode) : f3_fill_prepare(core, inode);
		if (r)
			return r;
	}
}

static int finish(struct f3_core *core, struct f3_inode *inode, int r)
{
	bool idle;

	f3_debug_point("change.on-disk");
	idle = !inode->writers && inode->rec.state == F3_STATE_WRITING;
	f3_unlock(&inode->lock);
	/* Nobody has it open for writing: what was done is the whole change. */
	if (idle)
		(void)f3_file_seal(core, inode); /* busy: a mapping lives, it is sealed later */
	return r;
}

static int fits_quota(struct f3_volume *v, uint64_t growth)
{
	int r = f3_volume_charge(v, growth, 0);

	/* Only a check: what is really taken is accounted after it. */
	if (!r)
		f3_volume_uncharge(v, growth, 0);
	return r;
}

bool f3_file_empty(struct f3_inode *inode, char ret_name[F3_NAME_MAX + 1])
{
	const struct f3_inode_rec *rec = &inode->rec;
	struct stat st;
	bool empty;

	f3_lock(&inode->lock);
	memcpy(ret_name, rec->name, sizeof(rec->name));
	empty = S_ISREG(rec->mode) && rec->nlink && rec->name_len && !f3_fill_incomplete(inode) &&
		!f3_backing_stat(f3_file_store(inode), inode->ino, rec->backing, &st) &&
		!st.st_size;
	f3_unlock(&inode->lock);
	return empty;
}

int f3_file_truncate(struct f3_core *core, struct f3_inode *inode, uint64_t size,
		     const struct f3_caller *who)
{
	bool close_it, longer;
	struct stat st;
	int fd, r;

	if (size > f3_backing_caps(f3_file_store(inode))->max_file_bytes)
		return -EFBIG;
	r = f3_commitsets_live(core) ? f3_file_join_set(core, inode, who) : 0;
	if (!r)
		r = f3_fill_settle(core, inode);
	if (!r)
		r = lock_ready(core, inode, false, who);
	if (r)
		return r;
	if (in_store(inode) && size > inode->rec.size)
		r = fits_quota(inode->volume, size - inode->rec.size);
	fd = r ? r : f3_file_write_fd(core, inode, &close_it);
	if (fd < 0) {
		f3_unlock(&inode->lock);
		return fd;
	}
	longer = f3_stream_wanted(&inode->rec) && !fstat(fd, &st) && size > (uint64_t)st.st_size;
	r = mark_changing(core, inode);
	if (!r && inode->extents)
		r = f3_fill_truncate(core, inode, fd, size);
	else if (!r && !f3_fault("file.truncate", &r))
		r = ftruncate(fd, (off_t)size) ? -errno : 0;
	if (!r) {
		if (longer)
			f3_stream_presized(inode);
		changed(core, inode, fd);
		if (size)
			f3_stream_truncated(inode, size);
		else
			f3_file_emptied(core, inode);
	}
	if (close_it)
		close(fd);
	return finish(core, inode, r);
}

static bool mode_supported(const struct f3_backing_caps *caps, int mode)
{
	switch (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_UNSHARE_RANGE)) {
	case 0:
		return true;
	case FALLOC_FL_PUNCH_HOLE:
		return caps->punch_hole;
	case FALLOC_FL_ZERO_RANGE:
		return caps->zero_range;
	case FALLOC_FL_COLLAPSE_RANGE:
		return caps->collapse_range;
	case FALLOC_FL_INSERT_RANGE:
		return caps->insert_range;
	default:
		return false;
	}
}

/* What a change of [off, end) may make the file hold more: past its end, and where it has holes.
 * An object counts by its size, holes or not. Inode lock held. */
static uint64_t growth_of(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t end)
{
	const struct f3_inode_rec *rec = &inode->rec;
	uint64_t size = rec->size, held = rec->blocks * 512, inside, more = 0;
	off_t hole;
	int fd;

	if (end > size)
		more = end - (off > size ? off : size);
	if (off >= size || held >= size || f3_class_in_store((enum f3_class)rec->class_))
		return more;
	inside = (end < size ? end : size) - off;
	fd = f3_file_fd(core, inode);
	hole = fd < 0 ? -1 : lseek(fd, (off_t)off, SEEK_HOLE);
	if (hole < 0 || (uint64_t)hole < off + inside)
		more += inside < size - held ? inside : size - held;
	return more;
}

static int reserve(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		   const struct f3_caller *who)
{
	enum f3_class where;
	uint64_t end, growth;
	int r;

	if (__builtin_add_overflow(off, len, &end) ||
	    end > f3_backing_caps(f3_file_store(inode))->max_file_bytes)
		return -EFBIG;
	f3_lock(&inode->lock);
	growth = growth_of(core, inode, off, end);
	where = (enum f3_class)inode->rec.backing_class;
	f3_unlock(&inode->lock);
	r = growth ? fits_quota(inode->volume, growth) : 0;
	if (r || !growth || where == F3_CLASS_MEMORY)
		return r;
	return in_store(inode) ? f3_evict_room_or_wait(core, growth, who) :
				 f3_evict_room(core, growth);
}

int f3_file_fallocate(struct f3_core *core, struct f3_inode *inode, int mode, uint64_t off,
		      uint64_t len, const struct f3_caller *who)
{
	bool close_it;
	int fd, r;

	if (!mode_supported(f3_backing_caps(f3_file_store(inode)), mode))
		return -EOPNOTSUPP;
	if (!(mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE))) {
		r = reserve(core, inode, off, len, who);
		if (r)
			return r;
	}
	/* Ranges move about or turn to zeros: with bytes still in the store that is not worth
	 * describing; they are fetched first. */
	r = f3_fill_settle(core, inode);
	if (!r)
		r = lock_ready(core, inode, true, who);
	if (r)
		return r;
	fd = f3_file_write_fd(core, inode, &close_it);
	if (fd < 0) {
		f3_unlock(&inode->lock);
		return fd;
	}
	r = mark_changing(core, inode);
	if (!r && !f3_fault("file.fallocate", &r))
		r = fallocate(fd, mode, (off_t)off, (off_t)len) ? -errno : 0;
	if (!r) {
		f3_stream_presized(inode);
		changed(core, inode, fd);
	}
	if (close_it)
		close(fd);
	return finish(core, inode, r);
}

int64_t f3_file_copy_range(struct f3_core *core, struct f3_inode *in, uint64_t off_in,
			   struct f3_inode *out, uint64_t off_out, uint64_t len,
			   const struct f3_caller *who)
{
	off64_t from = (off64_t)off_in, to = (off64_t)off_out;
	int fd_in, fd_out = -1, r;
	struct stat st;
	ssize_t n = 0;

	/* Both are open, so their descriptors stay while the locks are not held. Bytes that are
	 * only in the store are copied by the kernel through read and write instead. */
	f3_lock(&in->lock);
	fd_in = f3_file_complete(in) ? f3_file_fd(core, in) : -EXDEV;
	if (fd_in >= 0) {
		fd_in = fcntl(fd_in, F_DUPFD_CLOEXEC, 3);
		fd_in = fd_in < 0 ? -errno : fd_in;
	}
	f3_unlock(&in->lock);
	if (fd_in < 0)
		return fd_in == -EXDEV ? -EOPNOTSUPP : fd_in;
	f3_lock(&out->lock);
	if (!f3_file_complete(out) || f3_file_store(in) != f3_file_store(out)) {
		fd_out = -EOPNOTSUPP;
	} else {
		f3_fill_forget(core, out);
		fd_out = f3_backing_open_file(f3_file_store(out), out->ino, out->rec.backing,
					      O_RDWR);
	}
	f3_unlock(&out->lock);
	if (fd_out < 0) {
		close(fd_in);
		return fd_out;
	}
	/* Programs ask for more than there is; room is needed for what there is. */
	if (!fstat(fd_in, &st) && off_in + len > (uint64_t)st.st_size)
		len = off_in < (uint64_t)st.st_size ? (uint64_t)st.st_size - off_in : 0;
	r = reserve(core, out, off_out, len, who);
	if (!r && !f3_fault("file.copy", &r)) {
		n = copy_file_range(fd_in, &from, fd_out, &to, len, 0);
		r = n < 0 ? -errno : 0;
	}
	if (!r && n > 0) {
		f3_lock(&out->lock);
		changed(core, out, fd_out);
		f3_unlock(&out->lock);
	}
	close(fd_in);
	close(fd_out);
	if (r == -EXDEV || r == -EINVAL)
		r = -EOPNOTSUPP;
	return r ? r : n;
}

int64_t f3_file_seek(struct f3_core *core, struct f3_inode *inode, uint64_t off, int whence)
{
	int64_t r;
	int fd;

	f3_lock(&inode->lock);
	if (!f3_file_complete(inode)) {
		/* Holes of the cached copy are not holes of the object: it is all data. */
		if (off >= inode->rec.size)
			r = -ENXIO;
		else
			r = whence == SEEK_DATA ? (int64_t)off : (int64_t)inode->rec.size;
	} else {
		fd = f3_file_fd(core, inode);
		r = fd < 0 ? fd : lseek(fd, (off_t)off, whence);
		if (fd >= 0 && r < 0)
			r = -errno;
	}
	f3_unlock(&inode->lock);
	return r;
}

int f3_file_reserve(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		    const struct f3_caller *who)
{
	int r = reserve(core, inode, off, len, who);

	while (!r) {
		f3_lock(&inode->lock);
		r = f3_fill_write_begin(inode, off, len);
		f3_unlock(&inode->lock);
		if (r != -EFBIG)
			return r;
		/* Too many small pieces: the rest is fetched, then there is one. */
		if (!who->may_block)
			return -F3_EWAIT;
		r = f3_fill_whole(core, inode);
	}
	return r;
}

int64_t f3_file_written(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
			int64_t result)
{
	uint64_t written = result > 0 ? (uint64_t)result : 0;
	struct stat st;
	int fd, r;

	f3_lock(&inode->lock);
	r = f3_fill_write_end(core, inode, off, len, written);
	if (written) {
		int64_t now = f3_clock_file_ns();

		inode->changed = true;
		fd = f3_file_fd(core, inode);
		if (fd >= 0 && !fstat(fd, &st)) {
			f3_file_account(core, inode, (uint64_t)st.st_size, (uint64_t)st.st_blocks);
			if (!inode->extents) {
				now = f3_ns_from_timespec(st.st_mtim);
				f3_file_seen(inode, &st);
			}
		}
		inode->rec.mtime_ns = inode->rec.ctime_ns = now;
	}
	f3_unlock(&inode->lock);
	return r ? r : result;
}

uint32_t f3_mode_without_priv(uint32_t mode, gid_t gid, const struct f3_caller *who)
{
	mode &= ~(uint32_t)S_ISUID;
	if ((mode & S_ISGID) &&
	    ((mode & S_IXGRP) || (who->gid != gid && !f3_process_in_group(who->pid, gid) &&
				  !f3_process_can(who->pid, CAP_FSETID))))
		mode &= ~(uint32_t)S_ISGID;
	return mode;
}

int f3_file_kill_priv(struct f3_core *core, struct f3_inode *inode, const struct f3_caller *who)
{
	static const char caps[] = "security.capability";
	uint32_t gone = 0, was;
	bool had_caps;
	struct f3_batch *b;
	int r = 0;
	gid_t gid;

	f3_lock(&inode->lock);
	was = inode->rec.mode;
	gid = inode->rec.gid;
	f3_unlock(&inode->lock);
	if (who && (was & (S_ISUID | S_ISGID)))
		gone = was & ~f3_mode_without_priv(was, gid, who);
	f3_lock(&inode->lock);
	had_caps = (inode->rec.flags & F3_INO_HAS_CAPS) != 0;
	if ((inode->rec.mode & gone) || had_caps) {
		r = f3_batch_new(core->meta, &b);
		if (!r) {
			inode->rec.mode &= ~gone;
			inode->rec.flags &= ~(uint32_t)F3_INO_HAS_CAPS;
			inode->rec.ctime_ns = f3_clock_file_ns();
			if (had_caps)
				f3_batch_del_xattr(b, inode->ino, caps, sizeof(caps) - 1);
			f3_batch_put_inode(b, &inode->rec);
			r = inode->dead ? 0 : f3_batch_commit(b);
			f3_batch_free(b);
		}
	}
	f3_unlock(&inode->lock);
	return r;
}

int f3_file_sync_bytes(struct f3_inode *inode, bool data_only)
{
	struct f3_backing_store *store;
	uint32_t number;
	uint64_t ino = inode->ino;
	bool memory;
	int r = 0;

	f3_lock(&inode->lock);
	store = f3_file_store(inode);
	number = inode->rec.backing;
	memory = inode->rec.backing_class == F3_CLASS_MEMORY;
	inode->unpromised = false;
	f3_unlock(&inode->lock);
	if (number && !memory)
		r = f3_backing_sync(store, ino, number, data_only);
	f3_debug_point("sync.data");
	return r;
}

int f3_file_synced(struct f3_core *core, struct f3_inode *inode, int r)
{
	if (!r)
		r = f3_meta_sync(core->meta);
	/* After a failed sync the kernel drops the pages it could not write and says so once: the
	 * file must not look right to the next fsync. */
	if (r && r != -ENOENT)
		f3_file_fail(core, inode, r, "fsync");
	return r;
}

int f3_file_sync(struct f3_core *core, struct f3_inode *inode, bool data_only)
{
	int r = f3_file_sync_bytes(inode, data_only);

	return inode->rec.backing_class == F3_CLASS_MEMORY ? r : f3_file_synced(core, inode, r);
}

int f3_file_sync_name(struct f3_core *core, struct f3_inode *inode)
{
	f3_lock(&inode->lock);
	inode->unpromised = false;
	f3_unlock(&inode->lock);
	return f3_meta_sync(core->meta);
}

#define SCRATCH_NS (30 * (int64_t)F3_NS_PER_SEC)

/* A file of a local class that lived for less than this, and that nobody synced: any file system may
 * lose it in a crash. Older ones the kernel may have written down by itself. */
static bool is_scratch(const struct f3_inode *inode)
{
	int64_t age_ns = f3_clock_file_ns() - inode->rec.btime_ns;

	return inode->unpromised && !f3_class_in_store((enum f3_class)inode->rec.class_) &&
	       age_ns >= 0 && age_ns < SCRATCH_NS;
}

void f3_file_detach(struct f3_core *core, struct f3_inode *inode, struct f3_file_gone *ret_gone)
{
	*ret_gone = (struct f3_file_gone){
		.fd = inode->fd,
		.backing_id = inode->backing_id,
		.ino = inode->ino,
		.number = inode->rec.backing,
		.store = inode->volume ? f3_file_store(inode) : NULL,
		.bytes = inode->rec.blocks * 512,
		.scratch = is_scratch(inode),
	};
	inode->fd = -1;
	inode->backing_id = 0;
	inode->seen_valid = false;
	inode->touched = false;
	if (inode->rec.backing)
		f3_file_account(core, inode, inode->rec.size, 0);
}

void f3_file_gone(struct f3_core *core, struct f3_file_gone *gone)
{
	if (gone->backing_id > 0 && core->kernel.backing_close)
		core->kernel.backing_close(core->kernel.arg, gone->backing_id);
	if (gone->fd >= 0)
		close(gone->fd);
	if (gone->number && gone->store) {
		f3_debug_point("file.before-unlink");
		f3_backing_unlink(gone->store, gone->ino, gone->number);
		f3_debug_point("file.after-unlink");
	}
	*gone = (struct f3_file_gone){ .fd = -1 };
}

void f3_file_fail(struct f3_core *core, struct f3_inode *inode, int error, const char *what)
{
	char path[PATH_MAX] = "";
	struct f3_batch *b;
	bool first;

	f3_lock(&inode->lock);
	first = inode->rec.state != F3_STATE_FAILED;
	if (inode->rec.state != F3_STATE_WRITING)
		inode->rec.state = F3_STATE_FAILED;
	inode->rec.error = (uint8_t)(error < 0 ? -error : error);
	if (!inode->dead && !f3_batch_new(core->meta, &b)) {
		f3_batch_put_inode(b, &inode->rec);
		(void)f3_batch_commit(b); /* memory says it; the log line below too */
		f3_batch_free(b);
	}
	f3_unlock(&inode->lock);
	if (first) {
		(void)f3_inode_path(core, inode->ino, path, sizeof(path));
		f3_log_error("%s%s (inode %llu): %s failed: %s; the bytes stay here",
			     inode->volume->name, path, (unsigned long long)inode->ino, what,
			     f3_errno_name(error));
	}
}
