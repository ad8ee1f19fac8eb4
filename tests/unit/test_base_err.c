/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "fs/base/err.h"
#include "tests/unit/unit.h"

START_TEST(set_formats_and_returns_the_code)
{
	struct f3_err err = F3_ERR_INIT;

	ck_assert_int_eq(f3_err_set(&err, -ENOENT, "%s: no such file", "/etc/x"), -ENOENT);
	ck_assert_int_eq(err.code, -ENOENT);
	ck_assert_str_eq(err.text, "/etc/x: no such file");
	ck_assert_int_eq(f3_err_set(NULL, -EIO, "nobody reads this"), -EIO);
}
END_TEST

START_TEST(text_is_bounded_and_one_line)
{
	struct f3_err err = F3_ERR_INIT;
	char big[2 * F3_ERR_TEXT_MAX];

	memset(big, 'a', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	f3_err_set(&err, -EINVAL, "%s", big);
	ck_assert_uint_eq(strlen(err.text), F3_ERR_TEXT_MAX - 1);

	f3_err_set(&err, -EINVAL, "%s", "two\nlines\tand \033[31m\177");
	ck_assert_str_eq(err.text, "two lines and  [31m ");
}
END_TEST

START_TEST(prefix_goes_in_front)
{
	struct f3_err err = F3_ERR_INIT;
	char big[2 * F3_ERR_TEXT_MAX];

	f3_err_set(&err, -EACCES, "cannot read");
	ck_assert_int_eq(f3_err_prefix(&err, "volume %s", "a\nb"), -EACCES);
	ck_assert_str_eq(err.text, "volume a b: cannot read");
	ck_assert_int_eq(f3_err_prefix(NULL, "x"), 0);

	/* the new context is what is kept */
	memset(big, 'b', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	f3_err_prefix(&err, "first");
	f3_err_prefix(&err, "%.500s", big);
	ck_assert_uint_eq(strlen(err.text), F3_ERR_TEXT_MAX - 1);
	ck_assert(strncmp(err.text + 500, ": first: ", 9) == 0);
	f3_err_prefix(&err, "%s", big);
	ck_assert_uint_eq(strlen(err.text), F3_ERR_TEXT_MAX - 1);
	ck_assert_str_eq(err.text + F3_ERR_TEXT_MAX - 1 - 4, "bb: ");
}
END_TEST

START_TEST(errno_has_a_name)
{
	ck_assert_str_eq(f3_errno_name(ENOENT), "ENOENT");
	ck_assert_str_eq(f3_errno_name(-ENOENT), "ENOENT");
	ck_assert_str_eq(f3_errno_name(-EDQUOT), "EDQUOT");
	ck_assert_str_eq(f3_errno_name(-4095), "AMBIGUOUS");
	ck_assert_str_eq(f3_errno_name(4094), "E?");
	ck_assert_str_eq(f3_errno_name(4096), "E?");
	ck_assert_str_eq(f3_errno_name(INT_MIN), "E?");
	ck_assert_str_eq(f3_errno_name(INT_MAX), "E?");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("err");
	TCase *t = tcase_create("err");

	tcase_add_test(t, set_formats_and_returns_the_code);
	tcase_add_test(t, text_is_bounded_and_one_line);
	tcase_add_test(t, prefix_goes_in_front);
	tcase_add_test(t, errno_has_a_name);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
