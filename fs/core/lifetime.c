/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/lifetime.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/debug.h"
#include "fs/base/log.h"
#include "fs/base/metric.h"
#include "fs/base/workq.h"
#include "fs/core/ns.h"

#define VERSION 1
#define VALUE_MAX (1u << 17)
#define BUCKETS 4096u
/* What is done together. */
#define MOST 256u

/* What files have in common that are made under one output. */
struct output {
	uint32_t refs; /* files */
	char *act, *prefix, *pattern;
	uint16_t at; /* of the activation's */
	uint64_t lifetime_s;
	int64_t ended_ns; /* 0: not yet */
	size_t n_readers;
	char **readers;
	struct output *next;
};

struct file {
	uint64_t ino;
	struct output *of;
	uint64_t generation; /* that was read by */
	uint64_t read_by; /* one bit for each of the readers */
	struct file *next;
};

struct f3_lives {
	struct f3_core *core;
	struct f3_lock lock;
	struct file *files[BUCKETS];
	struct output *outputs;
	struct f3_timer timer;
	uint64_t armed_ns; /* monotonic; 0: not */
	bool full_told;
	_Atomic bool reads; /* there are notes of readers */
	_Atomic bool started, stopping;
};

static struct f3_counter released[] = {
	{ .name = "f3_released_files_total",
	  .labels = "reason=\"readers\"",
	  .help = "Files removed because all their readers had ended, or their lifetime." },
	{ .name = "f3_released_files_total", .labels = "reason=\"lifetime\"" },
};
static struct f3_counter released_bytes[] = {
	{ .name = "f3_released_bytes_total",
	  .labels = "reason=\"readers\"",
	  .help = "Bytes of files removed so." },
	{ .name = "f3_released_bytes_total", .labels = "reason=\"lifetime\"" },
};

/* ---- The table. Lock held. ------------------------------------------------------------------- */

static struct file **slot_of(struct f3_lives *l, uint64_t ino)
{
	struct file **at = &l->files[ino % BUCKETS];

	while (*at && (*at)->ino != ino)
		at = &(*at)->next;
	return at;
}

static struct output *output_find(struct f3_lives *l, const char *act, unsigned at)
{
	struct output *o = l->outputs;

	while (o && (o->at != at || strcmp(o->act, act) != 0))
		o = o->next;
	return o;
}

static void output_free(struct output *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->n_readers && o->readers; i++)
		free(o->readers[i]);
	free(o->readers);
	free(o->act);
	free(o->prefix);
	free(o->pattern);
	free(o);
}

/* *ret_last: of its output; to be freed, and its end's note removed, by the caller. */
static void take_out(struct f3_lives *l, struct file **at, struct output **ret_last)
{
	struct file *f = *at;
	struct output **o = &l->outputs;

	*at = f->next;
	l->core->n_lives--;
	*ret_last = NULL;
	if (!--f->of->refs) {
		while (*o != f->of)
			o = &(*o)->next;
		*o = f->of->next;
		*ret_last = f->of;
	}
	free(f);
}

static bool all_read(const struct file *f)
{
	size_t n = f->of->n_readers;

	return n && f->read_by == (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1);
}

static int64_t ends_at(const struct output *o)
{
	return o->ended_ns && o->lifetime_s ?
		       o->ended_ns + (int64_t)(o->lifetime_s * F3_NS_PER_SEC) :
		       0;
}

/* ---- Notes ----------------------------------------------------------------------------------- */

static void encode(const struct file *f, struct f3_buf *out)
{
	const struct output *o = f->of;

	f3_buf_put_u8(out, VERSION);
	f3_buf_put_str16(out, o->act, strlen(o->act));
	f3_buf_put_u16(out, o->at);
	f3_buf_put_str16(out, o->prefix, strlen(o->prefix));
	f3_buf_put_str16(out, o->pattern, strlen(o->pattern));
	f3_buf_put_u64(out, o->lifetime_s);
	f3_buf_put_u64(out, f->generation);
	f3_buf_put_u64(out, f->read_by);
	f3_buf_put_u16(out, (uint16_t)o->n_readers);
	for (size_t i = 0; i < o->n_readers; i++)
		f3_buf_put_str16(out, o->readers[i], strlen(o->readers[i]));
}

static char *get_text(struct f3_rd *rd)
{
	size_t len;
	const uint8_t *text = f3_rd_str16(rd, &len);

	return rd->error ? NULL : strndup((const char *)text, len);
}

