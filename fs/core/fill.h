/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill: makes ranges of a file present, from the object store into its sparse backing file.
 *
 * A reader waits only for its own range. Concurrent readers of one range cause one transfer.
 * Sequential reading runs ahead by a window that doubles up to fill-size x 16; small objects come
 * whole. Every range read is conditional on the ETag the file was opened with: an object replaced
 * meanwhile gives -ESTALE to the waiters, never a mixture.
 *
 * What of a file is wanted from the object are the bytes before rec.base_limit: > 0 exactly while
 * some may be missing (and then the extents family says which are here), 0 once the file is
 * complete or was cut to nothing. What is behind it is a hole or was written here.
 *
 * Programs write through the daemon while fills go on (never natively: an incomplete file is not
 * opened for passthrough). Who writes what is settled by two lists under the inode's lock: ranges
 * a program's write has announced (f3_fill_write_begin .. _end) and ranges a fill has landing.
 * A fill lands only where bytes are absent and nobody has announced; an announcement waits until
 * what is landing in its range has landed. So a fill never undoes a program's write, and a range
 * whose write failed is still absent, and fetched if somebody wants it.
 *
 * The database learns of what fills brought in batches, and of a program's write before it is
 * acknowledged. Once a file may be dirty, fills are synced before the database learns of them:
 * after a power cut what it says of a dirty file is true. (Clean copies are dropped then.)
 *
 * Errors of the store: retried with back-off while somebody waits, up to retry-max; then the
 * waiters get the store's errno. A fill for which there is no room evicts first (evict.h); if
 * nothing can be evicted the waiters get -ENOSPC. Per volume fill-parallel transfers are under way
 * at once, first come first served, those somebody waits for before those that run ahead.
 */
#ifndef F3_CORE_FILL_H
#define F3_CORE_FILL_H

#include <sys/uio.h>

#include "fs/core/inode.h"

struct f3_bytes;
struct f3_fill_gate;

/* A read that is in more buffers than this is answered from the file. */
#define F3_FILL_LENT_MAX 16

struct f3_fill_lent {
	struct iovec iov[F3_FILL_LENT_MAX];
	struct f3_bytes *of[F3_FILL_LENT_MAX];
	unsigned n;
};

/* What a transfer takes at most while it is queued or rests. */
#define F3_FILL_TRANSFER_BYTES 640

/* Once, at start. */
void f3_fill_register_metrics(void);
/* One per volume. Free: nothing may be under way. */
int f3_fill_gate_new(struct f3_core *core, struct f3_fill_gate **ret_gate);
void f3_fill_gate_free(struct f3_fill_gate *gate);

/* May bytes of it be missing here? Inode lock held. */
static inline bool f3_fill_incomplete(const struct f3_inode *inode)
{
	return inode->extents || inode->rec.base_limit || inode->rec.state == F3_STATE_FILLING ||
	       inode->rec.state == F3_STATE_REMOTE;
}

/* Prepares a file of which bytes are (partly) in the store: makes the sparse backing file, or
 * reads the extent map from the database. Afterwards it has extents or is complete. Does not ask
 * the store. Inode lock not held. */
int f3_fill_prepare(struct f3_core *core, struct f3_inode *inode);

/*
 * [off, off+len) is wanted. 1: it is all here, w is not used. 0: w->fn will be called. -errno:
 * cannot be. The inode must be referenced until then. Inode lock not held.
 */
int f3_fill_need(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		 struct f3_waiter *w);
/*
 * What a read asks for, if it came a moment ago and is still in memory: true, and it is lent until
 * f3_fill_lent_done; bytes past the end of the file are left out. It counts as a need, too. A waiter
 * with `early` set is called as soon as it can be lent, which may be before it is in the file: where
 * nothing is lent then, the need is said again. Inode lock not held.
 */
bool f3_fill_lend(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		  struct f3_fill_lent *ret_lent);
void f3_fill_lent_done(struct f3_core *core, struct f3_fill_lent *lent);
/* Before bytes of the file are changed in place, or may be without our knowing: nothing is lent of them
 * any more. Inode lock held. */
void f3_fill_forget(struct f3_core *core, struct f3_inode *inode);
/* The same for the whole file (warm, class moves, edits). */
int f3_fill_all(struct f3_core *core, struct f3_inode *inode, struct f3_waiter *w);
/*
 * What [off, off+len) lacks is asked for on nobody's behalf: behind all that somebody waits for, and
 * given up where there is no memory for it. Some at a time; in between it is waited for, unless *stop.
 * fn: of each range that was lacking. 0 also where all is here. Blocks on the store.
 */
int f3_fill_ahead(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		  const _Atomic bool *stop, void (*fn)(void *arg, uint64_t off, uint64_t len),
		  void *arg);
/* Waits until no transfer of it is under way. */
void f3_fill_rest(struct f3_inode *inode);
/* Waits until the whole file is here, said to be complete, and let go of. Blocks on the store. Not
 * from a thread of core->transfer: the transfers need those. */
int f3_fill_whole(struct f3_core *core, struct f3_inode *inode);
/* First bytes of the object with this etag that came another way: they land as if they had been asked
 * for here. Prepared before. buf is heap, its bytes were taken from the account of buffers: both are
 * the fill's if this is true. Inode lock not held. */
bool f3_fill_given(struct f3_core *core, struct f3_inode *inode, const char *etag, void *buf,
		   uint64_t len);
/* True if w was taken out before its function was called. */
bool f3_fill_cancel(struct f3_inode *inode, struct f3_waiter *w);

/*
 * Around a program's write of [off, off+len) through the daemon, inode lock held both times (not
 * between; begin may let go of it to wait for the local disk). Every begin that returned 0 is
 * followed by one end with the same range. No-ops while the file is complete.
 * begin: -EFBIG too many separate ranges: f3_fill_whole first. -ENOMEM.
 * end: `written` bytes from off on are in the backing file; once it returned 0 they are known to
 * be present and the write may be acknowledged.
 */
int f3_fill_write_begin(struct f3_inode *inode, uint64_t off, uint64_t len);
int f3_fill_write_end(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		      uint64_t written);
/* ftruncate of the backing file (fd is open for writing) of a file that has extents: bytes of the
 * object past `size` are never wanted again. Inode lock held; let go of while waiting for the local
 * disk, so that extents may be gone on return. */
int f3_fill_truncate(struct f3_core *core, struct f3_inode *inode, int fd, uint64_t size);
/* Before a clean file may be written to (except when it is emptied): what fills wrote is put on
 * the disk. Inode lock not held; blocks on the local disk. */
int f3_fill_settle(struct f3_core *core, struct f3_inode *inode);

/* About how long it takes to fetch so many bytes of so many files: requests as there have been lately,
 * fill-parallel at a time; larger ones take longer in proportion. 0 for no bytes. */
uint64_t f3_fill_estimate_ns(struct f3_core *core, struct f3_volume *v, uint64_t files,
			     uint64_t bytes);

/* Ends what is under way for the inode and waits for it; waiters get -ESTALE. Before its backing
 * file goes. Not from a thread of core->transfer. */
void f3_fill_stop(struct f3_core *core, struct f3_inode *inode);
/* Is nothing under way, so that f3_fill_stop would not wait? Inode lock held. */
bool f3_fill_idle(const struct f3_inode *inode);
/* Drops an idle inode's state of filling (window, list of unsaved ranges). */
void f3_fill_free(struct f3_fill *fill);

#endif
