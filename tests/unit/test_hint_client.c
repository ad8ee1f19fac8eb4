/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libf3hint against servers that behave as they are told: late, short, wrong, gone.
 */
#include "config.h"

#include "hints/f3hint.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#define HELLO "{\"ok\":true,\"id\":@,\"version\":1}\n"

static char path[108];
static int listener;
static pthread_t thread;
static struct f3hint *h;
static const char *answer;

/* What the server says: for each connection ("|" between them) a line for each request that comes
 * ("!": it closes instead; "-": nothing). "@" in it is the request's id. After the last one it reads on
 * without a word. */
static const char *script;

/* False: the connection is to be closed. */
static bool say(int fd, const char *line, const char *text, size_t len)
{
	const char *id = strstr(line, "\"id\":");
	char out[4096];
	size_t n = 0;

	if (len == 1 && *text == '-')
		return true;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '!')
			return false;
		if (text[i] == '@')
			n += (size_t)snprintf(out + n, sizeof(out) - n, "%llu",
					      id ? strtoull(id + 5, NULL, 10) : 0ull);
		else
			out[n++] = text[i];
	}
	out[n++] = '\n';
	return send(fd, out, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static void *serve(void *arg)
{
	const char *at = script;
	int fd;

	(void)arg;
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		FILE *in = fdopen(dup(fd), "r");
		char line[70000];
		bool open = true;

		while (open && fgets(line, sizeof(line), in)) {
			size_t len = strcspn(at, "\n|");

			if (*at == '|' || !*at)
				continue;
			open = say(fd, line, at, len);
			at += len;
			at += *at == '\n';
		}
		at += strcspn(at, "|");
		at += *at == '|';
		fclose(in);
		close(fd);
	}
	return NULL;
}

static void start(const char *text)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	script = text;
	snprintf(path, sizeof(path), "%s/hint-client-%d",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (int)getpid());
	ck_assert_int_lt(snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path),
			 (int)sizeof(addr.sun_path));
	unlink(path);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert(!bind(listener, (struct sockaddr *)&addr, sizeof(addr)));
	ck_assert(!listen(listener, 8));
	ck_assert(!pthread_create(&thread, NULL, serve, NULL));
	h = f3hint_new(path);
	ck_assert_ptr_nonnull(h);
	f3hint_set_timeout(h, 30000);
}

static void end(void)
{
	f3hint_free(h);
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	unlink(path);
}

START_TEST(asks)
{
	start(HELLO "{\"ok\":true,\"id\":@,\"a\":1}\n"
		    "{\"ok\":false,\"id\":@,\"error\":\"EDQUOT\",\"message\":\"so it is\"}\n"
		    "{\"ok\":false,\"id\":@,\"error\":\"ENEW\"}\n");
	ck_assert_int_eq(f3hint_fd(h), -1);
	ck_assert_int_eq(f3hint_ask(h, "{\"op\":\"x\",\"id\":\"mine\"}", &answer), 0);
	ck_assert_ptr_nonnull(strstr(answer, "\"a\":1"));
	ck_assert_str_eq(f3hint_reason(h), "");
	ck_assert_int_ge(f3hint_fd(h), 0);
	ck_assert_int_eq(f3hint_ask(h, "{}", &answer), -EDQUOT);
	ck_assert_ptr_nonnull(strstr(answer, "EDQUOT"));
	ck_assert_str_eq(f3hint_reason(h), "so it is");
	ck_assert_int_eq(f3hint_ask(h, "{}", NULL), -EIO);
	ck_assert_str_eq(f3hint_reason(h), "ENEW");
	end();
}
END_TEST

START_TEST(no_requests)
{
	static char text[70000];

	start("");
	ck_assert_int_eq(f3hint_ask(h, "", NULL), -EBADMSG);
	ck_assert_int_eq(f3hint_ask(h, "[]", NULL), -EBADMSG);
	ck_assert_int_eq(f3hint_ask(h, "{\"a\":1,\"a\":2}", NULL), -EBADMSG);
	memset(text, ' ', sizeof(text) - 1);
	ck_assert_int_eq(f3hint_ask(h, text, NULL), -EMSGSIZE);
	ck_assert_int_eq(f3hint_send(h, "{", &(uint64_t){ 0 }), -EBADMSG);
	ck_assert_int_eq(f3hint_fd(h), -1);
	ck_assert_int_eq(f3hint_receive(h, -1, &(uint64_t){ 0 }, NULL), -ENOMSG);
	end();
}
END_TEST

START_TEST(nobody_there)
{
	struct f3hint *none = f3hint_new("/nonexistent/hint.sock");

	ck_assert_int_eq(f3hint_connect(none), -ENOENT);
	ck_assert_ptr_nonnull(strstr(f3hint_reason(none), "/nonexistent/hint.sock"));
	f3hint_free(none);
	f3hint_free(NULL);
}
END_TEST

START_TEST(wrong_version)
{
	start("{\"ok\":true,\"id\":@,\"version\":2}\n|garbage\n|[]\n|{\"id\":@}\n|"
	      "{\"ok\":false,\"error\":\"EACCES\",\"message\":\"not for you\"}\n");
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(f3hint_connect(h), -EPROTO);
	ck_assert_int_eq(f3hint_connect(h), -EACCES);
	ck_assert_str_eq(f3hint_reason(h), "not for you");
	end();
}
END_TEST

