/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/extents.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
			f3_waiter_collect(w, 0, ready);
	}
}
