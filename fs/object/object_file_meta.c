/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/base/clock.h"

/*
 * What a file of ours says about itself in xattrs, besides its inode:
 *   user.f3.gen     generation, as text
 *   user.f3.attr    attributes that the inode could not or must not take (struct claim)
 *   user.f3.xattrs  given xattrs whose names are no user.* of others, encoded as given
 */
#define XATTR_OURS "user.f3."
#define XATTR_GEN "user.f3.gen"
#define XATTR_ATTR "user.f3.attr"
#define XATTR_REST "user.f3.xattrs"

#define CLAIM_VERSION 1
#define CLAIM_MAX 64
#define SIDECAR_VERSION 1
#define SIDECAR_MAX 256

/* setuid and setgid are never set on the served file: a program that somebody put into a volume
 * must not become a privileged one for users of the directory. */
#define MODE_ON_DISK 01777u

/* Each attribute as given and as the inode had it then. The given one holds as long as the inode
 * still shows the other: once somebody else has changed the file, the inode is right. */
struct claim {
	uint32_t mode, disk_mode;
	uint32_t uid, disk_uid;
	uint32_t gid, disk_gid;
	int64_t mtime_ns, disk_mtime_ns;
	uint64_t rdev;
};

/* Times that do not fit into 64 bits of nanoseconds are those of somebody's file: the nearest. */
static int64_t ns_of(struct timespec ts)
{
	int64_t ns;

	if (__builtin_mul_overflow((int64_t)ts.tv_sec, (int64_t)F3_NS_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)ts.tv_nsec, &ns))
		return ts.tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

void f3_objfile_etag(const struct stat *st, char ret_etag[F3_OBJ_ETAG_MAX + 1])
{
	/* Entries come and go in a directory without its being another one. */
	if (S_ISDIR(st->st_mode)) {
		snprintf(ret_etag, F3_OBJ_ETAG_MAX + 1, "%" PRIx64 "-dir", (uint64_t)st->st_ino);
		return;
	}
	snprintf(ret_etag, F3_OBJ_ETAG_MAX + 1, "%" PRIx64 "-%" PRIx64 "-%" PRIx64 "-%" PRIx64,
		 (uint64_t)st->st_ino, (uint64_t)ns_of(st->st_ctim), (uint64_t)st->st_size,
		 (uint64_t)ns_of(st->st_mtim));
}

bool f3_objfile_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       (a->st_mode & S_IFMT) == (b->st_mode & S_IFMT) &&
	       ns_of(a->st_mtim) == ns_of(b->st_mtim);
}

/* ---- Encodings ----------------------------------------------------------------------------- */

static void put_claim(struct f3_buf *buf, const struct claim *c)
{
	f3_buf_put_u8(buf, CLAIM_VERSION);
	f3_buf_put_u32(buf, c->mode);
	f3_buf_put_u32(buf, c->disk_mode);
	f3_buf_put_u32(buf, c->uid);
	f3_buf_put_u32(buf, c->disk_uid);
	f3_buf_put_u32(buf, c->gid);
	f3_buf_put_u32(buf, c->disk_gid);
	f3_buf_put_i64(buf, c->mtime_ns);
	f3_buf_put_i64(buf, c->disk_mtime_ns);
	f3_buf_put_u64(buf, c->rdev);
}

static int get_claim(const void *bytes, size_t len, struct claim *ret_c)
{
	struct f3_rd rd;
	struct claim c;

	f3_rd_init(&rd, bytes, len);
	if (f3_rd_u8(&rd) != CLAIM_VERSION)
		return -EBADMSG;
	c.mode = f3_rd_u32(&rd);
	c.disk_mode = f3_rd_u32(&rd);
	c.uid = f3_rd_u32(&rd);
	c.disk_uid = f3_rd_u32(&rd);
	c.gid = f3_rd_u32(&rd);
	c.disk_gid = f3_rd_u32(&rd);
	c.mtime_ns = f3_rd_i64(&rd);
	c.disk_mtime_ns = f3_rd_i64(&rd);
	c.rdev = f3_rd_u64(&rd);
	if (rd.error || rd.left)
		return -EBADMSG;
	*ret_c = c;
	return 0;
}

