/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/extents.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "tests/unit/unit.h"

#define SPACE 256u

static struct f3_extents *x;

static void setup(void)
{
	x = f3_extents_new();
	ck_assert_ptr_nonnull(x);
}

static void teardown(void)
{
	f3_extents_free(x);
}

/* Sorted, not empty, not touching. */
static void check_form(void)
{
	for (size_t i = 0; i < x->n; i++) {
		ck_assert_uint_gt(x->v[i].len, 0);
		if (i)
			ck_assert_uint_gt(x->v[i].off, x->v[i - 1].off + x->v[i - 1].len);
	}
}

static bool model_has(const bool *map, uint64_t off, uint64_t end)
{
	for (; off < end; off++)
		if (!map[off])
			return false;
	return true;
}

static void check_against(const bool *map, unsigned *seed)
{
	uint64_t bytes = 0, off, len;

	check_form();
	for (unsigned i = 0; i < SPACE; i++)
		bytes += map[i];
	ck_assert_uint_eq(f3_extents_bytes(x), bytes);
	for (int k = 0; k < 20; k++) {
		uint64_t from = (unsigned)rand_r(seed) % SPACE;
		uint64_t end = (unsigned)rand_r(seed) % (SPACE + 1), want = from, stop;
		bool gap = f3_extents_gap(x, from, end, &off, &len);

		if (end > from)
			ck_assert(f3_extents_has(x, from, end - from) == model_has(map, from, end));
		while (want < end && map[want])
			want++;
		ck_assert(gap == (want < end));
		if (!gap)
			continue;
		for (stop = want; stop < end && !map[stop]; stop++)
			;
		ck_assert_uint_eq(off, want);
		ck_assert_uint_eq(len, stop - want);
	}
}

START_TEST(agrees_with_bitmap)
{
	unsigned seed = 7 + (unsigned)_i;
	bool map[SPACE] = { false };

	for (int step = 0; step < 4000; step++) {
		unsigned off = (unsigned)rand_r(&seed) % SPACE;
		unsigned len = (unsigned)rand_r(&seed) % (rand_r(&seed) % 8 ? 6 : 60);

		if (off + len > SPACE)
			len = SPACE - off;
		if (rand_r(&seed) % 40 == 0) {
			f3_extents_truncate(x, off);
			memset(map + off, 0, SPACE - off);
		} else {
			ck_assert_int_eq(f3_extents_add(x, off, len), 0);
			memset(map + off, 1, len);
		}
		check_against(map, &seed);
	}
}
END_TEST

START_TEST(edges)
{
	uint64_t off = 1, len = 1;

	ck_assert(f3_extents_has(x, 5, 0));
	ck_assert(!f3_extents_has(x, 0, 1));
	ck_assert_int_eq(f3_extents_add(x, 9, 0), 0);
	ck_assert_uint_eq(x->n, 0);
	ck_assert(f3_extents_gap(x, 0, UINT64_MAX, &off, &len));
	ck_assert_uint_eq(off, 0);
	ck_assert_uint_eq(len, UINT64_MAX);
	ck_assert(!f3_extents_gap(x, 7, 7, &off, &len));
	ck_assert_int_eq(f3_extents_add(x, UINT64_MAX, 2), -EFBIG);
	ck_assert_int_eq(f3_extents_add(x, UINT64_MAX - 4, 4), 0);
	ck_assert(f3_extents_has(x, UINT64_MAX - 4, 4));
	ck_assert(!f3_extents_has(x, UINT64_MAX - 4, 5));
	ck_assert(!f3_extents_has(x, UINT64_MAX - 4, UINT64_MAX));
	f3_extents_truncate(x, UINT64_MAX - 2);
	ck_assert_uint_eq(f3_extents_bytes(x), 2);
	f3_extents_truncate(x, 0);
	ck_assert_uint_eq(x->n, 0);
	f3_extents_free(NULL);
}
END_TEST

