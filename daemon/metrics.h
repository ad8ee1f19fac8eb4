/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics: Prometheus text over HTTP at [metrics] listen, and the gauges of the daemon.
 *
 * Registers gauges for cache, dirty bytes, memory, journal, database; serves /metrics with
 * libmicrohttpd when an address is configured. No configuration, no thread.
 */
#ifndef F3_DAEMON_METRICS_H
#define F3_DAEMON_METRICS_H

#include "fs/core/core.h"

struct f3_metrics;

int f3_metrics_start(struct f3_core *core, struct f3_metrics **ret_m, struct f3_err *err);
void f3_metrics_stop(struct f3_metrics *m);

#endif
