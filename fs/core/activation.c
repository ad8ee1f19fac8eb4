/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activation: begin, end, and what is kept of them.
 */
#include "config.h"

#include "fs/core/activation.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/hash.h"
#include "fs/base/log.h"
#include "fs/core/activation_impl.h"
#include "fs/core/commitset.h"
#include "fs/core/expect.h"
#include "fs/core/lifetime.h"
#include "fs/core/lineage.h"
#include "fs/core/traffic.h"
#include "fs/core/workingset.h"

#define RECORD_VERSION 1
#define RECORD_MAX (1u << 17)
#define ENDED_KEY_MAX (8 + F3_ACT_NAME_MAX)
/* Records of ended ones that are looked at, and removed, at one end. */
#define PRUNE_MOST 64u

void f3_act_spec_done(struct f3_act_spec *spec)
{
	for (size_t i = 0; spec->output && i < spec->outputs.n_rules; i++) {
		for (size_t k = 0; k < spec->output[i].n_readers; k++)
			free(spec->output[i].readers[k]);
		free(spec->output[i].readers);
	}
	free(spec->output);
	f3_placement_done(&spec->outputs);
	for (size_t i = 0; i < spec->n_inputs; i++)
		free(spec->input[i].path);
	free(spec->input);
	free(spec->id);
	free(spec->namespace_);
	free(spec->action);
	free(spec->version);
	free(spec->view);
	free(spec->key);
	free(spec->volume);
	free(spec->text);
	memset(spec, 0, sizeof(*spec));
}

void f3_act_ref(struct f3_activation *act)
{
	act->refs++;
}

void f3_act_put(struct f3_activation *act)
{
	if (!act || --act->refs)
		return;
	f3_commitset_put(act->set);
	f3_volume_put(act->volume);
	f3_lineage_free(act->lineage);
	f3_ws_run_free(act->ws);
	f3_act_spec_done(&act->spec);
	free(act->prefix);
	free(act);
}

static struct f3_activation **bucket_of(struct f3_acts *a, const char *id)
{
	return &a->acts[f3_hash64(id, strlen(id), 0) % F3_ACT_BUCKETS];
}

/* Lock held. */
static struct f3_activation *find(struct f3_acts *a, const char *id)
{
	struct f3_activation *act = *bucket_of(a, id);

	while (act && strcmp(act->spec.id, id) != 0)
		act = act->next;
	return act;
}

struct f3_activation *f3_act_find(struct f3_core *core, const char *id)
{
	struct f3_activation *act;

	f3_lock(&core->acts->lock);
	act = find(core->acts, id);
	if (act)
		f3_act_ref(act);
	f3_unlock(&core->acts->lock);
	return act;
}

/* ---- Records --------------------------------------------------------------------------------- */

static void encode(const struct f3_activation *act, struct f3_buf *out)
{
	f3_buf_put_u8(out, RECORD_VERSION);
	f3_buf_put_u8(out, (uint8_t)act->state);
	f3_buf_put_u8(out, act->shared);
	f3_buf_put_i64(out, act->begun_ns);
	f3_buf_put_i64(out, act->ended_ns);
	f3_buf_put_u16(out, F3_ACT_COUNTS);
	for (unsigned i = 0; i < F3_ACT_COUNTS; i++)
		f3_buf_put_u64(out, act->counts[i]);
	f3_buf_put(out, act->spec.text, act->spec.text_len);
}

static int decode(const uint8_t *value, size_t len, struct f3_act_rec *ret_rec)
{
	struct f3_rd rd;
	unsigned n;

	memset(ret_rec, 0, sizeof(*ret_rec));
	f3_rd_init(&rd, value, len);
	if (f3_rd_u8(&rd) != RECORD_VERSION)
		return -EPROTONOSUPPORT;
	ret_rec->state = (enum f3_act_state)f3_rd_u8(&rd);
	ret_rec->shared = f3_rd_u8(&rd) != 0;
	ret_rec->begun_ns = f3_rd_i64(&rd);
	ret_rec->ended_ns = f3_rd_i64(&rd);
	n = f3_rd_u16(&rd);
	/* One of an older version knows fewer of them. */
	for (unsigned i = 0; i < n; i++) {
		uint64_t count = f3_rd_u64(&rd);

		if (i < F3_ACT_COUNTS)
			ret_rec->counts[i] = count;
	}
	if (rd.error || ret_rec->state < F3_ACT_RUNNING || ret_rec->state > F3_ACT_ENDED_FAILED)
		return -EBADMSG;
	ret_rec->text = (const char *)rd.p;
	ret_rec->text_len = rd.left;
	return 0;
}

