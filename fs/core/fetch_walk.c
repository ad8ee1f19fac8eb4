/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_walk: which files a program will open next.
 *
 * A listing is in the order of names, and gives out numbers in that order: who goes through a
 * directory by name goes through its numbers, with gaps. Who goes through it as readdir has it goes
 * through the cookies of the names. Many programs that share the work open near one place.
 */
#include "config.h"

#include "fs/core/fetch.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/core/volume.h"
#include "fs/meta/key.h"

#define STEP_MAX 8u /* numbers, or names of readdir, passed over from one open to the next */
#define NEAR 32u /* as far from the last one it may be where many share a walk */
#define SCORE_STEP 2
#define SCORE_NEAR 1
#define SCORE_BEGIN 4 /* then it is a walk */
#define SCORE_MAX 64
#define SCORE_WASTE (-64) /* most was for nothing: so many opens later it is tried again */
#define WINDOW_MIN 4u
#define PROVEN 32u /* after so many it is looked at what was for nothing */

struct f3_walk {
	struct f3_work work;
	struct f3_core *core;
	struct f3_inode *dir; /* referenced while queued */
	bool by_cookie, queued, at_end;
	int score;
	uint64_t last_ino, last_cookie;
	unsigned window;
	uint64_t reach; /* number or cookie of the last one looked at */
	uint64_t begun[F3_FETCH_WINDOW]; /* where the program is not yet, in order */
	unsigned n_begun;
	uint64_t n_fetched, n_used;
};

/* ---- Asking ---- */

/* True: there is no room for more. */
static bool take_one(struct f3_walk *w, uint64_t ino, uint64_t place, int *ret_r)
{
	struct f3_inode *inode;
	int r = f3_inode_get(w->core, ino, &inode);
	bool full = false;

	*ret_r = 1;
	if (r)
		return false;
	r = f3_fetch_ahead(w->core, w->dir, inode);
	f3_inode_put(w->core, inode);
	*ret_r = r;
	if (r < 0)
		return true;
	f3_lock(&w->dir->lock);
	if (place > w->reach)
		w->reach = place;
	if (!r) {
		w->begun[w->n_begun++] = place;
		w->n_fetched++;
	}
	full = w->n_begun >= w->window || w->n_begun >= F3_FETCH_WINDOW;
	f3_unlock(&w->dir->lock);
	return full;
}

static bool ask_by_ino(struct f3_walk *w, uint64_t from)
{
	unsigned missed = 0;
	int r;

	for (uint64_t ino = from + 1; missed < NEAR; ino++) {
		if (take_one(w, ino, ino, &r))
			return false;
		missed = r ? missed + 1 : 0;
	}
	return true;
}

static bool ask_by_cookie(struct f3_walk *w, uint64_t from)
{
	struct f3_meta_name found;
	struct f3_meta_dir *d;
	const char *name;
	size_t len;
	bool full = false;
	int r = f3_meta_dir_open(w->core->meta, w->dir->ino, from, &d);

	if (r)
		return true;
	while (!full && f3_meta_dir_next(d, &found, &name, &len) == 1)
		full = take_one(w, found.ino, found.cookie, &r);
	f3_meta_dir_close(d);
	return !full;
}

static void ask(struct f3_work *work)
{
	struct f3_walk *w = (struct f3_walk *)((char *)work - offsetof(struct f3_walk, work));
	struct f3_core *core = w->core;
	struct f3_inode *dir = w->dir;
	bool by_cookie, at_end = false, go;
	uint64_t from;

	f3_lock(&dir->lock);
	by_cookie = w->by_cookie;
	from = w->reach;
	go = w->window && w->n_begun < w->window && !dir->dead;
	f3_unlock(&dir->lock);
	if (go)
		at_end = by_cookie ? ask_by_cookie(w, from) : ask_by_ino(w, from);
	f3_lock(&dir->lock);
	w->at_end = at_end;
	w->queued = false;
	f3_unlock(&dir->lock);
	f3_inode_put(core, dir);
}

/* ---- Where programs are ---- */

/* Is it one of the next names after the last one? */
static bool follows(struct f3_core *core, uint64_t dir, uint64_t last, uint64_t cookie)
{
	struct f3_meta_name found;
	struct f3_meta_dir *d;
	const char *name;
	size_t len;
	bool yes = false;

	if (!last || cookie <= last || f3_meta_dir_open(core->meta, dir, last, &d))
		return false;
	for (unsigned n = 0; !yes && n < STEP_MAX && f3_meta_dir_next(d, &found, &name, &len) == 1;
	     n++)
		yes = found.cookie == cookie;
	f3_meta_dir_close(d);
	return yes;
}

