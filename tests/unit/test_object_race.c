/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "fs/base/clock.h"
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

/* ---- One winner ---- */

#define RACERS 32

struct racer {
	struct f3_object_store *s;
	struct f3_obj_op op;
	struct f3_obj_gen gen;
	char body[64];
	pthread_barrier_t *start;
	pthread_t thread;
};

static struct racer racers[RACERS];

static void *race(void *arg)
{
	struct racer *r = arg;

	pthread_barrier_wait(r->start);
	f3_object_run(r->s, &r->op);
	return NULL;
}

/* All of them at once, half of them through another store on the same directory. How many
 * succeeded; *ret_winner is one of them. */
static int run_race(struct f3_object_store *other, enum f3_obj_type type, const char *key,
		    enum f3_obj_cond cond, const char *etag, int lost, int *ret_winner)
{
	pthread_barrier_t start;
	int won = 0;

	pthread_barrier_init(&start, NULL, RACERS);
	for (int i = 0; i < RACERS; i++) {
		struct racer *r = &racers[i];

		f3_object_op_init(&r->op, type);
		r->gen = unit_gen();
		r->s = i % 2 ? other : unit_s;
		r->start = &start;
		snprintf(r->body, sizeof(r->body), "body of %d", i);
		r->op.key = key;
		r->op.body = r->body;
		r->op.len = strlen(r->body);
		r->op.gen = &r->gen;
		r->op.cond = cond;
		r->op.etag = etag;
		ck_assert_int_eq(pthread_create(&r->thread, NULL, race, r), 0);
	}
	for (int i = 0; i < RACERS; i++) {
		pthread_join(racers[i].thread, NULL);
		if (!racers[i].op.result) {
			won++;
			*ret_winner = i;
		} else {
			ck_assert_int_eq(racers[i].op.result, lost);
		}
	}
	pthread_barrier_destroy(&start);
	return won;
}

static void end_race(void)
{
	for (int i = 0; i < RACERS; i++)
		f3_object_op_done(&racers[i].op);
}

static void one_winner(void)
{
	struct f3_object_store *other = unit_open_again();
	char etag[F3_OBJ_ETAG_MAX + 1];
	struct f3_obj_info info;
	uint64_t until = f3_clock_mono_ns() + 3 * F3_NS_PER_SEC;
	int winner = -1;

	for (int round = 0; round < 10 && (!round || f3_clock_mono_ns() < until); round++) {
		ck_assert_int_eq(
			run_race(other, F3_OBJ_PUT, "d/k", F3_OBJ_ABSENT, NULL, -EEXIST, &winner),
			1);
		ck_assert_str_eq(unit_text("d/k"), racers[winner].body);
		ck_assert_int_eq(unit_head("d/k", &info), 0);
		ck_assert(f3_obj_gen_equal(&info.gen, &racers[winner].gen));
		ck_assert_str_eq(info.etag, racers[winner].op.info.etag);
		memcpy(etag, info.etag, sizeof(etag));
		end_race();

		ck_assert_int_eq(
			run_race(other, F3_OBJ_PUT, "d/k", F3_OBJ_MATCH, etag, -ESTALE, &winner),
			1);
		ck_assert_str_eq(unit_text("d/k"), racers[winner].body);
		ck_assert_int_eq(unit_head("d/k", &info), 0);
		ck_assert_str_eq(info.etag, racers[winner].op.info.etag);
		memcpy(etag, info.etag, sizeof(etag));
		end_race();

		ck_assert_int_eq(
			run_race(other, F3_OBJ_DELETE, "d/k", F3_OBJ_MATCH, etag, -ESTALE, &winner),
			1);
		end_race();
		ck_assert_int_eq(
			run_race(other, F3_OBJ_MKDIR, "d/k", F3_OBJ_ABSENT, NULL, -EEXIST, &winner),
			1);
		end_race();
		ck_assert_int_eq(unit_rmdir("d/k"), 0);
	}
	f3_object_close(other);
	ck_assert_uint_eq(unit_count(".f3/tmp"), 1);
}

KIND_TEST(one_winner_of_many)
one_winner();
KIND_END

/* Where names cannot be exchanged nor refused to be replaced: the stores of one process still
 * exclude each other. */
