/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/net/http.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/lock.h"
#include "fs/base/thread.h"
#include "fs/base/waiter.h"
#include "fs/net/http_impl.h"
#include "fs/net/limit.h"

#define PARALLEL_DEFAULT 64u
#define CONNECT_DEFAULT_NS (10 * F3_NS_PER_SEC)
#define STALL_DEFAULT_NS (30 * F3_NS_PER_SEC)
/* How often it is looked whether anything moves. */
#define LOOK_NS F3_NS_PER_SEC
/* curl's buffers of one request (big ones one way, small ones the other), what TLS keeps for its
 * connection, the headers of its answer (curl takes 300 KiB at most). */
#define BYTES_PER_REQUEST (1u << 20)

TAILQ_HEAD(req_queue, f3_http_req);
SLIST_HEAD(flight_list, f3_http_flight);

struct f3_http {
	struct f3_http_common common;
	unsigned max_parallel;
	CURLM *multi;
	pthread_t thread;
	struct f3_http_flight *flights; /* max_parallel of them */
	uint64_t look_ns; /* the thread's: when to look at those under way */

	struct f3_lock lock; /* of all below, and see http_impl.h */
	struct req_queue waiting;
	struct req_queue over; /* ended before curl saw them: done is to be called */
	struct flight_list free;
	unsigned n_waiting, n_running;
	uint64_t waiting_due_ns; /* no deadline of those that wait is earlier */
	struct f3_limit limit;
	bool closing, canceling; /* some flight is canceled */
	bool sleeping; /* in curl_multi_poll, not woken yet */
};

/* ---- Under the lock -------------------------------------------------------------------------- */

/* curl remembers a wake-up that comes before its poll. It is called under the lock because the
 * engine may be closed once it is let go; it writes a byte to a pipe that never blocks. */
static void wake(struct f3_http *h)
{
	if (!h->sleeping)
		return;
	h->sleeping = false;
	curl_multi_wakeup(h->multi);
}

/* reason: NULL when its message is there. */
static void end_waiting(struct f3_http *h, struct f3_http_req *req, int error, const char *reason)
{
	TAILQ_REMOVE(&h->waiting, req, of_queue);
	h->n_waiting--;
	req->result = error;
	if (reason)
		f3_http_say(req, reason);
	TAILQ_INSERT_TAIL(&h->over, req, of_queue);
}

static void end_late(struct f3_http *h, uint64_t now_ns)
{
	struct f3_http_req *req, *next;

	if (now_ns < h->waiting_due_ns)
		return;
	h->waiting_due_ns = UINT64_MAX;
	for (req = TAILQ_FIRST(&h->waiting); req; req = next) {
		next = TAILQ_NEXT(req, of_queue);
		if (!req->deadline_mono_ns)
			continue;
		if (now_ns >= req->deadline_mono_ns)
			end_waiting(h, req, -ETIMEDOUT, "its turn did not come in time");
		else if (req->deadline_mono_ns < h->waiting_due_ns)
			h->waiting_due_ns = req->deadline_mono_ns;
	}
}

static struct f3_http_flight *next_flight(struct f3_http *h)
{
	struct f3_http_req *req = TAILQ_FIRST(&h->waiting);
	struct f3_http_flight *f;

	if (!req || h->n_running >= h->limit.value)
		return NULL;
	f = SLIST_FIRST(&h->free);
	SLIST_REMOVE_HEAD(&h->free, of_free);
	TAILQ_REMOVE(&h->waiting, req, of_queue);
	h->n_waiting--;
	h->n_running++;
	f->req = req;
	f->canceled = false;
	return f;
}

static struct f3_http_flight *next_canceled(struct f3_http *h)
{
	if (!h->canceling)
		return NULL;
	for (unsigned i = 0; i < h->max_parallel; i++)
		if (h->flights[i].req && h->flights[i].canceled)
			return &h->flights[i];
	h->canceling = false;
	return NULL;
}

/* ---- The engine's thread --------------------------------------------------------------------- */

