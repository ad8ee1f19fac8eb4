/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commitset_note: sets, members and what members left, as notes in the database.
 *
 *	id '0'			the set
 *	id 'm' ino		a member
 *	id 'p' ino chunk	parts of its upload, PARTS_A_NOTE each
 *	id 'l' number		what a member left
 */
#include "config.h"

#include "fs/core/commitset_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1
#define NOTE_MAX (1u << 17)
#define KEY_BYTES (F3_ID_BYTES + 1 + 8 + 4)
#define PARTS_A_NOTE 400u
#define PARTS_MAX 10000u

struct key {
	uint8_t b[KEY_BYTES];
	size_t len;
};

static struct key key_of(const struct f3_commitset *set, char kind, uint64_t number)
{
	struct key key = { .len = F3_ID_BYTES + 1 };

	memcpy(key.b, set->id.b, F3_ID_BYTES);
	key.b[F3_ID_BYTES] = (uint8_t)kind;
	for (int shift = 56; kind != '0' && shift >= 0; shift -= 8)
		key.b[key.len++] = (uint8_t)(number >> shift);
	return key;
}

static struct key chunk_of(const struct f3_commitset *set, uint64_t ino, uint32_t chunk)
{
	struct key key = key_of(set, 'p', ino);

	for (int shift = 24; shift >= 0; shift -= 8)
		key.b[key.len++] = (uint8_t)(chunk >> shift);
	return key;
}

static void put(struct f3_batch *b, const struct key *key, const struct f3_buf *value)
{
	f3_batch_put_note(b, F3_NOTE_SET, key->b, key->len, value->data, value->len);
}

static void del(struct f3_batch *b, struct key key)
{
	f3_batch_del_note(b, F3_NOTE_SET, key.b, key.len);
}

static void put_string(struct f3_buf *out, const char *text)
{
	f3_buf_put_str16(out, text, strlen(text));
}

static void get_string(struct f3_rd *rd, char *out, size_t size)
{
	size_t len;
	const uint8_t *text = f3_rd_str16(rd, &len);

	if (len >= size || (len && memchr(text, 0, len))) {
		rd->error = -EBADMSG;
		len = 0;
	}
	if (len)
		memcpy(out, text, len);
	out[len] = '\0';
}

/* ---- Writing ---- */

void f3_set_note_put(struct f3_batch *b, const struct f3_commitset *set)
{
	struct key key = key_of(set, '0', 0);
	struct f3_buf out;

	f3_buf_init(&out, NOTE_MAX);
	f3_buf_put_u8(&out, VERSION);
	f3_buf_put_u8(&out, (uint8_t)set->state);
	f3_buf_put_u8(&out, set->sync);
	f3_buf_put_u32(&out, set->volume->id);
	f3_buf_put_u64(&out, set->attempt);
	put_string(&out, set->act);
	put_string(&out, set->key);
	put(b, &key, &out);
	f3_buf_done(&out);
}

static void put_parts(struct f3_batch *b, const struct f3_commitset *set, uint64_t ino,
		      const struct f3_upload *u)
{
	struct f3_buf out;

	f3_buf_init(&out, NOTE_MAX);
	for (size_t from = 0; from < u->n_parts; from += PARTS_A_NOTE) {
		struct key key = chunk_of(set, ino, (uint32_t)(from / PARTS_A_NOTE));

		f3_buf_reset(&out);
		f3_buf_put_u8(&out, VERSION);
		for (size_t i = from; i < u->n_parts && i < from + PARTS_A_NOTE; i++) {
			const struct f3_upload_part *part = &u->parts[i];

			f3_buf_put_u64(&out, part->off);
			f3_buf_put_u64(&out, part->len);
			f3_buf_put_u32(&out, part->crc32c);
			f3_buf_put_u8(&out, part->copy);
			f3_buf_put_u8(&out, part->hashed);
			f3_buf_put_u64(&out, part->hash);
			put_string(&out, part->etag);
		}
		put(b, &key, &out);
	}
	f3_buf_done(&out);
}

static void put_gen(struct f3_buf *out, const struct f3_obj_gen *gen)
{
	f3_buf_put(out, gen->id.b, F3_ID_BYTES);
	f3_buf_put_u64(out, gen->generation);
	f3_buf_put_u64(out, gen->attempt);
}

