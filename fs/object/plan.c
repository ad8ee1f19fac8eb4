/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/plan.h"

#include <errno.h>
#include <stdlib.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)

/* S3's limits for a part of a multipart upload, which every backend can live with. */
#define PART_MIN_BYTES (5 * MIB)
#define PART_MAX_BYTES (5 * GIB)

/* Where the planner starts from before it must save parts: uploads small enough to go up in
 * parallel and to be repeated cheaply, copies large since the store does the work. */
#define UPLOAD_UNIT_BYTES (16 * MIB)
#define COPY_UNIT_BYTES (1 * GIB)

/* Small parts first: a file of some hundred MiB goes up on several connections. Then as large as is
 * still repeated cheaply, since each part costs the server something besides its bytes; and one of
 * terabytes ends within the parts there are. 3,288 GiB in all. */
static const struct tier {
	uint32_t parts;
	uint64_t size;
} tiers[] = {
	{ 16, 8 * MIB },     { 1008, 16 * MIB },  { 1024, 64 * MIB },
	{ 2048, 128 * MIB }, { 5904, 512 * MIB },
};
#define N_TIERS (sizeof(tiers) / sizeof(tiers[0]))

uint64_t f3_plan_part_size(uint32_t number)
{
	uint32_t before = 0;

	if (!number)
		return 0;
	for (size_t i = 0; i < N_TIERS; i++) {
		before += tiers[i].parts;
		if (number <= before)
			return tiers[i].size;
	}
	return 0;
}

uint64_t f3_plan_part_offset(uint32_t number)
{
	uint32_t left = number ? number - 1 : 0;
	uint64_t off = 0;

	for (size_t i = 0; i < N_TIERS && left; i++) {
		uint32_t n = left < tiers[i].parts ? left : tiers[i].parts;

		off += n * tiers[i].size;
		left -= n;
	}
	return off;
}

uint32_t f3_plan_part_at(uint64_t off)
{
	uint32_t number = 1;

	for (size_t i = 0; i < N_TIERS; i++) {
		uint64_t bytes = tiers[i].parts * tiers[i].size;

		if (off < bytes)
			return number + (uint32_t)(off / tiers[i].size);
		off -= bytes;
		number += tiers[i].parts;
	}
	return 0;
}

uint64_t f3_plan_max_bytes(void)
{
	return f3_plan_part_offset(F3_PLAN_PARTS_MAX + 1);
}

/* ---- The edit planner ---------------------------------------------------------------------- */

struct run {
	uint64_t off, len;
	bool copy;
};

struct runs {
	struct run *run; /* room for all that the changed ranges can make */
	size_t n;
};

/*
 * Adds what follows the last run. An upload that ended up too short to be a part in the middle
 * takes what it lacks from a neighbour that can spare it, else the whole following copy: those
 * bytes are unchanged, sending them is only more work.
 */
static void add_run(struct runs *runs, uint64_t off, uint64_t len, bool copy)
{
	struct run *last = runs->n ? &runs->run[runs->n - 1] : NULL;

	if (!len)
		return;
	if (last && !last->copy && !copy) {
		last->len += len;
		return;
	}
	if (last && !last->copy && last->len < PART_MIN_BYTES) {
		struct run *before = runs->n > 1 ? &runs->run[runs->n - 2] : NULL;
		uint64_t lacks = PART_MIN_BYTES - last->len;

		if (len >= lacks + PART_MIN_BYTES) {
			last->len += lacks;
			off += lacks;
			len -= lacks;
		} else if (before && before->len >= lacks + PART_MIN_BYTES) {
			before->len -= lacks;
			last->off -= lacks;
			last->len += lacks;
		} else {
			last->len += len;
			return;
		}
	}
	runs->run[runs->n++] = (struct run){ .off = off, .len = len, .copy = copy };
}

/* Unchanged stretches shorter than copy_min count as changed. */
static void make_runs(uint64_t same_end, uint64_t new_size, const struct f3_plan_range *changed,
		      size_t n_changed, uint64_t copy_min, struct runs *runs)
{
	uint64_t at = 0;

	runs->n = 0;
	for (size_t i = 0; i < n_changed && at < same_end && changed[i].off < same_end; i++) {
		uint64_t end = changed[i].off + changed[i].len;

		if (!changed[i].len)
			continue;
		if (end > same_end)
			end = same_end;
		add_run(runs, at, changed[i].off - at, changed[i].off - at >= copy_min);
		add_run(runs, changed[i].off, end - changed[i].off, false);
		at = end;
	}
	add_run(runs, at, same_end - at, same_end - at >= copy_min);
	add_run(runs, same_end, new_size - same_end, false);
}

