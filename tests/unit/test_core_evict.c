/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/evict.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/metric.h"
#include "fs/core/fill.h"
#include "fs/core/journal_run.h"
#include "tests/unit/core_fixture.h"
#include "tests/unit/unit.h"

#define KB 1024ull
#define MB (1024 * KB)

static _Atomic uint64_t journal_entries;
static _Atomic unsigned invalidated;

void f3_journal_stats(struct f3_core *core, uint32_t volume, struct f3_journal_stats *ret)
{
	(void)core;
	(void)volume;
	*ret = (struct f3_journal_stats){ .entries = journal_entries };
}

bool f3_journal_covers(struct f3_volume *v, uint64_t ino, const char *key)
{
	(void)v;
	(void)ino;
	(void)key;
	return false;
}

static const struct f3_caller waits = { .may_block = true, .may_wait = true };
static const struct f3_caller has_waited = { .may_block = true };
static const struct f3_caller quick = { .may_block = false };

static void inval(void *arg, uint64_t ino)
{
	(void)arg;
	(void)ino;
	invalidated++;
}

static void start_evict(uint64_t limit, uint64_t gap)
{
	struct f3_err err = F3_ERR_INIT;

	fx.core.opt.cache_bytes = limit;
	fx.core.opt.cache_low_bytes = gap;
	ck_assert_msg(f3_evict_start(&fx.core, &err) == 0, "%s", err.text);
}

static void setup(void)
{
	fixture_start(256 * MB);
	journal_entries = 0;
	invalidated = 0;
	fx.core.kernel.inval_inode = inval;
	start_evict(100 * MB, 10 * MB);
}

static void teardown(void)
{
	struct f3_evict *e = fx.core.evict;

	/* Background work may be queued; the fixture drains, and this must outlive it. */
	f3_workq_drain(fx.core.transfer);
	f3_evict_stop(&fx.core);
	ck_assert_ptr_nonnull(e);
	f3_metrics_reset();
	fixture_stop();
}

static void settle_down(struct f3_inode *inode)
{
	for (;;) {
		bool idle;

		f3_workq_drain(fx.core.transfer);
		f3_lock(&inode->lock);
		idle = f3_fill_idle(inode);
		f3_unlock(&inode->lock);
		if (idle)
			return;
		sched_yield();
	}
}

/* A clean copy, last used `age` seconds after 2001. */
static struct f3_inode *clean(uint64_t ino, uint64_t size, int age)
{
	struct f3_inode *inode;
	char name[32];

	snprintf(name, sizeof(name), "f%llu", (unsigned long long)ino);
	inode = fixture_remote(ino, name, size);
	inode->rec.atime_ns = (1000000000ll + age) * 1000000000ll;
	ck_assert_int_eq(f3_fill_whole(&fx.core, inode), 0);
	settle_down(inode);
	ck_assert_int_eq(inode->rec.state, F3_STATE_CLEAN);
	return inode;
}

static bool is_here(struct f3_inode *inode)
{
	struct stat st;
	bool here, file;

	f3_lock(&inode->lock);
	here = inode->rec.state != F3_STATE_REMOTE;
	file = f3_backing_stat(fx.volume.disk, inode->ino, inode->rec.backing, &st) == 0;
	f3_unlock(&inode->lock);
	ck_assert(here == file);
	return here;
}

void f3_volume_each(struct f3_core *core, void (*fn)(void *arg, struct f3_volume *v), void *arg)
{
	(void)core;
	fn(arg, &fx.volume);
}

START_TEST(counts)
{
	struct f3_inode *inode = clean(300, 5 * MB, 0);

	ck_assert_uint_eq(f3_evict_limit(&fx.core), 100 * MB);
	ck_assert_uint_eq(f3_evict_used(&fx.core), inode->rec.blocks * 512);
	ck_assert_uint_ge(f3_evict_used(&fx.core), 5 * MB);
	f3_evict_account(&fx.core, -1000000000);
	ck_assert_uint_eq(f3_evict_used(&fx.core), 0);
}
END_TEST

START_TEST(counts_after_restart)
{
	uint64_t used;

	clean(300, 5 * MB, 0);
	clean(301, 3 * MB, 0);
	fixture_local(302, "l", 1 * MB, F3_CLASS_EPHEMERAL, F3_CLASS_EPHEMERAL);
	fixture_local(303, "m", 1 * MB, F3_CLASS_MEMORY, F3_CLASS_MEMORY);
	used = f3_evict_used(&fx.core);
	ck_assert_uint_ge(used, 9 * MB);
	f3_workq_drain(fx.core.transfer);
	f3_evict_stop(&fx.core);
	f3_metrics_reset();
	fixture_restart();
	start_evict(100 * MB, 10 * MB);
	f3_workq_drain(fx.core.transfer);
	ck_assert_uint_eq(f3_evict_used(&fx.core), used);
}
END_TEST

