/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backing_impl: what the parts of a backing store share. Private to fs/local.
 *
 * backing.c       life, names, single files
 * backing_caps.c  what the file system can do
 * backing_copy.c  clones
 *
 * The lock guards the table of synced names only; everything else is fixed after open.
 */
#ifndef F3_LOCAL_BACKING_IMPL_H
#define F3_LOCAL_BACKING_IMPL_H

#include "fs/base/lock.h"
#include "fs/local/backing.h"

#define F3_BACKING_SHARDS 256u
#define F3_BACKING_SYNCED 512u /* power of two */

struct f3_backing_name {
	char path[sizeof("xx/0123456789abcdef.01234567")];
};

struct f3_backing_store {
	int dirfd; /* O_PATH | O_DIRECTORY */
	struct f3_ring *ring;
	struct f3_backing_caps caps;
	_Atomic bool shard_synced[F3_BACKING_SHARDS]; /* so is the shard's own name */
	struct f3_lock lock;
	/* Files whose directory entry is on the disk, as far as remembered: a name that is not
	 * here is synced (again). number + 1, so that zeroes are nobody. */
	struct f3_backing_synced {
		uint64_t ino;
		uint64_t number_1;
	} synced[F3_BACKING_SYNCED];
};

void f3_backing_name(struct f3_backing_name *ret_name, uint64_t ino, uint32_t number);
/* A new file, open as flags say. Descriptor or -errno. */
int f3_backing_make(struct f3_backing_store *s, uint64_t ino, uint32_t number, int flags);
/* 0 or -errno. dirfd: of the store. Leaves nothing behind. */
int f3_backing_caps_probe(int dirfd, struct f3_backing_caps *ret_caps);

#endif
