/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealer: looks after files whose last writer was released.
 *
 * The kernel tells of a release a little before it lets go of the backing file, so a probe at once
 * would find the writer still there. Files are collected for SEALER_DELAY and sealed together on
 * one thread; the timer runs only while there are some.
 */
#ifndef F3_CORE_SEALER_H
#define F3_CORE_SEALER_H

#include "fs/core/inode.h"

struct f3_sealer;

int f3_sealer_new(struct f3_core *core, struct f3_sealer **ret_s);
/* Seals what is waiting, then ends. Timers must have been stopped. */
void f3_sealer_free(struct f3_sealer *s);
/* Takes a reference until it has been done. The inode lock may be held. */
void f3_sealer_push(struct f3_sealer *s, struct f3_inode *inode);

#endif
