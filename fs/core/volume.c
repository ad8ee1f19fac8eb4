/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/volume_impl.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/core/evict.h"
#include "fs/core/fill.h"
#include "fs/core/journal_run.h"
#include "fs/core/namespace.h"
#include "fs/core/node.h"
#include "fs/core/settings.h"
#include "fs/core/store_meet.h"

#define SPACE_CHECK_NS (100 * F3_NS_PER_MS)
#define PLENTY 64u

void f3_volume_free(struct f3_volume *v)
{
	if (!v)
		return;
	f3_store_meet_free(v->meet);
	f3_object_close(v->store);
	f3_fill_gate_free(v->fills);
	f3_journal_gate_free(v->stages);
	f3_stock_free(v->disk_stock);
	f3_stock_free(v->memory_stock);
	f3_backing_close(v->disk);
	f3_backing_close(v->memory);
	f3_placement_done(&v->placement);
	free(v->namespaces);
	free(v);
}

static struct f3_volume *find_locked(struct f3_volumes *vs, const char *name)
{
	for (struct f3_volume *v = vs->first; v; v = v->next)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

void f3_volumes_insert(struct f3_volumes *vs, struct f3_volume *v)
{
	struct f3_volume **p = &vs->first;

	while (*p && strcmp((*p)->name, v->name) < 0)
		p = &(*p)->next;
	v->next = *p;
	*p = v;
}

static int open_backing(struct f3_core *core, struct f3_volume *v, struct f3_err *err)
{
	char dir[PATH_MAX];
	int r;

	if (snprintf(dir, sizeof(dir), "%s/data/%" PRIu32, core->cache_dir, v->id) >=
	    (int)sizeof(dir))
		return f3_err_set(err, -ENAMETOOLONG, "cache directory's path is too long");
	r = f3_node_make_dirs(dir);
	if (r)
		return f3_err_set(err, r, "%s cannot be made: %s", dir, strerror(-r));
	r = f3_backing_open(dir, core->ring, &v->disk, err);
	if (r)
		return r;
	if (snprintf(dir, sizeof(dir), "%s/%" PRIu32, core->memory_dir, v->id) >= (int)sizeof(dir))
		return f3_err_set(err, -ENAMETOOLONG, "memory directory's path is too long");
	return f3_backing_open(dir, core->ring, &v->memory, err);
}

static int make_root(struct f3_core *core, struct f3_volume *v, const struct f3_settings *s,
		     struct f3_batch *b)
{
	struct f3_inode_rec rec = { 0 };
	struct f3_inode *root;
	int64_t now = f3_clock_file_ns();
	int r = f3_meta_new_ino(core->meta, &rec.ino);

	if (r)
		return r;
	f3_meta_new_id(core->meta, &rec.id);
	rec.mode = S_IFDIR | s->mode;
	rec.uid = s->uid;
	rec.gid = s->gid;
	rec.nlink = 2;
	rec.atime_ns = rec.mtime_ns = rec.ctime_ns = rec.btime_ns = now;
	rec.volume = v->id;
	rec.parent = F3_INO_ROOT;
	rec.name_len = (uint8_t)strlen(v->name);
	memcpy(rec.name, v->name, rec.name_len + 1u);
	if (v->placement.dflt < F3_CLASS_WRITEBACK && !v->placement.has_store)
		rec.flags |= F3_INO_LOCAL_TREE;
	v->root_ino = rec.ino;
	v->used_inodes = 1;
	f3_batch_put_inode(b, &rec);
	f3_batch_put_name(b, F3_INO_ROOT, v->name, rec.name_len, rec.ino, DT_DIR);

