/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict: space on the cache disk.
 *
 * Only clean, unpinned, unopened, unmapped copies of objects can go: whole files, least recently
 * used first (sampled). Dirty data and local classes are not candidates by construction: the scan
 * picks from the states CLEAN and FILLING only (bytes the store has), and checks again under the
 * inode's lock, with a granted lease probe, before the file is unlinked.
 *
 * The scan walks the database, a piece at a time, and keeps the oldest it has seen in a pool of
 * fixed size: memory does not grow with the cache. Where a walk around finds nothing, the next one
 * waits ten times as long as it took, or until something is said to have become clean or closed.
 *
 * From a little below cache-size on (or when the disk is nearly full) files are evicted in the
 * background, down to cache-low below it; who comes faster than that evicts on its own thread: it
 * is local work. When nothing can be evicted, writers of durable and writeback files wait for
 * stages under way (back-pressure, up to space-wait; without a thread: lack.h), then get ENOSPC;
 * the others at once.
 *
 * Lock: rank F3_RANK_CACHE, held for no I/O. One thread evicts at a time.
 */
#ifndef F3_CORE_EVICT_H
#define F3_CORE_EVICT_H

#include "fs/core/inode.h"
#include "fs/core/volume.h"

/* Reads what the cache holds from the database, in the background, except where the recovery
 * after an unclean end counts it. */
int f3_evict_start(struct f3_core *core, struct f3_err *err);
/* When nothing else of the core runs any more. */
void f3_evict_stop(struct f3_core *core);

/* Counts bytes held on the cache disk (backing files' blocks). The inode's lock may be held. */
void f3_evict_account(struct f3_core *core, int64_t bytes);
/* Counts those of them that are of local classes, and so never candidates. */
void f3_evict_keep(struct f3_core *core, int64_t bytes);
uint64_t f3_evict_used(struct f3_core *core);
/* What would make room if it were asked for, pins and open files not looked at. */
uint64_t f3_evict_evictable(struct f3_core *core);
uint64_t f3_evict_limit(struct f3_core *core);
/* cache-size and cache-low may have changed. */
void f3_evict_reload(struct f3_core *core);

/* Room for `bytes` more? 0, or -ENOSPC. Evicts if there is none: local work. No inode's lock held. */
int f3_evict_room(struct f3_core *core, uint64_t bytes);
/* The same for a writer of a file that goes to a store, who waits for uploads that are to come:
 * -F3_EWAIT, -F3_EROOM, as `who` may. Never waits itself, not even for who evicts now. */
int f3_evict_room_or_wait(struct f3_core *core, uint64_t bytes, const struct f3_caller *who);
/* A file became clean, or a clean one was closed: who lacks space looks again. Costs nothing while
 * nobody does. The inode's lock may be held. */
void f3_evict_wake(struct f3_core *core);
/* One file, asked for by an admin. -EBUSY (open, mapped), -EPERM (pinned), -EINVAL (dirty or of a
 * local class: the only copy). ret_bytes: freed. Blocks; see f3_fill_stop. */
int f3_evict_inode(struct f3_core *core, struct f3_inode *inode, uint64_t *ret_bytes);

#endif
