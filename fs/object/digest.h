/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest: checksums and base64 as stores want them. Pure.
 */
#ifndef F3_OBJECT_DIGEST_H
#define F3_OBJECT_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/object/md5.h"

#define F3_MD5_BASE64 25	/* and NUL */
#define F3_SHA256_HEX 65	/* and NUL */
#define F3_CRC32C_BASE64 9	/* and NUL */

void f3_md5_base64(const uint8_t sum[F3_MD5_BYTES], char ret_base64[F3_MD5_BASE64]);

struct f3_sha256 {
	void *ctx;
};

/* 0 or -ENOMEM. done after init. */
int f3_sha256_init(struct f3_sha256 *h);
void f3_sha256_add(struct f3_sha256 *h, const void *bytes, size_t len);
void f3_sha256_end(struct f3_sha256 *h, char ret_hex[F3_SHA256_HEX]);
void f3_sha256_done(struct f3_sha256 *h);
/* Which of the two sums a body of some MiB faster on this machine, MD5 by lanes? Tried out once, in less
 * than a millisecond. */
bool f3_sha256_is_faster(void);

/* Big-endian, as x-amz-checksum-crc32c has it. */
void f3_crc32c_base64(uint32_t crc, char ret_base64[F3_CRC32C_BASE64]);
/* -EINVAL */
int f3_crc32c_from_base64(const char *base64, uint32_t *ret_crc);

void f3_base64_put(struct f3_buf *out, const void *bytes, size_t len);
/* 0 or -EINVAL; what was good before stays in out. */
int f3_base64_get(const char *text, size_t len, struct f3_buf *out);

#endif
