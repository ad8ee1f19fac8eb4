/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/journal_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/hash.h"

/* ---- Resources ---- */

static struct f3_res **bucket_of(struct f3_journal_run *j, enum f3_res_kind kind, uint64_t id)
{
	uint64_t h = (id ^ ((uint64_t)kind << 56)) * 0x9e3779b97f4a7c15ull;

	return &j->table[(h >> 40) & (F3_RES_BUCKETS - 1)];
}

static struct f3_res *res_find(struct f3_journal_run *j, enum f3_res_kind kind, uint64_t id)
{
	struct f3_res *res = *bucket_of(j, kind, id);

	while (res && (res->kind != kind || res->id != id))
		res = res->next;
	return res;
}

static struct f3_res *res_get(struct f3_journal_run *j, enum f3_res_kind kind, uint64_t id)
{
	struct f3_res *res = res_find(j, kind, id), **bucket;

	if (!res) {
		res = calloc(1, sizeof(*res));
		if (!res)
			return NULL;
		res->kind = kind;
		res->id = id;
		TAILQ_INIT(&res->members);
		bucket = bucket_of(j, kind, id);
		res->next = *bucket;
		*bucket = res;
	}
	res->refs++;
	return res;
}

static void res_put(struct f3_journal_run *j, struct f3_res *res)
{
	struct f3_res **p;

	if (!res || --res->refs)
		return;
	for (p = bucket_of(j, res->kind, res->id); *p != res; p = &(*p)->next)
		;
	*p = res->next;
	free(res);
}

static uint64_t key_id(const struct f3_journal_gate *gate, const char *key)
{
	return f3_hash64(key, strlen(key), gate->volume->id);
}

/* ---- Edges ---- */

/* t waits for first. A second edge between the two counts twice and ends twice. */
static int edge(struct f3_journal_task *first, struct f3_journal_task *t)
{
	if (first->n_after == first->cap_after) {
		unsigned cap = first->cap_after ? first->cap_after * 2 : 4;
		struct f3_journal_task **after = reallocarray(first->after, cap, sizeof(*after));

		if (!after)
			return -ENOMEM;
		f3_journal_note(first, (int64_t)((cap - first->cap_after) * sizeof(*after)));
		first->after = after;
		first->cap_after = cap;
	}
	first->after[first->n_after++] = t;
	t->n_deps++;
	return 0;
}

/* After a failure in the middle: t was the last one to be added everywhere. */
static void drop_edges(struct f3_journal_task *t)
{
	struct f3_journal_gate *gate;
	struct f3_journal_task *o;

	TAILQ_FOREACH(gate, &t->gate->j->gates, of_run) {
		TAILQ_FOREACH(o, &gate->tasks, of_gate) {
			while (o->n_after && o->after[o->n_after - 1] == t) {
				o->n_after--;
				t->n_deps--;
			}
		}
	}
}

static bool orders(const struct f3_journal_task *t)
{
	return t->type == F3_JOURNAL_DELETE || t->type == F3_JOURNAL_RENAME ||
	       t->type == F3_JOURNAL_RMDIR;
}

/*
 * Everything earlier in the directory that was acknowledged. The last such task that orders has
 * waited for all before it already. What nobody has been told of yet runs beside: two programs that
 * do something at the same time have no order between them.
 */
static int edges_dir(struct f3_journal_task *t, const struct f3_res *dir)
{
	struct f3_res_member *m;

	TAILQ_FOREACH_REVERSE(m, &dir->members, f3_res_members, of_res) {
		int r;

		if (m->task == t || !(m->task->how & F3_JOURNAL_ACKED))
			continue;
		r = edge(m->task, t);
		if (r)
			return r;
		if (orders(m->task))
			break;
	}
	return 0;
}

/* No entry below a directory before its marker. */
static int edges_marker(struct f3_journal_task *t, const struct f3_res *dir)
{
	const struct f3_res *ino = res_find(t->gate->j, F3_RES_INO, dir->id);

	return ino && ino->marker && ino->marker != t ? edge(ino->marker, t) : 0;
}

