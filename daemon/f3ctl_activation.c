/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3ctl activation, f3ctl top.
 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_BYTES_MAX (64u << 10)

static int running, count, interval = 1;

const struct poptOption f3ctl_activation_options[] = {
	{ "running", 'r', POPT_ARG_NONE, &running, 0, "list: only those that have not ended",
	  NULL },
	POPT_TABLEEND,
};

const struct poptOption f3ctl_top_options[] = {
	{ "interval", 'i', POPT_ARG_INT, &interval, 0, "between two looks (default 1)", "SECONDS" },
	{ "count", 'n', POPT_ARG_INT, &count, 0, "so many looks; without it until interrupted",
	  "N" },
	POPT_TABLEEND,
};

static uint64_t sum(const json_t *object)
{
	uint64_t total = 0;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		total += json_is_object(value) ? sum(value) : (uint64_t)json_integer_value(value);
	}
	return total;
}

static void cell(struct f3ctl_table *t, const json_t *one, const char *key)
{
	struct f3_buf b;

	f3_buf_init(&b, TEXT_BYTES_MAX);
	f3ctl_text(one, key, &b);
	f3ctl_table_cell_buf(t, &b);
	f3_buf_done(&b);
}

static void put_bytes(uint64_t n, struct f3_buf *out)
{
	json_t *holder = json_pack("{sI}", "n", (json_int_t)n);

	f3ctl_bytes(holder, "n", out);
	json_decref(holder);
}

static void cell_bytes(struct f3ctl_table *t, uint64_t n)
{
	struct f3_buf b;

	f3_buf_init(&b, 64);
	put_bytes(n, &b);
	f3ctl_table_cell_buf(t, &b);
	f3_buf_done(&b);
}

static void cell_printf(struct f3ctl_table *t, const char *fmt, double v)
{
	char text[64];

	snprintf(text, sizeof(text), fmt, v);
	f3ctl_table_cell(t, text);
}

/* ---- activation list ------------------------------------------------------------------------- */

struct listing {
	struct f3ctl *ctl;
	struct f3ctl_table table;
	json_t *all; /* of top; NULL: printed as they come */
};

static int list_one(void *arg, const char *key, json_t *one)
{
	struct listing *l = arg;

	if (strcmp(key, "item") != 0)
		return 0;
	if (l->all) {
		json_array_append(l->all, one);
		return 0;
	}
	if (l->ctl->json) {
		f3ctl_print_json(one);
		return 0;
	}
	cell(&l->table, one, "activation");
	cell(&l->table, one, "action");
	cell(&l->table, one, "state");
	cell(&l->table, one, "begun");
	cell_printf(&l->table, "%.3f", json_number_value(json_object_get(one, "seconds")));
	cell(&l->table, one, "operations");
	cell_bytes(&l->table, sum(json_object_get(one, "read_bytes")));
	cell_bytes(&l->table, sum(json_object_get(one, "written_bytes")));
	cell_printf(&l->table, "%.3f", json_number_value(json_object_get(one, "waited_seconds")));
	return 0;
}

static int list(struct f3ctl *ctl)
{
	static const char *const headings[] = { "ACTIVATION", "ACTION", "STATE", "BEGUN",
						">SECONDS",   ">OPS",   ">READ", ">WRITTEN",
						">WAITED",    NULL };
	struct listing l = { .ctl = ctl };
	json_t *request = f3ctl_request("activation-list"), *answer = NULL;
	int code;

	json_object_set_new(request, "running", json_boolean(running));
	f3ctl_table_init(&l.table, headings);
	code = f3ctl_ask(ctl, request, list_one, &l, &answer);
	if (!code && !ctl->json)
		f3ctl_table_print(&l.table, true);
	f3ctl_table_done(&l.table);
	json_decref(answer);
	return code;
}

/* ---- activation show ------------------------------------------------------------------------- */

static void line(const json_t *one, const char *name, const char *key)
{
	struct f3_buf b;

	if (!json_object_get(one, key) || json_is_null(json_object_get(one, key)))
		return;
	f3_buf_init(&b, TEXT_BYTES_MAX);
	f3ctl_text(one, key, &b);
	printf("%-12s %.*s\n", name, (int)b.len, (const char *)b.data);
	f3_buf_done(&b);
}

/* "12 MiB durable, 3 KiB ephemeral" */
static void put_classes(const json_t *classes, struct f3_buf *out)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)classes, key, value)
	{
		f3_buf_printf(out, "%s", out->len ? ", " : "");
		put_bytes((uint64_t)json_integer_value(value), out);
		f3_buf_printf(out, " %s", key);
	}
}

