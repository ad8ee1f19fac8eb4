/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/activation.h"
#include "fs/core/fill_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/metric.h"
#include "fs/core/evict.h"
#include "fs/core/journal_run.h"
#include "fs/core/store_op.h"
#include "fs/core/traffic.h"

#define AGAIN_NS (10 * F3_NS_PER_MS)
/* What a request is taken to last before there was any. */
#define PACE_UNKNOWN_NS (100 * F3_NS_PER_MS)

_Static_assert(sizeof(struct f3_transfer) <= F3_FILL_TRANSFER_BYTES,
	       "it is accounted for with this");

static struct f3_counter fetched = {
	.name = "f3_fills_total",
	.labels = "result=\"ok\"",
	.help = "Ranges of objects fetched into backing files, or given up.",
};
static struct f3_counter given_up = { .name = "f3_fills_total", .labels = "result=\"error\"" };
static struct f3_counter retries = {
	.name = "f3_fill_retries_total",
	.labels = "",
	.help = "Times a range could not be fetched and is tried again.",
};

void f3_fill_register_metrics(void)
{
	given_up.help = fetched.help;
	f3_counter_register(&fetched);
	f3_counter_register(&given_up);
	f3_counter_register(&retries);
	f3_traffic_register_metrics();
}

static void have_memory(struct f3_waiter *w, int result);
static void start(struct f3_work *work);
static void rested(struct f3_work *work);

static struct f3_fill_gate *gate_of(const struct f3_transfer *t)
{
	return t->inode->volume->fills;
}

/* ---- The gate ---- */

static void gate_again(struct f3_work *work)
{
	struct f3_timer *timer =
		(struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));

	f3_fill_gate_run(
		(struct f3_fill_gate *)((char *)timer - offsetof(struct f3_fill_gate, again)));
}

int f3_fill_gate_new(struct f3_core *core, struct f3_fill_gate **ret_gate)
{
	struct f3_fill_gate *gate = calloc(1, sizeof(*gate));

	if (!gate)
		return -ENOMEM;
	gate->core = core;
	f3_lock_init(&gate->lock, F3_RANK_TRANSFER);
	TAILQ_INIT(&gate->demand);
	TAILQ_INIT(&gate->ahead);
	f3_timer_init(&gate->again, core->transfer, gate_again);
	*ret_gate = gate;
	return 0;
}

void f3_fill_gate_free(struct f3_fill_gate *gate)
{
	if (!gate)
		return;
	f3_timer_cancel(&gate->again);
	f3_lock_done(&gate->lock);
	free(gate);
}

static struct f3_transfer_list *gate_list(struct f3_fill_gate *gate, const struct f3_transfer *t)
{
	return t->demand ? &gate->demand : &gate->ahead;
}

static void gate_put(struct f3_transfer *t)
{
	struct f3_fill_gate *gate = gate_of(t);

	f3_lock(&gate->lock);
	TAILQ_INSERT_TAIL(gate_list(gate, t), t, of_gate);
	t->in_gate = true;
	f3_unlock(&gate->lock);
}

/* True: it was in the gate and will not be started. */
static bool gate_take_out(struct f3_transfer *t)
{
	struct f3_fill_gate *gate = gate_of(t);
	bool was;

	f3_lock(&gate->lock);
	was = t->in_gate;
	if (was)
		TAILQ_REMOVE(gate_list(gate, t), t, of_gate);
	t->in_gate = false;
	f3_unlock(&gate->lock);
	return was;
}

static void gate_leave(struct f3_transfer *t)
{
	struct f3_fill_gate *gate = gate_of(t);

	f3_lock(&gate->lock);
	if (t->holds_slot)
		gate->running--;
	t->holds_slot = false;
	f3_unlock(&gate->lock);
}

void f3_transfer_promote(struct f3_transfer *t)
{
	struct f3_fill_gate *gate = gate_of(t);

	f3_lock(&gate->lock);
	if (t->in_gate && !t->demand) {
		TAILQ_REMOVE(&gate->ahead, t, of_gate);
		TAILQ_INSERT_TAIL(&gate->demand, t, of_gate);
	}
	t->demand = true;
	f3_unlock(&gate->lock);
}

