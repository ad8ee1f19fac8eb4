/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage: makes the bytes of a writeback or durable file durable in the object store.
 *
 * A commit is an entry of the journal (journal_run.h) that names the inode. In its turn: the key is
 * resolved; the backing file is snapshotted (reflink) or looked at before and after, and sent again
 * if it changed meanwhile (at most three rounds, then -EBUSY, and again later); sent as one PUT, a
 * multipart upload by plan.h's schedule, or an edit with part-copies; then etag, state CLEAN and
 * the removal of the entry are recorded in one batch, and the waiters called. Each request is
 * conditional on the object that is known, and has a generation of its own, journalled before it:
 * an answer that was lost is settled by HEAD. Content that changed after the snapshot is a commit
 * of its own, whose waiters wait for that one.
 *
 *   nothing -> pending (in the journal) -> running -> nothing
 *                 ^                          |  \-> pending: changed meanwhile
 *                 +---- failed, tried again -+
 *
 * durable: close() and fsync() wait; the first definite error, or the last one after retry-max, is
 * theirs, and the file's state FAILED. All the same it is tried again, as for writeback, visibly,
 * until it is up: the bytes are the only copy. Left alone are only a file that lost a race with
 * another writer of the object, until it is written again; and one that no store would take (too
 * large, its key too long), until it is written, renamed, or the daemon starts. A writeback file
 * that lost a race is published beside the winner as "NAME.f3-conflict-GEN" and pinned.
 *
 * Attributes go with the content, or by themselves a little later, coalesced. Symbolic links,
 * FIFOs, sockets and devices are objects too, without a backing file. Large files go up while they
 * are still being written (stage_early.c).
 *
 * Locks: the state is guarded by the inode's lock. Nothing is asked of the store with a lock held.
 */
#ifndef F3_CORE_STAGE_H
#define F3_CORE_STAGE_H

#include <errno.h>

#include "fs/core/inode.h"
#include "fs/core/journal_run.h"

/* Would close() or fsync() have to wait? Content or attributes changed since the last commit, or
 * one is under way. */
bool f3_stage_needed(struct f3_core *core, struct f3_inode *inode);
/* Is the content what was last committed (or nothing was written)? The backing file was just
 * looked at (inode->seen). Inode lock held. */
bool f3_stage_unchanged(const struct f3_inode *inode);
/* Is there something the store does not have? Inode lock held. */
bool f3_stage_dirty(struct f3_core *core, struct f3_inode *inode);
/* Can changed attributes be told to the store by themselves? If not they stay here until the content
 * is committed, unless the file is small and complete. Inode lock held, or a record of one's own. */
bool f3_stage_attr_alone(const struct f3_volume *v, const struct f3_inode_rec *rec);
/* Brings the volume's count of dirty bytes in line with the inode's. Inode lock held. */
void f3_stage_account(struct f3_inode *inode);

/*
 * Makes the content of now durable. 0: it is already. 1: w->fn will be called with the result.
 * -errno: cannot be started. w may be NULL (after seal: nobody waits).
 */
int f3_stage_commit(struct f3_core *core, struct f3_inode *inode, struct f3_waiter *w);
/* Will a change of the file, or a writer of it, make an entry of the journal that is not there yet?
 * Then as f3_journal_room. */
int f3_stage_room(struct f3_inode *inode, const struct f3_caller *who);
/* What writeback's close() and fsync() promise is on the local disk at return: bytes, name and
 * journal entry; the upload goes on by itself. Blocks on the local disk. */
int f3_stage_sync_local(struct f3_core *core, struct f3_inode *inode);

/* Attributes are about to change (chmod, chown, utimens, xattr): marks the record and puts it in
 * the batch. Inode lock held. */
void f3_stage_attr_mark(struct f3_inode *inode, struct f3_batch *b);
/* They have changed: they reach the object with the next commit, or soon. */
void f3_stage_attr_changed(struct f3_core *core, struct f3_inode *inode);

/* A writer was opened: maybe start early upload (called by file.c after the open). */
void f3_stage_writer_opened(struct f3_core *core, struct f3_inode *inode);
/* The last writer is gone: nothing more goes up early. */
void f3_stage_writers_gone(struct f3_core *core, struct f3_inode *inode);

/*
 * Names of the file are going to change, or its last one to go: a commit under way is stopped, one
 * that is pending withdrawn (a file born and deleted before its stage never leaves the node), and
 * none is begun until f3_stage_release, which begins one where it is needed. Blocks on the store
 * if one is running (f3_stage_running). Holds are counted.
 */
void f3_stage_hold(struct f3_core *core, struct f3_inode *inode);
void f3_stage_release(struct f3_core *core, struct f3_inode *inode);
bool f3_stage_running(struct f3_inode *inode);
/* Hold and release in one: the file changes class, or ends. */
void f3_stage_drop(struct f3_core *core, struct f3_inode *inode);
/* May the store have an object of the inode, as far as is known here? Inode lock held. */
static inline bool f3_stage_stored(const struct f3_inode *inode)
{
	return inode->rec.etag[0] || inode->maybe_stored;
}

/* Too large for a store, or its key too long: the same tomorrow. */
static inline bool f3_stage_permanent(int r)
{
	return r == -EFBIG || r == -ENAMETOOLONG;
}

/* For journal_run.c: carries out an entry; the record is gone when it returns 0 or -ECANCELED. */
struct f3_journal_call;
int f3_stage_run(struct f3_journal_call *call);
/* The record of the inode's commit is gone, and its entry ends: so does the commit. What is dirty still
 * gets another one. */
void f3_stage_vanished(struct f3_core *core, uint64_t ino, uint64_t seq);
/* An entry the last run left: its file is pending again. -ENOENT: it is gone, and the record. */
int f3_stage_adopt(struct f3_core *core, const struct f3_journal_entry *e,
		   struct f3_journal_task *t);
/* Those who wait for the inode's commit have waited long enough for its turn. */
void f3_stage_late(struct f3_core *core, uint64_t ino);
/* The daemon stops: ends what is under way; and, once nothing is, frees what is pending. */
void f3_stage_interrupt(struct f3_core *core);
void f3_stage_forget(struct f3_core *core);
void f3_stage_register_metrics(void);

#endif
