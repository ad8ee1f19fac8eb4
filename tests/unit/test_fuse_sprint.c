/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/thread.h"
#include "fs/fuse/sprint.h"
#include "tests/unit/unit.h"

/* A thread that sprints for the main thread and does what the test tells it. */
struct sprinter {
	struct f3_sprint *s;
	struct f3_runner *r;
	pthread_t thread;
	void (*run)(struct sprinter *p);
	pid_t client;
	bool began, judged;
	sem_t begun, go, ended;
	atomic_bool pending, hog_ends;
};

static cpu_set_t start;
static int cpus[2]; /* of start; the same one twice on a machine with one CPU */

static bool pending(void *arg)
{
	return atomic_load(&((struct sprinter *)arg)->pending);
}

static void ended(void *arg)
{
	sem_post(&((struct sprinter *)arg)->ended);
}

static const struct f3_runner_ops ops = { .pending = pending, .ended = ended };

static void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void setup(void)
{
	int n = 0;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(start), &start), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
		if (CPU_ISSET(cpu, &start))
			cpus[n++] = cpu;
	if (n == 1)
		cpus[1] = cpus[0];
}

static void open_sprint(struct sprinter *p)
{
	const char *reason;

	*p = (struct sprinter){ .client = gettid() };
	sem_init(&p->begun, 0, 0);
	sem_init(&p->go, 0, 0);
	sem_init(&p->ended, 0, 0);
	ck_assert_int_eq(f3_sprint_new(&p->s, &reason), 0);
	if (!p->s) {
		printf("skipped: %s\n", reason);
		exit(0);
	}
	p->r = f3_runner_new(p->s, true, &ops, p);
	ck_assert_ptr_nonnull(p->r);
}

static void *sprinter_main(void *arg)
{
	struct sprinter *p = arg;

	p->run(p);
	return NULL;
}

/* The main thread is the client, on cpus[0]; the sprinter may use both. */
static void start_sprinter(struct sprinter *p, void (*run)(struct sprinter *p))
{
	open_sprint(p);
	p->run = run;
	ck_assert_int_eq(f3_thread_start(&p->thread, "sprinter", sprinter_main, p), 0);
	pin_to(cpus[0]);
	sem_post(&p->go);
}

static void close_sprint(struct sprinter *p)
{
	pthread_join(p->thread, NULL);
	ck_assert_uint_eq(f3_sprint_count(p->s), 0);
	f3_sprint_stop(p->s);
	f3_sprint_free(p->s);
}

static void begin(struct sprinter *p)
{
	while (sem_wait(&p->go))
		;
	p->began = f3_runner_begin(p->r, p->client);
	sem_post(&p->begun);
}

static bool at_home(void)
{
	cpu_set_t now;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(now), &now), 0);
	return CPU_EQUAL(&now, &start) && sched_getscheduler(0) == SCHED_OTHER;
}

static bool sprints_on(int cpu)
{
	cpu_set_t now;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(now), &now), 0);
	return CPU_COUNT(&now) == 1 && CPU_ISSET(cpu, &now) && sched_getscheduler(0) == SCHED_IDLE;
}

START_TEST(one_thread_becomes_familiar)
{
	struct f3_stream st = { 0 };
	uint64_t now = F3_NS_PER_SEC;

	for (unsigned i = 0; i < F3_STREAM_BEGIN; i++) {
		ck_assert_uint_lt(st.familiar, F3_STREAM_BEGIN);
		f3_stream_saw(&st, 7, false, now += 20000);
		f3_stream_saw(&st, 0, false, now += 20000); /* releases name nobody */
	}
	f3_stream_saw(&st, 7, false, now += 20000);
	ck_assert_uint_ge(st.familiar, F3_STREAM_BEGIN);
	for (unsigned i = 0; i < 1000; i++)
		f3_stream_saw(&st, 7, false, now += 20000);
	ck_assert_uint_eq(st.familiar, F3_STREAM_MAX);
	f3_stream_saw(&st, 7, false, now + F3_NS_PER_SEC);
	ck_assert_uint_le(st.familiar, 1);
}
END_TEST

