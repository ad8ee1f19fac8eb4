/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_run: carries out what the journal says, in the order that must be kept.
 *
 * A DAG, built as entries are announced: entries of the same inode or the same key run in order;
 * rename, unlink and rmdir run after every earlier entry of the directories involved that has been
 * acknowledged; nothing below a directory runs before its marker is there; the rename of a
 * directory waits for everything earlier of the volume and everything later waits for it. All the
 * rest runs in parallel, stage-parallel entries per volume at once. At any crash the store shows a
 * set of entries that is closed under these edges.
 *
 *   announced -> blocked -> (delayed) -> ready -> running -> done
 *                                         ^          |  \-> held -> done
 *                                         +- resting <+
 *
 * An entry gets its place when it is announced, under the locks that order the change it stands
 * for; it is begun once its record is committed. Two kinds: acknowledged ones (writeback, and all
 * that a restart finds) are tried until they succeed; of the others the first definite error, or
 * the last one after retry-max, goes to who waits and the entry is withdrawn. A held entry is done
 * in the store and keeps its place until the names here were changed: who asked for it commits
 * that change together with the removal of the record (f3_batch_del_journal) and settles it. After
 * a crash in between the replay finds it done and changes the names.
 *
 * Locks: one of rank F3_RANK_TRANSFER, held for no I/O. Entries run on threads of their volume, so
 * that a store that hangs stops no other volume's. PUT and ATTR of files are carried out by
 * stage.h, the others by journal_ops.c.
 */
#ifndef F3_CORE_JOURNAL_RUN_H
#define F3_CORE_JOURNAL_RUN_H

#include "fs/core/inode.h"
#include "fs/core/volume.h"

struct f3_journal_task;
struct f3_journal_gate;

enum f3_journal_how {
	F3_JOURNAL_ACKED = 1,	/* the program was told already: later ones keep their order to it */
	F3_JOURNAL_RETRY = 2,	/* until it succeeds */
	F3_JOURNAL_HOLD = 4,	/* its place is kept until f3_journal_settle */
};

/* Before the volumes are attached. */
int f3_journal_new(struct f3_core *core, struct f3_journal_run **ret_j);
void f3_journal_free(struct f3_journal_run *j);
/* One per volume. Free: nothing of the volume may be announced. */
int f3_journal_gate_new(struct f3_core *core, struct f3_volume *v,
			struct f3_journal_gate **ret_gate);
void f3_journal_gate_free(struct f3_journal_gate *gate);
/* Announces what the last run left, in its order. Nothing is carried out before f3_journal_go. */
int f3_journal_load(struct f3_core *core, struct f3_err *err);
void f3_journal_go(struct f3_core *core);
/* Ends what runs; the rest stays in the database. Who waits gets -ESHUTDOWN. */
void f3_journal_stop(struct f3_core *core);

/* Gives the entry its number and its place. The entry is not kept. Locks up to the inode's may be
 * held. A task that was announced must be begun or withdrawn. 0 or -ENOMEM. */
int f3_journal_announce(struct f3_volume *v, struct f3_journal_entry *e, unsigned how,
			struct f3_journal_task **ret_t);
/* Its record is committed. It is carried out in its turn, but not before delay_ns are over. w (may
 * be NULL) is called with the result, or with 0 where the store need not be told any more. With
 * F3_JOURNAL_HOLD the caller settles it if the result was 0. */
void f3_journal_begin(struct f3_journal_task *t, uint64_t delay_ns, struct f3_waiter *w);
/* There will be no record, or it was removed by the caller: what has not begun never does. False:
 * it is being carried out. */
bool f3_journal_withdraw(struct f3_journal_task *t);
void f3_journal_settle(struct f3_journal_task *t);
/* No delay and no rest: somebody waits for it. */
void f3_journal_hurry(struct f3_journal_task *t);

/* All of these in one, for a durable operation and a caller that holds no lock: the record is
 * committed here, then the result is waited for. ret_held: see F3_JOURNAL_HOLD; NULL: not held. */
int f3_journal_tell(struct f3_volume *v, struct f3_journal_entry *e,
		    struct f3_journal_task **ret_held);

/* Everything announced so far for the volume (0: all volumes); for a directory everything durable,
 * retry-max at most. 1: w will be called; 0: nothing to wait for; -ENOMEM. */
int f3_journal_wait_volume(struct f3_core *core, uint32_t volume, struct f3_waiter *w);
int f3_journal_wait_dir(struct f3_core *core, uint64_t dir, struct f3_waiter *w);
/* The same for what is about the inode: after it f3_journal_covers is false, unless it took too long or
 * something new was announced. */
int f3_journal_wait_ino(struct f3_volume *v, uint64_t ino, struct f3_waiter *w);

/* The key of an inode's object for an entry that runs now: directories may have been renamed here
 * since it was announced, which the store is told after it. out: F3_KEY_MAX bytes and a NUL. As
 * f3_inode_key, and -ENAMETOOLONG. */
int f3_journal_key(struct f3_volume *v, uint64_t ino, char *out);

/* Is something announced that will change, or has changed without the names here showing it yet,
 * what the store has under this key, or this inode's object? Then what the store says counts for
 * nothing. */
bool f3_journal_covers(struct f3_volume *v, uint64_t ino, const char *key);

/* What the store answered somebody else than the journal: that it stopped working, or works again,
 * is logged once. */
void f3_journal_health(struct f3_volume *v, int result, const char *message);

/*
 * Each entry takes memory, with the inode that has to stay for it, until its store was told. Is there
 * room for one more of the volume? Asked before anything is done, by who can wait or be refused: 0,
 * -F3_EWAIT, -F3_EROOM, -ENOSPC. What was begun before, and what others need for their end, is
 * entered all the same. A volume may take up to four fifths of what the others leave of the
 * account's share, so that a store that is away does not keep those of others from theirs.
 */
int f3_journal_room(const struct f3_volume *v, const struct f3_caller *who);
bool f3_journal_full(const struct f3_volume *v);

struct f3_journal_stats {
	uint64_t entries, running, retrying;
	int64_t oldest_since_ns;	/* real time; 0: no entries */
};
/* volume 0: of all. */
void f3_journal_stats(struct f3_core *core, uint32_t volume, struct f3_journal_stats *ret);

#endif
