/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/object/probe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define PROBE_KEY_MAX 96
#define PROBE_MODE (S_IFREG | 0640)
#define PROBE_BODY_MAX (16u << 20)
#define PROBE_MTIME_NS 1234567890123456789ll

enum { A, B, C, D, ABSENT, N_KEYS };

struct probe {
	struct f3_object_store *s;
	struct f3_err *err;
	char dir[PROBE_KEY_MAX];
	char key[N_KEYS][PROBE_KEY_MAX];
	struct f3_obj_gen gen;
	char upload[F3_OBJ_UPLOAD_MAX + 1];
	const char *upload_key;
	bool upload_copies;
	int fatal; /* first error that says nothing about a capability */
};

/* Runs an operation; what the store answers is either about the question, or it is in no state to
 * be asked. */
static int ask(struct probe *p, struct f3_obj_op *op)
{
	int r;

	if (p->fatal)
		return p->fatal;
	p->gen.attempt++;
	if (op->type != F3_OBJ_UPLOAD_COMPLETE)
		op->gen = &p->gen;
	r = f3_object_run(p->s, op);
	switch (r) {
	case 0:
	case -EEXIST:
	case -ESTALE:
	case -ENOENT:
	case -EINVAL:
	case -EOPNOTSUPP:
	case -EPERM:
	case -EACCES:
		break;
	default:
		p->fatal = r == F3_OBJ_AMBIGUOUS ? -EIO : r;
		f3_err_set(p->err, p->fatal, "object store probe: %s", op->message);
		break;
	}
	return r;
}

static int put(struct probe *p, int key, const char *body, enum f3_obj_cond cond, const char *etag,
	       char *ret_etag)
{
	static const struct f3_obj_attr attr = {
		.mode = PROBE_MODE,
		.mtime_ns = PROBE_MTIME_NS,
		.have_mode = true,
		.have_mtime = true,
	};
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_PUT);
	op.key = p->key[key];
	op.body = body;
	op.len = strlen(body);
	op.attr = &attr;
	op.cond = cond;
	op.etag = etag;
	r = ask(p, &op);
	if (!r && ret_etag)
		memcpy(ret_etag, op.info.etag, sizeof(op.info.etag));
	f3_object_op_done(&op);
	return r;
}

static int get(struct probe *p, int key, const char *want)
{
	char buf[64] = "";
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_GET);
	op.key = p->key[key];
	op.buf = buf;
	op.len = sizeof(buf) - 1;
	r = ask(p, &op);
	if (!r && (op.moved != strlen(want) || memcmp(buf, want, op.moved) != 0))
		r = -EBADMSG;
	f3_object_op_done(&op);
	return r;
}

static int head(struct probe *p, int key, struct f3_obj_info *ret_info)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_HEAD);
	op.key = p->key[key];
	r = ask(p, &op);
	if (!r) {
		*ret_info = op.info;
		ret_info->attr.xattrs = NULL;
	}
	f3_object_op_done(&op);
	return r;
}

static int del(struct probe *p, int key, const char *etag)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_DELETE);
	op.key = p->key[key];
	op.cond = etag ? F3_OBJ_MATCH : F3_OBJ_ANY;
	op.etag = etag;
	r = ask(p, &op);
	f3_object_op_done(&op);
	return r;
}

static int copy(struct probe *p, int from, int to, const char *source_etag, enum f3_obj_cond cond)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_COPY);
	op.key = p->key[from];
	op.key2 = p->key[to];
	op.etag2 = source_etag;
	op.cond = cond;
	r = ask(p, &op);
	f3_object_op_done(&op);
	return r;
}

/* ---- Uploads ------------------------------------------------------------------------------- */

static void upload_abort(struct probe *p)
{
	struct f3_obj_op op;

	if (!p->upload[0])
		return;
	f3_object_op_init(&op, F3_OBJ_UPLOAD_ABORT);
	op.key = p->upload_key;
	op.upload = p->upload;
	f3_object_run(p->s, &op);
	f3_object_op_done(&op);
	p->upload[0] = 0;
}

