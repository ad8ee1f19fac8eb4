/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_data: bytes that come through the daemon, and what FLUSH and FSYNC promise.
 *
 * Files of local classes in passthrough never get here with reads and writes. FLUSH is evidence
 * only: it commits an object when its content changed and the process that opened it closes.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/process.h"
#include "fs/core/commitset.h"
#include "fs/core/file.h"
#include "fs/core/stage.h"
#include "fs/core/stream.h"
#include "fs/core/traffic.h"
#include "fs/fuse/impl.h"

static struct f3_counter bytes_read = { .name = "f3_fuse_read_bytes_total",
					.labels = "",
					.help = "Bytes read through the daemon." };
static struct f3_counter bytes_written = { .name = "f3_fuse_written_bytes_total",
					   .labels = "",
					   .help = "Bytes written through the daemon." };

void f3_data_register_metrics(void)
{
	f3_counter_register(&bytes_read);
	f3_counter_register(&bytes_written);
}

void f3_data_count_read(struct f3_core *core, pid_t pid, enum f3_class class_,
			enum f3_act_source source, uint64_t bytes)
{
	struct f3_activation *act = f3_act_of(core, pid);

	if (act) {
		f3_act_count(act, F3_ACT_READ_BYTES + source * F3_ACT_CLASSES + class_, bytes);
		f3_act_put(act);
	}
	f3_count(&bytes_read, bytes);
	f3_traffic_count(F3_TRAFFIC_LOCAL, class_, bytes);
}

static void count_written(struct f3_core *core, pid_t pid, enum f3_class class_, uint64_t bytes)
{
	struct f3_activation *act = f3_act_of(core, pid);

	if (!act)
		return;
	f3_act_count(act, F3_ACT_WRITTEN_BYTES + class_, bytes);
	f3_act_put(act);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct f3_fuse *f = fuse_req_userdata(req);
	struct f3_open *open = f3_open_find(f->opens, fi->fh);

	(void)ino;
	/* With neither, it was open before a restart and could not be restored. */
	if (!open || (!open->virt && !open->inode))
		fuse_reply_err(req, EBADF);
	else if (open->virt)
		f3_virtual_read(req, open->virt, size, (uint64_t)off);
	else
		f3_park_read(f, req, open,
			     &(struct f3_read){
				     .off = (uint64_t)off,
				     .start_ns = f3_clock_mono_ns(),
				     .size = size,
				     .nonblock = fi->flags & O_NONBLOCK,
				     /* read(2) says who reads, the page cache does not
				      * (fuse_kernel.h: FUSE_READ_LOCKOWNER) */
				     .for_pages = !fi->lock_owner,
			     });
}

