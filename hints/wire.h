/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: the lines of the hint protocol, as both ends read and write them.
 *
 * NDJSON: one object a line, at most F3_HINT_LINE_MAX bytes both ways. What comes from outside is
 * hostile until it was parsed: before any value is made of a line its nesting and the number of its
 * values are counted, so that memory and stack which a line can cost are bounded by constants. Not
 * UTF-8, a key twice, a number that no variable holds, anything but an object: -EBADMSG with the
 * reason. Keys that nobody knows are left alone.
 *
 * Lines are split by f3_hint_lines, which holds at most a line and one read. One that is too long is
 * reported once; what follows it up to the next newline is thrown away, and then all is as before.
 *
 * Not thread-safe, does not block. It does no I/O and knows no operation.
 */
#ifndef F3_HINTS_WIRE_H
#define F3_HINTS_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "fs/base/buf.h"

#define F3_HINT_VERSION 1
#define F3_HINT_LINE_MAX 65536u	/* without the newline */
#define F3_HINT_READ_MAX 65536u	/* bytes given to f3_hint_lines_put at a time */
#define F3_HINT_DEPTH_MAX 16u	/* objects and arrays in each other */
#define F3_HINT_VALUES_MAX 4096u
#define F3_HINT_ID_MAX 128u	/* bytes of an id that is a string */
#define F3_HINT_WHY_MAX 160u

struct f3_hint_lines {
	struct f3_buf buf;
	size_t at;	/* lines up to here were given out */
	bool skip;	/* in the rest of one that is too long */
};

void f3_hint_lines_init(struct f3_hint_lines *lines);
void f3_hint_lines_done(struct f3_hint_lines *lines);
/* Only after f3_hint_lines_next has said 0. len: at most F3_HINT_READ_MAX. 0 or -ENOMEM: the
 * connection cannot go on. */
int f3_hint_lines_put(struct f3_hint_lines *lines, const char *bytes, size_t len);
/* 1: a line, valid until the next call; 0: none, more bytes are wanted; -EMSGSIZE: one was too
 * long. */
int f3_hint_lines_next(struct f3_hint_lines *lines, const char **ret_line, size_t *ret_len);
/* What came after the last newline, for the end of a connection: as f3_hint_lines_next. */
int f3_hint_lines_last(struct f3_hint_lines *lines, const char **ret_line, size_t *ret_len);
/* Bytes of the heap it takes. */
size_t f3_hint_lines_heap(const struct f3_hint_lines *lines);

/* Nothing but blanks: no request. */
bool f3_hint_blank(const char *line, size_t len);
/* An object within the bounds above, whose "id", if it has one, is an integer or a short string.
 * 0; -EBADMSG, -ENOMEM with the reason. */
int f3_hint_parse(const char *line, size_t len, json_t **ret_object, char why[F3_HINT_WHY_MAX]);
/* Appends the object and a newline. 0; -EMSGSIZE: longer than a line may be, -ENOMEM: nothing was
 * appended. */
int f3_hint_dump(const json_t *object, struct f3_buf *out);

#endif
