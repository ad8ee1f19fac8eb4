/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <inttypes.h>
#include <string.h>

#define TEXT_BYTES_MAX (256u << 10)

static int purge;

const struct poptOption f3ctl_volume_options[] = {
	{ "purge", '\0', POPT_ARG_NONE, &purge, 0,
	  "remove: also the files that are only here (memory, ephemeral)", NULL },
	POPT_TABLEEND,
};

/* ---- list ------------------------------------------------------------------------------------ */

static void add_row(struct f3ctl_table *t, const json_t *v)
{
	struct f3_buf b;

	f3_buf_init(&b, TEXT_BYTES_MAX);
	f3ctl_text(v, "name", &b);
	f3ctl_table_cell_buf(t, &b);
	f3ctl_text(v, "default_class", &b);
	f3ctl_table_cell_buf(t, &b);
	f3ctl_bytes(v, "used_bytes", &b);
	f3ctl_table_cell_buf(t, &b);
	if (f3ctl_u64(v, "quota_bytes"))
		f3ctl_bytes(v, "quota_bytes", &b);
	else
		f3_buf_printf(&b, "-");
	f3ctl_table_cell_buf(t, &b);
	f3ctl_bytes(v, "left_bytes", &b);
	f3ctl_table_cell_buf(t, &b);
	f3ctl_text(v, "used_inodes", &b);
	f3ctl_table_cell_buf(t, &b);
	f3ctl_text(json_object_get(v, "backing"), "filesystem", &b);
	f3ctl_table_cell_buf(t, &b);
	f3ctl_table_cell(t, json_is_true(json_object_get(v, "by_command")) ? "f3ctl" :
			    json_is_true(json_object_get(v, "configured")) ? "config" :
									     "before");
	f3ctl_text(v, "url", &b);
	if (!b.len)
		f3_buf_printf(&b, "-");
	if (json_is_true(json_object_get(v, "read_only")))
		f3_buf_printf(&b, " (read-only)");
	f3ctl_table_cell_buf(t, &b);
	f3_buf_done(&b);
}

static int list(struct f3ctl *ctl)
{
	static const char *const headings[] = { "VOLUME", "CLASS", ">USED", ">QUOTA", ">LEFT",
						">FILES", "DISK",  "FROM",  "STORE",  NULL };
	json_t *answer = NULL, *v;
	struct f3ctl_table t;
	size_t i;
	int code = f3ctl_ask(ctl, f3ctl_request("volume-list"), NULL, NULL, &answer);

	if (code)
		return code;
	if (ctl->json) {
		f3ctl_print_json(answer);
	} else {
		f3ctl_table_init(&t, headings);
		json_array_foreach(json_object_get(answer, "volumes"), i, v) add_row(&t, v);
		f3ctl_table_print(&t, true);
		f3ctl_table_done(&t);
	}
	json_decref(answer);
	return F3CTL_OK;
}

/* ---- add, remove ----------------------------------------------------------------------------- */

static int finish(struct f3ctl *ctl, json_t *request)
{
	json_t *answer = NULL;
	int code = f3ctl_ask(ctl, request, NULL, NULL, &answer);

	if (!code && ctl->json)
		f3ctl_print_json(answer);
	json_decref(answer);
	return code;
}

/* NAME [URL] [KEY=VALUE...]: only a URL has "://" before any '='. */
static int add(struct f3ctl *ctl, int argc, const char *const *argv)
{
	json_t *request, *settings;
	int i = 1;

	if (!argc)
		return f3ctl_usage(ctl, "a name is wanted");
	request = f3ctl_request("volume-add");
	settings = json_array();
	json_object_set_new(request, "name", json_string(argv[0]));
	if (argc > 1 && strstr(argv[1], "://") &&
	    strcspn(argv[1], "=") > (size_t)(strstr(argv[1], "://") - argv[1]))
		json_object_set_new(request, "url", json_string(argv[i++]));
	for (; i < argc; i++) {
		if (!strchr(argv[i], '=')) {
			json_decref(request);
			json_decref(settings);
			return f3ctl_usage(ctl, "\"%s\" is neither a URL nor KEY=VALUE", argv[i]);
		}
		json_array_append_new(settings, json_string(argv[i]));
	}
	json_object_set_new(request, "settings", settings);
	return finish(ctl, request);
}

static int remove_(struct f3ctl *ctl, int argc, const char *const *argv)
{
	json_t *request;

	if (argc != 1)
		return f3ctl_usage(ctl, "one name is wanted");
	request = f3ctl_request("volume-remove");
	f3_wire_set_name(request, "name", argv[0], strlen(argv[0]));
	if (purge)
		json_object_set_new(request, "purge", json_true());
	return finish(ctl, request);
}

int f3ctl_volume(struct f3ctl *ctl, int argc, const char *const *argv)
{
	const char *what = argc ? argv[0] : "";

	if (purge && strcmp(what, "remove") != 0)
		return f3ctl_usage(ctl, "--purge: only with remove");
	if (!strcmp(what, "list"))
		return argc == 1 ? list(ctl) : f3ctl_usage(ctl, "list takes no arguments");
	if (!strcmp(what, "add"))
		return add(ctl, argc - 1, argv + 1);
	if (!strcmp(what, "remove"))
		return remove_(ctl, argc - 1, argv + 1);
	return f3ctl_usage(ctl, "list, add or remove is wanted");
}
