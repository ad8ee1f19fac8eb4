/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rest: gives memory back once nobody asks for anything any more.
 *
 * Work fills the caches up to the memory limit; an idle daemon should not hold what the next
 * function could use. While inodes come and go one timer looks every now and then whether they
 * still do; when they do not, and the process is larger than it has to be, the database is written
 * out, caches shrink to what a small working set needs, and the heap returns its free pages. After
 * that nothing is armed: an idle daemon uses no CPU.
 *
 * Thread-safe. No lock.
 */
#ifndef F3_CORE_REST_H
#define F3_CORE_REST_H

#include "fs/core/core.h"

struct f3_rest;
int f3_rest_new(struct f3_core *core, struct f3_rest **ret_r);
/* After the timers have stopped and core->transfer is gone. */
void f3_rest_free(struct f3_rest *r);
/* Somebody was at work: looked at later. Costs next to nothing. NULL ok. The
 * caller may hold what f3_inode_put may be called with. */
void f3_rest_stir(struct f3_rest *r);

#endif
