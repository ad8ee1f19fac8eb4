/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "fs/base/clock.h"
#include "fs/base/workq.h"
#include "tests/unit/unit.h"

struct event {
	struct f3_timer timer; /* first: the work item is its first member */
	uint64_t due;
	unsigned number;
};

static struct f3_workq *q;
static sem_t fired, begun, go;
static atomic_uint n_fired, n_early;
static unsigned order[2000];

static void note(struct f3_work *work)
{
	struct event *e = (struct event *)work;

	if (f3_clock_mono_ns() < e->due)
		atomic_fetch_add(&n_early, 1);
	order[atomic_fetch_add(&n_fired, 1)] = e->number;
	sem_post(&fired);
}

static void setup(void)
{
	sem_init(&fired, 0, 0);
	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	atomic_store(&n_fired, 0);
	atomic_store(&n_early, 0);
	ck_assert_int_eq(f3_workq_new("timertest", 1, 4, &q), 0);
	ck_assert_int_eq(f3_timers_start(), 0);
}

static void teardown(void)
{
	f3_timers_stop();
	f3_workq_free(q);
	sem_destroy(&fired);
	sem_destroy(&begun);
	sem_destroy(&go);
}

static void arm(struct event *e, unsigned number, uint64_t due)
{
	f3_timer_init(&e->timer, q, note);
	e->number = number;
	e->due = due;
	ck_assert_int_eq(f3_timer_arm(&e->timer, due), 0);
}

/* A thousand at shuffled deadlines, through a queue of four: none early, none lost. */
START_TEST(narrow_queue_loses_none)
{
	static struct event events[1000];
	uint64_t start = f3_clock_mono_ns() + 20 * F3_NS_PER_MS;

	/* 617 and 1000 have no common divisor: every place once */
	for (unsigned i = 0; i < 1000; i++) {
		unsigned n = i * 617 % 1000;

		arm(&events[n], n, start + n * 100000);
	}
	for (unsigned i = 0; i < 1000; i++)
		sem_wait(&fired);
	ck_assert_uint_eq(atomic_load(&n_early), 0);
	ck_assert_uint_eq(atomic_load(&n_fired), 1000);
	for (unsigned i = 0; i < 1000; i++) {
		ck_assert_uint_eq(events[i].timer.slot, 0);
		events[i].number = 0;
	}
	for (unsigned i = 0; i < 1000; i++)
		events[order[i]].number++;
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_uint_eq(events[i].number, 1);
}
END_TEST

START_TEST(one_thread_and_a_wide_queue_keep_the_order)
{
	static struct event events[500];
	struct f3_workq *wide;
	uint64_t start = f3_clock_mono_ns() + 10 * F3_NS_PER_MS;

	ck_assert_int_eq(f3_workq_new("wide", 1, 1000, &wide), 0);
	for (unsigned i = 0; i < 500; i++) {
		unsigned n = i * 317 % 500;

		f3_timer_init(&events[n].timer, wide, note);
		events[n].number = n;
		events[n].due = start + n;
		ck_assert_int_eq(f3_timer_arm(&events[n].timer, events[n].due), 0);
	}
	for (unsigned i = 0; i < 500; i++)
		sem_wait(&fired);
	for (unsigned i = 0; i < 500; i++)
		ck_assert_uint_eq(order[i], i);
	f3_workq_free(wide);
}
END_TEST

START_TEST(earlier_deadline_wakes_the_sleeper)
{
	struct event late, soon;

	arm(&late, 1, f3_clock_mono_ns() + 3600 * F3_NS_PER_SEC);
	arm(&soon, 2, f3_clock_mono_ns() + 2 * F3_NS_PER_MS);
	sem_wait(&fired);
	ck_assert_uint_eq(order[0], 2);
	/* moved forward, then back */
	late.due = f3_clock_mono_ns() + F3_NS_PER_MS;
	ck_assert_int_eq(f3_timer_arm(&late.timer, late.due), 0);
	sem_wait(&fired);
	ck_assert_uint_eq(order[1], 1);
	/* a deadline in the past is due now */
	arm(&soon, 3, 0);
	sem_wait(&fired);
	ck_assert_uint_eq(order[2], 3);
	ck_assert_uint_eq(atomic_load(&n_early), 0);
}
END_TEST

