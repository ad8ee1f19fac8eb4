/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answered: requests that were carried out, by their number, for when they are asked again.
 *
 * A daemon that dies between a change and its answer is asked a second time, through the next one,
 * and must not carry it out twice: the name it has just made would be in its own way. So whatever
 * changes names or xattrs puts the request's number and the inode it led to into the batch of the
 * change, in a ring of F3_ANSWERS slots. A number is only compared with requests of the same mount
 * (core->mount_id). A slot is taken by its number's hash, which spreads numbers that follow each
 * other: another request takes it before the answer is out only where the kernel counts in two
 * places, and those two meet in the very moment of a crash.
 *
 * Requests of the io_uring transport are never asked again and have no number.
 *
 * Threads: f3_answered_put with the caller's batch, f3_answered_find any time after the start.
 */
#ifndef F3_CORE_ANSWERED_H
#define F3_CORE_ANSWERED_H

#include "fs/core/core.h"

#define F3_ANSWERS 65536u

/* The batch carries out who's request; it led to ino (0: to none). who: NULL, or without a
 * number: nothing is noted. */
void f3_answered_put(const struct f3_core *core, const struct f3_caller *who, uint64_t ino,
		     struct f3_batch *b);
/* At start: those of the daemon before. 0 or -errno. */
int f3_answered_load(struct f3_core *core);
void f3_answered_free(struct f3_core *core);
/* Was this request carried out by the daemon before? */
bool f3_answered_find(const struct f3_core *core, uint64_t unique, uint64_t *ret_ino);

#endif
