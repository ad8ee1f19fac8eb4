/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest: checksums and base64 as stores want them. Pure.
 */
#ifndef F3_OBJECT_DIGEST_H
#define F3_OBJECT_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"

#define F3_MD5_BYTES 16
#define F3_MD5_BASE64 25	/* and NUL */
#define F3_CRC32C_BASE64 9	/* and NUL */

struct f3_md5 {
	void *ctx;
};

/* 0 or -ENOMEM; -EOPNOTSUPP where the library was told not to have MD5 (FIPS). done after init. */
int f3_md5_init(struct f3_md5 *m);
void f3_md5_add(struct f3_md5 *m, const void *bytes, size_t len);
void f3_md5_end(struct f3_md5 *m, char ret_base64[F3_MD5_BASE64]);
void f3_md5_done(struct f3_md5 *m);

/* Big-endian, as x-amz-checksum-crc32c has it. */
void f3_crc32c_base64(uint32_t crc, char ret_base64[F3_CRC32C_BASE64]);
/* -EINVAL */
int f3_crc32c_from_base64(const char *base64, uint32_t *ret_crc);

void f3_base64_put(struct f3_buf *out, const void *bytes, size_t len);
/* 0 or -EINVAL; what was good before stays in out. */
int f3_base64_get(const char *text, size_t len, struct f3_buf *out);

#endif
