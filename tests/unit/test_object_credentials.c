/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys from the environment, from files and from programs. All keys here are made up.
 */
#include "config.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/cred_unit.h"

/* ---- Environment ----------------------------------------------------------------------------- */

START_TEST(environment)
{
	struct f3_credentials c;
	struct f3_err err;

	setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1);
	check_error(NULL, -EINVAL, "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY");
	setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
	ck_assert_int_eq(get(NULL, &c, &err), 0);
	ck_assert_str_eq(c.access_key, "ENVKEY");
	ck_assert_str_eq(c.secret_key, SECRET);
	ck_assert_str_eq(c.token, "");
	ck_assert_str_eq(c.source, "environment");
	ck_assert(!c.anonymous);
	ck_assert_int_eq(c.expires_s, 0);
	setenv("AWS_SESSION_TOKEN", TOKEN, 1);
	ck_assert_int_eq(get(NULL, &c, &err), 0);
	ck_assert_str_eq(c.token, TOKEN);
	setenv("AWS_SESSION_TOKEN", TOKEN "\r\nX-Evil: 1", 1);
	check_error(NULL, -EINVAL, "AWS_SESSION_TOKEN");
	unsetenv("AWS_SESSION_TOKEN");
	setenv("AWS_SECRET_ACCESS_KEY", SECRET " ", 1);
	check_error(NULL, -EINVAL, "AWS_SECRET_ACCESS_KEY");
	setenv("AWS_ACCESS_KEY_ID", "", 1);
	check_error(NULL, -EINVAL, "AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID");

	f3_credentials_wipe(&c);
	for (size_t i = 0; i < sizeof(c); i++)
		ck_assert_int_eq(((unsigned char *)&c)[i], 0);
}
END_TEST

START_TEST(anonymous)
{
	struct f3_cred_options opt = { .anonymous = true, .work = work };
	struct f3_cred_chain *chain;
	struct f3_credentials c;

	setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1);
	setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
	ck_assert_int_eq(f3_cred_chain_new(&opt, &chain), 0);
	ck_assert_int_eq(f3_cred_try(chain, &c), -EAGAIN);
	ck_assert_int_eq(f3_cred_get(chain, &c, NULL), 0);
	ck_assert(c.anonymous);
	ck_assert_str_eq(c.access_key, "");
	ck_assert_int_eq(f3_cred_try(chain, &c), 0);
	f3_cred_chain_free(chain);
	f3_cred_chain_free(NULL);
}
END_TEST

/* ---- Files ----------------------------------------------------------------------------------- */

START_TEST(nothing_anywhere)
{
	struct f3_credentials c;
	struct f3_err err;

	ck_assert_int_eq(get(NULL, &c, &err), -ENOKEY);
	ck_assert_ptr_nonnull(strstr(err.text, "AWS_ACCESS_KEY_ID"));
	ck_assert_ptr_nonnull(strstr(err.text, "/.aws/credentials"));
	ck_assert_ptr_nonnull(strstr(err.text, "/.aws/config"));
	check_error("away", -ENOKEY, "no profile \"away\"");
	setenv("AWS_PROFILE", "away", 1);
	check_error(NULL, -ENOKEY, "no profile \"away\"");
}
END_TEST

static const char two_profiles[] = "# a comment\n"
				   "[default]\n"
				   "aws_access_key_id = FILEKEY\n"
				   "aws_secret_access_key=" SECRET "\r\n"
				   "\n"
				   "[other]\n"
				   "\taws_access_key_id = OTHERKEY\n"
				   "\taws_secret_access_key: " SECRET "\n"
				   "\taws_session_token = " TOKEN "\n";

START_TEST(files_and_their_order)
{
	struct f3_credentials c;
	struct f3_err err;

	put_file(".aws/credentials", 0600, two_profiles);
	check_key(NULL, "FILEKEY", "profile");
	check_key("other", "OTHERKEY", "profile");
	ck_assert_int_eq(get("other", &c, &err), 0);
	ck_assert_str_eq(c.token, TOKEN);
	setenv("AWS_PROFILE", "other", 1);
	check_key(NULL, "OTHERKEY", "profile");
	check_key("default", "FILEKEY", "profile");

	/* the environment comes first, unless a profile is asked for by name */
	setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1);
	setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
	check_key(NULL, "ENVKEY", "environment");
	check_key("other", "OTHERKEY", "profile");
	unsetenv("AWS_ACCESS_KEY_ID");
	unsetenv("AWS_SECRET_ACCESS_KEY");

	/* what both files have is taken from the credentials */
	put_file(".aws/config", 0600,
		 "[profile other]\n"
		 "aws_access_key_id = CONFIGKEY\n"
		 "region = eu-west-3\n"
		 "[profile \"with blank\"]\n"
		 "aws_access_key_id = BLANKKEY\n"
		 "aws_secret_access_key = " SECRET "\n"
		 "[naked]\n"
		 "aws_access_key_id = NAKEDKEY\n"
		 "aws_secret_access_key = " SECRET "\n");
	check_key("other", "OTHERKEY", "profile");
	check_key("with blank", "BLANKKEY", "profile");
	check_error("naked", -ENOKEY, "no profile \"naked\"");
}
END_TEST

