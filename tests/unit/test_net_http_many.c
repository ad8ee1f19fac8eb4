/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <sys/mman.h>

#include "fs/base/clock.h"
#include "tests/unit/net_unit.h"

/* ---- Several at once ------------------------------------------------------------------------- */

static void hold(struct net_conn *c)
{
	while (net_next(c)) {
		net_hold(c);
		net_answer(c, 200, c->path);
	}
}

START_TEST(so_many_at_once_and_no_more)
{
	struct f3_http_req reqs[20];

	opt.max_parallel = 8;
	start(hold);
	for (int i = 0; i < 20; i++) {
		ask_for(&reqs[i], "GET", "/");
		f3_http_submit(http, &reqs[i]);
	}
	net_await_requests(&server, 8);
	ck_assert_uint_eq(f3_http_limit(http), 8);
	ck_assert_uint_eq(f3_http_running(http), 8);
	ck_assert_uint_eq(f3_http_waiting(http), 12);
	net_release(&server, 20);
	await_done(20);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(reqs[i].result, 0);
		ck_assert_uint_eq(reqs[i].status, 200);
	}
	ck_assert_uint_eq(net_connections(&server), 8);
}
END_TEST

START_TEST(canceled)
{
	struct f3_http_req reqs[3];
	/* Whoever looks into it faults. */
	struct f3_http_req *gone =
		mmap(NULL, sizeof(*gone), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	opt.max_parallel = 1;
	start(hold);
	for (int i = 0; i < 3; i++) {
		ask_for(&reqs[i], "PUT", "/");
		f3_http_submit(http, &reqs[i]);
	}
	net_await_requests(&server, 1);
	/* One that waits; one under way, which lets the third have its turn; one nobody knows. */
	f3_http_cancel(http, &reqs[1]);
	await_done(1);
	ck_assert_int_eq(reqs[1].result, -ECANCELED);
	ck_assert(!reqs[1].sent);
	f3_http_cancel(http, &reqs[0]);
	await_done(2);
	ck_assert_int_eq(reqs[0].result, -ECANCELED);
	ck_assert(reqs[0].sent);
	f3_http_cancel(http, gone);
	munmap(gone, sizeof(*gone));
	net_await_requests(&server, 2);
	net_release(&server, 2);
	await_done(3);
	ck_assert_int_eq(reqs[2].result, 0);
}
END_TEST

START_TEST(closed_with_requests_in_it)
{
	struct f3_http_req reqs[30];
	unsigned times[30] = { 0 };

	opt.max_parallel = 4;
	start(hold);
	for (int i = 0; i < 30; i++) {
		ask_for(&reqs[i], "GET", "/");
		reqs[i].owner = &times[i];
		f3_http_submit(http, &reqs[i]);
	}
	net_await_requests(&server, 4);
	f3_http_close(http);
	http = NULL;
	for (int i = 0; i < 30; i++) {
		ck_assert_uint_eq(times[i], 1);
		ck_assert_int_eq(reqs[i].result, -ECANCELED);
	}
}
END_TEST

START_TEST(too_many_wait)
{
	unsigned n = F3_HTTP_WAITING_MAX + 11;
	struct f3_http_req *reqs = calloc(n, sizeof(*reqs));
	unsigned away = 0;

	opt.max_parallel = 1;
	start(hold);
	ask_for(&reqs[0], "GET", "/");
	f3_http_submit(http, &reqs[0]);
	net_await_requests(&server, 1);
	for (unsigned i = 1; i < n; i++) {
		ask_for(&reqs[i], "GET", "/");
		f3_http_submit(http, &reqs[i]);
	}
	await_done(10);
	ck_assert_uint_eq(f3_http_waiting(http), F3_HTTP_WAITING_MAX);
	f3_http_close(http);
	http = NULL;
	for (unsigned i = 0; i < n; i++)
		away += reqs[i].result == -EAGAIN;
	ck_assert_uint_eq(away, 10);
	ck_assert_uint_eq(n_done, n);
	free(reqs);
}
END_TEST

static unsigned left;

static void again(struct f3_http_req *r)
{
	if (left && --left)
		f3_http_submit(http, r);
	else
		count_done(r);
}

START_TEST(submitted_from_done)
{
	start(net_say_path);
	left = 100;
	ask_for(&req, "GET", "/");
	req.done = again;
	f3_http_submit(http, &req);
	await_done(1);
	ck_assert_uint_eq(net_requests(&server), 100);
	ck_assert_uint_eq(net_connections(&server), 1);
}
END_TEST

static void *ask_often(void *arg)
{
	char answer[64], mine[128], path[32];
	unsigned long wrong = 0;

	for (int i = 0; i < 40; i++) {
		struct f3_http_req r;

		snprintf(path, sizeof(path), "/%zu-%d", (size_t)arg, i);
		snprintf(mine, sizeof(mine), "%s%s", server.url, path);
		f3_http_req_init(&r);
		r.method = i % 4 ? "GET" : "PUT";
		r.url = mine;
		r.has_body = !(i % 4);
		r.body = mine;
		r.body_bytes = r.has_body ? strlen(mine) : 0;
		r.into = answer;
		r.into_bytes = sizeof(answer);
		if (f3_http_run(http, &r) || r.status != 200 || r.received != strlen(path) ||
		    memcmp(answer, path, r.received))
			wrong++;
	}
	return (void *)wrong;
}

START_TEST(many_threads_submit)
{
	pthread_t threads[20];
	void *wrong;

	start(net_say_path);
	for (size_t i = 0; i < 20; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_often, (void *)i), 0);
	for (int i = 0; i < 20; i++) {
		pthread_join(threads[i], &wrong);
		ck_assert_ptr_null(wrong);
	}
	ck_assert_uint_eq(net_requests(&server), 800);
	ck_assert_uint_le(net_connections(&server), 20);
}
END_TEST

