/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespace: every operation on names, through one door.
 *
 * Each change is: take the names lock(s) of the directories, ask authority.h whether this node
 * orders them, look again, build one batch, commit it, bring the memory up, unlock. In volumes with
 * an object store the store is told through the journal (journal_run.h): before the change is
 * applied for durable names (the caller waits), after it for writeback.
 *
 * Permission to do it was checked by the kernel (default_permissions); what is left here: sgid
 * inheritance, umask and default ACLs at creation, sticky is the kernel's.
 *
 * -F3_EWAIT where the store has to be asked and the caller may not block, -F3_EROOM where the journal
 * has no room and the caller may wait for it; nothing was done then.
 */
#ifndef F3_CORE_NAMESPACE_H
#define F3_CORE_NAMESPACE_H

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fs/core/file.h"

/* Attributes and the time they may be kept, for entries and getattr. */
struct f3_entry {
	uint64_t ino;
	struct stat st;
	uint64_t attr_ttl_ns, entry_ttl_ns;
};

/* -ENOENT. ret_negative_ttl_ns: how long the absence may be kept. */
int f3_ns_lookup(struct f3_core *core, uint64_t parent, const char *name,
		 const struct f3_caller *who, struct f3_entry *ret_e,
		 uint64_t *ret_negative_ttl_ns);

/* mknod of all types and mkdir. mode has the type. */
int f3_ns_mknod(struct f3_core *core, uint64_t parent, const char *name, mode_t mode, dev_t rdev,
		const struct f3_caller *who, struct f3_entry *ret_e);
int f3_ns_symlink(struct f3_core *core, uint64_t parent, const char *name, const char *target,
		  const struct f3_caller *who, struct f3_entry *ret_e);
/* A regular file with a backing file, opened: the reference and the open are the caller's.
 * name NULL: O_TMPFILE. -EEXIST (the kernel then looks it up). */
int f3_ns_create(struct f3_core *core, uint64_t parent, const char *name, mode_t mode, int flags,
		 const struct f3_caller *who, struct f3_entry *ret_e, struct f3_inode **ret_inode,
		 struct f3_open_plan *ret_plan);
/* What a request was answered that made this inode's name in the directory `parent`. */
int f3_ns_entry(struct f3_core *core, uint64_t parent, uint64_t ino, struct f3_entry *ret_e);
/* The same for one that made the inode and was answered by nobody: what close() would wait for is
 * waited for first. May answer -F3_EWAIT. */
int f3_ns_made_before(struct f3_core *core, uint64_t parent, uint64_t ino,
		      const struct f3_caller *who, struct f3_entry *ret_e);
int f3_ns_link(struct f3_core *core, uint64_t ino, uint64_t parent, const char *name,
	       const struct f3_caller *who, struct f3_entry *ret_e);
int f3_ns_unlink(struct f3_core *core, uint64_t parent, const char *name,
		 const struct f3_caller *who);
int f3_ns_rmdir(struct f3_core *core, uint64_t parent, const char *name,
		const struct f3_caller *who);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE (RENAME_WHITEOUT: -EINVAL) */
int f3_ns_rename(struct f3_core *core, uint64_t parent, const char *name, uint64_t newparent,
		 const char *newname, unsigned flags, const struct f3_caller *who);
int f3_ns_readlink(struct f3_core *core, uint64_t ino, char *out, size_t size);

int f3_ns_getattr(struct f3_core *core, uint64_t ino, struct f3_entry *ret_e);

enum f3_setattr {		/* which members of st are set */
	F3_SET_MODE = 1, F3_SET_UID = 2, F3_SET_GID = 4, F3_SET_SIZE = 8,
	F3_SET_ATIME = 16, F3_SET_MTIME = 32, F3_SET_ATIME_NOW = 64, F3_SET_MTIME_NOW = 128,
	F3_SET_CTIME = 256, F3_SET_KILL_PRIV = 512,
};
int f3_ns_setattr(struct f3_core *core, uint64_t ino, const struct stat *st, unsigned set,
		  const struct f3_caller *who, struct f3_entry *ret_e);

/* Entries from after `cookie` on, "." and ".." first. fn returns non-zero to stop (buffer full);
 * with_attr: e is filled in whole, else only ino and the type in st_mode. 0 at the end, 1 when
 * stopped, -errno. */
typedef int f3_ns_readdir_fn(void *arg, const char *name, size_t len, uint64_t cookie,
			     const struct f3_entry *e);
int f3_ns_readdir(struct f3_core *core, uint64_t dir, uint64_t cookie, bool with_attr,
		  const struct f3_caller *who, f3_ns_readdir_fn *fn, void *arg);
/* May the kernel keep the listing across opendirs? */
bool f3_ns_dir_cachable(struct f3_core *core, uint64_t dir);

int f3_ns_statfs(struct f3_core *core, uint64_t ino, struct statvfs *ret_st);
/* Names in the directory, its record and unsynced ancestors; store entries of it done. */
int f3_ns_fsyncdir(struct f3_core *core, uint64_t ino, const struct f3_caller *who);

/* Drops an inode that has no name and no open: record, backing file, charges. */
void f3_ns_reap(struct f3_core *core, struct f3_inode *inode);

#endif
