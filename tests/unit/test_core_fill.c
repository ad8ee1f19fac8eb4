/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/fill.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/core/evict.h"
#include "fs/core/journal_run.h"
#include "tests/unit/core_fixture.h"
#include "tests/unit/unit.h"

#define KB 1024ull
#define MB (1024 * KB)

/* ---- Neighbours ---- */

static int room_answer;
static _Atomic bool journal_covers;
static _Atomic int64_t accounted;

int f3_evict_room(struct f3_core *core, uint64_t bytes)
{
	(void)core;
	(void)bytes;
	return room_answer;
}

void f3_evict_account(struct f3_core *core, int64_t bytes)
{
	(void)core;
	accounted += bytes;
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
	return journal_covers;
}

static void setup(void)
{
	fixture_start(256 * MB);
	room_answer = 0;
	journal_covers = false;
	accounted = 0;
}

static void teardown(void)
{
	fixture_stop();
}

/* ---- Helpers ---- */

struct reader {
	struct f3_waiter w;
	sem_t done;
	int result;
};

static void on_done(struct f3_waiter *w, int result)
{
	struct reader *rd = (struct reader *)w;

	rd->result = result;
	sem_post(&rd->done);
}

/* 1: it was all there; 0: started; -errno. */
static int read_start(struct reader *rd, struct f3_inode *inode, uint64_t off, uint64_t len)
{
	memset(rd, 0, sizeof(*rd));
	rd->w.fn = on_done;
	sem_init(&rd->done, 0, 0);
	return f3_fill_need(&fx.core, inode, off, len, &rd->w);
}

static int read_end(struct reader *rd)
{
	while (sem_wait(&rd->done))
		;
	sem_destroy(&rd->done);
	return rd->result;
}

static int read_now(struct f3_inode *inode, uint64_t off, uint64_t len)
{
	struct reader rd;
	int r = read_start(&rd, inode, off, len);

	return r == 0 ? read_end(&rd) : r == 1 ? 0 : r;
}

static uint8_t state_of(struct f3_inode *inode)
{
	uint8_t state;

	f3_lock(&inode->lock);
	state = inode->rec.state;
	f3_unlock(&inode->lock);
	return state;
}

static bool has_extents(struct f3_inode *inode)
{
	bool has;

	f3_lock(&inode->lock);
	has = inode->extents != NULL;
	f3_unlock(&inode->lock);
	return has;
}

/* Everything that was started has ended and was recorded. */
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

static void program_write(struct f3_inode *inode, uint64_t off, const void *bytes, size_t len)
{
	int fd;

	f3_lock(&inode->lock);
	ck_assert_int_eq(f3_fill_write_begin(inode, off, len), 0);
	f3_unlock(&inode->lock);
	fd = f3_backing_open_file(fx.volume.disk, inode->ino, inode->rec.backing, O_RDWR);
	ck_assert_int_eq(pwrite(fd, bytes, len, (off_t)off), len);
	close(fd);
	f3_lock(&inode->lock);
	ck_assert_int_eq(f3_fill_write_end(&fx.core, inode, off, len, len), 0);
	f3_unlock(&inode->lock);
}

/* ---- Reading ---- */

START_TEST(small_object_comes_whole)
{
	struct f3_inode *inode = fixture_remote(300, "small", 100 * KB + 7);
	struct stat st;

	ck_assert_int_eq(read_now(inode, 50 * KB, 10), 0);
	settle_down(inode);
	ck_assert_uint_eq(fake->gets, 1);
	ck_assert_uint_eq(fake->get_bytes, 100 * KB + 7);
	ck_assert(fixture_has(inode, 0, 100 * KB + 7));
	ck_assert_int_eq(state_of(inode), F3_STATE_CLEAN);
	ck_assert(!has_extents(inode));
	ck_assert_ptr_null(inode->fill);
	ck_assert_uint_eq(inode->rec.base_limit, 0);
	/* The times are the record's, and nobody has it open for writing. */
	ck_assert_int_eq(f3_backing_stat(fx.volume.disk, 300, inode->rec.backing, &st), 0);
	ck_assert_int_eq(st.st_mtim.tv_sec, 2);
	ck_assert_int_eq(accounted, st.st_blocks * 512);
	ck_assert_int_eq(f3_backing_probe(f3_file_fd(&fx.core, inode)), 1);
	ck_assert_int_eq(read_now(inode, 0, 10), 0);
	ck_assert_uint_eq(fake->gets, 1);
}
END_TEST

