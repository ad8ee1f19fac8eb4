/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_dir: directories whose truth is in the object store, as seen here.
 *
 * Names of objects are cached in the database and checked again when older than the volume's
 * attr-ttl (names, attributes) and at every open (content): close-to-open. Changes made by others
 * in the store show up as: new object: new inode; changed etag: a new inode takes the name, the
 * old one goes on for those who have it open; gone: the name goes. Files with local changes
 * (dirty, writing) and files of local classes are never touched by what the store says.
 *
 * Calls block on the store (caller->may_block, see core.h) and take the names lock themselves only
 * to merge results, never while asking.
 */
#ifndef F3_CORE_STORE_DIR_H
#define F3_CORE_STORE_DIR_H

#include "fs/core/inode.h"
#include "fs/core/volume.h"

/* Is what is known of `dir` (all names) / of one child fresh enough? No I/O. */
bool f3_store_dir_fresh(struct f3_core *core, struct f3_inode *dir);
bool f3_store_inode_fresh(struct f3_core *core, struct f3_inode *inode);

/* Brings one name in line with the store. 0 also when it does not exist there. */
int f3_store_dir_lookup(struct f3_core *core, struct f3_inode *dir, const char *name, size_t len);
/* Brings all names in line (streams the listing page by page). */
int f3_store_dir_list(struct f3_core *core, struct f3_inode *dir);
/* At open: 0 the same content; -ESTALE the name leads to another inode now (or to none). */
int f3_store_inode_check(struct f3_core *core, struct f3_inode *inode);

#endif
