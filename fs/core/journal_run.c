/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/journal_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/base/metric.h"
#include "fs/core/commitset.h"
#include "fs/core/fetch.h"
#include "fs/core/fill.h"
#include "fs/core/lack.h"
#include "fs/core/leftover.h"
#include "fs/core/ns.h"
#include "fs/core/stage_impl.h"
#include "fs/core/store_op.h"
#include "fs/core/stream.h"

#define QUEUE_MAX 65536
#define AGAIN_NS (10 * F3_NS_PER_MS)
/* With what malloc adds; of a file its stage and its inode too. */
#define TASK_BYTES (sizeof(struct f3_journal_task) + 3 * sizeof(struct f3_res) + 96)
#define FILE_BYTES (sizeof(struct f3_stage) + sizeof(struct f3_inode) + 96)

static struct f3_counter retries = {
	.name = "f3_journal_retries_total",
	.labels = "",
	.help = "Attempts to tell an object store something that failed and are made again.",
};
static struct f3_counter collapsed = {
	.name = "f3_journal_collapsed_total",
	.labels = "",
	.help = "Entries whose effect was undone before the object store was told.",
};

/* ---- The heap of due times ---- */

static void place(struct f3_journal_run *j, struct f3_journal_task *t, size_t i)
{
	j->heap[i] = t;
	t->slot = i + 1;
}

static void settle_at(struct f3_journal_run *j, struct f3_journal_task *t, size_t i)
{
	while (i && j->heap[(i - 1) / 2]->due_ns > t->due_ns) {
		place(j, j->heap[(i - 1) / 2], i);
		i = (i - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < j->n_heap && j->heap[child + 1]->due_ns < j->heap[child]->due_ns)
			child++;
		if (child >= j->n_heap || j->heap[child]->due_ns >= t->due_ns)
			break;
		place(j, j->heap[child], i);
		i = child;
	}
	place(j, t, i);
}

static void heap_del(struct f3_journal_run *j, struct f3_journal_task *t)
{
	struct f3_journal_task *last;
	size_t i = t->slot - 1;

	if (!t->slot)
		return;
	t->slot = 0;
	last = j->heap[--j->n_heap];
	if (last != t)
		settle_at(j, last, i);
}