START_TEST(empty_object_needs_nothing)
{
	struct f3_inode *inode = fixture_remote(300, "empty", 0);

	ck_assert_int_eq(read_now(inode, 0, 10), 0);
	ck_assert_int_eq(state_of(inode), F3_STATE_CLEAN);
	ck_assert_uint_eq(fake->gets, 0);
}
END_TEST

START_TEST(reads_past_the_end)
{
	struct f3_inode *inode = fixture_remote(300, "f", 10 * MB);

	ck_assert_int_eq(read_now(inode, 10 * MB, 4096), 0);
	ck_assert_int_eq(read_now(inode, UINT64_MAX - 10, 10), 0);
	ck_assert_uint_eq(fake->gets, 0);
	ck_assert_int_eq(read_now(inode, 10 * MB - 100, UINT64_MAX), 0);
	ck_assert(fixture_has(inode, 10 * MB - 100, 100));
}
END_TEST

START_TEST(random_reads_bring_little)
{
	struct f3_inode *inode = fixture_remote(300, "big", 1024 * MB);
	uint64_t at[] = { 900 * MB + 5, 100 * MB + 4096, 500 * MB + 60 * KB };

	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(read_now(inode, at[i], 4096), 0);
		ck_assert(fixture_has(inode, at[i], 4096));
	}
	settle_down(inode);
	ck_assert_uint_eq(fake->gets, 3);
	ck_assert_uint_le(fake->largest, 128 * KB);
	ck_assert_int_eq(state_of(inode), F3_STATE_FILLING);
	/* Nothing under way: no descriptor that could write is left. */
	ck_assert_int_eq(f3_backing_probe(f3_file_fd(&fx.core, inode)), 1);
}
END_TEST

START_TEST(sequential_reads_run_ahead)
{
	struct f3_inode *inode = fixture_remote(300, "seq", 64 * MB);
	unsigned waited = 0;

	for (uint64_t off = 0; off < 64 * MB; off += 128 * KB) {
		struct reader rd;
		int r = read_start(&rd, inode, off, 128 * KB);

		ck_assert_int_ge(r, 0);
		if (r == 0) {
			waited++;
			ck_assert_int_eq(read_end(&rd), 0);
		}
	}
	settle_down(inode);
	ck_assert(fixture_has(inode, 0, 64 * MB));
	ck_assert_int_eq(state_of(inode), F3_STATE_CLEAN);
	/* Every byte once, most in large pieces. */
	ck_assert_uint_eq(fake->get_bytes, 64 * MB);
	ck_assert_uint_eq(fake->largest, 4 * MB);
	ck_assert_uint_lt(fake->gets, 50);
	ck_assert_uint_le(fake->most_running, 8);
}
END_TEST

START_TEST(one_transfer_per_range)
{
	struct f3_inode *inode = fixture_remote(300, "f", 2 * MB);
	struct reader rd[50];

	fake_hold(true);
	for (unsigned i = 0; i < 50; i++)
		ck_assert_int_eq(read_start(&rd[i], inode, i * 40 * KB, 40 * KB), 0);
	fake_await_held(1);
	ck_assert_uint_eq(fake->gets, 1);
	fake_hold(false);
	for (unsigned i = 0; i < 50; i++)
		ck_assert_int_eq(read_end(&rd[i]), 0);
	ck_assert_uint_eq(fake->gets, 1);
}
END_TEST

START_TEST(reader_waits_only_for_its_range)
{
	struct f3_inode *inode = fixture_remote(300, "f", 100 * MB);
	struct reader a, b;

	ck_assert_int_eq(read_now(inode, 50 * MB, 4096), 0);
	settle_down(inode);
	fake_hold(true);
	ck_assert_int_eq(read_start(&a, inode, 90 * MB, 4096), 0);
	fake_await_held(1);
	/* Here already, whatever else is under way. */
	ck_assert_int_eq(read_start(&b, inode, 50 * MB, 4096), 1);
	ck_assert_int_eq(sem_trywait(&a.done), -1);
	fake_hold(false);
	ck_assert_int_eq(read_end(&a), 0);
}
END_TEST

