/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal: what the object store still has to be told, as records in the database.
 *
 * An entry is written in the same batch as the change it stands for (writeback), or before
 * the request it announces (durable), and removed in the batch that records the result. After
 * a crash the entries that are left are resolved: HEAD the key, our f3-gen there means done.
 * Which entries may run at the same time is decided in fs/core/journal_run (the DAG); here is
 * only their form. Encoding: u8 version, u8 type, fields in the order below. Pure.
 */
#ifndef F3_META_JOURNAL_H
#define F3_META_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "fs/base/buf.h"
#include "fs/base/id.h"
#include "fs/meta/record.h"

#define F3_KEY_MAX 1024			/* bytes of an object key (S3's limit) */
#define F3_UPLOAD_ID_MAX 1024

enum f3_journal_type {			/* stored */
	F3_JOURNAL_PUT = 1,		/* the bytes of `ino`; key resolved when it runs */
	F3_JOURNAL_DELETE = 2,		/* object `key` */
	F3_JOURNAL_RENAME = 3,		/* object key -> key2, then delete key */
	F3_JOURNAL_MKDIR = 4,		/* marker of directory `ino` */
	F3_JOURNAL_RMDIR = 5,		/* marker `key` */
	F3_JOURNAL_ATTR = 6,		/* attributes of `ino` */
	F3_JOURNAL_RENAME_DIR = 7,	/* every key below key/ -> key2/ */
	F3_JOURNAL_UPLOAD = 8,		/* an upload of `key` that nobody will finish: leftover.h */
};

enum f3_journal_flags {			/* stored */
	F3_JOURNAL_DURABLE = 1u << 0,	/* of a durable name: somebody waits, or waited */
	F3_JOURNAL_EXCLUSIVE = 1u << 1,	/* RENAME: only if there is no object key2 */
};

struct f3_journal_entry {
	uint64_t seq;			/* the key: order of acknowledgement */
	uint8_t type;
	uint8_t flags;			/* f3_journal_flags */
	uint32_t volume;
	uint64_t ino;			/* 0 where only the key counts */
	uint64_t dir1, dir2;		/* directories whose names are involved; 0: none */
	struct f3_id id;		/* file id, generation, attempt: the f3-gen of the request */
	uint64_t generation, attempt;
	int64_t since_ns;		/* real time it was journalled */
	char key[F3_KEY_MAX + 1];
	char key2[F3_KEY_MAX + 1];
	char etag[F3_ETAG_MAX + 1];	/* the object the request is conditional on, "" = none known */
	char upload[F3_UPLOAD_ID_MAX + 1]; /* multipart upload under way, "" = none */
};

void f3_journal_encode(const struct f3_journal_entry *e, struct f3_buf *out);
/* 0, -EBADMSG, -EPROTONOSUPPORT */
int f3_journal_decode(uint64_t seq, const void *bytes, size_t len, struct f3_journal_entry *ret_e);
const char *f3_journal_type_name(uint8_t type);

#endif
