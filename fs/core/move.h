/* SPDX-License-Identifier: Apache-2.0 */
/*
 * move: changes the class of a file.
 *
 * Two things can be in the way of a new class: what the store has to hold (the promise), and on
 * which file system the bytes lie here (the place).
 *
 * Promise: into the store the file is committed first, for durable before the call returns;
 * if that fails it is what it was. Out of the store its bytes are made complete here, then the
 * object's removal is journalled in the batch that says so. Between the two classes of the store
 * only the promise changes.
 *
 * Place: between tmpfs and disk the backing file is copied, which needs a moment without opens,
 * mappings and commits: until then the state is `moving`, and it happens after the last close.
 * The copy is made without a lock and takes the file's place only if nothing touched it meanwhile.
 */
#ifndef F3_CORE_MOVE_H
#define F3_CORE_MOVE_H

#include "fs/core/inode.h"

/*
 * source: OWN for the xattr, RULE/DIR/DEFAULT when decided again by rename or link. No lock held.
 * 0 done (or `moving`, which will be), -F3_EWAIT, -EPERM (above the name's class, or several
 * names), -EOPNOTSUPP, -ENOSPC, or the stage's error: then nothing has changed.
 */
int f3_move_class(struct f3_core *core, struct f3_inode *inode, enum f3_class to,
		  enum f3_class_source source, const struct f3_caller *who);
/* Do its bytes lie on another file system than its class asks for? Inode lock held. */
static inline bool f3_move_pending(const struct f3_inode *inode)
{
	return inode->rec.backing && inode->rec.state != F3_STATE_REMOTE &&
	       (inode->rec.class_ == F3_CLASS_MEMORY) !=
		       (inode->rec.backing_class == F3_CLASS_MEMORY);
}
/* Called at last close for files whose move is pending. Goes on in the background. */
void f3_move_resume(struct f3_core *core, struct f3_inode *inode);

#endif
