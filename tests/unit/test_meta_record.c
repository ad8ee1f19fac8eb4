/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fs/meta/key.h"
#include "fs/meta/meta_impl.h"
#include "tests/unit/unit.h"

#define BUF_MAX (1 << 20)

/* ---- Keys ----------------------------------------------------------------------------------- */

static int compare(const struct f3_buf *a, const struct f3_buf *b)
{
	size_t len = a->len < b->len ? a->len : b->len;
	int r = memcmp(a->data, b->data, len);

	return r ? r : a->len < b->len ? -1 : a->len > b->len;
}

START_TEST(keys_sort_by_number)
{
	static const uint64_t numbers[] = { 0,
					    1,
					    255,
					    256,
					    65535,
					    65536,
					    0x7fffffffull,
					    0x80000000ull,
					    1ull << 40,
					    (1ull << 63) - 1,
					    1ull << 63,
					    UINT64_MAX };
	struct f3_buf a, b;

	f3_buf_init(&a, BUF_MAX);
	f3_buf_init(&b, BUF_MAX);
	for (unsigned i = 0; i + 1 < sizeof(numbers) / sizeof(numbers[0]); i++) {
		f3_buf_reset(&a);
		f3_buf_reset(&b);
		f3_key_u64(&a, numbers[i]);
		f3_key_u64(&b, numbers[i + 1]);
		ck_assert_int_lt(compare(&a, &b), 0);

		/* All names of a directory come before all names of the next. */
		f3_buf_reset(&a);
		f3_buf_reset(&b);
		f3_key_name(&a, numbers[i], UINT64_MAX, "\xff\xff", 2);
		f3_key_name(&b, numbers[i + 1], 0, "a", 1);
		ck_assert_int_lt(compare(&a, &b), 0);

		f3_buf_reset(&a);
		f3_buf_reset(&b);
		f3_key_extent(&a, 7, numbers[i]);
		f3_key_extent(&b, 7, numbers[i + 1]);
		ck_assert_int_lt(compare(&a, &b), 0);
	}
	f3_buf_done(&a);
	f3_buf_done(&b);
}
END_TEST

START_TEST(keys_have_the_documented_form)
{
	static const uint8_t name[] = { 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 16, 'a', 'b' };
	static const uint8_t mark[] = { 'w', 0, 0, 0, 0, 0, 0, 1, 1 };
	static const uint8_t object[] = { 0, 0, 0, 3, 'k', '/' };
	struct f3_buf key;

	f3_buf_init(&key, BUF_MAX);
	f3_key_name(&key, 256, 16, "ab", 2);
	ck_assert_uint_eq(key.len, sizeof(name));
	ck_assert_mem_eq(key.data, name, sizeof(name));
	f3_buf_reset(&key);
	f3_key_mark(&key, 'w', 257);
	ck_assert_uint_eq(key.len, sizeof(mark));
	ck_assert_mem_eq(key.data, mark, sizeof(mark));
	f3_buf_reset(&key);
	f3_key_object(&key, 3, "k/", 2);
	ck_assert_uint_eq(key.len, sizeof(object));
	ck_assert_mem_eq(key.data, object, sizeof(object));
	f3_buf_reset(&key);
	f3_key_xattr(&key, 1, "user.a", 6);
	ck_assert_uint_eq(key.len, 14);
	f3_buf_done(&key);
}
END_TEST

START_TEST(cookies_are_offsets)
{
	unsigned differ = 0;

	for (unsigned i = 0; i < 100000; i++) {
		char name[16];
		int len = snprintf(name, sizeof(name), "n%u", i);
		uint64_t cookie = f3_key_cookie(42, name, (size_t)len);

		/* A readdir offset is a signed number; "." and ".." are below. */
		ck_assert_uint_ge(cookie, F3_COOKIE_FIRST);
		ck_assert_uint_le(cookie, INT64_MAX);
		ck_assert_uint_eq(cookie, f3_key_cookie(42, name, (size_t)len));
		differ += cookie != f3_key_cookie(43, name, (size_t)len);
	}
	/* Who does not know the seed does not know the cookies. */
	ck_assert_uint_eq(differ, 100000);
	/* Stored in every database: never to change. */
	ck_assert_uint_eq(f3_key_cookie(0, "", 0), 0x2d06800538d394c2ull >> 1);
}
END_TEST