START_TEST(whole_file)
{
	struct f3_inode *inode = fixture_remote(300, "f", 50 * MB + 11);

	ck_assert_int_eq(read_now(inode, 20 * MB, 4096), 0);
	ck_assert_int_eq(f3_fill_whole(&fx.core, inode), 0);
	/* Said to be complete on return. */
	ck_assert_int_eq(state_of(inode), F3_STATE_CLEAN);
	ck_assert(!has_extents(inode));
	ck_assert(fixture_has(inode, 0, 50 * MB + 11));
	ck_assert_uint_eq(fake->get_bytes, 50 * MB + 11);
	ck_assert_int_eq(f3_fill_whole(&fx.core, inode), 0);
	settle_down(inode);
}
END_TEST

START_TEST(memory_is_bounded)
{
	struct f3_inode *inode;
	struct reader rd[40];

	fixture_stop();
	fixture_start(8 * MB);
	inode = fixture_remote(300, "f", 1000 * MB);
	for (unsigned i = 0; i < 40; i++)
		ck_assert_int_eq(read_start(&rd[i], inode, i * 20 * MB, 4 * MB), 0);
	for (unsigned i = 0; i < 40; i++)
		ck_assert_int_eq(read_end(&rd[i]), 0);
	ck_assert(fixture_has(inode, 39 * 20 * MB, 4 * MB));
	settle_down(inode);
}
END_TEST

/* ---- Failing ---- */

START_TEST(errors_are_retried)
{
	struct f3_inode *inode = fixture_remote(300, "f", 100 * KB);

	fake->fail = -EIO;
	fake->fail_times = 3;
	ck_assert_int_eq(read_now(inode, 0, 4096), 0);
	ck_assert_uint_eq(fake->gets, 4);
	ck_assert(fixture_has(inode, 0, 100 * KB));
}
END_TEST

START_TEST(errors_end_after_a_while)
{
	struct f3_inode *inode = fixture_remote(300, "f", 100 * KB);

	fake->fail = -ETIMEDOUT;
	fake->fail_times = 1000000;
	ck_assert_int_eq(read_now(inode, 0, 4096), -ETIMEDOUT);
	settle_down(inode);
	/* The next reader tries again. */
	fake->fail_times = 0;
	ck_assert_int_eq(read_now(inode, 0, 4096), 0);
}
END_TEST

START_TEST(definite_errors_are_not_retried)
{
	struct f3_inode *inode = fixture_remote(300, "f", 100 * KB);

	fake->fail = -EACCES;
	fake->fail_times = 1;
	ck_assert_int_eq(read_now(inode, 0, 4096), -EACCES);
	ck_assert_uint_eq(fake->gets, 1);
	room_answer = -ENOSPC;
	ck_assert_int_eq(read_now(inode, 0, 4096), -ENOSPC);
	ck_assert_uint_eq(fake->gets, 1);
	settle_down(inode);
}
END_TEST

START_TEST(replaced_object_is_stale)
{
	struct f3_inode *inode = fixture_remote(300, "f", 100 * MB);

	ck_assert_int_eq(read_now(inode, 0, 4096), 0);
	settle_down(inode);
	snprintf(fake->etag, sizeof(fake->etag), "etag-2");
	ck_assert_int_eq(read_now(inode, 50 * MB, 4096), -ESTALE);
	/* What is here stays; the next open asks the store. */
	ck_assert_int_eq(read_now(inode, 0, 4096), 0);
	ck_assert_uint_eq(inode->checked_mono_ns, 0);
	settle_down(inode);
	ck_assert_int_eq(read_now(inode, 60 * MB, 4096), -ESTALE);
	/* It came back. */
	snprintf(fake->etag, sizeof(fake->etag), "etag-1");
	inode->checked_mono_ns = 5;
	ck_assert_int_eq(read_now(inode, 60 * MB, 4096), 0);
	ck_assert(fixture_has(inode, 60 * MB, 4096));
	settle_down(inode);
}
END_TEST

