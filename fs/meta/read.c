/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/meta/meta_impl.h"

/* ---- Values --------------------------------------------------------------------------------- */

int f3_meta_decode_error(int error)
{
	/* To a program a damaged record is a failing disk. A version from the future cannot be,
	 * since the format of the whole database was accepted. */
	return error == -EBADMSG || error == -EPROTONOSUPPORT ? -EIO : error;
}

static int check_version(struct f3_rd *rd)
{
	uint8_t version = f3_rd_u8(rd);

	if (rd->error || version == 0)
		return -EBADMSG;
	return version > F3_META_VALUE_VERSION ? -EPROTONOSUPPORT : 0;
}

int f3_meta_name_decode(const uint8_t *value, size_t len, struct f3_meta_name *ret_name)
{
	struct f3_rd rd;
	uint64_t ino;
	uint8_t d_type;
	int r;

	f3_rd_init(&rd, value, len);
	r = check_version(&rd);
	if (r)
		return r;
	ino = f3_rd_u64(&rd);
	d_type = f3_rd_u8(&rd);
	if (rd.error || rd.left || ino == 0)
		return -EBADMSG;
	ret_name->ino = ino;
	ret_name->d_type = d_type;
	return 0;
}

/* The root of the mount has no name: one that leads there is damaged. fsck finds such by itself. */
static int leads_somewhere(const struct f3_meta_name *name)
{
	return name->ino == F3_INO_ROOT ? -EIO : 0;
}

int f3_meta_extent_decode(const uint8_t *value, size_t len, uint64_t *ret_len)
{
	struct f3_rd rd;
	uint64_t v;
	int r;

	f3_rd_init(&rd, value, len);
	r = check_version(&rd);
	if (r)
		return r;
	v = f3_rd_u64(&rd);
	if (rd.error || rd.left || v == 0)
		return -EBADMSG;
	*ret_len = v;
	return 0;
}

#define VOLUME_VERSION 2 /* 1: without store_id */

void f3_meta_volume_encode(const struct f3_volume_rec *v, struct f3_buf *out)
{
	f3_buf_put_u8(out, v->store_id[0] ? VOLUME_VERSION : F3_META_VALUE_VERSION);
	f3_buf_put_str16(out, v->name, strnlen(v->name, sizeof(v->name) - 1));
	f3_buf_put_str16(out, v->url, strnlen(v->url, sizeof(v->url) - 1));
	f3_buf_put_u64(out, v->root_ino);
	f3_buf_put_u64(out, v->used_bytes);
	f3_buf_put_u64(out, v->used_inodes);
	f3_buf_put_u8(out, v->by_command);
	f3_buf_put_str16(out, v->settings, strnlen(v->settings, sizeof(v->settings) - 1));
	if (v->store_id[0])
		f3_buf_put_str16(out, v->store_id, strnlen(v->store_id, sizeof(v->store_id) - 1));
}

static void get_string(struct f3_rd *rd, char *to, size_t size)
{
	size_t len;
	const uint8_t *p = f3_rd_str16(rd, &len);

	if (!p || len >= size || memchr(p, 0, len)) {
		if (!rd->error)
			rd->error = -EBADMSG;
		len = 0;
	} else {
		memcpy(to, p, len);
	}
	to[len] = '\0';
}

int f3_meta_volume_decode(uint32_t id, const uint8_t *value, size_t len,
			  struct f3_volume_rec *ret_v)
{
	struct f3_volume_rec v;
	uint8_t by_command, version;
	struct f3_rd rd;

	f3_rd_init(&rd, value, len);
	version = f3_rd_u8(&rd);
	if (rd.error || !version)
		return -EBADMSG;
	if (version > VOLUME_VERSION)
		return -EPROTONOSUPPORT;
	v.id = id;
	get_string(&rd, v.name, sizeof(v.name));
	get_string(&rd, v.url, sizeof(v.url));
	v.root_ino = f3_rd_u64(&rd);
	v.used_bytes = f3_rd_u64(&rd);
	v.used_inodes = f3_rd_u64(&rd);
	by_command = f3_rd_u8(&rd);
	get_string(&rd, v.settings, sizeof(v.settings));
	v.store_id[0] = '\0';
	if (version > 1)
		get_string(&rd, v.store_id, sizeof(v.store_id));
	if (rd.error || rd.left || by_command > 1 || (version > 1 && !v.store_id[0]))
		return -EBADMSG;
	v.by_command = by_command;
	*ret_v = v;
	return 0;
}

