/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limit: how many requests may be under way at once, found out from the answers.
 *
 * The rule of TCP's congestion avoidance (additive increase, multiplicative decrease, RFC 5681):
 * it grows by one with each good answer until the server has once said that it is too much, from
 * then on by one with each round of good answers; it is halved by a bad one. An answer counts as a
 * reason to grow only while the limit was what held requests back, and as a reason to shrink only
 * if its request began after the last halving: what was under way then tells of the limit before.
 *
 * Pure: no clock, no lock.
 */
#ifndef F3_NET_LIMIT_H
#define F3_NET_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define F3_LIMIT_START 16u
#define F3_LIMIT_MIN 2u

struct f3_limit {
	unsigned value;		/* the limit */
	unsigned min, max;
	unsigned good;		/* answers of this round */
	unsigned slow_above;	/* where growth is by one a round */
	uint64_t cut_ns;	/* last halving; 0: never */
};

/* max: at least 1. */
void f3_limit_init(struct f3_limit *l, unsigned max);
void f3_limit_good(struct f3_limit *l, bool in_use);
/* start_ns: when the request began; both of the same clock, not 0. */
void f3_limit_bad(struct f3_limit *l, uint64_t start_ns, uint64_t now_ns);

#endif
