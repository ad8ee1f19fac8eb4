/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>

#include "fs/base/buf.h"
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

static char upload[F3_OBJ_UPLOAD_MAX + 1];

static int create(const char *key, const struct f3_obj_attr *attr, struct f3_obj_gen *ret_gen)
{
	struct f3_obj_gen gen = unit_gen();
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_UPLOAD_CREATE);
	op.key = key;
	op.attr = attr;
	op.gen = &gen;
	r = f3_object_run(unit_s, &op);
	if (!r)
		memcpy(upload, op.ret_upload, sizeof(upload));
	if (ret_gen)
		*ret_gen = gen;
	f3_object_op_done(&op);
	return r;
}

static int part(const char *key, uint32_t number, uint64_t off, const char *text,
		struct f3_obj_part *ret_part)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_UPLOAD_PART);
	op.key = key;
	op.upload = upload;
	op.part = number;
	op.off = off;
	op.body = text;
	op.len = strlen(text);
	r = f3_object_run(unit_s, &op);
	if (!r) {
		ck_assert_uint_eq(op.crc32c, f3_crc32c(0, text, strlen(text)));
		ck_assert_uint_eq(op.ret_part.crc32c, op.crc32c);
		ck_assert_uint_eq(op.ret_part.number, number);
		ck_assert_uint_eq(op.ret_part.off, off);
		ck_assert_uint_eq(op.ret_part.len, strlen(text));
	}
	if (!r && ret_part)
		*ret_part = op.ret_part;
	f3_object_op_done(&op);
	return r;
}

static int part_copy(const char *key, uint32_t number, uint64_t off, const char *from,
		     const char *etag, uint64_t off2, uint64_t len, struct f3_obj_part *ret_part)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_UPLOAD_PART_COPY);
	op.key = key;
	op.upload = upload;
	op.part = number;
	op.off = off;
	op.key2 = from;
	op.etag2 = etag;
	op.off2 = off2;
	op.len = len;
	r = f3_object_run(unit_s, &op);
	if (!r)
		*ret_part = op.ret_part;
	f3_object_op_done(&op);
	return r;
}

static int complete_if(const char *key, const struct f3_obj_part *parts, size_t n,
		       enum f3_obj_cond cond, const char *etag, struct f3_obj_info *ret_info)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_UPLOAD_COMPLETE);
	op.key = key;
	op.upload = upload;
	op.parts = parts;
	op.n_parts = n;
	op.cond = cond;
	op.etag = etag;
	r = f3_object_run(unit_s, &op);
	if (!r && ret_info)
		*ret_info = op.info;
	f3_object_op_done(&op);
	return r;
}

static int complete(const char *key, const struct f3_obj_part *parts, size_t n)
{
	return complete_if(key, parts, n, F3_OBJ_ANY, NULL, NULL);
}

static int abort_upload(const char *key)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_UPLOAD_ABORT);
	op.key = key;
	op.upload = upload;
	r = f3_object_run(unit_s, &op);
	f3_object_op_done(&op);
	return r;
}

KIND_TEST(parts_in_any_order)
{
	struct f3_obj_attr attr = {
		.mode = 0604, .mtime_ns = 123456789, .have_mode = true, .have_mtime = true
	};
	struct f3_obj_part parts[3];
	struct f3_obj_info info, head;
	struct f3_obj_gen gen;

	ck_assert_int_eq(create("d/big", &attr, &gen), 0);
	ck_assert_int_eq(part("d/big", 10000, 11, "last", &parts[2]), 0);
	ck_assert_int_eq(part("d/big", 1, 0, "first ", &parts[0]), 0);
	ck_assert_int_eq(part("d/big", 7, 6, "then ", &parts[1]), 0);
	/* not there before it is complete */
	ck_assert_str_eq(unit_text("d/big"), "-ENOENT");
	ck_assert_int_eq(unit_head("d", &head), -ENOENT);
	ck_assert_int_eq(complete_if("d/big", parts, 3, F3_OBJ_ABSENT, NULL, &info), 0);
	ck_assert_str_eq(unit_text("d/big"), "first then last");
	ck_assert_int_eq(unit_head("d/big", &head), 0);
	ck_assert_str_eq(head.etag, info.etag);
	ck_assert_uint_eq(head.attr.mode, S_IFREG | 0604);
	ck_assert_int_eq(head.attr.mtime_ns, 123456789);
	ck_assert(head.have_gen && f3_obj_gen_equal(&head.gen, &gen));
	/* and nothing is left */
	ck_assert_uint_eq(unit_count(".f3/upload"), 0);
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
	ck_assert_int_eq(complete("d/big", parts, 3), -ENOENT);
	ck_assert_int_eq(part("d/big", 1, 0, "x", NULL), -ENOENT);
	ck_assert_int_eq(abort_upload("d/big"), 0);
	ck_assert_str_eq(unit_text("d/big"), "first then last");
}
KIND_END