/* ---- Single reads --------------------------------------------------------------------------- */

int f3_meta_get_inode(struct f3_meta *m, uint64_t ino, struct f3_inode_rec *ret_rec)
{
	struct f3_buf key, value;
	int r;

	f3_buf_init(&key, F3_META_KEY_MAX);
	f3_buf_init(&value, F3_META_VALUE_MAX);
	f3_key_u64(&key, ino);
	r = m->kv->ops->get(m->kv, F3_CF_INODES, key.data, key.len, &value);
	if (!r)
		r = f3_meta_decode_error(f3_inode_rec_decode(ino, value.data, value.len, ret_rec));
	f3_buf_done(&value);
	return r;
}

int f3_meta_get_journal(struct f3_meta *m, uint64_t seq, struct f3_journal_entry *ret_e)
{
	struct f3_buf key, value;
	int r;

	f3_buf_init(&key, F3_META_KEY_MAX);
	f3_buf_init(&value, F3_META_VALUE_MAX);
	f3_key_u64(&key, seq);
	r = m->kv->ops->get(m->kv, F3_CF_JOURNAL, key.data, key.len, &value);
	if (!r)
		r = f3_meta_decode_error(f3_journal_decode(seq, value.data, value.len, ret_e));
	f3_buf_done(&value);
	return r;
}

int f3_meta_get_name(struct f3_meta *m, uint64_t parent, const char *name, size_t len,
		     struct f3_meta_name *ret_name)
{
	struct f3_buf key, value;
	uint64_t cookie;
	int r;

	if (len > F3_NAME_MAX)
		return -ENAMETOOLONG;
	cookie = f3_key_cookie(m->seed, name, len);
	f3_buf_init(&key, F3_META_KEY_MAX);
	f3_buf_init(&value, F3_META_VALUE_MAX);
	f3_key_name(&key, parent, cookie, name, len);
	r = key.error;
	if (!r)
		r = m->kv->ops->get(m->kv, F3_CF_NAMES, key.data, key.len, &value);
	if (!r)
		r = f3_meta_decode_error(f3_meta_name_decode(value.data, value.len, ret_name));
	if (!r)
		r = leads_somewhere(ret_name);
	if (!r)
		ret_name->cookie = cookie;
	f3_buf_done(&value);
	f3_buf_done(&key);
	return r;
}

int f3_meta_get_xattr(struct f3_meta *m, uint64_t ino, const char *name, size_t len,
		      struct f3_buf *out)
{
	struct f3_buf key, value;
	int r;

	if (!atomic_load_explicit(&m->has_xattrs, memory_order_relaxed))
		return -ENOENT;
	if (len > F3_XATTR_NAME_MAX)
		return -ERANGE;
	f3_buf_init(&key, F3_META_KEY_MAX);
	f3_buf_init(&value, F3_META_VALUE_MAX);
	f3_key_xattr(&key, ino, name, len);
	r = key.error;
	if (!r)
		r = m->kv->ops->get(m->kv, F3_CF_XATTRS, key.data, key.len, &value);
	if (!r && (value.len < 1 || value.data[0] != F3_META_VALUE_VERSION))
		r = -EIO;
	if (!r) {
		f3_buf_put(out, value.data + 1, value.len - 1);
		r = out->error;
	}
	f3_buf_done(&value);
	f3_buf_done(&key);
	return r;
}

/* ---- Scans ---------------------------------------------------------------------------------- */

void f3_meta_key_after_u64(struct f3_buf *out, uint64_t v)
{
	/* Nothing sorts after all keys of the last number: an empty bound is an open one. */
	if (v < UINT64_MAX)
		f3_buf_put_u64(out, v + 1);
}

