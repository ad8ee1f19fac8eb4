/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_s3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/crc32c.h"
#include "fs/base/conf.h"
#include "fs/base/log.h"
#include "fs/object/s3_meta.h"

/* How long what failed is asked again for, before who asked is told. */
#define RETRY_NS (15 * F3_NS_PER_SEC)
/* The same while the server is not reached, or answers nothing but that it cannot: then nobody should
 * wait for each file. */
#define DOWN_NS (5 * F3_NS_PER_SEC)
#define BACKOFF_BASE_NS (50 * F3_NS_PER_MS)
#define BACKOFF_MAX_NS (5 * F3_NS_PER_SEC)
#define RETRY_AFTER_MAX_S 60
#define KEY_TRIES 2
/* For clearing up, which is done whatever became of what is cleared up, and is no duty. */
#define ANYWAY_NS (5 * F3_NS_PER_SEC)
/* AWS refuses what is 15 minutes off; and less may be a slow request. */
#define SKEW_S 240
/* Bodies in memory up to this are signed; larger ones are protected by their sum, which is. */
#define SIGNED_BODY_MAX (64u << 10)
/* Of an answer's headers what others have noted with an object takes at most this much. */
#define FOREIGN_MAX (F3_S3_HEADERS_MAX - 24)
#define FOREIGN_BYTES (F3_S3_HEADERS_BYTES / 2)

static void prepare(struct f3_s3_ask *a);
static void prepare_slowly(struct f3_work *work);
static void rested(struct f3_work *work);
static void answered(struct f3_http_req *req);

/* Whoever cancels looks at it under the lock. */
static void set_ready(struct f3_s3_ask *a, bool ready)
{
	f3_lock(&a->s->lock);
	a->ready = ready;
	a->state = F3_S3_IDLE;
	f3_unlock(&a->s->lock);
}

void f3_s3_ask_init(struct f3_s3_ask *a, struct f3_s3_call *call, const char *method)
{
	const size_t unlocked = offsetof(struct f3_s3_ask, s);

	f3_s3_ask_done(a);
	memset((char *)a + unlocked, 0, sizeof(*a) - unlocked);
	a->s = call->s;
	a->call = call;
	a->method = method;
	a->fd = -1;
	f3_s3_headers_init(&a->headers);
	f3_s3_headers_init(&a->answer);
	f3_s3_headers_init(&a->signed_);
	f3_buf_init(&a->text, F3_S3_TEXT_MAX);
	f3_buf_init(&a->url, F3_S3_HEADERS_BYTES);
	a->backoff = (struct f3_backoff){ .base_ns = BACKOFF_BASE_NS, .max_ns = BACKOFF_MAX_NS };
	f3_timer_init(&a->timer, a->s->q, rested);
	f3_http_req_init(&a->http);
	set_ready(a, true);
}

void f3_s3_ask_done(struct f3_s3_ask *a)
{
	if (!a->ready)
		return;
	set_ready(a, false);
	f3_s3_headers_done(&a->headers);
	f3_s3_headers_done(&a->answer);
	f3_s3_headers_done(&a->signed_);
	f3_buf_done(&a->text);
	f3_buf_done(&a->url);
}

void f3_s3_ask_bucket(struct f3_s3_ask *a)
{
	(void)f3_s3_place_path(&a->s->place, NULL, false, a->path);
	a->of_bucket = true;
}

int f3_s3_ask_key(struct f3_s3_ask *a, const char *key, bool marker)
{
	return f3_s3_place_path(&a->s->place, key, marker, a->path);
}

void f3_s3_ask_query(struct f3_s3_ask *a, const char *name, const char *value)
{
	a->query[a->n_query++] = (struct f3_sigv4_query){ name, value };
}

void f3_s3_etag_text(const struct f3_s3 *s, const char *etag, bool mutates,
		     char ret_text[F3_OBJ_ETAG_MAX + 3])
{
	const char *quote = mutates && s->unquoted ? "" : "\"";

	snprintf(ret_text, F3_OBJ_ETAG_MAX + 3, "%s%s%s", quote, etag, quote);
}

