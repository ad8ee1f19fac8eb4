/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/base/conf.h"

#define HEADING_EVERY 20

static int count;

const struct poptOption f3ctl_stats_options[] = {
	{ "count", 'n', POPT_ARG_INT, &count, 0, "so many lines; without it until interrupted",
	  "N" },
	POPT_TABLEEND,
};

/* ---- Sums over counters ---------------------------------------------------------------------- */

/* All counters of this name whose labels have `with` in them. */
static uint64_t sum(const json_t *snapshot, const char *name, const char *with)
{
	json_t *counters = json_object_get(snapshot, "counters"), *value;
	size_t len = strlen(name);
	uint64_t total = 0;
	const char *key;

	json_object_foreach(counters, key, value)
	{
		if (!strncmp(key, name, len) && (!key[len] || key[len] == '{') &&
		    (!with || strstr(key, with)))
			total += (uint64_t)json_integer_value(value);
	}
	return total;
}

struct column {
	const char *heading, *json;
	const char *counter, *with; /* summed counters; NULL: the member `json` itself */
	bool rate, bytes;
};

static const struct column columns[] = {
	{ "ops/s", "operations", NULL, NULL, true, false },
	{ "opens/s", "opens_started", "f3_fuse_opens_total", NULL, true, false },
	{ "passed/s", "opens_passthrough", "f3_fuse_opens_total", "passthrough", true, false },
	{ "read/s", "read_bytes", "f3_fuse_read_bytes_total", NULL, true, true },
	{ "write/s", "written_bytes", "f3_fuse_written_bytes_total", NULL, true, true },
	{ "fill/s", "filled_bytes", "f3_fill_bytes_total", NULL, true, true },
	{ "stage/s", "staged_bytes", "f3_stage_bytes_total", NULL, true, true },
	{ "errors/s", "errors", "f3_fuse_errors_total", NULL, true, false },
	{ "open", "opens", NULL, NULL, false, false },
	{ "wait", "parked_reads", NULL, NULL, false, false },
	{ "cache", "cache_used_bytes", NULL, NULL, false, true },
	{ "dirty", "dirty_bytes", NULL, NULL, false, true },
	{ "journal", "journal_entries", NULL, NULL, false, false },
	{ "rss", "resident_bytes", NULL, NULL, false, true },
};

#define N_COLUMNS (sizeof(columns) / sizeof(columns[0]))

static double seconds_of(const json_t *before, const json_t *now)
{
	return (double)(f3ctl_u64(now, "mono_ns") - f3ctl_u64(before, "mono_ns")) / 1e9;
}

static double value_of(const struct column *c, const json_t *before, const json_t *now)
{
	double seconds = seconds_of(before, now);
	uint64_t a, b;

	a = c->counter ? sum(before, c->counter, c->with) : f3ctl_u64(before, c->json);
	b = c->counter ? sum(now, c->counter, c->with) : f3ctl_u64(now, c->json);
	if (!c->rate)
		return (double)b;
	return b > a && seconds > 0 ? (double)(b - a) / seconds : 0;
}

/* Five characters at most: 999, 1.2K, 12K, 1.5G; bytes in powers of 1024. */
static void put_short(double v, bool bytes)
{
	static const char units[] = " KMGTPE";
	double step = bytes ? 1024 : 1000;
	size_t unit = 0;

	while (v >= 999.5 && unit < sizeof(units) - 2) {
		v /= step;
		unit++;
	}
	if (!unit)
		printf("%8.0f ", v);
	else
		printf("%7.*f%c ", v < 9.95 ? 1 : 0, v, units[unit]);
}

static void print_heading(void)
{
	for (size_t i = 0; i < N_COLUMNS; i++)
		printf("%8s ", columns[i].heading);
	putchar('\n');
}

static void print_line(struct f3ctl *ctl, const json_t *before, const json_t *now)
{
	json_t *line = ctl->json ? json_pack("{sf}", "seconds", seconds_of(before, now)) : NULL;

	for (size_t i = 0; i < N_COLUMNS; i++) {
		double v = value_of(&columns[i], before, now);
		char key[64];

		snprintf(key, sizeof(key), "%s%s", columns[i].json,
			 columns[i].rate ? "_per_second" : "");
		if (line)
			json_object_set_new(line, key,
					    columns[i].rate ? json_real(v) :
							      json_integer((json_int_t)v));
		else
			put_short(v, columns[i].bytes);
	}
	if (line)
		f3ctl_print_json(line);
	else
		putchar('\n');
	json_decref(line);
	fflush(stdout);
}

int f3ctl_stats(struct f3ctl *ctl, int argc, const char *const *argv)
{
	json_t *before = NULL, *now = NULL;
	struct timespec next;
	int code;

	(void)argv;
	if (argc || count < 0)
		return f3ctl_usage(ctl, argc ? "no arguments are wanted" : "-n: a number above 0");
	clock_gettime(CLOCK_MONOTONIC, &next);
	code = f3ctl_ask(ctl, f3ctl_request("stats"), NULL, NULL, &before);
	for (int i = 0; !code && (!count || i < count); i++) {
		next.tv_sec++;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
			;
		code = f3ctl_ask(ctl, f3ctl_request("stats"), NULL, NULL, &now);
		if (code)
			break;
		if (!ctl->json && i % HEADING_EVERY == 0)
			print_heading();
		print_line(ctl, before, now);
		json_decref(before);
		before = now;
		now = NULL;
	}
	json_decref(before);
	return code;
}
