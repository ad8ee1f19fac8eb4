/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/hash.h"
#include "fs/base/log.h"
#include "fs/core/workingset_impl.h"

#define RECORD_VERSION 1
#define RECORD_FROZEN 1u
#define FILE_BYTES 18u /* of a record, without path and ranges */
#define RANGE_BYTES 17u
#define PATH_BYTES_MAX 4095u
/* That a set was used is written down that often at most, if nothing else of it changes. */
#define WRITTEN_NS (60ll * 1000000000)

static struct f3_counter counters[F3_WS_WHATS] = {
	[F3_WS_RECORDED] = { .name = "f3_working_set_ranges_total",
			     .labels = "event=\"recorded\"",
			     .help = "Ranges of files that activations read, and that replays looked for." },
	[F3_WS_REPLAYED] = { .name = "f3_working_set_ranges_total",
			     .labels = "event=\"replayed\"" },
	[F3_WS_BYTES_REPLAYED] = { .name = "f3_working_set_bytes_total",
				   .labels = "event=\"replayed\"",
				   .help = "Bytes that replays of working sets asked for, and of those of "
					   "activations how many were read and how many not." },
	[F3_WS_BYTES_USED] = { .name = "f3_working_set_bytes_total", .labels = "event=\"used\"" },
	[F3_WS_BYTES_WASTED] = { .name = "f3_working_set_bytes_total",
				 .labels = "event=\"wasted\"" },
	[F3_WS_COMPLETED] = { .name = "f3_working_set_replays_total",
			      .labels = "result=\"complete\"",
			      .help = "Replays of working sets by how they ended." },
	[F3_WS_DIVERGING] = { .name = "f3_working_set_replays_total",
			      .labels = "result=\"diverged\"" },
	[F3_WS_ENDED] = { .name = "f3_working_set_replays_total", .labels = "result=\"ended\"" },
	[F3_WS_DROPPED] = { .name = "f3_working_set_replays_total",
			    .labels = "result=\"dropped\"" },
};

void f3_ws_register_metrics(void)
{
	for (unsigned i = 0; i < F3_WS_WHATS; i++) {
		if (!counters[i].help)
			counters[i].help = counters[i - 1].help;
		f3_counter_register(&counters[i]);
	}
}

void f3_ws_count(enum f3_ws_what what, uint64_t n)
{
	f3_count(&counters[what], n);
}

/* ---- A set ----------------------------------------------------------------------------------- */

void f3_ws_file_done(struct f3_ws_file *file)
{
	free(file->path);
	free(file->range);
	memset(file, 0, sizeof(*file));
}

void f3_ws_set_done(struct f3_ws_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		f3_ws_file_done(&set->file[i]);
	free(set->file);
	memset(set, 0, sizeof(*set));
}

uint64_t f3_ws_file_bytes(const struct f3_ws_file *file)
{
	uint64_t sum = 0;

	if (file->whole)
		return file->size;
	for (size_t i = 0; i < file->n_ranges; i++)
		if (__builtin_add_overflow(sum, file->range[i].len, &sum))
			return UINT64_MAX;
	return sum;
}

bool f3_ws_path_ok(const char *path)
{
	if (*path != '/' || strlen(path) > PATH_BYTES_MAX)
		return false;
	while (*path) {
		const char *name = ++path;
		size_t len = strcspn(name, "/");

		if (!len || len > F3_NAME_MAX || (len == 1 && name[0] == '.') ||
		    (len == 2 && name[0] == '.' && name[1] == '.'))
			return false;
		path = name + len;
	}
	return true;
}

static size_t file_length(const struct f3_ws_file *file)
{
	return FILE_BYTES + strlen(file->path) + RANGE_BYTES * file->n_ranges;
}

static void encode_file(const struct f3_ws_file *file, struct f3_buf *out)
{
	f3_buf_put_u32(out, (uint32_t)file->input);
	f3_buf_put_str16(out, file->path, strlen(file->path));
	f3_buf_put_u64(out, file->size);
	f3_buf_put_u8(out, file->whole);
	f3_buf_put_u8(out, file->unused);
	f3_buf_put_u16(out, (uint16_t)file->n_ranges);
	for (size_t i = 0; i < file->n_ranges; i++) {
		f3_buf_put_u64(out, file->range[i].off);
		f3_buf_put_u64(out, file->range[i].len);
		f3_buf_put_u8(out, file->range[i].unused);
	}
}

