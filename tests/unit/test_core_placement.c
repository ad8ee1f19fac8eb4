/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/placement.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>

#include "fs/base/clock.h"
#include "tests/unit/unit.h"

static struct f3_placement plc;

static void setup(void)
{
	memset(&plc, 0, sizeof(plc));
	plc.dflt = F3_CLASS_EPHEMERAL;
	plc.has_store = true;
}

static void teardown(void)
{
	f3_placement_done(&plc);
}

static void rule(const char *pattern, const char *value)
{
	struct f3_err err = F3_ERR_INIT;

	ck_assert_msg(f3_placement_add(&plc, pattern, value, &err) == 0, "%s", err.text);
}

static struct f3_placement_query query(const char *path, bool is_dir)
{
	struct f3_placement_query q = {
		.path = path, .is_dir = is_dir, .own_stream = -1, .inherited_stream = -1
	};

	return q;
}

static struct f3_placement_result decide(const struct f3_placement_query *q)
{
	struct f3_placement_result res;

	memset(&res, 0xff, sizeof(res));
	ck_assert_int_eq(f3_placement_decide(&plc, q, &res), 0);
	return res;
}

static enum f3_class class_of(const char *path, bool is_dir)
{
	struct f3_placement_query q = query(path, is_dir);

	return decide(&q).class_;
}

