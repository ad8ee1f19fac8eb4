/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_open: open, create, release: from the core's plan to what the kernel is told.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/process.h"
#include "fs/core/expect.h"
#include "fs/core/lifetime.h"
#include "fs/core/lineage.h"
#include "fs/core/stream.h"
#include "fs/core/workingset.h"
#include "fs/fuse/impl.h"

static struct f3_counter open_modes[] = {
	{ .name = "f3_fuse_opens_total",
	  .labels = "mode=\"passthrough\"",
	  .help = "Opens by how the kernel reaches the bytes." },
	{ .name = "f3_fuse_opens_total", .labels = "mode=\"passthrough_direct\"" },
	{ .name = "f3_fuse_opens_total", .labels = "mode=\"cached\"" },
};

void f3_open_register_metrics(void)
{
	for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
		open_modes[i].help = open_modes[0].help;
		f3_counter_register(&open_modes[i]);
	}
}

pid_t f3_process_of(pid_t thread)
{
	char path[64], line[256];
	long tgid = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Tgid: %ld", &tgid) == 1)
			break;
	fclose(file);
	return (pid_t)tgid;
}

static void tell_kernel(const struct f3_open_plan *plan, struct fuse_file_info *fi)
{
	fi->noflush = plan->noflush;
	fi->direct_io = plan->direct_io;
	if (plan->mode == F3_MODE_PASSTHROUGH) {
		fi->backing_id = plan->backing_id;
		f3_count(&open_modes[plan->direct_io ? 1 : 0], 1);
	} else {
		fi->keep_cache = plan->keep_cache;
		f3_count(&open_modes[2], 1);
	}
	fi->parallel_direct_writes = 1;
}

/* Bytes of it here now; what its record says where there are none. */
static uint64_t size_now(struct f3_inode *inode)
{
	struct f3_backing_store *store;
	struct stat st;
	uint64_t size;
	uint32_t backing;

	f3_lock(&inode->lock);
	store = f3_file_store(inode);
	backing = inode->rec.backing;
	size = inode->rec.size;
	f3_unlock(&inode->lock);
	return backing && !f3_backing_stat(store, inode->ino, backing, &st) ? (uint64_t)st.st_size :
									      size;
}

static void opened_by(struct f3_activation *act, struct f3_open *open,
		      const struct f3_open_plan *plan)
{
	bool passthrough = plan->mode == F3_MODE_PASSTHROUGH;

	open->act = act;
	f3_act_opened(act, open->inode, open->writer);
	if (open->writer)
		f3_act_writes(act, open->inode);
	if (!(open->flags & O_TRUNC))
		f3_ws_opened(act, open->inode, plan->cold);
	open->opened_bytes = size_now(open->inode);
	f3_act_count(act,
		     passthrough && plan->direct_io ? F3_ACT_OPENS_DIRECT :
		     passthrough                    ? F3_ACT_OPENS_PASSTHROUGH :
						      F3_ACT_OPENS_CACHED,
		     1);
	if (passthrough && !plan->direct_io && !open->writer)
		f3_act_count(act, F3_ACT_NATIVE_BYTES, open->opened_bytes);
}

/* was: its content before, generation 0: it was made by this, or emptied. */
static void opened_for(struct f3_activation *act, struct f3_open *open,
		       const struct f3_content *was)
{
	struct f3_content is = f3_content_of(open->inode);

	if (open->writer && was->generation && was->generation != is.generation)
		open->opened_from = was->generation;
	if ((open->flags & O_ACCMODE) != O_WRONLY && was->generation) {
		f3_lineage_used(act, open->inode, was);
		f3_life_opened(act, open->inode);
	}
	if (open->writer)
		f3_life_made(act, open->inode);
}

/* The file has grown by so much while it was open natively; what was written over is not seen. */
static void closed_by(struct f3_activation *act, const struct f3_open *was)
{
	uint64_t size = was->writer && was->native ? size_now(was->inode) : 0;

	if (size > was->opened_bytes)
		f3_act_count(act, F3_ACT_WRITTEN_BYTES + was->inode->rec.class_,
			     size - was->opened_bytes);
	if (was->writer)
		f3_lineage_generated(act, was->inode, was->opened_from);
	f3_act_put(act);
}

/* writer: counted so by the core until the first close, whatever the flags. was: its content before. */
static void remember(struct f3_call *call, struct f3_open *open, struct f3_inode *inode,
		     bool writer, const struct f3_open_plan *plan, const struct f3_content *was)
{
	struct f3_activation *act = f3_act_of(call->f->core, call->who.pid);

	open->inode = inode;
	open->flags = call->flags;
	open->writer = writer;
	open->native = plan->native;
	open->stream = plan->stream;
	if (!plan->noflush)
		open->opener = f3_process_of(call->who.pid);
	f3_open_keep(call, open, plan, inode->ino);
	if (act) {
		opened_by(act, open, plan);
		opened_for(act, open, was);
	}
}

