/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fs/object/object.h"
#include "fs/object/probe.h"
#include "tests/fault/object_fault.h"
#include "tests/unit/object_unit.h"

static void open_fault(void)
{
	struct f3_object_store *inner;

	ck_assert(unit_open(UNIT_TMPFS));
	inner = unit_s;
	ck_assert_int_eq(f3_object_fault_open(inner, &unit_s), 0);
	ck_assert_int_eq(memcmp(&inner->caps, &unit_s->caps, sizeof(inner->caps)), 0);
}

static void rule(struct f3_object_fault_rule r)
{
	ck_assert_int_eq(f3_object_fault_add(unit_s, &r), 0);
}

#define RULE(...) rule((struct f3_object_fault_rule){ __VA_ARGS__ })

START_TEST(fail_the_nth)
{
	open_fault();
	RULE(.type = F3_OBJ_PUT, .nth = 2, .times = 2, .action = F3_OBJ_FAULT_FAIL, .error = -EIO);
	RULE(.type = F3_OBJ_PUT, .key = "special", .action = F3_OBJ_FAULT_FAIL, .error = -ENOSPC);
	ck_assert_int_eq(unit_put(.key = "1", .text = "x"), 0);
	ck_assert_str_eq(unit_text("1"), "x");
	ck_assert_int_eq(unit_put(.key = "2", .text = "x"), -EIO);
	ck_assert_int_eq(unit_put(.key = "3", .text = "x"), -EIO);
	ck_assert_int_eq(unit_put(.key = "4", .text = "x"), 0);
	ck_assert_int_eq(unit_put(.key = "special", .text = "x"), -ENOSPC);
	ck_assert_int_eq(unit_put(.key = "special", .text = "x"), 0);
	ck_assert_str_eq(unit_text("2"), "-ENOENT");
	ck_assert_uint_eq(f3_object_fault_count(unit_s, F3_OBJ_PUT), 6);
	ck_assert_uint_eq(f3_object_fault_count(unit_s, F3_OBJ_GET), 2);
	ck_assert_uint_eq(f3_object_fault_count(unit_s, F3_OBJ_FAULT_ANY_TYPE), 8);
	RULE(.type = F3_OBJ_FAULT_ANY_TYPE, .times = UINT_MAX, .action = F3_OBJ_FAULT_FAIL,
	     .error = -ETIMEDOUT);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(unit_delete("1"), -ETIMEDOUT);
	f3_object_fault_clear(unit_s);
	ck_assert_str_eq(unit_text("1"), "x");
	unit_close();
}
END_TEST

/* What a caller does about a lost answer: it finds its own generation, or not. */
START_TEST(lost_answers)
{
	struct f3_obj_gen gen = unit_gen();
	struct f3_obj_info info;
	struct f3_obj_op op;

	open_fault();
	RULE(.type = F3_OBJ_PUT, .nth = 1, .action = F3_OBJ_FAULT_LOSE);
	RULE(.type = F3_OBJ_PUT, .nth = 2, .action = F3_OBJ_FAULT_DROP);
	f3_object_op_init(&op, F3_OBJ_PUT);
	op.key = "k";
	op.gen = &gen;
	op.body = "x";
	op.len = 1;
	ck_assert_int_eq(f3_object_run(unit_s, &op), F3_OBJ_AMBIGUOUS);
	ck_assert_str_eq(op.info.etag, "");
	ck_assert_int_eq(unit_head("k", &info), 0);
	ck_assert(info.have_gen && f3_obj_gen_equal(&info.gen, &gen));
	gen = unit_gen();
	ck_assert_int_eq(f3_object_run(unit_s, &op), F3_OBJ_AMBIGUOUS);
	ck_assert_int_eq(unit_head("k", &info), 0);
	ck_assert(!f3_obj_gen_equal(&info.gen, &gen));
	f3_object_op_done(&op);
	RULE(.type = F3_OBJ_UPLOAD_CREATE, .action = F3_OBJ_FAULT_LOSE);
	f3_object_op_init(&op, F3_OBJ_UPLOAD_CREATE);
	op.key = "k";
	op.gen = &gen;
	ck_assert_int_eq(f3_object_run(unit_s, &op), F3_OBJ_AMBIGUOUS);
	ck_assert_str_eq(op.ret_upload, "");
	ck_assert_uint_eq(unit_count(".f3/upload"), 1);
	f3_object_op_done(&op);
	unit_close();
}
END_TEST

