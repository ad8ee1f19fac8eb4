/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/crc32c.h"
#include "tests/unit/net_unit.h"

/* A file with bytes that are not all the same, already removed. */
static int make_file(size_t len, uint32_t *ret_crc)
{
	int fd = memfd_create("body", MFD_CLOEXEC);
	uint8_t *bytes = malloc(len);

	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	*ret_crc = f3_crc32c(0, bytes, len);
	free(bytes);
	return fd;
}

/* ---- Answers --------------------------------------------------------------------------------- */

START_TEST(connection_is_kept)
{
	char path[32];

	start(net_say_path);
	for (int i = 0; i < 20; i++) {
		snprintf(path, sizeof(path), "/%d", i);
		ck_assert_int_eq(ask("GET", path), 0);
		ck_assert_uint_eq(req.status, 200);
		ck_assert(req.sent);
		ck_assert_uint_eq(req.received, text.len);
		ck_assert_uint_ne(req.start_mono_ns, 0);
		ck_assert_uint_ne(req.first_byte_ns, 0);
		ck_text(path);
	}
	ck_assert_uint_eq(net_connections(&server), 1);
	ck_assert_uint_eq(f3_http_running(http), 0);
	ck_assert_uint_eq(f3_http_waiting(http), 0);
}
END_TEST

START_TEST(url_is_sent_as_it_is)
{
	static const char path[] = "/a/../b%2fc/./d//e%2F?x=%2a+y&z";

	start(net_say_path);
	ck_assert_int_eq(ask("GET", path), 0);
	ck_text(path);
}
END_TEST

static char seen[512];

static void note_header(struct f3_http_req *r, const char *name, const char *value)
{
	size_t len = strlen(seen);

	(void)r;
	snprintf(seen + len, sizeof(seen) - len, "%s=%s;", name, value);
}

static void many_headers(struct net_conn *c)
{
	char line[9000];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = 0;
	while (net_next(c)) {
		net_send(c, "HTTP/1.1 100 Continue\r\nNot-Final: 1\r\n\r\n");
		net_send(c, "HTTP/1.1 206 Partial\r\nETag: \"Ab\"\r\nX-AMZ-Meta-A:  b c \r\n");
		net_send(c, "Empty:\r\nLong: ");
		net_send_bytes(c, line, sizeof(line) - 1);
		net_send(c, "\r\nHTTP/2: no status\r\nTransfer-Encoding: chunked\r\n\r\n");
		net_send(c, "3\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n");
	}
}

START_TEST(headers_of_the_final_answer)
{
	start(many_headers);
	for (int i = 0; i < 2; i++) {
		seen[0] = 0;
		ask_for(&req, "GET", "/");
		req.text = &text;
		req.header = note_header;
		ck_ran(0);
		ck_assert_uint_eq(req.status, 206);
		ck_assert_str_eq(seen, "etag=\"Ab\";x-amz-meta-a=b c;empty=;"
				       "http/2=no status;transfer-encoding=chunked;");
		ck_text("abc");
	}
}
END_TEST

static void redirect(struct net_conn *c)
{
	while (net_next(c)) {
		net_body(c, UINT64_MAX);
		net_send(c, "HTTP/1.1 307 There\r\nLocation: /there\r\nSet-Cookie: a=b\r\n"
			    "Content-Length: 0\r\n\r\n");
		ck_assert_ptr_null(net_header(c, "Cookie"));
		ck_assert_ptr_null(net_header(c, "Accept-Encoding"));
		ck_assert_str_eq(net_header(c, "User-Agent"), "f3/" PACKAGE_VERSION);
	}
}

START_TEST(nothing_is_followed_or_remembered)
{
	start(redirect);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(ask("GET", "/"), 0);
		ck_assert_uint_eq(req.status, 307);
	}
	ck_assert_uint_eq(net_requests(&server), 3);
}
END_TEST