int f3_meta_scan(struct f3_meta *m, enum f3_cf cf, const struct f3_buf *from,
		 const struct f3_buf *to,
		 int (*fn)(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
			   size_t vlen),
		 void *arg)
{
	struct f3_kv_iter *it;
	const uint8_t *key, *value;
	size_t klen, vlen;
	int r;

	r = m->kv->ops->iter_new(m->kv, cf, from->data, from->len, to->data, to->len, &it);
	if (r)
		return r;
	while ((r = m->kv->ops->iter_next(it, &key, &klen, &value, &vlen)) == 1) {
		r = fn(arg, key, klen, value, vlen);
		if (r)
			break;
	}
	m->kv->ops->iter_free(it);
	return r;
}

/* Everything that begins with one number. */
static int scan_u64(struct f3_meta *m, enum f3_cf cf, uint64_t v,
		    int (*fn)(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
			      size_t vlen),
		    void *arg)
{
	struct f3_buf from, to;

	f3_buf_init(&from, F3_META_KEY_MAX);
	f3_buf_init(&to, F3_META_KEY_MAX);
	f3_key_u64(&from, v);
	f3_meta_key_after_u64(&to, v);
	return f3_meta_scan(m, cf, &from, &to, fn, arg);
}

struct f3_meta_dir {
	struct f3_meta *m;
	struct f3_kv_iter *it;
};

int f3_meta_dir_open(struct f3_meta *m, uint64_t parent, uint64_t after, struct f3_meta_dir **ret_d)
{
	struct f3_meta_dir *d = malloc(sizeof(*d));
	struct f3_buf from, to;
	int r;

	if (!d)
		return -ENOMEM;
	f3_buf_init(&from, F3_META_KEY_MAX);
	f3_buf_init(&to, F3_META_KEY_MAX);
	f3_meta_key_after_u64(&to, parent);
	if (after < UINT64_MAX)
		f3_key_name(&from, parent, after + 1, NULL, 0);
	else
		f3_buf_put(&from, to.data, to.len);
	d->m = m;
	r = m->kv->ops->iter_new(m->kv, F3_CF_NAMES, from.data, from.len, to.data, to.len, &d->it);
	if (r) {
		free(d);
		return r;
	}
	*ret_d = d;
	return 0;
}

int f3_meta_dir_next(struct f3_meta_dir *d, struct f3_meta_name *ret_name, const char **ret_text,
		     size_t *ret_len)
{
	const uint8_t *key, *value;
	size_t klen, vlen;
	struct f3_rd rd;
	uint64_t cookie;
	int r;

	r = d->m->kv->ops->iter_next(d->it, &key, &klen, &value, &vlen);
	if (r != 1)
		return r;
	f3_rd_init(&rd, key, klen);
	f3_rd_u64(&rd);
	cookie = f3_rd_u64(&rd);
	if (rd.error || rd.left == 0 || rd.left > F3_NAME_MAX || memchr(rd.p, '/', rd.left) ||
	    memchr(rd.p, 0, rd.left))
		return -EIO;
	r = f3_meta_name_decode(value, vlen, ret_name);
	if (r)
		return f3_meta_decode_error(r);
	r = leads_somewhere(ret_name);
	if (r)
		return r;
	ret_name->cookie = cookie;
	*ret_text = (const char *)rd.p;
	*ret_len = rd.left;
	return 1;
}

void f3_meta_dir_close(struct f3_meta_dir *d)
{
	if (!d)
		return;
	d->m->kv->ops->iter_free(d->it);
	free(d);
}

static int stop_at_first(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
			 size_t vlen)
{
	(void)arg;
	(void)key;
	(void)klen;
	(void)value;
	(void)vlen;
	return 1;
}

int f3_meta_dir_has_names(struct f3_meta *m, uint64_t parent)
{
	return scan_u64(m, F3_CF_NAMES, parent, stop_at_first, NULL);
}

/* The caller's function behind one that decodes. */
struct each {
	void *arg;
	int (*xattr)(void *arg, const char *name, size_t len, const uint8_t *value, size_t vlen);
	int (*extent)(void *arg, uint64_t start, uint64_t len);
	int (*journal)(void *arg, const struct f3_journal_entry *e);
	int (*inode)(void *arg, const struct f3_inode_rec *rec);
	int (*mark)(void *arg, uint64_t ino);
	int (*volume)(void *arg, const struct f3_volume_rec *v);
	int (*answer)(void *arg, const struct f3_meta_answer *a);
};

