/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <sys/stat.h>

#include "fs/meta/meta_impl.h"
#include "tests/unit/meta_unit.h"

static struct meta_unit u;

static void setup(void)
{
	meta_unit_init(&u);
	meta_unit_open(&u);
}

static void teardown(void)
{
	meta_unit_done(&u);
}

static struct f3_batch *batch(void)
{
	struct f3_batch *b;

	ck_assert_int_eq(f3_batch_new(u.m, &b), 0);
	return b;
}

static void commit(struct f3_batch *b)
{
	ck_assert_int_eq(f3_batch_commit(b), 0);
	f3_batch_free(b);
}

static struct f3_inode_rec inode(uint64_t ino, uint32_t mode)
{
	struct f3_inode_rec rec = { .ino = ino, .mode = mode, .nlink = 1, .volume = 1 };

	return rec;
}

static void put_name(uint64_t parent, const char *name, uint64_t ino)
{
	struct f3_batch *b = batch();

	f3_batch_put_name(b, parent, name, strlen(name), ino, 8);
	commit(b);
}

static int get_name(uint64_t parent, const char *name, struct f3_meta_name *ret)
{
	return f3_meta_get_name(u.m, parent, name, strlen(name), ret);
}

/* ---- Reads and writes ----------------------------------------------------------------------- */

START_TEST(inode_is_found_again)
{
	struct f3_inode_rec rec = inode(300, S_IFREG | 0644), back;
	struct f3_batch *b = batch();

	ck_assert_int_eq(f3_meta_get_inode(u.m, 300, &back), -ENOENT);
	rec.size = 4711;
	f3_batch_put_inode(b, &rec);
	ck_assert_int_eq(f3_meta_get_inode(u.m, 300, &back), -ENOENT);
	commit(b);
	ck_assert_int_eq(f3_meta_get_inode(u.m, 300, &back), 0);
	ck_assert_uint_eq(back.size, 4711);
	f3_inode_rec_done(&back);
}
END_TEST

START_TEST(names_and_their_limits)
{
	char longest[F3_NAME_MAX + 2];
	struct f3_meta_name name;
	struct f3_batch *b;

	memset(longest, 'n', sizeof(longest));
	put_name(1, "a", 300);
	put_name(2, "a", 301);
	put_name(1, "\xff\x01 b", 302);
	b = batch();
	f3_batch_put_name(b, 1, longest, F3_NAME_MAX, 303, 4);
	commit(b);
	ck_assert_int_eq(get_name(1, "a", &name), 0);
	ck_assert_uint_eq(name.ino, 300);
	ck_assert_uint_eq(name.d_type, 8);
	ck_assert_uint_eq(name.cookie, f3_key_cookie(f3_meta_seed(u.m), "a", 1));
	ck_assert_int_eq(get_name(2, "a", &name), 0);
	ck_assert_uint_eq(name.ino, 301);
	ck_assert_int_eq(get_name(1, "\xff\x01 b", &name), 0);
	ck_assert_int_eq(f3_meta_get_name(u.m, 1, longest, F3_NAME_MAX, &name), 0);
	ck_assert_uint_eq(name.d_type, 4);
	ck_assert_int_eq(f3_meta_get_name(u.m, 1, longest, F3_NAME_MAX + 1, &name), -ENAMETOOLONG);
	ck_assert_int_eq(get_name(1, "", &name), -ENOENT);
	ck_assert_int_eq(get_name(3, "a", &name), -ENOENT);

	b = batch();
	f3_batch_put_name(b, 1, longest, F3_NAME_MAX + 1, 304, 8);
	ck_assert_int_eq(f3_batch_commit(b), -ENAMETOOLONG);
	f3_batch_put_name(b, 1, "", 0, 304, 8);
	ck_assert_int_eq(f3_batch_commit(b), -EINVAL);
	f3_batch_del_name(b, 1, "a", 1);
	ck_assert_int_eq(f3_batch_commit(b), 0);
	f3_batch_free(b);
	ck_assert_int_eq(get_name(1, "a", &name), -ENOENT);
	ck_assert_int_eq(get_name(2, "a", &name), 0);
}
END_TEST

