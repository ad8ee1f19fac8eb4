/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_trace: trace-list, -show, -record, -forget, -replay: working sets of actions.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/verb.h"
#include "fs/base/clock.h"
#include "fs/core/workingset.h"

#define PATH_BYTES_MAX (64u << 10)
#define PROGRESS_NS (200 * F3_NS_PER_MS)
#define INPUTS_MAX F3_ACT_PATTERNS_MAX

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *when(int64_t ns)
{
	struct timespec ts = f3_timespec_from_ns(ns);
	char text[64];
	struct tm tm;

	if (!ns || !gmtime_r(&ts.tv_sec, &tm) ||
	    !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return json_null();
	return json_string(text);
}

/* ---- Which ----------------------------------------------------------------------------------- */

/* The sets that a request names: what it leaves out may be anything. */
struct picking {
	const char *namespace_, *action, *version;
	json_t *all;
};

static bool says(const char *asked, const char *is)
{
	return !asked || !strcmp(asked, is);
}

static int pick(void *arg, const struct f3_ws_info *info)
{
	struct picking *p = arg;
	json_t *one;

	if (!says(p->namespace_, info->name.namespace_) || !says(p->action, info->name.action) ||
	    !says(p->version, info->name.version))
		return 0;
	one = json_pack("{ss ss ss}", "namespace", info->name.namespace_, "action",
			info->name.action, "version", info->name.version);
	json_object_set_new(one, "files", number(info->files));
	json_object_set_new(one, "ranges", number(info->ranges));
	json_object_set_new(one, "bytes", number(info->bytes));
	json_object_set_new(one, "used", when(info->used_ns));
	json_object_set_new(one, "recording", json_boolean(!info->frozen));
	return json_array_append_new(p->all, one) ? -ENOMEM : 0;
}

static int picked(struct f3_verb *v, json_t **ret_all)
{
	struct picking p = {
		.namespace_ = json_string_value(json_object_get(v->request, "namespace")),
		.action = json_string_value(json_object_get(v->request, "action")),
		.version = json_string_value(json_object_get(v->request, "version")),
		.all = json_array(),
	};
	int r = f3_ws_each(v->core, pick, &p);

	if (r)
		json_decref(p.all);
	else
		*ret_all = p.all;
	return r ? f3_err_set(&v->err, r, "out of memory") : 0;
}

/* Its strings are the object's. */
static struct f3_ws_name name_of(const json_t *one)
{
	return (struct f3_ws_name){
		json_string_value(json_object_get(one, "namespace")),
		json_string_value(json_object_get(one, "action")),
		json_string_value(json_object_get(one, "version")),
	};
}

/* The one that is meant; ret_one is the caller's. */
static int pick_one(struct f3_verb *v, json_t **ret_one)
{
	const char *action;
	json_t *all;
	int r = f3_verb_text(v, "action", &action);

	if (!r)
		r = picked(v, &all);
	if (r)
		return r;
	if (json_array_size(all) == 1)
		*ret_one = json_incref(json_array_get(all, 0));
	else
		r = json_array_size(all) ?
			    f3_err_set(
				    &v->err, -EEXIST,
				    "%s has several working sets: namespace and version say which",
				    action) :
			    f3_err_set(&v->err, -ENOENT, "%s has no working set", action);
	json_decref(all);
	return r;
}

/* ---- list, show ------------------------------------------------------------------------------ */

static int list(struct f3_verb *v)
{
	json_t *all;
	int r = picked(v, &all);

	if (!r)
		json_object_set_new(v->answer, "sets", all);
	return r;
}

static json_t *file_json(const struct f3_ws_file *file)
{
	json_t *one = json_object(), *ranges = json_array();

	json_object_set_new(one, "input",
			    file->input < 0 ? json_null() : json_integer(file->input));
	f3_wire_set_name(one, "path", file->path, strlen(file->path));
	json_object_set_new(one, "size", number(file->size));
	json_object_set_new(one, "whole", json_boolean(file->whole));
	json_object_set_new(one, "unused", json_integer(file->unused));
	for (size_t i = 0; i < file->n_ranges; i++) {
		const struct f3_ws_range *range = &file->range[i];
		json_t *pair = json_array();

		json_array_append_new(pair, number(range->off));
		json_array_append_new(pair, number(range->len));
		json_array_append_new(ranges, pair);
	}
	json_object_set_new(one, "ranges", ranges);
	return one;
}

static int show(struct f3_verb *v)
{
	struct f3_ws_set set = { .n = 0 };
	struct f3_ws_name name;
	json_t *one;
	int r = pick_one(v, &one);

	if (r)
		return r;
	name = name_of(one);
	r = f3_ws_get(v->core, &name, &set);
	if (r)
		f3_err_set(&v->err, r, "%s: %s", name.action, f3_errno_name(r));
	for (size_t i = 0; !r && i < set.n; i++)
		r = f3_verb_send(v, "item", file_json(&set.file[i]));
	f3_ws_set_done(&set);
	json_object_set_new(v->answer, "set", one);
	return r;
}

/* ---- record, forget -------------------------------------------------------------------------- */

static int record(struct f3_verb *v)
{
	const char *namespace_, *version, *action;
	bool on = f3_verb_flag(v, "on");
	struct f3_ws_name name;
	json_t *all;
	int r = f3_verb_text(v, "action", &action);

	if (!r)
		r = picked(v, &all);
	if (r)
		return r;
	for (size_t i = 0; i < json_array_size(all) && !r; i++) {
		name = name_of(json_array_get(all, i));
		r = f3_ws_freeze(v->core, &name, !on);
	}
	/* One that is to stay empty. */
	namespace_ = json_string_value(json_object_get(v->request, "namespace"));
	version = json_string_value(json_object_get(v->request, "version"));
	if (!json_array_size(all) && !on && namespace_ && version) {
		name = (struct f3_ws_name){ namespace_, action, version };
		r = f3_ws_freeze(v->core, &name, true);
	} else if (!json_array_size(all)) {
		r = f3_err_set(&v->err, -ENOENT, "%s has no working set", action);
	}
	if (r && !v->err.code)
		f3_err_set(&v->err, r, "%s: %s", action, f3_errno_name(r));
	json_decref(all);
	return r;
}

static int forget(struct f3_verb *v)
{
	struct f3_ws_name name;
	const char *action;
	uint64_t n = 0;
	json_t *all;
	int r = f3_verb_text(v, "action", &action);

	if (!r)
		r = picked(v, &all);
	if (r)
		return r;
	for (; n < json_array_size(all) && !r; n++) {
		name = name_of(json_array_get(all, n));
		r = f3_ws_forget(v->core, &name);
		if (r == -ENOENT)
			r = 0;
	}
	if (r)
		f3_err_set(&v->err, r, "%s: %s", action, f3_errno_name(r));
	else if (!n)
		r = f3_err_set(&v->err, -ENOENT, "%s has no working set", action);
	json_decref(all);
	json_object_set_new(v->answer, "forgotten", number(n));
	return r;
}

/* ---- replay ---------------------------------------------------------------------------------- */

/* The directory that a function would see as its root. */
static int root_of(struct f3_verb *v, struct f3_volume **ret_v, char **ret_prefix)
{
	char name[F3_NAME_MAX + 1], *slash;
	struct f3_buf path;
	uint64_t ino;
	int r;

	f3_buf_init(&path, PATH_BYTES_MAX);
	r = f3_verb_place(v, &path, &ino);
	f3_buf_put_u8(&path, 0);
	slash = r || path.len < 3 ? NULL : strchr((char *)path.data + 1, '/');
	if (!r && (path.error || path.len < 3))
		r = f3_err_set(&v->err, -EINVAL, "a directory of a volume is wanted");
	if (!r) {
		snprintf(name, sizeof(name), "%.*s",
			 slash ? (int)(slash - (char *)path.data - 1) : F3_NAME_MAX,
			 (char *)path.data + 1);
		*ret_v = f3_volume_find(v->core, name);
		if (!*ret_v)
			r = f3_err_set(&v->err, -ENODEV, "there is no volume %s", name);
	}
	if (!r) {
		*ret_prefix = strdup(slash ? slash : "");
		if (!*ret_prefix) {
			f3_volume_put(*ret_v);
			r = f3_err_set(&v->err, -ENOMEM, "out of memory");
		}
	}
	f3_buf_done(&path);
	return r;
}

static int inputs_of(struct f3_verb *v, char *inputs[INPUTS_MAX], size_t *ret_n)
{
	const json_t *list_ = json_object_get(v->request, "inputs");
	size_t n = json_array_size(list_);

	for (size_t i = 0; i < n && n <= INPUTS_MAX; i++) {
		/* It is copied before it is changed: it never is. */
		inputs[i] = (char *)json_string_value(json_array_get(list_, i));
		if (!inputs[i] || inputs[i][0] != '/')
			return f3_err_set(&v->err, -EINVAL, "an input is a path from the root");
	}
	*ret_n = n;
	return n <= INPUTS_MAX ? 0 : f3_err_set(&v->err, -E2BIG, "too many inputs");
}

static int follow(struct f3_verb *v, struct f3_ws_replay *rp)
{
	struct f3_ws_progress p;
	bool over = false;
	int r = 0;

	while (!over && !r) {
		over = f3_ws_wait(rp, f3_clock_mono_ns() + PROGRESS_NS, &p);
		if (!over && f3_verb_flag(v, "progress"))
			r = f3_verb_send(v, "progress",
					 json_pack("{sI sI sI}", "files", (json_int_t)p.files,
						   "total", (json_int_t)p.total, "bytes",
						   (json_int_t)p.bytes));
		else if (!over && f3_verb_stopped(v))
			r = -EPIPE;
	}
	if (r)
		f3_ws_cancel(rp);
	json_object_set_new(v->answer, "files", number(p.files));
	json_object_set_new(v->answer, "bytes", number(p.bytes));
	json_object_set_new(v->answer, "missing", number(p.lost));
	return r;
}

static int replay(struct f3_verb *v)
{
	struct f3_volume *volume = NULL;
	struct f3_ws_replay *rp = NULL;
	char *inputs[INPUTS_MAX], *prefix = NULL;
	struct f3_ws_name name;
	json_t *one = NULL;
	size_t n = 0;
	int r = inputs_of(v, inputs, &n);

	if (!r)
		r = pick_one(v, &one);
	if (!r)
		r = root_of(v, &volume, &prefix);
	if (!r) {
		name = name_of(one);
		r = f3_ws_warm(v->core, &name, volume, prefix, inputs, n, &rp);
		if (r)
			f3_err_set(&v->err, r, "%s: %s", name.action,
				   r == -ENOENT ? "its working set is empty" : f3_errno_name(r));
	}
	if (!r)
		r = follow(v, rp);
	f3_ws_replay_put(rp);
	f3_volume_put(volume);
	free(prefix);
	json_decref(one);
	return r;
}

const struct f3_verb_entry f3_verbs_trace[] = {
	{ "trace-list", list },     { "trace-show", show },     { "trace-record", record },
	{ "trace-forget", forget }, { "trace-replay", replay }, { NULL, NULL },
};
