/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealer: what is done a moment after the kernel's word, for many files together, on one thread:
 * sealing those whose last writer was released, and removing the backing files of those that the
 * kernel forgot.
 *
 * The kernel tells of a release a little before it lets go of the backing file, so a probe at once
 * would find the writer still there. It tells of a file that is gone before the next request of
 * whoever removes many, who would wait while the file's blocks are freed. So both are collected for
 * SEALER_DELAY; the timer runs only while there are some. A crash in between leaves writers marked
 * and backing files without a record, which the next start looks after.
 *
 * What the disk or the database had no room for is tried again, less and less often: until it is
 * sealed a file neither goes to its store nor has its size in the database.
 */
#ifndef F3_CORE_SEALER_H
#define F3_CORE_SEALER_H

#include "fs/core/file.h"
#include "fs/core/inode.h"

struct f3_sealer;

int f3_sealer_new(struct f3_core *core, struct f3_sealer **ret_s);
/* Seals what is waiting, then ends. Timers must have been stopped. */
void f3_sealer_free(struct f3_sealer *s);
/* Takes a reference until it has been done. The inode lock may be held. */
void f3_sealer_push(struct f3_sealer *s, struct f3_inode *inode);
/* Takes *gone over, which was of a file of `v`. False: too much is waiting, or no memory. */
bool f3_sealer_push_gone(struct f3_sealer *s, struct f3_volume *v, const struct f3_file_gone *gone);

/* Does now what is waiting, and waits for what is under way. */
void f3_sealer_settle(struct f3_sealer *s);

#endif