static void status_of_path(struct net_conn *c)
{
	while (net_next(c)) {
		net_hold(c);
		net_answer(c, (unsigned)strtoul(c->path + 1, NULL, 10), "");
	}
}

static void ask_together(const char *path, unsigned n)
{
	struct f3_http_req reqs[64];
	unsigned done = n_done;

	for (unsigned i = 0; i < n; i++) {
		ask_for(&reqs[i], "GET", path);
		f3_http_submit(http, &reqs[i]);
	}
	net_release(&server, n);
	await_done(done + n);
}

START_TEST(limit_follows_the_answers)
{
	start(status_of_path);
	ck_assert_uint_eq(f3_http_limit(http), 16);
	/* Held together, so that the limit is what holds back the others. */
	ask_together("/200", 64);
	ck_assert_uint_gt(f3_http_limit(http), 16);
	for (int i = 0; i < 8; i++)
		ask_together("/503", 1);
	ck_assert_uint_eq(f3_http_limit(http), 2);
	ask_together("/404", 64);
	ck_assert_uint_gt(f3_http_limit(http), 2);
	for (int i = 0; i < 8; i++)
		ask_together("/429", 1);
	ck_assert_uint_eq(f3_http_limit(http), 2);
	/* Its own mistakes are no reason. */
	ask_together("/500", 10);
	ck_assert_uint_eq(f3_http_limit(http), 2);
}
END_TEST

/* ---- Too late -------------------------------------------------------------------------------- */

START_TEST(deadlines)
{
	struct f3_http_req reqs[2];

	opt.max_parallel = 1;
	start(hold);
	for (int i = 0; i < 2; i++) {
		ask_for(&reqs[i], "PUT", "/");
		if (i)
			reqs[i].deadline_mono_ns = f3_clock_mono_ns() + 50 * F3_NS_PER_MS;
		f3_http_submit(http, &reqs[i]);
	}
	/* In the queue. */
	await_done(1);
	ck_assert_int_eq(reqs[1].result, -ETIMEDOUT);
	ck_assert(!reqs[1].sent);
	net_release(&server, 1);
	await_done(2);
	ck_assert_int_eq(reqs[0].result, 0);
	/* Under way. */
	ask_for(&req, "PUT", "/");
	req.deadline_mono_ns = f3_clock_mono_ns() + 200 * F3_NS_PER_MS;
	ck_ran(-ETIMEDOUT);
	ck_assert_uint_eq(req.status, 0);
	ck_assert_uint_ge(f3_clock_mono_ns(), req.deadline_mono_ns);
	/* Over before it came. */
	req.deadline_mono_ns = 1;
	ck_ran(-ETIMEDOUT);
}
END_TEST

static void stop_midway(struct net_conn *c)
{
	if (!net_next(c))
		return;
	if (!strcmp(c->path, "/answer"))
		net_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
	if (!strcmp(c->path, "/body"))
		net_body(c, 1);
	net_hold(c);
}

START_TEST(nothing_moves)
{
	static const char *const paths[] = { "/head", "/answer", "/body" };
	char *big = calloc(1, 32 * MIB);

	opt.stall_ns = 2 * F3_NS_PER_SEC;
	start(stop_midway);
	for (int i = 0; i < 3; i++) {
		ask_for(&req, "PUT", paths[i]);
		if (i == 2) {
			req.has_body = true;
			req.body = big;
			req.body_bytes = 32 * MIB;
		}
		ck_ran(-ETIMEDOUT);
		ck_assert(req.sent);
		ck_assert_uint_eq(req.status, i == 1 ? 200 : 0);
	}
	free(big);
}
END_TEST

static void trickle(struct net_conn *c)
{
	struct timespec pause = { .tv_nsec = 500 * 1000 * 1000 };

	if (!net_next(c))
		return;
	net_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
	for (int i = 0; i < 8; i++) {
		nanosleep(&pause, NULL);
		net_send(c, "x");
	}
}

START_TEST(slow_is_not_stalled)
{
	opt.stall_ns = 3 * F3_NS_PER_SEC;
	start(trickle);
	ck_assert_int_eq(ask("GET", "/"), 0);
	ck_assert_uint_eq(text.len, 8);
}
END_TEST

START_TEST(memory_is_bounded)
{
	struct f3_http_options o = { .max_parallel = 10 };

	ck_assert_uint_eq(f3_http_bytes(&o), 10 * MIB);
	o.max_parallel = 0;
	ck_assert_uint_eq(f3_http_bytes(&o), 64 * MIB);
	o.max_parallel = UINT32_MAX;
	ck_assert_uint_eq(f3_http_bytes(&o), (uint64_t)F3_HTTP_PARALLEL_MAX * MIB);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("net http many");
	TCase *t = tcase_create("together");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 100);
	tcase_add_test(t, so_many_at_once_and_no_more);
	tcase_add_test(t, canceled);
	tcase_add_test(t, closed_with_requests_in_it);
	tcase_add_test(t, too_many_wait);
	tcase_add_test(t, submitted_from_done);
	tcase_add_test(t, many_threads_submit);
	tcase_add_test(t, limit_follows_the_answers);
	suite_add_tcase(s, t);

	t = tcase_create("too late");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, deadlines);
	tcase_add_test(t, nothing_moves);
	tcase_add_test(t, slow_is_not_stalled);
	tcase_add_test(t, memory_is_bounded);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return f3_unit_run(suite());
}
