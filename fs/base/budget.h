/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget: the memory arbiter.
 *
 * One limit for the whole daemon (memory-limit, lowered to the cgroup's when that is smaller).
 * Whoever holds a buffer that scales with load has an account and takes from it before
 * allocating; when the limit is reached, takers with `wait` are parked until somebody gives
 * back, the others get -ENOMEM and shed load. Fixed shares (the database's block cache) are
 * taken once at start.
 *
 * Thread-safe. f3_budget_take blocks; the others do not.
 */
#ifndef F3_BASE_BUDGET_H
#define F3_BASE_BUDGET_H

#include <stddef.h>
#include <stdint.h>

enum f3_account {
	F3_ACCT_FIXED,		/* block cache, memtables, stacks */
	F3_ACCT_INODES,		/* the inode table */
	F3_ACCT_BUFFERS,	/* reads, writes and transfers under way */
	F3_ACCT_PARKED,		/* requests waiting for bytes */
	F3_ACCT_CONTROL,	/* sockets of admins and hints */
	F3_ACCT_MAX
};

struct f3_budget;

/* Nobody may wait when it is freed. */
int f3_budget_new(uint64_t limit_bytes, struct f3_budget **ret_b);
void f3_budget_free(struct f3_budget *b);
/* 0 or -ENOMEM; never blocks. Takes what there is also while others wait for more. */
int f3_budget_try_take(struct f3_budget *b, enum f3_account a, uint64_t bytes);
/* Waits for room; those that wait are served in their order. A request larger than the whole
 * limit gets -ENOMEM at once. */
int f3_budget_take(struct f3_budget *b, enum f3_account a, uint64_t bytes);
void f3_budget_give(struct f3_budget *b, enum f3_account a, uint64_t bytes);
uint64_t f3_budget_limit(const struct f3_budget *b);
uint64_t f3_budget_used(const struct f3_budget *b, enum f3_account a);	/* F3_ACCT_MAX: all */
/* Takers that wait: above zero for long, the limit is too low (a metric). */
unsigned f3_budget_waiting(const struct f3_budget *b);
const char *f3_account_name(enum f3_account a);
/* The smallest of `wanted` and the limits of the process's cgroups (v1 and v2). */
uint64_t f3_budget_cgroup_limit(uint64_t wanted_bytes);
/* The same with `top` in front of every path read ("": the machine's own). */
uint64_t f3_budget_cgroup_limit_below(const char *top, uint64_t wanted_bytes);

#endif
