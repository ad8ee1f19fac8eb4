/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xattr: extended attributes: stored ones, ACLs, and F3's own.
 *
 * user.*, trusted.*, security.* and system.posix_acl_* are stored; security.selinux and other
 * system.* answer EOPNOTSUPP. An access ACL also sets the mode bits it stands for. user.f3.class
 * and user.f3.stream are written by the owner, and listed only where set; user.f3.state,
 * user.f3.nodes, user.f3.etag are read-only and never listed.
 *
 * Object classes: at most 2 KiB of names and values in all per file (they travel as object
 * metadata): ENOSPC beyond.
 */
#ifndef F3_CORE_XATTR_H
#define F3_CORE_XATTR_H

#include "fs/core/inode.h"

#define F3_XATTR_STORE_MAX 2048

/* flags: XATTR_CREATE, XATTR_REPLACE. kill_sgid: the kernel asks to drop sgid with an ACL.
 * -F3_EWAIT for a class that has to be staged. */
int f3_xattr_set(struct f3_core *core, uint64_t ino, const char *name, const void *value,
		 size_t size, int flags, bool kill_sgid, const struct f3_caller *who);
/* Appends the value; -ENODATA. */
int f3_xattr_get(struct f3_core *core, uint64_t ino, const char *name, struct f3_buf *out);
/* Names, each with its NUL; trusted.* only to root. */
int f3_xattr_list(struct f3_core *core, uint64_t ino, struct f3_buf *out,
		  const struct f3_caller *who);
int f3_xattr_remove(struct f3_core *core, uint64_t ino, const char *name,
		    const struct f3_caller *who);

#endif
