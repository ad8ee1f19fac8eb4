/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/lack.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "fs/base/clock.h"

#define WAKE_MAX 8u
#define LOOK_AGAIN_NS F3_NS_PER_SEC

struct f3_lack {
	struct f3_core *core;
	struct f3_lock lock; /* what follows; `waiting` and `news` are also read without it */
	struct f3_work *first, **end;
	_Atomic unsigned waiting;
	_Atomic uint64_t news;
	bool stopped;
	struct f3_timer timer;
};

/* Lock held. What does not go into the queue goes on waiting. */
static void wake(struct f3_lack *l, unsigned max)
{
	while (l->first && max--) {
		struct f3_work *work = l->first, *next = work->next;

		l->first = next;
		if (f3_workq_push(l->core->blocking, work)) {
			work->next = next;
			l->first = work;
			return;
		}
		if (!next)
			l->end = &l->first;
		l->waiting--;
	}
}

static void tick(struct f3_work *work)
{
	struct f3_timer *timer =
		(struct f3_timer *)((char *)work - offsetof(struct f3_timer, work));
	struct f3_lack *l = (struct f3_lack *)((char *)timer - offsetof(struct f3_lack, timer));

	f3_lock(&l->lock);
	wake(l, l->waiting);
	if (l->waiting && !l->stopped)
		(void)f3_timer_arm(&l->timer, f3_clock_mono_ns() + LOOK_AGAIN_NS);
	f3_unlock(&l->lock);
}

int f3_lack_new(struct f3_core *core, struct f3_lack **ret_l)
{
	struct f3_lack *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->core = core;
	l->end = &l->first;
	f3_lock_init(&l->lock, F3_RANK_LOCAL);
	f3_timer_init(&l->timer, core->transfer, tick);
	*ret_l = l;
	return 0;
}

void f3_lack_free(struct f3_lack *l)
{
	if (!l)
		return;
	f3_lock_done(&l->lock);
	free(l);
}

void f3_lack_stop(struct f3_core *core)
{
	struct f3_lack *l = core->lack;

	if (!l)
		return;
	f3_lock(&l->lock);
	l->stopped = true;
	wake(l, l->waiting);
	f3_unlock(&l->lock);
}

uint64_t f3_lack_seen(struct f3_core *core)
{
	return core->lack->news;
}

int f3_lack_wait(struct f3_core *core, struct f3_work *work, uint64_t seen)
{
	struct f3_lack *l = core->lack;
	int r = 0;

	f3_lock(&l->lock);
	if (l->stopped) {
		r = -ESHUTDOWN;
	} else {
		if (!l->first)
			r = f3_timer_arm(&l->timer, f3_clock_mono_ns() + LOOK_AGAIN_NS);
		if (!r) {
			work->next = NULL;
			*l->end = work;
			l->end = &work->next;
			l->waiting++;
			if (l->news != seen)
				wake(l, 1);
		}
	}
	f3_unlock(&l->lock);
	return r;
}

void f3_lack_news(struct f3_core *core)
{
	struct f3_lack *l = core->lack;

	if (!l)
		return;
	l->news++;
	if (!l->waiting)
		return;
	f3_lock(&l->lock);
	wake(l, WAKE_MAX);
	f3_unlock(&l->lock);
}

unsigned f3_lack_waiting(struct f3_core *core)
{
	return core->lack ? core->lack->waiting : 0;
}
