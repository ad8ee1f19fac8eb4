/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What others do to a store, as seen here, and what their doing must not touch.
 */
#include "config.h"

#include "fs/core/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/core/journal_run.h"
#include "fs/core/stage.h"
#include "fs/core/xattr.h"
#include "tests/unit/core_whole.h"
#include "tests/unit/unit.h"

static void durable(void)
{
	whole_start("durable", 300);
}

static char *path_of(const char *key)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", w.store_dir, key);
	return path;
}

static struct stat stat_of(const char *path)
{
	struct f3_entry e;

	ck_assert_uint_ne(whole_ino(path), 0);
	ck_assert_int_eq(f3_ns_getattr(w.core, whole_ino(path), &e), 0);
	return e.st;
}

static int count_one(void *arg, const char *name, size_t len, uint64_t cookie,
		     const struct f3_entry *e)
{
	(void)len;
	(void)cookie;
	(void)e;
	*(unsigned *)arg += name[0] != '.';
	return 0;
}

static unsigned entries(const char *path)
{
	unsigned n = 0;

	ck_assert_int_eq(
		f3_ns_readdir(w.core, whole_ino(path), 0, true, &whole_root, count_one, &n), 0);
	return n;
}

static struct f3_inode *hold(const char *path)
{
	struct f3_inode *inode;

	ck_assert_int_eq(f3_inode_get(w.core, whole_ino(path), &inode), 0);
	return inode;
}

START_TEST(appears)
{
	uint64_t before = w.volume->used_inodes;
	struct stat st;
	struct f3_inode *inode;
	char target[32];

	store_write("a", "hello", 5);
	ck_assert_int_eq(chmod(path_of("a"), 0604), 0);
	ck_assert_int_eq(chown(path_of("a"), geteuid() ? getuid() : 77, getgid()), 0);
	ck_assert_int_eq(mkdir(path_of("d"), 0750), 0);
	store_write("d/b", "", 0);
	ck_assert_int_eq(symlink("d/b", path_of("l")), 0);
	ck_assert_int_eq(mkfifo(path_of("p"), 0600), 0);
	ck_assert_uint_eq(entries(""), 4);
	st = stat_of("a");
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0604);
	ck_assert_uint_eq(st.st_uid, geteuid() ? getuid() : 77);
	ck_assert_int_eq(st.st_size, 5);
	ck_assert_uint_eq(st.st_nlink, 1);
	st = stat_of("d");
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0750);
	ck_assert_uint_eq(entries("d"), 1);
	ck_assert_uint_eq(stat_of("").st_nlink, 3);
	ck_assert_uint_eq(stat_of("p").st_mode & S_IFMT, S_IFIFO);
	ck_assert_int_eq(f3_ns_readlink(w.core, whole_ino("l"), target, sizeof(target)), 0);
	ck_assert_str_eq(target, "d/b");
	inode = whole_open_file("a", O_RDONLY);
	ck_assert_uint_eq(inode->rec.state, F3_STATE_FILLING);
	whole_close(inode, false);
	ck_assert_uint_eq(w.volume->used_inodes, before + 5);
}
END_TEST

START_TEST(one_name_at_a_time)
{
	store_write("a", "x", 1);
	store_write("b", "x", 1);
	ck_assert_uint_ne(whole_ino("a"), 0);
	ck_assert_uint_eq(whole_count(F3_OBJ_LIST), 0);
	ck_assert_uint_eq(whole_ino("c"), 0);
	ck_assert_uint_eq(whole_ino("b/x"), 0);
}
END_TEST

START_TEST(changes)
{
	struct f3_inode *inode;
	uint64_t ino;

	store_write("a", "one", 3);
	ino = whole_ino("a");
	inode = whole_open_file("a", O_RDONLY);
	ck_assert_int_eq(f3_store_inode_check(w.core, inode, false), 0);
	store_write("a", "two and more", 12);
	ck_assert_uint_ne(whole_ino("a"), ino);
	ck_assert_int_eq(stat_of("a").st_size, 12);
	/* The old one goes on for who has it open. */
	ck_assert(inode->rec.flags & F3_INO_ORPHAN);
	ck_assert_int_eq(inode->rec.size, 3);
	whole_close(inode, false);
}
END_TEST

#ifdef F3_DEBUG_POINTS
/* The database has no room for what others did: nothing has happened here, and what did not happen is
 * done as soon as there is room. The file is known, is open, or is gone in the store. */
