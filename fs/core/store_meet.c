/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/store_meet.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/core/journal_run.h"
#include "fs/core/store_op.h"

/* The start does not wait longer for a store that may come later. */
#define START_NS (5 * F3_NS_PER_SEC)
#define AGAIN_MAX_NS (5 * F3_NS_PER_SEC)

struct f3_store_meet {
	struct f3_volume *v;
	struct f3_workq *q;
	struct f3_timer timer;
	struct f3_backoff backoff;
	_Atomic bool stopping;
	int last_error; /* of try_again, which runs once at a time */
};

static void met(struct f3_volume *v)
{
	if (!v->store->read_only || v->read_only)
		return;
	f3_log_warn("volume %s: %s may not be written; the volume is read-only", v->name, v->url);
	v->read_only = true;
}

static void again(struct f3_store_meet *m)
{
	if (!m->stopping &&
	    f3_timer_arm(&m->timer, f3_clock_mono_ns() + f3_backoff_next_ns(&m->backoff)))
		f3_log_error("volume %s: no memory to look for its object store again; restart f3d "
			     "when it works",
			     m->v->name);
}

static void try_again(struct f3_work *work)
{
	struct f3_timer *timer =
		(struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));
	struct f3_store_meet *m =
		(struct f3_store_meet *)((char *)timer - offsetof(struct f3_store_meet, timer));
	struct f3_err err = F3_ERR_INIT;
	int r = m->stopping ? -ECANCELED : f3_object_meet(m->v->store, 0, &err);

	if (m->stopping)
		return;
	if (!r)
		met(m->v);
	else if (!f3_store_transient(r) && m->last_error != r)
		f3_log_error("volume %s: %s", m->v->name, err.text);
	m->last_error = r;
	/* That one works again is said there too. */
	f3_journal_health(m->v, r ? -ENOTCONN : 0, err.text);
	if (r)
		again(m);
}

static int meet_later(struct f3_volume *v, const struct f3_err *why)
{
	struct f3_store_meet *m = calloc(1, sizeof(*m));
	int r = m ? f3_workq_new("meet", 1, 4, &m->q) : -ENOMEM;

	if (r) {
		free(m);
		return r;
	}
	m->v = v;
	m->backoff = (struct f3_backoff){ .base_ns = v->core->opt.retry_min_ns,
					  .max_ns = v->core->opt.retry_max_ns };
	if (m->backoff.max_ns > AGAIN_MAX_NS)
		m->backoff.max_ns = AGAIN_MAX_NS;
	f3_timer_init(&m->timer, m->q, try_again);
	v->meet = m;
	f3_log_warn("volume %s starts without its object store: what is not in the cache cannot be "
		    "read until it is there",
		    v->name);
	f3_journal_health(v, why->code, why->text);
	again(m);
	return 0;
}

int f3_store_meet(struct f3_volume *v, bool later, struct f3_err *err)
{
	struct f3_err why = F3_ERR_INIT;
	int r = f3_object_meet(v->store, later ? f3_clock_mono_ns() + START_NS : 0, &why);

	if (!r)
		met(v);
	else if (later && f3_store_transient(r))
		r = meet_later(v, &why);
	return r ? f3_err_set(err, r, "%s", why.text) : 0;
}

void f3_store_meet_free(struct f3_store_meet *m)
{
	if (!m)
		return;
	m->stopping = true;
	f3_object_shut(m->v->store);
	(void)f3_timer_cancel(&m->timer);
	f3_workq_drain(m->q);
	/* What was just ending may have armed it. */
	(void)f3_timer_cancel(&m->timer);
	f3_workq_free(m->q);
	free(m);
}
