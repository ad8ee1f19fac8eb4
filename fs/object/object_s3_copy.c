/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object_s3_copy: copies inside the store, and changes of attributes, which are copies of an object
 * onto itself.
 *
 * A copy with other metadata replaces all of it. So what the object says besides is read first, and
 * goes with it: its content type, what other programs have noted, its storage class. The copy is
 * bound to the very object that was read. What is larger than COPY_SINGLE_MAX is copied in parts,
 * since a server may say nothing for as long as one copy takes; but only if the caller has noted that an
 * upload may be left.
 */
#include "config.h"

#include "fs/object/object_s3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/debug.h"
#include "fs/object/s3_meta.h"

#define COPY_SINGLE_MAX (2 * copy_part_bytes())
#define COPY_PART_BYTES (256ull << 20) /* more, where there would be too many parts */
#define COPY_SHORT_BYTES (8ull << 20) /* where tests want it: objects that are sooner made */

/* What belongs to an object besides its bytes and our attributes. */
static const char *const kept[] = { "content-type",        "content-encoding",
				    "content-language",    "content-disposition",
				    "cache-control",       "expires",
				    "x-amz-storage-class", "x-amz-website-redirect-location" };

static void next_part(struct f3_s3_call *call);

static uint64_t copy_part_bytes(void)
{
	int error;

	return f3_fault("object-s3.short-copies", &error) ? COPY_SHORT_BYTES : COPY_PART_BYTES;
}

static bool is_kept(const char *name)
{
	if (!strncmp(name, "x-amz-meta-", 11))
		return !f3_s3_meta_ours(name);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (!strcmp(name, kept[i]))
			return true;
	return false;
}

/* The headers of the new object. call->b has the source's. */
static void describe(struct f3_s3_ask *a, const struct f3_s3_call *call)
{
	const struct f3_s3_headers *old = &call->b.answer;
	const struct f3_obj_op *op = call->op;

	for (unsigned i = 0; i < old->n; i++)
		if (is_kept(f3_s3_headers_name(old, i)))
			f3_s3_headers_add(&a->headers, f3_s3_headers_name(old, i),
					  f3_s3_headers_value(old, i));
	f3_s3_encryption(a);
	f3_s3_meta_put(&a->headers, op->attr ? op->attr : &call->source.attr, op->gen);
}

static void copied(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;
	char etag[F3_OBJ_ETAG_MAX + 3];
	int r = a->result;

	/* Of an upload in parts only what was copied into can be gone; of a source, the source. */
	if (r) {
		f3_s3_end_as(call, a);
		return;
	}
	r = f3_s3_element(&a->text, "CopyObjectResult/ETag", etag, sizeof(etag));
	if (!r)
		f3_s3_etag(etag, call->op->info.etag);
	call->op->info.size = call->source.size;
	f3_s3_end(call, r == -EBADMSG ? F3_OBJ_AMBIGUOUS : r);
}

static void copy_at_once(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	struct f3_s3_ask *a = &call->a;
	bool onto_itself = op->type == F3_OBJ_SET_ATTR;
	int r;

	f3_s3_ask_init(a, call, "PUT");
	a->mutates = true;
	a->has_body = true;
	a->body = "";
	r = f3_s3_ask_key(a, call->copy_key, false);
	if (!r)
		r = f3_s3_copy_source(a, op->key, call->source.etag);
	if (r) {
		f3_s3_end(call, r);
		return;
	}
	f3_s3_headers_add(&a->headers, "x-amz-metadata-directive", "REPLACE");
	describe(a, call);
	f3_s3_ask_cond(a, onto_itself ? F3_OBJ_ANY : op->cond, op->etag);
	f3_s3_ask_start(a, copied);
}

/* ---- In parts ---- */

/* It came to nothing: what was copied goes, whatever comes of that. */
static void dropped(struct f3_s3_ask *b)
{
	if (!b->result || b->result == -ENOENT)
		b->call->op->ret_left = false;
	f3_s3_end(b->call, b->call->failed);
}

static void drop(struct f3_s3_call *call, const struct f3_s3_ask *a, int r)
{
	struct f3_s3_ask *b = &call->b;

	if (a)
		snprintf(call->op->message, sizeof(call->op->message), "%s", a->message);
	call->failed = r;
	f3_s3_ask_init(b, call, "DELETE");
	b->mutates = true;
	b->anyway = true;
	(void)f3_s3_ask_key(b, call->copy_key, false);
	f3_s3_ask_query(b, "uploadId", call->upload);
	f3_s3_ask_start(b, dropped);
}

static void all_copied(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;
	int r = a->result;

	if (r && r != F3_OBJ_AMBIGUOUS) {
		drop(call, a, r == -ENOENT ? -EAGAIN : r);
		return;
	}
	if (!r) {
		call->op->ret_left = false;
		r = f3_s3_completed(a, &call->op->info);
	}
	call->op->info.size = call->source.size;
	if (r == F3_OBJ_AMBIGUOUS)
		f3_s3_end_as(call, a);
	else if (r)
		f3_s3_end(call, F3_OBJ_AMBIGUOUS);
	else if (!call->op->info.etag[0])
		f3_s3_look_at(call, call->copy_key);
	else
		f3_s3_end(call, 0);
}