static int heap_put(struct f3_journal_run *j, struct f3_journal_task *t, uint64_t due_ns)
{
	heap_del(j, t);
	if (j->n_heap == j->cap_heap) {
		size_t cap = j->cap_heap ? 2 * j->cap_heap : 64;
		struct f3_journal_task **heap = reallocarray(j->heap, cap, sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		j->heap = heap;
		j->cap_heap = cap;
	}
	t->due_ns = due_ns;
	settle_at(j, t, j->n_heap++);
	if (j->heap[0] == t)
		(void)f3_timer_arm(&j->timer, due_ns);
	return 0;
}

/* ---- Ready, running, over. Lock held. ---- */

static void start(struct f3_work *work);

static void run_gate(struct f3_journal_gate *gate)
{
	struct f3_journal_run *j = gate->j;
	struct f3_journal_task *t;

	while (j->going && !j->stopping && gate->running < j->parallel &&
	       (t = TAILQ_FIRST(&gate->ready))) {
		t->work.fn = start;
		if (f3_workq_push(gate->q, &t->work)) {
			(void)f3_timer_arm(&j->timer, f3_clock_mono_ns() + AGAIN_NS);
			return;
		}
		TAILQ_REMOVE(&gate->ready, t, of_ready);
		t->state = F3_TASK_RUNNING;
		gate->running++;
	}
}

static void now_ready(struct f3_journal_task *t)
{
	heap_del(t->gate->j, t);
	t->state = F3_TASK_READY;
	TAILQ_INSERT_TAIL(&t->gate->ready, t, of_ready);
}

void f3_journal_note(struct f3_journal_task *t, int64_t bytes)
{
	struct f3_journal_gate *gate = t->gate;
	struct f3_journal_run *j = gate->j;
	struct f3_budget *budget = j->core->budget;
	uint64_t share = f3_budget_share(budget, F3_ACCT_JOURNAL);

	t->bytes += (uint32_t)bytes;
	gate->bytes += (uint64_t)bytes;
	j->bytes += (uint64_t)bytes;
	f3_budget_note(budget, F3_ACCT_JOURNAL, bytes);
	/* What this gate takes decides for others too. */
	TAILQ_FOREACH(gate, &j->gates, of_run)
		gate->full = j->bytes >= share || gate->bytes > 4 * (share - j->bytes);
}

bool f3_journal_full(const struct f3_volume *v)
{
	return v->store && v->stages && v->stages->full;
}

int f3_journal_room(const struct f3_volume *v, const struct f3_caller *who)
{
	if (!f3_journal_full(v))
		return 0;
	if (!who->may_block)
		return -F3_EWAIT;
	return who->may_wait ? -F3_EROOM : -ENOSPC;
}

struct over {
	struct f3_waiter_list waiters;
};

static void give_answer(struct f3_journal_task *t, int result, struct over *over)
{
	if (!t->w)
		return;
	t->w->result = result;
	t->w->next = over->waiters.first;
	over->waiters.first = t->w;
	t->w = NULL;
}

static void unblocked(struct f3_journal_task *t, struct over *over);

/* Leaves the order; those that waited for it only go on. */
static void end_task(struct f3_journal_task *t, int result, struct over *over)
{
	struct f3_journal_gate *gate = t->gate;
	struct f3_task_list next = TAILQ_HEAD_INITIALIZER(next);
	struct f3_journal_task *o;

	give_answer(t, result, over);
	heap_del(gate->j, t);
	if (t->state == F3_TASK_READY)
		TAILQ_REMOVE(&gate->ready, t, of_ready);
	if (t->type != F3_JOURNAL_WAIT)
		gate->entries--;
	f3_dag_remove(t, &next);
	while ((o = TAILQ_FIRST(&next))) {
		TAILQ_REMOVE(&next, o, of_ready);
		unblocked(o, over);
	}
}

/* Nothing comes before it any more. */
static void unblocked(struct f3_journal_task *t, struct over *over)
{
	uint64_t now = f3_clock_mono_ns();

	if (t->withdrawn || t->type == F3_JOURNAL_WAIT) {
		end_task(t, 0, over);
		return;
	}
	if (t->delay_ns && now < t->delay_ns && !heap_put(t->gate->j, t, t->delay_ns)) {
		t->state = F3_TASK_DELAYED;
		return;
	}
	now_ready(t);
	run_gate(t->gate);
}

static void unlock_and_tell(struct f3_journal_run *j, struct over *over)
{
	f3_unlock(&j->lock);
	f3_lack_news(j->core);
	f3_waiters_call(&over->waiters);
}

/* ---- Carrying out ---- */

static int read_record(struct f3_journal_run *j, uint64_t seq, struct f3_journal_entry *e)
{
	return f3_meta_get_journal(j->core->meta, seq, e);
}

static int drop_record(struct f3_core *core, uint64_t seq)
{
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	f3_batch_del_journal(b, seq);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	return r;
}

static void log_failure(struct f3_journal_gate *gate, const struct f3_journal_entry *e, int r,
			const char *message, bool retry)
{
	const char *what = *message ? message : e->key;

	if (f3_store_transient(r))
		f3_log_error("volume %s: the object store does not work: %s%s%s: %s; %s",
			     gate->volume->name, f3_journal_type_name(e->type), *what ? " " : "",
			     what,
			     r == F3_OBJ_AMBIGUOUS || r == -EAGAIN ? "no clear answer" :
								     f3_errno_name(r),
			     retry ? "it is tried again" : "the operation failed");
	else
		f3_log_error("volume %s: %s%s%s: %s; %s", gate->volume->name,
			     f3_journal_type_name(e->type), *what ? " " : "", what,
			     f3_errno_name(r),
			     retry ? "it is tried again" : "the operation failed");
}

/* It failed with r. Lock held. True: it is tried again. */
static bool try_again(struct f3_journal_task *t, int r)
{
	uint64_t now = f3_clock_mono_ns();

	if (t->gate->j->stopping) {
		t->state = F3_TASK_RESTING;
		return true;
	}
	if (!(t->how & F3_JOURNAL_RETRY) && (!f3_store_transient(r) || now >= t->deadline_ns))
		return false;
	f3_count(&retries, 1);
	t->state = F3_TASK_RESTING;
	if (heap_put(t->gate->j, t, now + f3_backoff_next_ns(&t->backoff)))
		now_ready(t);
	return true;
}

static void note_health(struct f3_journal_gate *gate, int r, bool *ret_log, uint64_t *ret_down_ns)
{
	uint64_t now = f3_clock_mono_ns();

	*ret_down_ns = 0;
	/* A file that changes while it is sent is no failure of the store. */
	if (!r || r == -EBUSY) {
		if (gate->failing_since_ns)
			*ret_down_ns = now - gate->failing_since_ns;
		gate->failing_since_ns = 0;
		return;
	}
	/* Its own error is each entry's own; a store that is gone is said once. */
	if (!f3_store_transient(r)) {
		*ret_log = true;
	} else if (!gate->failing_since_ns) {
		*ret_log = true;
		gate->failing_since_ns = now;
	}
}

static void finished(struct f3_journal_task *t, const struct f3_journal_entry *e, int r,
		     const char *message)
{
	struct f3_journal_gate *gate = t->gate;
	struct f3_journal_run *j = gate->j;
	struct over over = { { NULL } };
	bool failed_before, log = false, again = false, withdraw = false;
	uint64_t down_ns, seq = t->seq;

	f3_lock(&j->lock);
	gate->running--;
	failed_before = t->backoff.attempt > 0;
	note_health(gate, r == -ECANCELED ? 0 : r, &log, &down_ns);
	if (failed_before && gate->retrying)
		gate->retrying--;
	if (!r && (t->how & F3_JOURNAL_HOLD)) {
		t->state = F3_TASK_HELD;
		give_answer(t, 0, &over);
	} else if (!r || (r == -ECANCELED && !(t->how & F3_JOURNAL_HOLD))) {
		end_task(t, 0, &over);
	} else if (r != -ECANCELED && try_again(t, r)) {
		again = true;
		gate->retrying++;
		log = log && (!failed_before || f3_store_transient(r));
	} else {
		withdraw = true;
	}
	run_gate(gate);
	unlock_and_tell(j, &over);
	if (down_ns)
		f3_log_info("volume %s: the object store works again after %.1f s",
			    gate->volume->name, (double)down_ns / 1e9);
	if (log)
		log_failure(gate, e, r, message, again);
	if (!withdraw)
		return;
	/* First the record, then the answer: what was said to have failed must not be done later. */
	if (drop_record(j->core, seq))
		f3_log_error("volume %s: journal entry %" PRIu64 " cannot be removed",
			     gate->volume->name, seq);
	over.waiters.first = NULL;
	f3_lock(&j->lock);
	end_task(t, r == -ENOENT ? r : f3_store_errno(r), &over);
	unlock_and_tell(j, &over);
}

/* Each request of an entry has a number of its own, recorded before it is sent. */
static int next_attempt(struct f3_core *core, struct f3_journal_entry *e)
{
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	e->attempt++;
	f3_batch_put_journal(b, e);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	return r;
}

static void start(struct f3_work *work)
{
	struct f3_journal_task *t =
		(struct f3_journal_task *)((char *)work - offsetof(struct f3_journal_task, work));
	struct f3_journal_entry e;
	struct f3_journal_call call = {
		.core = t->gate->j->core,
		.volume = t->gate->volume,
		.e = &e,
		.tried = t->tried,
		.acked = t->how & F3_JOURNAL_RETRY,
		.hold = t->how & F3_JOURNAL_HOLD,
	};
	int r = read_record(t->gate->j, t->seq, &e);

	if (r == -ENOENT) {
		/* Removed together with what it was about. */
		memset(&e, 0, sizeof(e));
		e.type = t->type;
		if (t->type == F3_JOURNAL_PUT || t->type == F3_JOURNAL_ATTR)
			f3_stage_vanished(call.core, t->ino, t->seq);
		finished(t, &e, -ECANCELED, "");
		return;
	}
	f3_debug_point("journal.before-request");
	if (!r && (e.type == F3_JOURNAL_PUT || e.type == F3_JOURNAL_ATTR)) {
		r = f3_stage_run(&call);
	} else if (!r) {
		if (t->tried)
			r = next_attempt(call.core, &e);
		t->tried = true;
		/* The names may not show yet what was done, and do before the record goes. */
		call.hold |= t->replay;
		if (!r)
			r = f3_journal_carry_out(&call);
		if (!r && t->replay)
			r = f3_ns_replay(call.core, &e);
	}
	f3_debug_point("journal.after-result");
	finished(t, &e, r, call.message);
}

/* ---- The timer ---- */

/* Who waits has waited long enough for the turn of the entry to come. It keeps its place until what
 * is before it is done, but does nothing then. Lock held, let go of meanwhile. */
static void too_late(struct f3_journal_task *t)
{
	struct f3_journal_run *j = t->gate->j;
	struct f3_core *core = j->core;
	struct over over = { { NULL } };
	uint64_t seq = t->seq, ino = t->ino;
	int r = 0;

	heap_del(j, t);
	if (t->how & F3_JOURNAL_RETRY) {
		f3_unlock(&j->lock);
		f3_stage_late(core, ino);
		f3_lock(&j->lock);
		return;
	}
	t->withdrawn = true;
	give_answer(t, -EIO, &over);
	f3_unlock(&j->lock);
	if (seq)
		r = drop_record(core, seq);
	if (r)
		f3_log_error("journal entry %" PRIu64 " cannot be removed: %s", seq,
			     f3_errno_name(r));
	f3_waiters_call(&over.waiters);
	f3_lock(&j->lock);
}

static void due(struct f3_work *work)
{
	struct f3_timer *timer =
		(struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));
	struct f3_journal_run *j =
		(struct f3_journal_run *)((char *)timer - offsetof(struct f3_journal_run, timer));
	struct f3_journal_gate *gate;

	f3_lock(&j->lock);
	while (!j->stopping && j->n_heap && j->heap[0]->due_ns <= f3_clock_mono_ns()) {
		struct f3_journal_task *t = j->heap[0];

		if (t->state == F3_TASK_BLOCKED)
			too_late(t);
		else
			now_ready(t);
	}
	TAILQ_FOREACH(gate, &j->gates, of_run)
		run_gate(gate);
	if (j->n_heap && !j->stopping)
		(void)f3_timer_arm(&j->timer, j->heap[0]->due_ns);
	f3_unlock(&j->lock);
}

