/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is sent is read twice: here for the sums that go into its headers, and when it is sent. What is
 * sent has to have the CRC32C that was found here (fs/net/http.h), so both saw the same bytes.
 *
 * Where MD5 is what the store checks, large bodies are summed up several at a time, since that costs
 * little more than one (md5.h). They wait for one another only while enough are being sent to keep
 * the connections busy; each end of one of those lets the others go on.
 */
#include "config.h"

#include "fs/object/object_s3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/crc32c.h"
#include "fs/object/digest.h"

/* Read of each body at a time: all lanes together are to stay in the CPU's own memory. */
#define READ_BYTES (64u << 10)
/* From here on a body waits for others to be summed up with. */
#define GATHER_BYTES (1u << 20)
/* While so many are being sent. */
#define SENDING_ENOUGH 8

_Static_assert(F3_S3_SUMS_BYTES >= READ_BYTES * F3_MD5_LANES, "buffers of all lanes");

struct summing {
	struct f3_s3_call *call;
	enum f3_s3_checksum with;
	uint32_t crc;
	struct f3_md5 md5;
	struct f3_sha256 sha256;
	int error;
};

static enum f3_s3_checksum checksum_of(const struct f3_s3_call *call)
{
	const struct f3_s3 *s = call->s;

	return call->op->copies && s->checksum == F3_S3_CHECKSUM_CRC32C ? s->plain_checksum :
									  s->checksum;
}

/* ---- Summing up ---- */

static void begin(struct summing *v, struct f3_s3_call *call)
{
	v->call = call;
	v->with = checksum_of(call);
	v->crc = 0;
	v->error = 0;
	v->sha256.ctx = NULL;
	f3_md5_init(&v->md5);
	if (v->with == F3_S3_CHECKSUM_SHA256)
		v->error = f3_sha256_init(&v->sha256);
}

static void add(struct summing *v, const void *bytes, size_t len)
{
	v->crc = f3_crc32c(v->crc, bytes, len);
	if (v->with == F3_S3_CHECKSUM_SHA256)
		f3_sha256_add(&v->sha256, bytes, len);
}

/* Into the headers. Frees what begin took. */
static int end(struct summing *v)
{
	struct f3_s3_ask *a = &v->call->a;
	uint8_t sum[F3_MD5_BYTES];
	char base64[F3_MD5_BASE64];

	if (v->with == F3_S3_CHECKSUM_MD5) {
		f3_md5_end(&v->md5, sum);
		f3_md5_base64(sum, base64);
		f3_s3_headers_add(&a->headers, "content-md5", base64);
	} else if (v->with == F3_S3_CHECKSUM_CRC32C) {
		f3_crc32c_base64(v->crc, base64);
		f3_s3_headers_add(&a->headers, "x-amz-checksum-crc32c", base64);
	} else if (v->with == F3_S3_CHECKSUM_SHA256 && !v->error) {
		f3_sha256_end(&v->sha256, a->payload);
	}
	f3_sha256_done(&v->sha256);
	/* What is sent must be what was summed up, even if nobody looks at the sum there. */
	a->check_crc = true;
	a->want_crc32c = v->crc;
	return v->error;
}

/* 0, -ENODATA, -errno */
static int read_at(int fd, char *buf, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		done += (size_t)n;
	}
	return 0;
}

/* The next piece of each; MD5 of whole ones is made side by side. */
static void add_piece(struct summing *v, unsigned n, uint64_t off, char *buf)
{
	const void *pieces[F3_MD5_LANES];
	struct f3_md5 *sums[F3_MD5_LANES];
	unsigned whole = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct f3_s3_ask *a = &v[i].call->a;
		char *piece = buf + (size_t)i * READ_BYTES;
		size_t len = READ_BYTES;

		if (v[i].error || off >= a->body_bytes)
			continue;
		if (a->body_bytes - off < len)
			len = (size_t)(a->body_bytes - off);
		v[i].error = read_at(a->fd, piece, len, a->fd_off + off);
		if (v[i].error)
			continue;
		add(&v[i], piece, len);
		if (v[i].with != F3_S3_CHECKSUM_MD5)
			continue;
		if (len < READ_BYTES) {
			f3_md5_add(&v[i].md5, piece, len);
		} else {
			pieces[whole] = piece;
			sums[whole++] = &v[i].md5;
		}
	}
	if (whole)
		f3_md5_add_many(sums, pieces, whole, READ_BYTES);
}

/* Sums up bodies of files, and sends those that could be read. Then `then` is called for each, or its
 * `sent`. */
static void sum_files(struct summing *v, unsigned n, void (*then)(struct f3_s3_ask *a))
{
	char *buf = malloc((size_t)n * READ_BYTES);
	uint64_t longest = 0;

	for (unsigned i = 0; i < n; i++)
		if (v[i].call->a.body_bytes > longest)
			longest = v[i].call->a.body_bytes;
	for (uint64_t off = 0; buf && off < longest; off += READ_BYTES)
		add_piece(v, n, off, buf);
	free(buf);
	for (unsigned i = 0; i < n; i++) {
		struct f3_s3_ask *a = &v[i].call->a;
		void (*fn)(struct f3_s3_ask *) = then ? then : v[i].call->sent;

		a->result = end(&v[i]);
		if (!buf)
			a->result = -ENOMEM;
		if (a->result)
			fn(a);
		else
			f3_s3_ask_start(a, fn);
	}
}

