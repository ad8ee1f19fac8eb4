/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_file: what is known of files: info, ls.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/verb.h"
#include "daemon/walk.h"
#include "fs/base/clock.h"
#include "fs/core/lifetime.h"
#include "fs/core/volume.h"

#define EXTENTS_SHOWN 256
#define PATH_BYTES_MAX 65536u

static json_t *count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

/* ---- info ------------------------------------------------------------------------------------ */

struct ranges {
	json_t *list;
	uint64_t n;
};

static int add_range(void *arg, uint64_t start, uint64_t len)
{
	struct ranges *ranges = arg;

	if (ranges->n++ < EXTENTS_SHOWN)
		json_array_append_new(ranges->list,
				      json_pack("[II]", (json_int_t)start, (json_int_t)len));
	return 0;
}

/* Which ranges of an incomplete file are here: from memory, where they are newest. */
static int add_ranges(struct f3_core *core, uint64_t ino, json_t *a)
{
	struct f3_inode *inode = f3_inode_peek(core, ino);
	struct ranges ranges = { .list = json_array() };
	bool found = false;
	int r = 0;

	if (inode) {
		f3_lock(&inode->lock);
		found = inode->extents != NULL;
		for (size_t i = 0; found && i < inode->extents->n; i++)
			add_range(&ranges, inode->extents->v[i].off, inode->extents->v[i].len);
		f3_unlock(&inode->lock);
		f3_inode_put(core, inode);
	}
	if (!found)
		r = f3_meta_each_extent(core->meta, ino, add_range, &ranges);
	json_object_set_new(a, "extents", ranges.list);
	json_object_set_new(a, "extents_n", count(ranges.n));
	return r;
}

static void add_backing(struct f3_core *core, const struct f3_inode_rec *rec, json_t *a)
{
	struct f3_volume *v = f3_volume_get(core, rec->volume);
	bool memory = rec->backing_class == F3_CLASS_MEMORY;
	json_t *backing = json_object();
	struct stat st;
	char path[4096 + 64];

	if (!v || !rec->backing || rec->state == F3_STATE_REMOTE) {
		json_decref(backing);
		json_object_set_new(a, "backing", json_null());
		f3_volume_put(v);
		return;
	}
	snprintf(path, sizeof(path), "%s%s/%" PRIu32 "/%02x/%016" PRIx64 ".%08" PRIx32,
		 memory ? core->memory_dir : core->cache_dir, memory ? "" : "/data", v->id,
		 (unsigned)(rec->ino & 0xff), rec->ino, rec->backing);
	f3_wire_set_name(backing, "path", path, strlen(path));
	json_object_set_new(backing, "filesystem",
			    json_string(f3_backing_caps(memory ? v->memory : v->disk)->fs_name));
	if (!f3_backing_stat(memory ? v->memory : v->disk, rec->ino, rec->backing, &st)) {
		json_object_set_new(backing, "size", count((uint64_t)st.st_size));
		json_object_set_new(backing, "bytes", count((uint64_t)st.st_blocks * 512));
	} else {
		json_object_set_new(backing, "size", json_null());
	}
	json_object_set_new(a, "backing", backing);
	f3_volume_put(v);
}

static const char *why_not_passthrough(struct f3_verb *v, const struct f3_look *look)
{
	struct f3_fuse_info info;

	f3_fuse_info(v->fuse, &info);
	if (!info.passthrough)
		return info.passthrough_reason;
	if (look->mode == F3_MODE_PASSTHROUGH)
		return look->writers > look->native_writers ? look->mode_reason : NULL;
	if (look->mode == F3_MODE_NONE)
		return "not open now";
	return look->mode_reason;
}

static void add_reader(void *arg, const char *action)
{
	json_array_append_new(arg, json_string(action));
}

/* When it is removed of itself: after these have read it, and then at the latest. */
static void add_release(struct f3_core *core, uint64_t ino, json_t *a)
{
	json_t *readers = json_array();
	uint64_t lifetime_s = 0;
	int64_t at_ns = 0;

	if (f3_life_look(core, ino, &at_ns, &lifetime_s, add_reader, readers)) {
		json_object_set(a, "released_after", readers);
		json_object_set_new(a, "released_at", f3_verb_when(at_ns));
		json_object_set_new(a, "lifetime",
				    lifetime_s ? json_integer((json_int_t)lifetime_s) :
						 json_null());
	}
	json_decref(readers);
}

static void add_file(struct f3_verb *v, const struct f3_look *look, json_t *a)
{
	const char *why = why_not_passthrough(v, look);
	const struct f3_inode_rec *rec = &look->rec;

	json_object_set_new(a, "opens", count(look->opens));
	json_object_set_new(a, "writers", count(look->writers));
	json_object_set_new(a, "native_writers", count(look->native_writers));
	json_object_set_new(a, "mapped", json_boolean(look->mapped));
	json_object_set_new(a, "open_mode",
			    look->mode == F3_MODE_NONE ?
				    json_null() :
				    json_string(f3_open_mode_name(look->mode)));
	json_object_set_new(a, "not_passthrough", why ? json_string(why) : json_null());
	add_backing(v->core, rec, a);
	add_release(v->core, rec->ino, a);
}

