/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- MKDIR --------------------------------------------------------------------------------- */

/* Made aside with its attributes, so that it is never seen without its generation. */
static int make_new(struct f3_objfile_job *job, int parent_fd, const char *name)
{
	struct f3_objfile_root *root = job->root;
	char tmp[F3_OBJFILE_TMP_NAME_BYTES];
	struct stat st;
	int fd, r;

	f3_objfile_tmp_name(root, tmp);
	if (mkdirat(root->tmp_fd, tmp, 0700) < 0)
		return -errno;
	fd = openat(root->tmp_fd, tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : 0;
	if (!r)
		r = f3_objfile_apply(root, fd, true, job->op->attr, job->op->gen, &st);
	if (!r)
		r = f3_objfile_sync_dir(fd);
	if (!r) {
		uint64_t gate = f3_objfile_gate(parent_fd, name);

		f3_objfile_gates_enter(gate);
		r = f3_objfile_rename_new(root->tmp_fd, tmp, parent_fd, name);
		f3_objfile_gates_leave(gate);
	}
	if (r < 0) {
		unlinkat(root->tmp_fd, tmp, AT_REMOVEDIR);
	} else {
		r = f3_objfile_sync_dir(parent_fd);
		if (!r)
			r = f3_objfile_result(job, fd, &st);
	}
	if (fd >= 0)
		close(fd);
	return r;
}

static int change_old(struct f3_objfile_job *job, int fd, const struct stat *st)
{
	struct f3_obj_op *op = job->op;
	char etag[F3_OBJ_ETAG_MAX + 1];
	struct stat now = *st;
	int r = 0;

	if (op->cond == F3_OBJ_ABSENT || !S_ISDIR(st->st_mode))
		return -EEXIST;
	f3_objfile_etag(st, etag);
	if (op->cond == F3_OBJ_MATCH && strcmp(etag, op->etag) != 0)
		return -ESTALE;
	if (op->attr)
		r = f3_objfile_apply(job->root, fd, false, op->attr, op->gen, &now);
	if (!r && op->attr)
		r = f3_objfile_sync_dir(fd);
	return r ? r : f3_objfile_result(job, fd, &now);
}

int f3_objfile_mkdir(struct f3_objfile_job *job)
{
	struct f3_obj_op *op = job->op;
	const char *name;
	struct stat st;
	int parent_fd, fd, r;

	if (*op->key) {
		r = f3_objfile_parent_make(job->root, op->key, &parent_fd, &name);
	} else {
		/* the root: it is there, only its attributes can be meant */
		r = f3_objfile_parent(job->root, op->key, O_RDONLY, &parent_fd, &name);
	}
	if (r < 0)
		return r;
	/* Others may make and remove it between looking and doing; not for ever. */
	r = -EAGAIN;
	for (int tries = 0; r == -EAGAIN && tries < 8; tries++) {
		fd = f3_objfile_open_name(parent_fd, name, &st);
		if (fd >= 0) {
			r = change_old(job, fd, &st);
			close(fd);
		} else if (fd == -ENOENT) {
			r = op->cond == F3_OBJ_MATCH ? -ESTALE : make_new(job, parent_fd, name);
			if (r == -EEXIST && op->cond == F3_OBJ_ANY)
				r = -EAGAIN;
		} else {
			r = fd == -ELOOP || fd == -ENXIO ? -EEXIST : fd;
		}
	}
	close(parent_fd);
	return r;
}

/* ---- RMDIR --------------------------------------------------------------------------------- */

int f3_objfile_rmdir(struct f3_objfile_job *job)
{
	const char *name;
	struct stat st;
	int parent_fd, r;

	r = f3_objfile_parent(job->root, job->op->key, O_RDONLY, &parent_fd, &name);
	if (!r) {
		if (fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    unlinkat(parent_fd, name, AT_REMOVEDIR) < 0)
			r = errno == EEXIST ? -ENOTEMPTY : -errno;
		if (!r) {
			f3_objfile_forget(job->root, &st);
			r = f3_objfile_sync_dir(parent_fd);
		}
		close(parent_fd);
	}
	if (r == -ENOENT || r == -ENOTDIR) {
		job->doubt = true;
		r = 0;
	}
	return r;
}

/* ---- RENAME -------------------------------------------------------------------------------- */

static int check_target(const struct f3_obj_op *op, const struct stat *to)
{
	char etag[F3_OBJ_ETAG_MAX + 1];

	if (op->cond == F3_OBJ_ABSENT && to)
		return -EEXIST;
	if (op->cond != F3_OBJ_MATCH)
		return 0;
	if (!to)
		return -ESTALE;
	f3_objfile_etag(to, etag);
	return strcmp(etag, op->etag) ? -ESTALE : 0;
}

/* Renamed, it is the file's whose gen the operation has, and an answer that is lost can be told from
 * none. What cannot be marked is renamed all the same. */
static void mark(struct f3_objfile_job *job, int dir_fd, const char *name, const struct stat *st)
{
	int fd = -1;

	if (S_ISREG(st->st_mode))
		fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 || S_ISLNK(st->st_mode))
		f3_objfile_mark(job->root, fd, st, job->op->gen);
	if (fd >= 0)
		close(fd);
}

