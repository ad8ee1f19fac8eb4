/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "fs/base/crc32c.h"
#include "tests/unit/unit.h"

/* RFC 3720, appendix B.4, and the check value every catalogue of CRCs gives. */
START_TEST(known_sums)
{
	uint8_t bytes[32];

	ck_assert_uint_eq(f3_crc32c(0, "123456789", 9), 0xe3069283);
	memset(bytes, 0, sizeof(bytes));
	ck_assert_uint_eq(f3_crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	ck_assert_uint_eq(f3_crc32c(0, bytes, 32), 0x62a8ab43);
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	ck_assert_uint_eq(f3_crc32c(0, bytes, 32), 0x46dd794e);
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	ck_assert_uint_eq(f3_crc32c(0, bytes, 32), 0x113fdb5c);
	ck_assert_uint_eq(f3_crc32c(0, NULL, 0), 0);
	ck_assert_uint_eq(f3_crc32c(0x12345678, NULL, 0), 0x12345678);
}
END_TEST

/* One bit at a time, from the polynomial. */
static uint32_t slow_crc(uint32_t crc, const uint8_t *p, size_t len)
{
	crc = ~crc;
	while (len--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

/* Every length and alignment that an unrolled loop could get wrong. */
START_TEST(lengths_and_alignments)
{
	static uint8_t bytes[9000];
	unsigned seed = 1;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(rand_r(&seed) >> 8);
	for (size_t len = 0; len < 600; len++)
		ck_assert_uint_eq(f3_crc32c(0, bytes + len % 16, len),
				  slow_crc(0, bytes + len % 16, len));
	for (size_t len = 1000; len < 8900; len += 333)
		ck_assert_uint_eq(f3_crc32c(7, bytes + len % 64, len),
				  slow_crc(7, bytes + len % 64, len));
}
END_TEST

START_TEST(pieces_give_the_sum_of_the_whole)
{
	static uint8_t bytes[5000];
	uint32_t whole;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31);
	whole = f3_crc32c(0, bytes, sizeof(bytes));
	for (size_t cut = 0; cut <= sizeof(bytes); cut += 77)
		ck_assert_uint_eq(
			f3_crc32c(f3_crc32c(0, bytes, cut), bytes + cut, sizeof(bytes) - cut),
			whole);
	bytes[2500] ^= 1;
	ck_assert_uint_ne(f3_crc32c(0, bytes, sizeof(bytes)), whole);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("crc32c");
	TCase *t = tcase_create("crc32c");

	tcase_add_test(t, known_sums);
	tcase_add_test(t, lengths_and_alignments);
	tcase_add_test(t, pieces_give_the_sum_of_the_whole);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