START_TEST(one_winner_without_renameat2)
{
	static const long calls[] = { SYS_renameat2, SYS_linkat };

	ck_assert(unit_make_dir(UNIT_DISK));
	if (!unit_deny(calls, (size_t)_i + 1, EPERM)) {
		printf("skipped: no seccomp filter can be set here\n");
		unit_remove_dir();
		return;
	}
	unit_s = unit_open_again();
	one_winner();
	unit_close();
}
END_TEST

/* In a process of its own: begins when all have closed their end of the pipe. Exit code 0: won,
 * 1: lost. */
static _Noreturn void compete(const int go[2], bool delete, enum f3_obj_cond cond, const char *etag)
{
	struct unit_put put = { .key = "k", .text = "mine", .cond = cond, .etag = etag };
	char byte;
	int r;

	unit_s = unit_open_fast();
	close(go[1]);
	if (read(go[0], &byte, 1) < 0)
		_exit(2);
	r = delete ? unit_simple(F3_OBJ_DELETE, "k", cond, etag) : unit_put_to(unit_s, put, NULL);
	f3_object_close(unit_s);
	_exit(!r ? 0 : r == -ESTALE || r == -EEXIST ? 1 : 2);
}

/* The same between processes, which share no lock: puts of a new object, puts and deletes of one
 * that is there. */
START_TEST(one_winner_between_processes)
{
	uint64_t until = f3_clock_mono_ns() + 5 * F3_NS_PER_SEC;
	struct f3_obj_info info;
	pid_t pid[4];

	if (!unit_make_dir(_i))
		return;
	for (int round = 0; round < 60 && (round < 6 || f3_clock_mono_ns() < until); round++) {
		enum f3_obj_cond cond = round % 3 ? F3_OBJ_MATCH : F3_OBJ_ABSENT;
		int won = 0, status, go[2];
		bool deleted = false;

		/* no threads where a process is forked */
		unit_s = unit_open_fast();
		if (cond == F3_OBJ_ABSENT)
			ck_assert_int_eq(unit_delete("k"), 0);
		else
			ck_assert_int_eq(unit_put_info(&info, .key = "k", .text = "base"), 0);
		f3_object_close(unit_s);
		ck_assert_int_eq(pipe(go), 0);
		for (int i = 0; i < 4; i++) {
			pid[i] = fork();
			ck_assert_int_ge(pid[i], 0);
			if (!pid[i])
				compete(go, round % 3 == 2 && i % 2, cond, info.etag);
		}
		close(go[0]);
		close(go[1]);
		for (int i = 0; i < 4; i++) {
			ck_assert_int_eq(waitpid(pid[i], &status, 0), pid[i]);
			ck_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2);
			if (WEXITSTATUS(status))
				continue;
			won++;
			deleted = round % 3 == 2 && i % 2;
		}
		ck_assert_int_eq(won, 1);
		if (deleted)
			ck_assert_ptr_null(unit_foreign_read("k"));
		else
			ck_assert_str_eq(unit_foreign_read("k"), "mine");
		ck_assert_uint_eq(unit_count(".f3/tmp"), 0);
	}
	unit_remove_dir();
}
END_TEST

/* ---- Readers of what is replaced ---- */

#define BLOCK (256 << 10)

static atomic_bool stop;
static atomic_uint good_reads, stale_reads;

static void *read_on(void *arg)
{
	char *buf = malloc(BLOCK + 1);
	struct f3_obj_info info;

	(void)arg;
	while (!atomic_load(&stop)) {
		int r;

		if (unit_head("k", &info) < 0)
			abort();
		r = unit_get_from(unit_s, "k", info.etag, 0, buf, BLOCK + 1);
		if (r == -ESTALE) {
			atomic_fetch_add(&stale_reads, 1);
			continue;
		}
		/* one generation: all bytes the same, and as many as it says */
		if (r < 0 || strlen(buf) != info.size ||
		    strspn(buf, (char[]){ buf[0], 0 }) != info.size)
			abort();
		atomic_fetch_add(&good_reads, 1);
	}
	free(buf);
	return NULL;
}