/* ---- Inode records -------------------------------------------------------------------------- */

static struct f3_inode_rec example(void)
{
	struct f3_inode_rec rec = {
		.ino = 0x1122334455667788ull,
		.mode = S_IFREG | 04755,
		.uid = 1000,
		.gid = UINT32_MAX,
		.nlink = 3,
		.rdev = 0x0801,
		.size = INT64_MAX,
		.blocks = 17,
		.atime_ns = -1,
		.mtime_ns = INT64_MIN,
		.ctime_ns = INT64_MAX,
		.btime_ns = 1700000000123456789ll,
		.volume = 5,
		.flags = F3_INO_PINNED | F3_INO_DIRTY | F3_INO_STREAM_OFF,
		.class_ = F3_CLASS_DURABLE,
		.class_source = F3_FROM_HINT,
		.state = F3_STATE_REMOTE,
		.error = EIO,
		.backing = 9,
		.backing_class = F3_CLASS_MEMORY,
		.generation = 1ull << 40,
		.attempt = 2,
		.store_size = 12345,
		.base_limit = 99,
		.etag = "\"d41d8cd98f00b204e9800998ecf8427e-3\"",
		.parent = 256,
		.name_len = 4,
		.name = "a\xff\x01z",
	};

	memcpy(rec.id.b, "0123456789abcdef", 16);
	return rec;
}

static void assert_same(const struct f3_inode_rec *a, const struct f3_inode_rec *b)
{
	struct f3_buf ea, eb;

	f3_buf_init(&ea, BUF_MAX);
	f3_buf_init(&eb, BUF_MAX);
	f3_inode_rec_encode(a, &ea);
	f3_inode_rec_encode(b, &eb);
	ck_assert_uint_eq(ea.len, eb.len);
	ck_assert_mem_eq(ea.data, eb.data, ea.len);
	f3_buf_done(&ea);
	f3_buf_done(&eb);
}

START_TEST(inode_comes_back)
{
	struct f3_inode_rec rec = example(), back;
	struct f3_buf buf;

	f3_buf_init(&buf, BUF_MAX);
	f3_inode_rec_encode(&rec, &buf);
	ck_assert_int_eq(buf.error, 0);
	ck_assert_int_eq(f3_inode_rec_decode(rec.ino, buf.data, buf.len, &back), 0);
	ck_assert_uint_eq(back.ino, rec.ino);
	ck_assert_uint_eq(back.mode, rec.mode);
	ck_assert_uint_eq(back.uid, rec.uid);
	ck_assert_uint_eq(back.gid, rec.gid);
	ck_assert_uint_eq(back.nlink, rec.nlink);
	ck_assert_uint_eq(back.rdev, rec.rdev);
	ck_assert_uint_eq(back.size, rec.size);
	ck_assert_uint_eq(back.blocks, rec.blocks);
	ck_assert_int_eq(back.atime_ns, rec.atime_ns);
	ck_assert_int_eq(back.mtime_ns, rec.mtime_ns);
	ck_assert_int_eq(back.ctime_ns, rec.ctime_ns);
	ck_assert_int_eq(back.btime_ns, rec.btime_ns);
	ck_assert(f3_id_equal(&back.id, &rec.id));
	ck_assert_uint_eq(back.volume, rec.volume);
	ck_assert_uint_eq(back.flags, rec.flags);
	ck_assert_uint_eq(back.class_, rec.class_);
	ck_assert_uint_eq(back.class_source, rec.class_source);
	ck_assert_uint_eq(back.state, rec.state);
	ck_assert_uint_eq(back.error, rec.error);
	ck_assert_uint_eq(back.backing, rec.backing);
	ck_assert_uint_eq(back.backing_class, rec.backing_class);
	ck_assert_uint_eq(back.generation, rec.generation);
	ck_assert_uint_eq(back.attempt, rec.attempt);
	ck_assert_uint_eq(back.store_size, rec.store_size);
	ck_assert_uint_eq(back.base_limit, rec.base_limit);
	ck_assert_str_eq(back.etag, rec.etag);
	ck_assert_uint_eq(back.parent, rec.parent);
	ck_assert_uint_eq(back.name_len, rec.name_len);
	ck_assert_str_eq(back.name, rec.name);
	ck_assert_ptr_null(back.target);
	ck_assert_uint_eq(back.target_len, 0);
	f3_inode_rec_done(&back);
	f3_buf_done(&buf);
}
END_TEST

