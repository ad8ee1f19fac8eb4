/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hint_ops: what the operations of the hint protocol do.
 *
 * An operation reads its request, adds members to the answer and returns 0 or -errno with the reason.
 * It is run first on the one thread of the hint socket, where nothing may wait for an object store:
 * then it returns -F3_EWAIT, with nothing done, and is run again, with an answer made anew, on a thread
 * that may (may_block). It looks at `stopping` between things that may take long, and gives up looking
 * for names at deadline_mono_ns.
 *
 * Operations act as the daemon itself: who may speak on the socket may ask about every file.
 */
#ifndef F3_DAEMON_HINT_OPS_H
#define F3_DAEMON_HINT_OPS_H

#include <jansson.h>

#include "daemon/prefetch.h"
#include "daemon/view.h"
#include "fs/core/core.h"

struct f3_hint {
	struct f3_core *core;
	struct f3_prefetch *prefetch;
	struct f3_views *views;
	uint64_t started_mono_ns;	/* when the daemon began to serve */
	unsigned connections;
	const _Atomic bool *stopping;
	const json_t *request;
	json_t *answer;
	struct f3_err err;
	bool may_block;
	uint64_t deadline_mono_ns;
};

struct f3_hint_op {
	const char *name;
	int (*run)(struct f3_hint *h);
};

/* Ended by name == NULL. */
extern const struct f3_hint_op f3_hint_ops[];

void f3_hint_ops_register_metrics(void);
/* Runs what "op" says. ret_op: for f3_hint_ops_count. -EOPNOTSUPP: there is no such operation. */
int f3_hint_ops_run(struct f3_hint *h, const struct f3_hint_op **ret_op);
/* One more answer of this operation (NULL: of a line that was none). */
void f3_hint_ops_count(const struct f3_hint_op *op, int result);

#endif