void f3_s3_ask_cond(struct f3_s3_ask *a, enum f3_obj_cond cond, const char *etag)
{
	char text[F3_OBJ_ETAG_MAX + 3];

	a->cond = cond;
	if (cond == F3_OBJ_ABSENT) {
		f3_s3_headers_add(&a->headers, "if-none-match", "*");
	} else if (cond == F3_OBJ_MATCH) {
		f3_s3_etag_text(a->s, etag, a->mutates, text);
		f3_s3_headers_add(&a->headers, "if-match", text);
	}
}

/* ---- The end ---- */

static void call_then(struct f3_work *work)
{
	struct f3_s3_ask *a = (struct f3_s3_ask *)((char *)work - offsetof(struct f3_s3_ask, work));

	a->then(a);
}

static void end(struct f3_s3_ask *a, int result)
{
	f3_lock(&a->s->lock);
	a->state = F3_S3_IDLE;
	f3_unlock(&a->s->lock);
	a->result = result;
	f3_s3_headers_reset(&a->signed_);
	a->work.fn = call_then;
	if (!a->wide || f3_workq_push(a->s->q, &a->work))
		a->then(a);
}

static void set_state(struct f3_s3_ask *a, enum f3_s3_ask_state state)
{
	f3_lock(&a->s->lock);
	a->state = state;
	f3_unlock(&a->s->lock);
}

/* It was not done, and would be with this errno if it were not asked again. */
static void again(struct f3_s3_ask *a, int error)
{
	struct f3_s3_call *call = a->call;
	uint64_t now = f3_clock_mono_ns(), down = a->s->down_since_ns, at;
	uint64_t wait = f3_backoff_next_ns(&a->backoff);
	uint64_t deadline = a->since_mono_ns + RETRY_NS;
	/* One that was never reached may as well be no server at all. */
	uint64_t patience = a->s->base.unmet ? 0 : DOWN_NS;
	int r;

	if (wait < a->retry_after_ns)
		wait = a->retry_after_ns;
	if (call->op->deadline_mono_ns && call->op->deadline_mono_ns < deadline)
		deadline = call->op->deadline_mono_ns;
	at = now + wait;
	if (a->once || a->anyway || at > deadline || (down && now - down >= patience) ||
	    a->s->closing) {
		end(a, error);
		return;
	}
	/* Whoever cancels has said so before it takes the lock. */
	f3_lock(&a->s->lock);
	if (call->cancelled)
		r = -ECANCELED;
	else
		r = f3_timer_arm(&a->timer, at) ? error : 0;
	if (!r)
		a->state = F3_S3_RESTING;
	f3_unlock(&a->s->lock);
	if (r)
		end(a, r);
}

static void rested(struct f3_work *work)
{
	struct f3_timer *timer =
		(struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));

	prepare((struct f3_s3_ask *)((char *)timer - offsetof(struct f3_s3_ask, timer)));
}

/* ---- Judging ---- */

static const char *place_of(const struct f3_s3_ask *a)
{
	return a->path;
}

static void explain(struct f3_s3_ask *a, const char *message)
{
	const char *advice = f3_s3_advice(a->status, a->code);

	snprintf(a->message, sizeof(a->message), "%s %.60s: %u%s%s%s%.60s%s%s", a->method,
		 place_of(a), a->status, *a->code ? " " : "", a->code, *message ? ": " : "",
		 message, *advice ? "; " : "", advice);
}

/* Is its Date another one than that of the request, which may have been signed before a clock was set, or
 * before another answer told the time? *ret_skew_s: seconds the store's clock is ahead. */
static bool clock_differs(struct f3_s3_ask *a, int64_t *ret_skew_s)
{
	const char *date = f3_s3_headers_get(&a->answer, "date");
	int64_t theirs = date ? f3_s3_time_ns(date) : 0;
	int64_t s = (theirs - f3_clock_real_ns()) / (int64_t)F3_NS_PER_SEC;
	int64_t off = theirs / (int64_t)F3_NS_PER_SEC - a->dated_s;

	if (!theirs)
		return false;
	*ret_skew_s = s > SKEW_S || s < -SKEW_S ? s : 0;
	return off > SKEW_S || off < -SKEW_S;
}

