/* SPDX-License-Identifier: Apache-2.0 */
/*
 * f3ctl_pin: pin and unpin.
 */
#include "config.h"

#include "daemon/f3ctl.h"

static int recursive;

const struct poptOption f3ctl_pin_options[] = {
	{ "recursive", 'R', POPT_ARG_NONE, &recursive, 0, "directories: every file below them",
	  NULL },
	POPT_TABLEEND,
};

static int run(struct f3ctl *ctl, const char *op, const char *done, int argc,
	       const char *const *argv)
{
	const struct f3ctl_work work = { .op = op, .deep = recursive, .done = done };

	if (!argc)
		return f3ctl_usage(ctl, "a path is wanted");
	return f3ctl_work(ctl, &work, argc, argv);
}

int f3ctl_pin(struct f3ctl *ctl, int argc, const char *const *argv)
{
	return run(ctl, "pin", "pinned", argc, argv);
}

int f3ctl_unpin(struct f3ctl *ctl, int argc, const char *const *argv)
{
	return run(ctl, "unpin", "unpinned", argc, argv);
}
