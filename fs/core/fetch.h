/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch: small objects in one request, at their open and ahead of it.
 *
 * An open asks the store whether the object is still the one that is known. Where its bytes are not
 * here anyway the question is a GET of the first of them (F3_FETCH_BYTES): its headers say what a
 * HEAD would, and what it brings need not be asked for again. A small object is complete then.
 *
 * A program that opens small files of a directory one after the other, in the order of the store's
 * listing (that of their numbers) or of readdir, gets those that follow fetched ahead: from the third
 * one on, 4 files, then twice as many up to F3_FETCH_WINDOW, as long as it goes on. What was fetched
 * ahead counts for one open, and no longer than the volume's attr-ttl and F3_FETCH_VOUCH_NS: that one
 * asks nothing. Requests ahead take memory only if there is some, room in the cache only if nobody
 * waits for it, and end when half of them were for nothing.
 *
 * The bytes are landed whole, with the record, in one batch, if the file is still what it was when
 * they were asked for: not here at all, not open, and of that ETag. Answers come on threads of the
 * store and are taken on core->transfer. fetch.c has one object, fetch_walk.c the walks. inode->fetch
 * and its waiters are guarded by the inode's lock, a walk by its directory's. Only for stores behind
 * a network: what a directory is asked costs less than the trouble.
 */
#ifndef F3_CORE_FETCH_H
#define F3_CORE_FETCH_H

#include "fs/core/inode.h"
#include "fs/object/object.h"

#define F3_FETCH_BYTES (128u << 10)
#define F3_FETCH_WINDOW 64u
#define F3_FETCH_PARALLEL 32u /* of one volume, ahead */
#define F3_FETCH_VOUCH_NS (1000000000ull)

struct f3_fetch;
struct f3_walk;

void f3_fetch_register_metrics(void);

/* What an open asks about the object of that key: a HEAD, or a GET that brings first bytes. */
struct f3_fetched {
	void *buf; /* NULL: it was a HEAD */
	uint64_t bytes; /* of the budget */
};
/* The op's result; blocks. The caller calls f3_object_op_done, and f3_fetched_done in any case. */
int f3_fetch_first(struct f3_core *core, struct f3_inode *inode, const char *key,
		   struct f3_obj_op *op, struct f3_fetched *ret_got);
/* Its bytes go into the file if it is still the one they belong to. */
void f3_fetch_take(struct f3_core *core, struct f3_inode *inode, const struct f3_obj_op *op,
		   struct f3_fetched *got);
void f3_fetched_done(struct f3_core *core, struct f3_fetched *got);

/* It, or what it is and some of it (workingset.h), was fetched ahead, so lately that an open need not ask. Counts once. Inode lock held. */
bool f3_fetch_vouched(struct f3_inode *inode);
/* Waits for one that is under way for it. False: there is none. */
bool f3_fetch_await(struct f3_inode *inode);
/* A program opens it, and its bytes were not here, or came ahead: what comes next? look: also for
 * the order of readdir, which reads the database. Inode lock not held. */
void f3_fetch_opened(struct f3_core *core, struct f3_inode *inode, bool look);
/* Do programs that open files here get the next ones ahead? Then nobody need ask about them. */
bool f3_fetch_walks(struct f3_inode *dir);

/* For fetch_walk.c: begins one ahead. 0; 1: there is nothing to fetch; -errno: not now. */
int f3_fetch_ahead(struct f3_core *core, struct f3_inode *dir, struct f3_inode *inode);

/* Ends what is under way for it and waits. While the daemon stops. */
void f3_fetch_stop(struct f3_inode *inode);

#endif
