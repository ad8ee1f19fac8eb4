/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage: collecting and writing; lineage_read.c reads and forgets.
 */
#include "config.h"

#include "fs/core/lineage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/hash.h"
#include "fs/base/log.h"
#include "fs/base/workq.h"
#include "fs/core/lineage_impl.h"

/* With so many edges of one activation in memory they are written at once; meanwhile there may be more. */
#define SET_FULL 512u
#define SET_MAX 4096u
#define SET_FIRST 16u
/* Of all activations. */
#define MEMORY_BYTES (1u << 20)
/* What is collected is written so long after the first of it. */
#define LINEAGE_DELAY_NS F3_NS_PER_SEC

struct edge {
	struct f3_content content, from;
	int64_t when_ns;
	uint64_t parent; /* of its name then; 0: it had none */
	uint32_t volume;
	uint32_t name_at; /* in the names */
	uint8_t name_len;
	char kind;
};

/* What is collected. */
struct pile {
	struct edge *edges;
	uint16_t *slots; /* 1 + number of the edge, by hash; twice as many as there may be edges */
	char *names;
	uint32_t n, room, names_len, names_room;
};

struct f3_lineage {
	struct f3_activation *act;
	struct f3_lineages *all;
	struct f3_lock lock; /* rank F3_RANK_LOCAL */
	pthread_cond_t written;
	struct pile pile;
	uint32_t n_written;
	bool writing;
	bool listed; /* lock of all */
	struct f3_lineage *next; /* in the list, which has a reference */
};

struct f3_lineages {
	struct f3_core *core;
	struct f3_lock lock; /* rank F3_RANK_QUEUE */
	struct f3_lineage *first; /* those with something to be written */
	_Atomic uint64_t edges; /* in the database */
	_Atomic size_t bytes; /* of piles */
	unsigned writing; /* sets taken from the list */
	pthread_cond_t written;
	struct f3_timer timer;
	_Atomic bool stopping;
};

/* ---- The pile -------------------------------------------------------------------------------- */

static size_t pile_bytes(const struct pile *p)
{
	return p->room * (sizeof(*p->edges) + 2 * sizeof(*p->slots)) + p->names_room;
}

static void pile_done(struct pile *p)
{
	free(p->edges);
	free(p->slots);
	free(p->names);
	memset(p, 0, sizeof(*p));
}

static uint32_t slot_of(const struct pile *p, const struct edge *e)
{
	uint64_t h = f3_hash64(&e->content.id, sizeof(e->content.id),
			       e->content.generation * 4 + (unsigned char)e->kind % 4);

	return (uint32_t)h & (2 * p->room - 1);
}

static bool same(const struct edge *a, const struct edge *b)
{
	return a->kind == b->kind && a->content.generation == b->content.generation &&
	       f3_id_equal(&a->content.id, &b->content.id);
}

/* Where it is or would be. */
static uint32_t pile_find(const struct pile *p, const struct edge *e)
{
	uint32_t at = slot_of(p, e);

	while (p->slots[at] && !same(&p->edges[p->slots[at] - 1], e))
		at = (at + 1) & (2 * p->room - 1);
	return at;
}

static bool pile_grow(struct pile *p, size_t name_len)
{
	uint32_t room = p->room ? 2 * p->room : SET_FIRST;

	if (p->names_len + name_len > p->names_room) {
		uint32_t more = p->names_room ? 2 * p->names_room : SET_FIRST * 32;
		char *names = realloc(p->names, more);

		if (!names)
			return false;
		p->names = names;
		p->names_room = more;
	}
	if (p->n == p->room) {
		struct edge *edges = realloc(p->edges, room * sizeof(*edges));
		uint16_t *slots = edges ? calloc(2 * room, sizeof(*slots)) : NULL;

		if (edges)
			p->edges = edges;
		if (!slots)
			return false;
		free(p->slots);
		p->slots = slots;
		p->room = room;
		for (uint32_t i = 0; i < p->n; i++)
			p->slots[pile_find(p, &p->edges[i])] = (uint16_t)(i + 1);
	}
	return true;
}

