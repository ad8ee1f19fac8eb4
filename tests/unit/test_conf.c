/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "fs/base/conf.h"
#include "tests/unit/unit.h"

#define CORPUS "tests/fuzz/corpus/conf"

static struct f3_conf *c;
static struct f3_err err;
static char path[] = "/tmp/f3-conf-XXXXXX";

static void setup(void)
{
	memcpy(path, "/tmp/f3-conf-XXXXXX", sizeof(path));
	close(mkstemp(path));
	ck_assert_int_eq(f3_conf_new(&c), 0);
	memset(&err, 0, sizeof(err));
}

static void teardown(void)
{
	f3_conf_free(c);
	f3_conf_free(NULL);
	unlink(path);
}

static int load_bytes(const void *bytes, size_t len)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
	return f3_conf_load_file(c, path, &err);
}

static int load(const char *text)
{
	return load_bytes(text, strlen(text));
}

#define ck_assert_ok(call)                            \
	do {                                          \
		if ((call) != 0)                      \
			ck_abort_msg("%s", err.text); \
	} while (0)

static const char example[] = "\xef\xbb\xbf# with a byte order mark\n"
			      "[f3]\n"
			      "mountpoint = /mnt/f3\n"
			      "   cache-size : 200G        ; indented, and the other separator\n"
			      "cache=/var//lib/./f3/\r\n"
			      "allow-other = off\n"
			      "control-uid = 1000, 1001\n"
			      "control-uid = 1002\n"
			      "transport = io_uring\n"
			      "slow-operation = 250ms\n"
			      "; a comment\n"
			      "[volume photos]   # the first one\n"
			      "url = file:///srv/f3//photos/\n"
			      "default-class = durable\n"
			      "uid = 12\n"
			      "gid = 13\n"
			      "mode = 0750\n"
			      "quota = 50GB\n"
			      "[ volume  with two blanks ]\n"
			      "[placement photos]\n"
			      "/scratch/** = ephemeral\n"
			      "*.tmp = ephemeral stream\n"
			      "/out/a b/** = durable\n"
			      "[metrics]\n"
			      "listen = [::1]:9333";

START_TEST(file_gives_values)
{
	const char *const *list;
	const struct f3_conf_rule *rules;
	char source[100];

	ck_assert_ok(load(example));
	ck_assert_ok(f3_conf_check(c, &err));
	ck_assert_str_eq(f3_conf_str(c, "f3", NULL, "mountpoint"), "/mnt/f3");
	ck_assert_uint_eq(f3_conf_u64(c, "f3", NULL, "cache-size"), UINT64_C(200) << 30);
	ck_assert_str_eq(f3_conf_str(c, "f3", NULL, "cache"), "/var/lib/f3");
	ck_assert_uint_eq(f3_conf_u64(c, "f3", NULL, "allow-other"), 0);
	ck_assert_str_eq(f3_conf_str(c, "f3", NULL, "allow-other"), "no");
	ck_assert_uint_eq(f3_conf_u64(c, "f3", NULL, "transport"), 1);
	ck_assert_uint_eq(f3_conf_u64(c, "f3", NULL, "slow-operation"), 250000000);
	ck_assert_uint_eq(f3_conf_list(c, "f3", NULL, "control-uid", &list), 3);
	ck_assert_str_eq(list[0], "1000");
	ck_assert_str_eq(list[1], "1001");
	ck_assert_str_eq(list[2], "1002");
	ck_assert_str_eq(f3_conf_str(c, "metrics", NULL, "listen"), "[::1]:9333");

	ck_assert_uint_eq(f3_conf_volumes(c, &list), 2);
	ck_assert_str_eq(list[0], "photos");
	ck_assert_str_eq(list[1], "with two blanks");
	ck_assert_str_eq(f3_conf_str(c, "volume", "photos", "url"), "file:///srv/f3/photos");
	ck_assert_uint_eq(f3_conf_u64(c, "volume", "photos", "mode"), 0750);
	ck_assert_uint_eq(f3_conf_u64(c, "volume", "photos", "quota"), UINT64_C(50000000000));
	ck_assert_uint_eq(f3_conf_u64(c, "volume", "photos", "gid"), 13);
	ck_assert_ptr_null(f3_conf_str(c, "volume", "with two blanks", "url"));

	ck_assert_uint_eq(f3_conf_rules(c, "photos", &rules), 3);
	ck_assert_str_eq(rules[0].pattern, "/scratch/**");
	ck_assert_str_eq(rules[1].pattern, "*.tmp");
	ck_assert_str_eq(rules[1].value, "ephemeral stream");
	ck_assert_str_eq(rules[2].pattern, "/out/a b/**");
	snprintf(source, sizeof(source), "file %s:22", path);
	ck_assert_str_eq(rules[1].source, source);
	ck_assert_uint_eq(f3_conf_rules(c, "with two blanks", &rules), 0);

	snprintf(source, sizeof(source), "file %s:4", path);
	ck_assert_str_eq(f3_conf_source(c, "f3", NULL, "cache-size"), source);
	ck_assert_str_eq(f3_conf_source(c, "f3", NULL, "run-dir"), "default");
}
END_TEST