/* What is past the bounds is left out: it was read last. */
static void encode(const struct f3_ws_set *set, bool frozen, uint64_t most_bytes,
		   struct f3_buf *out)
{
	uint64_t bytes = 0;

	f3_buf_put_u8(out, RECORD_VERSION);
	f3_buf_put_u8(out, frozen ? RECORD_FROZEN : 0);
	f3_buf_put_i64(out, set->used_ns);
	for (size_t i = 0; i < set->n && i < F3_WS_FILES_MAX; i++) {
		const struct f3_ws_file *file = &set->file[i];
		uint64_t more = f3_ws_file_bytes(file);

		if (out->len + file_length(file) > F3_WS_RECORD_MAX || more > most_bytes - bytes)
			continue;
		bytes += more;
		encode_file(file, out);
	}
}

static int decode_file(struct f3_rd *rd, struct f3_ws_file *ret)
{
	struct f3_ws_file file = { .input = (int)f3_rd_u32(rd) };
	const uint8_t *path;
	size_t len, n;

	path = f3_rd_str16(rd, &len);
	file.size = f3_rd_u64(rd);
	file.whole = f3_rd_u8(rd) != 0;
	file.unused = f3_rd_u8(rd);
	n = f3_rd_u16(rd);
	if (rd->error || n > F3_WS_RANGES_MAX || rd->left < n * RANGE_BYTES || file.input < -1 ||
	    memchr(path, 0, len))
		return -EBADMSG;
	file.path = strndup((const char *)path, len);
	file.range = calloc(n ? n : 1, sizeof(*file.range));
	if (!file.path || !file.range) {
		f3_ws_file_done(&file);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t end;

		file.range[i].off = f3_rd_u64(rd);
		file.range[i].len = f3_rd_u64(rd);
		file.range[i].unused = f3_rd_u8(rd);
		if (__builtin_add_overflow(file.range[i].off, file.range[i].len, &end))
			rd->error = -EBADMSG;
	}
	file.n_ranges = n;
	if (!f3_ws_path_ok(file.path) && (file.input < 0 || *file.path))
		rd->error = -EBADMSG;
	if (rd->error) {
		f3_ws_file_done(&file);
		return -EBADMSG;
	}
	*ret = file;
	return 0;
}

static int decode(const uint8_t *value, size_t len, struct f3_ws_set *ret_set, bool *ret_frozen)
{
	struct f3_ws_set set = { .n = 0 };
	struct f3_rd rd;
	int r = 0;

	f3_rd_init(&rd, value, len);
	if (f3_rd_u8(&rd) != RECORD_VERSION)
		return -EPROTONOSUPPORT;
	*ret_frozen = (f3_rd_u8(&rd) & RECORD_FROZEN) != 0;
	set.used_ns = f3_rd_i64(&rd);
	set.file = rd.error ? NULL : calloc(F3_WS_FILES_MAX, sizeof(*set.file));
	if (!set.file)
		return rd.error ? rd.error : -ENOMEM;
	while (!r && rd.left) {
		r = set.n == F3_WS_FILES_MAX ? -EBADMSG : decode_file(&rd, &set.file[set.n]);
		set.n += !r;
	}
	if (r)
		f3_ws_set_done(&set);
	else
		*ret_set = set;
	return r;
}

/* ---- The table ------------------------------------------------------------------------------- */

static size_t make_key(const struct f3_ws_name *name, char out[F3_WS_KEY_MAX])
{
	const char *part[] = { name->namespace_, name->action, name->version };
	size_t at = 0;

	for (unsigned i = 0; i < 3; i++) {
		size_t len = strnlen(part[i], F3_ACT_NAME_MAX);

		memcpy(out + at, part[i], len);
		out[at + len] = '\0';
		at += len + 1;
	}
	return at - 1;
}