START_TEST(files_elsewhere)
{
	setenv("AWS_SHARED_CREDENTIALS_FILE", put_file("keys", 0600, two_profiles), 1);
	setenv("AWS_CONFIG_FILE", "~/settings", 1);
	put_file("settings", 0644, "[profile other]\nregion = eu-west-3\n");
	check_key("other", "OTHERKEY", "profile");
	unlink(put_file("keys", 0600, ""));
	check_error("other", -ENOKEY, "/settings");
	check_error("third", -ENOKEY, "no profile \"third\"");
}
END_TEST

START_TEST(nested_settings_are_passed_over)
{
	put_file(".aws/config", 0600,
		 "[default]\n"
		 "s3 =\n"
		 "  max_concurrent_requests = 20\n"
		 "  aws_access_key_id = NESTED\n"
		 "  just words\n"
		 "  [brackets]\n"
		 "region = eu-west-3\n"
		 "aws_access_key_id = KEY\n"
		 "aws_secret_access_key = " SECRET "\n"
		 "[services x]\n"
		 "s3 =\n"
		 "  endpoint_url = http://localhost\n");
	check_key(NULL, "KEY", "profile");
}
END_TEST

START_TEST(files_open_to_others)
{
	static const mode_t modes[] = { 0640, 0604, 0620, 0602, 0660, 0666 };
	const char *path;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		char expected[300];

		path = put_file(".aws/credentials", modes[i], two_profiles);
		snprintf(expected, sizeof(expected), "chmod 600 %s", path);
		check_error(NULL, -EACCES, expected);
	}
	put_file(".aws/credentials", 0400, two_profiles);
	check_key(NULL, "FILEKEY", "profile");

	/* Settings may be read by all, keys not, and nobody else may write them. */
	put_file(".aws/config", 0644, "[default]\nregion = eu-west-3\n");
	check_key(NULL, "FILEKEY", "profile");
	put_file(".aws/config", 0664, "[default]\nregion = eu-west-3\n");
	check_error(NULL, -EACCES, "chmod 600");
	put_file(".aws/config", 0644,
		 "[profile c]\naws_access_key_id = A\naws_secret_access_key = " SECRET "\n");
	check_key(NULL, "FILEKEY", "profile");
	check_error("c", -EACCES, "chmod 600");
}
END_TEST

START_TEST(links_and_what_is_no_file)
{
	char link_path[128], path[128];

	put_file("target", 0600, two_profiles);
	snprintf(path, sizeof(path), "%s/target", home);
	unlink(put_file(".aws/credentials", 0600, ""));
	snprintf(link_path, sizeof(link_path), "%s/.aws/credentials", home);
	ck_assert_int_eq(symlink(path, link_path), 0);
	check_key(NULL, "FILEKEY", "profile");
	put_file("target", 0644, two_profiles);
	check_error(NULL, -EACCES, "chmod 600");
	unlink(link_path);
	ck_assert_int_eq(mkfifo(link_path, 0600), 0);
	check_error(NULL, -EINVAL, "regular");
	unlink(link_path);
	ck_assert_int_eq(mkdir(link_path, 0700), 0);
	check_error(NULL, -EINVAL, "regular");
}
END_TEST

START_TEST(files_of_somebody_else)
{
	const char *path = put_file(".aws/credentials", 0600, two_profiles);

	if (geteuid() != 0) {
		puts("not root: nobody else's files can be made");
		return;
	}
	ck_assert_int_eq(chown(path, 12345, 0), 0);
	check_error(NULL, -EACCES, "user 12345");
}
END_TEST