START_TEST(defaults_hold)
{
	ck_assert_str_eq(f3_conf_str(c, "f3", NULL, "cache"), "/var/lib/f3");
	ck_assert_uint_eq(f3_conf_u64(c, "f3", NULL, "memory-limit"), 512 << 20);
	ck_assert_uint_eq(f3_conf_u64(c, "f3", NULL, "passthrough"), 0);
	ck_assert_uint_eq(f3_conf_u64(c, "f3", NULL, "allow-other"), 1);
	ck_assert_ptr_null(f3_conf_str(c, "f3", NULL, "node"));
	/* of a volume that is not in the configuration (f3ctl made it) */
	ck_assert_uint_eq(f3_conf_u64(c, "volume", "elsewhere", "attr-ttl"), 1000000000);
	ck_assert_uint_eq(f3_conf_u64(c, "volume", "elsewhere", "mode"), 01777);
	ck_assert_str_eq(f3_conf_str(c, "volume", "elsewhere", "authority"), "home");
	ck_assert_ptr_null(f3_conf_str(c, "volume", "elsewhere", "url"));
	ck_assert_str_eq(f3_conf_source(c, "volume", "elsewhere", "mode"), "default");
	ck_assert_ok(f3_conf_set(c, "mountpoint", "/m", "command line", &err));
	ck_assert_ok(f3_conf_check(c, &err));
}
END_TEST

/* In whatever order the sources are read. */
START_TEST(precedence_is_by_source)
{
	static char *const env[] = { "HOME=/x",
				     "F3_F3_CACHE=/from/env",
				     "F3_F3_CACHE_SIZE=3G",
				     "F3_F3_CONTROL_GID=7,8",
				     "F3_TEST_TMP=/not/ours",
				     "F3_DEBUG_POINTS=neither",
				     "F3_VOLUME_a_b_QUOTA_INODES=5",
				     "F3_VOLUME_a_b_DEFAULT_CLASS=memory",
				     NULL };
	static const char file[] =
		"[f3]\ncache = /from/file\ncache-size = 2G\nrun-dir = /from/file\n"
		"control-gid = 1, 2\n[volume a_b]\nquota-inodes = 4\n";
	const char *const *list;
	unsigned steps[3] = { _i % 3, (_i + 1) % 3, (_i + 2) % 3 };

	if (_i >= 3) {
		unsigned swap = steps[0];

		steps[0] = steps[1];
		steps[1] = swap;
	}
	for (int i = 0; i < 3; i++) {
		if (steps[i] == 0)
			ck_assert_ok(load(file));
		else if (steps[i] == 1)
			ck_assert_ok(f3_conf_load_env(c, env, &err));
		else
			ck_assert_ok(f3_conf_set(c, "cache", "/from/line", "command line", &err));
	}
	ck_assert_str_eq(f3_conf_str(c, "f3", NULL, "cache"), "/from/line");
	ck_assert_str_eq(f3_conf_source(c, "f3", NULL, "cache"), "command line");
	ck_assert_uint_eq(f3_conf_u64(c, "f3", NULL, "cache-size"), UINT64_C(3) << 30);
	ck_assert_str_eq(f3_conf_source(c, "f3", NULL, "cache-size"),
			 "environment F3_F3_CACHE_SIZE");
	ck_assert_str_eq(f3_conf_str(c, "f3", NULL, "run-dir"), "/from/file");
	/* a list is replaced by a stronger source, not added to */
	ck_assert_uint_eq(f3_conf_list(c, "f3", NULL, "control-gid", &list), 2);
	ck_assert_str_eq(list[0], "7");
	ck_assert_uint_eq(f3_conf_u64(c, "volume", "a_b", "quota-inodes"), 5);
	ck_assert_str_eq(f3_conf_str(c, "volume", "a_b", "default-class"), "memory");
	ck_assert_uint_eq(f3_conf_volumes(c, &list), 1);
}
END_TEST