static int edges_all(struct f3_journal_task *t, struct f3_journal_gate *gate)
{
	struct f3_journal_task *o;
	int r = 0;

	TAILQ_FOREACH(o, &gate->tasks, of_gate) {
		if (o->type != F3_JOURNAL_WAIT && o != t)
			r = edge(o, t);
		if (r)
			break;
	}
	return r;
}

static int make_edges(struct f3_journal_task *t)
{
	struct f3_journal_gate *gate = t->gate;
	int r = 0;

	if (t->type == F3_JOURNAL_RENAME_DIR)
		return edges_all(t, gate);
	if (!TAILQ_EMPTY(&gate->barriers))
		r = edge(TAILQ_LAST(&gate->barriers, f3_task_list), t);
	if (!r && t->ino_res && t->ino_res->last)
		r = edge(t->ino_res->last, t);
	for (unsigned i = 0; i < 2 && !r; i++)
		if (t->key_res[i] && t->key_res[i]->last)
			r = edge(t->key_res[i]->last, t);
	for (unsigned i = 0; i < F3_TASK_DIRS && !r; i++) {
		const struct f3_res *dir = t->dirs[i].res;

		if (!dir)
			continue;
		if (orders(t))
			r = edges_dir(t, dir);
		if (!r)
			r = edges_marker(t, dir);
	}
	return r;
}

static void release_res(struct f3_journal_task *t)
{
	struct f3_journal_run *j = t->gate->j;

	res_put(j, t->ino_res);
	for (unsigned i = 0; i < 2; i++)
		res_put(j, t->key_res[i]);
	for (unsigned i = 0; i < F3_TASK_DIRS; i++)
		res_put(j, t->dirs[i].res);
}

static int take_res(struct f3_journal_task *t, const struct f3_journal_entry *e)
{
	struct f3_journal_run *j = t->gate->j;
	const uint64_t dirs[F3_TASK_DIRS] = { e->dir1, e->dir2 == e->dir1 ? 0 : e->dir2,
					      e->type == F3_JOURNAL_RMDIR ? e->ino : 0 };
	const char *const keys[2] = { e->key, e->key2 };
	bool short_of = false;

	if (e->ino) {
		t->ino_res = res_get(j, F3_RES_INO, e->ino);
		short_of |= !t->ino_res;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (!keys[i][0])
			continue;
		t->key_res[i] = res_get(j, F3_RES_KEY, key_id(t->gate, keys[i]));
		short_of |= !t->key_res[i];
	}
	for (unsigned i = 0; i < F3_TASK_DIRS; i++) {
		if (!dirs[i])
			continue;
		t->dirs[i].task = t;
		t->dirs[i].res = res_get(j, F3_RES_DIR, dirs[i]);
		short_of |= !t->dirs[i].res;
	}
	if (e->type == F3_JOURNAL_RENAME_DIR) {
		t->from = strdup(e->key);
		t->to = strdup(e->key2);
		short_of |= !t->from || !t->to;
	}
	return short_of ? -ENOMEM : 0;
}

static void become_last(struct f3_journal_task *t)
{
	struct f3_journal_gate *gate = t->gate;

	TAILQ_INSERT_TAIL(&gate->tasks, t, of_gate);
	if (t->type == F3_JOURNAL_RENAME_DIR)
		TAILQ_INSERT_TAIL(&gate->barriers, t, of_barriers);
	if (t->ino_res) {
		t->ino_res->last = t;
		if (t->type == F3_JOURNAL_MKDIR)
			t->ino_res->marker = t;
	}
	for (unsigned i = 0; i < 2; i++)
		if (t->key_res[i])
			t->key_res[i]->last = t;
	for (unsigned i = 0; i < F3_TASK_DIRS; i++)
		if (t->dirs[i].res)
			TAILQ_INSERT_TAIL(&t->dirs[i].res->members, &t->dirs[i], of_res);
}

int f3_dag_add(struct f3_journal_task *t, const struct f3_journal_entry *e)
{
	int r = take_res(t, e);

	if (!r)
		r = make_edges(t);
	if (r) {
		drop_edges(t);
		release_res(t);
		free(t->from);
		free(t->to);
		return r;
	}
	become_last(t);
	return 0;
}