/* An upload with one part: the body, or (body NULL) bytes 2..6 of object `from`, on condition of its
 * etag if one is given. */
static int upload_begin(struct probe *p, int key, const char *body, int from, const char *etag,
			struct f3_obj_part *ret_part)
{
	struct f3_obj_op op;
	int r;

	upload_abort(p);
	f3_object_op_init(&op, F3_OBJ_UPLOAD_CREATE);
	op.key = p->key[key];
	op.copies = p->upload_copies = !body;
	r = ask(p, &op);
	if (!r) {
		memcpy(p->upload, op.ret_upload, sizeof(p->upload));
		p->upload_key = p->key[key];
	}
	f3_object_op_done(&op);
	if (r)
		return r;
	f3_object_op_init(&op, body ? F3_OBJ_UPLOAD_PART : F3_OBJ_UPLOAD_PART_COPY);
	op.key = p->key[key];
	op.upload = p->upload;
	op.copies = p->upload_copies;
	op.part = 1;
	if (body) {
		op.body = body;
		op.len = strlen(body);
	} else {
		op.key2 = p->key[from];
		op.etag2 = etag;
		op.off2 = 2;
		op.len = 5;
	}
	r = ask(p, &op);
	*ret_part = op.ret_part;
	f3_object_op_done(&op);
	return r;
}

static int upload_end(struct probe *p, const struct f3_obj_part *part, enum f3_obj_cond cond,
		      const char *etag)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_UPLOAD_COMPLETE);
	op.key = p->upload_key;
	op.upload = p->upload;
	op.copies = p->upload_copies;
	op.parts = part;
	op.n_parts = 1;
	op.cond = cond;
	op.etag = etag;
	r = ask(p, &op);
	if (!r)
		p->upload[0] = 0;
	f3_object_op_done(&op);
	return r;
}

/* A complete that must be answered with `want`; what is refused is aborted. */
static bool completes(struct probe *p, int key, enum f3_obj_cond cond, const char *etag, int want)
{
	struct f3_obj_part part;

	return !upload_begin(p, key, "upload", 0, NULL, &part) &&
	       upload_end(p, &part, cond, etag) == want;
}

/* ---- The questions ------------------------------------------------------------------------- */

static int not_usable(struct probe *p, const char *what)
{
	if (!p->fatal)
		p->fatal = f3_err_set(p->err, -EIO, "object store probe: %s", what);
	return p->fatal;
}

/* Without these nothing works. Leaves A with "one". */
static int probe_plain(struct probe *p, char etag[F3_OBJ_ETAG_MAX + 1])
{
	struct f3_obj_info info;
	struct f3_obj_gen written;

	if (put(p, A, "one", F3_OBJ_ANY, NULL, etag))
		return not_usable(p, "an object cannot be written");
	written = p->gen;
	if (get(p, A, "one"))
		return not_usable(p, "an object just written does not read back");
	if (head(p, A, &info) || strcmp(info.etag, etag) != 0)
		return not_usable(p, "an object just written has another ETag");
	if (!info.have_gen || !f3_obj_gen_equal(&info.gen, &written))
		return not_usable(p, "the generation of an object is not kept");
	return 0;
}

static void probe_list(struct probe *p)
{
	const char *name = strrchr(p->key[A], '/') + 1;
	struct f3_obj_op op;
	bool seen = false;

	f3_object_op_init(&op, F3_OBJ_LIST);
	op.key = p->dir;
	if (!ask(p, &op)) {
		for (size_t i = 0; i < op.n_entries; i++) {
			const struct f3_obj_info *info = &op.entries[i].info;

			if (strcmp(op.entries[i].name, name) != 0)
				continue;
			seen = true;
			p->s->caps.list_has_attr = info->have_attr &&
						   info->attr.mode == PROBE_MODE &&
						   info->attr.mtime_ns == PROBE_MTIME_NS;
		}
	}
	f3_object_op_done(&op);
	if (!seen)
		not_usable(p, "an object just written is not listed");
}