static void output_key(const char *act, unsigned at, struct f3_buf *out)
{
	f3_buf_put(out, act, strlen(act));
	f3_buf_put_u16(out, (uint16_t)at);
}

static void reader_key(const char *act, uint64_t ino, struct f3_buf *out)
{
	f3_buf_put_u8(out, (uint8_t)strlen(act));
	f3_buf_put(out, act, strlen(act));
	if (ino)
		f3_buf_put_u64(out, ino);
}

/* One change; value NULL: removed. */
static int write_note(struct f3_core *core, enum f3_note note, const struct f3_buf *key,
		      const struct f3_buf *value)
{
	struct f3_batch *b;
	int r = key->error ? key->error : value ? value->error : 0;

	if (!r)
		r = f3_batch_new(core->meta, &b);
	if (r)
		return r;
	if (value)
		f3_batch_put_note(b, note, key->data, key->len, value->data, value->len);
	else
		f3_batch_del_note(b, note, key->data, key->len);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	return r;
}

static int write_file(struct f3_core *core, uint64_t ino, const struct f3_buf *value)
{
	struct f3_buf key;
	int r;

	f3_buf_init(&key, 8);
	f3_buf_put_u64(&key, ino);
	r = write_note(core, F3_NOTE_LIFETIME, &key, value);
	f3_buf_done(&key);
	return r;
}

static void write_output(struct f3_core *core, const struct output *o, int64_t ended_ns)
{
	struct f3_buf key, value;

	f3_buf_init(&key, F3_ACT_NAME_MAX + 2);
	f3_buf_init(&value, 8);
	output_key(o->act, o->at, &key);
	f3_buf_put_i64(&value, ended_ns);
	if (write_note(core, F3_NOTE_LIFETIME_END, &key, ended_ns ? &value : NULL))
		f3_log_warn("the end of activation %s is not recorded for its files", o->act);
	f3_buf_done(&key);
	f3_buf_done(&value);
}

/* Nobody asks for it any more. */
static void forget(struct f3_core *core, uint64_t ino)
{
	struct f3_lives *l = core->lives;
	struct output *last = NULL;
	struct file **at;
	bool was;

	f3_lock(&l->lock);
	at = slot_of(l, ino);
	was = *at != NULL;
	if (was)
		take_out(l, at, &last);
	f3_unlock(&l->lock);
	if (was)
		(void)write_file(core, ino, NULL); /* the next start finds that it is gone */
	if (last)
		write_output(core, last, 0);
	output_free(last);
}

void f3_life_gone_slow(struct f3_core *core, uint64_t ino)
{
	forget(core, ino);
}

/* ---- When something is due ------------------------------------------------------------------- */

static void arm(struct f3_lives *l, uint64_t due_mono_ns)
{
	bool earlier;

	if (!l->started || l->stopping)
		return;
	f3_lock(&l->lock);
	earlier = !l->armed_ns || due_mono_ns < l->armed_ns;
	if (earlier)
		l->armed_ns = due_mono_ns;
	f3_unlock(&l->lock);
	if (earlier && f3_timer_arm(&l->timer, due_mono_ns))
		f3_log_warn("no memory to watch the lifetimes of files");
}

void f3_life_wake(struct f3_core *core)
{
	arm(core->lives, f3_clock_mono_ns());
}

struct due {
	uint64_t ino;
	uint64_t generation;
	bool lifetime;
};

/* Some of those to be removed, from where *bucket is on; when the next lifetime ends. */
static unsigned find_due(struct f3_lives *l, unsigned *bucket, struct due due[MOST],
			 int64_t *next_ns)
{
	int64_t now = f3_clock_real_ns();
	unsigned n = 0;

	f3_lock(&l->lock);
	for (; *bucket < BUCKETS && n < MOST / 2; (*bucket)++) {
		for (struct file *f = l->files[*bucket]; f; f = f->next) {
			int64_t at = ends_at(f->of);

			if (n == MOST)
				*next_ns = now; /* the rest of so many in one bucket */
			else if (f->of->ended_ns && (all_read(f) || (at && at <= now)))
				due[n++] = (struct due){ f->ino, f->generation, at && at <= now };
			else if (at && (!*next_ns || at < *next_ns))
				*next_ns = at;
		}
	}
	f3_unlock(&l->lock);
	return n;
}

