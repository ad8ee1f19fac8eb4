/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/crc32c.h"
#include "tests/unit/net_unit.h"

#define BODY_BYTES (3 * MIB)

extern char **environ;

static char dir[PATH_MAX], ca_file[PATH_MAX + 16];
static pid_t server_pid;
static FILE *server_out; /* it goes on writing there */
static uint32_t body_crc;

/* ---- openssl(1) makes the keys, and is the server -------------------------------------------- */

/* In the test's directory. ret_out: where its output can be read, or NULL. */
static pid_t spawn(char *const argv[], int *ret_out)
{
	posix_spawn_file_actions_t actions;
	int out[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addchdir_np(&actions, dir);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ))
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	close(out[1]);
	if (ret_out)
		*ret_out = out[0];
	else
		close(out[0]);
	return pid;
}

static bool run(char *const argv[])
{
	pid_t pid = spawn(argv, NULL);
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void write_file(const char *name, const void *bytes, size_t len)
{
	char path[PATH_MAX + 16];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

#define NEW_KEY "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"

/* An authority of this name: NAME.pem, NAME.key. */
static bool make_ca(char *subject, char *cert, char *key)
{
	char *const argv[] = { "openssl", "req",   "-x509", NEW_KEY, "-keyout", key, "-out",
			       cert,      "-subj", subject, "-days", "2",       NULL };

	return run(argv);
}

/* The server's: ca.pem vouches for its names. */
static bool make_server(const char *names)
{
	char *const ask[] = { "openssl", "req",        NEW_KEY, "-keyout",    "server.key",
			      "-out",    "server.csr", "-subj", "/CN=server", NULL };
	char *const sign[] = { "openssl", "x509",       "-req",   "-in",    "server.csr",
			       "-CA",     "ca.pem",     "-CAkey", "ca.key", "-CAcreateserial",
			       "-out",    "server.pem", "-days",  "2",      "-extfile",
			       "names",   NULL };

	write_file("names", names, strlen(names));
	return run(ask) && run(sign);
}

/* Answers GET with files of the directory. */
static void start_server(void)
{
	char *const argv[] = { "openssl",    "s_server", "-accept",    "127.0.0.1:0", "-cert",
			       "server.pem", "-key",     "server.key", "-WWW",        NULL };
	char line[256];
	unsigned port = 0;
	int fd;

	server_pid = spawn(argv, &fd);
	ck_assert_int_gt(server_pid, 0);
	server_out = fdopen(fd, "r");
	ck_assert_ptr_nonnull(server_out);
	while (!port && fgets(line, sizeof(line), server_out))
		if (!strncmp(line, "ACCEPT ", 7))
			port = (unsigned)strtoul(strrchr(line, ':') + 1, NULL, 10);
	ck_assert_uint_ne(port, 0);
	snprintf(server.url, sizeof(server.url), "https://127.0.0.1:%u", port);
}

static bool have_openssl(void)
{
	char *const argv[] = { "openssl", "version", NULL };

	if (run(argv))
		return true;
	printf("skipped: there is no openssl\n");
	return false;
}

/* False: skipped. */
static bool prepare(const char *names)
{
	uint8_t *body = malloc(BODY_BYTES);

	if (!have_openssl()) {
		free(body);
		return false;
	}
	for (size_t i = 0; i < BODY_BYTES; i++)
		body[i] = (uint8_t)(i * 2654435761u >> 11);
	body_crc = f3_crc32c(0, body, BODY_BYTES);
	write_file("body", body, BODY_BYTES);
	free(body);
	ck_assert(make_ca("/CN=ca", "ca.pem", "ca.key"));
	ck_assert(make_ca("/CN=other", "other.pem", "other.key"));
	ck_assert(make_server(names));
	start_server();
	return true;
}

static void set_up_tls(void)
{
	const char *tmp = getenv("TMPDIR");

	setup();
	server_pid = 0;
	snprintf(dir, sizeof(dir), "%s/f3-tls-XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void tear_down_tls(void)
{
	char *const argv[] = { "rm", "-rf", dir, NULL };

	teardown();
	if (server_pid > 0) {
		kill(server_pid, SIGKILL);
		waitpid(server_pid, NULL, 0);
		fclose(server_out);
	}
	run(argv);
}

static void open_with(const char *ca)
{
	snprintf(ca_file, sizeof(ca_file), "%s/%s", dir, ca);
	opt.ca_file = ca_file;
	open_http();
}

START_TEST(own_authority)
{
	uint8_t *into = malloc(BODY_BYTES);

	if (prepare("subjectAltName=IP:127.0.0.1\n")) {
		open_with("ca.pem");
		for (int i = 0; i < 3; i++) {
			ask_for(&req, "GET", "/body");
			req.into = into;
			req.into_bytes = BODY_BYTES;
			ck_ran(0);
			ck_assert_uint_eq(req.status, 200);
			ck_assert_uint_eq(req.received, BODY_BYTES);
			ck_assert_uint_eq(f3_crc32c(0, into, BODY_BYTES), body_crc);
		}
	}
	free(into);
}
END_TEST

static void refused_with(const char *ca)
{
	if (ca)
		open_with(ca);
	else
		open_http();
	ask_for(&req, "PUT", "/body?secret");
	ck_ran(-EPROTO);
	ck_assert(!req.sent);
	ck_assert_ptr_nonnull(strstr(req.message, "PUT 127.0.0.1:"));
	ck_assert_ptr_null(strstr(req.message, "secret"));
	f3_http_close(http);
	http = NULL;
}

START_TEST(another_authority)
{
	if (!prepare("subjectAltName=IP:127.0.0.1\n"))
		return;
	refused_with("other.pem");
	ck_assert_ptr_nonnull(strstr(req.message, "certificate"));
	opt.ca_file = NULL;
	refused_with(NULL);
	refused_with("not-there.pem");
}
END_TEST

START_TEST(another_name)
{
	if (!prepare("subjectAltName=DNS:elsewhere.example\n"))
		return;
	refused_with("ca.pem");
}
END_TEST

static void speak_plainly(struct net_conn *c)
{
	net_answer(c, 400, "");
	net_await_close(c);
}

START_TEST(server_without_tls)
{
	start(speak_plainly);
	snprintf(server.url, sizeof(server.url), "https://127.0.0.1:%u", server.port);
	ask_for(&req, "PUT", "/");
	ck_ran(-EPROTO);
	ck_assert(!req.sent);
}
END_TEST

static void say_nothing(struct net_conn *c)
{
	net_hold(c);
}

START_TEST(server_that_does_not_shake_hands)
{
	opt.connect_ns = 300000000;
	start(say_nothing);
	snprintf(server.url, sizeof(server.url), "https://127.0.0.1:%u", server.port);
	ask_for(&req, "PUT", "/");
	ck_ran(-ETIMEDOUT);
	ck_assert(!req.sent);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("net http tls");
	TCase *t = tcase_create("tls");

	tcase_add_checked_fixture(t, set_up_tls, tear_down_tls);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, own_authority);
	tcase_add_test(t, another_authority);
	tcase_add_test(t, another_name);
	suite_add_tcase(s, t);

	t = tcase_create("no tls");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, server_without_tls);
	tcase_add_test(t, server_that_does_not_shake_hands);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
