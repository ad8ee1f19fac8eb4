/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/lock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/base/clock.h"

#ifdef F3_LOCK_CHECK

/* The locks this thread holds, in the order they were taken. */
#define HELD_MAX 128
static _Thread_local struct f3_lock *held[HELD_MAX];
static _Thread_local unsigned n_held;

static const char *rank_name(int rank)
{
	switch (rank) {
	case F3_RANK_VOLUMES:
		return "volume table";
	case F3_RANK_NAMES:
		return "names";
	case F3_RANK_INODE:
		return "inode";
	case F3_RANK_ITABLE:
		return "inode table";
	case F3_RANK_TRANSFER:
		return "transfer";
	case F3_RANK_CACHE:
		return "cache";
	case F3_RANK_LOCAL:
		return "local store";
	case F3_RANK_TIMER:
		return "timer";
	case F3_RANK_QUEUE:
		return "queue";
	default:
		return "?";
	}
}

/* Not through the log: its own state may be what the broken order was about. */
static _Noreturn void broken(const char *what, const struct f3_lock *lock,
			     const struct f3_lock *other)
{
	fprintf(stderr, "lock order: %s: %s (%d, %p)", what, rank_name(lock->rank), lock->rank,
		(const void *)lock);
	if (other)
		fprintf(stderr, " while holding %s (%d, %p)", rank_name(other->rank), other->rank,
			(const void *)other);
	fputc('\n', stderr);
	abort();
}

/* among: other locks of the same rank may be held (f3_lock_many). Called before blocking, so
 * that a thread that would deadlock reports instead. */
static void note_lock(struct f3_lock *lock, bool among)
{
	for (unsigned i = 0; i < n_held; i++) {
		if (held[i] == lock)
			broken("taken twice", lock, NULL);
		if (held[i]->rank > lock->rank || (held[i]->rank == lock->rank && !among))
			broken("wrong order", lock, held[i]);
	}
	if (n_held == HELD_MAX)
		broken("too many locks held", lock, NULL);
	held[n_held++] = lock;
}

static void note_unlock(struct f3_lock *lock)
{
	unsigned i = n_held;

	while (i && held[i - 1] != lock)
		i--;
	if (!i)
		broken("not held by this thread", lock, NULL);
	for (; i < n_held; i++)
		held[i - 1] = held[i];
	n_held--;
}

/* Waiting lets go of this lock only: any later one would be held by a sleeper. */
static void note_wait(struct f3_lock *lock)
{
	if (!n_held || held[n_held - 1] != lock)
		broken("waits without holding it last", lock, n_held ? held[n_held - 1] : NULL);
}

#else

static void note_lock(struct f3_lock *lock, bool among)
{
	(void)lock;
	(void)among;
}

static void note_unlock(struct f3_lock *lock)
{
	(void)lock;
}

static void note_wait(struct f3_lock *lock)
{
	(void)lock;
}

#endif

void f3_lock_init(struct f3_lock *lock, enum f3_lock_rank rank)
{
	pthread_mutex_init(&lock->mutex, NULL);
	lock->rank = rank;
}

void f3_lock_done(struct f3_lock *lock)
{
	if (lock)
		pthread_mutex_destroy(&lock->mutex);
}

void f3_lock(struct f3_lock *lock)
{
	note_lock(lock, false);
	pthread_mutex_lock(&lock->mutex);
}

void f3_unlock(struct f3_lock *lock)
{
	note_unlock(lock);
	pthread_mutex_unlock(&lock->mutex);
}

void f3_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

int f3_cond_wait(pthread_cond_t *cond, struct f3_lock *lock, uint64_t deadline_mono_ns)
{
	struct timespec deadline;

	note_wait(lock);
	if (!deadline_mono_ns || deadline_mono_ns > INT64_MAX)
		return -pthread_cond_wait(cond, &lock->mutex);
	deadline = f3_timespec_from_ns((int64_t)deadline_mono_ns);
	return -pthread_cond_timedwait(cond, &lock->mutex, &deadline);
}

/* The lock with the lowest address above `after`, which also drops NULL and repetitions: the
 * lists are a handful long, so that looking again costs less than sorting a copy. */
static struct f3_lock *next_of(struct f3_lock *const *locks, unsigned n,
			       const struct f3_lock *after)
{
	struct f3_lock *best = NULL;

	for (unsigned i = 0; i < n; i++)
		if ((uintptr_t)locks[i] > (uintptr_t)after &&
		    (!best || (uintptr_t)locks[i] < (uintptr_t)best))
			best = locks[i];
	return best;
}

void f3_lock_many(struct f3_lock *const *locks, unsigned n)
{
	struct f3_lock *lock = NULL;
	bool among = false;

	while ((lock = next_of(locks, n, lock)) != NULL) {
		note_lock(lock, among);
		pthread_mutex_lock(&lock->mutex);
		among = true;
	}
}

void f3_unlock_many(struct f3_lock *const *locks, unsigned n)
{
	struct f3_lock *lock = NULL;

	while ((lock = next_of(locks, n, lock)) != NULL)
		f3_unlock(lock);
}
