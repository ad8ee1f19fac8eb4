/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/fill_impl.h"

#include <errno.h>

/* The kernel reads ahead from several threads: a little before or after is still in sequence. */
#define SLACK (1u << 20)

/* What comes ahead waits in memory for who reads: half of the share of buffers is for that. */
static uint64_t window_max(const struct f3_core *core)
{
	uint64_t max = core->opt.fill_bytes * F3_FILL_WINDOWS;
	uint64_t room = f3_budget_share(core->budget, F3_ACCT_BUFFERS) / 2;

	return max < room ? max : room;
}

void f3_fill_note(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t end)
{
	struct f3_fill *fill = inode->fill;
	uint64_t max = window_max(core);
	bool first = fill->seq_end == 0 && off == 0;

	if (!first && (fill->seq_end == 0 || off > fill->seq_end + SLACK / 4 ||
		       end + SLACK < fill->seq_end)) {
		fill->seq_end = end;
		fill->window = 0;
		return;
	}
	if (end <= fill->seq_end)
		return;
	fill->seq_end = end;
	if (!fill->window)
		fill->window = core->opt.fill_bytes / 4;
	else if (fill->window < max)
		fill->window = fill->window * 2 < max ? fill->window * 2 : max;
}

/* The smallest range that is worth asking for. Files with very many separate ranges get coarser
 * ones, so that F3_EXTENTS_MAX is never reached by filling. */
static uint64_t grain_of(const struct f3_inode *inode, uint64_t grain)
{
	if (inode->extents->n > F3_EXTENTS_MAX / 2)
		while (grain < inode->rec.base_limit / (F3_EXTENTS_MAX / 4))
			grain *= 2;
	return grain;
}

/* The first part of [off, end) that is neither here, nor under way, nor being written by a
 * program. False: there is none. */
static bool next_wanted(const struct f3_inode *inode, uint64_t off, uint64_t end, uint64_t *ret_off,
			uint64_t *ret_end)
{
	const struct f3_fill *fill = inode->fill;
	uint64_t gap, len;

	while (f3_extents_gap(inode->extents, off, end, &gap, &len)) {
		const struct f3_fill_write *w;
		const struct f3_transfer *t;
		uint64_t stop = gap + len, skip = gap;

		for (t = TAILQ_FIRST(&fill->transfers); t; t = TAILQ_NEXT(t, of_fill)) {
			if (t->off <= gap && gap - t->off < t->len)
				skip = t->off + t->len;
			else if (t->off > gap && t->off < stop)
				stop = t->off;
		}
		for (w = fill->writes; w && skip == gap; w = w->next) {
			if (w->off <= gap && gap - w->off < w->len)
				skip = w->len > end - w->off ? end : w->off + w->len;
			else if (w->off > gap && w->off < stop)
				stop = w->off;
		}
		if (skip == gap) {
			*ret_off = gap;
			*ret_end = stop;
			return true;
		}
		off = skip;
	}
	return false;
}

/* Asks for what [off, end) lacks, in pieces that end at multiples of `piece`. -ENOMEM: not for all
 * of it. */
static int ask(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t end,
	       uint64_t piece, bool demand)
{
	struct f3_fill *fill = inode->fill;
	uint64_t from, to;
	unsigned n = 0;
	int r;

	while (next_wanted(inode, off, end, &from, &to)) {
		uint64_t edge = from - from % piece + piece;

		if (to > edge)
			to = edge;
		r = n++ < F3_FILL_PIECES ? f3_transfer_new(core, inode, from, to - from, demand) :
					   -EAGAIN;
		if (r) {
			/* The rest when one of those under way has ended. */
			fill->more |= demand;
			return r == -EAGAIN ? 0 : r;
		}
		off = to;
	}
	return 0;
}

static void promote(struct f3_fill *fill, uint64_t off, uint64_t end)
{
	struct f3_transfer *t;

	for (t = TAILQ_FIRST(&fill->transfers); t; t = TAILQ_NEXT(t, of_fill))
		if (!t->demand && f3_fill_overlap(t->off, t->len, off, end - off))
			f3_transfer_promote(t);
}

void f3_fill_plan_ahead(struct f3_core *core, struct f3_inode *inode)
{
	struct f3_fill *fill = inode->fill;
	uint64_t limit = inode->rec.base_limit, piece = core->opt.fill_bytes, from, to, end;

	if (!fill->window || fill->seq_end >= limit)
		return;
	end = fill->window < limit - fill->seq_end ? fill->seq_end + fill->window : limit;
	if (!next_wanted(inode, fill->seq_end, end, &from, &to))
		return;
	while (piece > fill->window / F3_FILL_FLOW && piece > F3_FILL_STEP)
		piece /= 2;
	/* Whole pieces, as soon as there is room for one: no fragments, nothing that is not aligned. */
	if (end < limit)
		end -= end % piece;
	if (from < end)
		(void)ask(core, inode, from, end, piece, false); /* nobody waits for it */
}

/* What is asked for where [*off, *end) is wanted, which is not empty, and in pieces of how much. */
static uint64_t widen(const struct f3_core *core, const struct f3_inode *inode, uint64_t *off,
		      uint64_t *end)
{
	uint64_t limit = inode->rec.base_limit, piece = core->opt.fill_bytes, grain;

	if (limit <= piece) {
		/* Small: all of it, in one piece. */
		*off = 0;
		*end = limit;
		return piece;
	}
	grain = grain_of(inode, inode->fill->window ? F3_FILL_STEP : F3_FILL_ALIGN);
	*off -= *off % grain;
	*end += grain - 1 - (*end - 1) % grain;
	if (*end > limit)
		*end = limit;
	return piece < grain ? grain : piece;
}

unsigned f3_fill_plan_range(struct f3_core *core, struct f3_inode *inode, uint64_t *off,
			    uint64_t end, struct f3_extent *ret_asked)
{
	uint64_t limit = inode->rec.base_limit, at = *off, from, to, piece;
	unsigned n = 0;

	*off = end;
	if (end > limit)
		end = limit;
	if (at >= end)
		return 0;
	piece = widen(core, inode, &at, &end);
	while (next_wanted(inode, at, end, &from, &to)) {
		uint64_t edge = from - from % piece + piece;

		if (to > edge)
			to = edge;
		if (n == F3_FILL_PIECES) {
			*off = from;
			break;
		}
		if (f3_transfer_new(core, inode, from, to - from, false))
			break; /* for nobody, so it need not be */
		ret_asked[n++] = (struct f3_extent){ from, to - from };
		at = to;
	}
	return n;
}

int f3_fill_plan(struct f3_core *core, struct f3_inode *inode, uint64_t off, uint64_t end)
{
	struct f3_fill *fill = inode->fill;
	uint64_t piece;
	int r = 0;

	if (!f3_extents_has(inode->extents, off, end - off)) {
		promote(fill, off, end);
		piece = widen(core, inode, &off, &end);
		r = ask(core, inode, off, end, piece, true);
	}
	f3_fill_plan_ahead(core, inode);
	return r;
}

int f3_fill_plan_waiters(struct f3_core *core, struct f3_inode *inode)
{
	uint64_t limit = inode->rec.base_limit;
	int r = 0;

	inode->fill->more = false;
	for (const struct f3_waiter *w = inode->extents->waiters.first; w && !r; w = w->next)
		if (w->off < limit && w->len)
			r = f3_fill_plan(core, inode, w->off,
					 w->len < limit - w->off ? w->off + w->len : limit);
	return r;
}
