/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_status: what the daemon says of itself: status, mount, stats, profile, metrics, config,
 * log-level, journal.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "daemon/metrics.h"
#include "daemon/verb.h"
#include "fs/base/clock.h"
#include "fs/base/log.h"
#include "fs/base/metric.h"
#include "fs/core/evict.h"
#include "fs/core/journal_run.h"
#include "fs/core/lack.h"
#include "fs/core/volume.h"

#define TEXT_MAX (8u << 20)

static json_t *count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static double age_s(int64_t since_ns)
{
	int64_t now_ns = f3_clock_real_ns();

	return since_ns && now_ns > since_ns ? (double)(now_ns - since_ns) / 1e9 : 0.0;
}

/* ---- status ---------------------------------------------------------------------------------- */

static json_t *journal_json(struct f3_core *core, uint32_t volume)
{
	struct f3_journal_stats journal = { 0 };

	f3_journal_stats(core, volume, &journal);
	return json_pack("{sI sI sI sf}", "entries", (json_int_t)journal.entries, "running",
			 (json_int_t)journal.running, "retrying", (json_int_t)journal.retrying,
			 "oldest_s", age_s(journal.oldest_since_ns));
}

struct volumes {
	struct f3_core *core;
	json_t *list;
	uint64_t dirty_bytes;
};

static void add_volume(void *arg, struct f3_volume *v)
{
	struct volumes *all = arg;
	json_t *volume = json_object();

	f3_wire_set_name(volume, "name", v->name, strlen(v->name));
	f3_wire_set_name(volume, "url", v->url, strlen(v->url));
	json_object_set_new(volume, "default_class", json_string(f3_class_name(v->placement.dflt)));
	json_object_set_new(volume, "used_bytes", count(v->used_bytes));
	json_object_set_new(volume, "used_inodes", count(v->used_inodes));
	json_object_set_new(volume, "quota_bytes", count(v->quota_bytes));
	json_object_set_new(volume, "quota_inodes", count(v->quota_inodes));
	json_object_set_new(volume, "dirty_bytes", count(v->dirty_bytes));
	json_object_set_new(volume, "read_only", json_boolean(v->read_only));
	json_object_set_new(volume, "by_command", json_boolean(v->by_command));
	json_object_set_new(volume, "backing", json_string(f3_backing_caps(v->disk)->fs_name));
	json_object_set_new(volume, "journal", journal_json(all->core, v->id));
	json_array_append_new(all->list, volume);
	all->dirty_bytes += v->dirty_bytes;
}

static json_t *memory_json(struct f3_core *core)
{
	json_t *accounts = json_object(), *shares = json_object();

	for (int a = 0; a < F3_ACCT_MAX; a++) {
		const char *name = f3_account_name((enum f3_account)a);

		json_object_set_new(accounts, name,
				    count(f3_budget_used(core->budget, (enum f3_account)a)));
		json_object_set_new(shares, name,
				    count(f3_budget_share(core->budget, (enum f3_account)a)));
	}
	return json_pack("{sI sI sI sI so so}", "limit_bytes",
			 (json_int_t)f3_budget_limit(core->budget), "used_bytes",
			 (json_int_t)f3_budget_used(core->budget, F3_ACCT_MAX), "resident_bytes",
			 (json_int_t)f3_metrics_resident_bytes(), "waiting",
			 (json_int_t)f3_budget_waiting(core->budget), "accounts", accounts,
			 "shares", shares);
}

/* No inode is looked at: who has its lock may be waiting for the database. */
static json_t *opens_json(struct f3_core *core, const struct f3_fuse_info *info)
{
	json_t *opens = json_object();

	json_object_set_new(opens, "now", count(info->opens));
	for (int m = F3_MODE_PASSTHROUGH; m < F3_OPEN_MODES; m++)
		json_object_set_new(opens, f3_open_mode_name((enum f3_open_mode)m),
				    count(core->mode_opens[m]));
	return opens;
}