static int look_up(struct f3_core *core, const char *id, struct f3_act_rec *ret_rec)
{
	struct f3_buf value;
	int r;

	f3_buf_init(&value, RECORD_MAX);
	r = f3_meta_get_note(core->meta, F3_NOTE_ACTIVATION, id, strlen(id), &value);
	if (!r)
		r = decode(value.data, value.len, ret_rec);
	ret_rec->text = NULL;
	f3_buf_done(&value);
	return r;
}

static void ended_key(const char *id, int64_t ended_ns, struct f3_buf *out)
{
	f3_buf_put_u64(out, (uint64_t)ended_ns);
	f3_buf_put(out, id, strlen(id));
}

static int store_record(const struct f3_activation *act)
{
	struct f3_meta *meta = act->core->meta;
	struct f3_batch *b = NULL;
	struct f3_buf value, key;
	int r = f3_batch_new(meta, &b);

	f3_buf_init(&value, RECORD_MAX);
	f3_buf_init(&key, ENDED_KEY_MAX);
	encode(act, &value);
	if (!r)
		r = value.error;
	if (!r) {
		f3_batch_put_note(b, F3_NOTE_ACTIVATION, act->spec.id, strlen(act->spec.id),
				  value.data, value.len);
		if (act->state != F3_ACT_RUNNING) {
			ended_key(act->spec.id, act->ended_ns, &key);
			f3_batch_put_note(b, F3_NOTE_ENDED, key.data, key.len, "\1", 1);
		}
		r = f3_batch_commit(b);
	}
	f3_batch_free(b);
	f3_buf_done(&value);
	f3_buf_done(&key);
	return r;
}

/* ---- How long ended ones are kept ------------------------------------------------------------ */

struct pruning {
	struct f3_core *core;
	struct f3_batch *b;
	uint64_t too_many, too_many_edges;
	int64_t before_ns;
	struct f3_buf ids; /* length and bytes of each */
	unsigned n;
};

static bool pruned(struct pruning *p, const uint8_t *id, size_t len, int64_t ended)
{
	char text[F3_ACT_NAME_MAX + 1];
	struct f3_act_rec rec;
	uint64_t edges;

	if (p->too_many_edges && len < sizeof(text)) {
		memcpy(text, id, len);
		text[len] = '\0';
		edges = look_up(p->core, text, &rec) ? 0 : rec.counts[F3_ACT_EDGES];
		p->too_many_edges -= edges < p->too_many_edges ? edges : p->too_many_edges;
		return true;
	}
	return p->n < p->too_many || ended < p->before_ns;
}

static int prune_one(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct pruning *p = arg;
	struct f3_rd rd;
	int64_t ended;

	(void)value;
	(void)vlen;
	f3_rd_init(&rd, key, klen);
	ended = f3_rd_i64(&rd);
	if (p->n == PRUNE_MOST || !pruned(p, rd.p, rd.left, ended))
		return 1;
	f3_buf_put_u8(&p->ids, (uint8_t)rd.left);
	f3_buf_put(&p->ids, rd.p, rd.left);
	f3_batch_del_note(p->b, F3_NOTE_ACTIVATION, rd.p, rd.left);
	f3_batch_del_note(p->b, F3_NOTE_ENDED, key, klen);
	p->n++;
	return 0;
}

/* First, so that none is left of which nobody knows. */
static int prune_lineage(struct pruning *p)
{
	int r = p->ids.error;
	struct f3_rd rd;

	f3_rd_init(&rd, p->ids.data, p->ids.len);
	while (!r && rd.left) {
		size_t len = f3_rd_u8(&rd);

		r = f3_lineage_forget(p->core, (const char *)f3_rd_bytes(&rd, len), len);
	}
	return r;
}