START_TEST(renamed_meanwhile)
{
	struct f3_inode *inode = fixture_remote(300, "old", 100 * KB);
	struct reader rd;

	fake_hold(true);
	ck_assert_int_eq(read_start(&rd, inode, 0, 4096), 0);
	fake_await_held(1);
	snprintf(fake->missing, sizeof(fake->missing), "old");
	f3_lock(&inode->lock);
	snprintf(inode->rec.name, sizeof(inode->rec.name), "new");
	f3_unlock(&inode->lock);
	fake_hold(false);
	ck_assert_int_eq(read_end(&rd), 0);
	settle_down(inode);
}
END_TEST

START_TEST(rename_in_the_journal)
{
	struct f3_inode *inode = fixture_remote(300, "new", 100 * KB);
	struct reader rd;

	/* Not there yet, because the rename was not carried out yet. */
	snprintf(fake->missing, sizeof(fake->missing), "new");
	journal_covers = true;
	ck_assert_int_eq(read_start(&rd, inode, 0, 4096), 0);
	while (fake_gets() < 2)
		sched_yield();
	pthread_mutex_lock(&fake->lock);
	fake->missing[0] = '\0';
	pthread_mutex_unlock(&fake->lock);
	ck_assert_int_eq(read_end(&rd), 0);
	settle_down(inode);
}
END_TEST

START_TEST(orphan_is_stale)
{
	struct f3_inode *inode = fixture_remote(300, "", 100 * KB);

	ck_assert_int_eq(read_now(inode, 0, 4096), -ESTALE);
	settle_down(inode);
}
END_TEST

START_TEST(cancel)
{
	struct f3_inode *inode = fixture_remote(300, "f", 100 * KB);
	struct reader a, b;

	fake_hold(true);
	ck_assert_int_eq(read_start(&a, inode, 0, 4096), 0);
	ck_assert_int_eq(read_start(&b, inode, 0, 4096), 0);
	ck_assert(f3_fill_cancel(inode, &a.w));
	ck_assert(!f3_fill_cancel(inode, &a.w));
	fake_hold(false);
	ck_assert_int_eq(read_end(&b), 0);
	ck_assert_int_eq(sem_trywait(&a.done), -1);
	ck_assert(!f3_fill_cancel(inode, &b.w));
	settle_down(inode);
}
END_TEST

START_TEST(stop)
{
	struct f3_inode *inode = fixture_remote(300, "f", 400 * MB);
	struct reader rd[20];

	fake_hold(true);
	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(read_start(&rd[i], inode, i * 20 * MB, 4096), 0);
	fake_await_held(8);
	f3_fill_stop(&fx.core, inode);
	ck_assert_uint_eq(fake->held, 0);
	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(read_end(&rd[i]), -ESTALE);
	ck_assert_int_eq(f3_backing_probe(f3_file_fd(&fx.core, inode)), 1);
	fake_hold(false);
	ck_assert_int_eq(read_now(inode, 0, 4096), 0);
	settle_down(inode);
}
END_TEST

START_TEST(stop_while_resting)
{
	struct f3_inode *inode = fixture_remote(300, "f", 100 * KB);
	struct reader rd;

	fx.core.opt.retry_min_ns = fx.core.opt.retry_max_ns = 3600 * F3_NS_PER_SEC;
	fake->fail = -EIO;
	fake->fail_times = 1000;
	ck_assert_int_eq(read_start(&rd, inode, 0, 4096), 0);
	while (!fake_gets())
		sched_yield();
	f3_fill_stop(&fx.core, inode);
	ck_assert_int_eq(read_end(&rd), -ESTALE);
}
END_TEST

/* ---- Programs write ---- */

