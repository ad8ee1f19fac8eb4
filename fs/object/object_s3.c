/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_s3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fs/base/budget.h"
#include "fs/base/clock.h"
#include "fs/object/digest.h"
#include "fs/object/s3_meta.h"

#define PARALLEL_DEFAULT 64u
#define THREADS 4
#define PROBE_TRIES 4
#define QUEUED_MAX 65536
#define REGION_DEFAULT "us-east-1"
/* Of the memory for buffers a store's connections take at most this much. */
#define BUFFERS_PART 4
/* Not a header to be added: signing does so, with what it is told of the body. */
#define PAYLOAD "x-amz-content-sha256"

/* ---- Calls ---- */

static void call_free(struct f3_s3_call *call)
{
	f3_s3_ask_done(&call->a);
	f3_s3_ask_done(&call->b);
	free(call->source_heap);
	free(call->parts);
	free(call->body);
	free(call);
}

void f3_s3_call_put(struct f3_s3_call *call)
{
	struct f3_s3 *s = call->s;

	if (--call->refs)
		return;
	call_free(call);
	/* Who closes the store waits for this: until here it was looked into. */
	f3_lock(&s->lock);
	s->n_calls--;
	if (!s->n_calls)
		pthread_cond_broadcast(&s->idle);
	f3_unlock(&s->lock);
}

void f3_s3_end(struct f3_s3_call *call, int result)
{
	struct f3_s3 *s = call->s;
	struct f3_obj_op *op = call->op;

	/* Nobody finds it by its operation any more, which may be another one right after. */
	f3_lock(&s->lock);
	TAILQ_REMOVE(&s->calls, call, of_store);
	f3_unlock(&s->lock);
	op->result = result;
	if (result && !op->message[0])
		snprintf(op->message, sizeof(op->message), "%s %.120s: %s",
			 f3_obj_type_name(op->type), op->key, f3_errno_name(result));
	op->done(op);
	f3_s3_call_put(call);
}

void f3_s3_end_as(struct f3_s3_call *call, const struct f3_s3_ask *a)
{
	if (a->result && a->message[0])
		snprintf(call->op->message, sizeof(call->op->message), "%s", a->message);
	f3_s3_end(call, a->result);
}

void f3_s3_encryption(struct f3_s3_ask *a)
{
	const struct f3_s3 *s = a->s;

	if (!s->encryption)
		return;
	f3_s3_headers_add(&a->headers, "x-amz-server-side-encryption", s->encryption);
	if (s->kms_key)
		f3_s3_headers_add(&a->headers, "x-amz-server-side-encryption-aws-kms-key-id",
				  s->kms_key);
}

void f3_s3_new_object(struct f3_s3_ask *a, const char *key)
{
	f3_s3_headers_add(&a->headers, "content-type", f3_s3_content_type(key));
	if (a->s->storage_class)
		f3_s3_headers_add(&a->headers, "x-amz-storage-class", a->s->storage_class);
	f3_s3_encryption(a);
}

static void not_supported(struct f3_s3_call *call)
{
	f3_s3_end(call, -EOPNOTSUPP);
}

static void (*const what_to_do[F3_OBJ_TYPES])(struct f3_s3_call *call) = {
	[F3_OBJ_GET] = f3_s3_get,
	[F3_OBJ_HEAD] = f3_s3_head,
	[F3_OBJ_PUT] = f3_s3_put,
	[F3_OBJ_DELETE] = f3_s3_delete,
	[F3_OBJ_COPY] = f3_s3_copy,
	[F3_OBJ_RENAME] = not_supported,
	[F3_OBJ_SET_ATTR] = f3_s3_copy,
	[F3_OBJ_MKDIR] = f3_s3_mkdir,
	[F3_OBJ_RMDIR] = f3_s3_rmdir,
	[F3_OBJ_LIST] = f3_s3_list,
	[F3_OBJ_UPLOAD_CREATE] = f3_s3_upload_create,
	[F3_OBJ_UPLOAD_PART] = f3_s3_upload_part,
	[F3_OBJ_UPLOAD_PART_COPY] = f3_s3_upload_part_copy,
	[F3_OBJ_UPLOAD_COMPLETE] = f3_s3_upload_complete,
	[F3_OBJ_UPLOAD_ABORT] = f3_s3_upload_abort,
	[F3_OBJ_UPLOAD_LIST] = f3_s3_upload_list,
};