static int move(struct f3_objfile_job *job, int from_dir, const char *from, int to_dir,
		const char *to)
{
	struct f3_obj_op *op = job->op;
	char etag[F3_OBJ_ETAG_MAX + 1];
	struct stat st, old;
	bool have;
	int r;

	if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	f3_objfile_etag(&st, etag);
	if (op->etag2 && strcmp(etag, op->etag2) != 0)
		return -ESTALE;
	have = !fstatat(to_dir, to, &old, AT_SYMLINK_NOFOLLOW);
	r = have || errno == ENOENT ? check_target(op, have ? &old : NULL) : -errno;
	if (r < 0)
		return r;
	if (op->gen)
		mark(job, from_dir, from, &st);
	if (op->cond == F3_OBJ_ABSENT)
		return f3_objfile_rename_new(from_dir, from, to_dir, to);
	if (renameat(from_dir, from, to_dir, to) < 0)
		return errno == EEXIST ? -ENOTEMPTY : -errno;
	/* Two names of one inode, made by others: rename(2) does nothing then. */
	if (have && old.st_dev == st.st_dev && old.st_ino == st.st_ino)
		unlinkat(from_dir, from, 0);
	else if (have)
		f3_objfile_forget(job->root, &old);
	return 0;
}

static int rename_from(struct f3_objfile_job *job, int from_dir, const char *from)
{
	struct f3_obj_op *op = job->op;
	const char *to;
	uint64_t gates;
	int to_dir, r;

	r = f3_objfile_parent_make(job->root, op->key2, &to_dir, &to);
	if (r < 0)
		return r;
	gates = f3_objfile_gate(from_dir, from) | f3_objfile_gate(to_dir, to);
	f3_objfile_gates_enter(gates);
	r = move(job, from_dir, from, to_dir, to);
	f3_objfile_gates_leave(gates);
	/* the new name first: at a crash in between there are two, not none */
	if (!r)
		r = f3_objfile_sync_dir(to_dir);
	if (!r)
		r = f3_objfile_sync_dir(from_dir);
	close(to_dir);
	return r;
}

int f3_objfile_rename(struct f3_objfile_job *job)
{
	struct f3_obj_op *op = job->op;
	size_t len = strlen(op->key);
	struct f3_objfile_object o;
	const char *from;
	struct stat st;
	int from_dir, r;

	if (!strncmp(op->key, op->key2, len) && op->key2[len] == '/')
		return f3_objfile_fail(job, -EINVAL, "cannot be moved into itself");
	r = f3_objfile_parent(job->root, op->key, O_RDONLY, &from_dir, &from);
	if (r < 0)
		return r == -ENOTDIR ? -ENOENT : r;
	/* before directories are made for a target that nothing will come to */
	if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	else if (strcmp(op->key, op->key2) != 0)
		r = rename_from(job, from_dir, from);
	close(from_dir);
	if (r < 0)
		return r;
	r = f3_objfile_object_open(job, op->key2, NULL, &o);
	if (r < 0)
		return r == -ENOENT ? 0 : r; /* taken away again by others */
	r = f3_objfile_result(job, o.fd, &o.st);
	f3_objfile_object_close(&o);
	return r;
}
