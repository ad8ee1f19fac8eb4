/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "fs/core/authority.h"

#include <errno.h>

int f3_authority_here(struct f3_core *core, const struct f3_volume *volume)
{
	if (core->stopping)
		return -ESHUTDOWN;
	return volume->read_only ? -EROFS : 0;
}
