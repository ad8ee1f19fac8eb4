/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/debug.h"

/* Between two looks at cancellation and deadline. */
#define CHUNK_BYTES (8ull << 20)
#define COPY_CHUNK_BYTES (64ull << 20)

int f3_objfile_object_open(struct f3_objfile_job *job, const char *key, const char *etag,
			   struct f3_objfile_object *ret_o)
{
	struct f3_objfile_object o;
	char now[F3_OBJ_ETAG_MAX + 1];
	int r;

	r = f3_objfile_parent(job->root, key, O_PATH, &o.dir_fd, &o.name);
	if (r < 0)
		return r == -ENOTDIR ? -ENOENT : r;
	o.fd = f3_objfile_open_name(o.dir_fd, o.name, &o.st);
	if (o.fd < 0 && o.fd != -ELOOP && o.fd != -ENXIO && o.fd != -EACCES) {
		r = o.fd;
		close(o.dir_fd);
		return r;
	}
	f3_objfile_etag(&o.st, now);
	if (etag && strcmp(etag, now) != 0) {
		f3_objfile_object_close(&o);
		return -ESTALE;
	}
	*ret_o = o;
	return 0;
}

void f3_objfile_object_close(struct f3_objfile_object *o)
{
	if (o->fd >= 0)
		close(o->fd);
	close(o->dir_fd);
}

int f3_objfile_object_check(const struct f3_objfile_object *o, const char *etag)
{
	char now[F3_OBJ_ETAG_MAX + 1];
	struct stat st;
	int r;

	if (o->fd >= 0)
		r = fstat(o->fd, &st);
	else
		r = fstatat(o->dir_fd, o->name, &st, AT_SYMLINK_NOFOLLOW);
	if (r < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	if (!etag)
		return f3_objfile_same(&st, &o->st) ? 0 : -ESTALE;
	f3_objfile_etag(&st, now);
	return strcmp(etag, now) ? -ESTALE : 0;
}

int f3_objfile_readlink(const struct f3_objfile_object *o, char *buf, size_t size, size_t *ret_len)
{
	ssize_t len = readlinkat(o->dir_fd, o->name, buf, size);

	if (len < 0)
		return errno == EINVAL || errno == ENOENT ? -ESTALE : -errno;
	if ((size_t)len == size)
		return -ENAMETOOLONG;
	*ret_len = (size_t)len;
	return 0;
}

static int get_link(const struct f3_objfile_object *o, struct f3_obj_op *op)
{
	char target[PATH_MAX];
	size_t len = 0;
	int r;

	r = f3_objfile_readlink(o, target, sizeof(target), &len);
	if (r < 0)
		return r;
	if (op->off < len) {
		len -= op->off;
		op->moved = len < op->len ? len : op->len;
		memcpy(op->buf, target + op->off, op->moved);
	}
	return 0;
}

static int get_bytes(struct f3_objfile_job *job, int fd)
{
	struct f3_obj_op *op = job->op;

	while (op->moved < op->len) {
		uint64_t want = op->len - op->moved;
		ssize_t n;
		int r = f3_objfile_interrupted(job);

		if (r < 0)
			return r;
		n = pread(fd, (char *)op->buf + op->moved, want < CHUNK_BYTES ? want : CHUNK_BYTES,
			  (off_t)(op->off + op->moved));
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (!n)
			break;
		op->moved += (uint64_t)n;
	}
	return 0;
}

int f3_objfile_get(struct f3_objfile_job *job)
{
	struct f3_obj_op *op = job->op;
	struct f3_objfile_object o;
	int r;

	f3_debug_point("objfile.get");
	r = f3_objfile_object_open(job, op->key, op->etag, &o);
	if (r < 0)
		return r;
	if (S_ISDIR(o.st.st_mode))
		r = -EISDIR;
	else if (o.fd >= 0)
		r = get_bytes(job, o.fd);
	else if (o.fd == -ELOOP)
		r = get_link(&o, op);
	else if (o.fd != -ENXIO)
		r = o.fd;
	/* Written in place meanwhile: the bytes may be a mixture. */
	if (!r && op->etag)
		r = f3_objfile_object_check(&o, op->etag);
	if (!r)
		r = f3_objfile_result(job, o.fd, &o.st);
	f3_objfile_object_close(&o);
	return r;
}

int f3_objfile_head(struct f3_objfile_job *job)
{
	struct f3_objfile_object o;
	int r;

	r = f3_objfile_object_open(job, job->op->key, NULL, &o);
	if (r < 0)
		return r;
	if (S_ISDIR(o.st.st_mode) ? job->op->want == F3_OBJ_WANT_OBJECT :
				    job->op->want == F3_OBJ_WANT_DIR)
		r = -ENOENT;
	else
		r = f3_objfile_result(job, o.fd, &o.st);
	f3_objfile_object_close(&o);
	return r;
}

/* ---- Copies -------------------------------------------------------------------------------- */

int f3_objfile_write_all(int fd, const void *bytes, size_t len, uint64_t off)
{
	const char *p = bytes;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int copy_by_buffer(struct f3_objfile_job *job, int in_fd, uint64_t in_off, int out_fd,
			  uint64_t out_off, uint64_t len)
{
	size_t size = len < F3_OBJFILE_BUFFER_BYTES ? len : F3_OBJFILE_BUFFER_BYTES;
	char *buf = malloc(size);
	int r = 0;

	if (!buf)
		return -ENOMEM;
	while (!r && len) {
		ssize_t n = pread(in_fd, buf, len < size ? len : size, (off_t)in_off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : -ESTALE;
			break;
		}
		r = f3_objfile_write_all(out_fd, buf, (size_t)n, out_off);
		in_off += (uint64_t)n;
		out_off += (uint64_t)n;
		len -= (uint64_t)n;
		if (!r)
			r = f3_objfile_interrupted(job);
	}
	free(buf);
	return r;
}

int f3_objfile_copy_range(struct f3_objfile_job *job, int in_fd, uint64_t in_off, int out_fd,
			  uint64_t out_off, uint64_t len)
{
	/* Shares the blocks where the file system can, else copies in the kernel. */
	while (len) {
		off_t from = (off_t)in_off, to = (off_t)out_off;
		ssize_t n;
		int r = f3_objfile_interrupted(job);

		if (r < 0)
			return r;
		n = copy_file_range(in_fd, &from, out_fd, &to,
				    len < COPY_CHUNK_BYTES ? len : COPY_CHUNK_BYTES, 0);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EFBIG)
				return -errno;
			return copy_by_buffer(job, in_fd, in_off, out_fd, out_off, len);
		}
		if (!n)
			return -ESTALE;
		in_off += (uint64_t)n;
		out_off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}
