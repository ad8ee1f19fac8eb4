/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/hold.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/base/clock.h"
#include "fs/core/file.h"
#include "fs/core/sealer.h"
#include "fs/core/stream.h"
#include "fs/core/volume.h"

#define BUCKETS 256u

struct f3_hold {
	uint64_t holder;
	struct f3_inode *inode; /* referenced */
	struct f3_hold *of_inode; /* its next one; inode lock */
	struct f3_hold *of_bucket; /* lock of the holds */
};

struct f3_holds {
	struct f3_lock lock; /* rank F3_RANK_TRANSFER */
	struct f3_hold *buckets[BUCKETS]; /* by holder */
};

int f3_holds_new(struct f3_holds **ret_h)
{
	struct f3_holds *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	f3_lock_init(&h->lock, F3_RANK_TRANSFER);
	*ret_h = h;
	return 0;
}

static struct f3_hold **bucket(struct f3_holds *h, uint64_t holder)
{
	return &h->buckets[(holder ^ holder >> 32) % BUCKETS];
}

static void take_from_bucket(struct f3_holds *h, struct f3_hold *hold)
{
	f3_lock(&h->lock);
	for (struct f3_hold **at = bucket(h, hold->holder); *at; at = &(*at)->of_bucket) {
		if (*at == hold) {
			*at = hold->of_bucket;
			break;
		}
	}
	f3_unlock(&h->lock);
}

int f3_hold_add(struct f3_core *core, struct f3_inode *inode, uint64_t holder)
{
	struct f3_hold *hold = malloc(sizeof(*hold)), *is, **at;

	if (!hold)
		return -ENOMEM;
	*hold = (struct f3_hold){ .holder = holder, .inode = inode };
	f3_lock(&inode->lock);
	for (is = inode->holds; is && is->holder != holder; is = is->of_inode)
		;
	if (!is && !inode->dead) {
		f3_inode_ref(inode);
		hold->of_inode = inode->holds;
		inode->holds = hold;
		f3_lock(&core->holds->lock);
		at = bucket(core->holds, holder);
		hold->of_bucket = *at;
		*at = hold;
		f3_unlock(&core->holds->lock);
		hold = NULL;
	}
	f3_unlock(&inode->lock);
	free(hold);
	return 0;
}

bool f3_hold_is(struct f3_inode *inode, uint64_t holder)
{
	struct f3_hold *is;

	f3_lock(&inode->lock);
	for (is = inode->holds; is && is->holder != holder; is = is->of_inode)
		;
	f3_unlock(&inode->lock);
	return is != NULL;
}

/* What it held is free to be sealed. NULL: it held nothing. */
static struct f3_hold *release(struct f3_core *core, struct f3_inode *inode, uint64_t holder,
			       bool torn)
{
	struct f3_hold **at, *hold;
	bool writing;

	f3_lock(&inode->lock);
	for (at = &inode->holds; *at && (*at)->holder != holder; at = &(*at)->of_inode)
		;
	hold = *at;
	if (hold) {
		*at = hold->of_inode;
		take_from_bucket(core->holds, hold);
	}
	writing = inode->rec.state == F3_STATE_WRITING && !inode->dead;
	if (hold && writing && torn && f3_stream_wanted(&inode->rec))
		inode->rec.flags |= F3_INO_TORN; /* whoever seals it now knows */
	if (hold && !inode->holds)
		inode->grace_until_ns = f3_clock_mono_ns(); /* nobody comes again */
	f3_unlock(&inode->lock);
	if (hold && writing && torn)
		f3_file_torn(core, inode);
	return hold;
}

static void released(struct f3_core *core, struct f3_hold *hold)
{
	if (!core->stopping && core->sealer)
		f3_sealer_push(core->sealer, hold->inode);
	f3_inode_put(core, hold->inode);
	free(hold);
}

void f3_hold_del(struct f3_core *core, struct f3_inode *inode, uint64_t holder, bool torn)
{
	struct f3_hold *hold = release(core, inode, holder, torn);

	if (hold)
		released(core, hold);
}

/* A reference to an inode that it holds, NULL: none. */
static struct f3_inode *first_of(struct f3_holds *h, uint64_t holder)
{
	struct f3_inode *inode = NULL;

	f3_lock(&h->lock);
	for (struct f3_hold *hold = *bucket(h, holder); hold && !inode; hold = hold->of_bucket)
		if (hold->holder == holder)
			inode = hold->inode;
	if (inode)
		f3_inode_ref(inode);
	f3_unlock(&h->lock);
	return inode;
}

void f3_hold_end(struct f3_core *core, uint64_t holder, bool torn)
{
	struct f3_inode *inode;

	while ((inode = first_of(core->holds, holder))) {
		f3_hold_del(core, inode, holder, torn);
		f3_inode_put(core, inode);
	}
}

void f3_hold_drop(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_hold *hold, *next;

	f3_lock(&inode->lock);
	hold = inode->holds;
	inode->holds = NULL;
	for (next = hold; next; next = next->of_inode)
		take_from_bucket(core->holds, next);
	f3_unlock(&inode->lock);
	for (; hold; hold = next) {
		next = hold->of_inode;
		f3_inode_put(core, inode);
		free(hold);
	}
}

void f3_holds_free(struct f3_core *core)
{
	struct f3_holds *h = core->holds;

	if (!h)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (h->buckets[i]) {
			struct f3_inode *inode = h->buckets[i]->inode;

			f3_inode_ref(inode);
			f3_hold_drop(core, inode);
			f3_inode_put(core, inode);
		}
	}
	f3_lock_done(&h->lock);
	free(h);
	core->holds = NULL;
}

static uint64_t grace_ns(const struct f3_inode *inode)
{
	return inode->volume && f3_stream_wanted(&inode->rec) ? inode->volume->stream_grace_ns : 0;
}

bool f3_hold_puts_off(struct f3_core *core, struct f3_inode *inode)
{
	uint64_t now, ns = grace_ns(inode);

	if (inode->holds)
		return true;
	if (!ns)
		return false;
	now = f3_clock_mono_ns();
	if (!inode->grace_until_ns)
		inode->grace_until_ns = now + ns;
	if (now >= inode->grace_until_ns)
		return false;
	if (!core->stopping && core->sealer)
		f3_sealer_push_at(core->sealer, inode, inode->grace_until_ns);
	return true;
}
