/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lack: requests that wait for room, on the cache disk or in the journal, without a thread.
 *
 * A request that is told -F3_EROOM has done nothing. It is made again from its beginning on
 * core->blocking when somebody says that there may be room (f3_lack_news), and every second, since
 * not everything that makes room says so; how long it comes back is its own affair (space-wait).
 * News wakes a few of those that wait longest, not all of them: what came free is seldom enough for
 * more.
 *
 * Thread-safe, does not block. Lock: rank F3_RANK_LOCAL, so that news may be told under the locks of
 * inodes, of the journal and of the cache.
 */
#ifndef F3_CORE_LACK_H
#define F3_CORE_LACK_H

#include "fs/core/core.h"

int f3_lack_new(struct f3_core *core, struct f3_lack **ret_l);
/* Nobody waits, and the timers have been stopped. */
void f3_lack_free(struct f3_lack *l);
/* Whoever comes back from now on sees core->stopping. Before core->blocking is freed. */
void f3_lack_stop(struct f3_core *core);

/* How much news there was. Taken before it is looked for room, so that none is missed. */
uint64_t f3_lack_seen(struct f3_core *core);
/* 0: the work is pushed on core->blocking later. -ESHUTDOWN: it is not. */
int f3_lack_wait(struct f3_core *core, struct f3_work *work, uint64_t seen);
/* Costs a load while nobody waits. */
void f3_lack_news(struct f3_core *core);
unsigned f3_lack_waiting(struct f3_core *core);

#endif