static void take_clock(struct f3_s3 *s, int64_t skew_s)
{
	int64_t was = atomic_exchange(&s->skew_s, skew_s);

	/* Several that were refused together find out the same. */
	if (was - skew_s < SKEW_S && skew_s - was < SKEW_S)
		return;
	if (!skew_s)
		f3_log_info("s3://%s: this machine's clock agrees with the store's again",
			    s->place.bucket);
	else
		f3_log_warn("s3://%s: this machine's clock is %.1f h %s the store's, by which "
			    "requests are dated from now on: set it",
			    s->place.bucket, (double)imaxabs(skew_s) / 3600,
			    skew_s > 0 ? "behind" : "ahead of");
}

static void take_retry_after(struct f3_s3_ask *a)
{
	const char *text = f3_s3_headers_get(&a->answer, "retry-after");
	uint64_t s;

	if (text && !f3_parse_uint(text, UINT32_MAX, &s))
		a->retry_after_ns = (s < RETRY_AFTER_MAX_S ? s : RETRY_AFTER_MAX_S) * F3_NS_PER_SEC;
}

/* Tells keys apart; never 0. */
static uint32_t sum_keys(const struct f3_credentials *keys)
{
	uint32_t sum = f3_crc32c(0, keys->access_key, strlen(keys->access_key));

	sum = f3_crc32c(sum, keys->secret_key, strlen(keys->secret_key));
	sum = f3_crc32c(sum, keys->token, strlen(keys->token));
	return sum ? sum : 1;
}

/* Nobody has come through since. */
static void note_down(struct f3_s3 *s)
{
	uint64_t up = 0;

	atomic_compare_exchange_strong(&s->down_since_ns, &up, f3_clock_mono_ns());
}

/* Those that were refused are still the chain's, or were replaced meanwhile. */
static void look_for_other_keys(struct f3_s3_ask *a)
{
	struct f3_credentials keys;

	if (!f3_cred_try(a->s->chain, &keys)) {
		if (!strcmp(keys.access_key, a->access_key))
			f3_cred_refused(a->s->chain, &keys);
		f3_credentials_wipe(&keys);
	}
	prepare(a);
}

static void judge(struct f3_s3_ask *a)
{
	char message[120] = "";
	enum f3_s3_verdict verdict;
	int64_t skew_s = 0;
	bool is_error = false;
	int error;

	a->code[0] = '\0';
	if (a->status >= 300 || (a->mutates && a->text.len))
		is_error = f3_s3_error_body(a->text.data, a->text.len, a->code, message,
					    sizeof(message));
	if (a->status < 300 && is_error && !*a->code)
		snprintf(a->code, sizeof(a->code), "InternalError");
	verdict = f3_s3_verdict(a->status, a->code, a->cond, &error);
	/* Nothing may vanish because of a bucket that is not there, or of a word from somebody else
	 * on the way. */
	if (error == -ENOENT && a->of_bucket)
		error = -ENOTCONN;
	else if (error == -ENOENT && a->text.len && !is_error)
		error = -EIO;
	if (verdict == F3_S3_DONE) {
		a->s->down_since_ns = 0;
		end(a, 0);
		return;
	}
	explain(a, message);
	take_retry_after(a);
	if (verdict == F3_S3_AGAIN || verdict == F3_S3_UNKNOWN)
		note_down(a->s);
	else
		a->s->down_since_ns = 0;
	/* Answers to HEAD have no body that would say so. */
	if (!*a->code && (a->status == 400 || a->status == 401 || a->status == 403)) {
		verdict = clock_differs(a, &skew_s) ? F3_S3_CLOCK : F3_S3_KEYS;
		error = -EACCES;
	}
	switch (verdict) {
	case F3_S3_DONE:
	case F3_S3_ERROR:
	case F3_S3_REGION:
		end(a, error);
		break;
	case F3_S3_AGAIN:
		again(a, error);
		break;
	case F3_S3_UNKNOWN:
		if (a->mutates)
			end(a, F3_OBJ_AMBIGUOUS);
		else
			again(a, error);
		break;
	case F3_S3_CLOCK:
		if (clock_differs(a, &skew_s) && a->key_tries++ < KEY_TRIES) {
			take_clock(a->s, skew_s);
			prepare(a);
		} else {
			end(a, error ? error : -EACCES);
		}
		break;
	case F3_S3_KEYS:
		a->refused_keys = a->used_keys;
		a->refused_as = error ? error : -EACCES;
		if (a->access_key[0] && a->key_tries++ < KEY_TRIES)
			look_for_other_keys(a);
		else
			end(a, a->refused_as);
		break;
	}
}

