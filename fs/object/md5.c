/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/md5.h"

#include <endian.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

/* From so many on the lanes are worth their shuffling. */
#define LANES_MIN 4

static const uint32_t sines[64] = {
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613,
	0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193,
	0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d,
	0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
	0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122,
	0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
	0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244,
	0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
	0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb,
	0xeb86d391,
};

/* The 64 steps, of numbers or of vectors of them: a, b, c, d are the state, m the block's words. */
#define F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define G(x, y, z) ((y) ^ ((z) & ((x) ^ (y))))
#define H(x, y, z) ((x) ^ (y) ^ (z))
#define I(x, y, z) ((y) ^ ((x) | ~(z)))
#define TURN(x, n) (((x) << (n)) | ((x) >> (32 - (n))))
#define STEP(f, a, b, c, d, word, i, n)         \
	do {                                    \
		(a) += m[(word)&15] + sines[i]; \
		(a) += f(b, c, d);              \
		(a) = (b) + TURN(a, n);         \
	} while (0)
#define FOUR(f, i, word, by, n1, n2, n3, n4)                         \
	do {                                                         \
		STEP(f, a, b, c, d, word, i, n1);                    \
		STEP(f, d, a, b, c, (word) + (by), (i) + 1, n2);     \
		STEP(f, c, d, a, b, (word) + 2 * (by), (i) + 2, n3); \
		STEP(f, b, c, d, a, (word) + 3 * (by), (i) + 3, n4); \
	} while (0)
#define ROUND(f, i, word, by, n1, n2, n3, n4)                              \
	do {                                                               \
		FOUR(f, i, word, by, n1, n2, n3, n4);                      \
		FOUR(f, (i) + 4, (word) + 4 * (by), by, n1, n2, n3, n4);   \
		FOUR(f, (i) + 8, (word) + 8 * (by), by, n1, n2, n3, n4);   \
		FOUR(f, (i) + 12, (word) + 12 * (by), by, n1, n2, n3, n4); \
	} while (0)
#define ROUNDS()                                   \
	do {                                       \
		ROUND(F, 0, 0, 1, 7, 12, 17, 22);  \
		ROUND(G, 16, 1, 5, 5, 9, 14, 20);  \
		ROUND(H, 32, 5, 3, 4, 11, 16, 23); \
		ROUND(I, 48, 0, 7, 6, 10, 15, 21); \
	} while (0)

static uint32_t get_le32(const uint8_t *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return le32toh(x);
}

static void put_le32(uint8_t *p, uint32_t x)
{
	x = htole32(x);
	memcpy(p, &x, sizeof(x));
}

static void add_blocks(uint32_t state[4], const uint8_t *p, size_t n)
{
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3], m[16];

	for (; n; n--, p += F3_MD5_BLOCK) {
		for (unsigned i = 0; i < 16; i++)
			m[i] = get_le32(p + 4 * i);
		ROUNDS();
		a = state[0] += a;
		b = state[1] += b;
		c = state[2] += c;
		d = state[3] += d;
	}
}

void f3_md5_init(struct f3_md5 *m)
{
	static const uint32_t start[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };

	memset(m, 0, sizeof(*m));
	memcpy(m->state, start, sizeof(start));
}

void f3_md5_add(struct f3_md5 *m, const void *bytes, size_t len)
{
	size_t have = m->bytes % F3_MD5_BLOCK;
	const uint8_t *p = bytes;

	m->bytes += len;
	if (have) {
		size_t n = F3_MD5_BLOCK - have < len ? F3_MD5_BLOCK - have : len;

		memcpy(m->rest + have, p, n);
		if (have + n < F3_MD5_BLOCK)
			return;
		add_blocks(m->state, m->rest, 1);
		p += n;
		len -= n;
	}
	add_blocks(m->state, p, len / F3_MD5_BLOCK);
	if (len % F3_MD5_BLOCK)
		memcpy(m->rest, p + len - len % F3_MD5_BLOCK, len % F3_MD5_BLOCK);
}