static json_t *cache_json(struct f3_core *core)
{
	json_t *cache = json_object();

	f3_wire_set_name(cache, "dir", core->cache_dir, strlen(core->cache_dir));
	f3_wire_set_name(cache, "memory_dir", core->memory_dir, strlen(core->memory_dir));
	json_object_set_new(cache, "used_bytes", count(f3_evict_used(core)));
	json_object_set_new(cache, "limit_bytes", count(f3_evict_limit(core)));
	json_object_set_new(cache, "io_uring", json_boolean(f3_ring_is_uring(core->ring)));
	return cache;
}

static json_t *database_json(struct f3_core *core)
{
	uint64_t disk = 0, memory = 0;

	f3_meta_stats(core->meta, &disk, &memory);
	return json_pack("{sI sI}", "disk_bytes", (json_int_t)disk, "memory_bytes",
			 (json_int_t)memory);
}

static int status(struct f3_verb *v)
{
	struct f3_core *core = v->core;
	struct volumes volumes = { .core = core, .list = json_array() };
	const char *mountpoint = f3_conf_str(core->conf, "f3", NULL, "mountpoint");
	uint64_t inodes = 0, inode_bytes = 0;
	struct f3_fuse_info info;
	const struct f3_supervised *about = &v->worker->about;
	json_t *a = v->answer;

	f3_fuse_info(v->fuse, &info);
	f3_volume_each(core, add_volume, &volumes);
	f3_itable_stats(core, &inodes, &inode_bytes);
	json_object_set_new(a, "version", json_string(PACKAGE_VERSION));
	json_object_set_new(a, "pid", json_integer(getpid()));
	json_object_set_new(a, "supervisor_pid", json_integer(about->supervisor));
	json_object_set_new(a, "restarts", count(about->restarts));
	if (about->last_status) {
		char death[96];

		f3_death_text(about->last_status, death, sizeof(death));
		json_object_set_new(a, "last_death", json_string(death));
	}
	json_object_set_new(a, "state", json_string("serving"));
	json_object_set_new(a, "upgrades", count(about->upgrades));
	if (about->upgrade_failed[0])
		f3_wire_set_name(a, "upgrade_failed", about->upgrade_failed,
				 strlen(about->upgrade_failed));
	if (about->pause_ns)
		json_object_set_new(a, "last_pause_s", json_real((double)about->pause_ns / 1e9));
	json_object_set_new(a, "uptime_s",
			    json_real((double)(f3_clock_mono_ns() - v->started_mono_ns) / 1e9));
	f3_wire_set_name(a, "node", core->node_name, strlen(core->node_name));
	json_object_set_new(a, "incarnation", count(f3_meta_incarnation(core->meta)));
	f3_wire_set_name(a, "mountpoint", mountpoint, strlen(mountpoint));
	json_object_set_new(a, "transport", json_string(info.transport));
	json_object_set_new(a, "passthrough", json_boolean(info.passthrough));
	json_object_set_new(a, "passthrough_reason",
			    info.passthrough_reason ? json_string(info.passthrough_reason) :
						      json_null());
	json_object_set_new(a, "threads", count(info.threads));
	json_object_set_new(a, "sprinting", count(info.sprinting));
	json_object_set_new(a, "sprint_reason",
			    info.sprint_reason ? json_string(info.sprint_reason) : json_null());
	json_object_set_new(a, "opens", opens_json(core, &info));
	json_object_set_new(a, "parked_reads", count(info.parked));
	json_object_set_new(a, "waiting_for_room", count(f3_lack_waiting(core)));
	json_object_set_new(a, "inodes_in_memory", count(inodes));
	json_object_set_new(a, "volumes", volumes.list);
	json_object_set_new(a, "cache", cache_json(core));
	json_object_set_new(a, "dirty_bytes", count(volumes.dirty_bytes));
	json_object_set_new(a, "journal", journal_json(core, 0));
	json_object_set_new(a, "memory", memory_json(core));
	json_object_set_new(a, "database", database_json(core));
	json_object_set_new(a, "log_level", json_string(f3_log_level_name(f3_log_get_level())));
	json_object_set_new(a, "peers", json_array());
	return 0;
}

