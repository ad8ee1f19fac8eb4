/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/text.h"

#include <stdbool.h>

/* The Unicode standard, table 3-7: the second byte's range depends on the first one. */
size_t f3_utf8_char(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint8_t low = 0x80, high = 0xbf;
	size_t size;

	if (!len)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	size = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len < size)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return size;
}

bool f3_utf8_text(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len) {
		size_t n = f3_utf8_char(p, len);

		if (!n)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

static void put_byte(struct f3_buf *out, uint8_t c, bool utf8, enum f3_escape style)
{
	if (c == '\n')
		f3_buf_put(out, "\\n", 2);
	else if (c == '\t')
		f3_buf_put(out, "\\t", 2);
	else if (c == '\r')
		f3_buf_put(out, "\\r", 2);
	else if (c == '\\')
		f3_buf_put(out, "\\\\", 2);
	else if (c == '"')
		f3_buf_put(out, "\\\"", 2);
	else if (style == F3_ESCAPE_LINE)
		f3_buf_printf(out, "\\x%02x", c);
	else if (utf8)
		f3_buf_printf(out, "\\u%04x", c);
	else
		f3_buf_printf(out, "\\\\x%02x", c);
}

void f3_text_escape(struct f3_buf *out, const void *bytes, size_t len, enum f3_escape style)
{
	const uint8_t *p = bytes;
	size_t plain = 0, i = 0;

	while (i < len) {
		size_t n = f3_utf8_char(p + i, len - i);
		bool control = n == 1 ? p[i] < ' ' || p[i] == 0x7f :
					n == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0;
		bool special = n == 1 && (p[i] == '\\' || (p[i] == '"' && style == F3_ESCAPE_JSON));

		if (n && !control && !special) {
			i += n;
			continue;
		}
		f3_buf_put(out, p + plain, i - plain);
		if (n == 2 && style == F3_ESCAPE_JSON) {
			f3_buf_printf(out, "\\u00%02x", p[i + 1]);
		} else {
			put_byte(out, p[i], n == 1, style);
			if (n == 2)
				put_byte(out, p[i + 1], false, style);
		}
		i += n ? n : 1;
		plain = i;
	}
	f3_buf_put(out, p + plain, len - plain);
}
