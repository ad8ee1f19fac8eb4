/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/hint_act.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/core/lifetime.h"
#include "fs/core/workingset.h"
#include "hints/wire.h"

#define WAIT_MS_MAX (10 * 60 * 1000)
#define PATH_BYTES_MAX 4095u
#define WAIT_DEPTH_MAX 64u /* each of them is kept */

/* ---- A begin's members ----------------------------------------------------------------------- */

struct reading {
	const json_t *object; /* the one that is read */
	const char *where; /* for messages: "", "inputs: " */
	struct f3_err *err;
	int r; /* the first error; after it nothing is read */
};

static int bad(struct reading *rd, const char *key, const char *what)
{
	if (!rd->r)
		rd->r = f3_err_set(rd->err, -EINVAL, "%s\"%s\" is %s", rd->where, key, what);
	return rd->r;
}

/* NULL where it is not there, or null. */
static const json_t *member(struct reading *rd, const char *key)
{
	const json_t *v = rd->r ? NULL : json_object_get(rd->object, key);

	return json_is_null(v) ? NULL : v;
}

static char *copy(struct reading *rd, const char *text)
{
	char *s = strdup(text);

	if (!s && !rd->r)
		rd->r = f3_err_set(rd->err, -ENOMEM, "out of memory");
	return s;
}

/* A string of 1 to max bytes. */
static char *text_of(struct reading *rd, const char *key, size_t max, bool wanted)
{
	const json_t *v = member(rd, key);
	size_t len = json_string_length(v);

	if (!v && !wanted)
		return NULL;
	if (!json_is_string(v) || !len || len > max || strlen(json_string_value(v)) != len) {
		bad(rd, key, v ? "no text of a proper length" : "missing");
		return NULL;
	}
	return copy(rd, json_string_value(v));
}

static bool flag_of(struct reading *rd, const char *key)
{
	const json_t *v = member(rd, key);

	if (v && !json_is_boolean(v))
		bad(rd, key, "neither true nor false");
	return json_is_true(v);
}

static int64_t number_of(struct reading *rd, const char *key, int64_t max)
{
	const json_t *v = member(rd, key);

	if (v && (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max))
		bad(rd, key, "no number in its range");
	return v && !rd->r ? (int64_t)json_integer_value(v) : 0;
}

static const json_t *list_of(struct reading *rd, const char *key)
{
	const json_t *v = member(rd, key);

	if (v && (!json_is_array(v) || json_array_size(v) > F3_ACT_PATTERNS_MAX))
		bad(rd, key, "no list, or too long a one");
	return rd->r ? NULL : v;
}

/* A list of names; NULL where there are none, or it is none. */
static const json_t *names_of(struct reading *rd, const char *key)
{
	const json_t *list = list_of(rd, key);

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);

		if (!json_is_string(v) || json_string_length(v) > F3_ACT_NAME_MAX)
			bad(rd, key, "no list of names");
	}
	return rd->r ? NULL : list;
}

static char **texts_of(struct reading *rd, const char *key, size_t *ret_n)
{
	const json_t *list = names_of(rd, key);
	size_t n = json_array_size(list);
	char **all = n ? calloc(n, sizeof(*all)) : NULL;

	*ret_n = 0;
	if (n && !all)
		rd->r = f3_err_set(rd->err, -ENOMEM, "out of memory");
	for (size_t i = 0; all && i < n && !rd->r; i++) {
		all[i] = copy(rd, json_string_value(json_array_get(list, i)));
		*ret_n = i + 1;
	}
	return all;
}

/* A path or pattern, from the root of what the function sees. */
static char *path_of(struct reading *rd)
{
	char *path = text_of(rd, "path", PATH_BYTES_MAX, true);

	if (path && path[0] != '/')
		bad(rd, "path", "no path: it begins with a slash");
	return path;
}

