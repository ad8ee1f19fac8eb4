/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep: what outlives the process that serves the mount, in a memfd of the supervisor's.
 *
 * The kernel goes on using the numbers it was given, of open file descriptions and of backing
 * files, whoever serves the mount; so the next process has to know them. The kernel's INIT is
 * there too: it is sent once in a mount's life.
 *
 * A record is published by its last store (its number) and taken back by its first, so a process
 * that is killed in between leaves a whole record or none. Who reads a keep it has not written
 * itself checks everything that it uses (f3_keep_adopt, f3_keep_each_open): a damaged one is
 * refused with a reason.
 *
 * Its format is raised too when a version of F3 asks the kernel for other things at INIT, since the
 * kernel has agreed once for all who serve the mount.
 *
 * Threads: each record belongs to whoever took its slot; the table of backing ids has the lock of
 * its user. Does not block. What it does not do: reply, count, or know what an inode is.
 */
#ifndef F3_FUSE_KEEP_H
#define F3_FUSE_KEEP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/err.h"

#define F3_KEEP_OPENS (1u << 22)	/* open file descriptions, at most */
#define F3_KEEP_IDS (1u << 20)		/* slots of the table of backing ids; three quarters are used */
#define F3_KEEP_INIT_MAX 1024u

enum f3_kept_flags {
	F3_KEPT_WRITER = 1,
	F3_KEPT_NATIVE = 2,	/* a writer whose writes do not come to the daemon */
	F3_KEPT_DIRECT = 4,	/* passthrough, if at all, for mappings only */
	F3_KEPT_NOFLUSH = 8,
	F3_KEPT_STREAM = 16,	/* a reader that follows the writers */
	F3_KEPT_KILLED = 32,	/* the last who closed it was killed by a signal */
	/* Of refuse.h: the last who closed it exited with another status than 0; nobody has it open any
	 * more, and what was said last of it has still to be taken note of. */
	F3_KEPT_STATUS = 64,
	F3_KEPT_GONE = 128,
	F3_KEPT_FLAGS = 255,
};

/* One open file description. */
struct f3_kept_open {
	_Atomic uint64_t fh;	/* 0: free. Slot + 1, and how often the slot was used above bit 32 */
	uint64_t ino;
	uint64_t unique;	/* of the request that opened it: asked again, it is answered with this */
	uint32_t times_used;
	uint32_t open_flags;	/* of open(2) */
	uint32_t flags;		/* F3_KEPT_* */
	uint32_t opener;	/* process, 0: not noted */
	uint32_t backing_id;	/* 0: the pages are the kernel's own */
	uint32_t uid;		/* who opened it */
	uint64_t poll;		/* what the kernel calls it when it is polled; 0: it was not */
	uint64_t next_off;	/* of a stream's reader: where its last read ended */
};

struct f3_keep;

/* A new one; the descriptor is close-on-exec, the memory is shared with children. */
int f3_keep_new(struct f3_keep **ret_k);
/* That of an earlier program, from its descriptor (taken over, also on failure). -EINVAL with a
 * reason: not a keep, another format, damaged. */
int f3_keep_adopt(int fd, struct f3_keep **ret_k, struct f3_err *err);
void f3_keep_free(struct f3_keep *k);
int f3_keep_fd(const struct f3_keep *k);

/* Random, of this keep alone. */
uint64_t f3_keep_id(const struct f3_keep *k);
/* The INIT request as the kernel sent it. 0, or -EMSGSIZE. */
int f3_keep_set_init(struct f3_keep *k, const void *request, size_t size);
/* NULL: none came yet, or it is damaged. */
const void *f3_keep_init(const struct f3_keep *k, size_t *ret_size);

struct f3_kept_open *f3_keep_open(struct f3_keep *k, uint32_t slot);
/* The number a description in this slot gets next. */
uint64_t f3_kept_next_fh(const struct f3_kept_open *o, uint32_t slot);
static inline uint32_t f3_kept_slot(uint64_t fh)
{
	return (uint32_t)(fh & UINT32_MAX) - 1;
}
/* Slots in use were all below this. */
void f3_keep_use_slot(struct f3_keep *k, uint32_t slot);
/* Every published description, each found sound; 0, what fn returned, or -EINVAL: damaged. */
int f3_keep_each_open(struct f3_keep *k, int (*fn)(void *arg, struct f3_kept_open *o, uint32_t slot),
		      void *arg);

/* Backing ids the kernel has of us. -ENOSPC: too many. */
int f3_keep_add_id(struct f3_keep *k, uint32_t id);
void f3_keep_del_id(struct f3_keep *k, uint32_t id);
/* fn may delete the id it is called with. */
void f3_keep_each_id(struct f3_keep *k, void (*fn)(void *arg, uint32_t id), void *arg);

#endif
