/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_volume: volume-list, volume-add, volume-remove.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/verb.h"
#include "fs/base/log.h"
#include "fs/core/evict.h"
#include "fs/core/volume.h"

#define SETTINGS_MAX 4095u

static json_t *count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

/* ---- list ------------------------------------------------------------------------------------ */

struct list {
	struct f3_verb *v;
	json_t *volumes;
};

static json_t *caps_json(const struct f3_backing_caps *caps)
{
	return json_pack("{ss sb sb sb}", "filesystem", caps->fs_name, "reflink", caps->reflink,
			 "punch_hole", caps->punch_hole, "leases", caps->leases);
}

static json_t *store_json(const struct f3_object_store *store)
{
	const struct f3_obj_caps *caps = &store->caps;

	return json_pack("{sb sb sb sb sb sb sb sb sb sb sb sb sb sb sb}", "reached", !store->unmet,
			 "read_only", store->read_only, "put_match", caps->put_match, "put_absent",
			 caps->put_absent, "complete_match", caps->complete_match,
			 "complete_absent", caps->complete_absent, "delete_match",
			 caps->delete_match, "copy_source_match", caps->copy_source_match,
			 "copy_target_absent", caps->copy_target_absent, "set_attr_match",
			 caps->set_attr_match, "range_part_copy", caps->range_part_copy,
			 "part_copy_match", caps->part_copy_match, "list_has_attr",
			 caps->list_has_attr, "rename", caps->rename, "xattrs", caps->xattrs);
}

static json_t *namespaces_json(const char *at)
{
	json_t *all = json_array();

	while (*at) {
		size_t len = strcspn(at, "\n");

		json_array_append_new(all, json_stringn(at, len));
		at += len + 1;
	}
	return all;
}

static void add_one(void *arg, struct f3_volume *v)
{
	struct list *list = arg;
	json_t *volume = json_object();

	f3_wire_set_name(volume, "name", v->name, strlen(v->name));
	f3_wire_set_name(volume, "url", v->url, strlen(v->url));
	json_object_set_new(volume, "id", count(v->id));
	json_object_set_new(volume, "default_class", json_string(f3_class_name(v->placement.dflt)));
	json_object_set_new(volume, "rules", count(v->placement.n_rules));
	json_object_set_new(volume, "used_bytes", count(v->used_bytes));
	json_object_set_new(volume, "used_inodes", count(v->used_inodes));
	json_object_set_new(volume, "quota_bytes", count(v->quota_bytes));
	json_object_set_new(volume, "quota_inodes", count(v->quota_inodes));
	json_object_set_new(volume, "left_bytes",
			    count(f3_volume_left(list->v->core, v, f3_volume_place(v),
						 f3_evict_evictable(list->v->core))));
	json_object_set_new(volume, "dirty_bytes", count(v->dirty_bytes));
	json_object_set_new(volume, "read_only", json_boolean(v->read_only));
	json_object_set_new(volume, "namespaces", namespaces_json(v->namespaces));
	json_object_set_new(volume, "by_command", json_boolean(v->by_command));
	json_object_set_new(volume, "configured",
			    json_boolean(f3_volume_configured(list->v->core, v->name)));
	json_object_set_new(volume, "backing", caps_json(f3_backing_caps(v->disk)));
	json_object_set_new(volume, "store", v->store ? store_json(v->store) : json_null());
	json_array_append_new(list->volumes, volume);
}

static int list(struct f3_verb *v)
{
	struct list all = { .v = v, .volumes = json_array() };

	f3_volume_each(v->core, add_one, &all);
	json_object_set_new(v->answer, "volumes", all.volumes);
	return 0;
}

/* ---- add ------------------------------------------------------------------------------------- */

/* A configuration of what runs and the new volume, to be checked as a whole: names, classes
 * against URLs, directories that lie in each other. */
struct probe {
	struct f3_conf *conf;
	struct f3_err *err;
	int r;
};

static void probe_volume(void *arg, struct f3_volume *v)
{
	struct probe *p = arg;

	if (!p->r)
		p->r = f3_conf_add_volume(p->conf, v->name, v->url[0] ? v->url : NULL, "running",
					  p->err);
}

