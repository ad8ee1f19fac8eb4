/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock: the total lock order of the daemon.
 *
 * A thread that holds a lock of one rank may take only locks of a higher rank. Debug builds
 * (--enable-debug) check the order at run time and abort with both names: an order broken once
 * in a test is found, not only the deadlock that it might make one day.
 *
 * Rank  lock                                   guards
 *  20   names of a directory (striped)         find-or-create, rename, readdir merge
 *  30   inode                                  one inode's record, open counts, extents, state
 *  34   commit sets                            the table of them
 *  35   a commit set                           its state, its members
 *  40   inode table shard                      hash chains and the idle list
 *  50   transfer                               queues of fills, stages, journal entries; the views
 *  60   cache accounting                       bytes used, quotas, eviction candidates
 *  62   activations                            the live ones, containers, working sets
 *  63   threads of activations                 which one a thread belongs to
 *  65   volume table                           the list of volumes
 *  70   local store (ring, watch, backing)     submission, watch table, synced names
 *  75   timer                                  the heap of armed timers
 *  80   work queue, budget                     their own lists
 *
 * No lock is held across network I/O, a callback, a log call or a reply to the kernel. The
 * names lock (20) is held across one database batch: that is what makes find-or-create one
 * critical section. The inode lock (30) is never held across a database write that must sync.
 */
#ifndef F3_BASE_LOCK_H
#define F3_BASE_LOCK_H

#include <pthread.h>
#include <stdint.h>

enum f3_lock_rank {
	F3_RANK_NAMES = 20,
	F3_RANK_INODE = 30,
	F3_RANK_SETS = 34,
	F3_RANK_SET = 35,
	F3_RANK_ITABLE = 40,
	F3_RANK_TRANSFER = 50,
	F3_RANK_CACHE = 60,
	F3_RANK_ACTS = 62,
	F3_RANK_THREADS = 63,
	F3_RANK_VOLUMES = 65,
	F3_RANK_LOCAL = 70,
	F3_RANK_TIMER = 75,
	F3_RANK_QUEUE = 80,
};

struct f3_lock {
	pthread_mutex_t mutex;
	int rank;
};

void f3_lock_init(struct f3_lock *lock, enum f3_lock_rank rank);
void f3_lock_done(struct f3_lock *lock);
void f3_lock(struct f3_lock *lock);
void f3_unlock(struct f3_lock *lock);
/* pthread_cond_wait / timedwait (CLOCK_MONOTONIC deadline in ns; 0 = none).
 * 0 or -ETIMEDOUT. The condition must be made by f3_cond_init. */
int f3_cond_wait(pthread_cond_t *cond, struct f3_lock *lock, uint64_t deadline_mono_ns);
void f3_cond_init(pthread_cond_t *cond);

/* Several locks of the names rank at once (rename): locks them in address order. A NULL or a
 * lock named twice is taken once. */
void f3_lock_many(struct f3_lock *const *locks, unsigned n);
void f3_unlock_many(struct f3_lock *const *locks, unsigned n);

#endif
