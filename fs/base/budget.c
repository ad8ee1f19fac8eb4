/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/budget.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fs/base/lock.h"

#define MIB (1ull << 20)
/* 20 of one that has just started, shared libraries and all, and what threads keep when they work. */
#define PROCESS_BYTES (34 * MIB)

TAILQ_HEAD(queue, f3_room);

struct f3_budget {
	struct f3_lock lock; /* guards all changes but those of f3_budget_note */
	uint64_t limit;
	uint64_t share[F3_ACCT_MAX];
	_Atomic uint64_t used[F3_ACCT_MAX]; /* read without the lock */
	uint64_t taken; /* the sum without what is only noted */
	struct queue queues[F3_ACCT_MAX];
	_Atomic unsigned waiting; /* length of the queues; read without the lock */
};

/* Of what the process itself leaves: so many MiB, and so many sixteenths of the rest. Heaps have gaps
 * and the database needs room to rearrange its files: hardly ever do all of them take all.
 * The MiB of control are those of all there may be: connections, one of admins, two of hints; views, one;
 * activations, four. */
static const struct {
	const char *name;
	unsigned sixteenths, min_mib;
} accounts[] = {
	[F3_ACCT_PROCESS] = { "process", 0, 0 }, [F3_ACCT_DATABASE] = { "database", 4, 7 },
	[F3_ACCT_INODES] = { "inodes", 2, 1 },   [F3_ACCT_BUFFERS] = { "buffers", 3, 3 },
	[F3_ACCT_PARKED] = { "parked", 3, 2 },   [F3_ACCT_JOURNAL] = { "journal", 3, 2 },
	[F3_ACCT_LISTS] = { "lists", 1, 2 },     [F3_ACCT_CONTROL] = { "control", 0, 8 },
};

int f3_budget_new(uint64_t limit_bytes, struct f3_budget **ret_b)
{
	struct f3_budget *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	f3_lock_init(&b->lock, F3_RANK_QUEUE);
	b->limit = limit_bytes;
	for (int a = 0; a < F3_ACCT_MAX; a++) {
		b->share[a] = limit_bytes;
		TAILQ_INIT(&b->queues[a]);
	}
	*ret_b = b;
	return 0;
}

void f3_budget_free(struct f3_budget *b)
{
	if (!b)
		return;
	assert(!b->waiting);
	f3_lock_done(&b->lock);
	free(b);
}

static void add(struct f3_budget *b, enum f3_account a, uint64_t bytes)
{
	b->used[a] += bytes;
	b->taken += bytes;
}

void f3_budget_divide(struct f3_budget *b)
{
	uint64_t least = PROCESS_BYTES, left;

	for (int a = 0; a < F3_ACCT_MAX; a++)
		least += accounts[a].min_mib * MIB;
	f3_lock(&b->lock);
	if (b->limit < least)
		b->limit = least;
	left = b->limit - least;
	for (int a = 0; a < F3_ACCT_MAX; a++)
		b->share[a] = accounts[a].min_mib * MIB + left / 16 * accounts[a].sixteenths;
	b->share[F3_ACCT_PROCESS] = PROCESS_BYTES;
	add(b, F3_ACCT_PROCESS, b->share[F3_ACCT_PROCESS]);
	add(b, F3_ACCT_DATABASE, b->share[F3_ACCT_DATABASE]);
	f3_unlock(&b->lock);
}

static bool fits(const struct f3_budget *b, enum f3_account a, uint64_t bytes)
{
	/* used never exceeds the share, nor the sum the limit: these do not wrap */
	return bytes <= b->share[a] - b->used[a] && bytes <= b->limit - b->taken;
}

int f3_budget_try_take(struct f3_budget *b, enum f3_account a, uint64_t bytes)
{
	int error = 0;

	f3_lock(&b->lock);
	if (fits(b, a, bytes))
		add(b, a, bytes);
	else
		error = -ENOMEM;
	f3_unlock(&b->lock);
	return error;
}

