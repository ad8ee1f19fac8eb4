/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/object/plan.h"
#include "tests/unit/unit.h"

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define TIB (1ull << 40)

/* Asserts talk to the parent each time; these are evaluated millions of times. */
#define REQUIRE(condition)                                              \
	do {                                                            \
		if (!(condition))                                       \
			ck_abort_msg("line %d: " #condition, __LINE__); \
	} while (0)

/* ---- The schedule -------------------------------------------------------------------------- */

START_TEST(offset_and_part_are_inverse_for_every_part)
{
	uint64_t off = 0, before = 0;

	for (uint32_t n = 1; n <= F3_PLAN_PARTS_MAX; n++) {
		uint64_t size = f3_plan_part_size(n);

		ck_assert_uint_eq(f3_plan_part_offset(n), off);
		ck_assert_uint_ge(size, 5 * MIB);
		ck_assert_uint_le(size, 5 * GIB);
		ck_assert_uint_ge(size, before);
		ck_assert_uint_eq(f3_plan_part_at(off), n);
		ck_assert_uint_eq(f3_plan_part_at(off + 1), n);
		ck_assert_uint_eq(f3_plan_part_at(off + size / 2), n);
		ck_assert_uint_eq(f3_plan_part_at(off + size - 1), n);
		off += size;
		before = size;
	}
	ck_assert_uint_eq(f3_plan_max_bytes(), off);
	/* 2.8 TiB at least */
	ck_assert_uint_ge(f3_plan_max_bytes(), 28 * TIB / 10);
}
END_TEST

START_TEST(what_is_no_part)
{
	ck_assert_uint_eq(f3_plan_part_size(0), 0);
	ck_assert_uint_eq(f3_plan_part_size(F3_PLAN_PARTS_MAX + 1), 0);
	ck_assert_uint_eq(f3_plan_part_size(UINT32_MAX), 0);
	ck_assert_uint_eq(f3_plan_part_at(f3_plan_max_bytes() - 1), F3_PLAN_PARTS_MAX);
	ck_assert_uint_eq(f3_plan_part_at(f3_plan_max_bytes()), 0);
	ck_assert_uint_eq(f3_plan_part_at(UINT64_MAX), 0);
	ck_assert_uint_eq(f3_plan_part_offset(0), 0);
	ck_assert_uint_eq(f3_plan_part_offset(UINT32_MAX), f3_plan_max_bytes());
}
END_TEST

/* ---- The edit planner ---------------------------------------------------------------------- */

static uint64_t seed = 1;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return below ? seed % below : 0;
}

/* What every plan must be, and that no copied byte is a changed one. Returns bytes copied. */
static uint64_t check_plan(uint64_t old_size, uint64_t new_size,
			   const struct f3_plan_range *changed, size_t n_changed,
			   const struct f3_plan_part *parts, size_t n)
{
	uint64_t off = 0, copied = 0;
	size_t c = 0;

	REQUIRE(n >= 1);
	REQUIRE(n <= F3_PLAN_PARTS_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct f3_plan_part *p = &parts[i];

		REQUIRE(p->number == i + 1);
		REQUIRE(p->off == off);
		REQUIRE(p->len >= 1);
		REQUIRE(p->len <= 5 * GIB);
		if (i + 1 < n)
			REQUIRE(p->len >= 5 * MIB);
		off += p->len;
		if (!p->copy)
			continue;
		REQUIRE(p->len >= 5 * MIB);
		REQUIRE(off <= old_size);
		while (c < n_changed && changed[c].off + changed[c].len <= p->off)
			c++;
		for (size_t k = c; k < n_changed && changed[k].off < off; k++)
			REQUIRE(!changed[k].len);
		copied += p->len;
	}
	REQUIRE(off == new_size);
	return copied;
}

struct plan {
	struct f3_plan_part *parts;
	size_t n;
	uint64_t copied;
};

static struct plan plan_of(uint64_t old_size, uint64_t new_size,
			   const struct f3_plan_range *changed, size_t n_changed)
{
	struct plan p = { .parts = NULL };

	ck_assert_int_eq(f3_plan_edit(old_size, new_size, changed, n_changed, &p.parts, &p.n), 0);
	if (p.n)
		p.copied = check_plan(old_size, new_size, changed, n_changed, p.parts, p.n);
	return p;
}

START_TEST(small_objects_go_whole)
{
	struct f3_plan_range one = { 0, 1 };
	struct plan p;

	p = plan_of(0, 0, NULL, 0);
	ck_assert_uint_eq(p.n, 0);
	p = plan_of(16 * MIB, 16 * MIB, &one, 1);
	ck_assert_uint_eq(p.n, 0);
	ck_assert_ptr_null(p.parts);
	p = plan_of(TIB, 16 * MIB, NULL, 0);
	ck_assert_uint_eq(p.n, 0);
	p = plan_of(16 * MIB + 1, 16 * MIB + 1, &one, 1);
	ck_assert_uint_ge(p.n, 2);
	free(p.parts);
	/* nothing to keep: one PUT up to the limit of a PUT, parts above it */
	p = plan_of(0, 64 * MIB, NULL, 0);
	ck_assert_uint_eq(p.n, 0);
	p = plan_of(0, 64 * MIB + 1, NULL, 0);
	ck_assert_uint_ge(p.n, 2);
	ck_assert_uint_eq(p.copied, 0);
	free(p.parts);
}
END_TEST

