/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf: a growing byte buffer with a named maximum, and a bounded reader.
 *
 * Keys and values of the database, wire formats and generated text are made with f3_buf and
 * taken apart with f3_rd. Both keep the first error: many puts or gets can be written without
 * a check each, and one look at `error` at the end tells whether all of them were good.
 *
 * Integers are big-endian so that keys sort by value. Not thread-safe. Does not block.
 */
#ifndef F3_BASE_BUF_H
#define F3_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct f3_buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max;		/* growth past this sets error = -EMSGSIZE */
	int error;		/* 0 or the first -errno (-ENOMEM, -EMSGSIZE) */
	uint8_t inline_data[256];	/* small records never touch the heap */
};

/* A buffer must not be copied or moved once initialised: data may point into it. */
void f3_buf_init(struct f3_buf *buf, size_t max_bytes);
void f3_buf_done(struct f3_buf *buf);
void f3_buf_reset(struct f3_buf *buf);		/* length and error back to 0, memory kept */

void f3_buf_put(struct f3_buf *buf, const void *bytes, size_t len);
void f3_buf_put_u8(struct f3_buf *buf, uint8_t v);
void f3_buf_put_u16(struct f3_buf *buf, uint16_t v);
void f3_buf_put_u32(struct f3_buf *buf, uint32_t v);
void f3_buf_put_u64(struct f3_buf *buf, uint64_t v);
void f3_buf_put_i64(struct f3_buf *buf, int64_t v);
/* u16 length, then the bytes (at most 65535, else error = -EMSGSIZE) */
void f3_buf_put_str16(struct f3_buf *buf, const void *bytes, size_t len);
/* The text is followed by a NUL that does not count (until the next put). */
void f3_buf_printf(struct f3_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct f3_rd {
	const uint8_t *p;
	size_t left;
	int error;		/* 0 or -EBADMSG once anything ran over the end */
};

void f3_rd_init(struct f3_rd *rd, const void *bytes, size_t len);
/* All return 0 / NULL / 0-length after an error. Pointers point into the source bytes. */
uint8_t f3_rd_u8(struct f3_rd *rd);
uint16_t f3_rd_u16(struct f3_rd *rd);
uint32_t f3_rd_u32(struct f3_rd *rd);
uint64_t f3_rd_u64(struct f3_rd *rd);
int64_t f3_rd_i64(struct f3_rd *rd);
const uint8_t *f3_rd_bytes(struct f3_rd *rd, size_t len);
const uint8_t *f3_rd_str16(struct f3_rd *rd, size_t *ret_len);

#endif
