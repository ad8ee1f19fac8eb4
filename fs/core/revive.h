/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revive: ends a daemon whose database takes no changes any more, so that the next one opens it anew.
 *
 * After an I/O error nothing that is written may be believed before the database has been read
 * again: changes are EROFS until then. While the disk is broken that is better than no daemon. So
 * the disk is tried, with pauses that grow, by a file beside the database that is written and
 * synced; once that works `let_go` is called, which does not return. A full disk is no such error:
 * the database goes on by itself when there is room.
 *
 *   fine -> failed (tried again and again) -> let go
 *
 * Nothing is tried where nobody would start another daemon (f3_revive_allow was not called).
 * Thread-safe. No lock.
 */
#ifndef F3_CORE_REVIVE_H
#define F3_CORE_REVIVE_H

#include "fs/core/core.h"

struct f3_revive;
int f3_revive_new(struct f3_core *core, struct f3_revive **ret_r);
/* After the timers have stopped and core->transfer is gone. NULL ok. */
void f3_revive_free(struct f3_revive *r);
/* Once: let_go(arg) may be called from now on, on a thread of its own. */
void f3_revive_allow(struct f3_revive *r, void (*let_go)(void *arg), void *arg);

#endif