/* No answer, or not a whole one. */
static void failed(struct f3_s3_ask *a, int r)
{
	snprintf(a->message, sizeof(a->message), "%s %.60s: %.120s", a->method, place_of(a),
		 a->http.message);
	switch (r) {
	case -ECANCELED:
		end(a, a->mutates && a->http.sent ? F3_OBJ_AMBIGUOUS :
		       a->call->cancelled         ? -ECANCELED :
						    -EAGAIN);
		return;
	case -EBADMSG: /* the file was changed between summing up and sending */
		end(a, -EAGAIN);
		return;
	case -ENOMEM: /* maybe for the answer */
		end(a, a->mutates && a->http.sent ? F3_OBJ_AMBIGUOUS : r);
		return;
	case -ENODATA:
	case -EINVAL:
	case -EAGAIN:
		end(a, r);
		return;
	case -EFBIG: /* more than was asked for: no server that can be believed */
		end(a, a->mutates ? F3_OBJ_AMBIGUOUS : -EIO);
		return;
	case -EPROTO: /* no certificate that we trust: nothing but a person can change that */
		end(a, -ECONNABORTED);
		return;
	default:
		break;
	}
	if (!a->http.status)
		note_down(a->s);
	if (a->mutates && a->http.sent)
		end(a, F3_OBJ_AMBIGUOUS);
	else
		again(a, r);
}

/* Of the query only what tells the request apart: tokens and ids are long, and nobody's business. */
static void log_answer(const struct f3_s3_ask *a)
{
	const struct f3_http_req *req = &a->http;
	char query[160] = "";
	size_t len = 0;

	for (unsigned i = 0; i < a->n_query && len < sizeof(query) - 1; i++) {
		const struct f3_sigv4_query *q = &a->query[i];
		bool tells = !strcmp(q->name, "prefix") || !strcmp(q->name, "partNumber");

		len += (size_t)snprintf(query + len, sizeof(query) - len, "%c%s%s%.80s",
					i ? '&' : '?', q->name, tells ? "=" : "",
					tells ? q->value : "");
	}
	f3_log_debug(
		"%s %s%s: %u%s%s, try %u, %.1f ms, %" PRIu64 " bytes sent, %" PRIu64 " received",
		a->method, a->path, query, req->status, req->result ? " " : "",
		req->result ? f3_errno_name(req->result) : "", a->tries,
		(double)(f3_clock_mono_ns() - a->sent_mono_ns) / 1e6, a->body_bytes, req->received);
}

static void answered(struct f3_http_req *req)
{
	struct f3_s3_ask *a = req->owner;

	if (f3_log_get_level() >= F3_LOG_DEBUG)
		log_answer(a);

	a->status = req->status;
	a->received = req->received;
	a->sent_crc32c = req->crc32c;
	a->received_crc32c = req->received_crc32c;
	if (req->result) {
		failed(a, req->result);
		return;
	}
	judge(a);
}

/* ---- Sending ---- */

static void take_header(struct f3_http_req *req, const char *name, const char *value)
{
	struct f3_s3_ask *a = req->owner;

	if (a->begins && !a->answer.n && !a->begins(a)) {
		req->unwanted = true;
		return;
	}
	/* What others noted leaves room for what is looked at. */
	if (!strncmp(name, "x-amz-meta-", 11) && !f3_s3_meta_ours(name) &&
	    (a->answer.n >= FOREIGN_MAX || a->answer.buf.len + strlen(value) > FOREIGN_BYTES))
		a->cut = true;
	else
		f3_s3_headers_add(&a->answer, name, value);
}