	r = f3_inode_get(core, F3_INO_ROOT, &root);
	if (r)
		return r;
	f3_lock(&root->lock);
	root->rec.nlink++;
	root->rec.size++;
	root->rec.mtime_ns = root->rec.ctime_ns = now;
	f3_batch_put_inode(b, &root->rec);
	f3_unlock(&root->lock);
	f3_inode_put(core, root);
	return 0;
}

/* Builds a volume and puts it in the table. `rec` has what the database knows of it (id 0: nothing
 * yet). */
static int attach(struct f3_core *core, struct f3_volume_rec *rec, const struct f3_settings *s,
		  const struct f3_conf_rule *rules, size_t n_rules, struct f3_err *err)
{
	struct f3_volume *v = calloc(1, sizeof(*v));
	struct f3_batch *b = NULL;
	bool fresh = rec->id == 0;
	int r = 0;

	if (!v)
		return f3_err_set(err, -ENOMEM, "out of memory");
	v->core = core;
	snprintf(v->name, sizeof(v->name), "%s", rec->name);
	snprintf(v->url, sizeof(v->url), "%s", rec->url);
	v->root_ino = rec->root_ino;
	v->by_command = rec->by_command;
	v->quota_bytes = s->quota_bytes;
	v->quota_inodes = s->quota_inodes;
	v->attr_ttl_ns = s->attr_ttl_ns;
	v->stream_grace_ns = s->stream_grace_ns;
	v->stream_exit_zero = s->stream_exit_zero;
	v->read_only = s->read_only;
	v->listed_attr = s->listed_attr;
	v->namespaces = strdup(s->namespaces);
	if (!v->namespaces)
		r = f3_err_set(err, -ENOMEM, "out of memory");
	v->used_bytes = rec->used_bytes;
	v->used_inodes = rec->used_inodes;
	v->placement.has_store = rec->url[0] != '\0';
	v->placement.dflt = s->dflt;
	if (!v->placement.dflt)
		v->placement.dflt = v->placement.has_store ? F3_CLASS_DURABLE : F3_CLASS_EPHEMERAL;
	for (size_t i = 0; i < n_rules && !r; i++)
		r = f3_placement_add(&v->placement, rules[i].pattern, rules[i].value, err);
	if (r)
		goto out;
	if (fresh) {
		r = f3_meta_new_volume_id(core->meta, &rec->id);
		if (r) {
			f3_err_set(err, r, "no number for volume %s: %s", rec->name, strerror(-r));
			goto out;
		}
	}
	v->id = rec->id;
	r = open_backing(core, v, err);
	if (r)
		goto out;
	r = f3_stock_new(core, v->disk, &v->disk_stock);
	if (!r)
		r = f3_stock_new(core, v->memory, &v->memory_stock);
	if (r) {
		f3_err_set(err, r, "out of memory");
		goto out;
	}
	r = f3_fill_gate_new(core, &v->fills);
	if (!r)
		r = f3_journal_gate_new(core, v, &v->stages);
	if (r) {
		f3_err_set(err, r, "out of memory");
		goto out;
	}
	if (v->placement.has_store) {
		const struct f3_s3_options s3 = f3_settings_s3(s);
		const struct f3_object_options opt = {
			.url = v->url,
			.threads = (unsigned)f3_conf_u64(core->conf, "f3", NULL, "stage-parallel"),
			/* One that was there before and is not now was not mounted, say: an empty
			 * one in its place would make every file vanish. */
			.create = fresh,
			.read_only = v->read_only,
			.meet_later = true,
			.id = rec->store_id,
			.s3 = &s3,
			.budget = core->budget,
		};

		r = f3_object_open(&opt, &v->store, err);
		if (!r)
			r = f3_store_meet(v, !fresh, err);
		if (r) {
			f3_err_prefix(err, "volume %s", v->name);
			goto out;
		}
		if (!rec->store_id[0])
			snprintf(rec->store_id, sizeof(rec->store_id), "%s", v->store->id);
	}
	r = f3_batch_new(core->meta, &b);
	if (r)
		goto out;
	if (fresh) {
		r = make_root(core, v, s, b);
		rec->root_ino = v->root_ino;
	}
	f3_batch_put_volume(b, rec);
	if (!r)
		r = f3_batch_commit(b);
	if (r) {
		f3_err_set(err, r, "volume %s cannot be recorded: %s", v->name, strerror(-r));
		goto out;
	}
	f3_lock(&core->volumes->lock);
	if (find_locked(core->volumes, v->name))
		r = -EEXIST;
	else
		f3_volumes_insert(core->volumes, v);
	f3_unlock(&core->volumes->lock);
	if (r)
		f3_err_set(err, r, "there is a volume %s already", v->name);
out:
	f3_batch_free(b);
	if (r)
		f3_volume_free(v);
	return r;
}

struct load {
	struct f3_core *core;
	struct f3_volume_rec *recs;
	size_t n, cap;
};

static int collect(void *arg, const struct f3_volume_rec *rec)
{
	struct load *load = arg;

	if (load->n == load->cap) {
		size_t cap = load->cap ? load->cap * 2 : 8;
		struct f3_volume_rec *recs = reallocarray(load->recs, cap, sizeof(*recs));

		if (!recs)
			return -ENOMEM;
		load->recs = recs;
		load->cap = cap;
	}
	load->recs[load->n++] = *rec;
	return 0;
}

static int start_configured(struct f3_core *core, const char *name, const struct load *load,
			    struct f3_err *err)
{
	struct f3_volume_rec rec = { 0 };
	const struct f3_conf_rule *rules = NULL;
	size_t n_rules = f3_conf_rules(core->conf, name, &rules);
	const char *url = f3_conf_str(core->conf, "volume", name, "url");
	struct f3_settings s = F3_SETTINGS_INIT;
	int r = f3_settings_from_conf(&s, core->conf, name, err);