static int probe_paths(struct probe *p, const struct f3_conf *running)
{
	static const char *const keys[] = { "mountpoint", "cache" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !p->r; i++)
		p->r = f3_conf_set(p->conf, keys[i], f3_conf_str(running, "f3", NULL, keys[i]),
				   "running", p->err);
	return p->r;
}

/* "KEY=VALUE" into the probe and into the settings. */
static int take_setting(struct probe *p, const char *name, const char *setting,
			struct f3_buf *settings)
{
	const char *eq = strchr(setting, '=');
	struct f3_buf key;
	int r;

	if (!eq || strchr(setting, '\n'))
		return f3_err_set(p->err, -EINVAL, "\"%.100s\" is no setting: KEY=VALUE", setting);
	f3_buf_init(&key, 1024);
	f3_buf_printf(&key, "volume.%s.%.*s", name, (int)(eq - setting), setting);
	r = key.error ?
		    f3_err_set(p->err, key.error, "a setting is too long") :
		    f3_conf_set(p->conf, (const char *)key.data, eq + 1, "command line", p->err);
	f3_buf_done(&key);
	if (!r)
		f3_buf_printf(settings, "%s\n", setting);
	if (settings->error)
		return f3_err_set(p->err, -E2BIG, "too many settings");
	return r;
}

static int check_new(struct f3_verb *v, const char *name, const char *url, struct f3_buf *settings)
{
	struct probe p = { .err = &v->err };
	const json_t *list_ = json_object_get(v->request, "settings"), *one;
	size_t i;

	p.r = f3_conf_new(&p.conf);
	if (p.r)
		return f3_err_set(&v->err, p.r, "out of memory");
	f3_volume_each(v->core, probe_volume, &p);
	if (!p.r)
		p.r = probe_paths(&p, v->core->conf);
	if (!p.r)
		p.r = f3_conf_add_volume(p.conf, name, url, "command line", &v->err);
	json_array_foreach(list_, i, one)
	{
		if (!p.r && !json_is_string(one))
			p.r = f3_err_set(&v->err, -EINVAL, "a setting is a string KEY=VALUE");
		if (!p.r)
			p.r = take_setting(&p, name, json_string_value(one), settings);
	}
	if (!p.r)
		p.r = f3_conf_check(p.conf, &v->err);
	f3_conf_free(p.conf);
	return p.r;
}

static int add(struct f3_verb *v)
{
	const char *name, *url = json_string_value(json_object_get(v->request, "url"));
	struct f3_volume *there;
	struct f3_buf settings;
	int r = f3_verb_text(v, "name", &name);

	if (r)
		return r;
	there = f3_volume_find(v->core, name);
	if (there) {
		f3_volume_put(there);
		return f3_err_set(&v->err, -EEXIST, "there is a volume %s already", name);
	}
	f3_buf_init(&settings, SETTINGS_MAX);
	f3_buf_printf(&settings, "%s", "");
	r = check_new(v, name, url, &settings);
	if (!r)
		r = f3_volume_add(v->core, name, url, (const char *)settings.data, &v->err);
	if (!r)
		f3_log_info("volume %s added by f3ctl, url \"%s\"", name, url ? url : "");
	f3_buf_done(&settings);
	return r;
}

/* ---- remove ---------------------------------------------------------------------------------- */

static int remove_(struct f3_verb *v)
{
	bool purge = f3_verb_flag(v, "purge");
	char view[F3_NAME_MAX + 1];
	struct f3_buf name;
	int r;

	f3_buf_init(&name, F3_NAME_MAX + 1);
	r = f3_wire_get_name(v->request, "name", &name);
	f3_buf_put_u8(&name, 0);
	if (r || name.error) {
		r = f3_err_set(&v->err, -EINVAL, "\"name\" is missing, or is no name");
	} else if (f3_views_of_volume(v->views, (const char *)name.data, view)) {
		r = f3_err_set(&v->err, -EBUSY, "view %s shows it: f3ctl view unbind %s", view,
			       view);
	} else {
		r = f3_volume_remove(v->core, (const char *)name.data, purge, &v->err);
		if (!r)
			f3_log_info("volume %s removed by f3ctl%s", (const char *)name.data,
				    purge ? ", with its local files" : "");
	}
	f3_buf_done(&name);
	return r;
}

const struct f3_verb_entry f3_verbs_volume[] = {
	{ "volume-list", list },
	{ "volume-add", add },
	{ "volume-remove", remove_ },
	{ NULL, NULL },
};
