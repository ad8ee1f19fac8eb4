/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill_impl: what the fill*.c files share; nobody else includes it.
 *
 * fill.c: what is called from outside: needs, programs' writes, truncation, stop.
 * fill_load.c: a file before its first transfer: backing file, extent map from the database.
 * fill_plan.c: which ranges to ask for. Makes transfers; the inode's lock is held.
 * fill_run.c: one transfer: queued at the gate, asked for.
 * fill_land.c: what came: given to who waits for it, and written to the file.
 * fill_recent.c: buffers, and what is in them still.
 * fill_tidy.c: after transfers: the database, the end of a file's filling, what to ask for next.
 *
 * A transfer goes QUEUED -> ASKING -> LANDING -> gone, or from ASKING or LANDING to RESTING (the
 * store or the disk failed, somebody waits) and after a while to QUEUED again. ASKING begins with
 * waiting for memory. It owns its range:
 * no other transfer of the inode overlaps it. It holds a reference to the inode.
 *
 * Locks: everything of struct f3_fill and of its transfers is guarded by the inode's lock, except
 * a transfer's place in the gate (gate's lock) and its buffer and operation, which belong to
 * whoever carries out its present state.
 */
#ifndef F3_CORE_FILL_IMPL_H
#define F3_CORE_FILL_IMPL_H

#include <sys/queue.h>

#include "fs/base/clock.h"
#include "fs/core/file.h"
#include "fs/core/fill.h"
#include "fs/core/fill_recent.h"
#include "fs/core/volume.h"

#define F3_FILL_ALIGN (64u << 10) /* what a read elsewhere brings at least */
#define F3_FILL_STEP (128u << 10) /* the same while reading goes on */
#define F3_FILL_WINDOWS 16 /* reading runs ahead up to so many fill-size */
#define F3_FILL_PIECES 8 /* one waiter has so many under way at once: it cannot push the others out */
#define F3_FILL_FLOW 8 /* a window is asked for in at least so many pieces */
/* Files that one transfer brings are small: they are wanted again, and are written to the page cache.
 * So is what somebody reads here and there. */
#define F3_FILL_DIRECT_MIN (256u << 10)
#define F3_FILL_SAVE_BYTES (64ull << 20) /* the database learns of so many at a time */
#define F3_FILL_KEYS_MAX 4096 /* separate ranges in the database before they are joined */

enum f3_transfer_state {
	F3_TRANSFER_QUEUED,
	F3_TRANSFER_ASKING,
	F3_TRANSFER_LANDING,
	F3_TRANSFER_RESTING
};

/* What a transfer needs once its turn has come; there may be many that are queued or rest. */
struct f3_asked {
	struct f3_obj_op op;
	uint64_t since_mono_ns; /* under way */
	char key[F3_KEY_MAX + 1];
	char etag[F3_ETAG_MAX + 1];
};

struct f3_transfer {
	TAILQ_ENTRY(f3_transfer) of_fill;
	TAILQ_ENTRY(f3_transfer) of_gate;
	struct f3_core *core;
	struct f3_inode *inode;
	uint64_t off, len;
	enum f3_transfer_state state;
	bool demand; /* gate's lock: somebody waits for it; which list it is in */
	bool in_gate; /* gate's lock: in one of its lists */
	bool holds_slot; /* gate's lock: counts as running */
	bool cancel_asked;
	unsigned canceling; /* threads that are about to call f3_object_cancel */
	bool disk_full; /* that was met once */
	uint64_t landing_off, landing_len; /* being written; len 0: nothing */
	bool direct; /* past the page cache */
	uint64_t pos; /* landed up to there */
	uint64_t failing_since_ns; /* 0: not failing */
	struct f3_backoff backoff;
	struct f3_timer rest;
	struct f3_work work;
	struct f3_io io;
	struct f3_room room; /* waits for memory */
	struct f3_asked *asked; /* from ASKING on, until it rests or is disposed of */
	struct f3_bytes *bytes; /* while it is ASKING and LANDING */
	size_t taken; /* from the budget, for bytes that are not there yet */
};

TAILQ_HEAD(f3_transfer_list, f3_transfer);

/* A program's write that was announced. */
struct f3_fill_write {
	uint64_t off, len;
	struct f3_fill_write *next;
};