static void prune(struct f3_core *core)
{
	struct f3_acts *a = core->acts;
	uint64_t keep = f3_conf_u64(core->conf, "f3", NULL, "activations-kept");
	uint64_t age_ns = f3_conf_u64(core->conf, "f3", NULL, "activations-age");
	struct pruning p = { .core = core };

	/* Two of them would count what they remove twice. */
	if (atomic_exchange(&a->pruning, true))
		return;
	f3_lock(&a->lock);
	p.too_many = a->n_ended > keep ? a->n_ended - keep : 0;
	f3_unlock(&a->lock);
	p.too_many_edges = f3_lineages_over(core->lineages);
	p.before_ns = f3_clock_real_ns() - (int64_t)age_ns;
	if (f3_batch_new(core->meta, &p.b)) {
		a->pruning = false;
		return;
	}
	f3_buf_init(&p.ids, PRUNE_MOST * (F3_ACT_NAME_MAX + 1));
	if (f3_meta_each_note(core->meta, F3_NOTE_ENDED, "", 0, prune_one, &p) >= 0 && p.n &&
	    !prune_lineage(&p) && !f3_batch_commit(p.b)) {
		f3_lock(&a->lock);
		a->n_ended -= p.n < a->n_ended ? p.n : a->n_ended;
		f3_unlock(&a->lock);
	}
	f3_batch_free(p.b);
	f3_buf_done(&p.ids);
	a->pruning = false;
}

/* ---- Begin ----------------------------------------------------------------------------------- */

static size_t held_by(const struct f3_activation *act)
{
	return sizeof(*act) + 4 * act->spec.text_len;
}

/* Where its processes are, and what they see. Lock not held. */
static int find_place(struct f3_activation *act, struct f3_act_place *place, struct f3_err *err)
{
	struct f3_acts *a = act->core->acts;
	const struct f3_act_spec *spec = &act->spec;
	struct f3_act_container *c;
	int r;

	if (spec->view) {
		f3_lock(&a->lock);
		c = f3_act_container_find(a, spec->view);
		if (c) {
			c->refs++;
			act->container = c;
			act->volume = c->volume;
			f3_volume_ref(act->volume);
			act->prefix = strdup(c->prefix);
			*place = c->place;
		}
		f3_unlock(&a->lock);
		if (!c)
			return f3_err_set(
				err, -ENOENT,
				"there is no view %s, or it was bound without a container",
				spec->view);
		return act->prefix ? 0 : f3_err_set(err, -ENOMEM, "out of memory");
	}
	act->volume = f3_volume_find(act->core, spec->volume);
	if (!act->volume)
		return f3_err_set(err, -ENODEV, "there is no volume %s", spec->volume);
	act->prefix = strdup("");
	r = act->prefix ? f3_act_place_of(spec->container_pid, place) : -ENOMEM;
	if (r == -EINVAL)
		return f3_err_set(err, r, "process %d is in no control group of its own",
				  (int)spec->container_pid);
	return r ? f3_err_set(err, r, "process %d: %s", (int)spec->container_pid,
			      f3_errno_name(r)) :
		   0;
}

static int check_classes(const struct f3_activation *act, struct f3_err *err)
{
	const struct f3_placement *outputs = &act->spec.outputs;

	for (size_t i = 0; i < outputs->n_rules; i++)
		if (f3_class_in_store(outputs->rules[i].class_) && !act->volume->store)
			return f3_err_set(
				err, -EOPNOTSUPP,
				"%s: volume %s has no object store, and takes no class %s",
				outputs->rules[i].pattern, act->volume->name,
				f3_class_name(outputs->rules[i].class_));
	return act->spec.commit != F3_COMMIT_NONE ? f3_commitset_possible(act->volume, err) : 0;
}

static bool same_begin(const struct f3_activation *act, const struct f3_act_spec *spec)
{
	return act->spec.text_len == spec->text_len &&
	       !memcmp(act->spec.text, spec->text, spec->text_len);
}

/* Lock held: it lives from now on. */
static int enter(struct f3_acts *a, struct f3_activation *act, const struct f3_act_place *place,
		 struct f3_err *err)
{
	struct f3_activation **bucket = bucket_of(a, act->spec.id), *other;
	struct f3_act_container *c = act->container;