/* One that has a time is of version 2, others stay what an older program can read. */
START_TEST(time_of_the_store)
{
	struct f3_inode_rec rec = example(), back;
	struct f3_buf with, without;

	f3_buf_init(&with, BUF_MAX);
	f3_buf_init(&without, BUF_MAX);
	f3_inode_rec_encode(&rec, &without);
	rec.modified_ns = 1700000000999999999ll;
	f3_inode_rec_encode(&rec, &with);
	ck_assert_uint_eq(without.data[0], 1);
	ck_assert_uint_eq(with.data[0], 2);
	ck_assert_uint_eq(with.len, without.len + 8);
	ck_assert_int_eq(f3_inode_rec_decode(rec.ino, with.data, with.len, &back), 0);
	ck_assert_int_eq(back.modified_ns, rec.modified_ns);
	assert_same(&back, &rec);
	f3_inode_rec_done(&back);
	ck_assert_int_eq(f3_inode_rec_decode(rec.ino, without.data, without.len, &back), 0);
	ck_assert_int_eq(back.modified_ns, 0);
	f3_inode_rec_done(&back);
	with.data[0] = 1;
	ck_assert_int_eq(f3_inode_rec_decode(rec.ino, with.data, with.len, &back), -EBADMSG);
	with.data[0] = 3;
	ck_assert_int_eq(f3_inode_rec_decode(rec.ino, with.data, with.len, &back),
			 -EPROTONOSUPPORT);
	f3_buf_done(&with);
	f3_buf_done(&without);
}
END_TEST

START_TEST(symlink_comes_back_and_copies)
{
	struct f3_inode_rec rec = example(), back, copy;
	char target[F3_SYMLINK_MAX + 1];
	struct f3_buf buf;

	memset(target, 't', F3_SYMLINK_MAX);
	target[F3_SYMLINK_MAX] = '\0';
	rec.mode = S_IFLNK | 0777;
	rec.target = target;
	rec.target_len = F3_SYMLINK_MAX;
	f3_buf_init(&buf, BUF_MAX);
	f3_inode_rec_encode(&rec, &buf);
	ck_assert_int_eq(f3_inode_rec_decode(rec.ino, buf.data, buf.len, &back), 0);
	ck_assert_uint_eq(back.target_len, F3_SYMLINK_MAX);
	ck_assert_str_eq(back.target, target);
	ck_assert_int_eq(f3_inode_rec_copy(&copy, &back), 0);
	f3_inode_rec_done(&back);
	ck_assert_ptr_null(back.target);
	ck_assert_str_eq(copy.target, target);
	assert_same(&copy, &rec);
	f3_inode_rec_done(&copy);
	f3_inode_rec_done(NULL);
	f3_buf_done(&buf);
}
END_TEST

/* The decoders behind one face: 0 when `bytes` are good and come back the same when encoded. */
static int decode_inode(const uint8_t *bytes, size_t len, struct f3_buf *again)
{
	struct f3_inode_rec rec;
	int r = f3_inode_rec_decode(256, bytes, len, &rec);

	if (!r) {
		f3_inode_rec_encode(&rec, again);
		f3_inode_rec_done(&rec);
	}
	return r;
}

static int decode_journal(const uint8_t *bytes, size_t len, struct f3_buf *again)
{
	struct f3_journal_entry e;
	int r = f3_journal_decode(9, bytes, len, &e);

	if (!r) {
		ck_assert_uint_eq(e.seq, 9);
		f3_journal_encode(&e, again);
	}
	return r;
}

static int decode_name(const uint8_t *bytes, size_t len, struct f3_buf *again)
{
	struct f3_meta_name name;
	int r = f3_meta_name_decode(bytes, len, &name);

	if (!r) {
		f3_buf_put_u8(again, F3_META_VALUE_VERSION);
		f3_buf_put_u64(again, name.ino);
		f3_buf_put_u8(again, name.d_type);
	}
	return r;
}

static int decode_extent(const uint8_t *bytes, size_t len, struct f3_buf *again)
{
	uint64_t v;
	int r = f3_meta_extent_decode(bytes, len, &v);

	if (!r) {
		f3_buf_put_u8(again, F3_META_VALUE_VERSION);
		f3_buf_put_u64(again, v);
	}
	return r;
}

