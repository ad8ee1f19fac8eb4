/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fs/meta/meta_impl.h"
#include "tests/unit/meta_unit.h"

static struct meta_unit u;

static void setup(void)
{
	meta_unit_init(&u);
	meta_unit_open(&u);
}

static void teardown(void)
{
	meta_unit_done(&u);
}

static struct f3_batch *batch(void)
{
	struct f3_batch *b;

	ck_assert_int_eq(f3_batch_new(u.m, &b), 0);
	return b;
}

static void commit(struct f3_batch *b)
{
	ck_assert_int_eq(f3_batch_commit(b), 0);
	f3_batch_free(b);
}

static struct f3_inode_rec inode(uint64_t ino, uint32_t mode)
{
	struct f3_inode_rec rec = { .ino = ino, .mode = mode, .nlink = 1, .volume = 1 };

	return rec;
}

static void put_name(uint64_t parent, const char *name, uint64_t ino)
{
	struct f3_batch *b = batch();

	f3_batch_put_name(b, parent, name, strlen(name), ino, 8);
	commit(b);
}

static int get_name(uint64_t parent, const char *name, struct f3_meta_name *ret)
{
	return f3_meta_get_name(u.m, parent, name, strlen(name), ret);
}

/* ---- Open ----------------------------------------------------------------------------------- */

START_TEST(starts_are_counted)
{
	ck_assert_uint_eq(f3_meta_incarnation(u.m), 1);
	for (uint32_t i = 2; i < 5; i++) {
		meta_unit_close(&u);
		meta_unit_open(&u);
		ck_assert_uint_eq(f3_meta_incarnation(u.m), i);
	}
}
END_TEST

/* Whatever is refused to the very first start, there is no database without a root. */
/* Nothing may gather in the directory with each start. */
START_TEST(starts_leave_nothing_behind)
{
	struct dirent *e;
	unsigned options = 0;
	DIR *d;

	for (int i = 0; i < 4; i++) {
		meta_unit_close(&u);
		meta_unit_open(&u);
	}
	d = opendir(u.dir);
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d))) {
		ck_assert_msg(!strstr(e->d_name, "tmp"), "%s", e->d_name);
		options += !strncmp(e->d_name, "OPTIONS", 7);
	}
	closedir(d);
	ck_assert_uint_le(options, 2);
}
END_TEST

START_TEST(first_start_without_room)
{
	static const struct {
		enum f3_kv_fault_op op;
		int error;
	} faults[] = { { F3_KV_FAULT_WRITE, -ENOSPC }, { F3_KV_FAULT_SYNC, -EIO } };
	struct f3_meta_options opt = meta_unit_options(false, BOOT_A);
	struct f3_inode_rec rec;
	struct meta_unit v;
	struct f3_kv *inner;
	int r;

	meta_unit_init(&v);
	ck_assert_int_eq(meta_unit_rocks(&v, false, true, &inner), 0);
	ck_assert_int_eq(f3_kv_fault_new(inner, &v.kv), 0);
	f3_kv_fault_set(v.kv, faults[_i].op, 1, 1, faults[_i].error);
	ck_assert_int_eq(f3_meta_open(v.kv, &opt, &v.m, &v.err), faults[_i].error);
	r = meta_unit_try(&v, true, BOOT_A);
	if (r)
		ck_assert_int_eq(r, -ENOENT); /* it is empty */
	else
		ck_assert_int_eq(f3_meta_get_inode(v.m, F3_INO_ROOT, &rec), 0);
	if (!r)
		f3_inode_rec_done(&rec);
	meta_unit_close(&v);
	meta_unit_open(&v);
	ck_assert_int_eq(f3_meta_get_inode(v.m, F3_INO_ROOT, &rec), 0);
	ck_assert(S_ISDIR(rec.mode));
	f3_inode_rec_done(&rec);
	meta_unit_done(&v);
}
END_TEST

START_TEST(ids_differ_between_starts)
{
	struct f3_id a, b, c;

	f3_meta_new_id(u.m, &a);
	f3_meta_new_id(u.m, &b);
	ck_assert(!f3_id_equal(&a, &b));
	meta_unit_close(&u);
	meta_unit_open(&u);
	f3_meta_new_id(u.m, &c);
	ck_assert(!f3_id_equal(&a, &c));
	/* The same node, another start. */
	ck_assert_mem_eq(a.b, c.b, 6);
	ck_assert_mem_ne(a.b + 6, c.b + 6, 4);
}
END_TEST