static void s3_submit(struct f3_object_store *base, struct f3_obj_op *op)
{
	struct f3_s3 *s = (struct f3_s3 *)base;
	struct f3_s3_call *call = calloc(1, sizeof(*call));
	int r = call ? 0 : -ENOMEM;

	if (call) {
		call->s = s;
		call->op = op;
		call->refs = 1;
		f3_lock(&s->lock);
		if (s->closing) {
			r = -ESHUTDOWN;
		} else {
			TAILQ_INSERT_TAIL(&s->calls, call, of_store);
			s->n_calls++;
		}
		f3_unlock(&s->lock);
	}
	if (r) {
		free(call);
		op->result = r;
		op->done(op);
		return;
	}
	what_to_do[op->type](call);
}

static void cancel_call(struct f3_s3_call *call)
{
	call->cancelled = true;
	if (f3_s3_sums_cancel(call)) {
		f3_s3_end(call, -ECANCELED);
	} else {
		f3_s3_ask_cancel(&call->a, call->s);
		f3_s3_ask_cancel(&call->b, call->s);
	}
	f3_s3_call_put(call);
}

static void s3_cancel(struct f3_object_store *base, struct f3_obj_op *op)
{
	struct f3_s3 *s = (struct f3_s3 *)base;
	struct f3_s3_call *call;

	f3_lock(&s->lock);
	TAILQ_FOREACH(call, &s->calls, of_store)
		if (call->op == op)
			break;
	if (call)
		call->refs++;
	f3_unlock(&s->lock);
	if (call)
		cancel_call(call);
}

/* ---- One request without an operation ---- */

struct alone {
	struct f3_lock lock;
	pthread_cond_t cond;
	bool done;
};

static void alone_done(struct f3_s3_ask *a)
{
	struct alone *w = a->call->op->owner;

	f3_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->cond);
	f3_unlock(&w->lock);
}

/* Starts call->a and waits for its end. */
static int ask_alone(struct f3_s3_call *call)
{
	struct alone w = { .done = false };

	f3_lock_init(&w.lock, F3_RANK_QUEUE);
	f3_cond_init(&w.cond);
	call->op->owner = &w;
	f3_s3_ask_start(&call->a, alone_done);
	f3_lock(&w.lock);
	while (!w.done)
		f3_cond_wait(&w.cond, &w.lock, 0);
	f3_unlock(&w.lock);
	pthread_cond_destroy(&w.cond);
	f3_lock_done(&w.lock);
	return call->a.result;
}

/* A call for it, of no operation that anybody waits for. NULL: no memory, or it is being closed. */
static struct f3_s3_call *call_alone(struct f3_s3 *s, struct f3_obj_op *op)
{
	struct f3_s3_call *call = calloc(1, sizeof(*call));
	bool closing;

	if (!call)
		return NULL;
	f3_object_op_init(op, F3_OBJ_HEAD);
	call->s = s;
	call->op = op;
	call->refs = 1;
	f3_lock(&s->lock);
	closing = s->closing;
	if (!closing) {
		TAILQ_INSERT_TAIL(&s->calls, call, of_store);
		s->n_calls++;
	}
	f3_unlock(&s->lock);
	if (closing) {
		free(call);
		return NULL;
	}
	return call;
}

static void end_alone(struct f3_s3_call *call)
{
	struct f3_s3 *s = call->s;

	f3_lock(&s->lock);
	TAILQ_REMOVE(&s->calls, call, of_store);
	f3_unlock(&s->lock);
	f3_s3_call_put(call);
}

/* The region a store says it is in, where it was asked by the name of another one. */
static bool other_region(const struct f3_s3_ask *a, char ret_region[F3_S3_REGION_MAX + 1])
{
	const char *region = f3_s3_headers_get(&a->answer, "x-amz-bucket-region");

	if (region)
		snprintf(ret_region, F3_S3_REGION_MAX + 1, "%s", region);
	else if (f3_s3_element(&a->text, "Error/Region", ret_region, F3_S3_REGION_MAX + 1))
		return false;
	return *ret_region && strcmp(ret_region, a->s->place.region) != 0;
}

