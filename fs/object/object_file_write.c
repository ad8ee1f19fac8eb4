/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/crc32c.h"
#include "fs/base/debug.h"

/* ---- Bodies -------------------------------------------------------------------------------- */

/* The next `want` bytes of the body: in memory already, or read into buf. */
static int body_chunk(struct f3_obj_op *op, uint64_t done, size_t want, char *buf,
		      const char **ret_p, size_t *ret_len)
{
	ssize_t n;

	if (op->body) {
		*ret_p = (const char *)op->body + done;
		*ret_len = want;
		return 0;
	}
	do
		n = pread(op->fd, buf, want, (off_t)(op->fd_off + done));
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -ENODATA;
	*ret_p = buf;
	*ret_len = (size_t)n;
	return 0;
}

/* Zeros in the midst of a body are holes of the object; what may have been there goes. */
static bool left_out(int fd, const char *p, size_t n, uint64_t off)
{
	return !p[0] && !memcmp(p, p + 1, n - 1) &&
	       !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)n);
}

int f3_objfile_write_body(struct f3_objfile_job *job, int fd, uint64_t off, uint32_t *ret_crc32c)
{
	struct f3_obj_op *op = job->op;
	size_t size = op->len < F3_OBJFILE_BUFFER_BYTES ? op->len : F3_OBJFILE_BUFFER_BYTES, n;
	uint64_t done = 0;
	uint32_t crc = 0;
	char *buf = NULL;
	const char *p;
	int r = 0;

	if (!op->body && size) {
		buf = malloc(size);
		if (!buf)
			return -ENOMEM;
	}
	while (!r && done < op->len) {
		size_t want = op->len - done < size ? op->len - done : size;

		r = f3_objfile_interrupted(job);
		if (!r)
			r = body_chunk(op, done, want, buf, &p, &n);
		if (r < 0)
			break;
		/* of the very bytes that go out: the file they come from may change any time */
		crc = f3_crc32c(crc, p, n);
		/* Its end makes the file as long as it has to be. */
		if (done + n == op->len || !left_out(fd, p, n, off + done))
			r = f3_objfile_write_all(fd, p, n, off + done);
		done += n;
	}
	free(buf);
	if (!r)
		*ret_crc32c = crc;
	return r;
}

/* ---- Publishing ---------------------------------------------------------------------------- */

static int check_cond(const struct f3_obj_op *op, const struct stat *old)
{
	char etag[F3_OBJ_ETAG_MAX + 1];

	if (old && S_ISDIR(old->st_mode))
		return -EISDIR;
	if (op->cond == F3_OBJ_ABSENT && old)
		return -EEXIST;
	if (op->cond != F3_OBJ_MATCH)
		return 0;
	if (!old)
		return -ESTALE;
	f3_objfile_etag(old, etag);
	return strcmp(etag, op->etag) ? -ESTALE : 0;
}

int f3_objfile_cond_check(struct f3_objfile_job *job, const char *key)
{
	const char *name;
	struct stat st;
	bool have;
	int dir_fd, r;

	r = f3_objfile_parent(job->root, key, O_PATH, &dir_fd, &name);
	if (r == -ENOENT)
		return check_cond(job->op, NULL);
	if (r < 0)
		return r;
	have = !fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW);
	r = have || errno == ENOENT ? check_cond(job->op, have ? &st : NULL) : -errno;
	close(dir_fd);
	return r;
}

/* The old object is out of the way under our own name: was it the one the condition meant? If
 * somebody came between looking and exchanging, theirs goes back. */
static int settle_exchange(int from_dir, const char *from, int dir_fd, const char *name,
			   const struct stat *old)
{
	struct stat out;

	if (!fstatat(from_dir, from, &out, AT_SYMLINK_NOFOLLOW) && f3_objfile_same(&out, old)) {
		unlinkat(from_dir, from, 0);
		return 0;
	}
	if (f3_objfile_rename_exchange(from_dir, from, dir_fd, name) < 0)
		f3_objfile_rename_new(from_dir, from, dir_fd, name);
	return -ESTALE;
}

