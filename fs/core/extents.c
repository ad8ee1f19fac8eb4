/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/extents.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Lists are kept newest first: adding and taking out need no tail. Collecting turns the order
 * round, so that those who came first are called first. A collected waiter belongs to the list of
 * whoever collected it and to no lock any more: its link is NULL, canceling it comes too late.
 */
void f3_waiter_add(struct f3_waiter_list *list, struct f3_waiter *w)
{
	w->next = list->first;
	w->link = &list->first;
	w->result = 0;
	if (w->next)
		w->next->link = &w->next;
	list->first = w;
}

static void take_out(struct f3_waiter *w)
{
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	w->link = NULL;
	w->next = NULL;
}

bool f3_waiter_cancel(struct f3_waiter *w)
{
	if (!w->link)
		return false;
	take_out(w);
	return true;
}

static void collect(struct f3_waiter *w, int result, struct f3_waiter_list *to)
{
	take_out(w);
	w->result = result;
	w->next = to->first;
	to->first = w;
}

void f3_waiters_collect(struct f3_waiter_list *from, int result, struct f3_waiter_list *to)
{
	while (from->first)
		collect(from->first, result, to);
}

static bool overlaps(const struct f3_waiter *w, uint64_t off, uint64_t len)
{
	/* Written so that nothing can overflow. */
	return w->off < off ? w->len > off - w->off : len > w->off - off;
}

void f3_waiters_collect_range(struct f3_waiter_list *from, uint64_t off, uint64_t len, int result,
			      struct f3_waiter_list *to)
{
	struct f3_waiter *next;

	for (struct f3_waiter *w = from->first; w; w = next) {
		next = w->next;
		if (overlaps(w, off, len))
			collect(w, result, to);
	}
}

bool f3_waiters_want(const struct f3_waiter_list *list, uint64_t off, uint64_t len)
{
	for (const struct f3_waiter *w = list->first; w; w = w->next)
		if (overlaps(w, off, len))
			return true;
	return false;
}

void f3_waiters_call(struct f3_waiter_list *list)
{
	while (list->first) {
		struct f3_waiter *w = list->first;

		/* Its function may free it, or wait again. */
		list->first = w->next;
		w->next = NULL;
		w->fn(w, w->result);
	}
}

static void unblock(struct f3_waiter *w, int result)
{
	struct f3_blocker *b = (struct f3_blocker *)w;

	pthread_mutex_lock(&b->mutex);
	b->result = result;
	b->called = true;
	/* Still under the mutex: the blocker goes as soon as its thread sees `called`. */
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->mutex);
}

void f3_blocker_init(struct f3_blocker *b)
{
	memset(b, 0, sizeof(*b));
	b->w.fn = unblock;
	pthread_mutex_init(&b->mutex, NULL);
	pthread_cond_init(&b->cond, NULL);
}

int f3_blocker_wait(struct f3_blocker *b)
{
	pthread_mutex_lock(&b->mutex);
	while (!b->called)
		pthread_cond_wait(&b->cond, &b->mutex);
	pthread_mutex_unlock(&b->mutex);
	return b->result;
}

void f3_blocker_done(struct f3_blocker *b)
{
	if (!b)
		return;
	pthread_mutex_destroy(&b->mutex);
	pthread_cond_destroy(&b->cond);
}

struct f3_extents *f3_extents_new(void)
{
	return calloc(1, sizeof(struct f3_extents));
}

void f3_extents_free(struct f3_extents *x)
{
	if (!x)
		return;
	assert(!x->waiters.first);
	free(x->v);
	free(x);
}

static uint64_t end_of(const struct f3_extent *e)
{
	return e->off + e->len;
}

/* The first extent that ends after `off`; n if there is none. */
static size_t first_after(const struct f3_extents *x, uint64_t off)
{
	size_t low = 0, high = x->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (end_of(&x->v[mid]) > off)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static int make_room(struct f3_extents *x)
{
	size_t cap = x->cap ? x->cap * 2 : 8;
	struct f3_extent *v;

	if (x->n < x->cap)
		return 0;
	if (x->n >= F3_EXTENTS_MAX)
		return -EFBIG;
	v = realloc(x->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	x->v = v;
	x->cap = cap;
	return 0;
}

int f3_extents_add(struct f3_extents *x, uint64_t off, uint64_t len)
{
	uint64_t end;
	size_t from, to;

	if (!len)
		return 0;
	if (__builtin_add_overflow(off, len, &end))
		return -EFBIG;
	/* [from, to) overlap or touch the new range, and become one with it. */
	from = first_after(x, off);
	if (from > 0 && end_of(&x->v[from - 1]) == off)
		from--;
	for (to = from; to < x->n && x->v[to].off <= end; to++)
		;
	if (from == to) {
		int r = make_room(x);

		if (r < 0)
			return r;
		memmove(&x->v[from + 1], &x->v[from], (x->n - from) * sizeof(*x->v));
		x->n++;
	} else {
		if (x->v[from].off < off)
			off = x->v[from].off;
		if (end_of(&x->v[to - 1]) > end)
			end = end_of(&x->v[to - 1]);
		memmove(&x->v[from + 1], &x->v[to], (x->n - to) * sizeof(*x->v));
		x->n -= to - from - 1;
	}
	x->v[from] = (struct f3_extent){ off, end - off };
	return 0;
}

void f3_extents_truncate(struct f3_extents *x, uint64_t size)
{
	size_t at = first_after(x, size);

	if (at < x->n && x->v[at].off < size) {
		x->v[at].len = size - x->v[at].off;
		at++;
	}
	x->n = at;
}

bool f3_extents_gap(const struct f3_extents *x, uint64_t off, uint64_t end, uint64_t *ret_off,
		    uint64_t *ret_len)
{
	size_t at = first_after(x, off);

	if (at < x->n && x->v[at].off <= off)
		off = end_of(&x->v[at++]);
	if (off >= end)
		return false;
	if (at < x->n && x->v[at].off < end)
		end = x->v[at].off;
	*ret_off = off;
	*ret_len = end - off;
	return true;
}

bool f3_extents_has(const struct f3_extents *x, uint64_t off, uint64_t len)
{
	size_t at = first_after(x, off);

	if (!len)
		return true;
	/* Written so that nothing can overflow. */
	return at < x->n && x->v[at].off <= off && len <= x->v[at].len - (off - x->v[at].off);
}

uint64_t f3_extents_bytes(const struct f3_extents *x)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < x->n; i++)
		bytes += x->v[i].len;
	return bytes;
}

void f3_extents_ready(struct f3_extents *x, uint64_t end, struct f3_waiter_list *ready)
{
	struct f3_waiter *next;

	for (struct f3_waiter *w = x->waiters.first; w; w = next) {
		uint64_t len = w->len;

		next = w->next;
		if (w->off >= end)
			len = 0;
		else if (len > end - w->off)
			len = end - w->off;
		if (f3_extents_has(x, w->off, len))
			collect(w, 0, ready);
	}
}
