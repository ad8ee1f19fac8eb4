/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workingset_run: what one activation reads, and how that becomes part of its set.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/hash.h"
#include "fs/base/log.h"
#include "fs/core/fetch.h"
#include "fs/core/workingset_impl.h"

#define BUCKETS 64u
/* Parts of a file with less than that between them are one. */
#define JOIN_BYTES (16u << 10)

/* A file that it opened. */
struct seen {
	uint64_t ino;
	bool cold; /* what it reads of it is written down */
	int at; /* which of the replay's files; -1: none */
	char *path; /* of one that is cold, as the function sees it */
	uint64_t size;
	bool whole;
	struct f3_ws_range *range;
	size_t n_ranges, room;
	struct seen *of_bucket, *next;
};

struct f3_ws_run {
	struct f3_ws *ws;
	struct f3_lock lock;
	struct seen *buckets[BUCKETS];
	struct seen *first, **last; /* in the order they were opened */
	unsigned n;
	size_t held;
	bool expects; /* there is a set: files that are here count as used */
	bool over;
	uint64_t hits, misses;
	struct f3_ws_replay *replay; /* a reference; NULL: none */
};

struct f3_ws_run *f3_ws_run_new(struct f3_activation *act)
{
	struct f3_ws *ws = act->core->ws;
	struct f3_ws_run *run;

	if (!f3_conf_u64(act->core->conf, "f3", NULL, "working-sets-kept"))
		return NULL;
	run = calloc(1, sizeof(*run));
	if (!run)
		return NULL;
	run->ws = ws;
	run->last = &run->first;
	f3_lock_init(&run->lock, F3_RANK_ACTS);
	return run;
}

static void seen_free(struct seen *s)
{
	free(s->path);
	free(s->range);
	free(s);
}

/* It holds nothing any more, and takes nothing. */
static void clear(struct f3_ws_run *run)
{
	struct f3_ws_replay *rp;
	struct seen *s, *next;

	f3_lock(&run->lock);
	run->over = true;
	rp = run->replay;
	run->replay = NULL;
	s = run->first;
	run->first = NULL;
	memset(run->buckets, 0, sizeof(run->buckets));
	run->ws->held_bytes -= run->held;
	run->held = 0;
	f3_unlock(&run->lock);
	for (; s; s = next) {
		next = s->next;
		seen_free(s);
	}
	f3_ws_replay_put(rp);
}

void f3_ws_run_free(struct f3_ws_run *run)
{
	if (!run)
		return;
	clear(run);
	f3_lock_done(&run->lock);
	free(run);
}

static struct f3_ws_name name_of(const struct f3_activation *act)
{
	return (struct f3_ws_name){ act->spec.namespace_, act->spec.action,
				    act->spec.version ? act->spec.version : "" };
}

void f3_ws_begin(struct f3_activation *act)
{
	const struct f3_ws_name name = name_of(act);
	struct f3_ws_run *run = act->ws;
	struct f3_ws_replay *rp;
	char **inputs;
	bool over;
	int r;

	if (!run || !f3_ws_known(run->ws, &name))
		return;
	inputs = calloc(act->spec.n_inputs ? act->spec.n_inputs : 1, sizeof(*inputs));
	if (!inputs)
		return;
	for (size_t i = 0; i < act->spec.n_inputs; i++)
		inputs[i] = act->spec.input[i].path;
	r = f3_ws_replay_new(run->ws, &name, act->volume, act->prefix, inputs, act->spec.n_inputs,
			     false, &rp);
	free(inputs);
	if (r)
		return;
	f3_lock(&run->lock);
	over = run->over;
	if (!over) {
		run->expects = true;
		run->replay = rp;
		f3_ws_replay_ref(rp);
	}
	f3_unlock(&run->lock);
	if (!over)
		(void)f3_ws_replay_start(rp); /* advice */
	f3_ws_replay_put(rp);
}

/* ---- What it does ---------------------------------------------------------------------------- */

static bool overlap(uint64_t a_off, uint64_t a_len, uint64_t b_off, uint64_t b_len)
{
	return a_off < b_off ? a_len > b_off - a_off : b_len > a_off - b_off;
}

