/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/net/limit.h"
#include "tests/unit/unit.h"

static struct f3_limit l;

static void setup(void)
{
	f3_limit_init(&l, 64);
}

static void good(unsigned n)
{
	while (n--)
		f3_limit_good(&l, true);
}

START_TEST(begins_within_its_bounds)
{
	ck_assert_uint_eq(l.value, 16);
	f3_limit_init(&l, 5);
	ck_assert_uint_eq(l.value, 5);
	f3_limit_init(&l, 1);
	ck_assert_uint_eq(l.value, 1);
	f3_limit_bad(&l, 1, 2);
	ck_assert_uint_eq(l.value, 1);
	f3_limit_init(&l, 0);
	ck_assert_uint_eq(l.value, 1);
}
END_TEST

START_TEST(grows_only_while_in_use)
{
	for (int i = 0; i < 100; i++)
		f3_limit_good(&l, false);
	ck_assert_uint_eq(l.value, 16);
	good(1);
	ck_assert_uint_eq(l.value, 17);
	good(1000);
	ck_assert_uint_eq(l.value, 64);
}
END_TEST

START_TEST(after_a_bad_answer_grows_by_one_a_round)
{
	f3_limit_bad(&l, 10, 20);
	ck_assert_uint_eq(l.value, 8);
	good(7);
	ck_assert_uint_eq(l.value, 8);
	good(1);
	ck_assert_uint_eq(l.value, 9);
	good(8);
	ck_assert_uint_eq(l.value, 9);
	good(1);
	ck_assert_uint_eq(l.value, 10);
}
END_TEST

START_TEST(halves_once_a_round_trip)
{
	good(48);
	for (uint64_t start = 1; start <= 64; start++)
		f3_limit_bad(&l, start, 100);
	ck_assert_uint_eq(l.value, 32);
	/* Begun before that, ended after it. */
	f3_limit_bad(&l, 100, 200);
	ck_assert_uint_eq(l.value, 32);
	f3_limit_bad(&l, 101, 200);
	ck_assert_uint_eq(l.value, 16);
	for (uint64_t t = 1000; t < 2000; t += 2)
		f3_limit_bad(&l, t, t + 1);
	ck_assert_uint_eq(l.value, 2);
}
END_TEST

START_TEST(a_bad_answer_begins_the_round_anew)
{
	f3_limit_bad(&l, 1, 2);
	good(7);
	f3_limit_bad(&l, 3, 4);
	ck_assert_uint_eq(l.value, 4);
	good(3);
	ck_assert_uint_eq(l.value, 4);
	good(1);
	ck_assert_uint_eq(l.value, 5);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("net limit");
	TCase *t = tcase_create("limit");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, begins_within_its_bounds);
	tcase_add_test(t, grows_only_while_in_use);
	tcase_add_test(t, after_a_bad_answer_grows_by_one_a_round);
	tcase_add_test(t, halves_once_a_round_trip);
	tcase_add_test(t, a_bad_answer_begins_the_round_anew);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