/* A listing of one key: is the bucket there, and may it be read? Where it is in another region than
 * was said, that one is taken; only before anything else is asked. */
static int look_at_bucket(struct f3_s3 *s, bool opening, uint64_t deadline_mono_ns,
			  struct f3_err *err)
{
	struct f3_obj_op op;
	struct f3_s3_call *call = call_alone(s, &op);
	char region[F3_S3_REGION_MAX + 1];
	int r;

	if (!call)
		return f3_err_set(err, -ENOMEM, "out of memory");
	op.deadline_mono_ns = deadline_mono_ns;
	for (int tries = 0;; tries++) {
		struct f3_s3_ask *a = &call->a;

		f3_s3_ask_init(a, call, "GET");
		f3_s3_ask_bucket(a);
		f3_s3_ask_query(a, "list-type", "2");
		f3_s3_ask_query(a, "max-keys", "1");
		f3_s3_ask_query(a, "prefix", s->place.prefix);
		r = ask_alone(call);
		if (!r || !opening || tries || !other_region(a, region))
			break;
		if (f3_s3_place_parse(s->url, s->endpoint, region, s->style, &s->place, err))
			break;
	}
	if (r)
		f3_err_set(err, r == F3_OBJ_AMBIGUOUS ? -EIO : r, "s3://%s at %s: %s%s",
			   s->place.bucket, s->place.base, call->a.message,
			   strcmp(call->a.code, "AccessDenied") ?
				   "" :
				   "; F3 has to list the bucket (s3:ListBucket)");
	end_alone(call);
	return r == F3_OBJ_AMBIGUOUS ? -EIO : r;
}

static int s3_ping(struct f3_object_store *base, struct f3_err *err)
{
	return look_at_bucket((struct f3_s3 *)base, false, 0, err);
}

/* ---- Closing ---- */

static void s3_free(struct f3_s3 *s)
{
	/* No call is under way. What renews keys is in the queue. */
	f3_cred_chain_free(s->chain);
	f3_http_close(s->http);
	f3_workq_free(s->q);
	if (s->budget)
		f3_budget_give(s->budget, F3_ACCT_BUFFERS, s->buffer_bytes);
	pthread_cond_destroy(&s->idle);
	f3_lock_done(&s->lock);
	free(s->url);
	free(s->endpoint);
	free(s->profile);
	free(s->ca_file);
	free(s->storage_class);
	free(s->encryption);
	free(s->kms_key);
	free(s);
}

static void s3_shut(struct f3_object_store *base)
{
	struct f3_s3 *s = (struct f3_s3 *)base;
	struct f3_s3_call *call;

	f3_lock(&s->lock);
	s->closing = true;
	for (;;) {
		TAILQ_FOREACH(call, &s->calls, of_store)
			if (!call->cancelled)
				break;
		if (!call)
			break;
		call->refs++;
		f3_unlock(&s->lock);
		cancel_call(call);
		f3_lock(&s->lock);
	}
	f3_unlock(&s->lock);
}

static void s3_close(struct f3_object_store *base)
{
	struct f3_s3 *s = (struct f3_s3 *)base;

	s3_shut(base);
	f3_lock(&s->lock);
	while (s->n_calls)
		f3_cond_wait(&s->idle, &s->lock, 0);
	f3_unlock(&s->lock);
	s3_free(s);
}

/* ---- What the store does with what it is sent ---- */

static int random_key(char ret_key[64])
{
	uint64_t unique;

	if (getrandom(&unique, sizeof(unique), 0) != sizeof(unique))
		return -EIO;
	snprintf(ret_key, 64, F3_OBJ_AREA_PROBE "/%016" PRIx64, unique);
	return 0;
}

/* Puts a few bytes with a header that says something about them; or one of those that signing adds
 * itself. The status; 0: no answer. */
