/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waiter: the one way to wait for bytes, for a state, for memory.
 *
 * A waiter is embedded in the request that waits, sits in one list, and is called exactly once
 * with a result: 0, or -errno. It is parked, no thread is blocked. Canceling takes it out of its
 * list; if that comes too late its function is (being) called. Waiters are collected under the
 * lock that guards their list and called after it was let go.
 */
#ifndef F3_BASE_WAITER_H
#define F3_BASE_WAITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct f3_waiter {
	void (*fn)(struct f3_waiter *w, int result);
	struct f3_waiter *next;
	struct f3_waiter **link; /* what points to it; NULL: in no list */
	uint64_t off, len; /* range waited for; unused in lists of states */
	bool early; /* of a range: served from memory as well, see fs/core/fill.h */
	int result; /* set when collected */
};

struct f3_waiter_list {
	struct f3_waiter *first;
};

void f3_waiter_add(struct f3_waiter_list *list, struct f3_waiter *w);
/* True if it was still in a list (and is not any more). Under the lock that guards the list. */
bool f3_waiter_cancel(struct f3_waiter *w);
/* Moves one out of its list. */
void f3_waiter_collect(struct f3_waiter *w, int result, struct f3_waiter_list *to);
/* Moves all waiters of `from` to `to` with this result. */
void f3_waiters_collect(struct f3_waiter_list *from, int result, struct f3_waiter_list *to);
/* The same for those whose range overlaps [off, off+len). */
void f3_waiters_collect_range(struct f3_waiter_list *from, uint64_t off, uint64_t len, int result,
			      struct f3_waiter_list *to);
bool f3_waiters_want(const struct f3_waiter_list *list, uint64_t off, uint64_t len);
/* Calls them. No lock may be held. */
void f3_waiters_call(struct f3_waiter_list *list);

/* For a thread that has to wait where others are parked: &blocker.w goes where a waiter is taken;
 * f3_blocker_wait returns what it was called with. Once the waiter was taken it must be waited for
 * (or canceled). */
struct f3_blocker {
	struct f3_waiter w;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool called;
	int result;
};
void f3_blocker_init(struct f3_blocker *b);
int f3_blocker_wait(struct f3_blocker *b);
void f3_blocker_done(struct f3_blocker *b);

#endif