static struct f3_ws_entry **find(struct f3_ws *ws, const char *key, size_t klen)
{
	struct f3_ws_entry **at = &ws->entries[f3_hash64(key, klen, 0) % F3_WS_BUCKETS];

	while (*at && ((*at)->klen != klen || memcmp((*at)->key, key, klen) != 0))
		at = &(*at)->next;
	return at;
}

static struct f3_ws_entry *entry_new(const char *key, size_t klen)
{
	struct f3_ws_entry *e = calloc(1, sizeof(*e));
	const char *at;

	if (!e)
		return NULL;
	e->key = malloc(klen + 1);
	if (!e->key) {
		free(e);
		return NULL;
	}
	memcpy(e->key, key, klen);
	e->key[klen] = '\0';
	e->klen = klen;
	at = e->key;
	e->info.name.namespace_ = at;
	at += strlen(at) + 1;
	e->info.name.action = at;
	at += strlen(at) + 1;
	e->info.name.version = at;
	return e;
}

static void entry_free(struct f3_ws_entry *e)
{
	free(e->key);
	free(e);
}

static void sum_up(struct f3_ws_entry *e, const struct f3_ws_set *set, bool frozen)
{
	e->info.used_ns = e->written_ns = set->used_ns;
	e->info.files = (uint32_t)set->n;
	e->info.frozen = frozen;
	e->info.bytes = 0;
	e->info.ranges = 0;
	for (size_t i = 0; i < set->n; i++) {
		e->info.bytes += f3_ws_file_bytes(&set->file[i]);
		e->info.ranges += set->file[i].whole ? 1 : (uint32_t)set->file[i].n_ranges;
	}
}

bool f3_ws_known(struct f3_ws *ws, const struct f3_ws_name *name)
{
	char key[F3_WS_KEY_MAX];
	size_t klen = make_key(name, key);
	const struct f3_ws_entry *e;
	bool known;

	f3_lock(&ws->lock);
	e = *find(ws, key, klen);
	known = e && e->info.files;
	f3_unlock(&ws->lock);
	return known;
}

/* ---- In the database ------------------------------------------------------------------------- */

static int read_set(struct f3_ws *ws, const char *key, size_t klen, struct f3_ws_set *ret_set,
		    bool *ret_frozen)
{
	struct f3_buf value;
	int r;

	f3_buf_init(&value, F3_WS_RECORD_MAX);
	r = f3_meta_get_note(ws->core->meta, F3_NOTE_WORKINGSET, key, klen, &value);
	if (!r)
		r = decode(value.data, value.len, ret_set, ret_frozen);
	f3_buf_done(&value);
	return r;
}

int f3_ws_get(struct f3_core *core, const struct f3_ws_name *name, struct f3_ws_set *ret_set)
{
	char key[F3_WS_KEY_MAX];
	bool frozen;

	return read_set(core->ws, key, make_key(name, key), ret_set, &frozen);
}

/* The longest unused one if there are too many, or one that is too old. Lock held; the caller frees it. */
static struct f3_ws_entry *one_too_many(struct f3_ws *ws, uint64_t keep, int64_t before_ns)
{
	struct f3_ws_entry **oldest = NULL, *e;

	for (unsigned i = 0; i < F3_WS_BUCKETS; i++)
		for (struct f3_ws_entry **at = &ws->entries[i]; *at; at = &(*at)->next)
			if (!oldest || (*at)->info.used_ns < (*oldest)->info.used_ns)
				oldest = at;
	if (!oldest || (ws->n <= keep && (*oldest)->info.used_ns >= before_ns))
		return NULL;
	e = *oldest;
	*oldest = e->next;
	ws->n--;
	return e;
}

