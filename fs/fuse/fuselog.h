/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuselog: what libfuse has to say, in the daemon's log.
 *
 * By itself it writes to stderr, which a daemon in the background has not, and as often as whatever
 * it complains about happens. So its lines go through f3_log, so many within ten seconds and no more;
 * how many were left out is said with the next that is written.
 *
 * Thread-safe, no lock. What it does not do: choose what libfuse says; its debug lines come with
 * log-level debug only.
 */
#ifndef F3_FUSE_FUSELOG_H
#define F3_FUSE_FUSELOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define F3_FUSELOG_LINES 10u		/* in each window */
#define F3_FUSELOG_WINDOW_NS (10ull * 1000000000ull)

struct f3_fuselog_limit {
	_Atomic uint64_t since_ns;	/* the window began; 0: none has */
	_Atomic unsigned lines, left_out;
};

/* May a line be written now? ret_left_out: how many were not since the last that was. */
bool f3_fuselog_may(struct f3_fuselog_limit *l, uint64_t now_ns, unsigned *ret_left_out);

/* From now on. */
void f3_fuselog_take(void);

#endif