START_TEST(batch_is_all_or_nothing)
{
	struct f3_batch *b = batch();
	struct f3_meta_name name;
	struct f3_inode_rec rec = inode(300, S_IFREG);

	/* The first error sticks, nothing of the batch is written, and it can be used again. */
	f3_batch_put_inode(b, &rec);
	f3_batch_put_xattr(b, 300, "user.a", 6, "v", F3_XATTR_VALUE_MAX + 1);
	f3_batch_put_name(b, 1, "", 0, 300, 8);
	f3_batch_put_name(b, 1, "a", 1, 300, 8);
	ck_assert_int_eq(f3_batch_commit(b), -E2BIG);
	ck_assert_int_eq(get_name(1, "a", &name), -ENOENT);
	ck_assert_int_eq(f3_meta_get_inode(u.m, 300, &rec), -ENOENT);
	f3_batch_put_name(b, 1, "b", 1, 300, 8);
	ck_assert_int_eq(f3_batch_commit(b), 0);
	ck_assert_int_eq(get_name(1, "b", &name), 0);

	/* So does an error of the disk. */
	f3_kv_fault_set(u.kv, F3_KV_FAULT_WRITE, 1, 1, -ENOSPC);
	f3_batch_put_name(b, 1, "c", 1, 300, 8);
	ck_assert_int_eq(f3_batch_commit(b), -ENOSPC);
	ck_assert_int_eq(f3_batch_commit(b), 0);
	ck_assert_int_eq(get_name(1, "c", &name), -ENOENT);

	/* What was not committed is dropped, also from a batch that is used again. */
	f3_batch_put_name(b, 1, "d", 1, 300, 8);
	f3_batch_free(b);
	b = batch();
	f3_batch_put_name(b, 1, "e", 1, 300, 8);
	commit(b);
	ck_assert_int_eq(get_name(1, "d", &name), -ENOENT);
	ck_assert_int_eq(get_name(1, "e", &name), 0);
	f3_batch_free(NULL);
}
END_TEST

START_TEST(one_batch_is_one_write)
{
	struct f3_inode_rec rec = inode(300, S_IFREG), dir = inode(1, S_IFDIR);
	uint64_t writes = f3_kv_fault_calls(u.kv, F3_KV_FAULT_WRITE);
	struct f3_batch *b = batch();

	f3_batch_put_name(b, 1, "a", 1, 300, 8);
	f3_batch_put_inode(b, &rec);
	f3_batch_put_inode(b, &dir);
	f3_batch_put_mark(b, F3_MARK_WRITER, 300);
	ck_assert_int_eq(f3_batch_commit(b), 0);
	ck_assert_uint_eq(f3_kv_fault_calls(u.kv, F3_KV_FAULT_WRITE), writes + 1);
	/* An empty one is none. */
	ck_assert_int_eq(f3_batch_commit(b), 0);
	ck_assert_uint_eq(f3_kv_fault_calls(u.kv, F3_KV_FAULT_WRITE), writes + 1);
	f3_batch_free(b);
}
END_TEST

static int count_xattr(void *arg, const char *name, size_t len, const uint8_t *value, size_t vlen)
{
	(void)name;
	(void)len;
	(void)value;
	(void)vlen;
	++*(unsigned *)arg;
	return 0;
}

static int count_extent(void *arg, uint64_t start, uint64_t len)
{
	(void)start;
	(void)len;
	++*(unsigned *)arg;
	return 0;
}

static int count_mark(void *arg, uint64_t ino)
{
	(void)ino;
	++*(unsigned *)arg;
	return 0;
}

static unsigned n_xattrs(uint64_t ino)
{
	unsigned n = 0;

	ck_assert_int_eq(f3_meta_each_xattr(u.m, ino, count_xattr, &n), 0);
	return n;
}

static unsigned n_extents(uint64_t ino)
{
	unsigned n = 0;

	ck_assert_int_eq(f3_meta_each_extent(u.m, ino, count_extent, &n), 0);
	return n;
}

static unsigned n_marks(enum f3_mark mark)
{
	unsigned n = 0;

	ck_assert_int_eq(f3_meta_each_mark(u.m, mark, count_mark, &n), 0);
	return n;
}

