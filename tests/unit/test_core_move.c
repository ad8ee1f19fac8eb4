/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/move.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs/core/evict.h"
#include "fs/core/fill.h"
#include "fs/core/journal_run.h"
#include "fs/core/stage.h"
#include "tests/unit/core_fixture.h"
#include "tests/unit/unit.h"

#define KB 1024ull
#define MB (1024 * KB)

static const struct f3_caller blocking = { .may_block = true }, quick = { .may_block = false };

/* ---- Neighbours ---- */

static int room_answer, commit_answer, sync_answer;
static _Atomic unsigned commits, syncs, holds;
static bool commit_leaves_object; /* although it fails */
static struct f3_journal_entry told; /* the last entry announced */
static _Atomic unsigned announced, begun, withdrawn;
static int64_t cache_bytes;

int f3_evict_room(struct f3_core *core, uint64_t bytes)
{
	(void)core;
	(void)bytes;
	return room_answer;
}

void f3_evict_keep(struct f3_core *core, int64_t bytes)
{
	(void)core;
	(void)bytes;
}

void f3_evict_account(struct f3_core *core, int64_t bytes)
{
	(void)core;
	__atomic_fetch_add(&cache_bytes, bytes, __ATOMIC_SEQ_CST);
}

void f3_evict_wake(struct f3_core *core)
{
	(void)core;
}

bool f3_journal_covers(struct f3_volume *v, uint64_t ino, const char *key)
{
	(void)v;
	(void)ino;
	(void)key;
	return false;
}

int f3_journal_announce(struct f3_volume *v, struct f3_journal_entry *e, unsigned how,
			struct f3_journal_task **ret_t)
{
	(void)v;
	ck_assert_uint_eq(how, F3_JOURNAL_ACKED | F3_JOURNAL_RETRY);
	e->seq = f3_meta_new_seq(fx.core.meta);
	told = *e;
	announced++;
	*ret_t = (struct f3_journal_task *)&told;
	return 0;
}

void f3_journal_begin(struct f3_journal_task *t, uint64_t delay_ns, struct f3_waiter *w)
{
	(void)t;
	ck_assert_uint_eq(delay_ns, 0);
	ck_assert_ptr_null(w);
	begun++;
}

bool f3_journal_withdraw(struct f3_journal_task *t)
{
	(void)t;
	withdrawn++;
	return true;
}

int f3_stage_commit(struct f3_core *core, struct f3_inode *inode, struct f3_waiter *w)
{
	struct f3_waiter_list list = { NULL }, ready = { NULL };

	(void)core;
	commits++;
	f3_lock(&inode->lock);
	if (!commit_answer || commit_leaves_object)
		snprintf(inode->rec.etag, sizeof(inode->rec.etag), "staged");
	if (!commit_answer) {
		if (inode->rec.state != F3_STATE_WRITING)
			inode->rec.state = F3_STATE_CLEAN;
		inode->rec.flags &= ~(uint32_t)F3_INO_DIRTY;
	}
	f3_unlock(&inode->lock);
	if (!w)
		return 0;
	f3_waiter_add(&list, w);
	f3_waiters_collect(&list, commit_answer, &ready);
	f3_waiters_call(&ready);
	return 1;
}

int f3_stage_sync_local(struct f3_core *core, struct f3_inode *inode)
{
	(void)core;
	(void)inode;
	syncs++;
	return sync_answer;
}

void f3_stage_account(struct f3_inode *inode)
{
	(void)inode;
}

void f3_stage_hold(struct f3_core *core, struct f3_inode *inode)
{
	(void)core;
	(void)inode;
	holds++;
}

void f3_stage_release(struct f3_core *core, struct f3_inode *inode)
{
	(void)core;
	(void)inode;
	holds--;
}

int f3_file_seal(struct f3_core *core, struct f3_inode *inode)
{
	int r = 0;

	(void)core;
	f3_lock(&inode->lock);
	if (inode->writers)
		r = -EBUSY;
	else if (inode->rec.state == F3_STATE_WRITING)
		inode->rec.state = F3_STATE_SEALED;
	f3_unlock(&inode->lock);
	return r;
}

static struct f3_inode *dir;

