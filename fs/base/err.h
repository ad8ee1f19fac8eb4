/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err: a reason a person must read.
 *
 * Most of F3 returns 0 or -errno. Where somebody has to be told why (start-up,
 * configuration, attaching a store, an admin's verb) the function also takes a
 * last `struct f3_err *`: a code and one bounded line of text that names the
 * file, key or object and what to do. NULL is accepted everywhere.
 *
 * Not thread-safe: an f3_err belongs to one caller.
 */
#ifndef F3_BASE_ERR_H
#define F3_BASE_ERR_H

#define F3_ERR_TEXT_MAX 512

struct f3_err {
	int code;			/* -errno, 0 when nothing went wrong */
	char text[F3_ERR_TEXT_MAX];	/* NUL-terminated, no newline */
};

#define F3_ERR_INIT { 0, "" }

/* Sets code and text (printf style, truncated at the maximum). Returns `code`, so that
 * `return f3_err_set(err, -EINVAL, ...)` is the usual form. */
int f3_err_set(struct f3_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of a text that is already there. Returns err->code (0 if err is NULL). */
int f3_err_prefix(struct f3_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* "ENOENT" for 2 or -2; "AMBIGUOUS" for a mutation of a store that may have happened; "E?" for numbers that have no name. Never NULL, static storage. */
const char *f3_errno_name(int error);

#endif