static int each_xattr(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	const struct each *e = arg;

	if (klen <= 8 || klen > 8 + F3_XATTR_NAME_MAX || vlen < 1 ||
	    value[0] != F3_META_VALUE_VERSION)
		return -EIO;
	return e->xattr(e->arg, (const char *)key + 8, klen - 8, value + 1, vlen - 1);
}

int f3_meta_each_xattr(struct f3_meta *m, uint64_t ino,
		       int (*fn)(void *arg, const char *name, size_t len, const uint8_t *value,
				 size_t vlen),
		       void *arg)
{
	struct each e = { .arg = arg, .xattr = fn };

	if (!atomic_load_explicit(&m->has_xattrs, memory_order_relaxed))
		return 0;
	return scan_u64(m, F3_CF_XATTRS, ino, each_xattr, &e);
}

static int each_extent(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
		       size_t vlen)
{
	const struct each *e = arg;
	uint64_t start, len;
	struct f3_rd rd;
	int r;

	f3_rd_init(&rd, key, klen);
	f3_rd_u64(&rd);
	start = f3_rd_u64(&rd);
	if (rd.error || rd.left)
		return -EIO;
	r = f3_meta_extent_decode(value, vlen, &len);
	if (r)
		return f3_meta_decode_error(r);
	return e->extent(e->arg, start, len);
}

int f3_meta_each_extent(struct f3_meta *m, uint64_t ino,
			int (*fn)(void *arg, uint64_t start, uint64_t len), void *arg)
{
	struct each e = { .arg = arg, .extent = fn };

	if (!atomic_load_explicit(&m->has_extents, memory_order_relaxed))
		return 0;
	return scan_u64(m, F3_CF_EXTENTS, ino, each_extent, &e);
}

static int each_journal(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
			size_t vlen)
{
	struct f3_journal_entry entry;
	const struct each *e = arg;
	struct f3_rd rd;
	uint64_t seq;
	int r;

	f3_rd_init(&rd, key, klen);
	seq = f3_rd_u64(&rd);
	if (rd.error || rd.left)
		return -EIO;
	r = f3_journal_decode(seq, value, vlen, &entry);
	if (r)
		return f3_meta_decode_error(r);
	return e->journal(e->arg, &entry);
}

int f3_meta_each_journal(struct f3_meta *m, int (*fn)(void *arg, const struct f3_journal_entry *e),
			 void *arg)
{
	struct each e = { .arg = arg, .journal = fn };
	struct f3_buf open;

	f3_buf_init(&open, F3_META_KEY_MAX);
	return f3_meta_scan(m, F3_CF_JOURNAL, &open, &open, each_journal, &e);
}

static int each_inode(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	const struct each *e = arg;
	struct f3_inode_rec rec;
	struct f3_rd rd;
	uint64_t ino;
	int r;

	f3_rd_init(&rd, key, klen);
	ino = f3_rd_u64(&rd);
	if (rd.error || rd.left)
		return -EIO;
	r = f3_inode_rec_decode(ino, value, vlen, &rec);
	if (r)
		return f3_meta_decode_error(r);
	r = e->inode(e->arg, &rec);
	f3_inode_rec_done(&rec);
	return r;
}

int f3_meta_each_inode(struct f3_meta *m, uint64_t from,
		       int (*fn)(void *arg, const struct f3_inode_rec *rec), void *arg)
{
	struct each e = { .arg = arg, .inode = fn };
	struct f3_buf first, open;

	f3_buf_init(&first, F3_META_KEY_MAX);
	f3_buf_init(&open, F3_META_KEY_MAX);
	f3_key_u64(&first, from);
	return f3_meta_scan(m, F3_CF_INODES, &first, &open, each_inode, &e);
}

/* The keys of the "meta" family that begin with one letter. */
static int scan_letter(struct f3_meta *m, char letter,
		       int (*fn)(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
				 size_t vlen),
		       struct each *e)
{
	struct f3_buf from, to;

	f3_buf_init(&from, F3_META_KEY_MAX);
	f3_buf_init(&to, F3_META_KEY_MAX);
	f3_buf_put_u8(&from, (uint8_t)letter);
	f3_buf_put_u8(&to, (uint8_t)letter + 1);
	return f3_meta_scan(m, F3_CF_META, &from, &to, fn, e);
}