static void complete(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	char *body = NULL;
	int r = f3_s3_complete_body(call->parts, call->n_parts, false, &body);

	call->body = body;
	if (!r)
		r = f3_s3_ask_complete(call, call->copy_key, call->upload);
	if (r) {
		drop(call, NULL, r);
		return;
	}
	f3_s3_ask_cond(&call->a, op->type == F3_OBJ_SET_ATTR ? F3_OBJ_ANY : op->cond, op->etag);
	f3_s3_ask_start(&call->a, all_copied);
}

static void part_copied(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;
	int r = a->result;

	if (!r)
		r = f3_s3_part_copied(a, &call->parts[call->part]);
	/* Not the source is gone then. */
	if (r == -ENOENT && !strcmp(a->code, "NoSuchUpload"))
		r = -EAGAIN;
	if (r) {
		/* Nothing shows of what was copied so far. */
		drop(call, a, r == F3_OBJ_AMBIGUOUS || r == -EBADMSG ? -EAGAIN : r);
		return;
	}
	call->part++;
	next_part(call);
}

static void next_part(struct f3_s3_call *call)
{
	struct f3_obj_part *part = &call->parts[call->part];
	int r;

	if (call->part == call->n_parts) {
		complete(call);
		return;
	}
	part->number = (uint32_t)call->part + 1;
	part->off = call->part * call->part_bytes;
	part->len = call->source.size - part->off < call->part_bytes ?
			    call->source.size - part->off :
			    call->part_bytes;
	r = f3_s3_ask_part_copy(
		call, call->copy_key, part->number, call->upload,
		&(struct f3_s3_range){ call->op->key, call->source.etag, part->off, part->len });
	if (r)
		drop(call, NULL, r);
	else
		f3_s3_ask_start(&call->a, part_copied);
}

static void upload_created(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;
	int r = a->result;

	if (!r)
		r = f3_s3_element(&a->text, "InitiateMultipartUploadResult/UploadId", call->upload,
				  sizeof(call->upload));
	if (r) {
		call->op->ret_left = r == F3_OBJ_AMBIGUOUS || r == -EBADMSG;
		f3_s3_end(call, call->op->ret_left ? -EAGAIN : r);
		return;
	}
	next_part(call);
}

static void copy_in_parts(struct f3_s3_call *call)
{
	struct f3_s3_ask *a = &call->a;
	int r;

	call->part_bytes = copy_part_bytes();
	while (call->part_bytes < F3_S3_PUT_MAX &&
	       call->source.size / call->part_bytes >= F3_S3_PARTS_MAX)
		call->part_bytes *= 2;
	call->n_parts =
		call->source.size / call->part_bytes + (call->source.size % call->part_bytes != 0);
	if (call->n_parts > F3_S3_PARTS_MAX || call->part_bytes > F3_S3_PUT_MAX) {
		f3_s3_end(call, -EFBIG);
		return;
	}
	call->parts = calloc(call->n_parts, sizeof(*call->parts));
	f3_s3_ask_init(a, call, "POST");
	r = f3_s3_ask_key(a, call->copy_key, false);
	if (!call->parts || r) {
		f3_s3_end(call, r ? r : -ENOMEM);
		return;
	}
	describe(a, call);
	f3_s3_upload_headers(a, true);
	call->op->ret_left = true;
	f3_s3_ask_start(a, upload_created);
}

/* ---- The beginning ---- */

static void source_known(struct f3_s3_ask *b)
{
	struct f3_s3_call *call = b->call;
	const char *length = f3_s3_headers_get(&b->answer, "content-length");
	char end;
	int r = b->result;

	if (!r)
		r = f3_s3_meta_get(&b->answer, &call->source, &call->source_heap);
	/* What the object says besides must go with it, all of it. */
	if (!r && (b->cut || b->answer.error))
		r = -EOVERFLOW;
	if (!r && (!length || sscanf(length, "%" SCNu64 "%c", &call->source.size, &end) != 1 ||
		   call->source.size > INT64_MAX))
		r = -EIO;
	if (r) {
		if (b->result)
			f3_s3_end_as(call, b);
		else
			f3_s3_end(call, r);
		return;
	}
	if (call->source.size <= COPY_SINGLE_MAX)
		copy_at_once(call);
	else if (call->op->in_parts)
		copy_in_parts(call);
	else
		f3_s3_end(call, F3_OBJ_IN_PARTS);
}

void f3_s3_copy(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	bool onto_itself = op->type == F3_OBJ_SET_ATTR;
	const char *etag = onto_itself ? (op->cond == F3_OBJ_MATCH ? op->etag : NULL) : op->etag2;
	int r;

	/* The root of a whole bucket has no key: see f3_s3_mkdir. */
	if (!*op->key && !call->s->place.prefix[0]) {
		f3_s3_end(call, 0);
		return;
	}
	call->copy_key = onto_itself ? op->key : op->key2;
	f3_s3_ask_init(&call->b, call, "HEAD");
	r = f3_s3_ask_key(&call->b, op->key, false);
	if (r) {
		f3_s3_end(call, r);
		return;
	}
	if (etag)
		f3_s3_ask_cond(&call->b, F3_OBJ_MATCH, etag);
	f3_s3_ask_start(&call->b, source_known);
}
