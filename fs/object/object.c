/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/object.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/lock.h"
#include "fs/object/inject.h"

static const struct type {
	const char *name;
	bool mutates, needs_gen, needs_key2, needs_upload, has_body, may_be_root;
} types[F3_OBJ_TYPES] = {
	[F3_OBJ_GET] = { .name = "get" },
	[F3_OBJ_HEAD] = { .name = "head", .may_be_root = true },
	[F3_OBJ_PUT] = { .name = "put", .mutates = true, .needs_gen = true, .has_body = true },
	[F3_OBJ_DELETE] = { .name = "delete", .mutates = true },
	[F3_OBJ_COPY] = { .name = "copy", .mutates = true, .needs_gen = true, .needs_key2 = true },
	[F3_OBJ_RENAME] = { .name = "rename", .mutates = true, .needs_key2 = true },
	[F3_OBJ_SET_ATTR] = { .name = "set-attr",
			      .mutates = true,
			      .needs_gen = true,
			      .may_be_root = true },
	[F3_OBJ_MKDIR] = { .name = "mkdir",
			   .mutates = true,
			   .needs_gen = true,
			   .may_be_root = true },
	[F3_OBJ_RMDIR] = { .name = "rmdir", .mutates = true },
	[F3_OBJ_LIST] = { .name = "list", .may_be_root = true },
	[F3_OBJ_UPLOAD_CREATE] = { .name = "upload-create", .mutates = true, .needs_gen = true },
	[F3_OBJ_UPLOAD_PART] = { .name = "upload-part",
				 .mutates = true,
				 .needs_upload = true,
				 .has_body = true },
	[F3_OBJ_UPLOAD_PART_COPY] = { .name = "upload-part-copy",
				      .mutates = true,
				      .needs_key2 = true,
				      .needs_upload = true },
	[F3_OBJ_UPLOAD_COMPLETE] = { .name = "upload-complete",
				     .mutates = true,
				     .needs_upload = true },
	[F3_OBJ_UPLOAD_ABORT] = { .name = "upload-abort", .mutates = true, .needs_upload = true },
	[F3_OBJ_UPLOAD_LIST] = { .name = "upload-list", .may_be_root = true },
};

bool f3_obj_type_mutates(enum f3_obj_type type)
{
	return (unsigned)type < F3_OBJ_TYPES && types[type].mutates;
}

const char *f3_obj_type_name(enum f3_obj_type type)
{
	return (unsigned)type < F3_OBJ_TYPES ? types[type].name : "?";
}

void f3_object_op_init(struct f3_obj_op *op, enum f3_obj_type type)
{
	memset(op, 0, sizeof(*op));
	op->type = type;
	op->fd = -1;
}

void f3_object_op_done(struct f3_obj_op *op)
{
	if (!op)
		return;
	free(op->heap);
	op->heap = NULL;
	op->entries = NULL;
	op->uploads = NULL;
	op->n_entries = 0;
	op->n_uploads = 0;
	op->ret_next = NULL;
	memset(&op->info, 0, sizeof(op->info));
}

/* ---- Submission ---------------------------------------------------------------------------- */

static int refuse(struct f3_obj_op *op, int error, const char *why)
{
	snprintf(op->message, sizeof(op->message), "%s: %s", f3_obj_type_name(op->type), why);
	return error;
}

static int check_key(struct f3_obj_op *op, const char *key, bool may_be_root, bool may_be_dir)
{
	size_t len = key ? strnlen(key, F3_OBJ_KEY_MAX + 1) : 0;

	if (!key)
		return refuse(op, -EINVAL, "no key");
	if (len > F3_OBJ_KEY_MAX)
		return refuse(op, -ENAMETOOLONG, "the key is too long");
	if (!len && !may_be_root)
		return refuse(op, -EINVAL, "the key is empty");
	if (len && key[0] == '/')
		return refuse(op, -EINVAL, "the key begins with a slash");
	if (len && key[len - 1] == '/' && !may_be_dir)
		return refuse(op, -EINVAL, "the key of an object ends with a slash");
	return 0;
}

/* What asks a store that is being met. */
static bool is_probe(const char *key)
{
	return key && !strncmp(key, F3_OBJ_AREA_PROBE "/", sizeof(F3_OBJ_AREA_PROBE));
}

