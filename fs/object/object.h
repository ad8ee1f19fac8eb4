/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object: the object-store vtable: the durable tier behind one seam.
 *
 * Everything is an operation that is submitted and completes once, by its done function, on a
 * thread of the store: parallel range reads, uploads of parts and small puts need no thread
 * each. f3_object_run waits for one.
 *
 * Mutations carry a condition and a generation. The generation ("f3-gen" = file id, content
 * generation, attempt) is stored with the object; when a store cannot say whether a mutation
 * happened (time-out, connection lost after sending) the result is F3_OBJ_AMBIGUOUS: the caller
 * HEADs the key, and finds its own generation there if it did. A store never repeats a mutation
 * by itself.
 *
 * Keys are bytes without NUL, at most F3_OBJ_KEY_MAX, no leading or trailing slash (markers of
 * directories are separate operations), relative to the volume's prefix. ETags are opaque.
 * `.f3/` below the prefix is reserved for F3 and never listed.
 *
 * To add a backend: implement f3_object_ops, register its URL scheme in object_open.c.
 */
#ifndef F3_OBJECT_OBJECT_H
#define F3_OBJECT_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/err.h"
#include "fs/base/id.h"

#define F3_OBJ_KEY_MAX 1024
#define F3_OBJ_ETAG_MAX 127
#define F3_OBJ_UPLOAD_MAX 1024
#define F3_OBJ_LIST_MAX 1000		/* entries of one page at most */

/* Result of an operation besides 0 and -errno: it may or may not have happened. */
#define F3_OBJ_AMBIGUOUS (-4095)

enum f3_obj_type {
	F3_OBJ_GET,		/* key, off, len -> buf; if-match etag when given */
	F3_OBJ_HEAD,		/* key -> info */
	F3_OBJ_PUT,		/* key, body from fd or buf, attributes, condition */
	F3_OBJ_DELETE,		/* key, condition (etag) */
	F3_OBJ_COPY,		/* key -> key2, attributes replaced if given, conditions on both */
	F3_OBJ_SET_ATTR,	/* key: attributes only, condition (etag) */
	F3_OBJ_MKDIR,		/* marker of directory key, attributes */
	F3_OBJ_RMDIR,		/* marker of directory key; -ENOTEMPTY if keys lie below */
	F3_OBJ_LIST,		/* prefix (key), delimiter '/', after -> page */
	F3_OBJ_UPLOAD_CREATE,	/* key, attributes -> upload */
	F3_OBJ_UPLOAD_PART,	/* upload, part, off, body -> part etag + crc */
	F3_OBJ_UPLOAD_PART_COPY,/* upload, part, off, from key2 range (off2,len), if-match etag2 */
	F3_OBJ_UPLOAD_COMPLETE,	/* upload, parts, condition -> info */
	F3_OBJ_UPLOAD_ABORT,	/* upload */
	F3_OBJ_UPLOAD_LIST,	/* multipart uploads under way below prefix -> uploads */
};

enum f3_obj_cond {
	F3_OBJ_ANY,		/* no condition */
	F3_OBJ_ABSENT,		/* only if there is no such object: else -EEXIST */
	F3_OBJ_MATCH,		/* only if its etag is this one: else -ESTALE */
};

/* POSIX attributes as they travel with an object. */
struct f3_obj_attr {
	uint32_t mode;		/* type and permissions; 0: unknown */
	uint32_t uid, gid;
	int64_t mtime_ns, atime_ns;
	uint64_t rdev;
	bool have_mode, have_owner, have_mtime, have_atime;
	/* other metadata (user xattrs), encoded as name=value records; may be NULL */
	const void *xattrs;	/* u16 len name, u32 len value, ... big-endian */
	size_t xattrs_len;
};

struct f3_obj_gen {
	struct f3_id id;
	uint64_t generation, attempt;
};

struct f3_obj_info {
	uint64_t size;
	char etag[F3_OBJ_ETAG_MAX + 1];
	struct f3_obj_attr attr;	/* xattrs points to heap owned by the op */
	bool have_attr;			/* false: only HEAD tells the attributes */
	bool have_gen;
	struct f3_obj_gen gen;
	bool is_dir;			/* a marker or a common prefix */
	bool implicit;			/* a prefix without a marker */
	int64_t modified_ns;		/* the store's own time */
};

struct f3_obj_entry {
	const char *name;	/* last component, NUL-terminated, owned by the op */
	struct f3_obj_info info;
};

struct f3_obj_part {
	uint32_t number;	/* from 1 */
	uint64_t off, len;
	uint32_t crc32c;
	char etag[F3_OBJ_ETAG_MAX + 1];
};

struct f3_obj_upload {
	char key[F3_OBJ_KEY_MAX + 1];
	char upload[F3_OBJ_UPLOAD_MAX + 1];
	int64_t since_ns;
};