/* 0; -ENOBUFS: that is too many. */
static int pile_add(struct f3_lineages *all, struct pile *p, const struct edge *e, const char *name)
{
	size_t was = pile_bytes(p);
	bool grown;

	if (p->n && p->slots[pile_find(p, e)])
		return 0;
	if (p->n >= SET_MAX || all->bytes > MEMORY_BYTES)
		return -ENOBUFS;
	grown = pile_grow(p, e->name_len);
	all->bytes += pile_bytes(p) - was;
	if (!grown)
		return -ENOBUFS;
	p->slots[pile_find(p, e)] = (uint16_t)(p->n + 1);
	p->edges[p->n] = *e;
	p->edges[p->n].name_at = p->names_len;
	memcpy(p->names + p->names_len, name, e->name_len);
	p->names_len += e->name_len;
	p->n++;
	return 0;
}

/* ---- Collecting ------------------------------------------------------------------------------ */

/* It has something to be written: soon, or now. */
static void list(struct f3_lineage *set, bool now)
{
	struct f3_lineages *all = set->all;
	bool first;

	f3_lock(&all->lock);
	first = !all->first;
	if (!set->listed) {
		set->listed = true;
		f3_act_ref(set->act);
		set->next = all->first;
		all->first = set;
	}
	f3_unlock(&all->lock);
	if ((first || now) && !all->stopping &&
	    f3_timer_arm(&all->timer, f3_clock_mono_ns() + (now ? 0 : LINEAGE_DELAY_NS)))
		f3_log_warn("no memory to write the lineage of activation %s before its end",
			    set->act->spec.id);
}

static void collect(struct f3_activation *act, const struct edge *e, const char *name)
{
	struct f3_lineage *set = act->lineage;
	bool begun, full;
	int r;

	if (set->all->stopping)
		return;
	f3_lock(&set->lock);
	begun = !set->pile.n;
	r = set->n_written + set->pile.n < F3_LINEAGE_EDGES_MAX ?
		    pile_add(set->all, &set->pile, e, name) :
		    -E2BIG;
	begun = begun && set->pile.n;
	full = r == -ENOBUFS || (!r && set->pile.n % SET_FULL == 0);
	f3_unlock(&set->lock);
	if (r)
		f3_act_count(act, F3_ACT_EDGES_DROPPED, 1);
	if (begun || full)
		list(set, full);
}

struct f3_content f3_content_of(struct f3_inode *inode)
{
	struct f3_content c;

	f3_lock(&inode->lock);
	c = (struct f3_content){ .id = inode->rec.id, .generation = inode->rec.generation };
	f3_unlock(&inode->lock);
	return c;
}

/* content NULL: what it is now. */
static void tell(struct f3_activation *act, struct f3_inode *inode, enum f3_lineage_kind kind,
		 const struct f3_content *content, const struct f3_content *from)
{
	struct edge e = { .when_ns = f3_clock_file_ns(), .kind = (char)kind, .from = *from };
	char name[F3_NAME_MAX + 1];

	f3_lock(&inode->lock);
	e.content =
		content ? *content : (struct f3_content){ inode->rec.id, inode->rec.generation };
	e.parent = inode->rec.parent;
	e.volume = inode->rec.volume;
	e.name_len = inode->rec.name_len;
	memcpy(name, inode->rec.name, e.name_len);
	f3_unlock(&inode->lock);
	collect(act, &e, name);
}

void f3_lineage_used(struct f3_activation *act, struct f3_inode *inode,
		     const struct f3_content *content)
{
	tell(act, inode, F3_LINEAGE_USED, content, &(struct f3_content){ .generation = 0 });
}

void f3_lineage_generated(struct f3_activation *act, struct f3_inode *inode, uint64_t from)
{
	tell(act, inode, F3_LINEAGE_GENERATED, NULL, &(struct f3_content){ .generation = from });
}

void f3_lineage_became(struct f3_core *core, const struct f3_caller *who, struct f3_inode *inode,
		       const struct f3_content *was)
{
	struct f3_activation *act = who ? f3_act_of(core, who->pid) : NULL;
	struct f3_content is;

	if (!act)
		return;
	is = f3_content_of(inode);
	if (is.generation != was->generation || !f3_id_equal(&is.id, &was->id))
		tell(act, inode, F3_LINEAGE_BECAME, &is, was);
	f3_act_put(act);
}

/* ---- Writing --------------------------------------------------------------------------------- */

void f3_lineage_file_key(const struct f3_content *content, char kind, const char *act, size_t len,
			 struct f3_buf *out)
{
	f3_buf_put(out, content->id.b, F3_ID_BYTES);
	f3_buf_put_u64(out, content->generation);
	f3_buf_put_u8(out, (uint8_t)kind);
	f3_buf_put(out, act, len);
}

