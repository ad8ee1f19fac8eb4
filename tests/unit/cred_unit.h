/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cred_unit: what the tests of credentials share: a home directory and an environment with nothing
 * of the machine's own in them, and questions to a new chain. All keys are made up; every message
 * is looked through for them.
 */
#ifndef F3_TESTS_UNIT_CRED_UNIT_H
#define F3_TESTS_UNIT_CRED_UNIT_H

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/object/credentials.h"
#include "fs/object/credentials_impl.h"
#include "tests/unit/unit.h"

#define SECRET "s3cr3t/of+tests"
#define TOKEN "t0k3n=="

static char home[64];
static struct f3_workq *work;

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Nothing of the machine's own set-up is seen: no AWS_ variable, no proxy, an empty home. */
static inline void setup(void)
{
	char name[64];

	for (bool again = true; again;) {
		again = false;
		for (char **e = environ; *e && !again; e++) {
			size_t len = strcspn(*e, "=");

			if (len >= sizeof(name))
				continue;
			memcpy(name, *e, len);
			name[len] = '\0';
			if (strncmp(name, "AWS_", 4) != 0 && !strcasestr(name, "_proxy"))
				continue;
			unsetenv(name);
			again = true;
		}
	}
	snprintf(home, sizeof(home), "/tmp/f3-cred-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(home));
	setenv("HOME", home, 1);
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	ck_assert_int_eq(f3_timers_start(), 0);
	ck_assert_int_eq(f3_workq_new("cred", 1, 16, &work), 0);
}

static inline void teardown(void)
{
	f3_timers_stop();
	f3_workq_free(work);
	nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A file below the home directory; its path until the next call. */
static inline const char *put_file(const char *name, mode_t mode, const char *text)
{
	static char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/.aws", home);
	if (mkdir(path, 0700) < 0)
		ck_assert_int_eq(errno, EEXIST);
	snprintf(path, sizeof(path), "%s/%s", home, name);
	unlink(path);
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
	return path;
}

static inline struct f3_cred_chain *chain_of(const char *profile)
{
	struct f3_cred_options opt = { .profile = profile, .work = work };
	struct f3_cred_chain *c;

	ck_assert_int_eq(f3_cred_chain_new(&opt, &c), 0);
	return c;
}

/* No message has anything of what the tests call secrets. */
static inline void check_text(const struct f3_err *err)
{
	ck_assert_ptr_null(strstr(err->text, "s3cr3t"));
	ck_assert_ptr_null(strstr(err->text, "t0k3n"));
}

/* What a new chain finds. */
static inline int get(const char *profile, struct f3_credentials *ret_c, struct f3_err *err)
{
	struct f3_cred_chain *c = chain_of(profile);
	int error;

	*err = (struct f3_err)F3_ERR_INIT;
	error = f3_cred_get(c, ret_c, err);
	check_text(err);
	if (error)
		ck_assert_str_ne(err->text, "");
	else
		ck_assert_int_eq(f3_cred_try(c, ret_c), 0);
	f3_cred_chain_free(c);
	return error;
}

static inline void check_key(const char *profile, const char *access_key, const char *source)
{
	struct f3_credentials c;
	struct f3_err err;
	int error = get(profile, &c, &err);

	ck_assert_msg(!error, "%s", err.text);
	ck_assert_str_eq(c.access_key, access_key);
	ck_assert_str_eq(c.secret_key, SECRET);
	ck_assert_str_eq(c.source, source);
}

static inline void check_error(const char *profile, int error, const char *text)
{
	struct f3_credentials c;
	struct f3_err err;

	ck_assert_int_eq(get(profile, &c, &err), error);
	ck_assert_msg(strstr(err.text, text) != NULL, "\"%s\" is not in \"%s\"", text, err.text);
}

static inline void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 50 * F3_NS_PER_MS }, NULL);
}

#endif
