/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: requests to HTTP servers; the only user of libcurl.
 *
 * One engine is one thread with one curl multi handle: connections are kept and used again, proxies
 * are found as curl finds them (http_proxy, https_proxy, no_proxy). It speaks HTTP/1.1: see ARCHITECTURE
 * for what libcurl makes of HTTP/2.
 *
 * A request is submitted and completes once, by its done function, on the engine's thread. The
 * engine never repeats a request, follows no redirect and knows nothing of what is asked: who
 * submits decides what an answer means. (Only what changes nothing, GET and HEAD, may curl repeat
 * when a kept connection turns out to be dead.)
 *
 *   submitted -> waiting (for its turn) -> under way -> done
 *
 * How many are under way at once adapts (fs/net/limit.h): it is halved when the server says that it
 * is too much (429, 503) or connections fail, and grows again with every round of good answers.
 * The others wait in order; more than F3_HTTP_WAITING_MAX waiting are turned away with -EAGAIN.
 *
 * A request that moves no byte for stall_ns, or is not over at its deadline, ends with -ETIMEDOUT.
 * Whether anything of it can have reached the server says `sent`.
 *
 * Bodies are not copied more than once: an answer's goes from curl's buffer to its place, a
 * request's is read from its file into curl's buffer. What the engine takes itself is bounded by
 * f3_http_bytes.
 *
 * Thread-safe; f3_http_close blocks until all is done, nothing else does.
 */
#ifndef F3_NET_HTTP_H
#define F3_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "fs/base/buf.h"
#include "fs/base/err.h"

#define F3_HTTP_WAITING_MAX 65536u
#define F3_HTTP_HEADERS_MAX 64u		/* of a request */
#define F3_HTTP_HEADER_MAX 8192u	/* bytes; longer header lines of an answer are passed over */
#define F3_HTTP_PARALLEL_MAX 1024u

struct f3_http;

struct f3_http_options {
	unsigned max_parallel;		/* requests under way at most (F3_HTTP_PARALLEL_MAX); 0: 64 */
	uint64_t connect_ns;		/* for connecting, TLS included; 0: 10 s */
	uint64_t stall_ns;		/* without a byte; 0: 30 s */
	const char *ca_file;		/* PEM; NULL: the system's */
	const char *user_agent;		/* NULL: "f3/VERSION" */
};

struct f3_http_req {
	/* what is asked; valid until done */
	const char *method;		/* "GET"; HEAD's answer has no body */
	const char *url;		/* encoded: sent as it is */
	/* "Name: value", or "Name;" for an empty value; no CR or LF; not Content-Length, Transfer-Encoding or
	 * Expect, which are the engine's; at most F3_HTTP_HEADERS_MAX (else -EINVAL). */
	const char *const *headers;
	size_t n_headers;
	/* Body: from `body`, else from fd at fd_off; none if !has_body. Content-Length is set here.
	 * -ENODATA: the file ended before. */
	bool has_body;
	const void *body;
	int fd;				/* -1 when in memory */
	uint64_t fd_off, body_bytes;
	/* The bytes must have this CRC32C: else the request is broken off before its last byte, so
	 * that the server cannot take it, and ends with -EBADMSG. */
	bool check_crc;
	uint32_t want_crc32c;

	/* Where the body of a 2xx answer goes: `into` (at most into_bytes, more is -EFBIG), if there
	 * is one; else into text (more than its maximum is -EFBIG). The body of any other answer
	 * goes into text as far as there is room. */
	void *into;
	size_t into_bytes;
	struct f3_buf *text;		/* the caller's, emptied at start; NULL: not wanted */
	bool sum_answer;		/* received_crc32c is wanted */

	/* One header of the answer, name in lower case, both NUL-terminated; on the engine's thread.
	 * May be NULL. Only the final answer's (not those of 100 Continue or of a proxy's CONNECT). */
	void (*header)(struct f3_http_req *req, const char *name, const char *value);
	bool unwanted;			/* set there: nobody wants the rest, it ends with -ECANCELED */
	void (*done)(struct f3_http_req *req);	/* may free it, or submit it again */
	void *owner;
	uint64_t deadline_mono_ns;	/* 0: none */

	/* what came of it */
	int result;			/* 0: there is an answer, whole, see status; or -errno */
	unsigned status;		/* 200; also known when result is an error after it */
	bool sent;			/* something may have reached the server: it was connected to */
	uint64_t received;		/* bytes of a 2xx body */
	uint32_t crc32c;		/* of the body sent */
	uint32_t received_crc32c;	/* of what went to `into` */
	uint64_t start_mono_ns, first_byte_ns;	/* its turn came; from then to the answer's begin */
	char message[160];		/* why there is none, for people: host, curl's reason */

	TAILQ_ENTRY(f3_http_req) of_queue;	/* the engine's */
};

int f3_http_open(const struct f3_http_options *opt, struct f3_http **ret_h, struct f3_err *err);
/* Ends what is under way with -ECANCELED and waits for it. */
void f3_http_close(struct f3_http *h);
void f3_http_req_init(struct f3_http_req *req);
/* Fields behind `done` and what came of it before are set anew. */
void f3_http_submit(struct f3_http *h, struct f3_http_req *req);
/* It ends soon, with -ECANCELED if it was not over. Does not look into req, which may be gone. */
void f3_http_cancel(struct f3_http *h, const struct f3_http_req *req);
/* Submits and waits. Not from an engine's thread. Returns req->result. */
int f3_http_run(struct f3_http *h, struct f3_http_req *req);

/* Memory that curl's buffers take at most, with opt->max_parallel requests under way. */
uint64_t f3_http_bytes(const struct f3_http_options *opt);
/* Now, for metrics. */
unsigned f3_http_running(struct f3_http *h);
unsigned f3_http_waiting(struct f3_http *h);
unsigned f3_http_limit(struct f3_http *h);

#endif
