/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/escape.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/unit.h"

static const char *escaped(const char *object, bool beside)
{
	static char name[F3_NAME_MAX + 1];

	ck_assert_int_eq(f3_escape_name(object, strlen(object), beside, name), 0);
	return name;
}

static const char *unescaped(const char *name)
{
	static char object[F3_NAME_MAX + 1];

	ck_assert_int_eq(f3_unescape_name(name, strlen(name), object), 0);
	return object;
}

START_TEST(plain_names_are_themselves)
{
	ck_assert_str_eq(escaped("a", false), "a");
	ck_assert_str_eq(escaped("...", false), "...");
	ck_assert_str_eq(escaped("50%", false), "50%");
	ck_assert_str_eq(escaped("\x01\xff", false), "\x01\xff");
	ck_assert_str_eq(unescaped("a"), "a");
	ck_assert_str_eq(unescaped("50%2E"), "50%2E");
	ck_assert_str_eq(unescaped(".f3-objects"), ".f3-objects");
}
END_TEST

START_TEST(others_get_the_suffix)
{
	ck_assert_str_eq(escaped("a", true), "a.f3-object");
	ck_assert_str_eq(escaped(".", false), "%2E.f3-object");
	ck_assert_str_eq(escaped("..", false), "%2E%2E.f3-object");
	ck_assert_str_eq(escaped("", false), ".f3-object");
	ck_assert_str_eq(escaped("50%", true), "50%25.f3-object");
	ck_assert_str_eq(escaped("a.f3-object", false), "a.f3-object.f3-object");
	ck_assert_str_eq(escaped(".f3-object", false), ".f3-object.f3-object");
	ck_assert_str_eq(escaped("a.", true), "a..f3-object");
}
END_TEST

/* Every short object name over an alphabet of the bytes that matter comes back, and no two have
 * one file name. */
START_TEST(there_and_back)
{
	static const char *const pieces[] = {
		"", "a", ".", "%", "2", "E", "5", ".f3-object", "%2E"
	};
	enum { N = sizeof(pieces) / sizeof(pieces[0]) };
	unsigned done = 0;

	for (unsigned i = 0; i < N * N * N * N; i++) {
		char object[128], name[F3_NAME_MAX + 1];

		snprintf(object, sizeof(object), "%s%s%s%s", pieces[i % N], pieces[i / N % N],
			 pieces[i / N / N % N], pieces[i / N / N / N]);
		for (int beside = 0; beside < 2; beside++) {
			snprintf(name, sizeof(name), "%s", escaped(object, beside));
			ck_assert_str_eq(unescaped(name), object);
			ck_assert(strcmp(name, ".") && strcmp(name, "..") && *name);
			done++;
		}
	}
	ck_assert_uint_eq(done, 2 * N * N * N * N);
}
END_TEST

START_TEST(what_no_object_makes_is_refused)
{
	static const char *const wrong[] = {
		"..f3-object",    "...f3-object",   "%.f3-object",        "a%2.f3-object",
		"a%2E.f3-object", "%2e.f3-object",  "%41.f3-object",      "%2E%25.f3-object",
		"%00.f3-object",  ".%2E.f3-object", "%2E%2E%2E.f3-object"
	};
	char object[F3_NAME_MAX + 1];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(f3_unescape_name(wrong[i], strlen(wrong[i]), object) == -EINVAL, "%s",
			      wrong[i]);
}
END_TEST

START_TEST(too_long_has_no_name)
{
	char object[300], name[F3_NAME_MAX + 1];

	memset(object, 'x', sizeof(object));
	ck_assert_int_eq(f3_escape_name(object, 255, false, name), 0);
	ck_assert_int_eq(f3_escape_name(object, 256, false, name), -ENAMETOOLONG);
	ck_assert_int_eq(f3_escape_name(object, 245, true, name), 0);
	ck_assert_uint_eq(strlen(name), 255);
	ck_assert_int_eq(f3_escape_name(object, 246, true, name), -ENAMETOOLONG);
	ck_assert_int_eq(f3_escape_name("a/b", 3, false, name), -EINVAL);
	ck_assert_int_eq(f3_escape_name("a\0b", 3, false, name), -EINVAL);
	ck_assert_int_eq(f3_unescape_name(object, 256, name), -EINVAL);
}
END_TEST

START_TEST(paths)
{
	char path[] = "d.f3-object/%2E%2E.f3-object/x/.f3-object/y%25.f3-object";
	char plain[] = "a/b%2E/c", bad[] = "a/...f3-object/c", empty[] = "";

	ck_assert_int_eq(f3_unescape_path(path), 0);
	ck_assert_str_eq(path, "d/../x//y%");
	ck_assert_int_eq(f3_unescape_path(plain), 0);
	ck_assert_str_eq(plain, "a/b%2E/c");
	ck_assert_int_eq(f3_unescape_path(bad), -EINVAL);
	ck_assert_int_eq(f3_unescape_path(empty), 0);
	ck_assert_str_eq(empty, "");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("core_escape");
	TCase *t = tcase_create("names");

	tcase_add_test(t, plain_names_are_themselves);
	tcase_add_test(t, others_get_the_suffix);
	tcase_add_test(t, there_and_back);
	tcase_add_test(t, what_no_object_makes_is_refused);
	tcase_add_test(t, too_long_has_no_name);
	tcase_add_test(t, paths);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
