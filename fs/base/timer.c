/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timer: a binary heap of armed timers, earliest first, and one thread that sleeps until
 * the first is due. Handing a timer to its queue happens under the timers' lock (the queue's
 * ranks above it), so that a timer is always either armed or handed over and cancelling knows
 * which.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "fs/base/clock.h"
#include "fs/base/lock.h"
#include "fs/base/thread.h"
#include "fs/base/workq.h"

/* How long a timer waits when its queue is full, or its last run has not begun. */
#define RETRY_NS (5 * F3_NS_PER_MS)

static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct {
	struct f3_lock lock; /* guards all of it, and slot, due and handed of timers */
	pthread_cond_t wake; /* the first timer has changed, or the end has come */
	struct f3_timer **heap;
	size_t count, cap;
	bool running, stopping;
	pthread_t thread;
} timers;

static void init_once(void)
{
	f3_lock_init(&timers.lock, F3_RANK_TIMER);
	f3_cond_init(&timers.wake);
}

static void lock_timers(void)
{
	pthread_once(&once, init_once);
	f3_lock(&timers.lock);
}

static void place(struct f3_timer *t, size_t i)
{
	timers.heap[i] = t;
	t->slot = i + 1;
}

/* Puts the timer where it belongs, at i or above or below it. */
static void settle(struct f3_timer *t, size_t i)
{
	while (i && timers.heap[(i - 1) / 2]->due_mono_ns > t->due_mono_ns) {
		place(timers.heap[(i - 1) / 2], i);
		i = (i - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < timers.count &&
		    timers.heap[child + 1]->due_mono_ns < timers.heap[child]->due_mono_ns)
			child++;
		if (child >= timers.count || timers.heap[child]->due_mono_ns >= t->due_mono_ns)
			break;
		place(timers.heap[child], i);
		i = child;
	}
	place(t, i);
}

static void take_out(struct f3_timer *t)
{
	size_t i = t->slot - 1;
	struct f3_timer *last = timers.heap[--timers.count];

	t->slot = 0;
	if (last != t)
		settle(last, i);
}

/* Runs in the queue's thread. */
static void run_timer(struct f3_work *work)
{
	struct f3_timer *t = (struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));

	lock_timers();
	t->handed = false;
	f3_unlock(&timers.lock);
	t->fn(work);
}

/* The first timer is due. */
static void hand_over(struct f3_timer *t)
{
	int error = t->handed ? -EAGAIN : f3_workq_push(t->q, &t->work);

	if (error == -ESHUTDOWN) {
		take_out(t);
	} else if (error) {
		t->due_mono_ns = f3_clock_mono_ns() + RETRY_NS;
		settle(t, t->slot - 1);
	} else {
		t->handed = true;
		take_out(t);
	}
}

static void *timers_main(void *arg)
{
	(void)arg;
	f3_lock(&timers.lock);
	while (!timers.stopping) {
		if (!timers.count)
			f3_cond_wait(&timers.wake, &timers.lock, 0);
		else if (timers.heap[0]->due_mono_ns > f3_clock_mono_ns())
			f3_cond_wait(&timers.wake, &timers.lock, timers.heap[0]->due_mono_ns);
		else
			hand_over(timers.heap[0]);
	}
	f3_unlock(&timers.lock);
	return NULL;
}

int f3_timers_start(void)
{
	int error = 0;

	lock_timers();
	if (!timers.running) {
		timers.stopping = false;
		error = f3_thread_start(&timers.thread, "timer", timers_main, NULL);
		timers.running = !error;
	}
	f3_unlock(&timers.lock);
	return error;
}

void f3_timers_stop(void)
{
	bool join;

	lock_timers();
	join = timers.running;
	timers.stopping = true;
	pthread_cond_signal(&timers.wake);
	f3_unlock(&timers.lock);
	if (join)
		pthread_join(timers.thread, NULL);

	lock_timers();
	timers.running = false;
	for (size_t i = 0; i < timers.count; i++)
		timers.heap[i]->slot = 0;
	free(timers.heap);
	timers.heap = NULL;
	timers.count = 0;
	timers.cap = 0;
	f3_unlock(&timers.lock);
}

void f3_timer_init(struct f3_timer *t, struct f3_workq *q, void (*fn)(struct f3_work *))
{
	*t = (struct f3_timer){ .work = { .fn = run_timer }, .q = q, .fn = fn };
}

int f3_timer_arm(struct f3_timer *t, uint64_t due_mono_ns)
{
	int error = 0;

	lock_timers();
	if (!t->slot && timers.count == timers.cap) {
		size_t cap = timers.cap ? 2 * timers.cap : 64;
		struct f3_timer **heap = realloc(timers.heap, cap * sizeof(*heap));

		if (heap) {
			timers.heap = heap;
			timers.cap = cap;
		} else {
			error = -ENOMEM;
		}
	}
	if (!error) {
		/* A new one starts in the free place at the end. */
		size_t i = t->slot ? t->slot - 1 : timers.count++;

		t->due_mono_ns = due_mono_ns;
		settle(t, i);
		if (timers.heap[0] == t)
			pthread_cond_signal(&timers.wake);
	}
	f3_unlock(&timers.lock);
	return error;
}

bool f3_timer_cancel(struct f3_timer *t)
{
	bool armed;

	lock_timers();
	armed = t->slot != 0;
	if (armed)
		take_out(t);
	/* Armed again while its last run waits in the queue: that one still comes. */
	armed = armed && !t->handed;
	f3_unlock(&timers.lock);
	return armed;
}

uint64_t f3_backoff_next_ns(struct f3_backoff *b)
{
	uint64_t top = b->base_ns, random;

	/* base, doubled with each attempt, up to max */
	for (unsigned i = 0; i <= b->attempt && top < b->max_ns; i++)
		top = top > b->max_ns / 2 ? b->max_ns : top * 2;
	if (b->attempt < 64)
		b->attempt++;
	if (top <= b->base_ns)
		return b->base_ns;
	/* Jitter needs to differ between nodes, not to be unpredictable. */
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = f3_clock_mono_ns();
	return b->base_ns + random % (top - b->base_ns + 1);
}
