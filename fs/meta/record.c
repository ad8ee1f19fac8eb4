/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/*
 * Version 1, in this order: mode, uid, gid, nlink (u32); rdev, size, blocks (u64); atime,
 * mtime, ctime, btime (i64); id (16 bytes); volume, flags (u32); class, class source, state,
 * error (u8); backing (u32), backing class (u8); generation, attempt, store size, base limit
 * (u64); etag (u8 length, bytes); parent (u64); name (u8 length, bytes); target (u16 length,
 * bytes).
 *
 * Version 2 has the store's time (i64) behind the etag. It is written where there is one only, so
 * that a program of before goes on with a database that has no such files.
 */
#define VERSION 2
#define VERSION_WITHOUT_TIME 1

static const char *const class_names[] = {
	[F3_CLASS_NONE] = "none",           [F3_CLASS_MEMORY] = "memory",
	[F3_CLASS_EPHEMERAL] = "ephemeral", [F3_CLASS_REPLICATED] = "replicated",
	[F3_CLASS_WRITEBACK] = "writeback", [F3_CLASS_DURABLE] = "durable",
};

static const char *const state_names[] = {
	[F3_STATE_SEALED] = "sealed",   [F3_STATE_WRITING] = "writing",
	[F3_STATE_STAGING] = "staging", [F3_STATE_CLEAN] = "clean",
	[F3_STATE_FILLING] = "filling", [F3_STATE_MOVING] = "moving",
	[F3_STATE_FAILED] = "failed",   [F3_STATE_REMOTE] = "remote",
};

#define N_CLASSES (sizeof(class_names) / sizeof(class_names[0]))
#define N_STATES (sizeof(state_names) / sizeof(state_names[0]))

const char *f3_class_name(enum f3_class c)
{
	return (unsigned)c < N_CLASSES ? class_names[c] : "?";
}

int f3_class_parse(const char *name, size_t len, enum f3_class *ret_class)
{
	for (unsigned c = F3_CLASS_NONE + 1; c < N_CLASSES; c++) {
		if (strlen(class_names[c]) == len && memcmp(class_names[c], name, len) == 0) {
			*ret_class = (enum f3_class)c;
			return 0;
		}
	}
	return -EINVAL;
}

const char *f3_state_name(enum f3_state s)
{
	return (unsigned)s < N_STATES ? state_names[s] : "?";
}

void f3_inode_rec_done(struct f3_inode_rec *rec)
{
	if (!rec)
		return;
	free(rec->target);
	rec->target = NULL;
	rec->target_len = 0;
}

int f3_inode_rec_copy(struct f3_inode_rec *dst, const struct f3_inode_rec *src)
{
	char *target = NULL;

	if (src->target) {
		target = strndup(src->target, src->target_len);
		if (!target)
			return -ENOMEM;
	}
	*dst = *src;
	dst->target = target;
	return 0;
}

static void put_str8(struct f3_buf *out, const char *bytes, size_t len)
{
	f3_buf_put_u8(out, (uint8_t)len);
	f3_buf_put(out, bytes, len);
}

void f3_inode_rec_encode(const struct f3_inode_rec *rec, struct f3_buf *out)
{
	f3_buf_put_u8(out, rec->modified_ns ? VERSION : VERSION_WITHOUT_TIME);
	f3_buf_put_u32(out, rec->mode);
	f3_buf_put_u32(out, rec->uid);
	f3_buf_put_u32(out, rec->gid);
	f3_buf_put_u32(out, rec->nlink);
	f3_buf_put_u64(out, rec->rdev);
	f3_buf_put_u64(out, rec->size);
	f3_buf_put_u64(out, rec->blocks);
	f3_buf_put_i64(out, rec->atime_ns);
	f3_buf_put_i64(out, rec->mtime_ns);
	f3_buf_put_i64(out, rec->ctime_ns);
	f3_buf_put_i64(out, rec->btime_ns);
	f3_buf_put(out, rec->id.b, sizeof(rec->id.b));
	f3_buf_put_u32(out, rec->volume);
	f3_buf_put_u32(out, rec->flags);
	f3_buf_put_u8(out, rec->class_);
	f3_buf_put_u8(out, rec->class_source);
	f3_buf_put_u8(out, rec->state);
	f3_buf_put_u8(out, rec->error);
	f3_buf_put_u32(out, rec->backing);
	f3_buf_put_u8(out, rec->backing_class);
	f3_buf_put_u64(out, rec->generation);
	f3_buf_put_u64(out, rec->attempt);
	f3_buf_put_u64(out, rec->store_size);
	f3_buf_put_u64(out, rec->base_limit);
	put_str8(out, rec->etag, strnlen(rec->etag, F3_ETAG_MAX));
	if (rec->modified_ns)
		f3_buf_put_i64(out, rec->modified_ns);
	f3_buf_put_u64(out, rec->parent);
	put_str8(out, rec->name, rec->name_len);
	f3_buf_put_str16(out, rec->target, rec->target ? rec->target_len : 0);
}