/* The server, or what is between, has more than it can do; or nobody knows. */
static bool too_much(const struct f3_http_req *req)
{
	switch (req->result) {
	case 0:
		return req->status == 429 || req->status == 503;
	case -ETIMEDOUT:
	case -ECONNRESET:
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
		return true;
	default:
		return false;
	}
}

static void land(struct f3_http *h, struct f3_http_flight *f, CURLcode code)
{
	struct f3_http_req *req = f->req;

	f3_http_flight_end(f, code);
	if (f->easy) {
		curl_multi_remove_handle(h->multi, f->easy);
		curl_easy_reset(f->easy);
	}
	f3_lock(&h->lock);
	if (too_much(req))
		f3_limit_bad(&h->limit, req->start_mono_ns, f3_clock_mono_ns());
	else if (!req->result && req->status < 500)
		f3_limit_good(&h->limit, h->n_running >= h->limit.value);
	f->req = NULL;
	h->n_running--;
	SLIST_INSERT_HEAD(&h->free, f, of_free);
	f3_unlock(&h->lock);
	req->done(req);
}

static void start(struct f3_http *h, struct f3_http_flight *f)
{
	int error = f3_http_flight_begin(f, &h->common);
	uint64_t due = f->req->start_mono_ns + h->common.stall_ns;

	if (error || curl_multi_add_handle(h->multi, f->easy)) {
		land(h, f, error ? CURLE_OK : CURLE_OUT_OF_MEMORY);
		return;
	}
	if (f->req->deadline_mono_ns && f->req->deadline_mono_ns < due)
		due = f->req->deadline_mono_ns;
	if (due < h->look_ns)
		h->look_ns = due;
}

static struct f3_http_req *next_over(struct f3_http *h)
{
	struct f3_http_req *req = TAILQ_FIRST(&h->over);

	if (req)
		TAILQ_REMOVE(&h->over, req, of_queue);
	return req;
}

/* What was there when it began: a done function that always submits again has its turn with the
 * others. */
static void take_orders(struct f3_http *h)
{
	unsigned most = h->max_parallel;
	struct f3_http_flight *f;
	struct f3_http_req *req;

	while (most--) {
		f3_lock(&h->lock);
		req = next_over(h);
		f3_unlock(&h->lock);
		if (!req)
			break;
		req->done(req);
	}
	for (most = h->max_parallel; most--;) {
		f3_lock(&h->lock);
		f = next_canceled(h);
		f3_unlock(&h->lock);
		if (!f)
			break;
		f->error = -ECANCELED;
		f->reason = "canceled";
		land(h, f, CURLE_OK);
	}
	for (most = h->max_parallel; most--;) {
		f3_lock(&h->lock);
		f = next_flight(h);
		f3_unlock(&h->lock);
		if (!f)
			break;
		start(h, f);
	}
}

static void run_curl(struct f3_http *h)
{
	struct f3_http_flight *f;
	CURLMsg *msg;
	int running, left;

	curl_multi_perform(h->multi, &running);
	while ((msg = curl_multi_info_read(h->multi, &left)) != NULL) {
		/* The message is gone once its handle is. */
		CURLcode code = msg->data.result;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &f);
		land(h, f, code);
	}
}

static void look(struct f3_http *h, uint64_t now_ns)
{
	uint64_t due = now_ns + LOOK_NS;

	if (now_ns < h->look_ns)
		return;
	/* `req` changes on this thread only: except for cancel, which only reads it. */
	for (unsigned i = 0; i < h->max_parallel; i++)
		if (h->flights[i].req &&
		    f3_http_flight_look(&h->flights[i], &h->common, now_ns, &due))
			land(h, &h->flights[i], CURLE_OK);
	h->look_ns = due;
}