START_TEST(cancelled_does_not_fire)
{
	struct event a, b;

	arm(&a, 1, f3_clock_mono_ns() + 5 * F3_NS_PER_MS);
	arm(&b, 2, f3_clock_mono_ns() + 10 * F3_NS_PER_MS);
	ck_assert(f3_timer_cancel(&a.timer));
	ck_assert(!f3_timer_cancel(&a.timer));
	sem_wait(&fired);
	ck_assert_uint_eq(atomic_load(&n_fired), 1);
	ck_assert_uint_eq(order[0], 2);
	ck_assert(!f3_timer_cancel(&b.timer));
}
END_TEST

static void hold(struct f3_work *work)
{
	(void)work;
	sem_post(&begun);
	sem_wait(&go);
}

/* Its queue is full at the deadline: the timer stays armed, can be cancelled, or comes later. */
START_TEST(full_queue_only_delays)
{
	struct f3_work blocker = { .fn = hold },
		       fill[4] = { { .fn = hold }, { .fn = hold }, { .fn = hold }, { .fn = hold } };
	struct f3_workq *other;
	struct event a, b, witness;

	ck_assert_int_eq(f3_workq_push(q, &blocker), 0);
	sem_wait(&begun);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(f3_workq_push(q, &fill[i]), 0);
	arm(&a, 1, f3_clock_mono_ns());
	arm(&b, 2, f3_clock_mono_ns());

	/* when the witness has fired, a and b have been due and tried */
	ck_assert_int_eq(f3_workq_new("other", 1, 4, &other), 0);
	f3_timer_init(&witness.timer, other, note);
	witness.number = 9;
	witness.due = f3_clock_mono_ns() + 3 * F3_NS_PER_MS;
	ck_assert_int_eq(f3_timer_arm(&witness.timer, witness.due), 0);
	sem_wait(&fired);
	ck_assert(f3_timer_cancel(&a.timer));

	for (int i = 0; i < 5; i++)
		sem_post(&go);
	sem_wait(&fired);
	ck_assert_uint_eq(atomic_load(&n_fired), 2);
	ck_assert_uint_eq(order[1], 2);
	f3_workq_free(other);
}
END_TEST

/* Armed again while its first run waits in the queue: it must not be pushed twice at once. */
START_TEST(armed_again_while_it_waits)
{
	struct f3_work blocker = { .fn = hold };
	struct event e, witness;
	struct f3_workq *other;

	ck_assert_int_eq(f3_workq_push(q, &blocker), 0);
	sem_wait(&begun);
	arm(&e, 1, f3_clock_mono_ns());
	while (!f3_workq_queued(q))
		sched_yield();
	ck_assert_int_eq(f3_timer_arm(&e.timer, f3_clock_mono_ns()), 0);
	ck_assert_int_eq(f3_workq_new("other", 1, 4, &other), 0);
	f3_timer_init(&witness.timer, other, note);
	witness.number = 9;
	witness.due = f3_clock_mono_ns() + 3 * F3_NS_PER_MS;
	ck_assert_int_eq(f3_timer_arm(&witness.timer, witness.due), 0);
	sem_wait(&fired);
	ck_assert_uint_eq(f3_workq_queued(q), 1);
	/* the run that waits still comes, so this is no cancellation */
	ck_assert(!f3_timer_cancel(&e.timer));
	ck_assert_int_eq(f3_timer_arm(&e.timer, f3_clock_mono_ns()), 0);
	sem_post(&go);
	sem_wait(&fired);
	sem_wait(&fired);
	ck_assert_uint_eq(atomic_load(&n_fired), 3);
	f3_workq_free(other);
}
END_TEST

struct tick {
	struct f3_timer timer;
	unsigned left;
};

static void tick(struct f3_work *work)
{
	struct tick *t = (struct tick *)work;

	if (t->left--) {
		ck_assert_int_eq(f3_timer_arm(&t->timer, f3_clock_mono_ns() + 10000), 0);
		return;
	}
	/* its last run frees it */
	free(t);
	sem_post(&fired);
}

