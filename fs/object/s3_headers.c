/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/s3_headers.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FORMATTED_MAX 4096

void f3_s3_headers_init(struct f3_s3_headers *h)
{
	f3_buf_init(&h->buf, F3_S3_HEADERS_BYTES);
	h->n = 0;
	h->error = 0;
}

void f3_s3_headers_done(struct f3_s3_headers *h)
{
	if (h->buf.data)
		explicit_bzero(h->buf.data, h->buf.len);
	f3_buf_done(&h->buf);
}

void f3_s3_headers_reset(struct f3_s3_headers *h)
{
	if (h->buf.data)
		explicit_bzero(h->buf.data, h->buf.len);
	f3_buf_reset(&h->buf);
	h->n = 0;
	h->error = 0;
}

void f3_s3_headers_add(struct f3_s3_headers *h, const char *name, const char *value)
{
	size_t name_len = strlen(name);

	if (h->n == F3_S3_HEADERS_MAX) {
		h->error = h->error ? h->error : -E2BIG;
		return;
	}
	h->at[h->n].name = (uint32_t)h->buf.len;
	f3_buf_put(&h->buf, name, name_len + 1);
	h->at[h->n].line = (uint32_t)h->buf.len;
	f3_buf_put(&h->buf, name, name_len);
	/* As long in either case. */
	f3_buf_put(&h->buf, *value ? ": " : ";", 2);
	f3_buf_put(&h->buf, value, strlen(value) + 1);
	if (h->buf.error)
		h->error = h->error ? h->error : h->buf.error == -ENOMEM ? -ENOMEM : -E2BIG;
	else
		h->n++;
}

void f3_s3_headers_addf(struct f3_s3_headers *h, const char *name, const char *fmt, ...)
{
	char value[FORMATTED_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof(value))
		h->error = h->error ? h->error : -E2BIG;
	else
		f3_s3_headers_add(h, name, value);
}

const char *f3_s3_headers_name(const struct f3_s3_headers *h, unsigned i)
{
	return (const char *)h->buf.data + h->at[i].name;
}

const char *f3_s3_headers_line(const struct f3_s3_headers *h, unsigned i)
{
	return (const char *)h->buf.data + h->at[i].line;
}

const char *f3_s3_headers_value(const struct f3_s3_headers *h, unsigned i)
{
	return f3_s3_headers_line(h, i) + strlen(f3_s3_headers_name(h, i)) + 2;
}

const char *f3_s3_headers_get(const struct f3_s3_headers *h, const char *name)
{
	for (unsigned i = 0; i < h->n; i++)
		if (!strcmp(f3_s3_headers_name(h, i), name))
			return f3_s3_headers_value(h, i);
	return NULL;
}