/* A name of that output, as it was seen by who made it? */
static bool still_output(struct f3_core *core, const struct due *due, const char *path)
{
	struct f3_lives *l = core->lives;
	struct file *f;
	bool is = false;
	size_t len;

	f3_lock(&l->lock);
	f = *slot_of(l, due->ino);
	if (f) {
		len = strlen(f->of->prefix);
		is = !strncmp(path, f->of->prefix, len) && path[len] == '/' &&
		     f3_placement_match(f->of->pattern, path + len);
	}
	f3_unlock(&l->lock);
	return is;
}

/* 1: not now: it waits for its last close, or for readers of what is in it now. */
static int may_go(const struct due *due, struct f3_inode *inode)
{
	const struct f3_inode_rec *rec = &inode->rec;
	int r = 0;

	f3_lock(&inode->lock);
	if (inode->dead || !rec->parent || rec->nlink != 1 ||
	    (rec->class_ != F3_CLASS_MEMORY && rec->class_ != F3_CLASS_EPHEMERAL))
		r = -ECANCELED;
	else if (!due->lifetime && (inode->opens || rec->state == F3_STATE_WRITING ||
				    rec->generation != due->generation))
		r = 1;
	inode->release_waits = r == 1 && rec->generation == due->generation;
	f3_unlock(&inode->lock);
	return r;
}

static int release(struct f3_core *core, const struct due *due)
{
	struct f3_inode *inode, *dir = NULL;
	char path[PATH_MAX], name[F3_NAME_MAX + 1];
	uint64_t parent, bytes;
	int r = f3_inode_get(core, due->ino, &inode);

	if (r)
		return r;
	r = may_go(due, inode);
	if (!r)
		r = f3_inode_path(core, inode->ino, path, sizeof(path));
	if (!r && !still_output(core, due, path))
		r = -ECANCELED;
	f3_lock(&inode->lock);
	parent = inode->rec.parent;
	bytes = inode->rec.size;
	memcpy(name, inode->rec.name, sizeof(name));
	f3_unlock(&inode->lock);
	if (!r)
		r = f3_inode_get(core, parent, &dir);
	f3_debug_point("lifetime.removing");
	if (!r)
		r = f3_ns_unmake(core, dir, inode);
	if (!r) {
		if (core->kernel.inval_entry)
			core->kernel.inval_entry(core->kernel.arg, parent, name, strlen(name));
		f3_count(&released[due->lifetime], 1);
		f3_count(&released_bytes[due->lifetime], bytes);
	}
	f3_inode_put(core, dir);
	f3_inode_put(core, inode);
	return r;
}

static void timer_fired(struct f3_work *work)
{
	struct f3_lives *l =
		(struct f3_lives *)((char *)work - offsetof(struct f3_lives, timer.work));
	struct due due[MOST];
	unsigned bucket = 0, n;
	int64_t next_ns = 0, now;

	f3_lock(&l->lock);
	l->armed_ns = 0;
	f3_unlock(&l->lock);
	while (bucket < BUCKETS && !l->stopping) {
		n = find_due(l, &bucket, due, &next_ns);
		for (unsigned i = 0; i < n && !l->stopping; i++) {
			int r = release(l->core, &due[i]);

			if (r == -ESTALE)
				arm(l, f3_clock_mono_ns()); /* its name has just changed */
			else if (r == -ENOENT || r == -ECANCELED || !r)
				forget(l->core, due[i].ino);
			else if (r < 0)
				f3_log_warn("inode %llu cannot be removed: %s",
					    (unsigned long long)due[i].ino, f3_errno_name(r));
		}
	}
	now = f3_clock_real_ns();
	if (next_ns)
		arm(l, f3_clock_mono_ns() + (next_ns > now ? (uint64_t)(next_ns - now) : 0));
}

/* ---- What happens ---------------------------------------------------------------------------- */

static struct output *output_new(const struct f3_activation *act, unsigned at)
{
	const struct f3_act_output *says = &act->spec.output[at];
	struct output *o = calloc(1, sizeof(*o));
	bool ok;

	if (!o)
		return NULL;
	o->act = strdup(act->spec.id);
	o->prefix = strdup(act->prefix);
	o->pattern = strdup(act->spec.outputs.rules[at].pattern);
	o->at = (uint16_t)at;
	o->lifetime_s = says->lifetime_s;
	o->readers = calloc(says->n_readers + 1, sizeof(*o->readers));
	ok = o->act && o->prefix && o->pattern && o->readers;
	for (size_t i = 0; ok && i < says->n_readers; i++) {
		o->readers[i] = strdup(says->readers[i]);
		o->n_readers = i + 1;
		ok = o->readers[i] != NULL;
	}
	if (ok)
		return o;
	output_free(o);
	return NULL;
}