START_TEST(oldest_go_first)
{
	struct f3_inode *f[10];

	for (unsigned i = 0; i < 10; i++)
		f[i] = clean(300 + i, 10 * MB - 100 * KB, (int)((i * 7) % 10));
	/* Ages are a permutation; room for two and a bit more is wanted. */
	ck_assert_int_eq(f3_evict_room(&fx.core, 15 * MB), 0);
	f3_workq_drain(fx.core.transfer);
	ck_assert_uint_le(f3_evict_used(&fx.core), 90 * MB);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_msg(is_here(f[i]) == ((i * 7) % 10 >= 2), "file of age %u", (i * 7) % 10);
	ck_assert_uint_eq(invalidated, 2);
}
END_TEST

START_TEST(comes_back)
{
	struct f3_inode *inode = clean(300, 5 * MB, 0);
	uint64_t freed = 0;
	uint32_t number = inode->rec.backing;

	ck_assert_int_eq(f3_evict_inode(&fx.core, inode, &freed), 0);
	ck_assert_uint_ge(freed, 5 * MB);
	ck_assert_uint_eq(f3_evict_used(&fx.core), 0);
	ck_assert(!is_here(inode));
	freed = 1;
	ck_assert_int_eq(f3_evict_inode(&fx.core, inode, &freed), 0);
	ck_assert_uint_eq(freed, 0);
	fixture_restart();
	inode = fixture_load(300);
	ck_assert_int_eq(inode->rec.state, F3_STATE_REMOTE);
	ck_assert_int_eq(f3_fill_whole(&fx.core, inode), 0);
	ck_assert(fixture_has(inode, 0, 5 * MB));
	ck_assert_uint_ne(inode->rec.backing, number);
	settle_down(inode);
}
END_TEST

START_TEST(partial_copies_go_too)
{
	struct f3_inode *inode = fixture_remote(300, "f", 50 * MB);
	uint64_t freed = 0;

	/* Some of it, and nobody waits for the rest. */
	ck_assert_int_eq(f3_fill_prepare(&fx.core, inode), 0);
	f3_lock(&inode->lock);
	ck_assert_int_eq(f3_fill_write_begin(inode, 0, 4096), 0);
	ck_assert_int_eq(f3_fill_write_end(&fx.core, inode, 0, 4096, 4096), 0);
	f3_unlock(&inode->lock);
	settle_down(inode);
	ck_assert_int_eq(inode->rec.state, F3_STATE_FILLING);
	ck_assert_int_eq(f3_evict_inode(&fx.core, inode, &freed), 0);
	ck_assert(!is_here(inode));
	ck_assert_ptr_null(inode->extents);
	/* What the database knew of it is gone as well. */
	ck_assert_int_eq(f3_fill_prepare(&fx.core, inode), 0);
	ck_assert(!f3_extents_has(inode->extents, 0, 1));
}
END_TEST

START_TEST(refuses)
{
	struct f3_inode *inode = clean(300, 1 * MB, 0), *local;
	uint64_t freed = 77;
	char *map;
	int fd;

	inode->opens = 1;
	ck_assert_int_eq(f3_evict_inode(&fx.core, inode, &freed), -EBUSY);
	inode->opens = 0;
	inode->mapped = true;
	ck_assert_int_eq(f3_evict_inode(&fx.core, inode, &freed), -EBUSY);
	inode->mapped = false;
	inode->rec.flags = F3_INO_PINNED;
	ck_assert_int_eq(f3_evict_inode(&fx.core, inode, &freed), -EPERM);
	inode->rec.flags = F3_INO_DIRTY;
	ck_assert_int_eq(f3_evict_inode(&fx.core, inode, &freed), -EINVAL);
	inode->rec.flags = 0;
	inode->rec.state = F3_STATE_WRITING;
	ck_assert_int_eq(f3_evict_inode(&fx.core, inode, &freed), -EBUSY);
	inode->rec.state = F3_STATE_SEALED;
	ck_assert_int_eq(f3_evict_inode(&fx.core, inode, &freed), -EINVAL);
	inode->rec.state = F3_STATE_FAILED;
	ck_assert_int_eq(f3_evict_inode(&fx.core, inode, &freed), -EINVAL);
	inode->rec.state = F3_STATE_CLEAN;

	/* Somebody can still write to it: through a mapping whose descriptor is closed. */
	fd = f3_backing_open_file(fx.volume.disk, 300, inode->rec.backing, O_RDWR);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	ck_assert_ptr_ne(map, MAP_FAILED);
	if (f3_backing_caps(fx.volume.disk)->leases)
		ck_assert_int_eq(f3_evict_inode(&fx.core, inode, &freed), -EBUSY);
	munmap(map, 4096);
	ck_assert(is_here(inode));

	local = fixture_local(301, "l", 4096, F3_CLASS_EPHEMERAL, F3_CLASS_EPHEMERAL);
	ck_assert_int_eq(f3_evict_inode(&fx.core, local, &freed), -EINVAL);
	ck_assert_uint_eq(freed, 77);
	ck_assert_int_eq(f3_evict_inode(&fx.core, inode, &freed), 0);
}
END_TEST

