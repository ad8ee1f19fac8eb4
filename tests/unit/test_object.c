/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/object/object.h"
#include "tests/unit/unit.h"

/* ---- Generations ---- */

START_TEST(gen_round_trip)
{
	struct f3_obj_gen gen = { .generation = 0, .attempt = UINT64_MAX }, back;
	char text[F3_OBJ_GEN_TEXT];

	for (size_t i = 0; i < sizeof(gen.id.b); i++)
		gen.id.b[i] = (uint8_t)(i * 17);
	f3_obj_gen_format(&gen, text);
	ck_assert_str_eq(text, "00112233445566778899aabbccddeeff.0.18446744073709551615");
	ck_assert_int_eq(f3_obj_gen_parse(text, &back), 0);
	ck_assert(f3_obj_gen_equal(&gen, &back));
	back.attempt--;
	ck_assert(!f3_obj_gen_equal(&gen, &back));
	back = gen;
	back.id.b[15]++;
	ck_assert(!f3_obj_gen_equal(&gen, &back));
	back = gen;
	back.generation++;
	ck_assert(!f3_obj_gen_equal(&gen, &back));
	/* the longest there is */
	gen.generation = UINT64_MAX;
	f3_obj_gen_format(&gen, text);
	ck_assert_int_eq(f3_obj_gen_parse(text, &back), 0);
	ck_assert(f3_obj_gen_equal(&gen, &back));
}
END_TEST

#define ID "00112233445566778899aabbccddeeff"
static const char *const bad_gens[] = {
	"",
	".",
	ID,
	ID ".",
	ID ".1",
	ID ".1.",
	ID "..1",
	ID ".1.1.",
	ID ".1.1.1",
	ID ".1.1 ",
	ID ". 1.1",
	ID ".+1.1",
	ID ".-1.1",
	ID ".01.1",
	ID ".1.00",
	ID ".1.18446744073709551616",
	ID ".99999999999999999999.1",
	ID ".1.0x1",
	"00112233445566778899aabbccddeef.1.1",
	"00112233445566778899aabbccddeeff0.1.1",
	"0011223344556677889Xaabbccddeeff.1.1",
	ID ".1.1000000000000000000000000000000000000000000000000000000000000000000",
};

START_TEST(gen_refuses)
{
	struct f3_obj_gen gen = { .generation = 5 };

	ck_assert_int_eq(f3_obj_gen_parse(bad_gens[_i], &gen), -EINVAL);
	ck_assert_uint_eq(gen.generation, 5);
}
END_TEST

/* ---- The door ---- */

static unsigned reached;

static void note_submit(struct f3_object_store *s, struct f3_obj_op *op)
{
	(void)s;
	reached++;
	op->result = 0;
	op->done(op);
}

static const struct f3_object_ops note_ops = { .scheme = "note", .submit = note_submit };
static struct f3_object_store note = { .ops = &note_ops };

/* A request that is as it must be. */
static struct f3_obj_op good(enum f3_obj_type type)
{
	static const struct f3_obj_gen gen;
	static const struct f3_obj_part part = { .number = 1 };
	static char buf[8];
	struct f3_obj_op op;

	f3_object_op_init(&op, type);
	op.key = "a/b";
	op.key2 = "c";
	op.gen = &gen;
	op.upload = "u";
	op.len = sizeof(buf);
	op.body = buf;
	op.buf = buf;
	op.parts = &part;
	op.n_parts = 1;
	return op;
}

static int try(struct f3_obj_op *op)
{
	unsigned before = reached;
	int r = f3_object_run(&note, op);

	ck_assert_uint_eq(reached, before + (r == 0));
	ck_assert(r == 0 || op->message[0]);
	return r;
}

START_TEST(every_type_has_a_name_and_passes)
{
	struct f3_obj_op op = good((enum f3_obj_type)_i);

	ck_assert_int_eq(try(&op), 0);
	ck_assert_str_ne(f3_obj_type_name((enum f3_obj_type)_i), "?");
	for (int k = 0; k < _i; k++)
		ck_assert_str_ne(f3_obj_type_name((enum f3_obj_type)_i),
				 f3_obj_type_name((enum f3_obj_type)k));
}
END_TEST

