/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3ctl trace: working sets of actions: what they read that was not here.
 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX (256u << 10)

static char *namespace_, *version;
static char **inputs;

const struct poptOption f3ctl_trace_options[] = {
	{ "namespace", 'N', POPT_ARG_STRING, &namespace_, 0, "only of this namespace", "NAME" },
	{ "version", 'V', POPT_ARG_STRING, &version, 0, "only of this version", "VERSION" },
	{ "input", 'i', POPT_ARG_ARGV, &inputs, 0,
	  "replay: a path in DIRECTORY that stands for an input; repeatable, in order", "PATH" },
	POPT_TABLEEND,
};

static json_t *request_for(const char *op, const char *action)
{
	json_t *request = f3ctl_request(op);

	if (action)
		json_object_set_new(request, "action", json_string(action));
	if (namespace_)
		json_object_set_new(request, "namespace", json_string(namespace_));
	if (version)
		json_object_set_new(request, "version", json_string(version));
	return request;
}

static void cell(struct f3ctl_table *t, const json_t *one, const char *key)
{
	struct f3_buf b;

	f3_buf_init(&b, TEXT_BYTES_MAX);
	f3ctl_text(one, key, &b);
	f3ctl_table_cell_buf(t, &b);
	f3_buf_done(&b);
}

static void cell_bytes(struct f3ctl_table *t, const json_t *one, const char *key)
{
	struct f3_buf b;

	f3_buf_init(&b, TEXT_BYTES_MAX);
	f3ctl_bytes(one, key, &b);
	f3ctl_table_cell_buf(t, &b);
	f3_buf_done(&b);
}

static int show_all(struct f3ctl *ctl)
{
	static const char *const headings[] = { "NAMESPACE", "ACTION",    "VERSION",
						">FILES",    ">RANGES",   ">SIZE",
						"USED",      "RECORDING", NULL };
	json_t *answer = NULL, *one;
	struct f3ctl_table t;
	size_t i;
	int code = f3ctl_ask(ctl, request_for("trace-list", NULL), NULL, NULL, &answer);

	if (code)
		return code;
	if (ctl->json) {
		f3ctl_print_json(answer);
	} else {
		f3ctl_table_init(&t, headings);
		json_array_foreach(json_object_get(answer, "sets"), i, one)
		{
			cell(&t, one, "namespace");
			cell(&t, one, "action");
			cell(&t, one, "version");
			cell(&t, one, "files");
			cell(&t, one, "ranges");
			cell_bytes(&t, one, "bytes");
			cell(&t, one, "used");
			f3ctl_table_cell(
				&t, json_is_true(json_object_get(one, "recording")) ? "on" : "off");
		}
		f3ctl_table_print(&t, true);
		f3ctl_table_done(&t);
	}
	json_decref(answer);
	return F3CTL_OK;
}

/* ---- One set --------------------------------------------------------------------------------- */

struct showing {
	struct f3ctl *ctl;
	struct f3ctl_table t;
};

/* "{0}/x": below the first input. */
static void cell_path(struct f3ctl_table *t, const json_t *file)
{
	const json_t *input = json_object_get(file, "input");
	struct f3_buf b;

	f3_buf_init(&b, TEXT_BYTES_MAX);
	if (json_is_integer(input))
		f3_buf_printf(&b, "{%d}", (int)json_integer_value(input));
	if (json_string_length(json_object_get(file, "path")) || !json_is_integer(input))
		f3ctl_text(file, "path", &b);
	f3ctl_table_cell_buf(t, &b);
	f3_buf_done(&b);
}

static int show_file(void *arg, const char *key, json_t *value)
{
	struct showing *s = arg;
	json_t *ranges = json_object_get(value, "ranges"), *pair;
	char text[32];
	size_t i;

	(void)key;
	if (s->ctl->json) {
		json_t *line = json_pack("{sO}", "item", value);

		f3ctl_print_json(line);
		json_decref(line);
		return 0;
	}
	if (json_is_true(json_object_get(value, "whole"))) {
		cell_path(&s->t, value);
		f3ctl_table_cell(&s->t, "0");
		cell(&s->t, value, "size");
		return 0;
	}
	json_array_foreach(ranges, i, pair)
	{
		cell_path(&s->t, value);
		for (size_t k = 0; k < 2; k++) {
			snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT,
				 json_integer_value(json_array_get(pair, k)));
			f3ctl_table_cell(&s->t, text);
		}
	}
	return 0;
}

