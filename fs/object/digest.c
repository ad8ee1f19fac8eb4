/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/clock.h"

void f3_md5_base64(const uint8_t sum[F3_MD5_BYTES], char ret_base64[F3_MD5_BASE64])
{
	(void)EVP_EncodeBlock((unsigned char *)ret_base64, sum, F3_MD5_BYTES);
}

int f3_sha256_init(struct f3_sha256 *h)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	h->ctx = NULL;
	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(ctx);
		return -ENOMEM;
	}
	h->ctx = ctx;
	return 0;
}

void f3_sha256_add(struct f3_sha256 *h, const void *bytes, size_t len)
{
	(void)EVP_DigestUpdate(h->ctx, bytes, len);
}

void f3_sha256_end(struct f3_sha256 *h, char ret_hex[F3_SHA256_HEX])
{
	unsigned char sum[EVP_MAX_MD_SIZE] = { 0 };

	(void)EVP_DigestFinal_ex(h->ctx, sum, NULL);
	for (unsigned i = 0; i < 32; i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", sum[i]);
}

void f3_sha256_done(struct f3_sha256 *h)
{
	EVP_MD_CTX_free(h->ctx);
	h->ctx = NULL;
}

#define TRY_BYTES (8u << 10) /* for each lane */
#define TRIES 3 /* something else may have had the CPU */

static bool sha256_is_faster;

static void try_out(void)
{
	static const uint8_t bytes[TRY_BYTES];
	struct f3_md5 sums[F3_MD5_LANES], *m[F3_MD5_LANES];
	uint64_t md5_ns = UINT64_MAX, sha256_ns = UINT64_MAX;
	const void *from[F3_MD5_LANES];
	struct f3_sha256 sha;

	if (f3_sha256_init(&sha))
		return;
	for (unsigned i = 0; i < F3_MD5_LANES; i++) {
		f3_md5_init(&sums[i]);
		m[i] = &sums[i];
		from[i] = bytes;
	}
	for (unsigned t = 0; t < TRIES; t++) {
		uint64_t t0 = f3_clock_mono_ns(), t1, t2;

		f3_md5_add_many(m, from, F3_MD5_LANES, TRY_BYTES);
		t1 = f3_clock_mono_ns();
		for (unsigned i = 0; i < F3_MD5_LANES; i++)
			f3_sha256_add(&sha, bytes, TRY_BYTES);
		t2 = f3_clock_mono_ns();
		md5_ns = t1 - t0 < md5_ns ? t1 - t0 : md5_ns;
		sha256_ns = t2 - t1 < sha256_ns ? t2 - t1 : sha256_ns;
	}
	sha256_is_faster = sha256_ns < md5_ns;
	f3_sha256_done(&sha);
}

bool f3_sha256_is_faster(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, try_out);
	return sha256_is_faster;
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
