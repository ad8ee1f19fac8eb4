/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigv4: AWS Signature Version 4. Pure: text in, text out, no clock, no I/O, no heap.
 *
 * The algorithm is AWS's "Signature Version 4 signing process"; tested on its published vectors.
 *
 * Secrets: neither the key nor the signing key leaves the stack; both are wiped before return.
 */
#ifndef F3_OBJECT_SIGV4_H
#define F3_OBJECT_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define F3_SIGV4_HEX 65			/* SHA-256 as hex and NUL */
#define F3_SIGV4_DATE 17		/* "20150830T123600Z" and NUL */
#define F3_SIGV4_AUTH_MAX 1024		/* of the value of Authorization */
#define F3_SIGV4_HEADERS_MAX 64

#define F3_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"
#define F3_SIGV4_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct f3_sigv4_header {
	const char *name, *value;	/* any case; the value's blanks are folded here */
};

struct f3_sigv4_query {
	const char *name, *value;	/* not encoded; value NULL is "" */
};

struct f3_sigv4 {
	const char *method;		/* "GET" */
	/* Begins with '/'. For service "s3" not encoded: it is encoded here, once, and else stays as it
	 * is ("//" and ".." are parts of keys). For others as it stands in the request: AWS wants
	 * those normalized and encoded once more. */
	const char *path;
	const struct f3_sigv4_query *query;
	size_t n_query;
	const struct f3_sigv4_header *headers;	/* those to be signed: host at least */
	size_t n_headers;
	const char *payload;		/* hex SHA-256 of the body, or F3_SIGV4_UNSIGNED */
	const char *date;		/* as x-amz-date has it, F3_SIGV4_DATE */
	const char *region, *service;
	const char *access_key, *secret_key;
};

/* The value of the header Authorization. -EINVAL (a header or the date cannot be signed),
 * -E2BIG (more than F3_SIGV4_HEADERS_MAX headers or queries, or too long), -ENOMEM. */
int f3_sigv4_authorize(const struct f3_sigv4 *s, char ret_auth[F3_SIGV4_AUTH_MAX]);
/* For tests: the two texts in between. out is NUL-terminated. Errors as above. */
int f3_sigv4_canonical(const struct f3_sigv4 *s, char *out, size_t size);
int f3_sigv4_to_sign(const struct f3_sigv4 *s, char *out, size_t size);

/* Percent-encodes all but A-Z a-z 0-9 - . _ ~ (and '/' where it is kept). Length without NUL, or
 * -E2BIG. */
int f3_sigv4_encode(const char *text, size_t len, bool keep_slash, char *out, size_t size);
/* "20150830T123600Z" of seconds since the epoch. */
void f3_sigv4_date(int64_t seconds, char ret_date[F3_SIGV4_DATE]);
/* 0 or -ENOMEM. */
int f3_sigv4_hash(const void *bytes, size_t len, char ret_hex[F3_SIGV4_HEX]);

#endif