/* ---- Start and end ---- */

int f3_journal_new(struct f3_core *core, struct f3_journal_run **ret_j)
{
	struct f3_journal_run *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->core = core;
	f3_lock_init(&j->lock, F3_RANK_TRANSFER);
	TAILQ_INIT(&j->gates);
	f3_timer_init(&j->timer, core->transfer, due);
	j->parallel = core->opt.stage_parallel ? core->opt.stage_parallel : 1;
	f3_counter_register(&retries);
	f3_counter_register(&collapsed);
	f3_object_register_metrics();
	f3_store_op_register_metrics();
	f3_stage_register_metrics();
	f3_fetch_register_metrics();
	f3_stream_register_metrics();
	f3_fill_register_metrics();
	f3_commitset_register_metrics();
	*ret_j = j;
	return 0;
}

void f3_journal_free(struct f3_journal_run *j)
{
	if (!j)
		return;
	free(j->heap);
	f3_lock_done(&j->lock);
	free(j);
}

int f3_journal_gate_new(struct f3_core *core, struct f3_volume *v,
			struct f3_journal_gate **ret_gate)
{
	struct f3_journal_gate *gate = calloc(1, sizeof(*gate));
	int r;

	if (!gate)
		return -ENOMEM;
	gate->j = core->journal;
	gate->volume = v;
	TAILQ_INIT(&gate->tasks);
	TAILQ_INIT(&gate->ready);
	TAILQ_INIT(&gate->barriers);
	r = f3_workq_new("stage", gate->j->parallel, QUEUE_MAX, &gate->q);
	if (r) {
		free(gate);
		return r;
	}
	f3_lock(&gate->j->lock);
	TAILQ_INSERT_TAIL(&gate->j->gates, gate, of_run);
	f3_unlock(&gate->j->lock);
	*ret_gate = gate;
	return 0;
}