static void setup(void)
{
	fixture_start(64 * MB);
	room_answer = commit_answer = sync_answer = 0;
	commits = syncs = holds = announced = begun = withdrawn = 0;
	commit_leaves_object = false;
	memset(&told, 0, sizeof(told));
	cache_bytes = 0;
	fx.volume.placement.has_store = true;
	dir = fixture_remote(2, "dir", 0);
	dir->rec.mode = S_IFDIR | 0755;
}

static void teardown(void)
{
	ck_assert_uint_eq(holds, 0);
	fixture_stop();
}

static int to(struct f3_inode *inode, enum f3_class c)
{
	return f3_move_class(&fx.core, inode, c, F3_FROM_OWN, &blocking);
}

/* Memory and the database say the same. */
static void check(struct f3_inode *inode, enum f3_class c, enum f3_class place, uint8_t state)
{
	struct f3_inode_rec rec;

	ck_assert_int_eq(f3_meta_get_inode(fx.core.meta, inode->ino, &rec), 0);
	ck_assert_int_eq(rec.class_, c);
	ck_assert_int_eq(rec.backing_class, place);
	ck_assert_int_eq(inode->rec.class_, c);
	ck_assert_int_eq(inode->rec.backing_class, place);
	ck_assert_int_eq(inode->rec.state, state);
	ck_assert_uint_eq(inode->rec.backing, rec.backing);
	ck_assert(fixture_has(inode, 0, inode->rec.size));
}

static bool exists(struct f3_backing_store *s, uint64_t ino, uint32_t number)
{
	struct stat st;

	return f3_backing_stat(s, ino, number, &st) == 0;
}

START_TEST(memory_and_disk)
{
	struct f3_inode *inode = fixture_local(300, "f", 3 * MB, F3_CLASS_MEMORY, F3_CLASS_MEMORY);
	struct stat st;

	ck_assert_int_eq(cache_bytes, 0);
	ck_assert_int_eq(f3_move_class(&fx.core, inode, F3_CLASS_EPHEMERAL, F3_FROM_OWN, &quick),
			 -F3_EWAIT);
	check(inode, F3_CLASS_MEMORY, F3_CLASS_MEMORY, F3_STATE_SEALED);
	ck_assert_int_eq(to(inode, F3_CLASS_EPHEMERAL), 0);
	check(inode, F3_CLASS_EPHEMERAL, F3_CLASS_EPHEMERAL, F3_STATE_SEALED);
	ck_assert_int_eq(inode->rec.class_source, F3_FROM_OWN);
	ck_assert_int_ge(cache_bytes, 3 * MB);
	ck_assert(!exists(fx.volume.memory, 300, 1));
	ck_assert_int_eq(f3_backing_stat(fx.volume.disk, 300, inode->rec.backing, &st), 0);
	ck_assert_int_eq(st.st_mtim.tv_sec, 2);
	ck_assert_int_eq(to(inode, F3_CLASS_MEMORY), 0);
	check(inode, F3_CLASS_MEMORY, F3_CLASS_MEMORY, F3_STATE_SEALED);
	ck_assert_int_eq(cache_bytes, 0);
	ck_assert_uint_eq(fx.volume.used_bytes, inode->rec.blocks * 512);
	ck_assert_uint_eq(commits + announced, 0);
}
END_TEST

START_TEST(open_files_wait)
{
	struct f3_inode *inode = fixture_local(300, "f", 1 * MB, F3_CLASS_MEMORY, F3_CLASS_MEMORY);
	char *map;
	int fd;

	inode->opens = 1;
	ck_assert_int_eq(to(inode, F3_CLASS_EPHEMERAL), 0);
	check(inode, F3_CLASS_EPHEMERAL, F3_CLASS_MEMORY, F3_STATE_MOVING);
	ck_assert(f3_move_pending(inode));
	f3_move_resume(&fx.core, inode);
	f3_workq_drain(fx.core.transfer);
	check(inode, F3_CLASS_EPHEMERAL, F3_CLASS_MEMORY, F3_STATE_MOVING);
	inode->opens = 0;

	if (f3_backing_caps(fx.volume.memory)->leases) {
		fd = f3_backing_open_file(fx.volume.memory, 300, 1, O_RDWR);
		map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
		f3_move_resume(&fx.core, inode);
		f3_workq_drain(fx.core.transfer);
		check(inode, F3_CLASS_EPHEMERAL, F3_CLASS_MEMORY, F3_STATE_MOVING);
		munmap(map, 4096);
	}
	f3_move_resume(&fx.core, inode);
	f3_workq_drain(fx.core.transfer);
	check(inode, F3_CLASS_EPHEMERAL, F3_CLASS_EPHEMERAL, F3_STATE_SEALED);
	ck_assert(!f3_move_pending(inode));
	ck_assert(!exists(fx.volume.memory, 300, 1));
	/* Once more does nothing. */
	f3_move_resume(&fx.core, inode);
	f3_workq_drain(fx.core.transfer);
	check(inode, F3_CLASS_EPHEMERAL, F3_CLASS_EPHEMERAL, F3_STATE_SEALED);
}
END_TEST

