/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_server: an HTTP server for tests, that does byte by byte what a test says.
 *
 * Each connection has a thread that runs the test's function; it reads requests and sends whatever
 * it likes. Nothing is known of HTTP but where a request's head and body end. What was seen is
 * counted, and a test waits for counts, not for time.
 */
#ifndef F3_TESTS_UNIT_NET_SERVER_H
#define F3_TESTS_UNIT_NET_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_CONNS_MAX 256

struct net_server;

struct net_conn {
	struct net_server *s;
	int fd;
	unsigned number;		/* 1 for the first one */
	unsigned requests;		/* seen on it */
	pthread_t thread;
	char in[16384];			/* read, not used */
	size_t n_in;
	/* The request net_next found. */
	char head[16384];		/* up to and with the empty line, NUL-terminated */
	char method[16], path[1024];
	uint64_t body_bytes;		/* as Content-Length says */
	uint32_t crc32c;		/* of the body net_body read */
};

struct net_server {
	void (*serve)(struct net_conn *c);
	void *arg;
	int fd;
	unsigned port;
	char url[64];			/* http://127.0.0.1:PORT */
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	unsigned connections, requests;
	unsigned released;		/* how many may pass net_hold */
	bool stopping;
	struct net_conn *conns[NET_CONNS_MAX];
};

void net_start(struct net_server *s, void (*serve)(struct net_conn *c), void *arg);
/* Breaks its connections and waits for their threads. */
void net_stop(struct net_server *s);
unsigned net_connections(struct net_server *s);
unsigned net_requests(struct net_server *s);
void net_await_requests(struct net_server *s, unsigned n);
void net_release(struct net_server *s, unsigned n);

/* ---- For `serve` ----------------------------------------------------------------------------- */

/* Reads the head of the next request. False: the connection is over. */
bool net_next(struct net_conn *c);
/* Reads its body, or the first `most` bytes. How many came. */
uint64_t net_body(struct net_conn *c, uint64_t most);
/* The value of its header, or NULL; until the next call. */
const char *net_header(struct net_conn *c, const char *name);
void net_send(struct net_conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void net_send_bytes(struct net_conn *c, const void *bytes, size_t len);
/* "HTTP/1.1 STATUS ..." with this body. */
void net_answer(struct net_conn *c, unsigned status, const char *body);
/* A `serve`: 200 and the path, to whatever comes. */
void net_say_path(struct net_conn *c);
/* Waits for net_release or net_stop. */
void net_hold(struct net_conn *c);
/* Waits until the other side closes. */
void net_await_close(struct net_conn *c);
/* Closes with a reset, not with an end. */
void net_reset(struct net_conn *c);

#endif
