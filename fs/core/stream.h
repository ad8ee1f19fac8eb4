/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream: reading a file while it is still being written.
 *
 *	OPEN -----------------> SEALED		the last writer closed: readers get to the end
 *	   \------------------> FAILED		it was killed: readers get EIO there
 *
 * A reader of a file that streams waits at the frontier, the end of what its writers have written
 * so far, and gets an end of file only when it is sealed. The writers are native and tell us
 * nothing: the backing file is asked, and inotify on it says when to ask again, as long as somebody
 * waits.
 *
 * The frontier is the size of the backing file while that only grows by writing: the size follows
 * the bytes. What was made longer first (ftruncate, fallocate) has holes, and the file system gives
 * space to a write before its bytes are there. So of such a file the frontier is where the first hole
 * was two events ago: the write that was under way then has returned since (a file takes one at a
 * time), and less one block, of which only a part may have been written. Stores through a mapping are
 * no events: a file that is written so is read when it is sealed. The frontier never goes back but by
 * a truncation.
 *
 * There are ways to read that ask us nothing at the end of a file (splice(2), sendfile(2),
 * copy_file_range(2)): the kernel ends them where the file ends now. Before that they are refused, and
 * programs read instead. Of an empty file they would be told the end: so whoever opens one that is to
 * be written waits for the first byte, as with a FIFO.
 *
 * A stream exists from the first open of a reader that finds the file being written until nobody
 * has the file open any more and it is sealed. Threads: any. Locks: its own, below the inode's. Does not block.
 * What it does not do: read, or decide when a file is sealed (file.h).
 */
#ifndef F3_CORE_STREAM_H
#define F3_CORE_STREAM_H

#include "fs/core/inode.h"

struct f3_stream;

void f3_stream_register_metrics(void);

/* Does the file stream, by its own xattr, or as decided when it was made? Inode lock held. */
bool f3_stream_wanted(const struct f3_inode_rec *rec);
/* Must a reader who opens it now come to the daemon? Inode lock held. */
bool f3_stream_live(const struct f3_inode *inode);

/* Makes the stream of an inode that has none, for an open reader. 0 or -errno. Inode lock held. */
int f3_stream_start(struct f3_core *core, struct f3_inode *inode);
/* Takes it from an inode that nobody has open; the caller frees it without the inode lock. Who waits
 * is called with 0. */
struct f3_stream *f3_stream_take(struct f3_inode *inode);
void f3_stream_free(struct f3_stream *s);
/* The daemon ends: who still waits, for the seal too, gets ESTALE. */
void f3_stream_stop(struct f3_inode *inode);

/* It was cut to this size, or is that long anyway. Inode lock held. */
void f3_stream_truncated(struct f3_inode *inode, uint64_t size);
/* It was made longer without being written. Inode lock held. */
void f3_stream_presized(struct f3_inode *inode);
/* There is a writer (again), of this content. Inode lock held. */
void f3_stream_writes(struct f3_inode *inode);
/* No writer is left; error: why the content is not whole, 0: it is. Inode lock held; those who
 * waited go to `ready`, and ask again when they are called. */
void f3_stream_sealed(struct f3_inode *inode, int error, struct f3_waiter_list *ready);

/* May it still get longer? */
bool f3_stream_open(struct f3_inode *inode);
/*
 * How many of the `len` bytes at `off` a reader who has the file open may read now: 1 and
 * *ret_len, where 0 is the end of the file; 0: `w` was taken, and is called when it is worth asking
 * again; -EAGAIN: it would have been, but there is no `w`; -EIO: the writer did not get that far;
 * -ESTALE: the daemon ends. gather: while many small writes come one after the other he may wait a moment
 * for more than there is.
 */
int f3_stream_need(struct f3_inode *inode, uint64_t off, uint64_t len, bool gather,
		   struct f3_waiter *w, uint64_t *ret_len);
/* Does nobody read it yet because there is nothing? 1, and `w`, if there is one, is called when it is
 * worth asking again; 0; -errno. For a reader who is about to open it. */
int f3_stream_empty(struct f3_core *core, struct f3_inode *inode, struct f3_waiter *w);
/* Takes a reader's waiter out, whether it waits here, for a fill or for the seal. True: it was still waiting and is
 * not called any more. */
bool f3_stream_cancel(struct f3_inode *inode, struct f3_waiter *w);

#endif