void f3_set_note_member(struct f3_batch *b, const struct f3_commitset *set, uint64_t ino,
			const struct f3_prepared *p)
{
	struct key key = key_of(set, 'm', ino);
	struct f3_buf out;
	bool valid = p && p->valid;

	f3_buf_init(&out, NOTE_MAX);
	f3_buf_put_u8(&out, VERSION);
	f3_buf_put_u8(&out, valid);
	if (valid) {
		f3_buf_put_u8(&out, p->regular);
		f3_buf_put_u8(&out, p->complete);
		put_gen(&out, &p->gen);
		f3_buf_put_u64(&out, p->generation);
		f3_buf_put_u64(&out, p->size);
		f3_buf_put_u64(&out, p->fp.size);
		f3_buf_put_i64(&out, p->fp.mtime_ns);
		f3_buf_put_i64(&out, p->fp.ctime_ns);
		put_string(&out, p->etag);
		f3_buf_put_u8(&out, p->upload != NULL);
	}
	if (valid && p->upload) {
		const struct f3_upload *u = p->upload;

		put_string(&out, u->id);
		put_string(&out, u->key);
		put_string(&out, u->from);
		f3_buf_put_u8(&out, u->copies);
		f3_buf_put_u8(&out, u->mtime_unsaid);
		f3_buf_put_i64(&out, u->mtime_ns);
		put_gen(&out, &u->gen);
		f3_buf_put_u32(&out, (uint32_t)u->n_parts);
		put_parts(b, set, ino, u);
	}
	put(b, &key, &out);
	f3_buf_done(&out);
}

void f3_set_note_left(struct f3_batch *b, const struct f3_member_left *left)
{
	struct key key = key_of(left->set, 'l', left->number);
	struct f3_buf out;

	f3_buf_init(&out, NOTE_MAX);
	f3_buf_put_u8(&out, VERSION);
	f3_buf_put_u64(&out, left->parent);
	put_string(&out, left->key);
	put_string(&out, left->etag);
	put_string(&out, left->upload);
	put_string(&out, left->upload_key);
	put(b, &key, &out);
	f3_buf_done(&out);
}

void f3_set_note_del(struct f3_batch *b, const struct f3_commitset *set)
{
	del(b, key_of(set, '0', 0));
}

void f3_set_note_del_member(struct f3_batch *b, const struct f3_commitset *set, uint64_t ino,
			    const struct f3_prepared *p)
{
	size_t n = p->upload ? p->upload->n_parts : 0;

	del(b, key_of(set, 'm', ino));
	for (size_t from = 0; from < n; from += PARTS_A_NOTE)
		del(b, chunk_of(set, ino, (uint32_t)(from / PARTS_A_NOTE)));
}

void f3_set_note_del_left(struct f3_batch *b, const struct f3_member_left *left)
{
	del(b, key_of(left->set, 'l', left->number));
}

/* ---- Reading ---- */

struct load {
	struct f3_core *core;
	const struct f3_set_notes *to;
};

struct parts {
	struct f3_upload_part *v;
	size_t n, cap;
};

static void get_gen(struct f3_rd *rd, struct f3_obj_gen *ret_gen)
{
	const uint8_t *id = f3_rd_bytes(rd, F3_ID_BYTES);

	if (id)
		memcpy(ret_gen->id.b, id, F3_ID_BYTES);
	ret_gen->generation = f3_rd_u64(rd);
	ret_gen->attempt = f3_rd_u64(rd);
}

static int read_set(struct load *load, const struct f3_id *id, struct f3_rd *rd)
{
	struct f3_commitset *set = f3_commitset_alloc(load->core);
	uint8_t state;

	if (!set)
		return -ENOMEM;
	set->id = *id;
	state = f3_rd_u8(rd);
	set->state = (enum f3_set_state)state;
	set->sync = f3_rd_u8(rd);
	set->volume = f3_volume_get(load->core, f3_rd_u32(rd));
	set->attempt = f3_rd_u64(rd);
	get_string(rd, set->act, sizeof(set->act));
	get_string(rd, set->key, sizeof(set->key));
	if (rd->error || rd->left || state < F3_SET_OPEN || state > F3_SET_DROPPED) {
		f3_commitset_put(set);
		return -EBADMSG;
	}
	return load->to->set(load->to->arg, set);
}

static int read_chunk(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct parts *parts = arg;
	struct f3_rd rd;

	(void)key;
	(void)klen;
	f3_rd_init(&rd, value, vlen);
	if (f3_rd_u8(&rd) != VERSION)
		return -EPROTONOSUPPORT;
	while (!rd.error && rd.left) {
		struct f3_upload_part part = { .sent = true };

		part.off = f3_rd_u64(&rd);
		part.len = f3_rd_u64(&rd);
		part.crc32c = f3_rd_u32(&rd);
		part.copy = f3_rd_u8(&rd);
		part.hashed = f3_rd_u8(&rd);
		part.hash = f3_rd_u64(&rd);
		get_string(&rd, part.etag, sizeof(part.etag));
		/* Of a longer upload that was there before. */
		if (parts->n == parts->cap)
			break;
		parts->v[parts->n++] = part;
	}
	return rd.error;
}