START_TEST(a_small_edit_of_a_large_object_sends_little)
{
	struct f3_plan_range mid = { 100 * MIB, 4 * KIB }, first = { 0, 1 };
	struct f3_plan_range last = { 256 * MIB - 1, 1 };
	struct plan p;

	p = plan_of(256 * MIB, 256 * MIB, &mid, 1);
	ck_assert_uint_eq(p.copied, 256 * MIB - 5 * MIB);
	ck_assert_uint_eq(p.n, 3);
	free(p.parts);
	p = plan_of(256 * MIB, 256 * MIB, &first, 1);
	ck_assert_uint_eq(p.copied, 251 * MIB);
	free(p.parts);
	/* the last part may be short */
	p = plan_of(256 * MIB, 256 * MIB, &last, 1);
	ck_assert_uint_eq(p.copied, 256 * MIB - 1);
	ck_assert_uint_eq(p.n, 2);
	ck_assert_uint_eq(p.parts[1].len, 1);
	free(p.parts);
	/* appended to, cut off, nothing changed */
	p = plan_of(256 * MIB, 256 * MIB + 10, NULL, 0);
	ck_assert_uint_eq(p.copied, 256 * MIB);
	free(p.parts);
	p = plan_of(256 * MIB, 99 * MIB + 1, NULL, 0);
	ck_assert_uint_eq(p.copied, 99 * MIB + 1);
	ck_assert_uint_eq(p.n, 1);
	free(p.parts);
	/* changes past the new end do not count */
	p = plan_of(256 * MIB, 99 * MIB, &mid, 1);
	ck_assert_uint_eq(p.copied, 99 * MIB);
	free(p.parts);
}
END_TEST

START_TEST(large_copies_are_cut_and_edges_borrowed)
{
	/* 8 MiB unchanged between two small edits: neither neighbour could spare an edge */
	struct f3_plan_range close[] = { { 40 * MIB, KIB }, { 48 * MIB, KIB } };
	/* the change is followed by a short stretch, but what comes before can spare */
	struct f3_plan_range before[] = { { 40 * MIB, KIB }, { 46 * MIB, 10 * MIB } };
	struct f3_plan_range almost = { 40 * MIB, 5 * MIB - 1 };
	struct plan p;

	p = plan_of(7 * TIB, 7 * TIB, NULL, 0);
	ck_assert_uint_eq(p.copied, 7 * TIB);
	free(p.parts);
	p = plan_of(96 * MIB, 96 * MIB, close, 2);
	ck_assert_uint_ge(p.copied, 75 * MIB);
	free(p.parts);
	p = plan_of(96 * MIB, 96 * MIB, &almost, 1);
	ck_assert_uint_eq(p.copied, 91 * MIB);
	free(p.parts);
	p = plan_of(96 * MIB, 96 * MIB, before, 2);
	ck_assert_uint_ge(p.copied, 75 * MIB);
	free(p.parts);
}
END_TEST

START_TEST(parts_are_saved_when_there_would_be_too_many)
{
	size_t n = 400000;
	struct f3_plan_range *changed = calloc(n, sizeof(*changed));
	struct plan p;

	/* one byte in every 11 MiB of 4 TiB: 400,000 stretches that could all be copied */
	for (size_t i = 0; i < n; i++)
		changed[i] = (struct f3_plan_range){ i * 11 * MIB, 1 };
	p = plan_of(4 * TIB + 1, 4 * TIB + 1, changed, n);
	free(p.parts);
	/* the same in the first half only: the rest is still copied */
	p = plan_of(4 * TIB, 4 * TIB, changed, n / 2);
	ck_assert_uint_ge(p.copied, 19 * TIB / 10);
	free(p.parts);
	free(changed);
	p = plan_of(0, F3_PLAN_PARTS_MAX * 5 * GIB, NULL, 0);
	ck_assert_uint_eq(p.n, F3_PLAN_PARTS_MAX);
	free(p.parts);
}
END_TEST

