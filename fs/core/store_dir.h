/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_dir: directories whose truth is in the object store, as seen here.
 *
 * Names of objects are cached in the database and checked again when older than the volume's
 * attr-ttl (names, attributes) and at every open (content): close-to-open, but for files that were
 * fetched a moment before they are opened (fetch.h). Changes made by others
 * in the store show up as: new object: new inode; changed etag: a new inode takes the name, the
 * old one goes on for those who have it open; gone: the name goes.
 *
 * What the store says is a picture of some moment. It counts for nothing where this node knows
 * better: files with bytes or attributes that are not up yet, files being written, local classes,
 * anything the journal is still to tell the store, or told it since the question was asked.
 *
 * While the store does not answer, what is known is served: names that were seen, files that are
 * here completely. What is not known is -EIO.
 *
 * Calls block on the store (caller->may_block, see core.h) and take the names lock themselves only
 * to merge results, some names at a time, never while asking. store_list.c has the listing,
 * store_ask.c the question about a name, store_merge.c the merging.
 */
#ifndef F3_CORE_STORE_DIR_H
#define F3_CORE_STORE_DIR_H

#include "fs/core/inode.h"
#include "fs/core/volume.h"
#include "fs/object/object.h"

/* Is what is known of `dir` (all names) / of one inode fresh enough? No I/O. */
bool f3_store_dir_fresh(struct f3_core *core, struct f3_inode *dir);
bool f3_store_inode_fresh(struct f3_core *core, struct f3_inode *inode);
/* The same of a name in dir whose inode is not in memory, for who has listed dir. */
bool f3_store_rec_fresh(struct f3_core *core, struct f3_inode *dir, const struct f3_inode_rec *rec);

/* store_ask.c. Brings one name in line with the store. 0 also when it does not exist there. Who asks
 * for the names of a directory one after the other gets those that follow with it. */
int f3_store_dir_lookup(struct f3_core *core, struct f3_inode *dir, const char *name, size_t len);
/* Brings all names in line (streams the listing page by page). */
int f3_store_dir_list(struct f3_core *core, struct f3_inode *dir);
/* At open: 0 the same content, or what a program of this node took the name from meanwhile;
 * -ESTALE others have changed what the name leads to. bytes: the first ones are wanted (fetch.h). */
int f3_store_inode_check(struct f3_core *core, struct f3_inode *inode, bool bytes);

/* Before attributes of a file are changed, or go elsewhere with it, that may be a listing's guess:
 * brings the object's own. 0, -F3_EWAIT, errors as at open. */
int f3_store_known(struct f3_core *core, struct f3_inode *inode, const struct f3_caller *who);

/* For store_list.c. The targets of links are asked for as they are found: readlink(2) has no other
 * chance. m->info becomes NULL if it cannot be read: then the link is not shown. */
struct f3_merge_name;
int f3_store_dir_target(struct f3_volume *v, const char *key, struct f3_merge_name *m);
/* Its two halves around a request of the caller's. The target is the caller's to free, also after
 * an error of the second. Unreadable: nobody can read it, whatever he does. */
int f3_store_target_ask(struct f3_obj_op *op, const char *key, const struct f3_obj_info *info,
			char **ret_target);
int f3_store_target_got(const struct f3_obj_op *op, char *target);
bool f3_store_target_unreadable(int r);

/* store_merge.c: one name and what the store said of it. */
struct f3_merge_name {
	char name[F3_NAME_MAX + 1];	/* here */
	const struct f3_obj_info *info;	/* NULL: there is none */
	bool asked;			/* about it alone, not for a listing */
	char *target;			/* of a symbolic link; heap, the caller's */
};
/* names[n] at most F3_MERGE_MAX. asked_ns: when the question was sent. *ret_unsure: a name was
 * left out because it may have been removed here since. */
#define F3_MERGE_MAX 128
int f3_store_merge(struct f3_core *core, struct f3_inode *dir, struct f3_merge_name *names,
		   size_t n, uint64_t asked_ns, bool *ret_unsure);
/* Does the inode know better than what the store said at that time? */
bool f3_store_knows_better(struct f3_core *core, struct f3_inode *inode, const char *key,
			   uint64_t asked_ns);

#endif
