/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_name: lookup, and everything that makes, moves or removes names; listing.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/core/expect.h"
#include "fs/fuse/impl.h"

#define READDIR_MAX (256u << 10)

static int do_lookup(struct f3_call *call)
{
	struct fuse_entry_param param;
	uint64_t negative_ttl_ns = 0;
	bool expected;
	struct f3_entry e;
	uint64_t virt = call->ino == F3_INO_ROOT ? f3_virtual_ino(call->name) : 0;
	int r = 0;

	if (virt)
		f3_virtual_entry(virt, &e);
	else
		r = f3_ns_lookup(call->f->core, call->ino, call->name, &call->who, &e,
				 &negative_ttl_ns);
	if (r == -ENOENT && f3_expect_any(call->f->core)) {
		if (f3_expect_name(call->f->core, call->ino, call->name, call->who.pid, &e,
				   &expected))
			r = 0;
		else if (expected)
			negative_ttl_ns = 0;
	}
	if (r == -ENOENT && negative_ttl_ns) {
		memset(&param, 0, sizeof(param));
		param.entry_timeout = f3_seconds(negative_ttl_ns);
		fuse_reply_entry(call->req, &param);
		return 0;
	}
	if (r)
		return r;
	f3_entry_param(&e, &param);
	fuse_reply_entry(call->req, &param);
	return 0;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_LOOKUP, do_lookup);
	call.ino = parent;
	call.name = name;
	f3_call_run(&call);
}

/* Numbers are never reused and nothing counts lookups: only what is dead has to be let go. */
static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	struct f3_fuse *f = fuse_req_userdata(req);

	(void)nlookup;
	f3_inode_forget(f->core, ino);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct f3_fuse *f = fuse_req_userdata(req);

	for (size_t i = 0; i < count; i++)
		f3_inode_forget(f->core, forgets[i].ino);
	fuse_reply_none(req);
}

static int reply_entry(struct f3_call *call, int r, const struct f3_entry *e)
{
	struct fuse_entry_param param;

	if (r)
		return r;
	f3_entry_param(e, &param);
	fuse_reply_entry(call->req, &param);
	return 0;
}

static int do_mknod(struct f3_call *call)
{
	struct f3_entry e;

	return reply_entry(call,
			   f3_ns_mknod(call->f->core, call->ino, call->name, (mode_t)call->mode,
				       call->rdev, &call->who, &e),
			   &e);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_MKNOD, do_mknod);
	call.ino = parent;
	call.name = name;
	call.mode = (int)mode;
	call.rdev = rdev;
	f3_call_run(&call);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_MKDIR, do_mknod);
	call.ino = parent;
	call.name = name;
	call.mode = (int)(S_IFDIR | (mode & 07777));
	f3_call_run(&call);
}

static int do_symlink(struct f3_call *call)
{
	struct f3_entry e;

	return reply_entry(
		call,
		f3_ns_symlink(call->f->core, call->ino, call->name, call->name2, &call->who, &e),
		&e);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_SYMLINK, do_symlink);
	call.ino = parent;
	call.name = name;
	call.name2 = target;
	f3_call_run(&call);
}

static int do_link(struct f3_call *call)
{
	struct f3_entry e;

	if (f3_virtual_is(call->ino))
		return -EPERM;
	return reply_entry(
		call, f3_ns_link(call->f->core, call->ino, call->ino2, call->name, &call->who, &e),
		&e);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_LINK, do_link);
	call.ino = ino;
	call.ino2 = newparent;
	call.name = newname;
	f3_call_run(&call);
}

static int reply_ok(struct f3_call *call, int r)
{
	if (!r)
		fuse_reply_err(call->req, 0);
	return r;
}

static int do_unlink(struct f3_call *call)
{
	return reply_ok(call, f3_ns_unlink(call->f->core, call->ino, call->name, &call->who));
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_UNLINK, do_unlink);
	call.ino = parent;
	call.name = name;
	f3_call_run(&call);
}

