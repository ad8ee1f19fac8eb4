/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of the database, as records. One that is taken comes back the same when it is written.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "fs/meta/meta_impl.h"
#include "fs/meta/journal.h"
#include "tests/fuzz/hostile.h"

#define BUF_MAX (1u << 20)

static enum hostile_verdict judge(int r, struct f3_buf *again, const uint8_t *bytes, size_t len)
{
	enum hostile_verdict v = HOSTILE_TAKEN;

	if (r && r != -EBADMSG && r != -EPROTONOSUPPORT) {
		hostile_why("refused with %s", f3_errno_name(r));
		v = HOSTILE_WRONG;
	} else if (r) {
		v = HOSTILE_REFUSED;
	} else if (again->error || again->len != len || memcmp(again->data, bytes, len) != 0) {
		hostile_why("it is not the same when it is written again");
		v = HOSTILE_WRONG;
	}
	f3_buf_done(again);
	return v;
}

static enum hostile_verdict take_inode(const uint8_t *bytes, size_t len)
{
	struct f3_inode_rec rec;
	struct f3_buf again;
	int r = f3_inode_rec_decode(256, bytes, len, &rec);

	f3_buf_init(&again, BUF_MAX);
	if (!r) {
		f3_inode_rec_encode(&rec, &again);
		f3_inode_rec_done(&rec);
	}
	return judge(r, &again, bytes, len);
}

static enum hostile_verdict take_journal(const uint8_t *bytes, size_t len)
{
	struct f3_journal_entry e;
	struct f3_buf again;
	int r = f3_journal_decode(9, bytes, len, &e);

	f3_buf_init(&again, BUF_MAX);
	if (!r)
		f3_journal_encode(&e, &again);
	return judge(r, &again, bytes, len);
}

static enum hostile_verdict take_name(const uint8_t *bytes, size_t len)
{
	struct f3_meta_name name;
	struct f3_buf again;
	int r = f3_meta_name_decode(bytes, len, &name);

	f3_buf_init(&again, BUF_MAX);
	if (!r) {
		f3_buf_put_u8(&again, F3_META_VALUE_VERSION);
		f3_buf_put_u64(&again, name.ino);
		f3_buf_put_u8(&again, name.d_type);
	}
	return judge(r, &again, bytes, len);
}

static enum hostile_verdict take_extent(const uint8_t *bytes, size_t len)
{
	struct f3_buf again;
	uint64_t v = 0;
	int r = f3_meta_extent_decode(bytes, len, &v);

	f3_buf_init(&again, BUF_MAX);
	if (!r) {
		f3_buf_put_u8(&again, F3_META_VALUE_VERSION);
		f3_buf_put_u64(&again, v);
	}
	return judge(r, &again, bytes, len);
}

static enum hostile_verdict take_volume(const uint8_t *bytes, size_t len)
{
	struct f3_volume_rec v;
	struct f3_buf again;
	int r = f3_meta_volume_decode(3, bytes, len, &v);

	f3_buf_init(&again, BUF_MAX);
	if (!r)
		f3_meta_volume_encode(&v, &again);
	return judge(r, &again, bytes, len);
}

const struct hostile_target hostile_records[] = {
	{ .name = "record-inode", .every = 1, .take = take_inode },
	{ .name = "record-journal", .every = 1, .take = take_journal },
	{ .name = "record-name", .every = 1, .take = take_name },
	{ .name = "record-extent", .every = 1, .take = take_extent },
	{ .name = "record-volume", .every = 1, .take = take_volume },
	{ .name = NULL },
};