	/* Nobody could say whose outputs are whose. */
	if (f3_act_live_at(a, place, &other) &&
	    (act->spec.commit != F3_COMMIT_NONE || (other && other->set)))
		return f3_err_set(err, -EBUSY,
				  "another activation lives in the same container, and one of them "
				  "has a commit set");
	if (a->core->n_acts >= F3_ACT_LIVE_MAX || a->held_bytes + held_by(act) > F3_ACT_HELD_MAX ||
	    f3_budget_try_take(a->core->budget, F3_ACCT_CONTROL, held_by(act)))
		return f3_err_set(err, -ENOSPC, "too many activations live: %u",
				  (unsigned)a->core->n_acts);
	if (!c) {
		c = f3_act_container_new(a, "", place, act->volume, NULL);
		if (!c) {
			f3_budget_give(a->core->budget, F3_ACCT_CONTROL, held_by(act));
			return f3_err_set(err, -ENOSPC, "too many containers");
		}
		f3_volume_ref(act->volume); /* the container's */
		act->container = c;
	}
	if (f3_act_inputs_begin(a, act)) {
		f3_budget_give(a->core->budget, F3_ACCT_CONTROL, held_by(act));
		return f3_err_set(err, -ENOMEM, "out of memory");
	}
	if (f3_act_live_at(a, place, &other)) {
		act->shared = true;
		if (other) {
			other->shared = true;
			other->container->act = NULL;
		}
	}
	c->act = act->shared ? NULL : act;
	c->n_acts++;
	act->next = *bucket;
	*bucket = act;
	f3_act_ref(act);
	a->held_bytes += held_by(act);
	a->core->n_acts++;
	a->epoch++;
	return 0;
}

/* Lock held. */
static void leave(struct f3_acts *a, struct f3_activation *act)
{
	struct f3_activation **at = bucket_of(a, act->spec.id);

	while (*at != act)
		at = &(*at)->next;
	*at = act->next;
	f3_act_inputs_end(a, act);
	act->container->n_acts--;
	if (act->container->act == act)
		act->container->act = NULL;
	a->held_bytes -= held_by(act);
	f3_budget_give(a->core->budget, F3_ACCT_CONTROL, held_by(act));
	a->core->n_acts--;
	a->epoch++;
}

static void drop_container(struct f3_activation *act)
{
	struct f3_acts *a = act->core->acts;
	struct f3_volume *volume = NULL;

	f3_lock(&a->lock);
	if (act->container)
		f3_act_container_put(a, act->container, &volume);
	act->container = NULL;
	f3_unlock(&a->lock);
	f3_volume_put(volume);
}

static void arm_overdue(struct f3_acts *a);

/* It lived already: somebody may have it, and what it was begun with. */
static void begin_failed(struct f3_activation *act, struct f3_act_spec *spec)
{
	struct f3_acts *a = act->core->acts;

	act->state = F3_ACT_ENDED_FAILED;
	memset(spec, 0, sizeof(*spec));
	f3_lock(&a->lock);
	leave(a, act);
	f3_unlock(&a->lock);
	f3_act_threads_forget(a, act);
	f3_act_holds_end(act->core, act->spec.id, true);
	if (act->set)
		(void)f3_commitset_drop(act->set);
	drop_container(act);
	f3_act_put(act); /* the table's */
	f3_act_put(act);
}

int f3_act_begin(struct f3_core *core, struct f3_act_spec *spec, bool replay, bool *ret_again,
		 struct f3_err *err)
{
	struct f3_acts *a = core->acts;
	struct f3_activation *act = f3_act_find(core, spec->id);
	struct f3_act_place place;
	struct f3_act_rec rec;
	int r;

