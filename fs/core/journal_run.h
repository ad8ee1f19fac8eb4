/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_run: carries out what the journal says, in the order that must be kept.
 *
 * A DAG: entries of the same inode or the same key run in order; rename, unlink, rmdir run after
 * every earlier entry of the directories involved; everything else runs in parallel (bounded by
 * stage-parallel per volume). Created-then-deleted collapses. fsyncdir and syncfs are barriers: a
 * waiter on everything earlier. At any crash the store shows a prefix-closed set.
 *
 * Durable operations use the same path: entry first (intent), run at once, the caller waits; on
 * failure the entry is withdrawn and the caller undoes nothing because nothing was applied yet.
 *
 * Replay at start: each entry left is resolved (HEAD, f3-gen) and then run again or dropped.
 */
#ifndef F3_CORE_JOURNAL_RUN_H
#define F3_CORE_JOURNAL_RUN_H

#include "fs/core/inode.h"
#include "fs/core/volume.h"

int f3_journal_start(struct f3_core *core, struct f3_err *err);
void f3_journal_stop(struct f3_core *core);

/*
 * Hands an entry to the runner after its record was committed by the caller's batch. The entry is
 * copied. w (may be NULL) is called when it is done or has failed for good; until then the runner
 * retries what can be retried when `retry` (writeback), else reports the first definite error and
 * drops the record (durable).
 */
int f3_journal_add(struct f3_core *core, const struct f3_journal_entry *e, bool retry,
		   struct f3_waiter *w);

/* Everything journalled so far for the volume (0: all volumes), or for a directory. 1: w will be
 * called; 0: nothing to wait for. */
int f3_journal_wait_volume(struct f3_core *core, uint32_t volume, struct f3_waiter *w);
int f3_journal_wait_dir(struct f3_core *core, uint64_t dir, struct f3_waiter *w);

struct f3_journal_stats {
	uint64_t entries, running, retrying;
	int64_t oldest_since_ns;
};
void f3_journal_stats(struct f3_core *core, uint32_t volume, struct f3_journal_stats *ret);

#endif
