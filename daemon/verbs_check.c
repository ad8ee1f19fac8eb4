/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_check: fsck and gc of a daemon that goes on serving.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/fsck.h"
#include "daemon/verb.h"
#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/core/commitset.h"
#include "fs/core/file.h"
#include "fs/core/leftover.h"
#include "fs/core/namespace.h"
#include "fs/core/volume.h"
#include "fs/meta/check.h"
#include "fs/meta/journal.h"

#define SHOWN_MAX 10000u /* items of one request; the rest is counted */

static json_t *count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

/* ---- fsck ------------------------------------------------------------------------------------ */

struct fsck {
	struct f3_verb *v;
	json_t *problems; /* sent when the scan is over: sending may wait, a scan should not */
	uint64_t n, cut;
};

/* As the record was when the check began: what changed since is no problem. */
static bool changed_since(struct f3_core *core, const struct f3_inode_rec *rec)
{
	struct f3_look look;
	bool changed;

	if (f3_look(core, rec->ino, &look))
		return true;
	changed = look.rec.backing != rec->backing || look.rec.state != rec->state ||
		  look.rec.size != rec->size || look.rec.generation != rec->generation ||
		  look.rec.backing_class != rec->backing_class || look.dead;
	f3_look_done(&look);
	return changed;
}

static int check_backing(void *arg, const struct f3_inode_rec *rec)
{
	struct f3_core *core = ((struct fsck *)arg)->v->core;
	struct f3_volume *v = f3_volume_get(core, rec->volume);
	struct stat st;
	int r;

	if (!v)
		return 0;
	r = f3_backing_stat(f3_volume_backing(v, (enum f3_class)rec->backing_class), rec->ino,
			    rec->backing, &st);
	if (!r)
		r = f3_fsck_judge(rec, &st);
	if (r && changed_since(core, rec))
		r = 0;
	f3_volume_put(v);
	return r;
}

static void found(void *arg, const struct f3_check_problem *p)
{
	struct fsck *fsck = arg;
	struct f3_core *core = fsck->v->core;
	struct f3_look look;
	char path[PATH_MAX];
	json_t *item;

	fsck->n++;
	if (json_array_size(fsck->problems) >= SHOWN_MAX) {
		fsck->cut++;
		return;
	}
	item = json_pack("{sI ss sb}", "ino", (json_int_t)p->ino, "problem", p->what, "repaired",
			 p->repaired);
	f3_wire_set_name(item, "detail", p->detail, strlen(p->detail));
	if (p->ino >= F3_INO_FIRST && !f3_look(core, p->ino, &look)) {
		struct f3_volume *v = f3_volume_get(core, look.rec.volume);

		if (v && !f3_inode_path(core, p->ino, path, sizeof(path))) {
			f3_wire_set_name(item, "volume", v->name, strlen(v->name));
			f3_wire_set_name(item, "path", path, strlen(path));
		}
		f3_volume_put(v);
		f3_look_done(&look);
	}
	json_array_append_new(fsck->problems, item);
}

static void progress(void *arg, uint64_t done, uint64_t total)
{
	struct fsck *fsck = arg;

	if (f3_verb_flag(fsck->v, "progress") && f3_verb_progress_due(fsck->v))
		(void)f3_verb_send(fsck->v, "progress",
				   json_pack("{sI sI}", "files", (json_int_t)done, "total",
					     (json_int_t)total));
}

static int fsck(struct f3_verb *v)
{
	struct fsck fsck = { .v = v, .problems = json_array() };
	const struct f3_check_options opt = {
		.backing = check_backing,
		.charge = f3_file_charge,
		.problem = found,
		.progress = progress,
		.arg = &fsck,
	};
	struct f3_check_result result = { 0 };
	json_t *item;
	size_t i;
	int r;

	if (f3_verb_flag(v, "repair")) {
		json_decref(fsck.problems);
		return f3_err_set(&v->err, -EBUSY,
				  "a database in use is only looked at: stop f3d, then f3ctl fsck "
				  "--repair --cache %s",
				  v->core->cache_dir);
	}
	r = f3_meta_check(v->core->meta, &opt, &result);
	json_array_foreach(fsck.problems, i, item)
	{
		if (f3_verb_send(v, "item", json_incref(item))) {
			r = -EPIPE;
			break;
		}
	}
	json_decref(fsck.problems);
	json_object_set_new(v->answer, "inodes", count(result.inodes));
	json_object_set_new(v->answer, "names", count(result.names));
	json_object_set_new(v->answer, "problems", count(result.problems));
	json_object_set_new(v->answer, "repaired", count(result.repaired));
	json_object_set_new(v->answer, "not_shown", count(fsck.cut));
	return r;
}

