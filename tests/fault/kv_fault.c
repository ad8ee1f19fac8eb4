/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/fault/kv_fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct point {
	uint64_t calls;
	uint64_t from, until; /* these calls fail, counted like `calls`; from 1 */
	int error;
	bool closed;
	unsigned waiting;
};

struct fault {
	struct f3_kv kv;
	struct f3_kv_ops ops; /* the inner ones where no fault is possible */
	struct f3_kv *inner;
	struct fault *points_of; /* itself; of a snapshot: the store it is of */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct point points[F3_KV_FAULT_MAX];
};

struct f3_kv_iter {
	struct fault *f;
	struct f3_kv_iter *inner;
};

static struct fault *fault_of(struct f3_kv *kv)
{
	return (struct fault *)kv;
}

/* 0 or the -errno that this call is to fail with. */
static int pass(struct fault *of, enum f3_kv_fault_op op)
{
	struct fault *f = of->points_of;
	struct point *p = &f->points[op];
	int r = 0;

	pthread_mutex_lock(&f->lock);
	p->waiting++;
	pthread_cond_broadcast(&f->cond);
	while (p->closed)
		pthread_cond_wait(&f->cond, &f->lock);
	p->waiting--;
	p->calls++;
	if (p->calls >= p->from && p->calls < p->until)
		r = p->error;
	pthread_mutex_unlock(&f->lock);
	return r;
}

static int fault_get(struct f3_kv *kv, enum f3_cf cf, const void *key, size_t klen,
		     struct f3_buf *out)
{
	struct fault *f = fault_of(kv);
	int r = pass(f, F3_KV_FAULT_GET);

	return r ? r : f->inner->ops->get(f->inner, cf, key, klen, out);
}

static int fault_batch_new(struct f3_kv *kv, struct f3_kv_batch **ret_b)
{
	struct fault *f = fault_of(kv);
	int r = pass(f, F3_KV_FAULT_BATCH);

	return r ? r : f->inner->ops->batch_new(f->inner, ret_b);
}

static void fault_batch_free(struct f3_kv *kv, struct f3_kv_batch *b)
{
	struct fault *f = fault_of(kv);

	f->inner->ops->batch_free(f->inner, b);
}

static int fault_write(struct f3_kv *kv, struct f3_kv_batch *b)
{
	struct fault *f = fault_of(kv);
	int r = pass(f, F3_KV_FAULT_WRITE);

	return r ? r : f->inner->ops->write(f->inner, b);
}

static int fault_sync(struct f3_kv *kv)
{
	struct fault *f = fault_of(kv);
	int r = pass(f, F3_KV_FAULT_SYNC);

	return r ? r : f->inner->ops->sync(f->inner);
}

static int fault_iter_new(struct f3_kv *kv, enum f3_cf cf, const void *from, size_t flen,
			  const void *to, size_t tlen, struct f3_kv_iter **ret_it)
{
	struct fault *f = fault_of(kv);
	int r = pass(f, F3_KV_FAULT_ITER);
	struct f3_kv_iter *it;

	if (r)
		return r;
	it = malloc(sizeof(*it));
	if (!it)
		return -ENOMEM;
	it->f = f;
	r = f->inner->ops->iter_new(f->inner, cf, from, flen, to, tlen, &it->inner);
	if (r) {
		free(it);
		return r;
	}
	*ret_it = it;
	return 0;
}

static int fault_iter_next(struct f3_kv_iter *it, const uint8_t **ret_key, size_t *ret_klen,
			   const uint8_t **ret_val, size_t *ret_vlen)
{
	int r = pass(it->f, F3_KV_FAULT_NEXT);

	return r ? r :
		   it->f->inner->ops->iter_next(it->inner, ret_key, ret_klen, ret_val, ret_vlen);
}

static void fault_iter_free(struct f3_kv_iter *it)
{
	if (!it)
		return;
	it->f->inner->ops->iter_free(it->inner);
	free(it);
}

static int fault_snapshot(struct f3_kv *kv, struct f3_kv **ret_view)
{
	struct fault *f = fault_of(kv);
	struct f3_kv *inner, *view;
	int r = f->inner->ops->snapshot(f->inner, &inner);

	if (r)
		return r;
	r = f3_kv_fault_new(inner, &view);
	if (r) {
		inner->ops->close(inner);
		return r;
	}
	fault_of(view)->points_of = f;
	*ret_view = view;
	return 0;
}