void f3_journal_gate_free(struct f3_journal_gate *gate)
{
	struct f3_task_list none = TAILQ_HEAD_INITIALIZER(none);
	struct f3_journal_task *t;

	if (!gate)
		return;
	f3_workq_free(gate->q);
	f3_lock(&gate->j->lock);
	/* What a stop left undone: later ones first, so that nobody is waited for any more. */
	while ((t = TAILQ_LAST(&gate->tasks, f3_task_list))) {
		heap_del(gate->j, t);
		t->n_after = 0;
		f3_dag_remove(t, &none);
	}
	TAILQ_REMOVE(&gate->j->gates, gate, of_run);
	f3_unlock(&gate->j->lock);
	free(gate);
}

static struct f3_journal_task *task_new(struct f3_journal_gate *gate)
{
	struct f3_journal_task *t = calloc(1, sizeof(*t));
	const struct f3_core *core = gate->j->core;

	if (!t)
		return NULL;
	t->gate = gate;
	t->backoff = (struct f3_backoff){ core->opt.retry_min_ns, core->opt.retry_max_ns, 0 };
	return t;
}

static int announce(struct f3_journal_gate *gate, const struct f3_journal_entry *e, unsigned how,
		    struct f3_journal_task **ret_t)
{
	struct f3_journal_task *t = task_new(gate);
	int r;

