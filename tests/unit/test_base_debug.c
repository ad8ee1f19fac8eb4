/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/debug.h"
#include "tests/unit/unit.h"

#ifdef F3_DEBUG_POINTS

static void disarm(void)
{
	f3_debug_point_arm("test.point", NULL);
	f3_fault_arm("test.fault", NULL);
	unsetenv("F3_DEBUG_POINTS");
	unsetenv("F3_DEBUG_FAULTS");
}

/* How many of n visits fail, and with what. */
static unsigned visits(unsigned n, int want_error)
{
	unsigned failed = 0;

	for (unsigned i = 0; i < n; i++) {
		int error = 0;

		if (f3_fault("test.fault", &error)) {
			ck_assert_int_eq(error, want_error);
			failed++;
		} else {
			ck_assert_int_eq(error, 0);
		}
	}
	return failed;
}

START_TEST(faults_count)
{
	ck_assert_uint_eq(visits(10, 0), 0);
	ck_assert_int_eq(f3_fault_arm("test.fault", "EIO"), 0);
	ck_assert_uint_eq(visits(10, -EIO), 10);
	ck_assert_int_eq(f3_fault_arm("test.fault", "ENOSPC@4"), 0);
	ck_assert_uint_eq(visits(3, 0), 0);
	ck_assert_uint_eq(visits(5, -ENOSPC), 5);
	ck_assert_int_eq(f3_fault_arm("test.fault", "28@2x3"), 0);
	ck_assert_uint_eq(visits(10, -ENOSPC), 3);
	ck_assert_int_eq(f3_fault_arm("test.fault", "EINTR%30"), 0);
	ck_assert_uint_gt(visits(1000, -EINTR), 200);
	ck_assert_int_eq(f3_fault_arm("test.fault", "EINTRx5%10"), 0);
	ck_assert_uint_eq(visits(1000, -EINTR), 5);
	ck_assert_int_eq(f3_fault_arm("test.fault", NULL), 0);
	ck_assert_uint_eq(visits(10, 0), 0);
	ck_assert_int_eq(f3_debug_armed, 0);
}
END_TEST

START_TEST(bad_actions_are_refused)
{
	static const char *const points[] = { "",       "stop",   "stop:",   "exit@",
					      "exit@0", "exit@x", "exit@-1", "kill" };
	static const char *const faults[] = { "",     "EWHAT",    "0",    "-5",    "4096",
					      "EIO@", "EIO@0",    "EIOx", "EIO%0", "EIO%101",
					      "EIO5", "EIO@1x2y", "hold:" };

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++)
		ck_assert_int_eq(f3_debug_point_arm("test.point", points[i]), -EINVAL);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		ck_assert_int_eq(f3_fault_arm("test.fault", faults[i]), -EINVAL);
	ck_assert_int_eq(f3_fault_arm("", "EIO"), -EINVAL);
	ck_assert_int_eq(f3_debug_armed, 0);

	for (int i = 0; i < F3_DEBUG_MAX_ARMED; i++) {
		char name[20];

		snprintf(name, sizeof(name), "test.%d", i);
		ck_assert_int_eq(f3_fault_arm(name, "EIO"), 0);
	}
	ck_assert_int_eq(f3_fault_arm("test.fault", "EIO"), -ENOSPC);
}
END_TEST

START_TEST(environment_arms)
{
	struct f3_err err = F3_ERR_INIT;

	ck_assert_int_eq(f3_debug_init(&err), 0);
	setenv("F3_DEBUG_POINTS", "test.point=exit@1000;", 1);
	setenv("F3_DEBUG_FAULTS", "test.fault=EIOx1;test.other=ENOSPC", 1);
	ck_assert_int_eq(f3_debug_init(&err), 0);
	ck_assert_int_eq(f3_debug_armed, 3);
	ck_assert_uint_eq(visits(10, -EIO), 1);
	f3_debug_point("test.point");

	setenv("F3_DEBUG_FAULTS", "test.fault=EVIL", 1);
	ck_assert_int_eq(f3_debug_init(&err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "test.fault=EVIL"));
	setenv("F3_DEBUG_FAULTS", "test.fault", 1);
	ck_assert_int_eq(f3_debug_init(&err), -EINVAL);
	f3_fault_arm("test.other", NULL);
}
END_TEST

START_TEST(exit_point_ends_the_process)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		f3_debug_point_arm("test.point", "exit@3");
		for (int i = 1; i <= 10; i++) {
			if (i == 4)
				_exit(1);
			f3_debug_point("test.point");
			f3_debug_point("test.elsewhere");
		}
		_exit(2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 137);
}
END_TEST

static void *stop_here(void *arg)
{
	f3_debug_point("test.point");
	_exit(3);
	return arg;
}

/* The thread stops, the others go on; a signal that is handled does not free it. */
START_TEST(stop_point_waits_to_be_killed)
{
	char fifo[] = "/tmp/f3-debug-XXXXXX", action[200], line[100];
	int status, pid_seen, tid_seen;
	FILE *f;
	pid_t pid;

	ck_assert_ptr_nonnull(mkdtemp(fifo));
	snprintf(line, sizeof(line), "%s/reached", fifo);
	snprintf(action, sizeof(action), "stop:%s", line);
	ck_assert_int_eq(mkfifo(line, 0600), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		pthread_t thread;

		if (f3_debug_point_arm("test.point", action) ||
		    pthread_create(&thread, NULL, stop_here, NULL))
			_exit(1);
		for (;;)
			pause();
	}
	/* opening for reading waits for the line's writer */
	f = fopen(line, "r");
	unlink(line);
	rmdir(fifo);
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
	fclose(f);
	ck_assert_int_eq(sscanf(line, "test.point %d %d", &pid_seen, &tid_seen), 2);
	ck_assert_int_eq(pid_seen, pid);
	ck_assert_int_ne(tid_seen, pid);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGKILL);
}
END_TEST

#else

static void disarm(void)
{
	unsetenv("F3_DEBUG_POINTS");
}

START_TEST(nothing_happens_and_it_says_so)
{
	struct f3_err err = F3_ERR_INIT;
	int error = 7;

	ck_assert_int_eq(f3_debug_init(&err), 0);
	ck_assert_int_eq(f3_fault_arm("test.fault", "EIO"), -EOPNOTSUPP);
	ck_assert_int_eq(f3_debug_point_arm("test.point", "exit"), -EOPNOTSUPP);
	ck_assert(!f3_fault("test.fault", &error));
	ck_assert_int_eq(error, 7);
	f3_debug_point("test.point");
	setenv("F3_DEBUG_POINTS", "test.point=exit", 1);
	ck_assert_int_eq(f3_debug_init(&err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.text, "--enable-debug"));
}
END_TEST

#endif

static Suite *suite(void)
{
	Suite *s = suite_create("debug");
	TCase *t = tcase_create("debug");

	tcase_add_checked_fixture(t, disarm, disarm);
#ifdef F3_DEBUG_POINTS
	tcase_add_test(t, faults_count);
	tcase_add_test(t, environment_arms);
	tcase_add_test(t, exit_point_ends_the_process);
	tcase_add_test(t, stop_point_waits_to_be_killed);
	if (f3_unit_forks()) /* fills the table */
		tcase_add_test(t, bad_actions_are_refused);
#else
	tcase_add_test(t, nothing_happens_and_it_says_so);
#endif
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
