/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/conf.h"
#include "fs/object/s3_meta.h"

static int take_info(struct f3_s3_call *call, const struct f3_s3_ask *a)
{
	return f3_s3_meta_get(&a->answer, &call->op->info, &call->op->heap);
}

/* Of an object. One without an ETag could not be told from none. */
static int take_object(struct f3_s3_call *call, const struct f3_s3_ask *a)
{
	struct f3_obj_op *op = call->op;
	int r = take_info(call, a);

	if (r || op->info.etag[0])
		return r;
	snprintf(op->message, sizeof(op->message), "%s %.100s: the answer has no (possible) ETag",
		 a->method, op->key);
	return -EIO;
}

static int object_info(struct f3_s3_call *call, const struct f3_s3_ask *a)
{
	const char *length = f3_s3_headers_get(&a->answer, "content-length");
	uint64_t size = 0;
	int r = take_object(call, a);

	if (!r && (!length || f3_parse_uint(length, INT64_MAX, &size)))
		r = -EIO;
	call->op->info.size = size;
	return r;
}

/* Attributes of a directory whose marker was seen a moment ago. */
static void marker_known(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;
	struct f3_obj_info *info = &call->op->info;
	int r = a->result;

	if (r && r != -ENOENT) {
		f3_s3_end_as(call, a);
		return;
	}
	if (!r)
		r = take_info(call, a);
	else
		r = 0;
	info->is_dir = true;
	info->implicit = a->result != 0;
	info->have_attr = true;
	info->size = 0;
	/* Names come and go in a directory without its being another one. */
	snprintf(info->etag, sizeof(info->etag), "dir");
	f3_s3_end(call, r);
}

static void ask_marker(struct f3_s3_call *call)
{
	int r;

	f3_s3_ask_init(&call->b, call, "HEAD");
	r = f3_s3_ask_key(&call->b, call->op->key, true);
	if (r)
		f3_s3_end(call, r);
	else
		f3_s3_ask_start(&call->b, marker_known);
}

static void implicit_dir(struct f3_s3_call *call)
{
	struct f3_obj_info *info = &call->op->info;

	memset(info, 0, sizeof(*info));
	info->is_dir = info->implicit = info->have_attr = true;
	snprintf(info->etag, sizeof(info->etag), "dir");
	f3_s3_end(call, 0);
}

/* A key that ends with a slash is the marker of another directory. */
static bool may_be_object(const struct f3_obj_op *op)
{
	size_t len = strlen(op->key);

	return op->want != F3_OBJ_WANT_DIR && len && op->key[len - 1] != '/';
}

/* Both answers are there, or those that were asked for. */
static void both_known(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	bool asked_object = may_be_object(op);
	bool asked_dir = op->want != F3_OBJ_WANT_OBJECT;
	bool marker = false, below = false;
	int dir = -ENOENT;

	if (asked_dir) {
		dir = call->b.result;
		if (!dir)
			dir = f3_s3_first_below(&call->b, op->key, &marker, &below);
		if (!dir && (marker || !*op->key)) {
			if (marker)
				ask_marker(call);
			else
				implicit_dir(call);
			return;
		}
		if (!dir && below) {
			implicit_dir(call);
			return;
		}
	}
	if (asked_object && call->a.result != -ENOENT) {
		/* An answer to HEAD has no text that says why. */
		if (call->a.result)
			f3_s3_end_as(call, asked_dir && call->b.result ? &call->b : &call->a);
		else
			f3_s3_end(call, object_info(call, &call->a));
		return;
	}
	/* No object; and no directory, or nobody may say so. */
	if (asked_dir && call->b.result)
		f3_s3_end_as(call, &call->b);
	else if (dir && dir != -ENOENT)
		f3_s3_end(call, dir);
	else if (asked_object)
		f3_s3_end_as(call, &call->a);
	else
		f3_s3_end(call, -ENOENT);
}

static void one_known(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;

	if (--call->pending == 0)
		both_known(call);
}

/* That there is no object is only known if there is a bucket: HEAD's answer does not tell. */
static void bucket_known(struct f3_s3_ask *b)
{
	struct f3_s3_call *call = b->call;

	if (b->result)
		f3_s3_end_as(call, b);
	else
		f3_s3_end_as(call, &call->a);
}

static void object_known(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;

	if (a->result != -ENOENT)
		f3_s3_end(call, a->result ? a->result : object_info(call, a));
	else if (f3_s3_ask_below(&call->b, call, call->op->key, bucket_known))
		f3_s3_end_as(call, a);
}

void f3_s3_head(struct f3_s3_call *call)
{
	const struct f3_obj_op *op = call->op;
	bool object = may_be_object(op);
	bool dir = op->want != F3_OBJ_WANT_OBJECT;
	int r = 0;

	if (object) {
		f3_s3_ask_init(&call->a, call, "HEAD");
		r = f3_s3_ask_key(&call->a, op->key, false);
		if (r) {
			f3_s3_end(call, r);
			return;
		}
	}
	if (!object && !dir) {
		f3_s3_end(call, -ENOENT);
		return;
	}
	if (!dir) {
		f3_s3_ask_start(&call->a, object_known);
		return;
	}
	/* One may be answered before the other is asked. */
	call->pending = 1 + object;
	call->refs++;
	if (object)
		f3_s3_ask_start(&call->a, one_known);
	r = f3_s3_ask_below(&call->b, call, op->key, one_known);
	if (r) {
		call->b.result = r;
		one_known(&call->b);
	}
	f3_s3_call_put(call);
}