	if (!t)
		return -ENOMEM;
	t->seq = e->seq;
	t->ino = e->ino;
	t->since_ns = e->since_ns;
	t->type = e->type;
	t->how = how;
	t->durable = e->flags & F3_JOURNAL_DURABLE;
	r = f3_dag_add(t, e);
	if (r) {
		free(t);
		return r;
	}
	gate->entries++;
	f3_journal_note(t, (int64_t)(e->type == F3_JOURNAL_PUT || e->type == F3_JOURNAL_ATTR ?
					     TASK_BYTES + FILE_BYTES :
					     TASK_BYTES + strlen(e->key) + strlen(e->key2)));
	*ret_t = t;
	return 0;
}

int f3_journal_announce(struct f3_volume *v, struct f3_journal_entry *e, unsigned how,
			struct f3_journal_task **ret_t)
{
	struct f3_journal_run *j = v->stages->j;
	int r;

	f3_lock(&j->lock);
	/* Under the lock: numbers are in the order of the places. */
	e->seq = f3_meta_new_seq(j->core->meta);
	e->since_ns = f3_clock_real_ns();
	r = announce(v->stages, e, how, ret_t);
	f3_unlock(&j->lock);
	return r;
}

struct load {
	struct f3_core *core;
	uint64_t n;
};

static int load_one(void *arg, const struct f3_journal_entry *e)
{
	struct load *load = arg;
	struct f3_volume *v = f3_volume_get(load->core, e->volume);
	struct f3_journal_task *t;
	int r;

	if (e->type == F3_JOURNAL_UPLOAD) {
		f3_volume_put(v);
		return 0; /* no task: f3_leftover_go */
	}
	if (!v)
		return 0; /* kept for the volume's return; fsck knows what to do with it */
	f3_lock(&load->core->journal->lock);
	r = announce(v->stages, e, F3_JOURNAL_ACKED | F3_JOURNAL_RETRY, &t);
	if (!r) {
		t->replay = t->tried = true;
		t->state = F3_TASK_BLOCKED;
		load->n++;
	}
	f3_unlock(&load->core->journal->lock);
	if (!r && (e->type == F3_JOURNAL_PUT || e->type == F3_JOURNAL_ATTR)) {
		r = f3_stage_adopt(load->core, e, t);
		if (r == -ENOENT)
			r = 0; /* its turn removes the record */
	}
	f3_volume_put(v);
	return r;
}