static void lose(struct f3_walk *w, int score)
{
	w->score = score;
	w->window = w->n_begun = 0;
	w->n_fetched = w->n_used = 0;
	w->at_end = false;
}

static void gain(struct f3_walk *w, int points, bool by_cookie)
{
	if (w->by_cookie != by_cookie && w->score > 0)
		lose(w, 0);
	w->by_cookie = by_cookie;
	w->score += points;
	if (w->score > SCORE_MAX)
		w->score = SCORE_MAX;
}

static void note(struct f3_walk *w, uint64_t ino, uint64_t cookie, bool next_cookie)
{
	uint64_t last = w->last_ino;

	if (w->score < 0)
		w->score++;
	else if (ino > last && ino - last <= STEP_MAX)
		gain(w, SCORE_STEP, false);
	else if (next_cookie ||
		 (w->by_cookie && w->window && cookie > w->last_cookie && cookie <= w->reach))
		gain(w, SCORE_STEP, true);
	else if (last && !w->by_cookie && ino < last + NEAR && last < ino + NEAR)
		gain(w, SCORE_NEAR, false);
	else
		lose(w, 0);
	/* Who is a little behind does not move the place. */
	if (w->by_cookie || ino > last || !w->score)
		w->last_ino = ino;
	w->last_cookie = cookie;
}

static void forget(struct f3_walk *w, unsigned from, unsigned n)
{
	w->n_begun -= n;
	memmove(w->begun + from, w->begun + from + n, (w->n_begun - from) * sizeof(w->begun[0]));
}

/* Is there something to do? Dir's lock held. */
static bool plan(struct f3_walk *w, uint64_t place)
{
	uint64_t at = w->by_cookie ? w->last_cookie : w->last_ino;
	uint64_t behind = w->by_cookie || at < NEAR ? at : at - NEAR;
	unsigned i;

	if (w->score < SCORE_BEGIN)
		return false;
	for (i = 0; i < w->n_begun && w->begun[i] != place; i++)
		;
	if (i < w->n_begun) {
		forget(w, i, 1);
		w->n_used++;
	}
	for (i = 0; i < w->n_begun && w->begun[i] <= behind; i++)
		;
	forget(w, 0, i);
	if (w->n_fetched >= PROVEN && 2 * w->n_used + 2ull * w->n_begun < w->n_fetched) {
		lose(w, SCORE_WASTE);
		return false;
	}
	if (!w->window || w->reach < at)
		w->reach = at;
	if (w->queued || w->at_end || w->n_begun > w->window / 2)
		return false;
	w->window = w->window ? 2 * w->window : WINDOW_MIN;
	if (w->window > F3_FETCH_WINDOW)
		w->window = F3_FETCH_WINDOW;
	w->queued = true;
	return true;
}

void f3_fetch_opened(struct f3_core *core, struct f3_inode *inode, bool look)
{
	char name[F3_NAME_MAX + 1];
	struct f3_inode *dir;
	struct f3_walk *w;
	uint64_t parent, cookie, last = 0;
	bool next = false, push = false;

	f3_lock(&inode->lock);
	parent = inode->dead ? 0 : inode->rec.parent;
	if (!S_ISREG(inode->rec.mode) || inode->rec.size > F3_FETCH_BYTES)
		parent = 0;
	memcpy(name, inode->rec.name, sizeof(name));
	f3_unlock(&inode->lock);
	dir = parent && inode->volume->attr_ttl_ns ? f3_inode_peek(core, parent) : NULL;
	if (!dir)
		return;
	cookie = f3_key_cookie(f3_meta_seed(core->meta), name, strlen(name));
	f3_lock(&dir->lock);
	if (!dir->walk)
		dir->walk = calloc(1, sizeof(*dir->walk));
	w = dir->walk;
	if (w && look && !(inode->ino > w->last_ino && inode->ino - w->last_ino <= STEP_MAX))
		last = w->last_cookie;
	f3_unlock(&dir->lock);
	if (last)
		next = follows(core, dir->ino, last, cookie);
	if (w) {
		f3_lock(&dir->lock);
		w->core = core;
		w->dir = dir;
		note(w, inode->ino, cookie, next);
		push = plan(w, w->by_cookie ? cookie : inode->ino);
		f3_unlock(&dir->lock);
	}
	if (push) {
		w->work.fn = ask;
		f3_inode_ref(dir);
		if (f3_workq_push(core->transfer, &w->work)) {
			f3_lock(&dir->lock);
			w->queued = false;
			f3_unlock(&dir->lock);
			f3_inode_put(core, dir);
		}
	}
	f3_inode_put(core, dir);
}

bool f3_fetch_walks(struct f3_inode *dir)
{
	bool yes;

	f3_lock(&dir->lock);
	yes = dir->walk && dir->walk->window;
	f3_unlock(&dir->lock);
	return yes;
}
