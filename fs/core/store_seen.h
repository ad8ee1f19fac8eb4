/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_seen: which names a listing of a directory in the store had.
 *
 * Their cookies, 8 bytes each, however many there are: sorted pieces of fixed size go to a file
 * without a name on the cache disk, and are read side by side when it is asked for cookies in
 * ascending order, as the database lists them. Memory stays at F3_SEEN_BYTES. A directory that fits
 * into one piece never touches the disk.
 *
 * Not thread-safe: one listing's.
 */
#ifndef F3_CORE_STORE_SEEN_H
#define F3_CORE_STORE_SEEN_H

#include <stdint.h>

#define F3_SEEN_BYTES (256u << 10)

struct f3_seen;

/* dir: where the file goes, if there has to be one; must stay. 0 or -ENOMEM. */
int f3_seen_new(const char *dir, struct f3_seen **ret_s);
void f3_seen_free(struct f3_seen *s);
/* 0, or the disk's error. Not after the first f3_seen_has. */
int f3_seen_add(struct f3_seen *s, uint64_t cookie);
/* 1: it was added. 0: not. Or the disk's error. Each cookie no smaller than the one before. */
int f3_seen_has(struct f3_seen *s, uint64_t cookie);

#endif
