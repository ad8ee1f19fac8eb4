/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit: what every check program ends with.
 *
 *     int main(void)
 *     {
 *         return f3_unit_run(suite());
 *     }
 *
 * Each test runs in a process of its own unless CK_FORK=no is set; a test that must fork
 * (it expects a signal) asks f3_unit_forks() before it is added.
 */
#ifndef F3_TESTS_UNIT_UNIT_H
#define F3_TESTS_UNIT_UNIT_H

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Runs the suite, prints failures only (unless CK_VERBOSITY says otherwise). An exit code. */
static inline int f3_unit_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, getenv("CK_VERBOSITY") ? CK_ENV : CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static inline bool f3_unit_forks(void)
{
	const char *fork = getenv("CK_FORK");

	return !fork || strcmp(fork, "no") != 0;
}

#endif
