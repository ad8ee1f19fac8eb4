/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "fs/base/buf.h"
#include "tests/unit/unit.h"

START_TEST(integers_round_trip)
{
	struct f3_buf b;
	struct f3_rd rd;

	f3_buf_init(&b, 1000);
	f3_buf_put_u8(&b, 0xfe);
	f3_buf_put_u16(&b, 0xfedc);
	f3_buf_put_u32(&b, 0xfedcba98u);
	f3_buf_put_u64(&b, UINT64_C(0xfedcba9876543210));
	f3_buf_put_i64(&b, INT64_MIN);
	f3_buf_put_i64(&b, -1);
	ck_assert_int_eq(b.error, 0);
	ck_assert_uint_eq(b.len, 1 + 2 + 4 + 8 + 8 + 8);

	f3_rd_init(&rd, b.data, b.len);
	ck_assert_uint_eq(f3_rd_u8(&rd), 0xfe);
	ck_assert_uint_eq(f3_rd_u16(&rd), 0xfedc);
	ck_assert_uint_eq(f3_rd_u32(&rd), 0xfedcba98u);
	ck_assert_uint_eq(f3_rd_u64(&rd), UINT64_C(0xfedcba9876543210));
	ck_assert_int_eq(f3_rd_i64(&rd), INT64_MIN);
	ck_assert_int_eq(f3_rd_i64(&rd), -1);
	ck_assert_uint_eq(rd.left, 0);
	ck_assert_int_eq(rd.error, 0);
	f3_buf_done(&b);
}
END_TEST