START_TEST(tells_how_the_last_run_ended)
{
	uint64_t seed = f3_meta_seed(u.m);

	/* Nothing before: nothing lost. */
	ck_assert(f3_meta_was_clean(u.m));
	ck_assert(f3_meta_same_boot(u.m));
	meta_unit_close(&u);
	ck_assert_int_eq(meta_unit_try(&u, false, BOOT_B), 0);
	ck_assert(f3_meta_was_clean(u.m));
	ck_assert(!f3_meta_same_boot(u.m));
	ck_assert_uint_eq(f3_meta_seed(u.m), seed);
	ck_assert_int_eq(f3_meta_recovered(u.m), 0);

	/* The mark cannot be written: as if it had been killed. */
	f3_kv_fault_set(u.kv, F3_KV_FAULT_WRITE, 1, UINT64_MAX / 2, -EIO);
	meta_unit_close(&u);
	ck_assert_int_eq(meta_unit_try(&u, false, BOOT_B), 0);
	ck_assert(!f3_meta_was_clean(u.m));
	ck_assert(f3_meta_same_boot(u.m));
}
END_TEST

/* A start that fails before it has dealt with what the last run left does not hide it. */
START_TEST(a_failed_start_changes_nothing)
{
	ck_assert_int_eq(f3_meta_recovered(u.m), 0);
	f3_meta_distrust(u.m);
	meta_unit_close(&u);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(meta_unit_try(&u, false, BOOT_B), 0);
		ck_assert(!f3_meta_was_clean(u.m));
		ck_assert(!f3_meta_same_boot(u.m));
		meta_unit_close(&u);
	}
	ck_assert_int_eq(meta_unit_try(&u, false, BOOT_B), 0);
	ck_assert_int_eq(f3_meta_recovered(u.m), 0);
	meta_unit_close(&u);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(meta_unit_try(&u, false, BOOT_B), 0);
		ck_assert(f3_meta_was_clean(u.m));
		ck_assert(f3_meta_same_boot(u.m));
		meta_unit_close(&u);
	}
	meta_unit_open(&u);
}
END_TEST

/* Puts a value into the "meta" family of the closed database. */
static void plant(const char *key, const void *value, size_t len)
{
	struct f3_kv_batch *b;
	struct f3_kv *kv;

	ck_assert_int_eq(meta_unit_rocks(&u, false, true, &kv), 0);
	ck_assert_int_eq(kv->ops->batch_new(kv, &b), 0);
	if (value)
		kv->ops->batch_put(b, F3_CF_META, key, strlen(key), value, len);
	else
		kv->ops->batch_del(b, F3_CF_META, key, strlen(key));
	ck_assert_int_eq(kv->ops->write(kv, b), 0);
	kv->ops->batch_free(kv, b);
	kv->ops->close(kv);
}

START_TEST(newer_format_is_refused)
{
	static const uint8_t newer[] = { 1, 0, 0, 0, 0, 0, 0, 0, 77 };

	meta_unit_close(&u);
	plant("format", newer, sizeof(newer));
	for (int read_only = 0; read_only < 2; read_only++) {
		ck_assert_int_eq(meta_unit_try(&u, read_only, BOOT_A), -EPROTONOSUPPORT);
		ck_assert_ptr_null(u.m);
		ck_assert_msg(strstr(u.err.text, "format 77") != NULL, "%s", u.err.text);
		ck_assert_msg(strstr(u.err.text, "up to 1") != NULL, "%s", u.err.text);
	}
}
END_TEST