	if (r)
		return r;
	for (size_t i = 0; i < load->n; i++)
		if (!strcmp(load->recs[i].name, name))
			rec = load->recs[i];
	if (rec.id && strcmp(rec.url, url ? url : "") != 0)
		return f3_err_set(
			err, -EINVAL,
			"volume %s was made with url \"%s\" and is now configured with \"%s\": "
			"give it another name, or remove it with f3ctl volume remove",
			name, rec.url, url ? url : "");
	snprintf(rec.name, sizeof(rec.name), "%s", name);
	snprintf(rec.url, sizeof(rec.url), "%s", url ? url : "");
	rec.by_command = false;
	return attach(core, &rec, &s, rules, n_rules, err);
}

static int start_by_command(struct f3_core *core, struct f3_volume_rec *rec, struct f3_err *err)
{
	struct f3_settings s = F3_SETTINGS_INIT;
	int r = f3_settings_from_text(&s, rec->settings, err);

	return r ? r : attach(core, rec, &s, NULL, 0, err);
}

int f3_volumes_start(struct f3_core *core, struct f3_err *err)
{
	struct load load = { .core = core };
	const char *const *names = NULL;
	size_t n = f3_conf_volumes(core->conf, &names);
	int r;

	core->volumes = calloc(1, sizeof(*core->volumes));
	if (!core->volumes)
		return f3_err_set(err, -ENOMEM, "out of memory");
	f3_lock_init(&core->volumes->lock, F3_RANK_VOLUMES);
	r = f3_meta_each_volume(core->meta, collect, &load);
	if (r)
		f3_err_set(err, r, "the volumes cannot be read from the database: %s",
			   strerror(-r));
	for (size_t i = 0; i < n && !r; i++)
		r = start_configured(core, names[i], &load, err);
	for (size_t i = 0; i < load.n && !r; i++) {
		struct f3_volume *v = f3_volume_find(core, load.recs[i].name);

		if (v) {
			f3_volume_put(v);
			continue;
		}
		if (!load.recs[i].by_command)
			f3_log_warn(
				"volume %s is no longer configured; its files stay in the cache and "
				"are shown as before until f3ctl volume remove %s",
				load.recs[i].name, load.recs[i].name);
		r = start_by_command(core, &load.recs[i], err);
	}
	free(load.recs);
	return r;
}

static void reload_one(void *arg, struct f3_volume *v)
{
	const struct f3_conf *conf = arg;

	if (v->by_command || !f3_volume_configured(v->core, v->name))
		return;
	v->quota_bytes = f3_conf_u64(conf, "volume", v->name, "quota");
	v->quota_inodes = f3_conf_u64(conf, "volume", v->name, "quota-inodes");
	v->attr_ttl_ns = f3_conf_u64(conf, "volume", v->name, "attr-ttl");
	v->stream_grace_ns = f3_conf_u64(conf, "volume", v->name, "stream-grace");
	v->stream_exit_zero = f3_conf_u64(conf, "volume", v->name, "stream-exit");
}

void f3_volumes_reload(struct f3_core *core)
{
	f3_volume_each(core, reload_one, (void *)core->conf);
}

/* Usage as of now goes to the database, so that a clean start need not count. */
static void save_usage(struct f3_core *core, struct f3_volume *v)
{
	struct load load = { .core = core };
	struct f3_batch *b;

	if (f3_meta_each_volume(core->meta, collect, &load) || f3_batch_new(core->meta, &b)) {
		free(load.recs);
		return;
	}
	for (size_t i = 0; i < load.n; i++) {
		if (load.recs[i].id != v->id)
			continue;
		load.recs[i].used_bytes = v->used_bytes;
		load.recs[i].used_inodes = v->used_inodes;
		f3_batch_put_volume(b, &load.recs[i]);
	}
	if (f3_batch_commit(b))
		f3_log_warn(
			"usage of volume %s was not saved; it is counted again at the next start",
			v->name);
	f3_batch_free(b);
	free(load.recs);
}

void f3_volumes_stop(struct f3_core *core)
{
	struct f3_volumes *vs = core->volumes;

	if (!vs)
		return;
	while (vs->first) {
		struct f3_volume *v = vs->first;

		vs->first = v->next;
		if (core->meta)
			save_usage(core, v);
		f3_volume_free(v);
	}
	f3_lock_done(&vs->lock);
	free(vs);
	core->volumes = NULL;
}

struct f3_volume *f3_volume_get(struct f3_core *core, uint32_t id)
{
	struct f3_volume *v;

