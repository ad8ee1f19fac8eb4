/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_s3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/object/digest.h"
#include "fs/object/s3_meta.h"
#include "fs/object/s3_xml.h"

/* ---- Texts of answers and of completions ---- */

struct wanted {
	const char *path;
	char *out;
	size_t size;
	bool found;
};

static int take_text(void *arg, const char *path, const char *text, size_t len)
{
	struct wanted *w = arg;

	if (strcmp(path, w->path) != 0)
		return 0;
	if (len >= w->size)
		return -EBADMSG;
	memcpy(w->out, text, len + 1);
	w->found = true;
	return 0;
}

int f3_s3_element(const struct f3_buf *text, const char *path, char *out, size_t size)
{
	struct wanted w = { path, out, size, false };
	const struct f3_xml_events events = { .text = take_text, .arg = &w };
	int r = f3_xml_parse(text->data, text->len, &events);

	return r ? r : w.found ? 0 : -EBADMSG;
}

static void put_etag(struct f3_buf *xml, const char *etag)
{
	for (const char *p = etag; *p; p++) {
		if (*p == '<')
			f3_buf_put(xml, "&lt;", 4);
		else if (*p == '&')
			f3_buf_put(xml, "&amp;", 5);
		else
			f3_buf_put(xml, p, 1);
	}
}

int f3_s3_complete_body(const struct f3_obj_part *parts, size_t n, bool with_sums, char **ret_body)
{
	struct f3_buf xml;
	char sum[F3_CRC32C_BASE64];
	int r;

	f3_buf_init(&xml, F3_S3_TEXT_MAX);
	f3_buf_printf(&xml, "<CompleteMultipartUpload>");
	for (size_t i = 0; i < n; i++) {
		f3_buf_printf(&xml, "<Part><PartNumber>%" PRIu32 "</PartNumber><ETag>\"",
			      parts[i].number);
		put_etag(&xml, parts[i].etag);
		f3_buf_printf(&xml, "\"</ETag>");
		if (with_sums) {
			f3_crc32c_base64(parts[i].crc32c, sum);
			f3_buf_printf(&xml, "<ChecksumCRC32C>%s</ChecksumCRC32C>", sum);
		}
		f3_buf_printf(&xml, "</Part>");
	}
	f3_buf_printf(&xml, "</CompleteMultipartUpload>");
	f3_buf_put(&xml, "", 1);
	*ret_body = xml.error ? NULL : malloc(xml.len);
	r = xml.error ? xml.error : *ret_body ? 0 : -ENOMEM;
	if (!r)
		memcpy(*ret_body, xml.data, xml.len);
	f3_buf_done(&xml);
	return r;
}

int f3_s3_copy_source(struct f3_s3_ask *a, const char *key, const char *etag)
{
	char full[F3_OBJ_KEY_MAX + 2], path[F3_S3_PATH_MAX], text[F3_S3_PATH_MAX * 3];
	char match[F3_OBJ_ETAG_MAX + 3];
	int r = f3_s3_place_key(&a->s->place, key, false, full);

	if (r)
		return r;
	/* The bucket is part of it, in either style. */
	snprintf(path, sizeof(path), "/%s/%s", a->s->place.bucket, full);
	if (f3_sigv4_encode(path, strlen(path), true, text, sizeof(text)) < 0)
		return -ENAMETOOLONG;
	f3_s3_headers_add(&a->headers, "x-amz-copy-source", text);
	if (etag && a->s->copy_cond) {
		f3_s3_etag_text(a->s, etag, true, match);
		f3_s3_headers_add(&a->headers, "x-amz-copy-source-if-match", match);
		if (a->s->copy_cond == F3_S3_COPY_COND_CEPH)
			f3_s3_headers_add(&a->headers, "x-amz-copy-if-match", match);
	}
	return 0;
}

/* ---- CREATE ---- */

/* Who is told at the creation of an upload that its parts have sums wants those of all of them in the
 * end; but not every store says those of copies. */
static bool has_sums(const struct f3_s3 *s, bool copies)
{
	return s->checksum == F3_S3_CHECKSUM_CRC32C && !copies;
}

void f3_s3_upload_headers(struct f3_s3_ask *a, bool copies)
{
	f3_s3_ask_query(a, "uploads", "");
	if (has_sums(a->s, copies))
		f3_s3_headers_add(&a->headers, "x-amz-checksum-algorithm", "CRC32C");
	a->mutates = true;
	a->has_body = true;
	a->body = "";
}