KIND_TEST(what_complete_refuses)
{
	struct f3_obj_part p[3], bad[3];

	ck_assert_int_eq(create("k", NULL, NULL), 0);
	ck_assert_int_eq(part("k", 1, 0, "0123", &p[0]), 0);
	ck_assert_int_eq(part("k", 2, 4, "4567", &p[1]), 0);
	ck_assert_int_eq(part("k", 3, 8, "89", &p[2]), 0);

	for (int wrong = 0; wrong < 9; wrong++) {
		size_t n = 3;

		memcpy(bad, p, sizeof(bad));
		switch (wrong) {
		case 0: /* a gap */
			bad[1] = p[2];
			n = 2;
			break;
		case 1: /* does not begin at 0 */
			bad[0] = p[1];
			bad[1] = p[2];
			n = 2;
			break;
		case 2: /* order */
			bad[0] = p[1];
			bad[1] = p[0];
			break;
		case 3: /* twice */
			bad[1] = p[0];
			break;
		case 4: /* never uploaded */
			bad[2].number = 4;
			break;
		case 5:
			bad[1].number = 0;
			break;
		case 6:
			bad[2].etag[0] ^= 1;
			break;
		case 7:
			bad[1].crc32c++;
			break;
		default:
			bad[2].len = 1;
			break;
		}
		ck_assert_msg(complete("k", bad, n) == -EINVAL, "case %d", wrong);
		ck_assert_str_eq(unit_text("k"), "-ENOENT");
	}
	/* what is not named is left out */
	ck_assert_int_eq(complete("k", p, 2), 0);
	ck_assert_str_eq(unit_text("k"), "01234567");
}
KIND_END

KIND_TEST(a_part_again)
{
	struct f3_obj_part p[3], old;

	ck_assert_int_eq(create("k", NULL, NULL), 0);
	ck_assert_int_eq(part("k", 1, 0, "aaaa", &p[0]), 0);
	ck_assert_int_eq(part("k", 2, 4, "bbbb", &p[1]), 0);
	old = p[1];
	ck_assert_int_eq(part("k", 2, 4, "BBBB", &p[1]), 0);
	ck_assert_str_ne(old.etag, p[1].etag);
	p[2] = p[1];
	p[1] = old;
	ck_assert_int_eq(complete("k", p, 2), -EINVAL);
	p[1] = p[2];
	/* bytes of another part written over: that part is no more */
	ck_assert_int_eq(part("k", 3, 3, "ccccc", &p[2]), 0);
	ck_assert_int_eq(complete("k", p, 2), -EINVAL);
	ck_assert_int_eq(part("k", 1, 0, "AAA", &p[0]), 0);
	/* the same number elsewhere */
	ck_assert_int_eq(part("k", 3, 3, "c", &p[1]), 0);
	ck_assert_int_eq(complete("k", p, 2), 0);
	ck_assert_str_eq(unit_text("k"), "AAAc");
}
KIND_END

KIND_TEST(part_copies)
{
	struct f3_obj_part p[3];
	struct f3_obj_info info;

	ck_assert_int_eq(unit_put_info(&info, .key = "src", .text = "0123456789"), 0);
	ck_assert_int_eq(create("src", NULL, NULL), 0);
	ck_assert_int_eq(part_copy("src", 1, 0, "src", info.etag, 0, 4, &p[0]), 0);
	ck_assert_int_eq(part("src", 2, 4, "xx", &p[1]), 0);
	ck_assert_int_eq(part_copy("src", 3, 6, "src", info.etag, 6, 4, &p[2]), 0);
	/* past the end, of nothing, of another version, of a directory */
	ck_assert_int_eq(part_copy("src", 4, 10, "src", info.etag, 7, 4, &p[2]), -EINVAL);
	ck_assert_int_eq(part_copy("src", 4, 10, "none", info.etag, 0, 1, &p[2]), -ENOENT);
	ck_assert_int_eq(part_copy("src", 4, 10, "src", "other", 0, 1, &p[2]), -ESTALE);
	ck_assert_int_eq(unit_mkdir(.key = "dir"), 0);
	ck_assert_int_eq(part_copy("src", 4, 10, "dir", NULL, 0, 1, &p[2]), -EINVAL);
	/* onto the object that it was copied from, if nobody changed that */
	ck_assert_int_eq(complete_if("src", p, 3, F3_OBJ_MATCH, info.etag, NULL), 0);
	ck_assert_str_eq(unit_text("src"), "0123xx6789");
}
KIND_END