KIND_TEST(readers_see_one_generation)
{
	uint64_t until = f3_clock_mono_ns() + 2 * F3_NS_PER_SEC;
	static char body[BLOCK + 1];
	pthread_t readers[3];

	memset(body, 'a', 1000);
	ck_assert_int_eq(unit_put(.key = "k", .text = body), 0);
	atomic_store(&stop, false);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, read_on, NULL), 0);
	/* a slow disk has fewer generations to show */
	for (int i = 0; i < 200 && (i < 20 || f3_clock_mono_ns() < until); i++) {
		size_t size = (size_t)(i * 7919 % BLOCK) + 1;

		memset(body, 'a' + i % 26, size);
		body[size] = 0;
		ck_assert_int_eq(unit_put(.key = "k", .text = body), 0);
	}
	while (!atomic_load(&good_reads))
		sched_yield();
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(readers[i], NULL);
	ck_assert_uint_gt(atomic_load(&good_reads), 0);
}
KIND_END

/* Changed in place while it is read: after the bytes have come, before they are believed. */
static atomic_uint turn;

static void *touch_in_turn(void *arg)
{
	int fd = *(int *)arg;

	for (unsigned t = 1;; t++) {
		uint64_t until;

		while (atomic_load(&turn) < t) {
			if (atomic_load(&stop))
				return NULL;
			sched_yield();
		}
		/* sooner and later */
		until = f3_clock_mono_ns() + t % 40 * 100000;
		while (f3_clock_mono_ns() < until)
			sched_yield();
		futimens(fd, NULL);
	}
}

KIND_TEST(a_read_that_may_be_a_mixture_is_refused)
{
	uint64_t until = f3_clock_mono_ns() + 30 * F3_NS_PER_SEC;
	size_t size = 48 << 20;
	char *buf = malloc(size);
	struct f3_obj_info info;
	unsigned refused = 0;
	pthread_t thread;
	int fd;

	unit_foreign_write("k", "x");
	fd = open(unit_path("k"), O_RDWR);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	atomic_store(&stop, false);
	ck_assert_int_eq(pthread_create(&thread, NULL, touch_in_turn, &fd), 0);
	while (!refused && f3_clock_mono_ns() < until) {
		struct f3_obj_op op;

		unit_next_tick();
		ck_assert_int_eq(unit_head("k", &info), 0);
		f3_object_op_init(&op, F3_OBJ_GET);
		op.key = "k";
		op.etag = info.etag;
		op.buf = buf;
		op.len = size;
		atomic_fetch_add(&turn, 1);
		f3_object_run(unit_s, &op);
		ck_assert(!op.result || op.result == -ESTALE);
		refused += op.result == -ESTALE && op.moved == size;
		f3_object_op_done(&op);
	}
	ck_assert_uint_gt(refused, 0);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	close(fd);
	free(buf);
}
KIND_END

/* ---- The queue ---- */

static atomic_uint n_done;

static void count_done(struct f3_obj_op *op)
{
	(void)op;
	atomic_fetch_add(&n_done, 1);
}

/* A lease on a file holds up whoever opens it: a thread of the store stays busy as long as the
 * test wants. */
static int hold_up(const char *key)
{
	int fd = open(unit_path(key), O_RDWR | O_CREAT, 0644);

	ck_assert_int_ge(fd, 0);
	signal(SIGIO, SIG_IGN);
	return fcntl(fd, F_SETLEASE, F_WRLCK) < 0 ? -1 : fd;
}

/* A store on a disk, and the lease on its object "leased"; -1: there is neither, and it was said why. */
static int open_leased(void)
{
	int lease;

	ck_assert(unit_open(UNIT_DISK));
	atomic_store(&n_done, 0);
	lease = hold_up("leased");
	if (lease < 0) {
		printf("skipped: no leases here\n");
		unit_close();
	}
	return lease;
}

/* Whoever opens a file asks the store about it, and does not wait for the bytes of others. */
START_TEST(questions_do_not_wait_for_bytes)
{
	struct f3_obj_op busy[4];
	struct f3_obj_gen gen = unit_gen();
	struct f3_obj_info info;
	char keys[4][8];
	int lease;

	lease = open_leased();
	if (lease < 0)
		return;
	ck_assert_int_eq(unit_put(.key = "other", .text = "text"), 0);
	for (int i = 0; i < 4; i++) {
		snprintf(keys[i], sizeof(keys[i]), "copy%d", i);
		f3_object_op_init(&busy[i], F3_OBJ_COPY);
		busy[i].key = "leased";
		busy[i].key2 = keys[i];
		busy[i].gen = &gen;
		busy[i].done = count_done;
		f3_object_submit(unit_s, &busy[i]);
	}
	ck_assert_int_eq(unit_head("other", &info), 0);
	ck_assert_str_eq(unit_text("other"), "text");
	ck_assert_int_eq(unit_delete("other"), 0);
	ck_assert_uint_eq(atomic_load(&n_done), 0);
	ck_assert_int_eq(fcntl(lease, F_SETLEASE, F_UNLCK), 0);
	f3_object_close(unit_s);
	ck_assert_uint_eq(atomic_load(&n_done), 4);
	for (int i = 0; i < 4; i++)
		f3_object_op_done(&busy[i]);
	close(lease);
	unit_remove_dir();
}
END_TEST

