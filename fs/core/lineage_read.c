/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage_read: edges are read, and forgotten with their activation.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "fs/core/lineage_impl.h"

/* Edges that are removed together. */
#define FORGET_MOST 1000u

/* -EBADMSG: not of this version. */
static int get_content(struct f3_rd *rd, bool version, struct f3_content *ret)
{
	const uint8_t *id;

	if (version && f3_rd_u8(rd) != F3_LINEAGE_VERSION)
		return -EBADMSG;
	id = f3_rd_bytes(rd, F3_ID_BYTES);
	if (id)
		memcpy(ret->id.b, id, F3_ID_BYTES);
	ret->generation = f3_rd_u64(rd);
	return rd->error;
}

struct reading {
	f3_lineage_fn *fn;
	void *arg;
	size_t prefix_len; /* of an activation's keys, without the kind */
};

static int of_file(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct reading *r = arg;
	struct f3_lineage_edge e = { .path = "" };
	struct f3_content of, other;
	struct f3_rd k, v;
	uint8_t kind;

	memset(&of, 0, sizeof(of));
	memset(&other, 0, sizeof(other));
	f3_rd_init(&k, key, klen);
	f3_rd_init(&v, value, vlen);
	if (get_content(&k, false, &of) || get_content(&v, true, &other))
		return 0;
	kind = f3_rd_u8(&k);
	if (k.error)
		return 0;
	e.kind = kind == F3_LINEAGE_WAS ? F3_LINEAGE_BECAME : (enum f3_lineage_kind)kind;
	e.content = kind == F3_LINEAGE_WAS ? other : of;
	e.from = kind == F3_LINEAGE_WAS ? of : other;
	e.act = (const char *)k.p;
	e.act_len = k.left;
	return r->fn(r->arg, &e);
}

int f3_lineage_of_file(struct f3_core *core, const struct f3_id *id, f3_lineage_fn *fn, void *arg)
{
	struct reading r = { .fn = fn, .arg = arg };

	return f3_meta_each_note(core->meta, F3_NOTE_LINEAGE_FILE, id->b, F3_ID_BYTES, of_file, &r);
}

static int of_act(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct reading *r = arg;
	struct f3_lineage_edge e;
	struct f3_rd k, v;

	memset(&e, 0, sizeof(e));
	f3_rd_init(&k, key, klen);
	f3_rd_init(&v, value, vlen);
	(void)f3_rd_bytes(&k, r->prefix_len);
	e.kind = (enum f3_lineage_kind)f3_rd_u8(&k);
	if (get_content(&k, false, &e.content) || get_content(&v, true, &e.from))
		return 0;
	e.when_ns = f3_rd_i64(&v);
	e.volume = f3_rd_u32(&v);
	if (v.error)
		return 0;
	e.path = (const char *)v.p;
	e.path_len = v.left;
	return r->fn(r->arg, &e);
}

/* kind 0, content NULL: all */
static int each_of_act(struct f3_core *core, const char *act, size_t len, char kind,
		       const struct f3_content *content, f3_lineage_fn *fn, void *arg)
{
	struct reading r = { .fn = fn, .arg = arg, .prefix_len = 1 + len };
	struct f3_buf prefix;
	int error;

	if (!len || len > F3_ACT_NAME_MAX)
		return 0;
	f3_buf_init(&prefix, F3_LINEAGE_KEY_MAX);
	f3_lineage_act_key(act, len, kind, content, &prefix);
	error = prefix.error;
	if (!error)
		error = f3_meta_each_note(core->meta, F3_NOTE_LINEAGE_ACT, prefix.data, prefix.len,
					  of_act, &r);
	f3_buf_done(&prefix);
	return error;
}

int f3_lineage_of_act(struct f3_core *core, const char *act, size_t len, enum f3_lineage_kind kind,
		      f3_lineage_fn *fn, void *arg)
{
	return each_of_act(core, act, len, (char)kind, NULL, fn, arg);
}

int f3_lineage_find(struct f3_core *core, const char *act, size_t len, enum f3_lineage_kind kind,
		    const struct f3_content *content, f3_lineage_fn *fn, void *arg)
{
	return each_of_act(core, act, len, (char)kind, content, fn, arg);
}

/* ---- Forgetting ------------------------------------------------------------------------------ */

struct forgetting {
	struct f3_batch *b;
	const char *act;
	size_t len;
	uint64_t n;
};

static void forget_file_edge(struct forgetting *f, const struct f3_content *of, char kind)
{
	struct f3_buf key;

	f3_buf_init(&key, F3_LINEAGE_KEY_MAX);
	f3_lineage_file_key(of, kind, f->act, f->len, &key);
	f3_batch_del_note(f->b, F3_NOTE_LINEAGE_FILE, key.data, key.len);
	f3_buf_done(&key);
}

static int forget_one(void *arg, const struct f3_lineage_edge *e)
{
	struct forgetting *f = arg;
	struct f3_buf key;

	forget_file_edge(f, &e->content, (char)e->kind);
	if (e->kind == F3_LINEAGE_BECAME)
		forget_file_edge(f, &e->from, F3_LINEAGE_WAS);
	f3_buf_init(&key, F3_LINEAGE_KEY_MAX);
	f3_lineage_act_key(f->act, f->len, (char)e->kind, &e->content, &key);
	f3_batch_del_note(f->b, F3_NOTE_LINEAGE_ACT, key.data, key.len);
	f3_buf_done(&key);
	return ++f->n == FORGET_MOST;
}

int f3_lineage_forget(struct f3_core *core, const char *id, size_t len)
{
	int r = 1;

	while (r > 0) {
		struct forgetting f = { .act = id, .len = len };

		r = f3_batch_new(core->meta, &f.b);
		if (r)
			return r;
		r = each_of_act(core, id, len, 0, NULL, forget_one, &f);
		if (r >= 0 && f.n) {
			int error = f3_batch_commit(f.b);

			if (error)
				r = error;
			else
				f3_lineages_gone(core->lineages, f.n);
		}
		f3_batch_free(f.b);
	}
	return r;
}

static int count_one(void *arg, const struct f3_lineage_edge *e)
{
	(void)e;
	++*(uint64_t *)arg;
	return 0;
}

void f3_lineage_resume(struct f3_activation *act)
{
	uint64_t n = 0;

	(void)each_of_act(act->core, act->spec.id, strlen(act->spec.id), 0, NULL, count_one, &n);
	act->counts[F3_ACT_EDGES] = n;
	f3_lineages_count(act->core->lineages, n);
}