/* Takes over o; o->refs counts it. 0, and the note; -EEXIST: it is so already. Lock held. */
static int put_in(struct f3_lives *l, uint64_t ino, struct output **o, struct output **ret_last,
		  struct f3_buf *note)
{
	struct output *is = output_find(l, (*o)->act, (*o)->at);
	struct file **at = slot_of(l, ino), *f;

	if (*at && (*at)->of == is)
		return -EEXIST;
	if (!*at && l->core->n_lives >= F3_LIFE_FILES_MAX)
		return -ENOSPC;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	if (*at)
		take_out(l, at, ret_last);
	if (!is) {
		is = *o;
		is->next = l->outputs;
		l->outputs = is;
		*o = NULL;
	}
	is->refs++;
	f->ino = ino;
	f->of = is;
	at = slot_of(l, ino);
	f->next = *at;
	*at = f;
	l->core->n_lives++;
	encode(f, note);
	return 0;
}

static bool releases_any(const struct f3_activation *act)
{
	for (size_t i = 0; i < act->spec.outputs.n_rules; i++)
		if (act->spec.output[i].n_readers || act->spec.output[i].lifetime_s)
			return true;
	return false;
}

void f3_life_made(struct f3_activation *act, struct f3_inode *inode)
{
	struct f3_lives *l = act->core->lives;
	struct output *o, *last = NULL;
	char path[PATH_MAX];
	struct f3_buf note;
	bool tell = false;
	uint8_t class_;
	int r, at;

	if (!releases_any(act))
		return;
	f3_lock(&inode->lock);
	class_ = inode->rec.class_;
	f3_unlock(&inode->lock);
	if ((class_ != F3_CLASS_MEMORY && class_ != F3_CLASS_EPHEMERAL) ||
	    f3_inode_path(act->core, inode->ino, path, sizeof(path)))
		return;
	at = f3_act_output_of(act, inode->volume, path);
	if (at < 0 || (!act->spec.output[at].n_readers && !act->spec.output[at].lifetime_s))
		return;
	o = output_new(act, (unsigned)at);
	f3_buf_init(&note, VALUE_MAX);
	r = -ENOMEM;
	if (o) {
		f3_lock(&l->lock);
		r = put_in(l, inode->ino, &o, &last, &note);
		tell = r == -ENOSPC && !l->full_told;
		l->full_told |= tell;
		f3_unlock(&l->lock);
	}
	if (!r)
		r = write_file(act->core, inode->ino, &note);
	if (tell || (r && r != -ENOSPC && r != -EEXIST))
		f3_log_warn("activation %s: %s will not be removed of itself: %s", act->spec.id,
			    path, tell ? "too many files are" : f3_errno_name(r));
	if (last)
		write_output(act->core, last, 0);
	output_free(last);
	output_free(o);
	f3_buf_done(&note);
}

/* Which of its readers is that? -1: none. Lock held. */
static int reader_of(const struct output *o, const char *action)
{
	for (size_t i = 0; i < o->n_readers; i++)
		if (!strcmp(o->readers[i], action))
			return (int)i;
	return -1;
}

void f3_life_opened_slow(struct f3_activation *act, struct f3_inode *inode)
{
	struct f3_lives *l = act->core->lives;
	uint64_t generation;
	struct f3_buf key, value;
	struct file *f;
	int at = -1;

	f3_lock(&inode->lock);
	generation = inode->rec.generation;
	f3_unlock(&inode->lock);
	f3_lock(&l->lock);
	f = *slot_of(l, inode->ino);
	if (f)
		at = reader_of(f->of, act->spec.action);
	f3_unlock(&l->lock);
	if (at < 0)
		return;
	f3_buf_init(&key, F3_ACT_NAME_MAX + 16);
	f3_buf_init(&value, 32);
	reader_key(act->spec.id, inode->ino, &key);
	f3_buf_put_u16(&value, (uint16_t)at);
	f3_buf_put_u64(&value, generation);
	l->reads = true;
	if (write_note(act->core, F3_NOTE_LIFETIME_READ, &key, &value))
		f3_log_warn("activation %s: a file it reads may not be removed after it",
			    act->spec.id);
	f3_buf_done(&key);
	f3_buf_done(&value);
}

struct ending {
	struct f3_lives *l;
	struct f3_batch *b;
	size_t prefix_len;
	bool ok, any;
	unsigned n;
};