/* As Kubernetes mounts secrets: nobody in there can change their mode. */
START_TEST(files_on_a_read_only_mount)
{
	char dir[128], name[256];

	snprintf(dir, sizeof(dir), "%s/.aws", home);
	put_file(".aws/none", 0600, "");
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", dir, "tmpfs", 0, NULL) < 0) {
		printf("no mount can be made: %m\n");
		return;
	}
	put_file(".aws/credentials", 0644, two_profiles);
	check_error(NULL, -EACCES, "chmod 600");
	ck_assert_int_eq(mount("none", dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	check_key(NULL, "FILEKEY", "profile");
	snprintf(name, sizeof(name), "%s/credentials", dir);
	ck_assert_int_eq(chmod(name, 0600), -1);
	ck_assert_int_eq(umount(dir), 0);
}
END_TEST

START_TEST(malformed_files)
{
	static const struct {
		const char *text, *expected;
	} bad[] = {
		{ "aws_access_key_id = X\n", ":1: a setting stands before" },
		{ "[default]\naws_secret_access_key " SECRET "\n", ":2: neither" },
		{ "[default\n", ":1: the section's name" },
		{ "\n\n[default]\n" SECRET "\n", ":4: neither" },
		{ "[default]\naws_access_key_id = X\n", "without aws_secret_access_key" },
		{ "[default]\naws_secret_access_key = " SECRET "\n", "without aws_access_key_id" },
		{ "[default]\naws_access_key_id = X Y\naws_secret_access_key = " SECRET "\n",
		  "aws_access_key_id is too long" },
	};
	char *text = malloc(F3_CRED_FILE_MAX + 100);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_file(".aws/credentials", 0600, bad[i].text);
		check_error(NULL, -EINVAL, bad[i].expected);
	}
	ck_assert_ptr_nonnull(text);
	snprintf(text, 100, "[default]\naws_session_token = ");
	memset(text + strlen(text), 'x', 9000);
	text[9000] = '\0';
	put_file(".aws/credentials", 0600, text);
	check_error(NULL, -EINVAL, ":2: the line is too long");
	memset(text, '\n', F3_CRED_FILE_MAX + 1);
	text[F3_CRED_FILE_MAX + 1] = '\0';
	put_file(".aws/credentials", 0600, text);
	check_error(NULL, -EFBIG, "larger");
	free(text);
}
END_TEST

/* A token of the size that real ones have. */
START_TEST(long_tokens)
{
	struct f3_credentials c;
	struct f3_err err;
	char text[8192], token[6001];

	memset(token, 'k', sizeof(token) - 1);
	token[sizeof(token) - 1] = '\0';
	snprintf(text, sizeof(text),
		 "[default]\naws_access_key_id = K\naws_secret_access_key = " SECRET
		 "\naws_session_token = %s\n",
		 token);
	put_file(".aws/credentials", 0600, text);
#if HAVE_DECL_INI_MAX_LINE
	ck_assert_int_eq(get(NULL, &c, &err), 0);
	ck_assert_str_eq(c.token, token);
#else
	ck_assert_int_eq(get(NULL, &c, &err), -EINVAL);
#endif
}
END_TEST

START_TEST(region)
{
	struct f3_cred_options opt = { .profile = NULL };
	char name[16];

	ck_assert_int_eq(f3_cred_region(&opt, name, sizeof(name)), -ENOENT);
	put_file(".aws/config", 0644,
		 "[default]\nregion = eu-west-1\n[profile far]\nregion = ap-south-2\n"
		 "[profile bad]\nregion = x/y\n[profile long]\nregion = abcdefghijklmnopq\n");
	ck_assert_int_eq(f3_cred_region(&opt, name, sizeof(name)), 0);
	ck_assert_str_eq(name, "eu-west-1");
	opt.profile = "far";
	ck_assert_int_eq(f3_cred_region(&opt, name, sizeof(name)), 0);
	ck_assert_str_eq(name, "ap-south-2");
	opt.profile = "bad";
	ck_assert_int_eq(f3_cred_region(&opt, name, sizeof(name)), -EINVAL);
	opt.profile = "long";
	ck_assert_int_eq(f3_cred_region(&opt, name, sizeof(name)), -ENAMETOOLONG);
	setenv("AWS_DEFAULT_REGION", "us-west-2", 1);
	ck_assert_int_eq(f3_cred_region(&opt, name, sizeof(name)), 0);
	ck_assert_str_eq(name, "us-west-2");
	setenv("AWS_REGION", "us-east-2", 1);
	ck_assert_int_eq(f3_cred_region(&opt, name, sizeof(name)), 0);
	ck_assert_str_eq(name, "us-east-2");
	opt.region = "given";
	ck_assert_int_eq(f3_cred_region(&opt, name, sizeof(name)), 0);
	ck_assert_str_eq(name, "given");
}
END_TEST