static void add_times(const struct f3_inode_rec *rec, json_t *a)
{
	json_object_set_new(a, "mtime", json_real((double)rec->mtime_ns / 1e9));
	json_object_set_new(a, "atime", json_real((double)rec->atime_ns / 1e9));
	json_object_set_new(a, "ctime", json_real((double)rec->ctime_ns / 1e9));
	json_object_set_new(a, "btime", json_real((double)rec->btime_ns / 1e9));
}

static int add_info(struct f3_verb *v, const struct f3_look *look, const struct f3_buf *path)
{
	const struct f3_inode_rec *rec = &look->rec;
	char id[F3_ID_TEXT_BYTES], mode[8];
	json_t *a = v->answer;
	int r = f3_wire_set_place(a, (const char *)path->data, path->len);

	if (!r)
		r = f3_look_json(look, a);
	if (r)
		return r;
	f3_id_format(&rec->id, id);
	snprintf(mode, sizeof(mode), "%04o", rec->mode & 07777);
	json_object_set_new(a, "ino", count(rec->ino));
	json_object_set_new(a, "id", json_string(id));
	json_object_set_new(a, "mode", json_string(mode));
	json_object_set_new(a, "uid", count(rec->uid));
	json_object_set_new(a, "gid", count(rec->gid));
	json_object_set_new(a, "nlink", count(rec->nlink));
	json_object_set_new(a, "stream",
			    rec->flags & F3_INO_STREAM     ? json_true() :
			    rec->flags & F3_INO_STREAM_OFF ? json_false() :
							     json_null());
	json_object_set_new(a, "generation", count(rec->generation));
	json_object_set_new(a, "attempt", count(rec->attempt));
	f3_wire_set_name(a, "etag", rec->etag, strlen(rec->etag));
	json_object_set_new(a, "store_size", count(rec->store_size));
	add_times(rec, a);
	if (S_ISREG(rec->mode))
		add_file(v, look, a);
	if (rec->target)
		f3_wire_set_name(a, "target", rec->target, rec->target_len);
	if (S_ISREG(rec->mode) && rec->base_limit && rec->state != F3_STATE_REMOTE)
		r = add_ranges(v->core, rec->ino, a);
	return r;
}

static int info(struct f3_verb *v)
{
	struct f3_look look;
	struct f3_buf path;
	uint64_t ino;
	int r;

	f3_buf_init(&path, PATH_BYTES_MAX);
	r = f3_verb_place(v, &path, &ino);
	if (!r) {
		r = f3_look(v->core, ino, &look);
		if (!r) {
			r = add_info(v, &look, &path);
			f3_look_done(&look);
		}
		if (r)
			f3_verb_error(v, r, &path, NULL);
	}
	f3_buf_done(&path);
	return r;
}

/* ---- ls -------------------------------------------------------------------------------------- */

struct listing {
	struct f3_verb *v;
	size_t top_len; /* of the path of what was asked for */
	bool deep, top_is_dir;
	uint64_t n;
};

static int list_failed(void *arg, const struct f3_buf *path, int error)
{
	struct listing *l = arg;
	json_t *item = json_object();

	f3_wire_set_place(item, (const char *)path->data, path->len);
	json_object_set_new(item, "error", json_string(f3_errno_name(error)));
	return f3_verb_send(l->v, "item", item);
}

static int list_one(void *arg, uint64_t ino, mode_t type, const struct f3_buf *path,
		    enum f3_walk_when when)
{
	struct listing *l = arg;
	struct f3_look look;
	json_t *item;
	int r;

	(void)type;
	/* A directory that was asked for stands for what is in it. */
	if (when == F3_WALK_LAST || (l->top_is_dir && path->len == l->top_len))
		return 0;
	r = f3_look(l->v->core, ino, &look);
	if (r)
		return r == -ENOENT ? 0 : r; /* removed meanwhile */
	item = json_object();
	r = f3_wire_set_place(item, (const char *)path->data, path->len);
	if (!r)
		r = f3_look_json(&look, item);
	json_object_set_new(item, "mtime", json_real((double)look.rec.mtime_ns / 1e9));
	f3_look_done(&look);
	l->n++;
	if (r) {
		json_decref(item);
		return r;
	}
	return f3_verb_send(l->v, "item", item);
}

static int ls(struct f3_verb *v)
{
	struct listing l = { .v = v, .deep = f3_verb_flag(v, "recursive") };
	struct f3_look look;
	struct f3_buf path;
	uint64_t ino;
	int r;

	f3_buf_init(&path, PATH_BYTES_MAX);
	r = f3_verb_place(v, &path, &ino);
	if (!r)
		r = f3_look(v->core, ino, &look);
	if (!r) {
		l.top_is_dir = S_ISDIR(look.rec.mode);
		l.top_len = path.len;
		f3_look_done(&look);
		r = f3_walk(v, ino, &path, l.deep ? F3_WALK_DEEP : F3_WALK_NAMES, list_one,
			    list_failed, &l);
	}
	json_object_set_new(v->answer, "n", count(l.n));
	if (r && !v->err.code)
		f3_verb_error(v, r, &path, NULL);
	f3_buf_done(&path);
	return r;
}

const struct f3_verb_entry f3_verbs_file[] = {
	{ "info", info },
	{ "ls", ls },
	{ NULL, NULL },
};
