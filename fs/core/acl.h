/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acl: POSIX ACLs as the kernel passes them (xattr format version 2). Pure.
 *
 * The kernel enforces them; what is left to a file system is to keep mode bits and access ACL
 * in step, and to work out what a new file inherits. Rules: acl(5), POSIX 1003.1e draft 17.
 */
#ifndef F3_CORE_ACL_H
#define F3_CORE_ACL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/buf.h"

#define F3_ACL_ACCESS "system.posix_acl_access"
#define F3_ACL_DEFAULT "system.posix_acl_default"

/* Is it well-formed and complete (owner, group, other, mask where needed)? 0 or -EINVAL. */
int f3_acl_check(const void *acl, size_t size);
/* The permission bits an access ACL stands for replace those of `mode`; minimal: it says no more
 * than mode bits can, so it need not be stored. */
int f3_acl_to_mode(const void *acl, size_t size, mode_t mode, mode_t *ret_mode,
		   bool *ret_minimal);
/* After chmod: owner, mask (or group), other entries follow the mode. In place. */
int f3_acl_chmod(void *acl, size_t size, mode_t mode);
/* What a file created with `mode` in a directory with this default ACL gets: the mode after the
 * ACL was applied, and an access ACL appended to `out` (nothing if it would be minimal). */
int f3_acl_create(const void *dflt, size_t size, mode_t mode, mode_t *ret_mode,
		  struct f3_buf *out);

#endif
