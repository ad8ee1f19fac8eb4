/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile: what a mutation fuzzer for the readers of outside bytes is made of.
 *
 * A target is one reader. It makes good inputs, and takes any: the verdict says whether the bytes
 * were refused, or taken for what they say, or taken although they must not be. What is a wrong
 * acceptance is found out by other means than the reader's own code: the value written again is not
 * the bytes that were read, the kernel refuses the same bytes, a value is out of the bounds that its
 * documentation gives.
 *
 * Each input follows from seed, target and number alone, so that one can be tried again.
 */
#ifndef F3_TESTS_FUZZ_HOSTILE_H
#define F3_TESTS_FUZZ_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOSTILE_MAX 16384u

struct hostile_rng {
	uint64_t state;
};

uint64_t hostile_random(struct hostile_rng *rng);
/* 0 .. n-1 */
uint64_t hostile_below(struct hostile_rng *rng, uint64_t n);

enum hostile_verdict { HOSTILE_REFUSED, HOSTILE_TAKEN, HOSTILE_WRONG };

struct hostile_target {
	const char *name;	/* also of its corpus: tests/fuzz/corpus/hostile/NAME.txt */
	unsigned every;		/* a slow one tries only each so many'th of COUNT */
	void (*begin)(void);	/* may be NULL, as end */
	void (*end)(void);
	/* A good input of at most HOSTILE_MAX bytes: its length. NULL: those of the corpus. */
	size_t (*good)(struct hostile_rng *rng, uint8_t *out);
	/* bytes is a heap block of just len. */
	enum hostile_verdict (*take)(const uint8_t *bytes, size_t len);
};

/* Of the last wrong one, for people. */
void hostile_why(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Ended by one without a name. */
extern const struct hostile_target hostile_records[], hostile_texts[], hostile_saved[],
	hostile_stores[], hostile_databases[];

#endif