struct f3_obj_op {
	enum f3_obj_type type;
	void (*done)(struct f3_obj_op *op);
	void *owner;			/* the submitter's */
	uint64_t deadline_mono_ns;	/* 0: the store's default */

	const char *key, *key2;		/* valid until done */
	enum f3_obj_cond cond;		/* on key (COPY: on the target key2) */
	const char *etag;		/* for MATCH, or if-match of GET */
	const char *etag2;		/* COPY / PART_COPY: if-match of the source */
	const struct f3_obj_attr *attr;	/* may be NULL */
	const struct f3_obj_gen *gen;	/* required for PUT COPY SET_ATTR MKDIR UPLOAD_CREATE */
	const char *upload;
	uint32_t part;
	uint64_t off, off2, len;	/* GET: range; PART: place in the object; PUT: len of the body */
	/* body of PUT and PART: from `buf` (len bytes), else from fd at fd_off */
	const void *body;
	int fd;				/* -1 when body is in memory */
	uint64_t fd_off;
	void *buf;			/* GET: where the bytes go (len bytes) */
	const struct f3_obj_part *parts;	/* COMPLETE */
	size_t n_parts;
	const char *after;		/* LIST: names after this one; NULL: from the start */

	/* results */
	int result;			/* 0, -errno, F3_OBJ_AMBIGUOUS */
	char message[256];		/* for people: which object, what the store said */
	uint64_t moved;			/* GET: bytes read (short only at the object's end) */
	uint32_t crc32c;		/* PUT, PART: of the very bytes sent */
	struct f3_obj_info info;	/* HEAD, GET, PUT, COPY, SET_ATTR, COMPLETE */
	char ret_upload[F3_OBJ_UPLOAD_MAX + 1];
	struct f3_obj_part ret_part;
	struct f3_obj_entry *entries;	/* LIST, sorted by name in byte order */
	size_t n_entries;
	bool more;			/* LIST: there is another page after the last entry */
	struct f3_obj_upload *uploads;
	size_t n_uploads;

	/* the store's own */
	void *priv[4];
	void *heap;			/* what results point to; freed by f3_object_op_done */
};

/* What a store enforces; filled by probe.c at attach by trying, never from a Server header. */
struct f3_obj_caps {
	bool put_match, put_absent, complete_match, complete_absent, copy_source_match,
		copy_target_absent, delete_match, range_part_copy, list_has_attr, rename;
	uint64_t min_part_bytes, max_part_bytes, max_parts, max_put_bytes;
};

struct f3_object_store;

struct f3_object_ops {
	const char *scheme;
	/* Takes the op; calls op->done exactly once, maybe before returning. */
	void (*submit)(struct f3_object_store *s, struct f3_obj_op *op);
	/* Asks for an early end of an op that is under way; done still comes. */
	void (*cancel)(struct f3_object_store *s, struct f3_obj_op *op);
	/* -EIO and so on if the store is not there now (bucket or directory gone). Blocks. */
	int (*ping)(struct f3_object_store *s, struct f3_err *err);
	void (*close)(struct f3_object_store *s);	/* waits for what is under way */
};

struct f3_object_store {
	const struct f3_object_ops *ops;
	struct f3_obj_caps caps;
	bool read_only;			/* the volume has no right to write there */
};

struct f3_object_options {
	const char *url;		/* scheme://... */
	unsigned threads;		/* of backends that need them */
	bool create;			/* make the directory / prefix if missing */
};

/* Opens by scheme and probes. err names the URL (without secrets) and what to do. */
int f3_object_open(const struct f3_object_options *opt, struct f3_object_store **ret_s,
		   struct f3_err *err);
void f3_object_close(struct f3_object_store *s);

void f3_object_submit(struct f3_object_store *s, struct f3_obj_op *op);
void f3_object_cancel(struct f3_object_store *s, struct f3_obj_op *op);
/* Waits; returns op->result. op->done is used by it. Not from a store's thread. */
int f3_object_run(struct f3_object_store *s, struct f3_obj_op *op);
void f3_object_op_init(struct f3_obj_op *op, enum f3_obj_type type);
void f3_object_op_done(struct f3_obj_op *op);	/* frees results */

/* file:///dir */
int f3_object_file_open(const struct f3_object_options *opt, struct f3_object_store **ret_s,
			struct f3_err *err);

/* "id.generation.attempt" */
#define F3_OBJ_GEN_TEXT 80
void f3_obj_gen_format(const struct f3_obj_gen *gen, char ret_text[F3_OBJ_GEN_TEXT]);
int f3_obj_gen_parse(const char *text, struct f3_obj_gen *ret_gen);
bool f3_obj_gen_equal(const struct f3_obj_gen *a, const struct f3_obj_gen *b);

#endif