/* Answers with as many bytes as the path says, in one of three ways. */
static void give_bytes(struct net_conn *c)
{
	static char bytes[3 * MIB];

	while (net_next(c)) {
		size_t len = strtoul(c->path + 2, NULL, 10);

		if (c->path[1] == 'l') {
			net_send(c, "HTTP/1.1 206 P\r\nContent-Length: %zu\r\n\r\n", len);
			net_send_bytes(c, bytes, len);
		} else if (c->path[1] == 'c') {
			net_send(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
			net_send(c, "1\r\nx\r\n%zx\r\n", len - 1);
			net_send_bytes(c, bytes, len - 1);
			net_send(c, "\r\n0\r\n\r\n");
		} else {
			net_send(c, "HTTP/1.0 200 OK\r\n\r\n");
			net_send_bytes(c, bytes, len);
			return;
		}
	}
}

START_TEST(bodies_come_into_memory)
{
	static const char *const paths[] = { "/l3145728", "/c3145728", "/z3145728" };
	char *into = malloc(3 * MIB);

	start(give_bytes);
	for (int i = 0; i < 3; i++) {
		ask_for(&req, "GET", paths[i]);
		memset(into, 'y', 3 * MIB);
		req.into = into;
		req.into_bytes = 3 * MIB;
		ck_ran(0);
		ck_assert_uint_eq(req.received, 3 * MIB);
		ck_assert_int_eq(into[0], i == 1 ? 'x' : 0);
		ck_assert_int_eq(into[3 * MIB - 1], 0);
	}
	free(into);
}
END_TEST

START_TEST(more_than_was_asked_for)
{
	static const char *const paths[] = { "/l1001", "/c1001", "/z1001" };
	char into[1001];

	start(give_bytes);
	for (int i = 0; i < 3; i++) {
		ask_for(&req, "GET", paths[i]);
		memset(into, 'y', sizeof(into));
		req.into = into;
		req.into_bytes = 1000;
		ck_ran(-EFBIG);
		ck_assert_int_eq(into[1000], 'y');
		ck_assert_uint_ge(req.status, 200);
		/* Text of a success is wanted whole. */
		f3_buf_done(&text);
		f3_buf_init(&text, 1000);
		ck_assert_int_eq(ask("GET", paths[i]), -EFBIG);
	}
}
END_TEST

/* Answers with the status of the path, and more text than anybody wants. */
static void refuse(struct net_conn *c)
{
	static char bytes[4 * MIB];

	while (net_next(c)) {
		net_send(c, "HTTP/1.1 %s No\r\nContent-Length: %zu\r\n\r\n", c->path + 1,
			 sizeof(bytes));
		net_send_bytes(c, bytes, sizeof(bytes));
	}
}

START_TEST(text_of_refusals_is_bounded)
{
	char into[10] = "untouched";

	start(refuse);
	f3_buf_done(&text);
	f3_buf_init(&text, 1000);
	ask_for(&req, "GET", "/404");
	req.text = &text;
	req.into = into;
	req.into_bytes = sizeof(into);
	ck_ran(0);
	ck_assert_uint_eq(req.status, 404);
	ck_assert_uint_eq(text.len, 1000);
	ck_assert_uint_eq(req.received, 0);
	ck_assert_str_eq(into, "untouched");

	ask_for(&req, "GET", "/500");
	ck_ran(0);
	ck_assert_uint_eq(req.status, 500);
}
END_TEST

static void half_an_answer(struct net_conn *c)
{
	if (!net_next(c))
		return;
	if (!strcmp(c->path, "/length"))
		net_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
	else if (!strcmp(c->path, "/chunk"))
		net_send(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc");
	else if (!strcmp(c->path, "/between"))
		net_send(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	else if (!strcmp(c->path, "/nonsense"))
		net_send(c, "220 mail.example ESMTP\r\n");
	else if (!strcmp(c->path, "/number"))
		net_send(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc");
}

START_TEST(half_an_answer_is_none)
{
	static const char *const paths[] = { "/length", "/chunk", "/between", "/nonsense" };

	start(half_an_answer);
	for (int i = 0; i < 4; i++) {
		ck_assert_msg(ask("GET", paths[i]) == -EIO, "%d %s", req.result, req.message);
		ck_assert_ptr_nonnull(strstr(req.message, paths[i]));
		ck_assert(req.sent);
	}
	/* To curl that is an error of receiving. */
	ck_assert_int_lt(ask("GET", "/number"), 0);
	ck_assert_int_eq(ask("GET", "/nothing"), -ECONNRESET);
}
END_TEST

START_TEST(head_has_no_body)
{
	start(give_bytes);
	/* What the server sends nevertheless is no answer to what comes next. */
	ck_assert_int_eq(ask("HEAD", "/l0"), 0);
	ck_assert_uint_eq(req.status, 206);
	ck_assert_uint_eq(text.len, 0);
	ck_assert_int_eq(ask("GET", "/l5"), 0);
	ck_assert_uint_eq(text.len, 5);
}
END_TEST

/* ---- Bodies that are sent -------------------------------------------------------------------- */

static atomic_ullong body_came;

/* Answers with the method, the body's length and CRC32C, and whether it was asked first. */
static void take_body(struct net_conn *c)
{
	char answer[128];

	while (net_next(c)) {
		bool asked = net_header(c, "Expect") != NULL;
		uint64_t came;

		if (asked)
			net_send(c, "HTTP/1.1 100 Continue\r\n\r\n");
		came = net_body(c, UINT64_MAX);
		atomic_store(&body_came, came);
		if (came < c->body_bytes)
			return;
		snprintf(answer, sizeof(answer), "%s %s %08x%s", c->method,
			 net_header(c, "Content-Length") ? net_header(c, "Content-Length") : "-",
			 c->crc32c, asked ? " asked" : "");
		net_answer(c, 200, answer);
	}
}

START_TEST(bodies_from_memory_and_file)
{
	char want[64];
	uint32_t crc;
	int fd = make_file(5 * MIB, &crc);

	start(take_body);
	ask_for(&req, "PUT", "/");
	req.text = &text;
	req.has_body = true;
	req.body = "123456789";
	req.body_bytes = 9;
	ck_ran(0);
	ck_text("PUT 9 e3069283");
	ck_assert_uint_eq(req.crc32c, 0xe3069283);

	for (int i = 0; i < 2; i++) {
		ask_for(&req, i ? "POST" : "PUT", "/");
		req.text = &text;
		req.has_body = true;
		req.fd = fd;
		req.body_bytes = 5 * MIB;
		req.check_crc = true;
		req.want_crc32c = crc;
		ck_ran(0);
		ck_assert_uint_eq(req.crc32c, crc);
		snprintf(want, sizeof(want), "%s 5242880 %08x asked", req.method, crc);
		ck_text(want);
	}

	ask_for(&req, "PUT", "/");
	req.text = &text;
	req.has_body = true;
	req.fd = fd;
	req.fd_off = 5 * MIB - 1000;
	req.body_bytes = 1000;
	ck_ran(0);
	snprintf(want, sizeof(want), "PUT 1000 %08x", req.crc32c);
	ck_text(want);
	ck_assert_uint_eq(net_connections(&server), 1);
	close(fd);
}
END_TEST

START_TEST(no_body_and_an_empty_one)
{
	static const struct {
		const char *method;
		bool has_body;
		const char *answer;
	} t[] = {
		{ "PUT", true, "PUT 0 00000000" },        { "POST", true, "POST 0 00000000" },
		{ "PUT", false, "PUT 0 00000000" },       { "POST", false, "POST 0 00000000" },
		{ "DELETE", false, "DELETE - 00000000" }, { "GET", false, "GET - 00000000" },
	};

	start(take_body);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		ask_for(&req, t[i].method, "/");
		req.text = &text;
		req.has_body = t[i].has_body;
		ck_ran(0);
		ck_text(t[i].answer);
	}
	ck_assert_uint_eq(net_connections(&server), 1);
}
END_TEST

START_TEST(body_of_a_file_that_is_too_short)
{
	uint32_t crc;
	int fd = make_file(2 * MIB, &crc);

	start(take_body);
	ask_for(&req, "PUT", "/");
	req.has_body = true;
	req.fd = fd;
	req.body_bytes = 2 * MIB + 1;
	ck_ran(-ENODATA);
	ck_assert_uint_eq(req.status, 0);
	close(fd);
}
END_TEST

START_TEST(body_that_changed_is_not_accepted)
{
	static const size_t sizes[] = { 3 * MIB, 1000, 512u << 10, 1 };
	uint32_t crc;

	start(take_body);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd = make_file(sizes[i], &crc);

		ask_for(&req, "PUT", "/");
		req.has_body = true;
		req.fd = fd;
		req.body_bytes = sizes[i];
		req.check_crc = true;
		req.want_crc32c = crc ^ 1;
		ck_ran(-EBADMSG);
		ck_assert_uint_eq(req.status, 0);
		close(fd);
	}
	ask_for(&req, "PUT", "/");
	req.has_body = true;
	req.check_crc = true;
	req.want_crc32c = 1;
	ck_ran(-EBADMSG);
	ck_assert(!req.sent);
	/* The server's threads have ended, and none has seen a whole body. */
	f3_http_close(http);
	http = NULL;
	net_stop(&server);
	server.fd = -1;
	ck_assert_uint_lt(atomic_load(&body_came), 3 * MIB);
}
END_TEST

static void refuse_unread(struct net_conn *c)
{
	if (net_next(c))
		net_answer(c, 503, "slow down");
	net_await_close(c);
}

START_TEST(refusal_comes_before_the_body)
{
	uint32_t crc;
	int fd = make_file(2 * MIB, &crc);

	start(refuse_unread);
	ask_for(&req, "PUT", "/");
	req.text = &text;
	req.has_body = true;
	req.fd = fd;
	req.body_bytes = 2 * MIB;
	ck_ran(0);
	ck_assert_uint_eq(req.status, 503);
	ck_assert_uint_eq(req.crc32c, 0);
	ck_text("slow down");
	close(fd);
}
END_TEST

static void expects_nothing(struct net_conn *c)
{
	while (net_next(c)) {
		if (net_header(c, "Expect")) {
			net_send(c, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
			continue;
		}
		ck_assert_uint_eq(net_body(c, UINT64_MAX), 2 * MIB);
		net_answer(c, 200, "");
	}
}

START_TEST(server_that_cannot_be_asked_first)
{
	uint32_t crc;
	int fd = make_file(2 * MIB, &crc);

	start(expects_nothing);
	ask_for(&req, "PUT", "/");
	req.has_body = true;
	req.fd = fd;
	req.body_bytes = 2 * MIB;
	ck_ran(0);
	ck_assert_uint_eq(req.status, 200);
	ck_assert_uint_eq(req.crc32c, crc);
	ck_assert_uint_eq(net_requests(&server), 2);
	close(fd);
}
END_TEST

/* ---- Never twice ----------------------------------------------------------------------------- */

static bool with_reset;

/* The first connection breaks after its second request was read. */
static void break_second(struct net_conn *c)
{
	while (net_next(c)) {
		net_body(c, UINT64_MAX);
		if (c->number == 1 && c->requests == 2) {
			if (with_reset)
				net_reset(c);
			return;
		}
		net_answer(c, 200, "");
	}
}

START_TEST(changes_are_never_repeated)
{
	static const char *const methods[] = { "DELETE", "POST", "PUT", "PATCH" };

	for (int i = 0; i < 16; i++) {
		with_reset = i & 1;
		start(break_second);
		ck_assert_int_eq(ask("GET", "/"), 0);
		ask_for(&req, methods[i / 4], "/");
		req.has_body = i & 2;
		req.body = "123456789";
		req.body_bytes = 9;
		ck_ran(-ECONNRESET);
		ck_assert(req.sent);
		ck_assert_uint_eq(req.status, 0);
		f3_http_close(http);
		http = NULL;
		ck_assert_uint_eq(net_requests(&server), 2);
		net_stop(&server);
		server.fd = -1;
	}
}
END_TEST

START_TEST(reading_may_be_repeated)
{
	for (int i = 0; i < 2; i++) {
		with_reset = i & 1;
		start(break_second);
		ck_assert_int_eq(ask("GET", "/"), 0);
		ck_assert_int_eq(ask(i ? "HEAD" : "GET", "/"), 0);
		ck_assert_uint_eq(req.status, 200);
		ck_assert_uint_eq(net_requests(&server), 3);
		f3_http_close(http);
		http = NULL;
		net_stop(&server);
		server.fd = -1;
	}
}
END_TEST

/* ---- What does not begin --------------------------------------------------------------------- */

START_TEST(what_would_not_be_http_is_refused)
{
	static const char *const bad[] = {
		"A: b\r\nC: d",
		"A: b\nC: d",
		"A: b\rC",
		"no colon",
		": no name",
		"A b: c",
		"Content-Length: 1",
		"A:",
		"transfer-encoding: chunked",
		"A:  ",
		"Expect: 100-continue",
		"\x80: b",
	};
	const char *headers[F3_HTTP_HEADERS_MAX + 1];

	start(net_say_path);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ask_for(&req, "GET", "/");
		req.headers = &bad[i];
		req.n_headers = 1;
		ck_ran(-EINVAL);
		ck_assert(!req.sent);
		ck_assert_ptr_null(strstr(req.message, "chunked"));
	}
	for (size_t i = 0; i < F3_HTTP_HEADERS_MAX + 1; i++)
		headers[i] = "A: b";
	ask_for(&req, "GET", "/");
	req.headers = headers;
	req.n_headers = F3_HTTP_HEADERS_MAX + 1;
	ck_ran(-EINVAL);
	req.n_headers = F3_HTTP_HEADERS_MAX;
	ck_ran(0);
	ck_assert_int_eq(ask("GE T", "/"), -EINVAL);
	ck_assert_int_eq(ask("", "/"), -EINVAL);
	ck_assert_int_eq(ask("GET", "/a b"), -EINVAL);
	ck_assert_int_eq(ask("GET", "/a\r\nX: y"), -EINVAL);
	ck_assert_int_eq(ask("GET", "/a#b"), -EINVAL);
	ask_for(&req, "GET", "/");
	req.url = "file:///etc/passwd";
	ck_ran(-EINVAL);
	ck_assert_uint_eq(net_requests(&server), 1);
}
END_TEST

static void say_header(struct net_conn *c)
{
	while (net_next(c))
		net_answer(c, 200, net_header(c, "X-Test"));
}

START_TEST(headers_are_sent)
{
	static const char *const headers[] = { "A: b", "X-Test: one, \"two\"; three" };

	start(say_header);
	ask_for(&req, "GET", "/");
	req.text = &text;
	req.headers = headers;
	req.n_headers = 2;
	ck_ran(0);
	ck_text("one, \"two\"; three");
}
END_TEST

START_TEST(nobody_listens)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* Bound and not listening: nobody else gets the port. */
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	snprintf(server.url, sizeof(server.url), "http://u:pass@127.0.0.1:%u",
		 ntohs(addr.sin_port));
	open_http();
	ck_assert_int_eq(ask("PUT", "/bucket/key?X-Amz-Signature=secret"), -ECONNREFUSED);
	ck_assert(!req.sent);
	ck_assert_ptr_nonnull(strstr(req.message, "127.0.0.1:"));
	ck_assert_ptr_nonnull(strstr(req.message, "/bucket/key: "));
	ck_assert_ptr_null(strstr(req.message, "secret"));
	ck_assert_ptr_null(strstr(req.message, "pass"));
	close(fd);
}
END_TEST

START_TEST(nobody_has_this_name)
{
	/* However long the resolver takes. */
	opt.connect_ns = 200 * F3_NS_PER_SEC;
	open_http();
	snprintf(server.url, sizeof(server.url), "http://f3-test.invalid");
	ck_assert_int_eq(ask("PUT", "/"), -EHOSTUNREACH);
	ck_assert(!req.sent);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("net http");
	TCase *t = tcase_create("answers");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, connection_is_kept);
	tcase_add_test(t, url_is_sent_as_it_is);
	tcase_add_test(t, headers_of_the_final_answer);
	tcase_add_test(t, nothing_is_followed_or_remembered);
	tcase_add_test(t, bodies_come_into_memory);
	tcase_add_test(t, more_than_was_asked_for);
	tcase_add_test(t, text_of_refusals_is_bounded);
	tcase_add_test(t, half_an_answer_is_none);
	tcase_add_test(t, head_has_no_body);
	suite_add_tcase(s, t);

	t = tcase_create("bodies");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, bodies_from_memory_and_file);
	tcase_add_test(t, no_body_and_an_empty_one);
	tcase_add_test(t, body_of_a_file_that_is_too_short);
	tcase_add_test(t, body_that_changed_is_not_accepted);
	tcase_add_test(t, refusal_comes_before_the_body);
	tcase_add_test(t, server_that_cannot_be_asked_first);
	suite_add_tcase(s, t);

	t = tcase_create("never twice");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, changes_are_never_repeated);
	tcase_add_test(t, reading_may_be_repeated);
	suite_add_tcase(s, t);

	t = tcase_create("not begun");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 230);
	tcase_add_test(t, what_would_not_be_http_is_refused);
	tcase_add_test(t, headers_are_sent);
	tcase_add_test(t, nobody_listens);
	tcase_add_test(t, nobody_has_this_name);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
