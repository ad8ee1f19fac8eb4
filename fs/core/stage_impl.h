/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage_impl: what the stage*.c files share; nobody else includes it.
 *
 * stage.c: states and decisions: who waits, what is needed, hold and release.
 * stage_run.c: one entry carried out: snapshot, rounds, result, record.
 * stage_send.c: one PUT, and what a condition that failed or a lost answer means.
 * stage_sums.c: which parts of a large file still are those of its object.
 * stage_parts.c: parts of an upload, several under way at once.
 * stage_upload.c: uploads in parts, edits by part-copy.
 * stage_early.c: parts that go up while the writer still writes.
 *
 * Everything of struct f3_stage is guarded by the inode's lock, except what only the thread that
 * runs it uses (marked "runner").
 */
#ifndef F3_CORE_STAGE_IMPL_H
#define F3_CORE_STAGE_IMPL_H

#include "fs/core/journal_impl.h"
#include "fs/core/stage.h"
#include "fs/core/store_attr.h"
#include "fs/object/object.h"
#include "fs/object/plan.h"

#define F3_STAGE_ROUNDS 3
/* Results of a round besides 0 and -errno: the file has other content than what was sent; there is
 * nothing to be done (any more). */
#define F3_STAGE_CHANGED 1
#define F3_STAGE_NOTHING 2
/* Writeback files and attributes do not go up at once: much of what is made is gone again, or
 * changed again, a moment later. */
#define F3_STAGE_DELAY_NS (500 * F3_NS_PER_MS)

/* Requests of one commit under way at once: parts of a large file. */
#define F3_STAGE_OPS 16

/* What the content was when it was looked at. */
struct f3_snapshot {
	bool regular, complete;
	bool content;			/* differs from what was committed; else attributes only */
	bool again;			/* it does not, and goes for the attributes */
	uint32_t attr_changes;
	struct f3_fingerprint fp;	/* of complete files */
	uint64_t generation;
	uint64_t size;
};

/* A part that is in the store. */
struct f3_upload_part {
	uint64_t off, len;
	uint32_t crc32c;
	bool sent;
	bool sending;			/* under way */
	bool doubtful;			/* sent, but the file may have other bytes by now */
	bool copy;			/* of the same range of the object that is replaced */
	bool hashed;			/* that has this hash; else there is only crc32c */
	uint64_t hash;
	char etag[F3_OBJ_ETAG_MAX + 1];
};

struct f3_parts;

/* An upload in parts, kept over attempts. */
struct f3_upload {
	char id[F3_OBJ_UPLOAD_MAX + 1];
	char key[F3_KEY_MAX + 1];
	struct f3_obj_gen gen;		/* given to the store at its start */
	uint32_t attr_changes;		/* attributes given then */
	int64_t mtime_ns;
	bool mtime_unsaid;		/* and not the time, which the store's own is near enough to */
	bool copies;			/* parts of it may be copies, and the store was told so */
	char from[F3_ETAG_MAX + 1];	/* of this object */
	struct f3_upload_part *parts;
	size_t n_parts;
	struct f3_parts *under_way;	/* parts that nobody looks after; NULL: none */
};

struct f3_stage {
	struct f3_core *core;
	struct f3_inode *inode;		/* referenced */
	struct f3_journal_task *task;
	uint64_t seq;
	bool running;			/* its entry is being carried out */
	bool taken;			/* and the snapshot was made */
	bool stop;			/* hold: end it */
	bool attempted;			/* a request with the number in the record may be sent */
	bool failing;			/* state says so */
	uint64_t failing_since_ns;
	struct f3_snapshot snap;
	struct f3_waiter_list served;	/* of the snapshot */
	struct f3_waiter_list stoppers;	/* until it is not running any more */
	struct f3_obj_op *ops[F3_STAGE_OPS];	/* under way, for cancel */
	struct f3_upload *upload;	/* runner */
};

/* One attempt to send. */
struct f3_sending {
	struct f3_stage *st;
	struct f3_journal_call *call;
	char key[F3_KEY_MAX + 1];
	uint64_t parent;		/* the name the key was made of */
	char name[F3_NAME_MAX + 1];
	int fd;				/* of the backing file or a snapshot; -1: none */
	bool frozen;			/* a snapshot: nobody changes it */
	struct f3_fingerprint frozen_fp;	/* of what it was made of */
	uint64_t copied_bytes;		/* of memory it takes */
	uint32_t clone;			/* its number; 0: none */
	struct f3_snapshot snap;
	bool was_changed;		/* of the inode, as the snapshot was made */
	struct f3_store_attr attr;
	bool have_attr;
	char target[F3_SYMLINK_MAX + 1];
	size_t target_len;
	char etag[F3_ETAG_MAX + 1];	/* the object to be replaced; "": none */
	char new_etag[F3_ETAG_MAX + 1];	/* result */
	/* Of a member of a commit set: it is prepared only; where it goes as an object. */
	bool member;
	char staged[F3_KEY_MAX + 1];
	bool unseen;			/* the store does not have new_etag */
	bool lost;			/* somebody else's object is there, with new_etag */
};

