/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ns_attr: chmod, chown, truncate, utimensat.
 */
#include "config.h"

#include <errno.h>
#include <linux/capability.h>

#include "fs/base/clock.h"
#include "fs/base/process.h"
#include "fs/core/acl.h"
#include "fs/core/authority.h"
#include "fs/core/ns.h"
#include "fs/core/stage.h"
#include "fs/core/store_dir.h"

/* The access ACL follows the new mode. Inode lock held. */
static int chmod_acl(struct f3_core *core, struct f3_inode *inode, mode_t mode, struct f3_batch *b)
{
	struct f3_buf acl;
	int r;

	if (!(inode->rec.flags & F3_INO_HAS_ACL))
		return 0;
	f3_buf_init(&acl, F3_XATTR_VALUE_MAX);
	r = f3_meta_get_xattr(core->meta, inode->ino, F3_ACL_ACCESS, sizeof(F3_ACL_ACCESS) - 1,
			      &acl);
	if (!r)
		r = f3_acl_chmod(acl.data, acl.len, mode);
	if (!r)
		f3_batch_put_xattr(b, inode->ino, F3_ACL_ACCESS, sizeof(F3_ACL_ACCESS) - 1,
				   acl.data, acl.len);
	f3_buf_done(&acl);
	return r;
}

/* chown(2) takes the privileges of an executable away, whoever calls it. Inode lock held. */
static void chown_priv(struct f3_inode *inode, uint32_t gone, struct f3_batch *b)
{
	static const char caps[] = "security.capability";

	if (!S_ISREG(inode->rec.mode))
		return;
	inode->rec.mode &= ~gone;
	if (inode->rec.flags & F3_INO_HAS_CAPS) {
		inode->rec.flags &= ~(uint32_t)F3_INO_HAS_CAPS;
		f3_batch_del_xattr(b, inode->ino, caps, sizeof(caps) - 1);
	}
}

/* Explicit times go to the backing file too: a native writer that comes later must change them
 * from there, and one that was there before must not change them back. Inode lock held. */
static int set_times(struct f3_inode *inode, const struct stat *st, unsigned set, int64_t now_ns)
{
	struct f3_inode_rec *rec = &inode->rec;
	struct stat seen;
	int r;

	if (set & (F3_SET_ATIME | F3_SET_ATIME_NOW))
		rec->atime_ns = set & F3_SET_ATIME_NOW ? now_ns : f3_ns_from_timespec(st->st_atim);
	if (set & (F3_SET_MTIME | F3_SET_MTIME_NOW))
		rec->mtime_ns = set & F3_SET_MTIME_NOW ? now_ns : f3_ns_from_timespec(st->st_mtim);
	if (!S_ISREG(rec->mode) || !rec->backing || inode->extents ||
	    (!inode->opens && rec->state != F3_STATE_WRITING && !inode->touched))
		return 0;
	r = f3_backing_set_times(f3_file_store(inode), inode->ino, rec->backing, rec->atime_ns,
				 rec->mtime_ns);
	if (!r)
		r = f3_backing_stat(f3_file_store(inode), inode->ino, rec->backing, &seen);
	if (!r)
		f3_file_seen(inode, &seen);
	return r;
}

static int apply(struct f3_core *core, struct f3_inode *inode, const struct stat *st, unsigned set,
		 const struct f3_caller *who)
{
	struct f3_inode_rec *rec = &inode->rec;
	int64_t now = f3_clock_file_ns();
	struct f3_inode_rec before;
	uint32_t was, gone;
	struct f3_batch *b;
	gid_t gid;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_lock(&inode->lock);
	was = rec->mode;
	gid = rec->gid;
	f3_unlock(&inode->lock);
	gone = was & ~f3_mode_without_priv(was, gid, who); /* may ask /proc: not under the lock */
	f3_lock(&inode->lock);
	before = *rec;
	if (set & F3_SET_MODE) {
		rec->mode = (rec->mode & S_IFMT) | (st->st_mode & 07777);
		r = chmod_acl(core, inode, rec->mode, b);
	}
	if (set & (F3_SET_UID | F3_SET_GID)) {
		if (set & F3_SET_UID)
			rec->uid = st->st_uid;
		if (set & F3_SET_GID)
			rec->gid = st->st_gid;
		if (!(set & F3_SET_MODE))
			chown_priv(inode, gone, b);
	}
	if (!r && (set & (F3_SET_ATIME | F3_SET_ATIME_NOW | F3_SET_MTIME | F3_SET_MTIME_NOW)))
		r = set_times(inode, st, set, now);
	rec->ctime_ns = set & F3_SET_CTIME ? f3_ns_from_timespec(st->st_ctim) : now;
	if (!r && !inode->dead) {
		f3_stage_attr_mark(inode, b);
		f3_batch_put_inode(b, rec);
		r = f3_batch_commit(b);
	}
	if (r)
		*rec = before;
	f3_unlock(&inode->lock);
	f3_batch_free(b);
	return r;
}

/* The kernel does not say which privileges have to go with a native write: for who may keep suid and
 * sgid it is the capabilities. */
static const struct f3_caller *loses_ids(unsigned set, const struct f3_caller *who)
{
	return set == F3_SET_KILL_PRIV && f3_process_can(who->pid, CAP_FSETID) ? NULL : who;
}

int f3_ns_setattr(struct f3_core *core, uint64_t ino, const struct stat *st, unsigned set,
		  const struct f3_caller *who, struct f3_entry *ret_e)
{
	unsigned attrs = set & ~(unsigned)(F3_SET_SIZE | F3_SET_KILL_PRIV);
	struct f3_inode *inode;
	int r = f3_inode_get(core, ino, &inode);

	if (r)
		return r == -ENOENT ? -ESTALE : r;
	r = inode->volume ? f3_authority_here(core, inode->volume) : -EPERM;
	if (!r)
		r = f3_store_known(core, inode, who);
	if (!r)
		r = f3_stage_room(inode, who);
	if (!r && (set & F3_SET_SIZE))
		r = S_ISREG(inode->rec.mode) ?
			    f3_file_truncate(core, inode, (uint64_t)st->st_size, who) :
		    S_ISDIR(inode->rec.mode) ? -EISDIR :
					       -EINVAL;
	if (!r && (set & F3_SET_KILL_PRIV))
		r = f3_file_kill_priv(core, inode, loses_ids(set, who));
	if (!r && attrs)
		r = apply(core, inode, st, set, who);
	if (!r && attrs && inode->volume->store)
		f3_stage_attr_changed(core, inode);
	if (!r)
		f3_ns_fill_attr(core, inode, ret_e);
	f3_inode_put(core, inode);
	return r;
}