/* Bytes written, or -errno if there were none. */
static int64_t write_all(int fd, const char *data, size_t size, uint64_t off)
{
	size_t done = 0;
	int error;

	if (f3_fault("file.write", &error))
		return error;
	while (done < size) {
		ssize_t n = pwrite(fd, data + done, size - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return done ? (int64_t)done : -errno;
		if (n == 0)
			return done ? (int64_t)done : -ENOSPC;
		done += (size_t)n;
	}
	return (int64_t)done;
}

/* What close(), fsync() and a write with O_SYNC have to wait for. Replies, or has it replied to
 * later; to a write that so many bytes are written. */
static int commit(struct f3_call *call, struct f3_inode *inode, size_t written)
{
	struct f3_core *core = call->f->core;
	enum f3_class class_;
	bool waits;
	int r = 0;

	f3_lock(&inode->lock);
	class_ = (enum f3_class)inode->rec.class_;
	waits = class_ == F3_CLASS_DURABLE || inode->member;
	if (f3_commitset_withdrawn(inode))
		r = -EIO;
	f3_unlock(&inode->lock);
	if (!r && call->op != F3_OP_FLUSH)
		r = f3_file_sync(core, inode, call->op == F3_OP_FSYNC && call->flags != 0);
	if (!r && inode->volume->store && f3_class_in_store(class_) &&
	    f3_stage_needed(core, inode)) {
		if (waits) {
			f3_park_commit(call->f, call->req, inode, call->op, written,
				       call->start_ns);
			return 0;
		}
		r = f3_stage_sync_local(core, inode);
	}
	if (!r && call->op == F3_OP_WRITE)
		fuse_reply_write(call->req, written);
	else if (!r)
		fuse_reply_err(call->req, 0);
	return r;
}

/* The file that is open by this number, for a call that may leave its thread: there it is known, and
 * the number perhaps not any more. */
static bool find_file(const struct f3_call *call, uint64_t fh, struct f3_inode **file)
{
	const struct f3_open *open;

	if (*file)
		return true;
	open = f3_open_find(call->f->opens, fh);
	if (open)
		*file = open->inode;
	return *file != NULL;
}

static int do_write(struct f3_call *call)
{
	struct f3_core *core = call->f->core;
	struct f3_inode *inode;
	bool sync, close_it;
	int64_t n;
	int fd, r;

	if (!call->file) {
		const struct f3_open *open = f3_open_find(call->f->opens, call->fh);

		if (!open || !open->inode)
			return -EBADF;
		call->file = open->inode;
		call->flags = open->flags;
	}
	inode = call->file;
	sync = (call->flags & (O_SYNC | O_DSYNC)) != 0;
	if (sync && !call->who.may_block)
		return -F3_EWAIT;
	r = f3_file_reserve(core, inode, call->off, call->size, &call->who);
	if (r)
		return r;
	/* Capabilities go with any write, suid and sgid with those of who may not keep them. */
	(void)f3_file_kill_priv(core, inode, call->kill_priv ? &call->who : NULL);
	f3_lock(&inode->lock);
	fd = f3_file_write_fd(core, inode, &close_it);
	f3_unlock(&inode->lock);
	n = fd < 0 ? fd : write_all(fd, call->value, call->size, call->off);
	if (fd >= 0 && close_it)
		close(fd);
	n = f3_file_written(core, inode, call->off, call->size, n);
	if (n < 0)
		return (int)n;
	f3_count(&bytes_written, (uint64_t)n);
	count_written(core, call->who.pid, (enum f3_class)inode->rec.class_, (uint64_t)n);
	if (sync)
		return commit(call, inode, (size_t)n);
	fuse_reply_write(call->req, (size_t)n);
	return 0;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_WRITE, do_write);
	call.ino = ino;
	call.value = buf;
	call.size = size;
	call.off = (uint64_t)off;
	call.fh = fi->fh;
	call.kill_priv = f3_kills_priv(fi);
	f3_call_run(&call);
}

/* The last word on a description of a file that streams: was it a close, or was the writer killed? It
 * is still on its way out while we answer. True: there is something to commit. */
static bool note_close(struct f3_call *call, struct f3_open *open)
{
	struct f3_inode *inode = open->inode;
	bool stream, store, killed = false;
	int status = 0;

	f3_lock(&inode->lock);
	stream = f3_stream_wanted(&inode->rec);
	store = f3_class_in_store((enum f3_class)inode->rec.class_) && inode->volume->store;
	f3_unlock(&inode->lock);
	if (stream) {
		killed = f3_process_ends(call->who.pid, &status) &&
			 (WIFSIGNALED(status) ||
			  (inode->volume->stream_exit_zero && WEXITSTATUS(status)));
		f3_open_note_killed(call->f->opens, open, killed);
	}
	return store && !killed;
}

