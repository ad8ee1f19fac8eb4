/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_change: what changes the daemon itself: upgrade, reload.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "daemon/verb.h"
#include "fs/base/conf.h"

/* "binary": absolute, or empty: the program f3d was started as. Answered only when nothing comes of
 * it: else this process ends. */
static int upgrade(struct f3_verb *v)
{
	const char *binary;
	int r = f3_verb_text(v, "binary", &binary);

	if (r)
		return r;
	if (!v->root)
		return f3_err_set(&v->err, -EPERM,
				  "only root decides what program serves the mount");
	if (*binary && *binary != '/')
		return f3_err_set(&v->err, -EINVAL, "the program's path has to be absolute");
	return f3_worker_upgrade(v->worker, binary, F3_META_FORMAT, &v->err);
}

static void put_name(json_t *object, const char *key, const char *text)
{
	if (text)
		f3_wire_set_name(object, key, text, strlen(text));
	else
		json_object_set_new(object, key, json_null());
}

static void add_difference(void *arg, const struct f3_conf_difference *d)
{
	static const char *const counts[] = {
		[F3_CHANGE_UPGRADE] = "upgrade",
		[F3_CHANGE_START] = "start",
		[F3_CHANGE_LIVE] = "now",
	};
	json_t *one = json_object();

	put_name(one, "section", d->section);
	put_name(one, "name", d->inst);
	put_name(one, "key", d->key);
	put_name(one, "was", d->was);
	put_name(one, "now", d->now);
	json_object_set_new(one, "counts", json_string(counts[d->change]));
	json_array_append_new(arg, one);
}

static int reload(struct f3_verb *v)
{
	json_t *changes = json_array();

	json_object_set_new(v->answer, "changes", changes);
	return v->worker->reload(v->worker->arg, add_difference, changes, &v->err);
}

const struct f3_verb_entry f3_verbs_change[] = {
	{ "upgrade", upgrade },
	{ "reload", reload },
	{ NULL, NULL },
};
