/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/fill_recent.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "fs/base/clock.h"
#include "fs/base/lock.h"
#include "fs/core/fill.h"

/* What nobody has read for so long goes. */
#define KEPT_NS F3_NS_PER_SEC
/* Smaller ones cost more to keep than to make. */
#define READY_MIN (64u << 10)

TAILQ_HEAD(bytes_list, f3_bytes);

struct f3_recent {
	struct f3_core *core;
	struct f3_lock lock;
	struct bytes_list listed, ready; /* oldest first */
	uint64_t listed_bytes, ready_bytes;
	_Atomic unsigned n_listed; /* read without the lock */
	struct f3_timer timer;
	bool armed;
};

/* Taken out under the lock, freed after it. */
static void free_all(struct f3_recent *recent, struct bytes_list *gone)
{
	struct f3_bytes *b;
	uint64_t bytes = 0;

	while ((b = TAILQ_FIRST(gone))) {
		TAILQ_REMOVE(gone, b, of_list);
		bytes += b->room;
		if (b->mapped)
			munmap(b->buf, b->room);
		else
			free(b->buf);
		free(b);
	}
	if (bytes)
		f3_budget_give(recent->core->budget, F3_ACCT_BUFFERS, bytes);
}

static uint64_t share(const struct f3_recent *recent)
{
	return f3_budget_share(recent->core->budget, F3_ACCT_BUFFERS);
}

/* Lock held. */
static void arm(struct f3_recent *recent)
{
	if (!recent->armed)
		recent->armed = !f3_timer_arm(&recent->timer, f3_clock_mono_ns() + KEPT_NS);
}

/* The last reference went. Lock held. */
static void make_ready(struct f3_recent *recent, struct f3_bytes *b, struct bytes_list *gone)
{
	/* Without a timer nobody would ever take it away; and others may be waiting for memory. */
	arm(recent);
	if (!recent->armed || b->room < READY_MIN || (uintptr_t)b->buf % F3_BYTES_ALIGN ||
	    recent->ready_bytes + b->room > share(recent) / 4 ||
	    f3_budget_waiting(recent->core->budget)) {
		TAILQ_INSERT_TAIL(gone, b, of_list);
		return;
	}
	b->used_ns = f3_clock_mono_ns();
	TAILQ_INSERT_TAIL(&recent->ready, b, of_list);
	recent->ready_bytes += b->room;
}

/* Lock held. */
static void put_locked(struct f3_recent *recent, struct f3_bytes *b, struct bytes_list *gone)
{
	if (--b->refs == 0)
		make_ready(recent, b, gone);
}

/* Lock held. */
static void unlist(struct f3_recent *recent, struct f3_bytes *b, struct bytes_list *gone)
{
	if (!b->listed)
		return;
	b->listed = false;
	TAILQ_REMOVE(&recent->listed, b, of_list);
	recent->listed_bytes -= b->room;
	recent->n_listed--;
	put_locked(recent, b, gone);
}

/* Takes away what lies ready, for good. Lock held. Returns its bytes. */
static uint64_t take_ready(struct f3_recent *recent, struct f3_bytes *b, struct bytes_list *gone)
{
	TAILQ_REMOVE(&recent->ready, b, of_list);
	recent->ready_bytes -= b->room;
	TAILQ_INSERT_TAIL(gone, b, of_list);
	return b->room;
}

static void grow_old(struct f3_work *work)
{
	struct f3_timer *timer =
		(struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));
	struct f3_recent *recent =
		(struct f3_recent *)((char *)timer - offsetof(struct f3_recent, timer));
	struct bytes_list gone = TAILQ_HEAD_INITIALIZER(gone);
	uint64_t before = f3_clock_mono_ns() - KEPT_NS;
	struct f3_bytes *b, *next;

	f3_lock(&recent->lock);
	recent->armed = false;
	for (b = TAILQ_FIRST(&recent->ready); b; b = next) {
		next = TAILQ_NEXT(b, of_list);
		if (b->used_ns <= before)
			take_ready(recent, b, &gone);
	}
	for (b = TAILQ_FIRST(&recent->listed); b; b = next) {
		next = TAILQ_NEXT(b, of_list);
		if (b->used_ns <= before)
			unlist(recent, b, &gone);
	}
	if (recent->n_listed || recent->ready_bytes)
		arm(recent);
	f3_unlock(&recent->lock);
	free_all(recent, &gone);
}