START_TEST(xattrs)
{
	static uint8_t large[F3_XATTR_VALUE_MAX];
	struct f3_batch *b = batch();
	struct f3_buf value;

	f3_buf_init(&value, F3_XATTR_VALUE_MAX);
	ck_assert_int_eq(f3_meta_get_xattr(u.m, 300, "user.a", 6, &value), -ENOENT);
	memset(large, 'x', sizeof(large));
	f3_batch_put_xattr(b, 300, "user.a", 6, "value", 5);
	f3_batch_put_xattr(b, 300, "user.empty", 10, "", 0);
	f3_batch_put_xattr(b, 300, "user.large", 10, large, sizeof(large));
	f3_batch_put_xattr(b, 301, "user.a", 6, "other", 5);
	ck_assert_int_eq(f3_batch_commit(b), 0);
	ck_assert_uint_eq(n_xattrs(300), 3);
	ck_assert_uint_eq(n_xattrs(301), 1);
	ck_assert_uint_eq(n_xattrs(299), 0);
	ck_assert_int_eq(f3_meta_get_xattr(u.m, 300, "user.a", 6, &value), 0);
	ck_assert_uint_eq(value.len, 5);
	ck_assert_mem_eq(value.data, "value", 5);
	f3_buf_reset(&value);
	ck_assert_int_eq(f3_meta_get_xattr(u.m, 300, "user.empty", 10, &value), 0);
	ck_assert_uint_eq(value.len, 0);
	ck_assert_int_eq(f3_meta_get_xattr(u.m, 300, "user.large", 10, &value), 0);
	ck_assert_uint_eq(value.len, sizeof(large));
	ck_assert_mem_eq(value.data, large, sizeof(large));
	ck_assert_int_eq(f3_meta_get_xattr(u.m, 300, "user", 4, &value), -ENOENT);
	f3_batch_del_xattr(b, 300, "user.a", 6);
	commit(b);
	ck_assert_uint_eq(n_xattrs(300), 2);
	ck_assert_uint_eq(n_xattrs(301), 1);
	f3_buf_done(&value);

	/* Also found after a start that has put none. */
	meta_unit_close(&u);
	meta_unit_open(&u);
	ck_assert_uint_eq(n_xattrs(300), 2);
}
END_TEST

START_TEST(an_inode_goes_with_all_it_has)
{
	/* Few entries are deleted one by one, many as a range. */
	static const unsigned counts[] = { 0, 1, 255, 256, 257, 1000 };

	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct f3_batch *b = batch();
		struct f3_inode_rec rec;

		for (uint64_t ino = 500; ino < 503; ino++) {
			rec = inode(ino, S_IFREG);
			f3_batch_put_inode(b, &rec);
			f3_batch_put_mark(b, F3_MARK_WRITER, ino);
			f3_batch_put_mark(b, F3_MARK_ORPHAN, ino);
			f3_batch_put_mark(b, F3_MARK_DIRTY, ino);
			for (unsigned n = 0; n < counts[i]; n++) {
				char name[16];
				int len = snprintf(name, sizeof(name), "user.%u", n);

				f3_batch_put_xattr(b, ino, name, (size_t)len, "v", 1);
				f3_batch_put_extent(b, ino, n * 8192ull, 4096);
			}
		}
		ck_assert_int_eq(f3_batch_commit(b), 0);
		f3_batch_del_inode(b, 501);
		commit(b);
		ck_assert_int_eq(f3_meta_get_inode(u.m, 501, &rec), -ENOENT);
		ck_assert_uint_eq(n_xattrs(501), 0);
		ck_assert_uint_eq(n_extents(501), 0);
		for (uint64_t ino = 500; ino < 503; ino += 2) {
			ck_assert_int_eq(f3_meta_get_inode(u.m, ino, &rec), 0);
			ck_assert_uint_eq(n_xattrs(ino), counts[i]);
			ck_assert_uint_eq(n_extents(ino), counts[i]);
		}
		ck_assert_uint_eq(n_marks(F3_MARK_WRITER), 2);
		ck_assert_uint_eq(n_marks(F3_MARK_ORPHAN), 2);
		ck_assert_uint_eq(n_marks(F3_MARK_DIRTY), 2);
		b = batch();
		f3_batch_del_inode(b, 500);
		f3_batch_del_inode(b, 502);
		commit(b);
		ck_assert_uint_eq(n_marks(F3_MARK_WRITER), 0);
		ck_assert_uint_eq(n_extents(500), 0);
	}
}
END_TEST

