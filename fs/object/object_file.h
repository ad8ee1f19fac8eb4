/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object_file: what the source files of the file:/// backend share. Nobody else includes it.
 *
 *   object_file.c         the store: open, close, queue, is the directory still there
 *   object_file_path.c    keys to files that cannot lead out of the directory; gates; .f3/tmp
 *   object_file_meta.c    etag, attributes, generation of a file
 *   object_file_read.c    GET HEAD; source side of copies
 *   object_file_write.c   PUT COPY SET_ATTR DELETE; publishing
 *   object_file_dir.c     MKDIR RMDIR RENAME
 *   object_file_list.c    LIST
 *   object_file_upload.c  UPLOAD_*
 *
 * On disk: an object is a plain file of its key's path, a directory is its own marker, and
 *   .f3/id             32 hex digits: the same directory again after it was away
 *   .f3/tmp/I          lock file of a running store, I.N its files in the making; those of a
 *                      store that has died are removed by the next one to open
 *   .f3/upload/ID/     a multipart upload: "manifest", "parts" (records), "data"
 *   .f3/gen/INO        sidecar: generation of files that cannot have xattrs
 *
 * Conditions among F3 stores hold always, between processes too where names can be exchanged
 * (RENAME_EXCHANGE: every local file system); elsewhere (NFS) only within one process. Against
 * others who change the directory directly:
 *   - a put or delete under MATCH takes the old object out by its name and looks at it before it
 *     is gone for good: one that was replaced in between goes back. For that moment readers may
 *     see the new object, or none. A program that goes on writing into the old inode loses that.
 *   - SET_ATTR and RENAME check, then act: somebody may come between.
 *   - an object written in place can be read half old, half new by whoever learned its etag in
 *     the middle of that write. Before Linux 6.13, and on file systems with coarse times, a change
 *     of the same length within one clock tick (4 ms) of the one before has the same etag.
 *
 * Lock: f3_objfile_store.lock for what is marked with it; never held during I/O. Gates (below) are
 * held across the few metadata calls that check a condition and publish.
 */
#ifndef F3_OBJECT_OBJECT_FILE_H
#define F3_OBJECT_OBJECT_FILE_H

#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "fs/base/buf.h"
#include "fs/base/lock.h"
#include "fs/base/workq.h"
#include "fs/object/object.h"

#define F3_OBJFILE_BUFFER_BYTES (1u << 20)		/* one transfer buffer per running operation */
#define F3_OBJFILE_XATTRS_MAX (256u << 10)		/* encoded user xattrs of one file */
#define F3_OBJFILE_PARTS_MAX 10000u
#define F3_OBJFILE_INSTANCE_BYTES 17
#define F3_OBJFILE_TMP_NAME_BYTES 40

/* The directory as opened. Replaced as a whole when it has come back as another inode. */
struct f3_objfile_root {
	unsigned refs;			/* store lock */
	dev_t dev;
	ino_t ino;
	int fd;
	int tmp_fd, upload_fd, gen_fd;	/* -1 where there are none (read-only) */
	int lock_fd;
	bool read_only;
	bool told_read_only;		/* whether or not it may be written */
	bool xattrs;			/* the file system has user.* xattrs */
	char instance[F3_OBJFILE_INSTANCE_BYTES];
	char id[F3_ID_TEXT_BYTES];
	_Atomic uint64_t counter;	/* names of temporary files */
};

struct f3_objfile_names;

/* A range of an upload's data being written, or (whole) the upload being completed. */
struct f3_objfile_busy {
	struct f3_objfile_busy *next;
	char upload[F3_ID_TEXT_BYTES];
	uint32_t part;
	uint64_t off, len;
	bool whole;
};

struct f3_objfile_store {
	struct f3_object_store base;
	char *path;
	struct f3_workq *q, *send_q;	/* send_q: what brings bytes into the store */
	struct f3_lock lock;
	struct f3_objfile_root *root;	/* lock */
	uint64_t checked_mono_ns;	/* lock: when the directory was last seen to be there */
	struct f3_objfile_job *jobs;	/* lock: what is queued or running */
	struct f3_objfile_busy *busy;	/* lock */
	struct f3_objfile_names *names;	/* lock: rest of the last listing */
};