START_TEST(function_may_arm_again_and_free)
{
	for (int i = 0; i < 4; i++) {
		struct tick *t = malloc(sizeof(*t));

		f3_timer_init(&t->timer, q, tick);
		t->left = 100;
		ck_assert_int_eq(f3_timer_arm(&t->timer, 1), 0);
	}
	for (int i = 0; i < 4; i++)
		sem_wait(&fired);
}
END_TEST

#define STORM_THREADS 3
#define STORM_EACH 300

struct storm {
	struct event events[STORM_EACH];
	unsigned cancelled, seed;
};

static atomic_uint storm_fired;

static void count(struct f3_work *work)
{
	(void)work;
	atomic_fetch_add(&storm_fired, 1);
}

static void *storm_main(void *arg)
{
	struct storm *s = arg;

	for (unsigned i = 0; i < STORM_EACH; i++) {
		f3_timer_init(&s->events[i].timer, q, count);
		f3_timer_arm(&s->events[i].timer,
			     f3_clock_mono_ns() + (uint64_t)rand_r(&s->seed) % F3_NS_PER_MS);
		if (i >= 5 && f3_timer_cancel(&s->events[i - 5].timer))
			s->cancelled++;
	}
	return NULL;
}

/* Each timer is either cancelled or fires, never both, never neither. */
START_TEST(cancelled_or_fired_exactly_once)
{
	static struct storm storms[STORM_THREADS];
	pthread_t threads[STORM_THREADS];
	unsigned cancelled = 0, total = STORM_THREADS * STORM_EACH;

	atomic_store(&storm_fired, 0);
	for (unsigned i = 0; i < STORM_THREADS; i++) {
		storms[i].seed = i;
		storms[i].cancelled = 0;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, storm_main, &storms[i]), 0);
	}
	for (unsigned i = 0; i < STORM_THREADS; i++) {
		pthread_join(threads[i], NULL);
		cancelled += storms[i].cancelled;
	}
	while (atomic_load(&storm_fired) + cancelled < total)
		sched_yield();
	f3_timers_stop();
	f3_workq_drain(q);
	ck_assert_uint_eq(atomic_load(&storm_fired) + cancelled, total);
}
END_TEST

/* Stopping drops what is armed; a timer may be armed before a start and fires after it. */
START_TEST(stop_and_start)
{
	struct event a, b;

	arm(&a, 1, f3_clock_mono_ns() + 3600 * F3_NS_PER_SEC);
	f3_timers_stop();
	ck_assert(!f3_timer_cancel(&a.timer));
	arm(&b, 2, f3_clock_mono_ns());
	ck_assert_int_eq(f3_timers_start(), 0);
	ck_assert_int_eq(f3_timers_start(), 0);
	sem_wait(&fired);
	ck_assert_uint_eq(order[0], 2);
	f3_timers_stop();
	f3_timers_stop();
}
END_TEST

static uint64_t cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * F3_NS_PER_SEC +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

/* Armed far ahead, with idle workers: nothing polls. */
START_TEST(waiting_costs_nothing)
{
	struct event far, end;
	uint64_t before;
	struct rusage a, b;

	arm(&far, 1, f3_clock_mono_ns() + 3600 * F3_NS_PER_SEC);
	arm(&end, 2, f3_clock_mono_ns() + 200 * F3_NS_PER_MS);
	getrusage(RUSAGE_SELF, &a);
	before = cpu_ns();
	sem_wait(&fired);
	getrusage(RUSAGE_SELF, &b);
	ck_assert_uint_lt(cpu_ns() - before, 20 * F3_NS_PER_MS);
	ck_assert_int_lt(b.ru_nvcsw - a.ru_nvcsw, 20);
	ck_assert(f3_timer_cancel(&far.timer));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("timer");
	TCase *t = tcase_create("timer");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, narrow_queue_loses_none);
	tcase_add_test(t, one_thread_and_a_wide_queue_keep_the_order);
	tcase_add_test(t, earlier_deadline_wakes_the_sleeper);
	tcase_add_test(t, cancelled_does_not_fire);
	tcase_add_test(t, full_queue_only_delays);
	tcase_add_test(t, armed_again_while_it_waits);
	tcase_add_test(t, function_may_arm_again_and_free);
	tcase_add_test(t, cancelled_or_fired_exactly_once);
	tcase_add_test(t, stop_and_start);
	tcase_add_test(t, waiting_costs_nothing);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
