/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/unit/net_server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/base/crc32c.h"
#include "tests/unit/unit.h"

static void *run_conn(void *arg)
{
	struct net_conn *c = arg;
	struct net_server *s = c->s;

	s->serve(c);
	pthread_mutex_lock(&s->mutex);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

static void *run_server(void *arg)
{
	struct net_server *s = arg;

	for (;;) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
		int one = 1;
		struct net_conn *c;

		if (fd < 0 && errno == EINTR)
			continue;
		if (fd < 0)
			return NULL;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		pthread_mutex_lock(&s->mutex);
		if (s->stopping || s->connections == NET_CONNS_MAX) {
			pthread_mutex_unlock(&s->mutex);
			close(fd);
			continue;
		}
		c = calloc(1, sizeof(*c));
		ck_assert_ptr_nonnull(c);
		c->s = s;
		c->fd = fd;
		s->conns[s->connections++] = c;
		c->number = s->connections;
		ck_assert_int_eq(pthread_create(&c->thread, NULL, run_conn, c), 0);
		pthread_cond_broadcast(&s->cond);
		pthread_mutex_unlock(&s->mutex);
	}
}

void net_start(struct net_server *s, void (*serve)(struct net_conn *c), void *arg)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);

	memset(s, 0, sizeof(*s));
	s->serve = serve;
	s->arg = arg;
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->cond, NULL);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(s->fd, 0);
	ck_assert_int_eq(bind(s->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(s->fd, 256), 0);
	ck_assert_int_eq(getsockname(s->fd, (struct sockaddr *)&addr, &len), 0);
	s->port = ntohs(addr.sin_port);
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", s->port);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, run_server, s), 0);
}

void net_stop(struct net_server *s)
{
	pthread_mutex_lock(&s->mutex);
	s->stopping = true;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->mutex);
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	for (unsigned i = 0; i < s->connections; i++) {
		pthread_mutex_lock(&s->mutex);
		if (s->conns[i]->fd >= 0)
			shutdown(s->conns[i]->fd, SHUT_RDWR);
		pthread_mutex_unlock(&s->mutex);
		pthread_join(s->conns[i]->thread, NULL);
		free(s->conns[i]);
	}
	pthread_mutex_destroy(&s->mutex);
	pthread_cond_destroy(&s->cond);
}

unsigned net_connections(struct net_server *s)
{
	unsigned n;

	pthread_mutex_lock(&s->mutex);
	n = s->connections;
	pthread_mutex_unlock(&s->mutex);
	return n;
}

unsigned net_requests(struct net_server *s)
{
	unsigned n;

	pthread_mutex_lock(&s->mutex);
	n = s->requests;
	pthread_mutex_unlock(&s->mutex);
	return n;
}

void net_await_requests(struct net_server *s, unsigned n)
{
	pthread_mutex_lock(&s->mutex);
	while (s->requests < n)
		pthread_cond_wait(&s->cond, &s->mutex);
	pthread_mutex_unlock(&s->mutex);
}

void net_release(struct net_server *s, unsigned n)
{
	pthread_mutex_lock(&s->mutex);
	s->released += n;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->mutex);
}

/* ---- One connection -------------------------------------------------------------------------- */

static ssize_t fill(struct net_conn *c)
{
	ssize_t n;

	do
		n = recv(c->fd, c->in + c->n_in, sizeof(c->in) - c->n_in, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		c->n_in += (size_t)n;
	return n;
}

static void used(struct net_conn *c, size_t n)
{
	c->n_in -= n;
	memmove(c->in, c->in + n, c->n_in);
}

bool net_next(struct net_conn *c)
{
	const char *length;
	char *end;
	size_t len;

	while (!(end = memmem(c->in, c->n_in, "\r\n\r\n", 4)))
		if (c->n_in == sizeof(c->in) || fill(c) <= 0)
			return false;
	len = (size_t)(end - c->in) + 4;
	if (len >= sizeof(c->head))
		return false;
	memcpy(c->head, c->in, len);
	c->head[len] = 0;
	used(c, len);
	if (sscanf(c->head, "%15s %1023s", c->method, c->path) != 2)
		return false;
	length = net_header(c, "Content-Length");
	c->body_bytes = length ? strtoull(length, NULL, 10) : 0;
	c->crc32c = 0;
	c->requests++;
	pthread_mutex_lock(&c->s->mutex);
	c->s->requests++;
	pthread_cond_broadcast(&c->s->cond);
	pthread_mutex_unlock(&c->s->mutex);
	return true;
}

uint64_t net_body(struct net_conn *c, uint64_t most)
{
	uint64_t want = c->body_bytes < most ? c->body_bytes : most, got = 0;

	while (got < want) {
		size_t n = c->n_in < want - got ? c->n_in : (size_t)(want - got);

		if (!n && fill(c) <= 0)
			break;
		c->crc32c = f3_crc32c(c->crc32c, c->in, n);
		used(c, n);
		got += n;
	}
	return got;
}

const char *net_header(struct net_conn *c, const char *name)
{
	static _Thread_local char value[1024];
	size_t len = strlen(name);

	for (const char *l = strstr(c->head, "\r\n"); l; l = strstr(l + 2, "\r\n")) {
		if (strncasecmp(l + 2, name, len) || l[2 + len] != ':')
			continue;
		l += 3 + len;
		l += strspn(l, " ");
		snprintf(value, sizeof(value), "%.*s", (int)strcspn(l, "\r"), l);
		return value;
	}
	return NULL;
}

void net_send_bytes(struct net_conn *c, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len) {
		ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

void net_send(struct net_conn *c, const char *fmt, ...)
{
	char text[4096];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ck_assert(n >= 0 && (size_t)n < sizeof(text));
	net_send_bytes(c, text, (size_t)n);
}

void net_answer(struct net_conn *c, unsigned status, const char *body)
{
	net_send(c, "HTTP/1.1 %u Said\r\nContent-Length: %zu\r\n\r\n", status, strlen(body));
	net_send_bytes(c, body, strlen(body));
}

void net_say_path(struct net_conn *c)
{
	while (net_next(c)) {
		net_body(c, UINT64_MAX);
		net_answer(c, 200, c->path);
	}
}

void net_hold(struct net_conn *c)
{
	struct net_server *s = c->s;

	pthread_mutex_lock(&s->mutex);
	while (!s->released && !s->stopping)
		pthread_cond_wait(&s->cond, &s->mutex);
	if (s->released)
		s->released--;
	pthread_mutex_unlock(&s->mutex);
}

void net_await_close(struct net_conn *c)
{
	c->n_in = 0;
	while (fill(c) > 0)
		c->n_in = 0;
}

void net_reset(struct net_conn *c)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}