static int make_url(struct f3_s3_ask *a)
{
	char text[F3_OBJ_CURSOR_MAX * 3];

	f3_buf_reset(&a->url);
	f3_buf_put(&a->url, a->s->place.base, strlen(a->s->place.base));
	if (f3_sigv4_encode(a->path, strlen(a->path), true, text, sizeof(text)) < 0)
		return -ENAMETOOLONG;
	f3_buf_put(&a->url, text, strlen(text));
	for (unsigned i = 0; i < a->n_query; i++) {
		const char *value = a->query[i].value ? a->query[i].value : "";

		f3_buf_printf(&a->url, "%c%s=", i ? '&' : '?', a->query[i].name);
		if (f3_sigv4_encode(value, strlen(value), false, text, sizeof(text)) < 0)
			return -ENAMETOOLONG;
		f3_buf_put(&a->url, text, strlen(text));
	}
	f3_buf_put(&a->url, "", 1);
	return a->url.error;
}

static bool is_signed(const char *name)
{
	return !strncmp(name, "x-amz-", 6) || !strcmp(name, "content-md5") ||
	       !strcmp(name, "content-type");
}

static int sign(struct f3_s3_ask *a, const struct f3_credentials *keys)
{
	struct f3_sigv4_header headers[F3_S3_HEADERS_MAX];
	struct f3_s3_headers *all = &a->signed_;
	char auth[F3_SIGV4_AUTH_MAX], date[F3_SIGV4_DATE], hash[F3_SIGV4_HEX];
	struct f3_sigv4 sig = {
		.method = a->method,
		.path = a->path,
		.query = a->query,
		.n_query = a->n_query,
		.headers = headers,
		.payload = F3_SIGV4_EMPTY,
		.date = date,
		.region = a->s->place.region,
		.service = "s3",
		.access_key = keys->access_key,
		.secret_key = keys->secret_key,
	};
	int r;

	f3_s3_headers_reset(all);
	f3_s3_headers_add(all, "host", a->s->place.host);
	for (unsigned i = 0; i < a->headers.n; i++)
		f3_s3_headers_add(all, f3_s3_headers_name(&a->headers, i),
				  f3_s3_headers_value(&a->headers, i));
	a->dated_s = f3_clock_real_ns() / (int64_t)F3_NS_PER_SEC + a->s->skew_s;
	if (keys->anonymous)
		return all->error;
	if (a->payload[0]) {
		sig.payload = a->payload;
	} else if (a->body_bytes && a->body && a->body_bytes <= SIGNED_BODY_MAX) {
		r = f3_sigv4_hash(a->body, a->body_bytes, hash);
		if (r)
			return r;
		sig.payload = hash;
	} else if (a->body_bytes) {
		sig.payload = F3_SIGV4_UNSIGNED;
	}
	f3_sigv4_date(a->dated_s, date);
	f3_s3_headers_add(all, "x-amz-content-sha256", sig.payload);
	f3_s3_headers_add(all, "x-amz-date", date);
	if (keys->token[0])
		f3_s3_headers_add(all, "x-amz-security-token", keys->token);
	if (all->error)
		return all->error;
	for (unsigned i = 0; i < all->n; i++) {
		const char *name = f3_s3_headers_name(all, i);

		if (!strcmp(name, "host") || is_signed(name))
			headers[sig.n_headers++] =
				(struct f3_sigv4_header){ name, f3_s3_headers_value(all, i) };
	}
	r = f3_sigv4_authorize(&sig, auth);
	if (!r)
		f3_s3_headers_add(all, "authorization", auth);
	explicit_bzero(auth, sizeof(auth));
	return r ? r : all->error;
}

/* Hands it to the engine, unless somebody has cancelled; who does so from now on finds it there. */
static int submit(struct f3_s3_ask *a)
{
	int r = 0;

	f3_lock(&a->s->lock);
	if (a->call->cancelled && !a->anyway) {
		r = -ECANCELED;
	} else {
		a->state = F3_S3_SENT;
		f3_http_submit(a->s->http, &a->http);
	}
	f3_unlock(&a->s->lock);
	return r;
}

