/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic: where the bytes came from that the daemon has moved, by class of file.
 *
 * What the kernel reads from a backing file by itself (passthrough) is not seen and not counted:
 * how much goes that way shows in the counts of opens by mode.
 *
 * Thread-safe, no lock.
 */
#ifndef F3_CORE_TRAFFIC_H
#define F3_CORE_TRAFFIC_H

#include "fs/core/core.h"

enum f3_traffic {
	F3_TRAFFIC_LOCAL,	/* read by programs through the daemon, from the backing file */
	F3_TRAFFIC_OBJECT,	/* fetched from an object store into one */
	F3_TRAFFIC_SOURCES,
};

void f3_traffic_register_metrics(void);
void f3_traffic_count(enum f3_traffic source, enum f3_class class_, uint64_t bytes);

#endif