int f3_journal_load(struct f3_core *core, struct f3_err *err)
{
	struct load load = { .core = core };
	int r;

	core->journal->first_seq = f3_leftover_now(core);
	r = f3_meta_each_journal(core->meta, load_one, &load);

	if (r)
		return f3_err_set(err, r,
				  "database in %s: the journal of the last run cannot be read: %s",
				  core->cache_dir, f3_errno_name(r));
	if (load.n)
		f3_log_info("%" PRIu64
			    " changes of the last run are still to be told to object stores",
			    load.n);
	return 0;
}

static void sweep_volume(void *arg, struct f3_volume *v)
{
	(void)arg;
	f3_leftover_go(v);
}

void f3_journal_go(struct f3_core *core)
{
	struct f3_journal_run *j = core->journal;
	struct over over = { { NULL } };
	struct f3_journal_gate *gate;

	f3_lock(&j->lock);
	j->going = true;
	TAILQ_FOREACH(gate, &j->gates, of_run) {
		struct f3_journal_task *t, *next;

		for (t = TAILQ_FIRST(&gate->tasks); t; t = next) {
			next = TAILQ_NEXT(t, of_gate);
			if (t->replay && t->state == F3_TASK_BLOCKED && !t->n_deps)
				unblocked(t, &over);
		}
		run_gate(gate);
	}
	unlock_and_tell(j, &over);
	f3_volume_each(core, sweep_volume, NULL);
}

void f3_journal_stop(struct f3_core *core)
{
	struct f3_journal_run *j = core->journal;
	struct over over = { { NULL } };
	struct f3_journal_gate *gate;
	struct f3_journal_task *t;

	if (!j)
		return;
	f3_lock(&j->lock);
	j->stopping = true;
	TAILQ_FOREACH(gate, &j->gates, of_run)
		TAILQ_FOREACH(t, &gate->tasks, of_gate)
			if (t->state != F3_TASK_RUNNING)
				give_answer(t, -ESHUTDOWN, &over);
	unlock_and_tell(j, &over);
	f3_stage_interrupt(core);
	TAILQ_FOREACH(gate, &j->gates, of_run)
		f3_workq_drain(gate->q);
	f3_stage_forget(core);
}

/* ---- From outside ---- */

/* A directory whose marker the store was never told of goes again: neither is told, and both may be over
 * when this returns true. Lock held, let go of meanwhile. */
static bool collapse(struct f3_journal_task *t, struct over *over)
{
	struct f3_journal_run *j = t->gate->j;
	struct f3_journal_task *m =
		t->type == F3_JOURNAL_RMDIR && t->ino_res ? t->ino_res->marker : NULL;
	struct f3_batch *b;
	int r;

	/* While it runs it writes what it has tried. */
	if (!m || (m->state != F3_TASK_BLOCKED && m->state != F3_TASK_READY) || m->tried ||
	    !(m->how & F3_JOURNAL_ACKED) || m->w || !f3_dag_alone(t, m))
		return false;
	if (m->state == F3_TASK_READY)
		TAILQ_REMOVE(&t->gate->ready, m, of_ready);
	m->state = F3_TASK_BLOCKED;
	m->withdrawn = true;
	/* What they wait for may end meanwhile, and they would with it. */
	m->n_deps++;
	t->n_deps++;
	f3_unlock(&j->lock);
	r = f3_batch_new(j->core->meta, &b);
	if (!r) {
		f3_batch_del_journal(b, m->seq);
		f3_batch_del_journal(b, t->seq);
		r = f3_batch_commit(b);
		f3_batch_free(b);
	}
	f3_lock(&j->lock);
	m->n_deps--;
	t->n_deps--;
	if (r) {
		m->withdrawn = false;
		if (!m->n_deps)
			unblocked(m, over);
		return false;
	}
	f3_count(&collapsed, 2);
	t->withdrawn = true;
	if (!m->n_deps)
		end_task(m, 0, over);
	return true;
}

