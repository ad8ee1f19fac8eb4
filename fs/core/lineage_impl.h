/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage_impl: how edges lie in the database; for lineage.c (which writes) and lineage_read.c.
 *
 * Each edge lies there twice, or three times, so that both directions are one range each:
 *
 *	F3_NOTE_LINEAGE_FILE	id generation kind activation	of its content; of BECAME also of `from`, with
 *				the kind in capitals
 *	F3_NOTE_LINEAGE_ACT	length(activation) activation kind id generation
 *
 * The values: u8 version, then the other content (id, generation), and for the activation's also i64
 * when, u32 volume, the path. Numbers as everywhere: big-endian.
 */
#ifndef F3_CORE_LINEAGE_IMPL_H
#define F3_CORE_LINEAGE_IMPL_H

#include <limits.h>

#include "fs/core/lineage.h"

#define F3_LINEAGE_VERSION 1
#define F3_LINEAGE_WAS (F3_LINEAGE_BECAME - 'a' + 'A') /* BECAME, seen from `from` */
#define F3_LINEAGE_KEY_MAX (1 + F3_ACT_NAME_MAX + 1 + F3_ID_BYTES + 8)
#define F3_LINEAGE_VALUE_MAX (PATH_MAX + 64)

void f3_lineage_file_key(const struct f3_content *content, char kind, const char *act, size_t len,
			 struct f3_buf *out);
/* kind 0: what keys of all kinds begin with. content NULL: of all contents. */
void f3_lineage_act_key(const char *act, size_t len, char kind, const struct f3_content *content,
			struct f3_buf *out);
/* So many edges are not there any more. */
void f3_lineages_gone(struct f3_lineages *l, uint64_t edges);

#endif
