/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "fs/base/log.h"
#include "tests/unit/unit.h"

static char dir[] = "/tmp/f3-log-XXXXXX";
static char path[100], rotated[100];
static char content[1 << 20];

static void setup(void)
{
	memcpy(dir, "/tmp/f3-log-XXXXXX", sizeof(dir));
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log", dir);
	snprintf(rotated, sizeof(rotated), "%s/log.1", dir);
}

static void teardown(void)
{
	f3_log_close();
	unlink(path);
	unlink(rotated);
	rmdir(dir);
}

static size_t slurp(const char *name)
{
	FILE *f = fopen(name, "r");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(content, 1, sizeof(content) - 1, f);
	fclose(f);
	content[n] = '\0';
	return n;
}

static unsigned count_lines(void)
{
	unsigned n = 0;

	for (const char *p = content; *p; p++)
		n += *p == '\n';
	return n;
}

START_TEST(text_lines)
{
	int year, tid;
	char level[10], message[100];

	ck_assert_int_eq(f3_log_open(path, false, F3_LOG_INFO, NULL), 0);
	errno = EPIPE;
	f3_log_warn("volume %s: %d left", "photos", 3);
	ck_assert_int_eq(errno, EPIPE);
	f3_log_error("name %s", "a\nb\033[0m\xff");
	slurp(path);
	ck_assert_uint_eq(count_lines(), 2);
	ck_assert_int_eq(sscanf(content, "%d-%*2d-%*2dT%*2d:%*2d:%*d.%*6dZ %9s [%d] %99[^\n]",
				&year, level, &tid, message),
			 4);
	ck_assert_int_gt(year, 2000);
	ck_assert_str_eq(level, "warn");
	ck_assert_int_eq(tid, (int)gettid());
	ck_assert_str_eq(message, "volume photos: 3 left");
	ck_assert_ptr_nonnull(strstr(content, "] name a\\nb\\x1b[0m\\xff\n"));
}
END_TEST

START_TEST(json_lines)
{
	json_error_t error;
	json_t *line;

	ck_assert_int_eq(f3_log_open(path, true, F3_LOG_INFO, NULL), 0);
	f3_log_info("say \"%s\"", "back\\slash\n\xff");
	slurp(path);
	ck_assert_uint_eq(count_lines(), 1);
	line = json_loads(content, 0, &error);
	ck_assert_ptr_nonnull(line);
	ck_assert_str_eq(json_string_value(json_object_get(line, "level")), "info");
	ck_assert_str_eq(json_string_value(json_object_get(line, "message")),
			 "say \"back\\slash\n\\xff\"");
	ck_assert_int_eq(json_integer_value(json_object_get(line, "thread")), gettid());
	ck_assert_uint_eq(strlen(json_string_value(json_object_get(line, "time"))), 27);
	json_decref(line);
}
END_TEST

START_TEST(level_decides)
{
	enum f3_log_level level = F3_LOG_WARN;

	ck_assert_int_eq(f3_log_open(path, false, F3_LOG_WARN, NULL), 0);
	f3_log_info("hidden");
	f3_log_debug("hidden");
	f3_log_warn("seen");
	f3_log_set_level(F3_LOG_DEBUG);
	ck_assert_int_eq(f3_log_get_level(), F3_LOG_DEBUG);
	f3_log_debug("seen");
	f3_log_set_level(F3_LOG_ERROR);
	f3_log_warn("hidden");
	f3_log_error("seen");
	slurp(path);
	ck_assert_uint_eq(count_lines(), 3);
	ck_assert_ptr_null(strstr(content, "hidden"));

	for (int i = F3_LOG_ERROR; i <= F3_LOG_DEBUG; i++) {
		ck_assert_int_eq(
			f3_log_level_parse(f3_log_level_name((enum f3_log_level)i), &level), 0);
		ck_assert_int_eq(level, i);
	}
	ck_assert_int_eq(f3_log_level_parse("loud", &level), -EINVAL);
	ck_assert_int_eq(f3_log_level_parse("", &level), -EINVAL);
	ck_assert_int_eq(level, F3_LOG_DEBUG);
}
END_TEST