static int read_upload(struct load *load, const struct f3_id *id, uint64_t ino, struct f3_rd *rd,
		       struct f3_upload **ret_u)
{
	struct f3_commitset set = { .id = *id };
	struct f3_upload *u = calloc(1, sizeof(*u));
	struct key prefix = key_of(&set, 'p', ino);
	struct parts parts = { .n = 0 };
	int r;

	if (!u)
		return -ENOMEM;
	get_string(rd, u->id, sizeof(u->id));
	get_string(rd, u->key, sizeof(u->key));
	get_string(rd, u->from, sizeof(u->from));
	u->copies = f3_rd_u8(rd);
	u->mtime_unsaid = f3_rd_u8(rd);
	u->mtime_ns = f3_rd_i64(rd);
	get_gen(rd, &u->gen);
	parts.cap = f3_rd_u32(rd);
	r = rd->error || !parts.cap || parts.cap > PARTS_MAX ? -EBADMSG : 0;
	if (!r) {
		u->parts = parts.v = calloc(parts.cap, sizeof(*parts.v));
		r = parts.v ? 0 : -ENOMEM;
	}
	if (!r)
		r = f3_meta_each_note(load->core->meta, F3_NOTE_SET, prefix.b, prefix.len,
				      read_chunk, &parts);
	if (!r && parts.n < parts.cap)
		r = -EBADMSG;
	if (r) {
		f3_upload_free(u);
		return r;
	}
	u->n_parts = parts.n;
	*ret_u = u;
	return 0;
}

static int read_member(struct load *load, const struct f3_id *id, uint64_t ino, struct f3_rd *rd)
{
	struct f3_prepared p = { .valid = f3_rd_u8(rd) };
	bool upload = false;
	int r = 0;

	if (p.valid) {
		p.regular = f3_rd_u8(rd);
		p.complete = f3_rd_u8(rd);
		get_gen(rd, &p.gen);
		p.generation = f3_rd_u64(rd);
		p.size = f3_rd_u64(rd);
		p.fp.size = f3_rd_u64(rd);
		p.fp.mtime_ns = f3_rd_i64(rd);
		p.fp.ctime_ns = f3_rd_i64(rd);
		get_string(rd, p.etag, sizeof(p.etag));
		upload = f3_rd_u8(rd);
	}
	if (upload && !rd->error)
		r = read_upload(load, id, ino, rd, &p.upload);
	if (!r && (rd->error || rd->left))
		r = -EBADMSG;
	if (!r)
		r = load->to->member(load->to->arg, id, ino, &p);
	f3_prepared_done(&p);
	return r;
}

static int read_left(struct load *load, const struct f3_id *id, uint64_t number, struct f3_rd *rd)
{
	struct f3_member_left *left = calloc(1, sizeof(*left));

	if (!left)
		return -ENOMEM;
	left->number = number;
	left->note = true;
	left->parent = f3_rd_u64(rd);
	get_string(rd, left->key, sizeof(left->key));
	get_string(rd, left->etag, sizeof(left->etag));
	get_string(rd, left->upload, sizeof(left->upload));
	get_string(rd, left->upload_key, sizeof(left->upload_key));
	if (rd->error || rd->left) {
		free(left);
		return -EBADMSG;
	}
	return load->to->left(load->to->arg, id, left);
}

static int read_note(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct load *load = arg;
	struct f3_rd k, rd;
	const uint8_t *bytes;
	struct f3_id id;
	char kind;
	uint64_t number = 0;

	f3_rd_init(&k, key, klen);
	f3_rd_init(&rd, value, vlen);
	bytes = f3_rd_bytes(&k, F3_ID_BYTES);
	kind = (char)f3_rd_u8(&k);
	if (bytes)
		memcpy(id.b, bytes, F3_ID_BYTES);
	if (kind == 'p')
		return 0; /* with its member */
	if (kind != '0')
		number = f3_rd_u64(&k);
	if (k.error || k.left)
		return -EBADMSG;
	if (f3_rd_u8(&rd) != VERSION)
		return -EPROTONOSUPPORT;
	return kind == '0' ? read_set(load, &id, &rd) :
	       kind == 'm' ? read_member(load, &id, number, &rd) :
	       kind == 'l' ? read_left(load, &id, number, &rd) :
			     -EBADMSG;
}

int f3_set_notes_read(struct f3_core *core, const struct f3_set_notes *to)
{
	struct load load = { core, to };

	return f3_meta_each_note(core->meta, F3_NOTE_SET, "", 0, read_note, &load);
}
