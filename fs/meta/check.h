/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: the invariants of the database, for f3ctl fsck and the crash tests.
 *
 * Every name leads to an inode; every inode but the root has as many names as nlink says
 * (directories: one, nlink = 2 + subdirectories) or an orphan mark; a directory's `size` is its
 * number of names; the parent chain of every inode ends at the root; xattrs, extents, marks and
 * journal entries belong to inodes that exist; flags agree with what is there; states agree with
 * marks; volume usage equals the sum. What needs the backing files (present, size) is checked
 * through `backing`, supplied by the caller, so that this layer knows no files.
 *
 * Memory is bounded: names are counted for so many inodes at a time as a fixed table holds, with
 * one pass over all names for each such range. Reading works on a snapshot, also of a live
 * database. Repair writes batches, to a database that nobody else writes: names that lead nowhere
 * go, inodes without a name are linked under lost+found of their volume (what the store has, too,
 * becomes an orphan), counts are made right, what belongs to no inode is deleted.
 */
#ifndef F3_META_CHECK_H
#define F3_META_CHECK_H

#include "fs/meta/meta.h"

struct f3_check_problem {
	uint64_t ino;
	const char *what;	/* fixed text: "name without inode", ... */
	char detail[F3_ERR_TEXT_MAX];
	bool repaired;
};

struct f3_check_options {
	bool repair;
	/* May be NULL. 0 if the backing file of rec is there and right, else -errno. */
	int (*backing)(void *arg, const struct f3_inode_rec *rec);
	/* Bytes that an inode counts for in its volume. May be NULL: then only inodes are. */
	uint64_t (*charge)(const struct f3_inode_rec *rec);
	void (*problem)(void *arg, const struct f3_check_problem *p);
	/* Called now and then with inodes done / estimated total; may be NULL. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
};

struct f3_check_result {
	uint64_t inodes, names, problems, repaired;
};

/* 0 if it could be checked (see ret->problems), else -errno. */
int f3_meta_check(struct f3_meta *m, const struct f3_check_options *opt,
		  struct f3_check_result *ret);

#endif