static bool is_demand(struct f3_transfer *t)
{
	struct f3_fill_gate *gate = gate_of(t);
	bool demand;

	f3_lock(&gate->lock);
	demand = t->demand;
	f3_unlock(&gate->lock);
	return demand;
}

void f3_fill_gate_run(struct f3_fill_gate *gate)
{
	struct f3_core *core = gate->core;

	for (;;) {
		struct f3_transfer *t = NULL;
		int r = 0;

		/* The push is under the lock too: a transfer that is neither here nor running could
		 * not be told from one that is being started. */
		f3_lock(&gate->lock);
		if (gate->running < core->opt.fill_parallel)
			t = TAILQ_FIRST(&gate->demand) ? TAILQ_FIRST(&gate->demand) :
							 TAILQ_FIRST(&gate->ahead);
		if (t) {
			r = f3_workq_push(core->transfer, &t->work);
			if (!r) {
				TAILQ_REMOVE(gate_list(gate, t), t, of_gate);
				t->in_gate = false;
				t->holds_slot = true;
				gate->running++;
			}
		}
		f3_unlock(&gate->lock);
		if (r == -EAGAIN)
			(void)f3_timer_arm(&gate->again, f3_clock_mono_ns() + AGAIN_NS);
		if (!t || r)
			return;
	}
}

/* ---- One transfer ---- */

static struct f3_transfer *make(struct f3_core *core, struct f3_inode *inode, uint64_t off,
				uint64_t len, bool demand)
{
	struct f3_transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->core = core;
	t->inode = inode;
	t->off = off;
	t->len = len;
	t->demand = demand;
	t->backoff = (struct f3_backoff){ core->opt.retry_min_ns, core->opt.retry_max_ns, 0 };
	t->work.fn = start;
	f3_timer_init(&t->rest, core->transfer, rested);
	t->room.w.fn = have_memory;
	f3_inode_ref(inode);
	TAILQ_INSERT_TAIL(&inode->fill->transfers, t, of_fill);
	inode->fill->n_transfers++;
	return t;
}

int f3_transfer_new(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t len,
		    bool demand)
{
	struct f3_transfer *t = make(core, inode, off, len, demand);

	if (!t)
		return -ENOMEM;
	gate_put(t);
	return 0;
}

bool f3_fill_given(struct f3_core *core, struct f3_inode *inode, const char *etag, void *buf,
		   uint64_t len)
{
	struct f3_bytes *bytes = f3_bytes_of(buf, len);
	const struct f3_fill *fill;
	struct f3_transfer *t = NULL;

	if (!bytes)
		return false;
	f3_lock(&inode->lock);
	fill = inode->fill;
	if (inode->extents && !fill->error && !fill->stopping && !fill->n_transfers &&
	    len <= inode->rec.base_limit && !strcmp(inode->rec.etag, etag))
		t = make(core, inode, 0, len, true);
	if (t) {
		t->state = F3_TRANSFER_LANDING;
		t->bytes = bytes;
	}
	f3_unlock(&inode->lock);
	if (t)
		f3_transfer_arrived(t);
	else
		free(bytes);
	return t;
}

static void drop_buffer(struct f3_transfer *t)
{
	f3_bytes_put(t->core->recent, t->bytes);
	t->bytes = NULL;
	if (t->taken)
		f3_budget_give(t->core->budget, F3_ACCT_BUFFERS, t->taken);
	t->taken = 0;
	if (t->asked)
		f3_object_op_done(&t->asked->op);
}

/* The tidying frees it, and gives its reference back: at shutdown threads of the store and of the ring
 * must be through with the inode once the queue of work is. */