KIND_TEST(conditions)
{
	struct f3_obj_info one, two;
	struct f3_obj_part p;

	ck_assert_int_eq(create("k", NULL, NULL), 0);
	ck_assert_int_eq(part("k", 1, 0, "upload", &p), 0);
	ck_assert_int_eq(complete_if("k", &p, 1, F3_OBJ_MATCH, "none", NULL), -ESTALE);
	ck_assert_int_eq(unit_put_info(&one, .key = "k", .text = "one"), 0);
	ck_assert_int_eq(unit_put_info(&two, .key = "k", .text = "two"), 0);
	ck_assert_int_eq(complete_if("k", &p, 1, F3_OBJ_ABSENT, NULL, NULL), -EEXIST);
	ck_assert_int_eq(complete_if("k", &p, 1, F3_OBJ_MATCH, one.etag, NULL), -ESTALE);
	ck_assert_str_eq(unit_text("k"), "two");
	ck_assert_int_eq(complete_if("k", &p, 1, F3_OBJ_MATCH, two.etag, NULL), 0);
	ck_assert_str_eq(unit_text("k"), "upload");
	/* onto a directory */
	ck_assert_int_eq(unit_mkdir(.key = "d"), 0);
	ck_assert_int_eq(create("d", NULL, NULL), 0);
	ck_assert_int_eq(part("d", 1, 0, "x", &p), 0);
	ck_assert_int_eq(complete("d", &p, 1), -EISDIR);
	ck_assert_int_eq(abort_upload("d"), 0);
}
KIND_END

KIND_TEST(what_is_no_upload)
{
	static const char *const ids[] = {
		"x",
		"..",
		"../tmp",
		"/etc",
		"0123456789abcdef0123456789abcdef",
		"0123456789abcdef0123456789abcdefg",
		"0123456789abcdef0123456789abcde/",
	};
	struct f3_obj_part p = { .number = 1, .len = 1 };
	struct f3_obj_attr link = { .mode = S_IFLNK | 0777, .have_mode = true };

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		snprintf(upload, sizeof(upload), "%s", ids[i]);
		ck_assert_int_eq(part("k", 1, 0, "x", NULL), -ENOENT);
		ck_assert_int_eq(complete("k", &p, 1), -ENOENT);
		ck_assert_int_eq(abort_upload("k"), 0);
	}
	ck_assert_int_eq(create("k", &link, NULL), -EINVAL);
	ck_assert_int_eq(create("k", NULL, NULL), 0);
	ck_assert_int_eq(part("other", 1, 0, "x", NULL), -EINVAL);
	ck_assert_int_eq(complete("other", &p, 1), -EINVAL);
	ck_assert_int_eq(abort_upload("other"), -EINVAL);
	ck_assert_int_eq(part("k", 0, 0, "x", NULL), -EINVAL);
	ck_assert_int_eq(part("k", 10001, 0, "x", NULL), -EINVAL);
	ck_assert_int_eq(part("k", 1, 0, "", NULL), -EINVAL);
	ck_assert_int_eq(part("k", 1, 0, "x", &p), 0);
	ck_assert_int_eq(abort_upload("k"), 0);
	ck_assert_uint_eq(unit_count(".f3/upload"), 0);
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
	ck_assert_int_eq(complete("k", &p, 1), -ENOENT);
}
KIND_END

/* All of it is on disk: another store goes on where the first one was closed (or died). */
KIND_TEST(uploads_outlive_their_store)
{
	struct f3_obj_part p[2];
	struct f3_obj_info info;
	struct f3_obj_gen gen;

	ck_assert_int_eq(create("k", NULL, &gen), 0);
	ck_assert_int_eq(part("k", 1, 0, "before ", &p[0]), 0);
	f3_object_close(unit_s);
	unit_s = unit_open_again();
	ck_assert_uint_eq(unit_count(".f3/upload"), 1);
	ck_assert_int_eq(part("k", 2, 7, "after", &p[1]), 0);
	ck_assert_int_eq(complete("k", p, 2), 0);
	ck_assert_str_eq(unit_text("k"), "before after");
	ck_assert_int_eq(unit_head("k", &info), 0);
	ck_assert(f3_obj_gen_equal(&info.gen, &gen));
}
KIND_END

