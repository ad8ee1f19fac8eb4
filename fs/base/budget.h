/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget: the memory arbiter.
 *
 * One limit for the whole daemon (memory-limit, lowered to the cgroup's when that is smaller).
 * Whoever holds memory that scales with load has an account with a share of it and takes from
 * that before allocating. Beyond its share a taker waits until somebody of the same account gives
 * back (f3_budget_ask: parked, no thread waits; f3_budget_take: the thread does), or gets -ENOMEM
 * and does without (f3_budget_try_take). The shares together are no more than the limit, so no
 * account waits for another one; and nobody who holds memory of an account waits for more of it.
 * That is why it cannot deadlock.
 *
 * Thread-safe. f3_budget_take blocks; the others do not. Lock: rank F3_RANK_QUEUE.
 */
#ifndef F3_BASE_BUDGET_H
#define F3_BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "fs/base/waiter.h"

enum f3_account {
	F3_ACCT_PROCESS,	/* code, stacks, what has just started: no account's load */
	F3_ACCT_DATABASE,	/* its block cache, and its changes not yet written out */
	F3_ACCT_INODES,		/* the inode table; only noted: what is open is not refused */
	F3_ACCT_BUFFERS,	/* bytes of reads, writes and transfers under way */
	F3_ACCT_PARKED,		/* requests that wait, and what is queued for them */
	F3_ACCT_JOURNAL,	/* what stores still have to be told; only noted: see journal_run.h */
	F3_ACCT_LISTS,		/* directories of a store being compared */
	F3_ACCT_CONTROL,	/* sockets of admins and hints, and views */
	F3_ACCT_MAX
};

struct f3_budget;

/* Who waits for memory. room.w.fn is called once it was taken, by whoever gave back, without a
 * lock held. */
struct f3_room {
	struct f3_waiter w;
	TAILQ_ENTRY(f3_room) of_queue;	/* the budget's */
	enum f3_account account;
	uint64_t bytes;
	bool queued;
};

/* Each account may take all of it, until it is divided. Nobody may wait when it is freed. */
int f3_budget_new(uint64_t limit_bytes, struct f3_budget **ret_b);
void f3_budget_free(struct f3_budget *b);
/* Gives each account its share, and takes those of the process and of the database for good.
 * A limit under what the least shares need is raised to that. Once, before anything is taken. */
void f3_budget_divide(struct f3_budget *b);
/* 0 or -ENOMEM, also while others of the account wait; never blocks. */
int f3_budget_try_take(struct f3_budget *b, enum f3_account a, uint64_t bytes);
/* 1: taken. 0: parked, room->w will be called. -ENOMEM: more than the whole share. Those that wait
 * are served in their order. */
int f3_budget_ask(struct f3_budget *b, enum f3_account a, uint64_t bytes, struct f3_room *room);
/* True: it does not wait any more, and has taken nothing. */
bool f3_budget_cancel(struct f3_budget *b, struct f3_room *room);
/* The same as f3_budget_ask for a thread that may block: 0 or -ENOMEM. */
int f3_budget_take(struct f3_budget *b, enum f3_account a, uint64_t bytes);
/* Calls those who waited for it: no lock may be held where the account is ever asked. */
void f3_budget_give(struct f3_budget *b, enum f3_account a, uint64_t bytes);
/* Memory that is taken whatever the share is: it shows, and counts for nobody else. No lock. */
void f3_budget_note(struct f3_budget *b, enum f3_account a, int64_t bytes);
uint64_t f3_budget_limit(const struct f3_budget *b);
uint64_t f3_budget_share(const struct f3_budget *b, enum f3_account a);
uint64_t f3_budget_used(const struct f3_budget *b, enum f3_account a);	/* F3_ACCT_MAX: all */
/* Takers that wait: above zero for long, the limit is too low (a metric). */
unsigned f3_budget_waiting(const struct f3_budget *b);
const char *f3_account_name(enum f3_account a);
/* The smallest of `wanted` and the limits of the process's cgroups (v1 and v2). */
uint64_t f3_budget_cgroup_limit(uint64_t wanted_bytes);
/* The same with `top` in front of every path read ("": the machine's own). */
uint64_t f3_budget_cgroup_limit_below(const char *top, uint64_t wanted_bytes);

#endif