/* stage.c */
struct f3_stage *f3_stage_new(struct f3_core *core, struct f3_inode *inode);
void f3_stage_free(struct f3_stage *st);
bool f3_stage_in_store(const struct f3_inode *inode);
/* Whether the content differs from what was committed last, or is to be sent again: only for its
 * attributes. */
bool f3_stage_content_dirty(struct f3_inode *inode);
bool f3_stage_content_again(struct f3_inode *inode);
bool f3_stage_same(struct f3_core *core, struct f3_inode *inode, const struct f3_snapshot *snap);
/* Puts a commit of the file into the journal. There is none, and something to be done. Inode lock
 * held. */
int f3_stage_enter(struct f3_core *core, struct f3_inode *inode, const char *key, bool acked);

static inline void f3_waiters_move(struct f3_waiter_list *from, struct f3_waiter_list *to)
{
	struct f3_waiter *w;

	while ((w = from->first)) {
		(void)f3_waiter_cancel(w);
		f3_waiter_add(to, w);
	}
}

/* stage_run.c */
void f3_stage_register_counters(void);

/* stage_send.c */
void f3_stage_register_superseded(void);
/* A request, cancelable by f3_stage_hold. */
int f3_stage_request(struct f3_stage *st, struct f3_obj_op *op);
/* One that changes the object: until its end is known and recorded the store may have another one
 * of the inode than the record says. */
int f3_stage_change(struct f3_sending *s, struct f3_obj_op *op);
/* The first in two halves, for several at once. -ECANCELED: it may not begin. */
int f3_stage_request_begin(struct f3_stage *st, struct f3_obj_op *op, unsigned slot);
int f3_stage_request_end(struct f3_stage *st, unsigned slot, int r);
/* Condition of a mutation of s->key on the object s->etag. -EAGAIN, -ESTALE and so on if the store
 * cannot check and it does not hold. */
int f3_stage_condition(struct f3_sending *s, struct f3_obj_op *op, bool match, bool absent);
int f3_stage_put(struct f3_sending *s);
/* What a failed condition (-EEXIST, -ESTALE) or an unclear answer means. 0: it was done after all.
 * -EAGAIN: try again (with s->etag as it is now). -ESTALE and s->lost: somebody else's object. */
int f3_stage_settle(struct f3_sending *s, int r, const struct f3_obj_gen *gen);
int f3_stage_send_attr(struct f3_sending *s);
int f3_stage_send_dir(struct f3_sending *s);
struct f3_obj_gen f3_stage_gen(const struct f3_sending *s);
/* The next request's number, recorded before it is sent; what is known of the object too. */
int f3_stage_next_attempt(struct f3_sending *s);

/* stage_upload.c */
int f3_stage_upload(struct f3_sending *s);
int f3_stage_edit(struct f3_sending *s);
/* Ends an upload that will not be completed. */
void f3_stage_upload_drop(struct f3_stage *st);
/* The same for one an earlier run left. */
void f3_stage_upload_abort(struct f3_journal_call *call);
void f3_upload_free(struct f3_upload *u);

/* stage_early.c */
/* Ends early upload and hands over what it has sent and is sending, with the number of its journal
 * record, which the caller removes. NULL: nothing. */
struct f3_upload *f3_early_take(struct f3_inode *inode, uint64_t *ret_seq);
/* The same, and the upload is aborted. */
void f3_early_drop(struct f3_inode *inode);
/* Only if nobody writes any more: the commit did without it. */
void f3_early_drop_stale(struct f3_inode *inode);
/* The daemon stops: what is under way ends; then only what is in memory goes. */
void f3_early_interrupt(struct f3_inode *inode);
void f3_early_forget(struct f3_inode *inode);
/* A number that no request of this content had before. Inode lock held. */
static inline uint64_t f3_stage_new_attempt(struct f3_inode *inode)
{
	if (inode->attempts < inode->rec.attempt)
		inode->attempts = inode->rec.attempt;
	return ++inode->attempts;
}

#endif