void f3_lineage_act_key(const char *act, size_t len, char kind, const struct f3_content *content,
			struct f3_buf *out)
{
	f3_buf_put_u8(out, (uint8_t)len);
	f3_buf_put(out, act, len);
	if (kind)
		f3_buf_put_u8(out, (uint8_t)kind);
	if (content) {
		f3_buf_put(out, content->id.b, F3_ID_BYTES);
		f3_buf_put_u64(out, content->generation);
	}
}

static void put_content(const struct f3_content *content, struct f3_buf *out)
{
	f3_buf_put_u8(out, F3_LINEAGE_VERSION);
	f3_buf_put(out, content->id.b, F3_ID_BYTES);
	f3_buf_put_u64(out, content->generation);
}

struct writing {
	struct f3_activation *act;
	struct f3_batch *b;
	const struct pile *pile;
	struct f3_buf key, value;
	uint64_t dir; /* whose path is known */
	char dir_path[PATH_MAX];
	size_t dir_len;
};

/* Edges of files in one directory follow each other. */
static void put_path(struct writing *w, const struct edge *e)
{
	if (e->parent != w->dir) {
		w->dir = e->parent;
		w->dir_path[0] = '\0';
		if (e->parent &&
		    f3_inode_path(w->act->core, e->parent, w->dir_path, sizeof(w->dir_path)))
			w->dir_path[0] = '\0'; /* its last name only */
		w->dir_len = strlen(w->dir_path);
	}
	f3_buf_put(&w->value, w->dir_path, w->dir_len);
	if (w->dir_len > 1)
		f3_buf_put_u8(&w->value, '/');
	f3_buf_put(&w->value, w->pile->names + e->name_at, e->name_len);
}

static void put_file_edge(struct writing *w, const struct f3_content *of, char kind,
			  const struct f3_content *other)
{
	const char *id = w->act->spec.id;

	f3_buf_reset(&w->key);
	f3_buf_reset(&w->value);
	f3_lineage_file_key(of, kind, id, strlen(id), &w->key);
	put_content(other, &w->value);
	f3_batch_put_note(w->b, F3_NOTE_LINEAGE_FILE, w->key.data, w->key.len, w->value.data,
			  w->value.len);
}

static void put_edge(struct writing *w, const struct edge *e)
{
	const char *id = w->act->spec.id;

	put_file_edge(w, &e->content, e->kind, &e->from);
	if (e->kind == F3_LINEAGE_BECAME)
		put_file_edge(w, &e->from, F3_LINEAGE_WAS, &e->content);
	f3_buf_reset(&w->key);
	f3_buf_reset(&w->value);
	f3_lineage_act_key(id, strlen(id), e->kind, &e->content, &w->key);
	put_content(&e->from, &w->value);
	f3_buf_put_i64(&w->value, e->when_ns);
	f3_buf_put_u32(&w->value, e->volume);
	put_path(w, e);
	f3_batch_put_note(w->b, F3_NOTE_LINEAGE_ACT, w->key.data, w->key.len, w->value.data,
			  w->value.len);
}

/* What came after its end, when nothing is known of it any more? */
static bool forgotten(struct f3_activation *act)
{
	struct f3_buf record;
	int r;

	if (act->state == F3_ACT_RUNNING)
		return false;
	f3_buf_init(&record, UINT32_MAX);
	r = f3_meta_get_note(act->core->meta, F3_NOTE_ACTIVATION, act->spec.id,
			     strlen(act->spec.id), &record);
	f3_buf_done(&record);
	return r == -ENOENT;
}

static int write_pile(struct f3_activation *act, const struct pile *pile)
{
	struct f3_lineages *all = act->core->lineages;
	uint64_t most = 2 * f3_conf_u64(act->core->conf, "f3", NULL, "lineage-kept");
	struct writing *w;
	int r = 0;

	/* Those that live may be many, and none of them can be forgotten. */
	if (all->edges + pile->n > most || forgotten(act))
		return -ENOBUFS;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->act = act;
	w->pile = pile;
	f3_buf_init(&w->key, F3_LINEAGE_KEY_MAX);
	f3_buf_init(&w->value, F3_LINEAGE_VALUE_MAX);
	r = f3_batch_new(act->core->meta, &w->b);
	if (!r) {
		for (uint32_t i = 0; i < pile->n; i++)
			put_edge(w, &pile->edges[i]);
		r = f3_batch_commit(w->b);
	}
	f3_batch_free(w->b);
	f3_buf_done(&w->key);
	f3_buf_done(&w->value);
	free(w);
	return r;
}