/* Copies a string of u8 length; it becomes a C string, so that a NUL in it is damage. */
static size_t get_str8(struct f3_rd *rd, char *to, size_t max)
{
	size_t len = f3_rd_u8(rd);
	const uint8_t *p = f3_rd_bytes(rd, len);

	if (!p || len > max || memchr(p, 0, len)) {
		if (!rd->error)
			rd->error = -EBADMSG;
		len = 0;
	} else {
		memcpy(to, p, len);
	}
	to[len] = '\0';
	return len;
}

static int get_target(struct f3_rd *rd, struct f3_inode_rec *rec)
{
	size_t len;
	const uint8_t *p = f3_rd_str16(rd, &len);

	if (rd->error || rd->left)
		return -EBADMSG;
	if (S_ISLNK(rec->mode) != (len > 0) || len > F3_SYMLINK_MAX)
		return -EBADMSG;
	if (!len)
		return 0;
	if (memchr(p, 0, len))
		return -EBADMSG;
	rec->target = strndup((const char *)p, len);
	if (!rec->target)
		return -ENOMEM;
	rec->target_len = (uint16_t)len;
	return 0;
}

int f3_inode_rec_decode(uint64_t ino, const void *bytes, size_t len, struct f3_inode_rec *ret_rec)
{
	struct f3_inode_rec rec;
	const uint8_t *id;
	struct f3_rd rd;
	uint8_t version;
	int r;

	f3_rd_init(&rd, bytes, len);
	version = f3_rd_u8(&rd);
	if (rd.error || version == 0)
		return -EBADMSG;
	if (version > VERSION)
		return -EPROTONOSUPPORT;

	rec.ino = ino;
	rec.mode = f3_rd_u32(&rd);
	rec.uid = f3_rd_u32(&rd);
	rec.gid = f3_rd_u32(&rd);
	rec.nlink = f3_rd_u32(&rd);
	rec.rdev = f3_rd_u64(&rd);
	rec.size = f3_rd_u64(&rd);
	rec.blocks = f3_rd_u64(&rd);
	rec.atime_ns = f3_rd_i64(&rd);
	rec.mtime_ns = f3_rd_i64(&rd);
	rec.ctime_ns = f3_rd_i64(&rd);
	rec.btime_ns = f3_rd_i64(&rd);
	id = f3_rd_bytes(&rd, sizeof(rec.id.b));
	if (!id)
		return -EBADMSG;
	memcpy(rec.id.b, id, sizeof(rec.id.b));
	rec.volume = f3_rd_u32(&rd);
	rec.flags = f3_rd_u32(&rd);
	rec.class_ = f3_rd_u8(&rd);
	rec.class_source = f3_rd_u8(&rd);
	rec.state = f3_rd_u8(&rd);
	rec.error = f3_rd_u8(&rd);
	rec.backing = f3_rd_u32(&rd);
	rec.backing_class = f3_rd_u8(&rd);
	rec.generation = f3_rd_u64(&rd);
	rec.attempt = f3_rd_u64(&rd);
	rec.store_size = f3_rd_u64(&rd);
	rec.base_limit = f3_rd_u64(&rd);
	get_str8(&rd, rec.etag, F3_ETAG_MAX);
	rec.modified_ns = version > VERSION_WITHOUT_TIME ? f3_rd_i64(&rd) : 0;
	rec.parent = f3_rd_u64(&rd);
	rec.name_len = (uint8_t)get_str8(&rd, rec.name, F3_NAME_MAX);
	rec.target_len = 0;
	rec.target = NULL;

	if (rec.class_ >= N_CLASSES || rec.class_source > F3_FROM_HINT || rec.state >= N_STATES ||
	    rec.backing_class >= N_CLASSES)
		return -EBADMSG;
	if (version > VERSION_WITHOUT_TIME && !rec.modified_ns)
		return -EBADMSG;
	if (rec.size > INT64_MAX || memchr(rec.name, '/', rec.name_len))
		return -EBADMSG;
	r = get_target(&rd, &rec);
	if (r)
		return r;
	*ret_rec = rec;
	return 0;
}
