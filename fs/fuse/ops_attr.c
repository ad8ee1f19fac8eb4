/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_attr: attributes, extended attributes, statfs.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/core/acl.h"
#include "fs/core/expect.h"
#include "fs/core/xattr.h"
#include "fs/core/lineage.h"
#include "fs/fuse/impl.h"

static int reply_attr(struct f3_call *call, int r, const struct f3_entry *e)
{
	if (!r)
		fuse_reply_attr(call->req, &e->st, f3_attr_seconds(e));
	return r;
}

static int do_getattr(struct f3_call *call)
{
	struct f3_entry e;

	if (f3_expect_is(call->ino))
		return -F3_EEXPECT;
	if (f3_virtual_is(call->ino)) {
		f3_virtual_entry(call->ino, &e);
		return reply_attr(call, 0, &e);
	}
	return reply_attr(call, f3_ns_getattr(call->f->core, call->ino, &e), &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct f3_call call;

	(void)fi;
	f3_call_init(&call, req, F3_OP_GETATTR, do_getattr);
	call.ino = ino;
	f3_call_run(&call);
}

static unsigned to_set(int fuse_set)
{
	unsigned set = 0;

	/* No bit at all: the kernel saw a write through passthrough by somebody who may not keep
	 * privileges (HANDLE_KILLPRIV_V2). */
	if (!fuse_set)
		return F3_SET_KILL_PRIV;
	if (fuse_set & FUSE_SET_ATTR_MODE)
		set |= F3_SET_MODE;
	if (fuse_set & FUSE_SET_ATTR_UID)
		set |= F3_SET_UID;
	if (fuse_set & FUSE_SET_ATTR_GID)
		set |= F3_SET_GID;
	if (fuse_set & FUSE_SET_ATTR_SIZE)
		set |= F3_SET_SIZE;
	if (fuse_set & FUSE_SET_ATTR_ATIME_NOW)
		set |= F3_SET_ATIME_NOW;
	else if (fuse_set & FUSE_SET_ATTR_ATIME)
		set |= F3_SET_ATIME;
	if (fuse_set & FUSE_SET_ATTR_MTIME_NOW)
		set |= F3_SET_MTIME_NOW;
	else if (fuse_set & FUSE_SET_ATTR_MTIME)
		set |= F3_SET_MTIME;
	if (fuse_set & FUSE_SET_ATTR_CTIME)
		set |= F3_SET_CTIME;
	if (fuse_set & (FUSE_SET_ATTR_KILL_SUID | FUSE_SET_ATTR_KILL_SGID))
		set |= F3_SET_KILL_PRIV;
	return set;
}

/* A content made without an open. */
static void truncated_by(struct f3_core *core, uint64_t ino, pid_t pid)
{
	struct f3_activation *act = f3_act_of(core, pid);
	struct f3_inode *inode = act ? f3_inode_peek(core, ino) : NULL;

	if (inode)
		f3_lineage_generated(act, inode, 0);
	f3_inode_put(core, inode);
	f3_act_put(act);
}

static int do_setattr(struct f3_call *call)
{
	struct f3_core *core = call->f->core;
	struct f3_entry e;
	int r;

	if (f3_virtual_is(call->ino))
		return -EPERM;
	r = f3_ns_setattr(core, call->ino, &call->st, call->set, &call->who, &e);
	if (!r && (call->set & F3_SET_SIZE))
		truncated_by(core, call->ino, call->who.pid);
	return reply_attr(call, r, &e);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int set,
		       struct fuse_file_info *fi)
{
	struct f3_call call;

	(void)fi;
	f3_call_init(&call, req, F3_OP_SETATTR, do_setattr);
	call.ino = ino;
	call.st = *attr;
	call.set = to_set(set);
	f3_call_run(&call);
}

static int do_statfs(struct f3_call *call)
{
	struct statvfs st;
	int r = f3_ns_statfs(call->f->core, call->ino, &st);

	if (!r)
		fuse_reply_statfs(call->req, &st);
	return r;
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_STATFS, do_statfs);
	call.ino = ino && !f3_virtual_is(ino) ? ino : F3_INO_ROOT;
	f3_call_run(&call);
}