START_TEST(program_wins)
{
	struct f3_inode *inode = fixture_remote(300, "f", 1 * MB);
	uint8_t mine[10000], back[10000];
	struct reader rd;
	int fd;

	memset(mine, 0xee, sizeof(mine));
	fake_hold(true);
	ck_assert_int_eq(read_start(&rd, inode, 0, 4096), 0);
	fake_await_held(1);
	/* The bytes of the store are on their way; these must stay. */
	program_write(inode, 100 * KB + 3, mine, sizeof(mine));
	fake_hold(false);
	ck_assert_int_eq(read_end(&rd), 0);
	settle_down(inode);
	fd = f3_file_fd(&fx.core, inode);
	ck_assert_int_eq(pread(fd, back, sizeof(back), 100 * KB + 3), sizeof(back));
	ck_assert_int_eq(memcmp(mine, back, sizeof(back)), 0);
	ck_assert(fixture_has(inode, 0, 100 * KB + 3));
	ck_assert(fixture_has(inode, 100 * KB + 3 + sizeof(mine), 800 * KB));
	ck_assert(!has_extents(inode));
}
END_TEST

START_TEST(announced_write_keeps_fills_away)
{
	struct f3_inode *inode = fixture_remote(300, "f", 1 * MB);
	struct reader in, out;
	int fd;
	uint8_t b;

	ck_assert_int_eq(f3_fill_prepare(&fx.core, inode), 0);
	f3_lock(&inode->lock);
	ck_assert_int_eq(f3_fill_write_begin(inode, 200 * KB, 100 * KB), 0);
	f3_unlock(&inode->lock);
	ck_assert_int_eq(read_start(&in, inode, 200 * KB, 4096), 0);
	if (read_start(&out, inode, 0, 4096) == 0)
		ck_assert_int_eq(read_end(&out), 0);
	f3_workq_drain(fx.core.transfer);
	fd = f3_file_fd(&fx.core, inode);
	ck_assert_int_eq(pread(fd, &b, 1, 250 * KB), 1);
	ck_assert_uint_eq(b, 0);
	ck_assert_int_eq(sem_trywait(&in.done), -1);
	/* It failed: the bytes of the store are wanted after all. */
	f3_lock(&inode->lock);
	ck_assert_int_eq(f3_fill_write_end(&fx.core, inode, 200 * KB, 100 * KB, 0), 0);
	f3_unlock(&inode->lock);
	ck_assert_int_eq(read_end(&in), 0);
	settle_down(inode);
	ck_assert(fixture_has(inode, 200 * KB, 100 * KB));
}
END_TEST

START_TEST(write_serves_readers)
{
	struct f3_inode *inode = fixture_remote(300, "f", 100 * MB);
	char bytes[64 * KB];
	struct reader rd;

	memset(bytes, 7, sizeof(bytes));
	fake_hold(true);
	ck_assert_int_eq(read_start(&rd, inode, 50 * MB, 4096), 0);
	fake_await_held(1);
	program_write(inode, 50 * MB, bytes, sizeof(bytes));
	ck_assert_int_eq(read_end(&rd), 0);
	fake_hold(false);
	settle_down(inode);
}
END_TEST

START_TEST(write_completes_file)
{
	struct f3_inode *inode = fixture_remote(300, "f", 64 * KB);
	char bytes[64 * KB];

	memset(bytes, 7, sizeof(bytes));
	ck_assert_int_eq(f3_fill_prepare(&fx.core, inode), 0);
	inode->rec.state = F3_STATE_WRITING;
	program_write(inode, 0, bytes, sizeof(bytes));
	settle_down(inode);
	ck_assert(!has_extents(inode));
	ck_assert_ptr_null(inode->fill);
	ck_assert_int_eq(state_of(inode), F3_STATE_WRITING);
	ck_assert_uint_eq(fake->gets, 0);
}
END_TEST

