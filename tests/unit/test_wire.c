/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and places on the control socket: what goes in comes out, and nothing else comes in.
 */
#include "config.h"

#include "daemon/wire.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/unit.h"

static json_t *object;
static struct f3_buf out;
static struct f3_err err;

static void setup(void)
{
	object = json_object();
	f3_buf_init(&out, 1u << 20);
}

static void teardown(void)
{
	json_decref(object);
	f3_buf_done(&out);
}

static const char *text(void)
{
	f3_buf_put_u8(&out, 0);
	ck_assert_int_eq(out.error, 0);
	return (const char *)out.data;
}

static void load(const char *json)
{
	json_decref(object);
	object = json_loads(json, 0, NULL);
	ck_assert_ptr_nonnull(object);
	f3_buf_reset(&out);
}

/* Every byte a name may have, in front of each other one. */
START_TEST(names_come_back)
{
	for (int a = 1; a < 256; a++) {
		for (int b = 1; b < 256; b++) {
			const char name[3] = { (char)a, (char)b, 'x' };

			f3_buf_reset(&out);
			ck_assert_int_eq(f3_wire_set_name(object, "path", name, 3), 0);
			ck_assert_int_eq(f3_wire_get_name(object, "path", &out), 0);
			ck_assert_uint_eq(out.len, 3);
			ck_assert_mem_eq(out.data, name, 3);
			json_object_clear(object);
		}
	}
}
END_TEST

START_TEST(utf8_is_shown_as_it_is)
{
	ck_assert_int_eq(f3_wire_set_name(object, "path", "gr\xc3\xbc\xc3\x9f", 6), 0);
	ck_assert_str_eq(json_string_value(json_object_get(object, "path")), "gr\xc3\xbc\xc3\x9f");
	ck_assert_ptr_null(json_object_get(object, "path_hex"));
	ck_assert_int_eq(f3_wire_set_name(object, "path", "\xff/\n", 3), 0);
	ck_assert_str_eq(json_string_value(json_object_get(object, "path")), "\\xff/\\n");
	ck_assert_str_eq(json_string_value(json_object_get(object, "path_hex")), "ff2f0a");
}
END_TEST

START_TEST(bad_names_are_refused)
{
	static const char *const bad[] = {
		"{\"n\":5}",
		"{\"n\":null}",
		"{\"n\":[]}",
		"{\"n_hex\":5}",
		"{\"n_hex\":\"0\"}",
		"{\"n_hex\":\"00\"}",
		"{\"n_hex\":\"41g\"}",
		"{\"n_hex\":\"4142 \"}",
		"{\"n_hex\":\"4100\"}",
		"{\"n_hex\":\" 4142\"}",
		"{\"n_hex\":\"0x41\"}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		load(bad[i]);
		ck_assert_msg(f3_wire_get_name(object, "n", &out) == -EINVAL, "%s", bad[i]);
	}
	load("{\"m\":\"x\"}");
	ck_assert_int_eq(f3_wire_get_name(object, "n", &out), -ENOENT);
	/* hexadecimal wins, of either case */
	load("{\"n\":\"shown\",\"n_hex\":\"4aFf\"}");
	ck_assert_int_eq(f3_wire_get_name(object, "n", &out), 0);
	ck_assert_str_eq(text(), "J\xff");
}
END_TEST

START_TEST(places_come_back)
{
	static const char *const places[] = { "/", "/photos", "/photos/a", "/photos/a/b c/\xff",
					      "/\xff/x" };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const char *got;

		json_object_clear(object);
		f3_buf_reset(&out);
		ck_assert_int_eq(f3_wire_set_place(object, places[i], strlen(places[i])), 0);
		ck_assert_int_eq(f3_wire_get_place(object, &out, &err), 0);
		got = text();
		/* the root of a volume has a slash at its end, the root of the mount two */
		ck_assert_msg(strncmp(got, places[i], strlen(places[i])) == 0 &&
				      strspn(got + strlen(places[i]), "/") ==
					      strlen(got + strlen(places[i])),
			      "%s became %s", places[i], got);
	}
	f3_wire_set_place(object, "/photos", 7);
	ck_assert_str_eq(json_string_value(json_object_get(object, "volume")), "photos");
	ck_assert_str_eq(json_string_value(json_object_get(object, "path")), "/");
}
END_TEST

START_TEST(bad_places_are_refused)
{
	static const char *const bad[][2] = {
		{ "{}", "missing" },
		{ "{\"volume\":\"v\"}", "missing" },
		{ "{\"volume\":7,\"path\":\"/\"}", "volume" },
		{ "{\"volume\":\"a/b\",\"path\":\"/\"}", "volume" },
		{ "{\"volume\":\"v\",\"path\":\"\"}", "slash" },
		{ "{\"volume\":\"v\",\"path\":\"x\"}", "slash" },
		{ "{\"volume\":\"v\",\"path\":\"/..\"}", "\"..\"" },
		{ "{\"volume\":\"v\",\"path\":\"/a/../b\"}", "\"..\"" },
		{ "{\"volume\":\"v\",\"path\":\"/a/./b\"}", "\".\"" },
		{ "{\"volume\":\"..\",\"path\":\"/x\"}", "\"..\"" },
		{ "{\"volume\":\"v\",\"path\":{}}", "path" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		load(bad[i][0]);
		ck_assert_msg(f3_wire_get_place(object, &out, &err) == -EINVAL, "%s", bad[i][0]);
		ck_assert_msg(strstr(err.text, bad[i][1]), "%s: %s", bad[i][0], err.text);
	}
	/* dots that are part of names are not refused */
	load("{\"volume\":\"..v\",\"path\":\"/...//a.b/..c\"}");
	ck_assert_int_eq(f3_wire_get_place(object, &out, &err), 0);
	ck_assert_str_eq(text(), "/..v/...//a.b/..c");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("wire");
	TCase *t = tcase_create("wire");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, names_come_back);
	tcase_add_test(t, utf8_is_shown_as_it_is);
	tcase_add_test(t, bad_names_are_refused);
	tcase_add_test(t, places_come_back);
	tcase_add_test(t, bad_places_are_refused);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
