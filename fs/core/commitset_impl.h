/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commitset_impl: what the commitset*.c files share; stage_run.c and stage_upload.c besides, which
 * prepare members.
 *
 * commitset.c: sets and members, and the names of members.
 * commitset_note.c: their notes in the database. commitset_text.c: the record in the store. Both pure.
 * commitset_run.c: publishing, from the preparation of all to the record. commitset_roll.c: what a record
 * says is done. commitset_drop.c: the other end.
 */
#ifndef F3_CORE_COMMITSET_IMPL_H
#define F3_CORE_COMMITSET_IMPL_H

#include <sys/queue.h>

#include "fs/base/lock.h"
#include "fs/base/workq.h"
#include "fs/core/commitset.h"
#include "fs/core/stage_impl.h"

/* Of a name below it or below F3_OBJ_AREA_STAGE. */
#define F3_COMMIT_NAME_MAX 100u
#define F3_COMMIT_KEY_MAX (F3_COMMIT_NAME_MAX + 48u)
#define F3_COMMIT_TEXT_MAX (64u << 20)

/* Generations of a record: what it says. */
#define F3_COMMIT_GEN_DONE 1u
#define F3_COMMIT_GEN_DROPPED 2u

enum f3_set_state {		/* stored */
	F3_SET_OPEN = 1,
	F3_SET_COMMITTING = 2,	/* the record may be in the store, or not */
	F3_SET_COMMITTED = 3,
	F3_SET_DROPPED = 4,
	F3_SET_GONE = 5,	/* not stored */
};

/* What the store has of a member's content. */
struct f3_prepared {
	bool valid, regular, complete;
	struct f3_obj_gen gen;
	uint64_t generation, size;
	struct f3_fingerprint fp;	/* of complete files */
	uint32_t attr_changes;		/* attributes that went with it */
	struct f3_upload *upload;	/* NULL: it is staged as an object */
	char etag[F3_OBJ_ETAG_MAX + 1];	/* of that */
};

struct f3_member {
	struct f3_commitset *set;
	struct f3_inode *inode;		/* referenced */
	TAILQ_ENTRY(f3_member) of_set;
	struct f3_work work;
	struct f3_prepared p;		/* inode lock */
	bool native_before;		/* somebody reads it past the daemon since before it joined */
	bool done;			/* runner: it is published, or is none any more */
};

/* What a member left: an object that goes, an upload that nobody needs. */
struct f3_member_left {
	TAILQ_ENTRY(f3_member_left) of_set;
	struct f3_commitset *set;
	struct f3_inode *inode;		/* until the batch is committed; referenced */
	uint64_t number, parent;
	bool moved, note;
	char key[F3_KEY_MAX + 1];
	char etag[F3_ETAG_MAX + 1];	/* "": no object */
	char upload[F3_OBJ_UPLOAD_MAX + 1], upload_key[F3_KEY_MAX + 1];	/* "": no upload */
};

TAILQ_HEAD(f3_member_list, f3_member);
TAILQ_HEAD(f3_left_list, f3_member_left);

struct f3_commitset {
	struct f3_core *core;
	struct f3_volume *volume;	/* referenced */
	_Atomic uint32_t refs;
	TAILQ_ENTRY(f3_commitset) of_all;
	struct f3_id id;
	char act[F3_COMMITSET_NAME_MAX + 1], key[F3_COMMITSET_NAME_MAX + 1];
	bool sync;
	struct f3_lock lock;		/* the rest; F3_RANK_SET */
	enum f3_set_state state;	/* is COMMITTING from when the table is locked, too */
	bool busy;			/* somebody decides, or carries out */
	bool found;			/* an activation has it */
	bool want_drop, dropped;	/* is to be; was */
	bool cold;			/* the machine was restarted: bytes here prove nothing */
	uint64_t attempt;		/* of the record */
	struct f3_member_list members;
	uint32_t n_members;
	struct f3_left_list left;
	unsigned changing;		/* names of members under way */
	struct f3_waiter_list calm;	/* until there are none, and until it is not COMMITTING any more */
	struct f3_waiter_list ends;	/* until it is gone */
	struct f3_work work;
	struct f3_timer timer;
	struct f3_backoff backoff;
	uint64_t failing_since_ns;
	unsigned pending;		/* members being published */
	int error;			/* the first of theirs that passes */
};

struct f3_commitsets {
	struct f3_core *core;
	struct f3_lock lock;		/* F3_RANK_SETS */
	TAILQ_HEAD(, f3_commitset) sets;
	unsigned dirs_changing;		/* renames of directories under way */
	_Atomic uint32_t n_left;	/* objects that sets will remove */
	_Atomic bool claimed;		/* open sets that nobody has found are nobody's */
	_Atomic bool stopping;
};

/* One line of a record. */
enum f3_commit_kind { F3_COMMIT_STAGED, F3_COMMIT_UPLOAD, F3_COMMIT_DELETE };

struct f3_commit_item {
	enum f3_commit_kind kind;
	bool copies;			/* UPLOAD: some parts are copies */
	char key[F3_KEY_MAX + 1];
	char etag[F3_ETAG_MAX + 1];	/* the object it takes the place of; "": none */
	struct f3_obj_gen gen;
	uint64_t size;
	char staged[F3_KEY_MAX + 1], staged_etag[F3_ETAG_MAX + 1];
	char upload[F3_OBJ_UPLOAD_MAX + 1];
	struct f3_obj_part *parts;	/* heap */
	size_t n_parts;
};

