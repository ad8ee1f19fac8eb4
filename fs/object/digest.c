/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

int f3_md5_init(struct f3_md5 *m)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	m->ctx = NULL;
	if (!ctx)
		return -ENOMEM;
	if (EVP_DigestInit_ex(ctx, EVP_md5(), NULL) != 1) {
		EVP_MD_CTX_free(ctx);
		return -EOPNOTSUPP;
	}
	m->ctx = ctx;
	return 0;
}

void f3_md5_add(struct f3_md5 *m, const void *bytes, size_t len)
{
	(void)EVP_DigestUpdate(m->ctx, bytes, len);
}

void f3_md5_end(struct f3_md5 *m, char ret_base64[F3_MD5_BASE64])
{
	unsigned char sum[EVP_MAX_MD_SIZE] = { 0 };

	(void)EVP_DigestFinal_ex(m->ctx, sum, NULL);
	(void)EVP_EncodeBlock((unsigned char *)ret_base64, sum, F3_MD5_BYTES);
}

void f3_md5_done(struct f3_md5 *m)
{
	EVP_MD_CTX_free(m->ctx);
	m->ctx = NULL;
}

void f3_crc32c_base64(uint32_t crc, char ret_base64[F3_CRC32C_BASE64])
{
	const unsigned char bytes[4] = { (unsigned char)(crc >> 24), (unsigned char)(crc >> 16),
					 (unsigned char)(crc >> 8), (unsigned char)crc };

	(void)EVP_EncodeBlock((unsigned char *)ret_base64, bytes, sizeof(bytes));
}

int f3_crc32c_from_base64(const char *base64, uint32_t *ret_crc)
{
	struct f3_buf out;
	int r;

	f3_buf_init(&out, 16);
	r = f3_base64_get(base64, strnlen(base64, F3_CRC32C_BASE64), &out);
	if (!r && out.len == 4)
		*ret_crc = (uint32_t)out.data[0] << 24 | (uint32_t)out.data[1] << 16 |
			   (uint32_t)out.data[2] << 8 | out.data[3];
	else
		r = -EINVAL;
	f3_buf_done(&out);
	return r;
}

#define CHUNK 48 /* bytes encoded at a time: 64 characters */

void f3_base64_put(struct f3_buf *out, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	unsigned char text[CHUNK / 3 * 4 + 1];

	while (len) {
		size_t n = len < CHUNK ? len : CHUNK;

		f3_buf_put(out, text, (size_t)EVP_EncodeBlock(text, p, (int)n));
		p += n;
		len -= n;
	}
}

int f3_base64_get(const char *text, size_t len, struct f3_buf *out)
{
	unsigned char bytes[3];

	if (len % 4)
		return -EINVAL;
	for (; len; text += 4, len -= 4) {
		int pad = text[3] == '=' ? (text[2] == '=' ? 2 : 1) : 0;

		if ((pad && len > 4) || EVP_DecodeBlock(bytes, (const unsigned char *)text, 4) != 3)
			return -EINVAL;
		f3_buf_put(out, bytes, (size_t)(3 - pad));
	}
	return 0;
}