static void add_name(void *arg, struct f3_volume *v)
{
	json_t *volume = json_object();

	f3_wire_set_name(volume, "name", v->name, strlen(v->name));
	json_array_append_new(arg, volume);
}

/* What f3ctl needs to know where a path lies. */
static int mount_(struct f3_verb *v)
{
	const char *mountpoint = f3_conf_str(v->core->conf, "f3", NULL, "mountpoint");
	json_t *volumes = json_array();

	f3_volume_each(v->core, add_name, volumes);
	f3_wire_set_name(v->answer, "mountpoint", mountpoint, strlen(mountpoint));
	json_object_set_new(v->answer, "volumes", volumes);
	return 0;
}

/* ---- stats, profile, metrics ----------------------------------------------------------------- */

static void add_counter(void *arg, const struct f3_counter *c)
{
	char key[256];

	snprintf(key, sizeof(key), "%s%s%s%s", c->name, c->labels[0] ? "{" : "", c->labels,
		 c->labels[0] ? "}" : "");
	json_object_set_new(arg, key, count(c->value));
}

struct sum {
	const char *name;
	uint64_t n;
};

static void sum_histogram(void *arg, const struct f3_histogram *h)
{
	struct sum *sum = arg;

	if (!strcmp(h->name, sum->name))
		sum->n += f3_histogram_count(h);
}

/* What moves, in one small line: f3ctl asks once a second. */
static int stats(struct f3_verb *v)
{
	struct volumes volumes = { .core = v->core, .list = json_array() };
	struct sum ops = { .name = "f3_fuse_op_seconds" };
	struct f3_journal_stats journal = { 0 };
	json_t *counters = json_object();
	struct f3_fuse_info info;
	json_t *a = v->answer;

	f3_fuse_info(v->fuse, &info);
	f3_volume_each(v->core, add_volume, &volumes);
	json_decref(volumes.list);
	f3_journal_stats(v->core, 0, &journal);
	f3_metrics_each_histogram(sum_histogram, &ops);
	f3_metrics_each_counter(add_counter, counters);
	json_object_set_new(a, "mono_ns", count(f3_clock_mono_ns()));
	json_object_set_new(a, "operations", count(ops.n));
	json_object_set_new(a, "opens", count(info.opens));
	json_object_set_new(a, "parked_reads", count(info.parked));
	json_object_set_new(a, "cache_used_bytes", count(f3_evict_used(v->core)));
	json_object_set_new(a, "cache_limit_bytes", count(f3_evict_limit(v->core)));
	json_object_set_new(a, "dirty_bytes", count(volumes.dirty_bytes));
	json_object_set_new(a, "journal_entries", count(journal.entries));
	json_object_set_new(a, "memory_used_bytes",
			    count(f3_budget_used(v->core->budget, F3_ACCT_MAX)));
	json_object_set_new(a, "resident_bytes", count(f3_metrics_resident_bytes()));
	json_object_set_new(a, "counters", counters);
	return 0;
}

static void add_histogram(void *arg, const struct f3_histogram *h)
{
	json_t *buckets = json_array();

	for (unsigned i = 0; i < F3_HIST_BUCKETS; i++)
		json_array_append_new(buckets, count(h->bucket[i]));
	json_array_append_new(arg, json_pack("{ss ss sI so}", "name", h->name, "labels", h->labels,
					     "sum_ns", (json_int_t)h->sum_ns, "buckets", buckets));
}