static int decode_volume(const uint8_t *bytes, size_t len, struct f3_buf *again)
{
	struct f3_volume_rec v;
	int r = f3_meta_volume_decode(3, bytes, len, &v);

	if (!r) {
		ck_assert_uint_eq(v.id, 3);
		f3_meta_volume_encode(&v, again);
	}
	return r;
}

static const struct decoder {
	const char *file;
	int (*fn)(const uint8_t *bytes, size_t len, struct f3_buf *again);
} decoders[] = {
	{ "inode", decode_inode },   { "journal", decode_journal }, { "name", decode_name },
	{ "extent", decode_extent }, { "volume", decode_volume },
};

#define N_DECODERS ((int)(sizeof(decoders) / sizeof(decoders[0])))

/* On a heap block of just that size, so that a sanitizer sees one byte too many being read. */
static int decode(const struct decoder *d, const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct f3_buf again;
	int r;

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, bytes, len);
	f3_buf_init(&again, BUF_MAX);
	r = d->fn(exact, len, &again);
	if (r) {
		ck_assert_msg(r == -EBADMSG || r == -EPROTONOSUPPORT, "%s: %s", d->file,
			      f3_errno_name(r));
	} else {
		ck_assert_int_eq(again.error, 0);
		ck_assert_uint_eq(again.len, len);
		ck_assert_mem_eq(again.data, exact, len);
	}
	f3_buf_done(&again);
	free(exact);
	return r;
}

/* Every prefix, every single byte changed in several ways, and one byte more. */
static void mutilate(const struct decoder *d, const uint8_t *good, size_t len)
{
	uint8_t *bytes = malloc(len + 1);

	ck_assert_ptr_nonnull(bytes);
	ck_assert_int_eq(decode(d, good, len), 0);
	for (size_t n = 0; n < len; n++)
		ck_assert_int_eq(decode(d, good, n), -EBADMSG);
	memcpy(bytes, good, len);
	bytes[len] = 0;
	ck_assert_int_eq(decode(d, bytes, len + 1), -EBADMSG);
	for (size_t i = 0; i < len; i++) {
		static const uint8_t with[] = { 0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff, '/' };

		for (unsigned w = 0; w < sizeof(with); w++) {
			bytes[i] = with[w];
			decode(d, bytes, len);
		}
		for (unsigned bit = 0; bit < 8; bit++) {
			bytes[i] = good[i] ^ (uint8_t)(1u << bit);
			decode(d, bytes, len);
		}
		bytes[i] = good[i];
	}
	free(bytes);
}

static size_t unhex(const char *hex, uint8_t *to, size_t size)
{
	size_t n = 0;
	unsigned byte;

	if (strcmp(hex, "-") == 0)
		return 0;
	for (; *hex; hex += 2) {
		ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
		ck_assert_uint_lt(n, size);
		to[n++] = (uint8_t)byte;
	}
	return n;
}

START_TEST(corpus_is_refused)
{
	const struct decoder *d = &decoders[_i];
	const char *top = getenv("F3_SRCDIR");
	static char line[65536], hex[60000];
	static uint8_t bytes[30000];
	unsigned good = 0, bad = 0;
	char path[4096], want[32];
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/record/%s.txt", top ? top : ".",
		 d->file);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s", path);
	while (fgets(line, sizeof(line), f)) {
		size_t len;
		int r;

		if (line[0] == '#')
			continue;
		ck_assert_int_eq(sscanf(line, "%31s %59999s", want, hex), 2);
		len = unhex(hex, bytes, sizeof(bytes));
		r = decode(d, bytes, len);
		ck_assert_msg(strcmp(r ? f3_errno_name(r) : "OK", want) == 0, "%s: %s is not %s",
			      path, line, r ? f3_errno_name(r) : "OK");
		if (r) {
			bad++;
			continue;
		}
		good++;
		mutilate(d, bytes, len);
	}
	fclose(f);
	ck_assert_uint_gt(good, 0);
	ck_assert_uint_gt(bad, 3);
}
END_TEST