START_TEST(match_table)
{
	static const struct {
		const char *pattern, *path;
		bool match;
	} t[] = {
		{ "*.tmp", "/a.tmp", true },
		{ "*.tmp", "/x/y/a.tmp", true },
		{ "*.tmp", "/a.tmp/b", false },
		{ "*.tmp", "/.tmp", true },
		{ "a", "/a", true },
		{ "a", "/b/a", true },
		{ "a", "/ab", false },
		{ "/a", "/a", true },
		{ "/a", "/b/a", false },
		{ "a/b", "/a/b", true },
		{ "a/b", "/x/a/b", false },
		{ "/a/*", "/a/b", true },
		{ "/a/*", "/a/b/c", false },
		{ "/a/*", "/a", false },
		{ "/a/**", "/a/b/c", true },
		{ "/a/**", "/a/b", true },
		{ "/a/**", "/a", false },
		{ "/a/**", "/ab", false },
		{ "/a/", "/a/b/c", true },
		{ "/a/", "/a", false },
		{ "/**/b", "/b", true },
		{ "/**/b", "/x/y/b", true },
		{ "/**/b", "/xb", false },
		{ "/a/**/b", "/a/b", true },
		{ "/a/**/b", "/a/x/b", true },
		{ "/a/**/b", "/a/x/y/b", true },
		{ "/a/**/b", "/a/xb", false },
		{ "/a/**/b", "/ab", false },
		{ "/a**b", "/a/x/b", true },
		{ "/a**b", "/ab", true },
		{ "/a/**/**/b", "/a/b", true },
		{ "**", "/anything/at", true },
		{ "/**", "/anything/at", true },
		{ "/?", "/a", true },
		{ "/?", "/", false },
		{ "/a?b", "/a/b", false },
		{ "/[a-c]x", "/bx", true },
		{ "/[!a-c]x", "/bx", false },
		{ "/[^a-c]x", "/zx", true },
		{ "/a[!b]c", "/a/c", false },
		{ "/[]]", "/]", true },
		{ "/[!]]", "/]", false },
		{ "/[a-]", "/-", true },
		{ "/[[:digit:]]*", "/7up", true },
		{ "/[[:digit:]]*", "/up7", false },
		{ "/[[:upper:][:digit:]_]", "/_", true },
		{ "/[\\]]", "/]", true },
		{ "/[", "/[", true },
		{ "/[ab", "/[ab", true },
		{ "/\\*", "/*", true },
		{ "/\\*", "/x", false },
		{ "/a\\", "/a\\", true },
		{ "/\xff*", "/\xff\xfe", true },
		{ "", "/", false },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		ck_assert_msg(f3_placement_match(t[i].pattern, t[i].path) == t[i].match,
			      "\"%s\" and \"%s\"", t[i].pattern, t[i].path);
}
END_TEST

static void random_text(char *out, size_t max, const char *letters, unsigned *seed)
{
	size_t n = (size_t)rand_r(seed) % max, k = strlen(letters);

	for (size_t i = 0; i < n; i++)
		out[i] = letters[(size_t)rand_r(seed) % k];
	out[n] = '\0';
}

/* What the C library says about the patterns both of us know. */
START_TEST(match_agrees_with_fnmatch)
{
	unsigned seed = 4711, hits = 0;

	for (int i = 0; i < 300000; i++) {
		char pattern[16] = "/", path[16] = "/", *p;
		bool ours, theirs;

		random_text(pattern + 1, 8, "ab*?/[]!-\\", &seed);
		random_text(path + 1, 8, "ab/]-", &seed);
		if (strstr(pattern, "**") || pattern[strlen(pattern) - 1] == '/')
			continue;
		/* Where POSIX leaves it open: slashes in brackets, escapes and ranges there, an
		 * escaped slash, a backslash at the end. */
		p = strchr(pattern, '[');
		if (pattern[strlen(pattern) - 1] == '\\' || strstr(pattern, "\\/") ||
		    (p && (strpbrk(p, "/\\-") || strchr(p + 1, '['))))
			continue;
		ours = f3_placement_match(pattern, path);
		theirs = fnmatch(pattern, path, FNM_PATHNAME) == 0;
		ck_assert_msg(ours == theirs, "\"%s\" and \"%s\": fnmatch says %d", pattern, path,
			      theirs);
		hits += ours;
	}
	ck_assert_uint_gt(hits, 100);
}
END_TEST

/* The meaning of the stars, as short as it can be written. */
static bool model(const char *p, const char *t, bool fresh)
{
	if (!*p)
		return !*t;
	if (p[0] == '*' && p[1] == '*') {
		const char *rest = p;

		while (*rest == '*')
			rest++;
		if (fresh && *rest == '/' && model(rest + 1, t, true))
			return true;
		for (;; t++) {
			if (model(rest, t, false))
				return true;
			if (!*t)
				return false;
		}
	}
	if (*p == '*') {
		for (;; t++) {
			if (model(p + 1, t, false))
				return true;
			if (!*t || *t == '/')
				return false;
		}
	}
	if (!*t || (*p == '?' ? *t == '/' : *p != *t))
		return false;
	return model(p + 1, t + 1, *p == '/');
}

START_TEST(match_agrees_with_model)
{
	unsigned seed = 42, hits = 0;

	for (int i = 0; i < 300000; i++) {
		char pattern[16] = "/", path[16] = "/";
		bool ours, theirs;

		random_text(pattern + 1, 10, "ab***?//", &seed);
		random_text(path + 1, 10, "aab//", &seed);
		if (pattern[strlen(pattern) - 1] == '/')
			continue;
		ours = f3_placement_match(pattern, path);
		theirs = model(pattern + 1, path + 1, true);
		ck_assert_msg(ours == theirs, "\"%s\" and \"%s\": model says %d", pattern, path,
			      theirs);
		hits += ours;
	}
	ck_assert_uint_gt(hits, 1000);
}
END_TEST

/* CPU time of this thread, which other programs do not make longer. */
static uint64_t spent_ns(void)
{
	struct timespec ts;

	ck_assert_int_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts), 0);
	return f3_ns_from_timespec(ts);
}

START_TEST(match_hostile)
{
	char pattern[1024] = "/", path[4096] = "/", longer[1100];
	uint64_t start = spent_ns();

	for (size_t i = 1; i + 6 < sizeof(pattern); i += 4)
		memcpy(pattern + i, "a**a", 5);
	memset(path + 1, 'a', sizeof(path) - 2);
	for (int i = 0; i < 3; i++) {
		path[sizeof(path) - 2] = 'b';
		ck_assert(!f3_placement_match(pattern, path));
		path[sizeof(path) - 2] = 'a';
		ck_assert(f3_placement_match(pattern, path));
	}
	for (size_t i = 1; i + 4 < sizeof(pattern); i += 3)
		memcpy(pattern + i, "**/", 4);
	for (size_t i = 1; i + 2 < sizeof(path); i += 2)
		path[i] = '/';
	f3_placement_match(pattern, path);
	ck_assert_uint_lt(spent_ns() - start, 40 * F3_NS_PER_SEC);

	/* A pattern that is too long matches nothing and is refused. */
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	ck_assert(!f3_placement_match(longer, longer));
	ck_assert_int_eq(f3_placement_add(&plc, longer, "durable", NULL), -ENAMETOOLONG);
}
END_TEST