static uint64_t pieces_of(const struct run *run, uint64_t upload_unit, uint64_t copy_unit)
{
	uint64_t unit = run->copy ? copy_unit : upload_unit;

	return run->len / unit + (run->len % unit != 0);
}

/* Fills parts with the pieces of all runs, equal within a run: none of them is a short rest. */
static void make_parts(const struct runs *runs, uint64_t upload_unit, uint64_t copy_unit,
		       struct f3_plan_part *parts)
{
	uint32_t number = 1;

	for (size_t i = 0; i < runs->n; i++) {
		const struct run *run = &runs->run[i];
		uint64_t n = pieces_of(run, upload_unit, copy_unit);

		for (uint64_t k = 0; k < n; k++) {
			/* len * n stays below 2^46 * 2^14 */
			uint64_t from = run->len * k / n, to = run->len * (k + 1) / n;

			*parts++ = (struct f3_plan_part){
				.number = number++,
				.off = run->off + from,
				.len = to - from,
				.copy = run->copy,
			};
		}
	}
}

static int check_ranges(const struct f3_plan_range *changed, size_t n_changed)
{
	uint64_t end = 0;

	for (size_t i = 0; i < n_changed; i++) {
		if (changed[i].off < end ||
		    __builtin_add_overflow(changed[i].off, changed[i].len, &end))
			return -EINVAL;
	}
	return 0;
}

int f3_plan_edit(uint64_t old_size, uint64_t new_size, const struct f3_plan_range *changed,
		 size_t n_changed, struct f3_plan_part **ret_parts, size_t *ret_n)
{
	uint64_t same_end = old_size < new_size ? old_size : new_size;
	uint64_t copy_min = PART_MIN_BYTES, upload_unit = UPLOAD_UNIT_BYTES;
	uint64_t copy_unit = COPY_UNIT_BYTES, n_parts;
	struct f3_plan_part *parts = NULL;
	struct runs runs = { .run = NULL };
	bool any_copy = false;
	size_t room;
	int r;

	r = check_ranges(changed, n_changed);
	if (r < 0)
		return r;
	if (new_size > F3_PLAN_PARTS_MAX * PART_MAX_BYTES)
		return -EFBIG;
	if (new_size <= F3_PLAN_WHOLE_BYTES) {
		*ret_parts = NULL;
		*ret_n = 0;
		return 0;
	}

	if (__builtin_mul_overflow(n_changed, 2, &room) || __builtin_add_overflow(room, 2, &room))
		return -ENOMEM;
	runs.run = calloc(room, sizeof(*runs.run));
	if (!runs.run)
		return -ENOMEM;
	for (;;) {
		n_parts = 0;
		any_copy = false;
		make_runs(same_end, new_size, changed, n_changed, copy_min, &runs);
		for (size_t i = 0; i < runs.n; i++) {
			n_parts += pieces_of(&runs.run[i], upload_unit, copy_unit);
			any_copy |= runs.run[i].copy;
		}
		if (n_parts <= F3_PLAN_PARTS_MAX)
			break;
		/* Too many: send more of what is unchanged, in larger parts. Ends at the
		 * latest when all is one run in pieces of the largest size. */
		copy_min *= 2;
		copy_unit = PART_MAX_BYTES;
		upload_unit = upload_unit * 2 < PART_MAX_BYTES ? upload_unit * 2 : PART_MAX_BYTES;
	}

	if (!any_copy && new_size <= F3_PLAN_SINGLE_BYTES)
		n_parts = 0;
	if (n_parts) {
		parts = calloc(n_parts, sizeof(*parts));
		if (!parts) {
			free(runs.run);
			return -ENOMEM;
		}
		make_parts(&runs, upload_unit, copy_unit, parts);
	}
	free(runs.run);
	*ret_parts = parts;
	*ret_n = n_parts;
	return 0;
}