START_TEST(what_cannot_be_written_down)
{
	struct f3_inode *inode, *dir = hold("");
	uint64_t ino, names;
	int r;

	store_write("a", "one", 3);
	ino = whole_ino("a");
	inode = _i == 1 ? whole_open_file("a", O_RDONLY) : hold("a");
	names = dir->rec.size;
	if (_i == 2)
		ck_assert_int_eq(unlink(path_of("a")), 0);
	else
		store_write("a", "two and more", 12);
	ck_assert_int_eq(f3_fault_arm("kv.write", "ENOSPCx1"), 0);
	ck_assert_int_eq(f3_store_inode_check(w.core, inode, false), -ENOSPC);
	ck_assert_uint_eq(f3_fault_happened("kv.write"), 1);
	ck_assert_int_eq(f3_fault_arm("kv.write", NULL), 0);
	ck_assert(!inode->dead && !inode->superseded && !(inode->rec.flags & F3_INO_ORPHAN));
	ck_assert_uint_eq(inode->rec.nlink, 1);
	ck_assert_uint_eq(inode->rec.parent, dir->ino);
	ck_assert_uint_eq(dir->rec.size, names);
	/* The database looks for room again by and by. */
	do
		r = f3_store_inode_check(w.core, inode, false);
	while (r == -ENOSPC);
	ck_assert_int_eq(r, -ESTALE);
	ck_assert(inode->superseded);
	ck_assert_uint_eq(dir->rec.size, names - (_i == 2));
	if (_i == 2)
		ck_assert_uint_eq(whole_ino("a"), 0);
	else
		ck_assert_uint_ne(whole_ino("a"), ino);
	if (_i == 1)
		whole_close(inode, false);
	else
		f3_inode_put(w.core, inode);
	f3_inode_put(w.core, dir);
}
END_TEST

START_TEST(attributes_that_cannot_be_written_down)
{
	struct f3_inode *inode, *dir = hold("");
	int r;

	ck_assert_int_eq(mkdir(path_of("d"), 0755), 0);
	inode = hold("d");
	ck_assert_int_eq(chmod(path_of("d"), 0700), 0);
	ck_assert_int_eq(f3_fault_arm("kv.write", "ENOSPCx1"), 0);
	ck_assert_int_eq(f3_store_dir_lookup(w.core, dir, "d", 1), -ENOSPC);
	ck_assert_int_eq(f3_fault_arm("kv.write", NULL), 0);
	ck_assert_uint_eq(inode->rec.mode, S_IFDIR | 0755);
	do
		r = f3_store_dir_lookup(w.core, dir, "d", 1);
	while (r == -ENOSPC);
	ck_assert_int_eq(r, 0);
	ck_assert_uint_eq(inode->rec.mode, S_IFDIR | 0700);
	f3_inode_put(w.core, inode);
	f3_inode_put(w.core, dir);
}
END_TEST
#endif

/* Close-to-open: whatever is known, an open asks. */
START_TEST(open_asks)
{
	struct f3_inode *inode;
	struct f3_open_plan plan;

	store_write("a", "one", 3);
	inode = hold("a");
	store_write("a", "other", 5);
	ck_assert_int_eq(f3_file_open(w.core, inode, O_RDONLY, &whole_root, &plan), -ESTALE);
	f3_inode_put(w.core, inode);
	inode = whole_open_file("a", O_RDONLY);
	ck_assert_uint_eq(inode->rec.size, 5);
	whole_close(inode, false);
}
END_TEST

START_TEST(disappears)
{
	ck_assert_int_eq(mkdir(path_of("d"), 0755), 0);
	ck_assert_int_eq(mkdir(path_of("d/e"), 0755), 0);
	store_write("d/e/f", "x", 1);
	store_write("d/g", "x", 1);
	store_write("h", "x", 1);
	ck_assert_uint_ne(whole_ino("d/e/f"), 0);
	ck_assert_uint_eq(entries("d"), 2);
	store_remove("h");
	ck_assert_uint_eq(whole_ino("h"), 0);
	store_remove("d/e/f");
	store_remove("d/e");
	store_remove("d/g");
	ck_assert_uint_eq(entries("d"), 0);
	store_remove("d");
	ck_assert_uint_eq(entries(""), 0);
	ck_assert_uint_eq(stat_of("").st_nlink, 2);
}
END_TEST

