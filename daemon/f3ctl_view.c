/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX (256u << 10)

static int read_only, pid;
static char *namespace_, *container;

const struct poptOption f3ctl_view_options[] = {
	{ "ro", 'r', POPT_ARG_NONE, &read_only, 0, "bind: nothing can be changed through it",
	  NULL },
	{ "namespace", 'n', POPT_ARG_STRING, &namespace_, 0,
	  "bind: as the platform would for this namespace, which the volume has to allow", "NAME" },
	{ "container", 'c', POPT_ARG_STRING, &container, 0, "bind: what its container is called",
	  "ID" },
	{ "pid", 'p', POPT_ARG_INT, &pid, 0, "bind: a process in its container", "PID" },
	POPT_TABLEEND,
};

/* ---- list ------------------------------------------------------------------------------------ */

static void add_place(struct f3ctl_table *t, const json_t *v)
{
	struct f3_buf b;

	f3_buf_init(&b, TEXT_BYTES_MAX);
	f3ctl_text(v, "volume", &b);
	f3_buf_put_u8(&b, ':');
	f3ctl_text(v, "path", &b);
	f3ctl_table_cell_buf(t, &b);
	f3_buf_done(&b);
}

static void add_row(struct f3ctl_table *t, const json_t *v)
{
	static const char *const keys[] = { "view", NULL, "mode", "namespace", "state", "reason" };
	struct f3_buf b;

	f3_buf_init(&b, TEXT_BYTES_MAX);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!keys[i]) {
			add_place(t, v);
			continue;
		}
		f3ctl_text(v, keys[i], &b);
		f3ctl_table_cell_buf(t, &b);
	}
	f3_buf_done(&b);
}

static int list(struct f3ctl *ctl)
{
	static const char *const headings[] = { "VIEW",  "SHOWS", "MODE", "NAMESPACE",
						"STATE", "WHY",   NULL };
	json_t *answer = NULL, *v;
	struct f3ctl_table t;
	size_t i;
	int code = f3ctl_ask(ctl, f3ctl_request("view-list"), NULL, NULL, &answer);

	if (code)
		return code;
	if (ctl->json) {
		f3ctl_print_json(answer);
	} else {
		f3ctl_table_init(&t, headings);
		json_array_foreach(json_object_get(answer, "views"), i, v) add_row(&t, v);
		f3ctl_table_print(&t, true);
		f3ctl_table_done(&t);
	}
	json_decref(answer);
	return F3CTL_OK;
}

/* ---- bind, unbind ---------------------------------------------------------------------------- */

static int finish(struct f3ctl *ctl, json_t *request, json_t **ret_answer)
{
	int code = f3ctl_ask(ctl, request, NULL, NULL, ret_answer);

	if (!code && ctl->json)
		f3ctl_print_json(*ret_answer);
	return code;
}

static int bind_(struct f3ctl *ctl, int argc, const char *const *argv)
{
	json_t *request, *who, *answer = NULL;
	struct f3_buf b;
	int code;

	if (argc != 2)
		return f3ctl_usage(ctl, "a name and VOLUME:/PATH, or a directory of the mount, are "
					"wanted");
	request = f3ctl_request("view-bind");
	json_object_set_new(request, "view", json_string(argv[0]));
	json_object_set_new(request, "mode", json_string(read_only ? "ro" : "rw"));
	if (namespace_)
		json_object_set_new(request, "namespace", json_string(namespace_));
	if (container || pid) {
		who = json_object();
		if (container)
			json_object_set_new(who, "id", json_string(container));
		if (pid)
			json_object_set_new(who, "pid", json_integer(pid));
		json_object_set_new(request, "container", who);
	}
	code = f3ctl_place(ctl, argv[1], request);
	if (code) {
		json_decref(request);
		return code;
	}
	code = finish(ctl, request, &answer);
	if (!code && !ctl->json) {
		f3_buf_init(&b, TEXT_BYTES_MAX);
		f3ctl_text(answer, "directory", &b);
		printf("%.*s\n", (int)b.len, (const char *)b.data);
		f3_buf_done(&b);
	}
	json_decref(answer);
	return code;
}

static int unbind(struct f3ctl *ctl, int argc, const char *const *argv)
{
	int code = argc ? F3CTL_OK : f3ctl_usage(ctl, "names of views are wanted");

	for (int i = 0; i < argc; i++) {
		json_t *request = f3ctl_request("view-unbind"), *answer = NULL;
		int one;

		json_object_set_new(request, "view", json_string(argv[i]));
		one = finish(ctl, request, &answer);
		if (!one && !json_is_true(json_object_get(answer, "was_bound")))
			one = f3ctl_fail(ctl, "there is no view %s", argv[i]);
		json_decref(answer);
		if (one)
			code = one;
	}
	return code;
}

int f3ctl_view(struct f3ctl *ctl, int argc, const char *const *argv)
{
	const char *what = argc ? argv[0] : "";
	int code;

	if ((read_only || namespace_ || container || pid) && strcmp(what, "bind") != 0)
		code = f3ctl_usage(ctl, "these options are for bind only");
	else if (!strcmp(what, "list"))
		code = argc == 1 ? list(ctl) : f3ctl_usage(ctl, "list takes no arguments");
	else if (!strcmp(what, "bind"))
		code = bind_(ctl, argc - 1, argv + 1);
	else if (!strcmp(what, "unbind"))
		code = unbind(ctl, argc - 1, argv + 1);
	else
		code = f3ctl_usage(ctl, "bind, unbind or list is wanted");
	free(namespace_);
	free(container);
	return code;
}
