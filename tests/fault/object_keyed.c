/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "tests/fault/object_keyed.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/base/crc32c.h"

struct object {
	char *key;
	void *bytes;
	size_t len;
	struct f3_obj_attr attr; /* xattrs: its own copy */
	bool have_gen;
	struct f3_obj_gen gen;
	char etag[32];
	int64_t modified_ns;
};

struct keyed {
	struct f3_object_store base;
	pthread_mutex_t mutex;
	struct object **objects; /* sorted by key */
	size_t n, size;
	int64_t clock_ns; /* a second on for every change */
	unsigned page, refs;
	/* rounds */
	unsigned round_ms, widest;
	uint64_t rounds;
	pthread_cond_t cond;
	pthread_t thread;
	struct f3_obj_op *waiting; /* linked by priv[0] */
	bool stop;
};

/* ---- Objects. Mutex held. ---- */

/* The first whose key is not smaller. */
static size_t place(const struct keyed *s, const char *key)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(s->objects[mid]->key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct object *find(const struct keyed *s, const char *key)
{
	size_t at = place(s, key);

	return at < s->n && !strcmp(s->objects[at]->key, key) ? s->objects[at] : NULL;
}

static bool has_below(const struct keyed *s, const char *prefix)
{
	size_t at = place(s, prefix);

	if (at < s->n && !strcmp(s->objects[at]->key, prefix))
		at++;
	return at < s->n && !strncmp(s->objects[at]->key, prefix, strlen(prefix));
}

static void object_free(struct object *o)
{
	if (!o)
		return;
	free((void *)(uintptr_t)o->attr.xattrs);
	free(o->bytes);
	free(o->key);
	free(o);
}

static void take_out(struct keyed *s, const char *key)
{
	size_t at = place(s, key);

	if (at == s->n || strcmp(s->objects[at]->key, key) != 0)
		return;
	object_free(s->objects[at]);
	s->n--;
	memmove(&s->objects[at], &s->objects[at + 1], (s->n - at) * sizeof(*s->objects));
}

static void *copy_of(const void *bytes, size_t len)
{
	void *copy = malloc(len + 1);

	if (copy && len)
		memcpy(copy, bytes, len);
	return copy;
}

static int set_attr(struct object *o, const struct f3_obj_attr *attr)
{
	void *xattrs = NULL;

	if (attr && attr->xattrs_len) {
		xattrs = copy_of(attr->xattrs, attr->xattrs_len);
		if (!xattrs)
			return -ENOMEM;
	}
	free((void *)(uintptr_t)o->attr.xattrs);
	o->attr = attr ? *attr : (struct f3_obj_attr){ .mode = 0 };
	o->attr.xattrs = xattrs;
	return 0;
}

static void touch(struct keyed *s, struct object *o, const struct f3_obj_gen *gen)
{
	o->have_gen = gen;
	if (gen)
		o->gen = *gen;
	o->modified_ns = s->clock_ns += 1000000000;
	snprintf(o->etag, sizeof(o->etag), "\"%08" PRIx32 "-%zx\"", f3_crc32c(0, o->bytes, o->len),
		 o->len);
}

static int put(struct keyed *s, const char *key, const void *bytes, size_t len,
	       const struct f3_obj_attr *attr, const struct f3_obj_gen *gen, struct object **ret_o)
{
	struct object *o = find(s, key);
	void *copy = copy_of(bytes, len);

	if (!copy)
		return -ENOMEM;
	if (!o) {
		size_t at = place(s, key);

		if (s->n == s->size) {
			size_t size = s->size ? 2 * s->size : 64;
			struct object **more = realloc(s->objects, size * sizeof(*more));

			if (!more)
				goto no_memory;
			s->objects = more;
			s->size = size;
		}
		o = calloc(1, sizeof(*o));
		if (!o)
			goto no_memory;
		o->key = strdup(key);
		if (!o->key) {
			free(o);
			goto no_memory;
		}
		memmove(&s->objects[at + 1], &s->objects[at], (s->n - at) * sizeof(*s->objects));
		s->objects[at] = o;
		s->n++;
	}
	free(o->bytes);
	o->bytes = copy;
	o->len = len;
	touch(s, o, gen);
	if (ret_o)
		*ret_o = o;
	return set_attr(o, attr);
no_memory:
	free(copy);
	return -ENOMEM;
}

/* ---- Operations. Mutex held. ---- */

static void tell(struct f3_obj_op *op, const struct object *o, bool is_dir)
{
	op->info = (struct f3_obj_info){
		.size = is_dir ? 0 : o->len,
		.attr = o->attr,
		.have_attr = true,
		.have_gen = o->have_gen,
		.gen = o->gen,
		.is_dir = is_dir,
		.modified_ns = o->modified_ns,
	};
	snprintf(op->info.etag, sizeof(op->info.etag), "%s", o->etag);
	op->info.attr.xattrs = NULL;
	op->info.attr.xattrs_len = 0;
	if (!op->heap && o->attr.xattrs_len) {
		op->heap = copy_of(o->attr.xattrs, o->attr.xattrs_len);
		op->info.attr.xattrs = op->heap;
		op->info.attr.xattrs_len = op->heap ? o->attr.xattrs_len : 0;
	}
}

static int condition(const struct keyed *s, const char *key, const struct f3_obj_op *op)
{
	const struct object *o = find(s, key);

	if (op->cond == F3_OBJ_ABSENT)
		return o ? -EEXIST : 0;
	if (op->cond == F3_OBJ_MATCH)
		return o && !strcmp(o->etag, op->etag) ? 0 : -ESTALE;
	return 0;
}

static int do_head(struct keyed *s, struct f3_obj_op *op, const char *marker)
{
	const struct object *o = find(s, marker), *file = *op->key ? find(s, op->key) : NULL;

	if (op->want != F3_OBJ_WANT_OBJECT && (o || !*op->key || has_below(s, marker))) {
		if (o) {
			tell(op, o, true);
		} else {
			op->info.is_dir = op->info.implicit = op->info.have_attr = true;
		}
		return 0;
	}
	if (op->want == F3_OBJ_WANT_DIR || !file)
		return -ENOENT;
	tell(op, file, false);
	return 0;
}

static int do_get(struct keyed *s, struct f3_obj_op *op)
{
	const struct object *o = find(s, op->key);
	int r = condition(s, op->key, op);

	if (r || !o)
		return r ? r : -ENOENT;
	tell(op, o, false);
	op->moved = op->off >= o->len ? 0 : o->len - op->off < op->len ? o->len - op->off : op->len;
	if (op->moved)
		memcpy(op->buf, (const char *)o->bytes + op->off, op->moved);
	return 0;
}

static int do_put(struct keyed *s, struct f3_obj_op *op)
{
	struct object *o;
	void *bytes = NULL;
	int r = condition(s, op->key, op);

	if (r)
		return r;
	if (!op->body && op->len) {
		bytes = malloc(op->len);
		if (!bytes)
			return -ENOMEM;
		if (pread(op->fd, bytes, op->len, (off_t)op->fd_off) != (ssize_t)op->len) {
			free(bytes);
			return -ENODATA;
		}
	}
	r = put(s, op->key, bytes ? bytes : op->body, op->len, op->attr, op->gen, &o);
	free(bytes);
	if (!r) {
		op->crc32c = f3_crc32c(0, o->bytes, o->len);
		tell(op, o, false);
		op->info.modified_ns = 0; /* the answer does not say */
	}
	return r;
}

static int do_copy(struct keyed *s, struct f3_obj_op *op)
{
	struct object *from = find(s, op->key), *o;
	int r;

	if (op->etag2 && (!from || strcmp(from->etag, op->etag2) != 0))
		return from ? -ESTALE : -ENOENT;
	if (!from)
		return -ENOENT;
	r = condition(s, op->key2, op);
	if (!r)
		r = put(s, op->key2, from->bytes, from->len, op->attr ? op->attr : &from->attr,
			op->gen, &o);
	if (!r)
		tell(op, o, false);
	return r;
}

static int do_set_attr(struct keyed *s, struct f3_obj_op *op)
{
	struct object *o = find(s, op->key);
	int r = condition(s, op->key, op);

	if (r || !o)
		return r ? r : -ENOENT;
	touch(s, o, op->gen);
	r = set_attr(o, op->attr);
	tell(op, o, false);
	return r;
}

static int do_mkdir(struct keyed *s, struct f3_obj_op *op, const char *marker)
{
	struct object *o;
	int r = op->cond == F3_OBJ_ABSENT && (find(s, marker) || find(s, op->key)) ? -EEXIST : 0;

	if (!r)
		r = put(s, marker, NULL, 0, op->attr, op->gen, &o);
	if (!r)
		tell(op, o, true);
	return r;
}

static int do_list(struct keyed *s, struct f3_obj_op *op, const char *prefix)
{
	size_t n = strlen(prefix), at, used = 0, room = s->page * (F3_OBJ_KEY_MAX + 2);
	char *names;
	char *next;

	op->heap = malloc(s->page * sizeof(*op->entries) + room + F3_OBJ_CURSOR_MAX + 1);
	if (!op->heap)
		return -ENOMEM;
	op->entries = op->heap;
	names = (char *)(op->entries + s->page);
	next = names + room;
	/* A cursor is the last key of a page, or what is behind all keys of its directory. */
	for (at = place(s, op->after ? op->after : prefix); at < s->n; at++) {
		const struct object *o = s->objects[at];
		struct f3_obj_entry *e = &op->entries[op->n_entries];
		const char *rest = o->key + n, *slash;
		size_t len;

		if (strncmp(o->key, prefix, n) != 0)
			break;
		if (!*rest || (op->after && !strcmp(o->key, op->after)) ||
		    (!n && !strncmp(rest, ".f3/", 4)))
			continue;
		slash = strchr(rest, '/');
		len = slash ? (size_t)(slash - rest) : strlen(rest);
		if (op->n_entries && slash && e[-1].info.is_dir && strlen(e[-1].name) == len &&
		    !strncmp(e[-1].name, rest, len))
			continue;
		if (op->n_entries == s->page) {
			const struct f3_obj_entry *last = &e[-1];

			snprintf(next, F3_OBJ_CURSOR_MAX + 1, "%s%s%s", prefix, last->name,
				 last->info.is_dir ? "/\xff\xff\xff\xff" : "");
			op->ret_next = next;
			return 0;
		}
		memset(e, 0, sizeof(*e));
		e->name = names + used;
		memcpy(names + used, rest, len);
		names[used + len] = '\0';
		used += len + 1;
		e->info.is_dir = slash;
		if (!slash) {
			e->info.size = o->len;
			e->info.modified_ns = o->modified_ns;
			snprintf(e->info.etag, sizeof(e->info.etag), "%s", o->etag);
		}
		op->n_entries++;
	}
	return 0;
}

static int carry_out(struct keyed *s, struct f3_obj_op *op)
{
	char marker[F3_OBJ_KEY_MAX + 2];
	int r;

	snprintf(marker, sizeof(marker), "%s%s", op->key, *op->key ? "/" : "");
	switch (op->type) {
	case F3_OBJ_GET:
		return do_get(s, op);
	case F3_OBJ_HEAD:
		return do_head(s, op, marker);
	case F3_OBJ_PUT:
		return do_put(s, op);
	case F3_OBJ_DELETE:
		r = condition(s, op->key, op);
		if (!r)
			take_out(s, op->key);
		return r;
	case F3_OBJ_COPY:
		return do_copy(s, op);
	case F3_OBJ_SET_ATTR:
		return do_set_attr(s, op);
	case F3_OBJ_MKDIR:
		return do_mkdir(s, op, marker);
	case F3_OBJ_RMDIR:
		if (has_below(s, marker))
			return -ENOTEMPTY;
		take_out(s, marker);
		return 0;
	case F3_OBJ_LIST:
		return do_list(s, op, marker);
	case F3_OBJ_UPLOAD_LIST:
	case F3_OBJ_UPLOAD_ABORT:
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static void answer_round(struct keyed *s)
{
	struct f3_obj_op *op = s->waiting, *next;
	unsigned n = 0;

	s->waiting = NULL;
	for (next = op; next; next = next->priv[0]) {
		next->result = carry_out(s, next);
		n++;
	}
	s->rounds++;
	s->widest = n > s->widest ? n : s->widest;
	pthread_mutex_unlock(&s->mutex);
	for (; op; op = next) {
		next = op->priv[0];
		op->done(op);
	}
	pthread_mutex_lock(&s->mutex);
}

static void *run_rounds(void *arg)
{
	struct keyed *s = arg;

	pthread_mutex_lock(&s->mutex);
	while (!s->stop || s->waiting) {
		struct timespec ts = { .tv_nsec = s->round_ms * 1000000l };

		if (!s->waiting) {
			pthread_cond_wait(&s->cond, &s->mutex);
			continue;
		}
		pthread_mutex_unlock(&s->mutex);
		nanosleep(&ts, NULL);
		pthread_mutex_lock(&s->mutex);
		answer_round(s);
	}
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

static void keyed_submit(struct f3_object_store *base, struct f3_obj_op *op)
{
	struct keyed *s = (struct keyed *)base;

	pthread_mutex_lock(&s->mutex);
	if (s->round_ms) {
		op->priv[0] = s->waiting;
		s->waiting = op;
		pthread_cond_signal(&s->cond);
		pthread_mutex_unlock(&s->mutex);
		return;
	}
	op->result = carry_out(s, op);
	pthread_mutex_unlock(&s->mutex);
	op->done(op);
}

static void keyed_cancel(struct f3_object_store *base, struct f3_obj_op *op)
{
	(void)base;
	(void)op;
}

static int keyed_ping(struct f3_object_store *base, struct f3_err *err)
{
	(void)base;
	(void)err;
	return 0;
}

static void keyed_close(struct f3_object_store *base)
{
	struct keyed *s = (struct keyed *)base;
	unsigned refs;

	pthread_mutex_lock(&s->mutex);
	refs = --s->refs;
	s->stop = !refs;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->mutex);
	if (refs)
		return;
	if (s->round_ms)
		pthread_join(s->thread, NULL);
	for (size_t i = 0; i < s->n; i++)
		object_free(s->objects[i]);
	pthread_cond_destroy(&s->cond);
	free(s->objects);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}

static const struct f3_object_ops keyed_ops = {
	.scheme = "keyed",
	.submit = keyed_submit,
	.cancel = keyed_cancel,
	.ping = keyed_ping,
	.close = keyed_close,
};

int f3_object_keyed_open(unsigned page, struct f3_object_store **ret_s)
{
	struct keyed *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->cond, NULL);
	s->refs = 1;
	s->page = page;
	s->clock_ns = 1700000000000000000;
	s->base.ops = &keyed_ops;
	s->base.caps = (struct f3_obj_caps){
		.put_match = true,
		.put_absent = true,
		.copy_source_match = true,
		.copy_target_absent = true,
		.set_attr_match = true,
		.delete_match = true,
		.xattrs = true,
		.min_part_bytes = 5 << 20,
		.max_part_bytes = 5ull << 30,
		.max_parts = 10000,
		.max_put_bytes = 5ull << 30,
	};
	*ret_s = &s->base;
	return 0;
}

void f3_object_keyed_ref(struct f3_object_store *base)
{
	struct keyed *s = (struct keyed *)base;

	pthread_mutex_lock(&s->mutex);
	s->refs++;
	pthread_mutex_unlock(&s->mutex);
}

void f3_object_keyed_set_rounds(struct f3_object_store *base, unsigned ms)
{
	struct keyed *s = (struct keyed *)base;

	s->round_ms = ms;
	if (pthread_create(&s->thread, NULL, run_rounds, s))
		s->round_ms = 0;
}

uint64_t f3_object_keyed_rounds(struct f3_object_store *base)
{
	struct keyed *s = (struct keyed *)base;
	uint64_t n;

	pthread_mutex_lock(&s->mutex);
	n = s->rounds;
	pthread_mutex_unlock(&s->mutex);
	return n;
}

unsigned f3_object_keyed_widest(struct f3_object_store *base)
{
	struct keyed *s = (struct keyed *)base;
	unsigned n;

	pthread_mutex_lock(&s->mutex);
	n = s->widest;
	s->widest = 0;
	pthread_mutex_unlock(&s->mutex);
	return n;
}

/* ---- What others do ---- */

int f3_object_keyed_put(struct f3_object_store *base, const char *key, const void *bytes,
			size_t len, const struct f3_obj_attr *attr)
{
	struct keyed *s = (struct keyed *)base;
	int r;

	pthread_mutex_lock(&s->mutex);
	r = put(s, key, bytes, len, attr, NULL, NULL);
	pthread_mutex_unlock(&s->mutex);
	return r;
}

void f3_object_keyed_remove(struct f3_object_store *base, const char *key)
{
	struct keyed *s = (struct keyed *)base;

	pthread_mutex_lock(&s->mutex);
	take_out(s, key);
	pthread_mutex_unlock(&s->mutex);
}

bool f3_object_keyed_get(struct f3_object_store *base, const char *key, void *ret_bytes,
			 size_t size, size_t *ret_len, struct f3_obj_attr *ret_attr)
{
	struct keyed *s = (struct keyed *)base;
	const struct object *o;

	pthread_mutex_lock(&s->mutex);
	o = find(s, key);
	if (o && ret_bytes)
		memcpy(ret_bytes, o->bytes, o->len < size ? o->len : size);
	if (o && ret_len)
		*ret_len = o->len;
	if (o && ret_attr) {
		*ret_attr = o->attr;
		ret_attr->xattrs = NULL;
	}
	pthread_mutex_unlock(&s->mutex);
	return o;
}

size_t f3_object_keyed_count(struct f3_object_store *base)
{
	struct keyed *s = (struct keyed *)base;
	size_t n;

	pthread_mutex_lock(&s->mutex);
	n = s->n;
	pthread_mutex_unlock(&s->mutex);
	return n;
}
