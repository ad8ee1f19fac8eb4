/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/sealer.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/core/volume.h"

#define SEALER_DELAY_NS (2 * F3_NS_PER_MS)
#define AGAIN_MIN_NS (200 * F3_NS_PER_MS)
#define AGAIN_MAX_NS (60 * F3_NS_PER_SEC)
#define LATER_STEP_NS (10 * F3_NS_PER_MS) /* what is due within it is sealed together */

#define GONE_MAX 16384u /* more than that has whoever removes files wait for it */

/* One sync of the database's log is for all that goes in this time, unless it is as much as this. */
#define UNSYNCED_DELAY_NS (500 * F3_NS_PER_MS)
#define UNSYNCED_MANY 4096u
#define UNSYNCED_BYTES (1u << 20)

struct gone {
	struct f3_file_gone gone;
	struct f3_volume *volume; /* referenced: it has the store */
	struct gone *next;
};

struct gone_list {
	struct gone *first;
	unsigned n;
	uint64_t bytes;
};

struct f3_sealer {
	struct f3_core *core;
	struct f3_workq *q;
	struct f3_timer timer;
	struct f3_lock lock;
	struct f3_inode *first, **last;
	struct gone_list gone;
	bool armed;

	struct f3_timer sync;
	struct gone_list unsynced; /* may go when the log that says so is on the disk */
	bool sync_armed, sync_at_once;

	struct f3_timer at; /* the earliest of them is due */
	struct f3_inode *later; /* referenced */
	uint64_t at_ns; /* the timer is armed for then; 0: it is not */

	struct f3_timer again;
	struct f3_inode *failed; /* queued and referenced as if they were in `first` */
	struct f3_backoff backoff;
	bool again_armed, ending;
};

/* Is it the disk's or the machine's state, which may be another one soon? A database that takes
 * nothing any more (EROFS) will not. */
bool f3_sealer_tries_again(int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -EIO || error == -ENOMEM ||
	       error == -EMFILE || error == -ENFILE;
}

/* Keeps the inode for another try. False: it is not going to be tried again. */
static bool keep_failed(struct f3_sealer *s, struct f3_inode *inode)
{
	bool kept;

	f3_lock(&s->lock);
	kept = !s->ending && !atomic_exchange(&inode->seal_queued, true);
	if (kept) {
		inode->seal_next = s->failed;
		s->failed = inode;
		if (!s->again_armed)
			s->again_armed = !f3_timer_arm(
				&s->again, f3_clock_mono_ns() + f3_backoff_next_ns(&s->backoff));
	}
	f3_unlock(&s->lock);
	return kept;
}

/* Lock held. */
static struct gone *take_gone(struct gone_list *list)
{
	struct gone *first = list->first;

	memset(list, 0, sizeof(*list));
	return first;
}

static void remove_gone(struct f3_core *core, struct gone *gone, bool keep_bytes)
{
	while (gone) {
		struct gone *next = gone->next;

		if (keep_bytes)
			gone->gone.number = 0;
		f3_file_gone(core, &gone->gone);
		f3_volume_put(gone->volume);
		free(gone);
		gone = next;
	}
}

/* Without a log that is on the disk the bytes stay: the next start knows what became of the file. */
static void do_unsynced(struct f3_sealer *s)
{
	struct gone *gone;

	f3_lock(&s->lock);
	gone = take_gone(&s->unsynced);
	s->sync_armed = s->sync_at_once = false;
	f3_unlock(&s->lock);
	if (gone)
		remove_gone(s->core, gone, f3_meta_sync(s->core->meta) != 0);
}