	*ret_again = false;
	if (act) {
		*ret_again = same_begin(act, spec);
		f3_act_put(act);
		return *ret_again ? 0 :
				    f3_err_set(err, -EEXIST, "activation %s runs, begun otherwise",
					       spec->id);
	}
	r = look_up(core, spec->id, &rec);
	if (!r && !replay)
		return f3_err_set(err, -EEXIST, "activation %s has been before", spec->id);
	if (r != (replay ? 0 : -ENOENT))
		return f3_err_set(err, r, "activation %s: %s", spec->id, f3_errno_name(r));
	act = calloc(1, sizeof(*act));
	if (!act)
		return f3_err_set(err, -ENOMEM, "out of memory");
	act->core = core;
	act->refs = 1;
	act->state = F3_ACT_RUNNING;
	act->begun_ns = replay ? rec.begun_ns : f3_clock_real_ns();
	act->shared = replay && rec.shared;
	for (unsigned i = 0; replay && i < F3_ACT_COUNTS; i++)
		act->counts[i] = rec.counts[i];
	act->spec = *spec;
	act->ws = f3_ws_run_new(act);
	r = f3_lineage_new(act, &act->lineage);
	if (r)
		f3_err_set(err, r, "out of memory");
	if (!r)
		r = find_place(act, &place, err);
	/* One that is replayed goes on with what it has, whatever the store says now. */
	if (!r && !replay)
		r = check_classes(act, err);
	if (!r && replay && act->spec.commit != F3_COMMIT_NONE)
		act->set = f3_commitset_find(core, spec->id);
	else if (!r && act->spec.commit != F3_COMMIT_NONE)
		r = f3_commitset_new(core, act->volume, spec->id, spec->key,
				     act->spec.commit == F3_COMMIT_SYNC, &act->set, err);
	if (!r) {
		f3_lock(&a->lock);
		if (find(a, spec->id))
			r = f3_err_set(err, -EAGAIN, "activation %s is being begun", spec->id);
		if (!r)
			r = enter(a, act, &place, err);
		f3_unlock(&a->lock);
	}
	if (r)
		goto fail;
	if (!replay) {
		r = store_record(act);
		if (r) {
			f3_err_set(err, r, "activation %s cannot be recorded: %s", spec->id,
				   f3_errno_name(r));
			begin_failed(act, spec);
			return r;
		}
	}
	/* Without memory for it they do not wait. */
	act->expects = !f3_expect_begin(core, act);
	if (replay)
		f3_lineage_resume(act);
	f3_debug_point("activation.begun");
	f3_ws_begin(act);
	memset(spec, 0, sizeof(*spec));
	act->begun = true;
	f3_act_put(act);
	arm_overdue(a);
	return 0;
fail:
	drop_container(act);
	if (act->set && !replay)
		(void)f3_commitset_drop(act->set);
	memset(&act->spec, 0, sizeof(act->spec)); /* the caller's still */
	f3_act_put(act);
	return r;
}

/* ---- End ------------------------------------------------------------------------------------- */

/* What it wrote, as a set. 0; -errno: it is not decided, and the activation goes on. */
static int end_set(struct f3_activation *act, bool ok, struct f3_err *err)
{
	int r;

	if (!act->set)
		return 0;
	if (ok)
		return f3_commitset_publish(act->set, err);
	r = f3_commitset_drop(act->set);
	if (r == -EALREADY)
		return f3_err_set(err, -EEXIST,
				  "the outputs of activation %s are published already",
				  act->spec.id);
	return r ? f3_err_set(err, r, "the outputs of activation %s cannot be dropped: %s",
			      act->spec.id, f3_errno_name(r)) :
		   0;
}

static int end(struct f3_activation *act, bool ok)
{
	struct f3_acts *a = act->core->acts;
	int running = F3_ACT_RUNNING, r;

	if (!atomic_compare_exchange_strong(&act->state, &running,
					    ok ? F3_ACT_ENDED_OK : F3_ACT_ENDED_FAILED))
		return -EALREADY;
	act->ended_ns = f3_clock_real_ns();
	f3_lock(&a->lock);
	leave(a, act);
	a->n_ended++;
	f3_unlock(&a->lock);
	f3_act_threads_forget(a, act);
	if (act->expects)
		f3_expect_end(act->core, act);
	/* A second time does no harm, should the daemon die in between. */
	f3_act_holds_end(act->core, act->spec.id, !ok);
	f3_life_ended(act->core, act->spec.id, ok);
	f3_debug_point("activation.ending");
	prune(act->core);
	f3_lineage_write(act); /* its counts are of the record */
	f3_ws_end(act, ok);
	r = store_record(act);
	drop_container(act);
	f3_act_put(act); /* the table's */
	return r;
}

