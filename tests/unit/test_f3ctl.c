/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3ctl without a daemon: paths and mounts, progress, the tables everything is made from.
 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/unit.h"

static struct f3_buf out;

static void setup(void)
{
	f3_buf_init(&out, 1u << 20);
}

static void teardown(void)
{
	f3_buf_done(&out);
}

static const char *text(void)
{
	f3_buf_put_u8(&out, 0);
	ck_assert_int_eq(out.error, 0);
	return (const char *)out.data;
}

/* ---- Where a path lies ----------------------------------------------------------------------- */

#define MNT "/mnt/f3"
static const char mounts[] =
	"21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
	"30 21 0:40 / " MNT " rw,nosuid shared:5 - fuse.f3 f3 rw,user_id=0\n"
	"31 21 0:40 /photos /run/views/a rw - fuse.f3 f3 rw\n"
	"32 21 0:40 /photos/deep/er /run/views/with\\040blank rw - fuse.f3 f3 rw\n"
	"33 30 0:50 / " MNT "/photos/over rw - tmpfs tmpfs rw\n"
	"34 21 0:60 / /other rw - fuse.f3 f3 rw\n"
	"35 34 0:40 /data /other/data rw - fuse.f3 f3 rw\n";

START_TEST(paths_on_the_mount)
{
	static const char *const good[][2] = {
		{ MNT, "/" },
		{ MNT "/photos", "/photos" },
		{ MNT "/photos/a/b", "/photos/a/b" },
		{ MNT "/photos/over.jpg", "/photos/over.jpg" },
		{ "/run/views/a", "/photos" },
		{ "/run/views/a/x", "/photos/x" },
		{ "/run/views/with blank/x", "/photos/deep/er/x" },
		{ "/other/data/x", "/data/x" },
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		f3_buf_reset(&out);
		ck_assert_msg(f3ctl_inside(good[i][0], MNT, mounts, &out) == 0, "%s", good[i][0]);
		ck_assert_str_eq(text(), good[i][1]);
	}
}
END_TEST

START_TEST(paths_elsewhere)
{
	static const char *const bad[] = { "/",
					   "/etc/passwd",
					   "/mnt",
					   MNT "x",
					   MNT "x/photos",
					   MNT "/photos/over",
					   MNT "/photos/over/x",
					   "/other",
					   "/other/photos",
					   "/run/views",
					   "/run/views/ab" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(f3ctl_inside(bad[i], MNT, mounts, &out) == -EXDEV, "%s", bad[i]);
}
END_TEST

/* A mount over the mount: what lies on top counts. */
START_TEST(covered_mount)
{
	static const char covered[] = "30 21 0:40 / " MNT " rw - fuse.f3 f3 rw\n"
				      "40 30 0:70 / " MNT " rw - fuse.f3 f3 rw\n";

	ck_assert_int_eq(f3ctl_inside(MNT "/x", MNT, covered, &out), 0);
	ck_assert_str_eq(text(), "/x");
}
END_TEST

/* The daemon's mount is in another mount namespace: its name alone counts. */
START_TEST(unseen_mount)
{
	static const char unseen[] = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n";

	ck_assert_int_eq(f3ctl_inside(MNT "/photos/x", MNT, unseen, &out), 0);
	ck_assert_str_eq(text(), "/photos/x");
	ck_assert_int_eq(f3ctl_inside("/photos/x", MNT, unseen, &out), -EXDEV);
	f3_buf_reset(&out);
	ck_assert_int_eq(f3ctl_inside(MNT "/x", MNT, "", &out), 0);
}
END_TEST

START_TEST(strange_mountinfo)
{
	static const char *const strange[] = {
		"\n\n\n",
		"30",
		"30 21 0:40",
		"30 21 0:40 / ",
		"                     ",
		"30 21 0:40 / \\ rw\n30 21 0:40 \\777 \\04 rw\n",
		"a b c d e f g\na b c d e f g\n",
	};
	char *longest = calloc(1, 40000);

	ck_assert_ptr_nonnull(longest);
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		f3_buf_reset(&out);
		ck_assert_int_eq(f3ctl_inside(MNT "/x", MNT, strange[i], &out), 0);
	}
	memset(longest, 'x', 39999);
	f3_buf_reset(&out);
	ck_assert_int_eq(f3ctl_inside(MNT "/x", MNT, longest, &out), 0);
	free(longest);
}
END_TEST

/* ---- Progress -------------------------------------------------------------------------------- */