static void do_all(struct f3_sealer *s)
{
	struct f3_inode *inode;
	struct gone *gone;

	f3_lock(&s->lock);
	inode = s->first;
	s->first = NULL;
	s->last = &s->first;
	gone = take_gone(&s->gone);
	s->armed = false;
	f3_unlock(&s->lock);
	while (inode) {
		struct f3_inode *next = inode->seal_next;

		inode->seal_queued = false;
		/* busy: a mapping lives, its end is awaited */
		if (!f3_sealer_tries_again(f3_file_seal(s->core, inode)) || !keep_failed(s, inode))
			f3_inode_put(s->core, inode);
		inode = next;
	}
	remove_gone(s->core, gone, false);
}

static void sync_work(struct f3_work *work)
{
	struct f3_timer *timer = (struct f3_timer *)work;

	do_unsynced((struct f3_sealer *)((char *)timer - offsetof(struct f3_sealer, sync)));
}

static void timer_work(struct f3_work *work)
{
	struct f3_timer *timer = (struct f3_timer *)work;

	do_all((struct f3_sealer *)((char *)timer - offsetof(struct f3_sealer, timer)));
}

/* What failed stands where new work does. */
static void take_failed(struct f3_sealer *s, bool ending)
{
	f3_lock(&s->lock);
	s->ending |= ending;
	s->again_armed = false;
	if (s->failed) {
		*s->last = s->failed;
		while (*s->last)
			s->last = &(*s->last)->seal_next;
		s->failed = NULL;
	}
	f3_unlock(&s->lock);
}

/* Lock held. */
static void arm_later(struct f3_sealer *s, uint64_t due_ns)
{
	due_ns = (due_ns / LATER_STEP_NS + 1) * LATER_STEP_NS;
	if (!s->at_ns || due_ns < s->at_ns)
		s->at_ns = f3_timer_arm(&s->at, due_ns) ? 0 : due_ns;
}

/* Those that are due stand where new work does. To be put back: what is there already. */
static struct f3_inode *take_later(struct f3_sealer *s, uint64_t until_ns)
{
	struct f3_inode *back = NULL, **at, *inode;
	uint64_t next_ns = 0;

	f3_lock(&s->lock);
	s->at_ns = 0;
	for (at = &s->later; (inode = *at);) {
		if (inode->seal_due_ns > until_ns) {
			if (!next_ns || inode->seal_due_ns < next_ns)
				next_ns = inode->seal_due_ns;
			at = &inode->later_next;
			continue;
		}
		*at = inode->later_next;
		inode->seal_due_ns = 0;
		if (atomic_exchange(&inode->seal_queued, true)) {
			inode->later_next = back;
			back = inode;
			continue;
		}
		inode->seal_next = NULL;
		*s->last = inode;
		s->last = &inode->seal_next;
	}
	if (next_ns)
		arm_later(s, next_ns);
	f3_unlock(&s->lock);
	return back;
}

static void put_all(struct f3_core *core, struct f3_inode *inode)
{
	while (inode) {
		struct f3_inode *next = inode->later_next;

		f3_inode_put(core, inode);
		inode = next;
	}
}

static void at_work(struct f3_work *work)
{
	struct f3_timer *timer = (struct f3_timer *)work;
	struct f3_sealer *s = (struct f3_sealer *)((char *)timer - offsetof(struct f3_sealer, at));

	put_all(s->core, take_later(s, f3_clock_mono_ns()));
	do_all(s);
}

void f3_sealer_push_at(struct f3_sealer *s, struct f3_inode *inode, uint64_t due_mono_ns)
{
	f3_lock(&s->lock);
	if (!inode->seal_due_ns && !s->ending) {
		f3_inode_ref(inode);
		inode->seal_due_ns = due_mono_ns;
		inode->later_next = s->later;
		s->later = inode;
		arm_later(s, due_mono_ns);
	}
	f3_unlock(&s->lock);
}

static void again_work(struct f3_work *work)
{
	struct f3_timer *timer = (struct f3_timer *)work;
	struct f3_sealer *s =
		(struct f3_sealer *)((char *)timer - offsetof(struct f3_sealer, again));

	take_failed(s, false);
	do_all(s);
	f3_lock(&s->lock);
	if (!s->failed)
		s->backoff.attempt = 0;
	f3_unlock(&s->lock);
}