START_TEST(garbage_is_refused)
{
	const struct decoder *d = &decoders[_i];
	uint64_t x = 88172645463325252ull;
	uint8_t bytes[400];

	for (unsigned round = 0; round < 20000; round++) {
		size_t len = round % sizeof(bytes);

		for (size_t i = 0; i < len; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			bytes[i] = (uint8_t)x;
		}
		if (len)
			bytes[0] = 1;
		decode(d, bytes, len);
	}
}
END_TEST

START_TEST(journal_comes_back)
{
	static struct f3_journal_entry e = { .seq = 9,
					     .type = F3_JOURNAL_RENAME,
					     .flags = F3_JOURNAL_EXCLUSIVE,
					     .volume = 2,
					     .ino = 300,
					     .dir1 = 1,
					     .dir2 = UINT64_MAX,
					     .generation = 4,
					     .attempt = 5,
					     .since_ns = -6,
					     .key = "a/\xff b",
					     .key2 = "c",
					     .etag = "\"e\"",
					     .upload = "up" };
	static struct f3_journal_entry back;
	struct f3_buf buf;

	f3_buf_init(&buf, BUF_MAX);
	f3_journal_encode(&e, &buf);
	ck_assert_int_eq(f3_journal_decode(9, buf.data, buf.len, &back), 0);
	ck_assert_uint_eq(back.seq, 9);
	ck_assert_uint_eq(back.type, e.type);
	ck_assert_uint_eq(back.flags, e.flags);
	ck_assert_uint_eq(back.volume, e.volume);
	ck_assert_uint_eq(back.ino, e.ino);
	ck_assert_uint_eq(back.dir1, e.dir1);
	ck_assert_uint_eq(back.dir2, e.dir2);
	ck_assert_uint_eq(back.generation, e.generation);
	ck_assert_uint_eq(back.attempt, e.attempt);
	ck_assert_int_eq(back.since_ns, e.since_ns);
	ck_assert_str_eq(back.key, e.key);
	ck_assert_str_eq(back.key2, e.key2);
	ck_assert_str_eq(back.etag, e.etag);
	ck_assert_str_eq(back.upload, e.upload);
	f3_buf_done(&buf);
}
END_TEST

START_TEST(words)
{
	enum f3_class c;

	for (int i = F3_CLASS_MEMORY; i <= F3_CLASS_DURABLE; i++) {
		const char *name = f3_class_name((enum f3_class)i);

		ck_assert_int_eq(f3_class_parse(name, strlen(name), &c), 0);
		ck_assert_int_eq(c, i);
	}
	ck_assert_int_eq(f3_class_parse("durables", 8, &c), -EINVAL);
	ck_assert_int_eq(f3_class_parse("durable", 6, &c), -EINVAL);
	ck_assert_int_eq(f3_class_parse("none", 4, &c), -EINVAL);
	ck_assert_int_eq(f3_class_parse("", 0, &c), -EINVAL);
	ck_assert_int_eq(f3_class_parse("Memory", 6, &c), -EINVAL);
	ck_assert_str_eq(f3_class_name((enum f3_class)77), "?");
	ck_assert_str_eq(f3_state_name(F3_STATE_REMOTE), "remote");
	ck_assert_str_eq(f3_state_name((enum f3_state)8), "?");
	ck_assert_str_eq(f3_journal_type_name(F3_JOURNAL_RENAME_DIR), "rename-dir");
	ck_assert_str_eq(f3_journal_type_name(0), "?");
	ck_assert_str_eq(f3_journal_type_name(F3_JOURNAL_UPLOAD), "upload");
	ck_assert_str_eq(f3_journal_type_name(9), "?");
	ck_assert_str_eq(f3_cf_name(F3_CF_ACTIVATIONS), "activations");
	ck_assert_str_eq(f3_cf_name(F3_CF_MAX), "?");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("meta_record");
	TCase *tc = tcase_create("record");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, keys_sort_by_number);
	tcase_add_test(tc, keys_have_the_documented_form);
	tcase_add_test(tc, cookies_are_offsets);
	tcase_add_test(tc, inode_comes_back);
	tcase_add_test(tc, time_of_the_store);
	tcase_add_test(tc, symlink_comes_back_and_copies);
	tcase_add_test(tc, journal_comes_back);
	tcase_add_loop_test(tc, corpus_is_refused, 0, N_DECODERS);
	tcase_add_loop_test(tc, garbage_is_refused, 0, N_DECODERS);
	tcase_add_test(tc, words);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