static void created(struct f3_s3_ask *a)
{
	struct f3_obj_op *op = a->call->op;
	int r = a->result;

	if (r) {
		f3_s3_end_as(a->call, a);
		return;
	}
	r = f3_s3_element(&a->text, "InitiateMultipartUploadResult/UploadId", op->ret_upload,
			  sizeof(op->ret_upload));
	if (!r && !op->ret_upload[0])
		r = -EBADMSG;
	if (r)
		snprintf(op->message, sizeof(op->message),
			 "POST %.100s?uploads: no upload came back", op->key);
	f3_s3_end(a->call, r == -EBADMSG ? -EIO : r);
}

void f3_s3_upload_create(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	struct f3_s3_ask *a = &call->a;
	int r;

	f3_s3_ask_init(a, call, "POST");
	r = f3_s3_ask_key(a, op->key, false);
	if (r) {
		f3_s3_end(call, r);
		return;
	}
	f3_s3_new_object(a, op->key);
	f3_s3_meta_put(&a->headers, op->attr, op->gen);
	f3_s3_upload_headers(a, op->copies);
	f3_s3_ask_start(a, created);
}

/* ---- PART ---- */

static void name_part(struct f3_s3_call *call, uint32_t number, const char *upload)
{
	snprintf(call->number, sizeof(call->number), "%" PRIu32, number);
	f3_s3_ask_query(&call->a, "partNumber", call->number);
	f3_s3_ask_query(&call->a, "uploadId", upload);
}

static void fill_part(struct f3_obj_op *op, uint32_t crc32c, const char *etag)
{
	op->ret_part.number = op->part;
	op->ret_part.off = op->off;
	op->ret_part.len = op->len;
	op->ret_part.crc32c = crc32c;
	f3_s3_etag(etag, op->ret_part.etag);
}

static void part_done(struct f3_s3_ask *a)
{
	struct f3_obj_op *op = a->call->op;
	const char *etag = f3_s3_headers_get(&a->answer, "etag");

	op->crc32c = a->sent_crc32c;
	if (!a->result)
		fill_part(op, a->sent_crc32c, etag ? etag : "");
	/* Without a tag it cannot be named: it is sent again. */
	if (!a->result && !op->ret_part.etag[0])
		f3_s3_end(a->call, F3_OBJ_AMBIGUOUS);
	else
		f3_s3_end_as(a->call, a);
}

void f3_s3_upload_part(struct f3_s3_call *call)
{
	if (!f3_s3_put_begin(call))
		return;
	name_part(call, call->op->part, call->op->upload);
	f3_s3_send_body(call, part_done);
}

int f3_s3_part_copied(const struct f3_s3_ask *a, struct f3_obj_part *ret_part)
{
	char etag[F3_OBJ_ETAG_MAX + 3];
	int r = f3_s3_element(&a->text, "CopyPartResult/ETag", etag, sizeof(etag));

	if (r)
		return r;
	f3_s3_etag(etag, ret_part->etag);
	return 0;
}

static void part_copy_done(struct f3_s3_ask *a)
{
	struct f3_obj_op *op = a->call->op;
	int r = a->result;

	if (!r) {
		fill_part(op, 0, "");
		r = f3_s3_part_copied(a, &op->ret_part);
		f3_s3_end(a->call, r == -EBADMSG ? F3_OBJ_AMBIGUOUS : r);
	} else {
		f3_s3_end_as(a->call, a);
	}
}

/* Of call->a, which is fresh. */
int f3_s3_ask_part_copy(struct f3_s3_call *call, const char *key, uint32_t number,
			const char *upload, const struct f3_s3_range *from)
{
	struct f3_s3_ask *a = &call->a;
	int r;

	f3_s3_ask_init(a, call, "PUT");
	a->mutates = true;
	a->has_body = true;
	a->body = "";
	a->cond = F3_OBJ_MATCH;
	r = f3_s3_ask_key(a, key, false);
	if (!r)
		r = f3_s3_copy_source(a, from->key, from->etag);
	if (r)
		return r;
	name_part(call, number, upload);
	f3_s3_headers_addf(&a->headers, "x-amz-copy-source-range", "bytes=%" PRIu64 "-%" PRIu64,
			   from->off, from->off + from->len - 1);
	return 0;
}