/* A directory of others goes as a whole; with something of ours in it, it stays. */
START_TEST(tree_disappears)
{
	ck_assert_int_eq(mkdir(path_of("d"), 0755), 0);
	store_write("d/a", "x", 1);
	ck_assert_int_eq(mkdir(path_of("n"), 0755), 0);
	store_write("n/a", "x", 1);
	ck_assert_uint_ne(whole_ino("d/a"), 0);
	ck_assert_uint_ne(whole_ino("n/a"), 0);
	{
		struct f3_inode *inode = whole_create("n/mine");

		whole_write(inode, 0, "m", 1);
		store_remove("d/a");
		store_remove("d");
		store_remove("n/a");
		store_remove("n");
		ck_assert_uint_eq(whole_ino("d"), 0);
		ck_assert_uint_ne(whole_ino("n"), 0);
		ck_assert_uint_ne(whole_ino("n/mine"), 0);
		ck_assert_int_eq(whole_flush(inode), 0);
		whole_close(inode, true);
	}
	store_is("n/mine", "m", 1);
}
END_TEST

START_TEST(file_becomes_directory)
{
	store_write("a", "x", 1);
	ck_assert_uint_eq(stat_of("a").st_mode & S_IFMT, S_IFREG);
	store_remove("a");
	ck_assert_int_eq(mkdir(path_of("a"), 0755), 0);
	store_write("a/b", "x", 1);
	ck_assert_uint_eq(stat_of("a").st_mode & S_IFMT, S_IFDIR);
	ck_assert_uint_ne(whole_ino("a/b"), 0);
	store_remove("a/b");
	store_remove("a");
	store_write("a", "yy", 2);
	ck_assert_int_eq(stat_of("a").st_size, 2);
	ck_assert_uint_eq(stat_of("").st_nlink, 2);
}
END_TEST

/* What is not up yet counts for more than what the store says. */
START_TEST(ours_is_not_touched)
{
	struct f3_inode *inode = whole_create("a");

	whole_write(inode, 0, "mine", 4);
	ck_assert_uint_eq(entries(""), 1);
	ck_assert_uint_eq(whole_ino("a"), inode->ino);
	store_write("a", "theirs", 6);
	ck_assert_uint_eq(entries(""), 1);
	ck_assert_uint_eq(whole_ino("a"), inode->ino);
	ck_assert_int_eq(whole_flush(inode), -EIO);
	whole_close(inode, true);
	ck_assert_uint_ne(whole_ino("a"), 0);
	store_is("a", "theirs", 6);
}
END_TEST

/* ---- Answers that are older than a change of ours ---- */

static void *ask(void *arg)
{
	const char *what = arg;
	struct f3_inode *root;

	ck_assert_int_eq(f3_inode_get(w.core, w.root, &root), 0);
	if (*what)
		ck_assert_int_eq(f3_store_dir_lookup(w.core, root, what, strlen(what)), 0);
	else
		ck_assert_int_eq(f3_store_dir_list(w.core, root), 0);
	f3_inode_put(w.core, root);
	return NULL;
}

static const char *const questions[] = { "", "a", "b" };

/* The store has answered, the answer is on its way: a is there, b is not. */
static pthread_t ask_early(int i)
{
	pthread_t thread;

	ck_assert_int_eq(whole_put("a", "x", 1), 0);
	whole_fault(*questions[i] ? F3_OBJ_HEAD : F3_OBJ_LIST, F3_OBJ_FAULT_HOLD_ANSWER, 0, 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, ask, (void *)(uintptr_t)questions[i]), 0);
	f3_object_fault_wait_held(w.fault, 1);
	f3_object_fault_clear(w.fault);
	return thread;
}

