/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/workq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/lock.h"
#include "fs/base/thread.h"

struct worker {
	struct f3_workq *q;
	pthread_t thread;
	uint64_t running; /* sequence number of the item it runs, 0: none */
};

struct f3_workq {
	struct f3_lock lock; /* guards everything below */
	pthread_cond_t work; /* there is something to do, or the end has come */
	pthread_cond_t done; /* an item has run and somebody drains */
	struct f3_work *head, **tail;
	size_t queued, max_queued;
	uint64_t pushed, taken; /* items ever pushed and taken: sequence numbers from 1 */
	unsigned max_threads, threads, sleeping, drainers;
	bool stopping;
	char name[F3_THREAD_NAME_MAX + 1];
	struct worker workers[];
};

int f3_workq_new(const char *name, unsigned threads, size_t max_queued, struct f3_workq **ret_q)
{
	struct f3_workq *q;

	if (!threads || !max_queued || strlen(name) >= sizeof(q->name))
		return -EINVAL;
	q = calloc(1, sizeof(*q) + threads * sizeof(q->workers[0]));
	if (!q)
		return -ENOMEM;
	f3_lock_init(&q->lock, F3_RANK_QUEUE);
	f3_cond_init(&q->work);
	f3_cond_init(&q->done);
	q->tail = &q->head;
	q->max_queued = max_queued;
	q->max_threads = threads;
	memcpy(q->name, name, strlen(name) + 1);
	*ret_q = q;
	return 0;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct f3_workq *q = w->q;
	struct f3_work *work;

	f3_lock(&q->lock);
	for (;;) {
		while (!q->head && !q->stopping) {
			q->sleeping++;
			f3_cond_wait(&q->work, &q->lock, 0);
			q->sleeping--;
		}
		if (!q->head)
			break;
		work = q->head;
		q->head = work->next;
		if (!q->head)
			q->tail = &q->head;
		q->queued--;
		w->running = ++q->taken;
		f3_unlock(&q->lock);

		work->next = NULL;
		work->fn(work);

		f3_lock(&q->lock);
		w->running = 0;
		if (q->drainers)
			pthread_cond_broadcast(&q->done);
	}
	f3_unlock(&q->lock);
	return NULL;
}

/* One more thread if everybody there is busy. Fails only when there would be none at all. */
static int provide_worker(struct f3_workq *q)
{
	struct worker *w = &q->workers[q->threads];
	int error;

	if (q->sleeping > q->queued) {
		pthread_cond_signal(&q->work);
		return 0;
	}
	if (q->threads == q->max_threads)
		return 0;
	w->q = q;
	error = f3_thread_start(&w->thread, q->name, worker_main, w);
	if (!error)
		q->threads++;
	return q->threads ? 0 : error;
}

int f3_workq_push(struct f3_workq *q, struct f3_work *work)
{
	int error;

	f3_lock(&q->lock);
	if (q->stopping)
		error = -ESHUTDOWN;
	else if (q->queued >= q->max_queued)
		error = -EAGAIN;
	else
		error = provide_worker(q);
	if (!error) {
		work->next = NULL;
		*q->tail = work;
		q->tail = &work->next;
		q->queued++;
		q->pushed++;
	}
	f3_unlock(&q->lock);
	return error;
}

/* Whether an item up to this sequence number waits or runs. */
static bool unfinished(const struct f3_workq *q, uint64_t upto)
{
	if (q->taken < upto)
		return true;
	for (unsigned i = 0; i < q->threads; i++)
		if (q->workers[i].running && q->workers[i].running <= upto)
			return true;
	return false;
}

void f3_workq_drain(struct f3_workq *q)
{
	uint64_t upto;

	f3_lock(&q->lock);
	upto = q->pushed;
	q->drainers++;
	while (unfinished(q, upto))
		f3_cond_wait(&q->done, &q->lock, 0);
	q->drainers--;
	f3_unlock(&q->lock);
}

size_t f3_workq_queued(struct f3_workq *q)
{
	size_t n;

	f3_lock(&q->lock);
	n = q->queued;
	f3_unlock(&q->lock);
	return n;
}

void f3_workq_free(struct f3_workq *q)
{
	if (!q)
		return;
	f3_lock(&q->lock);
	q->stopping = true;
	pthread_cond_broadcast(&q->work);
	f3_unlock(&q->lock);
	/* No push starts a thread any more. */
	for (unsigned i = 0; i < q->threads; i++)
		pthread_join(q->workers[i].thread, NULL);
	pthread_cond_destroy(&q->work);
	pthread_cond_destroy(&q->done);
	f3_lock_done(&q->lock);
	free(q);
}
