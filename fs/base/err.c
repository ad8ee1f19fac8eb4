/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* No error of a system call: it may have happened or not (fs/object/object.h). */
#define AMBIGUOUS 4095u

/* The text ends up in one line of a log or on a terminal, and may quote outside bytes. */
static void one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
}

int f3_err_set(struct f3_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	if (vsnprintf(err->text, sizeof(err->text), fmt, ap) < 0)
		snprintf(err->text, sizeof(err->text), "%s", f3_errno_name(code));
	va_end(ap);
	one_line(err->text);
	return code;
}

int f3_err_prefix(struct f3_err *err, const char *fmt, ...)
{
	char text[F3_ERR_TEXT_MAX];
	size_t len, old;
	va_list ap;
	int n;

	if (!err)
		return 0;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return err->code;

	/* What does not fit is cut off the end. */
	len = strlen(text);
	if (len > sizeof(text) - 3)
		len = sizeof(text) - 3;
	text[len++] = ':';
	text[len++] = ' ';
	old = strnlen(err->text, sizeof(err->text) - 1);
	if (old > sizeof(text) - 1 - len)
		old = sizeof(text) - 1 - len;
	memcpy(text + len, err->text, old);
	text[len + old] = '\0';
	one_line(text);
	memcpy(err->text, text, len + old + 1);
	return err->code;
}

const char *f3_errno_name(int error)
{
	/* unsigned, so that INT_MIN has an absolute value */
	unsigned n = error < 0 ? 0u - (unsigned)error : (unsigned)error;
	const char *name = n < AMBIGUOUS ? strerrorname_np((int)n) : NULL;

	return name ? name : n == AMBIGUOUS ? "AMBIGUOUS" : "E?";
}
