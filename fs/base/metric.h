/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric: counters, gauges and latency histograms, rendered as Prometheus text.
 *
 * Names are f3_<subsystem>_<what>_<unit>; seconds and bytes. Counters and histograms are static
 * objects of the module that counts, registered once at start; counting is one relaxed atomic
 * addition. Gauges are read by a function when somebody looks, and so are collectors.
 *
 * Thread-safe. Registration takes a lock; counting does not.
 */
#ifndef F3_BASE_METRIC_H
#define F3_BASE_METRIC_H

#include <stdatomic.h>
#include <stdint.h>

#include "fs/base/buf.h"

#define F3_HIST_BUCKETS 28	/* upper bounds 1 us, 2 us, 4 us ... 2^26 us, +Inf */

struct f3_counter {
	const char *name;	/* "f3_fuse_ops_total" */
	const char *labels;	/* "op=\"lookup\"" or "" */
	const char *help;
	_Atomic uint64_t value;
	struct f3_counter *next;
};

struct f3_histogram {
	const char *name;	/* "..._seconds" */
	const char *labels;
	const char *help;
	_Atomic uint64_t bucket[F3_HIST_BUCKETS];	/* not cumulative */
	_Atomic uint64_t sum_ns;
	struct f3_histogram *next;
};

struct f3_gauge {
	const char *name, *labels, *help;
	double (*read)(void *arg);	/* must not block */
	void *arg;
	struct f3_gauge *next;
};

/* Families whose labels come and go (one per volume): written whole, with their HELP and TYPE, by a
 * function that must not block. */
struct f3_collector {
	void (*collect)(void *arg, struct f3_buf *out);
	void *arg;
	struct f3_collector *next;
};

void f3_counter_register(struct f3_counter *c);
void f3_histogram_register(struct f3_histogram *h);
void f3_gauge_register(struct f3_gauge *g);
void f3_collector_register(struct f3_collector *c);
/* Forgets everything registered (end of the daemon, tests). */
void f3_metrics_reset(void);

static inline void f3_count(struct f3_counter *c, uint64_t n)
{
	atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}

void f3_observe(struct f3_histogram *h, uint64_t ns);
uint64_t f3_histogram_count(const struct f3_histogram *h);
/* Upper bound of the bucket in which the quantile (0..1) lies, in ns. */
uint64_t f3_histogram_quantile_ns(const struct f3_histogram *h, double q);

/* All of them as Prometheus text format 0.0.4, each kind sorted by name. */
void f3_metrics_render(struct f3_buf *out);
/* Walks counters and histograms (f3ctl profile). */
void f3_metrics_each_histogram(void (*fn)(void *arg, const struct f3_histogram *h), void *arg);
void f3_metrics_each_counter(void (*fn)(void *arg, const struct f3_counter *c), void *arg);

#endif
