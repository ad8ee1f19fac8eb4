/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/hint_ops.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/hint_act.h"
#include "daemon/verb.h"
#include "fs/base/clock.h"
#include "fs/base/metric.h"
#include "fs/core/evict.h"
#include "fs/core/fill.h"
#include "fs/core/volume.h"
#include "hints/wire.h"

#define PATHS_MAX 256u
#define PATH_BYTES_MAX 65536u

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

/* ---- hello, status --------------------------------------------------------------------------- */

static int hello(struct f3_hint *h)
{
	const json_t *version = json_object_get(h->request, "version");
	json_t *ops = json_array();

	if (version && json_integer_value(version) < 1) {
		json_decref(ops);
		return f3_err_set(&h->err, -EINVAL, "\"version\" is a number from 1 on");
	}
	for (const struct f3_hint_op *op = f3_hint_ops; op->name; op++)
		json_array_append_new(ops, json_string(op->name));
	json_object_set_new(h->answer, "version", json_integer(F3_HINT_VERSION));
	json_object_set_new(h->answer, "server", json_string("f3 " PACKAGE_VERSION));
	f3_wire_set_name(h->answer, "node", h->core->node_name, strlen(h->core->node_name));
	json_object_set_new(h->answer, "ops", ops);
	return 0;
}

struct volumes {
	json_t *names;
	uint64_t dirty_bytes;
};

static void add_volume(void *arg, struct f3_volume *v)
{
	struct volumes *all = arg;

	json_array_append_new(all->names, json_string(v->name));
	all->dirty_bytes += v->dirty_bytes;
}

static int status(struct f3_hint *h)
{
	const char *mountpoint = f3_conf_str(h->core->conf, "f3", NULL, "mountpoint");
	struct volumes volumes = { .names = json_array() };
	struct f3_prefetch_stats prefetch;
	json_t *a = h->answer;

	f3_volume_each(h->core, add_volume, &volumes);
	f3_prefetch_stats(h->prefetch, &prefetch);
	f3_wire_set_name(a, "node", h->core->node_name, strlen(h->core->node_name));
	json_object_set_new(a, "pid", json_integer(getpid()));
	json_object_set_new(a, "uptime_s",
			    json_real((double)(f3_clock_mono_ns() - h->started_mono_ns) / 1e9));
	f3_wire_set_name(a, "mountpoint", mountpoint, strlen(mountpoint));
	json_object_set_new(a, "volumes", volumes.names);
	json_object_set_new(a, "cache",
			    json_pack("{sI sI}", "used_bytes", (json_int_t)f3_evict_used(h->core),
				      "limit_bytes", (json_int_t)f3_evict_limit(h->core)));
	json_object_set_new(a, "dirty_bytes", number(volumes.dirty_bytes));
	json_object_set_new(a, "prefetch",
			    json_pack("{si si}", "queued", (int)prefetch.queued, "running",
				      (int)prefetch.running));
	json_object_set_new(a, "views", number(f3_views_count(h->views)));
	json_object_set_new(a, "connections", number(h->connections));
	return 0;
}

/* ---- Paths ----------------------------------------------------------------------------------- */

/* The paths of a request, one after the other. */
struct paths {
	struct f3_hint *h;
	const char *volume;
	const json_t *list;
	size_t at;
	const char *path; /* the present one, as it was given */
};

/* What is known of a path. */
struct found {
	uint64_t ino;
	struct f3_look look; /* f3_look_done */
};

static int begin_paths(struct paths *p, struct f3_hint *h)
{
	struct f3_volume *v;

	*p = (struct paths){ .h = h };
	p->volume = json_string_value(json_object_get(h->request, "volume"));
	p->list = json_object_get(h->request, "paths");
	if (!p->volume)
		return f3_err_set(&h->err, -EINVAL, "\"volume\" is missing");
	if (!json_is_array(p->list))
		return f3_err_set(&h->err, -EINVAL, "\"paths\" is a list of paths");
	if (json_array_size(p->list) > PATHS_MAX)
		return f3_err_set(&h->err, -E2BIG, "at most %u paths are taken at a time",
				  PATHS_MAX);
	for (size_t i = 0; i < json_array_size(p->list); i++)
		if (!json_is_string(json_array_get(p->list, i)))
			return f3_err_set(&h->err, -EINVAL, "\"paths\" is a list of paths");
	v = f3_volume_find(h->core, p->volume);
	if (!v)
		return f3_err_set(&h->err, -ENOENT, "there is no such volume");
	f3_volume_put(v);
	return 0;
}

