/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/thread.h"
#include "fs/base/workq.h"
#include "tests/unit/unit.h"

/* A piece of work that writes down its turn, and may be held until it is let go. */
struct item {
	struct f3_work work;
	unsigned number;
	sem_t *begun, *go;
};

static unsigned order[20000];
static atomic_uint n_run;

static void run_item(struct f3_work *work)
{
	struct item *it = (struct item *)work;

	if (it->begun)
		sem_post(it->begun);
	if (it->go)
		sem_wait(it->go);
	order[atomic_fetch_add(&n_run, 1)] = it->number;
}

static void setup(void)
{
	atomic_store(&n_run, 0);
}

START_TEST(one_thread_keeps_the_order)
{
	static struct item items[5000];
	struct f3_workq *q;

	ck_assert_int_eq(f3_workq_new("order", 1, 5000, &q), 0);
	for (unsigned i = 0; i < 5000; i++) {
		items[i] = (struct item){ .work = { .fn = run_item }, .number = i };
		ck_assert_int_eq(f3_workq_push(q, &items[i].work), 0);
	}
	f3_workq_drain(q);
	ck_assert_uint_eq(atomic_load(&n_run), 5000);
	for (unsigned i = 0; i < 5000; i++)
		ck_assert_uint_eq(order[i], i);
	f3_workq_free(q);
	f3_workq_free(NULL);
}
END_TEST

START_TEST(full_queue_refuses)
{
	struct f3_workq *q;
	sem_t begun, go;
	struct item held = { .work = { .fn = run_item }, .begun = &begun, .go = &go };
	struct item a = { .work = { .fn = run_item } }, b = a, c = a;

	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	ck_assert_int_eq(f3_workq_new("full", 1, 2, &q), 0);
	ck_assert_int_eq(f3_workq_push(q, &held.work), 0);
	sem_wait(&begun);
	/* the one that runs does not count as queued */
	ck_assert_uint_eq(f3_workq_queued(q), 0);
	ck_assert_int_eq(f3_workq_push(q, &a.work), 0);
	ck_assert_int_eq(f3_workq_push(q, &b.work), 0);
	ck_assert_uint_eq(f3_workq_queued(q), 2);
	ck_assert_int_eq(f3_workq_push(q, &c.work), -EAGAIN);
	sem_post(&go);
	f3_workq_drain(q);
	ck_assert_uint_eq(atomic_load(&n_run), 3);
	ck_assert_int_eq(f3_workq_push(q, &c.work), 0);
	f3_workq_free(q);
	/* free runs what is queued */
	ck_assert_uint_eq(atomic_load(&n_run), 4);
	sem_destroy(&begun);
	sem_destroy(&go);
}
END_TEST

/* Every thread is used: four items that wait for each other would never end with three. */
START_TEST(items_run_side_by_side)
{
	struct f3_workq *q;
	sem_t begun, go;
	struct item items[4];

	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	ck_assert_int_eq(f3_workq_new("wide", 4, 100, &q), 0);
	for (int i = 0; i < 4; i++) {
		items[i] = (struct item){ .work = { .fn = run_item }, .begun = &begun, .go = &go };
		ck_assert_int_eq(f3_workq_push(q, &items[i].work), 0);
	}
	for (int i = 0; i < 4; i++)
		sem_wait(&begun);
	for (int i = 0; i < 4; i++)
		sem_post(&go);
	f3_workq_free(q);
	ck_assert_uint_eq(atomic_load(&n_run), 4);
	sem_destroy(&begun);
	sem_destroy(&go);
}
END_TEST

struct drainer {
	struct f3_workq *q;
	sem_t *drained;
};

static void *drain(void *arg)
{
	struct drainer *d = arg;

	f3_workq_drain(d->q);
	sem_post(d->drained);
	return NULL;
}

/* Drain waits for the item that runs, though a later one has run already. */
START_TEST(drain_waits_for_what_was_pushed)
{
	struct f3_workq *q;
	sem_t begun, go, drained;
	struct item first = { .work = { .fn = run_item }, .begun = &begun, .go = &go };
	struct item second = { .work = { .fn = run_item }, .number = 2 };
	struct drainer d;
	pthread_t thread;
	int value;

	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	sem_init(&drained, 0, 0);
	ck_assert_int_eq(f3_workq_new("drain", 2, 10, &q), 0);
	ck_assert_int_eq(f3_workq_push(q, &first.work), 0);
	sem_wait(&begun);
	ck_assert_int_eq(f3_workq_push(q, &second.work), 0);
	d = (struct drainer){ q, &drained };
	ck_assert_int_eq(pthread_create(&thread, NULL, drain, &d), 0);
	while (atomic_load(&n_run) < 1)
		sched_yield();
	sem_getvalue(&drained, &value);
	ck_assert_int_eq(value, 0);
	sem_post(&go);
	sem_wait(&drained);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(atomic_load(&n_run), 2);
	f3_workq_free(q);
	sem_destroy(&begun);
	sem_destroy(&go);
	sem_destroy(&drained);
}
END_TEST

static void free_item(struct f3_work *work)
{
	atomic_fetch_add(&n_run, 1);
	free(work);
}

struct pusher {
	struct f3_workq *q;
	unsigned full;
};

