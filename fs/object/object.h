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
 * Keys are bytes without NUL, at most F3_OBJ_KEY_MAX, no leading slash, relative to the volume's
 * prefix. That of an object does not end with a slash; that of a directory does if the name of the
 * directory is empty ("a/" is the one between the slashes of "a//b"), its own slash is never part
 * of it. ETags are opaque.
 * `.f3/` below the prefix is reserved for F3 and never listed; of the keys there only those of
 * F3's own areas (F3_OBJ_AREA_*) can be named in an operation, the rest is -EINVAL.
 *
 * What an absent thing answers, the same from every store: GET HEAD COPY RENAME -ENOENT; LIST
 * -ENOENT or an empty page; DELETE RMDIR UPLOAD_ABORT 0 (what was wanted is the case), so that a
 * journal may be replayed; a condition MATCH -ESTALE. An object where a directory is meant, and
 * the other way round: PUT COPY COMPLETE onto a directory -EISDIR, MKDIR onto an object -EEXIST,
 * DELETE of a directory and RMDIR of an object 0 without doing anything.
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
#define F3_OBJ_CURSOR_MAX 4095		/* place in a listing, in the store's own words */

/* Areas below the prefix that are F3's own: probes, what a commit set prepares, and its record. */
#define F3_OBJ_AREA_PROBE ".f3/probe"
#define F3_OBJ_AREA_STAGE ".f3/stage"
#define F3_OBJ_AREA_COMMIT ".f3/commit"

/* Result of an operation besides 0 and -errno: it may or may not have happened. */
#define F3_OBJ_AMBIGUOUS (-4095)
/* COPY, SET_ATTR: nothing was done. The store would make it by an upload in parts of the target, which a
 * crash would leave behind: the caller notes that, and asks again with in_parts. */
#define F3_OBJ_IN_PARTS (-4094)

enum f3_obj_type {
	F3_OBJ_GET,		/* key, off, len -> buf; if-match etag when given */
	F3_OBJ_HEAD,		/* key -> info of the directory (is_dir), else of the object; see want */
	F3_OBJ_PUT,		/* key, body from fd or buf, attributes, condition */
	F3_OBJ_DELETE,		/* key, condition (etag) */
	F3_OBJ_COPY,		/* key -> key2, attributes replaced if given, conditions on both */
	/* key -> key2 inside the store, an object or a directory with all below it; its gen goes
	 * with it, except that an object of another file than the op's gen (if given) is marked
	 * with that one where it can be. Condition on key2 (a directory that is there must be empty), etag2 on key.
	 * -EOPNOTSUPP unless caps.rename: there it is COPY and DELETE. */
	F3_OBJ_RENAME,
	F3_OBJ_SET_ATTR,	/* key: attributes only, condition (etag) */
	F3_OBJ_MKDIR,		/* marker of directory key, attributes; ANY: replaces those there */
	F3_OBJ_RMDIR,		/* marker of directory key; -ENOTEMPTY if keys lie below */
	/*
	 * prefix (key), delimiter '/', after -> page. An object and a directory of one name are two
	 * entries, the object's first, and what comes between them, on as many pages as it takes,
	 * has names that begin with theirs. That is so in the order of keys, where the directory's
	 * ends with a slash: "a", "a!x", "a-b", "a/". Else there is no order that counts.
	 */
	F3_OBJ_LIST,
	/* Every operation on an upload names its key too. */
	F3_OBJ_UPLOAD_CREATE,	/* key, attributes -> ret_upload */
	F3_OBJ_UPLOAD_PART,	/* upload, part, off, body -> part etag + crc */
	F3_OBJ_UPLOAD_PART_COPY,/* upload, part, off, from key2 range (off2,len), if-match etag2 */
	/* upload, parts, condition -> info; -EINVAL: the parts are not what was uploaded, or leave
	 * a gap; -ENOENT: no such upload (any more). A refused condition leaves the upload. gen, if
	 * given, is that of its creation: who is not told the object's etag looks for it by that. */
	F3_OBJ_UPLOAD_COMPLETE,
	F3_OBJ_UPLOAD_ABORT,	/* upload */
	/* uploads under way for keys below the directory key, after -> page, in no order */
	F3_OBJ_UPLOAD_LIST,
};
#define F3_OBJ_TYPES (F3_OBJ_UPLOAD_LIST + 1)

enum f3_obj_cond {
	F3_OBJ_ANY,		/* no condition */
	F3_OBJ_ABSENT,		/* only if there is no such object: else -EEXIST */
	F3_OBJ_MATCH,		/* only if its etag is this one: else -ESTALE */
};

/* HEAD: what is asked for where an object and a directory may have the same name. */
enum f3_obj_want {
	F3_OBJ_WANT_ANY,	/* the directory wins */
	F3_OBJ_WANT_OBJECT,	/* -ENOENT if there is a directory only */
	F3_OBJ_WANT_DIR,	/* -ENOENT if there is an object only */
};

