/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "fs/base/clock.h"
#include "fs/base/crc32c.h"

/*
 * All of an upload is on disk, so that it survives whoever began it:
 *   manifest   what UPLOAD_CREATE was given; written once
 *   parts      one record of fixed size per part number
 *   data       the bytes, each part in its place
 * A record is written and synced after its part's bytes are; before bytes are overwritten the
 * records of all parts they belonged to are cleared and synced. A record therefore speaks the
 * truth at any crash.
 */
#define MANIFEST_VERSION 1
#define MANIFEST_MAX (160u << 10)
#define RECORD_BYTES 48
#define RECORD_DONE 0x46335031u

struct upload {
	int fd; /* its directory */
	char key[F3_OBJ_KEY_MAX + 1];
	int64_t since_ns;
	uint64_t data_ino; /* another "data" is an object exchanged against it: completed */
	struct f3_obj_gen gen;
	struct f3_obj_attr attr;
	uint8_t *manifest; /* what attr.xattrs points into */
};

struct record {
	uint32_t number;
	uint64_t off, len;
	uint32_t crc32c;
	bool have_crc; /* copied parts have none */
	uint64_t nonce; /* of this writing of the part: its etag */
};

/* ---- Manifest ------------------------------------------------------------------------------ */

static void put_manifest(struct f3_buf *buf, const struct f3_obj_op *op, uint64_t data_ino)
{
	static const struct f3_obj_attr none;
	const struct f3_obj_attr *a = op->attr ? op->attr : &none;
	char gen[F3_OBJ_GEN_TEXT];

	f3_obj_gen_format(op->gen, gen);
	f3_buf_put_u8(buf, MANIFEST_VERSION);
	f3_buf_put_str16(buf, op->key, strlen(op->key));
	f3_buf_put_i64(buf, f3_clock_real_ns());
	f3_buf_put_u64(buf, data_ino);
	f3_buf_put_str16(buf, gen, strlen(gen));
	f3_buf_put_u8(buf, (uint8_t)(a->have_mode | a->have_owner << 1 | a->have_mtime << 2 |
				     a->have_atime << 3));
	f3_buf_put_u32(buf, a->mode);
	f3_buf_put_u32(buf, a->uid);
	f3_buf_put_u32(buf, a->gid);
	f3_buf_put_i64(buf, a->mtime_ns);
	f3_buf_put_i64(buf, a->atime_ns);
	f3_buf_put_u64(buf, a->rdev);
	f3_buf_put_u32(buf, (uint32_t)a->xattrs_len);
	f3_buf_put(buf, a->xattrs, a->xattrs_len);
}

static int get_manifest(struct upload *u, size_t len)
{
	const uint8_t *key, *gen;
	char text[F3_OBJ_GEN_TEXT];
	size_t key_len, gen_len;
	struct f3_rd rd;
	uint8_t have;

	f3_rd_init(&rd, u->manifest, len);
	if (f3_rd_u8(&rd) != MANIFEST_VERSION)
		return -EBADMSG;
	key = f3_rd_str16(&rd, &key_len);
	u->since_ns = f3_rd_i64(&rd);
	u->data_ino = f3_rd_u64(&rd);
	gen = f3_rd_str16(&rd, &gen_len);
	have = f3_rd_u8(&rd);
	u->attr.have_mode = have & 1;
	u->attr.have_owner = have & 2;
	u->attr.have_mtime = have & 4;
	u->attr.have_atime = have & 8;
	u->attr.mode = f3_rd_u32(&rd);
	u->attr.uid = f3_rd_u32(&rd);
	u->attr.gid = f3_rd_u32(&rd);
	u->attr.mtime_ns = f3_rd_i64(&rd);
	u->attr.atime_ns = f3_rd_i64(&rd);
	u->attr.rdev = f3_rd_u64(&rd);
	u->attr.xattrs_len = f3_rd_u32(&rd);
	u->attr.xattrs = f3_rd_bytes(&rd, u->attr.xattrs_len);
	if (rd.error || rd.left || key_len > F3_OBJ_KEY_MAX || gen_len >= sizeof(text) ||
	    memchr(key, 0, key_len))
		return -EBADMSG;
	memcpy(u->key, key, key_len);
	u->key[key_len] = 0;
	memcpy(text, gen, gen_len);
	text[gen_len] = 0;
	return f3_obj_gen_parse(text, &u->gen) < 0 || f3_objfile_key_check(u->key) < 0 ? -EBADMSG :
											 0;
}

