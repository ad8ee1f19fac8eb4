/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_impl: what the files of the check share, and nobody else includes.
 *
 * check.c goes through the families key by key (records that do not decode, names that lead
 * nowhere, what belongs to inodes that are gone); check_count.c counts names per inode and looks
 * at each inode as a whole; check_lost.c gives inodes without a name a place.
 *
 * Without repair everything is read from one snapshot. With repair nobody else writes: keys come
 * from iterators, which do not see the repairs, records are read anew before they are changed.
 */
#ifndef F3_META_CHECK_IMPL_H
#define F3_META_CHECK_IMPL_H

#include "fs/meta/check.h"
#include "fs/meta/meta_impl.h"

struct f3_check_volume {
	struct f3_volume_rec *rec;
	uint64_t bytes, inodes;			/* summed up */
};

/* What is counted of one inode. */
struct f3_check_slot {
	uint64_t ino;
	uint32_t names;				/* that lead to it */
	uint32_t children, subdirs;		/* of a directory */
};

struct f3_check {
	const struct f3_check_options *opt;
	struct f3_check_result result;
	struct f3_meta *m;			/* what is read */
	struct f3_meta *live;			/* what is repaired and knows the counters */
	struct f3_meta view;			/* m, while it is a snapshot */
	int error;				/* of the database; ends the check */
	uint64_t total;				/* inodes, as far as the volumes know */

	struct f3_check_volume *volumes;
	size_t n_volumes;

	struct f3_check_slot *slots;		/* sorted by ino: one range at a time */
	size_t n_slots, max_slots;

	/* The inode that the last key belonged to: keys of one inode follow each other. */
	uint64_t owner;
	bool owner_known;
	int owner_state;			/* 0, -ENOENT, -EBADMSG ... */
	uint32_t owner_mode, owner_flags;
};

/* 0 and the record, -ENOENT, -EBADMSG or -EPROTONOSUPPORT if it does not decode, else an error
 * of the database, which is also kept in c->error. */
int f3_check_load(struct f3_check *c, uint64_t ino, struct f3_inode_rec *ret_rec);

/* 0, -ENOENT (also where the value does not decode), else an error, also in c->error. */
int f3_check_lookup(struct f3_check *c, uint64_t parent, const char *name, size_t len,
		    struct f3_meta_name *ret_name);

/* A batch to repair with; NULL when nothing is to be repaired. */
struct f3_batch *f3_check_repair(struct f3_check *c);
/* Commits and frees. Whether something was repaired. NULL: false. */
bool f3_check_repaired(struct f3_check *c, struct f3_batch *b);

void f3_check_problem(struct f3_check *c, uint64_t ino, const char *what, bool repaired,
		      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* NULL if there is none. */
struct f3_check_volume *f3_check_volume(struct f3_check *c, uint32_t id);
struct f3_check_slot *f3_check_slot(struct f3_check *c, uint64_t ino);

/* All inodes, range by range. 0 or the error. */
int f3_check_count(struct f3_check *c);

/* An inode without a name gets one in lost+found of its volume, or becomes an orphan where the
 * store has all of it (or nowhere else is a place). Whether it did; rec is as it is now. */
bool f3_check_lost(struct f3_check *c, struct f3_inode_rec *rec);

/* f3_meta_check with a table of `slots` inodes. */
int f3_meta_check_with(struct f3_meta *m, const struct f3_check_options *opt, size_t slots,
		       struct f3_check_result *ret);

#endif
