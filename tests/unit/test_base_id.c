/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/hash.h"
#include "fs/base/id.h"
#include "tests/unit/unit.h"

static const uint8_t uuid[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

/* The hash is part of stored formats: these values must never change. */
START_TEST(hash_is_fixed)
{
	ck_assert_uint_eq(f3_hash64("", 0, 0), UINT64_C(0x2d06800538d394c2));
	ck_assert_uint_eq(f3_hash64(NULL, 0, 0), UINT64_C(0x2d06800538d394c2));
	ck_assert_uint_eq(f3_hash64("a", 1, 0), UINT64_C(0xe6c632b61e964e1f));
	ck_assert_uint_eq(f3_hash64("abc", 3, 0), UINT64_C(0x78af5f94892f3950));
	ck_assert_uint_ne(f3_hash64("abc", 3, 1), f3_hash64("abc", 3, 0));
}
END_TEST

START_TEST(id_has_its_three_parts)
{
	struct f3_idgen gen;
	struct f3_id id;
	uint64_t tag = f3_hash64(uuid, sizeof(uuid), 0);
	char text[F3_ID_TEXT_BYTES], want[F3_ID_TEXT_BYTES];

	f3_idgen_init(&gen, uuid, 0x01020304);
	f3_idgen_next(&gen, &id);
	f3_id_format(&id, text);
	snprintf(want, sizeof(want), "%012llx01020304000000000001",
		 (unsigned long long)(tag & 0xffffffffffffull));
	ck_assert_str_eq(text, want);
	f3_idgen_next(&gen, &id);
	ck_assert_uint_eq(id.b[15], 2);

	/* the next start's ids differ though its counter begins again */
	f3_idgen_init(&gen, uuid, 0x01020305);
	f3_idgen_next(&gen, &id);
	f3_id_format(&id, text);
	ck_assert_str_ne(text, want);
}
END_TEST

START_TEST(text_round_trips)
{
	struct f3_id id, back;
	char text[F3_ID_TEXT_BYTES];

	for (unsigned i = 0; i < F3_ID_BYTES; i++)
		id.b[i] = (uint8_t)(i * 17);
	f3_id_format(&id, text);
	ck_assert_str_eq(text, "00112233445566778899aabbccddeeff");
	ck_assert_int_eq(f3_id_parse(text, &back), 0);
	ck_assert(f3_id_equal(&id, &back));
	ck_assert_int_eq(f3_id_parse("00112233445566778899AABBCCDDEEFF", &back), 0);
	ck_assert(f3_id_equal(&id, &back));
	ck_assert(!f3_id_is_zero(&id));
	memset(&id, 0, sizeof(id));
	ck_assert(f3_id_is_zero(&id));
	ck_assert(!f3_id_equal(&id, &back));
}
END_TEST

START_TEST(bad_text_is_refused)
{
	static const char *const bad[] = {
		"",
		"0",
		"00112233445566778899aabbccddeef",
		"00112233445566778899aabbccddeeff0",
		"00112233445566778899aabbccddeefg",
		" 0112233445566778899aabbccddeeff",
		"0x112233445566778899aabbccddeeff",
		"00112233-445566778899aabbccddeeff",
	};
	struct f3_id id = { { 9 } }, same = id;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		/* on the heap to its exact size, so that reading past the end shows */
		char *text = strdup(bad[i]);

		ck_assert_int_eq(f3_id_parse(text, &id), -EINVAL);
		free(text);
	}
	ck_assert(f3_id_equal(&id, &same));
}
END_TEST

#define THREADS 4
#define EACH 5000

struct maker {
	struct f3_idgen *gen;
	struct f3_id ids[EACH];
};

static void *make_ids(void *arg)
{
	struct maker *m = arg;

	for (unsigned i = 0; i < EACH; i++)
		f3_idgen_next(m->gen, &m->ids[i]);
	return NULL;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, F3_ID_BYTES);
}

START_TEST(threads_never_share_an_id)
{
	static struct maker makers[THREADS];
	static struct f3_id all[THREADS * EACH];
	struct f3_idgen gen;
	pthread_t threads[THREADS];

	f3_idgen_init(&gen, uuid, 1);
	for (unsigned i = 0; i < THREADS; i++) {
		makers[i].gen = &gen;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, make_ids, &makers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		memcpy(all + i * EACH, makers[i].ids, sizeof(makers[i].ids));
	}
	qsort(all, THREADS * EACH, sizeof(all[0]), compare);
	for (unsigned i = 1; i < THREADS * EACH; i++)
		ck_assert(!f3_id_equal(&all[i - 1], &all[i]));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("id");
	TCase *t = tcase_create("id");

	tcase_add_test(t, hash_is_fixed);
	tcase_add_test(t, id_has_its_three_parts);
	tcase_add_test(t, text_round_trips);
	tcase_add_test(t, bad_text_is_refused);
	tcase_add_test(t, threads_never_share_an_id);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
