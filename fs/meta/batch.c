/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/debug.h"
#include "fs/meta/meta_impl.h"

#define BATCHES_KEPT 16
/* A pooled batch does not hold on to the room for a large xattr. */
#define VALUE_KEPT_BYTES 4096
/* More entries than this are deleted as a range: that is one change however many there are, but
 * makes every later read of the family look through the ranges deleted so far. */
#define DELETE_SINGLY_MAX 256

struct f3_batch {
	struct f3_meta *m;
	struct f3_batch *next; /* in the pool */
	struct f3_kv_batch *kb;
	unsigned count;
	int error; /* the first */
	struct f3_buf key, value;
};

static void batch_destroy(struct f3_batch *b)
{
	b->m->kv->ops->batch_free(b->m->kv, b->kb);
	f3_buf_done(&b->key);
	f3_buf_done(&b->value);
	free(b);
}

int f3_batch_new(struct f3_meta *m, struct f3_batch **ret_b)
{
	struct f3_batch *b;
	int r;

	f3_lock(&m->lock);
	b = m->pool;
	if (b) {
		m->pool = b->next;
		m->pooled--;
	}
	f3_unlock(&m->lock);
	if (b) {
		*ret_b = b;
		return 0;
	}

	b = malloc(sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->m = m;
	r = m->kv->ops->batch_new(m->kv, &b->kb);
	if (r) {
		free(b);
		return r;
	}
	b->count = 0;
	b->error = 0;
	f3_buf_init(&b->key, F3_META_KEY_MAX);
	f3_buf_init(&b->value, F3_META_VALUE_MAX);
	*ret_b = b;
	return 0;
}

static void batch_clear(struct f3_batch *b)
{
	if (b->count)
		b->m->kv->ops->batch_clear(b->kb);
	b->count = 0;
	b->error = 0;
}

void f3_batch_free(struct f3_batch *b)
{
	struct f3_meta *m;
	bool keep;

	if (!b)
		return;
	m = b->m;
	batch_clear(b);
	if (b->value.cap > VALUE_KEPT_BYTES)
		f3_buf_done(&b->value);
	f3_lock(&m->lock);
	keep = m->pooled < BATCHES_KEPT;
	if (keep) {
		b->next = m->pool;
		m->pool = b;
		m->pooled++;
	}
	f3_unlock(&m->lock);
	if (!keep)
		batch_destroy(b);
}

void f3_batch_pool_free(struct f3_meta *m)
{
	struct f3_batch *b;

	while ((b = m->pool) != NULL) {
		m->pool = b->next;
		batch_destroy(b);
	}
	m->pooled = 0;
}

int f3_batch_commit(struct f3_batch *b)
{
	struct f3_meta *m = b->m;
	int r = b->error;

	if (!r && b->count) {
		f3_debug_point("meta.before-commit");
		r = m->read_only ? -EROFS : m->kv->ops->write(m->kv, b->kb);
		f3_debug_point("meta.after-commit");
		if (!r)
			atomic_fetch_add(&m->committed, 1);
		f3_meta_result(m, r);
	}
	batch_clear(b);
	return r;
}

/* ---- Single changes ------------------------------------------------------------------------- */

static void keep_error(struct f3_batch *b, int error)
{
	if (error && !b->error)
		b->error = error;
}

static struct f3_buf *new_key(struct f3_batch *b)
{
	f3_buf_reset(&b->key);
	return &b->key;
}

static struct f3_buf *new_value(struct f3_batch *b)
{
	f3_buf_reset(&b->value);
	return &b->value;
}

/* The value with its version byte in front, for values that are encoded here. */
static struct f3_buf *new_versioned_value(struct f3_batch *b)
{
	f3_buf_reset(&b->value);
	f3_buf_put_u8(&b->value, F3_META_VALUE_VERSION);
	return &b->value;
}

void f3_batch_put_raw(struct f3_batch *b, enum f3_cf cf, const void *key, size_t klen,
		      const void *value, size_t vlen)
{
	if (b->error)
		return;
	b->m->kv->ops->batch_put(b->kb, cf, key, klen, value, vlen);
	b->count++;
}

void f3_batch_del_raw(struct f3_batch *b, enum f3_cf cf, const void *key, size_t klen)
{
	if (b->error)
		return;
	b->m->kv->ops->batch_del(b->kb, cf, key, klen);
	b->count++;
}

/* b->key and b->value as they have been made. */
static void put(struct f3_batch *b, enum f3_cf cf)
{
	keep_error(b, b->key.error);
	keep_error(b, b->value.error);
	f3_batch_put_raw(b, cf, b->key.data, b->key.len, b->value.data, b->value.len);
}

static void del(struct f3_batch *b, enum f3_cf cf)
{
	keep_error(b, b->key.error);
	f3_batch_del_raw(b, cf, b->key.data, b->key.len);
}

void f3_batch_put_counter(struct f3_batch *b, const char *key, uint64_t v)
{
	f3_buf_put(new_key(b), key, strlen(key));
	f3_buf_put_u64(new_versioned_value(b), v);
	put(b, F3_CF_META);
}

void f3_batch_put_inode(struct f3_batch *b, const struct f3_inode_rec *rec)
{
	f3_key_u64(new_key(b), rec->ino);
	f3_inode_rec_encode(rec, new_value(b));
	put(b, F3_CF_INODES);
}

/* The key of a name, or false with the error kept. */
static bool name_key(struct f3_batch *b, uint64_t parent, const char *name, size_t len)
{
	if (len == 0 || len > F3_NAME_MAX) {
		keep_error(b, len ? -ENAMETOOLONG : -EINVAL);
		return false;
	}
	f3_key_name(new_key(b), parent, f3_key_cookie(b->m->seed, name, len), name, len);
	return true;
}

void f3_batch_put_name(struct f3_batch *b, uint64_t parent, const char *name, size_t len,
		       uint64_t ino, uint8_t d_type)
{
	struct f3_buf *value = new_versioned_value(b);

	if (!name_key(b, parent, name, len))
		return;
	f3_buf_put_u64(value, ino);
	f3_buf_put_u8(value, d_type);
	put(b, F3_CF_NAMES);
}

void f3_batch_del_name(struct f3_batch *b, uint64_t parent, const char *name, size_t len)
{
	if (name_key(b, parent, name, len))
		del(b, F3_CF_NAMES);
}

void f3_batch_put_xattr(struct f3_batch *b, uint64_t ino, const char *name, size_t len,
			const void *value, size_t vlen)
{
	if (len == 0 || len > F3_XATTR_NAME_MAX) {
		keep_error(b, -ERANGE);
		return;
	}
	if (vlen > F3_XATTR_VALUE_MAX) {
		keep_error(b, -E2BIG);
		return;
	}
	f3_key_xattr(new_key(b), ino, name, len);
	f3_buf_put(new_versioned_value(b), value, vlen);
	put(b, F3_CF_XATTRS);
	atomic_store(&b->m->has_xattrs, true);
}

void f3_batch_del_xattr(struct f3_batch *b, uint64_t ino, const char *name, size_t len)
{
	f3_key_xattr(new_key(b), ino, name, len);
	del(b, F3_CF_XATTRS);
}

void f3_batch_put_extent(struct f3_batch *b, uint64_t ino, uint64_t start, uint64_t len)
{
	f3_key_extent(new_key(b), ino, start);
	f3_buf_put_u64(new_versioned_value(b), len);
	put(b, F3_CF_EXTENTS);
	atomic_store(&b->m->has_extents, true);
}

void f3_batch_put_mark(struct f3_batch *b, enum f3_mark mark, uint64_t ino)
{
	f3_key_mark(new_key(b), (char)mark, ino);
	new_versioned_value(b);
	put(b, F3_CF_META);
}

void f3_batch_del_mark(struct f3_batch *b, enum f3_mark mark, uint64_t ino)
{
	f3_key_mark(new_key(b), (char)mark, ino);
	del(b, F3_CF_META);
}

void f3_batch_put_journal(struct f3_batch *b, const struct f3_journal_entry *e)
{
	f3_key_u64(new_key(b), e->seq);
	f3_journal_encode(e, new_value(b));
	put(b, F3_CF_JOURNAL);
}

void f3_batch_del_journal(struct f3_batch *b, uint64_t seq)
{
	f3_key_u64(new_key(b), seq);
	del(b, F3_CF_JOURNAL);
}

static void volume_key(struct f3_batch *b, uint32_t id)
{
	f3_buf_put_u8(new_key(b), 'v');
	f3_buf_put_u32(&b->key, id);
}

void f3_batch_put_volume(struct f3_batch *b, const struct f3_volume_rec *v)
{
	volume_key(b, v->id);
	f3_meta_volume_encode(v, new_value(b));
	put(b, F3_CF_META);
}

void f3_batch_del_volume(struct f3_batch *b, uint32_t id)
{
	volume_key(b, id);
	del(b, F3_CF_META);
}

void f3_batch_put_answer(struct f3_batch *b, uint32_t slot, const struct f3_meta_answer *a)
{
	f3_buf_put_u8(new_key(b), 'r');
	f3_buf_put_u32(&b->key, slot);
	new_versioned_value(b);
	f3_buf_put_u64(&b->value, a->mount_id);
	f3_buf_put_u64(&b->value, a->unique);
	f3_buf_put_u64(&b->value, a->ino);
	put(b, F3_CF_META);
}

static void note_key(struct f3_batch *b, enum f3_note note, const void *key, size_t klen)
{
	f3_buf_put_u8(new_key(b), (uint8_t)note);
	f3_buf_put(&b->key, key, klen);
}

void f3_batch_put_note(struct f3_batch *b, enum f3_note note, const void *key, size_t klen,
		       const void *value, size_t vlen)
{
	note_key(b, note, key, klen);
	f3_buf_put(new_value(b), value, vlen);
	put(b, F3_CF_ACTIVATIONS);
}

void f3_batch_del_note(struct f3_batch *b, enum f3_note note, const void *key, size_t klen)
{
	note_key(b, note, key, klen);
	del(b, F3_CF_ACTIVATIONS);
}

/* ---- All of one inode ----------------------------------------------------------------------- */

struct del_ctx {
	struct f3_batch *b;
	enum f3_cf cf;
	unsigned n;
};

static int del_one(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct del_ctx *c = arg;

	(void)value;
	(void)vlen;
	if (c->n++ == DELETE_SINGLY_MAX)
		return 1;
	f3_batch_del_raw(c->b, c->cf, key, klen);
	return 0;
}

static void del_all(struct f3_batch *b, enum f3_cf cf, uint64_t ino)
{
	struct del_ctx c = { .b = b, .cf = cf };
	struct f3_buf to;
	int r;

	f3_buf_init(&to, F3_META_KEY_MAX);
	f3_meta_key_after_u64(&to, ino);
	f3_key_u64(new_key(b), ino);
	r = f3_meta_scan(b->m, cf, &b->key, &to, del_one, &c);
	if (r == 1 && !b->error) {
		b->m->kv->ops->batch_del_range(b->kb, cf, b->key.data, b->key.len, to.data, to.len);
		b->count++;
	}
	if (r < 0)
		keep_error(b, r);
}

void f3_batch_del_extents(struct f3_batch *b, uint64_t ino)
{
	if (atomic_load(&b->m->has_extents))
		del_all(b, F3_CF_EXTENTS, ino);
}

/* Looking costs a quarter of a deletion, and most inodes go without a mark. */
static void del_mark_if_there(struct f3_batch *b, enum f3_mark mark, uint64_t ino)
{
	struct f3_kv *kv = b->m->kv;
	int r;

	f3_key_mark(new_key(b), (char)mark, ino);
	r = kv->ops->get(kv, F3_CF_META, b->key.data, b->key.len, new_value(b));
	if (!r)
		del(b, F3_CF_META);
	else if (r != -ENOENT)
		keep_error(b, r);
}

void f3_batch_del_inode(struct f3_batch *b, uint64_t ino)
{
	f3_key_u64(new_key(b), ino);
	del(b, F3_CF_INODES);
	if (atomic_load(&b->m->has_xattrs))
		del_all(b, F3_CF_XATTRS, ino);
	f3_batch_del_extents(b, ino);
	del_mark_if_there(b, F3_MARK_WRITER, ino);
	del_mark_if_there(b, F3_MARK_ORPHAN, ino);
	del_mark_if_there(b, F3_MARK_DIRTY, ino);
}

void f3_batch_del_known_inode(struct f3_batch *b, const struct f3_inode_rec *rec)
{
	if (f3_class_in_store((enum f3_class)rec->class_) ||
	    (rec->flags & (F3_INO_DIRTY | F3_INO_ATTR_DIRTY))) {
		f3_batch_del_inode(b, rec->ino);
		return;
	}
	f3_key_u64(new_key(b), rec->ino);
	del(b, F3_CF_INODES);
	if (rec->flags & F3_INO_HAS_XATTR)
		del_all(b, F3_CF_XATTRS, rec->ino);
	f3_batch_del_extents(b, rec->ino);
	if (rec->state == F3_STATE_WRITING)
		f3_batch_del_mark(b, F3_MARK_WRITER, rec->ino);
	if (rec->flags & F3_INO_ORPHAN)
		f3_batch_del_mark(b, F3_MARK_ORPHAN, rec->ino);
}