START_TEST(progress_shows_shares_and_rates)
{
	struct f3ctl_progress p = { .on = true, .began_ns = 1000 };

	p.files = 3;
	f3ctl_progress_text(&p, 1000, 79, &out);
	ck_assert_str_eq(text(), "3 files");
	f3_buf_reset(&out);
	p.total = 12;
	f3ctl_progress_text(&p, 1000, 79, &out);
	ck_assert_str_eq(text(), "[########......................]  25%  3/12 files");
	f3_buf_reset(&out);
	p.bytes = 512u << 20;
	p.total_bytes = 2u << 30;
	f3ctl_progress_text(&p, 1000 + 2000000000ull, 79, &out);
	ck_assert_str_eq(text(),
			 "[########......................]  25%  3/12 files  512 MiB  256 MiB/s");
	f3_buf_reset(&out);
	/* more than was counted, a clock that stands, a narrow terminal */
	p.bytes = 9ull << 30;
	f3ctl_progress_text(&p, 0, 20, &out);
	ck_assert_uint_eq(out.len, 20);
	ck_assert_str_eq(text(), "[##########] 100%  3");
}
END_TEST

/* ---- Text ------------------------------------------------------------------------------------ */

START_TEST(members_are_shown_harmless)
{
	json_t *o =
		json_loads("{\"s\":\"a\\u001b[31m\\nb\",\"i\":-5,\"r\":1.25,\"t\":true,\"n\":null,"
			   "\"o\":{},\"big\":1610612736}",
			   0, NULL);

	ck_assert_ptr_nonnull(o);
	f3ctl_text(o, "s", &out);
	f3ctl_text(o, "i", &out);
	f3ctl_text(o, "r", &out);
	f3ctl_text(o, "t", &out);
	f3ctl_text(o, "n", &out);
	f3ctl_text(o, "o", &out);
	f3ctl_text(o, "absent", &out);
	ck_assert_str_eq(text(), "a\\x1b[31m\\nb-51.2yes---");
	f3_buf_reset(&out);
	f3ctl_bytes(o, "big", &out);
	ck_assert_str_eq(text(), "1.5 GiB");
	ck_assert_uint_eq(f3ctl_u64(o, "i"), 0);
	ck_assert_uint_eq(f3ctl_u64(o, "s"), 0);
	ck_assert_uint_eq(f3ctl_u64(NULL, "s"), 0);
	json_decref(o);
}
END_TEST

START_TEST(item_paths)
{
	struct f3ctl ctl = { .fd = -1,
			     .mount = json_loads("{\"mountpoint\":\"/mnt/f3\"}", 0, NULL) };
	json_t *item = json_loads("{\"volume\":\"v\",\"path\":\"/a\\nb\"}", 0, NULL);

	f3ctl_item_path(&ctl, item, &out);
	ck_assert_str_eq(text(), "/mnt/f3/v/a\\nb");
	f3_buf_reset(&out);
	/* shown by the daemon already where the bytes are no UTF-8 */
	json_object_set_new(item, "path", json_string("/\\xff"));
	json_object_set_new(item, "path_hex", json_string("2fff"));
	f3ctl_item_path(&ctl, item, &out);
	ck_assert_str_eq(text(), "/mnt/f3/v/\\xff");
	f3_buf_reset(&out);
	json_object_clear(item);
	f3ctl_item_path(&ctl, item, &out);
	ck_assert_str_eq(text(), "/mnt/f3");
	json_decref(item);
	f3ctl_close(&ctl);
}
END_TEST

/* ---- The table ------------------------------------------------------------------------------- */

START_TEST(verbs_are_complete)
{
	for (const struct f3ctl_verb *v = f3ctl_verbs; v->name; v++) {
		ck_assert_ptr_nonnull(v->run);
		ck_assert_msg(v->help && v->help[0] >= 'a' && v->help[0] <= 'z' &&
				      v->help[strlen(v->help) - 1] != '.',
			      "%s: a help begins small and has no full stop", v->name);
		if (v->more)
			ck_assert_msg(v->more[strlen(v->more) - 1] == '.', "%s: sentences",
				      v->name);
		if (v->completes == F3CTL_WORDS || v->completes == F3CTL_WORD_THEN_PATHS)
			ck_assert_msg(v->words, "%s: words to complete", v->name);
		for (const struct f3ctl_verb *w = f3ctl_verbs; w < v; w++)
			ck_assert_str_ne(v->name, w->name);
		for (const struct poptOption *o = v->options; o && (o->longName || o->shortName);
		     o++)
			ck_assert_msg(o->longName && o->descrip, "%s: options have long names",
				      v->name);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("f3ctl");
	TCase *t = tcase_create("f3ctl");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, paths_on_the_mount);
	tcase_add_test(t, paths_elsewhere);
	tcase_add_test(t, covered_mount);
	tcase_add_test(t, unseen_mount);
	tcase_add_test(t, strange_mountinfo);
	tcase_add_test(t, progress_shows_shares_and_rates);
	tcase_add_test(t, members_are_shown_harmless);
	tcase_add_test(t, item_paths);
	tcase_add_test(t, verbs_are_complete);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
