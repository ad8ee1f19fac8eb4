/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash: 64 bits of any bytes (XXH3).
 *
 * For tables, shards and rendezvous hashing. The result for the same bytes and seed is part of
 * stored formats (the node tag of a file id) and of what nodes agree on: XXH3 is fixed since
 * xxHash 0.8.0 and the same on every architecture. Not a checksum against bit rot (crc32c.h)
 * and no protection against somebody who chooses the bytes: give tables filled from outside
 * a random seed.
 *
 * Pure, thread-safe, does not block.
 */
#ifndef F3_BASE_HASH_H
#define F3_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t f3_hash64(const void *bytes, size_t len, uint64_t seed);

#endif