/* Setting an access ACL takes sgid from a file whose group the caller is not in; libfuse does not
 * pass on what the kernel says about that, so the caller's groups are asked for. */
static bool acl_kills_sgid(struct f3_call *call)
{
	gid_t groups[256];
	struct f3_entry e;
	int n;

	if (strcmp(call->name, F3_ACL_ACCESS) != 0 || call->who.uid == 0)
		return false;
	if (f3_ns_getattr(call->f->core, call->ino, &e) || !(e.st.st_mode & S_ISGID) ||
	    e.st.st_gid == call->who.gid)
		return false;
	n = fuse_req_getgroups(call->req, 256, groups);
	for (int i = 0; i < n && i < 256; i++)
		if (groups[i] == e.st.st_gid)
			return false;
	return true;
}

static int do_setxattr(struct f3_call *call)
{
	int r;

	if (f3_virtual_is(call->ino))
		return -EPERM;
	r = f3_xattr_set(call->f->core, call->ino, call->name, call->value, call->size, call->flags,
			 acl_kills_sgid(call), &call->who);
	if (!r)
		fuse_reply_err(call->req, 0);
	return r;
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
			size_t size, int flags)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_SETXATTR, do_setxattr);
	call.ino = ino;
	call.name = name;
	call.value = value;
	call.size = size;
	call.flags = flags;
	f3_call_run(&call);
}

static int reply_value(struct f3_call *call, int r, const struct f3_buf *value)
{
	if (r)
		return r;
	if (!call->size)
		fuse_reply_xattr(call->req, value->len);
	else if (value->len > call->size)
		return -ERANGE;
	else
		fuse_reply_buf(call->req, (const char *)value->data, value->len);
	return 0;
}

static int do_getxattr(struct f3_call *call)
{
	struct f3_buf value;
	int r;

	if (f3_virtual_is(call->ino))
		return -ENODATA;
	f3_buf_init(&value, F3_XATTR_VALUE_MAX);
	r = reply_value(call, f3_xattr_get(call->f->core, call->ino, call->name, &value), &value);
	f3_buf_done(&value);
	return r;
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_GETXATTR, do_getxattr);
	call.ino = ino;
	call.name = name;
	call.size = size;
	f3_call_run(&call);
}

static int do_listxattr(struct f3_call *call)
{
	struct f3_buf names;
	int r;

	f3_buf_init(&names, XATTR_LIST_MAX);
	r = f3_virtual_is(call->ino) ? 0 :
				       f3_xattr_list(call->f->core, call->ino, &names, &call->who);
	if (r == -EMSGSIZE)
		r = -E2BIG;
	r = reply_value(call, r, &names);
	f3_buf_done(&names);
	return r;
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_LISTXATTR, do_listxattr);
	call.ino = ino;
	call.size = size;
	f3_call_run(&call);
}

static int do_removexattr(struct f3_call *call)
{
	int r;

	if (f3_virtual_is(call->ino))
		return -EPERM;
	r = f3_xattr_remove(call->f->core, call->ino, call->name, &call->who);
	if (!r)
		fuse_reply_err(call->req, 0);
	return r;
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct f3_call call;

	f3_call_init(&call, req, F3_OP_REMOVEXATTR, do_removexattr);
	call.ino = ino;
	call.name = name;
	f3_call_run(&call);
}

void f3_ops_attr(struct fuse_lowlevel_ops *ops)
{
	ops->getattr = op_getattr;
	ops->setattr = op_setattr;
	ops->statfs = op_statfs;
	ops->setxattr = op_setxattr;
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->removexattr = op_removexattr;
}