/* What a crash or somebody else may leave in an upload's directory. */
KIND_TEST(damaged_uploads)
{
	struct f3_obj_part p[2];
	char path[200];
	int fd;

	ck_assert_int_eq(unit_put(.key = "k", .text = "old"), 0);
	ck_assert_int_eq(create("k", NULL, NULL), 0);
	ck_assert_int_eq(part("k", 1, 0, "0123", &p[0]), 0);
	ck_assert_int_eq(part("k", 2, 4, "4567", &p[1]), 0);
	/* a record torn in its last write */
	snprintf(path, sizeof(path), ".f3/upload/%.40s/parts", upload);
	fd = open(unit_path(path), O_WRONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, "\x99", 1, 48 + 20), 1);
	close(fd);
	ck_assert_int_eq(complete("k", p, 2), -EINVAL);
	ck_assert_int_eq(part("k", 2, 4, "4567", &p[1]), 0);
	/* the object that was exchanged against the data when the crash came */
	snprintf(path, sizeof(path), ".f3/upload/%.40s/data", upload);
	unit_foreign_write("exchanged", "the old object");
	ck_assert_int_eq(rename(unit_path("exchanged"), unit_path(path)), 0);
	ck_assert_int_eq(complete("k", p, 2), -ENOENT);
	ck_assert_int_eq(unlink(unit_path(path)), 0);
	ck_assert_int_eq(complete("k", p, 2), -ENOENT);
	ck_assert_str_eq(unit_text("k"), "old");
	/* no manifest, or nonsense in it */
	snprintf(path, sizeof(path), ".f3/upload/%.40s/manifest", upload);
	ck_assert_int_eq(truncate(unit_path(path), 20), 0);
	ck_assert_int_eq(complete("k", p, 2), -EBADMSG);
	unit_foreign_write(path, "nonsense");
	ck_assert_int_eq(complete("k", p, 2), -EBADMSG);
	ck_assert_int_eq(unlink(unit_path(path)), 0);
	ck_assert_int_eq(complete("k", p, 2), -ENOENT);
}
KIND_END

/* Ranges whose end is beyond all numbers, asked for or in a record. */
KIND_TEST(ranges_without_end)
{
	struct f3_obj_part p;
	struct f3_buf record;
	char path[200], there[48], none[48] = "";
	int fd;

	ck_assert_int_eq(unit_put(.key = "from", .text = "0123456789"), 0);
	ck_assert_int_eq(create("k", NULL, NULL), 0);
	ck_assert_int_eq(part("k", 1, UINT64_MAX - 1, "0123", NULL), -EINVAL);
	ck_assert_int_eq(part("k", 1, INT64_MAX - 1, "0123", NULL), -EINVAL);
	ck_assert_int_eq(part_copy("k", 1, 0, "from", NULL, UINT64_MAX - 1, 4, &p), -EINVAL);
	ck_assert_int_eq(part_copy("k", 1, 0, "from", NULL, 0, UINT64_MAX, &p), -EINVAL);
	ck_assert_int_eq(part_copy("k", 1, 10, "from", NULL, 0, UINT64_MAX - 5, &p), -EINVAL);

	/* A record of part 2 that claims all from byte 10 on: it goes when part 1 is written there. */
	f3_buf_init(&record, sizeof(there));
	f3_buf_put_u32(&record, 0x46335031);
	f3_buf_put_u32(&record, 2);
	f3_buf_put_u64(&record, 10);
	f3_buf_put_u64(&record, UINT64_MAX);
	f3_buf_put_u64(&record, 1);
	f3_buf_put_u64(&record, 0);
	f3_buf_put_u32(&record, 0);
	f3_buf_put_u32(&record, f3_crc32c(0, record.data, record.len));
	ck_assert_uint_eq(record.len, sizeof(there));
	snprintf(path, sizeof(path), ".f3/upload/%.40s/parts", upload);
	fd = open(unit_path(path), O_RDWR);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, record.data, record.len, 48), 48);
	ck_assert_int_eq(part("k", 1, 5, "0", NULL), 0);
	ck_assert_int_eq(pread(fd, there, sizeof(there), 48), 48);
	ck_assert_mem_eq(there, record.data, sizeof(there));
	ck_assert_int_eq(part("k", 1, 50, "0123", NULL), 0);
	ck_assert_int_eq(pread(fd, there, sizeof(there), 48), 48);
	ck_assert_mem_eq(there, none, sizeof(there));
	close(fd);
	f3_buf_done(&record);
}
KIND_END

