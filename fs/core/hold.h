/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold: what puts the sealing of a file off after its last writer has gone.
 *
 *	holders		named by a number that survives the daemon (an activation's): each of them
 *			may still write, or have others write. The file is sealed by the end of the
 *			last one.
 *	grace time	of the volume (stream-grace), for files that stream: whoever opens the file for
 *			writing within it goes on in the same stream. It begins when the last writer or
 *			mapping has gone, and again when one has come and gone.
 *
 * Meanwhile the file is WRITING, so whoever reads it gets no end. Its record says F3_INO_HELD: it was
 * closed, and is whole as far as its writers know, should the daemon not come back. The daemon's end
 * does not seal it; the next one begins the grace time anew, where it takes the mount over, and asks
 * for no holder: who knows of them names them again before f3_core_recover.
 *
 * Threads: any. Locks: its own, below the inode's. What it does not do: seal (file.h), or wait (the
 * sealer does, one timer for all).
 */
#ifndef F3_CORE_HOLD_H
#define F3_CORE_HOLD_H

#include "fs/core/inode.h"

struct f3_hold;
struct f3_holds;

int f3_holds_new(struct f3_holds **ret_h);
/* Gives back what is still held, and seals nothing. */
void f3_holds_free(struct f3_core *core);

/* `holder` (not 0) may still write it. Asked again it changes nothing. 0, -ENOMEM. Inode lock not held. */
int f3_hold_add(struct f3_core *core, struct f3_inode *inode, uint64_t holder);
/* Does it hold it? Inode lock not held. */
bool f3_hold_is(struct f3_inode *inode, uint64_t holder);
/* The holder has ended: what nobody else holds is sealed soon, without a grace time, unless a writer
 * has it open. torn: what is not sealed yet is not whole, if it streams. Unknown ones: nothing is done. */
void f3_hold_end(struct f3_core *core, uint64_t holder, bool torn);
/* The same of one file. */
void f3_hold_del(struct f3_core *core, struct f3_inode *inode, uint64_t holder, bool torn);
/* It has no name any more and nobody has it open: nothing is to be held. Inode lock not held. */
void f3_hold_drop(struct f3_core *core, struct f3_inode *inode);

/* No writer is left: is sealing put off? Until when is the sealer told. Inode lock held. */
bool f3_hold_puts_off(struct f3_core *core, struct f3_inode *inode);
/* A writer has come. Inode lock held. */
static inline void f3_hold_writes(struct f3_inode *inode)
{
	inode->grace_until_ns = 0;
}

#endif