/* One xattr of a blob, pointing into it. */
struct record {
	const char *name;
	size_t name_len;
	const uint8_t *value;
	size_t value_len;
};

/* 1: one more, 0: the end, -EINVAL. */
static int next_record(struct f3_rd *rd, struct record *ret_rec)
{
	if (!rd->left)
		return 0;
	ret_rec->name = (const char *)f3_rd_str16(rd, &ret_rec->name_len);
	ret_rec->value_len = f3_rd_u32(rd);
	ret_rec->value = f3_rd_bytes(rd, ret_rec->value_len);
	if (rd->error || !ret_rec->name_len || memchr(ret_rec->name, 0, ret_rec->name_len))
		return -EINVAL;
	return 1;
}

bool f3_objfile_xattrs_valid(const void *xattrs, size_t len)
{
	struct record rec;
	struct f3_rd rd;
	int r;

	f3_rd_init(&rd, xattrs, len);
	do
		r = next_record(&rd, &rec);
	while (r > 0);
	return r == 0;
}

/* ---- The sidecar: for links, and where there are no xattrs ---------------------------------- */

static void sidecar_name(const struct stat *st, char ret_name[24])
{
	snprintf(ret_name, 24, "%" PRIx64, (uint64_t)st->st_ino);
}

/* An inode number comes again; its size and time hardly do. A directory's change with every
 * entry and say nothing. */
static void put_identity(struct f3_buf *buf, const struct stat *st)
{
	bool dir = S_ISDIR(st->st_mode);

	f3_buf_put_u8(buf, SIDECAR_VERSION);
	f3_buf_put_u32(buf, st->st_mode & S_IFMT);
	f3_buf_put_u64(buf, dir ? 0 : (uint64_t)st->st_size);
	f3_buf_put_i64(buf, dir ? 0 : ns_of(st->st_mtim));
}

