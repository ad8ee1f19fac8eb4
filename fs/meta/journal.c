/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/meta/journal.h"

#include <errno.h>
#include <string.h>

#define VERSION 1

static const char *const type_names[] = {
	[F3_JOURNAL_PUT] = "put",
	[F3_JOURNAL_DELETE] = "delete",
	[F3_JOURNAL_RENAME] = "rename",
	[F3_JOURNAL_MKDIR] = "mkdir",
	[F3_JOURNAL_RMDIR] = "rmdir",
	[F3_JOURNAL_ATTR] = "attr",
	[F3_JOURNAL_RENAME_DIR] = "rename-dir",
	[F3_JOURNAL_UPLOAD] = "upload",
};

#define N_TYPES (sizeof(type_names) / sizeof(type_names[0]))

const char *f3_journal_type_name(uint8_t type)
{
	return type && type < N_TYPES ? type_names[type] : "?";
}

void f3_journal_encode(const struct f3_journal_entry *e, struct f3_buf *out)
{
	f3_buf_put_u8(out, VERSION);
	f3_buf_put_u8(out, e->type);
	f3_buf_put_u8(out, e->flags);
	f3_buf_put_u32(out, e->volume);
	f3_buf_put_u64(out, e->ino);
	f3_buf_put_u64(out, e->dir1);
	f3_buf_put_u64(out, e->dir2);
	f3_buf_put(out, e->id.b, sizeof(e->id.b));
	f3_buf_put_u64(out, e->generation);
	f3_buf_put_u64(out, e->attempt);
	f3_buf_put_i64(out, e->since_ns);
	f3_buf_put_str16(out, e->key, strnlen(e->key, F3_KEY_MAX));
	f3_buf_put_str16(out, e->key2, strnlen(e->key2, F3_KEY_MAX));
	f3_buf_put_str16(out, e->etag, strnlen(e->etag, F3_ETAG_MAX));
	f3_buf_put_str16(out, e->upload, strnlen(e->upload, F3_UPLOAD_ID_MAX));
}

static void get_str(struct f3_rd *rd, char *to, size_t max)
{
	size_t len;
	const uint8_t *p = f3_rd_str16(rd, &len);

	if (!p || len > max || memchr(p, 0, len)) {
		if (!rd->error)
			rd->error = -EBADMSG;
		len = 0;
	} else {
		memcpy(to, p, len);
	}
	to[len] = '\0';
}

int f3_journal_decode(uint64_t seq, const void *bytes, size_t len, struct f3_journal_entry *ret_e)
{
	struct f3_journal_entry e;
	const uint8_t *id;
	struct f3_rd rd;
	uint8_t version;

	f3_rd_init(&rd, bytes, len);
	version = f3_rd_u8(&rd);
	if (rd.error || version == 0)
		return -EBADMSG;
	if (version > VERSION)
		return -EPROTONOSUPPORT;

	e.seq = seq;
	e.type = f3_rd_u8(&rd);
	e.flags = f3_rd_u8(&rd);
	e.volume = f3_rd_u32(&rd);
	e.ino = f3_rd_u64(&rd);
	e.dir1 = f3_rd_u64(&rd);
	e.dir2 = f3_rd_u64(&rd);
	id = f3_rd_bytes(&rd, sizeof(e.id.b));
	if (!id)
		return -EBADMSG;
	memcpy(e.id.b, id, sizeof(e.id.b));
	e.generation = f3_rd_u64(&rd);
	e.attempt = f3_rd_u64(&rd);
	e.since_ns = f3_rd_i64(&rd);
	get_str(&rd, e.key, F3_KEY_MAX);
	get_str(&rd, e.key2, F3_KEY_MAX);
	get_str(&rd, e.etag, F3_ETAG_MAX);
	get_str(&rd, e.upload, F3_UPLOAD_ID_MAX);
	if (rd.error || rd.left)
		return -EBADMSG;
	if (e.type == 0 || e.type >= N_TYPES)
		return -EBADMSG;
	*ret_e = e;
	return 0;
}