static bool touches(const struct f3_ws_range *range, uint64_t off, uint64_t len, uint64_t between)
{
	return overlap(range->off > between ? range->off - between : 0, range->len + 2 * between,
		       off, len);
}

static void join(struct f3_ws_range *range, uint64_t off, uint64_t len)
{
	uint64_t end = range->off + range->len;

	if (off + len > end)
		end = off + len;
	if (off < range->off)
		range->off = off;
	range->len = end - range->off;
}

/* Of those that it fills the room between; n of them stay. */
static size_t join_all(struct f3_ws_range *v, size_t n, size_t at)
{
	for (size_t i = 0; i < n;) {
		if (i == at || !touches(&v[i], v[at].off, v[at].len, JOIN_BYTES)) {
			i++;
			continue;
		}
		/* It stands where the first of them was read. */
		if (i < at) {
			join(&v[i], v[at].off, v[at].len);
			if (v[at].unused < v[i].unused)
				v[i].unused = v[at].unused;
			memmove(&v[at], &v[at + 1], (n - at - 1) * sizeof(*v));
			at = i;
		} else {
			join(&v[at], v[i].off, v[i].len);
			if (v[i].unused < v[at].unused)
				v[at].unused = v[i].unused;
			memmove(&v[i], &v[i + 1], (n - i - 1) * sizeof(*v));
		}
		n--;
		i = 0;
	}
	return n;
}

/* The one that is next to it. There are some. */
static size_t nearest(const struct f3_ws_range *v, size_t n, uint64_t off)
{
	size_t best = 0;

	for (size_t i = 1; i < n; i++) {
		uint64_t a = v[i].off > off ? v[i].off - off : off - v[i].off;
		uint64_t b = v[best].off > off ? v[best].off - off : off - v[best].off;

		if (a < b)
			best = i;
	}
	return best;
}

/* Puts [off, off+len) to n ranges, of which there is room for F3_WS_RANGES_MAX. */
static void put_range(struct f3_ws_range *v, size_t *n, uint64_t off, uint64_t len, bool *ret_new)
{
	size_t at = 0;

	*ret_new = false;
	while (at < *n && !touches(&v[at], off, len, JOIN_BYTES))
		at++;
	if (at == *n && *n < F3_WS_RANGES_MAX) {
		v[(*n)++] = (struct f3_ws_range){ .off = off, .len = len };
		*ret_new = true;
		return;
	}
	if (at == *n)
		at = nearest(v, *n, off);
	join(&v[at], off, len);
	v[at].unused = 0;
	*n = join_all(v, *n, at);
}

/* Lock held. */
static struct seen *find(const struct f3_ws_run *run, uint64_t ino)
{
	struct seen *s = run->buckets[ino % BUCKETS];

	while (s && s->ino != ino)
		s = s->of_bucket;
	return s;
}

/* Lock held. False: it may hold no more. */
static bool hold(struct f3_ws_run *run, size_t bytes)
{
	if (run->ws->held_bytes + bytes > F3_WS_HELD_MAX)
		return false;
	run->ws->held_bytes += bytes;
	run->held += bytes;
	return true;
}

/* Which of the replay's files that is, by its path where it was not looked at yet. */
static int in_set(struct f3_ws_run *run, struct f3_activation *act, uint64_t ino, const char *path);

/* Is it going another way than the ones before it? Lock held. */
static struct f3_ws_replay *diverges(struct f3_ws_run *run, bool hit)
{
	if (!run->replay)
		return NULL;
	if (hit)
		run->hits++;
	else
		run->misses++;
	return run->misses >= F3_WS_DIVERGED && run->misses > run->hits ? run->replay : NULL;
}

static void cancel(struct f3_ws_replay *rp)
{
	if (!rp)
		return;
	f3_ws_replay_end(rp, F3_WS_DIVERGING);
	f3_ws_replay_put(rp);
}