START_TEST(a_mixture_does_not)
{
	struct f3_stream st = { 0 };
	uint64_t now = F3_NS_PER_SEC;

	for (unsigned i = 0; i < 1000; i++) {
		f3_stream_saw(&st, 7 + i / 3 % 2, false, now += 20000); /* AAABBB */
		ck_assert_uint_lt(st.familiar, F3_STREAM_BEGIN);
	}
	st = (struct f3_stream){ .pid = 7, .familiar = F3_STREAM_MAX, .last_ns = now };
	for (unsigned i = 0; i < 40; i++)
		f3_stream_saw(&st, 7 + i % 2, false, now += 20000); /* ABAB */
	ck_assert_uint_eq(st.familiar, 0);
	st = (struct f3_stream){ .pid = 7, .familiar = F3_STREAM_MAX, .last_ns = now };
	for (unsigned i = 0; i < 40; i++)
		f3_stream_saw(&st, 7, true, now += 20000);
	ck_assert_uint_eq(st.familiar, 0);
}
END_TEST

/* Commands of a shell script: each of its own process, one after the other. */
START_TEST(a_row_of_programs_does)
{
	struct f3_stream st = { 0 };
	uint64_t now = F3_NS_PER_SEC;

	for (unsigned i = 0; i < 200; i++)
		f3_stream_saw(&st, 7 + i / 20, false, now += 20000);
	ck_assert_uint_ge(st.familiar, F3_STREAM_BEGIN);
}
END_TEST

static void *is_at_home(void *arg)
{
	*(bool *)arg = at_home();
	return NULL;
}

static void sprint_and_end(struct sprinter *p)
{
	bool there, child_at_home = false;
	pthread_t child;

	ck_assert(at_home());
	begin(p);
	ck_assert(p->began);
	there = sprints_on(cpus[0]);
	ck_assert_int_eq(f3_thread_start(&child, "child", is_at_home, &child_at_home), 0);
	pthread_join(child, NULL);
	ck_assert_msg(child_at_home, "a thread started by a sprinting one is not at home");
	/* On a busy machine the guard may have been quicker than we are. */
	p->judged = f3_runner_sprints(p->r);
	ck_assert(!p->judged || there);
	f3_runner_end(p->r);
	ck_assert(!f3_runner_sprints(p->r));
	ck_assert(at_home());
}

static void until_judged(void (*run)(struct sprinter *p), bool moves)
{
	for (int try = 0; try < 200; try++) {
		struct sprinter p;
		bool judged;

		start_sprinter(&p, run);
		sem_wait(&p.begun);
		if (moves)
			pin_to(cpus[1]);
		sem_post(&p.go);
		close_sprint(&p);
		judged = p.judged;
		ck_assert_int_eq(sched_setaffinity(0, sizeof(start), &start), 0);
		if (judged)
			return;
	}
	ck_abort_msg("the guard ended every single sprint");
}

START_TEST(goes_to_the_client_and_back)
{
	until_judged(sprint_and_end, false);
}
END_TEST

static void follow(struct sprinter *p)
{
	begin(p);
	ck_assert(p->began);
	while (sem_wait(&p->go))
		;
	/* Requests that come late say that the client may be elsewhere. */
	while (f3_runner_sprints(p->r) && !sprints_on(cpus[1]))
		f3_runner_served(p->r, p->client, f3_clock_mono_ns() + F3_NS_PER_MS);
	p->judged = f3_runner_sprints(p->r);
	f3_runner_end(p->r);
	ck_assert(at_home());
}

START_TEST(follows_the_client)
{
	until_judged(follow, true);
}
END_TEST

static void *hog(void *arg)
{
	struct sprinter *p = arg;

	pin_to(cpus[0]);
	while (!atomic_load(&p->hog_ends))
		;
	return NULL;
}

static void spin(struct sprinter *p)
{
	begin(p);
	while (f3_runner_sprints(p->r))
		f3_runner_served(p->r, 0, f3_clock_mono_ns());
	f3_runner_end(p->r);
	ck_assert(at_home());
}

START_TEST(ends_when_others_need_the_cpu)
{
	struct sprinter p;
	pthread_t other;

	open_sprint(&p);
	p.run = spin;
	ck_assert_int_eq(f3_thread_start(&p.thread, "sprinter", sprinter_main, &p), 0);
	ck_assert_int_eq(f3_thread_start(&other, "hog", hog, &p), 0);
	pin_to(cpus[0]);
	sem_post(&p.go);
	while (sem_wait(&p.ended))
		;
	atomic_store(&p.hog_ends, true);
	pthread_join(other, NULL);
	close_sprint(&p);
}
END_TEST

