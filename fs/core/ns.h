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
 * orders. -EPERM for the root of the mount (its names are volumes). */
int f3_ns_dir_get(struct f3_core *core, uint64_t ino, struct f3_inode **ret_dir);
/* -ENAMETOOLONG, -EINVAL for an empty name. */
int f3_ns_name_check(const char *name, size_t *ret_len);
/* Names of this directory are cached from an object store. */
bool f3_ns_dir_in_store(const struct f3_inode *dir);

/* Class and stream flag for a name below dir. `own`: the file's own xattr, NONE without. */
int f3_ns_place(struct f3_core *core, struct f3_inode *dir, const char *name, bool is_dir,
		enum f3_class own, int own_stream, struct f3_placement_result *ret);

/* Names lock held, dir's inode lock not: counts a name in or out and stamps the directory. */
void f3_ns_dir_changed(struct f3_inode *dir, int names, int subdirs, int64_t now_ns,
		       struct f3_batch *b);
/* Inode lock held: this is where the file's name is now. */
void f3_ns_set_name(struct f3_inode *inode, uint64_t parent, const char *name, size_t len);

void f3_ns_fill_entry(struct f3_core *core, struct f3_inode *inode, struct f3_entry *ret_e);
/* The same for an inode nobody can have written to yet: the record is right. */
void f3_ns_fill_new_entry(struct f3_core *core, struct f3_inode *inode, struct f3_entry *ret_e);
uint8_t f3_ns_dtype(mode_t mode);

/* Gives a journal entry its place in the order. */
void f3_ns_entry_number(struct f3_core *core, struct f3_journal_entry *e);
/* Journals the intent of an operation on the store, has it carried out and waits for the result
 * (durable names). The entry gets its number here. */
int f3_ns_tell_store(struct f3_core *core, struct f3_journal_entry *e);
/* Waits until everything journalled so far for the volume is done. */
int f3_ns_journal_barrier(struct f3_core *core, uint32_t volume);
/* A durable file must be in the store before the call returns. */
int f3_ns_commit_wait(struct f3_core *core, struct f3_inode *inode);
/* Class decided again after rename or link gave the file this name (already applied). */
int f3_ns_place_again(struct f3_core *core, struct f3_inode *dir, struct f3_inode *inode,
		      const char *name, const struct f3_caller *who);

/* Takes one name from an inode, in the batch. Names and inode lock held. True: that was the last
 * one and nobody has it open; fills under way for it are to be stopped without the locks. */
bool f3_ns_drop_name(struct f3_inode *inode, int64_t now_ns, struct f3_batch *b);

#endif
