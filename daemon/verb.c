/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/verb.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/base/clock.h"
#include "fs/base/text.h"
#include "fs/core/fill.h"
#include "fs/core/namespace.h"

/* The daemon itself: uid 0, and it may wait. */
const struct f3_caller f3_verb_caller = { .may_block = true };

/* ---- Arguments ------------------------------------------------------------------------------- */

bool f3_verb_flag(const struct f3_verb *v, const char *key)
{
	return json_is_true(json_object_get(v->request, key));
}

int f3_verb_text(struct f3_verb *v, const char *key, const char **ret_text)
{
	const char *text = json_string_value(json_object_get(v->request, key));

	if (!text)
		return f3_err_set(&v->err, -EINVAL, "\"%s\" is missing", key);
	*ret_text = text;
	return 0;
}

void f3_verb_show(const char *path, size_t len, struct f3_buf *out)
{
	const char *slash = len > 1 ? memchr(path + 1, '/', len - 1) : NULL;
	size_t name = slash ? (size_t)(slash - path) - 1 : len - (len > 0);

	if (!name) {
		f3_buf_printf(out, "/");
		return;
	}
	f3_text_escape(out, path + 1, name, F3_ESCAPE_LINE);
	f3_buf_put_u8(out, ':');
	if (slash)
		f3_text_escape(out, slash, len - name - 1, F3_ESCAPE_LINE);
	else
		f3_buf_put_u8(out, '/');
}

json_t *f3_verb_when(int64_t ns)
{
	struct timespec ts = f3_timespec_from_ns(ns);
	char text[64];
	struct tm tm;
	size_t len;

	if (!ns || !gmtime_r(&ts.tv_sec, &tm))
		return json_null();
	len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, sizeof(text) - len, ".%03ldZ", ts.tv_nsec / 1000000);
	return json_string(text);
}

int f3_verb_error(struct f3_verb *v, int error, const struct f3_buf *path, const char *why)
{
	struct f3_buf shown;

	f3_buf_init(&shown, F3_WIRE_ANSWER_MAX);
	f3_verb_show((const char *)path->data, path->len, &shown);
	/* a long path loses its end, not the reason */
	f3_err_set(&v->err, error, "%.*s%s: %s", shown.len > 300 ? 300 : (int)shown.len,
		   (const char *)shown.data, shown.len > 300 ? "..." : "",
		   why ? why : strerror(-error));
	f3_buf_done(&shown);
	return error;
}

/* The name at `at` and the slashes before it; its length, 0 at the end. */
static size_t next_name(const char **at, const char *end)
{
	const char *slash;

	while (*at < end && **at == '/')
		(*at)++;
	slash = memchr(*at, '/', (size_t)(end - *at));
	return (size_t)((slash ? slash : end) - *at);
}

int f3_place_find(struct f3_core *core, const struct f3_caller *who, const struct f3_buf *asked,
		  struct f3_buf *path, uint64_t *ret_ino)
{
	const char *at = (const char *)asked->data, *end = at + asked->len;
	uint64_t ino = F3_INO_ROOT;
	size_t len;
	int r = 0;

	while (!r && (len = next_name(&at, end)) > 0) {
		char name[F3_NAME_MAX + 1];
		uint64_t negative_ttl_ns;
		struct f3_entry e;

		f3_buf_put_u8(path, '/');
		f3_buf_put(path, at, len);
		r = len > F3_NAME_MAX ? -ENAMETOOLONG : path->error;
		if (!r) {
			memcpy(name, at, len);
			name[len] = '\0';
			r = f3_ns_lookup(core, ino, name, who, &e, &negative_ttl_ns);
		}
		if (!r)
			ino = e.ino;
		at += len;
	}
	if (r)
		return r == -ESTALE ? -ENOENT : r;
	if (!path->len)
		f3_buf_put_u8(path, '/');
	*ret_ino = ino;
	return path->error;
}

int f3_verb_place(struct f3_verb *v, struct f3_buf *path, uint64_t *ret_ino)
{
	struct f3_buf asked;
	int r;

	f3_buf_init(&asked, F3_WIRE_ANSWER_MAX);
	r = f3_wire_get_place(v->request, &asked, &v->err);
	if (!r) {
		r = f3_place_find(v->core, &f3_verb_caller, &asked, path, ret_ino);
		if (r)
			f3_verb_error(v, r, path, NULL);
	}
	f3_buf_done(&asked);
	return r;
}

/* ---- A file ---------------------------------------------------------------------------------- */

static int add_extent(void *arg, uint64_t start, uint64_t len)
{
	(void)start;
	*(uint64_t *)arg += len;
	return 0;
}

static bool has_bytes(const struct f3_inode_rec *rec)
{
	return S_ISREG(rec->mode);
}

