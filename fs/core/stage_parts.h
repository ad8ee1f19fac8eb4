/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage_parts: parts of an upload that are sent, F3_STAGE_OPS of them under way at once.
 *
 * Not thread-safe but for the answers, which come on threads of the store: one thread sends and
 * reaps. An answer that got lost is asked for again: a part that was sent twice is one part.
 * Parts that are copies are of the object u->from.
 */
#ifndef F3_CORE_STAGE_PARTS_H
#define F3_CORE_STAGE_PARTS_H

#include "fs/core/stage_impl.h"

/* Around each request, so that it can be cancelled: begin may refuse it with -errno; end gives what
 * is to be made of its result. */
struct f3_parts_user {
	int (*begin)(void *arg, struct f3_obj_op *op, unsigned slot);
	int (*end)(void *arg, struct f3_obj_op *op, unsigned slot);
	void *arg;
};

/* Everything given stays the caller's and must stay; u->parts may be moved between calls. */
int f3_parts_new(struct f3_volume *v, struct f3_upload *u, int fd,
		 const struct f3_parts_user *user, struct f3_parts **ret_p);
bool f3_parts_full(const struct f3_parts *p);
bool f3_parts_idle(const struct f3_parts *p);
/* Sends u->parts[i]; waits for a place. 0, or the error of one that ended. */
int f3_parts_send(struct f3_parts *p, size_t i);
/* Takes note of those that have ended; wait: of one at least, if any is under way. The first error. */
int f3_parts_reap(struct f3_parts *p, bool wait);
/* Nobody looks after those under way any more: they are kept in u->under_way, with fd, which is closed
 * when they have ended. */
void f3_parts_leave(struct f3_parts *p, int fd);
/* Takes over what was left there; new ones are of fd. Those that fail then were just not sent. */
void f3_parts_adopt(struct f3_parts *p, int fd, const struct f3_parts_user *user);
/* Ends what was left there. */
void f3_parts_drop(struct f3_parts *p);
/* Who waits for one to end looks around. */
void f3_parts_wake(struct f3_parts *p);
/* Waits for all, and frees it. `error`, else the first of theirs. */
int f3_parts_end(struct f3_parts *p, int error);

#endif