START_TEST(damaged_counters_are_refused)
{
	static const char *const keys[] = { "format",      "seed", "incarnation", "inode-next",
					    "next-volume", "node", "boot" };
	static const uint8_t zero[] = { 1, 0, 0, 0, 0, 0, 0, 0, 0 };

	meta_unit_close(&u);
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		plant(keys[i], "\1?", 2);
		ck_assert_msg(meta_unit_try(&u, false, BOOT_A) == -EIO, "%s", keys[i]);
		ck_assert_msg(strstr(u.err.text, "corrupt") != NULL, "%s", u.err.text);
		plant(keys[i], NULL, 0);
		ck_assert_msg(meta_unit_try(&u, false, BOOT_A) == -EIO, "%s", keys[i]);
		ck_assert_msg(strstr(u.err.text, "corrupt") != NULL, "%s", u.err.text);
		meta_unit_done(&u);
		meta_unit_init(&u);
		meta_unit_open(&u);
		meta_unit_close(&u);
	}
	plant("format", zero, sizeof(zero));
	ck_assert_int_eq(meta_unit_try(&u, false, BOOT_A), -EIO);
}
END_TEST

START_TEST(another_nodes_database_is_refused)
{
	struct f3_meta_options opt = meta_unit_options(false, BOOT_A);
	struct f3_kv *kv;

	meta_unit_close(&u);
	opt.node_uuid[3] ^= 1;
	ck_assert_int_eq(meta_unit_rocks(&u, false, true, &kv), 0);
	ck_assert_int_eq(f3_meta_open(kv, &opt, &u.m, &u.err), -EINVAL);
	ck_assert_msg(strstr(u.err.text, "another node") != NULL, "%s", u.err.text);
	/* Looking at it is allowed. */
	ck_assert_int_eq(meta_unit_rocks(&u, true, false, &kv), 0);
	opt.read_only = true;
	ck_assert_int_eq(f3_meta_open(kv, &opt, &u.m, &u.err), 0);
}
END_TEST

/* One that came along when the directory was copied. */
START_TEST(database_of_the_node_before_is_taken_over)
{
	struct f3_meta_options opt = meta_unit_options(false, BOOT_A);
	struct f3_kv *kv;

	for (int i = 0; i < 2; i++) {
		meta_unit_close(&u);
		memcpy(opt.node_was, opt.node_uuid, sizeof(opt.node_was));
		opt.node_uuid[3] ^= 1u << i;
		for (int again = 0; again < 2; again++) {
			ck_assert_int_eq(meta_unit_rocks(&u, false, true, &kv), 0);
			ck_assert_int_eq(f3_meta_open(kv, &opt, &u.m, &u.err), 0);
			if (!again)
				meta_unit_close(&u);
		}
	}
	meta_unit_close(&u);
	/* And is nobody else's any more. */
	opt = meta_unit_options(false, BOOT_A);
	ck_assert_int_eq(meta_unit_rocks(&u, false, true, &kv), 0);
	ck_assert_int_eq(f3_meta_open(kv, &opt, &u.m, &u.err), -EINVAL);
}
END_TEST

START_TEST(read_only_changes_nothing)
{
	struct f3_meta_name name;
	struct f3_batch *b;
	uint64_t ino;
	uint32_t id;

	put_name(1, "a", 300);
	meta_unit_close(&u);
	ck_assert_int_eq(meta_unit_try(&u, true, BOOT_B), 0);
	ck_assert_uint_eq(f3_meta_incarnation(u.m), 1);
	ck_assert(f3_meta_was_clean(u.m));
	ck_assert_int_eq(get_name(1, "a", &name), 0);
	ck_assert_uint_eq(name.ino, 300);
	ck_assert_int_eq(f3_meta_new_ino(u.m, &ino), -EROFS);
	ck_assert_int_eq(f3_meta_new_volume_id(u.m, &id), -EROFS);
	b = batch();
	f3_batch_put_name(b, 1, "b", 1, 301, 8);
	ck_assert_int_eq(f3_batch_commit(b), -EROFS);
	f3_batch_free(b);
	ck_assert_int_eq(f3_meta_sync(u.m), 0);
	meta_unit_close(&u);
	meta_unit_open(&u);
	ck_assert_uint_eq(f3_meta_incarnation(u.m), 2);
	ck_assert(f3_meta_was_clean(u.m));
	ck_assert_int_eq(get_name(1, "b", &name), -ENOENT);
}
END_TEST

