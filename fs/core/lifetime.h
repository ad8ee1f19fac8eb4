/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lifetime: files that go when they have been read by whom they were made for, or after a time.
 *
 * An output of an activation may name readers (actions) and a lifetime. A file of class memory or
 * ephemeral that it had open for writing under such a name is kept track of:
 *
 *   made -> its activation ended -> every reader ended ok that had opened the content of now -> removed
 *                                -> lifetime after that end -------------------------------> removed
 *
 * For readers only once nobody has it open, and it is sealed; for its lifetime whatever the case. Not
 * any more where its name, when it would be removed, is none of that output's, or it has a second one,
 * or is of another class by then. It is made anew by whoever writes it as such an output. A reader that
 * failed counts for nothing.
 *
 * All of it is in the database (F3_NOTE_LIFETIME*), one write when a file is made or first opened by an
 * activation that it is for. One timer is for the next lifetime that ends; there is none while nothing
 * ends.
 *
 * Threads: any. Locks: one of its own, rank F3_RANK_LOCAL, taken below the inode's; nothing is called
 * under it. While no file is kept track of, a request costs one relaxed load.
 */
#ifndef F3_CORE_LIFETIME_H
#define F3_CORE_LIFETIME_H

#include "fs/core/activation.h"
#include "fs/core/inode.h"

#define F3_LIFE_FILES_MAX 65536u	/* what is made past it stays */
#define F3_LIFE_READERS_MAX 64u

struct f3_lives;

/* Reads what the last run left. */
int f3_lives_new(struct f3_core *core, struct f3_lives **ret_l);
/* What is live has been begun again: the others have ended. From here on files are removed. */
void f3_lives_start(struct f3_core *core);
void f3_lives_stop(struct f3_lives *l);
void f3_lives_free(struct f3_lives *l);

/* Opened for writing; for reading. */
void f3_life_made(struct f3_activation *act, struct f3_inode *inode);
void f3_life_opened_slow(struct f3_activation *act, struct f3_inode *inode);
static inline void f3_life_opened(struct f3_activation *act, struct f3_inode *inode)
{
	if (atomic_load_explicit(&act->core->n_lives, memory_order_relaxed))
		f3_life_opened_slow(act, inode);
}
/* Before its record says so; a second time changes nothing. Database. */
void f3_life_ended(struct f3_core *core, const char *id, bool ok);
/* The file is no more. */
void f3_life_gone_slow(struct f3_core *core, uint64_t ino);
static inline void f3_life_gone(struct f3_core *core, uint64_t ino)
{
	if (atomic_load_explicit(&core->n_lives, memory_order_relaxed))
		f3_life_gone_slow(core, ino);
}
/* A file that was to be removed is not open any more, or sealed. */
void f3_life_wake(struct f3_core *core);

/* What is to happen to it. False: nothing. fn: for each reader that is still waited for. */
bool f3_life_look(struct f3_core *core, uint64_t ino, int64_t *ret_at_ns, uint64_t *ret_lifetime_s,
		  void (*fn)(void *arg, const char *action), void *arg);

#endif
