/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object_s3.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/object/s3_meta.h"

/* ---- GET ---- */

/* "bytes 0-99/1234" */
static bool content_range(const char *text, uint64_t *ret_from, uint64_t *ret_to,
			  uint64_t *ret_size)
{
	char end;

	return text &&
	       sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64 "%c", ret_from, ret_to,
		      ret_size, &end) == 3 &&
	       *ret_from <= *ret_to && *ret_to < *ret_size && *ret_size <= INT64_MAX;
}

static int take_info(struct f3_s3_call *call, const struct f3_s3_ask *a)
{
	return f3_s3_meta_get(&a->answer, &call->op->info, &call->op->heap);
}

static void got(struct f3_s3_ask *a)
{
	struct f3_s3_call *call = a->call;
	struct f3_obj_op *op = call->op;
	uint64_t from, to, size = 0;
	const char *text;
	int r = a->result;

	if (r == -ERANGE) {
		/* It ends before the range begins. */
		text = f3_s3_headers_get(&a->answer, "content-range");
		if (text && sscanf(text, "bytes */%" SCNu64, &size) == 1)
			r = size <= op->off ? 0 : -EIO;
		else
			r = 0;
		op->info.size = r ? 0 : size;
		f3_s3_end(call, r);
		return;
	}
	if (r) {
		f3_s3_end_as(call, a);
		return;
	}
	if (a->status == 206) {
		text = f3_s3_headers_get(&a->answer, "content-range");
		if (!content_range(text, &from, &to, &size) || from != op->off ||
		    to - from + 1 != a->received ||
		    (a->received < op->len && to + 1 != size)) /* short, and not at its end */
			r = -EIO;
	} else if (op->off) {
		r = -EIO; /* the whole object, where a range was asked for */
	} else {
		size = a->received;
	}
	if (r) {
		snprintf(op->message, sizeof(op->message),
			 "GET %.100s: other bytes than were asked for came back", op->key);
		f3_s3_end(call, r);
		return;
	}
	r = take_info(call, a);
	op->info.size = size;
	op->moved = op->len ? a->received : 0;
	f3_s3_end(call, r);
}

void f3_s3_get(struct f3_s3_call *call)
{
	struct f3_obj_op *op = call->op;
	int r;

	f3_s3_ask_init(&call->a, call, "GET");
	r = f3_s3_ask_key(&call->a, op->key, false);
	if (r) {
		f3_s3_end(call, r);
		return;
	}
	if (op->etag)
		f3_s3_ask_cond(&call->a, F3_OBJ_MATCH, op->etag);
	/* A range of no bytes cannot be said. */
	f3_s3_headers_addf(&call->a.headers, "range", "bytes=%" PRIu64 "-%" PRIu64, op->off,
			   op->off + (op->len ? op->len : 1) - 1);
	call->a.into = op->len ? op->buf : NULL;
	call->a.into_bytes = op->len;
	f3_s3_ask_start(&call->a, got);
}

/* ---- HEAD ---- */

static int object_info(struct f3_s3_call *call, const struct f3_s3_ask *a)
{
	const char *length = f3_s3_headers_get(&a->answer, "content-length");
	uint64_t size = 0;
	char end;
	int r = take_info(call, a);

	if (!r &&
	    (!length || sscanf(length, "%" SCNu64 "%c", &size, &end) != 1 || size > INT64_MAX))
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