static int sidecar_write(const struct f3_objfile_root *root, const struct stat *st, const char *gen,
			 const struct f3_buf *claim)
{
	char tmp[F3_OBJFILE_TMP_NAME_BYTES], name[24];
	struct f3_buf buf;
	ssize_t n;
	int fd, r;

	sidecar_name(st, name);
	f3_buf_init(&buf, SIDECAR_MAX);
	put_identity(&buf, st);
	f3_buf_put_str16(&buf, gen, strlen(gen));
	f3_buf_put(&buf, claim->data, claim->len);
	/* the counter is atomic; everything else of the root is fixed */
	fd = f3_objfile_tmp_create((struct f3_objfile_root *)root, tmp);
	if (fd < 0)
		return fd;
	r = buf.error;
	n = write(fd, buf.data, buf.len);
	if (!r && n != (ssize_t)buf.len)
		r = n < 0 ? -errno : -ENOSPC;
	if (!r && fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (!r && renameat(root->tmp_fd, tmp, root->gen_fd, name) < 0)
		r = -errno;
	if (!r)
		r = f3_objfile_sync_dir(root->gen_fd);
	else
		unlinkat(root->tmp_fd, tmp, 0);
	f3_buf_done(&buf);
	return r;
}

static void sidecar_read(const struct f3_objfile_root *root, const struct stat *st,
			 struct f3_obj_info *info, struct claim *ret_claim, bool *ret_have_claim)
{
	uint8_t bytes[SIDECAR_MAX];
	char name[24], text[F3_OBJ_GEN_TEXT];
	struct f3_buf want;
	const uint8_t *gen;
	struct f3_rd rd;
	size_t gen_len;
	ssize_t len;
	int fd;

	if (root->gen_fd < 0)
		return;
	sidecar_name(st, name);
	fd = openat(root->gen_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	len = read(fd, bytes, sizeof(bytes));
	close(fd);
	if (len < 0)
		return;
	f3_buf_init(&want, SIDECAR_MAX);
	put_identity(&want, st);
	if ((size_t)len > want.len && !memcmp(bytes, want.data, want.len)) {
		f3_rd_init(&rd, bytes + want.len, (size_t)len - want.len);
		gen = f3_rd_str16(&rd, &gen_len);
		if (!rd.error && gen_len < sizeof(text)) {
			memcpy(text, gen, gen_len);
			text[gen_len] = 0;
			info->have_gen = !f3_obj_gen_parse(text, &info->gen);
			*ret_have_claim = rd.left && !get_claim(rd.p, rd.left, ret_claim);
		}
	}
	f3_buf_done(&want);
}

void f3_objfile_forget(const struct f3_objfile_root *root, const struct stat *st)
{
	char name[24];

	if (root->gen_fd < 0 || (root->xattrs && !S_ISLNK(st->st_mode)))
		return;
	sidecar_name(st, name);
	unlinkat(root->gen_fd, name, 0);
}

/* One that a plain file can have under the same name. */
static bool is_plain_user(const char *name, size_t len)
{
	return len > 5 && len <= XATTR_NAME_MAX && !memcmp(name, "user.", 5) &&
	       !(len >= strlen(XATTR_OURS) && !memcmp(name, XATTR_OURS, strlen(XATTR_OURS)));
}

/* ---- Reading ------------------------------------------------------------------------------- */

/* The names of all xattrs of a file, NUL-terminated each; freed by the caller. NULL: none. */
static char *list_xattrs(int fd, size_t *ret_len)
{
	for (int tries = 0; tries < 4; tries++) {
		ssize_t len = flistxattr(fd, NULL, 0), got;
		char *names;

		if (len <= 0)
			return NULL;
		names = malloc((size_t)len + 1);
		if (!names)
			return NULL;
		got = flistxattr(fd, names, (size_t)len);
		if (got > 0) {
			names[got] = 0;
			*ret_len = (size_t)got;
			return names;
		}
		free(names);
		if (errno != ERANGE)
			return NULL;
	}
	return NULL;
}

/* -EMSGSIZE in buf->error once it does not fit. */
static void put_xattr(int fd, const char *name, struct f3_buf *buf)
{
	for (int tries = 0; tries < 4; tries++) {
		ssize_t len = fgetxattr(fd, name, NULL, 0), got;
		void *value;

		if (len < 0)
			return; /* removed meanwhile */
		value = malloc((size_t)len + 1);
		if (!value) {
			buf->error = -ENOMEM;
			return;
		}
		got = fgetxattr(fd, name, value, (size_t)len);
		if (got >= 0) {
			f3_buf_put_str16(buf, name, strlen(name));
			f3_buf_put_u32(buf, (uint32_t)got);
			f3_buf_put(buf, value, (size_t)got);
			free(value);
			return;
		}
		free(value);
		if (errno != ERANGE)
			return;
	}
}

static void put_rest(int fd, struct f3_buf *buf)
{
	ssize_t len = fgetxattr(fd, XATTR_REST, NULL, 0);
	void *rest = len > 0 ? malloc((size_t)len) : NULL;

	if (!rest)
		return;
	len = fgetxattr(fd, XATTR_REST, rest, (size_t)len);
	if (len > 0 && f3_objfile_xattrs_valid(rest, (size_t)len))
		f3_buf_put(buf, rest, (size_t)len);
	free(rest);
}

static void read_xattrs(int fd, struct f3_buf *xattrs, struct f3_obj_info *info,
			struct claim *ret_claim, bool *ret_have_claim)
{
	char text[F3_OBJ_GEN_TEXT];
	uint8_t claim[CLAIM_MAX];
	size_t len;
	char *names = list_xattrs(fd, &len);
	ssize_t n;

	if (!names)
		return;
	for (const char *name = names; name < names + len; name += strlen(name) + 1) {
		if (!strcmp(name, XATTR_GEN)) {
			n = fgetxattr(fd, name, text, sizeof(text) - 1);
			if (n < 0)
				continue;
			text[n] = 0;
			info->have_gen = !f3_obj_gen_parse(text, &info->gen);
		} else if (!strcmp(name, XATTR_ATTR)) {
			n = fgetxattr(fd, name, claim, sizeof(claim));
			*ret_have_claim = n > 0 && !get_claim(claim, (size_t)n, ret_claim);
		} else if (!strcmp(name, XATTR_REST)) {
			put_rest(fd, xattrs);
		} else if (is_plain_user(name, strlen(name))) {
			put_xattr(fd, name, xattrs);
		}
	}
	free(names);
}

static void use_claim(const struct claim *c, const struct stat *st, struct f3_obj_attr *attr)
{
	bool special = (c->mode & S_IFMT) != (c->disk_mode & S_IFMT);

	/* A device that somebody wrote bytes into has become a plain file. */
	if (c->disk_mode == st->st_mode && !(special && st->st_size)) {
		attr->mode = c->mode;
		if (special)
			attr->rdev = c->rdev;
	}
	if (c->disk_uid == st->st_uid)
		attr->uid = c->uid;
	if (c->disk_gid == st->st_gid)
		attr->gid = c->gid;
	if (c->disk_mtime_ns == ns_of(st->st_mtim))
		attr->mtime_ns = c->mtime_ns;
}

void f3_objfile_info(const struct f3_objfile_root *root, int fd, const struct stat *st,
		     struct f3_buf *xattrs, struct f3_obj_info *ret_info)
{
	size_t before = xattrs->len;
	struct claim claim;
	bool have_claim = false;

	memset(ret_info, 0, sizeof(*ret_info));
	f3_objfile_etag(st, ret_info->etag);
	ret_info->is_dir = S_ISDIR(st->st_mode);
	ret_info->size = ret_info->is_dir ? 0 : (uint64_t)st->st_size;
	ret_info->modified_ns = ns_of(st->st_ctim);
	ret_info->have_attr = true;
	ret_info->attr = (struct f3_obj_attr){
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime_ns = ns_of(st->st_mtim),
		.atime_ns = ns_of(st->st_atim),
		.rdev = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) ? st->st_rdev : 0,
		.have_mode = true,
		.have_owner = true,
		.have_mtime = true,
		.have_atime = true,
	};
	if (fd >= 0 && root->xattrs)
		read_xattrs(fd, xattrs, ret_info, &claim, &have_claim);
	else
		sidecar_read(root, st, ret_info, &claim, &have_claim);
	if (have_claim)
		use_claim(&claim, st, &ret_info->attr);
	if (xattrs->error) {
		/* Attributes without their xattrs would look whole and not be. */
		xattrs->len = before;
		ret_info->have_attr = false;
	}
	ret_info->attr.xattrs_len = xattrs->len - before;
}

int f3_objfile_result(struct f3_objfile_job *job, int fd, const struct stat *st)
{
	struct f3_obj_op *op = job->op;
	struct f3_buf xattrs;
	int r = 0;

	f3_buf_init(&xattrs, F3_OBJFILE_XATTRS_MAX);
	f3_objfile_info(job->root, fd, st, &xattrs, &op->info);
	if (op->info.attr.xattrs_len) {
		op->heap = malloc(xattrs.len);
		if (op->heap)
			memcpy(op->heap, xattrs.data, xattrs.len);
		else
			r = -ENOMEM;
		op->info.attr.xattrs = op->heap;
	}
	/* more than any store takes: only they are left out */
	op->info.have_attr = true;
	f3_buf_done(&xattrs);
	return r;
}

/* ---- Writing ------------------------------------------------------------------------------- */

static int remove_xattrs(int fd)
{
	size_t len;
	char *names = list_xattrs(fd, &len);
	int r = 0;

	if (!names)
		return 0;
	for (const char *name = names; !r && name < names + len; name += strlen(name) + 1) {
		if ((is_plain_user(name, strlen(name)) || !strcmp(name, XATTR_REST)) &&
		    fremovexattr(fd, name) < 0 && errno != ENODATA)
			r = -errno;
	}
	free(names);
	return r;
}

static int set_plain_user(int fd, const struct record *rec)
{
	char name[XATTR_NAME_MAX + 1];

	memcpy(name, rec->name, rec->name_len);
	name[rec->name_len] = 0;
	return fsetxattr(fd, name, rec->value, rec->value_len, 0) < 0 ? -errno : 0;
}

/* The whole set, which is valid: what is not in the blob goes. */
static int write_xattrs(int fd, bool fresh, const void *xattrs, size_t len)
{
	struct f3_buf rest;
	struct record rec;
	struct f3_rd rd;
	int r;

	r = fresh ? 0 : remove_xattrs(fd);
	if (r < 0)
		return r;
	f3_buf_init(&rest, XATTR_SIZE_MAX);
	f3_rd_init(&rd, xattrs, len);
	while (!r && next_record(&rd, &rec) > 0) {
		if (is_plain_user(rec.name, rec.name_len)) {
			r = set_plain_user(fd, &rec);
			continue;
		}
		f3_buf_put_str16(&rest, rec.name, rec.name_len);
		f3_buf_put_u32(&rest, (uint32_t)rec.value_len);
		f3_buf_put(&rest, rec.value, rec.value_len);
	}
	if (!r && rest.error)
		r = rest.error == -EMSGSIZE ? -E2BIG : rest.error;
	if (!r && rest.len && fsetxattr(fd, XATTR_REST, rest.data, rest.len, 0) < 0)
		r = -errno;
	f3_buf_done(&rest);
	return r;
}

/* Without privileges the daemon must still be able to read what it wrote. */
static uint32_t disk_perm(const struct f3_obj_attr *attr, bool dir)
{
	uint32_t perm = attr && attr->have_mode ? attr->mode & MODE_ON_DISK : dir ? 0755 : 0644;

	if (geteuid())
		perm |= dir ? 0700 : 0600;
	return perm;
}

static void times_of(const struct f3_obj_attr *attr, struct timespec ret_ts[2])
{
	ret_ts[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
	ret_ts[1] = (struct timespec){ .tv_nsec = UTIME_OMIT };
	if (attr && attr->have_atime)
		ret_ts[0] = f3_timespec_from_ns(attr->atime_ns);
	if (attr && attr->have_mtime)
		ret_ts[1] = f3_timespec_from_ns(attr->mtime_ns);
}

static bool is_special(uint32_t mode)
{
	return S_ISFIFO(mode) || S_ISSOCK(mode) || S_ISCHR(mode) || S_ISBLK(mode);
}

/* What the inode does not say of the attributes, encoded; empty if it says all of them. */
static void make_claim(const struct f3_obj_attr *attr, const struct stat *st, struct f3_buf *buf)
{
	struct claim c = {
		.mode = st->st_mode,
		.disk_mode = st->st_mode,
		.uid = st->st_uid,
		.disk_uid = st->st_uid,
		.gid = st->st_gid,
		.disk_gid = st->st_gid,
		.mtime_ns = ns_of(st->st_mtim),
		.disk_mtime_ns = ns_of(st->st_mtim),
	};

	f3_buf_init(buf, CLAIM_MAX);
	if (!attr)
		return;
	if (attr->have_mode && !S_ISLNK(st->st_mode)) {
		uint32_t type =
			is_special(attr->mode) && S_ISREG(st->st_mode) ? attr->mode : st->st_mode;

		c.mode = (attr->mode & 07777) | (type & S_IFMT);
		c.rdev = S_ISCHR(c.mode) || S_ISBLK(c.mode) ? attr->rdev : 0;
	}
	if (attr->have_owner) {
		c.uid = attr->uid;
		c.gid = attr->gid;
	}
	if (attr->have_mtime)
		c.mtime_ns = attr->mtime_ns;
	if (c.mode != c.disk_mode || c.uid != c.disk_uid || c.gid != c.disk_gid ||
	    c.mtime_ns != c.disk_mtime_ns)
		put_claim(buf, &c);
}

static int write_gen(int fd, const char *gen, const struct f3_buf *claim)
{
	if (claim->len) {
		if (fsetxattr(fd, XATTR_ATTR, claim->data, claim->len, 0) < 0)
			return -errno;
	} else if (fremovexattr(fd, XATTR_ATTR) < 0 && errno != ENODATA) {
		return -errno;
	}
	/* Last: where the generation is, everything else is. */
	if (*gen)
		return fsetxattr(fd, XATTR_GEN, gen, strlen(gen), 0) < 0 ? -errno : 0;
	return fremovexattr(fd, XATTR_GEN) < 0 && errno != ENODATA ? -errno : 0;
}

int f3_objfile_apply(const struct f3_objfile_root *root, int fd, bool fresh,
		     const struct f3_obj_attr *attr, const struct f3_obj_gen *gen,
		     struct stat *ret_st)
{
	char text[F3_OBJ_GEN_TEXT] = "";
	struct timespec times[2];
	struct f3_buf claim;
	struct stat st;
	int r = 0;

	if (gen)
		f3_obj_gen_format(gen, text);
	if (attr && !f3_objfile_xattrs_valid(attr->xattrs, attr->xattrs_len))
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* Not ours to give away: then it is kept beside. Before the mode, which chown changes. */
	if (attr && attr->have_owner && (attr->uid != st.st_uid || attr->gid != st.st_gid) &&
	    fchown(fd, attr->uid, attr->gid) < 0 && errno != EPERM && errno != EINVAL)
		return -errno;
	if ((fresh || (attr && attr->have_mode)) &&
	    fchmod(fd, disk_perm(attr, S_ISDIR(st.st_mode))) < 0)
		return -errno;
	if (root->xattrs)
		r = write_xattrs(fd, fresh, attr ? attr->xattrs : NULL,
				 attr ? attr->xattrs_len : 0);
	times_of(attr, times);
	if (!r && futimens(fd, times) < 0)
		r = -errno;
	if (!r && fstat(fd, &st) < 0)
		r = -errno;
	if (r < 0)
		return r;
	make_claim(attr, &st, &claim);
	r = root->xattrs ? write_gen(fd, text, &claim) : sidecar_write(root, &st, text, &claim);
	f3_buf_done(&claim);
	if (!r && fstat(fd, ret_st) < 0)
		r = -errno;
	return r;
}

void f3_objfile_mark(const struct f3_objfile_root *root, int fd, const struct stat *st,
		     const struct f3_obj_gen *gen)
{
	struct f3_obj_info info = { .size = 0 };
	char text[F3_OBJ_GEN_TEXT];
	bool beside = fd < 0 || !root->xattrs, have_claim = false;
	struct claim claim;
	struct f3_buf buf;
	ssize_t n;

	if (beside) {
		sidecar_read(root, st, &info, &claim, &have_claim);
	} else {
		n = fgetxattr(fd, XATTR_GEN, text, sizeof(text) - 1);
		text[n < 0 ? 0 : n] = 0;
		info.have_gen = !f3_obj_gen_parse(text, &info.gen);
	}
	if (info.have_gen && f3_id_equal(&info.gen.id, &gen->id))
		return;
	f3_obj_gen_format(gen, text);
	if (!beside) {
		(void)fsetxattr(fd, XATTR_GEN, text, strlen(text), 0);
		return;
	}
	f3_buf_init(&buf, CLAIM_MAX);
	if (have_claim)
		put_claim(&buf, &claim);
	(void)sidecar_write(root, st, text, &buf);
	f3_buf_done(&buf);
}

int f3_objfile_apply_link(const struct f3_objfile_root *root, int dir_fd, const char *name,
			  const struct f3_obj_attr *attr, const struct f3_obj_gen *gen,
			  struct stat *ret_st)
{
	char text[F3_OBJ_GEN_TEXT] = "";
	struct timespec times[2];
	struct f3_buf claim;
	struct stat st;
	int r;

	if (gen)
		f3_obj_gen_format(gen, text);
	if (attr && attr->have_owner &&
	    fchownat(dir_fd, name, attr->uid, attr->gid, AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno != EPERM && errno != EINVAL)
		return -errno;
	times_of(attr, times);
	if (utimensat(dir_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISLNK(st.st_mode))
		return -EAGAIN;
	make_claim(attr, &st, &claim);
	r = sidecar_write(root, &st, text, &claim);
	f3_buf_done(&claim);
	if (!r && fstatat(dir_fd, name, ret_st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r;
}
