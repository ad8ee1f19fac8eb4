/* SPDX-License-Identifier: Apache-2.0 */
/*
 * F3's own xattrs, user.f3.: what is said of them is what the database has.
 */
#include "config.h"

#include "fs/core/xattr.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/debug.h"
#include "fs/core/inode.h"
#include "tests/unit/core_whole.h"
#include "tests/unit/unit.h"

#define CLASS "user.f3.class"
#define STREAM "user.f3.stream"

static void writeback(void)
{
	whole_start("writeback", 300);
}

static int set(const char *path, const char *name, const char *value)
{
	return f3_xattr_set(w.core, whole_ino(path), name, value, strlen(value), 0, false,
			    &whole_root);
}

static int unset(const char *path, const char *name)
{
	return f3_xattr_remove(w.core, whole_ino(path), name, &whole_root);
}

/* From the nth on the database has no room so often. False: a build in which nothing fails. */
static bool no_room(unsigned nth, unsigned times)
{
	char action[32];
	int r;

	snprintf(action, sizeof(action), "ENOSPC@%ux%u", nth, times);
	r = f3_fault_arm("kv.write", action);
	if (r == -EOPNOTSUPP)
		printf("not tried: a build without --enable-debug\n");
	else
		ck_assert_int_eq(r, 0);
	return !r;
}

/* How often it had none. The database asks its disk again a moment after that. */
static unsigned long room_again(void)
{
	unsigned long happened = f3_fault_happened("kv.write");
	int r;

	ck_assert_int_eq(f3_fault_arm("kv.write", NULL), 0);
	do {
		r = f3_xattr_set(w.core, w.root, "user.x", "", 0, 0, false, &whole_root);
	} while (r == -ENOSPC && !sched_yield());
	ck_assert_int_eq(r, 0);
	return happened;
}

/* In memory and in the database. */
static void is(const char *path, enum f3_class class_, enum f3_class_source source, uint32_t stream)
{
	struct f3_inode_rec stored;
	struct f3_inode *inode;

	ck_assert_int_eq(f3_inode_get(w.core, whole_ino(path), &inode), 0);
	ck_assert_int_eq(f3_meta_get_inode(w.core->meta, inode->ino, &stored), 0);
	for (int i = 0; i < 2; i++) {
		const struct f3_inode_rec *rec = i ? &stored : &inode->rec;

		ck_assert_uint_eq(rec->class_, class_);
		ck_assert_uint_eq(rec->class_source, source);
		ck_assert_uint_eq(rec->flags & (F3_INO_STREAM | F3_INO_STREAM_OFF), stream);
	}
	ck_assert_int_eq(inode->rec.ctime_ns, stored.ctime_ns);
	f3_inode_rec_done(&stored);
	f3_inode_put(w.core, inode);
}

START_TEST(refused_by_the_database)
{
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(whole_put("f", "x", 1), 0);
	whole_settle();
	if (!no_room(1, 5))
		return;
	ck_assert_int_eq(set("d", CLASS, "memory"), -ENOSPC);
	ck_assert_int_eq(set("d", STREAM, "1"), -ENOSPC);
	ck_assert_int_eq(set("f", STREAM, "0"), -ENOSPC);
	ck_assert_uint_ge(room_again(), 1);
	is("d", F3_CLASS_WRITEBACK, F3_FROM_DEFAULT, 0);
	is("f", F3_CLASS_WRITEBACK, F3_FROM_DEFAULT, 0);

	ck_assert_int_eq(set("d", CLASS, "durable"), 0);
	ck_assert_int_eq(set("d", STREAM, "1"), 0);
	ck_assert_int_eq(set("f", STREAM, "0"), 0);
	ck_assert(no_room(1, 5));
	ck_assert_int_eq(unset("d", CLASS), -ENOSPC);
	ck_assert_int_eq(unset("d", STREAM), -ENOSPC);
	ck_assert_int_eq(unset("f", STREAM), -ENOSPC);
	ck_assert_uint_ge(room_again(), 1);
	is("d", F3_CLASS_DURABLE, F3_FROM_OWN, F3_INO_STREAM);
	is("f", F3_CLASS_WRITEBACK, F3_FROM_DEFAULT, F3_INO_STREAM_OFF);

	ck_assert_int_eq(unset("d", STREAM), 0);
	ck_assert_int_eq(unset("f", STREAM), 0);
	is("d", F3_CLASS_DURABLE, F3_FROM_OWN, 0);
	is("f", F3_CLASS_WRITEBACK, F3_FROM_DEFAULT, 0);
}
END_TEST

/* A directory without a class of its own is so at once, whenever the daemon dies. */
START_TEST(removed_in_one_batch)
{
	ck_assert_int_eq(whole_mkdir("d"), 0);
	whole_settle();
	ck_assert_int_eq(set("d", STREAM, "1"), 0);
	ck_assert_int_eq(set("d", CLASS, "durable"), 0);
	if (!no_room(2, 5))
		return;
	ck_assert_int_eq(unset("d", CLASS), 0);
	ck_assert_uint_eq(room_again(), 0);
	is("d", F3_CLASS_WRITEBACK, F3_FROM_DEFAULT, F3_INO_STREAM);
	ck_assert_int_eq(unset("d", CLASS), -ENODATA);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("core_xattr");
	TCase *t = tcase_create("own");

	tcase_add_checked_fixture(t, writeback, whole_stop);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, refused_by_the_database);
	tcase_add_test(t, removed_in_one_batch);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return whole_run(suite());
}