START_TEST(what_waits_can_be_cancelled_and_expires)
{
	static struct f3_obj_op many[9000];
	struct f3_obj_op busy[4], cancelled, late;
	struct f3_obj_gen gen = unit_gen();
	unsigned refused = 0;
	char buf[8];
	int lease;

	lease = open_leased();
	if (lease < 0)
		return;
	/* all four threads of the store that send no bytes wait for the lease */
	for (int i = 0; i < 4; i++) {
		f3_object_op_init(&busy[i], F3_OBJ_GET);
		busy[i].key = "leased";
		busy[i].buf = buf;
		busy[i].len = 0;
		busy[i].done = count_done;
		f3_object_submit(unit_s, &busy[i]);
	}
	f3_object_op_init(&cancelled, F3_OBJ_MKDIR);
	cancelled.key = "cancelled";
	cancelled.gen = &gen;
	cancelled.done = count_done;
	f3_object_submit(unit_s, &cancelled);
	f3_object_op_init(&late, F3_OBJ_MKDIR);
	late.key = "late";
	late.gen = &gen;
	late.done = count_done;
	late.deadline_mono_ns = f3_clock_mono_ns();
	f3_object_submit(unit_s, &late);
	f3_object_cancel(unit_s, &cancelled);
	f3_object_cancel(unit_s, (struct f3_obj_op *)&gen); /* unknown: nothing happens */
	ck_assert_uint_eq(atomic_load(&n_done), 0);

	/* the queue is bounded: what does not fit is told so at once */
	for (int i = 0; i < 9000; i++) {
		f3_object_op_init(&many[i], F3_OBJ_HEAD);
		many[i].key = "leased";
		many[i].result = 1;
		many[i].done = count_done;
		f3_object_submit(unit_s, &many[i]);
		f3_object_cancel(unit_s, &many[i]);
	}
	refused = atomic_load(&n_done);
	ck_assert_uint_gt(refused, 100);
	ck_assert_uint_lt(refused, 1000);

	ck_assert_int_eq(fcntl(lease, F_SETLEASE, F_UNLCK), 0);
	f3_object_close(unit_s); /* waits for all of them */
	ck_assert_uint_eq(atomic_load(&n_done), 9006);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(busy[i].result, 0);
	ck_assert_int_eq(cancelled.result, -ECANCELED);
	ck_assert_int_eq(late.result, -ETIMEDOUT);
	for (int i = 0; i < 9000; i++) {
		if (many[i].result == -EAGAIN)
			refused--;
		else
			ck_assert_int_eq(many[i].result, -ECANCELED);
	}
	ck_assert_uint_eq(refused, 0);
	ck_assert_int_lt(access(unit_path("cancelled"), F_OK), 0);
	ck_assert_int_lt(access(unit_path("late"), F_OK), 0);
	close(lease);
	unit_remove_dir();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("object race");
	TCase *tc = tcase_create("race");

	tcase_add_loop_test(tc, one_winner_of_many, 0, UNIT_KINDS);
	if (f3_unit_forks())
		tcase_add_loop_test(tc, one_winner_without_renameat2, 0, 2);
	tcase_add_loop_test(tc, one_winner_between_processes, 0, UNIT_RAMFS);
	tcase_add_loop_test(tc, readers_see_one_generation, 0, UNIT_KINDS);
	tcase_add_loop_test(tc, a_read_that_may_be_a_mixture_is_refused, 0, UNIT_KINDS);
	tcase_add_test(tc, questions_do_not_wait_for_bytes);
	tcase_add_test(tc, what_waits_can_be_cancelled_and_expires);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