START_TEST(no_room)
{
	struct f3_inode *inode = fixture_local(300, "f", 1 * MB, F3_CLASS_MEMORY, F3_CLASS_MEMORY);

	room_answer = -ENOSPC;
	ck_assert_int_eq(to(inode, F3_CLASS_EPHEMERAL), -ENOSPC);
	check(inode, F3_CLASS_MEMORY, F3_CLASS_MEMORY, F3_STATE_SEALED);
	ck_assert_int_eq(to(inode, F3_CLASS_DURABLE), -ENOSPC);
	check(inode, F3_CLASS_MEMORY, F3_CLASS_MEMORY, F3_STATE_SEALED);
	ck_assert_uint_eq(commits, 0);
}
END_TEST

START_TEST(leftover_of_a_crash)
{
	struct f3_inode *inode = fixture_local(300, "f", 1 * MB, F3_CLASS_MEMORY, F3_CLASS_MEMORY);

	close(f3_backing_create(fx.volume.disk, 300, 2));
	ck_assert_int_eq(to(inode, F3_CLASS_EPHEMERAL), 0);
	check(inode, F3_CLASS_EPHEMERAL, F3_CLASS_EPHEMERAL, F3_STATE_SEALED);
}
END_TEST

START_TEST(into_the_store)
{
	struct f3_inode *inode =
		fixture_local(300, "f", 1 * MB, F3_CLASS_EPHEMERAL, F3_CLASS_EPHEMERAL);

	ck_assert_int_eq(to(inode, F3_CLASS_DURABLE), 0);
	ck_assert_uint_eq(commits, 1);
	fixture_commit(inode);
	check(inode, F3_CLASS_DURABLE, F3_CLASS_EPHEMERAL, F3_STATE_CLEAN);
	ck_assert_uint_eq(inode->rec.backing, 1);
	/* Only the promise. */
	ck_assert_int_eq(to(inode, F3_CLASS_WRITEBACK), 0);
	check(inode, F3_CLASS_WRITEBACK, F3_CLASS_EPHEMERAL, F3_STATE_CLEAN);
	ck_assert_uint_eq(commits, 1);
	ck_assert_int_eq(to(inode, F3_CLASS_DURABLE), 0);
	ck_assert_uint_eq(announced, 0);
}
END_TEST

START_TEST(into_the_store_fails)
{
	struct f3_inode *inode = fixture_local(300, "f", 1 * MB, F3_CLASS_MEMORY, F3_CLASS_MEMORY);

	commit_answer = -EIO;
	ck_assert_int_eq(to(inode, F3_CLASS_DURABLE), -EIO);
	check(inode, F3_CLASS_MEMORY, F3_CLASS_MEMORY, F3_STATE_SEALED);
	ck_assert_uint_eq(inode->rec.flags, 0);
	ck_assert_uint_eq(announced, 0);
	/* It is not known whether the object is there: it goes. */
	commit_leaves_object = true;
	ck_assert_int_eq(to(inode, F3_CLASS_DURABLE), -EIO);
	check(inode, F3_CLASS_MEMORY, F3_CLASS_MEMORY, F3_STATE_SEALED);
	ck_assert_uint_eq(announced, 1);
	ck_assert_uint_eq(begun, 1);
	ck_assert_str_eq(told.key, "f");
	sync_answer = -ENOSPC;
	commit_leaves_object = false;
	ck_assert_int_eq(to(inode, F3_CLASS_WRITEBACK), -ENOSPC);
	check(inode, F3_CLASS_MEMORY, F3_CLASS_MEMORY, F3_STATE_SEALED);
}
END_TEST

