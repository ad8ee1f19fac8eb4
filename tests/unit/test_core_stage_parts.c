/* SPDX-License-Identifier: Apache-2.0 */
/* Commits of large files: uploads in parts, edits by copies of parts. */
#include "config.h"

#include "fs/core/stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/core_whole.h"
#include "tests/unit/unit.h"

#define MB (1ull << 20)

static const struct {
	enum f3_object_fault_action action;
	int error;
} faults[] = {
	{ F3_OBJ_FAULT_FAIL, -EIO }, { F3_OBJ_FAULT_FAIL, -ETIMEDOUT }, { F3_OBJ_FAULT_LOSE, 0 },
	{ F3_OBJ_FAULT_DROP, 0 },    { F3_OBJ_FAULT_DUPLICATE, 0 },
};
#define N_FAULTS ((int)(sizeof(faults) / sizeof(faults[0])))

static void durable(void)
{
	whole_start("durable", 10000);
}

#define LARGE (70 * MB)

static char *large(unsigned seed)
{
	char *bytes = malloc(LARGE);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < LARGE; i += 8) {
		uint64_t v = (i + seed) * 0x9e3779b97f4a7c15ull;

		memcpy(bytes + i, &v, 8);
	}
	return bytes;
}

static int uploads_left(void)
{
	char path[512];
	struct dirent *d;
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "%s/.f3/upload", w.store_dir);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while ((d = readdir(dir)))
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

START_TEST(parts_survive)
{
	static const enum f3_obj_type types[] = { F3_OBJ_UPLOAD_CREATE, F3_OBJ_UPLOAD_PART,
						  F3_OBJ_UPLOAD_COMPLETE };
	char *bytes = large(1);

	whole_fault(types[_i % 3], faults[_i / 3].action, faults[_i / 3].error, 1);
	ck_assert_int_eq(whole_put("big", bytes, LARGE), 0);
	store_is("big", bytes, LARGE);
	ck_assert_int_eq(whole_state("big"), F3_STATE_CLEAN);
	/* Nobody knows of an upload whose making was not confirmed: that is gc's. */
	if (types[_i % 3] != F3_OBJ_UPLOAD_CREATE)
		ck_assert_int_eq(uploads_left(), 0);
	free(bytes);
}
END_TEST

/* Two answers to a completion are lost in a row, after it was done or before: what is in the store
 * already does not go again. The first time, and over an object that is there. */
START_TEST(parts_complete_after_lost_answers)
{
	for (unsigned again = 0; again < 2; again++) {
		char *bytes = large(again + 1);
		uint64_t created = whole_count(F3_OBJ_UPLOAD_CREATE);

		whole_fault(F3_OBJ_UPLOAD_COMPLETE, _i ? F3_OBJ_FAULT_LOSE : F3_OBJ_FAULT_DROP, 0,
			    2);
		ck_assert_int_eq(whole_put("big", bytes, LARGE), 0);
		store_is("big", bytes, LARGE);
		ck_assert_int_eq(whole_state("big"), F3_STATE_CLEAN);
		ck_assert_uint_eq(whole_count(F3_OBJ_UPLOAD_CREATE) - created, 1);
		ck_assert_int_eq(uploads_left(), 0);
		f3_object_fault_clear(w.fault);
		free(bytes);
	}
}
END_TEST

/* Changed between the parts and their completion: only what changed goes again. */
START_TEST(changed_while_it_goes_up)
{
	struct f3_inode *inode = whole_create("big");
	char *bytes = large(2);
	struct f3_blocker b;

	whole_write(inode, 0, bytes, LARGE);
	whole_fault(F3_OBJ_UPLOAD_PART, F3_OBJ_FAULT_HOLD_ANSWER, 0, 1);
	f3_blocker_init(&b);
	ck_assert_int_eq(f3_stage_commit(w.core, inode, &b.w), 1);
	f3_object_fault_wait_held(w.fault, 1);
	memcpy(bytes + 20 * MB, "changed", 7);
	whole_write(inode, 20 * MB, "changed", 7);
	f3_object_fault_clear(w.fault);
	f3_object_fault_release(w.fault);
	ck_assert_int_eq(f3_blocker_wait(&b), 0);
	f3_blocker_done(&b);
	ck_assert_int_eq(whole_flush(inode), 0);
	whole_close(inode, true);
	store_is("big", bytes, LARGE);
	ck_assert_uint_le(whole_count(F3_OBJ_UPLOAD_PART), 9 + 9 + 1);
	ck_assert_int_eq(uploads_left(), 0);
	free(bytes);
}
END_TEST

/* 4 KiB in the middle of a large object that is not here: the rest is copied in the store. */
START_TEST(edit_by_part_copy)
{
	struct f3_inode *inode;
	char *bytes = large(3);
	uint64_t got;

	store_write("big", bytes, LARGE);
	inode = whole_open_file("big", O_RDWR);
	memset(bytes + 30 * MB, 'e', 4096);
	whole_write(inode, 30 * MB, bytes + 30 * MB, 4096);
	ck_assert_int_eq(whole_flush(inode), 0);
	got = whole_count(F3_OBJ_UPLOAD_PART_COPY);
	ck_assert_uint_ge(got, 2);
	ck_assert_uint_le(whole_count(F3_OBJ_UPLOAD_PART), 1);
	store_is("big", bytes, LARGE);
	/* Cut shorter, and made longer again. */
	ck_assert_int_eq(f3_file_truncate(w.core, inode, 65 * MB, &whole_root), 0);
	ck_assert_int_eq(f3_file_truncate(w.core, inode, 66 * MB, &whole_root), 0);
	memset(bytes + 65 * MB, 0, MB);
	ck_assert_int_eq(whole_flush(inode), 0);
	whole_close(inode, true);
	whole_settle();
	store_is("big", bytes, 66 * MB);
	ck_assert_int_eq(uploads_left(), 0);
	free(bytes);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("core_stage_parts");
	TCase *t = tcase_create("large");

	tcase_add_checked_fixture(t, durable, whole_stop);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, parts_survive, 0, 3 * N_FAULTS);
	tcase_add_loop_test(t, parts_complete_after_lost_answers, 0, 2);
	tcase_add_test(t, changed_while_it_goes_up);
	tcase_add_test(t, edit_by_part_copy);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return whole_run(suite());
}
