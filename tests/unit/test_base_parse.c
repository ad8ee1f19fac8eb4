/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "fs/base/conf.h"
#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct good {
	const char *text;
	uint64_t value;
};

struct bad {
	const char *text;
	int error;
};

static const struct good sizes[] = {
	{ "0", 0 },
	{ "1", 1 },
	{ "4096", 4096 },
	{ "1K", 1024 },
	{ "1k", 1024 },
	{ "512MiB", 512 << 20 },
	{ "200G", UINT64_C(200) << 30 },
	{ "200GiB", UINT64_C(200) << 30 },
	{ "200GB", UINT64_C(200000000000) },
	{ "1.5T", UINT64_C(3) << 39 },
	{ "0.5K", 512 },
	{ "7B", 7 },
	{ "2kib", 2048 },
	{ "2kB", 2000 },
	{ "9223372036854775807", INT64_MAX },
	{ "7E", UINT64_C(7) << 60 },
};

static const struct bad bad_sizes[] = {
	{ "", -EINVAL },
	{ "-1", -EINVAL },
	{ "+1", -EINVAL },
	{ " 1", -EINVAL },
	{ "1 ", -EINVAL },
	{ "1 K", -EINVAL },
	{ "1.2", -EINVAL },
	{ "1.K", -EINVAL },
	{ ".5K", -EINVAL },
	{ "1,5K", -EINVAL },
	{ "1.5.5K", -EINVAL },
	{ "1e3", -EINVAL },
	{ "0x10", -EINVAL },
	{ "1Q", -EINVAL },
	{ "1KK", -EINVAL },
	{ "K", -EINVAL },
	{ "1iB", -EINVAL },
	{ "1Gi", -EINVAL },
	{ "1BB", -EINVAL },
	{ "nan", -EINVAL },
	{ "inf", -EINVAL },
	{ "1K\n", -EINVAL },
	{ "1K#", -EINVAL },
	{ "9223372036854775808", -ERANGE },
	{ "8E", -ERANGE },
	{ "18446744073709551616", -ERANGE },
	{ "99999999999999999999999999E", -ERANGE },
	{ "11111111111111111111111111111111111111111111111111111111111111111", -ERANGE },
};

static const struct good times[] = {
	{ "0", 0 },
	{ "0s", 0 },
	{ "1ns", 1 },
	{ "1us", 1000 },
	{ "250ms", 250000000 },
	{ "1s", 1000000000 },
	{ "1.5s", 1500000000 },
	{ "0.000000001s", 1 },
	{ "0.0000000019s", 1 },
	{ "5m", UINT64_C(300000000000) },
	{ "2h", UINT64_C(7200000000000) },
	{ "7d", UINT64_C(604800000000000) },
	{ "9223372036854775807ns", INT64_MAX },
};

static const struct bad bad_times[] = {
	{ "", -EINVAL },
	{ "5", -EINVAL },
	{ "-1s", -EINVAL },
	{ "1 s", -EINVAL },
	{ "s", -EINVAL },
	{ "1.s", -EINVAL },
	{ ".5s", -EINVAL },
	{ "1S", -EINVAL },
	{ "1min", -EINVAL },
	{ "1s ", -EINVAL },
	{ "1h30m", -EINVAL },
	{ "0.0", -EINVAL },
	{ "1e3s", -EINVAL },
	{ "9223372036854775808ns", -ERANGE },
	{ "106752d", -ERANGE },
	{ "99999999999999999999s", -ERANGE },
	{ "18446744073709551616ns", -ERANGE },
};

static void check_all(int (*parse)(const char *, uint64_t *), const struct good *good, size_t n,
		      const struct bad *bad, size_t n_bad)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t value = 77;

		if (parse(good[i].text, &value) != 0 || value != good[i].value)
			ck_abort_msg("\"%s\": %llu", good[i].text, (unsigned long long)value);
	}
	for (size_t i = 0; i < n_bad; i++) {
		uint64_t value = 77;
		int error = parse(bad[i].text, &value);

		if (error != bad[i].error || value != 77)
			ck_abort_msg("\"%s\": %d, %llu", bad[i].text, error,
				     (unsigned long long)value);
	}
}

START_TEST(parse_sizes)
{
	check_all(f3_parse_bytes, sizes, COUNT(sizes), bad_sizes, COUNT(bad_sizes));
}
END_TEST

START_TEST(parse_durations)
{
	check_all(f3_parse_duration, times, COUNT(times), bad_times, COUNT(bad_times));
}
END_TEST

