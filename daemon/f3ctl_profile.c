/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int count, interval = 1;

const struct poptOption f3ctl_profile_options[] = {
	{ "interval", 'i', POPT_ARG_INT, &interval, 0, "length of one (default 1)", "SECONDS" },
	{ "count", 'n', POPT_ARG_INT, &count, 0, "so many intervals; without it until interrupted",
	  "N" },
	POPT_TABLEEND,
};

/* One histogram over one interval. */
struct row {
	const char *name, *labels;
	uint64_t n, sum_ns;
	uint64_t buckets[64];
	size_t n_buckets;
};

static const json_t *same(const json_t *snapshot, const json_t *histogram)
{
	const char *name = json_string_value(json_object_get(histogram, "name"));
	const char *labels = json_string_value(json_object_get(histogram, "labels"));
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(snapshot, "histograms"), i, one)
	{
		const char *n = json_string_value(json_object_get(one, "name"));
		const char *l = json_string_value(json_object_get(one, "labels"));

		if (n && l && name && labels && !strcmp(n, name) && !strcmp(l, labels))
			return one;
	}
	return NULL;
}

static void subtract(const json_t *before, const json_t *now, struct row *row)
{
	const json_t *a = json_object_get(before, "buckets"), *b = json_object_get(now, "buckets");

	memset(row, 0, sizeof(*row));
	row->name = json_string_value(json_object_get(now, "name"));
	row->labels = json_string_value(json_object_get(now, "labels"));
	row->sum_ns = f3ctl_u64(now, "sum_ns") - f3ctl_u64(before, "sum_ns");
	row->n_buckets = json_array_size(b);
	if (row->n_buckets > 64)
		row->n_buckets = 64;
	for (size_t i = 0; i < row->n_buckets; i++) {
		row->buckets[i] = (uint64_t)json_integer_value(json_array_get(b, i)) -
				  (uint64_t)json_integer_value(json_array_get(a, i));
		row->n += row->buckets[i];
	}
}

/* Upper bound of the bucket the quantile is in, in seconds. */
static double quantile(const struct row *row, double q)
{
	double want = q * (double)row->n, seen = 0;

	for (size_t i = 0; i < row->n_buckets; i++) {
		seen += (double)row->buckets[i];
		if (seen > 0 && seen >= want)
			return (double)(UINT64_C(1) << i) / 1e6;
	}
	return 0;
}

static void put_seconds(double s, struct f3_buf *out)
{
	if (s < 1e-3)
		f3_buf_printf(out, "%.0f us", s * 1e6);
	else if (s < 1)
		f3_buf_printf(out, "%.*f ms", s < 1e-2 ? 1 : 0, s * 1e3);
	else
		f3_buf_printf(out, "%.1f s", s);
}

/* "op=\"lookup\"" is lookup; other labels stay. */
static void put_name(const struct row *row, struct f3_buf *out)
{
	const char *labels = row->labels;
	size_t len = strlen(labels);

	if (!strcmp(row->name, "f3_fuse_op_seconds") && len > 5 && !strncmp(labels, "op=\"", 4))
		f3_buf_printf(out, "%.*s", (int)len - 5, labels + 4);
	else
		f3_buf_printf(out, "%s%s%s%s", row->name, len ? "{" : "", labels, len ? "}" : "");
}

static int by_time(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->sum_ns < y->sum_ns ? 1 : x->sum_ns > y->sum_ns ? -1 : 0;
}

static void add_row(struct f3ctl_table *t, const struct row *row, double seconds)
{
	static const double quantiles[] = { 0.5, 0.99, 1 };
	struct f3_buf b;

	f3_buf_init(&b, 4096);
	put_name(row, &b);
	f3ctl_table_cell_buf(t, &b);
	f3_buf_printf(&b, "%.1f", (double)row->n / seconds);
	f3ctl_table_cell_buf(t, &b);
	put_seconds((double)row->sum_ns / 1e9 / (double)row->n, &b);
	f3ctl_table_cell_buf(t, &b);
	for (size_t i = 0; i < 3; i++) {
		put_seconds(quantile(row, quantiles[i]), &b);
		f3ctl_table_cell_buf(t, &b);
	}
	f3_buf_printf(&b, "%.1f%%", (double)row->sum_ns / 1e7 / seconds);
	f3ctl_table_cell_buf(t, &b);
	f3_buf_done(&b);
}

static json_t *row_json(const struct row *row, double seconds)
{
	double n = row->n ? (double)row->n : 1;

	return json_pack("{ss ss sI sf sf sf sf sf}", "name", row->name, "labels", row->labels,
			 "count", (json_int_t)row->n, "per_second", (double)row->n / seconds,
			 "mean_s", (double)row->sum_ns / 1e9 / n, "p50_s", quantile(row, 0.5),
			 "p99_s", quantile(row, 0.99), "max_s", quantile(row, 1));
}

static void print_rows(struct f3ctl *ctl, const struct row *rows, size_t n, double seconds)
{
	static const char *const headings[] = { "OPERATION", ">PER SECOND", ">MEAN", ">P50",
						">P99",      ">MAX",        ">BUSY", NULL };
	json_t *list = json_array(), *line;
	struct f3ctl_table t;

	f3ctl_table_init(&t, headings);
	for (size_t i = 0; i < n; i++) {
		if (ctl->json)
			json_array_append_new(list, row_json(&rows[i], seconds));
		else
			add_row(&t, &rows[i], seconds);
	}
	if (ctl->json) {
		line = json_pack("{sf sO}", "seconds", seconds, "histograms", list);
		f3ctl_print_json(line);
		json_decref(line);
	} else {
		f3ctl_table_print(&t, true);
		if (!n)
			printf("(nothing happened)\n");
		putchar('\n');
		fflush(stdout);
	}
	json_decref(list);
	f3ctl_table_done(&t);
}

static int print_interval(struct f3ctl *ctl, const json_t *before, const json_t *now)
{
	json_t *all = json_object_get(now, "histograms"), *one;
	double seconds = (double)(f3ctl_u64(now, "mono_ns") - f3ctl_u64(before, "mono_ns")) / 1e9;
	struct row *rows = calloc(json_array_size(all) + 1, sizeof(*rows));
	size_t i, n = 0;

	if (!rows)
		return f3ctl_fail(ctl, "out of memory");
	json_array_foreach(all, i, one)
	{
		subtract(same(before, one), one, &rows[n]);
		if (rows[n].n && rows[n].name && rows[n].labels)
			n++;
	}
	qsort(rows, n, sizeof(*rows), by_time);
	print_rows(ctl, rows, n, seconds > 0 ? seconds : 1);
	free(rows);
	return F3CTL_OK;
}

int f3ctl_profile(struct f3ctl *ctl, int argc, const char *const *argv)
{
	json_t *before = NULL, *now = NULL;
	struct timespec next;
	int code;

	(void)argv;
	if (argc || count < 0 || interval < 1)
		return f3ctl_usage(ctl,
				   argc ? "no arguments are wanted" : "-n and -i: numbers above 0");
	clock_gettime(CLOCK_MONOTONIC, &next);
	code = f3ctl_ask(ctl, f3ctl_request("profile"), NULL, NULL, &before);
	for (int i = 0; !code && (!count || i < count); i++) {
		next.tv_sec += interval;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
			;
		code = f3ctl_ask(ctl, f3ctl_request("profile"), NULL, NULL, &now);
		if (!code)
			code = print_interval(ctl, before, now);
		json_decref(before);
		before = now;
		now = NULL;
	}
	json_decref(before);
	return code;
}