static unsigned put_once(struct f3_s3 *s, const char *key, const char *name, const char *value,
			 int *ret_result)
{
	struct f3_obj_op op;
	struct f3_s3_call *call = call_alone(s, &op);
	struct f3_s3_ask *a;
	unsigned status;

	*ret_result = -ENOMEM;
	if (!call)
		return 0;
	a = &call->a;
	f3_s3_ask_init(a, call, "PUT");
	a->mutates = true;
	*ret_result = f3_s3_ask_key(a, key, false);
	if (*ret_result) {
		end_alone(call);
		return 0;
	}
	f3_s3_headers_add(&a->headers, "content-type", "text/plain");
	f3_s3_encryption(a);
	if (name && !strcmp(name, PAYLOAD))
		snprintf(a->payload, sizeof(a->payload), "%s", value);
	else if (name)
		f3_s3_headers_add(&a->headers, name, value);
	a->once = true;
	a->has_body = true;
	a->body = "probe";
	a->body_bytes = 5;
	a->cond = F3_OBJ_MATCH;
	*ret_result = ask_alone(call);
	status = a->status;
	if (!*ret_result) {
		const char *etag = f3_s3_headers_get(&a->answer, "etag");

		f3_s3_etag(etag ? etag : "", s->probe_etag);
	}
	end_alone(call);
	return status;
}

/* An answer that says nothing about the question. */
static bool says_nothing(unsigned status)
{
	return !status || status == 408 || status == 429 || (status >= 500 && status != 501);
}

/* The same, and again where the answer says nothing: it is no harm to put them twice. */
static unsigned put_with(struct f3_s3 *s, const char *key, const char *name, const char *value,
			 int *ret_result)
{
	unsigned status = 0;

	for (int tries = 0; tries < PROBE_TRIES; tries++) {
		status = put_once(s, key, name, value, ret_result);
		if (!says_nothing(status))
			break;
	}
	return status;
}

static void remove_probe(struct f3_s3 *s, const char *key)
{
	struct f3_obj_op op;

	f3_object_op_init(&op, F3_OBJ_DELETE);
	op.key = key;
	(void)f3_object_run(&s->base, &op);
	f3_object_op_done(&op);
}

/* Wrong sums: who checks them refuses. 0, -EAGAIN: it does not, -EIO: it says neither. */
static int checks(struct f3_s3 *s, const char *key, enum f3_s3_checksum kind)
{
	static const struct {
		const char *name, *wrong;
	} kinds[] = {
		[F3_S3_CHECKSUM_CRC32C] = { "x-amz-checksum-crc32c", "AAAAAA==" },
		[F3_S3_CHECKSUM_MD5] = { "content-md5", "AAAAAAAAAAAAAAAAAAAAAA==" },
		/* that of "other" */
		[F3_S3_CHECKSUM_SHA256] = { PAYLOAD, "d9298a10d1b0735837dc4bd85dac641b"
						     "0f3cef27a47e5d53a54f2f3f5b2fcffa" },
	};
	unsigned status;
	int r;

	status = put_with(s, key, kinds[kind].name, kinds[kind].wrong, &r);
	/* Some servers' way to refuse what they do not expect is 500. */
	if (says_nothing(status) && status != 500)
		return -EIO;
	return status / 100 == 4 ? 0 : -EAGAIN;
}

/* The sum that costs least here, of those the store looks at. */
static int find_checksum(struct f3_s3 *s, const char *key)
{
	enum f3_s3_checksum tries[] = { F3_S3_CHECKSUM_CRC32C, F3_S3_CHECKSUM_MD5,
					F3_S3_CHECKSUM_SHA256 };
	int r;

	if (s->wanted_checksum != F3_S3_CHECKSUM_AUTO)
		return 0;
	if (s->plain_checksum == F3_S3_CHECKSUM_SHA256) {
		tries[1] = F3_S3_CHECKSUM_SHA256;
		tries[2] = F3_S3_CHECKSUM_MD5;
	}
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		r = checks(s, key, tries[i]);
		if (r != -EAGAIN) {
			s->checksum = r ? s->checksum : tries[i];
			return r;
		}
	}
	s->checksum = F3_S3_CHECKSUM_NONE;
	return 0;
}

/* Some want an ETag in a condition without its quotation marks. */
static void find_dialect(struct f3_s3 *s, const char *key)
{
	char quoted[F3_OBJ_ETAG_MAX + 3], plain[F3_OBJ_ETAG_MAX + 1];
	int r;

	memcpy(plain, s->probe_etag, sizeof(plain));
	f3_s3_etag_text(s, plain, true, quoted);
	if (put_with(s, key, "if-match", quoted, &r) == 412)
		s->unquoted = put_with(s, key, "if-match", plain, &r) && !r;
}