/* In: A exists with `etag`. Out: A with `etag` again another one, B exists. */
static void probe_put(struct probe *p, char etag[F3_OBJ_ETAG_MAX + 1])
{
	struct f3_obj_caps *caps = &p->s->caps;
	char stale[F3_OBJ_ETAG_MAX + 1];
	struct f3_obj_info info;

	memcpy(stale, etag, sizeof(stale));
	caps->put_match = put(p, A, "two", F3_OBJ_MATCH, etag, etag) == 0 &&
			  put(p, A, "three", F3_OBJ_MATCH, stale, NULL) == -ESTALE &&
			  put(p, ABSENT, "four", F3_OBJ_MATCH, etag, NULL) == -ESTALE;
	caps->put_absent = put(p, A, "five", F3_OBJ_ABSENT, NULL, NULL) == -EEXIST &&
			   put(p, B, "0123456789", F3_OBJ_ABSENT, NULL, NULL) == 0;
	/* whatever a store did with conditions it ignores: a known state for what follows */
	put(p, A, "six", F3_OBJ_ANY, NULL, etag);
	put(p, B, "0123456789", F3_OBJ_ANY, NULL, NULL);
	if (!head(p, ABSENT, &info))
		del(p, ABSENT, NULL);
}

static void probe_copy(struct probe *p, const char *etag, const char *stale)
{
	struct f3_obj_caps *caps = &p->s->caps;

	caps->copy_source_match = copy(p, A, C, stale, F3_OBJ_ANY) == -ESTALE &&
				  copy(p, A, C, etag, F3_OBJ_ANY) == 0 && get(p, C, "six") == 0;
	copy(p, A, C, NULL, F3_OBJ_ANY);
	caps->copy_target_absent = copy(p, B, C, NULL, F3_OBJ_ABSENT) == -EEXIST &&
				   copy(p, B, D, NULL, F3_OBJ_ABSENT) == 0 &&
				   get(p, C, "six") == 0 && get(p, D, "0123456789") == 0;
}

static void probe_upload(struct probe *p, const char *stale)
{
	struct f3_obj_caps *caps = &p->s->caps;
	struct f3_obj_info info = { .size = 0 };

	head(p, C, &info);
	caps->complete_match = completes(p, C, F3_OBJ_MATCH, stale, -ESTALE) &&
			       completes(p, ABSENT, F3_OBJ_MATCH, info.etag, -ESTALE) &&
			       completes(p, C, F3_OBJ_MATCH, info.etag, 0);
	del(p, D, NULL);
	caps->complete_absent = completes(p, A, F3_OBJ_ABSENT, NULL, -EEXIST) &&
				completes(p, D, F3_OBJ_ABSENT, NULL, 0);
}

/* Bytes 2..6 of object B. */
static bool copies_part(struct probe *p, const char *etag, const char *want)
{
	struct f3_obj_part part;
	bool does = !upload_begin(p, D, NULL, B, etag, &part) &&
		    !upload_end(p, &part, F3_OBJ_ANY, NULL) && !get(p, D, want);

	upload_abort(p);
	return does;
}

static void probe_part_copy(struct probe *p, const char *stale)
{
	struct f3_obj_caps *caps = &p->s->caps;
	const char *want = "23456";
	char etag[F3_OBJ_ETAG_MAX + 1];
	struct f3_obj_part part;
	char *body;

	put(p, B, "0123456789", F3_OBJ_ANY, NULL, etag);
	caps->range_part_copy = copies_part(p, NULL, want);
	/* AWS copies ranges only of what has at least the size of a part. */
	body = !caps->range_part_copy && caps->min_part_bytes > 1 &&
			       caps->min_part_bytes <= PROBE_BODY_MAX ?
		       malloc(caps->min_part_bytes + 2) :
		       NULL;
	if (body) {
		memset(body, 'x', caps->min_part_bytes + 1);
		body[caps->min_part_bytes + 1] = '\0';
		want = "xxxxx";
		put(p, B, body, F3_OBJ_ANY, NULL, etag);
		free(body);
		caps->range_part_copy = copies_part(p, NULL, want);
	}
	caps->part_copy_match = caps->range_part_copy &&
				upload_begin(p, D, NULL, B, stale, &part) == -ESTALE &&
				copies_part(p, etag, want);
	upload_abort(p);
}

