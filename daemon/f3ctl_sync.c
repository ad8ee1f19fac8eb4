/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/f3ctl.h"

int f3ctl_sync(struct f3ctl *ctl, int argc, const char *const *argv)
{
	const struct f3ctl_work work = { .op = "sync", .done = "made durable" };

	return f3ctl_work(ctl, &work, argc, argv);
}
