/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commitset: outputs of an activation that become visible in the object store together, or not at all.
 *
 *   OPEN --publish: all prepared--> COMMITTING --record is in the store--> COMMITTED --> gone
 *    | ^                               |
 *    | +------ it is not there --------+
 *    +--drop--> DROPPED --> gone
 *
 * A file that joins is a member until the set is gone. Its commits (stage.h) are *prepared*: the bytes
 * are in the store, as an upload that is not completed or an object below F3_OBJ_AREA_STAGE, and under
 * its key nothing has changed. Publishing writes one record that says what of it becomes which object;
 * from then on that is done, by this start of the daemon or a later one, content first, deletes last.
 * Dropping takes the names away: what was made is gone, of what was replaced the store's version is
 * there again, and who has a member open gets EIO.
 *
 * Sets, members and what members left behind are notes in the database (F3_NOTE_SET), in the batch of
 * what they stand for. A restart of the daemon goes on with all of them; after one of the machine sets
 * without a record are dropped.
 *
 * Threads: any. Locks: of the table, F3_RANK_SETS, and of each set, F3_RANK_SET, taken under inode locks;
 * a member's data are under its inode's lock. While there is no set, callers pay one relaxed load.
 */
#ifndef F3_CORE_COMMITSET_H
#define F3_CORE_COMMITSET_H

#include <stdatomic.h>

#include "fs/base/err.h"
#include "fs/core/inode.h"
#include "fs/core/volume.h"

struct f3_batch;
struct f3_commitset;
struct f3_commitsets;

#define F3_COMMITSET_NAME_MAX 255u	/* bytes of an activation's id, and of its key */
#define F3_COMMITSET_MEMBERS_MAX 65536u

int f3_commitsets_new(struct f3_core *core, struct f3_commitsets **ret_all);
void f3_commitsets_free(struct f3_commitsets *all);
/* What the last run left: before its journal is gone on with. */
int f3_commitset_load(struct f3_core *core, struct f3_err *err);
/* Goes on with what has been decided. */
void f3_commitset_go(struct f3_core *core);
/* Every activation that goes on has found its set: others that are open are dropped. */
void f3_commitset_go_rest(struct f3_core *core);
/* The daemon stops: what goes on in the background ends soon. */
void f3_commitsets_stop(struct f3_core *core);
void f3_commitset_register_metrics(void);

/* Can this volume's store do it? -EOPNOTSUPP, -EROFS with the reason. */
int f3_commitset_possible(struct f3_volume *v, struct f3_err *err);
/* act: its id; key: what repeated runs of the same work have in common, NULL: nothing. sync: publish
 * returns when all is published. One reference. -EEXIST: the activation has one. */
int f3_commitset_new(struct f3_core *core, struct f3_volume *v, const char *act, const char *key,
		     bool sync, struct f3_commitset **ret_set, struct f3_err *err);
/* That of an activation: one reference, NULL: none (any more). */
struct f3_commitset *f3_commitset_find(struct f3_core *core, const char *act);
void f3_commitset_ref(struct f3_commitset *set);
void f3_commitset_put(struct f3_commitset *set);

/* Everything is published, or as good as: 0. Blocks: members are prepared, the record is written; sync:
 * until all is published. After an error the set is open as before, and it can be tried again;
 * -EALREADY: it was dropped. */
int f3_commitset_publish(struct f3_commitset *set, struct f3_err *err);
/* Nothing of it will be. Names are gone when it returns; what is in the store goes soon. -EALREADY: it
 * is being published. */
int f3_commitset_drop(struct f3_commitset *set);

static inline bool f3_commitsets_live(const struct f3_core *core)
{
	return atomic_load_explicit(&core->n_sets, memory_order_relaxed) != 0;
}

/* Publishes what records say that other daemons left in this store so long ago that they are not at it any
 * more: 0 or the store's error. Blocks. */
int f3_commitset_others(struct f3_volume *v, int64_t age_ns);

/* ---- Members ---- */

/* A file of an object class is going to be changed. 0, also if it is a member already (of whatever
 * set); -F3_EWAIT, since what was closed before has to be in the store first; -ENOSPC: too many. */
int f3_commitset_join(struct f3_commitset *set, struct f3_inode *inode, const struct f3_caller *who);
/* The same of a file that is being made, in two halves: in the batch that makes it, and, if that said true,
 * after it. inode NULL: it came to nothing. */
bool f3_commitset_join_batch(struct f3_commitset *set, uint64_t ino, struct f3_batch *b);
void f3_commitset_joined(struct f3_commitset *set, struct f3_inode *inode);

/* Inode lock held for the next ones. */
bool f3_commitset_withdrawn(const struct f3_inode *inode);
/* The store has no business with its content: it is a member, and what it has is what was prepared. */
bool f3_commitset_settled(struct f3_inode *inode);

/*
 * Around changes of names: those of members wait while their set is published (-F3_EWAIT; -EIO if it
 * takes longer than retry-max). enter: NULL in ret_set: no member. Then in the batch, under the locks
 * that order the change, what becomes of the member; and after the batch was committed.
 */
int f3_commitset_enter(struct f3_core *core, struct f3_inode *inode, const struct f3_caller *who,
		       struct f3_commitset **ret_set);
void f3_commitset_leave(struct f3_commitset *set);
/* It loses its name, or (moved) gets another one than that of key; replaced: by another file under the
 * same key. Inode lock held. */
struct f3_member_left;
int f3_commitset_leave_batch(struct f3_inode *inode, const char *key, bool moved, bool replaced,
			     struct f3_batch *b, struct f3_member_left **ret_left);
/* r: of the batch. No lock. */
void f3_commitset_left(struct f3_core *core, struct f3_member_left *left, int r);
/* A directory is going to be renamed: as enter, for all sets of the volume. -EXDEV: what is below it
 * could not follow. */
int f3_commitset_enter_dir(struct f3_core *core, struct f3_inode *dir, const struct f3_caller *who);
void f3_commitset_leave_dir(struct f3_core *core);

/* Will a set remove what the store has under this key? */
bool f3_commitset_covers(struct f3_volume *v, const char *key);
/* Is it an upload that a member was prepared with? */
bool f3_commitset_wants(struct f3_volume *v, const char *upload);

#endif
