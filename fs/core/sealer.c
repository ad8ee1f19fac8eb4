/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/sealer.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "fs/base/clock.h"
#include "fs/core/file.h"

#define SEALER_DELAY_NS (2 * F3_NS_PER_MS)

struct f3_sealer {
	struct f3_core *core;
	struct f3_workq *q;
	struct f3_timer timer;
	struct f3_lock lock;
	struct f3_inode *first, **last;
	bool armed;
};

static void seal_all(struct f3_sealer *s)
{
	struct f3_inode *inode;

	f3_lock(&s->lock);
	inode = s->first;
	s->first = NULL;
	s->last = &s->first;
	s->armed = false;
	f3_unlock(&s->lock);
	while (inode) {
		struct f3_inode *next = inode->seal_next;

		inode->seal_queued = false;
		(void)f3_file_seal(s->core, inode); /* busy: a mapping lives, its end is awaited */
		f3_inode_put(s->core, inode);
		inode = next;
	}
}

static void timer_work(struct f3_work *work)
{
	struct f3_timer *timer = (struct f3_timer *)work;

	seal_all((struct f3_sealer *)((char *)timer - offsetof(struct f3_sealer, timer)));
}

int f3_sealer_new(struct f3_core *core, struct f3_sealer **ret_s)
{
	struct f3_sealer *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = f3_workq_new("seal", 1, 16, &s->q);
	if (r) {
		free(s);
		return r;
	}
	s->core = core;
	s->last = &s->first;
	f3_lock_init(&s->lock, F3_RANK_TRANSFER);
	f3_timer_init(&s->timer, s->q, timer_work);
	*ret_s = s;
	return 0;
}

void f3_sealer_free(struct f3_sealer *s)
{
	if (!s)
		return;
	f3_timer_cancel(&s->timer);
	f3_workq_free(s->q);
	seal_all(s);
	f3_lock_done(&s->lock);
	free(s);
}

void f3_sealer_push(struct f3_sealer *s, struct f3_inode *inode)
{
	if (atomic_exchange(&inode->seal_queued, true))
		return;
	f3_inode_ref(inode);
	f3_lock(&s->lock);
	inode->seal_next = NULL;
	*s->last = inode;
	s->last = &inode->seal_next;
	if (!s->armed)
		s->armed = !f3_timer_arm(&s->timer, f3_clock_mono_ns() + SEALER_DELAY_NS);
	f3_unlock(&s->lock);
}
