/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/core/journal_run.h"
#include "tests/unit/core_whole.h"
#include "tests/unit/unit.h"

#define MB (1ull << 20)

static void durable(void)
{
	whole_start("durable", 10000);
}

static void durable_impatient(void)
{
	whole_start("durable", 300);
}

static void writeback(void)
{
	whole_start("writeback", 300);
}

static struct f3_inode_rec rec_of(const char *path)
{
	struct f3_inode_rec rec;

	ck_assert_int_eq(f3_meta_get_inode(w.core->meta, whole_ino(path), &rec), 0);
	return rec;
}

/* ---- One file ---- */

START_TEST(close_is_durable)
{
	struct f3_inode *inode = whole_create("a");
	struct f3_inode_rec rec;
	char path[512];
	struct stat st;

	whole_write(inode, 0, "hello", 5);
	ck_assert_int_eq(whole_flush(inode), 0);
	store_is("a", "hello", 5);
	whole_close(inode, true);
	ck_assert_int_eq(whole_state("a"), F3_STATE_CLEAN);
	ck_assert_uint_eq(whole_count(F3_OBJ_PUT), 1);
	ck_assert_uint_eq(w.volume->dirty_bytes, 0);
	rec = rec_of("a");
	snprintf(path, sizeof(path), "%s/a", w.store_dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(f3_ns_from_timespec(st.st_mtim), rec.mtime_ns);
	ck_assert_str_ne(rec.etag, "");
	ck_assert_uint_eq(rec.flags & (F3_INO_DIRTY | F3_INO_ATTR_DIRTY), 0);
}
END_TEST

START_TEST(second_flush_has_nothing_to_do)
{
	struct f3_inode *inode = whole_create("a");

	whole_write(inode, 0, "one", 3);
	ck_assert_int_eq(whole_flush(inode), 0);
	ck_assert(!f3_stage_needed(w.core, inode));
	whole_write(inode, 3, "two", 3);
	ck_assert(f3_stage_needed(w.core, inode));
	ck_assert_int_eq(whole_flush(inode), 0);
	whole_close(inode, true);
	store_is("a", "onetwo", 6);
	ck_assert_uint_eq(whole_count(F3_OBJ_PUT), 2);
	ck_assert_int_eq(whole_state("a"), F3_STATE_CLEAN);
}
END_TEST

START_TEST(sealed_without_a_flush)
{
	struct f3_inode *inode = whole_create("a");

	whole_write(inode, 0, "x", 1);
	whole_close(inode, true);
	whole_settle();
	store_is("a", "x", 1);
	ck_assert_int_eq(whole_state("a"), F3_STATE_CLEAN);
	/* Opened for writing, nothing written: nothing is sent. */
	inode = whole_open_file("a", O_RDWR);
	whole_close(inode, true);
	whole_settle();
	ck_assert_uint_eq(whole_count(F3_OBJ_PUT), 1);
	ck_assert_int_eq(whole_state("a"), F3_STATE_CLEAN);
}
END_TEST

START_TEST(links_and_empty_files)
{
	struct f3_entry e;
	char path[512], target[16] = "";

	ck_assert_int_eq(whole_symlink("there", "l"), 0);
	snprintf(path, sizeof(path), "%s/l", w.store_dir);
	ck_assert_int_eq(readlink(path, target, sizeof(target)), 5);
	ck_assert_str_eq(target, "there");
	ck_assert_int_eq(f3_ns_mknod(w.core, w.root, "p", S_IFIFO | 0600, 0, &whole_root, &e), 0);
	ck_assert(store_has("p"));
	ck_assert_int_eq(f3_ns_mknod(w.core, w.root, "f", S_IFREG | 0600, 0, &whole_root, &e), 0);
	store_is("f", "", 0);
	ck_assert_int_eq(whole_put("g", NULL, 0), 0);
	store_is("g", "", 0);
	whole_settle();
	ck_assert_int_eq(whole_unlink("l"), 0);
	ck_assert(!store_has("l"));
	ck_assert_int_eq(whole_unlink("p"), 0);
	ck_assert(!store_has("p"));
}
END_TEST

START_TEST(attributes_follow)
{
	struct stat st = { .st_mode = 0600 };
	struct f3_entry e;
	char path[512];

	ck_assert_int_eq(whole_put("a", "x", 1), 0);
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(f3_ns_setattr(w.core, whole_ino("a"), &st, F3_SET_MODE, &whole_root, &e),
			 0);
	st.st_mode = 0700;
	ck_assert_int_eq(f3_ns_setattr(w.core, whole_ino("d"), &st, F3_SET_MODE, &whole_root, &e),
			 0);
	whole_settle();
	ck_assert_uint_eq(whole_count(F3_OBJ_PUT), 1);
	snprintf(path, sizeof(path), "%s/a", w.store_dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	snprintf(path, sizeof(path), "%s/d", w.store_dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_uint_eq(rec_of("a").flags & F3_INO_ATTR_DIRTY, 0);
	ck_assert_uint_eq(rec_of("d").flags & F3_INO_ATTR_DIRTY, 0);
	/* The same object still, for those who look. */
	ck_assert_uint_eq(rec_of("a").ino, whole_ino("a"));
}
END_TEST

/* A store that would copy attributes over whatever is there: they go with the bytes, or stay here. */
START_TEST(attributes_without_a_fence)
{
	bool again = _i == 0;
	uint64_t ino;
	struct stat st = { .st_mode = 0600 };
	struct f3_inode *inode;
	struct f3_entry e;
	char path[512];

	w.volume->store->caps.set_attr_match = false;
	w.volume->store->caps.put_match = again;
	ck_assert_int_eq(whole_put("a", "x", 1), 0);
	ck_assert_int_eq(f3_ns_setattr(w.core, whole_ino("a"), &st, F3_SET_MODE, &whole_root, &e),
			 0);
	whole_settle();
	ck_assert_uint_eq(whole_count(F3_OBJ_PUT), again ? 2 : 1);
	snprintf(path, sizeof(path), "%s/a", w.store_dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq((st.st_mode & 07777) == 0600, again);
	ck_assert_int_eq(!(rec_of("a").flags & F3_INO_ATTR_DIRTY), again);
	/* Here it is so whatever the store says. */
	ck_assert_uint_eq(rec_of("a").mode, S_IFREG | 0600);
	store_is("a", "x", 1);
	/* With the next bytes at the latest. */
	inode = whole_open_file("a", O_WRONLY);
	whole_write(inode, 0, "y", 1);
	ck_assert_int_eq(whole_flush(inode), 0);
	whole_close(inode, true);
	whole_settle();
	store_is("a", "y", 1);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(rec_of("a").flags & F3_INO_ATTR_DIRTY, 0);
	/* Others have put something there: it is not undone, and what was here is no conflict. */
	ino = whole_ino("a");
	store_write("a", "others", 6);
	st.st_mode = 0640;
	ck_assert_int_eq(f3_ns_setattr(w.core, ino, &st, F3_SET_MODE, &whole_root, &e), 0);
	whole_settle();
	store_is("a", "others", 6);
	ck_assert_uint_eq(whole_count(F3_OBJ_SET_ATTR), 0);
	if (again) {
		ck_assert_uint_ne(whole_ino("a"), ino);
		ck_assert_int_eq(rec_of("a").size, 6);
	}
}
END_TEST

/* ---- Faults at every request of a small file ---- */

static const struct {
	enum f3_object_fault_action action;
	int error;
} faults[] = {
	{ F3_OBJ_FAULT_FAIL, -EIO }, { F3_OBJ_FAULT_FAIL, -ETIMEDOUT }, { F3_OBJ_FAULT_LOSE, 0 },
	{ F3_OBJ_FAULT_DROP, 0 },    { F3_OBJ_FAULT_DUPLICATE, 0 },
};
#define N_FAULTS ((int)(sizeof(faults) / sizeof(faults[0])))

START_TEST(put_survives)
{
	/* First write, then one over an object that is there. */
	for (int again = 0; again < 2; again++) {
		char text[] = "version 0";

		text[8] = (char)('0' + again);
		whole_fault(F3_OBJ_PUT, faults[_i].action, faults[_i].error, 1);
		ck_assert_int_eq(whole_put("a", text, sizeof(text)), 0);
		store_is("a", text, sizeof(text));
		ck_assert_int_eq(whole_state("a"), F3_STATE_CLEAN);
		f3_object_fault_clear(w.fault);
	}
}
END_TEST

/* The answer and the question about it are lost too. */
START_TEST(put_survives_with_head)
{
	whole_fault(F3_OBJ_PUT, faults[_i].action, faults[_i].error, 1);
	whole_fault(F3_OBJ_HEAD, F3_OBJ_FAULT_FAIL, -EIO, 2);
	ck_assert_int_eq(whole_put("a", "x", 1), 0);
	store_is("a", "x", 1);
	ck_assert_int_eq(whole_state("a"), F3_STATE_CLEAN);
}
END_TEST

START_TEST(names_survive)
{
	static const enum f3_obj_type types[] = { F3_OBJ_MKDIR, F3_OBJ_RENAME, F3_OBJ_DELETE,
						  F3_OBJ_RMDIR, F3_OBJ_SET_ATTR };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		whole_fault(types[i], faults[_i].action, faults[_i].error, 1);
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert(store_has("d"));
	ck_assert_int_eq(whole_put("a", "x", 1), 0);
	ck_assert_int_eq(whole_rename("a", "d/b", 0), 0);
	ck_assert(!store_has("a"));
	store_is("d/b", "x", 1);
	ck_assert_uint_eq(whole_ino("a"), 0);
	ck_assert_int_eq(whole_state("d/b"), F3_STATE_CLEAN);
	ck_assert_int_eq(whole_unlink("d/b"), 0);
	ck_assert(!store_has("d/b"));
	ck_assert_uint_eq(whole_ino("d/b"), 0);
	ck_assert_int_eq(whole_rmdir("d"), 0);
	ck_assert(!store_has("d"));
	ck_assert_uint_eq(whole_ino("d"), 0);
	whole_settle();
}
END_TEST

START_TEST(directories_move)
{
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(whole_mkdir("d/e"), 0);
	ck_assert_int_eq(whole_put("d/e/f", "x", 1), 0);
	ck_assert_int_eq(whole_put("d/g", "y", 1), 0);
	whole_fault(F3_OBJ_RENAME, faults[_i].action, faults[_i].error, 1);
	ck_assert_int_eq(whole_rename("d", "n", 0), 0);
	ck_assert(!store_has("d"));
	store_is("n/e/f", "x", 1);
	store_is("n/g", "y", 1);
	ck_assert_uint_eq(whole_ino("d"), 0);
	ck_assert_uint_ne(whole_ino("n/e/f"), 0);
	ck_assert_int_eq(whole_put("n/e/f", "z", 1), 0);
	store_is("n/e/f", "z", 1);
}
END_TEST

/* A store that knows copies and deletes only. */
START_TEST(renames_by_copy)
{
	static const enum f3_obj_type types[] = { F3_OBJ_COPY, F3_OBJ_DELETE, F3_OBJ_MKDIR,
						  F3_OBJ_RMDIR };
	uint64_t ino;

	w.volume->store->caps.rename = false;
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(whole_mkdir("d/e"), 0);
	ck_assert_int_eq(whole_put("d/e/f", "x", 1), 0);
	ck_assert_int_eq(whole_put("d/g", "y", 1), 0);
	ino = whole_ino("d/e/f");
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		whole_fault(types[i], faults[_i].action, faults[_i].error, 1);
	ck_assert_int_eq(whole_rename("d", "n", 0), 0);
	ck_assert(!store_has("d"));
	store_is("n/e/f", "x", 1);
	store_is("n/g", "y", 1);
	/* The same file, though the object is a copy. */
	ck_assert_uint_eq(whole_ino("n/e/f"), ino);
	ck_assert_int_eq(whole_rename("n/g", "h", 0), 0);
	store_is("h", "y", 1);
	ck_assert(!store_has("n/g"));
	ck_assert_int_eq(whole_unlink("h"), 0);
}
END_TEST

/* ---- Failures ---- */

START_TEST(definite_failure_is_the_closes)
{
	whole_fault(F3_OBJ_PUT, F3_OBJ_FAULT_FAIL, -ENOSPC, UINT_MAX);
	ck_assert_int_eq(whole_put("a", "precious", 8), -ENOSPC);
	ck_assert(!store_has("a"));
	ck_assert_uint_eq(w.volume->dirty_bytes, 8);
	/* The bytes stay, and go up when there is room. */
	f3_object_fault_clear(w.fault);
	whole_settle();
	store_is("a", "precious", 8);
	ck_assert_int_eq(whole_state("a"), F3_STATE_CLEAN);
	ck_assert_uint_eq(w.volume->dirty_bytes, 0);
}
END_TEST

/* What no store will take is not sent again and again. */
static void never_taken(bool durable, int error)
{
	struct f3_inode *inode;
	uint64_t puts;

	whole_fault(F3_OBJ_PUT, F3_OBJ_FAULT_FAIL, error, UINT_MAX);
	ck_assert_int_eq(whole_put("a", "precious", 8), durable ? error : 0);
	whole_settle();
	ck_assert_int_eq(whole_state("a"), F3_STATE_FAILED);
	ck_assert_uint_eq(w.volume->dirty_bytes, 8);
	puts = whole_count(F3_OBJ_PUT);
	f3_object_fault_clear(w.fault);
	whole_settle();
	ck_assert_uint_eq(whole_count(F3_OBJ_PUT), puts);
	ck_assert(!store_has("a"));
	/* Who asks later is told, too. */
	inode = whole_open_file("a", O_RDONLY);
	ck_assert_int_eq(whole_flush(inode), error);
	whole_close(inode, false);
	whole_restart();
	whole_settle();
	store_is("a", "precious", 8);
	ck_assert_int_eq(whole_state("a"), F3_STATE_CLEAN);
}

START_TEST(never_taken_durable)
{
	never_taken(true, _i ? -ENAMETOOLONG : -EFBIG);
}
END_TEST

START_TEST(never_taken_writeback)
{
	never_taken(false, _i ? -ENAMETOOLONG : -EFBIG);
}
END_TEST

/* Another name or other bytes may do. */
START_TEST(never_taken_until_changed)
{
	whole_fault(F3_OBJ_PUT, F3_OBJ_FAULT_FAIL, -ENAMETOOLONG, 2);
	ck_assert_int_eq(whole_put("a", "one", 3), -ENAMETOOLONG);
	ck_assert_int_eq(whole_put("b", "two", 3), -ENAMETOOLONG);
	ck_assert_int_eq(whole_rename("a", "c", 0), 0);
	ck_assert_int_eq(whole_put("b", "more", 4), 0);
	whole_settle();
	store_is("c", "one", 3);
	store_is("b", "more", 4);
	ck_assert_int_eq(whole_state("c"), F3_STATE_CLEAN);
	ck_assert_int_eq(whole_state("b"), F3_STATE_CLEAN);
}
END_TEST

START_TEST(a_store_that_is_gone)
{
	uint64_t start = f3_clock_mono_ns();

	whole_fault(F3_OBJ_FAULT_ANY_TYPE, F3_OBJ_FAULT_FAIL, -EIO, UINT_MAX);
	f3_object_fault_clear(w.fault);
	ck_assert_int_eq(whole_put("known", "k", 1), 0);
	whole_fault(F3_OBJ_FAULT_ANY_TYPE, F3_OBJ_FAULT_FAIL, -EIO, UINT_MAX);
	ck_assert_int_eq(whole_put("known", "l", 1), -EIO);
	ck_assert_uint_ge(f3_clock_mono_ns() - start, 300 * F3_NS_PER_MS);
	ck_assert_int_eq(whole_state("known"), F3_STATE_FAILED);
	ck_assert_int_eq(whole_mkdir("d"), -EIO);
	ck_assert_int_eq(whole_rename("known", "other", 0), -EIO);
	ck_assert_int_eq(whole_unlink("known"), -EIO);
	ck_assert_uint_ne(whole_ino("known"), 0);
	f3_object_fault_clear(w.fault);
	whole_settle();
	store_is("known", "l", 1);
	ck_assert_int_eq(whole_state("known"), F3_STATE_CLEAN);
	ck_assert_uint_eq(whole_ino("d"), 0);
	ck_assert(!store_has("d"));
	ck_assert_uint_eq(whole_ino("other"), 0);
}
END_TEST

START_TEST(lost_race_durable)
{
	ck_assert_int_eq(whole_put("a", "ours", 4), 0);
	whole_fault(F3_OBJ_PUT, F3_OBJ_FAULT_HOLD, 0, 1);
	/* Opened while it is ours; then others write, then it is committed. */
	{
		struct f3_inode *inode = whole_open_file("a", O_WRONLY);

		whole_write(inode, 0, "OURS", 4);
		f3_object_fault_clear(w.fault);
		store_write("a", "theirs", 6);
		ck_assert_int_eq(whole_flush(inode), -EIO);
		whole_close(inode, true);
	}
	whole_settle();
	store_is("a", "theirs", 6);
	ck_assert_int_eq(whole_state("a"), F3_STATE_FAILED);
	/* What is written now is meant to be there. */
	ck_assert_int_eq(whole_put("a", "again", 5), 0);
	store_is("a", "again", 5);
	ck_assert_int_eq(whole_state("a"), F3_STATE_CLEAN);
}
END_TEST

/* Appended to in place by somebody who left our mark on the file. */
START_TEST(in_place_change_is_somebody_elses)
{
	struct f3_inode *inode;
	char path[512];
	int fd;

	ck_assert_int_eq(whole_put("a", "ours", 4), 0);
	inode = whole_open_file("a", O_WRONLY);
	whole_write(inode, 0, "OURS", 4);
	snprintf(path, sizeof(path), "%s/a", w.store_dir);
	fd = open(path, O_WRONLY | O_APPEND);
	ck_assert_int_eq(write(fd, " and theirs", 11), 11);
	close(fd);
	ck_assert_int_eq(whole_flush(inode), -EIO);
	whole_close(inode, true);
	store_is("a", "ours and theirs", 15);
}
END_TEST

/* ---- Changes while it is on its way ---- */

struct late {
	struct f3_blocker b;
};

static void begin_late(struct late *l, struct f3_inode *inode)
{
	f3_blocker_init(&l->b);
	ck_assert_int_eq(f3_stage_commit(w.core, inode, &l->b.w), 1);
}

static int end_late(struct late *l)
{
	int r = f3_blocker_wait(&l->b);

	f3_blocker_done(&l->b);
	return r;
}

/* The next PUT waits to be let go, and so on. What holds the first was said before it could come. */
static void next_put(unsigned *nth)
{
	if (*nth) {
		f3_object_fault_clear(w.fault);
		whole_fault(F3_OBJ_PUT, F3_OBJ_FAULT_HOLD_ANSWER, 0, 1);
		f3_object_fault_release(w.fault);
	}
	f3_object_fault_wait_held(w.fault, 1);
	++*nth;
}

/* A file that changes during each round: who came first is told after three, who came last has
 * three of his own. Too large to be copied; a file system that can clone never comes here. */
START_TEST(late_waiter_has_rounds_of_his_own)
{
	struct f3_inode *inode = whole_create("a");
	char *bytes = calloc(1, 2 * MB);
	struct late first, last;
	unsigned puts = 0;

	if (f3_backing_caps(f3_file_store(inode))->reflink) {
		printf("skipped: the file system makes clones\n");
		whole_close(inode, true);
		free(bytes);
		return;
	}
	whole_write(inode, 0, bytes, 2 * MB);
	whole_fault(F3_OBJ_PUT, F3_OBJ_FAULT_HOLD_ANSWER, 0, 1);
	begin_late(&first, inode);
	for (int round = 0; round < 3; round++) {
		next_put(&puts);
		if (round == 2)
			begin_late(&last, inode);
		bytes[0] = (char)(round + 1);
		whole_write(inode, 0, bytes, 1);
	}
	next_put(&puts);
	ck_assert_int_eq(end_late(&first), -EBUSY);
	f3_object_fault_clear(w.fault);
	f3_object_fault_release(w.fault);
	ck_assert_int_eq(end_late(&last), 0);
	store_is("a", bytes, 2 * MB);
	whole_close(inode, true);
	free(bytes);
}
END_TEST

/* A small file is copied: nobody has to wait for a writer to hold still. */
START_TEST(small_file_holds_still)
{
	struct f3_inode *inode = whole_create("a");
	struct late l;

	whole_write(inode, 0, "one", 3);
	whole_fault(F3_OBJ_PUT, F3_OBJ_FAULT_HOLD, 0, 1);
	begin_late(&l, inode);
	f3_object_fault_wait_held(w.fault, 1);
	whole_write(inode, 0, "two", 3);
	f3_object_fault_clear(w.fault);
	f3_object_fault_release(w.fault);
	ck_assert_int_eq(end_late(&l), 0);
	store_is("a", "one", 3);
	ck_assert(f3_stage_needed(w.core, inode));
	ck_assert_int_eq(whole_flush(inode), 0);
	store_is("a", "two", 3);
	whole_close(inode, true);
}
END_TEST

/* What a rename finds under way, and how the request ends that it stops. */
static const enum f3_object_fault_action stops[] = { F3_OBJ_FAULT_HOLD, F3_OBJ_FAULT_HOLD_ANSWER,
						     F3_OBJ_FAULT_DROP, F3_OBJ_FAULT_LOSE };
#define N_STOPS ((int)(sizeof(stops) / sizeof(stops[0])))

/* A commit of `path` of which the PUT ends so, and whose answer cannot be asked for. */
static void stop_in_put(struct f3_inode *inode, enum f3_object_fault_action action, struct late *l)
{
	bool holds = action == F3_OBJ_FAULT_HOLD || action == F3_OBJ_FAULT_HOLD_ANSWER;

	whole_fault(F3_OBJ_PUT, action, 0, 1);
	if (!holds)
		whole_fault(F3_OBJ_HEAD, F3_OBJ_FAULT_HOLD, 0, 1);
	begin_late(l, inode);
	f3_object_fault_wait_held(w.fault, 1);
	f3_object_fault_clear(w.fault);
}

static void *let_go(void *arg)
{
	(void)arg;
	/* The rename stops the commit as soon as it can: a canceled request need not wait. */
	f3_object_fault_release(w.fault);
	return NULL;
}

/* A new file, renamed while it is committed for the first time. */
START_TEST(rename_of_what_is_committed)
{
	struct f3_inode *inode = whole_create("a");
	pthread_t thread;
	struct late l;

	whole_write(inode, 0, "x", 1);
	stop_in_put(inode, stops[_i], &l);
	ck_assert_int_eq(pthread_create(&thread, NULL, let_go, NULL), 0);
	ck_assert_int_eq(whole_rename("a", "b", 0), 0);
	pthread_join(thread, NULL);
	ck_assert_int_eq(end_late(&l), 0);
	whole_close(inode, true);
	whole_settle();
	ck_assert(!store_has("a"));
	store_is("b", "x", 1);
	ck_assert_int_eq(whole_state("b"), F3_STATE_CLEAN);
	ck_assert_uint_eq(whole_ino("a"), 0);
}
END_TEST

/* Another file is renamed over the one that is being committed (anew). */
START_TEST(rename_over_what_is_committed)
{
	struct f3_inode *target, *inode = whole_create("new");
	pthread_t thread;
	struct late l;

	if (_i >= N_STOPS)
		ck_assert_int_eq(whole_put("a", "old", 3), 0);
	target = _i >= N_STOPS ? whole_open_file("a", O_RDWR) : whole_create("a");
	whole_write(target, 0, "mid", 3);
	stop_in_put(target, stops[_i % N_STOPS], &l);
	whole_write(inode, 0, "new", 3);
	ck_assert_int_eq(pthread_create(&thread, NULL, let_go, NULL), 0);
	ck_assert_int_eq(whole_rename("new", "a", 0), 0);
	pthread_join(thread, NULL);
	(void)end_late(&l);
	ck_assert_int_eq(whole_flush(inode), 0);
	whole_close(inode, true);
	whole_close(target, true);
	whole_settle();
	store_is("a", "new", 3);
	ck_assert(!store_has("new"));
	ck_assert_int_eq(whole_state("a"), F3_STATE_CLEAN);
	whole_restart();
	store_is("a", "new", 3);
}
END_TEST

START_TEST(unlink_of_what_is_committed)
{
	struct f3_inode *inode = whole_create("a");
	pthread_t thread;
	struct late l;

	whole_write(inode, 0, "x", 1);
	stop_in_put(inode, stops[_i], &l);
	ck_assert_int_eq(pthread_create(&thread, NULL, let_go, NULL), 0);
	ck_assert_int_eq(whole_unlink("a"), 0);
	pthread_join(thread, NULL);
	(void)end_late(&l);
	whole_close(inode, true);
	whole_settle();
	ck_assert(!store_has("a"));
	ck_assert_uint_eq(whole_ino("a"), 0);
}
END_TEST

START_TEST(truncate_of_what_is_committed)
{
	struct f3_inode *inode = whole_create("a");
	struct late l;

	whole_write(inode, 0, "long content", 12);
	stop_in_put(inode, stops[_i], &l);
	ck_assert_int_eq(f3_file_truncate(w.core, inode, 4, &whole_root), 0);
	f3_object_fault_release(w.fault);
	ck_assert_int_eq(end_late(&l), 0);
	ck_assert_int_eq(whole_flush(inode), 0);
	whole_close(inode, true);
	whole_settle();
	store_is("a", "long", 4);
	ck_assert_int_eq(whole_state("a"), F3_STATE_CLEAN);
}
END_TEST

/* ---- Writeback ---- */

START_TEST(conflict_file)
{
	struct f3_inode *inode;
	struct f3_inode_rec rec;
	char found[256] = "";
	struct dirent *d;
	DIR *dir;

	ck_assert_int_eq(whole_put("a", "one", 3), 0);
	whole_settle();
	inode = whole_open_file("a", O_WRONLY);
	whole_write(inode, 0, "two", 3);
	store_write("a", "theirs", 6);
	whole_close(inode, true);
	whole_settle();
	store_is("a", "theirs", 6);
	dir = opendir(w.store_dir);
	ck_assert_ptr_nonnull(dir);
	while ((d = readdir(dir)))
		if (!strncmp(d->d_name, "a.f3-conflict-", 14))
			snprintf(found, sizeof(found), "%s", d->d_name);
	closedir(dir);
	ck_assert_str_ne(found, "");
	store_is(found, "two", 3);
	rec = rec_of(found);
	ck_assert(rec.flags & F3_INO_PINNED);
	ck_assert_uint_eq(rec.flags & F3_INO_DIRTY, 0);
	ck_assert_uint_ne(whole_ino("a"), rec.ino);
	ck_assert_uint_ne(whole_ino("a"), 0);
}
END_TEST

START_TEST(born_and_deleted)
{
	ck_assert_int_eq(whole_put("a", "x", 1), 0);
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(whole_put("d/b", "y", 1), 0);
	ck_assert_int_eq(whole_unlink("a"), 0);
	ck_assert_int_eq(whole_unlink("d/b"), 0);
	whole_settle();
	ck_assert_uint_eq(whole_count(F3_OBJ_PUT), 0);
	ck_assert_uint_eq(whole_count(F3_OBJ_DELETE), 0);
	ck_assert_uint_eq(w.volume->dirty_bytes, 0);
	ck_assert_int_eq(whole_rmdir("d"), 0);
	whole_settle();
	ck_assert(!store_has("d"));
}
END_TEST

/* A directory that comes and goes while the store is busy: never told. */
START_TEST(directory_born_and_removed)
{
	whole_fault(F3_OBJ_MKDIR, F3_OBJ_FAULT_HOLD, 0, UINT_MAX);
	/* So many that one waits for its turn. */
	for (unsigned i = 0; i < w.core->opt.stage_parallel; i++) {
		char name[16];

		snprintf(name, sizeof(name), "busy%u", i);
		ck_assert_int_eq(whole_mkdir(name), 0);
	}
	f3_object_fault_wait_held(w.fault, w.core->opt.stage_parallel);
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(whole_rmdir("d"), 0);
	f3_object_fault_clear(w.fault);
	f3_object_fault_release(w.fault);
	whole_settle();
	ck_assert_uint_eq(whole_count(F3_OBJ_MKDIR), w.core->opt.stage_parallel);
	ck_assert_uint_eq(whole_count(F3_OBJ_RMDIR), 0);
	ck_assert(!store_has("d"));
}
END_TEST

/* What was removed here is not said to be the doing of others. */
START_TEST(directory_renamed_and_removed)
{
	char path[sizeof(w.dir) + 8], text[4096] = "";
	FILE *log;

	snprintf(path, sizeof(path), "%s/log", w.dir);
	ck_assert_int_eq(f3_log_open(path, false, F3_LOG_INFO, NULL), 0);
	ck_assert_int_eq(whole_mkdir("known"), 0);
	whole_settle();
	whole_fault(F3_OBJ_MKDIR, F3_OBJ_FAULT_HOLD, 0, UINT_MAX);
	for (unsigned i = 0; i < w.core->opt.stage_parallel; i++) {
		char name[16];

		snprintf(name, sizeof(name), "busy%u", i);
		ck_assert_int_eq(whole_mkdir(name), 0);
	}
	f3_object_fault_wait_held(w.fault, w.core->opt.stage_parallel);
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(whole_rename("d", "e", 0), 0);
	ck_assert_int_eq(whole_rmdir("e"), 0);
	ck_assert_int_eq(whole_rename("known", "here", 0), 0);
	store_remove("known");
	f3_object_fault_clear(w.fault);
	f3_object_fault_release(w.fault);
	whole_settle();
	f3_log_close();
	log = fopen(path, "r");
	ck_assert_ptr_nonnull(log);
	ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, log), 0);
	fclose(log);
	ck_assert_ptr_nonnull(strstr(text, ": known was changed by others"));
	ck_assert_ptr_null(strstr(text, ": d was changed by others"));
	ck_assert(!store_has("d"));
	ck_assert(!store_has("e"));
}
END_TEST

/* Renamed and removed while its bytes are on their way. */
START_TEST(rename_of_what_is_going_up)
{
	struct f3_inode *inode;

	whole_fault(F3_OBJ_PUT, F3_OBJ_FAULT_HOLD_ANSWER, 0, 1);
	ck_assert_int_eq(whole_put("a", "x", 1), 0);
	ck_assert_int_eq(f3_inode_get(w.core, whole_ino("a"), &inode), 0);
	ck_assert_int_eq(f3_stage_commit(w.core, inode, NULL), 0);
	(void)f3_stage_sync_local(w.core, inode);
	{
		struct f3_blocker b;

		/* No delay: somebody waits. */
		f3_blocker_init(&b);
		ck_assert_int_eq(f3_stage_commit(w.core, inode, &b.w), 1);
		f3_object_fault_wait_held(w.fault, 1);
		f3_object_fault_clear(w.fault);
		f3_object_fault_release(w.fault);
		ck_assert_int_eq(f3_blocker_wait(&b), 0);
		f3_blocker_done(&b);
	}
	ck_assert_int_eq(whole_rename("a", "b", 0), 0);
	whole_settle();
	ck_assert(!store_has("a"));
	store_is("b", "x", 1);
	f3_inode_put(w.core, inode);
}
END_TEST

/* What is not up yet below a directory that is renamed goes to where the directory is in the store
 * at that time: the new place would be in the rename's way, or be overwritten by it. */
START_TEST(directory_moves_before_its_files_are_up)
{
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(whole_mkdir("d/e"), 0);
	ck_assert_int_eq(whole_put("d/e/a", "one", 3), 0);
	whole_settle();
	ck_assert_int_eq(whole_put("d/e/a", "two", 3), 0);
	ck_assert_int_eq(whole_put("d/e/b", "new", 3), 0);
	ck_assert_int_eq(whole_mkdir("d/f"), 0);
	ck_assert_int_eq(whole_rename("d", "n", (unsigned)_i), 0);
	ck_assert_int_eq(whole_rename("n/e", "m", (unsigned)_i), 0);
	ck_assert_int_eq(whole_put("m/c", "late", 4), 0);
	whole_settle();
	store_is("m/a", "two", 3);
	store_is("m/b", "new", 3);
	store_is("m/c", "late", 4);
	ck_assert(store_has("n/f"));
	ck_assert(!store_has("n/e"));
	ck_assert(!store_has("d"));
	ck_assert_int_eq(whole_state("m/a"), F3_STATE_CLEAN);
	whole_restart();
	ck_assert_uint_ne(whole_ino("m/a"), 0);
	ck_assert_uint_eq(whole_ino("d"), 0);
}
END_TEST

START_TEST(writeback_survives)
{
	static const enum f3_obj_type types[] = { F3_OBJ_PUT, F3_OBJ_MKDIR, F3_OBJ_RENAME,
						  F3_OBJ_DELETE, F3_OBJ_RMDIR };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		whole_fault(types[i], faults[_i].action, faults[_i].error, 3);
	ck_assert_int_eq(whole_mkdir("d"), 0);
	ck_assert_int_eq(whole_put("d/a", "one", 3), 0);
	whole_settle();
	ck_assert_int_eq(whole_rename("d/a", "b", 0), 0);
	ck_assert_int_eq(whole_put("d/a", "two", 3), 0);
	ck_assert_int_eq(whole_rename("d", "n", 0), 0);
	ck_assert_int_eq(whole_put("n/c", "three", 5), 0);
	whole_settle();
	store_is("b", "one", 3);
	store_is("n/a", "two", 3);
	store_is("n/c", "three", 5);
	ck_assert(!store_has("d"));
	ck_assert_int_eq(whole_unlink("n/a"), 0);
	ck_assert_int_eq(whole_unlink("n/c"), 0);
	ck_assert_int_eq(whole_rmdir("n"), 0);
	whole_settle();
	ck_assert(!store_has("n"));
	store_is("b", "one", 3);
	ck_assert_int_eq(whole_state("b"), F3_STATE_CLEAN);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("core_stage");
	TCase *t = tcase_create("durable"), *wb = tcase_create("writeback"),
	      *gone = tcase_create("gone");

	tcase_add_checked_fixture(t, durable, whole_stop);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, close_is_durable);
	tcase_add_test(t, second_flush_has_nothing_to_do);
	tcase_add_test(t, sealed_without_a_flush);
	tcase_add_test(t, links_and_empty_files);
	tcase_add_test(t, attributes_follow);
	tcase_add_loop_test(t, attributes_without_a_fence, 0, 2);
	tcase_add_loop_test(t, put_survives, 0, N_FAULTS);
	tcase_add_loop_test(t, put_survives_with_head, 0, N_FAULTS);
	tcase_add_loop_test(t, names_survive, 0, N_FAULTS);
	tcase_add_loop_test(t, directories_move, 0, N_FAULTS);
	tcase_add_loop_test(t, renames_by_copy, 0, N_FAULTS);
	tcase_add_test(t, definite_failure_is_the_closes);
	tcase_add_loop_test(t, never_taken_durable, 0, 2);
	tcase_add_test(t, never_taken_until_changed);
	tcase_add_test(t, lost_race_durable);
	tcase_add_test(t, in_place_change_is_somebody_elses);
	tcase_add_test(t, late_waiter_has_rounds_of_his_own);
	tcase_add_test(t, small_file_holds_still);
	tcase_add_loop_test(t, rename_of_what_is_committed, 0, N_STOPS);
	tcase_add_loop_test(t, rename_over_what_is_committed, 0, 2 * N_STOPS);
	tcase_add_loop_test(t, unlink_of_what_is_committed, 0, N_STOPS);
	tcase_add_loop_test(t, truncate_of_what_is_committed, 0, N_STOPS);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(gone, durable_impatient, whole_stop);
	tcase_set_timeout(gone, 60);
	tcase_add_test(gone, a_store_that_is_gone);
	suite_add_tcase(s, gone);
	tcase_add_checked_fixture(wb, writeback, whole_stop);
	tcase_set_timeout(wb, 60);
	tcase_add_test(wb, conflict_file);
	tcase_add_loop_test(wb, never_taken_writeback, 0, 2);
	tcase_add_test(wb, born_and_deleted);
	tcase_add_test(wb, directory_born_and_removed);
	tcase_add_test(wb, directory_renamed_and_removed);
	tcase_add_test(wb, rename_of_what_is_going_up);
	/* without and with RENAME_NOREPLACE */
	tcase_add_loop_test(wb, directory_moves_before_its_files_are_up, 0, 2);
	tcase_add_loop_test(wb, writeback_survives, 0, N_FAULTS);
	suite_add_tcase(s, wb);
	return s;
}

int main(void)
{
	return whole_run(suite());
}