int f3_budget_ask(struct f3_budget *b, enum f3_account a, uint64_t bytes, struct f3_room *room)
{
	int r = 0;

	if (bytes > b->share[a])
		return -ENOMEM;
	f3_lock(&b->lock);
	if (TAILQ_EMPTY(&b->queues[a]) && fits(b, a, bytes)) {
		add(b, a, bytes);
		r = 1;
	} else {
		room->account = a;
		room->bytes = bytes;
		room->queued = true;
		TAILQ_INSERT_TAIL(&b->queues[a], room, of_queue);
		b->waiting++;
	}
	f3_unlock(&b->lock);
	return r;
}

/* Lock held. */
static void take_out(struct f3_budget *b, struct f3_room *room)
{
	TAILQ_REMOVE(&b->queues[room->account], room, of_queue);
	room->queued = false;
	b->waiting--;
}

/* First come, first served: a large taker is not passed by small ones for ever. Whoever gives back
 * takes for those that wait, so that nobody who comes later can get in between. Lock held. */
static void serve(struct f3_budget *b, struct f3_waiter_list *ready)
{
	struct f3_room *room;

	for (int a = 0; a < F3_ACCT_MAX; a++) {
		while ((room = TAILQ_FIRST(&b->queues[a])) &&
		       fits(b, (enum f3_account)a, room->bytes)) {
			take_out(b, room);
			add(b, (enum f3_account)a, room->bytes);
			room->w.result = 0;
			room->w.next = ready->first;
			ready->first = &room->w;
		}
	}
}

/* A function that is called may give back in its turn: it is called from one loop, not from within
 * each other, however many wait. */
static void call(struct f3_waiter_list *ready)
{
	static __thread struct f3_waiter_list *calling;
	struct f3_waiter *w;

	if (calling) {
		while ((w = ready->first)) {
			ready->first = w->next;
			w->next = calling->first;
			calling->first = w;
		}
		return;
	}
	calling = ready;
	f3_waiters_call(ready);
	calling = NULL;
}

bool f3_budget_cancel(struct f3_budget *b, struct f3_room *room)
{
	struct f3_waiter_list ready = { NULL };
	bool was;

	f3_lock(&b->lock);
	was = room->queued;
	if (was) {
		take_out(b, room);
		serve(b, &ready); /* a smaller one behind it may fit */
	}
	f3_unlock(&b->lock);
	call(&ready);
	return was;
}

struct blocked {
	struct f3_room room; /* first: found again from its waiter */
	struct f3_blocker blocker;
};

static void unblock(struct f3_waiter *w, int result)
{
	struct f3_blocker *blocker = &((struct blocked *)w)->blocker;

	blocker->w.fn(&blocker->w, result);
}

int f3_budget_take(struct f3_budget *b, enum f3_account a, uint64_t bytes)
{
	struct blocked me = { .room.w.fn = unblock };
	int r;

	f3_blocker_init(&me.blocker);
	r = f3_budget_ask(b, a, bytes, &me.room);
	if (!r)
		r = f3_blocker_wait(&me.blocker);
	f3_blocker_done(&me.blocker);
	return r < 0 ? r : 0;
}

void f3_budget_give(struct f3_budget *b, enum f3_account a, uint64_t bytes)
{
	struct f3_waiter_list ready = { NULL };

	f3_lock(&b->lock);
	assert(bytes <= b->used[a]);
	b->used[a] -= bytes;
	b->taken -= bytes;
	if (b->waiting)
		serve(b, &ready);
	f3_unlock(&b->lock);
	call(&ready);
}

void f3_budget_note(struct f3_budget *b, enum f3_account a, int64_t bytes)
{
	if (bytes >= 0)
		b->used[a] += (uint64_t)bytes;
	else
		b->used[a] -= (uint64_t)-bytes;
}

uint64_t f3_budget_limit(const struct f3_budget *b)
{
	return b->limit;
}

uint64_t f3_budget_share(const struct f3_budget *b, enum f3_account a)
{
	return b->share[a];
}

uint64_t f3_budget_used(const struct f3_budget *b, enum f3_account a)
{
	uint64_t sum = 0;

	if (a < F3_ACCT_MAX)
		return b->used[a];
	for (int i = 0; i < F3_ACCT_MAX; i++)
		sum += b->used[i];
	return sum;
}

unsigned f3_budget_waiting(const struct f3_budget *b)
{
	return b->waiting;
}

const char *f3_account_name(enum f3_account a)
{
	return a < F3_ACCT_MAX ? accounts[a].name : "all";
}
