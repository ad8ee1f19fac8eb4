/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_impl: what the files of the HTTP engine share; for nobody else.
 *
 * http.c        the engine: its thread, who waits, who is under way, when it is too late
 * http_flight.c one request under way: its easy handle, what curl asks of it and gives it
 * http_text.c   what is refused before it begins, curl's reasons as errno, messages for people
 *
 * A flight is the engine's thread's alone, except for `req` and `canceled`, which change under the
 * engine's lock.
 */
#ifndef F3_NET_HTTP_IMPL_H
#define F3_NET_HTTP_IMPL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "fs/net/http.h"

enum f3_http_part {
	F3_HTTP_STATUS_LINE,
	F3_HTTP_HEADERS,
	F3_HTTP_BODY,
};

struct f3_http_flight {
	struct f3_http_req *req;	/* NULL: free */
	bool canceled;			/* somebody asked for it */
	SLIST_ENTRY(f3_http_flight) of_free;

	CURL *easy;			/* kept for the next request */
	/* Point to the request's own strings: nothing is copied. One more for Expect. */
	struct curl_slist headers[F3_HTTP_HEADERS_MAX + 1];
	char curl_message[CURL_ERROR_SIZE];

	/* Our own reason to end it, before curl's. */
	int error;
	const char *reason;
	bool enough;			/* the rest of an answer that is no success is not wanted */

	enum f3_http_part part;		/* of the answer, that comes next */
	unsigned long status;		/* of this one, 100 Continue included */
	uint64_t body_bytes, body_off;	/* of the request's body: all, given to curl so far */
	unsigned begun;			/* how often curl had a connection for it */
	uint64_t moved_ns;		/* when a byte was last seen to move */
	uint64_t moved_bytes;
};

/* Of the engine, for all its requests. Owns its strings. */
struct f3_http_common {
	uint64_t connect_ns, stall_ns;
	char *ca_file, *user_agent;
};

/* Makes the easy handle ready. 0 or -errno. */
int f3_http_flight_begin(struct f3_http_flight *f, const struct f3_http_common *c);
/* Fills in the result of its request. */
void f3_http_flight_end(struct f3_http_flight *f, CURLcode code);
/* 0; -ETIMEDOUT with `reason` set if it is too late or nothing moves. Lowers *due_ns to when it
 * has to be looked at again. */
int f3_http_flight_look(struct f3_http_flight *f, const struct f3_http_common *c, uint64_t now_ns,
			uint64_t *due_ns);

/* 0, or why it is refused, with its message set. */
int f3_http_check(struct f3_http_req *req);
/* "GET host/path: reason". The URL's query and user stay out of it. */
void f3_http_say(struct f3_http_req *req, const char *reason);
/* os_error: errno of the last system call that failed for it, or 0. */
int f3_http_errno(CURLcode code, long os_error);
bool f3_http_is_method(const struct f3_http_req *req, const char *method);

#endif
