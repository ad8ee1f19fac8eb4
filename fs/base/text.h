/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text: names and messages from outside made fit to be shown.
 *
 * File names are any bytes but '/' and NUL; a log line, an access log, a table on a terminal
 * and JSON are not. These functions keep well-formed UTF-8 and write everything else (control
 * characters, C1 controls, bytes that are not UTF-8) as escapes.
 *
 * Pure, thread-safe, do not block.
 */
#ifndef F3_BASE_TEXT_H
#define F3_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/base/buf.h"

enum f3_escape {
	F3_ESCAPE_LINE,		/* \n \r \t and \xNN; a backslash is doubled */
	F3_ESCAPE_JSON,		/* inside of a JSON string; bytes that are not UTF-8 as \\xNN */
};

/* Appends the bytes, escaped. */
void f3_text_escape(struct f3_buf *out, const void *bytes, size_t len, enum f3_escape style);

/* Bytes of the well-formed UTF-8 character at the start of these `len` bytes, 0 if there is
 * none (nor at len 0). Overlong forms and surrogates are not well-formed. */
size_t f3_utf8_char(const void *bytes, size_t len);
/* All of them. */
bool f3_utf8_text(const void *bytes, size_t len);

#endif