static unsigned components(const char *path)
{
	unsigned n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

static void read_inputs(struct reading *rd, struct f3_act_spec *spec)
{
	const json_t *list = list_of(rd, "inputs");
	size_t n = json_array_size(list);

	if (!n)
		return;
	spec->input = calloc(n, sizeof(*spec->input));
	if (!spec->input)
		rd->r = f3_err_set(rd->err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n && !rd->r; i++) {
		struct reading one = {
			.object = json_array_get(list, i), .where = "inputs: ", .err = rd->err
		};
		struct f3_act_input *in = &spec->input[i];

		spec->n_inputs = i + 1;
		in->path = path_of(&one);
		in->stream = flag_of(&one, "stream");
		in->wait_ms = (uint32_t)number_of(&one, "wait", WAIT_MS_MAX);
		if (in->path && in->wait_ms && components(in->path) > WAIT_DEPTH_MAX)
			bad(&one, "path", "too deep to be waited for");
		rd->r = one.r;
	}
}

static void read_output(struct reading *rd, struct f3_act_spec *spec)
{
	struct f3_placement *all = &spec->outputs;
	struct f3_placement_rule *rule = &all->rules[all->n_rules];
	struct f3_act_output *out = &spec->output[all->n_rules++];
	char *class_, *close_;

	*rule = (struct f3_placement_rule){ .pattern = path_of(rd) };
	rule->stream = flag_of(rd, "stream");
	class_ = text_of(rd, "class", F3_ACT_NAME_MAX, false);
	if (class_) {
		if (f3_class_parse(class_, strlen(class_), &rule->class_) ||
		    rule->class_ == F3_CLASS_NONE || rule->class_ == F3_CLASS_REPLICATED)
			bad(rd, "class", "no class that is supported");
		free(class_);
	}
	close_ = text_of(rd, "close", F3_ACT_NAME_MAX, false);
	if (close_ && strcmp(close_, "seal") != 0)
		bad(rd, "close", "not \"seal\"");
	out->close_seals = close_ != NULL;
	free(close_);
	out->readers = texts_of(rd, "readers", &out->n_readers);
	if (out->n_readers > F3_LIFE_READERS_MAX)
		bad(rd, "readers", "too long a list");
	out->lifetime_s = (uint64_t)number_of(rd, "lifetime", INT32_MAX);
	if (!rd->r && !f3_placement_pattern_ok(rule->pattern))
		bad(rd, "path", "too long a pattern");
}

static void read_outputs(struct reading *rd, struct f3_act_spec *spec)
{
	const json_t *list = list_of(rd, "outputs");
	size_t n = json_array_size(list);

	if (!n)
		return;
	spec->outputs.rules = calloc(n, sizeof(*spec->outputs.rules));
	spec->output = calloc(n, sizeof(*spec->output));
	if (!spec->outputs.rules || !spec->output)
		rd->r = f3_err_set(rd->err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n && !rd->r; i++) {
		struct reading one = {
			.object = json_array_get(list, i), .where = "outputs: ", .err = rd->err
		};

		read_output(&one, spec);
		rd->r = one.r;
	}
}

static void read_commit(struct reading *rd, struct f3_act_spec *spec)
{
	char *commit = text_of(rd, "commit", F3_ACT_NAME_MAX, false);

	if (!commit || !strcmp(commit, "none"))
		spec->commit = F3_COMMIT_NONE;
	else if (!strcmp(commit, "async"))
		spec->commit = F3_COMMIT_ASYNC;
	else if (!strcmp(commit, "sync"))
		spec->commit = F3_COMMIT_SYNC;
	else
		bad(rd, "commit", "none of none, async, sync");
	free(commit);
}

static void read_container(struct reading *rd, struct f3_act_spec *spec)
{
	const json_t *v = member(rd, "container");
	struct reading in = { .object = v, .where = "container: ", .err = rd->err };

	spec->view = text_of(rd, "view", F3_ACT_NAME_MAX, false);
	if (rd->r || spec->view)
		return;
	if (!json_is_object(v)) {
		bad(rd, "view", "missing, and there is no \"container\"");
		return;
	}
	spec->container_pid = (pid_t)number_of(&in, "pid", INT_MAX);
	if (!in.r && spec->container_pid <= 0)
		bad(&in, "pid", "missing");
	rd->r = in.r;
	spec->volume = text_of(rd, "volume", F3_NAME_MAX, true);
}

/* The request without what belongs to the line only; the same request is the same text. */
static void keep_text(struct reading *rd, struct f3_act_spec *spec)
{
	json_t *kept = json_copy((json_t *)rd->object);

	if (kept) {
		json_object_del(kept, "id");
		json_object_del(kept, "op");
		spec->text = json_dumps(kept, JSON_COMPACT | JSON_SORT_KEYS);
		json_decref(kept);
	}
	if (spec->text)
		spec->text_len = strlen(spec->text);
	else
		rd->r = f3_err_set(rd->err, -ENOMEM, "out of memory");
}

/* f3_act_spec_done, also after an error. */
static int read_begin(const json_t *request, struct f3_act_spec *spec, struct f3_err *err)
{
	struct reading rd = { .object = request, .where = "", .err = err };

	memset(spec, 0, sizeof(*spec));
	spec->id = text_of(&rd, "activation", F3_ACT_NAME_MAX, true);
	spec->namespace_ = text_of(&rd, "namespace", F3_ACT_NAME_MAX, true);
	spec->action = text_of(&rd, "action", F3_ACT_NAME_MAX, true);
	spec->version = text_of(&rd, "version", F3_ACT_NAME_MAX, false);
	spec->key = text_of(&rd, "key", F3_ACT_NAME_MAX, false);
	spec->deadline_ms = number_of(&rd, "deadline", INT64_MAX / 1000000);
	read_container(&rd, spec);
	read_inputs(&rd, spec);
	read_outputs(&rd, spec);
	read_commit(&rd, spec);
	(void)names_of(&rd, "next"); /* told, and kept in the text; nothing goes by it */
	if (!rd.r)
		keep_text(&rd, spec);
	return rd.r;
}

/* ---- The operations -------------------------------------------------------------------------- */

static bool waits(const struct f3_act_spec *spec)
{
	for (size_t i = 0; i < spec->n_inputs; i++)
		if (spec->input[i].wait_ms)
			return true;
	return false;
}

int f3_hint_begin(struct f3_hint *h)
{
	struct f3_act_spec spec;
	bool again = false;
	int r = read_begin(h->request, &spec, &h->err);

	/* One with a set syncs the log, one that waits has the kernel forget names. */
	if (!r && !h->may_block && (spec.commit != F3_COMMIT_NONE || waits(&spec)))
		r = -F3_EWAIT;
	if (!r)
		r = f3_act_begin(h->core, &spec, false, &again, &h->err);
	f3_act_spec_done(&spec);
	if (!r && again)
		json_object_set_new(h->answer, "again", json_true());
	return r;
}

int f3_hint_end(struct f3_hint *h)
{
	struct reading rd = { .object = h->request, .where = "", .err = &h->err };
	char *id = text_of(&rd, "activation", F3_ACT_NAME_MAX, true);
	bool ok, again = false;
	int r;

	if (!rd.r && !json_is_boolean(json_object_get(h->request, "ok")))
		bad(&rd, "ok", "missing: true or false");
	ok = json_is_true(json_object_get(h->request, "ok"));
	r = rd.r;
	/* What is waited for at an end is not waited for here. */
	if (!r && !h->may_block)
		r = -F3_EWAIT;
	if (!r)
		r = f3_act_end(h->core, id, ok, &again, &h->err);
	free(id);
	if (!r && again)
		json_object_set_new(h->answer, "again", json_true());
	return r;
}

/* Where the function would be run. */
static int warm_place(struct f3_hint *h, const struct f3_act_spec *spec, struct f3_volume **ret_v,
		      char **ret_prefix)
{
	int r;

	if (spec->view) {
		r = f3_act_view(h->core, spec->view, ret_v, ret_prefix);
		return r == -ENOENT ? f3_err_set(&h->err, r, "there is no view %s", spec->view) : r;
	}
	*ret_prefix = strdup("");
	if (!*ret_prefix)
		return -ENOMEM;
	*ret_v = f3_volume_find(h->core, spec->volume);
	return *ret_v ? 0 : f3_err_set(&h->err, -ENODEV, "there is no volume %s", spec->volume);
}

int f3_hint_warm(struct f3_hint *h)
{
	struct reading rd = { .object = h->request, .where = "", .err = &h->err };
	struct f3_act_spec spec = { .id = NULL };
	struct f3_volume *volume = NULL;
	char *prefix = NULL, **inputs = NULL;
	struct f3_ws_name name;
	int r;

	spec.namespace_ = text_of(&rd, "namespace", F3_ACT_NAME_MAX, true);
	spec.action = text_of(&rd, "action", F3_ACT_NAME_MAX, true);
	spec.version = text_of(&rd, "version", F3_ACT_NAME_MAX, false);
	spec.view = text_of(&rd, "view", F3_ACT_NAME_MAX, false);
	spec.volume = text_of(&rd, "volume", F3_NAME_MAX, !spec.view);
	read_inputs(&rd, &spec);
	r = rd.r ? rd.r : warm_place(h, &spec, &volume, &prefix);
	inputs = r ? NULL : calloc(spec.n_inputs ? spec.n_inputs : 1, sizeof(*inputs));
	if (inputs) {
		for (size_t i = 0; i < spec.n_inputs; i++)
			inputs[i] = spec.input[i].path;
		name = (struct f3_ws_name){ spec.namespace_, spec.action,
					    spec.version ? spec.version : "" };
		r = f3_ws_warm(h->core, &name, volume, prefix, inputs, spec.n_inputs, NULL);
		json_object_set_new(h->answer, "set", json_boolean(!r));
		/* It is advice. */
		if (r == -ENOENT || r == -EAGAIN)
			r = 0;
	} else if (!r) {
		r = -ENOMEM;
	}
	free(inputs);
	free(prefix);
	f3_volume_put(volume);
	f3_act_spec_done(&spec);
	return r;
}

/* ---- After a restart ------------------------------------------------------------------------- */

struct loading {
	json_t *all;
};

static int load_one(void *arg, const char *text, size_t len)
{
	struct loading *l = arg;
	char why[F3_HINT_WHY_MAX];
	json_t *request;

	if (f3_hint_parse(text, len, &request, why))
		f3_log_warn("an activation of the last run cannot be read: %s", why);
	else
		json_array_append_new(l->all, request);
	return 0;
}

int f3_hint_act_load(struct f3_core *core, struct f3_err *err)
{
	struct loading l = { .all = json_array() };
	int r = l.all ? f3_act_each_left(core, load_one, &l) : -ENOMEM;

	for (size_t i = 0; !r && i < json_array_size(l.all); i++) {
		struct f3_err why = F3_ERR_INIT;
		struct f3_act_spec spec;
		bool again;

		r = read_begin(json_array_get(l.all, i), &spec, &why);
		if (!r)
			r = f3_act_begin(core, &spec, true, &again, &why);
		if (r && spec.id) {
			f3_log_warn(
				"activation %s of the last run does not go on, and has failed: %s",
				spec.id, why.text);
			r = f3_act_lost(core, spec.id, &spec);
		}
		f3_act_spec_done(&spec);
	}
	json_decref(l.all);
	if (!r)
		r = f3_act_hold_rest(core);
	f3_lives_start(core);
	return r ? f3_err_set(err, r,
			      "database in %s: the activations of the last run cannot be read: %s",
			      core->cache_dir, f3_errno_name(r)) :
		   0;
}