/* ---- gc -------------------------------------------------------------------------------------- */

struct gc {
	struct f3_verb *v;
	struct f3_volume *volume;
	enum f3_class where;
	bool delete_;
	int64_t upload_age_ns;
	json_t *items; /* of one scan, sent after it */
	uint64_t cut;
	uint64_t files, bytes, strangers, uploads, deleted;
	uint64_t looked_at;
	int error;
};

/* -EPIPE: nobody waits for the result any more. */
static int looked_at_one(struct gc *gc)
{
	struct f3_verb *v = gc->v;

	gc->looked_at++;
	if (!f3_verb_progress_due(v))
		return 0;
	if (!f3_verb_flag(v, "progress"))
		return f3_verb_stopped(v) ? -EPIPE : 0;
	return f3_verb_send(v, "progress", json_pack("{sI}", "files", (json_int_t)gc->looked_at));
}

static void note(struct gc *gc, json_t *item)
{
	f3_wire_set_name(item, "volume", gc->volume->name, strlen(gc->volume->name));
	if (json_array_size(gc->items) < SHOWN_MAX) {
		json_array_append_new(gc->items, item);
	} else {
		gc->cut++;
		json_decref(item);
	}
}

static int send_noted(struct gc *gc)
{
	json_t *item;
	size_t i;
	int r = 0;

	json_array_foreach(gc->items, i, item)
	{
		r = f3_verb_send(gc->v, "item", json_incref(item));
		if (r)
			break;
	}
	json_array_clear(gc->items);
	return r;
}

static int see_file(void *arg, uint64_t ino, uint32_t number, const struct stat *st)
{
	struct gc *gc = arg;
	int stray =
		f3_file_remove_stray(gc->v->core, gc->volume, gc->where, ino, number, !gc->delete_);

	if (stray <= 0)
		return stray ? stray : looked_at_one(gc);
	gc->files++;
	gc->bytes += (uint64_t)st->st_blocks * 512;
	note(gc, json_pack("{ss sI sI sI sb}", "what", "backing file", "ino", (json_int_t)ino,
			   "number", (json_int_t)number, "bytes", (json_int_t)st->st_blocks * 512,
			   "deleted", gc->delete_));
	gc->deleted += gc->delete_;
	return looked_at_one(gc);
}

/* Not F3's to delete. */
static int see_stranger(void *arg, const char *path)
{
	struct gc *gc = arg;
	json_t *item = json_pack("{ss sb}", "what", "not a backing file", "deleted", 0);

	gc->strangers++;
	f3_wire_set_name(item, "file", path, strlen(path));
	note(gc, item);
	return 0;
}

struct journal_has {
	const char *upload;
	bool found;
};

static int is_upload(void *arg, const struct f3_journal_entry *e)
{
	struct journal_has *has = arg;

	has->found = e->type != F3_JOURNAL_UPLOAD && !strcmp(e->upload, has->upload);
	return has->found;
}

/* Is a file staged there now, whose upload the journal may not know of yet? */
static bool being_staged(struct f3_core *core, struct f3_volume *v, const char *key)
{
	uint64_t ino = v->root_ino;
	char name[F3_NAME_MAX + 1];
	struct f3_inode *inode;
	bool staged = false;

	while (*key) {
		size_t len = strcspn(key, "/");
		struct f3_meta_name found_;

		if (len > F3_NAME_MAX)
			return false;
		memcpy(name, key, len);
		if (f3_meta_get_name(core->meta, ino, name, len, &found_))
			return false;
		ino = found_.ino;
		key += len + (key[len] == '/');
	}
	inode = f3_inode_peek(core, ino);
	if (inode) {
		f3_lock(&inode->lock);
		staged = inode->stage || inode->early || inode->writers || inode->mapped;
		f3_unlock(&inode->lock);
		f3_inode_put(core, inode);
	}
	return staged;
}

static int abort_upload(struct gc *gc, const struct f3_obj_upload *u)
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_UPLOAD_ABORT);
	op.key = u->key;
	op.upload = u->upload;
	r = f3_object_run(gc->volume->store, &op);
	f3_object_op_done(&op);
	if (!r)
		gc->deleted++;
	return r;
}

/* Where only F3 makes uploads: no journal entry names it, no file is staged there, and it is old enough
 * not to be another node's. */
static bool is_old(struct gc *gc, const struct f3_obj_upload *u, int64_t age_ns)
{
	struct f3_core *core = gc->v->core;
	struct journal_has has = { .upload = u->upload };

	return f3_meta_each_journal(core->meta, is_upload, &has) >= 0 && !has.found &&
	       age_ns >= gc->upload_age_ns && !being_staged(core, gc->volume, u->key) &&
	       !f3_commitset_wants(gc->volume, u->upload);
}

