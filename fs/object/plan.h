/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan: which bytes go up as which parts. Pure arithmetic, no I/O, no allocation surprises.
 *
 * The schedule: part sizes are a fixed function of the part number, small at first so that an
 * upload starts early, growing so that 10,000 parts hold 2.8 TiB. Offset <-> part is therefore
 * arithmetic, and a part uploaded early is the same part at commit.
 *
 * The edit planner: given what of an object is unchanged, which parts may be copied inside the
 * store (5 MiB .. 5 GiB per part copy, short edges re-read from here) and which go up. Objects
 * up to 16 MiB go whole.
 */
#ifndef F3_OBJECT_PLAN_H
#define F3_OBJECT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define F3_PLAN_WHOLE_BYTES (16ull << 20)	/* edited objects up to this go up whole */
#define F3_PLAN_SINGLE_BYTES (64ull << 20)	/* new objects up to this are one PUT */
#define F3_PLAN_PARTS_MAX 10000u

struct f3_plan_part {
	uint32_t number;	/* from 1 */
	uint64_t off, len;
	bool copy;		/* unchanged: part-copy of the same range of the old object */
};

/* The schedule. There is no part 0 and none above F3_PLAN_PARTS_MAX: size 0, and the offset of
 * part F3_PLAN_PARTS_MAX + 1 is f3_plan_max_bytes(). */
uint64_t f3_plan_part_size(uint32_t number);
uint64_t f3_plan_part_offset(uint32_t number);
uint32_t f3_plan_part_at(uint64_t off);		/* the part that holds byte `off`; 0: none does */
uint64_t f3_plan_max_bytes(void);

struct f3_plan_range {
	uint64_t off, len;
};

/*
 * Parts for an object of new_size bytes of which the (sorted, disjoint) ranges `changed` differ
 * from the old object of old_size bytes; what lies past old_size differs anyway. Ranges outside
 * [0, new_size) are ignored. The parts are contiguous from 0; all but the last are at least
 * 5 MiB, none is above 5 GiB.
 *
 * The caller frees *ret_parts. *ret_n == 0 means: send it whole (one PUT). -EINVAL for ranges
 * that are not sorted and disjoint, -EFBIG (more than 10,000 parts of 5 GiB hold), -ENOMEM.
 */
int f3_plan_edit(uint64_t old_size, uint64_t new_size, const struct f3_plan_range *changed,
		 size_t n_changed, struct f3_plan_part **ret_parts, size_t *ret_n);

#endif
