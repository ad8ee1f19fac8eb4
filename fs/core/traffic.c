/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/traffic.h"

#include <stdio.h>

#include "fs/base/metric.h"

#define CLASSES (F3_CLASS_DURABLE + 1u)

static const char *const sources[F3_TRAFFIC_SOURCES] = { "local", "object" };

static struct f3_counter bytes_moved[F3_TRAFFIC_SOURCES][CLASSES];
static char labels[F3_TRAFFIC_SOURCES][CLASSES][64];

void f3_traffic_register_metrics(void)
{
	for (unsigned s = 0; s < F3_TRAFFIC_SOURCES; s++) {
		for (unsigned c = F3_CLASS_NONE + 1; c < CLASSES; c++) {
			if (s == F3_TRAFFIC_OBJECT && !f3_class_in_store((enum f3_class)c))
				continue;
			snprintf(labels[s][c], sizeof(labels[s][c]), "source=\"%s\",class=\"%s\"",
				 sources[s], f3_class_name((enum f3_class)c));
			bytes_moved[s][c].name = "f3_data_bytes_total";
			bytes_moved[s][c].labels = labels[s][c];
			bytes_moved[s][c].help =
				"Bytes the daemon moved, by where from: local backing files, to programs "
				"(passthrough is not seen); object stores, to backing files.";
			f3_counter_register(&bytes_moved[s][c]);
		}
	}
}

void f3_traffic_count(enum f3_traffic source, enum f3_class class_, uint64_t bytes)
{
	if ((unsigned)class_ < CLASSES)
		f3_count(&bytes_moved[source][class_], bytes);
}
