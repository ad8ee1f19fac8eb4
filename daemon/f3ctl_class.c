/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"
#include "fs/meta/record.h"

#include <string.h>

static int recursive;

const struct poptOption f3ctl_class_options[] = {
	{ "recursive", 'R', POPT_ARG_NONE, &recursive, 0, "directories and everything below them",
	  NULL },
	POPT_TABLEEND,
};

int f3ctl_class(struct f3ctl *ctl, int argc, const char *const *argv)
{
	struct f3ctl_work work = { .op = "class", .extra_key = "class", .done = "of this class" };
	enum f3_class class_;

	if (argc < 2)
		return f3ctl_usage(ctl, "a class and a path are wanted");
	if (f3_class_parse(argv[0], strlen(argv[0]), &class_))
		return f3ctl_usage(ctl,
				   "\"%s\" is no class: memory, ephemeral, writeback or durable",
				   argv[0]);
	work.deep = recursive;
	work.extra = argv[0];
	return f3ctl_work(ctl, &work, argc - 1, argv + 1);
}
