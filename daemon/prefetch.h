/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefetch: files that somebody expects to be read, fetched before they are.
 *
 * The same fill of a whole file as f3ctl warm makes, with nobody who waits for it. At most
 * F3_PREFETCH_RUNNING files are under way, F3_PREFETCH_QUEUED wait their turn, in order; what comes
 * when these are taken is not fetched: it is advice. What cannot be fetched is counted, not told.
 *
 * Thread-safe; adding does not wait for a store. `lock` (rank QUEUE) guards queue and slots. Fills are
 * begun on a thread of core->blocking, or, where that has no room, by who added or what ended.
 */
#ifndef F3_DAEMON_PREFETCH_H
#define F3_DAEMON_PREFETCH_H

#include "fs/core/core.h"

#define F3_PREFETCH_RUNNING 32u
#define F3_PREFETCH_QUEUED 4096u

struct f3_prefetch;

struct f3_prefetch_stats {
	unsigned queued, running;
};

void f3_prefetch_register_metrics(void);
int f3_prefetch_new(struct f3_core *core, struct f3_prefetch **ret_p);
/* Cancels what is under way, and waits for what cannot be canceled. */
void f3_prefetch_free(struct f3_prefetch *p);
/* 0, or -EAGAIN: too many wait already. */
int f3_prefetch_add(struct f3_prefetch *p, uint64_t ino);
void f3_prefetch_stats(struct f3_prefetch *p, struct f3_prefetch_stats *ret_stats);

#endif