static void line_classes(const char *name, const json_t *classes)
{
	struct f3_buf b;

	if (!json_object_size(classes))
		return;
	f3_buf_init(&b, TEXT_BYTES_MAX);
	put_classes(classes, &b);
	printf("%-12s %.*s\n", name, (int)b.len, (const char *)b.data);
	f3_buf_done(&b);
}

static void show_opens(const json_t *opens)
{
	uint64_t passed = f3ctl_u64(opens, "passthrough"),
		 direct = f3ctl_u64(opens, "passthrough_direct"),
		 cached = f3ctl_u64(opens, "cached"), all = passed + direct + cached;

	printf("%-12s %" PRIu64, "opens", all);
	if (all)
		printf(": %.0f %% passed through, %.0f %% through the daemon (%" PRIu64
		       " of them direct)",
		       100.0 * (double)passed / (double)all,
		       100.0 * (double)(direct + cached) / (double)all, direct);
	putchar('\n');
}

static void show_one(const json_t *one)
{
	const json_t *read = json_object_get(one, "read_bytes"),
		     *store = json_object_get(one, "store");
	struct f3_buf b;

	line(one, "activation", "activation");
	line(one, "namespace", "namespace");
	line(one, "action", "action");
	line(one, "version", "version");
	line(one, "view", "view");
	line(one, "volume", "volume");
	line(one, "state", "state");
	line(one, "begun", "begun");
	line(one, "ended", "ended");
	printf("%-12s %.3f s\n", "took", json_number_value(json_object_get(one, "seconds")));
	if (json_is_true(json_object_get(one, "shared")))
		printf("%-12s another ran in its container: counts are not complete\n", "shared");
	printf("%-12s %" PRIu64 " in %.3f s, of it %.3f s waiting for storage; %" PRIu64
	       " failed\n",
	       "operations", f3ctl_u64(one, "operations"),
	       json_number_value(json_object_get(one, "operation_seconds")),
	       json_number_value(json_object_get(one, "waited_seconds")),
	       f3ctl_u64(one, "operations_failed"));
	printf("%-12s %" PRIu64 " made, %" PRIu64 " removed\n", "names", f3ctl_u64(one, "created"),
	       f3ctl_u64(one, "removed"));
	show_opens(json_object_get(one, "opens"));
	f3_buf_init(&b, 64);
	f3ctl_bytes(one, "native_bytes", &b);
	printf("%-12s %.*s in files read natively\n", "native", (int)b.len, (const char *)b.data);
	f3_buf_done(&b);
	line_classes("read here", json_object_get(read, "local"));
	line_classes("from stores", json_object_get(read, "object"));
	line_classes("of streams", json_object_get(read, "stream"));
	line_classes("written", json_object_get(one, "written_bytes"));
	f3_buf_init(&b, 256);
	f3_buf_printf(&b, "%" PRIu64 " reads of ", f3ctl_u64(store, "gets"));
	f3ctl_bytes(store, "get_bytes", &b);
	f3_buf_printf(&b, ", %" PRIu64 " writes of ", f3ctl_u64(store, "puts"));
	f3ctl_bytes(store, "put_bytes", &b);
	printf("%-12s %.*s\n", "stores", (int)b.len, (const char *)b.data);
	f3_buf_done(&b);
	if (json_number_value(json_object_get(one, "cost")) > 0)
		printf("%-12s %.6f\n", "cost", json_number_value(json_object_get(one, "cost")));
}

static int show(struct f3ctl *ctl, const char *id)
{
	json_t *request = f3ctl_request("activation-show"), *answer = NULL;
	int code;

	json_object_set_new(request, "id", json_string(id));
	code = f3ctl_ask(ctl, request, NULL, NULL, &answer);
	if (!code && ctl->json) {
		json_object_set(json_object_get(answer, "activation"), "begin",
				json_object_get(answer, "begin"));
		f3ctl_print_json(json_object_get(answer, "activation"));
	} else if (!code) {
		show_one(json_object_get(answer, "activation"));
	}
	json_decref(answer);
	return code;
}

int f3ctl_activation(struct f3ctl *ctl, int argc, const char *const *argv)
{
	const char *what = argc ? argv[0] : "";

	if (running && strcmp(what, "list") != 0)
		return f3ctl_usage(ctl, "--running: only with list");
	if (!strcmp(what, "list"))
		return argc == 1 ? list(ctl) : f3ctl_usage(ctl, "list takes no arguments");
	if (!strcmp(what, "show"))
		return argc == 2 ? show(ctl, argv[1]) :
				   f3ctl_usage(ctl, "one activation is wanted");
	return f3ctl_usage(ctl, "list or show is wanted");
}

/* ---- top ------------------------------------------------------------------------------------- */

