/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_s3.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/object/s3_meta.h"

/* ---- PUT ---- */

static void put_done(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;
	struct f3_obj_op *op = call->op;
	const char *etag = f3_s3_headers_get(&a->answer, "etag");

	op->crc32c = a->sent_crc32c;
	if (!a->result) {
		f3_s3_etag(etag ? etag : "", op->info.etag);
		op->info.size = op->len;
	}
	if (a->result == -ENOENT && a->cond == F3_OBJ_MATCH)
		a->result = -ESTALE;
	/* Written, but as what? The caller looks. */
	if (!a->result && !op->info.etag[0])
		f3_s3_end(call, F3_OBJ_AMBIGUOUS);
	else
		f3_s3_end_as(call, a);
}

bool f3_s3_put_begin(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	struct f3_s3_ask *a = &call->a;
	int r;

	f3_s3_ask_init(a, call, "PUT");
	a->mutates = true;
	r = f3_s3_ask_key(a, op->key, false);
	if (!r && op->len > F3_S3_PUT_MAX)
		r = -EFBIG;
	if (r)
		f3_s3_end(call, r);
	return !r;
}

void f3_s3_put(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	struct f3_s3_ask *a = &call->a;

	if (!f3_s3_put_begin(call))
		return;
	f3_s3_new_object(a, op->key);
	f3_s3_meta_put(&a->headers, op->attr, op->gen);
	f3_s3_ask_cond(a, op->cond, op->etag);
	f3_s3_send_body(call, put_done);
}

/* ---- DELETE ---- */

static void delete_done(struct f3_s3_ask *a)
{
	int r = a->result;

	if (r == -ENOENT)
		f3_s3_end(a->call, a->cond == F3_OBJ_MATCH ? -ESTALE : 0);
	else
		f3_s3_end_as(a->call, a);
}

static void start_delete(struct f3_s3_call *call, bool marker, enum f3_obj_cond cond)
{
	struct f3_s3_ask *a = &call->a;
	int r;

	f3_s3_ask_init(a, call, "DELETE");
	a->mutates = true;
	r = f3_s3_ask_key(a, call->op->key, marker);
	if (r) {
		f3_s3_end(call, r);
		return;
	}
	f3_s3_ask_cond(a, cond, call->op->etag);
	f3_s3_ask_start(a, delete_done);
}

void f3_s3_delete(struct f3_s3_call *call)
{
	start_delete(call, false, call->op->cond);
}

/* ---- MKDIR ---- */

static void mkdir_done(struct f3_s3_ask *a)
{
	struct f3_obj_info *info = &a->call->op->info;

	if (!a->result) {
		info->is_dir = true;
		snprintf(info->etag, sizeof(info->etag), "dir");
	}
	f3_s3_end_as(a->call, a);
}

void f3_s3_mkdir(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	struct f3_s3_ask *a = &call->a;
	int r;

	/* The root of a whole bucket has no key, hence no marker: its attributes are this node's. */
	if (!*op->key && !call->s->place.prefix[0]) {
		call->op->info.is_dir = true;
		f3_s3_end(call, 0);
		return;
	}
	f3_s3_ask_init(a, call, "PUT");
	a->mutates = true;
	r = f3_s3_ask_key(a, op->key, true);
	if (r) {
		f3_s3_end(call, r);
		return;
	}
	f3_s3_headers_add(&a->headers, "content-type", "application/x-directory");
	f3_s3_encryption(a);
	f3_s3_meta_put(&a->headers, op->attr, op->gen);
	f3_s3_ask_cond(a, op->cond == F3_OBJ_ABSENT ? F3_OBJ_ABSENT : F3_OBJ_ANY, NULL);
	f3_s3_send_body(call, mkdir_done);
}

/* ---- RMDIR ---- */

static void emptiness_known(struct f3_s3_ask *b)
{
	struct f3_s3_call *call = b->call;
	bool marker, below;
	int r = b->result;

	if (r) {
		f3_s3_end_as(call, b);
		return;
	}
	r = f3_s3_first_below(b, call->op->key, &marker, &below);
	if (!r && below)
		r = -ENOTEMPTY;
	if (r || !marker)
		f3_s3_end(call, r);
	else
		start_delete(call, true, F3_OBJ_ANY);
}

void f3_s3_rmdir(struct f3_s3_call *call)
{
	int r = f3_s3_ask_below(&call->b, call, call->op->key, emptiness_known);

	if (r)
		f3_s3_end(call, r);
}