static void sum_one(struct f3_work *work)
{
	struct f3_s3_call *call =
		(struct f3_s3_call *)((char *)work - offsetof(struct f3_s3_call, work));
	struct summing v;

	begin(&v, call);
	sum_files(&v, 1, NULL);
}

/* ---- Several at once ---- */

/* Is there something to begin with now? s->lock held. */
static bool may_sum(const struct f3_s3 *s)
{
	return s->n_to_sum >= F3_MD5_LANES || (s->n_to_sum && s->n_bodies < SENDING_ENOUGH);
}

static struct f3_s3_call *next_to_sum(struct f3_s3 *s)
{
	struct f3_s3_call *call = TAILQ_FIRST(&s->to_sum);

	if (call) {
		TAILQ_REMOVE(&s->to_sum, call, of_sums);
		s->n_to_sum--;
		call->wants_sum = false;
	}
	return call;
}

static void sum_some(struct f3_work *work);

/* It is begun, if it may and is not yet. What the queue has no room for is tried again by whoever sent
 * it. */
static void go_on(struct f3_s3 *s)
{
	struct f3_s3_call *call;
	bool begin_now;

	f3_lock(&s->lock);
	begin_now = !s->summing && may_sum(s);
	if (begin_now) {
		s->summing = true;
		s->sum_work.fn = sum_some;
	}
	f3_unlock(&s->lock);
	if (!begin_now || !f3_workq_push(s->q, &s->sum_work))
		return;
	do {
		f3_lock(&s->lock);
		s->summing = false;
		call = next_to_sum(s);
		f3_unlock(&s->lock);
		if (call)
			f3_s3_end(call, -EAGAIN);
	} while (call);
}

static void body_sent(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;
	struct f3_s3 *s = call->s;

	f3_lock(&s->lock);
	s->n_bodies--;
	f3_unlock(&s->lock);
	go_on(s);
	call->sent(a);
}

static void sum_some(struct f3_work *work)
{
	struct f3_s3 *s = (struct f3_s3 *)((char *)work - offsetof(struct f3_s3, sum_work));
	struct summing v[F3_MD5_LANES];
	struct f3_s3_call *call;
	unsigned n;

	do {
		n = 0;
		f3_lock(&s->lock);
		while (may_sum(s) || n) {
			if (n == F3_MD5_LANES || !(call = next_to_sum(s)))
				break;
			v[n++].call = call;
		}
		s->n_bodies += n;
		s->summing = n != 0;
		f3_unlock(&s->lock);
		for (unsigned i = 0; i < n; i++)
			begin(&v[i], v[i].call);
		if (n)
			sum_files(v, n, body_sent);
	} while (n);
}

bool f3_s3_sums_cancel(struct f3_s3_call *call)
{
	struct f3_s3 *s = call->s;
	bool waited;

	f3_lock(&s->lock);
	waited = call->wants_sum;
	if (waited) {
		TAILQ_REMOVE(&s->to_sum, call, of_sums);
		s->n_to_sum--;
		call->wants_sum = false;
	}
	f3_unlock(&s->lock);
	return waited;
}

/* ---- The door ---- */

static void gather(struct f3_s3_call *call)
{
	struct f3_s3 *s = call->s;

	f3_lock(&s->lock);
	/* Whoever cancels has said so before he looks whether it waits. */
	call->wants_sum = !call->cancelled;
	if (call->wants_sum) {
		TAILQ_INSERT_TAIL(&s->to_sum, call, of_sums);
		s->n_to_sum++;
	}
	f3_unlock(&s->lock);
	if (call->wants_sum)
		go_on(s);
	else
		f3_s3_end(call, -ECANCELED);
}

void f3_s3_send_body(struct f3_s3_call *call, void (*then)(struct f3_s3_ask *a))
{
	const struct f3_obj_op *op = call->op;
	struct f3_s3_ask *a = &call->a;
	struct summing v;
	int r;

	a->has_body = true;
	a->body = op->body ? op->body : op->len ? NULL : "";
	a->fd = op->fd;
	a->fd_off = op->fd_off;
	a->body_bytes = op->len;
	call->sent = then;
	if (a->body) {
		begin(&v, call);
		add(&v, a->body, a->body_bytes);
		f3_md5_add(&v.md5, a->body, a->body_bytes);
		r = end(&v);
		if (r)
			f3_s3_end(call, r);
		else
			f3_s3_ask_start(a, then);
		return;
	}
	if (checksum_of(call) == F3_S3_CHECKSUM_MD5 && f3_md5_is_wide() &&
	    op->len >= GATHER_BYTES) {
		gather(call);
		return;
	}
	call->work.fn = sum_one;
	if (f3_workq_push(call->s->q, &call->work)) /* it is read first */
		f3_s3_end(call, -EAGAIN);
}