static void prune(struct f3_ws *ws, struct f3_batch *b)
{
	const struct f3_conf *conf = ws->core->conf;
	uint64_t keep = f3_conf_u64(conf, "f3", NULL, "working-sets-kept");
	uint64_t age_ns = f3_conf_u64(conf, "f3", NULL, "working-sets-age");
	int64_t before_ns = f3_clock_real_ns() - (int64_t)age_ns;
	struct f3_ws_entry *e;

	do {
		f3_lock(&ws->lock);
		e = one_too_many(ws, keep, before_ns);
		f3_unlock(&ws->lock);
		if (e) {
			f3_batch_del_note(b, F3_NOTE_WORKINGSET, e->key, e->klen);
			entry_free(e);
		}
	} while (e);
}

/* So that it reads as what was written. */
static int note(struct f3_ws *ws, const char *key, size_t klen, const struct f3_ws_set *set,
		bool frozen)
{
	struct f3_ws_set kept = { .n = 0 };
	struct f3_ws_entry **at, *e, *new = entry_new(key, klen);
	struct f3_batch *b = NULL;
	struct f3_buf value;
	int r = new ? f3_batch_new(ws->core->meta, &b) : -ENOMEM;

	f3_buf_init(&value, F3_WS_RECORD_MAX);
	encode(set, frozen, f3_conf_u64(ws->core->conf, "f3", NULL, "working-set-size"), &value);
	if (!r)
		r = value.error;
	if (!r)
		r = decode(value.data, value.len, &kept, &frozen);
	if (!r) {
		f3_lock(&ws->lock);
		at = find(ws, key, klen);
		if (!*at) {
			*at = new;
			new = NULL;
			ws->n++;
		}
		e = *at;
		sum_up(e, &kept, frozen);
		f3_unlock(&ws->lock);
		f3_batch_put_note(b, F3_NOTE_WORKINGSET, key, klen, value.data, value.len);
		prune(ws, b);
		r = f3_batch_commit(b);
	}
	if (new)
		entry_free(new);
	f3_ws_set_done(&kept);
	f3_batch_free(b);
	f3_buf_done(&value);
	return r;
}

static void take_turn(struct f3_ws *ws)
{
	f3_lock(&ws->lock);
	while (ws->changing)
		(void)f3_cond_wait(&ws->changed, &ws->lock, 0);
	ws->changing = true;
	f3_unlock(&ws->lock);
}

static void end_turn(struct f3_ws *ws)
{
	f3_lock(&ws->lock);
	ws->changing = false;
	pthread_cond_broadcast(&ws->changed);
	f3_unlock(&ws->lock);
}

/* Nothing of it changed but that it was used: is that to be written down? */
static bool stale(struct f3_ws *ws, const char *key, size_t klen, int64_t now_ns)
{
	struct f3_ws_entry *e;
	bool is = false;

	f3_lock(&ws->lock);
	e = *find(ws, key, klen);
	if (e) {
		e->info.used_ns = now_ns;
		is = now_ns - e->written_ns > WRITTEN_NS;
	}
	f3_unlock(&ws->lock);
	return is;
}

int f3_ws_change(struct f3_ws *ws, const struct f3_ws_name *name,
		 int (*fn)(void *arg, struct f3_ws_set *set, bool *frozen), void *arg)
{
	struct f3_ws_set set = { .n = 0 };
	char key[F3_WS_KEY_MAX];
	size_t klen = make_key(name, key);
	int64_t now_ns = f3_clock_real_ns();
	bool frozen = false;
	int r;

	take_turn(ws);
	r = read_set(ws, key, klen, &set, &frozen);
	/* One of another version of this program is made anew. */
	if (r == -ENOENT || r == -EBADMSG || r == -EPROTONOSUPPORT)
		r = 0;
	if (!r)
		r = fn(arg, &set, &frozen);
	if (r == 1 || (!r && stale(ws, key, klen, now_ns))) {
		set.used_ns = now_ns;
		r = note(ws, key, klen, &set, frozen);
	}
	end_turn(ws);
	f3_ws_set_done(&set);
	return r;
}

static int set_frozen(void *arg, struct f3_ws_set *set, bool *frozen)
{
	(void)set;
	if (*frozen == *(const bool *)arg)
		return 0;
	*frozen = *(const bool *)arg;
	return 1;
}

int f3_ws_freeze(struct f3_core *core, const struct f3_ws_name *name, bool freeze)
{
	return f3_ws_change(core->ws, name, set_frozen, &freeze);
}