static void answer(pthread_t thread)
{
	f3_object_fault_release(w.fault);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

static bool known(const char *name)
{
	struct f3_meta_name found;

	return !f3_meta_get_name(w.core->meta, w.root, name, strlen(name), &found);
}

START_TEST(old_answer_after_unlink)
{
	pthread_t thread = ask_early(_i);

	ck_assert_int_eq(f3_ns_unlink(w.core, w.root, "a", &whole_root), 0);
	answer(thread);
	ck_assert(!known("a"));
}
END_TEST

START_TEST(old_answer_after_create)
{
	pthread_t thread = ask_early(_i);
	struct f3_inode *inode = whole_create("b");

	whole_write(inode, 0, "y", 1);
	ck_assert_int_eq(whole_flush(inode), 0);
	whole_close(inode, true);
	answer(thread);
	ck_assert(known("b"));
	ck_assert_int_eq(whole_state("b"), F3_STATE_CLEAN);
}
END_TEST

START_TEST(old_answer_after_rename)
{
	uint64_t ino;
	pthread_t thread = ask_early(_i);
	struct f3_meta_name found;

	ck_assert_int_eq(f3_meta_get_name(w.core->meta, w.root, "a", 1, &found), 0);
	ino = found.ino;
	ck_assert_int_eq(f3_ns_rename(w.core, w.root, "a", w.root, "b", 0, &whole_root), 0);
	answer(thread);
	ck_assert(!known("a"));
	ck_assert_uint_eq(whole_ino("b"), ino);
}
END_TEST

START_TEST(old_answer_after_rewrite)
{
	pthread_t thread = ask_early(_i);
	struct f3_meta_name found;
	uint64_t ino;

	ck_assert_int_eq(f3_meta_get_name(w.core->meta, w.root, "a", 1, &found), 0);
	ino = found.ino;
	ck_assert_int_eq(whole_put("a", "other", 5), 0);
	answer(thread);
	ck_assert_uint_eq(whole_ino("a"), ino);
	store_is("a", "other", 5);
}
END_TEST

/* ---- Names that change while an open asks ---- */

struct opening {
	pthread_t thread;
	struct f3_inode *inode;
	int result;
};

static void *open_it(void *arg)
{
	struct opening *o = arg;
	struct f3_open_plan plan;

	o->result = f3_file_open(w.core, o->inode, O_RDONLY, &whole_root, &plan);
	return NULL;
}

/* The store is asked, and does not see the question before `opened`. */
static void open_early(struct opening *o, const char *path)
{
	/* A close has its answer a moment before its entry leaves the journal, which covers the name. */
	whole_settle();
	o->inode = hold(path);
	whole_fault(F3_OBJ_HEAD, F3_OBJ_FAULT_HOLD, 0, 1);
	ck_assert_int_eq(pthread_create(&o->thread, NULL, open_it, o), 0);
	f3_object_fault_wait_held(w.fault, 1);
	f3_object_fault_clear(w.fault);
}

static void opened(struct opening *o, int result)
{
	answer(o->thread);
	ck_assert_int_eq(o->result, result);
	if (!result)
		f3_file_release(w.core, o->inode, false, false);
}

/* By a program of this node: what was opened is what the name led to when it was looked up. */
START_TEST(taken_away_while_opened)
{
	struct opening o;

	ck_assert_int_eq(whole_put("a", "old", 3), 0);
	ck_assert_int_eq(whole_put("b", "new", 3), 0);
	open_early(&o, "a");
	ck_assert_int_eq(_i ? whole_unlink("a") : whole_rename("b", "a", 0), 0);
	opened(&o, 0);
	ck_assert_uint_eq(o.inode->rec.nlink, 0);
	ck_assert_int_eq(known("a"), !_i);
	f3_inode_put(w.core, o.inode);
}
END_TEST

START_TEST(renamed_while_opened)
{
	struct opening o;

	ck_assert_int_eq(whole_put("a", "old", 3), 0);
	open_early(&o, "a");
	ck_assert_int_eq(whole_rename("a", "b", 0), 0);
	/* And under its old name is something else. */
	if (_i)
		ck_assert_int_eq(whole_put("a", "new", 3), 0);
	opened(&o, 0);
	ck_assert_uint_eq(whole_ino("b"), o.inode->ino);
	ck_assert_int_eq(known("a"), _i);
	f3_inode_put(w.core, o.inode);
}
END_TEST

/* By others, whoever notices it first. */
START_TEST(replaced_while_opened)
{
	struct opening o;

	ck_assert_int_eq(whole_put("a", "old", 3), 0);
	open_early(&o, "a");
	store_write("a", "theirs", 6);
	if (_i)
		ck_assert_int_eq(stat_of("a").st_size, 6);
	opened(&o, -ESTALE);
	ck_assert_int_eq(stat_of("a").st_size, 6);
	f3_inode_put(w.core, o.inode);
}
END_TEST

/* ---- Without a store ---- */

START_TEST(what_is_known_is_served)
{
	struct f3_inode *inode;
	struct f3_entry e;
	uint64_t ttl;

	ck_assert_int_eq(whole_put("a", "x", 1), 0);
	store_write("far", "y", 1);
	ck_assert_uint_eq(entries(""), 2);
	whole_fault(F3_OBJ_FAULT_ANY_TYPE, F3_OBJ_FAULT_FAIL, -EIO, UINT_MAX);
	ck_assert_uint_eq(entries(""), 2);
	ck_assert_int_eq(f3_ns_lookup(w.core, w.root, "a", &whole_root, &e, &ttl), 0);
	ck_assert_int_eq(f3_ns_lookup(w.core, w.root, "new", &whole_root, &e, &ttl), -EIO);
	inode = whole_open_file("a", O_RDONLY);
	whole_close(inode, false);
	inode = hold("far");
	{
		struct f3_open_plan plan;

		ck_assert_int_eq(f3_file_open(w.core, inode, O_RDONLY, &whole_root, &plan), -EIO);
	}
	f3_inode_put(w.core, inode);
}
END_TEST

/* ---- What must not come in ---- */

START_TEST(no_rights_from_outside)
{
	struct f3_inode *inode;

	if (geteuid()) {
		printf("not root: nobody else's rights to be taken\n");
		return;
	}
	store_write("s", "x", 1);
	ck_assert_int_eq(chmod(path_of("s"), 06755), 0);
	ck_assert_int_eq(mknod(path_of("c"), S_IFCHR | 0666, makedev(1, 1)), 0);
	ck_assert_int_eq(setxattr(path_of("s"), "trusted.x", "1", 1, 0), 0);
	ck_assert_uint_eq(stat_of("s").st_mode, S_IFREG | 0755);
	ck_assert_uint_eq(stat_of("c").st_mode, S_IFCHR);
	inode = hold("s");
	ck_assert_uint_eq(inode->rec.flags & F3_INO_HAS_CAPS, 0);
	f3_inode_put(w.core, inode);
}
END_TEST

START_TEST(xattrs_come_and_go)
{
	char value[8] = "";

	store_write("a", "x", 1);
	if (setxattr(path_of("a"), "user.colour", "red", 3, 0)) {
		printf("no user xattrs on the file system of /tmp: %s\n", strerror(errno));
		return;
	}
	ck_assert(stat_of("a").st_size == 1);
	{
		struct f3_buf out;
		struct f3_inode *inode = hold("a");

		f3_buf_init(&out, 64);
		ck_assert_int_eq(
			f3_meta_get_xattr(w.core->meta, inode->ino, "user.colour", 11, &out), 0);
		ck_assert_uint_eq(out.len, 3);
		f3_buf_done(&out);
		/* Changed here it reaches the object. */
		ck_assert_int_eq(f3_xattr_set(w.core, inode->ino, "user.colour", "blue", 4, 0,
					      false, &whole_root),
				 0);
		f3_inode_put(w.core, inode);
	}
	whole_settle();
	ck_assert_int_eq(getxattr(path_of("a"), "user.colour", value, sizeof(value)), 4);
	ck_assert_int_eq(memcmp(value, "blue", 4), 0);
}
END_TEST

/* More names than one page or one batch has. */
START_TEST(many_names)
{
	char name[16];

	for (int i = 0; i < 2500; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		store_write(name, "", 0);
	}
	ck_assert_uint_eq(entries(""), 2500);
	for (int i = 0; i < 2500; i += 2) {
		snprintf(name, sizeof(name), "f%d", i);
		store_remove(name);
	}
	ck_assert_uint_eq(entries(""), 1250);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("core_store_dir");
	TCase *t = tcase_create("foreign");

	tcase_add_checked_fixture(t, durable, whole_stop);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, appears);
	tcase_add_test(t, one_name_at_a_time);
	tcase_add_test(t, changes);
#ifdef F3_DEBUG_POINTS
	tcase_add_loop_test(t, what_cannot_be_written_down, 0, 3);
	tcase_add_test(t, attributes_that_cannot_be_written_down);
#endif
	tcase_add_test(t, open_asks);
	tcase_add_test(t, disappears);
	tcase_add_test(t, tree_disappears);
	tcase_add_test(t, file_becomes_directory);
	tcase_add_test(t, ours_is_not_touched);
	tcase_add_loop_test(t, old_answer_after_unlink, 0, 2);
	tcase_add_loop_test(t, old_answer_after_create, 0, 3);
	tcase_add_loop_test(t, old_answer_after_rename, 0, 3);
	tcase_add_loop_test(t, old_answer_after_rewrite, 0, 2);
	tcase_add_loop_test(t, taken_away_while_opened, 0, 2);
	tcase_add_loop_test(t, renamed_while_opened, 0, 2);
	tcase_add_loop_test(t, replaced_while_opened, 0, 2);
	tcase_add_test(t, what_is_known_is_served);
	tcase_add_test(t, no_rights_from_outside);
	tcase_add_test(t, xattrs_come_and_go);
	tcase_add_test(t, many_names);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return whole_run(suite());
}