START_TEST(what_every_type_refuses)
{
	static char long_key[F3_OBJ_KEY_MAX + 2];
	enum f3_obj_type type = (enum f3_obj_type)_i;
	struct f3_obj_op op = good(type);

	op.key = NULL;
	ck_assert_int_eq(try(&op), -EINVAL);
	op.key = "/a";
	ck_assert_int_eq(try(&op), -EINVAL);
	/* a directory's name may be empty */
	op.key = "a/";
	ck_assert_int_eq(try(&op), type == F3_OBJ_HEAD || type == F3_OBJ_LIST ||
						   type == F3_OBJ_MKDIR || type == F3_OBJ_RMDIR ||
						   type == F3_OBJ_SET_ATTR ||
						   type == F3_OBJ_UPLOAD_LIST ?
					   0 :
					   -EINVAL);
	op.key = "/";
	ck_assert_int_eq(try(&op), -EINVAL);
	memset(long_key, 'k', F3_OBJ_KEY_MAX + 1);
	op.key = long_key;
	ck_assert_int_eq(try(&op), -ENAMETOOLONG);
	long_key[F3_OBJ_KEY_MAX] = 0;
	ck_assert_int_eq(try(&op), 0);
	op = good(type);
	op.cond = F3_OBJ_MATCH;
	ck_assert_int_eq(try(&op), -EINVAL);
	op.etag = "e";
	ck_assert_int_eq(try(&op), 0);
	op = good(type);
	op.off = INT64_MAX;
	ck_assert_int_eq(try(&op), -EINVAL);
	op.off = UINT64_MAX - 3;
	ck_assert_int_eq(try(&op), -EINVAL);
	op = good(type);
	op.off2 = UINT64_MAX;
	ck_assert_int_eq(try(&op), -EINVAL);
	op = good(type);
	op.fd_off = UINT64_MAX;
	ck_assert_int_eq(try(&op), -EINVAL);
}
END_TEST

START_TEST(what_some_types_refuse)
{
	char cursor[F3_OBJ_CURSOR_MAX + 2];
	struct f3_obj_op op;

	op = good(F3_OBJ_PUT);
	op.gen = NULL;
	ck_assert_int_eq(try(&op), -EINVAL);
	op = good(F3_OBJ_GET);
	op.gen = NULL;
	ck_assert_int_eq(try(&op), 0);
	op = good(F3_OBJ_PUT);
	op.body = NULL;
	ck_assert_int_eq(try(&op), -EINVAL);
	op.len = 0;
	ck_assert_int_eq(try(&op), 0);
	op = good(F3_OBJ_UPLOAD_PART);
	op.body = NULL;
	op.fd = 0;
	ck_assert_int_eq(try(&op), 0);
	op = good(F3_OBJ_HEAD);
	op.want = F3_OBJ_WANT_DIR;
	ck_assert_int_eq(try(&op), 0);
	op.want = (enum f3_obj_want)(F3_OBJ_WANT_DIR + 1);
	ck_assert_int_eq(try(&op), -EINVAL);
	op = good(F3_OBJ_LIST);
	memset(cursor, 'c', sizeof(cursor));
	cursor[sizeof(cursor) - 1] = '\0';
	op.after = cursor;
	ck_assert_int_eq(try(&op), -EINVAL);
	cursor[sizeof(cursor) - 2] = '\0';
	ck_assert_int_eq(try(&op), 0);
	op = good(F3_OBJ_GET);
	op.buf = NULL;
	ck_assert_int_eq(try(&op), -EINVAL);
	op = good(F3_OBJ_COPY);
	op.key2 = NULL;
	ck_assert_int_eq(try(&op), -EINVAL);
	op.key2 = "";
	ck_assert_int_eq(try(&op), -EINVAL);
	op = good(F3_OBJ_UPLOAD_ABORT);
	op.upload = "";
	ck_assert_int_eq(try(&op), -EINVAL);
	op = good(F3_OBJ_UPLOAD_COMPLETE);
	op.n_parts = 0;
	ck_assert_int_eq(try(&op), -EINVAL);
	/* only what can mean the root takes no key */
	for (int t = 0; t < F3_OBJ_TYPES; t++) {
		bool root = t == F3_OBJ_HEAD || t == F3_OBJ_LIST || t == F3_OBJ_MKDIR ||
			    t == F3_OBJ_SET_ATTR || t == F3_OBJ_UPLOAD_LIST;

		op = good((enum f3_obj_type)t);
		op.key = "";
		ck_assert_int_eq(try(&op), root ? 0 : -EINVAL);
	}
	op = good((enum f3_obj_type)F3_OBJ_TYPES);
	ck_assert_int_eq(try(&op), -EINVAL);
}
END_TEST