START_TEST(memory_into_the_store)
{
	struct f3_inode *inode = fixture_local(300, "f", 1 * MB, F3_CLASS_MEMORY, F3_CLASS_MEMORY);

	ck_assert_int_eq(to(inode, F3_CLASS_WRITEBACK), 0);
	fixture_commit(inode);
	check(inode, F3_CLASS_WRITEBACK, F3_CLASS_EPHEMERAL, F3_STATE_CLEAN);
	ck_assert_uint_eq(syncs, 1);
	ck_assert_uint_eq(commits, 1);
}
END_TEST

START_TEST(open_writer_into_the_store)
{
	struct f3_inode *inode = fixture_local(300, "f", 1 * MB, F3_CLASS_MEMORY, F3_CLASS_MEMORY);

	inode->opens = inode->writers = 1;
	inode->rec.state = F3_STATE_WRITING;
	fixture_commit(inode);
	ck_assert_int_eq(to(inode, F3_CLASS_DURABLE), 0);
	check(inode, F3_CLASS_DURABLE, F3_CLASS_MEMORY, F3_STATE_WRITING);
	/* What is there now is committed now; the last close commits what comes, and then it moves. */
	ck_assert(f3_move_pending(inode));
	ck_assert_uint_eq(commits, 1);
	/* One that never holds still is committed then. */
	commit_answer = -EBUSY;
	ck_assert_int_eq(to(inode, F3_CLASS_MEMORY), 0);
	ck_assert_int_eq(to(inode, F3_CLASS_DURABLE), 0);
	check(inode, F3_CLASS_DURABLE, F3_CLASS_MEMORY, F3_STATE_WRITING);
	inode->opens = inode->writers = 0;
}
END_TEST

START_TEST(just_closed_into_the_store)
{
	struct f3_inode *inode =
		fixture_local(300, "f", 1 * MB, F3_CLASS_EPHEMERAL, F3_CLASS_EPHEMERAL);

	/* The last writer is gone, the sealer has not come round. */
	inode->rec.state = F3_STATE_WRITING;
	fixture_commit(inode);
	ck_assert_int_eq(to(inode, F3_CLASS_DURABLE), 0);
	ck_assert_uint_eq(commits, 1);
	ck_assert_int_eq(inode->rec.state, F3_STATE_CLEAN);
}
END_TEST

START_TEST(out_of_the_store)
{
	struct f3_inode *inode = fixture_remote(300, "f", 9 * MB);

	ck_assert_int_eq(to(inode, F3_CLASS_EPHEMERAL), 0);
	check(inode, F3_CLASS_EPHEMERAL, F3_CLASS_EPHEMERAL, F3_STATE_SEALED);
	ck_assert_str_eq(inode->rec.etag, "");
	ck_assert_uint_eq(announced, 1);
	ck_assert_uint_eq(begun, 1);
	ck_assert_int_eq(told.type, F3_JOURNAL_DELETE);
	ck_assert_str_eq(told.key, "f");
	ck_assert_str_eq(told.etag, "etag-1");
	ck_assert_uint_eq(told.dir1, 2);
	/* Named by its key only: a replay must not take the name away. */
	ck_assert_uint_eq(told.ino, 0);
}
END_TEST

START_TEST(out_of_the_store_into_memory)
{
	struct f3_inode *inode = fixture_remote(300, "f", 9 * MB);

	ck_assert_int_eq(to(inode, F3_CLASS_MEMORY), 0);
	check(inode, F3_CLASS_MEMORY, F3_CLASS_MEMORY, F3_STATE_SEALED);
	ck_assert_uint_eq(announced, 1);
	ck_assert_int_eq(cache_bytes, 0);
}
END_TEST

START_TEST(out_of_the_store_fails)
{
	struct f3_inode *inode = fixture_remote(300, "f", 9 * MB);

	fake->fail = -EACCES;
	fake->fail_times = 1000;
	ck_assert_int_eq(to(inode, F3_CLASS_EPHEMERAL), -EACCES);
	ck_assert_int_eq(inode->rec.class_, F3_CLASS_DURABLE);
	ck_assert_uint_eq(announced, 0);
	ck_assert_str_eq(inode->rec.etag, "etag-1");
}
END_TEST