/* ---- Programs -------------------------------------------------------------------------------- */

static void put_process(const char *command)
{
	char text[1024];

	snprintf(text, sizeof(text), "[default]\ncredential_process = %s\n", command);
	put_file(".aws/config", 0600, text);
}

START_TEST(programs)
{
	struct f3_credentials c;
	struct f3_err err;
	char command[256];

	put_file("answer", 0600,
		 "{\"Version\": 1, \"AccessKeyId\": \"PROGKEY\", \"SecretAccessKey\": \"" SECRET
		 "\", \"SessionToken\": \"" TOKEN "\", \"Expiration\": \"2199-12-31T00:00:00Z\"}");
	snprintf(command, sizeof(command), "cat '%s'/\"answer\"", home);
	put_process(command);
	check_key(NULL, "PROGKEY", "credential_process");
	ck_assert_int_eq(get(NULL, &c, &err), 0);
	ck_assert_str_eq(c.token, TOKEN);
	ck_assert_int_eq(c.expires_s, 7258032000);

	/* no shell: neither pipes nor variables */
	put_process("echo {} | cat $HOME/answer");
	check_error(NULL, -EBADMSG, "not a JSON object");
	put_process("echo '{\"AccessKeyId\": \"X\", \"SecretAccessKey\": 7}'");
	check_error(NULL, -EBADMSG, "no text SecretAccessKey");
	put_process("echo '{\"AccessKeyId\": \"X\", \"SecretAccessKey\": \"" SECRET
		    "\", \"Expiration\": \"2001-01-01T00:00:00Z\"}'");
	check_error(NULL, -EKEYEXPIRED, "ended already");
	put_process("echo '{\"AccessKeyId\": \"X\", \"SecretAccessKey\": \"" SECRET
		    "\", \"Expiration\": \"tomorrow\"}'");
	check_error(NULL, -EBADMSG, "Expiration");
	/* an end or a token that cannot be read is not none */
	put_process("echo '{\"AccessKeyId\": \"X\", \"SecretAccessKey\": \"" SECRET
		    "\", \"Expiration\": 7258032000}'");
	check_error(NULL, -EBADMSG, "no text Expiration");
	put_process("echo '{\"AccessKeyId\": \"X\", \"SecretAccessKey\": \"" SECRET
		    "\", \"SessionToken\": [\"" TOKEN "\"]}'");
	check_error(NULL, -EBADMSG, "no text SessionToken");
	put_process("false " SECRET);
	check_error(NULL, -EIO, "exit code 1");
	put_process("/nonexistent/program " SECRET);
	check_error(NULL, -ENOEXEC, "/nonexistent/program");
	put_process("sh -c 'kill -9 $$'");
	check_error(NULL, -EIO, "signal 9");
	put_process("sh -c 'echo " SECRET "; yes'");
	check_error(NULL, -EFBIG, "prints more");
	put_process("echo 'a");
	check_error(NULL, -EINVAL, "no command");
	put_process("echo a\\");
	check_error(NULL, -EINVAL, "no command");
}
END_TEST

START_TEST(words)
{
	struct f3_credentials c;
	struct f3_err err;

	/* blanks at the ends, empty words, quotes in words */
	put_file("prog", 0700,
		 "#!/bin/sh\n[ $# = 5 ] && [ \"$1$2$3$4$5\" = \"a bx\\\\y'z\\\" q\" ] || exit 3\n"
		 "read x && exit 4\n"
		 "echo \"{\\\"AccessKeyId\\\": \\\"W\\\", \\\"SecretAccessKey\\\": \\\"" SECRET
		 "\\\"}\"\n");
	put_process("  ~/prog a\\ b '' \"x\\y\" \"'z\\\"\" ' q' ");
	check_error(NULL, -ENOEXEC, "~/prog");
	{
		char command[256];

		snprintf(command, sizeof(command), "  %s/prog a\\ b '' \"x\\\\y\" \"'z\\\"\" ' q' ",
			 home);
		put_process(command);
	}
	ck_assert_msg(get(NULL, &c, &err) == 0, "%s", err.text);
	ck_assert_str_eq(c.access_key, "W");
}
END_TEST

/* ---- Times ----------------------------------------------------------------------------------- */