static const json_t *same(const json_t *all, const json_t *one)
{
	const char *id = json_string_value(json_object_get(one, "activation"));
	json_t *other;
	size_t i;

	json_array_foreach(all, i, other)
	{
		const char *its = json_string_value(json_object_get(other, "activation"));

		if (id && its && !strcmp(id, its))
			return other;
	}
	return NULL;
}

struct row {
	const json_t *now;
	double ops, read, written, busy, waited; /* a second */
};

static double rate(double now, double before, double seconds)
{
	return now > before ? (now - before) / seconds : 0;
}

static double real(const json_t *one, const char *key)
{
	return one ? json_number_value(json_object_get(one, key)) : 0;
}

static void compare(const json_t *now, const json_t *before, double seconds, struct row *ret_row)
{
	*ret_row = (struct row){
		.now = now,
		.ops = rate(real(now, "operations"), real(before, "operations"), seconds),
		.read = rate((double)sum(json_object_get(now, "read_bytes")),
			     (double)sum(json_object_get(before, "read_bytes")), seconds),
		.written = rate((double)sum(json_object_get(now, "written_bytes")),
				(double)sum(json_object_get(before, "written_bytes")), seconds),
		.busy = rate(real(now, "operation_seconds"), real(before, "operation_seconds"),
			     seconds),
		.waited =
			rate(real(now, "waited_seconds"), real(before, "waited_seconds"), seconds),
	};
}

static int by_time(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->busy != y->busy)
		return x->busy < y->busy ? 1 : -1;
	return x->ops < y->ops ? 1 : x->ops > y->ops ? -1 : 0;
}

static void print_rows(struct f3ctl *ctl, const struct row *rows, size_t n)
{
	static const char *const headings[] = { "ACTIVATION", "ACTION",    ">OPS/S",   ">READ/S",
						">WRITTEN/S", ">IN CALLS", ">WAITING", NULL };
	struct f3ctl_table t;

	if (ctl->json) {
		for (size_t i = 0; i < n; i++) {
			json_t *line = json_pack(
				"{sO sO sf sf sf sf sf}", "activation",
				json_object_get(rows[i].now, "activation"), "action",
				json_object_get(rows[i].now, "action"), "operations_per_second",
				rows[i].ops, "read_bytes_per_second", rows[i].read,
				"written_bytes_per_second", rows[i].written, "in_calls",
				rows[i].busy, "waiting", rows[i].waited);

			f3ctl_print_json(line);
			json_decref(line);
		}
		return;
	}
	f3ctl_table_init(&t, headings);
	for (size_t i = 0; i < n; i++) {
		cell(&t, rows[i].now, "activation");
		cell(&t, rows[i].now, "action");
		cell_printf(&t, "%.0f", rows[i].ops);
		cell_bytes(&t, (uint64_t)rows[i].read);
		cell_bytes(&t, (uint64_t)rows[i].written);
		cell_printf(&t, "%.0f %%", 100 * rows[i].busy);
		cell_printf(&t, "%.0f %%", 100 * rows[i].waited);
	}
	if (ctl->out_tty)
		fputs("\033[H\033[J", stdout);
	f3ctl_table_print(&t, true);
	f3ctl_table_done(&t);
}

static int look(struct f3ctl *ctl, json_t **ret_all)
{
	struct listing l = { .ctl = ctl, .all = json_array() };
	json_t *request = f3ctl_request("activation-list"), *answer = NULL;
	int code;

	json_object_set_new(request, "running", json_true());
	code = f3ctl_ask(ctl, request, list_one, &l, &answer);
	json_decref(answer);
	if (code)
		json_decref(l.all);
	else
		*ret_all = l.all;
	return code;
}

int f3ctl_top(struct f3ctl *ctl, int argc, const char *const *argv)
{
	json_t *before = NULL, *now = NULL;
	int code;

	(void)argv;
	if (argc)
		return f3ctl_usage(ctl, "no arguments are taken");
	if (interval < 1)
		return f3ctl_usage(ctl, "--interval: a number of seconds is wanted");
	code = look(ctl, &before);
	for (int i = 0; !code && (!count || i < count); i++) {
		struct timespec pause = { .tv_sec = interval };
		struct row *rows;
		size_t n;

		while (nanosleep(&pause, &pause))
			;
		code = look(ctl, &now);
		if (code)
			break;
		n = json_array_size(now);
		rows = calloc(n + 1, sizeof(*rows));
		for (size_t k = 0; rows && k < n; k++) {
			const json_t *one = json_array_get(now, k);

			compare(one, same(before, one), interval, &rows[k]);
		}
		if (rows) {
			qsort(rows, n, sizeof(*rows), by_time);
			print_rows(ctl, rows, n);
			fflush(stdout);
		}
		free(rows);
		json_decref(before);
		before = now;
	}
	json_decref(before);
	return code;
}