int f3_act_end(struct f3_core *core, const char *id, bool ok, bool *ret_again, struct f3_err *err)
{
	struct f3_activation *act = f3_act_find(core, id);
	struct f3_act_rec rec;
	int r = 0;

	if (act && !act->begun)
		r = f3_err_set(err, -EAGAIN, "activation %s is being begun", id);
	else if (act && act->state == F3_ACT_RUNNING)
		r = end_set(act, ok, err);
	if (r) {
		f3_act_put(act);
		return r;
	}
	r = act ? end(act, ok) : -EALREADY;
	f3_act_put(act);
	*ret_again = r == -EALREADY;
	if (!*ret_again)
		return r ? f3_err_set(err, r, "the end of activation %s cannot be recorded: %s", id,
				      f3_errno_name(r)) :
			   0;
	r = look_up(core, id, &rec);
	if (r)
		return f3_err_set(err, r, "activation %s: %s", id,
				  r == -ENOENT ? "it was not begun" : f3_errno_name(r));
	if (rec.state != F3_ACT_RUNNING && (rec.state == F3_ACT_ENDED_OK) != ok)
		return f3_err_set(err, -EEXIST, "activation %s has ended otherwise: %s", id,
				  ok ? "failed, or past its deadline" : "ok");
	return 0;
}

/* ---- What it costs --------------------------------------------------------------------------- */

void f3_act_opened(struct f3_activation *act, struct f3_inode *inode, bool writer)
{
	struct f3_activation *before = act;

	f3_act_ref(act);
	f3_lock(&inode->lock);
	if (writer || !inode->act ||
	    !(inode->rec.state == F3_STATE_WRITING || inode->rec.flags & F3_INO_DIRTY)) {
		before = inode->act;
		inode->act = act;
	}
	f3_unlock(&inode->lock);
	f3_act_put(before);
}

void f3_act_closed(struct f3_inode *inode)
{
	struct f3_activation *before = NULL;

	if (!atomic_load_explicit(&inode->act, memory_order_relaxed))
		return;
	f3_lock(&inode->lock);
	if (!inode->opens && !(inode->rec.flags & F3_INO_DIRTY) &&
	    inode->rec.state != F3_STATE_WRITING) {
		before = inode->act;
		inode->act = NULL;
	}
	f3_unlock(&inode->lock);
	f3_act_put(before);
}

void f3_act_fetched(struct f3_inode *inode, uint64_t bytes)
{
	f3_traffic_count(F3_TRAFFIC_OBJECT, (enum f3_class)inode->rec.class_, bytes);
	if (!inode->act)
		return;
	f3_act_count(inode->act, F3_ACT_STORE_GETS, 1);
	f3_act_count(inode->act, F3_ACT_STORE_GET_BYTES, bytes);
}

/* Unless it has been forgotten meanwhile. */
static void store_late(struct f3_work *work)
{
	struct f3_activation *act =
		(struct f3_activation *)((char *)work - offsetof(struct f3_activation, late));
	struct f3_act_rec rec;

	act->late_queued = false;
	if (!look_up(act->core, act->spec.id, &rec) && rec.state != F3_ACT_RUNNING &&
	    store_record(act))
		f3_log_warn("activation %s: what was done after its end cannot be recorded",
			    act->spec.id);
	f3_act_put(act);
}

void f3_act_stored(struct f3_inode *inode, unsigned requests, uint64_t bytes)
{
	struct f3_activation *act;

	if (!atomic_load_explicit(&inode->act, memory_order_relaxed))
		return;
	f3_lock(&inode->lock);
	act = inode->act;
	if (act)
		f3_act_ref(act);
	f3_unlock(&inode->lock);
	if (!act)
		return;
	f3_act_count(act, F3_ACT_STORE_PUTS, requests);
	f3_act_count(act, F3_ACT_STORE_PUT_BYTES, bytes);
	if (act->state == F3_ACT_RUNNING || atomic_exchange(&act->late_queued, true)) {
		f3_act_put(act);
		return;
	}
	act->late.fn = store_late;
	if (f3_workq_push(act->core->blocking, &act->late)) {
		act->late_queued = false;
		f3_act_put(act);
	}
}

/* ---- Those nobody ends ----------------------------------------------------------------------- */

/* The first whose deadline is over, with a reference; else NULL and when that will be, 0: never. */
static struct f3_activation *first_overdue(struct f3_acts *a, int64_t *ret_next_ms)
{
	int64_t now_ms = f3_clock_real_ns() / (int64_t)F3_NS_PER_MS;
	struct f3_activation *found = NULL;

	*ret_next_ms = 0;
	f3_lock(&a->lock);
	for (unsigned i = 0; i < F3_ACT_BUCKETS && !found; i++) {
		for (struct f3_activation *act = a->acts[i]; act && !found; act = act->next) {
			int64_t at = act->spec.deadline_ms;

			if (!at || !act->begun)
				continue;
			if (at <= now_ms)
				found = act;
			else if (!*ret_next_ms || at < *ret_next_ms)
				*ret_next_ms = at;
		}
	}
	if (found)
		f3_act_ref(found);
	f3_unlock(&a->lock);
	return found;
}