START_TEST(add_refuses)
{
	static const char *const bad[] = { "",       "gold", "durable streams", "durable stream x",
					   "stream", "none" };
	struct f3_err err = F3_ERR_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err.text[0] = '\0';
		ck_assert_int_eq(f3_placement_add(&plc, "/a", bad[i], &err), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err.text, "/a = "));
	}
	ck_assert_int_eq(f3_placement_add(&plc, "", "durable", NULL), -EINVAL);
	ck_assert_int_eq(f3_placement_add(&plc, "/a", "replicated", NULL), -EOPNOTSUPP);
	ck_assert_uint_eq(plc.n_rules, 0);
	rule("/a", "  memory \t stream ");
	ck_assert_uint_eq(plc.n_rules, 1);
	ck_assert(plc.rules[0].stream);
	ck_assert_int_eq(plc.rules[0].class_, F3_CLASS_MEMORY);
}
END_TEST

START_TEST(first_match_wins)
{
	struct f3_placement_query q = query("/scratch/x.dat", false);
	struct f3_placement_result res;

	rule("/scratch/**", "memory stream");
	rule("*.dat", "durable");
	res = decide(&q);
	ck_assert_int_eq(res.class_, F3_CLASS_MEMORY);
	ck_assert_int_eq(res.source, F3_FROM_RULE);
	ck_assert(res.stream);
	ck_assert_int_eq(class_of("/a/x.dat", false), F3_CLASS_DURABLE);
	ck_assert_int_eq(class_of("/a/x", false), F3_CLASS_EPHEMERAL);

	q.inherited = F3_CLASS_WRITEBACK;
	q.inherited_stream = 0;
	res = decide(&q);
	ck_assert_int_eq(res.class_, F3_CLASS_WRITEBACK);
	ck_assert_int_eq(res.source, F3_FROM_DIR);
	ck_assert(!res.stream);
	q.own = F3_CLASS_EPHEMERAL;
	q.own_stream = 1;
	res = decide(&q);
	ck_assert_int_eq(res.class_, F3_CLASS_EPHEMERAL);
	ck_assert_int_eq(res.source, F3_FROM_OWN);
	ck_assert(res.stream);
	q.hint = F3_CLASS_DURABLE;
	res = decide(&q);
	ck_assert_int_eq(res.class_, F3_CLASS_DURABLE);
	ck_assert_int_eq(res.source, F3_FROM_HINT);
}
END_TEST

START_TEST(no_rules_no_path)
{
	struct f3_placement_query q = query(NULL, false);

	ck_assert(!f3_placement_needs_path(&plc));
	ck_assert_int_eq(decide(&q).class_, F3_CLASS_EPHEMERAL);
	rule("/a", "memory");
	ck_assert(f3_placement_needs_path(&plc));
}
END_TEST