START_TEST(parse_numbers)
{
	uint64_t n = 77;

	ck_assert_int_eq(f3_parse_uint("18446744073709551615", UINT64_MAX, &n), 0);
	ck_assert_uint_eq(n, UINT64_MAX);
	ck_assert_int_eq(f3_parse_uint("18446744073709551616", UINT64_MAX, &n), -ERANGE);
	ck_assert_int_eq(f3_parse_decimal("0.4", &n), 0);
	ck_assert_uint_eq(n, 400000);
	ck_assert_int_eq(f3_parse_decimal("5", &n), 0);
	ck_assert_uint_eq(n, 5000000);
	ck_assert_int_eq(f3_parse_decimal("12.000001", &n), 0);
	ck_assert_uint_eq(n, 12000001);
	ck_assert_int_eq(f3_parse_decimal("1.0000001", &n), -EINVAL);
	ck_assert_int_eq(f3_parse_decimal("1.", &n), -EINVAL);
	ck_assert_int_eq(f3_parse_decimal(".5", &n), -EINVAL);
	ck_assert_int_eq(f3_parse_decimal("1.5x", &n), -EINVAL);
	ck_assert_int_eq(f3_parse_decimal("-1", &n), -EINVAL);
	ck_assert_int_eq(f3_parse_decimal("18446744073709551615", &n), -ERANGE);
	ck_assert_int_eq(f3_parse_uint("256", 255, &n), -ERANGE);
	ck_assert_int_eq(f3_parse_uint("255", 255, &n), 0);
	ck_assert_int_eq(f3_parse_uint("", 255, &n), -EINVAL);
	ck_assert_int_eq(f3_parse_uint("-1", 255, &n), -EINVAL);
	ck_assert_int_eq(f3_parse_uint("1 ", 255, &n), -EINVAL);
	ck_assert_uint_eq(n, 255);
}
END_TEST

START_TEST(parse_addresses)
{
	static const char *const bad[] = {
		"",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"127.0.0.1:9x",
		"localhost:80",
		"::1:80",
		"[::1]",
		"[::1:80",
		"::1]:80",
		"[]:80",
		"[127.0.0.1]:80",
		"127.1:80",
		"1.2.3.4.5:80",
		"[1:2]:80",
		"[::1%lo]:80",
		"[0000000000000000000000000000000000000000000000::1]:80"
	};
	struct sockaddr_storage a;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
	socklen_t len = 0;

	ck_assert_int_eq(f3_parse_address("127.0.0.1:9333", &a, &len), 0);
	ck_assert_int_eq(a.ss_family, AF_INET);
	ck_assert_uint_eq(len, sizeof(*v4));
	ck_assert_uint_eq(ntohs(v4->sin_port), 9333);
	ck_assert_uint_eq(ntohl(v4->sin_addr.s_addr), INADDR_LOOPBACK);
	ck_assert_int_eq(f3_parse_address("[::1]:65535", &a, &len), 0);
	ck_assert_int_eq(a.ss_family, AF_INET6);
	ck_assert_uint_eq(len, sizeof(*v6));
	ck_assert_uint_eq(ntohs(v6->sin6_port), 65535);
	ck_assert_mem_eq(&v6->sin6_addr, &in6addr_loopback, 16);
	ck_assert_int_eq(f3_parse_address(":80", &a, &len), 0);
	ck_assert_int_eq(a.ss_family, AF_INET6);
	ck_assert_mem_eq(&v6->sin6_addr, &in6addr_any, 16);
	for (size_t i = 0; i < COUNT(bad); i++)
		if (f3_parse_address(bad[i], &a, &len) != -EINVAL)
			ck_abort_msg("\"%s\" was taken", bad[i]);
}
END_TEST

START_TEST(sizes_for_people)
{
	char text[32], tiny[5];

	f3_format_bytes(0, text, sizeof(text));
	ck_assert_str_eq(text, "0 B");
	f3_format_bytes(1023, text, sizeof(text));
	ck_assert_str_eq(text, "1023 B");
	f3_format_bytes(3 << 29, text, sizeof(text));
	ck_assert_str_eq(text, "1.5 GiB");
	f3_format_bytes(1024, text, sizeof(text));
	ck_assert_str_eq(text, "1 KiB");
	f3_format_bytes(1 << 30, text, sizeof(text));
	ck_assert_str_eq(text, "1 GiB");
	f3_format_bytes((1 << 30) - 1, text, sizeof(text));
	ck_assert_str_eq(text, "1 GiB");
	f3_format_bytes(1023ull << 20, text, sizeof(text));
	ck_assert_str_eq(text, "1023 MiB");
	f3_format_bytes(1ull << 60, text, sizeof(text));
	ck_assert_str_eq(text, "1 EiB");
	f3_format_bytes(UINT64_MAX, text, sizeof(text));
	ck_assert_str_eq(text, "16 EiB");
	f3_format_bytes(3 << 29, tiny, sizeof(tiny));
	ck_assert_str_eq(tiny, "1.5 ");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("parse");
	TCase *t = tcase_create("parse");

	tcase_add_test(t, parse_sizes);
	tcase_add_test(t, parse_durations);
	tcase_add_test(t, parse_numbers);
	tcase_add_test(t, parse_addresses);
	tcase_add_test(t, sizes_for_people);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
