/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage_sums: what the parts of a large file were when it was the same as its object.
 *
 * A complete file is written natively, and nobody sees where. So before a large one that is clean
 * gets a writer, each of its parts is hashed (64 bits); at its commit the parts that still have
 * their hash are copied inside the store, and only the others go up. The hashes live in memory as
 * long as the inode, and count for one etag.
 */
#ifndef F3_CORE_STAGE_SUMS_H
#define F3_CORE_STAGE_SUMS_H

#include "fs/core/inode.h"

struct f3_sums {
	char etag[F3_ETAG_MAX + 1];
	uint64_t size;
	uint32_t n;		/* parts of plan.h's schedule; the last one may be short */
	uint64_t hash[];
};

/* Before a writer is let in. Reads the whole file where it is needed: blocks on the local disk.
 * That it cannot be done is no error: everything goes up then. Inode lock not held. */
void f3_sums_prepare(struct f3_core *core, struct f3_inode *inode);
/* Hash of a range of a file. 0, -ENODATA (it ends before), -errno. */
int f3_sums_hash(int fd, uint64_t off, uint64_t len, uint64_t *ret_hash);
/* Those of the object with this etag, or NULL. Inode lock held; they stay while it is, and while a
 * commit of the inode runs. */
const struct f3_sums *f3_sums_of(const struct f3_inode *inode, const char *etag);
/* Is part i one of them, with this length? */
bool f3_sums_has(const struct f3_sums *sums, uint32_t i, uint64_t off, uint64_t len);

#endif