	f3_lock(&core->volumes->lock);
	for (v = core->volumes->first; v && v->id != id; v = v->next)
		;
	if (v)
		v->refs++;
	f3_unlock(&core->volumes->lock);
	return v;
}

struct f3_volume *f3_volume_find(struct f3_core *core, const char *name)
{
	struct f3_volume *v;

	f3_lock(&core->volumes->lock);
	v = find_locked(core->volumes, name);
	if (v)
		v->refs++;
	f3_unlock(&core->volumes->lock);
	return v;
}

void f3_volume_put(struct f3_volume *v)
{
	if (v)
		v->refs--;
}

void f3_volume_each(struct f3_core *core, void (*fn)(void *arg, struct f3_volume *v), void *arg)
{
	char last[F3_NAME_MAX + 1] = "";

	for (;;) {
		struct f3_volume *v;

		f3_lock(&core->volumes->lock);
		for (v = core->volumes->first; v && strcmp(v->name, last) <= 0; v = v->next)
			;
		if (v)
			v->refs++;
		f3_unlock(&core->volumes->lock);
		if (!v)
			return;
		snprintf(last, sizeof(last), "%s", v->name);
		fn(arg, v);
		f3_volume_put(v);
	}
}

int f3_volume_add(struct f3_core *core, const char *name, const char *url, const char *settings,
		  struct f3_err *err)
{
	struct f3_volume_rec rec = { .by_command = true };
	struct f3_settings s = F3_SETTINGS_INIT;
	struct f3_conf *probe;
	struct f3_volume *v;
	int r = f3_conf_new(&probe);