START_TEST(open_needs_the_disk)
{
	/* Whichever write or sync of the start fails, it fails, and the next one works. */
	for (int op = F3_KV_FAULT_GET; op < F3_KV_FAULT_MAX; op++) {
		struct f3_meta_options opt = meta_unit_options(false, BOOT_A);
		struct f3_kv *inner;

		meta_unit_close(&u);
		ck_assert_int_eq(meta_unit_rocks(&u, false, true, &inner), 0);
		ck_assert_int_eq(f3_kv_fault_new(inner, &u.kv), 0);
		f3_kv_fault_set(u.kv, (enum f3_kv_fault_op)op, 1, UINT64_MAX / 2, -ENOSPC);
		ck_assert_int_eq(f3_meta_open(u.kv, &opt, &u.m, &u.err), -ENOSPC);
		ck_assert(u.err.text[0] != '\0');
		meta_unit_open(&u);
	}
}
END_TEST

/* ---- Numbers -------------------------------------------------------------------------------- */

START_TEST(inode_numbers_never_repeat)
{
	uint64_t last = F3_INO_FIRST - 1, ino;

	for (int start = 0; start < 3; start++) {
		for (int i = 0; i < 10000; i++) {
			ck_assert_int_eq(f3_meta_new_ino(u.m, &ino), 0);
			ck_assert_uint_gt(ino, last);
			last = ino;
		}
		meta_unit_close(&u);
		meta_unit_open(&u);
	}
}
END_TEST

START_TEST(inode_numbers_are_reserved_ahead)
{
	uint64_t ino, writes = f3_kv_fault_calls(u.kv, F3_KV_FAULT_WRITE);
	uint64_t syncs = f3_kv_fault_calls(u.kv, F3_KV_FAULT_SYNC);

	for (int i = 0; i < 40960; i++)
		ck_assert_int_eq(f3_meta_new_ino(u.m, &ino), 0);
	/* One synced write for 4,096 numbers. */
	ck_assert_uint_eq(f3_kv_fault_calls(u.kv, F3_KV_FAULT_WRITE) - writes, 10);
	ck_assert_uint_eq(f3_kv_fault_calls(u.kv, F3_KV_FAULT_SYNC) - syncs, 10);
}
END_TEST

START_TEST(inode_numbers_end_with_the_disk)
{
	uint64_t ino, last = 0;
	int r = 0;

	f3_kv_fault_set(u.kv, F3_KV_FAULT_SYNC, 1, UINT64_MAX / 2, -EIO);
	for (int i = 0; i < 5000 && !r; i++) {
		r = f3_meta_new_ino(u.m, &ino);
		if (!r)
			last = ino;
	}
	/* What was reserved may be used up; nothing that is not reserved is given out. */
	ck_assert_int_eq(r, -EIO);
	ck_assert_uint_eq(last, F3_INO_FIRST + 4095);
	f3_kv_fault_set(u.kv, F3_KV_FAULT_SYNC, 1, 0, 0);
	ck_assert_int_eq(f3_meta_new_ino(u.m, &ino), 0);
	ck_assert_uint_gt(ino, last);
}
END_TEST

#define INO_THREADS 8
#define INO_EACH 5000