void f3_journal_begin(struct f3_journal_task *t, uint64_t delay_ns, struct f3_waiter *w)
{
	struct f3_journal_run *j = t->gate->j;
	uint64_t now = f3_clock_mono_ns();
	struct over over = { { NULL } };

	f3_lock(&j->lock);
	t->begun = true;
	t->w = w;
	t->deadline_ns = now + j->core->opt.retry_max_ns;
	t->delay_ns = delay_ns ? now + delay_ns : 0;
	t->state = F3_TASK_BLOCKED;
	if (j->stopping) {
		give_answer(t, -ESHUTDOWN, &over);
	} else if (!collapse(t, &over)) {
		if (!t->n_deps)
			unblocked(t, &over);
		else if (w && !(t->how & F3_JOURNAL_RETRY))
			(void)heap_put(j, t, t->deadline_ns);
	}
	unlock_and_tell(j, &over);
}

bool f3_journal_withdraw(struct f3_journal_task *t)
{
	struct f3_journal_run *j = t->gate->j;
	struct over over = { { NULL } };
	bool done = false;

	f3_lock(&j->lock);
	if (t->state != F3_TASK_RUNNING && t->state != F3_TASK_HELD) {
		done = true;
		t->withdrawn = true;
		if (t->state == F3_TASK_RESTING && t->gate->retrying)
			t->gate->retrying--;
		if (!t->n_deps)
			end_task(t, 0, &over);
		else
			t->state = F3_TASK_BLOCKED;
	}
	unlock_and_tell(j, &over);
	return done;
}

void f3_journal_settle(struct f3_journal_task *t)
{
	struct f3_journal_run *j = t->gate->j;
	struct over over = { { NULL } };

	f3_lock(&j->lock);
	end_task(t, 0, &over);
	unlock_and_tell(j, &over);
}

static void hurry(struct f3_journal_task *t)
{
	t->delay_ns = 0;
	if (t->state == F3_TASK_DELAYED || t->state == F3_TASK_RESTING) {
		now_ready(t);
		run_gate(t->gate);
	} else if (t->state == F3_TASK_BLOCKED && !t->slot) {
		(void)heap_put(t->gate->j, t,
			       f3_clock_mono_ns() + t->gate->j->core->opt.retry_max_ns);
	}
}

void f3_journal_hurry(struct f3_journal_task *t)
{
	struct f3_journal_run *j = t->gate->j;

	f3_lock(&j->lock);
	if (!j->stopping)
		hurry(t);
	f3_unlock(&j->lock);
}

int f3_journal_tell(struct f3_volume *v, struct f3_journal_entry *e,
		    struct f3_journal_task **ret_held)
{
	struct f3_core *core = v->stages->j->core;
	struct f3_journal_task *t;
	struct f3_blocker w;
	struct f3_batch *b;
	int r = f3_batch_new(core->meta, &b);

	if (r)
		return r;
	e->flags |= F3_JOURNAL_DURABLE;
	r = f3_journal_announce(v, e, ret_held ? F3_JOURNAL_HOLD : 0, &t);
	if (!r) {
		f3_batch_put_journal(b, e);
		r = f3_batch_commit(b);
		if (r)
			(void)f3_journal_withdraw(t);
	}
	f3_batch_free(b);
	if (r)
		return r;
	f3_blocker_init(&w);
	f3_journal_begin(t, 0, &w.w);
	r = f3_blocker_wait(&w);
	f3_blocker_done(&w);
	if (!r && ret_held)
		*ret_held = t;
	return r;
}

static int wait_for(struct f3_journal_gate *gate, bool all, uint64_t dir, uint64_t ino,
		    struct f3_waiter *w)
{
	struct f3_journal_run *j = gate->j;
	struct f3_journal_task *t = task_new(gate), *o;
	int r;

