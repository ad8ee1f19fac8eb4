/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_lineage: lineage: from one content of a file to what it was made of, and to what was made of it.
 *
 * Items are activations, each before the first edge that names it, and edges. Each content and each
 * activation is gone through once in each direction, however they are connected.
 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/verb.h"
#include "fs/core/lineage.h"

#define PATH_BYTES_MAX (256u << 10)
#define DEPTH_DEFAULT 16
#define DEPTH_MAX 1000
/* Of one answer. */
#define EDGES_MAX 200000u

struct stop {
	struct f3_content content;
	unsigned depth; /* activations on the way to it */
};

struct walk {
	struct f3_verb *v;
	bool up;
	unsigned max_depth;
	struct stop *stops; /* contents, in the order in which they are gone through */
	size_t n_stops, room;
	json_t *seen; /* contents and activations: "file/generation", "=activation" */
	json_t *told; /* activations, in whatever direction */
	unsigned n_edges;
	bool full;
	/* the stop, and the activation, that is gone through */
	struct stop at;
	const char *act;
	size_t act_len;
	const struct f3_lineage_edge *edge; /* whose path is looked for */
};

static bool same(const struct f3_content *a, const struct f3_content *b)
{
	return a->generation == b->generation && f3_id_equal(&a->id, &b->id);
}

/* The first time? */
static bool first_seen(json_t *all, const char *key)
{
	return !json_object_get(all, key) && !json_object_set_new(all, key, json_true());
}

