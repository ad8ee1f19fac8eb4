/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workq: a bounded queue of work with named threads, and the one timer.
 *
 * A work item is embedded in whatever it works on, so pushing allocates nothing. An item is
 * in at most one queue at a time; after its function was called the queue does not touch it
 * again (the function may free it). Order is first in, first out per queue.
 *
 * Delayed work goes through one timer thread for the process, which sleeps without a timeout
 * while nothing is due: an idle daemon uses no CPU.
 */
#ifndef F3_BASE_WORKQ_H
#define F3_BASE_WORKQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct f3_work {
	void (*fn)(struct f3_work *work);
	struct f3_work *next;		/* owned by the queue while queued */
};

struct f3_workq;

/* name: at most 11 characters, threads are called f3-<name>. A thread starts when a push finds
 * nobody idle, up to the given number, and stays. 0 or -errno. */
int f3_workq_new(const char *name, unsigned threads, size_t max_queued, struct f3_workq **ret_q);
/* Runs what is queued, then joins the threads. */
void f3_workq_free(struct f3_workq *q);
/* 0, -EAGAIN when the queue is full (or its first thread cannot be started), -ESHUTDOWN once
 * f3_workq_free has begun. Never blocks. */
int f3_workq_push(struct f3_workq *q, struct f3_work *work);
/* Blocks until everything pushed before the call has run. Not from a worker. */
void f3_workq_drain(struct f3_workq *q);
size_t f3_workq_queued(struct f3_workq *q);

/*
 * A timer pushes a work item at a deadline. Embedded, armed at most once at a time.
 * f3_timer_cancel returns true if the work will not run because of it (it was still armed);
 * false if it was not armed or has already been handed to its queue: then f3_workq_drain of that
 * queue waits for it. When the queue is full at the deadline the timer tries again a little
 * later; when the queue has been freed the timer is dropped. Its function may arm it again or
 * free it.
 */
struct f3_timer {
	struct f3_work work;
	void (*fn)(struct f3_work *work);	/* given &timer->work */
	struct f3_workq *q;
	uint64_t due_mono_ns;
	size_t slot;			/* position in the heap + 1; 0 = not armed */
	bool handed;			/* in its queue, not begun yet */
};

/* Once per process, after going to the background. Timers armed before it fire after it. */
int f3_timers_start(void);
/* Joins the thread; what is still armed is dropped. Before the queues are freed. */
void f3_timers_stop(void);
void f3_timer_init(struct f3_timer *t, struct f3_workq *q, void (*fn)(struct f3_work *));
/* Arms or re-arms. 0 or -ENOMEM. */
int f3_timer_arm(struct f3_timer *t, uint64_t due_mono_ns);
bool f3_timer_cancel(struct f3_timer *t);

/* The one retry policy: exponential back-off with full jitter between base and max. */
struct f3_backoff {
	uint64_t base_ns, max_ns;
	unsigned attempt;
};
/* Delay before the next attempt, never under base; counts it. */
uint64_t f3_backoff_next_ns(struct f3_backoff *b);

#endif