	if (!t)
		return -ENOMEM;
	t->type = F3_JOURNAL_WAIT;
	f3_lock(&j->lock);
	r = j->stopping ? -ESHUTDOWN : f3_dag_add_wait(t, dir, ino, all);
	if (!r && t->n_deps) {
		t->state = F3_TASK_BLOCKED;
		t->w = w;
		if (dir || ino)
			(void)heap_put(j, t, f3_clock_mono_ns() + j->core->opt.retry_max_ns);
		TAILQ_FOREACH(gate, &j->gates, of_run)
			for (o = TAILQ_FIRST(&gate->tasks); o; o = TAILQ_NEXT(o, of_gate))
				if (o->state == F3_TASK_DELAYED && (all || gate == t->gate) &&
				    (!ino || o->ino == ino))
					hurry(o);
		f3_unlock(&j->lock);
		return 1;
	}
	if (!r) {
		struct f3_task_list none = TAILQ_HEAD_INITIALIZER(none);

		f3_dag_remove(t, &none);
		t = NULL;
	}
	f3_unlock(&j->lock);
	free(t);
	return r;
}

int f3_journal_wait_volume(struct f3_core *core, uint32_t volume, struct f3_waiter *w)
{
	struct f3_journal_gate *gate;
	struct f3_volume *v;
	int r;

	if (!volume) {
		gate = TAILQ_FIRST(&core->journal->gates);
		return gate ? wait_for(gate, true, 0, 0, w) : 0;
	}
	v = f3_volume_get(core, volume);
	if (!v)
		return 0;
	r = wait_for(v->stages, false, 0, 0, w);
	f3_volume_put(v);
	return r;
}

int f3_journal_wait_dir(struct f3_core *core, uint64_t dir, struct f3_waiter *w)
{
	struct f3_inode *inode;
	int r = f3_inode_get(core, dir, &inode);

	if (r)
		return r;
	r = wait_for(inode->volume->stages, false, dir, 0, w);
	f3_inode_put(core, inode);
	return r;
}

int f3_journal_wait_ino(struct f3_volume *v, uint64_t ino, struct f3_waiter *w)
{
	return wait_for(v->stages, false, 0, ino, w);
}

void f3_journal_health(struct f3_volume *v, int result, const char *message)
{
	struct f3_journal_gate *gate = v->stages;
	bool log = false;
	uint64_t down_ns;

	if (result && !f3_store_transient(result))
		result = 0;
	f3_lock(&gate->j->lock);
	note_health(gate, result, &log, &down_ns);
	f3_unlock(&gate->j->lock);
	if (log)
		f3_log_error("volume %s: the object store does not work: %s: %s", v->name, message,
			     f3_errno_name(result));
	if (down_ns)
		f3_log_info("volume %s: the object store works again after %.1f s", v->name,
			    (double)down_ns / 1e9);
}

int f3_journal_key(struct f3_volume *v, uint64_t ino, char *out)
{
	struct f3_journal_run *j = v->stages->j;
	int r = f3_inode_key(j->core, ino, out, F3_KEY_MAX + 1);

	if (r)
		return r;
	f3_lock(&j->lock);
	r = f3_dag_key_before(v->stages, out);
	f3_unlock(&j->lock);
	return r;
}

bool f3_journal_covers(struct f3_volume *v, uint64_t ino, const char *key)
{
	bool covers;

	f3_lock(&v->stages->j->lock);
	covers = f3_dag_covers(v->stages, ino, key);
	f3_unlock(&v->stages->j->lock);
	return covers || (key && f3_commitset_covers(v, key));
}

void f3_journal_stats(struct f3_core *core, uint32_t volume, struct f3_journal_stats *ret)
{
	struct f3_journal_run *j = core->journal;
	struct f3_journal_gate *gate;

	memset(ret, 0, sizeof(*ret));
	f3_lock(&j->lock);
	TAILQ_FOREACH(gate, &j->gates, of_run) {
		const struct f3_journal_task *first = TAILQ_FIRST(&gate->tasks);

		if (volume && gate->volume->id != volume)
			continue;
		while (first && first->type == F3_JOURNAL_WAIT)
			first = TAILQ_NEXT(first, of_gate);
		ret->entries += gate->entries;
		ret->running += gate->running;
		ret->retrying += gate->retrying;
		if (first && (!ret->oldest_since_ns || first->since_ns < ret->oldest_since_ns))
			ret->oldest_since_ns = first->since_ns;
	}
	f3_unlock(&j->lock);
}
