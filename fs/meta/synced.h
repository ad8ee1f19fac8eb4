/* SPDX-License-Identifier: Apache-2.0 */
/*
 * synced: the number of the last change known to be on the disk, beside the database.
 *
 * RocksDB recovers a log up to the first record that is damaged and takes that for the end of it:
 * right after a power cut, where nobody was promised the rest, and wrong if the disk has lost what
 * was synced. A directory without its CURRENT file it takes for an empty one. This number tells
 * these apart at the next open. It is not synced itself: an older number only notices less.
 *
 * Not thread-safe where it matters: of two puts at once either may win.
 */
#ifndef F3_META_SYNCED_H
#define F3_META_SYNCED_H

#include <stdbool.h>
#include <stdint.h>

#define F3_META_SYNCED_FILE "f3-synced"

/* The descriptor; -ENOENT (only when read-only: never synced) or another -errno. */
int f3_meta_synced_open(const char *dir, bool read_only);
/* 0 if there is none, or it is damaged. */
uint64_t f3_meta_synced_get(int fd);
void f3_meta_synced_put(int fd, uint64_t number);

#endif