/* Copies with a condition on the source. */
static int copy_if(struct f3_s3 *s, const char *key, const char *etag)
{
	struct f3_obj_op op;
	struct f3_s3_call *call = call_alone(s, &op);
	struct f3_s3_ask *a;
	char to[80];
	int r;

	if (!call)
		return -ENOMEM;
	a = &call->a;
	snprintf(to, sizeof(to), "%.64s-copy", key);
	f3_s3_ask_init(a, call, "PUT");
	a->mutates = true;
	a->has_body = true;
	a->body = "";
	r = f3_s3_ask_key(a, to, false);
	if (!r)
		r = f3_s3_copy_source(a, key, etag);
	if (!r)
		r = ask_alone(call);
	end_alone(call);
	if (!r)
		remove_probe(s, to);
	return r;
}

/* By which name conditions on the source of a copy are understood, if they are. */
static void find_copy_dialect(struct f3_s3 *s, const char *key)
{
	static const char wrong[] = "00000000000000000000000000000000";
	char right[F3_OBJ_ETAG_MAX + 1];

	memcpy(right, s->probe_etag, sizeof(right));
	for (s->copy_cond = F3_S3_COPY_COND_S3; s->copy_cond <= F3_S3_COPY_COND_CEPH;
	     s->copy_cond++)
		if (copy_if(s, key, wrong) && !copy_if(s, key, right))
			return;
	s->copy_cond = F3_S3_COPY_COND_NONE;
}

/* May it be written, and how? A warning, where it may not. */
static int look_at_writing(struct f3_s3 *s, struct f3_err *err)
{
	char key[64];
	int r = random_key(key);

	if (r)
		return f3_err_set(err, r, "no random numbers");
	put_with(s, key, NULL, NULL, &r);
	if (r == -EACCES || r == -EROFS || r == -EPERM) {
		s->base.read_only = true;
		f3_err_set(err, 0, "s3://%s may be read but not written with these keys",
			   s->place.bucket);
		return 0;
	}
	if (r)
		return f3_err_set(err, r == F3_OBJ_AMBIGUOUS ? -EIO : r,
				  "s3://%s cannot be written: %s", s->place.bucket,
				  f3_errno_name(r));
	r = find_checksum(s, key);
	if (!r) {
		find_dialect(s, key);
		find_copy_dialect(s, key);
	} else {
		f3_err_set(err, r, "s3://%s: no clear answer to what it does with sums",
			   s->place.bucket);
	}
	remove_probe(s, key);
	return r;
}

static int s3_meet(struct f3_object_store *base, uint64_t deadline_mono_ns, struct f3_err *err)
{
	struct f3_s3 *s = (struct f3_s3 *)base;
	int r = look_at_bucket(s, true, deadline_mono_ns, err);

	return r || base->read_only ? r : look_at_writing(s, err);
}

/* ---- Opening ---- */

static const struct f3_object_ops s3_ops = {
	.scheme = "s3",
	.submit = s3_submit,
	.cancel = s3_cancel,
	.ping = s3_ping,
	.meet = s3_meet,
	.shut = s3_shut,
	.close = s3_close,
};

static int copy_text(char **ret_copy, const char *text)
{
	*ret_copy = text && *text ? strdup(text) : NULL;
	return text && *text && !*ret_copy ? -ENOMEM : 0;
}

static const char *endpoint_of(const struct f3_s3_options *opt)
{
	const char *e = opt->endpoint;

	if (!e || !*e)
		e = getenv("AWS_ENDPOINT_URL_S3");
	if (!e || !*e)
		e = getenv("AWS_ENDPOINT_URL");
	return e && *e ? e : NULL;
}