static int look_at_inode(struct f3_inode *inode, struct f3_look *look)
{
	int r;

	f3_lock(&inode->lock);
	r = f3_inode_rec_copy(&look->rec, &inode->rec);
	look->in_memory = true;
	look->mode = inode->mode;
	look->mode_reason = inode->mode_reason;
	look->opens = inode->opens;
	look->writers = inode->writers;
	look->native_writers = inode->passthrough_writers;
	look->mapped = inode->mapped;
	look->dead = inode->dead;
	if (inode->extents) {
		look->here_known = true;
		look->here_bytes = f3_extents_bytes(inode->extents);
	}
	f3_unlock(&inode->lock);
	return r;
}

/* What was written past the object's bytes is always here. */
static int count_here(struct f3_core *core, struct f3_look *look)
{
	const struct f3_inode_rec *rec = &look->rec;
	int r = 0;

	if (!has_bytes(rec) || rec->state == F3_STATE_REMOTE) {
		look->here_bytes = 0;
	} else if (!rec->base_limit) {
		look->here_bytes = rec->size;
	} else {
		if (!look->here_known)
			r = f3_meta_each_extent(core->meta, rec->ino, add_extent,
						&look->here_bytes);
		if (rec->size > rec->base_limit)
			look->here_bytes += rec->size - rec->base_limit;
	}
	return r;
}

int f3_look(struct f3_core *core, uint64_t ino, struct f3_look *ret_look)
{
	struct f3_inode *inode = f3_inode_peek(core, ino);
	struct f3_look look = { .in_memory = false };
	struct stat st;
	int r;

	if (inode) {
		/* brings the record of a file that is being written up to now */
		if (has_bytes(&inode->rec))
			(void)f3_file_stat(core, inode, &st);
		r = look_at_inode(inode, &look);
		f3_inode_put(core, inode);
	} else {
		r = f3_meta_get_inode(core->meta, ino, &look.rec);
	}
	if (r)
		return r;
	r = count_here(core, &look);
	if (r) {
		f3_inode_rec_done(&look.rec);
		return r;
	}
	*ret_look = look;
	return 0;
}

void f3_look_done(struct f3_look *look)
{
	f3_inode_rec_done(&look->rec);
}

const char *f3_look_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "character";
	case S_IFBLK:
		return "block";
	default:
		return "unknown";
	}
}

const char *f3_look_place(const struct f3_look *look)
{
	if (!has_bytes(&look->rec))
		return "";
	if (look->rec.state == F3_STATE_REMOTE)
		return look->rec.size ? "store" : "here";
	return look->here_bytes < look->rec.size && look->rec.base_limit ? "part" : "here";
}

const char *f3_look_in_store(const struct f3_look *look)
{
	const struct f3_inode_rec *rec = &look->rec;

	if (!f3_class_in_store((enum f3_class)rec->class_) || S_ISDIR(rec->mode))
		return "";
	switch (rec->state) {
	case F3_STATE_CLEAN:
	case F3_STATE_FILLING:
	case F3_STATE_REMOTE:
		return rec->flags & F3_INO_ATTR_DIRTY ? "attributes" : "yes";
	default:
		return "no";
	}
}

static const char *source_name(uint8_t source)
{
	static const char *const names[] = { "default", "rule", "directory", "own", "hint" };

	return source < sizeof(names) / sizeof(names[0]) ? names[source] : "unknown";
}

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

int f3_look_json(const struct f3_look *look, json_t *object)
{
	const struct f3_inode_rec *rec = &look->rec;
	enum f3_class class_ = (enum f3_class)rec->class_;
	bool file = has_bytes(rec);
	json_t *more;

	more = json_pack("{ss sI sI so ss so so so sb sb}", "type", f3_look_type(rec->mode), "size",
			 (json_int_t)rec->size, "here_bytes", (json_int_t)look->here_bytes, "class",
			 class_ ? json_string(f3_class_name(class_)) : json_null(), "class_source",
			 source_name(rec->class_source), "state",
			 file ? json_string(f3_state_name((enum f3_state)rec->state)) : json_null(),
			 "place", text_or_null(f3_look_place(look)), "in_store",
			 text_or_null(f3_look_in_store(look)), "pinned",
			 (rec->flags & F3_INO_PINNED) != 0, "dirty",
			 (rec->flags & F3_INO_DIRTY) != 0);
	if (!more || json_object_update(object, more)) {
		json_decref(more);
		return -ENOMEM;
	}
	json_decref(more);
	if (rec->error)
		json_object_set_new(object, "failed", json_string(f3_errno_name(rec->error)));
	if (rec->flags & F3_INO_TORN)
		json_object_set_new(object, "torn", json_true());
	if (rec->flags & F3_INO_HELD)
		json_object_set_new(object, "held", json_true());
	return 0;
}