/* 1: another path; 0: no more; -ECANCELED: nobody waits for it. */
static int next_path(struct paths *p)
{
	if (*p->h->stopping)
		return -ECANCELED;
	if (p->at == json_array_size(p->list))
		return 0;
	p->path = json_string_value(json_array_get(p->list, p->at++));
	return 1;
}

/* Of the present path. 0; -F3_EWAIT; what is said of this path only. */
static int find(struct paths *p, struct found *ret_found)
{
	const struct f3_caller who = { .may_block = p->h->may_block };
	struct f3_err err = F3_ERR_INIT;
	struct f3_buf asked, path;
	json_t *place;
	int r = 0;

	if (p->h->may_block && f3_clock_mono_ns() > p->h->deadline_mono_ns)
		return -ETIMEDOUT;
	place = json_pack("{ss ss}", "volume", p->volume, "path", p->path);
	f3_buf_init(&asked, PATH_BYTES_MAX + F3_NAME_MAX + 2);
	f3_buf_init(&path, PATH_BYTES_MAX + F3_NAME_MAX + 2);
	r = place ? f3_wire_get_place(place, &asked, &err) : -ENOMEM;
	if (!r)
		r = f3_place_find(p->h->core, &who, &asked, &path, &ret_found->ino);
	if (!r)
		r = f3_look(p->h->core, ret_found->ino, &ret_found->look);
	f3_buf_done(&asked);
	f3_buf_done(&path);
	json_decref(place);
	return r;
}

/* ---- locate ---------------------------------------------------------------------------------- */

struct sums {
	uint64_t here_bytes, missing_bytes, only_bytes;
	uint64_t incomplete; /* files */
};

static json_t *one_file(const struct f3_look *look, struct sums *sums)
{
	const struct f3_inode_rec *rec = &look->rec;
	bool regular = S_ISREG(rec->mode);
	uint64_t here = regular ? look->here_bytes : 0;
	bool only = regular && strcmp(f3_look_in_store(look), "yes") != 0 &&
		    strcmp(f3_look_in_store(look), "attributes") != 0;
	json_t *file;

	/* a file that grows while it is looked at */
	if (here > rec->size)
		here = rec->size;
	if (regular) {
		sums->here_bytes += here;
		sums->missing_bytes += rec->size - here;
		sums->incomplete += here < rec->size;
		sums->only_bytes += only ? here : 0;
	}
	file = json_pack("{ss sI sI sb}", "type", f3_look_type(rec->mode), "size",
			 (json_int_t)rec->size, "here_bytes", (json_int_t)here, "only_copy", only);
	if (file && regular)
		json_object_set_new(file, "state",
				    json_string(f3_state_name((enum f3_state)rec->state)));
	if (file && rec->class_ != F3_CLASS_NONE)
		json_object_set_new(file, "class",
				    json_string(f3_class_name((enum f3_class)rec->class_)));
	return file;
}

/* The one node there is. Holes of sparse files count as here. */
static json_t *this_node(struct f3_hint *h, struct f3_volume *v, const struct sums *sums)
{
	uint64_t ns =
		v ? f3_fill_estimate_ns(h->core, v, sums->incomplete, sums->missing_bytes) : 0;
	json_t *node = json_object();

	f3_wire_set_name(node, "node", h->core->node_name, strlen(h->core->node_name));
	json_object_set_new(node, "bytes", number(sums->here_bytes));
	json_object_set_new(node, "missing_bytes", number(sums->missing_bytes));
	json_object_set_new(node, "estimate_ms", number((ns + F3_NS_PER_MS - 1) / F3_NS_PER_MS));
	json_object_set_new(node, "only_copy_bytes", number(sums->only_bytes));
	return node;
}