/* The keys are not needed any longer than this. */
static void send_now(struct f3_s3_ask *a, const struct f3_credentials *keys)
{
	struct f3_http_req *req = &a->http;
	int r = a->headers.error ? a->headers.error : make_url(a);

	memcpy(a->access_key, keys->access_key, sizeof(a->access_key));
	a->used_keys = sum_keys(keys);
	/* There are no others: what was said of these is in the message. */
	if (a->refused_keys == a->used_keys) {
		end(a, a->refused_as);
		return;
	}
	if (!r)
		r = sign(a, keys);
	if (r) {
		snprintf(a->message, sizeof(a->message), "%s %.60s: the request cannot be made: %s",
			 a->method, place_of(a), f3_errno_name(r));
		/* Attributes that do not fit into headers do not fit into metadata. */
		end(a, r == -E2BIG ? -ENOSPC : r);
		return;
	}
	/* The Host is curl's to send; it is the URL's. */
	for (unsigned i = 1; i < a->signed_.n; i++)
		a->lines[i - 1] = f3_s3_headers_line(&a->signed_, i);
	f3_s3_headers_reset(&a->answer);
	f3_buf_reset(&a->text);
	a->cut = false;
	a->tries++;
	a->sent_mono_ns = f3_clock_mono_ns();
	a->retry_after_ns = 0;
	req->method = a->method;
	req->url = (const char *)a->url.data;
	req->headers = a->lines;
	req->n_headers = a->signed_.n - 1;
	req->has_body = a->has_body;
	req->body = a->body;
	req->fd = a->fd;
	req->fd_off = a->fd_off;
	req->body_bytes = a->body_bytes;
	req->check_crc = a->check_crc;
	req->want_crc32c = a->want_crc32c;
	req->into = a->into;
	req->into_bytes = a->into_bytes;
	req->sum_answer = a->sum_answer;
	req->text = &a->text;
	req->header = take_header;
	req->done = answered;
	req->owner = a;
	req->deadline_mono_ns =
		a->anyway ? f3_clock_mono_ns() + ANYWAY_NS : a->call->op->deadline_mono_ns;
	r = submit(a);
	if (r)
		end(a, r);
}

/* Keys at hand: at once; else on a thread that may wait for them. */
static void prepare(struct f3_s3_ask *a)
{
	struct f3_credentials keys;

	set_state(a, F3_S3_PREPARING);
	if (!f3_cred_try(a->s->chain, &keys)) {
		send_now(a, &keys);
		f3_credentials_wipe(&keys);
		return;
	}
	a->work.fn = prepare_slowly;
	if (f3_workq_push(a->s->q, &a->work)) {
		snprintf(a->message, sizeof(a->message), "too many requests are waiting for keys");
		end(a, -EAGAIN);
	}
}

static void prepare_slowly(struct f3_work *work)
{
	struct f3_s3_ask *a = (struct f3_s3_ask *)((char *)work - offsetof(struct f3_s3_ask, work));
	struct f3_err err = F3_ERR_INIT;
	struct f3_credentials keys;
	int r = f3_cred_get(a->s->chain, &keys, &err);

	if (!r) {
		send_now(a, &keys);
		f3_credentials_wipe(&keys);
		return;
	}
	snprintf(a->message, sizeof(a->message), "credentials: %.180s", err.text);
	end(a, r == -ENOKEY || r == -EKEYEXPIRED ? -EACCES : r);
}

void f3_s3_ask_start(struct f3_s3_ask *a, void (*then)(struct f3_s3_ask *a))
{
	a->then = then;
	a->since_mono_ns = f3_clock_mono_ns();
	prepare(a);
}

void f3_s3_ask_cancel(struct f3_s3_ask *a, struct f3_s3 *s)
{
	bool rested_no_more = false;

	f3_lock(&s->lock);
	if (a->ready && a->state == F3_S3_SENT && !a->anyway)
		f3_http_cancel(s->http, &a->http);
	else if (a->ready && a->state == F3_S3_RESTING && !a->anyway)
		rested_no_more = f3_timer_cancel(&a->timer);
	f3_unlock(&s->lock);
	if (rested_no_more)
		end(a, -ECANCELED);
}