START_TEST(bounded)
{
	for (uint64_t i = 0; i < F3_EXTENTS_MAX; i++)
		ck_assert_int_eq(f3_extents_add(x, i * 2, 1), 0);
	ck_assert_int_eq(f3_extents_add(x, F3_EXTENTS_MAX * 2ull + 1, 1), -EFBIG);
	check_form();
	/* What joins others is always taken. */
	ck_assert_int_eq(f3_extents_add(x, 1, 1), 0);
	ck_assert_int_eq(f3_extents_add(x, F3_EXTENTS_MAX * 2ull + 1, 1), 0);
	ck_assert_int_eq(f3_extents_add(x, 0, F3_EXTENTS_MAX * 2ull), 0);
	ck_assert_uint_eq(x->n, 2);
}
END_TEST

static pthread_mutex_t race_lock = PTHREAD_MUTEX_INITIALIZER;

struct call {
	struct f3_waiter w;
	int order, result, calls;
};

static int called;

static void on_call(struct f3_waiter *w, int result)
{
	struct call *c = (struct call *)w;

	c->order = ++called;
	c->result = result;
	c->calls++;
}

static void park(struct call *c, uint64_t off, uint64_t len)
{
	memset(c, 0, sizeof(*c));
	c->w.fn = on_call;
	c->w.off = off;
	c->w.len = len;
	f3_waiter_add(&x->waiters, &c->w);
}

START_TEST(waiters_wake_for_their_range)
{
	struct f3_waiter_list ready = { NULL };
	struct call a, b, c, past;

	called = 0;
	park(&a, 0, 10);
	park(&b, 5, 10);
	park(&c, 18, 10);
	park(&past, 50, 10);
	f3_extents_ready(x, 20, &ready);
	f3_waiters_call(&ready);
	/* Behind the end of the file everything is present. */
	ck_assert_int_eq(past.calls, 1);
	ck_assert_int_eq(called, 1);

	ck_assert_int_eq(f3_extents_add(x, 0, 16), 0);
	f3_extents_ready(x, 20, &ready);
	ck_assert_ptr_null(a.w.link);
	ck_assert(!f3_waiter_cancel(&a.w));
	f3_waiters_call(&ready);
	ck_assert_int_eq(a.order, 2);
	ck_assert_int_eq(b.order, 3);
	ck_assert_int_eq(c.calls, 0);

	/* A range that runs over the end waits only for what is before it. */
	ck_assert_int_eq(f3_extents_add(x, 16, 4), 0);
	f3_extents_ready(x, 20, &ready);
	f3_waiters_call(&ready);
	ck_assert_int_eq(c.calls, 1);
	ck_assert_int_eq(c.result, 0);
	ck_assert_ptr_null(x->waiters.first);
}
END_TEST

START_TEST(waiters_cancel_and_fail)
{
	struct f3_waiter_list ready = { NULL };
	struct call c[5];

	called = 0;
	for (unsigned i = 0; i < 5; i++)
		park(&c[i], i, 1);
	/* First, middle, last of the list. */
	ck_assert(f3_waiter_cancel(&c[4].w));
	ck_assert(!f3_waiter_cancel(&c[4].w));
	ck_assert(f3_waiter_cancel(&c[2].w));
	ck_assert(f3_waiter_cancel(&c[0].w));
	f3_waiters_collect(&x->waiters, -EIO, &ready);
	f3_waiters_call(&ready);
	ck_assert_int_eq(called, 2);
	ck_assert_int_eq(c[1].order, 1);
	ck_assert_int_eq(c[1].result, -EIO);
	ck_assert_int_eq(c[3].order, 2);
	ck_assert_int_eq(c[0].calls + c[2].calls + c[4].calls, 0);
}
END_TEST

START_TEST(waiters_by_range)
{
	struct f3_waiter_list some = { NULL };
	struct call a, b, c;

	called = 0;
	park(&a, 0, 10);
	park(&b, 10, UINT64_MAX - 10);
	park(&c, 30, 5);
	ck_assert(f3_waiters_want(&x->waiters, 9, 1));
	ck_assert(f3_waiters_want(&x->waiters, UINT64_MAX - 1, 1));
	f3_waiters_collect_range(&x->waiters, 8, 2, -EIO, &some);
	f3_waiters_call(&some);
	ck_assert_int_eq(a.calls, 1);
	ck_assert_int_eq(called, 1);
	ck_assert(!f3_waiters_want(&x->waiters, 0, 10));
	f3_waiters_collect_range(&x->waiters, 34, 1, -EIO, &some);
	f3_waiters_call(&some);
	ck_assert_int_eq(called, 3);
	ck_assert_int_eq(b.order, 2);
}
END_TEST