static void *push_many(void *arg)
{
	struct pusher *p = arg;

	for (unsigned i = 0; i < 5000; i++) {
		struct f3_work *w = malloc(sizeof(*w));

		w->fn = free_item;
		while (f3_workq_push(p->q, w) == -EAGAIN) {
			p->full++;
			sched_yield();
		}
	}
	return NULL;
}

/* Items may free themselves: the queue must not look at one again. */
START_TEST(many_pushers_lose_nothing)
{
	struct pusher pushers[3];
	pthread_t threads[3];
	struct f3_workq *q;

	ck_assert_int_eq(f3_workq_new("many", 3, 16, &q), 0);
	for (int i = 0; i < 3; i++) {
		pushers[i] = (struct pusher){ q, 0 };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, push_many, &pushers[i]), 0);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	f3_workq_free(q);
	ck_assert_uint_eq(atomic_load(&n_run), 15000);
}
END_TEST

struct repusher {
	struct f3_work work;
	struct f3_workq *q;
	atomic_bool refused;
	sem_t begun;
};

/* Keeps itself in the queue until the queue says that it has ended. */
static void push_again(struct f3_work *work)
{
	struct repusher *r = (struct repusher *)work;
	int error;

	sem_post(&r->begun);
	error = f3_workq_push(r->q, &r->work);
	ck_assert(error == 0 || error == -ESHUTDOWN);
	if (error)
		atomic_store(&r->refused, true);
}

START_TEST(queue_that_is_never_empty_ends)
{
	struct repusher r = { .work = { .fn = push_again } };
	struct f3_workq *q;

	ck_assert_int_eq(f3_workq_new("end", 1, 1, &q), 0);
	r.q = q;
	sem_init(&r.begun, 0, 0);
	ck_assert_int_eq(f3_workq_push(q, &r.work), 0);
	sem_wait(&r.begun);
	/* ends although the queue is never empty: only what was pushed before counts */
	f3_workq_drain(q);
	f3_workq_free(q);
	ck_assert(atomic_load(&r.refused));
	sem_destroy(&r.begun);
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
	struct f3_workq *q = NULL;

	ck_assert_int_eq(f3_workq_new("twelve-chars", 1, 1, &q), -EINVAL);
	ck_assert_int_eq(f3_workq_new("x", 0, 1, &q), -EINVAL);
	ck_assert_int_eq(f3_workq_new("x", 1, 0, &q), -EINVAL);
	ck_assert_ptr_null(q);
}
END_TEST

static char seen_name[16];
static sigset_t seen_mask;

static void *look(void *arg)
{
	sem_wait(arg);
	pthread_getname_np(pthread_self(), seen_name, sizeof(seen_name));
	pthread_sigmask(SIG_SETMASK, NULL, &seen_mask);
	return NULL;
}

START_TEST(threads_have_names_and_leave_signals_alone)
{
	pthread_t thread;
	sem_t named;

	sem_init(&named, 0, 0);
	ck_assert_int_eq(f3_thread_start(&thread, "elevenchars", look, &named), 0);
	sem_post(&named);
	pthread_join(thread, NULL);
	ck_assert_str_eq(seen_name, "f3-elevenchars");
	ck_assert_int_eq(sigismember(&seen_mask, SIGTERM), 1);
	ck_assert_int_eq(sigismember(&seen_mask, SIGIO), 1);
	ck_assert_int_eq(sigismember(&seen_mask, SIGSEGV), 0);
	ck_assert_int_eq(f3_thread_start(&thread, "twelve-chars", look, &named), -EINVAL);
	sem_destroy(&named);
}
END_TEST

START_TEST(backoff_stays_in_its_bounds)
{
	struct f3_backoff b = { .base_ns = 100, .max_ns = 5000 };
	uint64_t top = 100;
	bool jitter = false;

	for (int i = 0; i < 200; i++) {
		uint64_t delay = f3_backoff_next_ns(&b);

		top = top * 2 < 5000 ? top * 2 : 5000;
		ck_assert_uint_ge(delay, 100);
		ck_assert_uint_le(delay, top);
		jitter |= i > 50 && delay < 4000;
	}
	ck_assert(jitter);

	b = (struct f3_backoff){ .base_ns = 7, .max_ns = 7 };
	ck_assert_uint_eq(f3_backoff_next_ns(&b), 7);
	b = (struct f3_backoff){ .base_ns = 7, .max_ns = 3 };
	ck_assert_uint_eq(f3_backoff_next_ns(&b), 7);
	b = (struct f3_backoff){ .base_ns = 1, .max_ns = UINT64_MAX - 1 };
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_ge(f3_backoff_next_ns(&b), 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("workq");
	TCase *t = tcase_create("workq");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, one_thread_keeps_the_order);
	tcase_add_test(t, full_queue_refuses);
	tcase_add_test(t, items_run_side_by_side);
	tcase_add_test(t, drain_waits_for_what_was_pushed);
	tcase_add_test(t, many_pushers_lose_nothing);
	tcase_add_test(t, queue_that_is_never_empty_ends);
	tcase_add_test(t, bad_arguments_are_refused);
	tcase_add_test(t, threads_have_names_and_leave_signals_alone);
	tcase_add_test(t, backoff_stays_in_its_bounds);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
