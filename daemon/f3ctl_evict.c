/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

static int recursive;

const struct poptOption f3ctl_evict_options[] = {
	{ "recursive", 'R', POPT_ARG_NONE, &recursive, 0,
	  "directories: every file below them that can go", NULL },
	POPT_TABLEEND,
};

int f3ctl_evict(struct f3ctl *ctl, int argc, const char *const *argv)
{
	const struct f3ctl_work work = {
		.op = "evict", .deep = recursive, .done = "evicted", .kept = "kept"
	};

	if (!argc)
		return f3ctl_usage(ctl, "a path is wanted");
	return f3ctl_work(ctl, &work, argc, argv);
}