void f3_transfer_end(struct f3_transfer *t)
{
	struct f3_inode *inode = t->inode;
	struct f3_fill *fill;

	drop_buffer(t);
	gate_leave(t);
	f3_fill_gate_run(gate_of(t));
	f3_lock(&inode->lock);
	fill = inode->fill;
	TAILQ_REMOVE(&fill->transfers, t, of_fill);
	fill->n_transfers--;
	TAILQ_INSERT_TAIL(&fill->ended, t, of_fill);
	/* Who came while it was failing relied on it. */
	if (inode->extents && f3_waiters_want(&inode->extents->waiters, t->off, t->len))
		fill->more = true;
	f3_fill_tidy_soon(inode, fill);
	f3_fill_moved(fill);
	f3_unlock(&inode->lock);
}

void f3_transfers_dispose(struct f3_inode *inode, struct f3_fill *fill)
{
	struct f3_transfer *t, *next;

	for (t = TAILQ_FIRST(&fill->ended); t; t = next) {
		next = TAILQ_NEXT(t, of_fill);
		if (t->canceling)
			continue;
		TAILQ_REMOVE(&fill->ended, t, of_fill);
		f3_inode_put(t->core, inode); /* not the last one: the caller has one */
		free(t->asked);
		free(t);
	}
}

/* Those who wait for this range get the error; the transfer is over. Inode lock held; let go. */
static void give_up(struct f3_transfer *t, int r, bool everybody)
{
	struct f3_waiter_list ready = { NULL };
	struct f3_inode *inode = t->inode;

	f3_count(&given_up, 1);
	if (inode->extents && everybody)
		f3_waiters_collect(&inode->extents->waiters, r, &ready);
	else if (inode->extents)
		f3_waiters_collect_range(&inode->extents->waiters, t->off, t->len, r, &ready);
	f3_unlock(&inode->lock);
	f3_waiters_call(&ready);
	f3_transfer_end(t);
}

static bool worth_another_try(int r)
{
	switch (r) {
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
	case -EROFS:
	case -EACCES:
	case -EPERM:
	case -EINVAL:
	case -ENAMETOOLONG:
	case -ESHUTDOWN:
		return false;
	default:
		return true;
	}
}

/* It failed with r: again after a while, if somebody waits for it still. */
static void rest(struct f3_transfer *t, int r)
{
	struct f3_inode *inode = t->inode;
	uint64_t now = f3_clock_mono_ns();

	drop_buffer(t);
	gate_leave(t);
	f3_lock(&inode->lock);
	if (!t->failing_since_ns)
		t->failing_since_ns = now;
	if (inode->fill->stopping || inode->fill->error || !worth_another_try(r) ||
	    now - t->failing_since_ns >= t->core->opt.retry_max_ns || !inode->extents ||
	    !f3_waiters_want(&inode->extents->waiters, t->off, t->len)) {
		give_up(t, r, false);
		return;
	}
	t->state = F3_TRANSFER_RESTING;
	if (!t->canceling) {
		free(t->asked);
		t->asked = NULL;
	}
	if (f3_timer_arm(&t->rest, now + f3_backoff_next_ns(&t->backoff))) {
		give_up(t, r, false);
		return;
	}
	f3_unlock(&inode->lock);
	f3_count(&retries, 1);
	f3_fill_gate_run(inode->volume->fills);
}

static void queue_again(struct f3_transfer *t)
{
	struct f3_inode *inode = t->inode;
	bool stopping;

	f3_lock(&inode->lock);
	stopping = inode->fill->stopping;
	t->state = F3_TRANSFER_QUEUED;
	t->work.fn = start;
	if (!stopping)
		gate_put(t);
	f3_unlock(&inode->lock);
	if (stopping)
		f3_transfer_end(t);
	else
		f3_fill_gate_run(inode->volume->fills);
}

static void rested(struct f3_work *work)
{
	struct f3_timer *timer =
		(struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));

	queue_again((struct f3_transfer *)((char *)timer - offsetof(struct f3_transfer, rest)));
}

/*
 * There is no such object, or it is another one. That may be our own doing: the file was renamed
 * or committed since the request was made up, or a rename still waits in the journal. Otherwise
 * these bytes are gone for good.
 */
