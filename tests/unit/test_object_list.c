/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <sys/xattr.h>

#include "fs/base/buf.h"
#include "fs/object/object.h"
#include "tests/unit/object_unit.h"

#define KIND_TEST(name)             \
	START_TEST(name)            \
	{                           \
		if (!unit_open(_i)) \
			return;

#define KIND_END      \
	unit_close(); \
	}             \
	END_TEST

/* A page into op; the caller ends with f3_object_op_done. */
static int list(struct f3_obj_op *op, const char *key, const char *after)
{
	f3_object_op_init(op, F3_OBJ_LIST);
	op->key = key;
	op->after = after;
	return f3_object_run(unit_s, op);
}

static void touch(const char *dir, const char *name)
{
	char key[600];
	int fd;

	snprintf(key, sizeof(key), "%s/%s", dir, name);
	fd = open(unit_path(key), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

KIND_TEST(one_level_sorted_by_bytes)
{
	static const char *const names[] = { " ",   "!",         "-",        "A",    "\\",
					     "a",   "a b",       "a-b",      "a.b",  "b\n",
					     "dir", "z\x7f\x01", "\xc3\xa4", "\xff", NULL };
	struct f3_obj_op op;
	size_t n;

	ck_assert_int_eq(unit_put(.key = "d/dir/below", .text = "x"), 0);
	for (n = 0; names[n]; n++) {
		if (strcmp(names[n], "dir") != 0)
			touch("d", names[n]);
	}
	ck_assert_int_eq(list(&op, "d", NULL), 0);
	ck_assert_uint_eq(op.n_entries, n);
	ck_assert(!op.ret_next);
	for (size_t i = 0; i < n; i++) {
		ck_assert_str_eq(op.entries[i].name, names[i]);
		ck_assert(op.entries[i].info.is_dir == !strcmp(names[i], "dir"));
	}
	f3_object_op_done(&op);

	/* what comes after; it need not be there */
	ck_assert_int_eq(list(&op, "d", "a-"), 0);
	ck_assert_str_eq(op.entries[0].name, "a-b");
	f3_object_op_done(&op);
	ck_assert_int_eq(list(&op, "d", "a-b"), 0);
	ck_assert_str_eq(op.entries[0].name, "a.b");
	f3_object_op_done(&op);
	ck_assert_int_eq(list(&op, "d", "\xff"), 0);
	ck_assert_uint_eq(op.n_entries, 0);
	ck_assert(!op.ret_next);
	f3_object_op_done(&op);

	/* the private directory of F3 is hidden, others of its name are not */
	touch("d", ".f3");
	touch("", ".f3x");
	ck_assert_int_eq(list(&op, "", NULL), 0);
	ck_assert_uint_eq(op.n_entries, 2);
	ck_assert_str_eq(op.entries[0].name, ".f3x");
	ck_assert_str_eq(op.entries[1].name, "d");
	f3_object_op_done(&op);
	ck_assert_int_eq(list(&op, "d", NULL), 0);
	ck_assert_uint_eq(op.n_entries, n + 1);
	f3_object_op_done(&op);

	ck_assert_int_eq(unit_mkdir(.key = "empty"), 0);
	ck_assert_int_eq(list(&op, "empty", NULL), 0);
	ck_assert_uint_eq(op.n_entries, 0);
	f3_object_op_done(&op);
}
KIND_END

KIND_TEST(entries_have_what_head_has)
{
	struct f3_obj_attr attr = { .mode = 0640,
				    .uid = 5,
				    .gid = 6,
				    .mtime_ns = -7,
				    .have_mode = true,
				    .have_owner = true,
				    .have_mtime = true };
	struct f3_obj_attr link = { .mode = S_IFLNK | 0777, .have_mode = true };
	struct f3_obj_info info;
	struct f3_obj_op op;
	struct f3_buf buf;

	f3_buf_init(&buf, 4096);
	f3_buf_put_str16(&buf, "user.a", 6);
	f3_buf_put_u32(&buf, 3);
	f3_buf_put(&buf, "abc", 3);
	attr.xattrs = buf.data;
	attr.xattrs_len = buf.len;
	ck_assert_int_eq(unit_put(.key = "d/a", .text = "12345", .attr = &attr), 0);
	ck_assert_int_eq(unit_put(.key = "d/b", .text = "b"), 0);
	ck_assert_int_eq(unit_put(.key = "d/l", .text = "a", .attr = &link), 0);
	ck_assert_int_eq(unit_mkdir(.key = "d/s", .attr = &attr), 0);
	ck_assert_int_eq(list(&op, "d", NULL), 0);
	ck_assert_uint_eq(op.n_entries, 4);
	for (size_t i = 0; i < 4; i++) {
		const struct f3_obj_info *e = &op.entries[i].info;
		char key[16];

		snprintf(key, sizeof(key), "d/%s", op.entries[i].name);
		ck_assert_int_eq(unit_head(key, &info), 0);
		ck_assert_str_eq(e->etag, info.etag);
		ck_assert_uint_eq(e->size, info.size);
		ck_assert(e->have_attr && e->have_gen && f3_obj_gen_equal(&e->gen, &info.gen));
		ck_assert_uint_eq(e->attr.mode, info.attr.mode);
		ck_assert_uint_eq(e->attr.uid, info.attr.uid);
		ck_assert_int_eq(e->attr.mtime_ns, info.attr.mtime_ns);
		ck_assert_uint_eq(e->attr.xattrs_len, info.attr.xattrs_len);
		if (e->attr.xattrs_len) {
			ck_assert_uint_eq(e->attr.xattrs_len, buf.len);
			ck_assert_int_eq(memcmp(e->attr.xattrs, buf.data, buf.len), 0);
		}
	}
	f3_object_op_done(&op);
	f3_buf_done(&buf);
}
KIND_END

/* Xattrs of a page are bounded: entries past the bound say that they are not complete. */
START_TEST(more_xattrs_than_a_page_takes)
{
	char name[32], value[3000];
	unsigned without = 0;
	struct f3_obj_op op;

	ck_assert(unit_open(UNIT_DISK));
	memset(value, 'v', sizeof(value));
	ck_assert_int_eq(unit_mkdir(.key = "d"), 0);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "d/%03d", i);
		touch("", name);
		ck_assert_int_eq(setxattr(unit_path(name), "user.v", value, sizeof(value), 0), 0);
	}
	ck_assert_int_eq(list(&op, "d", NULL), 0);
	ck_assert_uint_eq(op.n_entries, 500);
	for (size_t i = 0; i < 500; i++) {
		const struct f3_obj_info *e = &op.entries[i].info;

		without += !e->have_attr;
		ck_assert_uint_eq(e->attr.xattrs_len, e->have_attr ? 3000 + 2 + 6 + 4 : 0);
	}
	ck_assert_uint_gt(without, 100);
	ck_assert_uint_lt(without, 200);
	f3_object_op_done(&op);
	unit_close();
}
END_TEST