START_TEST(a_read_only_store_takes_no_change)
{
	unsigned refused = 0;

	note.read_only = true;
	for (int t = 0; t < F3_OBJ_TYPES; t++) {
		struct f3_obj_op op = good((enum f3_obj_type)t);
		bool mutates = f3_obj_type_mutates((enum f3_obj_type)t);

		ck_assert_int_eq(try(&op), mutates ? -EROFS : 0);
		refused += mutates;
	}
	note.read_only = false;
	ck_assert_uint_eq(refused, F3_OBJ_TYPES - 4);
}
END_TEST

START_TEST(results_do_not_outlive_the_next_run)
{
	struct f3_obj_op op = good(F3_OBJ_LIST);
	int owner;

	op.owner = &owner;
	op.heap = malloc(10);
	op.entries = op.heap;
	op.n_entries = 3;
	op.info.size = 99;
	op.moved = 5;
	ck_assert_int_eq(try(&op), 0);
	ck_assert_ptr_null(op.heap);
	ck_assert_uint_eq(op.n_entries, 0);
	ck_assert_uint_eq(op.info.size, 0);
	ck_assert_uint_eq(op.moved, 0);
	ck_assert_ptr_eq(op.owner, &owner);
	f3_object_op_done(NULL);
}
END_TEST

/* ---- Schemes ---- */

START_TEST(unknown_schemes_are_refused_and_not_repeated)
{
	static const char *const urls[] = { "",
					    "x",
					    "/tmp",
					    "file:/tmp",
					    "s9://key:secret@host/b",
					    "secret@host",
					    "files:///tmp" };

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct f3_object_options opt = { .url = urls[i] };
		struct f3_object_store *s = (struct f3_object_store *)&note;
		struct f3_err err = F3_ERR_INIT;

		ck_assert_int_eq(f3_object_open(&opt, &s, &err), -EINVAL);
		ck_assert_ptr_eq(s, &note);
		ck_assert_ptr_nonnull(strstr(err.text, "file:///"));
		ck_assert_ptr_null(strstr(err.text, "secret@"));
		ck_assert_ptr_null(strstr(err.text, ":secret"));
	}
	f3_object_close(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("object");
	TCase *tc = tcase_create("object");

	tcase_add_test(tc, gen_round_trip);
	tcase_add_loop_test(tc, gen_refuses, 0, sizeof(bad_gens) / sizeof(bad_gens[0]));
	tcase_add_loop_test(tc, every_type_has_a_name_and_passes, 0, F3_OBJ_TYPES);
	tcase_add_loop_test(tc, what_every_type_refuses, 0, F3_OBJ_TYPES);
	tcase_add_test(tc, what_some_types_refuse);
	tcase_add_test(tc, a_read_only_store_takes_no_change);
	tcase_add_test(tc, results_do_not_outlive_the_next_run);
	tcase_add_test(tc, unknown_schemes_are_refused_and_not_repeated);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