void f3_lineage_write(struct f3_activation *act)
{
	struct f3_lineage *set = act->lineage;
	struct pile pile;
	int r;

	if (!set)
		return;
	f3_lock(&set->lock);
	while (set->writing)
		f3_cond_wait(&set->written, &set->lock, 0);
	pile = set->pile;
	memset(&set->pile, 0, sizeof(set->pile));
	set->n_written += pile.n;
	set->writing = pile.n != 0;
	f3_unlock(&set->lock);
	if (!pile.n)
		return;
	r = write_pile(act, &pile);
	f3_act_count(act, r ? F3_ACT_EDGES_DROPPED : F3_ACT_EDGES, pile.n);
	if (!r)
		set->all->edges += pile.n;
	set->all->bytes -= pile_bytes(&pile);
	pile_done(&pile);
	f3_lock(&set->lock);
	set->writing = false;
	pthread_cond_broadcast(&set->written);
	f3_unlock(&set->lock);
}

static struct f3_lineage *unlist(struct f3_lineages *all)
{
	struct f3_lineage *set;

	f3_lock(&all->lock);
	set = all->first;
	if (set) {
		all->first = set->next;
		set->listed = false;
		all->writing++;
	}
	f3_unlock(&all->lock);
	return set;
}

static void write_all(struct f3_lineages *all)
{
	struct f3_lineage *set;

	while ((set = unlist(all))) {
		struct f3_activation *act = set->act;

		f3_lineage_write(act);
		f3_act_put(act);
		f3_lock(&all->lock);
		all->writing--;
		pthread_cond_broadcast(&all->written);
		f3_unlock(&all->lock);
	}
}

static void timer_fired(struct f3_work *work)
{
	write_all((struct f3_lineages *)((char *)work - offsetof(struct f3_lineages, timer.work)));
}

void f3_lineages_settle(struct f3_core *core)
{
	struct f3_lineages *all = core->lineages;

	write_all(all);
	f3_lock(&all->lock);
	while (all->writing)
		f3_cond_wait(&all->written, &all->lock, 0);
	f3_unlock(&all->lock);
}

/* ---- Life ------------------------------------------------------------------------------------ */

int f3_lineage_new(struct f3_activation *act, struct f3_lineage **ret_set)
{
	struct f3_lineage *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	set->act = act;
	set->all = act->core->lineages;
	f3_lock_init(&set->lock, F3_RANK_LOCAL);
	f3_cond_init(&set->written);
	*ret_set = set;
	return 0;
}

void f3_lineage_free(struct f3_lineage *set)
{
	if (!set)
		return;
	set->all->bytes -= pile_bytes(&set->pile);
	pile_done(&set->pile);
	pthread_cond_destroy(&set->written);
	f3_lock_done(&set->lock);
	free(set);
}

int f3_lineages_new(struct f3_core *core, struct f3_lineages **ret_l)
{
	struct f3_lineages *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->core = core;
	f3_lock_init(&l->lock, F3_RANK_QUEUE);
	f3_cond_init(&l->written);
	f3_timer_init(&l->timer, core->blocking, timer_fired);
	*ret_l = l;
	return 0;
}

void f3_lineages_stop(struct f3_lineages *l)
{
	if (!l)
		return;
	l->stopping = true;
	(void)f3_timer_cancel(&l->timer); /* its queue runs what it was handed */
}

void f3_lineages_write(struct f3_lineages *l)
{
	if (l)
		write_all(l);
}

void f3_lineages_free(struct f3_lineages *l)
{
	if (!l)
		return;
	pthread_cond_destroy(&l->written);
	f3_lock_done(&l->lock);
	free(l);
}

void f3_lineages_count(struct f3_lineages *l, uint64_t edges)
{
	l->edges += edges;
}

uint64_t f3_lineages_over(struct f3_lineages *l)
{
	uint64_t keep = f3_conf_u64(l->core->conf, "f3", NULL, "lineage-kept"), is = l->edges;

	return is > keep ? is - keep : 0;
}

void f3_lineages_gone(struct f3_lineages *l, uint64_t edges)
{
	uint64_t is = l->edges;

	while (!atomic_compare_exchange_weak(&l->edges, &is, is > edges ? is - edges : 0))
		;
}
