/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/core/store_seen.h"
#include "tests/unit/unit.h"

/* Spread over all of the range, never the same twice, and in no order. */
static uint64_t nth(uint64_t i)
{
	return (i * 0x9e3779b97f4a7c15ull) >> 1;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Adds every even one of 2 * n and asks for all in ascending order. */
static void all_are_told_apart(size_t n)
{
	uint64_t *all = calloc(2 * n + 1, sizeof(*all)), *even = calloc(n + 1, sizeof(*even));
	struct f3_seen *s;
	size_t k = 0;

	ck_assert_int_eq(f3_seen_new("/tmp", &s), 0);
	for (size_t i = 0; i < 2 * n; i++) {
		all[i] = nth(i + 1);
		if (i % 2)
			continue;
		even[i / 2] = all[i];
		ck_assert_int_eq(f3_seen_add(s, all[i]), 0);
	}
	qsort(all, 2 * n, sizeof(*all), by_value);
	qsort(even, n, sizeof(*even), by_value);
	for (size_t i = 0; i < 2 * n; i++) {
		int want = k < n && even[k] == all[i];

		ck_assert_int_eq(f3_seen_has(s, all[i]), want);
		/* once more is no other question */
		if (i % 1000 == 0)
			ck_assert_int_eq(f3_seen_has(s, all[i]), want);
		k += (size_t)want;
	}
	ck_assert_uint_eq(k, n);
	ck_assert_int_eq(f3_seen_has(s, UINT64_MAX), 0);
	f3_seen_free(s);
	free(all);
	free(even);
}

START_TEST(sizes_around_a_piece)
{
	size_t piece = F3_SEEN_BYTES / sizeof(uint64_t);
	const size_t sizes[] = { 0, 1, 2, piece - 1, piece, piece + 1, 2 * piece, 7 * piece + 5 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		all_are_told_apart(sizes[i]);
}
END_TEST

START_TEST(a_million)
{
	all_are_told_apart(1000000);
}
END_TEST

START_TEST(no_disk_is_an_error)
{
	struct f3_seen *s;
	int r = 0;

	ck_assert_int_eq(f3_seen_new("/nonexistent", &s), 0);
	for (uint64_t i = 0; i <= F3_SEEN_BYTES / sizeof(i) && !r; i++)
		r = f3_seen_add(s, i);
	ck_assert_int_eq(r, -ENOENT);
	f3_seen_free(s);
	f3_seen_free(NULL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_seen");
	TCase *t = tcase_create("seen");

	tcase_add_test(t, sizes_around_a_piece);
	tcase_add_test(t, a_million);
	tcase_add_test(t, no_disk_is_an_error);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
