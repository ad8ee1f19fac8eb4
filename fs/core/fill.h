/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill: makes ranges of a file present, from the object store into its sparse backing file.
 *
 * A reader waits only for its own range. Concurrent readers of one range cause one transfer.
 * Sequential reading runs ahead by a window that doubles up to fill-size x 8; small objects come
 * whole. Every range read is conditional on the ETag the file was opened with: an object replaced
 * meanwhile gives -ESTALE to the waiters, never a mixture. Fills write only ranges that are
 * absent, so they never undo a program's write, and they set the file's times back at the end.
 *
 * Errors of the store: retried with back-off while somebody waits, up to retry-max; then the
 * waiters get -EIO (or the store's errno). A fill for which there is no room evicts first
 * (evict.h); if nothing can be evicted the waiters get -ENOSPC.
 */
#ifndef F3_CORE_FILL_H
#define F3_CORE_FILL_H

#include "fs/core/inode.h"

/* Prepares a file whose bytes are (partly) in the store for reading: makes the sparse backing
 * file and the extent map if there are none. Inode lock held by the caller: no. */
int f3_fill_prepare(struct f3_core *core, struct f3_inode *inode);

/*
 * [off, off+len) is wanted. 1: it is all here, w is not used. 0: w->fn will be called. -errno:
 * cannot be. The inode must be referenced until then.
 */
int f3_fill_need(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		 struct f3_waiter *w);
/* The same for the whole file (warm, class moves, edits). */
int f3_fill_all(struct f3_core *core, struct f3_inode *inode, struct f3_waiter *w);
/* Waits until the whole file is here. Blocks on the store. */
int f3_fill_whole(struct f3_core *core, struct f3_inode *inode);
/* True if w was taken out before its function was called. */
bool f3_fill_cancel(struct f3_inode *inode, struct f3_waiter *w);

/* A write through the daemon put bytes there: they are present now and no fill may touch them.
 * Must be called before the write is acknowledged, inode lock held. */
int f3_fill_written(struct f3_inode *inode, uint64_t off, uint64_t len);
/* Truncated to size (inode lock held): what is past it is not wanted from the object any more. */
void f3_fill_truncated(struct f3_inode *inode, uint64_t size);

/* Blocks until nothing is under way for the inode (before its backing file goes). */
void f3_fill_stop(struct f3_core *core, struct f3_inode *inode);

#endif