static int show_one(struct f3ctl *ctl, const char *action)
{
	static const char *const headings[] = { "PATH", ">OFFSET", ">BYTES", NULL };
	struct showing s = { .ctl = ctl };
	json_t *answer = NULL;
	int code;

	f3ctl_table_init(&s.t, headings);
	code = f3ctl_ask(ctl, request_for("trace-show", action), show_file, &s, &answer);
	if (!code && ctl->json)
		f3ctl_print_json(answer);
	else if (!code)
		f3ctl_table_print(&s.t, true);
	f3ctl_table_done(&s.t);
	json_decref(answer);
	return code;
}

/* ---- The others ------------------------------------------------------------------------------ */

static int finish(struct f3ctl *ctl, json_t *request)
{
	json_t *answer = NULL;
	int code = f3ctl_ask(ctl, request, NULL, NULL, &answer);

	if (!code && ctl->json)
		f3ctl_print_json(answer);
	json_decref(answer);
	return code;
}

static int record(struct f3ctl *ctl, const char *action, const char *how)
{
	json_t *request;

	if (strcmp(how, "on") != 0 && strcmp(how, "off") != 0)
		return f3ctl_usage(ctl, "record ACTION on or off is wanted");
	request = request_for("trace-record", action);
	json_object_set_new(request, "on", json_boolean(!strcmp(how, "on")));
	return finish(ctl, request);
}

static int take_progress(void *arg, const char *key, json_t *value)
{
	if (!strcmp(key, "progress"))
		f3ctl_progress_show(arg, value);
	return 0;
}

static int replay(struct f3ctl *ctl, const char *action, const char *directory)
{
	json_t *request = request_for("trace-replay", action), *answer = NULL, *list = json_array();
	struct f3ctl_progress progress;
	struct f3_buf bytes;
	int code;

	f3ctl_progress_init(&progress, ctl);
	for (char **at = inputs; at && *at; at++)
		json_array_append_new(list, json_string(*at));
	json_object_set_new(request, "inputs", list);
	if (progress.on)
		json_object_set_new(request, "progress", json_true());
	code = f3ctl_place(ctl, directory, request);
	if (code) {
		json_decref(request);
		return code;
	}
	code = f3ctl_ask(ctl, request, take_progress, &progress, &answer);
	f3ctl_progress_clear(&progress);
	if (!code && ctl->json) {
		f3ctl_print_json(answer);
	} else if (!code) {
		f3_buf_init(&bytes, 64);
		f3ctl_bytes(answer, "bytes", &bytes);
		printf("%" PRIu64 " files looked at, %.*s fetched", f3ctl_u64(answer, "files"),
		       (int)bytes.len, (const char *)bytes.data);
		if (f3ctl_u64(answer, "missing"))
			printf(", %" PRIu64 " not there", f3ctl_u64(answer, "missing"));
		putchar('\n');
		f3_buf_done(&bytes);
	}
	json_decref(answer);
	return code;
}

static int run(struct f3ctl *ctl, int argc, const char *const *argv)
{
	const char *what = argc ? argv[0] : "";

	if (inputs && strcmp(what, "replay") != 0)
		return f3ctl_usage(ctl, "--input: only with replay");
	if (!strcmp(what, "show"))
		return argc == 1 ? show_all(ctl) :
		       argc == 2 ? show_one(ctl, argv[1]) :
				   f3ctl_usage(ctl, "show takes one action");
	if (!strcmp(what, "record"))
		return argc == 3 ? record(ctl, argv[1], argv[2]) :
				   f3ctl_usage(ctl, "record ACTION on or off is wanted");
	if (!strcmp(what, "replay"))
		return argc == 3 ? replay(ctl, argv[1], argv[2]) :
				   f3ctl_usage(ctl, "replay ACTION DIRECTORY is wanted");
	if (!strcmp(what, "forget"))
		return argc == 2 ? finish(ctl, request_for("trace-forget", argv[1])) :
				   f3ctl_usage(ctl, "forget ACTION is wanted");
	return f3ctl_usage(ctl, "show, record, replay or forget is wanted");
}

int f3ctl_trace(struct f3ctl *ctl, int argc, const char *const *argv)
{
	int code = run(ctl, argc, argv);

	free(namespace_);
	free(version);
	for (char **at = inputs; at && *at; at++)
		free(*at);
	free(inputs);
	return code;
}