/*
 * Pages while names come and go: whatever was there all the time comes once, in order, and
 * nothing comes twice.
 */
static void page_through(unsigned total, bool change)
{
	char name[64], last[64] = "";
	unsigned char *seen = calloc(total, 1);
	unsigned kept = 0, pages = 0, new = 0;
	struct f3_obj_op op;

	do {
		ck_assert_int_eq(list(&op, "d", *last ? last : NULL), 0);
		ck_assert_uint_le(op.n_entries, F3_OBJ_LIST_MAX);
		ck_assert(op.n_entries || !op.ret_next);
		for (size_t i = 0; i < op.n_entries; i++) {
			const char *n = op.entries[i].name;
			unsigned k;

			ck_assert_int_gt(strcmp(n, last), 0);
			snprintf(last, sizeof(last), "%s", n);
			new += !strncmp(n, "z-new-", 6);
			if (strlen(n) == 10 && sscanf(n, "kept-%u", &k) == 1) {
				ck_assert_uint_lt(k, total);
				seen[k]++;
			}
		}
		pages++;
		if (change) {
			/* before and after the place where the listing is */
			snprintf(name, sizeof(name), "d/gone-%u", pages);
			unlink(unit_path(name));
			snprintf(name, sizeof(name), "a-new-%u", pages);
			touch("d", name);
			snprintf(name, sizeof(name), "z-new-%u", pages);
			touch("d", name);
			snprintf(name, sizeof(name), "%.50s-", last);
			touch("d", name);
		}
		kept = op.ret_next != NULL;
		f3_object_op_done(&op);
	} while (kept);
	for (unsigned k = 0; k < total; k++)
		ck_assert_uint_eq(seen[k], 1);
	ck_assert_uint_ge(pages, total / F3_OBJ_LIST_MAX);
	/* also what was made between the pages, behind them: all but that of the last one */
	ck_assert_uint_eq(new, change ? pages - 1 : 0);
	free(seen);
}