static void *take_inos(void *arg)
{
	uint64_t *out = arg;

	for (int i = 0; i < INO_EACH; i++)
		if (f3_meta_new_ino(u.m, &out[i]))
			out[i] = 0;
	return NULL;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

START_TEST(inode_numbers_of_many_threads)
{
	static uint64_t all[INO_THREADS * INO_EACH];
	pthread_t tids[INO_THREADS];

	for (int t = 0; t < INO_THREADS; t++)
		ck_assert_int_eq(pthread_create(&tids[t], NULL, take_inos, all + t * INO_EACH), 0);
	for (int t = 0; t < INO_THREADS; t++)
		pthread_join(tids[t], NULL);
	qsort(all, INO_THREADS * INO_EACH, sizeof(all[0]), by_number);
	ck_assert_uint_ge(all[0], F3_INO_FIRST);
	for (int i = 1; i < INO_THREADS * INO_EACH; i++)
		ck_assert_uint_eq(all[i], all[i - 1] + 1);
}
END_TEST

START_TEST(volume_ids_never_repeat)
{
	uint32_t a, b, c;

	ck_assert_int_eq(f3_meta_new_volume_id(u.m, &a), 0);
	ck_assert_int_eq(f3_meta_new_volume_id(u.m, &b), 0);
	ck_assert_uint_eq(a, 1);
	ck_assert_uint_eq(b, 2);
	meta_unit_close(&u);
	meta_unit_open(&u);
	ck_assert_int_eq(f3_meta_new_volume_id(u.m, &c), 0);
	ck_assert_uint_eq(c, 3);
}
END_TEST

static int last_seq(void *arg, const struct f3_journal_entry *e)
{
	uint64_t *last = arg;

	ck_assert_uint_gt(e->seq, *last);
	*last = e->seq;
	return 0;
}

START_TEST(journal_keeps_its_order)
{
	static struct f3_journal_entry e = { .type = F3_JOURNAL_PUT };
	uint64_t last = 0, next;

	for (int start = 0; start < 3; start++) {
		struct f3_batch *b = batch();

		e.seq = f3_meta_new_seq(u.m);
		ck_assert_uint_gt(e.seq, last);
		last = e.seq;
		f3_batch_put_journal(b, &e);
		commit(b);
		meta_unit_close(&u);
		meta_unit_open(&u);
	}
	last = 0;
	ck_assert_int_eq(f3_meta_each_journal(u.m, last_seq, &last), 0);
	next = f3_meta_new_seq(u.m);
	ck_assert_uint_gt(next, last);

	/* However far ahead the entries of earlier starts are. */
	e.seq = 1ull << 60;
	{
		struct f3_batch *b = batch();

		f3_batch_put_journal(b, &e);
		f3_batch_del_journal(b, last);
		commit(b);
	}
	meta_unit_close(&u);
	meta_unit_open(&u);
	ck_assert_uint_gt(f3_meta_new_seq(u.m), 1ull << 60);
}
END_TEST

/* ---- Group commit --------------------------------------------------------------------------- */

static uint64_t syncs(void)
{
	return f3_kv_fault_calls(u.kv, F3_KV_FAULT_SYNC);
}

START_TEST(nothing_new_needs_no_sync)
{
	uint64_t before;

	put_name(1, "a", 300);
	before = syncs();
	ck_assert_int_eq(f3_meta_sync(u.m), 0);
	ck_assert_int_eq(f3_meta_sync(u.m), 0);
	ck_assert_uint_eq(syncs(), before + 1);
	put_name(1, "b", 300);
	ck_assert_int_eq(f3_meta_sync(u.m), 0);
	ck_assert_uint_eq(syncs(), before + 2);
}
END_TEST

struct sync_job {
	pthread_t tid;
	unsigned number;
	int result;
};

static void *commit_and_sync(void *arg)
{
	struct sync_job *job = arg;
	struct f3_batch *b;
	char name[32];

	snprintf(name, sizeof(name), "job%u", job->number);
	job->result = f3_batch_new(u.m, &b);
	if (job->result)
		return NULL;
	f3_batch_put_name(b, 1, name, strlen(name), 300, 8);
	job->result = f3_batch_commit(b);
	f3_batch_free(b);
	if (!job->result)
		job->result = f3_meta_sync(u.m);
	return NULL;
}

static void start_job(struct sync_job *job, unsigned number)
{
	job->number = number;
	job->result = 1;
	ck_assert_int_eq(pthread_create(&job->tid, NULL, commit_and_sync, job), 0);
}

/* Until `n` have queued behind the sync that stands at the gate. */
static void await_waiters(unsigned n)
{
	for (;;) {
		unsigned have = 0;

		f3_lock(&u.m->lock);
		have = u.m->sync_waiters;
		f3_unlock(&u.m->lock);
		if (have == n)
			return;
		sched_yield();
	}
}

START_TEST(one_sync_serves_all_who_wait)
{
	struct sync_job first, jobs[16];
	uint64_t before = syncs();

	f3_kv_fault_gate(u.kv, F3_KV_FAULT_SYNC, true);
	start_job(&first, 100);
	f3_kv_fault_await(u.kv, F3_KV_FAULT_SYNC, 1);
	/* These come while a sync is under way that may have missed them. */
	for (unsigned i = 0; i < 16; i++)
		start_job(&jobs[i], i);
	await_waiters(16);
	f3_kv_fault_gate(u.kv, F3_KV_FAULT_SYNC, false);
	pthread_join(first.tid, NULL);
	ck_assert_int_eq(first.result, 0);
	for (unsigned i = 0; i < 16; i++) {
		pthread_join(jobs[i].tid, NULL);
		ck_assert_int_eq(jobs[i].result, 0);
	}
	ck_assert_uint_eq(syncs(), before + 2);
}
END_TEST

START_TEST(a_failed_sync_fails_its_group_only)
{
	struct sync_job first, jobs[4];

	/* The one under way is good; the next one, which those who came later share, is not. */
	f3_kv_fault_gate(u.kv, F3_KV_FAULT_SYNC, true);
	f3_kv_fault_set(u.kv, F3_KV_FAULT_SYNC, 2, 1, -EIO);
	start_job(&first, 100);
	f3_kv_fault_await(u.kv, F3_KV_FAULT_SYNC, 1);
	for (unsigned i = 0; i < 4; i++)
		start_job(&jobs[i], i);
	await_waiters(4);
	f3_kv_fault_gate(u.kv, F3_KV_FAULT_SYNC, false);
	pthread_join(first.tid, NULL);
	ck_assert_int_eq(first.result, 0);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(jobs[i].tid, NULL);
		ck_assert_int_eq(jobs[i].result, -EIO);
	}
	ck_assert_int_eq(f3_meta_sync(u.m), 0);
}
END_TEST