static int place(const struct f3_objfile_root *root, const struct f3_obj_op *op, int from_dir,
		 const char *from, int dir_fd, const char *name)
{
	struct stat old;
	bool have = !fstatat(dir_fd, name, &old, AT_SYMLINK_NOFOLLOW);
	int r = have || errno == ENOENT ? check_cond(op, have ? &old : NULL) : -errno;

	if (r < 0)
		return r;
	switch (op->cond) {
	case F3_OBJ_ABSENT:
		return f3_objfile_rename_new(from_dir, from, dir_fd, name);
	case F3_OBJ_MATCH:
		r = f3_objfile_rename_exchange(from_dir, from, dir_fd, name);
		if (!r)
			r = settle_exchange(from_dir, from, dir_fd, name, &old);
		else if (r == -ENOENT)
			r = -ESTALE;
		else if (r == -EOPNOTSUPP)
			r = renameat(from_dir, from, dir_fd, name) < 0 ? -errno : 0;
		break;
	case F3_OBJ_ANY:
		r = renameat(from_dir, from, dir_fd, name) < 0 ? -errno : 0;
		break;
	}
	if (!r && have)
		f3_objfile_forget(root, &old);
	return r;
}

int f3_objfile_publish(struct f3_objfile_job *job, int from_dir, const char *from, const char *key,
		       struct stat *st)
{
	int r = -ENOENT;

	/* The directory may be removed by others between finding and using it. */
	for (int tries = 0; r == -ENOENT && tries < 4; tries++) {
		const char *name;
		struct stat now;
		uint64_t gate;
		int dir_fd;

		r = f3_objfile_parent_make(job->root, key, &dir_fd, &name);
		if (r < 0)
			return r;
		gate = f3_objfile_gate(dir_fd, name);
		f3_objfile_gates_enter(gate);
		r = place(job->root, job->op, from_dir, from, dir_fd, name);
		f3_objfile_gates_leave(gate);
		/* The rename changed the ctime and so the etag. Somebody who wrote into the file
		 * since then must not have his bytes taken for ours: the old stat matches no
		 * etag any more. */
		if (!r && !fstatat(dir_fd, name, &now, AT_SYMLINK_NOFOLLOW) &&
		    f3_objfile_same(&now, st))
			*st = now;
		if (!r) {
			r = f3_objfile_sync_dir(dir_fd);
			if (r < 0)
				f3_objfile_fail(job, r,
						"published, but the directory cannot be synced");
		}
		close(dir_fd);
	}
	if (r == -ENOENT)
		return f3_objfile_fail(job, -EIO, "its temporary file in .f3/tmp has been removed");
	if (r == -EXDEV)
		return f3_objfile_fail(job, r, "lies on another file system than .f3/tmp");
	return r;
}

/* A finished file in .f3/tmp: attributes, to disk, into place, result. Consumes the name. */
static int finish(struct f3_objfile_job *job, int fd, const char *tmp, const char *key,
		  const struct f3_obj_attr *attr)
{
	struct stat st;
	int r;

	r = f3_objfile_apply(job->root, fd, true, attr, job->op->gen, &st);
	if (!r && fsync(fd) < 0)
		r = -errno;
	if (!r)
		r = f3_objfile_interrupted(job);
	if (!r)
		r = f3_objfile_publish(job, job->root->tmp_fd, tmp, key, &st);
	if (!r)
		r = f3_objfile_result(job, fd, &st);
	return r;
}

static int finish_link(struct f3_objfile_job *job, const char *target, const char *key,
		       const struct f3_obj_attr *attr)
{
	struct f3_objfile_root *root = job->root;
	char tmp[F3_OBJFILE_TMP_NAME_BYTES];
	struct stat st;
	int r;

	f3_objfile_tmp_name(root, tmp);
	if (symlinkat(target, root->tmp_fd, tmp) < 0)
		return -errno;
	r = f3_objfile_apply_link(root, root->tmp_fd, tmp, attr, job->op->gen, &st);
	if (!r)
		r = f3_objfile_publish(job, root->tmp_fd, tmp, key, &st);
	if (!r)
		r = f3_objfile_result(job, -ELOOP, &st);
	else
		unlinkat(root->tmp_fd, tmp, 0);
	return r;
}

/* ---- PUT ----------------------------------------------------------------------------------- */

static int put_link(struct f3_objfile_job *job)
{
	struct f3_obj_op *op = job->op;
	char target[PATH_MAX];
	const char *p;
	size_t len = 0, n;
	int r;

	if (op->len >= sizeof(target))
		return f3_objfile_fail(job, -ENAMETOOLONG, "the target of the link is too long");
	while (len < op->len) {
		r = body_chunk(op, len, op->len - len, target + len, &p, &n);
		if (r < 0)
			return r;
		memmove(target + len, p, n);
		len += n;
	}
	target[len] = 0;
	if (!len || strlen(target) != len)
		return f3_objfile_fail(job, -EINVAL, "no target of a link");
	r = finish_link(job, target, op->key, op->attr);
	if (!r)
		op->crc32c = f3_crc32c(0, target, len);
	return r;
}