START_TEST(truncate_down_and_up)
{
	struct f3_inode *inode = fixture_remote(300, "f", 100 * MB);
	struct f3_fill *fill;
	uint8_t back[4096], zero[4096] = { 0 };
	struct reader rd;
	int fd;

	ck_assert_int_eq(read_now(inode, 10 * MB, 4096), 0);
	settle_down(inode);
	fake_hold(true);
	ck_assert_int_eq(read_start(&rd, inode, 60 * MB, 4096), 0);
	fake_await_held(1);
	fd = f3_backing_open_file(fx.volume.disk, 300, inode->rec.backing, O_RDWR);
	f3_lock(&inode->lock);
	ck_assert_int_eq(f3_fill_truncate(&fx.core, inode, fd, 20 * MB), 0);
	/* And longer again: zeros. */
	ck_assert_int_eq(f3_fill_truncate(&fx.core, inode, fd, 80 * MB), 0);
	inode->rec.size = 80 * MB;
	f3_unlock(&inode->lock);
	fake_hold(false);
	/* What it waited for was cut off. */
	ck_assert_int_eq(read_end(&rd), 0);
	ck_assert_int_eq(read_now(inode, 60 * MB, 4096), 0);
	ck_assert_int_eq(pread(fd, back, sizeof(back), 60 * MB), sizeof(back));
	ck_assert_int_eq(memcmp(back, zero, sizeof(back)), 0);
	ck_assert_int_eq(read_now(inode, 20 * MB - 4096, 8192), 0);
	ck_assert(fixture_has(inode, 20 * MB - 4096, 4096));
	ck_assert_int_eq(f3_fill_whole(&fx.core, inode), 0);
	ck_assert(fixture_has(inode, 0, 20 * MB));
	ck_assert_int_eq(pread(fd, back, sizeof(back), 20 * MB), sizeof(back));
	ck_assert_int_eq(memcmp(back, zero, sizeof(back)), 0);
	settle_down(inode);
	f3_lock(&inode->lock);
	fill = inode->fill;
	f3_unlock(&inode->lock);
	ck_assert_ptr_null(fill);
	close(fd);
}
END_TEST

START_TEST(truncate_to_nothing)
{
	struct f3_inode *inode = fixture_remote(300, "f", 100 * MB);
	struct reader rd;
	int fd;

	fake_hold(true);
	ck_assert_int_eq(read_start(&rd, inode, 60 * MB, 4096), 0);
	fake_await_held(1);
	fd = f3_backing_open_file(fx.volume.disk, 300, inode->rec.backing, O_RDWR);
	f3_lock(&inode->lock);
	ck_assert_int_eq(f3_fill_truncate(&fx.core, inode, fd, 0), 0);
	f3_unlock(&inode->lock);
	close(fd);
	ck_assert_int_eq(read_end(&rd), 0);
	fake_hold(false);
	settle_down(inode);
	ck_assert(!has_extents(inode));
	ck_assert_ptr_null(inode->fill);
	ck_assert_int_eq(
		f3_backing_stat(fx.volume.disk, 300, inode->rec.backing, &(struct stat){ 0 }), 0);
}
END_TEST

/* ---- Restarts ---- */

START_TEST(restart_knows_what_is_here)
{
	struct f3_inode *inode = fixture_remote(300, "f", 100 * MB);

	for (uint64_t i = 0; i < 20; i++)
		ck_assert_int_eq(read_now(inode, (19 - i) * 5 * MB, 4096), 0);
	settle_down(inode);
	fixture_restart();
	inode = fixture_load(300);
	fake->gets = 0;
	ck_assert_int_eq(state_of(inode), F3_STATE_FILLING);
	for (uint64_t i = 0; i < 19; i++)
		ck_assert_int_eq(read_now(inode, (19 - i) * 5 * MB, 4096), 0);
	settle_down(inode);
	ck_assert_uint_eq(fake->gets, 0);
	ck_assert_int_eq(f3_fill_whole(&fx.core, inode), 0);
	ck_assert(fixture_has(inode, 0, 100 * MB));
	settle_down(inode);
}
END_TEST

