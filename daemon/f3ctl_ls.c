/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* So many rows are sorted and set together; the rest of a long listing comes as it is found. */
#define ROWS_MAX 10000u
#define PATH_BYTES_MAX (256u << 10)

static int recursive;

const struct poptOption f3ctl_ls_options[] = {
	{ "recursive", 'R', POPT_ARG_NONE, &recursive, 0, "everything below, with paths", NULL },
	POPT_TABLEEND,
};

static const char *const headings[] = { "CLASS", "STATE",    "PLACE", "STORE", ">SIZE",
					"PIN",   "MODIFIED", "NAME",  NULL };

struct listing {
	struct f3ctl *ctl;
	json_t *rows;
	bool headed;
};

static int compare(const void *a, const void *b)
{
	const json_t *one = *(json_t *const *)a, *two = *(json_t *const *)b;
	const char *p = json_string_value(json_object_get(one, "path"));
	const char *q = json_string_value(json_object_get(two, "path"));
	const char *v = json_string_value(json_object_get(one, "volume"));
	const char *w = json_string_value(json_object_get(two, "volume"));
	int r = strcmp(v ? v : "", w ? w : "");

	return r ? r : strcmp(p ? p : "", q ? q : "");
}

static void put_time(const json_t *item, struct f3_buf *out)
{
	time_t t = (time_t)json_number_value(json_object_get(item, "mtime"));
	char text[32];
	struct tm tm;

	if (localtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm))
		f3_buf_printf(out, "%s", text);
}

/* Everything for -R, else the last name of the path. */
static void put_name(struct f3ctl *ctl, const json_t *item, struct f3_buf *out)
{
	const char *type = json_string_value(json_object_get(item, "type")), *slash;
	struct f3_buf path;

	f3_buf_init(&path, PATH_BYTES_MAX);
	f3ctl_item_path(ctl, item, &path);
	f3_buf_put_u8(&path, 0);
	slash = path.error ? NULL : strrchr((const char *)path.data, '/');
	if (path.error)
		f3_buf_printf(out, "?");
	else
		f3_buf_printf(out, "%s", recursive || !slash ? (const char *)path.data : slash + 1);
	if (type && !strcmp(type, "directory"))
		f3_buf_put_u8(out, '/');
	f3_buf_done(&path);
}

static void add_row(struct f3ctl *ctl, struct f3ctl_table *t, const json_t *item)
{
	static const char *const keys[] = { "class", "state", "place", "in_store" };
	const char *type = json_string_value(json_object_get(item, "type"));
	bool file = type && !strcmp(type, "file");
	struct f3_buf cell;

	f3_buf_init(&cell, PATH_BYTES_MAX);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		f3ctl_text(item, keys[i], &cell);
		f3ctl_table_cell_buf(t, &cell);
	}
	if (file)
		f3ctl_bytes(item, "size", &cell);
	else
		f3ctl_text(item, "type", &cell);
	f3ctl_table_cell_buf(t, &cell);
	f3ctl_table_cell(t, json_is_true(json_object_get(item, "pinned")) ? "pin" : "");
	put_time(item, &cell);
	f3ctl_table_cell_buf(t, &cell);
	put_name(ctl, item, &cell);
	f3ctl_table_cell_buf(t, &cell);
	f3_buf_done(&cell);
}

static void print_rows(struct listing *l)
{
	size_t n = json_array_size(l->rows), i;
	json_t **rows = calloc(n + 1, sizeof(*rows)), *one;
	struct f3ctl_table t;

	f3ctl_table_init(&t, headings);
	json_array_foreach(l->rows, i, one)
	{
		if (rows)
			rows[i] = one;
	}
	if (rows) {
		qsort(rows, n, sizeof(*rows), compare);
		for (i = 0; i < n; i++)
			add_row(l->ctl, &t, rows[i]);
	}
	if (t.n)
		f3ctl_table_print(&t, !l->headed);
	l->headed = true;
	f3ctl_table_done(&t);
	free(rows);
	json_array_clear(l->rows);
	fflush(stdout);
}

static int take_line(void *arg, const char *key, json_t *value)
{
	struct listing *l = arg;
	struct f3_buf path;

	if (strcmp(key, "item") != 0)
		return 0;
	if (json_object_get(value, "error")) {
		f3_buf_init(&path, PATH_BYTES_MAX);
		f3ctl_item_path(l->ctl, value, &path);
		f3ctl_fail(l->ctl, "%.*s: %s", (int)path.len, (const char *)path.data,
			   json_string_value(json_object_get(value, "error")));
		f3_buf_done(&path);
	} else if (l->ctl->json) {
		f3ctl_print_json(value);
	} else {
		json_array_append(l->rows, value);
		if (json_array_size(l->rows) == ROWS_MAX)
			print_rows(l);
	}
	return 0;
}

static int list(struct f3ctl *ctl, const char *path)
{
	struct listing l = { .ctl = ctl, .rows = json_array() };
	json_t *request = f3ctl_request("ls"), *answer = NULL;
	int code;

	if (recursive)
		json_object_set_new(request, "recursive", json_true());
	code = f3ctl_place(ctl, path, request);
	if (code)
		json_decref(request);
	else
		code = f3ctl_ask(ctl, request, take_line, &l, &answer);
	if (!ctl->json)
		print_rows(&l);
	json_decref(answer);
	json_decref(l.rows);
	return code;
}

int f3ctl_ls(struct f3ctl *ctl, int argc, const char *const *argv)
{
	int code = F3CTL_OK;

	if (!argc)
		return list(ctl, ".");
	for (int i = 0; i < argc; i++) {
		int one = list(ctl, argv[i]);

		if (one)
			code = one;
		if (ctl->fd < 0)
			break;
	}
	return code;
}