/* It has read this one. */
static int read_one(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct ending *e = arg;
	struct f3_rd k, v;
	struct f3_buf note, file_key;
	uint64_t generation, ino;
	unsigned at;
	struct file *f;

	f3_rd_init(&k, key, klen);
	f3_rd_init(&v, value, vlen);
	(void)f3_rd_bytes(&k, e->prefix_len);
	ino = f3_rd_u64(&k);
	at = f3_rd_u16(&v);
	generation = f3_rd_u64(&v);
	f3_batch_del_note(e->b, F3_NOTE_LIFETIME_READ, key, klen);
	if (e->ok && !k.error && !v.error) {
		f3_buf_init(&note, VALUE_MAX);
		f3_buf_init(&file_key, 8);
		f3_lock(&e->l->lock);
		f = *slot_of(e->l, ino);
		if (f && at < f->of->n_readers && generation >= f->generation) {
			if (generation > f->generation)
				f->read_by = 0; /* what was read before is not there any more */
			f->generation = generation;
			f->read_by |= UINT64_C(1) << at;
			e->any |= all_read(f);
			encode(f, &note);
		}
		f3_unlock(&e->l->lock);
		f3_buf_put_u64(&file_key, ino);
		if (note.len && !note.error)
			f3_batch_put_note(e->b, F3_NOTE_LIFETIME, file_key.data, file_key.len,
					  note.data, note.len);
		f3_buf_done(&file_key);
		f3_buf_done(&note);
	}
	return ++e->n == MOST;
}

/* Its own files wait for their readers, and their lifetime begins. */
static void made_ended(struct f3_lives *l, const char *id, int64_t now)
{
	struct output *o, copy;
	bool any;

	do {
		any = false;
		f3_lock(&l->lock);
		for (o = l->outputs; o && !any; o = o->next) {
			if (o->ended_ns || strcmp(o->act, id) != 0)
				continue;
			o->ended_ns = now;
			copy = (struct output){ .act = (char *)id, .at = o->at };
			any = true;
		}
		f3_unlock(&l->lock);
		if (any)
			write_output(l->core, &copy, now);
	} while (any);
}

void f3_life_ended(struct f3_core *core, const char *id, bool ok)
{
	struct ending e = { .l = core->lives, .ok = ok };
	struct f3_buf prefix;
	int r = 1;

	if (!core->n_lives && !core->lives->reads)
		return;
	f3_buf_init(&prefix, F3_ACT_NAME_MAX + 1);
	reader_key(id, 0, &prefix);
	e.prefix_len = prefix.len;
	while (r > 0) {
		e.n = 0;
		if (f3_batch_new(core->meta, &e.b))
			break;
		r = f3_meta_each_note(core->meta, F3_NOTE_LIFETIME_READ, prefix.data, prefix.len,
				      read_one, &e);
		if (e.n && f3_batch_commit(e.b))
			r = -EIO;
		f3_batch_free(e.b);
	}
	f3_buf_done(&prefix);
	made_ended(core->lives, id, f3_clock_real_ns());
	f3_life_wake(core);
}