int f3_objfile_put(struct f3_objfile_job *job)
{
	struct f3_obj_op *op = job->op;
	uint32_t type = op->attr && op->attr->have_mode ? op->attr->mode & S_IFMT : 0;
	char tmp[F3_OBJFILE_TMP_NAME_BYTES];
	int fd, r;

	f3_debug_point("objfile.put");
	r = f3_objfile_cond_check(job, op->key);
	if (r < 0)
		return r;
	if (type == S_IFLNK)
		return put_link(job);
	if (type == S_IFDIR)
		return f3_objfile_fail(job, -EINVAL, "a directory is no object");
	if (type && type != S_IFREG && op->len)
		return f3_objfile_fail(job, -EINVAL, "a special file has no body");
	fd = f3_objfile_tmp_create(job->root, tmp);
	if (fd < 0)
		return fd;
	r = f3_objfile_write_body(job, fd, 0, &op->crc32c);
	if (!r)
		r = finish(job, fd, tmp, op->key, op->attr);
	close(fd);
	if (r < 0)
		unlinkat(job->root->tmp_fd, tmp, 0);
	return r;
}

/* ---- COPY ---------------------------------------------------------------------------------- */

static int copy_link(struct f3_objfile_job *job, const struct f3_objfile_object *o,
		     const struct f3_obj_attr *attr)
{
	char target[PATH_MAX];
	size_t len;
	int r;

	r = f3_objfile_readlink(o, target, sizeof(target) - 1, &len);
	if (r < 0)
		return r;
	target[len] = 0;
	r = f3_objfile_object_check(o, job->op->etag2);
	return r ? r : finish_link(job, target, job->op->key2, attr);
}

static int copy_bytes(struct f3_objfile_job *job, const struct f3_objfile_object *o,
		      const struct f3_obj_attr *attr)
{
	char tmp[F3_OBJFILE_TMP_NAME_BYTES];
	int r = 0, fd = f3_objfile_tmp_create(job->root, tmp);

	if (fd < 0)
		return fd;
	/* a special file of others has attributes only */
	if (o->fd >= 0)
		r = f3_objfile_copy_range(job, o->fd, 0, fd, 0, (uint64_t)o->st.st_size);
	if (!r)
		r = f3_objfile_object_check(o, job->op->etag2);
	if (!r)
		r = finish(job, fd, tmp, job->op->key2, attr);
	close(fd);
	if (r < 0)
		unlinkat(job->root->tmp_fd, tmp, 0);
	return r;
}

int f3_objfile_copy(struct f3_objfile_job *job)
{
	struct f3_obj_op *op = job->op;
	struct f3_objfile_object o;
	struct f3_obj_info info;
	struct f3_buf xattrs;
	int r;

	r = f3_objfile_object_open(job, op->key, op->etag2, &o);
	if (r < 0)
		return r;
	f3_buf_init(&xattrs, F3_OBJFILE_XATTRS_MAX);
	f3_objfile_info(job->root, o.fd, &o.st, &xattrs, &info);
	info.attr.xattrs = xattrs.data;
	if (info.is_dir)
		r = -EISDIR;
	else if (o.fd == -EACCES)
		r = -EACCES;
	else if (!info.have_attr && !op->attr)
		r = xattrs.error == -EMSGSIZE ? -E2BIG : xattrs.error;
	if (!r)
		r = f3_objfile_cond_check(job, op->key2);
	if (!r)
		r = (o.fd == -ELOOP ? copy_link : copy_bytes)(job, &o,
							      op->attr ? op->attr : &info.attr);
	f3_buf_done(&xattrs);
	f3_objfile_object_close(&o);
	return r;
}

/* ---- SET_ATTR, DELETE ---------------------------------------------------------------------- */

static int apply_in_place(struct f3_objfile_job *job, struct f3_objfile_object *o)
{
	struct f3_obj_op *op = job->op;
	char etag[F3_OBJ_ETAG_MAX + 1];

	f3_objfile_etag(&o->st, etag);
	if (op->cond == F3_OBJ_MATCH && strcmp(etag, op->etag) != 0)
		return -ESTALE;
	if (o->fd == -ELOOP)
		return f3_objfile_apply_link(job->root, o->dir_fd, o->name, op->attr, op->gen,
					     &o->st);
	if (o->fd == -ENXIO)
		return f3_objfile_fail(job, -EOPNOTSUPP, "a special file made by others");
	if (o->fd < 0)
		return o->fd;
	return f3_objfile_apply(job->root, o->fd, false, op->attr, op->gen, &o->st);
}

