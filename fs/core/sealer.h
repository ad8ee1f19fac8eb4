/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealer: what is done a moment after the kernel's word, for many files together:
 * sealing those whose last writer was released, and removing the backing files of those that the
 * kernel forgot.
 *
 * The kernel tells of a release a little before it lets go of the backing file, so a probe at once
 * would find the writer still there. It tells of a file that is gone before the next request of
 * whoever removes many, who would wait while the file's blocks are freed. So both are collected for
 * SEALER_DELAY; the timer runs only while there are some.
 *
 * A file on the disk keeps its bytes until the log of the database, which says that it is gone, was
 * synced: else the disk could forget the bytes and not the name, and what was fsynced once would be
 * an empty file after a power cut. One sync is for all that goes in half a second. A crash in between leaves writers marked
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
/* The same, at that time, or a little later: one timer is for all. Asked again before, it stays at the
 * earlier one. What is left at the end is not sealed. */
void f3_sealer_push_at(struct f3_sealer *s, struct f3_inode *inode, uint64_t due_mono_ns);
/* Takes over what is left of a dead file of `v`. Blocks on the disk if too much is waiting. */
void f3_sealer_gone(struct f3_core *core, struct f3_volume *v, struct f3_file_gone *gone);

/* Is what failed with this error tried again? */
bool f3_sealer_tries_again(int error);
/* Does now what is waiting, and waits for what is under way. */
void f3_sealer_settle(struct f3_sealer *s);

#endif