static void fault_stats(struct f3_kv *kv, uint64_t *ret_disk_bytes, uint64_t *ret_mem_bytes)
{
	struct fault *f = fault_of(kv);

	f->inner->ops->stats(f->inner, ret_disk_bytes, ret_mem_bytes);
}

static void fault_rest(struct f3_kv *kv, uint64_t cache_bytes, uint64_t buffer_bytes)
{
	struct fault *f = fault_of(kv);

	f->inner->ops->rest(f->inner, cache_bytes, buffer_bytes);
}

static void fault_close(struct f3_kv *kv)
{
	struct fault *f = fault_of(kv);

	if (!kv)
		return;
	f->inner->ops->close(f->inner);
	pthread_cond_destroy(&f->cond);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

int f3_kv_fault_new(struct f3_kv *inner, struct f3_kv **ret_kv)
{
	struct fault *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->inner = inner;
	f->points_of = f;
	f->ops = *inner->ops;
	f->ops.get = fault_get;
	f->ops.batch_new = fault_batch_new;
	f->ops.batch_free = fault_batch_free;
	f->ops.write = fault_write;
	f->ops.sync = fault_sync;
	f->ops.iter_new = fault_iter_new;
	f->ops.iter_next = fault_iter_next;
	f->ops.iter_free = fault_iter_free;
	f->ops.snapshot = fault_snapshot;
	f->ops.rest = fault_rest;
	f->ops.stats = fault_stats;
	f->ops.close = fault_close;
	f->kv.ops = &f->ops;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->cond, NULL);
	*ret_kv = &f->kv;
	return 0;
}

void f3_kv_fault_set(struct f3_kv *kv, enum f3_kv_fault_op op, uint64_t nth, uint64_t count,
		     int error)
{
	struct fault *f = fault_of(kv);
	struct point *p = &f->points[op];

	pthread_mutex_lock(&f->lock);
	p->from = p->calls + nth;
	p->until = p->from + count;
	p->error = error;
	pthread_mutex_unlock(&f->lock);
}

/* The errno of a name like "EIO", 0 if there is none. */
static int errno_of(const char *name, size_t len)
{
	for (int e = 1; e < 200; e++) {
		const char *n = f3_errno_name(e);

		if (strlen(n) == len && memcmp(n, name, len) == 0)
			return e;
	}
	return 0;
}

int f3_kv_fault_parse(struct f3_kv *kv, const char *text)
{
	static const char *const names[F3_KV_FAULT_MAX] = { "get",  "batch", "write",
							    "sync", "iter",  "next" };

	while (*text) {
		unsigned long long nth, count;
		int end = 0, op, error;
		char name[16], code[32];

		if (sscanf(text, "%15[a-z]:%llu:%llu:%31[A-Z0-9]%n", name, &nth, &count, code,
			   &end) != 4)
			return -EINVAL;
		for (op = 0; op < F3_KV_FAULT_MAX && strcmp(names[op], name) != 0; op++)
			;
		error = errno_of(code, strlen(code));
		if (op == F3_KV_FAULT_MAX || !error || nth == 0)
			return -EINVAL;
		f3_kv_fault_set(kv, (enum f3_kv_fault_op)op, nth, count, -error);
		text += end;
		if (*text == ',')
			text++;
		else if (*text)
			return -EINVAL;
	}
	return 0;
}

uint64_t f3_kv_fault_calls(struct f3_kv *kv, enum f3_kv_fault_op op)
{
	struct fault *f = fault_of(kv);
	uint64_t n;

	pthread_mutex_lock(&f->lock);
	n = f->points[op].calls;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void f3_kv_fault_gate(struct f3_kv *kv, enum f3_kv_fault_op op, bool closed)
{
	struct fault *f = fault_of(kv);

	pthread_mutex_lock(&f->lock);
	f->points[op].closed = closed;
	pthread_cond_broadcast(&f->cond);
	pthread_mutex_unlock(&f->lock);
}

void f3_kv_fault_await(struct f3_kv *kv, enum f3_kv_fault_op op, unsigned n)
{
	struct fault *f = fault_of(kv);

	pthread_mutex_lock(&f->lock);
	while (f->points[op].waiting < n)
		pthread_cond_wait(&f->cond, &f->lock);
	pthread_mutex_unlock(&f->lock);
}