START_TEST(environment_is_checked)
{
	static const struct {
		char *variable;
		const char *text;
	} bad[] = {
		{ "F3_F3_CASH=1", "environment F3_F3_CASH: there is no such option" },
		{ "F3_F3_CACHE=relative", "environment F3_F3_CACHE: cache: \"relative\"" },
		{ "F3_F3_CACHE=", "environment F3_F3_CACHE: cache: the value is missing" },
		{ "F3_METRICS_=x", "environment F3_METRICS_:" },
		{ "F3_VOLUME_QUOTA=1G", "environment F3_VOLUME_QUOTA:" },
		{ "F3_VOLUME__QUOTA=1G", "environment F3_VOLUME__QUOTA:" },
		{ "F3_VOLUME_a/b_QUOTA=1G", "environment F3_VOLUME_a/b_QUOTA:" },
		{ "F3_VOLUME_x_COLOUR=red", "environment F3_VOLUME_x_COLOUR:" },
		{ "F3_CLUSTER_ETCD=http://x", "several nodes are not in this build yet" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *env[] = { bad[i].variable, NULL };

		ck_assert_int_lt(f3_conf_load_env(c, env, &err), 0);
		if (!strstr(err.text, bad[i].text))
			ck_abort_msg("%s: %s", bad[i].variable, err.text);
	}
}
END_TEST

START_TEST(command_line_keys)
{
	const char *const *list;

	ck_assert_ok(f3_conf_set(c, "cache", "/one", "command line", &err));
	/* the last one counts, as mount(8) has it */
	ck_assert_ok(f3_conf_set(c, "f3.cache", "/two", "command line", &err));
	ck_assert_str_eq(f3_conf_str(c, "f3", NULL, "cache"), "/two");
	ck_assert_ok(f3_conf_set(c, "metrics.listen", ":9333", "command line", &err));
	ck_assert_ok(f3_conf_set(c, "volume.v1.2.url", "file:///srv/v", "command line", &err));
	ck_assert_ok(f3_conf_set(c, "control-gid", "1,2", "command line", &err));
	ck_assert_ok(f3_conf_set(c, "control-gid", "3", "command line", &err));
	ck_assert_ok(f3_conf_add_volume(c, "second", "file:///srv/2", "command line", &err));
	ck_assert_ok(f3_conf_add_volume(c, "third", NULL, "command line", &err));
	ck_assert_uint_eq(f3_conf_volumes(c, &list), 3);
	ck_assert_str_eq(list[0], "v1.2");
	ck_assert_str_eq(list[1], "second");
	ck_assert_str_eq(list[2], "third");
	ck_assert_str_eq(f3_conf_str(c, "volume", "v1.2", "url"), "file:///srv/v");
	ck_assert_uint_eq(f3_conf_list(c, "f3", NULL, "control-gid", &list), 3);
	ck_assert_str_eq(f3_conf_source(c, "volume", "second", "url"), "command line");
}
END_TEST

START_TEST(bad_command_line_is_refused)
{
	static const char *const bad[][3] = {
		{ "cash", "1", "\"cash\"" },
		{ "", "1", "no such option" },
		{ ".", "1", "unknown section" },
		{ "f3.", "1", "no such option" },
		{ ".cache", "/x", "unknown section" },
		{ "f3.x.cache", "/x", "volume.NAME.KEY" },
		{ "volume.url", "file:///x", "volume.NAME.KEY" },
		{ "volume..url", "file:///x", "needs a name" },
		{ "volume.a/b.url", "file:///x", "is a file name" },
		{ "volume.a.colour", "red", "\"colour\"" },
		{ "placement.a.*", "memory", "volume.NAME.KEY" },
		{ "cluster.etcd", "x", "not in this build yet" },
		{ "volume.a.url", "s3://", "a bucket" },
		{ "volume.a.url", "s3://key:secret@host/b", "a bucket" },
		{ "threads", "many", "command line: threads: \"many\"" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_lt(f3_conf_set(c, bad[i][0], bad[i][1], "command line", &err), 0);
		if (!strstr(err.text, bad[i][2]))
			ck_abort_msg("%s: %s", bad[i][0], err.text);
	}
	ck_assert_int_eq(f3_conf_add_volume(c, "..", "file:///x", "f3ctl", &err), -EINVAL);
	ck_assert_int_eq(f3_conf_add_volume(c, "", NULL, "f3ctl", &err), -EINVAL);
	ck_assert_int_eq(f3_conf_add_volume(c, "a", "file://x", "f3ctl", &err), -EINVAL);
	ck_assert_int_eq(f3_conf_add_volume(c, "a", "s3:///x", "f3ctl", &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "f3ctl: url:"));
}
END_TEST

START_TEST(unreadable_files_are_named)
{
	char missing[PATH_MAX];
	static char big[(1 << 20) + 1];

	snprintf(missing, sizeof(missing), "%s/none", path);
	ck_assert_int_eq(f3_conf_load_file(c, missing, &err), -ENOTDIR);
	ck_assert_ptr_nonnull(strstr(err.text, missing));
	ck_assert_int_eq(f3_conf_load_file(c, "/", &err), -EISDIR);
	memset(big, '\n', sizeof(big));
	ck_assert_int_eq(load_bytes(big, sizeof(big)), -EFBIG);
	ck_assert_ok(load(""));
	ck_assert_ok(load("\n\n# nothing\n;\n"));
}
END_TEST

/* Every file of the corpus names in its first line where and why it is refused. */
START_TEST(corpus_is_refused)
{
	const char *top = getenv("F3_SRCDIR");
	char dir[PATH_MAX], file[PATH_MAX + 300], want[PATH_MAX + 400], first[400], text[300];
	unsigned files = 0;
	struct dirent *d;
	DIR *handle;

	snprintf(dir, sizeof(dir), "%s/" CORPUS, top ? top : ".");
	handle = opendir(dir);
	ck_assert_msg(handle != NULL, "%s: set F3_SRCDIR to the top of the sources", dir);
	while ((d = readdir(handle)) != NULL) {
		struct f3_conf *one;
		int line, result;
		FILE *f;

		if (d->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", dir, d->d_name);
		f = fopen(file, "r");
		ck_assert_ptr_nonnull(f);
		ck_assert_ptr_nonnull(fgets(first, sizeof(first), f));
		fclose(f);
		ck_assert_int_eq(sscanf(first, "# refuse %d: %299[^\n]", &line, text), 2);

		ck_assert_int_eq(f3_conf_new(&one), 0);
		memset(&err, 0, sizeof(err));
		result = f3_conf_load_file(one, file, &err);
		if (!result)
			result = f3_conf_check(one, &err);
		f3_conf_free(one);
		if (!result)
			ck_abort_msg("%s: was taken", d->d_name);
		ck_assert_int_eq(result, err.code);
		if (line)
			snprintf(want, sizeof(want), "%s:%d: ", file, line);
		else
			want[0] = '\0';
		if (strncmp(err.text, want, strlen(want)) != 0 || !strstr(err.text, text))
			ck_abort_msg("%s: %s", d->d_name, err.text);
		files++;
	}
	closedir(handle);
	ck_assert_uint_ge(files, 100);
}
END_TEST

/* Damaged copies of a good file: refused with a place and a reason, or taken; nothing else. */
START_TEST(damaged_files_do_no_harm)
{
	unsigned seed = 11, refused = 0;
	char prefix[100];

	snprintf(prefix, sizeof(prefix), "%s:", path);
	for (int round = 0; round < 500; round++) {
		char text[2 * sizeof(example)];
		size_t len = sizeof(example) - 1;
		int result;

		memcpy(text, example, len);
		for (int hits = 1 + rand_r(&seed) % 4; hits; hits--) {
			size_t at = (size_t)rand_r(&seed) % len;
			size_t n = (size_t)rand_r(&seed) % (len - at < 40 ? len - at : 40);

			switch (rand_r(&seed) % 3) {
			case 0: /* another byte */
				text[at] = (char)(rand_r(&seed) >> 8);
				break;
			case 1: /* something missing */
				memmove(text + at, text + at + n, len - at - n);
				len -= n;
				break;
			default: /* something twice */
				if (len + n > sizeof(text))
					break;
				memmove(text + at + n, text + at, len - at);
				len += n;
			}
		}
		f3_conf_free(c);
		ck_assert_int_eq(f3_conf_new(&c), 0);
		memset(&err, 0, sizeof(err));
		result = load_bytes(text, len);
		if (!result)
			result = f3_conf_check(c, &err);
		ck_assert_int_eq(result, err.code);
		refused += result != 0;
		if (result && strncmp(err.text, "no mountpoint", 13) != 0)
			ck_assert_int_eq(strncmp(err.text, prefix, strlen(prefix)), 0);
	}
	/* both happen, else the damage is of the wrong size */
	ck_assert_uint_gt(refused, 50);
	ck_assert_uint_lt(refused, 480);
}
END_TEST

/* What is printed can be read again and says the same. */
START_TEST(print_round_trips)
{
	struct f3_buf first, second;
	const char *const *list;
	const struct f3_conf_rule *rules;

	f3_buf_init(&first, 1 << 20);
	f3_buf_init(&second, 1 << 20);
	ck_assert_ok(load(example));
	f3_conf_print(c, false, &first);
	ck_assert_int_eq(first.error, 0);
	/* where it came from stands behind a '#': for the reader it is made a comment */
	for (size_t i = 1; i < first.len; i++)
		if (first.data[i] == '#' && first.data[i - 1] == ' ')
			first.data[i] = ';';
	f3_conf_free(c);
	ck_assert_int_eq(f3_conf_new(&c), 0);
	ck_assert_ok(load_bytes(first.data, first.len));
	ck_assert_ok(f3_conf_check(c, &err));
	ck_assert_uint_eq(f3_conf_u64(c, "f3", NULL, "cache-size"), UINT64_C(200) << 30);
	ck_assert_uint_eq(f3_conf_list(c, "f3", NULL, "control-uid", &list), 3);
	ck_assert_uint_eq(f3_conf_volumes(c, &list), 2);
	ck_assert_uint_eq(f3_conf_rules(c, "photos", &rules), 3);
	ck_assert_str_eq(rules[1].value, "ephemeral stream");
	f3_buf_done(&first);
	f3_buf_done(&second);
}
END_TEST

static json_t *at(json_t *json, const char *a, const char *b, const char *d)
{
	json = json_object_get(json_object_get(json, a), b);
	return d ? json_object_get(json, d) : json;
}

START_TEST(print_json)
{
	struct f3_buf b;
	json_t *json;

	ck_assert_ok(load(example));
	/* a pattern and a path need not be UTF-8 */
	ck_assert_ok(f3_conf_set(c, "memory-dir", "/mem\xff", "command line", &err));
	f3_buf_init(&b, 1 << 20);
	f3_conf_print(c, true, &b);
	ck_assert_int_eq(b.error, 0);
	json = json_loadb((char *)b.data, b.len, 0, NULL);
	ck_assert_ptr_nonnull(json);
	ck_assert_str_eq(json_string_value(at(json, "f3", "cache", "value")), "/var/lib/f3");
	ck_assert_str_eq(json_string_value(at(json, "f3", "run-dir", "source")), "default");
	ck_assert_str_eq(json_string_value(at(json, "f3", "memory-dir", "value")), "/mem\\xff");
	ck_assert(json_is_null(at(json, "f3", "node", "value")));
	ck_assert_uint_eq(json_array_size(at(json, "f3", "control-uid", "value")), 3);
	ck_assert_str_eq(
		json_string_value(json_object_get(
			json_object_get(at(json, "volume", "photos", NULL), "mode"), "value")),
		"0750");
	ck_assert_uint_eq(json_array_size(at(json, "placement", "photos", NULL)), 3);
	json_decref(json);
	f3_buf_done(&b);

	/* too small a buffer is told, not overrun */
	f3_buf_init(&b, 100);
	f3_conf_print(c, true, &b);
	ck_assert_int_eq(b.error, -EMSGSIZE);
	f3_buf_done(&b);
}
END_TEST

/* The help names every option; its mdoc form has a list item for each and balanced lists. */
START_TEST(help_has_every_option)
{
	struct f3_buf text, mdoc;
	unsigned rows = 0, items = 0, begins = 0, ends = 0;

	f3_buf_init(&text, 1 << 20);
	f3_buf_init(&mdoc, 1 << 20);
	f3_conf_print_help(false, &text);
	f3_conf_print_help(true, &mdoc);
	f3_buf_printf(&text, "%s", "");
	f3_buf_printf(&mdoc, "%s", "");
	for (const struct f3_conf_opt *opt = f3_conf_table; opt->section; opt++) {
		char want[100];

		rows++;
		snprintf(want, sizeof(want), "\n  %s=", opt->key);
		ck_assert_ptr_nonnull(strstr((char *)text.data, want));
		ck_assert_ptr_nonnull(strstr((char *)text.data, opt->help));
	}
	for (const char *p = (char *)mdoc.data; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		items += strncmp(p, ".It ", 4) == 0;
		begins += strncmp(p, ".Bl ", 4) == 0;
		ends += strncmp(p, ".El", 3) == 0;
		if (!*p)
			break;
	}
	ck_assert_uint_eq(items, rows);
	ck_assert_uint_eq(begins, 3);
	ck_assert_uint_eq(ends, 3);
	f3_buf_done(&text);
	f3_buf_done(&mdoc);
}
END_TEST

/* A row that cannot work is found here and not by a user. */
START_TEST(table_is_sound)
{
	for (const struct f3_conf_opt *opt = f3_conf_table; opt->section; opt++) {
		const struct f3_conf_opt *other = opt + 1;

		ck_assert_ptr_nonnull(opt->help);
		ck_assert_ptr_null(strchr(opt->key, '.'));
		ck_assert_ptr_null(strchr(opt->key, '_'));
		ck_assert((opt->type == F3_CONF_ENUM) == (opt->choices != NULL));
		ck_assert(opt->arg || opt->choices || opt->type == F3_CONF_BOOL);
		ck_assert_int_ne(opt->help[strlen(opt->help) - 1], '.');
		if (opt->more)
			ck_assert_int_eq(opt->more[strlen(opt->more) - 1], '.');
		for (; other->section; other++)
			ck_assert(strcmp(opt->section, other->section) != 0 ||
				  strcmp(opt->key, other->key) != 0);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("conf");
	TCase *t = tcase_create("conf");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, file_gives_values);
	tcase_add_test(t, defaults_hold);
	tcase_add_loop_test(t, precedence_is_by_source, 0, 6);
	tcase_add_test(t, environment_is_checked);
	tcase_add_test(t, command_line_keys);
	tcase_add_test(t, bad_command_line_is_refused);
	tcase_add_test(t, unreadable_files_are_named);
	tcase_add_test(t, corpus_is_refused);
	tcase_add_test(t, damaged_files_do_no_harm);
	tcase_add_test(t, print_round_trips);
	tcase_add_test(t, print_json);
	tcase_add_test(t, help_has_every_option);
	tcase_add_test(t, table_is_sound);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
