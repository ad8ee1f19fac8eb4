/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commitset_text: the record of a commit set, as text.
 *
 *	f3-commit 1
 *	set ID done|dropped
 *	activation =ID
 *	work =KEY
 *	staged =KEY =ETAG GEN SIZE =STAGED-KEY =STAGED-ETAG
 *	upload =KEY =ETAG GEN SIZE COPIES PARTS =UPLOAD
 *	part OFFSET LENGTH CRC32C =ETAG		as many as were said, in order
 *	delete =KEY =ETAG
 *	end
 *
 * Strings begin with "=", and what is no letter, digit or one of "._-/" is %XX. Whoever may write to the
 * bucket may have written it: keys of F3's own areas are no objects, and only what lies in
 * F3_OBJ_AREA_STAGE is staged.
 */
#include "config.h"

#include "fs/core/commitset_impl.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/hash.h"

#define PARTS_MAX 10000u

void f3_commit_item_done(struct f3_commit_item *item)
{
	free(item->parts);
	item->parts = NULL;
	item->n_parts = 0;
}

static bool is_plain(unsigned char c)
{
	return isascii(c) && (isalnum(c) || strchr("._-/", c)) && c;
}

void f3_commit_name(const char *text, char out[F3_COMMIT_NAME_MAX + 1])
{
	size_t len = strlen(text), n = 0;
	bool all = len && len <= F3_COMMIT_NAME_MAX - 17;

	for (size_t i = 0; i < len && n < F3_COMMIT_NAME_MAX - 17; i++) {
		unsigned char c = (unsigned char)text[i];

		if (isascii(c) && (isalnum(c) || c == '-' || c == '_'))
			out[n++] = (char)c;
		else
			all = false;
	}
	out[n] = '\0';
	/* What was left out makes the difference, and must not look like a name that is whole. */
	if (!all)
		snprintf(out + n, F3_COMMIT_NAME_MAX + 1 - n, ".%016" PRIx64,
			 f3_hash64(text, len, 0));
}

/* ---- Writing ---- */

static void put_string(struct f3_buf *out, const char *text)
{
	f3_buf_put(out, " =", 2);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (is_plain(*p))
			f3_buf_put_u8(out, *p);
		else
			f3_buf_printf(out, "%%%02X", *p);
	}
}

static void put_gen(struct f3_buf *out, const struct f3_obj_gen *gen)
{
	char text[F3_OBJ_GEN_TEXT];

	f3_obj_gen_format(gen, text);
	f3_buf_printf(out, " %s", text);
}

void f3_commit_text_head(struct f3_buf *out, const struct f3_commit_head *head)
{
	char id[F3_ID_TEXT_BYTES];

	f3_id_format(&head->id, id);
	f3_buf_printf(out, "f3-commit 1\nset %s %s\nactivation", id,
		      head->dropped ? "dropped" : "done");
	put_string(out, head->act);
	f3_buf_printf(out, "\nwork");
	put_string(out, head->key);
	f3_buf_printf(out, "\n");
}

void f3_commit_text_item(struct f3_buf *out, const struct f3_commit_item *item)
{
	static const char *const words[] = { "staged", "upload", "delete" };

	f3_buf_printf(out, "%s", words[item->kind]);
	put_string(out, item->key);
	put_string(out, item->etag);
	if (item->kind != F3_COMMIT_DELETE) {
		put_gen(out, &item->gen);
		f3_buf_printf(out, " %" PRIu64, item->size);
	}
	if (item->kind == F3_COMMIT_STAGED) {
		put_string(out, item->staged);
		put_string(out, item->staged_etag);
	} else if (item->kind == F3_COMMIT_UPLOAD) {
		f3_buf_printf(out, " %d %zu", item->copies, item->n_parts);
		put_string(out, item->upload);
	}
	f3_buf_printf(out, "\n");
	for (size_t i = 0; i < item->n_parts; i++) {
		const struct f3_obj_part *part = &item->parts[i];

		f3_buf_printf(out, "part %" PRIu64 " %" PRIu64 " %" PRIu32, part->off, part->len,
			      part->crc32c);
		put_string(out, part->etag);
		f3_buf_printf(out, "\n");
	}
}

void f3_commit_text_end(struct f3_buf *out)
{
	f3_buf_printf(out, "end\n");
}

/* ---- Reading ---- */

struct reader {
	const char *p, *end;
	int error;
};

static void bad(struct reader *rd)
{
	rd->error = -EBADMSG;
	rd->p = rd->end;
}

/* These very bytes come next. */
static bool next_is(struct reader *rd, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(rd->end - rd->p) < len || memcmp(rd->p, text, len) != 0)
		return false;
	rd->p += len;
	return true;
}

static void want(struct reader *rd, const char *text)
{
	if (!next_is(rd, text))
		bad(rd);
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void get_string(struct reader *rd, char *out, size_t size)
{
	size_t n = 0;

	want(rd, " =");
	while (rd->p < rd->end && (is_plain((unsigned char)*rd->p) || *rd->p == '%')) {
		int c = (unsigned char)*rd->p++;

		if (c == '%') {
			int hi = rd->end - rd->p >= 2 ? hex(rd->p[0]) : -1;
			int lo = hi >= 0 ? hex(rd->p[1]) : -1;

			c = hi < 0 || lo < 0 ? 0 : hi << 4 | lo;
			rd->p += c ? 2 : 0;
		}
		if (!c || n + 1 >= size) {
			bad(rd);
			break;
		}
		out[n++] = (char)c;
	}
	out[rd->error ? 0 : n] = '\0';
}

static uint64_t get_number(struct reader *rd, uint64_t max)
{
	uint64_t v = 0;

	want(rd, " ");
	if (rd->p == rd->end || !isdigit((unsigned char)*rd->p))
		bad(rd);
	while (rd->p < rd->end && isdigit((unsigned char)*rd->p)) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*rd->p - '0'), &v)) {
			bad(rd);
			return 0;
		}
		rd->p++;
	}
	if (v > max)
		bad(rd);
	return rd->error ? 0 : v;
}