int f3_sealer_new(struct f3_core *core, struct f3_sealer **ret_s)
{
	struct f3_sealer *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	/* Nobody's sealing waits for the log. */
	r = f3_workq_new("seal", 2, 16, &s->q);
	if (r) {
		free(s);
		return r;
	}
	s->core = core;
	s->last = &s->first;
	f3_lock_init(&s->lock, F3_RANK_TRANSFER);
	f3_timer_init(&s->timer, s->q, timer_work);
	f3_timer_init(&s->again, s->q, again_work);
	f3_timer_init(&s->sync, s->q, sync_work);
	f3_timer_init(&s->at, s->q, at_work);
	s->backoff = (struct f3_backoff){ AGAIN_MIN_NS, AGAIN_MAX_NS, 0 };
	*ret_s = s;
	return 0;
}

void f3_sealer_free(struct f3_sealer *s)
{
	struct f3_inode *inode;

	if (!s)
		return;
	f3_timer_cancel(&s->timer);
	f3_timer_cancel(&s->again);
	f3_timer_cancel(&s->sync);
	f3_timer_cancel(&s->at);
	take_failed(s, true);
	f3_workq_free(s->q);
	take_failed(s, true); /* by a pass that was under way */
	do_all(s);
	do_unsynced(s);
	for (inode = s->later; inode; inode = inode->later_next)
		inode->seal_due_ns = 0;
	put_all(s->core, s->later);
	f3_lock_done(&s->lock);
	free(s);
}

/* Lock held. */
static void arm(struct f3_sealer *s)
{
	if (!s->armed)
		s->armed = !f3_timer_arm(&s->timer, f3_clock_mono_ns() + SEALER_DELAY_NS);
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
	arm(s);
	f3_unlock(&s->lock);
}

/* Lock held. */
static void arm_sync(struct f3_sealer *s)
{
	const struct gone_list *l = &s->unsynced;
	bool at_once = l->n >= UNSYNCED_MANY || l->bytes >= UNSYNCED_BYTES;
	uint64_t delay_ns = at_once ? SEALER_DELAY_NS : UNSYNCED_DELAY_NS;

	if (s->sync_armed && at_once == s->sync_at_once)
		return;
	s->sync_armed = !f3_timer_arm(&s->sync, f3_clock_mono_ns() + delay_ns);
	s->sync_at_once = at_once;
}

static bool push_gone(struct f3_sealer *s, struct f3_volume *v, const struct f3_file_gone *gone,
		      bool unsynced)
{
	struct gone_list *l = unsynced ? &s->unsynced : &s->gone;
	struct gone *g = malloc(sizeof(*g));
	bool fits;

	if (!g)
		return false;
	g->gone = *gone;
	g->volume = v;
	f3_lock(&s->lock);
	fits = l->n < GONE_MAX;
	if (fits) {
		f3_volume_ref(v);
		g->next = l->first;
		l->first = g;
		l->n++;
		l->bytes += gone->bytes;
		if (unsynced)
			arm_sync(s);
		else
			arm(s);
	}
	f3_unlock(&s->lock);
	if (!fits)
		free(g);
	return fits;
}

void f3_sealer_gone(struct f3_core *core, struct f3_volume *v, struct f3_file_gone *gone)
{
	bool unsynced = gone->number && gone->store == v->disk && !gone->scratch;

	if (!core->stopping && core->sealer && push_gone(core->sealer, v, gone, unsynced))
		return;
	if (unsynced && f3_meta_sync(core->meta))
		gone->number = 0;
	f3_file_gone(core, gone);
}

void f3_sealer_settle(struct f3_sealer *s)
{
	do_all(s);
	do_unsynced(s);
	f3_workq_drain(s->q);
}