/*
 * POSIX attributes as they travel with an object. Given to PUT, COPY, SET_ATTR, MKDIR or
 * UPLOAD_CREATE they are the whole set: what is not there (no xattrs, !have_owner) is unknown or
 * none afterwards, and shows up with the store's defaults. A symbolic link is an object with
 * S_IFLNK in its mode whose body is the target; FIFOs, sockets and devices have no body.
 */
struct f3_obj_attr {
	uint32_t mode;		/* type (S_IFREG if none) and permissions */
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
	/* false: only HEAD tells attributes, generation, and of a directory if it is implicit */
	bool have_attr;
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
	enum f3_obj_want want;		/* HEAD */
	const char *etag;		/* for MATCH, or if-match of GET */
	const char *etag2;		/* COPY / PART_COPY: if-match of the source */
	const struct f3_obj_attr *attr;	/* may be NULL */
	const struct f3_obj_gen *gen;	/* required for PUT COPY SET_ATTR MKDIR UPLOAD_CREATE */
	const char *upload;
	bool copies;			/* UPLOAD_*: some of its parts are copies, all ops of it say so */
	bool in_parts;			/* COPY, SET_ATTR: see F3_OBJ_IN_PARTS */
	uint32_t part;
	uint64_t off, off2, len;	/* GET: range; PART: place in the object; PUT: len of the body */
	/* body of PUT and PART: from `body` (len bytes), else from fd at fd_off; -ENODATA when the
	 * file ends before len */
	const void *body;
	int fd;				/* -1 when body is in memory */
	uint64_t fd_off;
	void *buf;			/* GET: where the bytes go (len bytes) */
	const struct f3_obj_part *parts;	/* COMPLETE */
	size_t n_parts;
	/* *LIST: goes on where the page ended that gave this cursor; NULL: from the start. What is
	 * there throughout comes once, also if entries or their pages have gone since. */
	const char *after;

	/* results */
	int result;			/* 0, -errno, F3_OBJ_AMBIGUOUS */
	bool ret_left;			/* in_parts: an upload of the target may be left */
	char message[256];		/* for people: which object, what the store said */
	uint64_t moved;			/* GET: bytes read (short only at the object's end) */
	uint32_t crc32c;		/* PUT, PART: of the very bytes sent */
	struct f3_obj_info info;	/* HEAD, GET, PUT, COPY, SET_ATTR, COMPLETE */
	char ret_upload[F3_OBJ_UPLOAD_MAX + 1];
	struct f3_obj_part ret_part;
	struct f3_obj_entry *entries;	/* LIST; none is no end: see ret_next */
	size_t n_entries;
	struct f3_obj_upload *uploads;
	size_t n_uploads;
	/* *LIST: the cursor for the next page, at most F3_OBJ_CURSOR_MAX bytes; NULL: this was the
	 * last one. Owned by the op. */
	const char *ret_next;

	/* the store's own */
	void *priv[4];
	void *heap;			/* what results point to; freed by f3_object_op_done */
};

/* What a store enforces; filled by probe.c when it is met, by trying, never from a Server header. Until
 * then it enforces nothing; what it does may become known while it is used. */
struct f3_obj_caps {
	_Atomic bool put_match, put_absent, complete_match, complete_absent, copy_source_match,
		copy_target_absent, set_attr_match, delete_match, range_part_copy, part_copy_match,
		list_has_attr, rename;
	bool attr_is_copy;	/* SET_ATTR costs as much as a copy of the object */
	bool utf8_keys;		/* keys of other bytes are refused */
	bool own_uploads;	/* nobody but F3 makes what UPLOAD_LIST shows */
	bool xattrs;		/* keeps attr.xattrs; without it they are dropped silently */
	uint64_t min_part_bytes, max_part_bytes, max_parts, max_put_bytes;
};

struct f3_object_store;

struct f3_object_ops {
	const char *scheme;
	/* Takes the op; calls op->done exactly once, maybe before returning. What is common to all
	 * stores (see f3_object_submit) has been checked. */
	void (*submit)(struct f3_object_store *s, struct f3_obj_op *op);
	/* Asks for an early end of an op that is under way; done still comes, with -ECANCELED if
	 * nothing happened. Does not look into the op, which may have ended meanwhile. */
	void (*cancel)(struct f3_object_store *s, struct f3_obj_op *op);
	/* -EIO and so on if the store is not there now (bucket or directory gone). Blocks. */
	int (*ping)(struct f3_object_store *s, struct f3_err *err);
	/* The first talk with a store at the other end of a network: is it there, may it be written,
	 * how does it want to be spoken to? Waits for it until then (0: as for any request). Blocks.
	 * NULL: known when it is open. */
	int (*meet)(struct f3_object_store *s, uint64_t deadline_mono_ns, struct f3_err *err);
	/* What is under way ends soon, and nothing more is done but close. NULL: nothing ever takes
	 * long. */
	void (*shut)(struct f3_object_store *s);
	void (*close)(struct f3_object_store *s);	/* waits for what is under way */
};

