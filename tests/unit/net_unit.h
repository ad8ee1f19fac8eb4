/* SPDX-License-Identifier: Apache-2.0 */
/* net_unit: what the tests of the HTTP engine share: a server, an engine, a request. */
#ifndef F3_TESTS_UNIT_NET_UNIT_H
#define F3_TESTS_UNIT_NET_UNIT_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/net/http.h"
#include "tests/unit/net_server.h"
#include "tests/unit/unit.h"

#define MIB (1u << 20)

static struct net_server server;
static struct f3_http *http;
static struct f3_http_options opt;
static struct f3_http_req req;
static struct f3_buf text;
static char url[2048];

/* ---- Requests that are waited for later ------------------------------------------------------ */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static unsigned n_done;

static inline void count_done(struct f3_http_req *r)
{
	unsigned *times = r->owner;

	pthread_mutex_lock(&mutex);
	if (times)
		++*times;
	n_done++;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
}

static inline void await_done(unsigned n)
{
	pthread_mutex_lock(&mutex);
	while (n_done < n)
		pthread_cond_wait(&cond, &mutex);
	pthread_mutex_unlock(&mutex);
}

/* ---- Fixture --------------------------------------------------------------------------------- */

static inline void setup(void)
{
	static const char *const proxies[] = { "http_proxy", "https_proxy", "HTTPS_PROXY",
					       "all_proxy", "ALL_PROXY" };

	for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++)
		unsetenv(proxies[i]);
	memset(&opt, 0, sizeof(opt));
	memset(&server, 0, sizeof(server));
	server.fd = -1;
	http = NULL;
	n_done = 0;
	f3_buf_init(&text, 1 * MIB);
	f3_http_req_init(&req);
}

static inline void teardown(void)
{
	f3_http_close(http);
	f3_http_close(NULL);
	if (server.fd >= 0)
		net_stop(&server);
	f3_buf_done(&text);
}

static inline void open_http(void)
{
	struct f3_err err = F3_ERR_INIT;

	ck_assert_msg(!f3_http_open(&opt, &http, &err), "%s", err.text);
}

static inline void start(void (*serve)(struct net_conn *c))
{
	net_start(&server, serve, NULL);
	open_http();
}

/* Several at a time are for the same URL: others may be reading it. */
static inline void ask_for(struct f3_http_req *r, const char *method, const char *path)
{
	char to[sizeof(url)];

	snprintf(to, sizeof(to), "%s%s", server.url, path);
	if (strcmp(url, to))
		memcpy(url, to, sizeof(url));
	f3_http_req_init(r);
	r->method = method;
	r->done = count_done;
	r->url = url;
}

#define ck_ran(want)                                                                      \
	do {                                                                              \
		int got = f3_http_run(http, &req);                                        \
		ck_assert_msg(got == (want), "%d, not %d: %s", got, (want), req.message); \
	} while (0)

/* One request for which is waited. */
static inline int ask(const char *method, const char *path)
{
	ask_for(&req, method, path);
	req.text = &text;
	return f3_http_run(http, &req);
}

#define ck_text(want)                                          \
	do {                                                   \
		ck_assert_uint_eq(text.len, strlen(want));     \
		ck_assert_mem_eq(text.data, (want), text.len); \
	} while (0)

#endif