START_TEST(sent_twice)
{
	struct f3_obj_info info;

	open_fault();
	RULE(.type = F3_OBJ_PUT, .action = F3_OBJ_FAULT_DUPLICATE);
	/* the second one finds what the first one put */
	ck_assert_int_eq(unit_put(.key = "k", .text = "x", .cond = F3_OBJ_ABSENT), -EEXIST);
	ck_assert_int_eq(unit_head("k", &info), 0);
	RULE(.type = F3_OBJ_DELETE, .action = F3_OBJ_FAULT_DUPLICATE);
	ck_assert_int_eq(unit_simple(F3_OBJ_DELETE, "k", F3_OBJ_MATCH, info.etag), -ESTALE);
	ck_assert_int_eq(unit_head("k", &info), -ENOENT);
	unit_close();
}
END_TEST

START_TEST(damaged_reads)
{
	char buf[16];

	open_fault();
	ck_assert_int_eq(unit_put(.key = "k", .text = "0123456789"), 0);
	RULE(.type = F3_OBJ_GET, .nth = 1, .action = F3_OBJ_FAULT_TRUNCATE, .bytes = 3);
	RULE(.type = F3_OBJ_GET, .nth = 2, .action = F3_OBJ_FAULT_CORRUPT);
	ck_assert_int_eq(unit_get_from(unit_s, "k", NULL, 0, buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf, "012");
	ck_assert_int_eq(unit_get_from(unit_s, "k", NULL, 0, buf, sizeof(buf)), 0);
	ck_assert_str_eq(buf + 1, "123456789");
	ck_assert_int_ne(buf[0], '0');
	ck_assert_str_eq(unit_text("k"), "0123456789");
	unit_close();
}
END_TEST

static void *put_k(void *arg)
{
	*(int *)arg = unit_put(.key = "k", .text = "held");
	return NULL;
}

START_TEST(held_back)
{
	bool answer = _i;
	pthread_t thread;
	int result = 1;

	open_fault();
	RULE(.type = F3_OBJ_PUT, .action = answer ? F3_OBJ_FAULT_HOLD_ANSWER : F3_OBJ_FAULT_HOLD);
	ck_assert_int_eq(pthread_create(&thread, NULL, put_k, &result), 0);
	f3_object_fault_wait_held(unit_s, 1);
	ck_assert_str_eq(unit_text("k"), answer ? "held" : "-ENOENT");
	f3_object_fault_release(unit_s);
	pthread_join(thread, NULL);
	ck_assert_int_eq(result, 0);
	ck_assert_str_eq(unit_text("k"), "held");
	unit_close();
}
END_TEST

static atomic_int n_done;

static void count_done(struct f3_obj_op *op)
{
	(void)op;
	atomic_fetch_add(&n_done, 1);
}

START_TEST(held_and_cancelled)
{
	struct f3_obj_gen gen = unit_gen();
	struct f3_obj_op op;
	struct f3_err err;

	open_fault();
	RULE(.type = F3_OBJ_PUT, .action = F3_OBJ_FAULT_HOLD);
	f3_object_op_init(&op, F3_OBJ_PUT);
	op.key = "k";
	op.gen = &gen;
	op.done = count_done;
	f3_object_submit(unit_s, &op);
	ck_assert_int_eq(atomic_load(&n_done), 0);
	f3_object_cancel(unit_s, &op);
	ck_assert_int_eq(atomic_load(&n_done), 1);
	ck_assert_int_eq(op.result, -ECANCELED);
	f3_object_cancel(unit_s, &op);
	ck_assert_int_eq(atomic_load(&n_done), 1);
	f3_object_fault_release(unit_s);
	ck_assert_str_eq(unit_text("k"), "-ENOENT");
	ck_assert_int_eq(unit_s->ops->ping(unit_s, &err), 0);
	f3_object_fault_set_ping(unit_s, -EIO);
	ck_assert_int_eq(unit_s->ops->ping(unit_s, &err), -EIO);
	unit_close();
}
END_TEST

/* ---- The probe, in front of stores that do less ---- */

static struct weak {
	struct f3_object_store base;
	struct f3_object_store *inner;
	unsigned type; /* whose conditions are ignored */
	bool refuse; /* are refused instead */
} weak;

static void weak_submit(struct f3_object_store *s, struct f3_obj_op *op)
{
	(void)s;
	if ((unsigned)op->type == weak.type &&
	    (op->cond != F3_OBJ_ANY || op->etag2 || weak.type == F3_OBJ_RENAME)) {
		if (weak.refuse) {
			op->result = -EOPNOTSUPP;
			op->done(op);
			return;
		}
		op->cond = F3_OBJ_ANY;
		op->etag2 = NULL;
	}
	f3_object_submit(weak.inner, op);
}

static const struct f3_object_ops weak_ops = { .scheme = "weak", .submit = weak_submit };

START_TEST(probe_finds_what_is_not_enforced)
{
	static const unsigned types[] = { F3_OBJ_PUT,    F3_OBJ_COPY,
					  F3_OBJ_DELETE, F3_OBJ_UPLOAD_COMPLETE,
					  F3_OBJ_RENAME, F3_OBJ_SET_ATTR };
	unsigned type = types[_i / 2];
	const struct f3_obj_caps *c = &weak.base.caps;
	struct f3_err err = F3_ERR_INIT;
	bool kept;

	ck_assert(unit_open(UNIT_TMPFS));
	weak.base.ops = &weak_ops;
	weak.inner = unit_s;
	weak.type = type;
	weak.refuse = _i % 2;
	ck_assert_msg(!f3_object_probe(&weak.base, &err), "%s", err.text);
	ck_assert(c->put_match == (type != F3_OBJ_PUT));
	ck_assert(c->put_absent == (type != F3_OBJ_PUT));
	ck_assert(c->copy_source_match == (type != F3_OBJ_COPY));
	ck_assert(c->copy_target_absent == (type != F3_OBJ_COPY));
	ck_assert(c->set_attr_match == (type != F3_OBJ_SET_ATTR));
	ck_assert(c->delete_match == (type != F3_OBJ_DELETE));
	ck_assert(c->complete_match == (type != F3_OBJ_UPLOAD_COMPLETE));
	ck_assert(c->complete_absent == (type != F3_OBJ_UPLOAD_COMPLETE));
	kept = type != F3_OBJ_RENAME || !weak.refuse;
	ck_assert(c->rename == kept);
	ck_assert(c->range_part_copy && c->list_has_attr);
	ck_assert_uint_eq(unit_count(".f3/probe"), 0);
	ck_assert_uint_eq(unit_count(".f3/upload"), 0);
	unit_close();
}
END_TEST

/* Every operation of the probe fails once, with an error and with a lost answer: it says so or
 * goes on, and leaves nothing behind. */
START_TEST(probe_with_faults)
{
	struct f3_err err = F3_ERR_INIT;
	uint64_t total;
	int r;

	open_fault();
	ck_assert_int_eq(f3_object_probe(unit_s, &err), 0);
	total = f3_object_fault_count(unit_s, F3_OBJ_FAULT_ANY_TYPE);
	ck_assert_uint_gt(total, 40);
	for (unsigned nth = 1; nth <= total; nth++) {
		f3_object_fault_clear(unit_s);
		RULE(.type = F3_OBJ_FAULT_ANY_TYPE, .nth = nth,
		     .action = _i ? F3_OBJ_FAULT_LOSE : F3_OBJ_FAULT_FAIL, .error = -ETIMEDOUT);
		r = f3_object_probe(unit_s, &err);
		if (r < 0) {
			ck_assert_int_eq(r, _i ? -EIO : -ETIMEDOUT);
			ck_assert(strstr(err.text, "probe"));
		}
	}
	f3_object_fault_clear(unit_s);
	ck_assert_uint_le(unit_count(".f3/probe"), 8);
	ck_assert_int_eq(f3_object_probe(unit_s, &err), 0);
	unit_close();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("object fault");
	TCase *tc = tcase_create("fault");

	tcase_add_test(tc, fail_the_nth);
	tcase_add_test(tc, lost_answers);
	tcase_add_test(tc, sent_twice);
	tcase_add_test(tc, damaged_reads);
	tcase_add_loop_test(tc, held_back, 0, 2);
	tcase_add_test(tc, held_and_cancelled);
	tcase_add_loop_test(tc, probe_finds_what_is_not_enforced, 0, 12);
	tcase_add_loop_test(tc, probe_with_faults, 0, 2);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
