/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "hints/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Lines ----------------------------------------------------------------------------------- */

void f3_hint_lines_init(struct f3_hint_lines *lines)
{
	f3_buf_init(&lines->buf, F3_HINT_LINE_MAX + F3_HINT_READ_MAX);
	lines->at = 0;
	lines->skip = false;
}

void f3_hint_lines_done(struct f3_hint_lines *lines)
{
	f3_buf_done(&lines->buf);
}

size_t f3_hint_lines_heap(const struct f3_hint_lines *lines)
{
	return lines->buf.data == lines->buf.inline_data ? 0 : lines->buf.cap;
}

int f3_hint_lines_put(struct f3_hint_lines *lines, const char *bytes, size_t len)
{
	if (lines->skip) {
		const char *end = memchr(bytes, '\n', len);

		if (!end)
			return 0;
		lines->skip = false;
		len -= (size_t)(end + 1 - bytes);
		bytes = end + 1;
	}
	f3_buf_put(&lines->buf, bytes, len);
	return lines->buf.error;
}

/* Nothing is held any more, and no memory either. */
static void let_go(struct f3_hint_lines *lines)
{
	f3_buf_done(&lines->buf);
	f3_buf_init(&lines->buf, F3_HINT_LINE_MAX + F3_HINT_READ_MAX);
	lines->at = 0;
}

int f3_hint_lines_next(struct f3_hint_lines *lines, const char **ret_line, size_t *ret_len)
{
	struct f3_buf *buf = &lines->buf;
	size_t left = buf->len - lines->at, len;
	const char *from = (const char *)buf->data + lines->at;
	const char *end = left ? memchr(from, '\n', left) : NULL;

	if (end) {
		len = (size_t)(end - from);
		lines->at += len + 1;
		if (len > F3_HINT_LINE_MAX)
			return -EMSGSIZE;
		*ret_line = from;
		*ret_len = len;
		return 1;
	}
	if (left > F3_HINT_LINE_MAX) {
		let_go(lines);
		lines->skip = true;
		return -EMSGSIZE;
	}
	if (!left) {
		let_go(lines);
	} else if (lines->at) {
		memmove(buf->data, from, left);
		buf->len = left;
		lines->at = 0;
	}
	return 0;
}

int f3_hint_lines_last(struct f3_hint_lines *lines, const char **ret_line, size_t *ret_len)
{
	size_t left = lines->buf.len - lines->at;

	if (!left)
		return 0;
	*ret_line = (const char *)lines->buf.data + lines->at;
	*ret_len = left;
	lines->at = lines->buf.len;
	return 1;
}

/* ---- Values ---------------------------------------------------------------------------------- */

bool f3_hint_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!memchr(" \t\r", line[i], 3))
			return false;
	return true;
}

/* Every value but the first of an object or array comes after a comma, and those first ones are no
 * more than there are brackets: so both counted bound the number of values, whatever else the line
 * may be. */
static const char *out_of_bounds(const char *line, size_t len)
{
	unsigned depth = 0, values = 1;
	bool text = false;

	for (size_t i = 0; i < len; i++) {
		char c = line[i];

		if (text && c == '\\') {
			i++;
		} else if (c == '"') {
			text = !text;
		} else if (text) {
			continue;
		} else if (c == '{' || c == '[') {
			values++;
			if (++depth > F3_HINT_DEPTH_MAX)
				return "it is nested too deeply";
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		} else if (c == ',') {
			values++;
		}
		if (values > F3_HINT_VALUES_MAX)
			return "it has too many values";
	}
	return NULL;
}

static const char *wrong_id(const json_t *object)
{
	const json_t *id = json_object_get(object, "id");

	if (!id || json_is_integer(id) ||
	    (json_is_string(id) && json_string_length(id) <= F3_HINT_ID_MAX))
		return NULL;
	return "\"id\" is an integer, or a string of at most 128 bytes";
}

int f3_hint_parse(const char *line, size_t len, json_t **ret_object, char why[F3_HINT_WHY_MAX])
{
	const char *wrong = out_of_bounds(line, len);
	json_t *object = NULL;
	json_error_t where;

	if (!wrong) {
		object = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where);
		if (!object && json_error_code(&where) == json_error_out_of_memory) {
			snprintf(why, F3_HINT_WHY_MAX, "out of memory");
			return -ENOMEM;
		}
		wrong = !object                 ? where.text :
			!json_is_object(object) ? "it is not an object" :
						  wrong_id(object);
	}
	if (!wrong) {
		*ret_object = object;
		return 0;
	}
	/* what was wrong may be quoted, and end in the middle of a character */
	snprintf(why, F3_HINT_WHY_MAX, "%s", wrong);
	for (char *at = why; *at; at++)
		if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
			*at = '?';
	json_decref(object);
	return -EBADMSG;
}

static int append(const char *bytes, size_t len, void *out)
{
	f3_buf_put(out, bytes, len);
	return ((struct f3_buf *)out)->error;
}

int f3_hint_dump(const json_t *object, struct f3_buf *out)
{
	size_t before = out->len;
	int r = json_dump_callback(object, append, out, JSON_COMPACT) && !out->error ? -ENOMEM : 0;

	if (!r && out->len - before > F3_HINT_LINE_MAX)
		r = -EMSGSIZE;
	if (!r)
		f3_buf_put_u8(out, '\n');
	if (!r)
		r = out->error;
	if (r) {
		out->len = before;
		out->error = 0;
	}
	return r;
}