int f3_objfile_set_attr(struct f3_objfile_job *job)
{
	struct f3_obj_op *op = job->op;
	struct f3_objfile_object o;
	const char *name;
	uint64_t gate;
	int dir_fd, r;

	if (op->cond == F3_OBJ_ABSENT || !op->attr)
		return f3_objfile_fail(job, -EINVAL, "attributes of nothing");
	r = f3_objfile_parent(job->root, op->key, O_RDONLY, &dir_fd, &name);
	if (r < 0)
		goto absent;
	/* found again behind the gate, so that no publication comes between check and change */
	gate = f3_objfile_gate(dir_fd, name);
	f3_objfile_gates_enter(gate);
	r = f3_objfile_object_open(job, op->key, NULL, &o);
	if (!r) {
		r = apply_in_place(job, &o);
		if (r < 0)
			f3_objfile_object_close(&o);
	}
	f3_objfile_gates_leave(gate);
	if (!r) {
		r = o.fd >= 0 && fsync(o.fd) < 0 ? -errno : f3_objfile_sync_dir(dir_fd);
		if (!r)
			r = f3_objfile_result(job, o.fd, &o.st);
		f3_objfile_object_close(&o);
	}
	close(dir_fd);
absent:
	if (r == -ENOTDIR)
		r = -ENOENT;
	if (r == -ENOENT && op->cond == F3_OBJ_MATCH) {
		job->doubt = true;
		r = -ESTALE;
	}
	return r;
}

/* Moved aside first, so that it is certainly the one meant that is removed: an object that
 * somebody else put there after the check goes back. */
static int remove_matching(struct f3_objfile_job *job, int dir_fd, const char *name,
			   const struct stat *old)
{
	struct f3_objfile_root *root = job->root;
	char tmp[F3_OBJFILE_TMP_NAME_BYTES];
	struct stat out;

	f3_objfile_tmp_name(root, tmp);
	if (renameat(dir_fd, name, root->tmp_fd, tmp) < 0) {
		/* on another file system: nothing to move it to */
		if (errno == EXDEV)
			return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
		return errno == ENOENT ? -ESTALE : -errno;
	}
	if (!fstatat(root->tmp_fd, tmp, &out, AT_SYMLINK_NOFOLLOW) && f3_objfile_same(&out, old)) {
		unlinkat(root->tmp_fd, tmp, 0);
		return 0;
	}
	/* unless there is a newer one by now, which has replaced it */
	if (f3_objfile_rename_new(root->tmp_fd, tmp, dir_fd, name) == -EEXIST)
		unlinkat(root->tmp_fd, tmp, 0);
	return -ESTALE;
}

static int delete_at(struct f3_objfile_job *job, int dir_fd, const char *name)
{
	struct f3_obj_op *op = job->op;
	char etag[F3_OBJ_ETAG_MAX + 1];
	struct stat old;
	int r;

	if (fstatat(dir_fd, name, &old, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(old.st_mode))
		return -ENOENT;
	if (op->cond == F3_OBJ_MATCH) {
		f3_objfile_etag(&old, etag);
		r = strcmp(etag, op->etag) ? -ESTALE : remove_matching(job, dir_fd, name, &old);
	} else {
		r = unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
	}
	if (!r)
		f3_objfile_forget(job->root, &old);
	return r;
}

int f3_objfile_delete(struct f3_objfile_job *job)
{
	struct f3_obj_op *op = job->op;
	const char *name;
	uint64_t gate;
	int dir_fd, r;

	if (op->cond == F3_OBJ_ABSENT)
		return f3_objfile_fail(job, -EINVAL, "delete of what is absent");
	r = f3_objfile_parent(job->root, op->key, O_RDONLY, &dir_fd, &name);
	if (!r) {
		gate = f3_objfile_gate(dir_fd, name);
		f3_objfile_gates_enter(gate);
		r = delete_at(job, dir_fd, name);
		f3_objfile_gates_leave(gate);
		if (!r)
			r = f3_objfile_sync_dir(dir_fd);
		close(dir_fd);
	}
	if (r == -ENOENT || r == -ENOTDIR) {
		job->doubt = true;
		r = op->cond == F3_OBJ_MATCH ? -ESTALE : 0;
	}
	return r;
}