bool f3_life_look(struct f3_core *core, uint64_t ino, int64_t *ret_at_ns, uint64_t *ret_lifetime_s,
		  void (*fn)(void *arg, const char *action), void *arg)
{
	struct f3_lives *l = core->lives;
	char *waiting[F3_LIFE_READERS_MAX];
	size_t n = 0;
	struct file *f;
	bool is;

	f3_lock(&l->lock);
	f = *slot_of(l, ino);
	is = f != NULL;
	if (is) {
		*ret_at_ns = ends_at(f->of);
		*ret_lifetime_s = f->of->lifetime_s;
		for (size_t i = 0; i < f->of->n_readers; i++)
			if (!(f->read_by & UINT64_C(1) << i))
				waiting[n++] = strdup(f->of->readers[i]);
	}
	f3_unlock(&l->lock);
	for (size_t i = 0; i < n; i++) {
		if (waiting[i])
			fn(arg, waiting[i]);
		free(waiting[i]);
	}
	return is;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static int load_file(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_lives *l = arg;
	struct output *o = calloc(1, sizeof(*o)), *last = NULL;
	uint64_t ino, generation, read_by;
	struct f3_buf note;
	struct f3_rd k, v;
	unsigned n;
	int r = 0;

	if (!o)
		return -ENOMEM;
	f3_rd_init(&k, key, klen);
	f3_rd_init(&v, value, vlen);
	ino = f3_rd_u64(&k);
	if (f3_rd_u8(&v) != VERSION)
		goto out;
	o->act = get_text(&v);
	o->at = f3_rd_u16(&v);
	o->prefix = get_text(&v);
	o->pattern = get_text(&v);
	o->lifetime_s = f3_rd_u64(&v);
	generation = f3_rd_u64(&v);
	read_by = f3_rd_u64(&v);
	n = f3_rd_u16(&v);
	if (k.error || v.error || n > F3_LIFE_READERS_MAX || o->lifetime_s > INT32_MAX)
		goto out;
	o->readers = calloc(n + 1, sizeof(*o->readers));
	for (unsigned i = 0; i < n && o->readers; i++) {
		o->readers[i] = get_text(&v);
		o->n_readers = i + 1;
	}
	if (!o->readers || v.error || !o->act || !o->prefix || !o->pattern)
		goto out;
	f3_buf_init(&note, VALUE_MAX);
	r = put_in(l, ino, &o, &last, &note);
	f3_buf_done(&note);
	if (!r) {
		(*slot_of(l, ino))->generation = generation;
		(*slot_of(l, ino))->read_by = read_by;
	}
out:
	output_free(o);
	return r == -ENOMEM ? r : 0;
}

static int load_end(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_lives *l = arg;
	char act[F3_ACT_NAME_MAX + 1];
	struct f3_rd k, v;
	struct output *o;

	if (klen < 3 || klen - 2 > F3_ACT_NAME_MAX)
		return 0;
	memcpy(act, key, klen - 2);
	act[klen - 2] = '\0';
	f3_rd_init(&k, key + klen - 2, 2);
	f3_rd_init(&v, value, vlen);
	o = output_find(l, act, f3_rd_u16(&k));
	if (o)
		o->ended_ns = f3_rd_i64(&v);
	return 0;
}

static int load_read(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_lives *l = arg;

	(void)key;
	(void)klen;
	(void)value;
	(void)vlen;
	l->reads = true;
	return 1;
}

int f3_lives_new(struct f3_core *core, struct f3_lives **ret_l)
{
	struct f3_lives *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->core = core;
	f3_lock_init(&l->lock, F3_RANK_LOCAL);
	f3_timer_init(&l->timer, core->blocking, timer_fired);
	for (int i = 0; i < 2; i++) {
		f3_counter_register(&released[i]);
		f3_counter_register(&released_bytes[i]);
	}
	r = f3_meta_each_note(core->meta, F3_NOTE_LIFETIME, "", 0, load_file, l);
	if (!r)
		r = f3_meta_each_note(core->meta, F3_NOTE_LIFETIME_END, "", 0, load_end, l);
	if (!r)
		r = f3_meta_each_note(core->meta, F3_NOTE_LIFETIME_READ, "", 0, load_read, l);
	*ret_l = l;
	return r < 0 ? r : 0;
}

/* Of outputs whose activation has not ended, as far as is known; the caller frees. */
static char **unended(struct f3_lives *l, size_t *ret_n)
{
	size_t n = 0, room = 0;
	char **ids;

	f3_lock(&l->lock);
	for (struct output *o = l->outputs; o; o = o->next)
		room++;
	ids = calloc(room + 1, sizeof(*ids));
	for (struct output *o = l->outputs; o && ids; o = o->next)
		if (!o->ended_ns && (ids[n] = strdup(o->act)))
			n++;
	f3_unlock(&l->lock);
	*ret_n = n;
	return ids;
}

void f3_lives_start(struct f3_core *core)
{
	struct f3_lives *l = core->lives;
	size_t n = 0;
	char **ids = unended(l, &n);

	for (size_t i = 0; ids && i < n; i++) {
		struct f3_activation *act = f3_act_find(core, ids[i]);

		if (!act)
			made_ended(l, ids[i], f3_clock_real_ns());
		f3_act_put(act);
		free(ids[i]);
	}
	free(ids);
	l->started = true;
	if (core->n_lives)
		f3_life_wake(core);
}

void f3_lives_stop(struct f3_lives *l)
{
	if (!l)
		return;
	l->stopping = true;
	(void)f3_timer_cancel(&l->timer); /* its queue runs what it was handed */
}

void f3_lives_free(struct f3_lives *l)
{
	struct output *last;

	if (!l)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (l->files[i]) {
			take_out(l, &l->files[i], &last);
			output_free(last);
		}
	}
	f3_lock_done(&l->lock);
	free(l);
}