static void probe_delete(struct probe *p, const char *stale)
{
	struct f3_obj_caps *caps = &p->s->caps;
	struct f3_obj_info info;

	del(p, ABSENT, NULL);
	put(p, D, "seven", F3_OBJ_ANY, NULL, NULL);
	caps->delete_match = del(p, D, stale) == -ESTALE && !head(p, D, &info) &&
			     del(p, ABSENT, stale) == -ESTALE && del(p, D, info.etag) == 0 &&
			     head(p, D, &info) == -ENOENT;
}

static int set_attr(struct probe *p, int key, uint32_t mode, const char *etag)
{
	const struct f3_obj_attr attr = { .mode = mode, .have_mode = true };
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_SET_ATTR);
	op.key = p->key[key];
	op.attr = &attr;
	op.cond = F3_OBJ_MATCH;
	op.etag = etag;
	r = ask(p, &op);
	f3_object_op_done(&op);
	return r;
}

static void probe_set_attr(struct probe *p, const char *stale)
{
	struct f3_obj_info info;
	char etag[F3_OBJ_ETAG_MAX + 1];

	put(p, B, "0123456789", F3_OBJ_ANY, NULL, etag);
	p->s->caps.set_attr_match = set_attr(p, B, S_IFREG | 0600, stale) == -ESTALE &&
				    set_attr(p, B, S_IFREG | 0604, etag) == 0 &&
				    !head(p, B, &info) && info.attr.mode == (S_IFREG | 0604) &&
				    !get(p, B, "0123456789");
}

static void probe_rename(struct probe *p)
{
	struct f3_obj_info info;
	struct f3_obj_op op;

	put(p, A, "eight", F3_OBJ_ANY, NULL, NULL);
	f3_object_op_init(&op, F3_OBJ_RENAME);
	op.key = p->key[A];
	op.key2 = p->key[C];
	p->s->caps.rename = !ask(p, &op) && !get(p, C, "eight") && head(p, A, &info) == -ENOENT;
	f3_object_op_done(&op);
}

static void clean_up(struct probe *p)
{
	struct f3_obj_op op;

	upload_abort(p);
	for (int i = 0; i < N_KEYS; i++) {
		f3_object_op_init(&op, F3_OBJ_DELETE);
		op.key = p->key[i];
		f3_object_run(p->s, &op);
		f3_object_op_done(&op);
	}
	f3_object_op_init(&op, F3_OBJ_RMDIR);
	op.key = p->dir;
	f3_object_run(p->s, &op);
	f3_object_op_done(&op);
}

int f3_object_probe(struct f3_object_store *s, struct f3_err *err)
{
	char etag[F3_OBJ_ETAG_MAX + 1], stale[F3_OBJ_ETAG_MAX + 1];
	struct probe p = { .s = s, .err = err };
	uint64_t unique;

	if (s->read_only)
		return 0;
	if (getrandom(&unique, sizeof(unique), 0) != sizeof(unique) ||
	    getrandom(&p.gen.id, sizeof(p.gen.id), 0) != sizeof(p.gen.id))
		return f3_err_set(err, -EIO, "object store probe: no random numbers");
	snprintf(p.dir, sizeof(p.dir), "%s/%016" PRIx64, F3_OBJ_AREA_PROBE, unique);
	for (int i = 0; i < N_KEYS; i++)
		snprintf(p.key[i], sizeof(p.key[i]), "%.64s/%c", p.dir, "abcdx"[i]);

	if (!probe_plain(&p, etag)) {
		memcpy(stale, etag, sizeof(stale));
		probe_list(&p);
		probe_put(&p, etag);
		probe_copy(&p, etag, stale);
		probe_upload(&p, stale);
		probe_part_copy(&p, stale);
		probe_delete(&p, stale);
		probe_set_attr(&p, stale);
		probe_rename(&p);
	}
	clean_up(&p);
	return p.fatal;
}
