/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/key.h"

#include "fs/base/hash.h"

uint64_t f3_key_cookie(uint64_t seed, const char *name, size_t len)
{
	/* 63 bits: readdir offsets are signed. */
	uint64_t cookie = f3_hash64(name, len, seed) >> 1;

	return cookie < F3_COOKIE_FIRST ? cookie + F3_COOKIE_FIRST : cookie;
}

void f3_key_u64(struct f3_buf *out, uint64_t v)
{
	f3_buf_put_u64(out, v);
}

void f3_key_name(struct f3_buf *out, uint64_t parent, uint64_t cookie, const char *name, size_t len)
{
	f3_buf_put_u64(out, parent);
	f3_buf_put_u64(out, cookie);
	f3_buf_put(out, name, len);
}

void f3_key_xattr(struct f3_buf *out, uint64_t ino, const char *name, size_t len)
{
	f3_buf_put_u64(out, ino);
	f3_buf_put(out, name, len);
}

void f3_key_extent(struct f3_buf *out, uint64_t ino, uint64_t start)
{
	f3_buf_put_u64(out, ino);
	f3_buf_put_u64(out, start);
}

void f3_key_mark(struct f3_buf *out, char mark, uint64_t ino)
{
	f3_buf_put_u8(out, (uint8_t)mark);
	f3_buf_put_u64(out, ino);
}

void f3_key_object(struct f3_buf *out, uint32_t volume, const char *key, size_t len)
{
	f3_buf_put_u32(out, volume);
	f3_buf_put(out, key, len);
}
