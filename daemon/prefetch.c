/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/prefetch.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/base/metric.h"
#include "fs/core/fill.h"

enum { FREE, RUNNING, ENDED };

struct slot {
	struct f3_waiter w;
	struct f3_prefetch *p;
	struct f3_inode *inode;
	int state; /* lock */
	int result; /* once it has ended */
};

struct f3_prefetch {
	struct f3_core *core;
	struct f3_lock lock;
	pthread_cond_t rested; /* it is not pumping any more; stopping: a slot has ended */
	struct f3_work work;
	bool pumping, again; /* lock; `work` is queued or runs; there is more to do since */
	bool stopping; /* lock */
	unsigned n_running; /* lock; slots not free */
	unsigned first, n_queued; /* lock */
	uint64_t queue[F3_PREFETCH_QUEUED];
	struct slot slots[F3_PREFETCH_RUNNING];
};

static struct f3_counter results[] = {
	{ .name = "f3_prefetched_files_total",
	  .labels = "result=\"ok\"",
	  .help = "Files that hints wanted to have here." },
	{ .name = "f3_prefetched_files_total", .labels = "result=\"error\"" },
	{ .name = "f3_prefetched_files_total", .labels = "result=\"dropped\"" },
};
enum { OK, ERROR, DROPPED };

void f3_prefetch_register_metrics(void)
{
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		results[i].help = results[0].help;
		f3_counter_register(&results[i]);
	}
}

static void count(int result)
{
	f3_count(&results[result < 0 && result != -ENOENT && result != -ESTALE ? ERROR : OK], 1);
}

static void pump(struct f3_work *work);

/* Lock held. True: the caller has to push the work. */
static bool wake(struct f3_prefetch *p)
{
	bool begin = !p->pumping;

	p->pumping = true;
	p->again = true;
	return begin;
}

static void push(struct f3_prefetch *p)
{
	if (f3_workq_push(p->core->blocking, &p->work))
		pump(&p->work);
}

static void ended(struct f3_waiter *w, int result)
{
	struct slot *slot = (struct slot *)w;
	struct f3_prefetch *p = slot->p;
	bool begin = false;

	f3_lock(&p->lock);
	slot->result = result;
	slot->state = ENDED;
	/* f3_prefetch_free takes what ends from then on */
	if (p->stopping)
		pthread_cond_broadcast(&p->rested);
	else
		begin = wake(p);
	f3_unlock(&p->lock);
	if (begin)
		push(p);
}

/* What is the next thing to do? Lock held. */
static struct slot *next_ended(struct f3_prefetch *p)
{
	for (unsigned i = 0; i < F3_PREFETCH_RUNNING; i++)
		if (p->slots[i].state == ENDED)
			return &p->slots[i];
	return NULL;
}

static struct slot *next_begun(struct f3_prefetch *p, uint64_t *ret_ino)
{
	if (!p->n_queued || p->n_running == F3_PREFETCH_RUNNING)
		return NULL;
	for (unsigned i = 0; i < F3_PREFETCH_RUNNING; i++) {
		if (p->slots[i].state != FREE)
			continue;
		*ret_ino = p->queue[p->first];
		p->first = (p->first + 1) % F3_PREFETCH_QUEUED;
		p->n_queued--;
		p->n_running++;
		p->slots[i].state = RUNNING;
		return &p->slots[i];
	}
	return NULL;
}

static void let_go(struct f3_prefetch *p, struct slot *slot, int result)
{
	if (slot->inode)
		f3_inode_put(p->core, slot->inode);
	slot->inode = NULL;
	count(result);
	f3_lock(&p->lock);
	slot->state = FREE;
	p->n_running--;
	f3_unlock(&p->lock);
}

static void begin(struct f3_prefetch *p, struct slot *slot, uint64_t ino)
{
	struct f3_inode *inode;
	int r = f3_inode_get(p->core, ino, &inode);

	if (r) {
		let_go(p, slot, r);
		return;
	}
	slot->inode = inode;
	slot->w = (struct f3_waiter){ .fn = ended };
	r = f3_fill_all(p->core, inode, &slot->w);
	if (r)
		let_go(p, slot, r);
}

static void pump(struct f3_work *work)
{
	struct f3_prefetch *p =
		(struct f3_prefetch *)((char *)work - offsetof(struct f3_prefetch, work));
	bool more = true;

	while (more) {
		struct slot *done, *slot = NULL;
		uint64_t ino = 0;

		f3_lock(&p->lock);
		done = next_ended(p);
		if (!done)
			slot = next_begun(p, &ino);
		if (!done && !slot) {
			more = p->again;
			p->again = false;
			if (!more) {
				p->pumping = false;
				pthread_cond_broadcast(&p->rested);
			}
		}
		f3_unlock(&p->lock);
		if (done)
			let_go(p, done, done->result);
		else if (slot)
			begin(p, slot, ino);
	}
}

int f3_prefetch_new(struct f3_core *core, struct f3_prefetch **ret_p)
{
	struct f3_prefetch *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->core = core;
	p->work.fn = pump;
	f3_lock_init(&p->lock, F3_RANK_QUEUE);
	f3_cond_init(&p->rested);
	for (unsigned i = 0; i < F3_PREFETCH_RUNNING; i++)
		p->slots[i].p = p;
	*ret_p = p;
	return 0;
}

void f3_prefetch_free(struct f3_prefetch *p)
{
	if (!p)
		return;
	f3_lock(&p->lock);
	p->stopping = true;
	p->n_queued = 0;
	while (p->pumping)
		(void)f3_cond_wait(&p->rested, &p->lock, 0);
	f3_unlock(&p->lock);
	/* Now nobody else takes slots or lets go of them. */
	for (unsigned i = 0; i < F3_PREFETCH_RUNNING; i++) {
		struct slot *slot = &p->slots[i];

		if (slot->inode && f3_fill_cancel(slot->inode, &slot->w))
			ended(&slot->w, -ECANCELED);
	}
	for (unsigned i = 0; i < F3_PREFETCH_RUNNING; i++) {
		struct slot *slot = &p->slots[i];

		f3_lock(&p->lock);
		while (slot->state == RUNNING)
			(void)f3_cond_wait(&p->rested, &p->lock, 0);
		f3_unlock(&p->lock);
		if (slot->state == ENDED)
			let_go(p, slot, slot->result);
	}
	pthread_cond_destroy(&p->rested);
	f3_lock_done(&p->lock);
	free(p);
}

int f3_prefetch_add(struct f3_prefetch *p, uint64_t ino)
{
	bool begin;
	int r = 0;

	f3_lock(&p->lock);
	if (p->stopping || p->n_queued == F3_PREFETCH_QUEUED)
		r = -EAGAIN;
	else
		p->queue[(p->first + p->n_queued++) % F3_PREFETCH_QUEUED] = ino;
	begin = !r && wake(p);
	f3_unlock(&p->lock);
	if (r)
		f3_count(&results[DROPPED], 1);
	if (begin)
		push(p);
	return r;
}

void f3_prefetch_stats(struct f3_prefetch *p, struct f3_prefetch_stats *ret_stats)
{
	f3_lock(&p->lock);
	*ret_stats = (struct f3_prefetch_stats){ .queued = p->n_queued, .running = p->n_running };
	f3_unlock(&p->lock);
}
