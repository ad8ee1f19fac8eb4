/* SPDX-License-Identifier: Apache-2.0 */
/*
 * move: changes the class of a file.
 *
 * Between classes that keep their bytes in the same place only the promise changes (to durable:
 * the stage is synchronous; away from the store: the bytes are made complete here, then the object
 * is deleted). Between tmpfs and disk the backing file is copied; that needs a moment without
 * opens and mappings: until then the state is `moving` and it happens at the last close.
 */
#ifndef F3_CORE_MOVE_H
#define F3_CORE_MOVE_H

#include "fs/core/inode.h"

/* source: OWN for the xattr, RULE/DIR/DEFAULT when decided again by rename or link.
 * 0 done (or `moving`, which will be), -F3_EWAIT, -EPERM (above the name's class), -EOPNOTSUPP,
 * -ENOSPC, or the stage's error: then nothing has changed. */
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