static void end_overdue(struct f3_work *work)
{
	struct f3_acts *a =
		(struct f3_acts *)((char *)work - offsetof(struct f3_acts, overdue.work));
	struct f3_activation *act;
	int64_t next_ms;
	bool ok;

	while (!a->stopping && (act = first_overdue(a, &next_ms))) {
		f3_log_warn("activation %s (%s) was not ended by its deadline: it counts as failed",
			    act->spec.id, act->spec.action);
		/* Published on time, and only its end comes late. */
		ok = act->set && f3_commitset_drop(act->set) == -EALREADY;
		(void)end(act, ok);
		f3_act_put(act);
	}
	arm_overdue(a);
}

static void arm_overdue(struct f3_acts *a)
{
	struct f3_activation *act;
	int64_t next_ms, now_ms = f3_clock_real_ns() / (int64_t)F3_NS_PER_MS;
	uint64_t in_ms;

	if (a->stopping)
		return;
	act = first_overdue(a, &next_ms);
	if (!act && !next_ms)
		return;
	in_ms = act || next_ms < now_ms ? 0 : (uint64_t)(next_ms - now_ms) + 1;
	f3_act_put(act);
	if (f3_timer_arm(&a->overdue, f3_clock_mono_ns() + in_ms * F3_NS_PER_MS))
		f3_log_warn("no memory to watch the deadlines of activations");
}

/* ---- Paths ----------------------------------------------------------------------------------- */

const char *f3_act_path(const struct f3_activation *act, const struct f3_volume *v,
			const char *path)
{
	size_t len = strlen(act->prefix);

	if (v != act->volume || strncmp(path, act->prefix, len) != 0 ||
	    (path[len] && path[len] != '/'))
		return NULL;
	return path[len] ? path + len : "/";
}

int f3_act_output_of(const struct f3_activation *act, const struct f3_volume *v, const char *path)
{
	const char *seen = f3_act_path(act, v, path);

	for (size_t i = 0; seen && i < act->spec.outputs.n_rules; i++)
		if (f3_placement_match(act->spec.outputs.rules[i].pattern, seen))
			return (int)i;
	return -1;
}

struct f3_commitset *f3_act_set_of(struct f3_core *core, const struct f3_caller *who,
				   struct f3_inode *dir, const char *name)
{
	struct f3_activation *act = who ? f3_act_of(core, who->pid) : NULL;
	struct f3_commitset *set = NULL;
	char path[PATH_MAX];
	size_t len;

	if (act && act->set && !f3_inode_path(core, dir->ino, path, sizeof(path))) {
		len = strlen(path);
		len = len == 1 ? 0 : len;
		if (snprintf(path + len, sizeof(path) - len, "/%s", name) <
			    (int)(sizeof(path) - len) &&
		    f3_act_output_of(act, dir->volume, path) >= 0) {
			set = act->set;
			f3_commitset_ref(set);
		}
	}
	f3_act_put(act);
	return set;
}

struct f3_commitset *f3_act_set_of_file(struct f3_core *core, const struct f3_caller *who,
					struct f3_inode *inode)
{
	struct f3_activation *act = who ? f3_act_of(core, who->pid) : NULL;
	struct f3_commitset *set = NULL;
	char path[PATH_MAX];

	if (act && act->set && !f3_inode_path(core, inode->ino, path, sizeof(path)) &&
	    f3_act_output_of(act, inode->volume, path) >= 0) {
		set = act->set;
		f3_commitset_ref(set);
	}
	f3_act_put(act);
	return set;
}

/* ---- All of them ----------------------------------------------------------------------------- */

struct walking {
	struct f3_core *core;
	int (*fn)(void *arg, const char *id, const struct f3_act_rec *rec);
	int (*left)(void *arg, const char *text, size_t len);
	void *arg;
	uint64_t n_ended;
};

