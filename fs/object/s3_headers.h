/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_headers: a bounded list of headers, of a request or of an answer. Not thread-safe.
 */
#ifndef F3_OBJECT_S3_HEADERS_H
#define F3_OBJECT_S3_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"

#define F3_S3_HEADERS_MAX 60
#define F3_S3_HEADERS_BYTES (40u << 10)

struct f3_s3_headers {
	struct f3_buf buf;	/* "name\0name: value\0" each */
	struct {
		uint32_t name, line;	/* where in buf */
	} at[F3_S3_HEADERS_MAX];
	unsigned n;
	int error;		/* the first: -E2BIG, -ENOMEM */
};

void f3_s3_headers_init(struct f3_s3_headers *h);
void f3_s3_headers_done(struct f3_s3_headers *h);	/* wipes: there may be tokens in it */
void f3_s3_headers_reset(struct f3_s3_headers *h);
/* name in lower case */
void f3_s3_headers_add(struct f3_s3_headers *h, const char *name, const char *value);
void f3_s3_headers_addf(struct f3_s3_headers *h, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Valid until the next add. */
const char *f3_s3_headers_name(const struct f3_s3_headers *h, unsigned i);
/* "name: value", and "name;" where the value is empty, as the engine wants it */
const char *f3_s3_headers_line(const struct f3_s3_headers *h, unsigned i);
const char *f3_s3_headers_value(const struct f3_s3_headers *h, unsigned i);
/* NULL: there is none. */
const char *f3_s3_headers_get(const struct f3_s3_headers *h, const char *name);

#endif