/* The bytes themselves are a format of the database: most significant first. */
START_TEST(integers_are_big_endian)
{
	static const uint8_t want[] = { 1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct f3_buf b;

	f3_buf_init(&b, 1000);
	f3_buf_put_u8(&b, 1);
	f3_buf_put_u16(&b, 0x0203);
	f3_buf_put_u32(&b, 0x01020304);
	f3_buf_put_u64(&b, 0x0102030405060708);
	ck_assert_uint_eq(b.len, sizeof(want));
	ck_assert_mem_eq(b.data, want, sizeof(want));
	f3_buf_done(&b);
}
END_TEST

START_TEST(grows_past_the_inline_bytes)
{
	struct f3_buf b;
	uint8_t chunk[100];

	f3_buf_init(&b, 100000);
	for (unsigned i = 0; i < 1000; i++) {
		memset(chunk, (int)(i & 0xff), sizeof(chunk));
		f3_buf_put(&b, chunk, sizeof(chunk));
	}
	ck_assert_int_eq(b.error, 0);
	ck_assert_uint_eq(b.len, 100000);
	for (unsigned i = 0; i < 100000; i++)
		ck_assert_uint_eq(b.data[i], (i / 100) & 0xff);

	/* full to the byte: one more is refused and nothing of it is kept */
	f3_buf_put_u8(&b, 1);
	ck_assert_int_eq(b.error, -EMSGSIZE);
	ck_assert_uint_eq(b.len, 100000);
	f3_buf_done(&b);
	ck_assert_ptr_eq(b.data, b.inline_data);
	f3_buf_done(&b);
	f3_buf_done(NULL);
}
END_TEST

START_TEST(maximum_holds_at_every_size)
{
	static const size_t sizes[] = { 0, 1, 7, 254, 255, 256, 257, 511, 512, 513 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct f3_buf b;

		f3_buf_init(&b, sizes[i]);
		for (size_t n = 0; n < sizes[i]; n++)
			f3_buf_put_u8(&b, 'x');
		ck_assert_int_eq(b.error, 0);
		f3_buf_put(&b, NULL, 0);
		ck_assert_int_eq(b.error, 0);
		f3_buf_put_u8(&b, 'y');
		ck_assert_int_eq(b.error, -EMSGSIZE);
		ck_assert_uint_eq(b.len, sizes[i]);
		f3_buf_done(&b);
	}
}
END_TEST

START_TEST(first_error_is_kept)
{
	struct f3_buf b;

	f3_buf_init(&b, 4);
	f3_buf_put_u64(&b, 1);
	ck_assert_int_eq(b.error, -EMSGSIZE);
	/* would fit, but what came before it is missing */
	f3_buf_put_u8(&b, 1);
	f3_buf_printf(&b, "x");
	ck_assert_uint_eq(b.len, 0);
	f3_buf_reset(&b);
	f3_buf_put_u32(&b, 7);
	ck_assert_int_eq(b.error, 0);
	ck_assert_uint_eq(b.len, 4);
	f3_buf_done(&b);
}
END_TEST

START_TEST(huge_length_does_not_wrap)
{
	struct f3_buf b;

	f3_buf_init(&b, SIZE_MAX);
	f3_buf_put_u8(&b, 1);
	f3_buf_put(&b, "x", SIZE_MAX);
	ck_assert_int_eq(b.error, -EMSGSIZE);
	f3_buf_reset(&b);
	f3_buf_put_u8(&b, 1);
	f3_buf_put(&b, "x", SIZE_MAX - 1);
	ck_assert_int_eq(b.error, -ENOMEM);
	ck_assert_uint_eq(b.len, 1);
	f3_buf_done(&b);
}
END_TEST

START_TEST(reset_keeps_the_memory)
{
	struct f3_buf b;
	const uint8_t *before;

	f3_buf_init(&b, 10000);
	for (unsigned i = 0; i < 1000; i++)
		f3_buf_put_u64(&b, i);
	before = b.data;
	f3_buf_reset(&b);
	ck_assert_uint_eq(b.len, 0);
	for (unsigned i = 0; i < 1000; i++)
		f3_buf_put_u64(&b, i);
	ck_assert_ptr_eq(b.data, before);
	f3_buf_done(&b);
}
END_TEST

START_TEST(strings_round_trip)
{
	static char big[UINT16_MAX + 1];
	struct f3_buf b;
	struct f3_rd rd;
	size_t len;

	memset(big, 'z', sizeof(big));
	f3_buf_init(&b, 1 << 20);
	f3_buf_put_str16(&b, "", 0);
	f3_buf_put_str16(&b, "a\0b", 3);
	f3_buf_put_str16(&b, big, UINT16_MAX);
	ck_assert_int_eq(b.error, 0);
	f3_rd_init(&rd, b.data, b.len);
	ck_assert_ptr_nonnull(f3_rd_str16(&rd, &len));
	ck_assert_uint_eq(len, 0);
	ck_assert_mem_eq(f3_rd_str16(&rd, &len), "a\0b", 3);
	ck_assert_uint_eq(len, 3);
	ck_assert_mem_eq(f3_rd_str16(&rd, &len), big, UINT16_MAX);
	ck_assert_uint_eq(len, UINT16_MAX);
	ck_assert_uint_eq(rd.left, 0);

	f3_buf_put_str16(&b, big, sizeof(big));
	ck_assert_int_eq(b.error, -EMSGSIZE);
	f3_buf_done(&b);

	/* the length alone would fit: still nothing is written */
	f3_buf_init(&b, 4);
	f3_buf_put_str16(&b, "abc", 3);
	ck_assert_int_eq(b.error, -EMSGSIZE);
	ck_assert_uint_eq(b.len, 0);
	f3_buf_done(&b);
}
END_TEST

START_TEST(printf_appends_text)
{
	struct f3_buf b;

	f3_buf_init(&b, 600);
	f3_buf_printf(&b, "%s=%d", "answer", 42);
	f3_buf_printf(&b, ";");
	ck_assert_str_eq((char *)b.data, "answer=42;");
	ck_assert_uint_eq(b.len, 10);
	/* across the end of the inline bytes, to the maximum exactly */
	f3_buf_printf(&b, "%590s", "end");
	ck_assert_int_eq(b.error, 0);
	ck_assert_uint_eq(b.len, 600);
	ck_assert_uint_eq(strlen((char *)b.data), 600);
	f3_buf_printf(&b, "%s", "");
	ck_assert_int_eq(b.error, 0);
	f3_buf_printf(&b, "!");
	ck_assert_int_eq(b.error, -EMSGSIZE);
	f3_buf_done(&b);

	f3_buf_init(&b, 255);
	f3_buf_printf(&b, "%255s", "x");
	ck_assert_int_eq(b.error, 0);
	ck_assert_uint_eq(strlen((char *)b.data), 255);
	f3_buf_done(&b);
}
END_TEST

START_TEST(reader_stops_at_the_end)
{
	static const uint8_t bytes[] = { 1, 2, 3 };
	struct f3_rd rd;
	size_t len = 77;

	f3_rd_init(&rd, bytes, sizeof(bytes));
	ck_assert_uint_eq(f3_rd_u32(&rd), 0);
	ck_assert_int_eq(rd.error, -EBADMSG);
	/* and stays stopped, though two bytes would be there */
	ck_assert_uint_eq(f3_rd_u16(&rd), 0);
	ck_assert_ptr_null(f3_rd_bytes(&rd, 0));
	ck_assert_ptr_null(f3_rd_str16(&rd, &len));
	ck_assert_uint_eq(len, 0);
	ck_assert_uint_eq(rd.left, 3);
}
END_TEST

START_TEST(reader_refuses_a_lying_length)
{
	static const uint8_t bytes[] = { 0xff, 0xff, 'a', 'b' };
	struct f3_rd rd;
	size_t len = 77;

	f3_rd_init(&rd, bytes, sizeof(bytes));
	ck_assert_ptr_null(f3_rd_str16(&rd, &len));
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(rd.error, -EBADMSG);

	f3_rd_init(&rd, bytes, sizeof(bytes));
	ck_assert_ptr_null(f3_rd_bytes(&rd, SIZE_MAX));
	ck_assert_int_eq(rd.error, -EBADMSG);

	/* an empty source is fine until something is taken from it */
	f3_rd_init(&rd, NULL, 0);
	f3_rd_bytes(&rd, 0);
	ck_assert_int_eq(rd.error, 0);
	ck_assert_uint_eq(f3_rd_u8(&rd), 0);
	ck_assert_int_eq(rd.error, -EBADMSG);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("buf");
	TCase *t = tcase_create("buf");

	tcase_add_test(t, integers_round_trip);
	tcase_add_test(t, integers_are_big_endian);
	tcase_add_test(t, grows_past_the_inline_bytes);
	tcase_add_test(t, maximum_holds_at_every_size);
	tcase_add_test(t, first_error_is_kept);
	tcase_add_test(t, huge_length_does_not_wrap);
	tcase_add_test(t, reset_keeps_the_memory);
	tcase_add_test(t, strings_round_trip);
	tcase_add_test(t, printf_appends_text);
	tcase_add_test(t, reader_stops_at_the_end);
	tcase_add_test(t, reader_refuses_a_lying_length);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