START_TEST(extents_are_replaced)
{
	struct f3_batch *b = batch();

	f3_batch_put_extent(b, 300, 0, 10);
	f3_batch_put_extent(b, 300, 100, 10);
	f3_batch_put_extent(b, 301, 0, 1);
	ck_assert_int_eq(f3_batch_commit(b), 0);
	f3_batch_del_extents(b, 300);
	f3_batch_put_extent(b, 300, 0, 110);
	commit(b);
	ck_assert_uint_eq(n_extents(300), 1);
	ck_assert_uint_eq(n_extents(301), 1);
}
END_TEST

static int stop_at_third(void *arg, const struct f3_inode_rec *rec)
{
	unsigned *n = arg;

	ck_assert_uint_eq(rec->ino, 402 + *n * 2);
	return ++*n == 3 ? 99 : 0;
}

START_TEST(inodes_in_order_from_a_number)
{
	struct f3_batch *b = batch();
	unsigned n = 0;

	for (uint64_t ino = 400; ino < 500; ino += 2) {
		struct f3_inode_rec rec = inode(ino, S_IFLNK);

		rec.target = (char *)"target";
		rec.target_len = 6;
		f3_batch_put_inode(b, &rec);
	}
	commit(b);
	ck_assert_int_eq(f3_meta_each_inode(u.m, 401, stop_at_third, &n), 99);
	ck_assert_uint_eq(n, 3);
}
END_TEST

static int copy_volume(void *arg, const struct f3_volume_rec *v)
{
	memcpy(arg, v, sizeof(*v));
	return 1;
}

START_TEST(volumes)
{
	static struct f3_volume_rec v = { .id = 7,
					  .name = "photos",
					  .url = "file:///x",
					  .root_ino = 300,
					  .used_bytes = 5,
					  .used_inodes = 6,
					  .by_command = true,
					  .settings = "quota=1G\n",
					  .store_id = "00112233445566778899aabbccddeeff" };
	static struct f3_volume_rec back;
	struct f3_batch *b = batch();

	f3_batch_put_volume(b, &v);
	f3_batch_put_mark(b, F3_MARK_WRITER, 7);
	ck_assert_int_eq(f3_batch_commit(b), 0);
	ck_assert_int_eq(f3_meta_each_volume(u.m, copy_volume, &back), 1);
	ck_assert_uint_eq(back.id, 7);
	ck_assert_str_eq(back.name, "photos");
	ck_assert_str_eq(back.url, "file:///x");
	ck_assert_uint_eq(back.root_ino, 300);
	ck_assert_uint_eq(back.used_bytes, 5);
	ck_assert_uint_eq(back.used_inodes, 6);
	ck_assert(back.by_command);
	ck_assert_str_eq(back.settings, "quota=1G\n");
	ck_assert_str_eq(back.store_id, v.store_id);
	f3_batch_del_volume(b, 7);
	commit(b);
	ck_assert_int_eq(f3_meta_each_volume(u.m, copy_volume, &back), 0);
}
END_TEST