START_TEST(what_is_refused)
{
	struct f3_plan_range unsorted[] = { { 50 * MIB, 1 }, { 10 * MIB, 1 } };
	struct f3_plan_range overlap[] = { { 10 * MIB, 20 }, { 10 * MIB + 19, 1 } };
	struct f3_plan_range wraps[] = { { UINT64_MAX - 3, 10 } };
	struct f3_plan_part *parts = (struct f3_plan_part *)&seed;
	size_t n = 77;

	ck_assert_int_eq(f3_plan_edit(MIB, 99 * MIB, unsorted, 2, &parts, &n), -EINVAL);
	ck_assert_int_eq(f3_plan_edit(MIB, 99 * MIB, overlap, 2, &parts, &n), -EINVAL);
	ck_assert_int_eq(f3_plan_edit(MIB, 99 * MIB, wraps, 1, &parts, &n), -EINVAL);
	ck_assert_int_eq(f3_plan_edit(MIB, F3_PLAN_PARTS_MAX * 5 * GIB + 1, NULL, 0, &parts, &n),
			 -EFBIG);
	ck_assert_int_eq(f3_plan_edit(UINT64_MAX, UINT64_MAX, NULL, 0, &parts, &n), -EFBIG);
	ck_assert_ptr_eq(parts, &seed);
	ck_assert_uint_eq(n, 77);
}
END_TEST

/*
 * A model object of 64 KiB cells: what the planner calls copy is taken from the old cells, the
 * rest from the new ones; the result must be the new object. Cells are what may change, so any
 * wrong copy shows; parts may begin anywhere in a cell.
 */
#define CELL (64 * KIB)
#define CELLS 3000

static void model_round(void)
{
	static uint64_t old_cell[CELLS], new_cell[CELLS];
	static struct f3_plan_range changed[CELLS];
	uint64_t old_size = rnd(CELLS * CELL) + 1, new_size = rnd(CELLS * CELL) + 1;
	uint64_t pct = rnd(4) ? rnd(8) : rnd(101), n_changed = 0, burst = 1 + rnd(60);
	bool dirty = false;
	struct plan p;

	for (size_t i = 0, left = 0; i < CELLS; i++) {
		old_cell[i] = i + 1;
		new_cell[i] = i + 1;
		if (!left) {
			left = 1 + rnd(burst);
			dirty = rnd(100) < pct;
		}
		left--;
		/* past the old end everything is new, told or not */
		if ((uint64_t)(i + 1) * CELL > old_size)
			new_cell[i] = 1000000 + i;
		if (!dirty)
			continue;
		new_cell[i] = 1000000 + i;
		if (n_changed && rnd(2) &&
		    changed[n_changed - 1].off + changed[n_changed - 1].len == i * CELL)
			changed[n_changed - 1].len += CELL;
		else
			changed[n_changed++] = (struct f3_plan_range){ i * CELL, CELL };
	}
	p = plan_of(old_size, new_size, changed, n_changed);
	for (size_t i = 0; i < p.n; i++) {
		uint64_t end = p.parts[i].off + p.parts[i].len;

		if (!p.parts[i].copy)
			continue;
		/* whole cells only: the last one of the old object is a part of a cell that
		 * the model calls new, yet its bytes before the old end are unchanged */
		for (uint64_t c = p.parts[i].off / CELL; (c + 1) * CELL <= end; c++)
			REQUIRE(old_cell[c] == new_cell[c]);
	}
	free(p.parts);
}

START_TEST(random_edits_assemble_the_new_object)
{
	seed = 0x9e3779b97f4a7c15ull;
	for (int i = 0; i < 3000; i++)
		model_round();
}
END_TEST

/* The same over sizes up to terabytes and ranges of any alignment. */
START_TEST(random_large_edits_keep_the_rules)
{
	static struct f3_plan_range changed[20000];

	seed = 0xd1b54a32d192ed03ull;
	for (int i = 0; i < 1500; i++) {
		uint64_t old_size = rnd(1ull << (20 + rnd(23)));
		uint64_t new_size = rnd(3) ? old_size : rnd(1ull << (20 + rnd(23)));
		uint64_t gap = 1ull << (10 + rnd(30)), len = 1ull << rnd(32), at = 0;
		size_t n = 0, want = rnd(10) ? rnd(200) : rnd(20000);
		struct plan p;

		for (; n < want; n++) {
			changed[n].off = at + rnd(gap);
			changed[n].len = rnd(len);
			at = changed[n].off + changed[n].len;
		}
		p = plan_of(old_size, new_size, changed, n);
		free(p.parts);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("object plan");
	TCase *tc = tcase_create("plan");

	tcase_add_test(tc, offset_and_part_are_inverse_for_every_part);
	tcase_add_test(tc, what_is_no_part);
	tcase_add_test(tc, small_objects_go_whole);
	tcase_add_test(tc, a_small_edit_of_a_large_object_sends_little);
	tcase_add_test(tc, large_copies_are_cut_and_edges_borrowed);
	tcase_add_test(tc, parts_are_saved_when_there_would_be_too_many);
	tcase_add_test(tc, what_is_refused);
	tcase_add_test(tc, random_edits_assemble_the_new_object);
	tcase_add_test(tc, random_large_edits_keep_the_rules);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