static int go_to(struct walk *w, const struct f3_content *content, unsigned depth)
{
	char key[F3_ID_TEXT_BYTES + 24], id[F3_ID_TEXT_BYTES];

	f3_id_format(&content->id, id);
	snprintf(key, sizeof(key), "%s/%llu", id, (unsigned long long)content->generation);
	if (!first_seen(w->seen, key))
		return 0;
	if (w->n_stops == w->room) {
		size_t room = w->room ? 2 * w->room : 64;
		struct stop *more = realloc(w->stops, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		w->stops = more;
		w->room = room;
	}
	w->stops[w->n_stops++] = (struct stop){ *content, depth };
	return 0;
}

/* ---- Items ----------------------------------------------------------------------------------- */

static int send_activation(void *arg, const char *id, const struct f3_act_rec *rec)
{
	static const char *const told[] = { "namespace", "action", "version" };
	static const char *const states[] = {
		[F3_ACT_RUNNING] = "running",
		[F3_ACT_ENDED_OK] = "ok",
		[F3_ACT_ENDED_FAILED] = "failed",
	};
	struct walk *w = arg;
	json_t *begin = json_loadb(rec->text, rec->text_len, 0, NULL), *one = json_object();

	json_object_set_new(one, "activation", json_string(id));
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (json_object_get(begin, told[i]))
			json_object_set(one, told[i], json_object_get(begin, told[i]));
	json_object_set_new(one, "state", json_string(states[rec->state]));
	json_object_set_new(one, "shared", json_boolean(rec->shared));
	json_object_set_new(one, "begun", f3_verb_when(rec->begun_ns));
	json_object_set_new(one, "ended", f3_verb_when(rec->ended_ns));
	json_object_set_new(one, "dropped",
			    json_integer((json_int_t)rec->counts[F3_ACT_EDGES_DROPPED]));
	json_decref(begin);
	return f3_verb_send(w->v, "item", one);
}

static int tell_activation(struct walk *w, const char *id, size_t len)
{
	char text[F3_ACT_NAME_MAX + 1];
	int r;

	if (len > F3_ACT_NAME_MAX)
		return 0;
	memcpy(text, id, len);
	text[len] = '\0';
	if (!first_seen(w->told, text))
		return 0;
	r = f3_act_each(w->v->core, text, send_activation, w);
	return r == -ENOENT ? 0 : r; /* just forgotten */
}

static void set_content(json_t *one, const char *file, const char *generation,
			const struct f3_content *content)
{
	char id[F3_ID_TEXT_BYTES];

	f3_id_format(&content->id, id);
	json_object_set_new(one, file, json_string(id));
	json_object_set_new(one, generation, json_integer((json_int_t)content->generation));
}

/* The volume's name may have gone; then there is a path without one. */
static void set_place(struct walk *w, json_t *one, const struct f3_lineage_edge *e)
{
	struct f3_volume *v = f3_volume_get(w->v->core, e->volume);

	if (v)
		f3_wire_set_name(one, "volume", v->name, strlen(v->name));
	f3_volume_put(v);
	if (e->path_len)
		f3_wire_set_name(one, "path", e->path, e->path_len);
}

static int send_edge(struct walk *w, const struct f3_lineage_edge *e, const char *act, size_t len)
{
	static const char *const kinds[] = {
		[F3_LINEAGE_USED] = "used",
		[F3_LINEAGE_GENERATED] = "generated",
		[F3_LINEAGE_BECAME] = "became",
	};
	struct f3_content from = e->from;
	json_t *one;
	int r;

	if (w->n_edges == EDGES_MAX) {
		w->full = true;
		return 0;
	}
	r = tell_activation(w, act, len);
	if (r)
		return r;
	one = json_object();
	json_object_set_new(one, "edge", json_string(kinds[e->kind]));
	json_object_set_new(one, "direction", json_string(w->up ? "up" : "down"));
	json_object_set_new(one, "depth", json_integer((json_int_t)w->at.depth));
	json_object_set_new(one, "activation", json_stringn(act, len));
	set_content(one, "file", "generation", &e->content);
	if (e->kind == F3_LINEAGE_GENERATED)
		from.id = e->content.id;
	if (from.generation)
		set_content(one, "from_file", "from_generation", &from);
	json_object_set_new(one, "when", f3_verb_when(e->when_ns));
	set_place(w, one, e);
	w->n_edges++;
	return f3_verb_send(w->v, "item", one);
}

/* An edge of a file has no path: the activation's does. */
static int send_found(void *arg, const struct f3_lineage_edge *e)
{
	struct walk *w = arg;

	return send_edge(w, e, w->edge->act, w->edge->act_len);
}

/* ---- The walk -------------------------------------------------------------------------------- */

static int beyond(void *arg, const struct f3_lineage_edge *e)
{
	struct walk *w = arg;
	int r = f3_verb_stopped(w->v) ? -EINTR : send_edge(w, e, w->act, w->act_len);

	if (r || w->full)
		return r ? r : 1;
	return w->at.depth + 1 < w->max_depth ? go_to(w, &e->content, w->at.depth + 1) : 0;
}

/* What the activation read; down: what it made. */
static int through(struct walk *w, const struct f3_lineage_edge *e)
{
	char key[F3_ACT_NAME_MAX + 2] = "=";
	int r;

	if (e->act_len > F3_ACT_NAME_MAX)
		return 0;
	memcpy(key + 1, e->act, e->act_len);
	if (!first_seen(w->seen, key))
		return 0;
	w->act = e->act;
	w->act_len = e->act_len;
	r = f3_lineage_of_act(w->v->core, e->act, e->act_len,
			      w->up ? F3_LINEAGE_USED : F3_LINEAGE_GENERATED, beyond, w);
	return r < 0 ? r : 0;
}

static int of_file(void *arg, const struct f3_lineage_edge *e)
{
	struct walk *w = arg;
	bool is = same(&e->content, &w->at.content);
	bool was = e->kind == F3_LINEAGE_BECAME ?
			   same(&e->from, &w->at.content) :
			   e->kind == F3_LINEAGE_GENERATED &&
				   e->from.generation == w->at.content.generation;
	struct f3_content other = w->up ? e->from : e->content;
	int r;

	if (w->up ? !is || e->kind == F3_LINEAGE_USED : !was && (!is || e->kind != F3_LINEAGE_USED))
		return 0;
	w->edge = e;
	r = f3_lineage_find(w->v->core, e->act, e->act_len, e->kind, &e->content, send_found, w);
	if (r || w->full)
		return r;
	if (e->kind == F3_LINEAGE_GENERATED)
		other.id = e->content.id;
	if (e->kind != F3_LINEAGE_USED && other.generation)
		r = go_to(w, &other, w->at.depth);
	if (!r && e->kind == (w->up ? F3_LINEAGE_GENERATED : F3_LINEAGE_USED))
		r = through(w, e);
	return r;
}

static int walk(struct f3_verb *v, const struct f3_content *from, bool up, unsigned max_depth,
		json_t *told)
{
	struct walk w = { .v = v, .up = up, .max_depth = max_depth, .told = told };
	int r;

	w.seen = json_object();
	r = w.seen && told ? go_to(&w, from, 0) : -ENOMEM;
	for (size_t i = 0; i < w.n_stops && !r && !w.full; i++) {
		w.at = w.stops[i];
		r = f3_lineage_of_file(v->core, &w.at.content.id, of_file, &w);
	}
	if (w.full)
		json_object_set_new(v->answer, "truncated", json_true());
	json_decref(w.seen);
	free(w.stops);
	return r;
}

static int depth_of(struct f3_verb *v, unsigned *ret_depth)
{
	const json_t *depth = json_object_get(v->request, "depth");

	*ret_depth = depth ? (unsigned)json_integer_value(depth) : DEPTH_DEFAULT;
	if (depth && (!json_is_integer(depth) || json_integer_value(depth) < 1 ||
		      json_integer_value(depth) > DEPTH_MAX))
		return f3_err_set(&v->err, -EINVAL, "the depth is 1 to %d", DEPTH_MAX);
	return 0;
}

static int content_of(struct f3_verb *v, struct f3_content *ret)
{
	const json_t *generation = json_object_get(v->request, "generation");
	struct f3_look look;
	struct f3_buf path;
	uint64_t ino;
	int r;

	f3_buf_init(&path, PATH_BYTES_MAX);
	r = f3_verb_place(v, &path, &ino);
	if (!r) {
		r = f3_look(v->core, ino, &look);
		if (!r) {
			*ret = (struct f3_content){ look.rec.id, look.rec.generation };
			if (!S_ISREG(look.rec.mode))
				r = -EINVAL;
			f3_look_done(&look);
		}
		if (r)
			f3_verb_error(v, r, &path, r == -EINVAL ? "not a file" : NULL);
	}
	if (!r && json_is_integer(generation))
		ret->generation = (uint64_t)json_integer_value(generation);
	if (!r)
		r = f3_wire_set_place(v->answer, (const char *)path.data, path.len);
	f3_buf_done(&path);
	return r;
}

static int lineage(struct f3_verb *v)
{
	bool up = f3_verb_flag(v, "up"), down = f3_verb_flag(v, "down");
	struct f3_content content;
	json_t *told;
	unsigned depth;
	int r = depth_of(v, &depth);

	if (!r)
		r = content_of(v, &content);
	if (r)
		return r;
	set_content(v->answer, "file", "generation", &content);
	json_object_set_new(v->answer, "truncated", json_false());
	f3_lineages_settle(v->core);
	told = json_object();
	if (up || !down)
		r = walk(v, &content, true, depth, told);
	if (!r && (down || !up))
		r = walk(v, &content, false, depth, told);
	json_decref(told);
	return r;
}

const struct f3_verb_entry f3_verbs_lineage[] = {
	{ "lineage", lineage },
	{ NULL, NULL },
};