/* The successor answers what the first one did not. */
START_TEST(asks_again)
{
	start(HELLO "!|" HELLO "{\"ok\":true,\"id\":@,\"second\":1}\n!|" HELLO "!|" HELLO "!|");
	ck_assert_int_eq(f3hint_ask(h, "{}", &answer), 0);
	ck_assert_ptr_nonnull(strstr(answer, "second"));
	/* once */
	ck_assert_int_eq(f3hint_ask(h, "{}", &answer), -ECONNRESET);
	end();
}
END_TEST

START_TEST(late)
{
	uint64_t id, got;

	start(HELLO "-\n{\"ok\":true,\"id\":1}\n{\"ok\":true,\"id\":@,\"right\":1}\n");
	ck_assert_int_eq(f3hint_connect(h), 0);
	f3hint_set_timeout(h, 50);
	ck_assert_int_eq(f3hint_ask(h, "{}", NULL), -ETIMEDOUT);
	/* an answer that nobody waits for any more is nobody's */
	f3hint_set_timeout(h, 30000);
	ck_assert_int_eq(f3hint_send(h, "{}", &id), 0);
	ck_assert_int_eq(f3hint_receive(h, 50, &got, NULL), -ETIMEDOUT);
	ck_assert_uint_eq(f3hint_pending(h), 1);
	ck_assert_int_eq(f3hint_ask(h, "{}", &answer), 0);
	ck_assert_ptr_nonnull(strstr(answer, "right"));
	end();
}
END_TEST

START_TEST(pipelines)
{
	uint64_t ids[3], id;

	start(HELLO "-\n-\n{\"ok\":true,\"id\":@,\"last\":1}\n!|" HELLO "{\"ok\":true,\"id\":@}\n");
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(f3hint_send(h, "{}", &ids[i]), 0);
	ck_assert_uint_eq(f3hint_pending(h), 3);
	ck_assert_int_eq(f3hint_receive(h, -1, &id, &answer), 0);
	ck_assert_uint_eq(id, ids[2]);
	ck_assert_ptr_nonnull(strstr(answer, "last"));
	/* its end: those that are pending are lost, each */
	ck_assert_int_eq(f3hint_send(h, "{}", &id), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(f3hint_receive(h, -1, &id, &answer), -ECONNRESET);
		ck_assert_uint_eq(id, ids[i]);
	}
	ck_assert_int_eq(f3hint_receive(h, 0, &id, &answer), -ECONNRESET);
	ck_assert_int_eq(f3hint_receive(h, -1, &id, &answer), -ENOMSG);
	/* and the next goes to who is there now */
	ck_assert_int_eq(f3hint_send(h, "{}", &id), 0);
	ck_assert_int_eq(f3hint_receive(h, -1, &ids[0], &answer), 0);
	ck_assert_uint_eq(id, ids[0]);
	end();
}
END_TEST

START_TEST(as_many_as_may_be)
{
	uint64_t id;

	start(HELLO);
	for (unsigned i = 0; i < F3HINT_PENDING_MAX; i++)
		ck_assert_int_eq(f3hint_send(h, "{}", &id), 0);
	ck_assert_int_eq(f3hint_send(h, "{}", &id), -EAGAIN);
	ck_assert_uint_eq(f3hint_pending(h), F3HINT_PENDING_MAX);
	end();
}
END_TEST

START_TEST(arguments)
{
	static const char *const bad[] = { "/a\x80" };

	start(HELLO "{\"ok\":true,\"id\":@}\n{\"ok\":true,\"id\":@}\n{\"ok\":true,\"id\":@}\n"
		    "{\"ok\":true,\"id\":@}\n");
	ck_assert_int_eq(f3hint_bind(h, "v\x80", "n", "v", "/", "ro", NULL, 0, NULL), -EINVAL);
	ck_assert_int_eq(f3hint_bind(h, "v", "n", "v", "/", "ro", "c\x80", 1, NULL), -EINVAL);
	ck_assert_int_eq(f3hint_unbind(h, "v\x80", NULL), -EINVAL);
	ck_assert_int_eq(f3hint_bind(h, "v", "n", "v", "/", "ro", NULL, 1, &answer), 0);
	ck_assert_int_eq(f3hint_unbind(h, "v", NULL), 0);
	ck_assert_int_eq(f3hint_locate(h, "v", bad, 1, NULL), -EINVAL);
	ck_assert_int_eq(f3hint_locate(h, "v\x80", NULL, 0, NULL), -EINVAL);
	ck_assert_int_eq(f3hint_locate(h, "v", NULL, 0, &answer), 0);
	ck_assert_int_eq(f3hint_prefetch(h, "v", (const char *const[]){ "/a" }, 1, &answer), 0);
	ck_assert_str_eq(f3hint_version(), PACKAGE_VERSION);
	end();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hint_client");
	TCase *c = tcase_create("client");

	tcase_set_timeout(c, 120);
	tcase_add_test(c, asks);
	tcase_add_test(c, no_requests);
	tcase_add_test(c, nobody_there);
	tcase_add_test(c, wrong_version);
	tcase_add_test(c, asks_again);
	tcase_add_test(c, late);
	tcase_add_test(c, pipelines);
	tcase_add_test(c, as_many_as_may_be);
	tcase_add_test(c, arguments);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