static int do_rmdir(struct f3_call *call)
{
	return reply_ok(call, f3_ns_rmdir(call->f->core, call->ino, call->name, &call->who));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_RMDIR, do_rmdir);
	call.ino = parent;
	call.name = name;
	f3_call_run(&call);
}

static int do_rename(struct f3_call *call)
{
	return reply_ok(call, f3_ns_rename(call->f->core, call->ino, call->name, call->ino2,
					   call->name2, (unsigned)call->flags, &call->who));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		      const char *newname, unsigned flags)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_RENAME, do_rename);
	call.ino = parent;
	call.name = name;
	call.ino2 = newparent;
	call.name2 = newname;
	call.flags = (int)flags;
	f3_call_run(&call);
}

static int do_readlink(struct f3_call *call)
{
	char target[F3_SYMLINK_MAX + 1];
	int r = f3_ns_readlink(call->f->core, call->ino, target, sizeof(target));

	if (!r)
		fuse_reply_readlink(call->req, target);
	return r;
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_READLINK, do_readlink);
	call.ino = ino;
	f3_call_run(&call);
}

static int do_opendir(struct f3_call *call)
{
	struct fuse_file_info fi = { .flags = call->flags };

	if (f3_ns_dir_cachable(call->f->core, call->ino)) {
		fi.cache_readdir = 1;
		fi.keep_cache = 1;
	}
	fuse_reply_open(call->req, &fi);
	return 0;
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_OPENDIR, do_opendir);
	call.ino = ino;
	call.flags = fi->flags;
	f3_call_run(&call);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

struct listing {
	struct f3_call *call;
	char *buf;
	size_t size, used;
};

static int list_one(void *arg, const char *name, size_t len, uint64_t cookie,
		    const struct f3_entry *e)
{
	struct listing *l = arg;
	char text[F3_NAME_MAX + 1];
	size_t need;

	memcpy(text, name, len);
	text[len] = '\0';
	if (l->call->plus) {
		struct fuse_entry_param param;

		f3_entry_param(e, &param);
		/* The kernel takes "." and ".." for what they are and must not count them. */
		if (cookie <= 2)
			param.ino = 0;
		need = fuse_add_direntry_plus(l->call->req, l->buf + l->used, l->size - l->used,
					      text, &param, (off_t)cookie);
	} else {
		need = fuse_add_direntry(l->call->req, l->buf + l->used, l->size - l->used, text,
					 &e->st, (off_t)cookie);
	}
	if (need > l->size - l->used)
		return 1;
	l->used += need;
	return 0;
}

static int do_readdir(struct f3_call *call)
{
	struct listing l = { .call = call };
	int r;

	l.size = call->size < READDIR_MAX ? call->size : READDIR_MAX;
	l.buf = malloc(l.size);
	if (!l.buf)
		return -ENOMEM;
	r = f3_ns_readdir(call->f->core, call->ino, call->off, call->plus, &call->who, list_one,
			  &l);
	if (r >= 0) {
		fuse_reply_buf(call->req, l.buf, l.used);
		r = 0;
	}
	free(l.buf);
	return r;
}

static void readdir_common(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_READDIR, do_readdir);
	call.ino = ino;
	call.size = size;
	call.off = (uint64_t)off;
	call.plus = plus;
	f3_call_run(&call);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	(void)fi;
	readdir_common(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	(void)fi;
	readdir_common(req, ino, size, off, true);
}

static int do_fsyncdir(struct f3_call *call)
{
	if (!call->who.may_block)
		return -F3_EWAIT;
	return reply_ok(call, f3_ns_fsyncdir(call->f->core, call->ino, &call->who));
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct f3_call call;

	(void)datasync;
	(void)fi;
	f3_call_init(&call, req, F3_OP_FSYNCDIR, do_fsyncdir);
	call.ino = ino;
	f3_call_run(&call);
}

void f3_ops_name(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->mknod = op_mknod;
	ops->mkdir = op_mkdir;
	ops->symlink = op_symlink;
	ops->link = op_link;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
	ops->readlink = op_readlink;
	ops->opendir = op_opendir;
	ops->releasedir = op_releasedir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->fsyncdir = op_fsyncdir;
}
