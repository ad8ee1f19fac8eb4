/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "fs/base/text.h"
#include "tests/unit/unit.h"

static const struct {
	const char *bytes;
	size_t len;
	const char *line, *json;
} cases[] = {
	{ "", 0, "", "" },
	{ "plain text", 10, "plain text", "plain text" },
	{ "a\nb\tc\rd", 7, "a\\nb\\tc\\rd", "a\\nb\\tc\\rd" },
	{ "nul\0\033[31m\177", 10, "nul\\x00\\x1b[31m\\x7f", "nul\\u0000\\u001b[31m\\u007f" },
	{ "back\\slash \"q\"", 14, "back\\\\slash \"q\"", "back\\\\slash \\\"q\\\"" },
	{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", 15,
	  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
	  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80" },
	{ "\xff\xfe", 2, "\\xff\\xfe", "\\\\xff\\\\xfe" },
	/* overlong, surrogate, above U+10FFFF, cut off */
	{ "\xc0\xaf", 2, "\\xc0\\xaf", "\\\\xc0\\\\xaf" },
	{ "\xed\xa0\x80", 3, "\\xed\\xa0\\x80", "\\\\xed\\\\xa0\\\\x80" },
	{ "\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80", "\\\\xf4\\\\x90\\\\x80\\\\x80" },
	{ "\xe2\x82", 2, "\\xe2\\x82", "\\\\xe2\\\\x82" },
	/* a C1 control: CSI to some terminals */
	{ "\xc2\x9b"
	  "1m",
	  4, "\\xc2\\x9b1m", "\\u009b1m" },
	{ "\xc2\xa0", 2, "\xc2\xa0", "\xc2\xa0" },
};

START_TEST(known_texts)
{
	struct f3_buf b;

	f3_buf_init(&b, 1000);
	f3_text_escape(&b, cases[_i].bytes, cases[_i].len, F3_ESCAPE_LINE);
	ck_assert_uint_eq(b.len, strlen(cases[_i].line));
	ck_assert_mem_eq(b.data, cases[_i].line, b.len);
	f3_buf_reset(&b);
	f3_text_escape(&b, cases[_i].bytes, cases[_i].len, F3_ESCAPE_JSON);
	ck_assert_uint_eq(b.len, strlen(cases[_i].json));
	ck_assert_mem_eq(b.data, cases[_i].json, b.len);
	f3_buf_done(&b);
}
END_TEST

/* Whatever comes in, what goes out is a JSON string, and one line without controls. */
START_TEST(any_bytes_become_valid)
{
	unsigned seed = 3;

	for (int round = 0; round < 2000; round++) {
		char bytes[24];
		size_t len = (size_t)rand_r(&seed) % sizeof(bytes);
		struct f3_buf b;
		json_t *json;

		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)(rand_r(&seed) >> 7);
		f3_buf_init(&b, 1000);
		f3_buf_printf(&b, "\"");
		f3_text_escape(&b, bytes, len, F3_ESCAPE_JSON);
		f3_buf_printf(&b, "\"");
		json = json_loadb((char *)b.data, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		ck_assert_ptr_nonnull(json);
		json_decref(json);

		f3_buf_reset(&b);
		f3_text_escape(&b, bytes, len, F3_ESCAPE_LINE);
		for (size_t i = 0; i < b.len;) {
			size_t n = f3_utf8_char(b.data + i, b.len - i);

			ck_assert_uint_gt(n, 0);
			ck_assert(n > 1 || (b.data[i] >= ' ' && b.data[i] != 0x7f));
			i += n;
		}
		f3_buf_done(&b);
	}
}
END_TEST

/* Against an encoder: exactly the well-formed sequences are accepted. */
START_TEST(every_character_is_known)
{
	for (uint32_t c = 0; c < 0x120000; c++) {
		uint8_t u[4];
		size_t n;

		if (c < 0x80) {
			u[0] = (uint8_t)c;
			n = 1;
		} else if (c < 0x800) {
			u[0] = (uint8_t)(0xc0 | c >> 6);
			n = 2;
		} else if (c < 0x10000) {
			u[0] = (uint8_t)(0xe0 | c >> 12);
			n = 3;
		} else {
			u[0] = (uint8_t)(0xf0 | c >> 18);
			n = 4;
		}
		for (size_t i = 1; i < n; i++)
			u[i] = (uint8_t)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
		if ((c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
			ck_assert_uint_eq(f3_utf8_char(u, n), 0);
		else if (f3_utf8_char(u, n) != n)
			ck_abort_msg("U+%04X", c);
		if (n > 1 && f3_utf8_char(u, n - 1) != 0)
			ck_abort_msg("U+%04X cut off", c);
	}
	ck_assert_uint_eq(f3_utf8_char("", 0), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("text");
	TCase *t = tcase_create("text");

	tcase_add_loop_test(t, known_texts, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(t, any_bytes_become_valid);
	tcase_add_test(t, every_character_is_known);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