/* How long to wait for sockets: -1: not at all, there is something to do. */
static int may_sleep_ms(struct f3_http *h, uint64_t now_ns)
{
	uint64_t due = h->look_ns;

	if (!TAILQ_EMPTY(&h->over) || h->canceling ||
	    (!TAILQ_EMPTY(&h->waiting) && h->n_running < h->limit.value))
		return -1;
	h->sleeping = true;
	if (!h->n_running)
		return INT_MAX;
	if (h->waiting_due_ns < due)
		due = h->waiting_due_ns;
	return due <= now_ns ? 0 : (int)((due - now_ns + F3_NS_PER_MS - 1) / F3_NS_PER_MS);
}

static void *engine(void *arg)
{
	struct f3_http *h = arg;
	bool end = false;
	uint64_t now;
	int ms;

	while (!end) {
		take_orders(h);
		run_curl(h);
		now = f3_clock_mono_ns();
		look(h, now);

		f3_lock(&h->lock);
		end_late(h, now);
		ms = may_sleep_ms(h, now);
		end = h->closing && ms >= 0 && !h->n_running;
		f3_unlock(&h->lock);
		if (end || ms < 0)
			continue;
		curl_multi_poll(h->multi, NULL, 0, ms, NULL);
		f3_lock(&h->lock);
		h->sleeping = false;
		f3_unlock(&h->lock);
	}
	return NULL;
}

/* ---- Open and close -------------------------------------------------------------------------- */

static CURLcode curl_ready;

/* Once a process, and never undone: others may use curl too. */
static void ready_curl(void)
{
	curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static unsigned parallel_of(const struct f3_http_options *opt)
{
	unsigned n = opt->max_parallel ? opt->max_parallel : PARALLEL_DEFAULT;

	return n < F3_HTTP_PARALLEL_MAX ? n : F3_HTTP_PARALLEL_MAX;
}

static void free_http(struct f3_http *h)
{
	for (unsigned i = 0; h->flights && i < h->max_parallel; i++)
		curl_easy_cleanup(h->flights[i].easy);
	curl_multi_cleanup(h->multi);
	free(h->flights);
	free(h->common.ca_file);
	free(h->common.user_agent);
	f3_lock_done(&h->lock);
	free(h);
}

static int make(struct f3_http *h, const struct f3_http_options *opt)
{
	const char *agent = opt->user_agent ? opt->user_agent : "f3/" PACKAGE_VERSION;

	h->common.user_agent = strdup(agent);
	h->common.ca_file = opt->ca_file ? strdup(opt->ca_file) : NULL;
	h->flights = calloc(h->max_parallel, sizeof(*h->flights));
	h->multi = curl_multi_init();
	if (!h->common.user_agent || (opt->ca_file && !h->common.ca_file) || !h->flights ||
	    !h->multi)
		return -ENOMEM;
	for (unsigned i = 0; i < h->max_parallel; i++)
		SLIST_INSERT_HEAD(&h->free, &h->flights[i], of_free);
	if (curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)h->max_parallel))
		return -ENOMEM;
	return f3_thread_start(&h->thread, "http", engine, h);
}

int f3_http_open(const struct f3_http_options *opt, struct f3_http **ret_h, struct f3_err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct f3_http *h;
	int error;

	pthread_once(&once, ready_curl);
	if (curl_ready)
		return f3_err_set(err, -ENOMEM, "libcurl: %s", curl_easy_strerror(curl_ready));
	h = calloc(1, sizeof(*h));
	if (!h)
		return f3_err_set(err, -ENOMEM, "no memory for HTTP");
	h->max_parallel = parallel_of(opt);
	h->common.connect_ns = opt->connect_ns ? opt->connect_ns : CONNECT_DEFAULT_NS;
	h->common.stall_ns = opt->stall_ns ? opt->stall_ns : STALL_DEFAULT_NS;
	h->waiting_due_ns = UINT64_MAX;
	TAILQ_INIT(&h->waiting);
	TAILQ_INIT(&h->over);
	SLIST_INIT(&h->free);
	f3_limit_init(&h->limit, h->max_parallel);
	f3_lock_init(&h->lock, F3_RANK_QUEUE);
	error = make(h, opt);
	if (error) {
		free_http(h);
		return f3_err_set(err, error, "HTTP: %s", f3_errno_name(error));
	}
	*ret_h = h;
	return 0;
}