static void *unblocker(void *arg)
{
	struct f3_waiter_list ready = { NULL };

	pthread_mutex_lock(&race_lock);
	f3_waiters_collect(&x->waiters, *(int *)arg, &ready);
	pthread_mutex_unlock(&race_lock);
	f3_waiters_call(&ready);
	return NULL;
}

START_TEST(blocker_waits)
{
	for (int i = 0; i < 200; i++) {
		int result = -i;
		struct f3_blocker b;
		pthread_t t;

		f3_blocker_init(&b);
		f3_waiter_add(&x->waiters, &b.w);
		ck_assert_int_eq(pthread_create(&t, NULL, unblocker, &result), 0);
		ck_assert_int_eq(f3_blocker_wait(&b), -i);
		f3_blocker_done(&b);
		pthread_join(t, NULL);
	}
	f3_blocker_done(NULL);
}
END_TEST

static void again(struct f3_waiter *w, int result)
{
	struct call *c = (struct call *)w;

	(void)result;
	if (++c->calls < 3)
		f3_waiter_add(&x->waiters, w);
}

START_TEST(waiter_may_wait_again)
{
	struct f3_waiter_list ready = { NULL };
	struct call c;

	park(&c, 0, 1);
	c.w.fn = again;
	for (int i = 0; i < 3; i++) {
		f3_waiters_collect(&x->waiters, 0, &ready);
		f3_waiters_call(&ready);
	}
	ck_assert_int_eq(c.calls, 3);
	ck_assert_ptr_null(x->waiters.first);
}
END_TEST

#define RACERS 2000

static struct race {
	struct f3_waiter w;
	_Atomic int calls;
	bool canceled;
} racers[RACERS];

static void on_race(struct f3_waiter *w, int result)
{
	(void)result;
	((struct race *)w)->calls++;
}

static void *cancel_all(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < RACERS; i++) {
		pthread_mutex_lock(&race_lock);
		racers[i].canceled = f3_waiter_cancel(&racers[i].w);
		pthread_mutex_unlock(&race_lock);
	}
	return NULL;
}

/* Either canceled or called, once, whoever is first. */
START_TEST(waiters_cancel_races_call)
{
	struct f3_waiter_list ready;
	pthread_t t;

	for (unsigned i = 0; i < RACERS; i++) {
		racers[i].w.fn = on_race;
		racers[i].w.off = i % 16;
		racers[i].w.len = 1;
		f3_waiter_add(&x->waiters, &racers[i].w);
	}
	ck_assert_int_eq(pthread_create(&t, NULL, cancel_all, NULL), 0);
	for (unsigned i = 0; i < 16; i++) {
		ready.first = NULL;
		pthread_mutex_lock(&race_lock);
		ck_assert_int_eq(f3_extents_add(x, i, 1), 0);
		f3_extents_ready(x, 100, &ready);
		pthread_mutex_unlock(&race_lock);
		f3_waiters_call(&ready);
	}
	pthread_join(t, NULL);
	for (unsigned i = 0; i < RACERS; i++)
		ck_assert_int_eq(racers[i].calls + racers[i].canceled, 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("extents");
	TCase *t = tcase_create("extents");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, agrees_with_bitmap, 0, 8);
	tcase_add_test(t, edges);
	tcase_add_test(t, bounded);
	tcase_add_test(t, waiters_wake_for_their_range);
	tcase_add_test(t, waiters_cancel_and_fail);
	tcase_add_test(t, waiters_by_range);
	tcase_add_test(t, blocker_waits);
	tcase_add_test(t, waiter_may_wait_again);
	tcase_add_test(t, waiters_cancel_races_call);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