struct f3_object_store {
	const struct f3_object_ops *ops;
	struct f3_obj_caps caps;
	_Atomic bool unmet;		/* see f3_object_meet */
	_Atomic bool read_only;		/* told so, or there is no right to write there: -EROFS */
	char id[F3_ID_TEXT_BYTES];	/* the same again after it was away; "": it has none */
};

enum f3_s3_style { F3_S3_STYLE_AUTO, F3_S3_STYLE_PATH, F3_S3_STYLE_HOST };

/* How what is sent is protected: by a sum that the store checks. AUTO: CRC32C where it does, else the one
 * of MD5 and SHA-256 that is faster here and that it checks. */
enum f3_s3_checksum { F3_S3_CHECKSUM_AUTO, F3_S3_CHECKSUM_CRC32C, F3_S3_CHECKSUM_MD5,
		      F3_S3_CHECKSUM_SHA256, F3_S3_CHECKSUM_NONE };

/* What s3:// has besides; strings are NULL where nothing was said. */
struct f3_s3_options {
	const char *endpoint;		/* "https://HOST[:PORT]"; NULL: AWS's */
	const char *region, *profile;	/* NULL: as the AWS tools find them */
	const char *ca_file;
	const char *storage_class;	/* of new objects */
	const char *encryption;		/* "AES256", "aws:kms" */
	const char *kms_key;
	enum f3_s3_style style;
	enum f3_s3_checksum checksum;
	bool anonymous;			/* requests are not signed */
	unsigned max_parallel;		/* requests under way; 0: 64 */
	uint64_t timeout_ns;		/* without a byte; 0: 30 s */
	uint64_t hedge_ns;		/* a read without an answer is asked for again after, or later; 0: not */
};

struct f3_budget;

struct f3_object_options {
	const char *url;		/* scheme://... */
	unsigned threads;		/* of backends that need them; 0: their default */
	bool create;			/* make the directory / prefix if missing */
	bool read_only;			/* nothing is written there, not by probing either */
	bool meet_later;		/* a store behind a network is not talked to yet */
	const char *id;			/* must be its id, else -ESTALE; NULL or "": any */
	const struct f3_s3_options *s3;	/* of s3://; NULL: the defaults */
	struct f3_budget *budget;	/* its own buffers are taken from; NULL: from none */
};

/* Opens by scheme and, unless meet_later is set, meets. err names the URL (without secrets) and what to
 * do; when 0 is returned and err->text is not empty it is a warning (read_only). */
int f3_object_open(const struct f3_object_options *opt, struct f3_object_store **ret_s,
		   struct f3_err *err);
/*
 * Finds out whether it is there and what it does, which takes dozens of requests. Before that every
 * operation is -ENOTCONN. 0 at once if it was met before; else the errors of f3_object_open, and
 * it may be tried again. deadline_mono_ns: for its first answer; 0: as for any request. Blocks; one
 * caller at a time.
 */
int f3_object_meet(struct f3_object_store *s, uint64_t deadline_mono_ns, struct f3_err *err);
/* What is under way ends soon, operations from now on are refused. Before f3_object_close where
 * somebody may be in f3_object_meet. */
void f3_object_shut(struct f3_object_store *s);
void f3_object_close(struct f3_object_store *s);

/*
 * The door of every operation: -EINVAL without what its type needs (a gen, an etag for MATCH, a
 * body), -ENAMETOOLONG, -EROFS; then the store's. A store with too much queued answers -EAGAIN:
 * who starts operations bounds how many.
 */
void f3_object_submit(struct f3_object_store *s, struct f3_obj_op *op);
void f3_object_cancel(struct f3_object_store *s, struct f3_obj_op *op);
/* Waits; returns op->result. op->done is used by it. Not from a store's thread. */
int f3_object_run(struct f3_object_store *s, struct f3_obj_op *op);
void f3_object_op_init(struct f3_obj_op *op, enum f3_obj_type type);
void f3_object_op_done(struct f3_obj_op *op);	/* frees results; the op can be submitted again */
bool f3_obj_type_mutates(enum f3_obj_type type);
const char *f3_obj_type_name(enum f3_obj_type type);	/* "put" */

/* Once, at start. */
void f3_object_register_metrics(void);

/* s3://bucket/prefix */
int f3_object_s3_open(const struct f3_object_options *opt, struct f3_object_store **ret_s,
		      struct f3_err *err);
/* file:///dir */
int f3_object_file_open(const struct f3_object_options *opt, struct f3_object_store **ret_s,
			struct f3_err *err);

/* "id.generation.attempt" */
#define F3_OBJ_GEN_TEXT 80
void f3_obj_gen_format(const struct f3_obj_gen *gen, char ret_text[F3_OBJ_GEN_TEXT]);
int f3_obj_gen_parse(const char *text, struct f3_obj_gen *ret_gen);
bool f3_obj_gen_equal(const struct f3_obj_gen *a, const struct f3_obj_gen *b);

#endif
