/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/base/metric.h"

#include <inttypes.h>
#include <string.h>

#include "fs/base/lock.h"

/* The lists only grow (but for reset), so that readers walk them without the lock's help. */
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static struct f3_counter *counters;
static struct f3_histogram *histograms;
static struct f3_gauge *gauges;
static struct f3_collector *collectors;

/* Families must be together in the text: kept sorted by name, then by labels. */
#define INSERT(list, item)                                                   \
	do {                                                                 \
		pthread_mutex_lock(&registry);                               \
		__typeof__(list) *p_ = &(list);                              \
		while (*p_ && (strcmp((*p_)->name, (item)->name) < 0 ||      \
			       (!strcmp((*p_)->name, (item)->name) &&        \
				strcmp((*p_)->labels, (item)->labels) < 0))) \
			p_ = &(*p_)->next;                                   \
		if (*p_ != (item)) {                                         \
			(item)->next = *p_;                                  \
			*p_ = (item);                                        \
		}                                                            \
		pthread_mutex_unlock(&registry);                             \
	} while (0)

void f3_counter_register(struct f3_counter *c)
{
	INSERT(counters, c);
}

void f3_histogram_register(struct f3_histogram *h)
{
	INSERT(histograms, h);
}

void f3_gauge_register(struct f3_gauge *g)
{
	INSERT(gauges, g);
}

void f3_collector_register(struct f3_collector *c)
{
	pthread_mutex_lock(&registry);
	c->next = collectors;
	collectors = c;
	pthread_mutex_unlock(&registry);
}

void f3_metrics_reset(void)
{
	pthread_mutex_lock(&registry);
	counters = NULL;
	histograms = NULL;
	gauges = NULL;
	collectors = NULL;
	pthread_mutex_unlock(&registry);
}

static unsigned bucket_of(uint64_t ns)
{
	uint64_t us = (ns + 999) / 1000;
	unsigned b = us <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(us - 1);

	return b < F3_HIST_BUCKETS - 1 ? b : F3_HIST_BUCKETS - 1;
}

void f3_observe(struct f3_histogram *h, uint64_t ns)
{
	atomic_fetch_add_explicit(&h->bucket[bucket_of(ns)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum_ns, ns, memory_order_relaxed);
}

uint64_t f3_histogram_count(const struct f3_histogram *h)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < F3_HIST_BUCKETS; i++)
		n += h->bucket[i];
	return n;
}

uint64_t f3_histogram_quantile_ns(const struct f3_histogram *h, double q)
{
	double want = q * (double)f3_histogram_count(h);
	double seen = 0;

	for (unsigned i = 0; i < F3_HIST_BUCKETS; i++) {
		seen += (double)h->bucket[i];
		if (seen >= want && seen > 0)
			return 1000ull << i;
	}
	return 0;
}

static void family(struct f3_buf *out, const char **last, const char *name, const char *help,
		   const char *type)
{
	if (*last && !strcmp(*last, name))
		return;
	*last = name;
	f3_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void render_histogram(struct f3_buf *out, const struct f3_histogram *h)
{
	const char *comma = h->labels[0] ? "," : "";
	uint64_t total = 0;

	for (unsigned i = 0; i < F3_HIST_BUCKETS; i++) {
		total += h->bucket[i];
		if (i == F3_HIST_BUCKETS - 1)
			f3_buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", h->name,
				      h->labels, comma, total);
		else if (i % 2 == 0) /* every second bound is enough to read */
			f3_buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", h->name,
				      h->labels, comma, (double)(1ull << i) / 1e6, total);
	}
	f3_buf_printf(out, "%s_sum%s%s%s %.9f\n", h->name, h->labels[0] ? "{" : "", h->labels,
		      h->labels[0] ? "}" : "", (double)h->sum_ns / 1e9);
	f3_buf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", h->name, h->labels[0] ? "{" : "",
		      h->labels, h->labels[0] ? "}" : "", total);
}

static void render_value(struct f3_buf *out, const char *name, const char *labels)
{
	f3_buf_printf(out, "%s%s%s%s ", name, labels[0] ? "{" : "", labels, labels[0] ? "}" : "");
}

void f3_metrics_render(struct f3_buf *out)
{
	const char *last = NULL;

	pthread_mutex_lock(&registry);
	for (struct f3_counter *c = counters; c; c = c->next) {
		family(out, &last, c->name, c->help, "counter");
		render_value(out, c->name, c->labels);
		f3_buf_printf(out, "%" PRIu64 "\n", (uint64_t)c->value);
	}
	for (struct f3_gauge *g = gauges; g; g = g->next) {
		family(out, &last, g->name, g->help, "gauge");
		render_value(out, g->name, g->labels);
		f3_buf_printf(out, "%.17g\n", g->read(g->arg));
	}
	for (struct f3_histogram *h = histograms; h; h = h->next) {
		family(out, &last, h->name, h->help, "histogram");
		render_histogram(out, h);
	}
	for (struct f3_collector *c = collectors; c; c = c->next)
		c->collect(c->arg, out);
	pthread_mutex_unlock(&registry);
}

void f3_metrics_each_histogram(void (*fn)(void *arg, const struct f3_histogram *h), void *arg)
{
	for (struct f3_histogram *h = histograms; h; h = h->next)
		fn(arg, h);
}

void f3_metrics_each_counter(void (*fn)(void *arg, const struct f3_counter *c), void *arg)
{
	for (struct f3_counter *c = counters; c; c = c->next)
		fn(arg, c);
}
