/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "tests/unit/unit.h"

START_TEST(clocks_run_forward)
{
	uint64_t mono = f3_clock_mono_ns(), boot = f3_clock_boot_ns();

	for (int i = 0; i < 1000; i++) {
		uint64_t m = f3_clock_mono_ns(), b = f3_clock_boot_ns();

		ck_assert_uint_ge(m, mono);
		ck_assert_uint_ge(b, boot);
		mono = m;
		boot = b;
	}
	/* boot time counts suspend, so it is never behind */
	ck_assert_uint_ge(f3_clock_boot_ns() + F3_NS_PER_MS, mono);
}
END_TEST

/* What the kernel stamps on a file lies between two readings of the file clock. */
START_TEST(file_clock_is_the_kernels)
{
	struct stat st;
	int64_t before, after, stamp;
	FILE *f;

	before = f3_clock_file_ns();
	f = tmpfile();
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fputc('x', f), 'x');
	ck_assert_int_eq(fflush(f), 0);
	ck_assert_int_eq(fstat(fileno(f), &st), 0);
	after = f3_clock_real_ns();
	stamp = f3_ns_from_timespec(st.st_mtim);
	fclose(f);
	ck_assert_int_ge(stamp, before);
	ck_assert_int_le(stamp, after);
}
END_TEST

START_TEST(timespec_round_trips)
{
	static const int64_t values[] = { 0,          1,          -1,          999999999,
					  1000000000, -999999999, -1000000000, -1000000001,
					  INT64_MAX,  INT64_MIN };

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct timespec ts = f3_timespec_from_ns(values[i]);

		ck_assert_int_ge(ts.tv_nsec, 0);
		ck_assert_int_le(ts.tv_nsec, 999999999);
		/* INT64_MIN / 1e9 floors to a second before the range of ns */
		if (values[i] != INT64_MIN)
			ck_assert_int_eq(f3_ns_from_timespec(ts), values[i]);
	}
	ck_assert_int_eq(f3_ns_from_timespec((struct timespec){ .tv_sec = 16725225600 }),
			 INT64_MAX);
	ck_assert_int_eq(f3_ns_from_timespec((struct timespec){ 9223372036, 854775808 }),
			 INT64_MAX);
	ck_assert_int_eq(f3_ns_from_timespec((struct timespec){ .tv_sec = -16725225600 }),
			 INT64_MIN);
	ck_assert_int_eq(f3_timespec_from_ns(-1).tv_sec, -1);
	ck_assert_int_eq(f3_timespec_from_ns(-1).tv_nsec, 999999999);
	ck_assert_int_eq(f3_timespec_from_ns(-1000000000).tv_sec, -1);
	ck_assert_int_eq(f3_timespec_from_ns(-1000000000).tv_nsec, 0);
}
END_TEST

START_TEST(boot_id_is_stable)
{
	char a[37], b[37];

	ck_assert_int_eq(f3_boot_id(a), 0);
	ck_assert_int_eq(f3_boot_id(b), 0);
	ck_assert_uint_eq(strlen(a), 36);
	ck_assert_str_eq(a, b);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("clock");
	TCase *t = tcase_create("clock");

	tcase_add_test(t, clocks_run_forward);
	tcase_add_test(t, file_clock_is_the_kernels);
	tcase_add_test(t, timespec_round_trips);
	tcase_add_test(t, boot_id_is_stable);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