/* An upload of ours that nobody will finish. Elsewhere than where only F3 makes them the journal must
 * know of it; what lies below .f3/ was made to find out what the store can do. */
static void see_upload(struct gc *gc, const struct f3_obj_upload *u)
{
	int64_t age_ns = f3_clock_real_ns() - u->since_ns;
	json_t *item;
	int r;

	if (gc->volume->store->caps.own_uploads || !strncmp(u->key, ".f3/", 4) ?
		    !is_old(gc, u, age_ns) :
		    !f3_leftover_is(gc->volume, u))
		return;
	gc->uploads++;
	r = gc->delete_ ? abort_upload(gc, u) : 0;
	item = json_pack("{ss sf sb}", "what", "upload", "age_s", (double)age_ns / 1e9, "deleted",
			 gc->delete_ && !r);
	f3_wire_set_name(item, "key", u->key, strlen(u->key));
	f3_wire_set_name(item, "upload", u->upload, strlen(u->upload));
	if (r)
		json_object_set_new(item, "error", json_string(f3_errno_name(r)));
	note(gc, item);
}

/* One page. 1: there is another one, and `after` is its cursor. */
static int list_uploads(struct gc *gc, char after[F3_OBJ_CURSOR_MAX + 1])
{
	struct f3_obj_op op;
	int r;

	f3_object_op_init(&op, F3_OBJ_UPLOAD_LIST);
	op.key = "";
	op.after = after[0] ? after : NULL;
	r = f3_object_run(gc->volume->store, &op);
	for (size_t i = 0; !r && i < op.n_uploads; i++)
		see_upload(gc, &op.uploads[i]);
	if (!r && op.ret_next) {
		snprintf(after, F3_OBJ_CURSOR_MAX + 1, "%s", op.ret_next);
		r = 1;
	}
	f3_object_op_done(&op);
	return r == -ENOENT ? 0 : r;
}

static void gc_volume(void *arg, struct f3_volume *v)
{
	static const enum f3_class places[] = { F3_CLASS_EPHEMERAL, F3_CLASS_MEMORY };
	char after[F3_OBJ_CURSOR_MAX + 1] = "";
	struct gc *gc = arg;
	int r = 0;

	if (gc->error)
		return;
	gc->volume = v;
	for (size_t i = 0; i < 2 && !r; i++) {
		gc->where = places[i];
		r = f3_backing_each(f3_volume_backing(v, gc->where), see_file, gc);
		if (!r)
			r = f3_backing_each_stranger(f3_volume_backing(v, gc->where), see_stranger,
						     gc);
		if (!r)
			r = send_noted(gc);
	}
	/* What was begun in a store without us is not ours to end. */
	if (!r && v->store && !v->read_only) {
		do {
			r = list_uploads(gc, after);
			if (r >= 0 && send_noted(gc))
				r = -EPIPE;
		} while (r == 1);
		if (!r && gc->delete_)
			f3_leftover_sweep(v);
		if (!r && gc->delete_)
			r = f3_commitset_others(v, gc->upload_age_ns);
	}
	if (r)
		gc->error = f3_err_set(&gc->v->err, r, "volume %s: %s", v->name, strerror(-r));
}

static int gc(struct f3_verb *v)
{
	struct gc gc = {
		.v = v,
		.delete_ = f3_verb_flag(v, "delete"),
		.upload_age_ns = (int64_t)f3_conf_u64(v->core->conf, "f3", NULL, "gc-upload-age"),
		.items = json_array(),
	};

	f3_volume_each(v->core, gc_volume, &gc);
	json_decref(gc.items);
	json_object_set_new(v->answer, "files", count(gc.files));
	json_object_set_new(v->answer, "bytes", count(gc.bytes));
	json_object_set_new(v->answer, "strangers", count(gc.strangers));
	json_object_set_new(v->answer, "uploads", count(gc.uploads));
	json_object_set_new(v->answer, "deleted", count(gc.deleted));
	json_object_set_new(v->answer, "not_shown", count(gc.cut));
	if (gc.deleted)
		f3_log_info("gc: %" PRIu64 " deleted of %" PRIu64 " backing files and %" PRIu64
			    " uploads",
			    gc.deleted, gc.files, gc.uploads);
	return gc.error;
}

const struct f3_verb_entry f3_verbs_check[] = {
	{ "fsck", fsck },
	{ "gc", gc },
	{ NULL, NULL },
};
