/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "daemon/fsck.h"

#include <errno.h>

int f3_fsck_judge(const struct f3_inode_rec *rec, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return -EUCLEAN;
	switch (rec->state) {
	case F3_STATE_SEALED:
	case F3_STATE_STAGING:
	case F3_STATE_CLEAN:
		break;
	default:
		return 0;
	}
	return (uint64_t)st->st_size == rec->size ? 0 : -EUCLEAN;
}
