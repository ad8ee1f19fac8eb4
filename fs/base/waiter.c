/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/waiter.h"

#include <stddef.h>
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

void f3_waiter_collect(struct f3_waiter *w, int result, struct f3_waiter_list *to)
{
	take_out(w);
	w->result = result;
	w->next = to->first;
	to->first = w;
}

void f3_waiters_collect(struct f3_waiter_list *from, int result, struct f3_waiter_list *to)
{
	while (from->first)
		f3_waiter_collect(from->first, result, to);
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
			f3_waiter_collect(w, result, to);
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