void f3_ws_opened(struct f3_activation *act, struct f3_inode *inode, bool cold)
{
	struct f3_ws_run *run = act->ws;
	struct f3_ws_replay *stop = NULL;
	char full[PATH_MAX] = "";
	const char *path = NULL;
	struct seen *s;
	uint64_t size;
	bool known;
	int at;

	if (!run || (!cold && !run->expects))
		return;
	f3_lock(&run->lock);
	s = find(run, inode->ino);
	known = run->over || run->n == F3_WS_FILES_MAX || (s && (s->cold || !cold));
	f3_unlock(&run->lock);
	if (known)
		return;
	if (cold && !f3_inode_path(act->core, inode->ino, full, sizeof(full)))
		path = f3_act_path(act, inode->volume, full);
	if (cold && (!path || !f3_ws_path_ok(path)))
		return;
	at = in_set(run, act, inode->ino, path);
	f3_lock(&inode->lock);
	size = inode->rec.size;
	f3_unlock(&inode->lock);
	f3_lock(&run->lock);
	s = run->over ? NULL : find(run, inode->ino);
	if (!s && !run->over && hold(run, sizeof(*s) + (path ? strlen(path) : 0)) &&
	    (s = calloc(1, sizeof(*s)))) {
		s->ino = inode->ino;
		s->of_bucket = run->buckets[s->ino % BUCKETS];
		run->buckets[s->ino % BUCKETS] = s;
		*run->last = s;
		run->last = &s->next;
		run->n++;
	}
	if (s && cold && !s->cold) {
		s->path = strdup(path);
		s->cold = s->path != NULL;
		s->size = size;
		/* What an open brings whole is not read through the daemon any more. */
		s->whole = size && size <= F3_FETCH_BYTES;
		if (s->whole)
			f3_ws_count(F3_WS_RECORDED, 1);
	}
	if (s)
		s->at = at;
	if (cold || at >= 0)
		stop = diverges(run, at >= 0);
	if (stop)
		f3_ws_replay_ref(stop);
	f3_unlock(&run->lock);
	cancel(stop);
}

void f3_ws_read(struct f3_activation *act, struct f3_inode *inode, uint64_t off, uint64_t len)
{
	struct f3_ws_run *run = act->ws;
	struct f3_ws_replay *stop = NULL;
	bool new = false, hit = false;
	struct seen *s;

	if (!run)
		return;
	f3_lock(&run->lock);
	s = find(run, inode->ino);
	if (!s || run->over || !s->cold || s->whole || off >= s->size) {
		f3_unlock(&run->lock);
		return;
	}
	if (len > s->size - off)
		len = s->size - off;
	if (s->n_ranges == s->room && s->room < F3_WS_RANGES_MAX) {
		size_t room = s->room ? s->room * 4 : 2;
		struct f3_ws_range *v = hold(run, (room - s->room) * sizeof(*v)) ?
						realloc(s->range, room * sizeof(*v)) :
						NULL;

		if (v) {
			s->range = v;
			s->room = room;
		}
	}
	/* Without room for another one it may still be next to what was read before. */
	if (s->n_ranges < s->room || s->room == F3_WS_RANGES_MAX)
		put_range(s->range, &s->n_ranges, off, len, &new);
	if (s->n_ranges == 1 && s->range[0].off == 0 && s->range[0].len >= s->size)
		s->whole = true;
	if (new) {
		const struct f3_ws_set *set = run->replay ? f3_ws_replay_set(run->replay) : NULL;

		f3_ws_count(F3_WS_RECORDED, 1);
		if (set && s->at >= 0) {
			const struct f3_ws_file *file = &set->file[s->at];

			hit = file->whole;
			for (size_t i = 0; i < file->n_ranges && !hit; i++)
				hit = touches(&file->range[i], off, len, JOIN_BYTES);
		}
		stop = diverges(run, hit);
		if (stop)
			f3_ws_replay_ref(stop);
	}
	f3_unlock(&run->lock);
	cancel(stop);
}

/* ---- Paths ----------------------------------------------------------------------------------- */

/* The input that this path is, or is below; the longest, if of several. -1: none. */
static int input_of(const struct f3_activation *act, const char *path, const char **ret_rest)
{
	char base[PATH_MAX];
	size_t best = 0;
	int found = -1;

	*ret_rest = path;
	for (size_t i = 0; i < act->spec.n_inputs; i++) {
		size_t len;

		if (f3_ws_input_base(act->spec.input[i].path, base, sizeof(base)))
			continue;
		len = strlen(base);
		/* The root has everything below it: that says nothing. */
		if (!len || strncmp(path, base, len) != 0 || (path[len] && path[len] != '/') ||
		    len <= best)
			continue;
		best = len;
		found = (int)i;
		*ret_rest = path + len;
	}
	return found;
}