void f3_commit_item_done(struct f3_commit_item *item);

/* ---- commitset_text.c ---- */

struct f3_commit_head {
	struct f3_id id;
	bool dropped;
	char act[F3_COMMITSET_NAME_MAX + 1], key[F3_COMMITSET_NAME_MAX + 1];
};

void f3_commit_text_head(struct f3_buf *out, const struct f3_commit_head *head);
void f3_commit_text_item(struct f3_buf *out, const struct f3_commit_item *item);
void f3_commit_text_end(struct f3_buf *out);
/* fn for each item, in order; it may take over the parts. A text that is cut short, or says what cannot be,
 * is -EBADMSG; nothing of it is to be done then, so it is read twice: first with fn NULL. */
int f3_commit_text_read(const char *text, size_t len, struct f3_commit_head *ret_head,
			int (*fn)(void *arg, struct f3_commit_item *item), void *arg);
/* A name of its own for what came from outside: letters, digits, '-' and '_' of it, and a hash where that
 * is not all. */
void f3_commit_name(const char *text, char out[F3_COMMIT_NAME_MAX + 1]);

/* ---- commitset_note.c ---- */

void f3_set_note_put(struct f3_batch *b, const struct f3_commitset *set);
/* p: NULL or not valid: joined only. */
void f3_set_note_member(struct f3_batch *b, const struct f3_commitset *set, uint64_t ino,
			const struct f3_prepared *p);
void f3_set_note_left(struct f3_batch *b, const struct f3_member_left *left);
void f3_set_note_del(struct f3_batch *b, const struct f3_commitset *set);
void f3_set_note_del_member(struct f3_batch *b, const struct f3_commitset *set, uint64_t ino,
			    const struct f3_prepared *p);
void f3_set_note_del_left(struct f3_batch *b, const struct f3_member_left *left);
/* All of them, with what was noted; the inodes of members are only numbers. */
struct f3_set_notes {
	int (*set)(void *arg, struct f3_commitset *set);	/* taken over */
	int (*member)(void *arg, const struct f3_id *id, uint64_t ino, struct f3_prepared *p);
	int (*left)(void *arg, const struct f3_id *id, struct f3_member_left *left);	/* taken over */
	void *arg;
};
int f3_set_notes_read(struct f3_core *core, const struct f3_set_notes *to);

/* ---- commitset.c ---- */

struct f3_commitset *f3_commitset_alloc(struct f3_core *core);
/* Key of a member's staged object, and of the directory. */
void f3_commitset_staged(const struct f3_commitset *set, uint64_t ino, char out[F3_COMMIT_KEY_MAX + 1]);
void f3_commitset_stage_dir(const struct f3_commitset *set, char out[F3_COMMIT_KEY_MAX + 1]);
void f3_commitset_record_key(const struct f3_commitset *set, char out[F3_COMMIT_KEY_MAX + 1]);
/* Its note, as it is now, synced. */
int f3_commitset_note(struct f3_commitset *set);
/* An array of its members' inodes, referenced; heap. */
int f3_commitset_inodes(struct f3_commitset *set, struct f3_inode ***ret_v, size_t *ret_n);
/* It is none any more: the batch said so. Inode lock held. Returns what has to be done without it. */
struct f3_member *f3_member_take(struct f3_inode *inode);
void f3_member_free(struct f3_member *m);
void f3_member_left_free(struct f3_member_left *left);
/* Is the content what was prepared? Inode lock held. */
bool f3_member_same(struct f3_inode *inode);
/* Its commit has to wait until it is decided or published. Inode lock held. */
bool f3_member_waits(const struct f3_inode *inode);
void f3_prepared_done(struct f3_prepared *p);
/* The upload that a member was prepared with goes on as one of its commit. NULL: none. */
struct f3_upload *f3_commitset_take_upload(struct f3_inode *inode);
/* All of it is gone: out of the tables. */
void f3_commitset_gone(struct f3_commitset *set);
/* Those who wait for names, or for the decision, look again. */
void f3_commitset_wake(struct f3_commitset *set);

/* ---- commitset_roll.c ---- */

/* One item, as often as one likes. ret_etag: the object's. -ESTALE: somebody else's object is there;
 * -ENOENT: what was prepared is gone, it was done before. Blocks. */
int f3_commit_do(struct f3_volume *v, const struct f3_commit_item *item,
		 char ret_etag[F3_ETAG_MAX + 1]);
/* Carries out what is decided about the set, in the background. */
void f3_commitset_roll(struct f3_commitset *set);
/* Of a member that is prepared. Inode lock not held. -ENOENT: it has no key. */
int f3_commit_item_of(struct f3_inode *inode, struct f3_commit_item *item);
/* Objects and the directory of what was staged, and uploads that were left; then the set's notes. */
int f3_commitset_sweep(struct f3_commitset *set);
/* What is there under the key of a record. -ENOENT; -EEXIST: another one's. ret_generation: see above. */
int f3_commitset_look(struct f3_commitset *set, uint64_t *ret_generation);
int f3_commitset_write(struct f3_commitset *set, const struct f3_buf *text, uint64_t generation);

/* ---- commitset_drop.c ---- */

/* Names go; what is in the store is left for the sweep. */
int f3_commitset_withdraw(struct f3_commitset *set);

#endif