static int each_record(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
		       size_t vlen)
{
	struct walking *w = arg;
	char id[F3_ACT_NAME_MAX + 1];
	struct f3_activation *live;
	struct f3_act_rec rec;
	int r;

	if (klen >= sizeof(id) || decode(value, vlen, &rec))
		return 0; /* of a version that this one does not know */
	memcpy(id, key, klen);
	id[klen] = '\0';
	live = f3_act_find(w->core, id);
	if (live) {
		rec.state = (enum f3_act_state)(int)live->state;
		rec.shared = live->shared;
		for (unsigned i = 0; i < F3_ACT_COUNTS; i++)
			rec.counts[i] = live->counts[i];
	}
	r = w->fn(w->arg, id, &rec);
	f3_act_put(live);
	return r;
}

int f3_act_each(struct f3_core *core, const char *id,
		int (*fn)(void *arg, const char *id, const struct f3_act_rec *rec), void *arg)
{
	struct walking w = { .core = core, .fn = fn, .arg = arg };
	struct f3_buf value;
	int r;

	if (!id)
		return f3_meta_each_note(core->meta, F3_NOTE_ACTIVATION, "", 0, each_record, &w);
	f3_buf_init(&value, RECORD_MAX);
	r = f3_meta_get_note(core->meta, F3_NOTE_ACTIVATION, id, strlen(id), &value);
	if (!r)
		r = each_record(&w, (const uint8_t *)id, strlen(id), value.data, value.len);
	f3_buf_done(&value);
	return r;
}

static int each_left(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct walking *w = arg;
	struct f3_act_rec rec;

	(void)key;
	(void)klen;
	if (decode(value, vlen, &rec) || rec.state != F3_ACT_RUNNING) {
		w->n_ended++;
		f3_lineages_count(w->core->lineages, rec.counts[F3_ACT_EDGES]);
		return 0;
	}
	return w->left(w->arg, rec.text, rec.text_len);
}

int f3_act_each_left(struct f3_core *core, int (*fn)(void *arg, const char *text, size_t len),
		     void *arg)
{
	struct walking w = { .core = core, .left = fn, .arg = arg };
	int r = f3_meta_each_note(core->meta, F3_NOTE_ACTIVATION, "", 0, each_left, &w);

	f3_lock(&core->acts->lock);
	core->acts->n_ended = w.n_ended;
	f3_unlock(&core->acts->lock);
	return r;
}

int f3_act_lost(struct f3_core *core, const char *id, struct f3_act_spec *spec)
{
	struct f3_activation act = {
		.core = core,
		.state = F3_ACT_ENDED_FAILED,
		.ended_ns = f3_clock_real_ns(),
		.spec = *spec,
	};
	struct f3_act_rec rec;
	int r = look_up(core, id, &rec);

	if (r)
		return r;
	act.begun_ns = rec.begun_ns;
	act.shared = rec.shared;
	f3_act_holds_end(core, id, true);
	f3_life_ended(core, id, false);
	f3_lineage_resume(&act);
	r = store_record(&act);
	f3_lock(&core->acts->lock);
	core->acts->n_ended++;
	f3_unlock(&core->acts->lock);
	return r;
}

int f3_acts_new(struct f3_core *core, struct f3_acts **ret_a)
{
	struct f3_acts *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->core = core;
	a->epoch = 1;
	f3_lock_init(&a->lock, F3_RANK_ACTS);
	f3_timer_init(&a->overdue, core->blocking, end_overdue);
	r = f3_act_threads_new(a);
	if (r) {
		f3_lock_done(&a->lock);
		free(a);
		return r;
	}
	*ret_a = a;
	return 0;
}

void f3_acts_stop(struct f3_acts *a)
{
	if (!a)
		return;
	a->stopping = true;
	(void)f3_timer_cancel(&a->overdue); /* its queue runs what it was handed */
}

void f3_acts_free(struct f3_acts *a)
{
	if (!a)
		return;
	f3_act_threads_free(a);
	/* They go on when the daemon comes back. */
	for (unsigned i = 0; i < F3_ACT_BUCKETS; i++) {
		struct f3_activation *act;

		while ((act = a->acts[i])) {
			a->acts[i] = act->next;
			f3_act_inputs_end(a, act);
			f3_budget_give(a->core->budget, F3_ACCT_CONTROL, held_by(act));
			drop_container(act);
			f3_act_put(act);
		}
	}
	for (unsigned i = 0; i < F3_ACT_BUCKETS; i++)
		while (a->by_name[i])
			f3_act_container_del(a->core, a->by_name[i]->name);
	f3_lock_done(&a->lock);
	free(a);
}
