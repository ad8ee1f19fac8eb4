/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill_recent: the buffers of transfers, and what came in them a moment ago.
 *
 * A buffer (f3_bytes) is aligned for direct I/O and counts as memory of the account of buffers from
 * f3_bytes_new until it is freed. Filled by a transfer it may be listed: then reads are answered from
 * it, before it was written to the backing file and for a while after. When the last reference goes it
 * lies ready for the next transfer: memory that was given back to the kernel comes back page by page,
 * each of them zeroed.
 *
 * What is listed is named by inode number and number of the backing file, so it never stands for
 * another content; who changes bytes in place says so (f3_recent_forget) before and under the inode's
 * lock, and nothing is listed for a range that a program has announced to write. Who adds holds the
 * inode's lock as well.
 *
 * Bounded: half the share of buffers may be listed, a quarter lie ready. Nothing of it is left a
 * second after the last read, and whoever lacks memory takes it back before (f3_recent_shrink).
 *
 * Lock: one of its own, F3_RANK_TRANSFER; the inode's may be held, but not where memory is given
 * back: f3_bytes_put, _shrink, _trim.
 */
#ifndef F3_CORE_FILL_RECENT_H
#define F3_CORE_FILL_RECENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "fs/core/core.h"

#define F3_BYTES_ALIGN 4096u

struct f3_recent;
struct f3_fill_lent;

struct f3_bytes {
	char *buf;
	size_t room; /* taken from the budget */
	bool mapped; /* not of the heap */
	/* the list's lock: */
	TAILQ_ENTRY(f3_bytes) of_list;
	unsigned refs;
	bool listed;
	uint64_t ino, off, len;
	uint32_t number;
	uint64_t served; /* so many bytes were lent */
	uint64_t used_ns;
};

int f3_recent_new(struct f3_core *core, struct f3_recent **ret_recent);
/* Nothing is lent any more. */
void f3_recent_free(struct f3_recent *recent);

/* One that lies ready and has room for len, NULL: none. Its memory is taken already. */
struct f3_bytes *f3_bytes_reuse(struct f3_recent *recent, size_t len);
/* A new one; so much was taken from the budget for it. NULL: no memory, and that is given back. */
struct f3_bytes *f3_bytes_new(struct f3_recent *recent, size_t len);
/* Around heap of which so much was taken from the budget; buf is its own if it is not NULL. */
struct f3_bytes *f3_bytes_of(void *buf, size_t len);
void f3_bytes_put(struct f3_recent *recent, struct f3_bytes *b);

/* [off, off+len) of the file's content `number` is in b, from its beginning. */
void f3_recent_add(struct f3_recent *recent, struct f3_bytes *b, uint64_t ino, uint32_t number,
		   uint64_t off, uint64_t len);
/* It is in the backing file. keep: who reads on may want it. */
void f3_recent_landed(struct f3_recent *recent, struct f3_bytes *b, bool keep);
/* Nothing of this inode is lent from now on. */
void f3_recent_forget(struct f3_recent *recent, uint64_t ino);
/* Is anything listed? */
bool f3_recent_any(const struct f3_recent *recent);
/* Is all of it there? */
bool f3_recent_has(struct f3_recent *recent, uint64_t ino, uint32_t number, uint64_t off,
		   uint64_t len);
/* Lends it, if it is. */
bool f3_recent_lend(struct f3_recent *recent, uint64_t ino, uint32_t number, uint64_t off,
		    uint64_t len, struct f3_fill_lent *ret_lent);
/* Gives memory back, if there is any, until it was so much: what lies ready, then what was read, and if
 * `all` is set what was not. */
void f3_recent_shrink(struct f3_recent *recent, uint64_t bytes, bool all);

#endif