static int each_mark(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	const struct each *e = arg;
	struct f3_rd rd;
	uint64_t ino;

	(void)value;
	(void)vlen;
	f3_rd_init(&rd, key, klen);
	f3_rd_u8(&rd);
	ino = f3_rd_u64(&rd);
	if (rd.error || rd.left)
		return -EIO;
	return e->mark(e->arg, ino);
}

int f3_meta_each_mark(struct f3_meta *m, enum f3_mark mark, int (*fn)(void *arg, uint64_t ino),
		      void *arg)
{
	struct each e = { .arg = arg, .mark = fn };

	return scan_letter(m, (char)mark, each_mark, &e);
}

static int each_volume(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
		       size_t vlen)
{
	const struct each *e = arg;
	struct f3_volume_rec v;
	struct f3_rd rd;
	uint32_t id;
	int r;

	f3_rd_init(&rd, key, klen);
	f3_rd_u8(&rd);
	id = f3_rd_u32(&rd);
	if (rd.error || rd.left)
		return -EIO;
	r = f3_meta_volume_decode(id, value, vlen, &v);
	if (r)
		return f3_meta_decode_error(r);
	return e->volume(e->arg, &v);
}

int f3_meta_each_volume(struct f3_meta *m, int (*fn)(void *arg, const struct f3_volume_rec *v),
			void *arg)
{
	struct each e = { .arg = arg, .volume = fn };

	return scan_letter(m, 'v', each_volume, &e);
}

static int each_answer(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
		       size_t vlen)
{
	const struct each *e = arg;
	struct f3_meta_answer a;
	struct f3_rd rd;

	(void)key;
	(void)klen;
	f3_rd_init(&rd, value, vlen);
	if (f3_rd_u8(&rd) != F3_META_VALUE_VERSION && !rd.error)
		return 0; /* of a version that this one does not go on for */
	a.mount_id = f3_rd_u64(&rd);
	a.unique = f3_rd_u64(&rd);
	a.ino = f3_rd_u64(&rd);
	if (rd.error || rd.left)
		return -EIO;
	return e->answer(e->arg, &a);
}

int f3_meta_each_answer(struct f3_meta *m, int (*fn)(void *arg, const struct f3_meta_answer *a),
			void *arg)
{
	struct each e = { .arg = arg, .answer = fn };

	return scan_letter(m, 'r', each_answer, &e);
}

int f3_meta_get_note(struct f3_meta *m, enum f3_note note, const void *key, size_t klen,
		     struct f3_buf *out)
{
	struct f3_buf whole;
	int r;

	f3_buf_init(&whole, F3_META_KEY_MAX);
	f3_buf_put_u8(&whole, (uint8_t)note);
	f3_buf_put(&whole, key, klen);
	r = whole.error;
	if (!r)
		r = m->kv->ops->get(m->kv, F3_CF_ACTIVATIONS, whole.data, whole.len, out);
	f3_buf_done(&whole);
	return r;
}

struct each_note {
	void *arg;
	int (*fn)(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen);
};

static int without_letter(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
			  size_t vlen)
{
	const struct each_note *e = arg;

	return e->fn(e->arg, key + 1, klen - 1, value, vlen);
}

int f3_meta_each_note(struct f3_meta *m, enum f3_note note, const void *prefix, size_t plen,
		      int (*fn)(void *arg, const uint8_t *key, size_t klen, const uint8_t *value,
				size_t vlen),
		      void *arg)
{
	struct each_note e = { .arg = arg, .fn = fn };
	struct f3_buf from, to;
	int r;

	f3_buf_init(&from, F3_META_KEY_MAX);
	f3_buf_init(&to, F3_META_KEY_MAX);
	f3_buf_put_u8(&from, (uint8_t)note);
	f3_buf_put(&from, prefix, plen);
	f3_buf_put(&to, from.data, from.len);
	r = from.error ? from.error : to.error;
	/* The first key that does not begin so; a letter is never the last byte there is. */
	while (!r && to.data[to.len - 1] == UINT8_MAX)
		to.len--;
	if (!r) {
		to.data[to.len - 1]++;
		r = f3_meta_scan(m, F3_CF_ACTIVATIONS, &from, &to, without_letter, &e);
	}
	f3_buf_done(&from);
	f3_buf_done(&to);
	return r;
}