void f3_md5_end(struct f3_md5 *m, uint8_t ret_sum[F3_MD5_BYTES])
{
	static const uint8_t padding[F3_MD5_BLOCK] = { 0x80 };
	size_t have = m->bytes % F3_MD5_BLOCK;
	uint64_t bits = m->bytes * 8;
	uint8_t length[8];

	put_le32(length, (uint32_t)bits);
	put_le32(length + 4, (uint32_t)(bits >> 32));
	f3_md5_add(m, padding, (have < 56 ? 56 : 120) - have);
	f3_md5_add(m, length, sizeof(length));
	for (unsigned i = 0; i < 4; i++)
		put_le32(ret_sum + 4 * i, m->state[i]);
}

/* ---- Lanes ---- */

#ifdef __x86_64__
typedef uint32_t lanes __attribute__((vector_size(4 * F3_MD5_LANES)));

/* Eight words of each lane become eight vectors. */
__attribute__((always_inline, target("avx2"))) static inline void
turn_round(const uint8_t *const p[F3_MD5_LANES], size_t off, lanes m[8])
{
	__m256i r[8], t[8];

	for (unsigned i = 0; i < 8; i++)
		r[i] = _mm256_loadu_si256((const __m256i *)(const void *)(p[i] + off));
	for (unsigned i = 0; i < 8; i += 2) {
		t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
		t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
	}
	for (unsigned i = 0; i < 8; i += 4) {
		r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
		r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
		r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
		r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
	}
	for (unsigned i = 0; i < 4; i++) {
		m[i] = (lanes)_mm256_permute2x128_si256(r[i], r[i + 4], 0x20);
		m[i + 4] = (lanes)_mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
	}
}

#define ADD_LANES()                                                                  \
	do {                                                                         \
		lanes a = state[0], b = state[1], c = state[2], d = state[3], m[16]; \
                                                                                     \
		for (size_t off = 0; n; n--, off += F3_MD5_BLOCK) {                  \
			turn_round(p, off, m);                                       \
			turn_round(p, off + F3_MD5_BLOCK / 2, m + 8);                \
			ROUNDS();                                                    \
			a = state[0] += a;                                           \
			b = state[1] += b;                                           \
			c = state[2] += c;                                           \
			d = state[3] += d;                                           \
		}                                                                    \
	} while (0)

__attribute__((target("avx2"))) static void
add_lanes_avx2(lanes state[4], const uint8_t *const p[F3_MD5_LANES], size_t n)
{
	ADD_LANES();
}

/* The same: its compiler has rotations, and three operands in one instruction. */
__attribute__((target("avx2,avx512f,avx512vl"))) static void
add_lanes_avx512(lanes state[4], const uint8_t *const p[F3_MD5_LANES], size_t n)
{
	ADD_LANES();
}

bool f3_md5_is_wide(void)
{
	return __builtin_cpu_supports("avx2");
}

static void add_lanes(struct f3_md5 *const sums[], const void *const bytes[], unsigned n,
		      size_t n_blocks)
{
	const uint8_t *p[F3_MD5_LANES];
	lanes state[4];

	/* Lanes that nobody has do what the first does, for nothing. */
	for (unsigned i = 0; i < F3_MD5_LANES; i++) {
		p[i] = bytes[i < n ? i : 0];
		for (unsigned k = 0; k < 4; k++)
			state[k][i] = sums[i < n ? i : 0]->state[k];
	}
	if (__builtin_cpu_supports("avx512vl"))
		add_lanes_avx512(state, p, n_blocks);
	else
		add_lanes_avx2(state, p, n_blocks);
	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = 0; k < 4; k++)
			sums[i]->state[k] = state[k][i];
		sums[i]->bytes += n_blocks * F3_MD5_BLOCK;
	}
}
#else
bool f3_md5_is_wide(void)
{
	return false;
}
#endif

void f3_md5_add_many(struct f3_md5 *const m[], const void *const bytes[], unsigned n, size_t len)
{
	size_t done = 0;

#ifdef __x86_64__
	bool whole = true;

	for (unsigned i = 0; i < n; i++)
		whole = whole && m[i]->bytes % F3_MD5_BLOCK == 0;
	if (whole && n >= LANES_MIN && f3_md5_is_wide()) {
		done = len - len % F3_MD5_BLOCK;
		add_lanes(m, bytes, n, done / F3_MD5_BLOCK);
	}
#endif
	for (unsigned i = 0; i < n; i++)
		f3_md5_add(m[i], (const uint8_t *)bytes[i] + done, len - done);
}
