/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 17)

#include <fuse_log.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/base/log.h"
#include "fs/fuse/fuselog.h"
#include "tests/unit/unit.h"

/* ---- The limit, at any time ------------------------------------------------------------------- */

START_TEST(a_burst_is_cut)
{
	struct f3_fuselog_limit l = { .since_ns = 0 };
	const uint64_t start_ns = 5 * F3_FUSELOG_WINDOW_NS;
	unsigned written = 0, left_out = 99;

	for (uint64_t i = 0; i < 1000; i++) {
		if (f3_fuselog_may(&l, start_ns + i, &left_out)) {
			written++;
			ck_assert_uint_eq(left_out, 0);
		}
	}
	ck_assert_uint_eq(written, F3_FUSELOG_LINES);
	ck_assert(!f3_fuselog_may(&l, start_ns + F3_FUSELOG_WINDOW_NS - 1, &left_out));
	/* The next window begins with what was not said. */
	ck_assert(f3_fuselog_may(&l, start_ns + F3_FUSELOG_WINDOW_NS, &left_out));
	ck_assert_uint_eq(left_out, 1001 - F3_FUSELOG_LINES);
	ck_assert(f3_fuselog_may(&l, start_ns + F3_FUSELOG_WINDOW_NS + 1, &left_out));
	ck_assert_uint_eq(left_out, 0);
}
END_TEST

/* ---- What libfuse itself calls ---------------------------------------------------------------- */

static char path[] = "/tmp/f3-fuse-log-XXXXXX";

static unsigned lines_with(const char *text)
{
	char line[1024];
	unsigned n = 0;
	FILE *f = fopen(path, "r");

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, text) != NULL;
	fclose(f);
	return n;
}

START_TEST(its_lines_are_in_our_log)
{
	struct f3_err err = F3_ERR_INIT;

	close(mkstemp(path));
	ck_assert_int_eq(f3_log_open(path, false, F3_LOG_INFO, &err), 0);
	f3_fuselog_take();
	fuse_log(FUSE_LOG_DEBUG, "nobody asked for this\n");
	fuse_log(FUSE_LOG_WARNING, "fuse: warning %d\n", 7);
	for (int i = 0; i < 1000; i++)
		fuse_log(FUSE_LOG_ERR, "fuse: again and again\n");
	f3_log_close();
	ck_assert_uint_eq(lines_with("nobody asked"), 0);
	ck_assert_uint_eq(lines_with("libfuse: fuse: warning 7"), 1);
	/* At most two windows, if the machine was that slow. */
	ck_assert_uint_ge(lines_with("libfuse: fuse: again"), F3_FUSELOG_LINES - 1);
	ck_assert_uint_le(lines_with("libfuse: fuse: again"), 2 * F3_FUSELOG_LINES);
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fuse_log");
	TCase *tc = tcase_create("log");

	tcase_add_test(tc, a_burst_is_cut);
	tcase_add_test(tc, its_lines_are_in_our_log);
	suite_add_tcase(suite, tc);
	return f3_unit_run(suite);
}
