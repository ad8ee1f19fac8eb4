/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/wire.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/text.h"

#define NAME_BYTES_MAX F3_WIRE_ANSWER_MAX
#define KEY_MAX 64

static int set_hex(json_t *object, const char *key, const uint8_t *bytes, size_t len)
{
	struct f3_buf hex;
	char name[KEY_MAX];
	int r;

	snprintf(name, sizeof(name), "%s_hex", key);
	f3_buf_init(&hex, NAME_BYTES_MAX);
	for (size_t i = 0; i < len; i++)
		f3_buf_printf(&hex, "%02x", bytes[i]);
	r = hex.error;
	if (!r && json_object_set_new(object, name, json_stringn((const char *)hex.data, hex.len)))
		r = -ENOMEM;
	f3_buf_done(&hex);
	return r;
}

int f3_wire_set_name(json_t *object, const char *key, const void *bytes, size_t len)
{
	json_t *text = json_stringn(bytes, len);
	struct f3_buf shown;
	int r;

	if (text)
		return json_object_set_new(object, key, text) ? -ENOMEM : 0;
	f3_buf_init(&shown, NAME_BYTES_MAX);
	f3_text_escape(&shown, bytes, len, F3_ESCAPE_LINE);
	r = shown.error;
	if (!r &&
	    json_object_set_new(object, key, json_stringn((const char *)shown.data, shown.len)))
		r = -ENOMEM;
	f3_buf_done(&shown);
	return r ? r : set_hex(object, key, bytes, len);
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

static int get_hex(const json_t *hex, struct f3_buf *out)
{
	const char *text = json_string_value(hex);
	size_t len = json_string_length(hex);

	if (!text || len % 2)
		return -EINVAL;
	for (size_t i = 0; i < len; i += 2) {
		int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);

		if (high < 0 || low < 0 || !(high | low))
			return -EINVAL;
		f3_buf_put_u8(out, (uint8_t)(high << 4 | low));
	}
	return out->error;
}

int f3_wire_get_name(const json_t *object, const char *key, struct f3_buf *out)
{
	const json_t *text;
	char name[KEY_MAX];

	snprintf(name, sizeof(name), "%s_hex", key);
	text = json_object_get(object, name);
	if (text)
		return get_hex(text, out);
	text = json_object_get(object, key);
	if (!text)
		return -ENOENT;
	/* jansson takes no NUL unless it is told to */
	if (!json_is_string(text))
		return -EINVAL;
	f3_buf_put(out, json_string_value(text), json_string_length(text));
	return out->error;
}

int f3_wire_set_place(json_t *object, const char *full, size_t len)
{
	const char *slash;
	int r;

	if (len < 2)
		return f3_wire_set_name(object, "path", "/", 1);
	slash = memchr(full + 1, '/', len - 1);
	if (!slash)
		slash = full + len;
	r = f3_wire_set_name(object, "volume", full + 1, (size_t)(slash - full - 1));
	if (r)
		return r;
	if (slash == full + len)
		return f3_wire_set_name(object, "path", "/", 1);
	return f3_wire_set_name(object, "path", slash, (size_t)(full + len - slash));
}

static bool has_dots(const struct f3_buf *path, size_t from)
{
	const char *at = (const char *)path->data + from,
		   *end = (const char *)path->data + path->len;

	while (at < end) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		size_t len = (size_t)((slash ? slash : end) - at);

		if ((len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.'))
			return true;
		at += len + 1;
	}
	return false;
}

int f3_wire_get_place(const json_t *object, struct f3_buf *out, struct f3_err *err)
{
	size_t from = out->len, name;
	int r;

	f3_buf_put_u8(out, '/');
	name = out->len;
	r = f3_wire_get_name(object, "volume", out);
	if (r == -ENOENT)
		r = 0;
	if (r || (out->len > name && memchr(out->data + name, '/', out->len - name)))
		return f3_err_set(err, r ? r : -EINVAL, "\"volume\" is not the name of a volume");
	name = out->len;
	r = f3_wire_get_name(object, "path", out);
	if (r == -ENOENT)
		return f3_err_set(err, -EINVAL, "\"path\" is missing");
	if (r)
		return f3_err_set(err, r, "\"path\" is not a path");
	if (out->len == name || out->data[name] != '/')
		return f3_err_set(err, -EINVAL, "\"path\" does not begin with a slash");
	if (has_dots(out, from))
		return f3_err_set(
			err, -EINVAL,
			"\"path\" has \".\" or \"..\" in it; paths are taken as they are");
	return 0;
}
