/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: what the database says about one inode, and its fixed vocabulary.
 *
 * Pure data. Encoding is in key.h (keys) and record.c (values); every value begins with a
 * version byte. Older versions are read, newer ones refused (-EPROTONOSUPPORT).
 */
#ifndef F3_META_RECORD_H
#define F3_META_RECORD_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/base/buf.h"
#include "fs/base/id.h"

#define F3_INO_ROOT 1ull
#define F3_INO_FIRST 256ull		/* below: root and the virtual files of the mount */

#define F3_NAME_MAX 255
#define F3_SYMLINK_MAX (PATH_MAX - 1)
#define F3_XATTR_NAME_MAX 255
#define F3_XATTR_VALUE_MAX 65536

enum f3_class {			/* stored: never renumber */
	F3_CLASS_NONE = 0,	/* not decided (directories without a class of their own) */
	F3_CLASS_MEMORY = 1,
	F3_CLASS_EPHEMERAL = 2,
	F3_CLASS_REPLICATED = 3,
	F3_CLASS_WRITEBACK = 4,
	F3_CLASS_DURABLE = 5,
};

/* "memory" ...; f3_class_parse: -EINVAL */
const char *f3_class_name(enum f3_class c);
int f3_class_parse(const char *name, size_t len, enum f3_class *ret_class);
static inline bool f3_class_in_store(enum f3_class c)
{
	return c == F3_CLASS_WRITEBACK || c == F3_CLASS_DURABLE;
}

enum f3_class_source {		/* who chose the class; stored */
	F3_FROM_DEFAULT = 0,
	F3_FROM_RULE = 1,
	F3_FROM_DIR = 2,	/* an ancestor's xattr */
	F3_FROM_OWN = 3,	/* the file's own xattr: sticks through rename and link */
	F3_FROM_HINT = 4,	/* sticks */
};

enum f3_state {			/* of a regular file; stored */
	F3_STATE_SEALED = 0,	/* complete here, no writer (local classes), or dirty and closed */
	F3_STATE_WRITING = 1,	/* a writer may exist: the backing file knows size and mtime */
	F3_STATE_STAGING = 2,	/* sealed, being made durable */
	F3_STATE_CLEAN = 3,	/* the store has these bytes under `etag` */
	F3_STATE_FILLING = 4,	/* clean, and only part of it is here */
	F3_STATE_MOVING = 5,	/* to another backing file system or class */
	F3_STATE_FAILED = 6,	/* a stage or fsync failed for good; `error` says why */
	F3_STATE_REMOTE = 7,	/* clean, nothing of it is here */
};

const char *f3_state_name(enum f3_state s);

enum f3_inode_flags {		/* stored */
	F3_INO_STREAM = 1u << 0,	/* user.f3.stream set on it */
	F3_INO_PINNED = 1u << 1,
	F3_INO_HAS_XATTR = 1u << 2,	/* the xattrs family has something for it */
	F3_INO_HAS_ACL = 1u << 3,	/* system.posix_acl_access */
	F3_INO_HAS_DEFAULT_ACL = 1u << 4,
	F3_INO_HAS_CAPS = 1u << 5,	/* security.capability */
	F3_INO_DIRTY = 1u << 6,		/* bytes here that the store does not have */
	F3_INO_ATTR_DIRTY = 1u << 7,	/* attributes that the object does not have */
	F3_INO_ORPHAN = 1u << 8,	/* no name; goes at last close */
	F3_INO_MARKER = 1u << 9,	/* directory: its marker object exists */
	F3_INO_IMPLICIT = 1u << 10,	/* directory seen only through keys below it */
	F3_INO_LOCAL_TREE = 1u << 11,	/* directory of a local class: nothing below is durable */
	F3_INO_STREAM_OFF = 1u << 12,	/* user.f3.stream=0 set on it */
	/* Only a listing told of it, which has no attributes: they are defaults, and what is no
	 * directory may be any type. */
	F3_INO_GUESSED = 1u << 13,
	F3_INO_STREAMS = 1u << 14,	/* a rule or a directory's xattr said so when it was made */
	F3_INO_TORN = 1u << 15,		/* it streams, and a writer was killed: not whole */
	F3_INO_HELD = 1u << 16,		/* WRITING, and its last writer has gone (hold.h) */
	F3_INO_WITHDRAWN = 1u << 17,	/* its commit set was dropped: whoever has it open gets EIO */
};

#define F3_ETAG_MAX 127

struct f3_inode_rec {
	uint64_t ino;
	uint32_t mode;			/* type and permission bits */
	uint32_t uid, gid;
	uint32_t nlink;
	uint64_t rdev;
	uint64_t size;			/* bytes; of a directory: number of names */
	uint64_t blocks;		/* 512-byte units held locally, as last seen */
	int64_t atime_ns, mtime_ns, ctime_ns, btime_ns;
	struct f3_id id;
	uint32_t volume;		/* volume id; 0 for the root */
	uint32_t flags;			/* f3_inode_flags */
	uint8_t class_;			/* f3_class; of a directory: its own xattr or NONE */
	uint8_t class_source;		/* f3_class_source */
	uint8_t state;			/* f3_state */
	uint8_t error;			/* errno of FAILED, else 0 */
	uint32_t backing;		/* number of the backing file; 0: there is none here */
	uint8_t backing_class;		/* where the backing file lies: F3_CLASS_MEMORY or _EPHEMERAL (cache dir) */
	uint64_t generation;		/* counts contents; part of f3-gen */
	uint64_t attempt;		/* counts attempts to publish this generation */
	uint64_t store_size;		/* size of the object known by etag */
	uint64_t base_limit;		/* while incomplete: object bytes at and after it are not wanted (truncated since) */
	char etag[F3_ETAG_MAX + 1];	/* opaque, "" if the store has no such object */
	/* The store's time of the object when it told the attributes; 0: not known, or it always
	 * tells them. A listing with the same etag and time proves that they are right. */
	int64_t modified_ns;
	/* Where the name is, to find the key: exact for files with one name. 0 for none. */
	uint64_t parent;
	uint8_t name_len;
	char name[F3_NAME_MAX + 1];	/* NUL-terminated, any bytes but / and NUL */
	uint16_t target_len;		/* symlink */
	char *target;			/* heap, NUL-terminated; NULL unless a symlink */
};

void f3_inode_rec_done(struct f3_inode_rec *rec);	/* frees target */
int f3_inode_rec_copy(struct f3_inode_rec *dst, const struct f3_inode_rec *src);
void f3_inode_rec_encode(const struct f3_inode_rec *rec, struct f3_buf *out);
/* `ino` comes from the key. 0, -EBADMSG, -EPROTONOSUPPORT, -ENOMEM. */
int f3_inode_rec_decode(uint64_t ino, const void *bytes, size_t len, struct f3_inode_rec *ret_rec);

#endif