START_TEST(line_is_bounded)
{
	static char big[100000];

	memset(big, '\001', sizeof(big) - 1);
	ck_assert_int_eq(f3_log_open(path, false, F3_LOG_INFO, NULL), 0);
	f3_log_info("%s", big);
	ck_assert_uint_lt(slurp(path), 17000);
	ck_assert_uint_eq(count_lines(), 1);
	ck_assert_ptr_nonnull(strstr(content, "\\x01...\n"));
	f3_log_close();
	unlink(path);

	ck_assert_int_eq(f3_log_open(path, true, F3_LOG_INFO, NULL), 0);
	f3_log_info("%s", big);
	slurp(path);
	ck_assert_ptr_nonnull(strstr(content, "\\u0001...\"}\n"));
}
END_TEST

START_TEST(bad_targets_are_refused)
{
	struct f3_err err = F3_ERR_INIT;
	char missing[120];

	ck_assert_int_eq(f3_log_open("syslog", false, F3_LOG_INFO, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "\"syslog\""));
	snprintf(missing, sizeof(missing), "%s/none/log", dir);
	ck_assert_int_eq(f3_log_open(missing, false, F3_LOG_INFO, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, missing));

	/* what was open before goes on */
	ck_assert_int_eq(f3_log_open(path, false, F3_LOG_INFO, NULL), 0);
	ck_assert_int_eq(f3_log_open(missing, false, F3_LOG_INFO, NULL), -ENOENT);
	f3_log_info("still here");
	slurp(path);
	ck_assert_ptr_nonnull(strstr(content, "still here"));
}
END_TEST

/* Runs with descriptor 2 on a file. */
static void on_stderr(const char *target)
{
	int saved = dup(2), fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	fflush(stderr);
	dup2(fd, 2);
	close(fd);
	ck_assert_int_eq(f3_log_open(target, false, F3_LOG_INFO, NULL), 0);
	f3_log_info("to stderr");
	dup2(saved, 2);
	close(saved);
	slurp(path);
	ck_assert_ptr_nonnull(strstr(content, "to stderr\n"));
}

START_TEST(stderr_is_a_target)
{
	on_stderr("stderr");
	/* also after a file was */
	ck_assert_int_eq(f3_log_open(rotated, false, F3_LOG_INFO, NULL), 0);
	on_stderr("stderr");
	ck_assert_uint_eq(slurp(rotated), 0);
}
END_TEST

START_TEST(journal_falls_back_to_stderr)
{
	if (access("/run/systemd/journal/socket", F_OK) == 0) {
		printf("there is a journal here: the fallback cannot be shown\n");
		return;
	}
	on_stderr("journal");
}
END_TEST

#define THREADS 3
#define EACH 2000

static void *log_many(void *arg)
{
	for (int i = 0; i < EACH; i++)
		f3_log_info("thread %d line %d", (int)(intptr_t)arg, i);
	return NULL;
}

/* The file is renamed and opened again while threads write: no line lost, none torn. */
START_TEST(reopened_while_in_use)
{
	pthread_t threads[THREADS];
	unsigned lines;

	ck_assert_int_eq(f3_log_open(path, false, F3_LOG_INFO, NULL), 0);
	for (intptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, log_many, (void *)i), 0);
	ck_assert_int_eq(rename(path, rotated), 0);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(f3_log_open(path, false, F3_LOG_INFO, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	slurp(rotated);
	lines = count_lines();
	slurp(path);
	lines += count_lines();
	ck_assert_uint_eq(lines, THREADS * EACH);
	for (char *line = content; *line; line = strchr(line, '\n') + 1) {
		int thread, number;

		ck_assert_int_eq(
			sscanf(line, "%*s info [%*d] thread %d line %d\n", &thread, &number), 2);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("log");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, text_lines);
	tcase_add_test(t, json_lines);
	tcase_add_test(t, level_decides);
	tcase_add_test(t, line_is_bounded);
	tcase_add_test(t, bad_targets_are_refused);
	tcase_add_test(t, stderr_is_a_target);
	tcase_add_test(t, journal_falls_back_to_stderr);
	tcase_add_test(t, reopened_while_in_use);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
