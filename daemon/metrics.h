/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics: Prometheus text over HTTP at [metrics] listen, and the gauges of the daemon.
 *
 * Registers gauges for cache, dirty bytes, memory, journal, database, volumes; serves /metrics with
 * libmicrohttpd when an address is configured. No configuration, no thread. Whoever reaches the
 * address may read: there is nothing in it but numbers and the names of volumes.
 */
#ifndef F3_DAEMON_METRICS_H
#define F3_DAEMON_METRICS_H

#include "fs/core/core.h"
#include "fs/fuse/session.h"

struct f3_metrics;

int f3_metrics_start(struct f3_core *core, struct f3_fuse *fuse, struct f3_metrics **ret_m,
		     struct f3_err *err);
/* Also forgets every metric registered. */
void f3_metrics_stop(struct f3_metrics *m);

/* Memory of this process that is in RAM now; 0 if the kernel does not say. */
uint64_t f3_metrics_resident_bytes(void);

#endif