static void upload_close(struct upload *u)
{
	if (u->fd >= 0)
		close(u->fd);
	free(u->manifest);
}

/* The id comes from a journal or another node: it must be one of ours before it is a path. */
static int upload_open(const struct f3_objfile_root *root, const char *id, struct upload *ret_u)
{
	struct upload u = { .fd = -1 };
	struct f3_id check;
	ssize_t n;
	int fd, r;

	if (f3_id_parse(id, &check) < 0 || root->upload_fd < 0)
		return -ENOENT;
	u.fd = openat(root->upload_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (u.fd < 0)
		return -errno;
	fd = openat(u.fd, "manifest", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		upload_close(&u);
		return r;
	}
	u.manifest = malloc(MANIFEST_MAX);
	n = u.manifest ? read(fd, u.manifest, MANIFEST_MAX) : -1;
	r = !u.manifest ? -ENOMEM : n < 0 ? -errno : get_manifest(&u, (size_t)n);
	close(fd);
	if (r < 0) {
		upload_close(&u);
		return r;
	}
	*ret_u = u;
	return 0;
}

/* The operation's own, for its own key. */
static int upload_of(struct f3_objfile_job *job, struct upload *ret_u)
{
	int r = upload_open(job->root, job->op->upload, ret_u);

	if (r == -ENOENT || r == -EBADMSG)
		return f3_objfile_fail(job, r, "no such upload: %.40s", job->op->upload);
	if (!r && strcmp(ret_u->key, job->op->key) != 0) {
		upload_close(ret_u);
		return f3_objfile_fail(job, -EINVAL, "the upload is of another key");
	}
	return r;
}

/* ---- Records ------------------------------------------------------------------------------- */

static void format_etag(uint64_t nonce, char ret_etag[F3_OBJ_ETAG_MAX + 1])
{
	snprintf(ret_etag, F3_OBJ_ETAG_MAX + 1, "%016" PRIx64, nonce);
}

static void put_record(struct f3_buf *buf, const struct record *rec)
{
	f3_buf_put_u32(buf, RECORD_DONE);
	f3_buf_put_u32(buf, rec->number);
	f3_buf_put_u64(buf, rec->off);
	f3_buf_put_u64(buf, rec->len);
	f3_buf_put_u64(buf, rec->nonce);
	f3_buf_put_u32(buf, rec->crc32c);
	f3_buf_put_u32(buf, rec->have_crc);
	f3_buf_put_u32(buf, 0);
	f3_buf_put_u32(buf, f3_crc32c(0, buf->data, buf->len));
}

/* false: no part, or one that was half written at a crash. */
static bool get_record(const uint8_t *bytes, struct record *ret_rec)
{
	struct f3_rd rd;

	f3_rd_init(&rd, bytes, RECORD_BYTES);
	if (f3_rd_u32(&rd) != RECORD_DONE)
		return false;
	ret_rec->number = f3_rd_u32(&rd);
	ret_rec->off = f3_rd_u64(&rd);
	ret_rec->len = f3_rd_u64(&rd);
	ret_rec->nonce = f3_rd_u64(&rd);
	ret_rec->crc32c = f3_rd_u32(&rd);
	ret_rec->have_crc = f3_rd_u32(&rd) == 1;
	f3_rd_u32(&rd);
	return f3_rd_u32(&rd) == f3_crc32c(0, bytes, RECORD_BYTES - 4);
}

/* All records; the caller frees. */
static int read_records(int fd, uint8_t **ret_bytes, size_t *ret_n)
{
	size_t size = (size_t)F3_OBJFILE_PARTS_MAX * RECORD_BYTES, len = 0;
	uint8_t *bytes = malloc(size);

	if (!bytes)
		return -ENOMEM;
	while (len < size) {
		ssize_t n = pread(fd, bytes + len, size - len, (off_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int r = -errno;

			free(bytes);
			return r;
		}
		if (!n)
			break;
		len += (size_t)n;
	}
	*ret_bytes = bytes;
	*ret_n = len / RECORD_BYTES;
	return 0;
}

/* Of any numbers: those of a record are what somebody wrote there. */
static bool overlap(uint64_t a_off, uint64_t a_len, uint64_t b_off, uint64_t b_len)
{
	return a_off <= b_off ? b_off - a_off < a_len : a_off - b_off < b_len;
}

/* Before [off, off+len) is written: whatever was there, and this part, is there no more. */
static int clear_records(int fd, uint32_t number, uint64_t off, uint64_t len)
{
	static const uint8_t zero[RECORD_BYTES];
	bool cleared = false;
	struct record rec;
	uint8_t *bytes;
	size_t n;
	int r;

	r = read_records(fd, &bytes, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; !r && i < n; i++) {
		if (!get_record(bytes + i * RECORD_BYTES, &rec) ||
		    (i + 1 != number && !overlap(rec.off, rec.len, off, len)))
			continue;
		r = f3_objfile_write_all(fd, zero, RECORD_BYTES, i * RECORD_BYTES);
		cleared = true;
	}
	free(bytes);
	if (!r && cleared && fdatasync(fd) < 0)
		r = -errno;
	return r;
}

/* ---- What is under way in this process ------------------------------------------------------ */

/* -EBUSY: that part or these bytes are being written, or the upload is being completed. */
static int busy_enter(struct f3_objfile_store *s, struct f3_objfile_busy *busy)
{
	bool clash = false;

	f3_lock(&s->lock);
	for (struct f3_objfile_busy *b = s->busy; b && !clash; b = b->next)
		clash = !strcmp(b->upload, busy->upload) &&
			(b->whole || busy->whole || b->part == busy->part ||
			 overlap(b->off, b->len, busy->off, busy->len));
	if (!clash) {
		busy->next = s->busy;
		s->busy = busy;
	}
	f3_unlock(&s->lock);
	return clash ? -EBUSY : 0;
}

static void busy_leave(struct f3_objfile_store *s, struct f3_objfile_busy *busy)
{
	struct f3_objfile_busy **link;

	f3_lock(&s->lock);
	for (link = &s->busy; *link != busy; link = &(*link)->next)
		;
	*link = busy->next;
	f3_unlock(&s->lock);
}

/* ---- CREATE, ABORT, LIST ------------------------------------------------------------------- */

static int write_manifest(int dir_fd, const struct f3_obj_op *op, uint64_t data_ino)
{
	struct f3_buf buf;
	int fd, r;

	f3_buf_init(&buf, MANIFEST_MAX);
	put_manifest(&buf, op, data_ino);
	r = buf.error == -EMSGSIZE ? -E2BIG : buf.error;
	fd = r ? -1 : openat(dir_fd, "manifest", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (!r && fd < 0)
		r = -errno;
	if (!r)
		r = f3_objfile_write_all(fd, buf.data, buf.len, 0);
	if (!r && fsync(fd) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	f3_buf_done(&buf);
	return r;
}

static int make_file(int dir_fd, const char *name, struct stat *ret_st)
{
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = fstat(fd, ret_st) < 0 || fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int fill_upload(int dir_fd, const struct f3_obj_op *op)
{
	struct stat st;
	int r;

	r = make_file(dir_fd, "parts", &st);
	if (!r)
		r = make_file(dir_fd, "data", &st);
	if (!r)
		r = write_manifest(dir_fd, op, st.st_ino);
	return r ? r : f3_objfile_sync_dir(dir_fd);
}

int f3_objfile_upload_create(struct f3_objfile_job *job)
{
	struct f3_objfile_root *root = job->root;
	struct f3_obj_op *op = job->op;
	char tmp[F3_OBJFILE_TMP_NAME_BYTES], text[F3_ID_TEXT_BYTES];
	struct f3_id id;
	int fd, r;

	if (op->attr && op->attr->have_mode && (op->attr->mode & S_IFMT) &&
	    !S_ISREG(op->attr->mode))
		return f3_objfile_fail(job, -EINVAL, "only a plain file is uploaded in parts");
	if (op->attr && !f3_objfile_xattrs_valid(op->attr->xattrs, op->attr->xattrs_len))
		return f3_objfile_fail(job, -EINVAL, "malformed xattrs");
	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return -EIO;
	f3_id_format(&id, text);
	f3_objfile_tmp_name(root, tmp);
	if (mkdirat(root->tmp_fd, tmp, 0700) < 0)
		return -errno;
	fd = openat(root->tmp_fd, tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : fill_upload(fd, op);
	if (fd >= 0)
		close(fd);
	/* complete before it can be seen */
	if (!r)
		r = f3_objfile_rename_new(root->tmp_fd, tmp, root->upload_fd, text);
	if (r < 0) {
		f3_objfile_remove(root->tmp_fd, tmp);
		return r;
	}
	r = f3_objfile_sync_dir(root->upload_fd);
	if (!r)
		memcpy(op->ret_upload, text, sizeof(text));
	return r;
}

int f3_objfile_upload_abort(struct f3_objfile_job *job)
{
	struct f3_objfile_root *root = job->root;
	char tmp[F3_OBJFILE_TMP_NAME_BYTES];
	struct upload u;
	int r;

	r = upload_of(job, &u);
	if (!r) {
		upload_close(&u);
		f3_objfile_tmp_name(root, tmp);
		/* gone at once; what it holds may take longer */
		if (renameat(root->upload_fd, job->op->upload, root->tmp_fd, tmp) < 0)
			r = -errno;
	}
	if (r == -ENOENT) {
		job->op->message[0] = 0;
		job->doubt = true;
		return 0;
	}
	if (r < 0)
		return r;
	f3_objfile_remove(root->tmp_fd, tmp);
	return f3_objfile_sync_dir(root->upload_fd);
}

static bool below(const char *key, const char *dir)
{
	size_t len = strlen(dir);

	return !len || (!strncmp(key, dir, len) && key[len] == '/');
}

static int collect_uploads(struct f3_objfile_job *job, const struct f3_objfile_names *names,
			   struct f3_obj_upload *uploads, size_t *n)
{
	struct upload u;

	for (size_t i = 0; i < names->n; i++) {
		int r = f3_objfile_interrupted(job);

		if (r < 0)
			return r;
		if (upload_open(job->root, names->name[i], &u) < 0)
			continue;
		if (below(u.key, job->op->key)) {
			struct f3_obj_upload *out = &uploads[*n];

			memcpy(out->key, u.key, sizeof(out->key));
			snprintf(out->upload, sizeof(out->upload), "%s", names->name[i]);
			out->since_ns = u.since_ns;
			(*n)++;
		}
		upload_close(&u);
		if (*n == F3_OBJ_LIST_MAX) {
			if (i + 1 < names->n || !names->complete)
				job->op->ret_next = uploads[*n - 1].upload;
			return 1;
		}
	}
	return 0;
}

int f3_objfile_upload_list(struct f3_objfile_job *job)
{
	struct f3_obj_op *op = job->op;
	struct f3_obj_upload *uploads;
	struct f3_objfile_names *names;
	char after[F3_OBJ_UPLOAD_MAX + 1];
	bool more = true;
	size_t n = 0;
	int r = 0;

	snprintf(after, sizeof(after), "%s", op->after ? op->after : "");
	uploads = malloc(F3_OBJ_LIST_MAX * sizeof(*uploads));
	if (!uploads)
		return -ENOMEM;
	while (!r && more && job->root->upload_fd >= 0) {
		r = f3_objfile_names_read(job->root->upload_fd, after, F3_OBJ_LIST_MAX, &names);
		if (r < 0)
			break;
		r = collect_uploads(job, names, uploads, &n);
		more = !names->complete;
		if (names->n)
			snprintf(after, sizeof(after), "%s", names->name[names->n - 1]);
		f3_objfile_names_free(names);
	}
	if (r < 0) {
		op->ret_next = NULL;
		free(uploads);
		return r;
	}
	job->doubt = !n;
	op->heap = uploads;
	op->uploads = uploads;
	op->n_uploads = n;
	return 0;
}

/* ---- PART, PART_COPY ------------------------------------------------------------------------ */

/* Calls `fill` between the clearing of what was there and the new record. */
static int write_part(struct f3_objfile_job *job, const struct upload *u,
		      int (*fill)(struct f3_objfile_job *job, int fd, struct record *rec))
{
	struct f3_obj_op *op = job->op;
	struct record rec = { .number = op->part, .off = op->off, .len = op->len };
	int data_fd, parts_fd, r = 0;
	struct f3_buf buf;

	if (getrandom(&rec.nonce, sizeof(rec.nonce), 0) != sizeof(rec.nonce))
		return -EIO;
	data_fd = openat(u->fd, "data", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	parts_fd = openat(u->fd, "parts", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (data_fd < 0 || parts_fd < 0)
		r = -errno;
	if (!r)
		r = clear_records(parts_fd, rec.number, rec.off, rec.len);
	if (!r)
		r = fill(job, data_fd, &rec);
	if (!r && fdatasync(data_fd) < 0)
		r = -errno;
	if (!r) {
		f3_buf_init(&buf, RECORD_BYTES);
		put_record(&buf, &rec);
		r = f3_objfile_write_all(parts_fd, buf.data, buf.len,
					 (uint64_t)(rec.number - 1) * RECORD_BYTES);
		f3_buf_done(&buf);
	}
	if (!r && fdatasync(parts_fd) < 0)
		r = -errno;
	if (data_fd >= 0)
		close(data_fd);
	if (parts_fd >= 0)
		close(parts_fd);
	if (r < 0)
		return r;
	op->crc32c = rec.crc32c;
	op->ret_part = (struct f3_obj_part){
		.number = rec.number, .off = rec.off, .len = rec.len, .crc32c = rec.crc32c
	};
	format_etag(rec.nonce, op->ret_part.etag);
	return 0;
}

static int part(struct f3_objfile_job *job,
		int (*fill)(struct f3_objfile_job *job, int fd, struct record *rec))
{
	struct f3_obj_op *op = job->op;
	struct f3_objfile_busy busy = { .part = op->part, .off = op->off, .len = op->len };
	struct upload u;
	int r;

	if (!op->part || op->part > F3_OBJFILE_PARTS_MAX || !op->len || op->len > INT64_MAX ||
	    op->off > INT64_MAX - op->len)
		return f3_objfile_fail(job, -EINVAL,
				       "no part: number %u of %" PRIu64 " bytes at %" PRIu64,
				       op->part, op->len, op->off);
	r = upload_of(job, &u);
	if (r < 0)
		return r;
	snprintf(busy.upload, sizeof(busy.upload), "%s", op->upload);
	r = busy_enter(job->store, &busy);
	if (!r) {
		r = write_part(job, &u, fill);
		busy_leave(job->store, &busy);
	}
	upload_close(&u);
	return r;
}

static int fill_body(struct f3_objfile_job *job, int fd, struct record *rec)
{
	rec->have_crc = true;
	return f3_objfile_write_body(job, fd, rec->off, &rec->crc32c);
}

int f3_objfile_upload_part(struct f3_objfile_job *job)
{
	return part(job, fill_body);
}

static int fill_copy(struct f3_objfile_job *job, int fd, struct record *rec)
{
	struct f3_obj_op *op = job->op;
	struct f3_objfile_object o;
	int r;

	r = f3_objfile_object_open(job, op->key2, op->etag2, &o);
	if (r < 0)
		return r;
	if (o.fd < 0 || S_ISDIR(o.st.st_mode))
		r = f3_objfile_fail(job, -EINVAL, "%.80s has no bytes to copy", op->key2);
	else if (op->off2 > (uint64_t)o.st.st_size || op->len > (uint64_t)o.st.st_size - op->off2)
		r = f3_objfile_fail(job, -EINVAL, "%.80s ends before the range", op->key2);
	if (!r)
		r = f3_objfile_copy_range(job, o.fd, op->off2, fd, rec->off, rec->len);
	if (!r)
		r = f3_objfile_object_check(&o, op->etag2);
	f3_objfile_object_close(&o);
	return r;
}

int f3_objfile_upload_part_copy(struct f3_objfile_job *job)
{
	return part(job, fill_copy);
}

/* ---- COMPLETE ------------------------------------------------------------------------------ */

static int check_part(struct f3_objfile_job *job, const struct f3_obj_part *p,
		      const uint8_t *records, size_t n_records, uint64_t off)
{
	char etag[F3_OBJ_ETAG_MAX + 1];
	const char *wrong = NULL;
	struct record rec;

	if (!p->number || p->number > n_records ||
	    !get_record(records + (p->number - 1) * (size_t)RECORD_BYTES, &rec) ||
	    rec.number != p->number)
		return f3_objfile_fail(job, -EINVAL, "part %u was not uploaded", p->number);
	format_etag(rec.nonce, etag);
	if (strcmp(etag, p->etag) != 0)
		wrong = "was uploaded again since";
	else if (rec.off != off || p->off != off)
		wrong = "does not begin where the one before it ends";
	else if (rec.len != p->len)
		wrong = "has another length";
	else if (rec.have_crc && rec.crc32c != p->crc32c)
		wrong = "has another checksum";
	return wrong ? f3_objfile_fail(job, -EINVAL, "part %u %s", p->number, wrong) : 0;
}

static int check_parts(struct f3_objfile_job *job, const struct upload *u, uint64_t *ret_size)
{
	struct f3_obj_op *op = job->op;
	uint64_t off = 0;
	uint8_t *records;
	size_t n;
	int fd, r;

	fd = openat(u->fd, "parts", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = read_records(fd, &records, &n);
	close(fd);
	if (r < 0)
		return r;
	for (size_t i = 0; !r && i < op->n_parts; i++) {
		if (i && op->parts[i].number <= op->parts[i - 1].number)
			r = f3_objfile_fail(job, -EINVAL, "parts are not in order");
		else
			r = check_part(job, &op->parts[i], records, n, off);
		off += op->parts[i].len;
	}
	free(records);
	if (!r)
		*ret_size = off;
	return r;
}

/* Opens the data if it is still what was uploaded: an exchange that a crash interrupted leaves
 * the object that was replaced under its name. */
static int open_data(const struct upload *u)
{
	struct stat st;
	int fd = openat(u->fd, "data", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_ino != u->data_ino) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

static int complete(struct f3_objfile_job *job, const struct upload *u)
{
	struct f3_obj_op *op = job->op;
	uint64_t size = 0;
	struct stat st;
	int fd, r;

	r = check_parts(job, u, &size);
	if (!r)
		r = f3_objfile_cond_check(job, op->key);
	if (r < 0)
		return r;
	fd = open_data(u);
	if (fd < 0)
		return f3_objfile_fail(job, fd, "the upload has been completed");
	/* parts that were uploaded and are not named are no bytes of the object */
	if (ftruncate(fd, (off_t)size) < 0)
		r = -errno;
	if (!r)
		r = f3_objfile_apply(job->root, fd, true, &u->attr, &u->gen, &st);
	if (!r && fsync(fd) < 0)
		r = -errno;
	if (!r)
		r = f3_objfile_interrupted(job);
	if (!r)
		r = f3_objfile_publish(job, u->fd, "data", op->key, &st);
	if (!r)
		r = f3_objfile_result(job, fd, &st);
	close(fd);
	return r;
}

int f3_objfile_upload_complete(struct f3_objfile_job *job)
{
	struct f3_obj_op *op = job->op;
	struct f3_objfile_root *root = job->root;
	struct f3_objfile_busy busy = { .whole = true };
	char tmp[F3_OBJFILE_TMP_NAME_BYTES];
	struct upload u;
	int r;

	r = upload_of(job, &u);
	if (r < 0)
		return r;
	snprintf(busy.upload, sizeof(busy.upload), "%s", op->upload);
	r = busy_enter(job->store, &busy);
	if (!r) {
		r = complete(job, &u);
		busy_leave(job->store, &busy);
	}
	upload_close(&u);
	if (r < 0)
		return r;
	/* The object is there. What is left of the upload goes now, or with an abort. */
	f3_objfile_tmp_name(root, tmp);
	if (!renameat(root->upload_fd, op->upload, root->tmp_fd, tmp))
		f3_objfile_remove(root->tmp_fd, tmp);
	return 0;
}