int f3_recent_new(struct f3_core *core, struct f3_recent **ret_recent)
{
	struct f3_recent *recent = calloc(1, sizeof(*recent));

	if (!recent)
		return -ENOMEM;
	recent->core = core;
	f3_lock_init(&recent->lock, F3_RANK_TRANSFER);
	TAILQ_INIT(&recent->listed);
	TAILQ_INIT(&recent->ready);
	f3_timer_init(&recent->timer, core->transfer, grow_old);
	*ret_recent = recent;
	return 0;
}

void f3_recent_free(struct f3_recent *recent)
{
	if (!recent)
		return;
	f3_timer_cancel(&recent->timer);
	f3_recent_shrink(recent, UINT64_MAX, true);
	f3_lock_done(&recent->lock);
	free(recent);
}

static bool fits(const struct f3_bytes *b, size_t len)
{
	return b->room >= len && b->room / 2 <= len;
}

struct f3_bytes *f3_bytes_reuse(struct f3_recent *recent, size_t len)
{
	struct f3_bytes *b;

	f3_lock(&recent->lock);
	/* The last one in is the one whose pages are still in the processor's cache. */
	TAILQ_FOREACH_REVERSE(b, &recent->ready, bytes_list, of_list)
		if (fits(b, len))
			break;
	if (b) {
		TAILQ_REMOVE(&recent->ready, b, of_list);
		recent->ready_bytes -= b->room;
		b->refs = 1;
	}
	/* Else one that was read: a few of them are enough for who is a little behind. */
	if (!b && recent->listed_bytes > share(recent) / 8) {
		TAILQ_FOREACH(b, &recent->listed, of_list)
			if (b->served >= b->len && b->refs == 1 && fits(b, len))
				break;
		if (b) {
			TAILQ_REMOVE(&recent->listed, b, of_list);
			recent->listed_bytes -= b->room;
			recent->n_listed--;
			b->listed = false;
		}
	}
	f3_unlock(&recent->lock);
	return b;
}

struct f3_bytes *f3_bytes_of(void *buf, size_t len)
{
	struct f3_bytes *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->buf = buf;
	b->room = len;
	b->refs = 1;
	return b;
}

struct f3_bytes *f3_bytes_new(struct f3_recent *recent, size_t len)
{
	/* Large ones past the heap, whose gaps between them would be nobody's account's. */
	bool mapped = len >= READY_MIN;
	struct f3_bytes *b = f3_bytes_of(NULL, len);
	void *buf = NULL;
	bool ok;

	if (mapped) {
		buf = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ok = buf != MAP_FAILED;
	} else {
		ok = !posix_memalign(&buf, F3_BYTES_ALIGN, len ? len : 1);
	}
	if (b && ok) {
		b->buf = buf;
		b->mapped = mapped;
		return b;
	}
	if (ok && mapped)
		munmap(buf, len);
	else if (ok)
		free(buf);
	free(b);
	f3_budget_give(recent->core->budget, F3_ACCT_BUFFERS, len);
	return NULL;
}

void f3_bytes_put(struct f3_recent *recent, struct f3_bytes *b)
{
	struct bytes_list gone = TAILQ_HEAD_INITIALIZER(gone);

	if (!b)
		return;
	f3_lock(&recent->lock);
	put_locked(recent, b, &gone);
	f3_unlock(&recent->lock);
	free_all(recent, &gone);
}

void f3_recent_add(struct f3_recent *recent, struct f3_bytes *b, uint64_t ino, uint32_t number,
		   uint64_t off, uint64_t len)
{
	f3_lock(&recent->lock);
	arm(recent);
	if (recent->armed) {
		b->ino = ino;
		b->number = number;
		b->off = off;
		b->len = len;
		b->served = 0;
		b->used_ns = f3_clock_mono_ns();
		b->listed = true;
		b->refs++;
		TAILQ_INSERT_TAIL(&recent->listed, b, of_list);
		recent->listed_bytes += b->room;
		recent->n_listed++;
	}
	f3_unlock(&recent->lock);
}

/* The oldest of those that were read. Lock held. */
static struct f3_bytes *oldest_read(struct f3_recent *recent)
{
	struct f3_bytes *b;

	TAILQ_FOREACH(b, &recent->listed, of_list)
		if (b->served >= b->len)
			break;
	return b;
}