void f3_http_close(struct f3_http *h)
{
	if (!h)
		return;
	f3_lock(&h->lock);
	h->closing = true;
	while (!TAILQ_EMPTY(&h->waiting))
		end_waiting(h, TAILQ_FIRST(&h->waiting), -ECANCELED, "canceled");
	for (unsigned i = 0; i < h->max_parallel; i++)
		if (h->flights[i].req)
			h->flights[i].canceled = h->canceling = true;
	wake(h);
	f3_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	free_http(h);
}

/* ---- Requests -------------------------------------------------------------------------------- */

void f3_http_req_init(struct f3_http_req *req)
{
	memset(req, 0, sizeof(*req));
	req->fd = -1;
}

void f3_http_submit(struct f3_http *h, struct f3_http_req *req)
{
	int error;

	req->status = 0;
	req->sent = false;
	req->received = 0;
	req->crc32c = req->received_crc32c = 0;
	req->unwanted = false;
	req->start_mono_ns = req->first_byte_ns = 0;
	req->message[0] = 0;
	if (req->text)
		f3_buf_reset(req->text);
	error = f3_http_check(req);

	f3_lock(&h->lock);
	TAILQ_INSERT_TAIL(&h->waiting, req, of_queue);
	h->n_waiting++;
	if (error) {
		end_waiting(h, req, error, NULL);
	} else if (h->closing) {
		end_waiting(h, req, -ECANCELED, "canceled");
	} else if (h->n_waiting > F3_HTTP_WAITING_MAX) {
		end_waiting(h, req, -EAGAIN, "too many requests wait");
	} else if (req->deadline_mono_ns && req->deadline_mono_ns < h->waiting_due_ns) {
		h->waiting_due_ns = req->deadline_mono_ns;
	}
	wake(h);
	f3_unlock(&h->lock);
}

void f3_http_cancel(struct f3_http *h, const struct f3_http_req *req)
{
	struct f3_http_req *w;

	f3_lock(&h->lock);
	TAILQ_FOREACH(w, &h->waiting, of_queue)
		if (w == req)
			break;
	if (w)
		end_waiting(h, w, -ECANCELED, "canceled");
	for (unsigned i = 0; i < h->max_parallel; i++)
		if (h->flights[i].req == req)
			h->flights[i].canceled = h->canceling = true;
	wake(h);
	f3_unlock(&h->lock);
}

static void unblock(struct f3_http_req *req)
{
	struct f3_blocker *b = req->owner;

	b->w.fn(&b->w, req->result);
}

int f3_http_run(struct f3_http *h, struct f3_http_req *req)
{
	void (*done)(struct f3_http_req *) = req->done;
	void *owner = req->owner;
	struct f3_blocker b;
	int result;

	f3_blocker_init(&b);
	req->done = unblock;
	req->owner = &b;
	f3_http_submit(h, req);
	result = f3_blocker_wait(&b);
	f3_blocker_done(&b);
	req->done = done;
	req->owner = owner;
	return result;
}

/* ---- For metrics ----------------------------------------------------------------------------- */

uint64_t f3_http_bytes(const struct f3_http_options *opt)
{
	return (uint64_t)parallel_of(opt) * BYTES_PER_REQUEST;
}

static unsigned locked(struct f3_http *h, const unsigned *n)
{
	unsigned now;

	f3_lock(&h->lock);
	now = *n;
	f3_unlock(&h->lock);
	return now;
}

unsigned f3_http_running(struct f3_http *h)
{
	return locked(h, &h->n_running);
}

unsigned f3_http_waiting(struct f3_http *h)
{
	return locked(h, &h->n_waiting);
}

unsigned f3_http_limit(struct f3_http *h)
{
	return locked(h, &h->limit.value);
}