struct f3_objfile_job {
	struct f3_work work;
	struct f3_objfile_store *store;
	struct f3_objfile_root *root;
	struct f3_obj_op *op;
	struct f3_objfile_job *next, **link;	/* lock */
	atomic_bool cancelled;
	bool doubt;	/* the answer rests on something not being there: is the directory? */
};

/* Sets op->message to "key: ..." and returns error. */
int f3_objfile_fail(struct f3_objfile_job *job, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* -ECANCELED, -ETIMEDOUT or 0. Asked between chunks, never after the point of no return. */
int f3_objfile_interrupted(const struct f3_objfile_job *job);

/* ---- object_file_path.c */
int f3_objfile_key_check(const char *key);
/* Opens a directory below the root without following any link: fd or -errno (-ENOTDIR when
 * something on the way is none). flags: O_PATH or O_RDONLY. */
int f3_objfile_open_dir(const struct f3_objfile_root *root, const char *path, size_t len, int flags);
/* The directory a key lies in, and its last component there (points into key). */
int f3_objfile_parent(const struct f3_objfile_root *root, const char *key, int flags, int *ret_fd,
		   const char **ret_name);
/* The same to write there: missing directories are made. */
int f3_objfile_parent_make(const struct f3_objfile_root *root, const char *key, int *ret_fd,
			const char **ret_name);
/* Opens name in dir_fd for reading if it is a plain file or directory, for what is on disk may
 * be a FIFO or a device: never opened, -ENXIO; a symbolic link: -ELOOP. *ret_st is of the fd. */
int f3_objfile_open_name(int dir_fd, const char *name, struct stat *ret_st);
/* Serialises check-and-publish on up to two names among all stores of this process. */
uint64_t f3_objfile_gate(int dir_fd, const char *name);
void f3_objfile_gates_enter(uint64_t gates);
void f3_objfile_gates_leave(uint64_t gates);
/* renameat2 without replacing, by whatever means the file system has; -EEXIST. */
int f3_objfile_rename_new(int from_dir, const char *from, int to_dir, const char *to);
int f3_objfile_rename_exchange(int from_dir, const char *from, int to_dir, const char *to);
int f3_objfile_sync_dir(int fd);
void f3_objfile_tmp_name(struct f3_objfile_root *root, char ret_name[F3_OBJFILE_TMP_NAME_BYTES]);
/* A file in .f3/tmp, mode 0600: fd or -errno. */
int f3_objfile_tmp_create(struct f3_objfile_root *root, char ret_name[F3_OBJFILE_TMP_NAME_BYTES]);
/* Removes a file, or a directory with what is in it (bounded depth). */
int f3_objfile_remove(int dir_fd, const char *name);
int f3_objfile_instance_start(struct f3_objfile_root *root);
void f3_objfile_instance_stop(struct f3_objfile_root *root);
void f3_objfile_tmp_clean(const struct f3_objfile_root *root);

/* ---- object_file_meta.c */
void f3_objfile_etag(const struct stat *st, char ret_etag[F3_OBJ_ETAG_MAX + 1]);
bool f3_objfile_same(const struct stat *a, const struct stat *b);	/* inode and content */
/* Attributes (NULL: defaults) and generation (NULL: none of its own) onto an open plain file or
 * directory; `fresh` if nobody has seen it yet. Leaves fd's final stat in *ret_st. */
int f3_objfile_apply(const struct f3_objfile_root *root, int fd, bool fresh,
		  const struct f3_obj_attr *attr, const struct f3_obj_gen *gen,
		  struct stat *ret_st);
int f3_objfile_apply_link(const struct f3_objfile_root *root, int dir_fd, const char *name,
		       const struct f3_obj_attr *attr, const struct f3_obj_gen *gen,
		       struct stat *ret_st);
/* fd: open plain file or directory, or -1 (links, special files, what may not be opened). User
 * xattrs are appended to `xattrs` (an error of it: they did not fit; have_attr is false then),
 * info->attr.xattrs is left NULL, xattrs_len set. */
void f3_objfile_info(const struct f3_objfile_root *root, int fd, const struct stat *st,
		  struct f3_buf *xattrs, struct f3_obj_info *ret_info);
/* The info of the operation's result, xattrs in op->heap. 0 or -ENOMEM. */
/* Marks what lies there already with the generation, unless it is of the same file. fd: -1 for a
 * symbolic link. Best effort. */
void f3_objfile_mark(const struct f3_objfile_root *root, int fd, const struct stat *st,
		     const struct f3_obj_gen *gen);
int f3_objfile_result(struct f3_objfile_job *job, int fd, const struct stat *st);
/* The file is gone: so is its sidecar, if it had one. */
void f3_objfile_forget(const struct f3_objfile_root *root, const struct stat *st);
bool f3_objfile_xattrs_valid(const void *xattrs, size_t len);

/* ---- object_file_read.c */
struct f3_objfile_object {
	int dir_fd;
	const char *name;
	int fd;			/* -ELOOP: symbolic link, -ENXIO: special file, -EACCES: not ours */
	struct stat st;
};

/* Finds an object or directory; etag (may be NULL) is compared. f3_objfile_object_close. */
int f3_objfile_object_open(struct f3_objfile_job *job, const char *key, const char *etag,
			struct f3_objfile_object *ret_o);
void f3_objfile_object_close(struct f3_objfile_object *o);
/* -ESTALE unless it is still what was opened: by its etag, or where nobody asked for that only
 * in content, since a changed name or mode does not matter to bytes already copied. */
int f3_objfile_object_check(const struct f3_objfile_object *o, const char *etag);
int f3_objfile_readlink(const struct f3_objfile_object *o, char *buf, size_t size, size_t *ret_len);
int f3_objfile_write_all(int fd, const void *bytes, size_t len, uint64_t off);
/* From an open file of `len` bytes at in_off; -ESTALE if it is shorter by now. */
int f3_objfile_copy_range(struct f3_objfile_job *job, int in_fd, uint64_t in_off, int out_fd,
		       uint64_t out_off, uint64_t len);
int f3_objfile_get(struct f3_objfile_job *job);
int f3_objfile_head(struct f3_objfile_job *job);

/* ---- object_file_write.c */
/* The operation's body into fd at off, and the CRC of what was written. */
int f3_objfile_write_body(struct f3_objfile_job *job, int fd, uint64_t off, uint32_t *ret_crc32c);
/* Does the condition hold now? For an early answer only: publishing asks again. */
int f3_objfile_cond_check(struct f3_objfile_job *job, const char *key);
/* Puts from_dir/from (whose final stat is *st) in the place of key under the op's condition, and
 * syncs the directory. On success *st is that of the published object. */
int f3_objfile_publish(struct f3_objfile_job *job, int from_dir, const char *from, const char *key,
		    struct stat *st);
int f3_objfile_put(struct f3_objfile_job *job);
int f3_objfile_copy(struct f3_objfile_job *job);
int f3_objfile_set_attr(struct f3_objfile_job *job);
int f3_objfile_delete(struct f3_objfile_job *job);

/* ---- object_file_dir.c */
int f3_objfile_mkdir(struct f3_objfile_job *job);
int f3_objfile_rmdir(struct f3_objfile_job *job);
int f3_objfile_rename(struct f3_objfile_job *job);

/* ---- object_file_list.c */
/* The names of a directory after `after`, sorted by bytes; the smallest `max` at most. */
struct f3_objfile_names {
	dev_t dev;		/* of the directory, and what it looked like when read */
	ino_t ino;
	struct timespec mtime, ctime;
	char *after;		/* the names begin behind this; NULL: at the start */
	char **name;
	size_t n;
	bool complete;		/* nothing was left out at the end */
};

int f3_objfile_names_read(int dir_fd, const char *after, size_t max, struct f3_objfile_names **ret_n);
void f3_objfile_names_free(struct f3_objfile_names *names);
int f3_objfile_list(struct f3_objfile_job *job);

/* ---- object_file_upload.c */
int f3_objfile_upload_create(struct f3_objfile_job *job);
int f3_objfile_upload_part(struct f3_objfile_job *job);
int f3_objfile_upload_part_copy(struct f3_objfile_job *job);
int f3_objfile_upload_complete(struct f3_objfile_job *job);
int f3_objfile_upload_abort(struct f3_objfile_job *job);
int f3_objfile_upload_list(struct f3_objfile_job *job);

#endif