/* Whatever read fails, the caller gets its errno, and nothing is left open. */
START_TEST(read_errors_come_through)
{
	struct f3_meta_name name;
	struct f3_inode_rec rec;
	struct f3_meta_dir *d;
	struct f3_buf value;
	const char *text;
	unsigned n = 0;
	size_t len;

	put_name(1, "a", 300);
	f3_buf_init(&value, 100);
	f3_kv_fault_set(u.kv, F3_KV_FAULT_GET, 1, 2, -EIO);
	ck_assert_int_eq(get_name(1, "a", &name), -EIO);
	ck_assert_int_eq(f3_meta_get_inode(u.m, 300, &rec), -EIO);
	f3_kv_fault_set(u.kv, F3_KV_FAULT_ITER, 1, 3, -ENOMEM);
	ck_assert_int_eq(f3_meta_dir_open(u.m, 1, 0, &d), -ENOMEM);
	ck_assert_int_eq(f3_meta_dir_has_names(u.m, 1), -ENOMEM);
	ck_assert_int_eq(f3_meta_each_mark(u.m, F3_MARK_DIRTY, count_mark, &n), -ENOMEM);
	f3_kv_fault_set(u.kv, F3_KV_FAULT_NEXT, 1, 2, -EIO);
	ck_assert_int_eq(f3_meta_dir_has_names(u.m, 1), -EIO);
	ck_assert_int_eq(f3_meta_dir_open(u.m, 1, 0, &d), 0);
	ck_assert_int_eq(f3_meta_dir_next(d, &name, &text, &len), -EIO);
	f3_meta_dir_close(d);
	ck_assert_int_eq(f3_meta_dir_has_names(u.m, 1), 1);

	/* Deleting an inode looks for what it has. */
	{
		struct f3_batch *b = batch();

		f3_batch_put_xattr(b, 300, "user.a", 6, "v", 1);
		ck_assert_int_eq(f3_batch_commit(b), 0);
		f3_kv_fault_set(u.kv, F3_KV_FAULT_NEXT, 1, 1, -EIO);
		f3_batch_del_inode(b, 300);
		ck_assert_int_eq(f3_batch_commit(b), -EIO);
		f3_kv_fault_set(u.kv, F3_KV_FAULT_GET, 2, 1, -EIO);
		f3_batch_del_inode(b, 300);
		ck_assert_int_eq(f3_batch_commit(b), -EIO);
		f3_batch_free(b);
	}
	ck_assert_uint_eq(n_xattrs(300), 1);
	f3_buf_done(&value);
}
END_TEST

START_TEST(faults_from_a_text)
{
	static const char *const bad[] = { "write",          "write:1:1",     "write:0:1:EIO",
					   "write:1:1:NONE", "wrote:1:1:EIO", "write:1:1:EIO;",
					   "write:1:1:EIO x" };
	struct f3_batch *b = batch();

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(f3_kv_fault_parse(u.kv, bad[i]), -EINVAL);
	ck_assert_int_eq(f3_kv_fault_parse(u.kv, ""), 0);
	ck_assert_int_eq(f3_kv_fault_parse(u.kv, "write:2:1:ENOSPC,sync:1:2:EIO"), 0);
	for (int i = 0; i < 3; i++) {
		f3_batch_put_mark(b, F3_MARK_DIRTY, 300);
		ck_assert_int_eq(f3_batch_commit(b), i == 1 ? -ENOSPC : 0);
	}
	f3_batch_free(b);
	ck_assert_int_eq(f3_meta_sync(u.m), -EIO);
	ck_assert_int_eq(f3_meta_sync(u.m), -EIO);
	ck_assert_int_eq(f3_meta_sync(u.m), 0);
}
END_TEST

START_TEST(damaged_records_are_eio)
{
	struct f3_meta_name name;
	struct f3_inode_rec rec;
	struct f3_meta_dir *d;
	struct f3_batch *b = batch();
	struct f3_buf key;
	const char *text;
	size_t len;

	f3_buf_init(&key, 1000);
	f3_key_u64(&key, 300);
	f3_batch_put_raw(b, F3_CF_INODES, key.data, key.len, "\1junk", 5);
	f3_buf_reset(&key);
	f3_key_name(&key, 1, f3_key_cookie(f3_meta_seed(u.m), "a", 1), "a", 1);
	f3_batch_put_raw(b, F3_CF_NAMES, key.data, key.len, "\2", 1);
	commit(b);
	ck_assert_int_eq(f3_meta_get_inode(u.m, 300, &rec), -EIO);
	ck_assert_int_eq(get_name(1, "a", &name), -EIO);
	ck_assert_int_eq(f3_meta_dir_open(u.m, 1, 0, &d), 0);
	ck_assert_int_eq(f3_meta_dir_next(d, &name, &text, &len), -EIO);
	f3_meta_dir_close(d);
	f3_buf_done(&key);
}
END_TEST

/* ---- Directories ---------------------------------------------------------------------------- */

#define DIR_NAMES 2000

static unsigned number_of(const char *text, size_t len)
{
	char name[32];

	ck_assert_uint_lt(len, sizeof(name));
	memcpy(name, text, len);
	name[len] = '\0';
	return (unsigned)strtoul(name + 1, NULL, 10);
}