	/* The same checks of name and URL as for one in the configuration. */
	if (r)
		return f3_err_set(err, r, "out of memory");
	r = f3_conf_add_volume(probe, name, url, "f3ctl", err);
	f3_conf_free(probe);
	if (r)
		return r;
	if (strlen(settings) >= sizeof(rec.settings))
		return f3_err_set(err, -E2BIG, "too many settings for volume %s", name);
	v = f3_volume_find(core, name);
	if (v) {
		f3_volume_put(v);
		return f3_err_set(err, -EEXIST, "there is a volume %s already", name);
	}
	snprintf(rec.name, sizeof(rec.name), "%s", name);
	snprintf(rec.url, sizeof(rec.url), "%s", url ? url : "");
	snprintf(rec.settings, sizeof(rec.settings), "%s", settings);
	r = f3_settings_from_text(&s, settings, err);
	if (!r)
		r = attach(core, &rec, &s, NULL, 0, err);
	if (!r && core->kernel.inval_entry)
		core->kernel.inval_entry(core->kernel.arg, F3_INO_ROOT, name, strlen(name));
	return r;
}

bool f3_volume_allows(const struct f3_volume *v, const char *namespace_)
{
	size_t wanted = strlen(namespace_);

	for (const char *at = v->namespaces; *at;) {
		size_t len = strcspn(at, "\n");

		if ((len == 1 && *at == '*') || (len == wanted && !memcmp(at, namespace_, len)))
			return true;
		at += len + 1;
	}
	return false;
}

int f3_volume_charge(struct f3_volume *v, uint64_t bytes, uint64_t inodes)
{
	uint64_t total = atomic_fetch_add(&v->used_bytes, bytes) + bytes;
	uint64_t files = atomic_fetch_add(&v->used_inodes, inodes) + inodes;

	if ((bytes && v->quota_bytes && total > v->quota_bytes) ||
	    (inodes && v->quota_inodes && files > v->quota_inodes)) {
		f3_volume_uncharge(v, bytes, inodes);
		return -EDQUOT;
	}
	return 0;
}

void f3_volume_uncharge(struct f3_volume *v, uint64_t bytes, uint64_t inodes)
{
	v->used_bytes -= bytes;
	v->used_inodes -= inodes;
}

void f3_volume_account(struct f3_volume *v, int64_t bytes)
{
	if (bytes >= 0)
		v->used_bytes += (uint64_t)bytes;
	else
		v->used_bytes -= (uint64_t)-bytes;
}

uint64_t f3_volume_left(struct f3_core *core, struct f3_volume *v, enum f3_class backing_class,
			uint64_t evictable)
{
	uint64_t total, left = 0, files;

	if (f3_backing_space(f3_volume_backing(v, backing_class), &total, &left, &files))
		left = 0;
	if (backing_class != F3_CLASS_MEMORY) {
		uint64_t limit = f3_evict_limit(core), used = f3_evict_used(core);
		uint64_t cache;

		used = used > evictable ? used - evictable : 0;
		cache = limit > used ? limit - used : 0;
		left = left < UINT64_MAX - evictable ? left + evictable : UINT64_MAX;
		if (limit && cache < left)
			left = cache;
	}
	if (v->quota_bytes) {
		uint64_t used = v->used_bytes;
		uint64_t quota = v->quota_bytes > used ? v->quota_bytes - used : 0;

		if (quota < left)
			left = quota;
	}
	return left;
}

bool f3_volume_may_passthrough_write(struct f3_core *core, struct f3_volume *v,
				     enum f3_class backing_class)
{
	uint64_t reserve = core->opt.writer_reserve_bytes;
	uint64_t held = reserve * v->passthrough_writers, now = f3_clock_mono_ns();
	uint64_t left = v->space_left;

	/* With plenty left a look now and then is enough. */
	if (now - v->space_checked_ns > SPACE_CHECK_NS || left < held + PLENTY * reserve) {
		left = f3_volume_left(core, v, backing_class, 0);
		v->space_left = left;
		v->space_checked_ns = now;
	}
	return left > held && left - held > reserve;
}