static void *sync_often(void *arg)
{
	struct sync_job *job = arg;

	for (int i = 0; i < 200; i++) {
		commit_and_sync(job);
		if (job->result)
			break;
	}
	return NULL;
}

START_TEST(many_threads_sync)
{
	struct sync_job jobs[8];
	uint64_t before = syncs();

	for (unsigned i = 0; i < 8; i++) {
		jobs[i].number = i;
		ck_assert_int_eq(pthread_create(&jobs[i].tid, NULL, sync_often, &jobs[i]), 0);
	}
	for (unsigned i = 0; i < 8; i++) {
		pthread_join(jobs[i].tid, NULL);
		ck_assert_int_eq(jobs[i].result, 0);
	}
	ck_assert_uint_le(syncs() - before, 8 * 200);
	ck_assert_uint_eq(atomic_load(&u.m->synced), atomic_load(&u.m->committed));
}
END_TEST

/* ---- kill -9 -------------------------------------------------------------------------------- */

/* What the child does: commits for ever, saying after each which one it was. */
static int child(const char *dir)
{
	struct f3_meta_options opt = meta_unit_options(false, BOOT_A);
	uint32_t number = 0;
	struct f3_kv *kv;

	snprintf(u.dir, sizeof(u.dir), "%s", dir);
	if (meta_unit_rocks(&u, false, false, &kv) || f3_meta_open(kv, &opt, &u.m, &u.err))
		return 1;
	for (;; number++) {
		struct f3_inode_rec rec;
		struct f3_batch *b;
		char name[32];
		uint64_t ino;

		if (f3_meta_new_ino(u.m, &ino) || f3_batch_new(u.m, &b))
			return 1;
		rec = inode(ino, S_IFREG);
		rec.size = number;
		snprintf(name, sizeof(name), "k%u-%u", f3_meta_incarnation(u.m), number);
		f3_batch_put_name(b, 1, name, strlen(name), ino, 8);
		f3_batch_put_inode(b, &rec);
		f3_batch_put_xattr(b, ino, "user.name", 9, name, strlen(name));
		if (f3_batch_commit(b))
			return 1;
		f3_batch_free(b);
		if (write(STDOUT_FILENO, &number, sizeof(number)) != (ssize_t)sizeof(number))
			return 1;
	}
}

/* Starts the child (a fresh image: RocksDB's threads do not survive a fork), kills it after it
 * has said `until`, and returns the last number it was heard to say. */