static size_t count_uploads(const char *dir, size_t *ret_pages)
{
	char last[F3_OBJ_UPLOAD_MAX + 1] = "";
	struct f3_obj_op op;
	size_t n = 0;
	bool more;

	*ret_pages = 0;
	do {
		f3_object_op_init(&op, F3_OBJ_UPLOAD_LIST);
		op.key = dir;
		op.after = *last ? last : NULL;
		ck_assert_int_eq(f3_object_run(unit_s, &op), 0);
		for (size_t i = 0; i < op.n_uploads; i++) {
			ck_assert_int_gt(strcmp(op.uploads[i].upload, last), 0);
			ck_assert(!*dir || !strncmp(op.uploads[i].key, dir, strlen(dir)));
			ck_assert_int_gt(op.uploads[i].since_ns, 1700000000000000000);
			snprintf(last, sizeof(last), "%s", op.uploads[i].upload);
		}
		n += op.n_uploads;
		(*ret_pages)++;
		more = op.ret_next;
		ck_assert(!more || op.n_uploads);
		f3_object_op_done(&op);
	} while (more);
	return n;
}

START_TEST(list_uploads)
{
	char key[32];
	size_t pages;

	ck_assert(unit_open(UNIT_TMPFS));
	ck_assert_uint_eq(count_uploads("", &pages), 0);
	for (int i = 0; i < 2100; i++) {
		snprintf(key, sizeof(key), "%s/k%d", i % 3 ? "a" : "ab", i);
		ck_assert_int_eq(create(key, NULL, NULL), 0);
	}
	ck_assert_uint_eq(count_uploads("", &pages), 2100);
	ck_assert_uint_eq(pages, 3);
	ck_assert_uint_eq(count_uploads("a", &pages), 1400);
	ck_assert_uint_eq(count_uploads("ab", &pages), 700);
	ck_assert_uint_eq(count_uploads("b", &pages), 0);
	unit_close();
}
END_TEST

/* ---- At the same time ---- */

#define PARTS 64
#define BYTES 70000

static void *run_op(void *op)
{
	f3_object_run(unit_s, op);
	return NULL;
}

START_TEST(many_parts_at_once)
{
	static struct f3_obj_op ops[PARTS];
	static char bodies[PARTS][BYTES];
	struct f3_obj_part p[PARTS];
	pthread_t threads[PARTS];
	char *back;

	if (!unit_open(_i))
		return;
	back = malloc(PARTS * BYTES + 1);
	ck_assert_int_eq(create("k", NULL, NULL), 0);
	for (int i = 0; i < PARTS; i++) {
		memset(bodies[i], 'A' + i % 50, BYTES);
		f3_object_op_init(&ops[i], F3_OBJ_UPLOAD_PART);
		ops[i].key = "k";
		ops[i].upload = upload;
		ops[i].part = (uint32_t)i + 1;
		ops[i].off = (uint64_t)i * BYTES;
		ops[i].body = bodies[i];
		ops[i].len = BYTES;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run_op, &ops[i]), 0);
	}
	for (int i = 0; i < PARTS; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_int_eq(ops[i].result, 0);
		p[i] = ops[i].ret_part;
		f3_object_op_done(&ops[i]);
	}
	ck_assert_int_eq(complete("k", p, PARTS), 0);
	ck_assert_int_eq(unit_get_from(unit_s, "k", NULL, 0, back, PARTS * BYTES + 1), 0);
	ck_assert_int_eq(memcmp(back, bodies, sizeof(bodies)), 0);
	free(back);
	unit_close();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("object upload");
	TCase *tc = tcase_create("upload");

	tcase_add_loop_test(tc, parts_in_any_order, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, what_complete_refuses, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, a_part_again, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, part_copies, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, conditions, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, what_is_no_upload, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, uploads_outlive_their_store, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, damaged_uploads, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, ranges_without_end, 0, UNIT_KINDS);
	tcase_add_test(tc, list_uploads);
	tcase_add_loop_test(tc, many_parts_at_once, 0, UNIT_RAMFS);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