/* A word without a blank. */
static void get_word(struct reader *rd, char *out, size_t size)
{
	size_t n = 0;

	want(rd, " ");
	while (rd->p < rd->end && isgraph((unsigned char)*rd->p) && n + 1 < size)
		out[n++] = *rd->p++;
	out[n] = '\0';
}

/* An object of somebody's, or of F3's own. */
static void check_key(struct reader *rd, const char *key, bool staged)
{
	size_t len = strlen(key);
	bool own = !strncmp(key, ".f3", 3) && (!key[3] || key[3] == '/');
	static const char area[] = F3_OBJ_AREA_STAGE "/";

	if (!len || key[0] == '/' || key[len - 1] == '/' || strstr(key, "/../") ||
	    strstr(key, "/./") || own != staged ||
	    (staged && strncmp(key, area, sizeof(area) - 1) != 0))
		bad(rd);
}

static void get_parts(struct reader *rd, struct f3_commit_item *item, size_t n)
{
	uint64_t at = 0;

	/* Each takes as much of the text. */
	if (!n || n > PARTS_MAX || n > (size_t)(rd->end - rd->p) / sizeof("part 0 0 0 =")) {
		bad(rd);
		return;
	}
	item->parts = calloc(n, sizeof(*item->parts));
	if (!item->parts) {
		rd->error = -ENOMEM;
		return;
	}
	item->n_parts = n;
	for (size_t i = 0; i < n && !rd->error; i++) {
		struct f3_obj_part *part = &item->parts[i];

		want(rd, "part");
		part->number = (uint32_t)i + 1;
		part->off = get_number(rd, INT64_MAX);
		part->len = get_number(rd, INT64_MAX);
		part->crc32c = (uint32_t)get_number(rd, UINT32_MAX);
		get_string(rd, part->etag, sizeof(part->etag));
		want(rd, "\n");
		if (part->off != at || __builtin_add_overflow(at, part->len, &at))
			bad(rd);
	}
	if (at != item->size)
		bad(rd);
}

static bool get_item(struct reader *rd, struct f3_commit_item *item)
{
	char gen[F3_OBJ_GEN_TEXT];
	size_t n = 0;

	memset(item, 0, sizeof(*item));
	if (next_is(rd, "staged"))
		item->kind = F3_COMMIT_STAGED;
	else if (next_is(rd, "upload"))
		item->kind = F3_COMMIT_UPLOAD;
	else if (next_is(rd, "delete"))
		item->kind = F3_COMMIT_DELETE;
	else
		return false;
	get_string(rd, item->key, sizeof(item->key));
	get_string(rd, item->etag, sizeof(item->etag));
	check_key(rd, item->key, false);
	if (item->kind != F3_COMMIT_DELETE) {
		get_word(rd, gen, sizeof(gen));
		if (f3_obj_gen_parse(gen, &item->gen))
			bad(rd);
		item->size = get_number(rd, INT64_MAX);
	}
	if (item->kind == F3_COMMIT_STAGED) {
		get_string(rd, item->staged, sizeof(item->staged));
		get_string(rd, item->staged_etag, sizeof(item->staged_etag));
		check_key(rd, item->staged, true);
	} else if (item->kind == F3_COMMIT_UPLOAD) {
		item->copies = get_number(rd, 1);
		n = get_number(rd, PARTS_MAX);
		get_string(rd, item->upload, sizeof(item->upload));
		if (!item->upload[0])
			bad(rd);
	} else if (!item->etag[0]) {
		bad(rd);
	}
	want(rd, "\n");
	if (item->kind == F3_COMMIT_UPLOAD && !rd->error)
		get_parts(rd, item, n);
	return !rd->error;
}

int f3_commit_text_read(const char *text, size_t len, struct f3_commit_head *ret_head,
			int (*fn)(void *arg, struct f3_commit_item *item), void *arg)
{
	struct reader rd = { text, text + len, 0 };
	struct f3_commit_item *item;
	char id[F3_ID_TEXT_BYTES];
	int r = 0;

	memset(ret_head, 0, sizeof(*ret_head));
	want(&rd, "f3-commit 1\nset");
	get_word(&rd, id, sizeof(id));
	if (f3_id_parse(id, &ret_head->id))
		bad(&rd);
	ret_head->dropped = next_is(&rd, " dropped\n");
	if (!ret_head->dropped)
		want(&rd, " done\n");
	want(&rd, "activation");
	get_string(&rd, ret_head->act, sizeof(ret_head->act));
	want(&rd, "\nwork");
	get_string(&rd, ret_head->key, sizeof(ret_head->key));
	want(&rd, "\n");
	item = rd.error ? NULL : malloc(sizeof(*item));
	if (!rd.error && !item)
		return -ENOMEM;
	while (!r && !rd.error && get_item(&rd, item)) {
		r = fn ? fn(arg, item) : 0;
		f3_commit_item_done(item);
	}
	if (item)
		f3_commit_item_done(item);
	free(item);
	if (!r && !rd.error) {
		want(&rd, "end\n");
		if (rd.p != rd.end)
			bad(&rd);
	}
	return r ? r : rd.error;
}