START_TEST(nothing_to_evict)
{
	struct f3_inode *inode = clean(300, 80 * MB, 0);

	inode->opens = 1;
	ck_assert_int_eq(f3_evict_room(&fx.core, 10 * MB), 0);
	ck_assert_int_eq(f3_evict_room(&fx.core, 30 * MB), -ENOSPC);
	/* With nothing under way there is nothing to wait for. */
	ck_assert_int_eq(f3_evict_room_or_wait(&fx.core, 30 * MB, &waits), -ENOSPC);
	ck_assert_int_eq(f3_evict_room_or_wait(&fx.core, 200 * MB, &waits), -ENOSPC);
	ck_assert_int_eq(f3_evict_room_or_wait(&fx.core, UINT64_MAX, &waits), -ENOSPC);
	ck_assert(is_here(inode));
	/* It is closed, and said so. */
	f3_lock(&inode->lock);
	inode->opens = 0;
	f3_unlock(&inode->lock);
	f3_evict_wake(&fx.core);
	ck_assert_int_eq(f3_evict_room(&fx.core, 30 * MB), 0);
	ck_assert(!is_here(inode));
}
END_TEST

START_TEST(used_meanwhile_stays)
{
	struct f3_inode *a = clean(300, 45 * MB, 5), *b = clean(301, 45 * MB, 6);
	char buf[10];
	int fd;

	/* A native reader: only the backing file knows. */
	fd = f3_backing_open_file(fx.volume.disk, 300, a->rec.backing, O_RDONLY);
	ck_assert_int_eq(pread(fd, buf, sizeof(buf), 0), sizeof(buf));
	close(fd);
	ck_assert_int_eq(f3_evict_room(&fx.core, 30 * MB), 0);
	f3_workq_drain(fx.core.transfer);
	ck_assert(is_here(a));
	ck_assert(!is_here(b));
}
END_TEST

static void becomes_clean(struct f3_inode *inode)
{
	f3_lock(&inode->lock);
	inode->rec.state = F3_STATE_CLEAN;
	inode->rec.flags &= ~(uint32_t)F3_INO_DIRTY;
	f3_unlock(&inode->lock);
	fixture_commit(inode);
	f3_evict_wake(&fx.core);
}

START_TEST(waits_for_stages)
{
	struct f3_inode *inode = clean(300, 90 * MB, 0);

	inode->rec.state = F3_STATE_STAGING;
	inode->rec.flags |= F3_INO_DIRTY;
	fixture_commit(inode);
	journal_entries = 1;
	/* No thread is held: who may wait is told to come again, who has waited that there is none. */
	ck_assert_int_eq(f3_evict_room_or_wait(&fx.core, 30 * MB, &quick), -F3_EWAIT);
	ck_assert_int_eq(f3_evict_room_or_wait(&fx.core, 30 * MB, &waits), -F3_EROOM);
	ck_assert_int_eq(f3_evict_room_or_wait(&fx.core, 30 * MB, &has_waited), -ENOSPC);
	ck_assert(is_here(inode));
	becomes_clean(inode);
	ck_assert_int_eq(f3_evict_room_or_wait(&fx.core, 30 * MB, &waits), 0);
	ck_assert(!is_here(inode));
}
END_TEST

START_TEST(many_at_once)
{
	for (unsigned i = 0; i < 200; i++)
		clean(300 + i, 400 * KB, (int)i);
	/* In the background, from a little below the limit on, down to the low mark. */
	f3_evict_account(&fx.core, 20 * MB);
	f3_workq_drain(fx.core.transfer);
	ck_assert_uint_le(f3_evict_used(&fx.core), 90 * MB);
	ck_assert_uint_gt(f3_evict_used(&fx.core), 85 * MB);
}
END_TEST

static void *wants_room(void *arg)
{
	for (int i = 0; i < 200; i++)
		*(int *)arg |= f3_evict_room(&fx.core, 10 * MB);
	return NULL;
}

START_TEST(many_threads)
{
	int result[4] = { 0 };
	pthread_t t[4];

	for (unsigned i = 0; i < 95; i++)
		clean(300 + i, 1 * MB, (int)i);
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, wants_room, &result[i]);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(result[i], 0);
	f3_workq_drain(fx.core.transfer);
	ck_assert_uint_le(f3_evict_used(&fx.core), 90 * MB);
	ck_assert_uint_gt(f3_evict_used(&fx.core), 70 * MB);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("evict");
	TCase *t = tcase_create("evict");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, counts);
	tcase_add_test(t, counts_after_restart);
	tcase_add_test(t, oldest_go_first);
	tcase_add_test(t, comes_back);
	tcase_add_test(t, partial_copies_go_too);
	tcase_add_test(t, refuses);
	tcase_add_test(t, nothing_to_evict);
	tcase_add_test(t, used_meanwhile_stays);
	tcase_add_test(t, waits_for_stages);
	tcase_add_test(t, many_at_once);
	tcase_add_test(t, many_threads);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
