/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "fs/base/clock.h"
#include "fs/base/lock.h"
#include "tests/unit/unit.h"

static struct f3_lock names[3], inode, itable;
static pthread_cond_t cond;

static void setup(void)
{
	for (unsigned i = 0; i < 3; i++)
		f3_lock_init(&names[i], F3_RANK_NAMES);
	f3_lock_init(&inode, F3_RANK_INODE);
	f3_lock_init(&itable, F3_RANK_ITABLE);
	f3_cond_init(&cond);
}

static void teardown(void)
{
	for (unsigned i = 0; i < 3; i++)
		f3_lock_done(&names[i]);
	f3_lock_done(&inode);
	f3_lock_done(&itable);
	f3_lock_done(NULL);
	pthread_cond_destroy(&cond);
}

START_TEST(order_upwards_is_fine)
{
	for (int i = 0; i < 1000; i++) {
		f3_lock(&names[0]);
		f3_lock(&inode);
		f3_lock(&itable);
		/* let go in any order */
		f3_unlock(&inode);
		f3_unlock(&itable);
		f3_lock(&inode);
		f3_unlock(&inode);
		f3_unlock(&names[0]);
	}
}
END_TEST

START_TEST(many_takes_each_once)
{
	struct f3_lock *list[] = { &names[2], NULL, &names[0], &names[2], &names[1], NULL };

	for (int i = 0; i < 100; i++) {
		f3_lock_many(list, 6);
		for (int k = 0; k < 3; k++)
			ck_assert_int_eq(pthread_mutex_trylock(&names[k].mutex), EBUSY);
		f3_lock(&inode);
		f3_unlock(&inode);
		f3_unlock_many(list, 6);
		for (int k = 0; k < 3; k++) {
			ck_assert_int_eq(pthread_mutex_trylock(&names[k].mutex), 0);
			pthread_mutex_unlock(&names[k].mutex);
		}
	}
	f3_lock_many(list, 0);
	f3_unlock_many(list, 0);
	f3_lock_many(list + 1, 1);
	f3_unlock_many(list + 1, 1);
}
END_TEST

struct pair {
	struct f3_lock *list[2];
	unsigned *count;
};

static void *take_pairs(void *arg)
{
	struct pair *p = arg;

	for (int i = 0; i < 20000; i++) {
		f3_lock_many(p->list, 2);
		++*p->count;
		f3_unlock_many(p->list, 2);
	}
	return NULL;
}

/* Two renames in opposite directions name the same locks in opposite order. */
START_TEST(many_in_opposite_order_does_not_deadlock)
{
	unsigned count = 0;
	struct pair a = { { &names[0], &names[1] }, &count };
	struct pair b = { { &names[1], &names[0] }, &count };
	pthread_t ta, tb;

	ck_assert_int_eq(pthread_create(&ta, NULL, take_pairs, &a), 0);
	ck_assert_int_eq(pthread_create(&tb, NULL, take_pairs, &b), 0);
	pthread_join(ta, NULL);
	pthread_join(tb, NULL);
	ck_assert_uint_eq(count, 40000);
}
END_TEST

START_TEST(wait_ends_at_its_deadline)
{
	uint64_t start = f3_clock_mono_ns(), due = start + 20 * F3_NS_PER_MS;
	int rc;

	f3_lock(&inode);
	do {
		rc = f3_cond_wait(&cond, &inode, due);
	} while (rc == 0);
	ck_assert_int_eq(rc, -ETIMEDOUT);
	ck_assert_uint_ge(f3_clock_mono_ns(), due);
	/* a deadline that has passed does not wait at all */
	ck_assert_int_eq(f3_cond_wait(&cond, &inode, 1), -ETIMEDOUT);
	f3_unlock(&inode);
}
END_TEST

static int turn;

static void *other_turn(void *arg)
{
	uint64_t deadline = *(uint64_t *)arg;

	f3_lock(&inode);
	for (int i = 0; i < 100; i++) {
		while (turn != 1)
			ck_assert_int_eq(f3_cond_wait(&cond, &inode, deadline), 0);
		turn = 0;
		pthread_cond_broadcast(&cond);
	}
	f3_unlock(&inode);
	return NULL;
}

START_TEST(wait_is_woken)
{
	static const uint64_t steps[] = { 0, 3600 * F3_NS_PER_SEC, UINT64_MAX };
	uint64_t deadline = steps[_i];
	pthread_t thread;

	if (deadline && deadline != UINT64_MAX)
		deadline += f3_clock_mono_ns();
	turn = 0;
	ck_assert_int_eq(pthread_create(&thread, NULL, other_turn, &deadline), 0);
	f3_lock(&inode);
	for (int i = 0; i < 100; i++) {
		turn = 1;
		pthread_cond_broadcast(&cond);
		while (turn != 0)
			ck_assert_int_eq(f3_cond_wait(&cond, &inode, deadline), 0);
	}
	f3_unlock(&inode);
	pthread_join(thread, NULL);
}
END_TEST

#ifdef F3_LOCK_CHECK

/* The message is expected: keep it out of the test's own output. */
static void expect_abort(void)
{
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
}

START_TEST(wrong_order_aborts)
{
	expect_abort();
	f3_lock(&itable);
	f3_lock(&inode);
}
END_TEST

START_TEST(same_rank_aborts)
{
	expect_abort();
	f3_lock(&names[0]);
	f3_lock(&names[1]);
}
END_TEST

START_TEST(twice_aborts)
{
	expect_abort();
	f3_lock(&inode);
	f3_lock(&inode);
}
END_TEST

START_TEST(many_below_a_held_lock_aborts)
{
	struct f3_lock *list[] = { &names[0], &names[1] };

	expect_abort();
	f3_lock(&inode);
	f3_lock_many(list, 2);
}
END_TEST

START_TEST(unlock_of_a_free_lock_aborts)
{
	expect_abort();
	f3_unlock(&inode);
}
END_TEST

START_TEST(waiting_with_a_later_lock_aborts)
{
	expect_abort();
	f3_lock(&inode);
	f3_lock(&itable);
	f3_cond_wait(&cond, &inode, 1);
}
END_TEST

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("lock");
	TCase *t = tcase_create("lock");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, order_upwards_is_fine);
	tcase_add_test(t, many_takes_each_once);
	tcase_add_test(t, many_in_opposite_order_does_not_deadlock);
	tcase_add_test(t, wait_ends_at_its_deadline);
	tcase_add_loop_test(t, wait_is_woken, 0, 3);
#ifdef F3_LOCK_CHECK
	if (f3_unit_forks()) {
		tcase_add_test_raise_signal(t, wrong_order_aborts, SIGABRT);
		tcase_add_test_raise_signal(t, same_rank_aborts, SIGABRT);
		tcase_add_test_raise_signal(t, twice_aborts, SIGABRT);
		tcase_add_test_raise_signal(t, many_below_a_held_lock_aborts, SIGABRT);
		tcase_add_test_raise_signal(t, unlock_of_a_free_lock_aborts, SIGABRT);
		tcase_add_test_raise_signal(t, waiting_with_a_later_lock_aborts, SIGABRT);
	}
#endif
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
