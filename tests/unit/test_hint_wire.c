/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of the hint protocol: split anywhere they are the same, and what is not a request is refused
 * before it costs anything.
 */
#include "config.h"

#include "hints/wire.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/unit.h"

static struct f3_hint_lines lines;
static struct f3_buf seen; /* lines and errors, as they came */

static void setup(void)
{
	f3_hint_lines_init(&lines);
	f3_buf_init(&seen, 4u << 20);
}

static void teardown(void)
{
	f3_hint_lines_done(&lines);
	f3_buf_done(&seen);
}

static void take(void)
{
	const char *line;
	size_t len;
	int r;

	while ((r = f3_hint_lines_next(&lines, &line, &len)) != 0) {
		if (r == 1)
			f3_buf_put(&seen, line, len);
		else
			f3_buf_printf(&seen, "%s", r == -EMSGSIZE ? "<long>" : "<?>");
		f3_buf_put_u8(&seen, '|');
	}
}

static void feed(const char *bytes, size_t len, size_t step)
{
	f3_buf_reset(&seen);
	for (size_t at = 0; at < len; at += step) {
		ck_assert_int_eq(
			f3_hint_lines_put(&lines, bytes + at, len - at < step ? len - at : step),
			0);
		take();
	}
}

static void saw(const char *wanted)
{
	f3_buf_put_u8(&seen, 0);
	ck_assert_str_eq((const char *)seen.data, wanted);
}

START_TEST(split_anywhere)
{
	static const char text[] = "one\n\ntwo\nthree and more\nrest";

	for (size_t step = 1; step < sizeof(text); step++) {
		const char *line;
		size_t len;

		feed(text, sizeof(text) - 1, step);
		saw("one||two|three and more|");
		ck_assert_int_eq(f3_hint_lines_last(&lines, &line, &len), 1);
		ck_assert_mem_eq(line, "rest", 4);
		ck_assert_int_eq(f3_hint_lines_next(&lines, &line, &len), 0);
		ck_assert_uint_eq(f3_hint_lines_heap(&lines), 0);
	}
}
END_TEST

/* Just as long as a line may be, one more, and much more; and what follows is as if nothing were. */
START_TEST(too_long)
{
	static const size_t lens[] = { F3_HINT_LINE_MAX - 1, F3_HINT_LINE_MAX, F3_HINT_LINE_MAX + 1,
				       5 * F3_HINT_LINE_MAX };
	static char text[6 * F3_HINT_LINE_MAX];

	for (size_t i = 0; i < 4; i++) {
		for (size_t step = 4096; step <= F3_HINT_READ_MAX; step *= 2) {
			size_t len = lens[i];

			memset(text, 'x', len);
			memcpy(text + len, "\nnext\n", 6);
			feed(text, len + 6, step);
			if (len > F3_HINT_LINE_MAX)
				saw("<long>|next|");
			else
				ck_assert_uint_eq(seen.len, len + 1 + 5);
			ck_assert_uint_eq(f3_hint_lines_heap(&lines), 0);
		}
	}
	/* An end in the middle of one that is too long is no line. */
	memset(text, 'x', sizeof(text));
	feed(text, sizeof(text), F3_HINT_READ_MAX);
	saw("<long>|");
	{
		const char *line;
		size_t len;

		ck_assert_int_eq(f3_hint_lines_last(&lines, &line, &len), 0);
	}
}
END_TEST

static int parse(const char *text, size_t len)
{
	char why[F3_HINT_WHY_MAX] = "";
	json_t *object = NULL;
	int r = f3_hint_parse(text, len, &object, why);

	ck_assert(!r == !why[0]);
	ck_assert(!r == (object != NULL));
	json_decref(object);
	return r;
}

