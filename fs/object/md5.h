/* SPDX-License-Identifier: Apache-2.0 */
/*
 * md5: RFC 1321, for stores that check nothing else. Pure.
 *
 * One sum cannot be made any faster than the chain of its steps, and most of the CPU stands idle
 * meanwhile; so the sums of several bodies are made side by side (f3_md5_add_many), one in each lane
 * of a vector, where the CPU has vectors that are wide enough. Not a protection against people.
 */
#ifndef F3_OBJECT_MD5_H
#define F3_OBJECT_MD5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define F3_MD5_BYTES 16
#define F3_MD5_BLOCK 64
#define F3_MD5_LANES 8

struct f3_md5 {
	uint32_t state[4];
	uint64_t bytes;			/* added so far */
	uint8_t rest[F3_MD5_BLOCK];	/* those that make no whole block yet */
};

void f3_md5_init(struct f3_md5 *m);
void f3_md5_add(struct f3_md5 *m, const void *bytes, size_t len);
void f3_md5_end(struct f3_md5 *m, uint8_t ret_sum[F3_MD5_BYTES]);

/* Are several at a time cheaper than one after the other? */
bool f3_md5_is_wide(void);
/* bytes[i] to m[i], `len` to each of the n <= F3_MD5_LANES sums. */
void f3_md5_add_many(struct f3_md5 *const m[], const void *const bytes[], unsigned n, size_t len);

#endif
