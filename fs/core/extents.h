/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extents: which ranges of a file are present here, and waiting for more.
 *
 * One mechanism for everything that must wait for bytes or for a state: a waiter is embedded in
 * the request that waits, sits in one list, and is called exactly once with a result: 0, or
 * -errno. It is parked, no thread is blocked. Canceling takes it out of its list; if that comes
 * too late its function is (being) called.
 *
 * The range set is byte-exact, sorted and merged, bounded by F3_EXTENTS_MAX ranges (then
 * neighbours with small gaps must be filled together). All functions on a set are pure; the set
 * of an inode is guarded by the inode's lock. Waiters are collected under the lock and called
 * after it was let go (f3_waiters_call).
 */
#ifndef F3_CORE_EXTENTS_H
#define F3_CORE_EXTENTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define F3_EXTENTS_MAX 65536

struct f3_waiter {
	void (*fn)(struct f3_waiter *w, int result);
	struct f3_waiter *next;
	struct f3_waiter **link; /* what points to it; NULL: in no list */
	uint64_t off, len; /* range waited for; unused in lists of states */
	int result; /* set when collected */
};

struct f3_waiter_list {
	struct f3_waiter *first;
};

void f3_waiter_add(struct f3_waiter_list *list, struct f3_waiter *w);
/* True if it was still in a list (and is not any more). Under the lock that guards the list. */
bool f3_waiter_cancel(struct f3_waiter *w);
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

struct f3_extent {
	uint64_t off, len;
};

struct f3_extents {
	struct f3_extent *v;
	size_t n, cap;
	struct f3_waiter_list waiters;
};

struct f3_extents *f3_extents_new(void);
void f3_extents_free(struct f3_extents *x); /* must have no waiters */
/* Adds [off, off+len). 0, -ENOMEM, -EFBIG (too many ranges). */
int f3_extents_add(struct f3_extents *x, uint64_t off, uint64_t len);
/* Forgets everything at and after `size`. */
void f3_extents_truncate(struct f3_extents *x, uint64_t size);
bool f3_extents_has(const struct f3_extents *x, uint64_t off, uint64_t len);
/* First missing range at or after off and before end. False if there is none. */
bool f3_extents_gap(const struct f3_extents *x, uint64_t off, uint64_t end, uint64_t *ret_off,
		    uint64_t *ret_len);
uint64_t f3_extents_bytes(const struct f3_extents *x);
/* Moves waiters whose whole range is present (bytes at and after `end` count as present: they
 * are past the end of the file) into `ready` with result 0. */
void f3_extents_ready(struct f3_extents *x, uint64_t end, struct f3_waiter_list *ready);

#endif
