/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/core/namespace.h"

#define PATH_BYTES_MAX 65536u
#define BATCH_NAMES 64u /* read at a time, */
#define BATCH_LEVELS 64u /* in so many levels; below them one by one */

struct batch_name {
	uint64_t ino, cookie;
	mode_t type;
	uint8_t len;
	char name[F3_NAME_MAX];
};

/* A directory under way. */
struct level {
	struct level *up;
	uint64_t ino, cookie; /* names up to the cookie were visited */
	size_t path_len;
	bool end; /* nothing comes after the batch */
	unsigned at, n, max;
	struct batch_name batch[];
};

struct walk {
	struct f3_verb *v;
	struct f3_buf *path;
	f3_walk_fn *fn;
	f3_walk_failed_fn *failed;
	void *arg;
	struct level *level;
	unsigned depth;
	bool deep;
};

static int take_name(void *arg, const char *name, size_t len, uint64_t cookie,
		     const struct f3_entry *e)
{
	struct level *l = arg;
	struct batch_name *to = &l->batch[l->n];

	if ((len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
		return 0;
	if (l->n == l->max)
		return 1;
	to->ino = e->ino;
	to->cookie = cookie;
	to->type = e->st.st_mode & S_IFMT;
	to->len = (uint8_t)len;
	memcpy(to->name, name, len);
	l->n++;
	return 0;
}

static int fill_batch(struct walk *w, struct level *l)
{
	int r;

	l->at = l->n = 0;
	r = f3_ns_readdir(w->v->core, l->ino, l->cookie, false, &f3_verb_caller, take_name, l);
	if (r < 0)
		return r;
	l->end = r == 0;
	return 0;
}

static void leave(struct walk *w)
{
	struct level *l = w->level;

	w->level = l->up;
	w->depth--;
	w->path->len = l->path_len;
	free(l);
}

static int enter(struct walk *w, uint64_t ino)
{
	unsigned max = w->depth < BATCH_LEVELS ? BATCH_NAMES : 1;
	struct level *l = malloc(sizeof(*l) + max * sizeof(l->batch[0]));
	int r;

	if (!l)
		return -ENOMEM;
	*l = (struct level){ .up = w->level, .ino = ino, .path_len = w->path->len, .max = max };
	w->level = l;
	w->depth++;
	r = fill_batch(w, l);
	if (!r)
		return 0;
	leave(w);
	return r == -ENOENT || r == -ESTALE ? 0 : w->failed(w->arg, w->path, r);
}

/* The path of a name in the directory under way. -ENAMETOOLONG past the bound. */
static int set_path(struct walk *w, const struct level *l, const struct batch_name *name)
{
	w->path->len = l->path_len;
	if (l->path_len + name->len + 1 > PATH_BYTES_MAX)
		return -ENAMETOOLONG;
	if (l->path_len != 1)
		f3_buf_put_u8(w->path, '/');
	f3_buf_put(w->path, name->name, name->len);
	return w->path->error;
}

static int visit(struct walk *w, uint64_t ino, mode_t type)
{
	int r = w->fn(w->arg, ino, type, w->path, F3_WALK_FIRST);

	if (!r && f3_verb_stopped(w->v))
		r = -EPIPE;
	return r;
}

/* One step: the next name, or one level up. */
static int step(struct walk *w)
{
	struct level *l = w->level;
	const struct batch_name *name;
	uint64_t ino;
	mode_t type;
	int r;

	if (l->at == l->n) {
		if (!l->end) {
			w->path->len = l->path_len;
			r = fill_batch(w, l);
			if (!r)
				return 0;
			r = w->failed(w->arg, w->path, r);
			if (r)
				return r;
		}
		ino = l->ino;
		leave(w);
		return w->fn(w->arg, ino, S_IFDIR, w->path, F3_WALK_LAST);
	}
	name = &l->batch[l->at++];
	l->cookie = name->cookie;
	ino = name->ino;
	type = name->type;
	r = set_path(w, l, name);
	if (r == -ENAMETOOLONG)
		return w->failed(w->arg, w->path, r);
	if (!r)
		r = visit(w, ino, type);
	if (!r && w->deep && S_ISDIR(type))
		r = enter(w, ino);
	return r;
}

int f3_walk(struct f3_verb *v, uint64_t ino, struct f3_buf *path, enum f3_walk_depth depth,
	    f3_walk_fn *fn, f3_walk_failed_fn *failed, void *arg)
{
	struct walk w = { .v = v,
			  .path = path,
			  .fn = fn,
			  .failed = failed,
			  .arg = arg,
			  .deep = depth == F3_WALK_DEEP };
	size_t path_len = path->len;
	struct f3_look look;
	mode_t type;
	int r = f3_look(v->core, ino, &look);

	if (r)
		return r;
	type = look.rec.mode & S_IFMT;
	f3_look_done(&look);
	r = visit(&w, ino, type);
	if (!r && depth != F3_WALK_ONE && S_ISDIR(type))
		r = enter(&w, ino);
	while (!r && w.level)
		r = step(&w);
	while (w.level)
		leave(&w);
	path->len = path_len;
	return r;
}