static void look_again(struct f3_work *work)
{
	struct f3_transfer *t =
		(struct f3_transfer *)((char *)work - offsetof(struct f3_transfer, work));
	struct f3_inode *inode = t->inode;
	char key[F3_KEY_MAX + 1] = "";
	bool other, covered;

	other = f3_inode_key(t->core, inode->ino, key, sizeof(key)) == 0 &&
		strcmp(key, t->asked->key) != 0;
	covered = f3_journal_covers(inode->volume, inode->ino, t->asked->key);
	f3_lock(&inode->lock);
	other |= strcmp(inode->rec.etag, t->asked->etag) != 0;
	if (other || covered) {
		f3_unlock(&inode->lock);
		rest(t, -ESTALE);
		return;
	}
	inode->fill->error = -ESTALE;
	inode->checked_mono_ns = 0;
	give_up(t, -ESTALE, true);
}

void f3_transfer_failed(struct f3_transfer *t, int r)
{
	if (r != -ENOENT && r != -ESTALE) {
		rest(t, r);
		return;
	}
	/* It has to read the database: not on a thread of the store. */
	t->work.fn = look_again;
	if (f3_workq_push(t->core->transfer, &t->work))
		look_again(&t->work);
}

/* One in eight of the new, seven of the old. */
static void mix(_Atomic uint64_t *mean, uint64_t value)
{
	uint64_t old = *mean;

	*mean = old ? old - old / 8 + value / 8 : value;
}

uint64_t f3_fill_estimate_ns(struct f3_core *core, struct f3_volume *v, uint64_t files,
			     uint64_t bytes)
{
	uint64_t parallel = core->opt.fill_parallel, request_ns = v->fills->pace_ns;
	uint64_t usual = v->fills->pace_bytes, requests = files + bytes / core->opt.fill_bytes;
	double each_ns;

	if (!bytes || !requests)
		return 0;
	if (!request_ns) {
		request_ns = PACE_UNKNOWN_NS;
		usual = core->opt.fill_bytes;
	}
	each_ns = (double)request_ns;
	if (bytes / requests > usual && usual)
		each_ns *= (double)(bytes / requests) / (double)usual;
	return (uint64_t)(each_ns * (double)((requests + parallel - 1) / parallel));
}

static void got(struct f3_obj_op *op)
{
	struct f3_transfer *t = op->owner;
	int r = op->result;

	f3_store_counted(op, t->asked->since_mono_ns);
	if (!r) {
		mix(&t->inode->volume->fills->pace_ns,
		    f3_clock_mono_ns() - t->asked->since_mono_ns);
		mix(&t->inode->volume->fills->pace_bytes, op->moved);
	}
	/* The object is shorter than its record although the tag is the same. */
	if (!r && op->moved < t->len)
		r = -EIO;
	if (r) {
		f3_transfer_failed(t, r);
		return;
	}
	f3_lock(&t->inode->lock);
	f3_act_fetched(t->inode, op->moved);
	f3_unlock(&t->inode->lock);
	f3_count(&fetched, 1);
	f3_transfer_arrived(t);
}

/* Is it still wanted, and what exactly? 0, or -ECANCELED. */
static int make_up(struct f3_transfer *t, struct f3_asked *asked)
{
	struct f3_inode *inode = t->inode;
	const struct f3_fill *fill;
	uint64_t limit;
	int r = 0;

	f3_lock(&inode->lock);
	fill = inode->fill;
	limit = inode->rec.base_limit;
	if (fill->stopping || fill->error || !inode->extents || t->off >= limit ||
	    (t->failing_since_ns && !f3_waiters_want(&inode->extents->waiters, t->off, t->len)))
		r = -ECANCELED;
	if (!r && t->len > limit - t->off)
		t->len = limit - t->off;
	t->state = F3_TRANSFER_ASKING;
	t->asked = asked;
	memcpy(asked->etag, inode->rec.etag, sizeof(asked->etag));
	f3_unlock(&inode->lock);
	return r;
}