START_TEST(readdir_resumes_anywhere)
{
	static unsigned seen[DIR_NAMES];
	uint64_t after = 0, last = 0;
	struct f3_meta_name name;
	struct f3_meta_dir *d;
	const char *text;
	unsigned n = 0, step = 1;
	size_t len;
	int r = 1;

	for (unsigned i = 0; i < DIR_NAMES; i++) {
		char s[32];

		snprintf(s, sizeof(s), "n%u", i);
		put_name(50, s, 1000 + i);
	}
	put_name(49, "before", 1);
	put_name(51, "after", 1);
	while (r == 1) {
		ck_assert_int_eq(f3_meta_dir_open(u.m, 50, after, &d), 0);
		for (unsigned i = 0; i < step && (r = f3_meta_dir_next(d, &name, &text, &len)) == 1;
		     i++) {
			unsigned number = number_of(text, len);

			ck_assert_uint_gt(name.cookie, last);
			ck_assert_uint_eq(name.ino, 1000 + number);
			seen[number]++;
			last = after = name.cookie;
			n++;
		}
		f3_meta_dir_close(d);
		step = step * 2 % 97 + 1;
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(n, DIR_NAMES);
	for (unsigned i = 0; i < DIR_NAMES; i++)
		ck_assert_uint_eq(seen[i], 1);
	ck_assert_int_eq(f3_meta_dir_open(u.m, 50, UINT64_MAX, &d), 0);
	ck_assert_int_eq(f3_meta_dir_next(d, &name, &text, &len), 0);
	ck_assert_int_eq(f3_meta_dir_next(d, &name, &text, &len), 0);
	f3_meta_dir_close(d);
	f3_meta_dir_close(NULL);
	ck_assert_int_eq(f3_meta_dir_has_names(u.m, 50), 1);
	ck_assert_int_eq(f3_meta_dir_has_names(u.m, 52), 0);
	ck_assert_int_eq(f3_meta_dir_has_names(u.m, UINT64_MAX), 0);
}
END_TEST

START_TEST(readdir_while_names_change)
{
	uint64_t after = 0;
	struct f3_meta_name name;
	struct f3_meta_dir *d, *old;
	unsigned stayed = 0, n = 0, round = 0;
	const char *text;
	size_t len;
	int r = 1;

	for (unsigned i = 0; i < 200; i++) {
		char s[32];

		snprintf(s, sizeof(s), "s%u", i);
		put_name(50, s, 301);
	}
	/* What is open sees the directory as it was, whatever comes and goes. */
	ck_assert_int_eq(f3_meta_dir_open(u.m, 50, 0, &old), 0);
	while (r == 1) {
		char s[32];
		struct f3_batch *b = batch();

		snprintf(s, sizeof(s), "t%u", round);
		f3_batch_put_name(b, 50, s, strlen(s), 2, 8);
		if (round > 0) {
			snprintf(s, sizeof(s), "t%u", round - 1);
			f3_batch_del_name(b, 50, s, strlen(s));
		}
		commit(b);
		round++;
		ck_assert_int_eq(f3_meta_dir_open(u.m, 50, after, &d), 0);
		r = f3_meta_dir_next(d, &name, &text, &len);
		if (r == 1) {
			after = name.cookie;
			stayed += text[0] == 's';
		}
		f3_meta_dir_close(d);
	}
	ck_assert_int_eq(r, 0);
	/* Those that were there throughout came exactly once. */
	ck_assert_uint_eq(stayed, 200);
	while ((r = f3_meta_dir_next(old, &name, &text, &len)) == 1) {
		ck_assert_int_eq(text[0], 's');
		n++;
	}
	f3_meta_dir_close(old);
	ck_assert_uint_eq(n, 200);
}
END_TEST

START_TEST(a_name_of_the_root_is_damage)
{
	struct f3_meta_name name;
	struct f3_meta_dir *d;
	const char *text;
	size_t len;

	put_name(50, "up", F3_INO_ROOT);
	ck_assert_int_eq(get_name(50, "up", &name), -EIO);
	ck_assert_int_eq(f3_meta_dir_open(u.m, 50, 0, &d), 0);
	ck_assert_int_eq(f3_meta_dir_next(d, &name, &text, &len), -EIO);
	f3_meta_dir_close(d);
}
END_TEST

START_TEST(a_name_that_is_none_is_damage)
{
	static const char *const names[] = { "a/b", "a\0b" };
	struct f3_meta_name name;
	struct f3_meta_dir *d;
	const char *text;
	size_t len;

	for (unsigned i = 0; i < 2; i++) {
		struct f3_batch *b = batch();

		f3_batch_put_name(b, 51 + i, names[i], 3, 301, 8);
		commit(b);
		ck_assert_int_eq(f3_meta_dir_open(u.m, 51 + i, 0, &d), 0);
		ck_assert_int_eq(f3_meta_dir_next(d, &name, &text, &len), -EIO);
		f3_meta_dir_close(d);
	}
}
END_TEST

START_TEST(colliding_names_are_two_names)
{
	uint64_t cookie = f3_key_cookie(f3_meta_seed(u.m), "one", 3);
	struct f3_batch *b = batch();
	struct f3_meta_name name;
	struct f3_meta_dir *d;
	struct f3_buf key;
	const char *text;
	size_t len;

	/* Nobody can find two names that collide, so one is put where it would be. */
	f3_buf_init(&key, 1000);
	f3_key_name(&key, 50, cookie, "onf", 3);
	f3_batch_put_raw(b, F3_CF_NAMES, key.data, key.len, "\1\0\0\0\0\0\0\0\7\10", 10);
	f3_batch_put_name(b, 50, "one", 3, 6, 8);
	commit(b);
	ck_assert_int_eq(get_name(50, "one", &name), 0);
	ck_assert_uint_eq(name.ino, 6);
	ck_assert_int_eq(f3_meta_dir_open(u.m, 50, cookie - 1, &d), 0);
	ck_assert_int_eq(f3_meta_dir_next(d, &name, &text, &len), 1);
	ck_assert_uint_eq(name.ino, 6);
	ck_assert_uint_eq(name.cookie, cookie);
	ck_assert_int_eq(f3_meta_dir_next(d, &name, &text, &len), 1);
	ck_assert_uint_eq(name.ino, 7);
	ck_assert_uint_eq(name.cookie, cookie);
	ck_assert_int_eq(f3_meta_dir_next(d, &name, &text, &len), 0);
	f3_meta_dir_close(d);
	ck_assert_int_eq(f3_meta_dir_open(u.m, 50, cookie, &d), 0);
	ck_assert_int_eq(f3_meta_dir_next(d, &name, &text, &len), 0);
	f3_meta_dir_close(d);
	b = batch();
	f3_batch_del_name(b, 50, "one", 3);
	commit(b);
	ck_assert_int_eq(f3_meta_dir_has_names(u.m, 50), 1);
	f3_buf_done(&key);
}
END_TEST

static void add_case(Suite *s, TCase *tc)
{
	tcase_set_timeout(tc, 300);
	tcase_add_checked_fixture(tc, setup, teardown);
	suite_add_tcase(s, tc);
}

static Suite *suite(void)
{
	Suite *s = suite_create("meta");
	TCase *records = tcase_create("records");
	TCase *directories = tcase_create("directories");

	tcase_add_test(records, inode_is_found_again);
	tcase_add_test(records, names_and_their_limits);
	tcase_add_test(records, batch_is_all_or_nothing);
	tcase_add_test(records, one_batch_is_one_write);
	tcase_add_test(records, xattrs);
	tcase_add_test(records, an_inode_goes_with_all_it_has);
	tcase_add_test(records, extents_are_replaced);
	tcase_add_test(records, inodes_in_order_from_a_number);
	tcase_add_test(records, volumes);
	tcase_add_test(records, read_errors_come_through);
	tcase_add_test(records, faults_from_a_text);
	tcase_add_test(records, damaged_records_are_eio);
	tcase_add_test(directories, readdir_resumes_anywhere);
	tcase_add_test(directories, readdir_while_names_change);
	tcase_add_test(directories, a_name_of_the_root_is_damage);
	tcase_add_test(directories, a_name_that_is_none_is_damage);
	tcase_add_test(directories, colliding_names_are_two_names);
	add_case(s, records);
	add_case(s, directories);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