START_TEST(restart_keeps_what_was_written)
{
	struct f3_inode *inode = fixture_remote(300, "f", 20 * MB);
	char mine[50000], back[50000];
	int fd;

	memset(mine, 9, sizeof(mine));
	ck_assert_int_eq(f3_fill_prepare(&fx.core, inode), 0);
	ck_assert_int_eq(f3_fill_settle(&fx.core, inode), 0);
	inode->rec.state = F3_STATE_WRITING;
	fixture_commit(inode);
	program_write(inode, 5 * MB, mine, sizeof(mine));
	program_write(inode, 5 * MB, mine, 1000);
	program_write(inode, 5 * MB + 49000, mine, 2000);
	fd = f3_backing_open_file(fx.volume.disk, 300, inode->rec.backing, O_RDWR);
	f3_lock(&inode->lock);
	ck_assert_int_eq(f3_fill_truncate(&fx.core, inode, fd, 10 * MB), 0);
	ck_assert_int_eq(f3_fill_truncate(&fx.core, inode, fd, 20 * MB), 0);
	f3_unlock(&inode->lock);
	close(fd);
	settle_down(inode);
	fixture_restart();
	inode = fixture_load(300);
	ck_assert_int_eq(f3_fill_whole(&fx.core, inode), 0);
	settle_down(inode);
	fd = f3_file_fd(&fx.core, inode);
	ck_assert_int_eq(pread(fd, back, sizeof(back), 5 * MB), sizeof(back));
	ck_assert_int_eq(memcmp(mine, back, sizeof(back)), 0);
	ck_assert(fixture_has(inode, 0, 5 * MB));
	ck_assert(fixture_has(inode, 5 * MB + 51000, 10 * MB - 5 * MB - 51000));
	ck_assert_int_eq(pread(fd, back, sizeof(back), 15 * MB), sizeof(back));
	for (unsigned i = 0; i < sizeof(back); i++)
		ck_assert_int_eq(back[i], 0);
}
END_TEST

START_TEST(restart_without_the_copy)
{
	struct f3_inode *inode = fixture_remote(300, "f", 10 * MB);

	ck_assert_int_eq(read_now(inode, 0, 4096), 0);
	settle_down(inode);
	f3_backing_unlink(fx.volume.disk, 300, inode->rec.backing);
	fixture_restart();
	inode = fixture_load(300);
	ck_assert_int_eq(f3_fill_whole(&fx.core, inode), 0);
	ck_assert(fixture_has(inode, 0, 10 * MB));
	settle_down(inode);
}
END_TEST

START_TEST(restart_distrusts_holes)
{
	struct f3_inode *inode = fixture_remote(300, "f", 10 * MB);
	int fd;

	ck_assert_int_eq(read_now(inode, 5 * MB, 4096), 0);
	settle_down(inode);
	/* As if the page cache had gone with the machine. */
	fd = f3_backing_open_file(fx.volume.disk, 300, inode->rec.backing, O_RDWR);
	ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 10 * MB), 0);
	close(fd);
	fixture_restart();
	inode = fixture_load(300);
	ck_assert_int_eq(f3_fill_whole(&fx.core, inode), 0);
	ck_assert(fixture_has(inode, 0, 10 * MB));
	settle_down(inode);
}
END_TEST

/* ---- Everything at once, against a model ---- */

#define STORM_BYTES (24 * MB)
#define STORM_THREADS 4

static struct f3_inode *storm_inode;
static uint8_t *storm_model; /* 0: the object's byte, else what was written last */
static pthread_mutex_t storm_lock = PTHREAD_MUTEX_INITIALIZER;

/* Each thread writes its own quarter (what programs do to each other is not ours), and reads
 * everywhere; what it reads of its own must be what the model says. */
static void *storm(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg, seed = me * 7919 + 1;
	uint64_t base = STORM_BYTES / STORM_THREADS * me;
	int fd = f3_backing_open_file(fx.volume.disk, storm_inode->ino, storm_inode->rec.backing,
				      O_RDWR);

	for (int i = 0; i < 400; i++) {
		uint64_t len = 1 + (unsigned)rand_r(&seed) % (rand_r(&seed) % 4 ? 9000 : 200000);
		uint64_t off = base + (unsigned)rand_r(&seed) % (STORM_BYTES / STORM_THREADS - len);
		uint8_t *buf = malloc(len);

		if (rand_r(&seed) % 2) {
			uint8_t byte = (uint8_t)(1 + rand_r(&seed) % 255);
			bool fails = rand_r(&seed) % 8 == 0;

			memset(buf, byte, len);
			f3_lock(&storm_inode->lock);
			ck_assert_int_eq(f3_fill_write_begin(storm_inode, off, len), 0);
			f3_unlock(&storm_inode->lock);
			if (!fails)
				ck_assert_int_eq(pwrite(fd, buf, len, (off_t)off), len);
			f3_lock(&storm_inode->lock);
			ck_assert_int_eq(
				f3_fill_write_end(&fx.core, storm_inode, off, len, fails ? 0 : len),
				0);
			f3_unlock(&storm_inode->lock);
			if (!fails)
				memset(storm_model + off, byte, len);
		} else {
			ck_assert_int_eq(read_now(storm_inode, off, len), 0);
			ck_assert_int_eq(pread(fd, buf, len, (off_t)off), len);
			for (uint64_t k = 0; k < len; k++) {
				uint8_t want = storm_model[off + k] ? storm_model[off + k] :
								      fixture_byte(off + k);

				if (buf[k] != want) {
					pthread_mutex_lock(&storm_lock);
					ck_abort_msg("byte %llu is %u, not %u",
						     (unsigned long long)(off + k), buf[k], want);
				}
			}
		}
		free(buf);
	}
	close(fd);
	return NULL;
}