static bool is_file(const struct f3_ws_file *file, int input, const char *rest)
{
	return file->input == input && !strcmp(file->path, rest);
}

static int in_set(struct f3_ws_run *run, struct f3_activation *act, uint64_t ino, const char *path)
{
	const struct f3_ws_set *set;
	struct f3_ws_replay *rp;
	const char *rest;
	int input, at = -1;

	f3_lock(&run->lock);
	rp = run->replay;
	if (rp)
		f3_ws_replay_ref(rp);
	f3_unlock(&run->lock);
	if (!rp)
		return -1;
	at = f3_ws_replay_find(rp, ino);
	set = path && at < 0 ? f3_ws_replay_set(rp) : NULL;
	input = set ? input_of(act, path, &rest) : -1;
	for (size_t i = 0; set && i < set->n && at < 0; i++)
		if (is_file(&set->file[i], input, rest))
			at = (int)i;
	f3_ws_replay_put(rp);
	return at;
}

/* ---- At its end ------------------------------------------------------------------------------ */

struct merging {
	struct f3_activation *act;
	struct f3_ws_run *run;
	bool changed;
};

/* What was opened of the file; *ret_tell: whether its not being so says anything. */
static struct seen *seen_of(const struct merging *m, const struct f3_ws_file *file, bool *ret_tell)
{
	struct f3_ws_replay *rp = m->run->replay;
	const struct f3_ws_set *set = rp ? f3_ws_replay_set(rp) : NULL;
	uint64_t ino;

	*ret_tell = rp && f3_ws_replay_diverged(rp);
	for (struct seen *s = m->run->first; s; s = s->next) {
		const char *rest;
		int input = s->cold ? input_of(m->act, s->path, &rest) : -1;

		if (s->cold && is_file(file, input, rest))
			return s;
	}
	for (size_t i = 0; set && i < set->n; i++) {
		if (!is_file(&set->file[i], file->input, file->path))
			continue;
		switch (f3_ws_replay_fate(rp, i, &ino)) {
		case F3_WS_FOUND:
			*ret_tell = true;
			return find(m->run, ino);
		case F3_WS_MISSING:
			*ret_tell = true;
			return NULL;
		case F3_WS_AHEAD:
			return NULL;
		}
	}
	return NULL;
}

/* What was read of it comes to its ranges, and what was not gets older. */
static void merge_ranges(struct merging *m, struct f3_ws_file *file, const struct seen *s)
{
	size_t n = 0;
	bool new;

	if (file->size != s->size || file->whole != (file->whole || s->whole))
		m->changed = true;
	if (s->whole || file->whole) {
		file->whole = true;
		file->size = s->size;
		file->n_ranges = 0;
		return;
	}
	for (size_t i = 0; i < file->n_ranges; i++) {
		struct f3_ws_range *range = &file->range[i];
		bool used = false;

		for (size_t k = 0; k < s->n_ranges && !used; k++)
			used = touches(range, s->range[k].off, s->range[k].len, JOIN_BYTES);
		m->changed |= range->unused || !used;
		range->unused = used ? 0 : (uint8_t)(range->unused + 1);
		if (range->unused < F3_WS_UNUSED_MAX)
			file->range[n++] = *range;
	}
	file->n_ranges = n;
	for (size_t k = 0; k < s->n_ranges; k++) {
		uint64_t was = f3_ws_file_bytes(file);

		put_range(file->range, &file->n_ranges, s->range[k].off, s->range[k].len, &new);
		m->changed |= new || f3_ws_file_bytes(file) != was;
	}
	file->size = s->size;
}

static int ranges_room(struct f3_ws_file *file)
{
	struct f3_ws_range *v = realloc(file->range, F3_WS_RANGES_MAX * sizeof(*v));

	if (!v)
		return -ENOMEM;
	file->range = v;
	return 0;
}

