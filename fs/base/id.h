/* SPDX-License-Identifier: Apache-2.0 */
/*
 * id: 128-bit identities that never come again.
 *
 * A node is a UUID kept in its cache directory. A file id is
 *     node tag (48 bits) | incarnation (32 bits) | counter (48 bits)
 * where the tag is a hash of the node's UUID and the incarnation is counted up, durably,
 * before the first id of a start is given out: a power cut or a restored snapshot of the
 * database can therefore not make an id twice. Text form: 32 lower-case hex digits.
 *
 * Pure and thread-safe except f3_idgen_next, which is thread-safe by an atomic counter.
 */
#ifndef F3_BASE_ID_H
#define F3_BASE_ID_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define F3_ID_BYTES 16
#define F3_ID_TEXT_BYTES 33	/* with NUL */

struct f3_id {
	uint8_t b[F3_ID_BYTES];
};

struct f3_idgen {
	uint8_t node_tag[6];
	uint32_t incarnation;
	_Atomic uint64_t counter;	/* 48 bits used; no more than 2^48 ids per start */
};

void f3_idgen_init(struct f3_idgen *gen, const uint8_t node_uuid[16], uint32_t incarnation);
void f3_idgen_next(struct f3_idgen *gen, struct f3_id *ret_id);

void f3_id_format(const struct f3_id *id, char ret_text[F3_ID_TEXT_BYTES]);
/* Exactly 32 hex digits of either case, else -EINVAL. */
int f3_id_parse(const char *text, struct f3_id *ret_id);
bool f3_id_equal(const struct f3_id *a, const struct f3_id *b);
bool f3_id_is_zero(const struct f3_id *id);

#endif