static int check_op(const struct f3_object_store *s, struct f3_obj_op *op)
{
	const struct type *t;
	uint64_t end;
	int r;

	if ((unsigned)op->type >= F3_OBJ_TYPES)
		return refuse(op, -EINVAL, "no such operation");
	t = &types[op->type];
	if (s->unmet && !is_probe(op->key))
		return refuse(op, -ENOTCONN, "the store has not been reached since the start");
	r = check_key(op, op->key, t->may_be_root, t->may_be_root || op->type == F3_OBJ_RMDIR);
	if (!r && t->needs_key2)
		r = check_key(op, op->key2, false, false);
	if (r < 0)
		return r;
	if (t->mutates && s->read_only)
		return refuse(op, -EROFS, "the store is read-only for this volume");
	if (t->needs_gen && !op->gen)
		return refuse(op, -EINVAL, "no generation");
	if (t->needs_upload && (!op->upload || !op->upload[0]))
		return refuse(op, -EINVAL, "no upload");
	if (op->cond > F3_OBJ_MATCH || (op->cond == F3_OBJ_MATCH && !op->etag))
		return refuse(op, -EINVAL, "a condition without its etag");
	if (t->has_body && op->len && !op->body && op->fd < 0)
		return refuse(op, -EINVAL, "no body");
	if (op->type == F3_OBJ_GET && op->len && !op->buf)
		return refuse(op, -EINVAL, "no buffer");
	if (op->want > F3_OBJ_WANT_DIR)
		return refuse(op, -EINVAL, "neither object nor directory");
	if (op->after && strnlen(op->after, F3_OBJ_CURSOR_MAX + 1) > F3_OBJ_CURSOR_MAX)
		return refuse(op, -EINVAL, "the cursor is too long");
	if (op->type == F3_OBJ_UPLOAD_COMPLETE && !(op->parts && op->n_parts))
		return refuse(op, -EINVAL, "no parts");
	/* sizes and places are file offsets everywhere */
	if (__builtin_add_overflow(op->off, op->len, &end) || end > INT64_MAX ||
	    __builtin_add_overflow(op->off2, op->len, &end) || end > INT64_MAX ||
	    __builtin_add_overflow(op->fd_off, op->len, &end) || end > INT64_MAX)
		return refuse(op, -EINVAL, "a range past the end of any file");
	return 0;
}

void f3_object_submit(struct f3_object_store *s, struct f3_obj_op *op)
{
	int r;

	op->result = 0;
	op->message[0] = 0;
	op->moved = 0;
	op->crc32c = 0;
	op->ret_upload[0] = 0;
	op->ret_left = false;
	memset(&op->ret_part, 0, sizeof(op->ret_part));
	f3_object_op_done(op);
	r = check_op(s, op);
	if (r < 0) {
		op->result = r;
		op->done(op);
		return;
	}
	if (!f3_object_inject(op))
		s->ops->submit(s, op);
}

void f3_object_cancel(struct f3_object_store *s, struct f3_obj_op *op)
{
	s->ops->cancel(s, op);
}

struct waiter {
	struct f3_lock lock;
	pthread_cond_t cond;
	bool done;
};

static void wake(struct f3_obj_op *op)
{
	struct waiter *w = op->owner;

	f3_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->cond);
	f3_unlock(&w->lock);
}

int f3_object_run(struct f3_object_store *s, struct f3_obj_op *op)
{
	void *owner = op->owner;
	struct waiter w = { .done = false };

	f3_lock_init(&w.lock, F3_RANK_QUEUE);
	f3_cond_init(&w.cond);
	op->owner = &w;
	op->done = wake;
	f3_object_submit(s, op);
	f3_lock(&w.lock);
	while (!w.done)
		f3_cond_wait(&w.cond, &w.lock, 0);
	f3_unlock(&w.lock);
	pthread_cond_destroy(&w.cond);
	f3_lock_done(&w.lock);
	op->owner = owner;
	op->done = NULL;
	return op->result;
}

/* ---- Generations --------------------------------------------------------------------------- */

void f3_obj_gen_format(const struct f3_obj_gen *gen, char ret_text[F3_OBJ_GEN_TEXT])
{
	char id[F3_ID_TEXT_BYTES];

	f3_id_format(&gen->id, id);
	snprintf(ret_text, F3_OBJ_GEN_TEXT, "%s.%" PRIu64 ".%" PRIu64, id, gen->generation,
		 gen->attempt);
}

/* Digits up to `end`, in the one way they are written: no sign, no leading zero. */
static int parse_number(const char **p, char end, uint64_t *ret_v)
{
	const char *s = *p;
	uint64_t v = 0;

	if (*s < '0' || *s > '9' || (*s == '0' && s[1] != end))
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -EINVAL;
	}
	if (*s != end)
		return -EINVAL;
	*p = s + (end != 0);
	*ret_v = v;
	return 0;
}

int f3_obj_gen_parse(const char *text, struct f3_obj_gen *ret_gen)
{
	char id[F3_ID_TEXT_BYTES], again[F3_OBJ_GEN_TEXT];
	struct f3_obj_gen gen;
	const char *p;

	if (strnlen(text, F3_OBJ_GEN_TEXT) >= F3_OBJ_GEN_TEXT)
		return -EINVAL;
	p = strchr(text, '.');
	if (!p || p - text != F3_ID_TEXT_BYTES - 1)
		return -EINVAL;
	memcpy(id, text, F3_ID_TEXT_BYTES - 1);
	id[F3_ID_TEXT_BYTES - 1] = 0;
	p++;
	if (f3_id_parse(id, &gen.id) < 0 || parse_number(&p, '.', &gen.generation) < 0 ||
	    parse_number(&p, 0, &gen.attempt) < 0)
		return -EINVAL;
	/* Nobody of ours writes it in another way. */
	f3_obj_gen_format(&gen, again);
	if (strcmp(again, text) != 0)
		return -EINVAL;
	*ret_gen = gen;
	return 0;
}

bool f3_obj_gen_equal(const struct f3_obj_gen *a, const struct f3_obj_gen *b)
{
	return f3_id_equal(&a->id, &b->id) && a->generation == b->generation &&
	       a->attempt == b->attempt;
}