static uint32_t run_and_kill(uint32_t until)
{
	uint32_t number = 0, last = 0;
	int fds[2], status;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		execl("/proc/self/exe", "test_meta", "commit", u.dir, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	while (read(fds[0], &number, sizeof(number)) == (ssize_t)sizeof(number)) {
		last = number;
		if (number == until)
			kill(pid, SIGKILL);
	}
	close(fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status), "the child ended by itself: %x", (unsigned)status);
	ck_assert_uint_ge(last, until);
	return last;
}

START_TEST(committed_survives_a_kill)
{
	uint64_t highest = 0, ino;

	meta_unit_close(&u);
	for (uint32_t start = 0; start < 6; start++) {
		uint32_t last = run_and_kill(start * 700), incarnation;

		meta_unit_open(&u);
		incarnation = f3_meta_incarnation(u.m);
		ck_assert_uint_eq(incarnation, 3 + 2 * start);
		ck_assert(!f3_meta_was_clean(u.m));
		ck_assert(f3_meta_same_boot(u.m));
		for (uint32_t i = 0; i <= last; i++) {
			struct f3_meta_name found;
			struct f3_inode_rec rec;
			struct f3_buf value;
			char name[32];

			snprintf(name, sizeof(name), "k%u-%u", incarnation - 1, i);
			ck_assert_msg(get_name(1, name, &found) == 0, "%s", name);
			ck_assert_int_eq(f3_meta_get_inode(u.m, found.ino, &rec), 0);
			ck_assert_uint_eq(rec.size, i);
			f3_buf_init(&value, 100);
			ck_assert_int_eq(f3_meta_get_xattr(u.m, found.ino, "user.name", 9, &value),
					 0);
			ck_assert_uint_eq(value.len, strlen(name));
			ck_assert_mem_eq(value.data, name, value.len);
			f3_buf_done(&value);
			/* No number was given out twice, over all starts. */
			ck_assert_uint_gt(found.ino, highest);
			highest = found.ino;
		}
		ck_assert_int_eq(f3_meta_new_ino(u.m, &ino), 0);
		ck_assert_uint_gt(ino, highest);
		highest = ino;
		meta_unit_close(&u);
	}
}
END_TEST

static void add_case(Suite *s, TCase *tc)
{
	tcase_set_timeout(tc, 300);
	tcase_add_checked_fixture(tc, setup, teardown);
	suite_add_tcase(s, tc);
}

static Suite *suite(void)
{
	Suite *s = suite_create("meta_open");
	TCase *opening = tcase_create("opening");
	TCase *numbers = tcase_create("numbers");
	TCase *group = tcase_create("group");
	TCase *kills = tcase_create("kills");

	tcase_add_test(opening, starts_are_counted);
	tcase_add_test(opening, starts_leave_nothing_behind);
	tcase_add_loop_test(opening, first_start_without_room, 0, 2);
	tcase_add_test(opening, ids_differ_between_starts);
	tcase_add_test(opening, tells_how_the_last_run_ended);
	tcase_add_test(opening, a_failed_start_changes_nothing);
	tcase_add_test(opening, newer_format_is_refused);
	tcase_add_test(opening, damaged_counters_are_refused);
	tcase_add_test(opening, another_nodes_database_is_refused);
	tcase_add_test(opening, database_of_the_node_before_is_taken_over);
	tcase_add_test(opening, read_only_changes_nothing);
	tcase_add_test(opening, open_needs_the_disk);
	tcase_add_test(numbers, inode_numbers_never_repeat);
	tcase_add_test(numbers, inode_numbers_are_reserved_ahead);
	tcase_add_test(numbers, inode_numbers_end_with_the_disk);
	tcase_add_test(numbers, inode_numbers_of_many_threads);
	tcase_add_test(numbers, volume_ids_never_repeat);
	tcase_add_test(numbers, journal_keeps_its_order);
	tcase_add_test(group, nothing_new_needs_no_sync);
	tcase_add_test(group, one_sync_serves_all_who_wait);
	tcase_add_test(group, a_failed_sync_fails_its_group_only);
	tcase_add_test(group, many_threads_sync);
	tcase_add_test(kills, committed_survives_a_kill);
	add_case(s, opening);
	add_case(s, numbers);
	add_case(s, group);
	add_case(s, kills);
	return s;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "commit") == 0)
		return child(argv[2]);
	return f3_unit_run(suite());
}
