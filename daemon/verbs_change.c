/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_change: what changes the daemon itself: upgrade.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "daemon/verb.h"

/* "binary": absolute, or empty: the program f3d was started as. Answered only when nothing comes of
 * it: else this process ends. */
static int upgrade(struct f3_verb *v)
{
	const char *binary;
	int r = f3_verb_text(v, "binary", &binary);

	if (r)
		return r;
	if (!v->root)
		return f3_err_set(&v->err, -EPERM,
				  "only root decides what program serves the mount");
	if (*binary && *binary != '/')
		return f3_err_set(&v->err, -EINVAL, "the program's path has to be absolute");
	return f3_worker_upgrade(v->worker, binary, F3_META_FORMAT, &v->err);
}

const struct f3_verb_entry f3_verbs_change[] = {
	{ "upgrade", upgrade },
	{ NULL, NULL },
};