START_TEST(directories)
{
	plc.dflt = F3_CLASS_EPHEMERAL;
	rule("/scratch/**", "memory");
	rule("/deep/a/*/out/**", "durable");
	rule("/mix/keep/**", "writeback");
	rule("/mix/**", "ephemeral");
	rule("/one/*.txt", "durable");

	/* What is inside decides, for the directory itself too. */
	ck_assert_int_eq(class_of("/scratch", true), F3_CLASS_MEMORY);
	ck_assert_int_eq(class_of("/scratch/x", true), F3_CLASS_MEMORY);
	ck_assert_int_eq(class_of("/scratch", false), F3_CLASS_EPHEMERAL);
	/* The way to a rule for the store is in the store, beside it is not. */
	ck_assert_int_eq(class_of("/", true), F3_CLASS_DURABLE);
	ck_assert_int_eq(class_of("/deep", true), F3_CLASS_DURABLE);
	ck_assert_int_eq(class_of("/deep/a", true), F3_CLASS_DURABLE);
	ck_assert_int_eq(class_of("/deep/a/any", true), F3_CLASS_DURABLE);
	ck_assert_int_eq(class_of("/deep/a/any/out", true), F3_CLASS_DURABLE);
	ck_assert_int_eq(class_of("/deep/a/any/out/x/y", true), F3_CLASS_DURABLE);
	ck_assert_int_eq(class_of("/deep/a/any/other", true), F3_CLASS_EPHEMERAL);
	ck_assert_int_eq(class_of("/deep/b", true), F3_CLASS_EPHEMERAL);
	ck_assert_int_eq(class_of("/deep", false), F3_CLASS_EPHEMERAL);
	/* An earlier exception inside a local tree. */
	ck_assert_int_eq(class_of("/mix", true), F3_CLASS_WRITEBACK);
	ck_assert_int_eq(class_of("/mix/keep", true), F3_CLASS_WRITEBACK);
	ck_assert_int_eq(class_of("/mix/other", true), F3_CLASS_EPHEMERAL);
	ck_assert_int_eq(class_of("/mix/f", false), F3_CLASS_EPHEMERAL);
	ck_assert_int_eq(class_of("/one", true), F3_CLASS_DURABLE);
	ck_assert_int_eq(class_of("/one/sub", true), F3_CLASS_EPHEMERAL);
}
END_TEST

START_TEST(earlier_rule_shadows_later)
{
	rule("/scratch/**", "memory");
	rule("*.dat", "durable");
	/* Nothing below can reach the second rule. */
	ck_assert_int_eq(class_of("/scratch", true), F3_CLASS_MEMORY);
	ck_assert_int_eq(class_of("/other", true), F3_CLASS_DURABLE);
}
END_TEST

START_TEST(caps)
{
	struct f3_placement_query q = query("/t/x", false);
	struct f3_placement_result res;

	rule("/t/x", "durable");
	q.in_local_tree = true;
	res = decide(&q);
	ck_assert_int_eq(res.class_, F3_CLASS_EPHEMERAL);
	ck_assert_int_eq(res.source, F3_FROM_RULE);
	ck_assert(res.capped);
	q.own = F3_CLASS_WRITEBACK;
	ck_assert_int_eq(f3_placement_decide(&plc, &q, &res), -EPERM);
	q.own = F3_CLASS_MEMORY;
	ck_assert_int_eq(decide(&q).class_, F3_CLASS_MEMORY);
	q.hint = F3_CLASS_DURABLE;
	ck_assert_int_eq(f3_placement_decide(&plc, &q, &res), -EPERM);

	plc.has_store = false;
	q = query("/t/x", false);
	res = decide(&q);
	ck_assert_int_eq(res.class_, F3_CLASS_EPHEMERAL);
	ck_assert(res.capped);
	q.inherited = F3_CLASS_WRITEBACK;
	ck_assert(decide(&q).capped);
	q.own = F3_CLASS_DURABLE;
	ck_assert_int_eq(f3_placement_decide(&plc, &q, &res), -EOPNOTSUPP);
	q.own = F3_CLASS_REPLICATED;
	ck_assert_int_eq(f3_placement_decide(&plc, &q, &res), -EOPNOTSUPP);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("placement");
	TCase *t = tcase_create("placement");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, match_table);
	tcase_add_test(t, match_agrees_with_fnmatch);
	tcase_add_test(t, match_agrees_with_model);
	tcase_add_test(t, match_hostile);
	tcase_add_test(t, add_refuses);
	tcase_add_test(t, first_match_wins);
	tcase_add_test(t, no_rules_no_path);
	tcase_add_test(t, directories);
	tcase_add_test(t, earlier_rule_shadows_later);
	tcase_add_test(t, caps);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
