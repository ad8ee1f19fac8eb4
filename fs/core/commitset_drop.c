/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commitset_drop: the names of a set's members go. What they were prepared with is left for the sweep.
 *
 * A member that somebody has open goes on without a name, as after unlink(2), but for its content: what
 * comes to the daemon is answered EIO, and touching a mapping is SIGBUS, since the bytes go.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/core/commitset_impl.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/ns.h"
#include "fs/core/stream.h"

/* What the store has in a directory is looked for again. */
static void look_again(struct f3_core *core, uint64_t ino)
{
	struct f3_inode *dir = ino ? f3_inode_peek(core, ino) : NULL;

	if (!dir)
		return;
	f3_lock(&dir->lock);
	dir->listed_mono_ns = 0;
	f3_unlock(&dir->lock);
	f3_inode_put(core, dir);
}

/* Bytes go from under mappings; those who read past the daemon since before it joined keep them. */
static void empty(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_waiter_list ready = { NULL };
	bool close_it = false;
	int fd = -1;

	f3_lock(&inode->lock);
	if (inode->opens && inode->member && !inode->member->native_before &&
	    f3_file_complete(inode))
		fd = f3_file_write_fd(core, inode, &close_it);
	if (fd >= 0 && ftruncate(fd, 0))
		f3_log_warn("inode %" PRIu64 ": what was withdrawn cannot be emptied: %s",
			    inode->ino, f3_errno_name(errno));
	f3_stream_sealed(inode, EIO, &ready);
	f3_unlock(&inode->lock);
	if (fd >= 0 && close_it)
		close(fd);
	f3_waiters_call(&ready);
	if (core->kernel.inval_inode)
		core->kernel.inval_inode(core->kernel.arg, inode->ino);
}

static int withdraw(struct f3_commitset *set, struct f3_inode *inode)
{
	struct f3_core *core = set->core;
	struct f3_member_left *left = NULL;
	struct f3_batch *b;
	uint64_t parent;
	int r;

	f3_stage_hold(core, inode);
	f3_lock(&inode->lock);
	parent = inode->rec.parent;
	f3_unlock(&inode->lock);
	r = f3_ns_withdraw(core, inode);
	/* Has no name any more, or another inode has it. */
	if (r == -ENOENT || r == -ESTALE)
		r = 0;
	if (!r)
		look_again(core, parent);
	if (!r)
		empty(core, inode);
	if (!r)
		r = f3_batch_new(core->meta, &b);
	if (!r) {
		f3_lock(&inode->lock);
		r = f3_commitset_leave_batch(inode, "", false, true, b, &left);
		if (!r)
			r = f3_batch_commit(b);
		f3_unlock(&inode->lock);
		f3_batch_free(b);
		f3_commitset_left(core, left, r);
	}
	f3_stage_release(core, inode);
	return r;
}

int f3_commitset_withdraw(struct f3_commitset *set)
{
	struct f3_member_left *left;
	struct f3_inode **inodes;
	size_t n;
	int r = f3_commitset_inodes(set, &inodes, &n);

	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (!r)
			r = withdraw(set, inodes[i]);
		f3_debug_point("commit.withdrawn");
		f3_inode_put(set->core, inodes[i]);
	}
	free(inodes);
	if (r)
		return r;
	/* What was to be removed shows again. */
	TAILQ_FOREACH(left, &set->left, of_set)
		if (left->etag[0])
			look_again(set->core, left->parent);
	f3_commitset_wake(set);
	return 0;
}