static void ask(struct f3_work *work)
{
	struct f3_transfer *t =
		(struct f3_transfer *)((char *)work - offsetof(struct f3_transfer, work));
	struct f3_obj_op *op = &t->asked->op;

	if (!t->bytes)
		t->bytes = f3_bytes_new(t->core->recent, t->taken);
	t->taken = 0;
	if (!t->bytes) {
		f3_transfer_failed(t, -ENOMEM);
		return;
	}
	op->done = got;
	op->owner = t;
	op->key = t->asked->key;
	op->etag = t->asked->etag;
	op->cond = F3_OBJ_MATCH;
	op->off = t->off;
	op->len = t->len;
	op->buf = t->bytes->buf;
	t->asked->since_mono_ns = f3_clock_mono_ns();
	f3_object_submit(t->inode->volume->store, op);
}

static void have_memory(struct f3_waiter *w, int result)
{
	struct f3_transfer *t =
		(struct f3_transfer *)((char *)w - offsetof(struct f3_transfer, room.w));

	(void)result;
	/* Not here: who has just given memory back may be a thread of the store. */
	t->work.fn = ask;
	if (f3_workq_push(t->core->transfer, &t->work))
		ask(&t->work);
}

/* Who waits, waits for memory too; running ahead is the first thing to be left out. 1: there it
 * is. 0: it goes on by itself. */
static int take_memory(struct f3_transfer *t)
{
	struct f3_budget *budget = t->core->budget;
	bool demand = is_demand(t);
	int r = f3_evict_room(t->core, t->len);

	if (r)
		return r;
	t->bytes = f3_bytes_reuse(t->core->recent, t->len);
	if (t->bytes)
		return 1;
	t->taken = t->len;
	if (!f3_budget_try_take(budget, F3_ACCT_BUFFERS, t->len))
		return 1;
	f3_recent_shrink(t->core->recent, t->len, demand);
	r = demand ? f3_budget_ask(budget, F3_ACCT_BUFFERS, t->len, &t->room) :
		     f3_budget_try_take(budget, F3_ACCT_BUFFERS, t->len);
	if (r < 0)
		t->taken = 0;
	return r ? r : !demand;
}

static void start(struct f3_work *work)
{
	struct f3_transfer *t =
		(struct f3_transfer *)((char *)work - offsetof(struct f3_transfer, work));
	struct f3_asked *asked = t->asked ? t->asked : malloc(sizeof(*asked));
	int r;

	if (!asked) {
		f3_transfer_failed(t, -ENOMEM);
		return;
	}
	f3_object_op_init(&asked->op, F3_OBJ_GET);
	if (make_up(t, asked)) {
		f3_transfer_end(t);
		return;
	}
	r = f3_inode_key(t->core, t->inode->ino, asked->key, sizeof(asked->key));
	if (!r && !t->inode->volume->store)
		r = -EIO;
	if (!r)
		r = take_memory(t);
	if (r == 1)
		ask(&t->work);
	else if (r == -ENOMEM && !is_demand(t))
		f3_transfer_end(t); /* if somebody waits for it now, he is seen there */
	else if (r)
		f3_transfer_failed(
			t, r); /* without a name there is no object, and that does not change */
}

/* ---- The end from outside ---- */

void f3_transfers_cancel(struct f3_inode *inode, struct f3_fill *fill)
{
	struct f3_transfer *t = TAILQ_FIRST(&fill->transfers);

	while (t) {
		struct f3_obj_op *op = t->asked ? &t->asked->op : NULL;
		bool over = false;

		if (t->cancel_asked) {
			t = TAILQ_NEXT(t, of_fill);
			continue;
		}
		t->cancel_asked = true;
		t->canceling++;
		if (t->state == F3_TRANSFER_QUEUED)
			over = gate_take_out(t);
		else if (t->state == F3_TRANSFER_RESTING)
			over = f3_timer_cancel(&t->rest);
		f3_unlock(&inode->lock);
		if (!over)
			over = f3_budget_cancel(t->core->budget, &t->room);
		if (over)
			f3_transfer_end(t);
		else if (op && inode->volume->store)
			f3_object_cancel(inode->volume->store, op);
		f3_lock(&inode->lock);
		t->canceling--;
		t = TAILQ_FIRST(&fill->transfers);
	}
}