struct f3_fill {
	struct f3_transfer_list transfers, ended;
	unsigned n_transfers;
	struct f3_fill_write *writes;
	unsigned n_writes;
	unsigned sleepers; /* threads waiting on `moved` */
	pthread_cond_t moved; /* something landed, ended, was tidied */
	int fd; /* O_RDWR, while transfers are under way; -1 */
	int direct_fd; /* the same with O_DIRECT */
	bool buffered; /* the file system does not take O_DIRECT */
	int error; /* for good: the object is another one now */
	bool stopping;
	bool careful; /* maybe dirty: sync before the database is told */
	bool more; /* what waiters want was not all asked for yet */
	int save_error; /* the database or the disk did not take what was filled */
	struct f3_extents *unsaved; /* present, and the database does not know */
	size_t n_keys; /* ranges put to the database since they were last joined */
	uint64_t seq_end, window; /* sequential reading: up to where, how far ahead */
	bool tidy_queued, tidy_again;
	struct f3_core *core; /* for the tidying */
	struct f3_inode *inode; /* referenced while tidy_queued */
	struct f3_work tidy_work;
	struct f3_timer tidy_later; /* the queue of work was full */
};

struct f3_fill_gate {
	struct f3_core *core;
	struct f3_lock lock; /* F3_RANK_TRANSFER */
	struct f3_transfer_list demand, ahead;
	unsigned running;
	struct f3_timer again; /* the queue of work was full */
	_Atomic uint64_t pace_ns, pace_bytes; /* of lately, mean of a request; 0: there was none */
};

/* fill.c */
static inline bool f3_fill_overlap(uint64_t a_off, uint64_t a_len, uint64_t b_off, uint64_t b_len)
{
	return a_off < b_off ? a_len > b_off - a_off : b_len > a_off - b_off;
}
/* Is something still missing? There are extents. */
static inline bool f3_fill_lacks(const struct f3_inode *inode)
{
	uint64_t off, len;

	return f3_extents_gap(inode->extents, 0, inode->rec.base_limit, &off, &len);
}
/* May bytes of it be other ones than the object's? Then what fills write has to be on the disk before
 * the database is told, and goes through the page cache, as what programs write. */
static inline bool f3_fill_careful(const struct f3_inode *inode)
{
	return inode->fill->careful || (inode->rec.state != F3_STATE_FILLING &&
					inode->rec.state != F3_STATE_REMOTE);
}
/* Waits until nothing lands in [off, off+len), nor anywhere past the page cache: the kernel cannot do
 * with changes on both ways in one page. */
void f3_fill_await_landing(struct f3_inode *inode, uint64_t off, uint64_t len);
/* Wakes threads that wait for something of the fill to move. */
void f3_fill_moved(struct f3_fill *fill);
/* Waits for that. The inode's lock is let go of meanwhile. */
void f3_fill_sleep(struct f3_inode *inode, struct f3_fill *fill);
/* Frees the fill if nothing needs it any more. */
void f3_fill_drop(struct f3_inode *inode);

/* fill_load.c */
struct f3_fill *f3_fill_new(struct f3_core *core, struct f3_inode *inode);

/* fill_plan.c */
/* A reader asks for [off, end): is it going through the file? */
void f3_fill_note(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t end);
/* Asks for what [off, end) lacks, and then for what comes next. -ENOMEM: not for all of it. */
int f3_fill_plan(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t end);
/* Asks for what [*off, end) lacks, on nobody's behalf; *off: up to where. What that was, in up to
 * F3_FILL_PIECES ranges. */
unsigned f3_fill_plan_range(struct f3_core *core, struct f3_inode *inode, uint64_t *off,
			    uint64_t end, struct f3_extent *ret_asked);
/* Asks for what comes next. */
void f3_fill_plan_ahead(struct f3_core *core, struct f3_inode *inode);
/* The same for all that waiters want. */
int f3_fill_plan_waiters(struct f3_core *core, struct f3_inode *inode);

/* fill_run.c */
/* Takes a reference to the inode; puts itself into the gate. -ENOMEM. */
int f3_transfer_new(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		    bool demand);
void f3_transfer_promote(struct f3_transfer *t);
/* The end of it, whatever became of it. No lock held. */
void f3_transfer_end(struct f3_transfer *t);
/* It ends with this error, or is tried again. No lock held. */
void f3_transfer_failed(struct f3_transfer *t, int r);
/* Starts what the gate lets through. Any lock up to the inode's may be held. */
void f3_fill_gate_run(struct f3_fill_gate *gate);
/* Ends transfers that are not under way at this moment and asks the store to end the others. The
 * inode's lock is held, and let go of meanwhile. */
void f3_transfers_cancel(struct f3_inode *inode, struct f3_fill *fill);
/* Frees those that have ended. The inode's lock is held, and a reference besides theirs. */
void f3_transfers_dispose(struct f3_inode *inode, struct f3_fill *fill);

/* fill_land.c */
/* All of its range is in t->bytes. */
void f3_transfer_arrived(struct f3_transfer *t);

/* fill_tidy.c */
void f3_fill_tidy_init(struct f3_fill *fill);
/* Soon on a thread of core->transfer. Inode lock held. */
void f3_fill_tidy_soon(struct f3_inode *inode, struct f3_fill *fill);

#endif