static int open_virtual(struct f3_call *call)
{
	struct fuse_file_info fi = { .flags = call->flags, .direct_io = 1, .noflush = 1 };
	const struct f3_open_plan plan = { .direct_io = true, .noflush = true };
	struct f3_open *open;
	int r;

	if ((call->flags & O_ACCMODE) != O_RDONLY)
		return -EACCES;
	open = f3_open_new(call->f->opens);
	if (!open)
		return -ENOMEM;
	r = f3_virtual_open(call->f, call->ino, call->who.uid, &open->virt);
	if (r) {
		f3_open_drop(call->f->opens, open);
		return r;
	}
	fi.fh = open->fh;
	f3_open_keep(call, open, &plan, call->ino);
	if (fuse_reply_open(call->req, &fi)) {
		f3_virtual_close(open->virt);
		f3_open_drop(call->f->opens, open);
	}
	return 0;
}

/* The program was interrupted while it waited, or is told of an error: nobody will release this. */
static void take_back(struct f3_call *call, struct f3_open *open)
{
	struct f3_inode *inode = open->inode;
	bool writer = open->writer, native = open->native;

	f3_act_put(open->act);
	f3_open_drop(call->f->opens, open);
	f3_file_release(call->f->core, inode, writer, native);
	f3_inode_put(call->f->core, inode);
}

static bool syncs(const struct f3_call *call)
{
	return (call->flags & (O_SYNC | O_DSYNC)) && (call->flags & O_ACCMODE) != O_RDONLY;
}

/* Native writes with O_SYNC sync the bytes and never come here: the name, once, before them. */
static int sync_name(struct f3_call *call, const struct f3_open *open,
		     const struct f3_open_plan *plan)
{
	return plan->native && syncs(call) ? f3_file_sync_name(call->f->core, open->inode) : 0;
}

/* The daemon before had opened it. False: not so far. */
static struct f3_open *opened_before(struct f3_call *call, struct f3_open_plan *ret_plan)
{
	return call->again ? f3_open_of_request(call->f->opens, call->who.unique, ret_plan) : NULL;
}

/* Who follows writers that have written nothing so far comes again; but not whoever is to write. */
static int wait_for_first(struct f3_call *call, struct f3_inode *inode)
{
	pid_t opener;
	int r;

	if ((call->flags & O_ACCMODE) != O_RDONLY || (call->flags & (O_TRUNC | O_NONBLOCK)))
		return 0;
	r = f3_stream_empty(call->f->core, inode, NULL);
	if (r != 1)
		return r;
	/* Of another PID namespace nothing can be seen. */
	opener = f3_process_of(call->who.pid);
	return !opener || f3_process_holds(opener, NULL, inode->ino) ? 0 : -F3_EFIRST;
}

static int do_open(struct f3_call *call)
{
	struct fuse_file_info fi = { .flags = call->flags };
	struct f3_core *core = call->f->core;
	struct f3_content was = { .generation = 0 };
	struct f3_open_plan plan;
	struct f3_inode *inode;
	struct f3_open *open;
	int r;

	if (f3_expect_is(call->ino))
		return -F3_EEXPECT;
	if (f3_virtual_is(call->ino))
		return open_virtual(call);
	if (syncs(call) && !call->who.may_block)
		return -F3_EWAIT;
	open = opened_before(call, &plan);
	if (open) {
		r = sync_name(call, open, &plan);
		if (r) {
			take_back(call, open);
			return r;
		}
		tell_kernel(&plan, &fi);
		fi.fh = open->fh;
		fuse_reply_open(call->req, &fi);
		return 0;
	}
	r = f3_inode_get(core, call->ino, &inode);
	if (r)
		return r == -ENOENT ? -ESTALE : r;
	r = wait_for_first(call, inode);
	if (r) {
		f3_inode_put(core, inode);
		return r;
	}
	if (f3_acts_live(core) && !(call->flags & O_TRUNC))
		was = f3_content_of(inode);
	open = f3_open_new(call->f->opens);
	r = open ? f3_file_open(core, inode, call->flags, &call->who, &plan) : -ENOMEM;
	if (r)
		goto fail;
	if (call->kill_priv)
		(void)f3_file_kill_priv(core, inode, &call->who);
	remember(call, open, inode,
		 (call->flags & O_ACCMODE) != O_RDONLY || (call->flags & O_TRUNC), &plan, &was);
	r = sync_name(call, open, &plan);
	if (r) {
		take_back(call, open);
		return r;
	}
	tell_kernel(&plan, &fi);
	fi.fh = open->fh;
	if (fuse_reply_open(call->req, &fi) == -ENOENT)
		take_back(call, open);
	return 0;
fail:
	if (open)
		f3_open_drop(call->f->opens, open);
	f3_inode_put(core, inode);
	return r;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_OPEN, do_open);
	call.ino = ino;
	call.flags = fi->flags;
	call.kill_priv = f3_kills_priv(fi) && (fi->flags & O_TRUNC);
	f3_call_run(&call);
}

