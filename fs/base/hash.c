/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/hash.h"

/* Inlined, so that short keys (names, numbers) cost no second call. */
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t f3_hash64(const void *bytes, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(len ? bytes : "", len, seed);
}
