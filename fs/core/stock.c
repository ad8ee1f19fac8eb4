/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/stock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/base/debug.h"

#define STOCK_MAX 128u

struct f3_stock {
	struct f3_work work; /* first: refilling, on the transfer queue */
	struct f3_core *core;
	struct f3_backing_store *store;
	struct f3_lock lock;
	struct f3_stock_item items[STOCK_MAX];
	unsigned n;
	bool refilling;
};

static int make(struct f3_stock *s, struct f3_stock_item *item)
{
	struct f3_core *core = s->core;
	int r = f3_meta_new_ino(core->meta, &item->ino);

	if (r)
		return r;
	item->fd = f3_backing_create(s->store, item->ino, 1);
	if (item->fd < 0)
		return item->fd;
	f3_debug_point("stock.made");
	if (fstat(item->fd, &item->st)) {
		r = -errno;
		f3_stock_drop(s, item);
		return r;
	}
	item->backing_id = 0;
	if (core->kernel.backing_open) {
		r = core->kernel.backing_open(core->kernel.arg, item->fd);
		/* Refused: the open that uses it asks again and finds out why. */
		item->backing_id = r > 0 ? r : 0;
	}
	return 0;
}

static void refill(struct f3_work *work)
{
	struct f3_stock *s = (struct f3_stock *)work;

	for (;;) {
		struct f3_stock_item item = { .fd = -1 };
		bool more = !s->core->stopping && !make(s, &item);

		f3_lock(&s->lock);
		if (more && s->n < STOCK_MAX) {
			s->items[s->n++] = item;
			item.fd = -1;
		}
		more = more && s->n < STOCK_MAX;
		s->refilling = more;
		f3_unlock(&s->lock);
		if (item.fd >= 0)
			f3_stock_drop(s, &item);
		if (!more)
			return;
	}
}

int f3_stock_new(struct f3_core *core, struct f3_backing_store *store, struct f3_stock **ret_s)
{
	struct f3_stock *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->work.fn = refill;
	s->core = core;
	s->store = store;
	f3_lock_init(&s->lock, F3_RANK_LOCAL);
	*ret_s = s;
	return 0;
}

void f3_stock_drop(struct f3_stock *s, struct f3_stock_item *item)
{
	if (item->backing_id > 0 && s->core->kernel.backing_close)
		s->core->kernel.backing_close(s->core->kernel.arg, item->backing_id);
	close(item->fd);
	f3_backing_unlink(s->store, item->ino, 1);
	item->fd = -1;
}

void f3_stock_free(struct f3_stock *s)
{
	if (!s)
		return;
	while (s->n)
		f3_stock_drop(s, &s->items[--s->n]);
	f3_lock_done(&s->lock);
	free(s);
}

int f3_stock_take(struct f3_stock *s, struct f3_stock_item *ret)
{
	bool have, start;

	f3_lock(&s->lock);
	have = s->n > 0;
	if (have)
		*ret = s->items[--s->n];
	start = !s->refilling && s->n <= STOCK_MAX / 2;
	if (start)
		s->refilling = true;
	f3_unlock(&s->lock);
	if (start && f3_workq_push(s->core->transfer, &s->work)) {
		f3_lock(&s->lock);
		s->refilling = false;
		f3_unlock(&s->lock);
	}
	return have ? 0 : make(s, ret);
}
