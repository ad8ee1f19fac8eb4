/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/buf.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One byte behind `cap` is always there, for the NUL of f3_buf_printf. */
#define INLINE_CAP (sizeof(((struct f3_buf *)NULL)->inline_data) - 1)

static void set_error(struct f3_buf *buf, int error)
{
	if (!buf->error)
		buf->error = error;
}

void f3_buf_init(struct f3_buf *buf, size_t max_bytes)
{
	buf->data = buf->inline_data;
	buf->len = 0;
	buf->cap = max_bytes < INLINE_CAP ? max_bytes : INLINE_CAP;
	buf->max = max_bytes;
	buf->error = 0;
	buf->inline_data[0] = 0;
}

void f3_buf_done(struct f3_buf *buf)
{
	if (!buf)
		return;
	if (buf->data != buf->inline_data)
		free(buf->data);
	f3_buf_init(buf, buf->max);
}

void f3_buf_reset(struct f3_buf *buf)
{
	buf->len = 0;
	buf->error = 0;
}

/* Room for `len` more bytes at the end, or NULL with the error set. */
static uint8_t *reserve(struct f3_buf *buf, size_t len)
{
	uint8_t *data;
	size_t need, cap;

	if (buf->error)
		return NULL;
	if (__builtin_add_overflow(buf->len, len, &need) || need > buf->max) {
		set_error(buf, -EMSGSIZE);
		return NULL;
	}
	if (need <= buf->cap)
		return buf->data + buf->len;

	cap = buf->cap <= buf->max / 2 ? buf->cap * 2 : buf->max;
	if (cap < need)
		cap = need;
	data = cap < SIZE_MAX ? realloc(buf->data == buf->inline_data ? NULL : buf->data, cap + 1) :
				NULL;
	if (!data) {
		set_error(buf, -ENOMEM);
		return NULL;
	}
	if (buf->data == buf->inline_data)
		memcpy(data, buf->inline_data, buf->len);
	buf->data = data;
	buf->cap = cap;
	return data + buf->len;
}

void f3_buf_put(struct f3_buf *buf, const void *bytes, size_t len)
{
	uint8_t *to = reserve(buf, len);

	if (!to || !len)
		return;
	memcpy(to, bytes, len);
	buf->len += len;
}

/* The last `size` bytes of v in big-endian order. */
static void store_be(uint8_t *to, uint64_t v, size_t size)
{
	uint64_t be = htobe64(v);

	memcpy(to, (const uint8_t *)&be + sizeof(be) - size, size);
}

static void put_be(struct f3_buf *buf, uint64_t v, size_t size)
{
	uint8_t *to = reserve(buf, size);

	if (!to)
		return;
	store_be(to, v, size);
	buf->len += size;
}

void f3_buf_put_u8(struct f3_buf *buf, uint8_t v)
{
	put_be(buf, v, 1);
}

void f3_buf_put_u16(struct f3_buf *buf, uint16_t v)
{
	put_be(buf, v, 2);
}

void f3_buf_put_u32(struct f3_buf *buf, uint32_t v)
{
	put_be(buf, v, 4);
}

void f3_buf_put_u64(struct f3_buf *buf, uint64_t v)
{
	put_be(buf, v, 8);
}

void f3_buf_put_i64(struct f3_buf *buf, int64_t v)
{
	put_be(buf, (uint64_t)v, 8);
}

void f3_buf_put_str16(struct f3_buf *buf, const void *bytes, size_t len)
{
	uint8_t *to;

	if (len > UINT16_MAX) {
		set_error(buf, -EMSGSIZE);
		return;
	}
	/* Both or neither: half a string would be read back as something else. */
	to = reserve(buf, 2 + len);
	if (!to)
		return;
	store_be(to, len, 2);
	if (len)
		memcpy(to + 2, bytes, len);
	buf->len += 2 + len;
}

void f3_buf_printf(struct f3_buf *buf, const char *fmt, ...)
{
	va_list ap;
	uint8_t *to;
	int n;

	if (buf->error)
		return;
	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		set_error(buf, -EMSGSIZE);
		return;
	}
	to = reserve(buf, (size_t)n);
	if (!to)
		return;
	va_start(ap, fmt);
	vsnprintf((char *)to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)n;
}

void f3_rd_init(struct f3_rd *rd, const void *bytes, size_t len)
{
	rd->p = bytes;
	rd->left = len;
	rd->error = 0;
}

const uint8_t *f3_rd_bytes(struct f3_rd *rd, size_t len)
{
	const uint8_t *p = rd->p;

	if (rd->error)
		return NULL;
	if (len > rd->left) {
		rd->error = -EBADMSG;
		return NULL;
	}
	if (len) {
		rd->p += len;
		rd->left -= len;
	}
	return p;
}

static uint64_t get_be(struct f3_rd *rd, size_t size)
{
	const uint8_t *p = f3_rd_bytes(rd, size);
	uint64_t be = 0;

	if (p)
		memcpy((uint8_t *)&be + sizeof(be) - size, p, size);
	return be64toh(be);
}

uint8_t f3_rd_u8(struct f3_rd *rd)
{
	return (uint8_t)get_be(rd, 1);
}

uint16_t f3_rd_u16(struct f3_rd *rd)
{
	return (uint16_t)get_be(rd, 2);
}

uint32_t f3_rd_u32(struct f3_rd *rd)
{
	return (uint32_t)get_be(rd, 4);
}

uint64_t f3_rd_u64(struct f3_rd *rd)
{
	return get_be(rd, 8);
}

int64_t f3_rd_i64(struct f3_rd *rd)
{
	return (int64_t)get_be(rd, 8);
}

const uint8_t *f3_rd_str16(struct f3_rd *rd, size_t *ret_len)
{
	size_t len = f3_rd_u16(rd);
	const uint8_t *p = f3_rd_bytes(rd, len);

	*ret_len = p ? len : 0;
	return p;
}