START_TEST(refusals)
{
	struct f3_inode *inode =
		fixture_local(300, "f", 4096, F3_CLASS_EPHEMERAL, F3_CLASS_EPHEMERAL);

	ck_assert_int_eq(to(inode, F3_CLASS_REPLICATED), -EOPNOTSUPP);
	ck_assert_int_eq(to(inode, F3_CLASS_NONE), -EINVAL);
	ck_assert_int_eq(to(dir, F3_CLASS_MEMORY), -EOPNOTSUPP);
	inode->rec.nlink = 2;
	ck_assert_int_eq(to(inode, F3_CLASS_DURABLE), -EPERM);
	inode->rec.nlink = 0;
	ck_assert_int_eq(to(inode, F3_CLASS_DURABLE), -EPERM);
	inode->rec.nlink = 1;
	dir->rec.flags |= F3_INO_LOCAL_TREE;
	ck_assert_int_eq(to(inode, F3_CLASS_WRITEBACK), -EPERM);
	dir->rec.flags = 0;
	fx.volume.placement.has_store = false;
	ck_assert_int_eq(to(inode, F3_CLASS_WRITEBACK), -EOPNOTSUPP);
	fx.volume.placement.has_store = true;
	/* The same class: only who chose it. */
	ck_assert_int_eq(f3_move_class(&fx.core, inode, F3_CLASS_EPHEMERAL, F3_FROM_OWN, &quick),
			 0);
	check(inode, F3_CLASS_EPHEMERAL, F3_CLASS_EPHEMERAL, F3_STATE_SEALED);
	ck_assert_int_eq(inode->rec.class_source, F3_FROM_OWN);
	ck_assert_int_eq(f3_move_class(&fx.core, inode, F3_CLASS_DURABLE, F3_FROM_OWN, &quick),
			 -F3_EWAIT);
	check(inode, F3_CLASS_EPHEMERAL, F3_CLASS_EPHEMERAL, F3_STATE_SEALED);
}
END_TEST

static void *move_about(void *arg)
{
	static const enum f3_class classes[] = { F3_CLASS_MEMORY, F3_CLASS_EPHEMERAL,
						 F3_CLASS_WRITEBACK, F3_CLASS_DURABLE };
	unsigned seed = (unsigned)(uintptr_t)arg;
	struct f3_inode *inode = NULL;

	f3_inode_get(&fx.core, 300, &inode);
	for (int i = 0; i < 60; i++) {
		ck_assert_int_eq(to(inode, classes[(unsigned)rand_r(&seed) % 4]), 0);
		f3_move_resume(&fx.core, inode);
	}
	f3_inode_put(&fx.core, inode);
	return NULL;
}

START_TEST(several_at_once)
{
	struct f3_inode *inode = fixture_local(300, "f", 1 * MB, F3_CLASS_MEMORY, F3_CLASS_MEMORY);
	pthread_t t[3];

	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, move_about, (void *)(uintptr_t)i), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	f3_workq_drain(fx.core.transfer);
	f3_move_resume(&fx.core, inode);
	f3_workq_drain(fx.core.transfer);
	ck_assert(!inode->moving);
	ck_assert(!f3_move_pending(inode));
	ck_assert(fixture_has(inode, 0, 1 * MB));
	/* The other place has nothing left of it. */
	ck_assert(!exists(inode->rec.backing_class == F3_CLASS_MEMORY ? fx.volume.disk :
									fx.volume.memory,
			  300, inode->rec.backing - 1));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("move");
	TCase *t = tcase_create("move");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, memory_and_disk);
	tcase_add_test(t, open_files_wait);
	tcase_add_test(t, no_room);
	tcase_add_test(t, leftover_of_a_crash);
	tcase_add_test(t, into_the_store);
	tcase_add_test(t, into_the_store_fails);
	tcase_add_test(t, memory_into_the_store);
	tcase_add_test(t, open_writer_into_the_store);
	tcase_add_test(t, just_closed_into_the_store);
	tcase_add_test(t, out_of_the_store);
	tcase_add_test(t, out_of_the_store_into_memory);
	tcase_add_test(t, out_of_the_store_fails);
	tcase_add_test(t, refusals);
	tcase_add_test(t, several_at_once);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