START_TEST(storm_against_model)
{
	pthread_t t[STORM_THREADS];
	uint8_t *back = malloc(STORM_BYTES);

	storm_inode = fixture_remote(300, "f", STORM_BYTES);
	storm_model = calloc(1, STORM_BYTES);
	fx.core.opt.fill_bytes = 512 * KB;
	ck_assert_int_eq(f3_fill_prepare(&fx.core, storm_inode), 0);
	ck_assert_int_eq(f3_fill_settle(&fx.core, storm_inode), 0);
	storm_inode->rec.state = F3_STATE_WRITING;
	fixture_commit(storm_inode);
	for (unsigned i = 0; i < STORM_THREADS; i++)
		pthread_create(&t[i], NULL, storm, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < STORM_THREADS; i++)
		pthread_join(t[i], NULL);
	settle_down(storm_inode);
	if (_i) {
		fixture_restart();
		storm_inode = fixture_load(300);
	}
	ck_assert_int_eq(f3_fill_whole(&fx.core, storm_inode), 0);
	settle_down(storm_inode);
	ck_assert_int_eq(pread(f3_file_fd(&fx.core, storm_inode), back, STORM_BYTES, 0),
			 STORM_BYTES);
	for (uint64_t i = 0; i < STORM_BYTES; i++)
		if (back[i] != (storm_model[i] ? storm_model[i] : fixture_byte(i)))
			ck_abort_msg("byte %llu", (unsigned long long)i);
	free(storm_model);
	free(back);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fill");
	TCase *t = tcase_create("fill");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, small_object_comes_whole);
	tcase_add_test(t, empty_object_needs_nothing);
	tcase_add_test(t, reads_past_the_end);
	tcase_add_test(t, random_reads_bring_little);
	tcase_add_test(t, sequential_reads_run_ahead);
	tcase_add_test(t, one_transfer_per_range);
	tcase_add_test(t, reader_waits_only_for_its_range);
	tcase_add_test(t, whole_file);
	tcase_add_test(t, memory_is_bounded);
	tcase_add_test(t, errors_are_retried);
	tcase_add_test(t, errors_end_after_a_while);
	tcase_add_test(t, definite_errors_are_not_retried);
	tcase_add_test(t, replaced_object_is_stale);
	tcase_add_test(t, renamed_meanwhile);
	tcase_add_test(t, rename_in_the_journal);
	tcase_add_test(t, orphan_is_stale);
	tcase_add_test(t, cancel);
	tcase_add_test(t, stop);
	tcase_add_test(t, stop_while_resting);
	tcase_add_test(t, program_wins);
	tcase_add_test(t, announced_write_keeps_fills_away);
	tcase_add_test(t, write_serves_readers);
	tcase_add_test(t, write_completes_file);
	tcase_add_test(t, truncate_down_and_up);
	tcase_add_test(t, truncate_to_nothing);
	tcase_add_test(t, restart_knows_what_is_here);
	tcase_add_test(t, restart_keeps_what_was_written);
	tcase_add_test(t, restart_without_the_copy);
	tcase_add_test(t, restart_distrusts_holes);
	tcase_add_loop_test(t, storm_against_model, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
