/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET. Where the store says what CRC32C the object has, and all of it is read in one piece, the bytes are
 * looked at; those that are damaged are asked for again.
 *
 * A read whose answer does not begin may be asked for a second time, on another connection. Which answer
 * begins first counts (`winner`): the other one ends before its first byte, since both would go to the
 * same place. The engine has one thread, so no byte of either comes meanwhile. An answer that says
 * that it should be asked again (503) is none: the other may be luckier.
 */
#include "config.h"

#include "fs/object/object_s3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/metric.h"
#include "fs/object/digest.h"
#include "fs/object/s3_meta.h"

#define DAMAGED_TRIES 3
/* One request in so many is one more than is needed, at most; and so many in a row. */
#define CREDIT_HEDGE 20
#define CREDIT_MAX (10 * CREDIT_HEDGE)
/* What is late is found out anew with every so many answers. */
#define LATE_EVERY 16

static struct f3_counter damaged = {
	.name = "f3_object_damaged_total",
	.labels = "",
	.help = "Objects read that did not have the CRC32C their store says they have.",
};
static struct f3_counter hedges_won = {
	.name = "f3_object_hedges_total",
	.labels = "result=\"won\"",
	.help = "Reads asked for a second time, by whether the second answer came first.",
};
static struct f3_counter hedges_lost = { .name = "f3_object_hedges_total",
					 .labels = "result=\"lost\"" };
static struct f3_counter hedges_denied = { .name = "f3_object_hedges_total",
					   .labels = "result=\"denied\"" };

void f3_object_register_metrics(void)
{
	hedges_lost.help = hedges_denied.help = hedges_won.help;
	f3_counter_register(&damaged);
	f3_counter_register(&hedges_won);
	f3_counter_register(&hedges_lost);
	f3_counter_register(&hedges_denied);
}

static void ask_for_it(struct f3_s3_call *call);

/* ---- What came ---- */

/* "bytes 0-99/1234" */
static bool content_range(const char *text, uint64_t *ret_from, uint64_t *ret_to,
			  uint64_t *ret_size)
{
	char end;

	return text &&
	       sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64 "%c", ret_from, ret_to,
		      ret_size, &end) == 3 &&
	       *ret_from <= *ret_to && *ret_to < *ret_size && *ret_size <= INT64_MAX;
}

/* All of the object, and not what the store says its sum is? Sums of sums of parts ("...-3") are not of the
 * bytes. */
static bool is_damaged(const struct f3_s3_ask *a, uint64_t size)
{
	const char *text = f3_s3_headers_get(&a->answer, "x-amz-checksum-crc32c");
	const char *type = f3_s3_headers_get(&a->answer, "x-amz-checksum-type");
	uint32_t crc;

	return a->sum_answer && a->received == size && text &&
	       (!type || !strcasecmp(type, "FULL_OBJECT")) && !f3_crc32c_from_base64(text, &crc) &&
	       crc != a->received_crc32c;
}

static void come_damaged(struct f3_s3_call *call)
{
	struct f3_obj_op *op = call->op;

	f3_count(&damaged, 1);
	if (++call->damaged < DAMAGED_TRIES) {
		ask_for_it(call);
		return;
	}
	snprintf(op->message, sizeof(op->message),
		 "GET %.100s: damaged, in the store or on the way: it has not the CRC32C it should",
		 op->key);
	f3_log_error("s3://%s: %s", call->s->place.bucket, op->message);
	f3_s3_end(call, -EIO);
}

static void got(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;
	struct f3_obj_op *op = call->op;
	uint64_t from, to, size = 0;
	const char *text;
	int r = a->result;

	if (r == -ERANGE) {
		/* It ends before the range begins. */
		text = f3_s3_headers_get(&a->answer, "content-range");
		if (text && sscanf(text, "bytes */%" SCNu64, &size) == 1)
			r = size <= op->off ? 0 : -EIO;
		else
			r = 0;
		op->info.size = r ? 0 : size;
		f3_s3_end(call, r);
		return;
	}
	if (r) {
		f3_s3_end_as(call, a);
		return;
	}
	if (a->status == 206) {
		text = f3_s3_headers_get(&a->answer, "content-range");
		if (!content_range(text, &from, &to, &size) || from != op->off ||
		    to - from + 1 != a->received ||
		    (a->received < op->len && to + 1 != size)) /* short, and not at its end */
			r = -EIO;
	} else if (op->off) {
		r = -EIO; /* the whole object, where a range was asked for */
	} else {
		size = a->received;
	}
	if (!r && is_damaged(a, size)) {
		come_damaged(call);
		return;
	}
	if (r) {
		snprintf(op->message, sizeof(op->message),
			 "GET %.100s: other bytes than were asked for came back", op->key);
		f3_s3_end(call, r);
		return;
	}
	r = f3_s3_meta_get(&a->answer, &op->info, &op->heap);
	if (!r && !op->info.etag[0]) {
		snprintf(op->message, sizeof(op->message),
			 "GET %.100s: the answer has no (possible) ETag", op->key);
		r = -EIO;
	}
	op->info.size = size;
	op->moved = op->len ? a->received : 0;
	f3_s3_end(call, r);
}

/* ---- Two answers ---- */

