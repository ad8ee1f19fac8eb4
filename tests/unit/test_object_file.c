/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <sys/types.h>

#include "fs/base/crc32c.h"
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

KIND_TEST(capabilities_are_found)
{
	const struct f3_obj_caps *c = &unit_s->caps;

	ck_assert(c->put_match && c->put_absent && c->complete_match && c->complete_absent);
	ck_assert(c->copy_source_match && c->copy_target_absent && c->delete_match);
	ck_assert(c->set_attr_match);
	ck_assert(c->range_part_copy && c->list_has_attr && c->rename);
	ck_assert(c->xattrs == (_i != UNIT_RAMFS));
	ck_assert(!unit_s->read_only);
	ck_assert_uint_eq(c->max_parts, 10000);
	/* and the probe has cleaned up */
	ck_assert_uint_eq(unit_count(".f3/probe"), 0);
	ck_assert_uint_eq(unit_count(".f3/upload"), 0);
	ck_assert_uint_eq(unit_count(".f3/gen"), 0);
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
	ck_assert_uint_eq(unit_count(""), 1);
}
KIND_END

KIND_TEST(objects_are_plain_files)
{
	struct f3_obj_info info, put;
	struct stat st;

	umask(077);
	ck_assert_int_eq(unit_put_info(&put, .key = "a/b/c.txt", .text = "hello"), 0);
	ck_assert_str_eq(unit_foreign_read("a/b/c.txt"), "hello");
	ck_assert_int_eq(stat(unit_path("a/b/c.txt"), &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0644);
	/* directories on the way are made, for everybody to enter */
	ck_assert_int_eq(stat(unit_path("a/b"), &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0755);
	ck_assert_int_eq(stat(unit_path(".f3"), &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);

	ck_assert_str_eq(unit_text("a/b/c.txt"), "hello");
	ck_assert_int_eq(unit_head("a/b/c.txt", &info), 0);
	ck_assert_uint_eq(info.size, 5);
	ck_assert_str_eq(info.etag, put.etag);
	ck_assert(!info.is_dir && info.have_attr && info.have_gen);
	ck_assert(f3_obj_gen_equal(&info.gen, &put.gen));
	ck_assert_uint_eq(info.attr.mode, S_IFREG | 0644);

	/* and plain files are objects */
	unit_foreign_write("a/foreign", "theirs");
	ck_assert_str_eq(unit_text("a/foreign"), "theirs");
	ck_assert_int_eq(unit_head("a/foreign", &info), 0);
	ck_assert(!info.have_gen);

	ck_assert_int_eq(unit_delete("a/b/c.txt"), 0);
	ck_assert_ptr_null(unit_foreign_read("a/b/c.txt"));
	ck_assert_int_eq(unit_head("a/b/c.txt", &info), -ENOENT);
	ck_assert_int_eq(unit_head("a/b", &info), 0);
	ck_assert(info.is_dir);
	ck_assert_int_eq(unit_head("", &info), 0);
	ck_assert(info.is_dir);
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
}
KIND_END

KIND_TEST(ranges)
{
	static const struct {
		uint64_t off, len;
		const char *want;
	} cases[] = {
		{ 0, 10, "0123456789" },
		{ 0, 100, "0123456789" },
		{ 3, 4, "3456" },
		{ 9, 1, "9" },
		{ 9, 5, "9" },
		{ 10, 5, "" },
		{ 1000, 5, "" },
		{ 4, 0, "" },
		{ INT64_MAX - 5, 5, "" },
	};
	char buf[128];

	ck_assert_int_eq(unit_put(.key = "f", .text = "0123456789"), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(
			unit_get_from(unit_s, "f", NULL, cases[i].off, buf, cases[i].len + 1), 0);
		ck_assert_str_eq(buf, cases[i].want);
	}
}
KIND_END

/* ---- Bodies ---- */

static int put_body(const char *key, const void *body, int fd, uint64_t fd_off, uint64_t len,
		    uint32_t *ret_crc)
{
	struct f3_obj_gen gen = unit_gen();
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_PUT);
	op.key = key;
	op.gen = &gen;
	op.body = body;
	op.fd = fd;
	op.fd_off = fd_off;
	op.len = len;
	r = f3_object_run(unit_s, &op);
	*ret_crc = op.crc32c;
	f3_object_op_done(&op);
	return r;
}

KIND_TEST(bodies_from_memory_and_file)
{
	static const size_t sizes[] = { 0, 1, 4095, 1 << 20, (1 << 20) + 1, (3 << 20) + 5 };
	size_t max = 4 << 20;
	char *data = malloc(max), *back = malloc(max);
	FILE *src = tmpfile();
	uint32_t crc;

	for (size_t i = 0; i < max; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	ck_assert_uint_eq(fwrite(data, 1, max, src), max);
	fflush(src);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = sizes[i];

		ck_assert_int_eq(put_body("m", data, -1, 0, n, &crc), 0);
		ck_assert_uint_eq(crc, f3_crc32c(0, data, n));
		ck_assert_int_eq(unit_get_from(unit_s, "m", NULL, 0, back, max), 0);
		ck_assert_int_eq(memcmp(back, data, n), 0);
		ck_assert_int_eq(put_body("f", NULL, fileno(src), 77, n, &crc), 0);
		ck_assert_uint_eq(crc, f3_crc32c(0, data + 77, n));
		ck_assert_int_eq(unit_get_from(unit_s, "f", NULL, 0, back, max), 0);
		ck_assert_int_eq(memcmp(back, data + 77, n), 0);
	}
	/* a source that ends early publishes nothing, and leaves what was there */
	ck_assert_int_eq(put_body("short", NULL, fileno(src), 0, max + 1, &crc), -ENODATA);
	ck_assert_str_eq(unit_text("short"), "-ENOENT");
	ck_assert_int_eq(unit_put(.key = "short", .text = "old"), 0);
	ck_assert_int_eq(put_body("short", NULL, fileno(src), max, 1, &crc), -ENODATA);
	ck_assert_str_eq(unit_text("short"), "old");
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
	fclose(src);
	free(data);
	free(back);
}
KIND_END

/* ---- Conditions ---- */

KIND_TEST(put_conditions)
{
	struct f3_obj_info one, two;

	ck_assert_int_eq(unit_put(.key = "d/k", .text = "x", .cond = F3_OBJ_MATCH, .etag = "e"),
			 -ESTALE);
	ck_assert_int_eq(unit_put_info(&one, .key = "d/k", .text = "one", .cond = F3_OBJ_ABSENT),
			 0);
	ck_assert_int_eq(unit_put(.key = "d/k", .text = "x", .cond = F3_OBJ_ABSENT), -EEXIST);
	ck_assert_int_eq(unit_put(.key = "d/k", .text = "x", .cond = F3_OBJ_MATCH, .etag = "e"),
			 -ESTALE);
	ck_assert_int_eq(unit_put_info(&two, .key = "d/k", .text = "two", .cond = F3_OBJ_MATCH,
				       .etag = one.etag),
			 0);
	ck_assert_str_ne(one.etag, two.etag);
	ck_assert_int_eq(
		unit_put(.key = "d/k", .text = "x", .cond = F3_OBJ_MATCH, .etag = one.etag),
		-ESTALE);
	ck_assert_str_eq(unit_text("d/k"), "two");
	ck_assert_int_eq(unit_simple(F3_OBJ_DELETE, "d/k", F3_OBJ_MATCH, one.etag), -ESTALE);
	ck_assert_str_eq(unit_text("d/k"), "two");
	ck_assert_int_eq(unit_simple(F3_OBJ_DELETE, "d/k", F3_OBJ_MATCH, two.etag), 0);
	ck_assert_str_eq(unit_text("d/k"), "-ENOENT");
	ck_assert_int_eq(unit_simple(F3_OBJ_DELETE, "d/k", F3_OBJ_MATCH, two.etag), -ESTALE);
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
	ck_assert_uint_eq(unit_count(".f3/gen"), 0);
}
KIND_END

KIND_TEST(get_if_match)
{
	struct f3_obj_info info;
	char buf[16];

	ck_assert_int_eq(unit_put_info(&info, .key = "k", .text = "one"), 0);
	ck_assert_int_eq(unit_get_from(unit_s, "k", info.etag, 0, buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "one");
	ck_assert_int_eq(unit_get_from(unit_s, "k", "other", 0, buf, sizeof(buf)), -ESTALE);
	ck_assert_int_eq(unit_put(.key = "k", .text = "two"), 0);
	ck_assert_int_eq(unit_get_from(unit_s, "k", info.etag, 0, buf, sizeof(buf)), -ESTALE);
	ck_assert_int_eq(unit_delete("k"), 0);
	ck_assert_int_eq(unit_get_from(unit_s, "k", info.etag, 0, buf, sizeof(buf)), -ENOENT);
}
KIND_END

KIND_TEST(every_change_by_others_changes_the_etag)
{
	struct timespec old[2] = { { .tv_sec = 5 }, { .tv_sec = 5 } };
	struct f3_obj_info was, now;
	struct stat st;

	for (int change = 0; change < 5; change++) {
		ck_assert_int_eq(unit_put_info(&was, .key = "k", .text = "one"), 0);
		ck_assert_int_eq(unit_head("k", &now), 0);
		ck_assert_str_eq(now.etag, was.etag);
		ck_assert_int_eq(stat(unit_path("k"), &st), 0);
		unit_next_tick();
		switch (change) {
		case 0:
			unit_foreign_write("k", "two");
			/* even if the time is set back */
			old[0] = st.st_atim;
			old[1] = st.st_mtim;
			ck_assert_int_eq(utimensat(AT_FDCWD, unit_path("k"), old, 0), 0);
			break;
		case 1:
			ck_assert_int_eq(chmod(unit_path("k"), 0600), 0);
			break;
		case 2:
			ck_assert_int_eq(utimensat(AT_FDCWD, unit_path("k"), NULL, 0), 0);
			break;
		case 3:
			unit_foreign_write("n", "one");
			ck_assert_int_eq(rename(unit_path("n"), unit_path("k")), 0);
			break;
		default:
			ck_assert_int_eq(truncate(unit_path("k"), 2), 0);
			break;
		}
		ck_assert_int_eq(unit_head("k", &now), 0);
		ck_assert_str_ne(now.etag, was.etag);
		ck_assert_int_eq(unit_put(.key = "k", .text = "mine", .cond = F3_OBJ_MATCH,
					  .etag = was.etag),
				 -ESTALE);
		ck_assert_int_eq(unit_simple(F3_OBJ_DELETE, "k", F3_OBJ_MATCH, was.etag), -ESTALE);
		ck_assert_str_ne(unit_text("k"), "mine");
	}
}
KIND_END

KIND_TEST(reading_does_not_change_the_etag)
{
	struct f3_obj_info was, now;

	ck_assert_int_eq(unit_put_info(&was, .key = "d/k", .text = "one"), 0);
	unit_foreign_read("d/k");
	unit_text("d/k");
	ck_assert_int_eq(unit_head("d/k", &now), 0);
	ck_assert_str_eq(now.etag, was.etag);
	/* nor do entries that of their directory */
	ck_assert_int_eq(unit_head("d", &was), 0);
	ck_assert_int_eq(unit_put(.key = "d/l", .text = "x"), 0);
	ck_assert_int_eq(unit_head("d", &now), 0);
	ck_assert_str_eq(now.etag, was.etag);
}
KIND_END

/* ---- What is not there, what is something else ---- */

KIND_TEST(absent_things)
{
	struct f3_obj_attr attr = { .mode = 0600, .have_mode = true };
	struct f3_obj_info info;

	for (int deep = 0; deep < 2; deep++) {
		const char *key = deep ? "no/where/k" : "k";

		ck_assert_str_eq(unit_text(key), "-ENOENT");
		ck_assert_int_eq(unit_head(key, &info), -ENOENT);
		ck_assert_int_eq(unit_delete(key), 0);
		ck_assert_int_eq(unit_rmdir(key), 0);
		ck_assert_int_eq(unit_copy(.key = key, .key2 = "t/t"), -ENOENT);
		ck_assert_int_eq(unit_copy(.key = key, .key2 = "t/t", .etag2 = "e"), -ENOENT);
		ck_assert_int_eq(unit_rename(.key = key, .key2 = "t/t"), -ENOENT);
		ck_assert_int_eq(unit_set_attr(.key = key, .attr = &attr), -ENOENT);
		ck_assert_int_eq(
			unit_set_attr(.key = key, .attr = &attr, .cond = F3_OBJ_MATCH, .etag = "e"),
			-ESTALE);
		ck_assert_int_eq(unit_simple(F3_OBJ_LIST, key, F3_OBJ_ANY, NULL), -ENOENT);
	}
	/* and nothing came into being on the way */
	ck_assert_uint_eq(unit_count(""), 1);
}
KIND_END

KIND_TEST(objects_and_directories_are_not_mistaken)
{
	struct f3_obj_attr attr = { .mode = 0600, .have_mode = true };
	struct f3_obj_info info;
	struct f3_obj_op op;

	ck_assert_int_eq(unit_mkdir(.key = "d"), 0);
	ck_assert_int_eq(unit_put(.key = "o", .text = "o"), 0);
	for (unsigned want = 0; want < 3; want++) {
		f3_object_op_init(&op, F3_OBJ_HEAD);
		op.want = (enum f3_obj_want)want;
		op.key = "d";
		ck_assert_int_eq(f3_object_run(unit_s, &op),
				 want == F3_OBJ_WANT_OBJECT ? -ENOENT : 0);
		ck_assert(want == F3_OBJ_WANT_OBJECT || op.info.is_dir);
		op.key = "o";
		ck_assert_int_eq(f3_object_run(unit_s, &op), want == F3_OBJ_WANT_DIR ? -ENOENT : 0);
		ck_assert(!op.info.is_dir);
		f3_object_op_done(&op);
	}

	ck_assert_int_eq(unit_put(.key = "d", .text = "x"), -EISDIR);
	ck_assert_int_eq(unit_put(.key = "d", .text = "x", .cond = F3_OBJ_ABSENT), -EISDIR);
	ck_assert_int_eq(unit_copy(.key = "o", .key2 = "d"), -EISDIR);
	ck_assert_int_eq(unit_copy(.key = "d", .key2 = "x"), -EISDIR);
	ck_assert_str_eq(unit_text("d"), "-EISDIR");
	ck_assert_int_eq(unit_mkdir(.key = "o"), -EEXIST);
	ck_assert_int_eq(unit_mkdir(.key = "o", .cond = F3_OBJ_ABSENT), -EEXIST);
	ck_assert_int_eq(unit_delete("d"), 0);
	ck_assert_int_eq(unit_head("d", &info), 0);
	ck_assert_int_eq(unit_rmdir("o"), 0);
	ck_assert_str_eq(unit_text("o"), "o");

	/* below an object there is nothing, and nothing can be put */
	ck_assert_str_eq(unit_text("o/x"), "-ENOENT");
	ck_assert_int_eq(unit_head("o/x/y", &info), -ENOENT);
	ck_assert_int_eq(unit_delete("o/x"), 0);
	ck_assert_int_eq(unit_rmdir("o/x"), 0);
	ck_assert_int_eq(unit_put(.key = "o/x", .text = "x"), -ENOTDIR);
	ck_assert_int_eq(unit_mkdir(.key = "o/x/y"), -ENOTDIR);
	ck_assert_int_eq(unit_copy(.key = "o", .key2 = "o/x"), -ENOTDIR);
	ck_assert_int_eq(unit_set_attr(.key = "o/x", .attr = &attr), -ENOENT);
	ck_assert_int_eq(unit_simple(F3_OBJ_LIST, "o", F3_OBJ_ANY, NULL), -ENOENT);
	ck_assert_str_eq(unit_text("o"), "o");
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
}
KIND_END

/* ---- Copies ---- */

KIND_TEST(copies)
{
	struct f3_obj_attr attr = {
		.mode = 0600, .mtime_ns = 1000000007, .have_mode = true, .have_mtime = true
	};
	struct f3_obj_attr other = { .mode = 0640, .have_mode = true };
	struct f3_obj_info a, b;

	ck_assert_int_eq(unit_put_info(&a, .key = "a", .text = "bytes", .attr = &attr), 0);
	/* the source's attributes, a generation of its own */
	ck_assert_int_eq(unit_two(F3_OBJ_COPY, (struct unit_two){ .key = "a", .key2 = "d/b" }, &b),
			 0);
	ck_assert_str_eq(unit_text("d/b"), "bytes");
	ck_assert_uint_eq(b.attr.mode, S_IFREG | 0600);
	ck_assert_int_eq(b.attr.mtime_ns, attr.mtime_ns);
	ck_assert(b.have_gen && !f3_obj_gen_equal(&a.gen, &b.gen));
	/* others instead */
	ck_assert_int_eq(unit_two(F3_OBJ_COPY,
				  (struct unit_two){ .key = "a", .key2 = "d/b", .attr = &other },
				  &b),
			 0);
	ck_assert_uint_eq(b.attr.mode, S_IFREG | 0640);
	ck_assert_int_ne(b.attr.mtime_ns, attr.mtime_ns);

	ck_assert_int_eq(unit_copy(.key = "a", .key2 = "d/b", .cond = F3_OBJ_ABSENT), -EEXIST);
	ck_assert_int_eq(unit_copy(.key = "a", .key2 = "c", .etag2 = "wrong"), -ESTALE);
	ck_assert_int_eq(unit_copy(.key = "a", .key2 = "c", .cond = F3_OBJ_MATCH, .etag = b.etag),
			 -ESTALE);
	ck_assert_str_eq(unit_text("c"), "-ENOENT");
	ck_assert_int_eq(unit_copy(.key = "a", .key2 = "d/b", .cond = F3_OBJ_MATCH, .etag = b.etag,
				   .etag2 = a.etag),
			 0);
	/* onto itself: a new generation of the same bytes */
	ck_assert_int_eq(unit_two(F3_OBJ_COPY, (struct unit_two){ .key = "a", .key2 = "a" }, &b),
			 0);
	ck_assert_str_eq(unit_text("a"), "bytes");
	ck_assert(!f3_obj_gen_equal(&a.gen, &b.gen));
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
}
KIND_END

/* ---- Directories ---- */

KIND_TEST(directories)
{
	struct f3_obj_attr attr = {
		.mode = 01750, .mtime_ns = -1500000000, .have_mode = true, .have_mtime = true
	};
	struct f3_obj_attr plain = { .mode = S_IFDIR | 0700, .have_mode = true };
	struct f3_obj_info info;

	umask(027);
	ck_assert_int_eq(
		unit_two(F3_OBJ_MKDIR, (struct unit_two){ .key = "d", .attr = &attr }, &info), 0);
	ck_assert(info.is_dir && info.have_gen);
	ck_assert_uint_eq(info.attr.mode, S_IFDIR | 01750);
	ck_assert_int_eq(unit_head("d", &info), 0);
	ck_assert(info.is_dir && info.have_gen);
	ck_assert_int_eq(info.attr.mtime_ns, attr.mtime_ns);

	ck_assert_int_eq(unit_mkdir(.key = "d", .cond = F3_OBJ_ABSENT), -EEXIST);
	ck_assert_int_eq(unit_put(.key = "d/k", .text = "x"), 0);
	/* attributes of one that is there, with what is in it */
	ck_assert_int_eq(unit_mkdir(.key = "d", .attr = &plain), 0);
	ck_assert_int_eq(unit_head("d", &info), 0);
	ck_assert_uint_eq(info.attr.mode, S_IFDIR | 0700);
	ck_assert_str_eq(unit_text("d/k"), "x");
	ck_assert_int_eq(unit_set_attr(.key = "d", .attr = &attr), 0);
	ck_assert_int_eq(unit_head("d", &info), 0);
	ck_assert_uint_eq(info.attr.mode, S_IFDIR | 01750);
	ck_assert_int_eq(unit_mkdir(.key = "d", .cond = F3_OBJ_MATCH, .etag = "no"), -ESTALE);
	ck_assert_int_eq(unit_mkdir(.key = "e", .cond = F3_OBJ_MATCH, .etag = "no"), -ESTALE);

	ck_assert_int_eq(unit_rmdir("d"), -ENOTEMPTY);
	ck_assert_int_eq(unit_delete("d/k"), 0);
	ck_assert_int_eq(unit_rmdir("d"), 0);
	ck_assert_int_eq(unit_head("d", &info), -ENOENT);

	/* without attributes: everybody may enter */
	ck_assert_int_eq(unit_mkdir(.key = "x/y/z"), 0);
	ck_assert_int_eq(unit_head("x/y/z", &info), 0);
	ck_assert_uint_eq(info.attr.mode, S_IFDIR | 0755);

	/* the root has attributes, too */
	ck_assert_int_eq(unit_mkdir(.key = "", .attr = &plain), 0);
	ck_assert_int_eq(unit_head("", &info), 0);
	ck_assert_uint_eq(info.attr.mode, S_IFDIR | 0700);
	ck_assert_int_eq(unit_mkdir(.key = "", .cond = F3_OBJ_ABSENT), -EEXIST);
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
}
KIND_END

/* ---- Renames ---- */

KIND_TEST(renames)
{
	struct f3_obj_info was, now, target;

	ck_assert_int_eq(unit_put_info(&was, .key = "a", .text = "A"), 0);
	ck_assert_int_eq(
		unit_two(F3_OBJ_RENAME, (struct unit_two){ .key = "a", .key2 = "d/e/b" }, &now), 0);
	ck_assert_str_eq(unit_text("a"), "-ENOENT");
	ck_assert_str_eq(unit_text("d/e/b"), "A");
	ck_assert(now.have_gen && f3_obj_gen_equal(&was.gen, &now.gen));
	/* its etag is the one it has now */
	ck_assert_int_eq(unit_head("d/e/b", &was), 0);
	ck_assert_str_eq(was.etag, now.etag);

	/* conditions on both ends */
	ck_assert_int_eq(unit_put_info(&target, .key = "t", .text = "T"), 0);
	ck_assert_int_eq(unit_rename(.key = "d/e/b", .key2 = "t", .cond = F3_OBJ_ABSENT), -EEXIST);
	ck_assert_int_eq(
		unit_rename(.key = "d/e/b", .key2 = "t", .cond = F3_OBJ_MATCH, .etag = "x"),
		-ESTALE);
	ck_assert_int_eq(
		unit_rename(.key = "d/e/b", .key2 = "u", .cond = F3_OBJ_MATCH, .etag = "x"),
		-ESTALE);
	ck_assert_int_eq(unit_rename(.key = "d/e/b", .key2 = "t", .etag2 = "x"), -ESTALE);
	ck_assert_str_eq(unit_text("t"), "T");
	ck_assert_int_eq(unit_rename(.key = "d/e/b", .key2 = "t", .etag2 = now.etag,
				     .cond = F3_OBJ_MATCH, .etag = target.etag),
			 0);
	ck_assert_str_eq(unit_text("t"), "A");
	ck_assert_int_eq(unit_rename(.key = "t", .key2 = "u", .cond = F3_OBJ_ABSENT), 0);
	ck_assert_int_eq(unit_rename(.key = "u", .key2 = "u"), 0);
	ck_assert_str_eq(unit_text("u"), "A");

	/* directories */
	ck_assert_int_eq(unit_put(.key = "d/f/x", .text = "X"), 0);
	ck_assert_int_eq(unit_rename(.key = "d", .key2 = "d/f/d"), -EINVAL);
	ck_assert_int_eq(unit_rename(.key = "d", .key2 = "n/d", .cond = F3_OBJ_ABSENT), 0);
	ck_assert_str_eq(unit_text("n/d/f/x"), "X");
	ck_assert_str_eq(unit_text("d/f/x"), "-ENOENT");
	ck_assert_int_eq(unit_rename(.key = "n/d", .key2 = "u"), -ENOTDIR);
	ck_assert_int_eq(unit_rename(.key = "u", .key2 = "n"), -EISDIR);
	ck_assert_int_eq(unit_put(.key = "full/x", .text = "F"), 0);
	ck_assert_int_eq(unit_rename(.key = "n", .key2 = "full"), -ENOTEMPTY);
	ck_assert_int_eq(unit_mkdir(.key = "empty"), 0);
	ck_assert_int_eq(unit_rename(.key = "n", .key2 = "empty"), 0);
	ck_assert_str_eq(unit_text("empty/d/f/x"), "X");

	/* two names of one inode, made by others */
	ck_assert_int_eq(link(unit_path("u"), unit_path("v")), 0);
	ck_assert_int_eq(unit_rename(.key = "u", .key2 = "v"), 0);
	ck_assert_str_eq(unit_text("u"), "-ENOENT");
	ck_assert_str_eq(unit_text("v"), "A");
}
KIND_END

static int rename_as(uint8_t file, const char *key, const char *key2, struct f3_obj_info *ret_info)
{
	struct f3_obj_gen gen = { .id.b[0] = file, .generation = 3, .attempt = 1 };
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_RENAME);
	op.key = key;
	op.key2 = key2;
	op.gen = &gen;
	r = f3_object_run(unit_s, &op);
	*ret_info = op.info;
	ret_info->attr.xattrs = NULL;
	f3_object_op_done(&op);
	return r;
}

/* It is the file's that it is renamed for; nothing else of it changes. */
KIND_TEST(renamed_for_another)
{
	const struct f3_obj_attr attr = { .have_mtime = true, .mtime_ns = 1234567890123456789 };
	struct f3_obj_info was, now, head;

	ck_assert_int_eq(unit_put_info(&was, .key = "a", .text = "A", .attr = &attr), 0);
	ck_assert_int_eq(rename_as(was.gen.id.b[0], "a", "b", &now), 0);
	ck_assert(now.have_gen && f3_obj_gen_equal(&now.gen, &was.gen));
	ck_assert_int_eq(rename_as(1, "b", "c", &now), 0);
	ck_assert(now.have_gen && now.gen.id.b[0] == 1 && now.gen.generation == 3);
	ck_assert_int_eq(now.attr.mtime_ns, attr.mtime_ns);
	ck_assert_int_eq(unit_head("c", &head), 0);
	ck_assert_str_eq(head.etag, now.etag);
	ck_assert_str_eq(unit_text("c"), "A");

	/* made by others: without a mark, and what can only be marked beside */
	ck_assert_int_eq(symlink("somewhere", unit_path("link")), 0);
	ck_assert_int_eq(rename_as(2, "link", "link2", &now), 0);
	ck_assert(now.have_gen && now.gen.id.b[0] == 2);
	ck_assert_int_eq(unit_head("link2", &head), 0);
	ck_assert(head.have_gen && head.gen.id.b[0] == 2 && S_ISLNK(head.attr.mode));
}
KIND_END

/* ---- The store as such ---- */

START_TEST(urls)
{
	struct f3_object_options opt = { .create = true };
	struct f3_object_store *s;
	struct f3_err err = F3_ERR_INIT;
	char url[400];
	struct stat st;

	ck_assert(unit_make_dir(UNIT_DISK));
	snprintf(url, sizeof(url), "file://%s/a%%20b/%%zz/c//", unit_dir);
	opt.url = url;
	ck_assert_msg(!f3_object_open(&opt, &s, &err), "%s", err.text);
	f3_object_close(s);
	ck_assert_int_eq(stat(unit_path("a b/%zz/c/.f3"), &st), 0);
	snprintf(url, sizeof(url), "file://localhost%s/l", unit_dir);
	ck_assert_int_eq(f3_object_open(&opt, &s, &err), 0);
	f3_object_close(s);
	ck_assert_int_eq(stat(unit_path("l/.f3"), &st), 0);

	/* a directory that is there may lie behind a link; objects may not */
	ck_assert_int_eq(symlink("l", unit_path("s")), 0);
	snprintf(url, sizeof(url), "file://%s/s", unit_dir);
	ck_assert_int_eq(f3_object_open(&opt, &s, &err), 0);
	f3_object_close(s);

	opt.create = false;
	snprintf(url, sizeof(url), "file://%s/none", unit_dir);
	ck_assert_int_eq(f3_object_open(&opt, &s, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/none"));
	unit_foreign_write("plain", "x");
	snprintf(url, sizeof(url), "file://%s/plain", unit_dir);
	ck_assert_int_eq(f3_object_open(&opt, &s, &err), -ENOTDIR);
	opt.create = true;
	snprintf(url, sizeof(url), "file://%s/plain/x", unit_dir);
	ck_assert_int_eq(f3_object_open(&opt, &s, &err), -ENOTDIR);
	snprintf(url, sizeof(url), "file://host%s", unit_dir);
	ck_assert_int_eq(f3_object_open(&opt, &s, &err), -EINVAL);
	snprintf(url, sizeof(url), "file://%s/a%%00b", unit_dir);
	ck_assert_int_eq(f3_object_open(&opt, &s, &err), -EINVAL);
	unit_remove_dir();
}
END_TEST

/* Whoever prepared something under our private name does not lead us anywhere. */
START_TEST(private_directory_of_others)
{
	struct f3_object_options opt = { .url = NULL };
	struct f3_object_store *s;
	struct f3_err err = F3_ERR_INIT;
	char url[300];

	ck_assert(unit_make_dir(UNIT_DISK));
	snprintf(url, sizeof(url), "file://%s/v", unit_dir);
	opt.url = url;
	ck_assert_int_eq(mkdir(unit_path("v"), 0755), 0);
	ck_assert_int_eq(mkdir(unit_path("elsewhere"), 0755), 0);
	ck_assert_int_eq(symlink("../elsewhere", unit_path("v/.f3")), 0);
	ck_assert_int_eq(f3_object_open(&opt, &s, &err), -ENOTDIR);
	ck_assert_ptr_nonnull(strstr(err.text, ".f3"));
	ck_assert_int_eq(unlink(unit_path("v/.f3")), 0);
	unit_foreign_write("v/.f3", "x");
	ck_assert_int_eq(f3_object_open(&opt, &s, &err), -ENOTDIR);
	ck_assert_int_eq(unlink(unit_path("v/.f3")), 0);
	ck_assert_int_eq(mkdir(unit_path("v/.f3"), 0700), 0);
	ck_assert_int_eq(symlink("../../elsewhere", unit_path("v/.f3/tmp")), 0);
	ck_assert_int_eq(f3_object_open(&opt, &s, &err), -ENOTDIR);
	ck_assert_uint_eq(unit_count("elsewhere"), 0);
	unit_remove_dir();
}
END_TEST

/* Unmodified data survives a store that was closed; nothing else does. */
KIND_TEST(open_again)
{
	struct f3_obj_info was, now;

	ck_assert_int_eq(unit_put_info(&was, .key = "d/k", .text = "kept"), 0);
	f3_object_close(unit_s);
	ck_assert_uint_eq(unit_count(".f3/tmp"), 0);
	unit_s = unit_open_again();
	ck_assert_int_eq(unit_head("d/k", &now), 0);
	ck_assert_str_eq(was.etag, now.etag);
	ck_assert(now.have_gen && f3_obj_gen_equal(&was.gen, &now.gen));
	ck_assert_int_eq(unit_s->ops->ping(unit_s, NULL), 0);
}
KIND_END

/* Two stores on one directory, as two volumes or two nodes have it. */
KIND_TEST(two_stores)
{
	struct f3_object_store *other = unit_open_again();
	struct f3_obj_info info;

	ck_assert_int_eq(unit_put_info(&info, .key = "k", .text = "one", .cond = F3_OBJ_ABSENT), 0);
	ck_assert_int_eq(
		unit_put_to(other,
			    (struct unit_put){ .key = "k", .text = "x", .cond = F3_OBJ_ABSENT },
			    NULL),
		-EEXIST);
	ck_assert_int_eq(unit_put_to(other,
				     (struct unit_put){ .key = "k",
							.text = "two",
							.cond = F3_OBJ_MATCH,
							.etag = info.etag },
				     NULL),
			 0);
	ck_assert_int_eq(unit_put(.key = "k", .text = "x", .cond = F3_OBJ_MATCH, .etag = info.etag),
			 -ESTALE);
	ck_assert_str_eq(unit_text("k"), "two");
	f3_object_close(other);
	/* the other's end has not taken anything of ours away */
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
	ck_assert_int_eq(unit_put(.key = "k", .text = "three"), 0);
}
KIND_END

int main(void)
{
	Suite *suite = suite_create("object file");
	TCase *tc = tcase_create("file");

	tcase_add_loop_test(tc, capabilities_are_found, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, objects_are_plain_files, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, ranges, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, bodies_from_memory_and_file, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, put_conditions, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, get_if_match, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, every_change_by_others_changes_the_etag, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, reading_does_not_change_the_etag, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, absent_things, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, objects_and_directories_are_not_mistaken, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, copies, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, directories, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, renames, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, renamed_for_another, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, open_again, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, two_stores, 0, UNIT_KINDS);
	tcase_add_test(tc, urls);
	tcase_add_test(tc, private_directory_of_others);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