static int take_options(struct f3_s3 *s, const struct f3_object_options *opt)
{
	static const struct f3_s3_options defaults = { .endpoint = NULL };
	const struct f3_s3_options *o = opt->s3 ? opt->s3 : &defaults;
	const char *ca = o->ca_file && *o->ca_file ? o->ca_file : getenv("AWS_CA_BUNDLE");
	int r = copy_text(&s->url, opt->url);

	s->style = o->style;
	s->checksum = s->wanted_checksum = o->checksum;
	/* Requests are not signed without keys, so that there is nothing a body could be part of. */
	s->plain_checksum =
		f3_sha256_is_faster() && !o->anonymous ? F3_S3_CHECKSUM_SHA256 : F3_S3_CHECKSUM_MD5;
	s->timeout_ns = o->timeout_ns;
	f3_s3_hedging_init(&s->hedging, o->hedge_ns);
	s->max_parallel = o->max_parallel ? o->max_parallel : PARALLEL_DEFAULT;
	s->anonymous = o->anonymous;
	if (!r)
		r = copy_text(&s->endpoint, endpoint_of(o));
	if (!r)
		r = copy_text(&s->profile, o->profile);
	if (!r)
		r = copy_text(&s->ca_file, ca);
	if (!r)
		r = copy_text(&s->storage_class, o->storage_class);
	if (!r)
		r = copy_text(&s->encryption, o->encryption);
	if (!r)
		r = copy_text(&s->kms_key, o->kms_key);
	return r;
}

/* As many connections as their buffers may take memory. */
static int open_engine(struct f3_s3 *s, struct f3_err *err)
{
	struct f3_http_options opt = { .max_parallel = s->max_parallel,
				       .stall_ns = s->timeout_ns,
				       .ca_file = s->ca_file };

	if (s->budget) {
		uint64_t most = f3_budget_share(s->budget, F3_ACCT_BUFFERS) / BUFFERS_PART;

		while (opt.max_parallel > 4 && f3_http_bytes(&opt) > most)
			opt.max_parallel /= 2;
		s->buffer_bytes = f3_http_bytes(&opt) + F3_S3_SUMS_BYTES;
		if (f3_budget_try_take(s->budget, F3_ACCT_BUFFERS, s->buffer_bytes)) {
			s->buffer_bytes = 0;
			return f3_err_set(err, -ENOMEM,
					  "no memory for its connections under memory-limit");
		}
	}
	return f3_http_open(&opt, &s->http, err);
}

static int find_keys(struct f3_s3 *s, const char *region, char ret_region[F3_S3_REGION_MAX + 1],
		     struct f3_err *err)
{
	struct f3_cred_options opt = {
		.profile = s->profile, .region = region, .anonymous = s->anonymous, .work = s->q
	};
	int r = f3_cred_chain_new(&opt, &s->chain);

	if (r)
		return f3_err_set(err, r, "out of memory");
	if (region)
		snprintf(ret_region, F3_S3_REGION_MAX + 1, "%s", region);
	else if (f3_cred_region(&opt, ret_region, F3_S3_REGION_MAX + 1))
		snprintf(ret_region, F3_S3_REGION_MAX + 1, "%s", REGION_DEFAULT);
	return 0;
}

int f3_object_s3_open(const struct f3_object_options *opt, struct f3_object_store **ret_s,
		      struct f3_err *err)
{
	const char *region = opt->s3 ? opt->s3->region : NULL;
	char found[F3_S3_REGION_MAX + 1];
	struct f3_s3 *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return f3_err_set(err, -ENOMEM, "%s: out of memory", opt->url);
	f3_lock_init(&s->lock, F3_RANK_LOCAL);
	f3_cond_init(&s->idle);
	TAILQ_INIT(&s->calls);
	TAILQ_INIT(&s->to_sum);
	s->budget = opt->budget;
	s->base.ops = &s3_ops;
	s->base.read_only = opt->read_only;
	s->base.caps.xattrs = true;
	s->base.caps.utf8_keys = true;
	s->base.caps.attr_is_copy = true;
	s->base.caps.min_part_bytes = F3_S3_PART_MIN;
	s->base.caps.max_part_bytes = F3_S3_PUT_MAX;
	s->base.caps.max_parts = F3_S3_PARTS_MAX;
	s->base.caps.max_put_bytes = F3_S3_PUT_MAX;
	r = take_options(s, opt);
	if (!r)
		r = f3_workq_new("s3", THREADS, QUEUED_MAX, &s->q);
	if (r)
		f3_err_set(err, r, "%s: %s", opt->url, strerror(-r));
	if (!r)
		r = open_engine(s, err);
	if (!r)
		r = find_keys(s, region && *region ? region : NULL, found, err);
	if (!r)
		r = f3_s3_place_parse(opt->url, s->endpoint, found, s->style, &s->place, err);
	if (r) {
		s3_free(s);
		return r;
	}
	*ret_s = &s->base;
	return 0;
}
