/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extents: which ranges of a file are present here, and waiting for more.
 *
 * The range set is byte-exact, sorted and merged, bounded by F3_EXTENTS_MAX ranges (then
 * neighbours with small gaps must be filled together). All functions on a set are pure; the set
 * of an inode is guarded by the inode's lock. Waiters are collected under the lock and called
 * after it was let go (f3_waiters_call).
 */
#ifndef F3_CORE_EXTENTS_H
#define F3_CORE_EXTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/waiter.h"

#define F3_EXTENTS_MAX 65536

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