static int locate(struct f3_hint *h)
{
	json_t *files = json_array(), *nodes = json_array();
	struct sums sums = { 0 };
	struct f3_volume *v;
	struct paths paths;
	int r = begin_paths(&paths, h);

	while (!r && (r = next_path(&paths)) == 1) {
		struct found found;
		json_t *file;

		r = find(&paths, &found);
		if (r == -F3_EWAIT)
			break;
		file = r ? json_pack("{ss}", "error", f3_errno_name(r)) :
			   one_file(&found.look, &sums);
		if (!r)
			f3_look_done(&found.look);
		json_object_set_new(file, "path", json_string(paths.path));
		r = json_array_append_new(files, file) ? -ENOMEM : 0;
	}
	if (!r) {
		v = f3_volume_find(h->core, paths.volume);
		json_array_append_new(nodes, this_node(h, v, &sums));
		f3_volume_put(v);
	}
	json_object_set_new(h->answer, "files", files);
	json_object_set_new(h->answer, "nodes", nodes);
	return r;
}

/* ---- prefetch -------------------------------------------------------------------------------- */

static int prefetch(struct f3_hint *h)
{
	unsigned begun = 0, here = 0, missing = 0, dropped = 0;
	struct paths paths;
	int r = 0;

	if (json_object_get(h->request, "action")) {
		r = f3_hint_warm(h);
		if (r || !json_object_get(h->request, "paths"))
			return r;
	}
	r = begin_paths(&paths, h);
	/* Preparing files takes longer than all else here. */
	if (!r && !h->may_block)
		return -F3_EWAIT;
	while (!r && (r = next_path(&paths)) == 1) {
		struct found found;

		r = find(&paths, &found);
		if (r) {
			missing++;
			r = 0;
			continue;
		}
		if (!S_ISREG(found.look.rec.mode))
			missing++;
		else if (!strcmp(f3_look_place(&found.look), "here"))
			here++;
		else if (f3_prefetch_add(h->prefetch, found.ino))
			dropped++;
		else
			begun++;
		f3_look_done(&found.look);
	}
	json_object_set_new(h->answer, "begun", number(begun));
	json_object_set_new(h->answer, "here", number(here));
	json_object_set_new(h->answer, "missing", number(missing));
	json_object_set_new(h->answer, "dropped", number(dropped));
	return r;
}

/* ---- bind, unbind ---------------------------------------------------------------------------- */

static int bind_(struct f3_hint *h)
{
	if (!h->may_block)
		return -F3_EWAIT;
	return f3_view_op_bind(h->views, true, h->request, h->answer, &h->err);
}

static int unbind(struct f3_hint *h)
{
	if (!h->may_block)
		return -F3_EWAIT;
	return f3_view_op_unbind(h->views, h->request, h->answer, &h->err);
}

/* ---- The table ------------------------------------------------------------------------------- */

const struct f3_hint_op f3_hint_ops[] = {
	{ "hello", hello },         { "status", status },   { "locate", locate },
	{ "prefetch", prefetch },   { "bind", bind_ },      { "unbind", unbind },
	{ "begin", f3_hint_begin }, { "end", f3_hint_end }, { NULL, NULL },
};

#define N_OPS (sizeof(f3_hint_ops) / sizeof(f3_hint_ops[0]))

/* The last one: of lines that ask for nothing there is. */
static struct f3_counter answers[N_OPS][2];
static char labels[N_OPS][2][48];

void f3_hint_ops_register_metrics(void)
{
	for (size_t i = 0; i < N_OPS; i++) {
		for (unsigned failed = 0; failed < 2; failed++) {
			struct f3_counter *c = &answers[i][failed];

			snprintf(labels[i][failed], sizeof(labels[i][failed]),
				 "op=\"%s\",result=\"%s\"",
				 f3_hint_ops[i].name ? f3_hint_ops[i].name : "other",
				 failed ? "error" : "ok");
			c->name = "f3_hints_total";
			c->labels = labels[i][failed];
			c->help = "Answers to hints.";
			f3_counter_register(c);
		}
	}
}

void f3_hint_ops_count(const struct f3_hint_op *op, int result)
{
	f3_count(&answers[op ? (size_t)(op - f3_hint_ops) : N_OPS - 1][result != 0], 1);
}

int f3_hint_ops_run(struct f3_hint *h, const struct f3_hint_op **ret_op)
{
	const char *name = json_string_value(json_object_get(h->request, "op"));

	if (!name)
		return f3_err_set(&h->err, -EBADMSG, "a request is an object with \"op\"");
	for (const struct f3_hint_op *op = f3_hint_ops; op->name; op++) {
		if (!strcmp(op->name, name)) {
			*ret_op = op;
			return op->run(h);
		}
	}
	return f3_err_set(&h->err, -EOPNOTSUPP, "there is no such operation");
}