/* Bucket i counts what took at most 2^i us, the last one the rest. */
static int profile(struct f3_verb *v)
{
	json_t *histograms = json_array();

	f3_metrics_each_histogram(add_histogram, histograms);
	json_object_set_new(v->answer, "mono_ns", count(f3_clock_mono_ns()));
	json_object_set_new(v->answer, "histograms", histograms);
	return 0;
}

static int put_text(struct f3_verb *v, const char *key, struct f3_buf *text)
{
	int r = text->error;

	if (!r)
		r = f3_wire_set_name(v->answer, key, text->data, text->len);
	f3_buf_done(text);
	return r ? f3_err_set(&v->err, r, "the text is too large") : 0;
}

static int metrics(struct f3_verb *v)
{
	struct f3_buf text;

	f3_buf_init(&text, TEXT_MAX);
	f3_metrics_render(&text);
	return put_text(v, "text", &text);
}

/* ---- config, log-level, journal -------------------------------------------------------------- */

static int config(struct f3_verb *v)
{
	json_t *json = NULL;
	struct f3_buf text;

	f3_buf_init(&text, TEXT_MAX);
	f3_conf_print(v->core->conf, true, &text);
	if (!text.error)
		json = json_loadb((const char *)text.data, text.len, 0, NULL);
	if (!json) {
		f3_buf_done(&text);
		return f3_err_set(&v->err, -ENOMEM, "out of memory");
	}
	json_object_set_new(v->answer, "config", json);
	f3_buf_reset(&text);
	f3_conf_print(v->core->conf, false, &text);
	return put_text(v, "text", &text);
}

static int log_level(struct f3_verb *v)
{
	enum f3_log_level level = f3_log_get_level(), was = level;
	const char *name;

	if (json_object_get(v->request, "level")) {
		int r = f3_verb_text(v, "level", &name);

		if (r)
			return r;
		if (f3_log_level_parse(name, &level))
			return f3_err_set(&v->err, -EINVAL,
					  "\"%.32s\" is no level: error, warn, info or debug",
					  name);
		f3_log_set_level(level);
		if (level != was)
			f3_log_info("log level: %s, was %s", f3_log_level_name(level),
				    f3_log_level_name(was));
	}
	json_object_set_new(v->answer, "level", json_string(f3_log_level_name(level)));
	json_object_set_new(v->answer, "was", json_string(f3_log_level_name(was)));
	return 0;
}

#define JOURNAL_MAX 1000

static int add_entry(void *arg, const struct f3_journal_entry *e)
{
	json_t *items = arg, *item;

	if (json_array_size(items) == JOURNAL_MAX)
		return 1;
	item = json_pack("{sI ss sI sI sI sI sf}", "seq", (json_int_t)e->seq, "type",
			 f3_journal_type_name(e->type), "volume", (json_int_t)e->volume, "ino",
			 (json_int_t)e->ino, "generation", (json_int_t)e->generation, "attempt",
			 (json_int_t)e->attempt, "age_s", age_s(e->since_ns));
	if (!item)
		return -ENOMEM;
	f3_wire_set_name(item, "key", e->key, strlen(e->key));
	f3_wire_set_name(item, "key2", e->key2, strlen(e->key2));
	return json_array_append_new(items, item) ? -ENOMEM : 0;
}

/* The oldest entries; collected first, because sending may wait and a scan should not. */
static int journal(struct f3_verb *v)
{
	json_t *items = json_array();
	int r = f3_meta_each_journal(v->core->meta, add_entry, items);

	json_object_set_new(v->answer, "truncated", json_boolean(r == 1));
	json_object_set_new(v->answer, "items", items);
	return r == 1 ? 0 : r;
}

const struct f3_verb_entry f3_verbs_status[] = {
	{ "status", status },       { "mount", mount_ },    { "stats", stats },
	{ "profile", profile },     { "metrics", metrics }, { "config", config },
	{ "log-level", log_level }, { "journal", journal }, { NULL, NULL },
};
