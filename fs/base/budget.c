/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/budget.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fs/base/lock.h"

/* One that waits, on its own stack. Whoever gives back takes for it before waking it, so that
 * nobody who comes later can get in between. */
struct waiter {
	enum f3_account account;
	uint64_t bytes;
	bool granted;
	pthread_cond_t wake;
	struct waiter *next;
};

struct f3_budget {
	struct f3_lock lock; /* guards all changes */
	uint64_t limit;
	_Atomic uint64_t used[F3_ACCT_MAX + 1]; /* the last is the sum; read without the lock */
	struct waiter *head, **tail;
	_Atomic unsigned waiting; /* length of that list; read without the lock */
};

static const char *const names[] = {
	[F3_ACCT_FIXED] = "fixed",   [F3_ACCT_INODES] = "inodes",   [F3_ACCT_BUFFERS] = "buffers",
	[F3_ACCT_PARKED] = "parked", [F3_ACCT_CONTROL] = "control", [F3_ACCT_MAX] = "all",
};

int f3_budget_new(uint64_t limit_bytes, struct f3_budget **ret_b)
{
	struct f3_budget *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	f3_lock_init(&b->lock, F3_RANK_QUEUE);
	b->limit = limit_bytes;
	b->tail = &b->head;
	*ret_b = b;
	return 0;
}

void f3_budget_free(struct f3_budget *b)
{
	if (!b)
		return;
	assert(!b->head);
	f3_lock_done(&b->lock);
	free(b);
}

static bool fits(const struct f3_budget *b, uint64_t bytes)
{
	/* used never exceeds the limit, so this does not wrap */
	return bytes <= b->limit - b->used[F3_ACCT_MAX];
}

static void add(struct f3_budget *b, enum f3_account a, uint64_t bytes)
{
	b->used[a] += bytes;
	b->used[F3_ACCT_MAX] += bytes;
}

int f3_budget_try_take(struct f3_budget *b, enum f3_account a, uint64_t bytes)
{
	int error = 0;

	f3_lock(&b->lock);
	if (fits(b, bytes))
		add(b, a, bytes);
	else
		error = -ENOMEM;
	f3_unlock(&b->lock);
	return error;
}

int f3_budget_take(struct f3_budget *b, enum f3_account a, uint64_t bytes)
{
	struct waiter me = { .account = a, .bytes = bytes };

	if (bytes > b->limit)
		return -ENOMEM;
	f3_lock(&b->lock);
	if (!b->head && fits(b, bytes)) {
		add(b, a, bytes);
	} else {
		f3_cond_init(&me.wake);
		*b->tail = &me;
		b->tail = &me.next;
		b->waiting++;
		while (!me.granted)
			f3_cond_wait(&me.wake, &b->lock, 0);
		pthread_cond_destroy(&me.wake);
	}
	f3_unlock(&b->lock);
	return 0;
}

void f3_budget_give(struct f3_budget *b, enum f3_account a, uint64_t bytes)
{
	struct waiter *w;

	f3_lock(&b->lock);
	assert(bytes <= b->used[a]);
	b->used[a] -= bytes;
	b->used[F3_ACCT_MAX] -= bytes;
	/* First come, first served: a large taker is not passed by small ones for ever. */
	while ((w = b->head) != NULL && fits(b, w->bytes)) {
		b->head = w->next;
		if (!b->head)
			b->tail = &b->head;
		b->waiting--;
		add(b, w->account, w->bytes);
		w->granted = true;
		pthread_cond_signal(&w->wake);
	}
	f3_unlock(&b->lock);
}

uint64_t f3_budget_limit(const struct f3_budget *b)
{
	return b->limit;
}

uint64_t f3_budget_used(const struct f3_budget *b, enum f3_account a)
{
	return b->used[a];
}

unsigned f3_budget_waiting(const struct f3_budget *b)
{
	return b->waiting;
}

const char *f3_account_name(enum f3_account a)
{
	return names[a];
}