static int do_flush(struct f3_call *call)
{
	char name[F3_NAME_MAX + 1];
	struct f3_open *open;

	if (call->file)
		return commit(call, call->file, 0);
	open = f3_open_find(call->f->opens, call->fh);
	if (open && open->inode && open->writer && !note_close(call, open)) {
		fuse_reply_err(call->req, 0);
		return 0;
	}
	/* A child that closes what its parent opened has nothing to commit: the parent goes on. */
	if (!open || !open->inode || !open->writer ||
	    f3_process_of(call->who.pid) != open->opener) {
		fuse_reply_err(call->req, 0);
		return 0;
	}
	/* A shell that redirects closes the file before the first byte, and keeps a duplicate: an empty
	 * object that nobody wants, in the place of the one that was there. */
	if (f3_file_empty(open->inode, name) &&
	    f3_process_holds(open->opener, name, open->inode->ino)) {
		fuse_reply_err(call->req, 0);
		return 0;
	}
	call->file = open->inode;
	return -F3_EWAIT;
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_FLUSH, do_flush);
	call.ino = ino;
	call.fh = fi->fh;
	f3_call_run(&call);
}

static int do_fsync(struct f3_call *call)
{
	if (!find_file(call, call->fh, &call->file))
		return -EBADF;
	if (!call->who.may_block)
		return -F3_EWAIT;
	return commit(call, call->file, 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_FSYNC, do_fsync);
	call.ino = ino;
	call.fh = fi->fh;
	call.flags = datasync;
	f3_call_run(&call);
}

static int do_fallocate(struct f3_call *call)
{
	int r;

	if (!find_file(call, call->fh, &call->file))
		return -EBADF;
	if (!call->who.may_block)
		return -F3_EWAIT; /* allocation may wait for the disk */
	r = f3_file_fallocate(call->f->core, call->file, call->mode, call->off, call->off2,
			      &call->who);
	if (!r && call->who.uid != 0)
		r = f3_file_kill_priv(call->f->core, call->file, &call->who);
	if (!r)
		fuse_reply_err(call->req, 0);
	return r;
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
			 struct fuse_file_info *fi)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_FALLOCATE, do_fallocate);
	call.ino = ino;
	call.fh = fi->fh;
	call.mode = mode;
	call.off = (uint64_t)off;
	call.off2 = (uint64_t)len;
	f3_call_run(&call);
}

static int do_lseek(struct f3_call *call)
{
	struct f3_open *open = f3_open_find(call->f->opens, call->fh);
	int64_t r;

	if (!open || !open->inode)
		return -EBADF;
	r = f3_file_seek(call->f->core, open->inode, call->off, call->mode);
	if (r < 0)
		return (int)r;
	fuse_reply_lseek(call->req, r);
	return 0;
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_LSEEK, do_lseek);
	call.ino = ino;
	call.fh = fi->fh;
	call.off = (uint64_t)off;
	call.mode = whence;
	f3_call_run(&call);
}

static int do_copy(struct f3_call *call)
{
	int64_t n;

	const struct f3_open *in = f3_open_find(call->f->opens, call->fh);

	/* The kernel finds its end where it ends now; refused, programs read. */
	if (in && in->inode && in->stream && f3_stream_open(in->inode))
		return -EINVAL;
	if (!find_file(call, call->fh, &call->file) || !find_file(call, call->fh2, &call->file2))
		return -EBADF;
	if (!call->who.may_block)
		return -F3_EWAIT; /* a copy of any length */
	n = f3_file_copy_range(call->f->core, call->file, call->off, call->file2, call->off2,
			       call->size, &call->who);
	if (n < 0)
		return (int)n;
	if (call->who.uid != 0)
		(void)f3_file_kill_priv(call->f->core, call->file2, &call->who);
	fuse_reply_write(call->req, (size_t)n);
	return 0;
}

static void op_copy(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
		    fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t len,
		    int flags)
{
	struct f3_call call;

	(void)ino_out;
	(void)flags;
	f3_call_init(&call, req, F3_OP_COPY, do_copy);
	call.ino = ino_in;
	call.fh = fi_in->fh;
	call.fh2 = fi_out->fh;
	call.off = (uint64_t)off_in;
	call.off2 = (uint64_t)off_out;
	call.size = len;
	f3_call_run(&call);
}

void f3_ops_data(struct fuse_lowlevel_ops *ops)
{
	ops->read = op_read;
	ops->write = op_write;
	ops->flush = op_flush;
	ops->fsync = op_fsync;
	ops->fallocate = op_fallocate;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy;
}
