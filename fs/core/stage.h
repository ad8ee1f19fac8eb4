/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage: makes the bytes of a writeback or durable file durable in the object store.
 *
 * A commit: resolve the key; journal the intent with the generation and attempt; snapshot the
 * backing file (reflink) or check before and after that it did not change (at most three rounds,
 * then -EBUSY and again later); send (one PUT, a multipart upload by plan.h's schedule, or an edit
 * with part-copies); record etag, state CLEAN and drop the journal entry in one batch; call the
 * waiters. Ambiguous answers are settled by HEAD and f3-gen. A commit of a file that changed
 * meanwhile is followed by another one before its waiters (of the later content) are called.
 *
 * durable: close() and fsync() wait; a failure is theirs. writeback: journalled and retried for
 * ever with back-off, visibly (state, metric, log); a lost race is published beside the winner as
 * "NAME.f3-conflict-GEN" and pinned.
 *
 * Large files: parts go up while the writer still writes (from 64 MiB or one second on), checksum
 * taken of the very buffer sent and compared at commit against the file; changed parts go again.
 * No early upload for files with a writable mapping, backward writes, or names that look temporary.
 */
#ifndef F3_CORE_STAGE_H
#define F3_CORE_STAGE_H

#include "fs/core/inode.h"

/* Has the content changed since it was last committed? (fstat of the backing file.) */
bool f3_stage_needed(struct f3_core *core, struct f3_inode *inode);

/*
 * Makes the content of now durable. 0: it is already. 1: w->fn will be called with the result.
 * -errno: cannot be started. w may be NULL (writeback after seal: nobody waits).
 * sync_local: what writeback's close() and fsync() promise is on the local disk before w is
 * called: bytes, name and journal entry; the upload goes on by itself.
 */
int f3_stage_commit(struct f3_core *core, struct f3_inode *inode, struct f3_waiter *w);
int f3_stage_sync_local(struct f3_core *core, struct f3_inode *inode);

/* Attributes changed (chmod, chown, utimens, xattr): reach the object with the next commit or as
 * one coalesced attribute copy soon after. Inode lock not held. */
void f3_stage_attr_changed(struct f3_core *core, struct f3_inode *inode);

/* A writer was opened: maybe start early upload (called by file.c after the open). */
void f3_stage_writer_opened(struct f3_core *core, struct f3_inode *inode);

/* The file lost its last name or changes class: stop, abort its upload, drop its PUT entry from
 * the journal (born and deleted before its stage: never leaves the node). May block. */
void f3_stage_drop(struct f3_core *core, struct f3_inode *inode);

#endif