START_TEST(times)
{
	static const char *const bad[] = {
		"",
		"2026",
		"2026-01-31",
		"2026-01-31T12:00:00",
		"2026-13-31T12:00:00Z",
		"2026-01-31T24:00:00Z",
		"2026-01-31T12:00:00ZZ",
		"2026-01-31T12:00:00.Z",
		"2026-01-31T12:00:00+1",
		"2026-01-31T12:00:00+01:00x",
		"-026-01-31T12:00:00Z",
		"2026-01-31 12:00:00Z",
	};
	int64_t s;

	ck_assert_int_eq(f3_cred_parse_time("2015-08-30T12:36:00Z", &s), 0);
	ck_assert_int_eq(s, 1440938160);
	ck_assert_int_eq(f3_cred_parse_time("2015-08-30T12:36:00.123456Z", &s), 0);
	ck_assert_int_eq(s, 1440938160);
	ck_assert_int_eq(f3_cred_parse_time("2015-08-30T14:36:00+02:00", &s), 0);
	ck_assert_int_eq(s, 1440938160);
	ck_assert_int_eq(f3_cred_parse_time("2015-08-30T07:06:00-0530", &s), 0);
	ck_assert_int_eq(s, 1440938160);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(f3_cred_parse_time(bad[i], &s) == -EINVAL, "%s", bad[i]);
}
END_TEST

/* ---- While it runs --------------------------------------------------------------------------- */

/* Other keys in the file are seen after some seconds of use. */
START_TEST(files_that_change)
{
	struct f3_cred_chain *chain;
	struct f3_credentials c;

	put_file(".aws/credentials", 0600, two_profiles);
	chain = chain_of(NULL);
	ck_assert_int_eq(f3_cred_get(chain, &c, NULL), 0);
	ck_assert_str_eq(c.access_key, "FILEKEY");
	put_file(".aws/credentials", 0600,
		 "[default]\naws_access_key_id = NEWKEY\naws_secret_access_key = " SECRET "\n");
	do {
		nap();
		ck_assert_int_eq(f3_cred_try(chain, &c), 0);
	} while (strcmp(c.access_key, "NEWKEY") != 0);

	/* What was good stays when the file is not any more. */
	put_file(".aws/credentials", 0600, "nonsense");
	ck_assert_int_eq(f3_cred_get(chain, &c, NULL), 0);
	f3_cred_chain_free(chain);
}
END_TEST

START_TEST(keys_that_a_store_refuses)
{
	struct f3_credentials c, other = { .access_key = "UNKNOWN" };
	struct f3_cred_chain *chain;

	put_file(".aws/credentials", 0600, two_profiles);
	chain = chain_of(NULL);
	ck_assert_int_eq(f3_cred_get(chain, &c, NULL), 0);
	put_file(".aws/credentials", 0600,
		 "[default]\naws_access_key_id = NEWKEY\naws_secret_access_key = " SECRET "\n");
	/* too soon, and keys that are not in use any more */
	f3_cred_refused(chain, &c);
	ck_assert_int_eq(f3_cred_try(chain, &c), 0);
	f3_cred_refused(chain, &other);
	ck_assert_int_eq(f3_cred_try(chain, &c), 0);
	do {
		nap();
		f3_cred_refused(chain, &c);
		ck_assert_int_eq(f3_cred_get(chain, &c, NULL), 0);
	} while (strcmp(c.access_key, "NEWKEY") != 0);
	f3_cred_chain_free(chain);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("credentials");
	TCase *tc = tcase_create("sources");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, environment);
	tcase_add_test(tc, anonymous);
	tcase_add_test(tc, nothing_anywhere);
	tcase_add_test(tc, files_and_their_order);
	tcase_add_test(tc, files_elsewhere);
	tcase_add_test(tc, nested_settings_are_passed_over);
	tcase_add_test(tc, files_open_to_others);
	tcase_add_test(tc, links_and_what_is_no_file);
	tcase_add_test(tc, files_of_somebody_else);
	if (f3_unit_forks())
		tcase_add_test(tc, files_on_a_read_only_mount);
	tcase_add_test(tc, malformed_files);
	tcase_add_test(tc, long_tokens);
	tcase_add_test(tc, region);
	tcase_add_test(tc, programs);
	tcase_add_test(tc, words);
	tcase_add_test(tc, times);
	tcase_add_test(tc, files_that_change);
	tcase_add_test(tc, keys_that_a_store_refuses);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