static int append(struct merging *m, struct f3_ws_set *set, const struct seen *s)
{
	struct f3_ws_file file = { .size = s->size, .whole = s->whole };
	const char *rest;

	file.input = input_of(m->act, s->path, &rest);
	file.path = strdup(rest);
	file.range = malloc((s->n_ranges + 1) * sizeof(*file.range));
	if (!file.path || !file.range) {
		f3_ws_file_done(&file);
		return -ENOMEM;
	}
	if (!s->whole && s->n_ranges) {
		memcpy(file.range, s->range, s->n_ranges * sizeof(*file.range));
		file.n_ranges = s->n_ranges;
	}
	set->file[set->n++] = file;
	m->changed = true;
	return 0;
}

/* One that takes files of F3_WS_FILES_MAX, as a set that was read does. */
static int merge(void *arg, struct f3_ws_set *set, bool *frozen)
{
	struct merging *m = arg;
	size_t n = 0;
	int r = 0;

	if (*frozen)
		return 0;
	if (!set->file)
		set->file = calloc(F3_WS_FILES_MAX, sizeof(*set->file));
	if (!set->file)
		return -ENOMEM;
	for (size_t i = 0; i < set->n; i++) {
		struct f3_ws_file *file = &set->file[i];
		bool tell;
		struct seen *s = seen_of(m, file, &tell);

		if (s || tell) {
			m->changed |= s ? file->unused != 0 : true;
			file->unused = s ? 0 : (uint8_t)(file->unused + 1);
		}
		if (s && s->cold && !r) {
			r = ranges_room(file);
			if (!r)
				merge_ranges(m, file, s);
			s->at = 0; /* it is in the set */
		}
		if (file->unused < F3_WS_UNUSED_MAX && (file->whole || file->n_ranges))
			set->file[n++] = *file;
		else
			f3_ws_file_done(file);
	}
	set->n = n;
	for (const struct seen *s = m->run->first; s && !r && set->n < F3_WS_FILES_MAX; s = s->next)
		if (s->cold && s->at < 0 && (s->whole || s->n_ranges))
			r = append(m, set, s);
	return r ? r : m->changed;
}

/* Of what was brought for it, how much did it read? */
static void account(struct f3_ws_run *run)
{
	struct f3_ws_replay *rp = run->replay;
	const struct f3_ws_set *set = rp ? f3_ws_replay_set(rp) : NULL;
	uint64_t all = 0, used = 0, ino;

	for (size_t i = 0; set && i < set->n; i++) {
		uint64_t asked = f3_ws_replay_asked(rp, i, 0, UINT64_MAX);
		const struct seen *s = NULL;

		if (asked && f3_ws_replay_fate(rp, i, &ino) == F3_WS_FOUND)
			s = find(run, ino);
		all += asked;
		/* What is read natively is not seen. */
		if (s && (s->whole || !s->cold))
			used += asked;
		for (size_t k = 0; s && !s->whole && s->cold && k < s->n_ranges; k++)
			used += f3_ws_replay_asked(rp, i, s->range[k].off, s->range[k].len);
	}
	f3_ws_count(F3_WS_BYTES_USED, used < all ? used : all);
	f3_ws_count(F3_WS_BYTES_WASTED, used < all ? all - used : 0);
}

void f3_ws_end(struct f3_activation *act, bool ok)
{
	const struct f3_ws_name name = name_of(act);
	struct f3_ws_run *run = act->ws;
	struct merging m = { .act = act, .run = run };
	int r = 0;

	if (!run)
		return;
	f3_lock(&run->lock);
	run->over = true; /* nobody changes it any more */
	f3_unlock(&run->lock);
	if (run->replay) {
		f3_ws_replay_end(run->replay, F3_WS_ENDED);
		account(run);
	}
	for (struct seen *s = run->first; s; s = s->next)
		s->at = -1;
	if (ok && (run->first || run->replay))
		r = f3_ws_change(run->ws, &name, merge, &m);
	if (r)
		f3_log_warn("what %s reads cannot be written down: %s", act->spec.action,
			    f3_errno_name(r));
	/* Files that it opened may keep the activation for long. */
	clear(run);
}