int f3_dag_add_wait(struct f3_journal_task *t, uint64_t dir, uint64_t ino, bool all)
{
	const struct f3_res *res = dir ? res_find(t->gate->j, F3_RES_DIR, dir) :
				   ino ? res_find(t->gate->j, F3_RES_INO, ino) :
					 NULL;
	const struct f3_res_member *m;
	struct f3_journal_gate *gate;
	int r = 0;

	if (ino) {
		r = res && res->last ? edge(res->last, t) : 0;
	} else if (res) {
		TAILQ_FOREACH(m, &res->members, of_res)
			if (m->task->durable && !r)
				r = edge(m->task, t);
	} else if (!dir) {
		TAILQ_FOREACH(gate, &t->gate->j->gates, of_run)
			if ((all || gate == t->gate) && !r)
				r = edges_all(t, gate);
	}
	if (r)
		drop_edges(t);
	else
		TAILQ_INSERT_TAIL(&t->gate->tasks, t, of_gate);
	return r;
}

void f3_dag_remove(struct f3_journal_task *t, struct f3_task_list *ready)
{
	struct f3_journal_gate *gate = t->gate;

	for (unsigned i = 0; i < t->n_after; i++) {
		struct f3_journal_task *o = t->after[i];

		if (--o->n_deps == 0 && o->state == F3_TASK_BLOCKED)
			TAILQ_INSERT_TAIL(ready, o, of_ready);
	}
	if (t->ino_res && t->ino_res->last == t)
		t->ino_res->last = NULL;
	if (t->ino_res && t->ino_res->marker == t)
		t->ino_res->marker = NULL;
	for (unsigned i = 0; i < 2; i++)
		if (t->key_res[i] && t->key_res[i]->last == t)
			t->key_res[i]->last = NULL;
	for (unsigned i = 0; i < F3_TASK_DIRS; i++)
		if (t->dirs[i].res)
			TAILQ_REMOVE(&t->dirs[i].res->members, &t->dirs[i], of_res);
	if (t->type == F3_JOURNAL_RENAME_DIR)
		TAILQ_REMOVE(&gate->barriers, t, of_barriers);
	release_res(t);
	f3_journal_note(t, -(int64_t)t->bytes);
	TAILQ_REMOVE(&gate->tasks, t, of_gate);
	free(t->after);
	free(t->from);
	free(t->to);
	free(t);
}

static bool below(const char *key, const char *dir)
{
	size_t len = strlen(dir);

	return !strncmp(key, dir, len) && (key[len] == '\0' || key[len] == '/');
}

int f3_dag_key_before(struct f3_journal_gate *gate, char *key)
{
	const struct f3_journal_task *t;

	TAILQ_FOREACH_REVERSE(t, &gate->barriers, f3_task_list, of_barriers) {
		char before[F3_KEY_MAX + 1];

		if (t->state == F3_TASK_HELD || !(t->how & F3_JOURNAL_ACKED) || !below(key, t->to))
			continue;
		if (snprintf(before, sizeof(before), "%s%s", t->from, key + strlen(t->to)) >=
		    (int)sizeof(before))
			return -ENAMETOOLONG;
		memcpy(key, before, strlen(before) + 1);
	}
	return 0;
}

bool f3_dag_covers(struct f3_journal_gate *gate, uint64_t ino, const char *key)
{
	struct f3_journal_run *j = gate->j;
	const struct f3_journal_task *t;

	if (ino && res_find(j, F3_RES_INO, ino))
		return true;
	if (key && res_find(j, F3_RES_KEY, key_id(gate, key)))
		return true;
	TAILQ_FOREACH(t, &gate->barriers, of_barriers)
		if (key && (below(key, t->from) || below(key, t->to)))
			return true;
	return false;
}

bool f3_dag_alone(struct f3_journal_task *t, struct f3_journal_task *marker)
{
	const struct f3_res_member *m;

	/* Nothing between them, and nothing after. */
	if (t->ino_res->last != t || t->ino_res->refs != 2)
		return false;
	for (unsigned i = 0; i < F3_TASK_DIRS; i++) {
		if (!t->dirs[i].res || t->dirs[i].res->id != t->ino)
			continue;
		TAILQ_FOREACH(m, &t->dirs[i].res->members, of_res)
			if (m->task != t && m->task != marker)
				return false;
	}
	return true;
}