static int reply_created(struct f3_call *call, struct f3_open *open, const struct f3_entry *e,
			 const struct f3_open_plan *plan)
{
	struct fuse_file_info fi = { .flags = call->flags, .fh = open->fh };
	struct fuse_entry_param param;
	int r = sync_name(call, open, plan);

	if (r) {
		take_back(call, open);
		return r;
	}
	tell_kernel(plan, &fi);
	f3_entry_param(e, &param);
	if (fuse_reply_create(call->req, &param, &fi) == -ENOENT)
		take_back(call, open);
	return 0;
}

/* The daemon before had made it, and perhaps opened it. */
static int create_again(struct f3_call *call)
{
	struct f3_core *core = call->f->core;
	struct f3_open_plan plan;
	struct f3_open *open = opened_before(call, &plan);
	struct f3_inode *inode;
	struct f3_entry e;
	int r = f3_ns_entry(core, call->ino, call->answered_ino, &e);

	if (r)
		return r;
	if (open && open->inode)
		return reply_created(call, open, &e, &plan);
	r = f3_inode_get(core, call->answered_ino, &inode);
	if (r)
		return r;
	open = f3_open_new(call->f->opens);
	/* Whoever makes a file may write to it, whatever its mode says. */
	r = open ? f3_file_open(core, inode, (call->flags & ~(O_TRUNC | O_ACCMODE)) | O_RDWR,
				&call->who, &plan) :
		   -ENOMEM;
	if (r) {
		if (open)
			f3_open_drop(call->f->opens, open);
		f3_inode_put(core, inode);
		return r;
	}
	remember(call, open, inode, true, &plan, &(struct f3_content){ .generation = 0 });
	return reply_created(call, open, &e, &plan);
}

static int do_create(struct f3_call *call)
{
	struct f3_core *core = call->f->core;
	struct f3_open_plan plan;
	struct f3_inode *inode;
	struct f3_entry e;
	struct f3_open *open;
	int r;

	if (syncs(call) && !call->who.may_block)
		return -F3_EWAIT;
	if (call->answered_ino)
		return create_again(call);
	open = f3_open_new(call->f->opens);
	if (!open)
		return -ENOMEM;
	r = f3_ns_create(core, call->ino, call->name, (mode_t)call->mode, call->flags, &call->who,
			 &e, &inode, &plan);
	if (r) {
		f3_open_drop(call->f->opens, open);
		return r;
	}
	remember(call, open, inode, true, &plan, &(struct f3_content){ .generation = 0 });
	return reply_created(call, open, &e, &plan);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_CREATE, do_create);
	call.ino = parent;
	call.name = name;
	call.mode = (int)mode;
	call.flags = fi->flags;
	f3_call_run(&call);
}

static void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_TMPFILE, do_create);
	call.ino = parent;
	call.mode = (int)mode;
	call.flags = fi->flags;
	f3_call_run(&call);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct f3_fuse *f = fuse_req_userdata(req);
	struct f3_open *open = f3_open_find(f->opens, fi->fh);
	struct f3_inode *inode;
	struct f3_open was;

	(void)ino;
	if (!open) {
		fuse_reply_err(req, 0);
		return;
	}
	f3_poll_drop(open, open->inode);
	was = *open;
	inode = was.inode;
	if (was.killed && inode)
		f3_file_torn(f->core, inode);
	/* Out of the keep before the answer: the kernel asks a second time only without one. */
	f3_open_drop(f->opens, open);
	fuse_reply_err(req, 0);
	if (was.virt)
		f3_virtual_close(was.virt);
	if (was.act)
		closed_by(was.act, &was);
	if (inode) {
		f3_file_release(f->core, inode, was.writer, was.native);
		if (was.act)
			f3_act_closed(inode);
		f3_inode_put(f->core, inode);
	}
}

void f3_ops_open(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->create = op_create;
	ops->tmpfile = op_tmpfile;
	ops->release = op_release;
}