void f3_s3_hedging_init(struct f3_s3_hedging *h, uint64_t after_ns)
{
	h->after_ns = after_ns;
	h->late_ns = after_ns;
	h->credit = CREDIT_HEDGE;
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* s->lock held. */
static void note_first_byte(struct f3_s3_hedging *h, uint64_t ns)
{
	uint64_t sorted[F3_S3_FIRST_BYTES];
	unsigned n;

	h->first_byte_ns[h->n++ % F3_S3_FIRST_BYTES] = ns;
	if (h->n % LATE_EVERY)
		return;
	n = h->n < F3_S3_FIRST_BYTES ? h->n : F3_S3_FIRST_BYTES;
	memcpy(sorted, h->first_byte_ns, n * sizeof(sorted[0]));
	qsort(sorted, n, sizeof(sorted[0]), by_time);
	h->late_ns = sorted[n * 95 / 100];
}

static struct f3_s3_ask *other_of(struct f3_s3_ask *a)
{
	return a == &a->call->a ? &a->call->b : &a->call->a;
}

/* It is the winner now: the other one ends. s->lock not held; the call is referenced for this. */
static void cancel_loser(struct f3_s3_ask *loser)
{
	struct f3_s3_call *call = loser->call;

	f3_s3_ask_cancel(loser, call->s);
	f3_s3_call_put(call);
}

static bool answer_begins(struct f3_s3_ask *a)
{
	unsigned status = a->http.status;
	struct f3_s3_call *call = a->call;
	bool first, won, hedged;

	if (status == 408 || status == 429 || status >= 500)
		return true;
	f3_lock(&call->s->lock);
	first = !call->winner;
	if (first) {
		call->winner = a;
		note_first_byte(&call->s->hedging, a->http.first_byte_ns);
	}
	won = call->winner == a;
	hedged = first && call->hedged;
	if (hedged)
		call->refs++;
	f3_unlock(&call->s->lock);
	if (hedged)
		cancel_loser(other_of(a));
	return won;
}

static void finish(struct f3_s3_call *call)
{
	struct f3_s3_ask *a = call->winner ? call->winner : &call->a;

	if (call->hedged)
		f3_count(a == &call->b ? &hedges_won : &hedges_lost, 1);
	if (f3_timer_cancel(&call->hedge))
		f3_s3_call_put(call);
	got(a);
}

static void one_ended(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;
	bool last, decided;

	f3_lock(&call->s->lock);
	last = --call->pending == 0;
	decided = !last && !a->result && !call->winner;
	if (decided) {
		call->winner = a;
		call->refs++;
	}
	f3_unlock(&call->s->lock);
	if (decided)
		cancel_loser(other_of(a));
	else if (last)
		finish(call);
}

/* 0 or -ENAMETOOLONG. */
static int prepare(struct f3_s3_call *call, struct f3_s3_ask *a)
{
	const struct f3_obj_op *op = call->op;
	int r;

	f3_s3_ask_init(a, call, "GET");
	r = f3_s3_ask_key(a, op->key, false);
	if (r)
		return r;
	if (op->etag)
		f3_s3_ask_cond(a, F3_OBJ_MATCH, op->etag);
	/* A range of no bytes cannot be said. */
	f3_s3_headers_addf(&a->headers, "range", "bytes=%" PRIu64 "-%" PRIu64, op->off,
			   op->off + (op->len ? op->len : 1) - 1);
	a->into = op->len ? op->buf : NULL;
	a->into_bytes = op->len;
	/* It may be all of it. */
	a->sum_answer = a->into && !op->off;
	if (a->sum_answer)
		f3_s3_headers_add(&a->headers, "x-amz-checksum-mode", "ENABLED");
	if (call->s->hedging.after_ns)
		a->begins = answer_begins;
	return 0;
}

/* No answer has begun for too long. */
static void no_answer(struct f3_work *work)
{
	struct f3_timer *timer =
		(struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));
	struct f3_s3_call *call =
		(struct f3_s3_call *)((char *)timer - offsetof(struct f3_s3_call, hedge));
	struct f3_s3 *s = call->s;
	/* Those that wait for their turn have not been asked at all. */
	bool go = !f3_http_waiting(s->http), denied;

	f3_lock(&s->lock);
	go = go && call->pending == 1 && !call->winner && !call->hedged && !call->cancelled &&
	     !s->closing;
	denied = go && s->hedging.credit < CREDIT_HEDGE;
	go = go && !denied;
	if (go) {
		s->hedging.credit -= CREDIT_HEDGE;
		call->hedged = true;
		call->pending++;
	}
	f3_unlock(&s->lock);
	if (denied)
		f3_count(&hedges_denied, 1);
	if (go) {
		(void)prepare(call, &call->b); /* as the first time */
		f3_s3_ask_start(&call->b, one_ended);
	}
	f3_s3_call_put(call);
}

static void arm(struct f3_s3_call *call)
{
	struct f3_s3 *s = call->s;
	struct f3_s3_hedging *h = &s->hedging;
	uint64_t after;

	f3_timer_init(&call->hedge, s->q, no_answer);
	if (!h->after_ns)
		return;
	f3_lock(&s->lock);
	if (h->credit < CREDIT_MAX)
		h->credit++;
	after = h->late_ns > h->after_ns ? h->late_ns : h->after_ns;
	f3_unlock(&s->lock);
	call->refs++;
	if (f3_timer_arm(&call->hedge, f3_clock_mono_ns() + after))
		f3_s3_call_put(call);
}

static void ask_for_it(struct f3_s3_call *call)
{
	int r = prepare(call, &call->a);

	if (r) {
		f3_s3_end(call, r);
		return;
	}
	f3_lock(&call->s->lock);
	call->pending = 1;
	call->winner = NULL;
	call->hedged = false;
	f3_unlock(&call->s->lock);
	f3_s3_ask_start(&call->a, one_ended);
}

void f3_s3_get(struct f3_s3_call *call)
{
	arm(call);
	ask_for_it(call);
}
