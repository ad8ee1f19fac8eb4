/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ns: what the ns_*.c files share; nobody else includes it.
 */
#ifndef F3_CORE_NS_H
#define F3_CORE_NS_H

#include "fs/core/namespace.h"
#include "fs/core/placement.h"
#include "fs/core/volume.h"

/* A directory that names can be changed in: referenced, alive, of a volume that this node
 * orders; one that has no marker in the store gets one. -EPERM for the root of the mount (its names are
 * volumes). */
int f3_ns_dir_get(struct f3_core *core, uint64_t ino, struct f3_inode **ret_dir);
/* It is to have a marker that says what it is; soon. */
void f3_ns_dir_mark(struct f3_core *core, struct f3_inode *dir);
/* -ENAMETOOLONG, -EINVAL for an empty name. */
int f3_ns_name_check(const char *name, size_t *ret_len);
/* Names of this directory are cached from an object store. */
bool f3_ns_dir_in_store(const struct f3_inode *dir);

/* Class and stream flag for a name below dir. who: whose activation may have a say; NULL: nobody's. */
int f3_ns_place(struct f3_core *core, struct f3_inode *dir, const char *name, bool is_dir,
		const struct f3_caller *who, struct f3_placement_result *ret);

/*
 * A change of names and the inodes it alters. Their locks are held from begin to end: nobody
 * commits a record of theirs in between, which the batch would then take back. If the batch is not
 * committed they are as they were; a file whose last name could not be removed keeps its bytes.
 */
#define F3_NS_CHANGE_MAX 4u
struct f3_ns_change {
	struct f3_batch *b;
	struct f3_inode *inodes[F3_NS_CHANGE_MAX];
	struct f3_lock *locks[F3_NS_CHANGE_MAX];
	struct {
		struct f3_inode_rec rec;
		bool dead;
	} was[F3_NS_CHANGE_MAX];
};
/* Names locks held. Some of the inodes may be NULL, or the same. */
void f3_ns_change_begin(struct f3_ns_change *ch, struct f3_batch *b,
			struct f3_inode *const inodes[F3_NS_CHANGE_MAX]);
/* Commits, unless r says that it came to nothing. */
int f3_ns_change_end(struct f3_ns_change *ch, int r);
/*
 * What was looked up in a directory before its names lock was taken is still so under the lock if
 * the epoch that was read before the lookup is: then it need not be looked up again. Only where all
 * changes of names go through here; the store's go through store_merge.c.
 */
static inline uint64_t f3_ns_epoch(const struct f3_inode *dir)
{
	return atomic_load(&dir->names_epoch);
}
static inline bool f3_ns_unchanged(const struct f3_inode *dir, uint64_t epoch)
{
	return !f3_ns_dir_in_store(dir) && f3_ns_epoch(dir) == epoch;
}
/* Within one: counts a name in or out and stamps the directory. */
void f3_ns_dir_count(struct f3_inode *dir, int names, int subdirs, int64_t now_ns,
		     struct f3_batch *b);
/* Names lock held, dir's inode lock not: the same. */
void f3_ns_dir_changed(struct f3_inode *dir, int names, int subdirs, int64_t now_ns,
		       struct f3_batch *b);
/* Inode lock held: this is where the file's name is now. */
void f3_ns_set_name(struct f3_inode *inode, uint64_t parent, const char *name, size_t len);

/* How long the kernel may keep a name of dir (ns): long where only this node changes names, short
 * where the store does. */
uint64_t f3_ns_name_ttl(struct f3_core *core, const struct f3_inode *dir);
/* For answers about an inode, not a name. */
void f3_ns_fill_attr(struct f3_core *core, struct f3_inode *inode, struct f3_entry *ret_e);
/* For a name in dir that leads to inode. */
void f3_ns_fill_entry(struct f3_core *core, const struct f3_inode *dir, struct f3_inode *inode,
		      struct f3_entry *ret_e);
/* The same for an inode nobody can have written to yet: the record is right. */
void f3_ns_fill_new_entry(struct f3_core *core, const struct f3_inode *dir, struct f3_inode *inode,
			  struct f3_entry *ret_e);
uint8_t f3_ns_dtype(mode_t mode);

/*
 * What the object store is told of a change of names. Durable: told first, and waited for; the
 * entry is held until the change is committed here, together with its removal. Writeback: the
 * entry goes with the change, and the store is told afterwards.
 */
struct f3_ns_told {
	struct f3_journal_entry *e;	/* heap; NULL: nothing to be told */
	struct f3_journal_task *task;
	bool held;			/* the store has done it */
};
/* entry: heap, taken over. durable: asks the store now (blocks), nothing is left to do on failure
 * but f3_ns_told_done. */
int f3_ns_tell(struct f3_volume *v, struct f3_journal_entry *entry, bool durable,
	       struct f3_ns_told *told);
/* Under the locks that order the change: what belongs into its batch. */
int f3_ns_told_batch(struct f3_volume *v, struct f3_ns_told *told, struct f3_batch *b);
/* After the locks: the batch was committed (r 0) or not. */
void f3_ns_told_done(struct f3_core *core, struct f3_ns_told *told, int r);
/* The key an object of this name in dir has. -ENAMETOOLONG, -EINVAL (a reserved name). */
int f3_ns_key(struct f3_core *core, struct f3_inode *dir, const char *name, char *out, size_t size);
/* Can a file of this class and name have an object? Asked before there is one: a commit could only
 * fail, again and again. Errors as above. */
int f3_ns_key_check(struct f3_core *core, struct f3_inode *dir, const char *name,
		    enum f3_class class_);

/* A durable file must be in the store before the call returns. */
int f3_ns_commit_wait(struct f3_core *core, struct f3_inode *inode);
/* Class decided again after rename or link gave the file this name (already applied). */
int f3_ns_place_again(struct f3_core *core, struct f3_inode *dir, struct f3_inode *inode,
		      const char *name, const struct f3_caller *who);

/* Its object is about to go, or to be replaced: bytes that are not here and that somebody has open
 * are fetched, since they cannot be afterwards. Blocks on the store. */
int f3_ns_keep_open(struct f3_core *core, struct f3_inode *inode);

/* Is there room in the journal for a change of a name of the inode? As f3_journal_room. */
int f3_ns_room(struct f3_inode *inode, const struct f3_caller *who);

/* What was just made could not be put in the store: it never was. */
int f3_ns_unmake(struct f3_core *core, struct f3_inode *dir, struct f3_inode *inode);

/* Takes the name of a file away, here only: its commit set was dropped. -ENOENT, -ESTALE: it has none,
 * or another file has it. */
int f3_ns_withdraw(struct f3_core *core, struct f3_inode *inode);

/* Gives the file another name in its directory, here only. -EEXIST. */
int f3_ns_set_aside(struct f3_core *core, struct f3_inode *inode, const char *name);
/* The store has done what an entry of the last run says: the names here follow if they have not
 * yet, and the record goes. */
int f3_ns_replay(struct f3_core *core, const struct f3_journal_entry *e);

int f3_ns_rename_replayed(struct f3_core *core, struct f3_inode *dir, const char *name,
			  struct f3_inode *inode, struct f3_ns_told *told);

/* Takes one name from an inode, in the batch. Names and inode lock held. True: that was the last
 * one and nobody has it open: f3_ns_died follows. */
bool f3_ns_drop_name(struct f3_inode *inode, int64_t now_ns, struct f3_batch *b);
/* Then, without the locks: nothing is to be filled or held of it any more. */
void f3_ns_died(struct f3_core *core, struct f3_inode *inode);

#endif
