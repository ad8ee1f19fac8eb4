/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_act: activation-list, activation-show: what the runs of functions did and cost.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "daemon/verb.h"
#include "fs/base/clock.h"
#include "fs/core/activation.h"

#define TIB ((double)(UINT64_C(1) << 40))

static const char *const sources[F3_ACT_SOURCES] = {
	[F3_ACT_LOCAL] = "local",
	[F3_ACT_OBJECT] = "object",
	[F3_ACT_STREAM] = "stream",
};

static const char *const states[] = {
	[F3_ACT_RUNNING] = "running",
	[F3_ACT_ENDED_OK] = "ok",
	[F3_ACT_ENDED_FAILED] = "failed",
};

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

/* Of the classes something is said of. */
static json_t *by_class(const uint64_t *counts)
{
	json_t *all = json_object();

	for (unsigned c = 0; c < F3_ACT_CLASSES; c++)
		if (counts[c])
			json_object_set_new(all, f3_class_name((enum f3_class)c),
					    number(counts[c]));
	return all;
}

static double price(struct f3_core *core, const char *key, double of)
{
	return (double)f3_conf_u64(core->conf, "f3", NULL, key) / 1e6 * of;
}

static double cost(struct f3_core *core, const uint64_t *c)
{
	return price(core, "price-get", (double)c[F3_ACT_STORE_GETS] / 1e6) +
	       price(core, "price-put", (double)c[F3_ACT_STORE_PUTS] / 1e6) +
	       price(core, "price-out", (double)c[F3_ACT_STORE_GET_BYTES] / TIB) +
	       price(core, "price-in", (double)c[F3_ACT_STORE_PUT_BYTES] / TIB);
}

static void add_counts(struct f3_core *core, const uint64_t *c, json_t *one)
{
	json_t *read = json_object();

	json_object_set_new(one, "operations", number(c[F3_ACT_OPS]));
	json_object_set_new(one, "operations_failed", number(c[F3_ACT_OPS_FAILED]));
	json_object_set_new(one, "operation_seconds", json_real((double)c[F3_ACT_OP_NS] / 1e9));
	json_object_set_new(one, "waited_seconds", json_real((double)c[F3_ACT_WAIT_NS] / 1e9));
	json_object_set_new(one, "created", number(c[F3_ACT_CREATED]));
	json_object_set_new(one, "removed", number(c[F3_ACT_REMOVED]));
	json_object_set_new(one, "opens",
			    json_pack("{sI sI sI}", "passthrough",
				      (json_int_t)c[F3_ACT_OPENS_PASSTHROUGH], "passthrough_direct",
				      (json_int_t)c[F3_ACT_OPENS_DIRECT], "cached",
				      (json_int_t)c[F3_ACT_OPENS_CACHED]));
	json_object_set_new(one, "native_bytes", number(c[F3_ACT_NATIVE_BYTES]));
	for (unsigned s = 0; s < F3_ACT_SOURCES; s++)
		json_object_set_new(read, sources[s],
				    by_class(&c[F3_ACT_READ_BYTES + s * F3_ACT_CLASSES]));
	json_object_set_new(one, "read_bytes", read);
	json_object_set_new(one, "written_bytes", by_class(&c[F3_ACT_WRITTEN_BYTES]));
	json_object_set_new(one, "store",
			    json_pack("{sI sI sI sI}", "gets", (json_int_t)c[F3_ACT_STORE_GETS],
				      "puts", (json_int_t)c[F3_ACT_STORE_PUTS], "get_bytes",
				      (json_int_t)c[F3_ACT_STORE_GET_BYTES], "put_bytes",
				      (json_int_t)c[F3_ACT_STORE_PUT_BYTES]));
	json_object_set_new(one, "lineage",
			    json_pack("{sI sI}", "edges", (json_int_t)c[F3_ACT_EDGES], "dropped",
				      (json_int_t)c[F3_ACT_EDGES_DROPPED]));
	json_object_set_new(one, "cost", json_real(cost(core, c)));
}

static const char *const told[] = { "namespace", "action", "version", "view", "volume", "commit" };

static json_t *one_activation(struct f3_core *core, const char *id, const struct f3_act_rec *rec)
{
	json_t *begin = json_loadb(rec->text, rec->text_len, 0, NULL), *one = json_object();
	int64_t until = rec->ended_ns ? rec->ended_ns : f3_clock_real_ns();

	json_object_set_new(one, "activation", json_string(id));
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (json_object_get(begin, told[i]))
			json_object_set(one, told[i], json_object_get(begin, told[i]));
	json_object_set_new(one, "state", json_string(states[rec->state]));
	json_object_set_new(one, "shared", json_boolean(rec->shared));
	json_object_set_new(one, "begun", f3_verb_when(rec->begun_ns));
	json_object_set_new(one, "ended", f3_verb_when(rec->ended_ns));
	json_object_set_new(one, "seconds", json_real((double)(until - rec->begun_ns) / 1e9));
	add_counts(core, rec->counts, one);
	json_decref(begin);
	return one;
}

struct walk {
	struct f3_verb *v;
	bool live_only;
};

static int send_one(void *arg, const char *id, const struct f3_act_rec *rec)
{
	struct walk *w = arg;

	if (w->live_only && rec->state != F3_ACT_RUNNING)
		return 0;
	return f3_verb_send(w->v, "item", one_activation(w->v->core, id, rec));
}

static int list(struct f3_verb *v)
{
	struct walk w = { .v = v, .live_only = f3_verb_flag(v, "running") };

	return f3_act_each(v->core, NULL, send_one, &w);
}

static int keep_one(void *arg, const char *id, const struct f3_act_rec *rec)
{
	struct f3_verb *v = arg;
	json_t *begin = json_loadb(rec->text, rec->text_len, 0, NULL);

	json_object_set_new(v->answer, "activation", one_activation(v->core, id, rec));
	json_object_set_new(v->answer, "begin", begin ? begin : json_null());
	return 0;
}

static int show(struct f3_verb *v)
{
	const char *id;
	int r = f3_verb_text(v, "id", &id);

	if (!r)
		r = f3_act_each(v->core, id, keep_one, v);
	return r == -ENOENT ? f3_err_set(&v->err, r, "there is no activation %s", id) : r;
}

const struct f3_verb_entry f3_verbs_act[] = {
	{ "activation-list", list },
	{ "activation-show", show },
	{ NULL, NULL },
};