KIND_TEST(pages_of_3000_entries)
{
	char name[64];

	ck_assert_int_eq(unit_mkdir(.key = "d"), 0);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "kept-%05u", i);
		touch("d", name);
		if (i % 300 == 0) {
			snprintf(name, sizeof(name), "gone-%u", i / 300);
			touch("d", name);
		}
	}
	page_through(3000, false);
	page_through(3000, true);
}
KIND_END

/* More than is kept between pages. */
START_TEST(pages_of_20000_entries)
{
	char name[64];

	ck_assert(unit_open(UNIT_TMPFS));
	ck_assert_int_eq(unit_mkdir(.key = "d"), 0);
	for (unsigned i = 0; i < 20000; i++) {
		/* not in the order of names */
		snprintf(name, sizeof(name), "kept-%05u", i * 7919 % 20000);
		touch("d", name);
	}
	page_through(20000, false);
	page_through(20000, true);
	unit_close();
}
END_TEST

/* All names of the directory's remembered part go away between two pages. */
START_TEST(what_was_remembered_is_gone)
{
	char name[64], last[64];
	struct f3_obj_op op;

	ck_assert(unit_open(UNIT_TMPFS));
	ck_assert_int_eq(unit_mkdir(.key = "d"), 0);
	for (unsigned i = 0; i < 9000; i++) {
		snprintf(name, sizeof(name), "%05u", i);
		touch("d", name);
	}
	ck_assert_int_eq(list(&op, "d", NULL), 0);
	snprintf(last, sizeof(last), "%s", op.entries[op.n_entries - 1].name);
	ck_assert_str_eq(last, "00999");
	f3_object_op_done(&op);
	for (unsigned i = 0; i < 8999; i++) {
		snprintf(name, sizeof(name), "d/%05u", i);
		ck_assert_int_eq(unlink(unit_path(name)), 0);
	}
	ck_assert_int_eq(list(&op, "d", last), 0);
	ck_assert_uint_eq(op.n_entries, 1);
	ck_assert_str_eq(op.entries[0].name, "08999");
	ck_assert(!op.ret_next);
	f3_object_op_done(&op);
	/* a new listing sees what is new though the old one was remembered */
	touch("d", "00000");
	ck_assert_int_eq(list(&op, "d", NULL), 0);
	ck_assert_uint_eq(op.n_entries, 2);
	f3_object_op_done(&op);
	unit_close();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("object list");
	TCase *tc = tcase_create("list");

	tcase_add_loop_test(tc, one_level_sorted_by_bytes, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, entries_have_what_head_has, 0, UNIT_RAMFS);
	tcase_add_test(tc, more_xattrs_than_a_page_takes);
	tcase_add_loop_test(tc, pages_of_3000_entries, 0, UNIT_KINDS);
	tcase_add_test(tc, pages_of_20000_entries);
	tcase_add_test(tc, what_was_remembered_is_gone);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