static void block(struct sprinter *p)
{
	begin(p);
	while (sem_wait(&p->go))
		;
	ck_assert(at_home()); /* the guard did it for us */
	f3_runner_end(p->r);
}

static void wait_for_end(bool with_requests)
{
	struct sprinter p;

	start_sprinter(&p, block);
	atomic_store(&p.pending, with_requests);
	while (sem_wait(&p.ended))
		;
	while (!f3_runner_ready(p.r, UINT64_MAX))
		sched_yield();
	/* Blamed for a handler that took long it stays at rest; idleness is no fault. */
	ck_assert(f3_runner_ready(p.r, 1) == !with_requests);
	sem_post(&p.go);
	close_sprint(&p);
}

START_TEST(ends_when_a_handler_takes_long)
{
	wait_for_end(true);
}
END_TEST

START_TEST(ends_when_there_is_nothing_to_do)
{
	wait_for_end(false);
}
END_TEST

START_TEST(ends_when_the_mount_stops)
{
	struct sprinter p;

	start_sprinter(&p, block);
	sem_wait(&p.begun);
	f3_sprint_stop(p.s);
	ck_assert_uint_eq(f3_sprint_count(p.s), 0);
	ck_assert(!f3_runner_ready(p.r, f3_clock_mono_ns() + 1000 * F3_NS_PER_SEC));
	sem_post(&p.go);
	close_sprint(&p);
}
END_TEST

static void confined(struct sprinter *p)
{
	pin_to(cpus[1]);
	begin(p);
	ck_assert(p->began == (cpus[0] == cpus[1]));
	ck_assert(p->began || sched_getscheduler(0) == SCHED_OTHER);
	if (p->began)
		f3_runner_end(p->r);
}

START_TEST(stays_on_the_cpus_it_was_given)
{
	struct sprinter p;

	start_sprinter(&p, confined);
	close_sprint(&p);
}
END_TEST

static void refused(struct sprinter *p)
{
	begin(p);
	ck_assert(!p->began);
	ck_assert(at_home());
}

START_TEST(a_client_that_is_gone_moves_nobody)
{
	struct sprinter p;
	pid_t child = fork();

	if (!child)
		_exit(0);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	open_sprint(&p);
	p.client = child;
	p.run = refused;
	ck_assert_int_eq(f3_thread_start(&p.thread, "sprinter", sprinter_main, &p), 0);
	sem_post(&p.go);
	close_sprint(&p);
}
END_TEST

/* Who may not come back from SCHED_IDLE must not go there. */
START_TEST(needs_the_right_to_come_back)
{
	struct f3_sprint *s;
	const char *reason;

	if (geteuid() != 0) {
		printf("skipped: needs root\n");
		return;
	}
	ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	ck_assert_int_eq(f3_sprint_new(&s, &reason), 0);
	ck_assert_ptr_null(s);
	ck_assert_ptr_nonnull(reason);
	ck_assert(at_home());
	f3_sprint_stop(s);
	f3_sprint_free(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fuse_sprint");
	TCase *stream = tcase_create("stream"), *runner = tcase_create("runner");

	tcase_add_test(stream, one_thread_becomes_familiar);
	tcase_add_test(stream, a_mixture_does_not);
	tcase_add_test(stream, a_row_of_programs_does);
	suite_add_tcase(suite, stream);
	tcase_add_checked_fixture(runner, setup, NULL);
	tcase_set_timeout(runner, 120);
	tcase_add_test(runner, goes_to_the_client_and_back);
	tcase_add_test(runner, follows_the_client);
	tcase_add_test(runner, ends_when_others_need_the_cpu);
	tcase_add_test(runner, ends_when_a_handler_takes_long);
	tcase_add_test(runner, ends_when_there_is_nothing_to_do);
	tcase_add_test(runner, ends_when_the_mount_stops);
	tcase_add_test(runner, stays_on_the_cpus_it_was_given);
	tcase_add_test(runner, a_client_that_is_gone_moves_nobody);
	if (f3_unit_forks())
		tcase_add_test(runner, needs_the_right_to_come_back);
	suite_add_tcase(suite, runner);
	return f3_unit_run(suite);
}
