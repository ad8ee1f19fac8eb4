/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/base/clock.h"

#define THREADS_DEFAULT 8
#define QUEUED_MAX 8192
/* A directory that was replaced by another is noticed within this time. */
#define CHECK_NS F3_NS_PER_SEC

/* ---- The directory ------------------------------------------------------------------------- */

static void root_free(struct f3_objfile_root *root)
{
	int *fds[] = { &root->fd, &root->tmp_fd, &root->upload_fd, &root->gen_fd };

	f3_objfile_instance_stop(root);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
	}
	free(root);
}

/* What is known of a directory: as it was attached before, and how it is to be used. */
struct known {
	const char *id;
	dev_t dev;
	ino_t ino;
	bool read_only;
};

static int open_sub(int dir_fd, const char *name, bool make, int *ret_fd)
{
	int fd;

	if (make && mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP ? -ENOTDIR : -errno;
	*ret_fd = fd;
	return 0;
}

static int read_id(int f3_fd, char ret_id[F3_ID_TEXT_BYTES])
{
	struct f3_id id;
	char text[F3_ID_TEXT_BYTES];
	ssize_t n;
	int fd = openat(f3_fd, "id", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n != (ssize_t)sizeof(text) - 1)
		return -EBADMSG;
	text[n] = 0;
	if (f3_id_parse(text, &id) < 0)
		return -EBADMSG;
	f3_id_format(&id, ret_id);
	return 0;
}

/* Two stores may open a new directory at once: whoever comes first names it. known: the id it had,
 * "": a new one. */
static int make_id(struct f3_objfile_root *root, int f3_fd, const char *known)
{
	char tmp[F3_OBJFILE_TMP_NAME_BYTES], text[F3_ID_TEXT_BYTES];
	struct f3_id id;
	int fd, r = 0;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return -EIO;
	f3_id_format(&id, text);
	if (*known)
		snprintf(text, sizeof(text), "%s", known);
	fd = f3_objfile_tmp_create(root, tmp);
	if (fd < 0)
		return fd;
	if (dprintf(fd, "%s\n", text) < 0 || fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (!r)
		r = f3_objfile_rename_new(root->tmp_fd, tmp, f3_fd, "id");
	if (r < 0)
		unlinkat(root->tmp_fd, tmp, 0);
	if (!r)
		r = f3_objfile_sync_dir(f3_fd);
	return r == -EEXIST ? 0 : r;
}

/* .f3 and what is in it. -EROFS, -EACCES, -EPERM: no right to write there. */
static int open_private(struct f3_objfile_root *root, int f3_fd, const char *known)
{
	int r;

	r = open_sub(f3_fd, "tmp", true, &root->tmp_fd);
	if (!r)
		r = open_sub(f3_fd, "upload", true, &root->upload_fd);
	if (!r && root->gen_fd < 0)
		r = open_sub(f3_fd, "gen", true, &root->gen_fd);
	if (!r)
		r = f3_objfile_instance_start(root);
	if (!r)
		r = read_id(f3_fd, root->id);
	if (r == -ENOENT) {
		r = make_id(root, f3_fd, known);
		if (!r)
			r = read_id(f3_fd, root->id);
	}
	return r;
}

static bool no_right(int r)
{
	return r == -EROFS || r == -EACCES || r == -EPERM;
}

static bool try_xattrs(int fd)
{
	if (fsetxattr(fd, "user.f3.test", "1", 1, 0) < 0)
		return errno != EOPNOTSUPP;
	fremovexattr(fd, "user.f3.test");
	return true;
}

/* What lies there must be the directory that had the id, before anything is made in it: an empty
 * mount point in its place would look as if every object had been deleted. */
static int check_id(const char *path, int root_fd, const char *wanted, struct f3_err *err)
{
	char id[F3_ID_TEXT_BYTES] = "";
	int f3_fd, r = open_sub(root_fd, ".f3", false, &f3_fd);

	if (!r) {
		r = read_id(f3_fd, id);
		close(f3_fd);
	}
	if (!r && !strcmp(id, wanted))
		return 0;
	if (r && r != -ENOENT)
		return f3_err_set(err, r, "%s/.f3/id: cannot be read: %s", path, strerror(-r));
	return f3_err_set(
		err, -ESTALE,
		"%s: is not the directory that was attached (its .f3/id is %s, not %s): is "
		"the right file system mounted there?",
		path, r ? "missing" : id, wanted);
}

/* known: the one that was attached before (any of its parts 0 or ""), which it has to be. */
static int root_open(const char *path, const struct known *known, struct f3_objfile_root **ret_root,
		     struct f3_err *err)
{
	struct f3_objfile_root *root = calloc(1, sizeof(*root));
	struct stat st;
	int f3_fd = -1, r;

	if (!root)
		return f3_err_set(err, -ENOMEM, "%s: out of memory", path);
	root->refs = 1;
	root->tmp_fd = root->upload_fd = root->gen_fd = root->lock_fd = -1;
	root->xattrs = true;
	root->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root->fd < 0 || fstat(root->fd, &st) < 0) {
		r = f3_err_set(err, -errno, "%s: cannot be opened: %s", path, strerror(errno));
		goto fail;
	}
	root->dev = st.st_dev;
	root->ino = st.st_ino;
	if (known->id[0] && (st.st_dev != known->dev || st.st_ino != known->ino)) {
		r = check_id(path, root->fd, known->id, err);
		if (r)
			goto fail;
	}

	root->told_read_only = root->read_only = known->read_only;
	r = open_sub(root->fd, ".f3", !root->read_only, &f3_fd);
	if (root->read_only && r == -ENOENT)
		r = 0;
	else if (no_right(r) && !open_sub(root->fd, ".f3", false, &f3_fd))
		root->read_only = true;
	else if (no_right(r))
		root->read_only = true;
	else if (r < 0) {
		f3_err_set(err, r, "%s/.f3: is not a directory of F3's: %s", path, strerror(-r));
		goto fail;
	}
	if (!root->read_only) {
		r = open_private(root, f3_fd, known->id);
		root->read_only = no_right(r);
		if (r < 0 && !root->read_only) {
			f3_err_set(err, r, "%s/.f3: cannot be set up: %s", path, strerror(-r));
			goto fail;
		}
	}
	if (root->read_only) {
		if (!root->told_read_only)
			f3_err_set(err, r, "%s: read-only, since F3 may not write to it (%s)", path,
				   strerror(-r));
		if (f3_fd >= 0 && root->gen_fd < 0 &&
		    open_sub(f3_fd, "gen", false, &root->gen_fd) < 0)
			root->gen_fd = -1;
		if (f3_fd >= 0 && read_id(f3_fd, root->id) < 0)
			root->id[0] = 0;
		f3_objfile_instance_stop(root);
	} else {
		root->xattrs = try_xattrs(root->lock_fd);
		f3_objfile_tmp_clean(root);
	}
	if (f3_fd >= 0)
		close(f3_fd);
	*ret_root = root;
	return 0;
fail:
	if (f3_fd >= 0)
		close(f3_fd);
	root_free(root);
	return r;
}

static void root_put(struct f3_objfile_store *s, struct f3_objfile_root *root)
{
	bool last;

	f3_lock(&s->lock);
	last = --root->refs == 0;
	f3_unlock(&s->lock);
	if (last)
		root_free(root);
}

/* Is the directory at the path the one that is open, with what is ours in it? */
static bool root_there(const struct f3_objfile_store *s, const struct f3_objfile_root *root)
{
	struct stat st;

	if (stat(s->path, &st) < 0 || st.st_dev != root->dev || st.st_ino != root->ino)
		return false;
	return root->read_only || (!fstat(root->tmp_fd, &st) && st.st_nlink > 0);
}

/*
 * Asked when an answer rests on something not being there, and once a second: 0 if the directory
 * is there; else -EIO, after having opened what is there now if that is the same directory (by
 * inode, or by the id in it: a network file system mounted again has another device number).
 */
static int root_verify(struct f3_objfile_store *s, struct f3_objfile_root *root, struct f3_err *err)
{
	struct f3_objfile_root *now;
	struct f3_err why = F3_ERR_INIT;
	bool same;
	int r;

	if (root_there(s, root)) {
		f3_lock(&s->lock);
		s->checked_mono_ns = f3_clock_mono_ns();
		f3_unlock(&s->lock);
		return 0;
	}
	f3_lock(&s->lock);
	s->checked_mono_ns = 0;
	f3_unlock(&s->lock);

	r = root_open(s->path,
		      &(struct known){ root->id, root->dev, root->ino, root->told_read_only }, &now,
		      &why);
	if (r < 0)
		return f3_err_set(err, -EIO, "the store's directory is gone: %s", why.text);
	same = (now->dev == root->dev && now->ino == root->ino) ||
	       (now->id[0] && !strcmp(now->id, root->id));
	if (!same || now->read_only != root->read_only) {
		f3_err_set(err, -EIO, "%s: %s", s->path,
			   same ? why.text : "is not the directory that was attached");
		root_free(now);
		return -EIO;
	}
	f3_lock(&s->lock);
	if (s->root == root) {
		s->root = now;
		now = root;
		/* the store's own reference; the caller holds another */
		root->refs--;
	} else {
		now->refs = 0;
	}
	f3_unlock(&s->lock);
	if (now != root)
		root_free(now);
	return f3_err_set(err, -EIO, "%s: has been away and is back: try again", s->path);
}

static struct f3_objfile_root *root_get(struct f3_objfile_store *s, bool *ret_check)
{
	struct f3_objfile_root *root;

	f3_lock(&s->lock);
	root = s->root;
	root->refs++;
	*ret_check = f3_clock_mono_ns() - s->checked_mono_ns > CHECK_NS;
	f3_unlock(&s->lock);
	return root;
}

/* ---- Jobs ---------------------------------------------------------------------------------- */

int f3_objfile_fail(struct f3_objfile_job *job, int error, const char *fmt, ...)
{
	struct f3_obj_op *op = job->op;
	va_list ap;
	int n;

	n = snprintf(op->message, sizeof(op->message), "%s %s: ", f3_obj_type_name(op->type),
		     op->key);
	if (n < 0 || (size_t)n >= sizeof(op->message) / 2)
		n = snprintf(op->message, sizeof(op->message),
			     "%s %.80s...: ", f3_obj_type_name(op->type), op->key);
	va_start(ap, fmt);
	vsnprintf(op->message + n, sizeof(op->message) - (size_t)n, fmt, ap);
	va_end(ap);
	return error;
}

int f3_objfile_interrupted(const struct f3_objfile_job *job)
{
	if (atomic_load_explicit(&job->cancelled, memory_order_relaxed))
		return -ECANCELED;
	if (job->op->deadline_mono_ns && f3_clock_mono_ns() > job->op->deadline_mono_ns)
		return -ETIMEDOUT;
	return 0;
}

static int (*const verbs[F3_OBJ_TYPES])(struct f3_objfile_job *job) = {
	[F3_OBJ_GET] = f3_objfile_get,
	[F3_OBJ_HEAD] = f3_objfile_head,
	[F3_OBJ_PUT] = f3_objfile_put,
	[F3_OBJ_DELETE] = f3_objfile_delete,
	[F3_OBJ_COPY] = f3_objfile_copy,
	[F3_OBJ_RENAME] = f3_objfile_rename,
	[F3_OBJ_SET_ATTR] = f3_objfile_set_attr,
	[F3_OBJ_MKDIR] = f3_objfile_mkdir,
	[F3_OBJ_RMDIR] = f3_objfile_rmdir,
	[F3_OBJ_LIST] = f3_objfile_list,
	[F3_OBJ_UPLOAD_CREATE] = f3_objfile_upload_create,
	[F3_OBJ_UPLOAD_PART] = f3_objfile_upload_part,
	[F3_OBJ_UPLOAD_PART_COPY] = f3_objfile_upload_part_copy,
	[F3_OBJ_UPLOAD_COMPLETE] = f3_objfile_upload_complete,
	[F3_OBJ_UPLOAD_ABORT] = f3_objfile_upload_abort,
	[F3_OBJ_UPLOAD_LIST] = f3_objfile_upload_list,
};

/* Errors that a directory which has gone makes as well as an object that is not there. */
static bool doubtful(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ESTALE || r == -EIO || r == -ENODEV ||
	       r == -ENXIO || r == -ENOTCONN || r == -EBADF;
}

static int run_checked(struct f3_objfile_job *job)
{
	struct f3_err err = F3_ERR_INIT;
	bool check;
	int r;

	r = f3_objfile_interrupted(job);
	if (!r)
		r = f3_objfile_key_check(job->op->key);
	if (!r && job->op->key2)
		r = f3_objfile_key_check(job->op->key2);
	if (r < 0)
		return r;
	job->root = root_get(job->store, &check);
	if (check)
		r = root_verify(job->store, job->root, &err);
	if (!r) {
		r = verbs[job->op->type](job);
		if ((job->doubt || doubtful(r)) && root_verify(job->store, job->root, &err) < 0) {
			f3_object_op_done(job->op);
			r = -EIO;
		}
	}
	if (err.code)
		f3_objfile_fail(job, 0, "%s", err.text);
	root_put(job->store, job->root);
	return r;
}

static void job_unlink(struct f3_objfile_job *job)
{
	f3_lock(&job->store->lock);
	*job->link = job->next;
	if (job->next)
		job->next->link = job->link;
	f3_unlock(&job->store->lock);
}

static void job_run(struct f3_work *work)
{
	struct f3_objfile_job *job = (struct f3_objfile_job *)work;
	struct f3_obj_op *op = job->op;
	int r = run_checked(job);

	if (r < 0 && !op->message[0])
		f3_objfile_fail(job, r, "%s", strerror(-r));
	if (r < 0)
		f3_object_op_done(op);
	op->result = r;
	/* from here on a cancel does not find it; done may free the op */
	job_unlink(job);
	free(job);
	op->done(op);
}

static void submit_failed(struct f3_obj_op *op, int r)
{
	snprintf(op->message, sizeof(op->message), "%s: %s", f3_obj_type_name(op->type),
		 r == -EAGAIN ? "too many operations are waiting" : strerror(-r));
	op->result = r;
	op->done(op);
}

/* Bytes take their time, and as many files as there are threads may be on their way at once: what is
 * asked for meanwhile does not stand behind them. */
static struct f3_workq *queue_of(struct f3_objfile_store *s, enum f3_obj_type type)
{
	switch (type) {
	case F3_OBJ_PUT:
	case F3_OBJ_COPY:
	case F3_OBJ_UPLOAD_PART:
	case F3_OBJ_UPLOAD_PART_COPY:
	case F3_OBJ_UPLOAD_COMPLETE:
		return s->send_q;
	default:
		return s->q;
	}
}

static void objfile_submit(struct f3_object_store *base, struct f3_obj_op *op)
{
	struct f3_objfile_store *s = (struct f3_objfile_store *)base;
	struct f3_objfile_job *job = calloc(1, sizeof(*job));
	int r;

	if (!job) {
		submit_failed(op, -ENOMEM);
		return;
	}
	job->work.fn = job_run;
	job->store = s;
	job->op = op;
	f3_lock(&s->lock);
	job->link = &s->jobs;
	job->next = s->jobs;
	if (s->jobs)
		s->jobs->link = &job->next;
	s->jobs = job;
	f3_unlock(&s->lock);
	r = f3_workq_push(queue_of(s, op->type), &job->work);
	if (r < 0) {
		job_unlink(job);
		free(job);
		submit_failed(op, r);
	}
}

static void objfile_cancel(struct f3_object_store *base, struct f3_obj_op *op)
{
	struct f3_objfile_store *s = (struct f3_objfile_store *)base;

	f3_lock(&s->lock);
	for (struct f3_objfile_job *job = s->jobs; job; job = job->next) {
		if (job->op == op)
			atomic_store_explicit(&job->cancelled, true, memory_order_relaxed);
	}
	f3_unlock(&s->lock);
}

/* ---- The store ----------------------------------------------------------------------------- */

static int objfile_ping(struct f3_object_store *base, struct f3_err *err)
{
	struct f3_objfile_store *s = (struct f3_objfile_store *)base;
	struct f3_objfile_root *root;
	bool check;
	int r;

	root = root_get(s, &check);
	r = root_verify(s, root, err);
	root_put(s, root);
	/* it is back: that is what was asked */
	if (r < 0) {
		root = root_get(s, &check);
		if (root_there(s, root))
			r = f3_err_set(err, 0, "%s", "");
		root_put(s, root);
	}
	return r;
}

static void objfile_close(struct f3_object_store *base)
{
	struct f3_objfile_store *s = (struct f3_objfile_store *)base;

	f3_workq_free(s->send_q);
	f3_workq_free(s->q);
	f3_objfile_names_free(s->names);
	root_put(s, s->root);
	f3_lock_done(&s->lock);
	free(s->path);
	free(s);
}

static const struct f3_object_ops objfile_ops = {
	.scheme = "file",
	.submit = objfile_submit,
	.cancel = objfile_cancel,
	.ping = objfile_ping,
	.close = objfile_close,
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* file:///a%20b -> /a b. A % that begins no two hex digits is itself. */
static int parse_url(const char *url, char **ret_path, struct f3_err *err)
{
	const char *p = strstr(url, "://") + 3;
	size_t len = 0;
	char *path;

	if (!strncmp(p, "localhost/", 10))
		p += 9;
	if (*p != '/')
		return f3_err_set(err, -EINVAL, "%s: a path must follow: file:///directory", url);
	path = malloc(strlen(p) + 1);
	if (!path)
		return f3_err_set(err, -ENOMEM, "%s: out of memory", url);
	for (; *p; p++) {
		int hi = *p == '%' ? hex_digit(p[1]) : -1, lo = hi >= 0 ? hex_digit(p[2]) : -1;

		path[len] = *p;
		if (lo >= 0) {
			path[len] = (char)(hi * 16 + lo);
			p += 2;
		}
		if (!path[len++]) {
			free(path);
			return f3_err_set(err, -EINVAL, "%s: %%00 in a path", url);
		}
	}
	while (len > 1 && path[len - 1] == '/')
		len--;
	path[len] = 0;
	*ret_path = path;
	return 0;
}

static int make_path(const char *path, struct f3_err *err)
{
	char *copy = strdup(path);
	int r = 0;

	if (!copy)
		return f3_err_set(err, -ENOMEM, "%s: out of memory", path);
	for (char *p = copy + 1; !r; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = 0;
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			r = f3_err_set(err, -errno, "%s: cannot be made: %s", copy,
				       strerror(errno));
		*p = c;
		if (!c)
			break;
	}
	free(copy);
	return r;
}

int f3_object_file_open(const struct f3_object_options *opt, struct f3_object_store **ret_s,
			struct f3_err *err)
{
	struct f3_objfile_store *s = calloc(1, sizeof(*s));
	struct stat st;
	unsigned threads;
	int r;

	if (!s)
		return f3_err_set(err, -ENOMEM, "%s: out of memory", opt->url);
	f3_lock_init(&s->lock, F3_RANK_LOCAL);
	r = parse_url(opt->url, &s->path, err);
	if (!r && opt->create && !opt->read_only && stat(s->path, &st) < 0 && errno == ENOENT)
		r = make_path(s->path, err);
	if (!r)
		r = root_open(s->path,
			      &(struct known){ opt->id ? opt->id : "", 0, 0, opt->read_only },
			      &s->root, err);
	if (r < 0)
		goto fail;
	threads = opt->threads ? opt->threads : THREADS_DEFAULT;
	r = f3_workq_new("objfile", threads, QUEUED_MAX, &s->q);
	if (!r)
		r = f3_workq_new("objsend", threads, QUEUED_MAX, &s->send_q);
	if (r < 0) {
		f3_workq_free(s->q);
		f3_err_set(err, r, "%s: no threads: %s", s->path, strerror(-r));
		root_free(s->root);
		goto fail;
	}
	s->checked_mono_ns = f3_clock_mono_ns();
	s->base.ops = &objfile_ops;
	s->base.read_only = s->root->read_only;
	snprintf(s->base.id, sizeof(s->base.id), "%s", s->root->id);
	s->base.caps.xattrs = s->root->xattrs;
	s->base.caps.own_uploads = true;
	s->base.caps.min_part_bytes = 1;
	s->base.caps.max_part_bytes = INT64_MAX;
	s->base.caps.max_parts = F3_OBJFILE_PARTS_MAX;
	s->base.caps.max_put_bytes = INT64_MAX;
	*ret_s = &s->base;
	return 0;
fail:
	f3_lock_done(&s->lock);
	free(s->path);
	free(s);
	return r;
}