int f3_ws_forget(struct f3_core *core, const struct f3_ws_name *name)
{
	struct f3_ws *ws = core->ws;
	struct f3_ws_entry **at, *e;
	char key[F3_WS_KEY_MAX];
	size_t klen = make_key(name, key);
	struct f3_batch *b = NULL;
	int r;

	take_turn(ws);
	f3_lock(&ws->lock);
	at = find(ws, key, klen);
	e = *at;
	if (e) {
		*at = e->next;
		ws->n--;
	}
	f3_unlock(&ws->lock);
	r = e ? f3_batch_new(core->meta, &b) : -ENOENT;
	if (!r) {
		f3_batch_del_note(b, F3_NOTE_WORKINGSET, key, klen);
		r = f3_batch_commit(b);
	}
	f3_batch_free(b);
	if (e)
		entry_free(e);
	end_turn(ws);
	return r;
}

int f3_ws_each(struct f3_core *core, int (*fn)(void *arg, const struct f3_ws_info *info), void *arg)
{
	struct f3_ws *ws = core->ws;
	int r = 0;

	/* No change while it is looked at, so that it can be looked at without the lock. */
	take_turn(ws);
	for (unsigned i = 0; i < F3_WS_BUCKETS && !r; i++)
		for (const struct f3_ws_entry *e = ws->entries[i]; e && !r; e = e->next)
			r = fn(arg, &e->info);
	end_turn(ws);
	return r;
}

/* ---- All of them ----------------------------------------------------------------------------- */

int f3_ws_new(struct f3_core *core, struct f3_ws **ret_ws)
{
	struct f3_ws *ws = calloc(1, sizeof(*ws));
	int r;

	if (!ws)
		return -ENOMEM;
	r = f3_workq_new("replay", F3_WS_THREADS, F3_WS_QUEUED, &ws->queue);
	if (r) {
		free(ws);
		return r;
	}
	ws->core = core;
	f3_lock_init(&ws->lock, F3_RANK_ACTS);
	f3_cond_init(&ws->changed);
	f3_ws_register_metrics();
	*ret_ws = ws;
	return 0;
}

static int load_one(void *arg, const uint8_t *key, size_t klen, const uint8_t *value, size_t vlen)
{
	struct f3_ws *ws = arg;
	struct f3_ws_set set;
	struct f3_ws_entry *e, **at;
	unsigned parts = 1;
	bool frozen;

	for (size_t i = 0; i < klen; i++)
		parts += !key[i];
	if (parts != 3 || decode(value, vlen, &set, &frozen))
		return 0; /* of a version that this one does not know */
	e = entry_new((const char *)key, klen);
	if (e) {
		sum_up(e, &set, frozen);
		f3_lock(&ws->lock);
		at = find(ws, e->key, klen);
		*at = e;
		ws->n++;
		f3_unlock(&ws->lock);
	}
	f3_ws_set_done(&set);
	return e ? 0 : -ENOMEM;
}

int f3_ws_load(struct f3_core *core)
{
	struct f3_batch *b;
	int r = f3_meta_each_note(core->meta, F3_NOTE_WORKINGSET, "", 0, load_one, core->ws);

	if (!r)
		r = f3_batch_new(core->meta, &b);
	if (r)
		return r;
	prune(core->ws, b);
	r = f3_batch_commit(b);
	f3_batch_free(b);
	return r;
}

void f3_ws_stop(struct f3_ws *ws)
{
	if (!ws)
		return;
	ws->stopping = true;
	f3_workq_free(ws->queue);
	ws->queue = NULL;
}

void f3_ws_free(struct f3_ws *ws)
{
	if (!ws)
		return;
	f3_ws_stop(ws);
	for (unsigned i = 0; i < F3_WS_BUCKETS; i++) {
		struct f3_ws_entry *e;

		while ((e = ws->entries[i])) {
			ws->entries[i] = e->next;
			entry_free(e);
		}
	}
	pthread_cond_destroy(&ws->changed);
	f3_lock_done(&ws->lock);
	free(ws);
}