void f3_recent_landed(struct f3_recent *recent, struct f3_bytes *b, bool keep)
{
	struct bytes_list gone = TAILQ_HEAD_INITIALIZER(gone);
	struct f3_bytes *old;

	f3_lock(&recent->lock);
	while (keep && recent->listed_bytes > share(recent) / 2 && (old = oldest_read(recent)))
		unlist(recent, old, &gone);
	if (!keep || recent->listed_bytes > share(recent) / 2)
		unlist(recent, b, &gone);
	f3_unlock(&recent->lock);
	free_all(recent, &gone);
}

void f3_recent_forget(struct f3_recent *recent, uint64_t ino)
{
	struct f3_bytes *b;

	if (!recent->n_listed)
		return;
	/* The list's own reference stays until it grows old: memory cannot be given back here. */
	f3_lock(&recent->lock);
	TAILQ_FOREACH(b, &recent->listed, of_list) {
		if (b->ino == ino) {
			b->ino = 0;
			b->served = b->len;
		}
	}
	f3_unlock(&recent->lock);
}

bool f3_recent_any(const struct f3_recent *recent)
{
	return recent->n_listed != 0;
}

/* The one with this byte. Lock held. */
static struct f3_bytes *find(struct f3_recent *recent, uint64_t ino, uint32_t number, uint64_t off)
{
	struct f3_bytes *b;

	TAILQ_FOREACH(b, &recent->listed, of_list)
		if (b->ino == ino && b->number == number && b->off <= off && off - b->off < b->len)
			break;
	return b;
}

bool f3_recent_has(struct f3_recent *recent, uint64_t ino, uint32_t number, uint64_t off,
		   uint64_t len)
{
	uint64_t end = off + len;

	f3_lock(&recent->lock);
	while (off < end) {
		const struct f3_bytes *b = find(recent, ino, number, off);

		if (!b)
			break;
		off = b->off + b->len;
	}
	f3_unlock(&recent->lock);
	return off >= end;
}

bool f3_recent_lend(struct f3_recent *recent, uint64_t ino, uint32_t number, uint64_t off,
		    uint64_t len, struct f3_fill_lent *ret_lent)
{
	uint64_t at = off, end = off + len, now;
	struct f3_fill_lent lent = { .n = 0 };

	if (!recent->n_listed || !len)
		return false;
	f3_lock(&recent->lock);
	while (at < end && lent.n < F3_FILL_LENT_MAX) {
		struct f3_bytes *b = find(recent, ino, number, at);
		uint64_t stop;

		if (!b)
			break;
		stop = b->off + b->len < end ? b->off + b->len : end;
		lent.iov[lent.n] = (struct iovec){ b->buf + (at - b->off), stop - at };
		lent.of[lent.n++] = b;
		at = stop;
	}
	if (at < end)
		lent.n = 0;
	now = lent.n ? f3_clock_mono_ns() : 0;
	for (unsigned i = 0; i < lent.n; i++) {
		lent.of[i]->refs++;
		lent.of[i]->served += lent.iov[i].iov_len;
		lent.of[i]->used_ns = now;
	}
	f3_unlock(&recent->lock);
	if (!lent.n)
		return false;
	*ret_lent = lent;
	return true;
}

void f3_fill_lent_done(struct f3_core *core, struct f3_fill_lent *lent)
{
	struct bytes_list gone = TAILQ_HEAD_INITIALIZER(gone);
	struct f3_recent *recent = core->recent;

	f3_lock(&recent->lock);
	while (lent->n)
		put_locked(recent, lent->of[--lent->n], &gone);
	f3_unlock(&recent->lock);
	free_all(recent, &gone);
}

void f3_recent_shrink(struct f3_recent *recent, uint64_t bytes, bool all)
{
	struct bytes_list gone = TAILQ_HEAD_INITIALIZER(gone);
	struct f3_bytes *b;
	uint64_t given = 0;

	f3_lock(&recent->lock);
	for (;;) {
		while (given < bytes && (b = TAILQ_FIRST(&recent->ready)))
			given += take_ready(recent, b, &gone);
		if (given >= bytes)
			break;
		b = oldest_read(recent);
		if (!b && all)
			b = TAILQ_FIRST(&recent->listed);
		if (!b)
			break;
		/* Somebody may still hold it: then its memory comes back later. */
		unlist(recent, b, &gone);
	}
	f3_unlock(&recent->lock);
	free_all(recent, &gone);
}
