/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict: space on the cache disk.
 *
 * Only clean, sealed, unpinned, unopened, unmapped copies of objects can go: whole files, least
 * recently used first (sampled). Dirty data and local classes are not candidates by construction:
 * the scan picks from state CLEAN only, and checks again under the inode's lock, with a granted
 * lease probe, before the file is unlinked.
 *
 * When used > cache-size, or the disk is nearly full, eviction runs in the background down to
 * cache-low. When nothing can be evicted: writers of durable and writeback files wait for stages
 * under way (back-pressure, up to a deadline), then get ENOSPC; local classes get ENOSPC at once.
 */
#ifndef F3_CORE_EVICT_H
#define F3_CORE_EVICT_H

#include "fs/core/inode.h"
#include "fs/core/volume.h"

int f3_evict_start(struct f3_core *core, struct f3_err *err);
void f3_evict_stop(struct f3_core *core);

/* Counts bytes held on the cache disk (backing files' blocks). */
void f3_evict_account(struct f3_core *core, int64_t bytes);
uint64_t f3_evict_used(struct f3_core *core);
uint64_t f3_evict_limit(struct f3_core *core);

/* Room for `bytes` more? 0, or -ENOSPC. may_block: wait for eviction and stages. */
int f3_evict_room(struct f3_core *core, uint64_t bytes, bool may_block);
/* One file, asked for by an admin. -EBUSY (open, mapped), -EPERM (pinned), -EINVAL (dirty or of a
 * local class: the only copy). ret_bytes: freed. */
int f3_evict_inode(struct f3_core *core, struct f3_inode *inode, uint64_t *ret_bytes);

#endif
