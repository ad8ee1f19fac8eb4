/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/id.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "fs/base/hash.h"

#define COUNTER_MAX ((UINT64_C(1) << 48) - 1)

/* The low 48 bits, big-endian. */
static void store_be48(uint8_t *to, uint64_t v)
{
	uint64_t be = htobe64(v);

	memcpy(to, (const uint8_t *)&be + 2, 6);
}

void f3_idgen_init(struct f3_idgen *gen, const uint8_t node_uuid[16], uint32_t incarnation)
{
	store_be48(gen->node_tag, f3_hash64(node_uuid, 16, 0));
	gen->incarnation = incarnation;
	atomic_init(&gen->counter, 0);
}

void f3_idgen_next(struct f3_idgen *gen, struct f3_id *ret_id)
{
	/* From 1, so that no id is all zero. Only distinctness counts: no ordering needed. */
	uint64_t n = atomic_fetch_add_explicit(&gen->counter, 1, memory_order_relaxed) + 1;
	uint32_t incarnation = htobe32(gen->incarnation);

	assert(n <= COUNTER_MAX);
	memcpy(ret_id->b, gen->node_tag, 6);
	memcpy(ret_id->b + 6, &incarnation, 4);
	store_be48(ret_id->b + 10, n);
}

void f3_id_format(const struct f3_id *id, char ret_text[F3_ID_TEXT_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < F3_ID_BYTES; i++) {
		ret_text[2 * i] = digits[id->b[i] >> 4];
		ret_text[2 * i + 1] = digits[id->b[i] & 15];
	}
	ret_text[2 * F3_ID_BYTES] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int f3_id_parse(const char *text, struct f3_id *ret_id)
{
	struct f3_id id;

	for (unsigned i = 0; i < F3_ID_BYTES; i++) {
		int high = hex_digit(text[2 * i]);
		int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (low < 0)
			return -EINVAL;
		id.b[i] = (uint8_t)(high << 4 | low);
	}
	if (text[2 * F3_ID_BYTES])
		return -EINVAL;
	*ret_id = id;
	return 0;
}

bool f3_id_equal(const struct f3_id *a, const struct f3_id *b)
{
	return memcmp(a->b, b->b, F3_ID_BYTES) == 0;
}

bool f3_id_is_zero(const struct f3_id *id)
{
	static const struct f3_id zero;

	return f3_id_equal(id, &zero);
}