START_TEST(good)
{
	static const char *const texts[] = {
		"{}",
		" {\"op\":\"x\"}\r",
		"{\"id\":-9223372036854775808}",
		"{\"id\":\"\"}",
		"{\"a\":[[[[[[[[[[[[[[[\"[[[[[[[[[[\\\"[[[[[\"]]]]]]]]]]]]]]]}",
		"{\"a\":\"\xf0\x9f\x98\x80\",\"b\":\"\\ud83d\\ude00\"}",
		"{\"a\":1e300,\"b\":-0,\"c\":9223372036854775807}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(!parse(texts[i], strlen(texts[i])), "%s", texts[i]);
}
END_TEST

START_TEST(bad)
{
	static const char *const texts[] = {
		"",
		"x",
		"[]",
		"1",
		"\"a\"",
		"{",
		"{}}",
		"{}{}",
		"{\"a\":1,\"a\":2}",
		"{\"a\":{\"b\":1,\"b\":1}}",
		"{\"a\":\"\x80\"}",
		"{\"a\":\"\xc0\xaf\"}",
		"{\"a\":\"\xed\xa0\x80\"}",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":9223372036854775808}",
		"{\"a\":1e999}",
		"{\"a\":01}",
		"{\"a\":NaN}",
		"{a:1}",
		"{\"id\":1.5}",
		"{\"id\":null}",
		"{\"id\":[1]}",
		"{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(parse(texts[i], strlen(texts[i])) == -EBADMSG, "%s", texts[i]);
	ck_assert_int_eq(parse("{\"a\0\":1}", 8), -EBADMSG);
}
END_TEST

static void fill(struct f3_buf *text, const char *first, const char *again, unsigned n,
		 const char *last)
{
	f3_buf_reset(text);
	f3_buf_put(text, first, strlen(first));
	for (unsigned i = 0; i < n; i++)
		f3_buf_put(text, again, strlen(again));
	f3_buf_put(text, last, strlen(last));
}

START_TEST(bounds)
{
	struct f3_buf text;

	f3_buf_init(&text, 1u << 20);
	/* object, array and its first value stand for three */
	fill(&text, "{\"a\":[1", ",1", F3_HINT_VALUES_MAX - 3, "]}");
	ck_assert_int_eq(parse((char *)text.data, text.len), 0);
	fill(&text, "{\"a\":[1", ",1", F3_HINT_VALUES_MAX - 2, "]}");
	ck_assert_int_eq(parse((char *)text.data, text.len), -EBADMSG);
	fill(&text, "{\"a\":[{}", ",{}", F3_HINT_VALUES_MAX / 2, "]}");
	ck_assert_int_eq(parse((char *)text.data, text.len), -EBADMSG);
	/* what is in a text does not count */
	fill(&text, "{\"a\":\"", ",[", 30000, "\"}");
	ck_assert_int_eq(parse((char *)text.data, text.len), 0);
	/* an opening bracket costs nothing before it is refused */
	fill(&text, "", "[", 65536, "");
	ck_assert_int_eq(parse((char *)text.data, text.len), -EBADMSG);
	fill(&text, "{\"id\":\"", "x", F3_HINT_ID_MAX, "\"}");
	ck_assert_int_eq(parse((char *)text.data, text.len), 0);
	fill(&text, "{\"id\":\"", "x", F3_HINT_ID_MAX + 1, "\"}");
	ck_assert_int_eq(parse((char *)text.data, text.len), -EBADMSG);
	f3_buf_done(&text);
}
END_TEST

START_TEST(dump)
{
	json_t *object = json_object();
	struct f3_buf out, text;

	f3_buf_init(&out, 200000);
	f3_buf_init(&text, 200000);
	ck_assert_int_eq(f3_hint_dump(object, &out), 0);
	ck_assert_uint_eq(out.len, 3);
	ck_assert_mem_eq(out.data, "{}\n", 3);
	/* {"a":"..."} has eight bytes around the text */
	fill(&text, "", "y", F3_HINT_LINE_MAX - 8, "");
	json_object_set_new(object, "a", json_stringn((char *)text.data, text.len));
	ck_assert_int_eq(f3_hint_dump(object, &out), 0);
	ck_assert_uint_eq(out.len, 3 + F3_HINT_LINE_MAX + 1);
	f3_buf_put_u8(&text, 'y');
	json_object_set_new(object, "a", json_stringn((char *)text.data, text.len));
	ck_assert_int_eq(f3_hint_dump(object, &out), -EMSGSIZE);
	ck_assert_uint_eq(out.len, 3 + F3_HINT_LINE_MAX + 1);
	ck_assert_int_eq(out.error, 0);
	json_decref(object);
	f3_buf_done(&out);
	f3_buf_done(&text);
}
END_TEST

START_TEST(blanks)
{
	ck_assert(f3_hint_blank("", 0));
	ck_assert(f3_hint_blank(" \t\r", 3));
	ck_assert(!f3_hint_blank(" {", 2));
	ck_assert(!f3_hint_blank("\0", 1));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hint_wire");
	TCase *c = tcase_create("wire");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, split_anywhere);
	tcase_add_test(c, too_long);
	tcase_add_test(c, good);
	tcase_add_test(c, bad);
	tcase_add_test(c, bounds);
	tcase_add_test(c, dump);
	tcase_add_test(c, blanks);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