void f3_s3_upload_part_copy(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	const struct f3_s3_range from = { op->key2, op->etag2, op->off2, op->len };
	int r = op->len ? f3_s3_ask_part_copy(call, op->key, op->part, op->upload, &from) : -EINVAL;

	if (r)
		f3_s3_end(call, r);
	else
		f3_s3_ask_start(&call->a, part_copy_done);
}

/* ---- COMPLETE, ABORT ---- */

/* Of call->a, which is fresh; call->body is the list of parts. */
int f3_s3_ask_complete(struct f3_s3_call *call, const char *key, const char *upload)
{
	struct f3_s3_ask *a = &call->a;
	int r;

	f3_s3_ask_init(a, call, "POST");
	a->mutates = true;
	r = f3_s3_ask_key(a, key, false);
	f3_s3_ask_query(a, "uploadId", upload);
	f3_s3_headers_add(&a->headers, "content-type", "application/xml");
	a->has_body = true;
	a->body = call->body;
	a->body_bytes = strlen(call->body);
	return r;
}

int f3_s3_completed(const struct f3_s3_ask *a, struct f3_obj_info *ret_info)
{
	char etag[F3_OBJ_ETAG_MAX + 3];
	int r = f3_s3_element(&a->text, "CompleteMultipartUploadResult/ETag", etag, sizeof(etag));

	if (!r)
		f3_s3_etag(etag, ret_info->etag);
	return r;
}

/* What is there now: is it what was completed? */
static void object_seen(struct f3_s3_ask *b)
{
	struct f3_s3_call *call = b->call;
	struct f3_obj_op *op = call->op;
	struct f3_obj_info info = { .size = op->info.size };
	void *heap = NULL;
	int r = b->result ? F3_OBJ_AMBIGUOUS : f3_s3_meta_get(&b->answer, &info, &heap);

	free(heap);
	if (!r && op->gen && (!info.have_gen || !f3_obj_gen_equal(&info.gen, op->gen)))
		r = F3_OBJ_AMBIGUOUS;
	if (!r)
		memcpy(op->info.etag, info.etag, sizeof(info.etag));
	f3_s3_end(call, r);
}

void f3_s3_look_at(struct f3_s3_call *call, const char *key)
{
	struct f3_s3_ask *b = &call->b;

	f3_s3_ask_init(b, call, "HEAD");
	(void)f3_s3_ask_key(b, key, false);
	f3_s3_ask_start(b, object_seen);
}

static void complete_done(struct f3_s3_ask *a)
{
	struct f3_obj_op *op = a->call->op;
	int r = a->result;

	if (r) {
		/* The object of the condition is gone. */
		if (r == -ENOENT && a->cond == F3_OBJ_MATCH && !strcmp(a->code, "NoSuchKey"))
			a->result = -ESTALE;
		f3_s3_end_as(a->call, a);
		return;
	}
	r = f3_s3_completed(a, &op->info);
	for (size_t i = 0; i < op->n_parts; i++)
		op->info.size += op->parts[i].len;
	if (!r && !op->info.etag[0])
		f3_s3_look_at(a->call, op->key);
	else
		f3_s3_end(a->call, r == -EBADMSG ? F3_OBJ_AMBIGUOUS : r);
}

void f3_s3_upload_complete(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	char *body = NULL;
	int r = f3_s3_complete_body(op->parts, op->n_parts, has_sums(call->s, op->copies), &body);

	call->body = body;
	if (!r)
		r = f3_s3_ask_complete(call, op->key, op->upload);
	if (r) {
		f3_s3_end(call, r);
		return;
	}
	f3_s3_ask_cond(&call->a, op->cond, op->etag);
	f3_s3_ask_start(&call->a, complete_done);
}

static void abort_done(struct f3_s3_ask *a)
{
	if (a->result == -ENOENT)
		f3_s3_end(a->call, 0);
	else
		f3_s3_end_as(a->call, a);
}

void f3_s3_upload_abort(struct f3_s3_call *call)
{
	struct f3_s3_ask *a = &call->a;
	int r;

	f3_s3_ask_init(a, call, "DELETE");
	a->mutates = true;
	r = f3_s3_ask_key(a, call->op->key, false);
	if (r) {
		f3_s3_end(call, r);
		return;
	}
	f3_s3_ask_query(a, "uploadId", call->op->upload);
	f3_s3_ask_start(a, abort_done);
}
